/* Assembles an array from members by what their superblocks say. */
#include "devices/raid/array.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool same_array(const struct raid_superblock *a, const struct raid_superblock *b)
{
    return memcmp(a->uuid, b->uuid, 16) == 0;
}

static bool same_geometry(const struct raid_geometry *a, const struct raid_geometry *b)
{
    return a->level == b->level && a->members == b->members && a->chunk == b->chunk &&
           a->member_sectors == b->member_sectors;
}

/* The array that most of the given members belong to, the first one of equals. */
static unsigned choose_array(const struct raid_assembly *assembly)
{
    unsigned best = RAID_NO_MEMBER, most = 0;
    for (unsigned i = 0; i < assembly->count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        unsigned votes = 0;
        if (candidate->verdict == RAID_MEMBER_UNKNOWN)
            continue;
        for (unsigned j = 0; j < assembly->count; j++)
            votes += assembly->candidate[j].verdict != RAID_MEMBER_UNKNOWN &&
                     same_array(&candidate->superblock, &assembly->candidate[j].superblock);
        if (votes > most) {
            most = votes;
            best = i;
        }
    }
    return best;
}

static void judge(struct raid_assembly *assembly, unsigned number, const struct raid_member *member)
{
    struct raid_candidate *candidate = &assembly->candidate[number];
    const struct raid_superblock *own = &candidate->superblock, *newest = &assembly->newest;
    struct raid_bad_list list;
    if (!same_array(own, newest)) {
        candidate->verdict = RAID_MEMBER_FOREIGN;
        error_set(&candidate->reason, "belongs to another array (RAID %d%s%s)",
            (int)own->geometry.level, own->name[0] ? ", " : "", own->name);
        return;
    }
    if (!same_geometry(&own->geometry, &newest->geometry)) {
        candidate->verdict = RAID_MEMBER_FOREIGN;
        error_set(&candidate->reason, "is a RAID %d member, the others are RAID %d",
            (int)own->geometry.level, (int)newest->geometry.level);
        return;
    }
    unsigned role = own->role;
    if (newest->member[role].id != own->member[role].id) {
        candidate->verdict = RAID_MEMBER_STALE;
        error_set(
            &candidate->reason, "was replaced as member %u: no longer part of the array", role);
    } else if (newest->member[role].state == RAID_MEMBER_FAILED) {
        candidate->verdict = RAID_MEMBER_STALE;
        error_set(&candidate->reason,
            "failed as member %u earlier (event %" PRIu64 ", the array is at %" PRIu64
            "): out of date, rebuild it",
            role, own->events, newest->events);
    } else if (own->events < newest->since) {
        candidate->verdict = RAID_MEMBER_STALE;
        error_set(&candidate->reason,
            "is out of date as member %u (event %" PRIu64 ", the array is at %" PRIu64
            "), an older copy? Rebuild it",
            role, own->events, newest->events);
    } else if (assembly->given[role] != RAID_NO_MEMBER) {
        candidate->verdict = RAID_MEMBER_DUPLICATE;
        error_set(&candidate->reason, "is member %u, which is given already: a copy?", role);
    } else if (raid_bad_read(member, own, &list)) {
        candidate->verdict = RAID_MEMBER_STALE;
        error_set(&candidate->reason,
            "has lost its list of bad sectors as member %u: it cannot be trusted, rebuild it",
            role);
    } else {
        candidate->verdict = RAID_MEMBER_USED;
        candidate->bad_sectors = raid_bad_list_sectors(&list);
        assembly->given[role] = number;
    }
}

/* Used without the newest holder and the other way round: each says the other is out. */
static bool diverged_from(const struct raid_superblock *own, const struct raid_superblock *newest)
{
    return same_array(own, newest) && own->role != newest->role &&
           own->member[newest->role].id == newest->member[newest->role].id &&
           own->member[newest->role].state == RAID_MEMBER_FAILED;
}

int raid_examine(struct raid_assembly *assembly, const struct raid_member *members, unsigned count,
    struct error *error)
{
    *assembly = (struct raid_assembly){.count = count};
    if (count == 0)
        return error_set(error, "no members given");
    if (count > RAID_MAX_MEMBERS * 2)
        return error_set(error, "%u members given: at most %d can be sorted at once", count,
            RAID_MAX_MEMBERS * 2);
    for (unsigned i = 0; i < count; i++) {
        struct raid_candidate *candidate = &assembly->candidate[i];
        candidate->verdict =
            raid_superblock_read(&members[i], &candidate->superblock, &candidate->reason)
                ? RAID_MEMBER_UNKNOWN
                : RAID_MEMBER_USED;
    }
    unsigned chosen = choose_array(assembly);
    if (chosen == RAID_NO_MEMBER)
        return error_set(error, "none of the %u given is a member of an array; the first %s", count,
            assembly->candidate[0].reason.text);
    assembly->newest = assembly->candidate[chosen].superblock;
    for (unsigned i = 0; i < count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        if (candidate->verdict == RAID_MEMBER_USED &&
            same_array(&candidate->superblock, &assembly->newest) &&
            candidate->superblock.events > assembly->newest.events)
            assembly->newest = candidate->superblock;
    }
    memset(assembly->given, 0, sizeof assembly->given);
    for (unsigned i = 0; i < RAID_MAX_MEMBERS; i++)
        assembly->given[i] = RAID_NO_MEMBER;
    for (unsigned i = 0; i < count; i++) {
        if (assembly->candidate[i].verdict == RAID_MEMBER_UNKNOWN)
            continue;
        assembly->diverged |= diverged_from(&assembly->candidate[i].superblock, &assembly->newest);
        judge(assembly, i, &members[i]);
    }
    for (unsigned i = 0; i < assembly->newest.geometry.members; i++)
        assembly->missing += assembly->newest.member[i].state == RAID_MEMBER_ACTIVE &&
                             assembly->given[i] == RAID_NO_MEMBER;
    return 0;
}

