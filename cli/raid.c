/* hindsight raid: its arguments, and making arrays. The rest is in raid_status.c, raid_work.c. */
#include "cli/raid.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/parse.h"

static const char help[] =
    "Usage: hindsight raid create --level 0|1|5 [--chunk 64K] [--size S] FILE...\n"
    "       hindsight raid status FILE... [--json]\n"
    "       hindsight raid assemble FILE... [--json]\n"
    "       hindsight raid scrub FILE... [--repair] [--json]\n"
    "       hindsight raid rebuild [--replace OLD=NEW] FILE...\n\n"
    "create    makes an array of FILEs, in this order\n"
    "  --level L        0 stripes, 1 mirrors, 5 rotating parity\n"
    "  --chunk S        4K to 1M, a power of two (64K)\n"
    "  --size S         data bytes of each member: makes the files; without it they must exist\n"
    "                   and are made to agree (RAID 1: the first one's content)\n"
    "  --name N         shown to the guest as the disk's serial number\n"
    "  --strict         journal every write: safe from power loss and a lost member at once\n"
    "  --assume-clean   existing files hold an array's data already: keep it as it is\n"
    "  --force          overwrite existing files, or members of another array\n"
    "status    shows the array and each file's place and state\n"
    "assemble  sorts files, also of several arrays: what belongs together, in which order\n"
    "scrub     compares parity or mirrors; --repair makes them agree\n"
    "rebuild   fills members that are out of date, or a replacement, or goes on with a rebuild\n"
    "          that was interrupted\n"
    "  --replace OLD=NEW  NEW takes the place of OLD, which may be gone; NEW is made if needed\n"
    "scrub, rebuild: --degraded starts with members missing, --force after a crash as well.\n";

int raid_files_add(struct raid_files *files, const char *path, const struct raw_options *options,
    struct error *error)
{
    if (files->count == RAID_MAX_FILES)
        return error_set(error, "more than %d files", RAID_MAX_FILES);
    unsigned i = files->count;
    files->file[i] = raw_open(path, options, error);
    if (!files->file[i])
        return -1;
    files->path[i] = path;
    files->member[i] = raw_member(files->file[i]);
    files->count++;
    return 0;
}

int raid_files_open(
    struct raid_files *files, const struct raw_options *options, struct error *error)
{
    unsigned count = files->count;
    files->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (raid_files_add(files, files->path[i], options, error))
            return -1;
    }
    cli_confine_to(NULL, files->makes);
    return 0;
}

void raid_files_close(struct raid_files *files)
{
    for (unsigned i = 0; i < files->count; i++)
        raw_close(files->file[i]);
    files->count = 0;
}

struct raid_array *raid_files_assemble(const struct raid_files *files,
    const struct raid_arguments *arguments, const struct raid_options *checks, struct error *error)
{
    struct progress progress = {.label = "recover"};
    struct raid_options options = {
        .allow_missing = arguments->degraded || arguments->force,
        .force = arguments->force,
        .check = checks->check,
        .check_context = checks->check_context,
        .progress = progress_show,
        .progress_context = &progress,
    };
    struct raid_array *array = raid_assemble(files->member, files->count, &options, error);
    progress_end(&progress);
    return array;
}

/* ---- create --------------------------------------------------------------------------------- */

/* All of them can be made, and they are different files, before the first one is touched. */
static int make_files(
    const struct raid_arguments *arguments, const struct raid_create *create, struct error *error)
{
    struct raid_geometry geometry;
    const struct raid_files *files = &arguments->files;
    if (raid_geometry_init(&geometry, arguments->level, files->count, arguments->chunk,
            arguments->size / BLOCK_SECTOR, error))
        return -1;
    uint64_t sectors = geometry.member_sectors + RAID_METADATA_SECTORS;
    if (raid_create_check(create, files->count, sectors, error))
        return -1;
    for (unsigned i = 0; i < files->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (raw_same(files->path[i], files->path[j]))
                return error_set(error, "%s: given twice", files->path[i]);
        }
        if (raw_make_check(files->path[i], arguments->force, error))
            return -1;
    }
    for (unsigned i = 0; i < files->count; i++) {
        if (raw_make(files->path[i], sectors, arguments->force, error) == 0)
            continue;
        /* Those made for an array that does not come to be go again. */
        for (unsigned j = 0; j < i && !arguments->force; j++)
            unlink(files->path[j]);
        return -1;
    }
    return 0;
}

