/* hindsight raid status, assemble: what files are, from their superblocks alone. */
#include "cli/raid.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *verdict_name(enum raid_verdict verdict)
{
    static const char *const names[] = {
        [RAID_MEMBER_USED] = "used",
        [RAID_MEMBER_STALE] = "stale",
        [RAID_MEMBER_FOREIGN] = "foreign",
        [RAID_MEMBER_DUPLICATE] = "duplicate",
        [RAID_MEMBER_UNKNOWN] = "unknown",
    };
    return names[verdict];
}

static unsigned active_count(const struct raid_assembly *assembly)
{
    unsigned active = 0;
    for (unsigned i = 0; i < assembly->newest.geometry.members; i++)
        active += assembly->given[i] != RAID_NO_MEMBER &&
                  assembly->newest.member[i].state == RAID_MEMBER_ACTIVE;
    return active;
}

static const char *array_state(const struct raid_assembly *assembly)
{
    const struct raid_geometry *geometry = &assembly->newest.geometry;
    unsigned active = active_count(assembly);
    if (assembly->diverged)
        return "diverged";
    if (active < raid_members_needed(geometry))
        return "unusable";
    return active == geometry->members ? "optimal" : "degraded";
}

static void print_uuid(struct buffer *out, const uint8_t uuid[16])
{
    for (unsigned i = 0; i < 16; i++)
        buffer_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static const char *path_of(
    const struct raid_assembly *assembly, const char *const *paths, unsigned role)
{
    return assembly->given[role] == RAID_NO_MEMBER ? NULL : paths[assembly->given[role]];
}

static void print_array(
    struct buffer *out, const struct raid_assembly *assembly, const char *const *paths)
{
    const struct raid_superblock *super = &assembly->newest;
    const struct raid_geometry *geometry = &super->geometry;
    buffer_printf(out, "RAID %d%s%s: %s%s, %" PRIu64 " bytes, chunk %uK\n", (int)geometry->level,
        super->name[0] ? " " : "", super->name, array_state(assembly),
        super->clean ? "" : ", not stopped in order", geometry->sectors * BLOCK_SECTOR,
        geometry->chunk / 2);
    buffer_printf(out, "  uuid ");
    print_uuid(out, super->uuid);
    buffer_printf(out, ", event %" PRIu64 "%s\n", super->events, super->strict ? ", strict" : "");
    for (unsigned i = 0; i < geometry->members; i++) {
        const char *path = path_of(assembly, paths, i);
        buffer_printf(out, "  member %-2u %-10s %s", i,
            raid_member_state_name(super->member[i].state), path ? path : "(missing)");
        if (super->member[i].state == RAID_MEMBER_REBUILDING)
            buffer_printf(
                out, " (%" PRIu64 "%% done)", super->rebuilt * 100 / geometry->member_sectors);
        uint64_t bad = path ? assembly->candidate[assembly->given[i]].bad_sectors : 0;
        if (bad)
            buffer_printf(out, " (%" PRIu64 " bad sectors)", bad);
        buffer_printf(out, "\n");
    }
}

static void json_array(
    struct buffer *out, const struct raid_assembly *assembly, const char *const *paths)
{
    const struct raid_superblock *super = &assembly->newest;
    const struct raid_geometry *geometry = &super->geometry;
    buffer_printf(out, "{\"level\": %d, \"name\": ", (int)geometry->level);
    json_string(out, super->name);
    buffer_printf(out, ", \"uuid\": \"");
    print_uuid(out, super->uuid);
    buffer_printf(out,
        "\", \"state\": \"%s\", \"clean\": %s, \"strict\": %s, \"chunk\": %u, \"bytes\": %" PRIu64
        ", \"events\": %" PRIu64 ", \"missing\": %u, \"members\": [",
        array_state(assembly), super->clean ? "true" : "false", super->strict ? "true" : "false",
        geometry->chunk * BLOCK_SECTOR, geometry->sectors * BLOCK_SECTOR, super->events,
        assembly->missing);
    for (unsigned i = 0; i < geometry->members; i++) {
        const char *path = path_of(assembly, paths, i);
        buffer_printf(out,
            "%s{\"member\": %u, \"state\": \"%s\", \"bad_sectors\": %" PRIu64 ", \"file\": ",
            i ? ", " : "", i, raid_member_state_name(super->member[i].state),
            path ? assembly->candidate[assembly->given[i]].bad_sectors : 0);
        if (path)
            json_string(out, path);
        else
            buffer_printf(out, "null");
        buffer_printf(out, "}");
    }
    buffer_printf(out, "]}");
}

/* Files without a place in the array, and why. */
static void print_others(
    struct buffer *out, const struct raid_assembly *assembly, const char *const *paths, bool json)
{
    bool first = true;
    for (unsigned i = 0; i < assembly->count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        if (candidate->verdict == RAID_MEMBER_USED)
            continue;
        if (json) {
            buffer_printf(out, "%s{\"file\": ", first ? "" : ", ");
            json_string(out, paths[i]);
            buffer_printf(
                out, ", \"verdict\": \"%s\", \"reason\": ", verdict_name(candidate->verdict));
            json_string(out, candidate->reason.text);
            buffer_printf(out, "}");
        } else {
            buffer_printf(out, "  %s: %s\n", paths[i], candidate->reason.text);
        }
        first = false;
    }
}

int cli_raid_status(struct raid_arguments *arguments)
{
    struct raid_files *files = &arguments->files;
    struct raid_assembly *assembly = calloc(1, sizeof *assembly);
    struct buffer out = {0};
    struct error error = {0};
    int status = STATUS_ERROR;
    if (!assembly)
        error_set(&error, "out of memory");
    if (!assembly || raid_files_open(files, &(struct raw_options){.read_only = true}, &error) ||
        raid_examine(assembly, files->member, files->count, &error)) {
        (void)cli_fail(STATUS_ERROR, &error);
        goto done;
    }
    if (arguments->json) {
        buffer_printf(&out, "{\"array\": ");
        json_array(&out, assembly, files->path);
        buffer_printf(&out, ", \"others\": [");
        print_others(&out, assembly, files->path, true);
        buffer_printf(&out, "]}\n");
    } else {
        print_array(&out, assembly, files->path);
        print_others(&out, assembly, files->path, false);
    }
    if (cli_print(&out))
        status = STATUS_OK;
done:
    buffer_free(&out);
    free(assembly);
    return status;
}

static void print_disk_option(
    struct buffer *out, const struct raid_assembly *assembly, const char *const *paths)
{
    const struct raid_geometry *geometry = &assembly->newest.geometry;
    buffer_printf(
        out, "  use: --disk raid=%d,chunk=%uK", (int)geometry->level, geometry->chunk / 2);
    for (unsigned i = 0; i < geometry->members; i++) {
        const char *path = path_of(assembly, paths, i);
        if (path)
            buffer_printf(out, ",file=%s", path);
    }
    buffer_printf(out, "%s\n", assembly->missing ? ",degraded=on" : "");
}

/* Array after array: the files that are foreign to one are looked at again for the next. */
static int sort_files(struct raid_files *files, struct raid_assembly *assembly, bool json,
    struct buffer *out, struct error *error)
{
    struct raid_member members[RAID_MAX_FILES];
    const char *paths[RAID_MAX_FILES];
    unsigned count = files->count, arrays = 0;
    memcpy(members, files->member, sizeof members);
    memcpy(paths, files->path, sizeof paths);
    while (count) {
        if (raid_examine(assembly, members, count, error)) {
            if (arrays == 0)
                return -1;
            break;
        }
        if (json) {
            buffer_printf(out, "%s", arrays ? ", " : "");
            json_array(out, assembly, paths);
        } else {
            print_array(out, assembly, paths);
            print_disk_option(out, assembly, paths);
        }
        unsigned left = 0;
        for (unsigned i = 0; i < count; i++) {
            const struct raid_candidate *candidate = &assembly->candidate[i];
            if (candidate->verdict == RAID_MEMBER_FOREIGN) {
                members[left] = members[i];
                paths[left++] = paths[i];
            } else if (candidate->verdict != RAID_MEMBER_USED && !json) {
                buffer_printf(out, "  not used: %s: %s\n", paths[i], candidate->reason.text);
            }
        }
        /* One that is foreign by its geometry alone is so to every array. */
        if (left == count)
            break;
        count = left;
        arrays++;
    }
    return 0;
}

int cli_raid_assemble(struct raid_arguments *arguments)
{
    struct raid_files *files = &arguments->files;
    struct raid_assembly *assembly = calloc(1, sizeof *assembly);
    struct buffer out = {0};
    struct error error = {0};
    int status = STATUS_ERROR;
    if (!assembly)
        error_set(&error, "out of memory");
    if (arguments->json)
        buffer_printf(&out, "[");
    if (!assembly || raid_files_open(files, &(struct raw_options){.read_only = true}, &error) ||
        sort_files(files, assembly, arguments->json, &out, &error)) {
        (void)cli_fail(STATUS_ERROR, &error);
        goto done;
    }
    if (arguments->json)
        buffer_printf(&out, "]\n");
    if (cli_print(&out))
        status = STATUS_OK;
done:
    buffer_free(&out);
    free(assembly);
    return status;
}