/* Whether what was found makes an array that may be started. */
static int check(
    const struct raid_assembly *assembly, const struct raid_options *options, struct error *error)
{
    const struct raid_superblock *newest = &assembly->newest;
    for (unsigned i = 0; i < assembly->count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        if (candidate->verdict != RAID_MEMBER_USED && candidate->verdict != RAID_MEMBER_STALE)
            return error_set(error, "member %u as given %s", i, candidate->reason.text);
    }
    if (assembly->diverged)
        return error_set(error,
            "parts of the array were used separately and differ: give only the part to keep");
    unsigned active = 0, members = newest->geometry.members, first_missing = RAID_NO_MEMBER;
    for (unsigned i = 0; i < members; i++) {
        bool given = assembly->given[i] != RAID_NO_MEMBER;
        active += given && newest->member[i].state == RAID_MEMBER_ACTIVE;
        if (!given && newest->member[i].state == RAID_MEMBER_ACTIVE &&
            first_missing == RAID_NO_MEMBER)
            first_missing = i;
    }
    unsigned needed = raid_members_needed(&newest->geometry);
    if (active < needed)
        return error_set(error,
            "RAID %d of %u members needs %u that are up to date, and %u are here",
            (int)newest->geometry.level, members, needed, active);
    if (first_missing == RAID_NO_MEMBER || options->allow_missing)
        return 0;
    for (unsigned i = 0; i < assembly->count; i++) {
        const struct raid_candidate *candidate = &assembly->candidate[i];
        const struct raid_superblock *own = &candidate->superblock;
        if (own->role == first_missing &&
            own->member[own->role].id == newest->member[first_missing].id)
            return error_set(error, "member %u as given %s", i, candidate->reason.text);
    }
    return error_set(error, "member %u of %u is missing: give it, or start the array degraded",
        first_missing, members);
}

static bool allocate_buffers(struct raid_array *array)
{
    size_t size = (size_t)array->super.geometry.chunk * BLOCK_SECTOR;
    if (size < JOURNAL_PAYLOAD * BLOCK_SECTOR)
        size = JOURNAL_PAYLOAD * BLOCK_SECTOR;
    array->parity = malloc(size);
    array->scratch = malloc(size);
    array->entry = malloc((JOURNAL_PAYLOAD + 1) * BLOCK_SECTOR);
    bool folds = array->super.geometry.level == RAID_5;
    array->fold = folds ? malloc((size_t)FOLD_PIECE * BLOCK_SECTOR) : NULL;
    return array->parity && array->scratch && array->entry && (array->fold || !folds);
}

/* Members that should be there and are not count as failed from here on. */
static bool mark_missing(struct raid_array *array)
{
    bool lost = false, absent = false;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (array->io[i].ops || array->super.member[i].state == RAID_MEMBER_FAILED)
            continue;
        absent = true;
        lost |= array->super.member[i].state == RAID_MEMBER_ACTIVE;
        if (array->super.member[i].state == RAID_MEMBER_REBUILDING)
            array->super.rebuilt = 0;
        array->super.member[i].state = RAID_MEMBER_FAILED;
    }
    array->rebuilt = array->super.rebuilt;
    /* An update cut short by a crash may have reached only a member that is missing now. Should it
     * come back, what happens from here on must count as newer. */
    if (absent)
        array->super.events++;
    return lost;
}

static int start(struct raid_array *array, const struct raid_options *options, struct error *error)
{
    bool lost = mark_missing(array);
    const struct raid_superblock *super = &array->super;
    if (lost && super->geometry.level == RAID_5 && !super->clean && !super->strict &&
        !options->force)
        return error_set(error, "the array was not stopped in order and a member is missing since: "
                                "sectors being written at that moment may be wrong; give the "
                                "member, or force");
    if (options->check && options->check(options->check_context, array, error))
        return -1;
    return raid_recover(array, lost, options, error);
}

struct raid_array *raid_assemble(const struct raid_member *members, unsigned count,
    const struct raid_options *options, struct error *error)
{
    struct raid_assembly *assembly = calloc(1, sizeof *assembly);
    struct raid_array *array = calloc(1, sizeof *array);
    if (!assembly || !array) {
        error_set(error, "out of memory for an array");
        goto fail;
    }
    if (raid_examine(assembly, members, count, error) || check(assembly, options, error))
        goto fail;
    array->super = assembly->newest;
    array->observer = options->observer;
    array->keep_parity = options->keep_parity;
    for (unsigned i = 0; i < array->super.geometry.members; i++) {
        if (assembly->given[i] != RAID_NO_MEMBER)
            array->io[i] = members[assembly->given[i]];
        if (array->io[i].ops &&
            raid_bad_read(&array->io[i], &assembly->candidate[assembly->given[i]].superblock,
                &array->bad[i])) {
            error_set(error, "the list of bad sectors of member %u cannot be read", i);
            goto fail;
        }
    }
    raid_array_init(array);
    if (!allocate_buffers(array)) {
        error_set(error, "out of memory for an array");
        goto fail;
    }
    if (raid_fold_load(array, error) || start(array, options, error))
        goto fail;
    free(assembly);
    return array;
fail:
    free(assembly);
    raid_free(array);
    return NULL;
}

void raid_free(struct raid_array *array)
{
    if (!array)
        return;
    free(array->parity);
    free(array->scratch);
    free(array->entry);
    free(array->fold);
    free(array);
}