static int check_unused(const struct raid_files *files, struct error *error)
{
    for (unsigned i = 0; i < files->count; i++) {
        struct raid_superblock superblock;
        if (raid_superblock_read(&files->member[i], &superblock, NULL) == 0)
            return error_set(error,
                "%s: is member %u of a RAID %d array already: use --force to make it part of "
                "another",
                files->path[i], superblock.role, (int)superblock.geometry.level);
    }
    return 0;
}

static int create_array(struct raid_arguments *arguments, struct error *error)
{
    struct raid_create create = {
        .level = arguments->level,
        .chunk = arguments->chunk,
        .name = arguments->name,
        .strict = arguments->strict,
        .resync = !arguments->size && !arguments->assume_clean && arguments->level != RAID_0,
    };
    struct raid_files *files = &arguments->files;
    struct raid_geometry geometry;
    /* What is wrong with level, count or chunk is said before files are looked at. */
    if (raid_geometry_init(&geometry, arguments->level, files->count, arguments->chunk,
            RAID_CHUNK_MAXIMUM / BLOCK_SECTOR, error))
        return -1;
    if (getrandom(create.uuid, sizeof create.uuid, 0) != (ssize_t)sizeof create.uuid)
        return error_set_errno(error, "no random numbers for the array's identity");
    if (arguments->size && make_files(arguments, &create, error))
        return -1;
    if (raid_files_open(files, &(struct raw_options){0}, error) ||
        (!arguments->force && check_unused(files, error)) ||
        raid_create(&create, files->member, files->count, error))
        return -1;
    struct raid_array *array =
        raid_files_assemble(files, arguments, &(struct raid_options){0}, error);
    if (!array)
        return -1;
    geometry = raid_status(array)->geometry;
    printf("RAID %d of %u members, %" PRIu64 " bytes\n", (int)geometry.level, geometry.members,
        geometry.sectors * BLOCK_SECTOR);
    raid_free(array);
    return 0;
}

static int cli_raid_create(struct raid_arguments *arguments)
{
    struct error error = {0};
    if (!arguments->has_level)
        return cli_usage("raid create", "say which --level: 0, 1 or 5");
    if (arguments->files.count > RAID_MAX_MEMBERS)
        return cli_usage("raid create", "more than %d members", RAID_MAX_MEMBERS);
    int result = create_array(arguments, &error);
    return result ? cli_fail(STATUS_ERROR, &error) : STATUS_OK;
}

/* ---- Arguments ------------------------------------------------------------------------------ */

static int parse_replace(struct raid_arguments *arguments, char *value, struct error *error)
{
    char *equals = strchr(value, '=');
    if (!equals || equals == value || !equals[1])
        return error_set(error, "--replace '%s' is not OLD=NEW", value);
    *equals = 0;
    arguments->old_path = value;
    arguments->new_path = equals + 1;
    return 0;
}

static int parse_level(struct raid_arguments *arguments, const char *value, struct error *error)
{
    if (strlen(value) != 1 || !strchr("015", value[0]))
        return error_set(error, "--level '%s' is not 0, 1 or 5", value);
    arguments->level = (enum raid_level)(value[0] - '0');
    arguments->has_level = true;
    return 0;
}

static int parse_size_above_0(const char *value, struct error *error, uint64_t *size)
{
    if (parse_size(value, size, error))
        return -1;
    return *size ? 0 : error_set(error, "a size of 0 is too small");
}

