/* hindsight raid scrub, rebuild: long work on an array that no guest is using. */
#include "cli/raid.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STRIPES_AT_ONCE = 64 };

static uint64_t stripe_count(const struct raid_array *array)
{
    const struct raid_geometry *geometry = &raid_status(array)->geometry;
    return (geometry->member_sectors + geometry->chunk - 1) / geometry->chunk;
}

static int stop_array(struct raid_array *array, struct error *error)
{
    return raid_stop(array) ? error_set(error, "the array cannot be marked clean") : 0;
}

static int scrub(struct raid_array *array, struct raid_scrub *scrub, struct error *error)
{
    struct progress progress = {.label = "scrub"};
    int more;
    while ((more = raid_scrub_step(array, scrub, STRIPES_AT_ONCE, error)) == 1)
        progress_show(&progress, scrub->stripe, stripe_count(array));
    progress_end(&progress);
    return more || stop_array(array, error) ? -1 : 0;
}

int cli_raid_scrub(struct raid_arguments *arguments)
{
    struct raid_scrub work = {.repair = arguments->repair};
    struct error error = {0};
    struct raid_array *array = NULL;
    int result = raid_files_open(&arguments->files, &(struct raw_options){0}, &error);
    if (result == 0) {
        array = raid_files_assemble(&arguments->files, arguments, &error);
        result = array ? scrub(array, &work, &error) : -1;
    }
    raid_free(array);
    if (result)
        return cli_fail(STATUS_ERROR, &error);
    uint64_t left = work.mismatches - work.repaired;
    if (arguments->json) {
        printf(
            "{\"mismatches\": %" PRIu64 ", \"repaired\": %" PRIu64, work.mismatches, work.repaired);
        if (work.mismatches)
            printf(", \"first\": %" PRIu64, work.first_mismatch);
        puts("}");
    } else if (work.mismatches == 0) {
        puts("no mismatches");
    } else {
        printf("%" PRIu64 " sectors differ, the first at member sector %" PRIu64 "; %" PRIu64
               " repaired%s\n",
            work.mismatches, work.first_mismatch, work.repaired,
            left ? ": use --repair to make them agree" : "");
    }
    return left ? STATUS_ERROR : STATUS_OK;
}

/* ---- rebuild -------------------------------------------------------------------------------- */

/* Which member OLD is. It may be gone or unreadable: then it is the one that is missing. */
static int find_role(const struct raid_arguments *arguments, const struct raid_array *array,
    const struct raid_superblock *old, unsigned *role, struct error *error)
{
    const struct raid_superblock *super = raid_status(array);
    if (old) {
        if (memcmp(old->uuid, super->uuid, 16) != 0)
            return error_set(
                error, "%s: belongs to another array than the files given", arguments->old_path);
        *role = old->role;
        return 0;
    }
    *role = RAID_NO_MEMBER;
    for (unsigned i = 0; i < super->geometry.members; i++) {
        if (super->member[i].state != RAID_MEMBER_FAILED)
            continue;
        if (*role != RAID_NO_MEMBER)
            return error_set(error,
                "%s: several members are missing and this file does not say which it was",
                arguments->old_path);
        *role = i;
    }
    if (*role == RAID_NO_MEMBER)
        return error_set(error, "%s: not a member, and none is missing", arguments->old_path);
    return 0;
}

static struct raw_file *open_replacement(
    const struct raid_arguments *arguments, uint64_t sectors, struct error *error)
{
    struct raid_superblock superblock;
    const char *path = arguments->new_path;
    bool made = access(path, F_OK) != 0;
    if (made && raw_make(path, sectors, false, error))
        return NULL;
    struct raw_file *file = raw_open(path, &(struct raw_options){0}, error);
    bool same = strcmp(path, arguments->old_path) == 0;
    if (!file || same || arguments->force)
        return file;
    struct raid_member member = raw_member(file);
    if (raid_superblock_read(&member, &superblock, NULL) == 0) {
        error_set(error, "%s: is member %u of a RAID %d array already: use --force to overwrite it",
            path, superblock.role, (int)superblock.geometry.level);
        raw_close(file);
        return NULL;
    }
    return file;
}

static int replace(const struct raid_arguments *arguments, struct raid_array *array,
    const struct raid_superblock *old, struct raw_file **replacement, struct error *error)
{
    unsigned role;
    if (find_role(arguments, array, old, &role, error))
        return -1;
    const struct raid_member *any = &arguments->files.member[0];
    *replacement = open_replacement(arguments, any->ops->size(any->object), error);
    if (!*replacement)
        return -1;
    (void)raid_fail(array, role);
    if (raid_failed(array))
        return error_set(error, "the array cannot do without member %u", role);
    struct raid_member member = raw_member(*replacement);
    return raid_replace(array, role, &member, error);
}

static int fill(struct raid_array *array, struct error *error)
{
    struct progress progress = {.label = "rebuild"};
    int more;
    while ((more = raid_rebuild_step(array, STRIPES_AT_ONCE, error)) == 1)
        progress_show(
            &progress, raid_rebuild_position(array), raid_status(array)->geometry.member_sectors);
    progress_end(&progress);
    return more || stop_array(array, error) ? -1 : 0;
}

/* OLD itself is not among the files; if it can still be read, it tells its place. */
static int open_members(struct raid_arguments *arguments, struct raid_superblock *old,
    bool *old_known, struct error *error)
{
    struct raid_files *files = &arguments->files;
    unsigned count = 0;
    for (unsigned i = 0; i < files->count; i++) {
        if (!arguments->old_path || strcmp(files->path[i], arguments->old_path) != 0)
            files->path[count++] = files->path[i];
    }
    files->count = count;
    if (count == 0)
        return error_set(error, "give the array's other members as well");
    if (arguments->old_path) {
        struct raw_file *file =
            raw_open(arguments->old_path, &(struct raw_options){.read_only = true}, NULL);
        if (file) {
            struct raid_member member = raw_member(file);
            *old_known = raid_superblock_read(&member, old, NULL) == 0;
        }
        raw_close(file);
    }
    return raid_files_open(files, &(struct raw_options){0}, error);
}

int cli_raid_rebuild(struct raid_arguments *arguments)
{
    struct raid_superblock old;
    bool old_known = false;
    struct error error = {0};
    struct raid_array *array = NULL;
    struct raw_file *replacement = NULL;
    /* Replacing a member that still works is starting without it. */
    arguments->degraded |= arguments->old_path != NULL;
    int result = open_members(arguments, &old, &old_known, &error);
    if (result == 0) {
        array = raid_files_assemble(&arguments->files, arguments, &error);
        result = array ? 0 : -1;
    }
    if (result == 0 && arguments->old_path)
        result = replace(arguments, array, old_known ? &old : NULL, &replacement, &error);
    if (result == 0)
        result = fill(array, &error);
    bool degraded = array && raid_degraded(array);
    raid_free(array);
    raw_close(replacement);
    if (result)
        return cli_fail(STATUS_ERROR, &error);
    if (degraded) {
        error_set(&error, "nothing is being rebuilt: say --replace OLD=NEW for the member that is "
                          "out");
        return cli_fail(STATUS_ERROR, &error);
    }
    puts("all members are active");
    return STATUS_OK;
}
