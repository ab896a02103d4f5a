/* A disk on the command line and in the trace's header. */
#include <stdlib.h>
#include <string.h>

#include "vmm/host/block/raw.h"
#include "base/parse.h"
#include "vmm/storage/disk.h"

static int set_level(struct disk_config *config, const char *value, struct error *error)
{
    static const struct {
        const char *name;
        enum raid_level level;
    } levels[] = {{"0", RAID_0}, {"1", RAID_1}, {"5", RAID_5}};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(value, levels[i].name) == 0) {
            config->is_array = true;
            config->level = levels[i].level;
            return 0;
        }
    }
    return error_set(error, "raid=%s: the levels are 0, 1 and 5", value);
}

static int add_path(struct disk_config *config, const char *value, bool spare, struct error *error)
{
    if (*value == '\0')
        return error_set(error, "a file name is empty");
    if (!spare && config->members == RAID_MAX_MEMBERS)
        return error_set(error, "at most %d files can make an array", RAID_MAX_MEMBERS);
    if (spare && config->has_spare)
        return error_set(error, "only one spare is possible");
    char *copy = strdup(value);
    if (!copy)
        return error_set(error, "out of memory");
    if (spare) {
        config->has_spare = true;
        config->path[RAID_MAX_MEMBERS] = copy;
    } else {
        config->path[config->members++] = copy;
    }
    return 0;
}

static int set_switch(const char *name, const char *value, bool *flag, struct error *error)
{
    *flag = strcmp(value, "on") == 0;
    if (!*flag && strcmp(value, "off") != 0)
        return error_set(error, "%s=%s: on or off", name, value);
    return 0;
}

static int parse_item(
    struct disk_config *config, const char *key, const char *value, struct error *error)
{
    if (strcmp(key, "raid") == 0)
        return set_level(config, value, error);
    if (strcmp(key, "chunk") == 0)
        return parse_size(value, &config->chunk, error);
    if (strcmp(key, "file") == 0)
        return add_path(config, value, false, error);
    if (strcmp(key, "spare") == 0)
        return add_path(config, value, true, error);
    if (strcmp(key, "snapshot") == 0)
        return set_switch(key, value, &config->snapshot, error);
    if (strcmp(key, "force") == 0)
        return set_switch(key, value, &config->force, error);
    return error_set(error, "'%s' is not one of raid, chunk, file, spare, snapshot, force", key);
}

/* The first spare goes after the members, where the arrays of the struct have its place. */
static void place_spare(struct disk_config *config)
{
    if (!config->has_spare || config->members == RAID_MAX_MEMBERS)
        return;
    config->path[config->members] = config->path[RAID_MAX_MEMBERS];
    config->path[RAID_MAX_MEMBERS] = NULL;
}

int disk_config_parse(const char *text, struct disk_config *config, struct error *error)
{
    *config = (struct disk_config){0};
    char *copy = strdup(text), *rest = copy, *item;
    int result = copy ? 0 : error_set(error, "out of memory");
    while (result == 0 && (item = strsep(&rest, ","))) {
        char *value = strchr(item, '=');
        if (value)
            *value++ = '\0';
        result = value ? parse_item(config, item, value, error)
                       : error_set(error, "'%s' is not KEY=VALUE", item);
    }
    free(copy);
    if (result == 0 && config->members == 0)
        result = error_set(error, "no file=PATH");
    if (result == 0 && !config->is_array && config->members > 1)
        result = error_set(error, "several files make an array: raid=0, 1 or 5 is missing");
    if (result == 0 && !config->is_array && (config->has_spare || config->chunk))
        result = error_set(error, "chunk and spare are for arrays: raid=0, 1 or 5 is missing");
    if (result == 0 && config->is_array && config->members < 2)
        result = error_set(error, "an array needs at least two files");
    place_spare(config);
    if (result < 0) {
        disk_config_free(config);
        error_prefix(error, "--disk %s", text);
    }
    return result;
}

void disk_config_free(struct disk_config *config)
{
    for (unsigned i = 0; i < DISK_MAX_FILES; i++) {
        free(config->path[i]);
        config->path[i] = NULL;
    }
}

static unsigned file_count(const struct disk_config *config)
{
    return config->members + config->has_spare;
}

int disk_config_measure(struct disk_config *config, struct error *error)
{
    for (unsigned i = 0; i < file_count(config); i++) {
        const struct raw_options look = {.read_only = true};
        struct raw_file *file = raw_open(config->path[i], &look, error);
        if (!file)
            return -1;
        struct raid_member member = raw_member(file);
        config->sectors[i] = member.ops->size(member.object);
        raw_close(file);
    }
    return 0;
}

void disk_config_write(const struct disk_config *config, struct buffer *out)
{
    if (config->is_array)
        buffer_printf(
            out, "raid=%u,chunk=%llu,", (unsigned)config->level, (unsigned long long)config->chunk);
    buffer_printf(out, "snapshot=%s,force=%s,spare=%s,sectors=", config->snapshot ? "on" : "off",
        config->force ? "on" : "off", config->has_spare ? "on" : "off");
    for (unsigned i = 0; i < file_count(config); i++)
        buffer_printf(out, "%s%llu", i ? "+" : "", (unsigned long long)config->sectors[i]);
}

static int restore_sectors(struct disk_config *config, char *value, struct error *error)
{
    unsigned count = 0;
    for (char *part; (part = strsep(&value, "+")); count++) {
        if (count == DISK_MAX_FILES || parse_size(part, &config->sectors[count], error) < 0)
            return error_set(error, "a disk of the trace has too many or bad sizes");
    }
    config->members = count;
    return 0;
}

/* The sizes that were read are those of the members and of the spare after them. */
static int check_restored(struct disk_config *config, struct error *error)
{
    if (config->members <= config->has_spare)
        return error_set(error, "a disk of the trace has no files");
    config->members -= config->has_spare;
    if (config->members > RAID_MAX_MEMBERS || (!config->is_array && config->members > 1))
        return error_set(error, "a disk of the trace has too many files");
    return 0;
}

static int restore_item(
    struct disk_config *config, const char *key, char *value, struct error *error)
{
    if (strcmp(key, "spare") == 0)
        return set_switch(key, value, &config->has_spare, error);
    if (strcmp(key, "sectors") == 0)
        return restore_sectors(config, value, error);
    if (strcmp(key, "file") == 0)
        return error_set(error, "a disk of the trace names a file");
    return parse_item(config, key, value, error);
}

int disk_config_restore(const char *text, struct disk_config *config, struct error *error)
{
    *config = (struct disk_config){0};
    char *copy = strdup(text), *rest = copy, *item;
    int result = copy ? 0 : error_set(error, "out of memory");
    while (result == 0 && (item = strsep(&rest, ","))) {
        char *value = strchr(item, '=');
        if (value)
            *value++ = '\0';
        result = value ? restore_item(config, item, value, error)
                       : error_set(error, "'%s' is not KEY=VALUE", item);
    }
    free(copy);
    return result < 0 ? -1 : check_restored(config, error);
}