static int parse_value(
    struct raid_arguments *arguments, const char *option, char *value, struct error *error)
{
    if (strcmp(option, "level") == 0)
        return parse_level(arguments, value, error);
    if (strcmp(option, "chunk") == 0)
        return parse_size_above_0(value, error, &arguments->chunk);
    if (strcmp(option, "size") == 0)
        return parse_size_above_0(value, error, &arguments->size);
    if (strcmp(option, "name") == 0) {
        arguments->name = value;
        return 0;
    }
    return parse_replace(arguments, value, error);
}

static bool *flag_of(struct raid_arguments *arguments, const char *option)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"strict", &arguments->strict},
        {"assume-clean", &arguments->assume_clean},
        {"force", &arguments->force},
        {"degraded", &arguments->degraded},
        {"repair", &arguments->repair},
        {"json", &arguments->json},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(option, flags[i].name) == 0)
            return flags[i].flag;
    }
    return NULL;
}

/* `accepted` lists the subcommand's options, each between spaces. */
static bool accepts(const char *accepted, const char *option, size_t length)
{
    for (const char *at = accepted; (at = strstr(at, option)); at++) {
        if (at[-1] == ' ' && at[length] == ' ')
            return true;
    }
    return false;
}

static int parse(struct raid_arguments *arguments, const char *accepted, int argc, char **argv,
    struct error *error)
{
    bool options_end = false;
    arguments->chunk = 65536;
    for (int i = 2; i < argc; i++) {
        char *text = argv[i];
        if (options_end || text[0] != '-') {
            if (arguments->files.count == RAID_MAX_FILES)
                return error_set(error, "more than %d files", RAID_MAX_FILES);
            arguments->files.path[arguments->files.count++] = text;
            continue;
        }
        if (strcmp(text, "--") == 0) {
            options_end = true;
            continue;
        }
        char option[16] = {0}, *value = strchr(text, '=');
        size_t length = value ? (size_t)(value - text) : strlen(text);
        if (strncmp(text, "--", 2) != 0 || length < 3 || length - 2 >= sizeof option)
            return error_set(error, "unknown option '%s'", text);
        memcpy(option, text + 2, length - 2);
        if (!accepts(accepted, option, length - 2))
            return error_set(error, "unknown option '%s'", text);
        bool *flag = flag_of(arguments, option);
        if (flag && value)
            return error_set(error, "'--%s' takes no value", option);
        if (flag) {
            *flag = true;
            continue;
        }
        if (!value && i + 1 == argc)
            return error_set(error, "'--%s' needs a value", option);
        if (parse_value(arguments, option, value ? value + 1 : argv[++i], error))
            return -1;
    }
    return arguments->files.count ? 0 : error_set(error, "no files given");
}

static const struct {
    const char *name, *title;
    const char *options;
    int (*run)(struct raid_arguments *arguments);
} commands[] = {
    {"create", "raid create", " level chunk size name strict assume-clean force ", cli_raid_create},
    {"status", "raid status", " json ", cli_raid_status},
    {"assemble", "raid assemble", " json ", cli_raid_assemble},
    {"scrub", "raid scrub", " repair degraded force json ", cli_raid_scrub},
    {"rebuild", "raid rebuild", " replace degraded force ", cli_raid_rebuild},
};

int cli_raid(int argc, char **argv)
{
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    if (argc < 2)
        return cli_usage("raid", "say what: create, status, assemble, scrub or rebuild");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        struct raid_arguments *arguments = calloc(1, sizeof *arguments);
        struct error error = {0};
        if (!arguments) {
            error_set(&error, "out of memory");
            return cli_fail(STATUS_ERROR, &error);
        }
        int status = parse(arguments, commands[i].options, argc, argv, &error)
                         ? cli_usage(commands[i].title, "%s", error.text)
                         : commands[i].run(arguments);
        raid_files_close(&arguments->files);
        free(arguments);
        return status;
    }
    return cli_usage("raid", "'%s' is not create, status, assemble, scrub or rebuild", argv[1]);
}
