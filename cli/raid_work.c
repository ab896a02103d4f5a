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

static int check_scrub(void *context, const struct raid_array *array, struct error *error)
{
    (void)context;
    return raid_scrub_check(array, error);
}

int cli_raid_scrub(struct raid_arguments *arguments)
{
    struct raid_scrub work = {.repair = arguments->repair};
    struct error error = {0};
    struct raid_array *array = NULL;
    int result = raid_files_open(&arguments->files, &(struct raw_options){0}, &error);
    if (result == 0) {
        array = raid_files_assemble(
            &arguments->files, arguments, &(struct raid_options){.check = check_scrub}, &error);
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
        printf(", \"bad\": %" PRIu64 "}\n", work.bad);
    } else if (work.mismatches == 0) {
        puts("no mismatches");
    } else {
        printf("%" PRIu64 " sectors differ, the first at member sector %" PRIu64 "; %" PRIu64
               " repaired%s\n",
            work.mismatches, work.first_mismatch, work.repaired,
            left ? ": use --repair to make them agree" : "");
    }
    if (work.bad && !arguments->json)
        printf("%" PRIu64 " sectors are bad on some member\n", work.bad);
    return left ? STATUS_ERROR : STATUS_OK;
}

/* ---- rebuild -------------------------------------------------------------------------------- */

/* What is to be done, worked out before anything is changed. */
struct rebuild {
    struct raid_arguments *arguments;
    struct raid_superblock old; /* of --replace OLD, when it could be read */
    bool old_known;
    struct raw_file *replacement; /* --replace NEW */
    bool made;                    /* it was not there before */
    unsigned count;               /* places to fill, one after the other */
    unsigned role[RAID_MAX_MEMBERS];
    struct raid_member member[RAID_MAX_MEMBERS];
};

/* Which member OLD is. It may be gone or unreadable: then it is the one that is missing. */
static int find_role(const struct rebuild *rebuild, const struct raid_array *array, unsigned *role,
    struct error *error)
{
    const struct raid_superblock *super = raid_status(array), *old = &rebuild->old;
    const char *path = rebuild->arguments->old_path;
    *role = RAID_NO_MEMBER;
    if (rebuild->old_known) {
        if (memcmp(old->uuid, super->uuid, 16) != 0 || old->role >= super->geometry.members)
            return error_set(error, "%s: belongs to another array than the files given", path);
        *role = old->role;
        if (super->member[*role].state != RAID_MEMBER_FAILED)
            return error_set(error, "%s: member %u is given by another file", path, *role);
        return 0;
    }
    for (unsigned i = 0; i < super->geometry.members; i++) {
        if (super->member[i].state != RAID_MEMBER_FAILED)
            continue;
        if (*role != RAID_NO_MEMBER)
            return error_set(error,
                "%s: several members are missing and this file does not say which it was", path);
        *role = i;
    }
    if (*role == RAID_NO_MEMBER)
        return error_set(error, "%s: not a member, and none is missing", path);
    return 0;
}

static int open_replacement(struct rebuild *rebuild, struct error *error)
{
    struct raid_superblock superblock;
    const struct raid_arguments *arguments = rebuild->arguments;
    const struct raid_member *any = &arguments->files.member[0];
    const char *path = arguments->new_path;
    bool made = access(path, F_OK) != 0;
    if (made && raw_make(path, any->ops->size(any->object), false, error))
        return -1;
    rebuild->made = made;
    rebuild->replacement = raw_open(path, &(struct raw_options){0}, error);
    if (!rebuild->replacement)
        return -1;
    struct raid_member member = raw_member(rebuild->replacement);
    if (strcmp(path, arguments->old_path) != 0 && !arguments->force &&
        raid_superblock_read(&member, &superblock, NULL) == 0)
        return error_set(error,
            "%s: is member %u of a RAID %d array already: use --force to overwrite it", path,
            superblock.role, (int)superblock.geometry.level);
    return 0;
}

/* OLD itself is not among the files; if it can still be read, it tells its place. */
static int open_members(struct rebuild *rebuild, struct error *error)
{
    struct raid_arguments *arguments = rebuild->arguments;
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
            rebuild->old_known = raid_superblock_read(&member, &rebuild->old, NULL) == 0;
        }
        raw_close(file);
    }
    files->makes = arguments->new_path;
    return raid_files_open(files, &(struct raw_options){0}, error);
}

/* Files of this array that have missed something go back to their places. */
static int find_stale(struct rebuild *rebuild, struct error *error)
{
    const struct raid_files *files = &rebuild->arguments->files;
    struct raid_assembly *assembly = calloc(1, sizeof *assembly);
    if (!assembly)
        return error_set(error, "out of memory");
    int result = raid_examine(assembly, files->member, files->count, error);
    for (unsigned i = 0; result == 0 && i < assembly->count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        unsigned role = candidate->superblock.role;
        bool taken =
            candidate->verdict != RAID_MEMBER_STALE || assembly->given[role] != RAID_NO_MEMBER;
        for (unsigned j = 0; j < rebuild->count; j++)
            taken |= rebuild->role[j] == role;
        if (taken)
            continue;
        rebuild->role[rebuild->count] = role;
        rebuild->member[rebuild->count++] = files->member[i];
        /* It is missing, and it is here. */
        assembly->missing -= assembly->newest.member[role].state == RAID_MEMBER_ACTIVE;
    }
    if (result == 0 && rebuild->count && assembly->missing == 0)
        rebuild->arguments->degraded = true;
    free(assembly);
    return result;
}

/* Refuses what would be refused later, when the array has been changed. */
static int check_rebuild(void *context, const struct raid_array *array, struct error *error)
{
    struct rebuild *rebuild = context;
    const struct raid_superblock *super = raid_status(array);
    bool rebuilding = false;
    for (unsigned i = 0; i < super->geometry.members; i++)
        rebuilding |= super->member[i].state == RAID_MEMBER_REBUILDING;
    if (rebuild->arguments->old_path) {
        if (find_role(rebuild, array, &rebuild->role[0], error))
            return -1;
        rebuild->member[0] = raw_member(rebuild->replacement);
        rebuild->count = 1;
    }
    if (rebuild->count == 0 && !rebuilding && raid_degraded(array))
        return error_set(error, "nothing is being rebuilt: say --replace OLD=NEW for the member "
                                "that is out");
    /* One that is being rebuilt is finished first. */
    for (unsigned i = 0; i < rebuild->count; i++) {
        bool later = rebuilding && !rebuild->arguments->old_path;
        if (!later && raid_replace_check(array, rebuild->role[i], &rebuild->member[i], error))
            return -1;
    }
    return 0;
}

static int fill(struct raid_array *array, struct error *error)
{
    struct progress progress = {.label = "rebuild"};
    int more;
    while ((more = raid_rebuild_step(array, STRIPES_AT_ONCE, error)) == 1)
        progress_show(
            &progress, raid_rebuild_position(array), raid_status(array)->geometry.member_sectors);
    progress_end(&progress);
    return more;
}

static int rebuild_all(struct rebuild *rebuild, struct raid_array *array, struct error *error)
{
    if (fill(array, error))
        return -1;
    for (unsigned i = 0; i < rebuild->count; i++) {
        if (raid_replace(array, rebuild->role[i], &rebuild->member[i], error) || fill(array, error))
            return -1;
    }
    return stop_array(array, error);
}

int cli_raid_rebuild(struct raid_arguments *arguments)
{
    struct rebuild rebuild = {.arguments = arguments};
    struct error error = {0};
    struct raid_array *array = NULL;
    /* Replacing a member that still works is starting without it. */
    arguments->degraded |= arguments->old_path != NULL;
    int result = open_members(&rebuild, &error);
    if (result == 0)
        result =
            arguments->old_path ? open_replacement(&rebuild, &error) : find_stale(&rebuild, &error);
    if (result == 0) {
        const struct raid_options options = {.check = check_rebuild, .check_context = &rebuild};
        array = raid_files_assemble(&arguments->files, arguments, &options, &error);
        result = array ? 0 : -1;
    }
    if (!array && rebuild.made)
        unlink(arguments->new_path);
    if (result == 0)
        result = rebuild_all(&rebuild, array, &error);
    bool degraded = array && raid_degraded(array);
    raid_free(array);
    raw_close(rebuild.replacement);
    if (result)
        return cli_fail(STATUS_ERROR, &error);
    puts(degraded ? "rebuilt; other members are still missing" : "all members are active");
    return degraded ? STATUS_ERROR : STATUS_OK;
}
