/*
 * Random sequences of everything an array can be put through, against a flat model.
 *
 * The model is one version number per sector. Arguments or RAID_SEQUENCES, RAID_SEED set how many
 * sequences run and from which seed; a failing one is had again with its seed and a count of 1.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "memory_member.h"

enum { STORES = 9 }; /* one more than members: the spare */

struct bench {
    uint64_t seed, random;
    struct power power;
    struct memory_member store[STORES];
    unsigned stores, members;
    unsigned holder[RAID_MAX_MEMBERS]; /* store of each role */
    unsigned spare;
    struct raid_array *array;
    struct block_device *disk;
    enum raid_level level;
    bool strict;
    uint64_t *version; /* by sector */
    uint64_t next_version;
    uint8_t *buffer;
    char last[64];
};

static uint64_t below(struct bench *b, uint64_t limit)
{
    return random_below(&b->random, limit);
}

#define check(b, condition)                                                                 \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fail_msg("seed %" PRIu64 ", after '%s': %s", (b)->seed, (b)->last, #condition); \
        }                                                                                   \
    } while (0)

static void step(struct bench *b, const char *what)
{
    snprintf(b->last, sizeof b->last, "%s", what);
}

static void assemble(struct bench *b, unsigned without, struct raid_options options)
{
    struct raid_member given[RAID_MAX_MEMBERS];
    unsigned count = 0;
    struct error error = {0};
    for (unsigned i = 0; i < b->members; i++) {
        if (i != without && !b->store[b->holder[i]].broken)
            given[count++] = b->store[b->holder[i]].member;
    }
    for (unsigned i = 0; i + 1 < count; i++) {
        unsigned j = i + (unsigned)below(b, count - i);
        struct raid_member swap = given[i];
        given[i] = given[j];
        given[j] = swap;
    }
    b->array = raid_assemble(given, count, &options, &error);
    if (!b->array)
        fail_msg("seed %" PRIu64 ", after '%s': %s", b->seed, b->last, error.text);
    b->disk = raid_block_device(b->array);
}

static void pick_range(struct bench *b, uint64_t *lba, uint32_t *count)
{
    uint64_t limit = below(b, 4) ? 24 : 600;
    *lba = below(b, b->disk->sectors);
    *count = (uint32_t)below(b, limit) + 1;
    if (*count > b->disk->sectors - *lba)
        *count = (uint32_t)(b->disk->sectors - *lba);
}

static void expect_range(struct bench *b, uint64_t lba, uint32_t count)
{
    check(b, b->disk->ops->read(b->disk->object, lba, count, b->buffer) == BLOCK_OK);
    for (uint32_t i = 0; i < count; i++)
        check(b, sector_version(b->buffer + (size_t)i * 512, lba + i) == b->version[lba + i]);
}

static void expect_everything(struct bench *b)
{
    for (uint64_t lba = 0; lba < b->disk->sectors;) {
        uint32_t count = b->disk->sectors - lba < 600 ? (uint32_t)(b->disk->sectors - lba) : 600;
        expect_range(b, lba, count);
        lba += count;
    }
}

static void fill(struct bench *b, uint64_t lba, uint32_t count, uint64_t version)
{
    for (uint32_t i = 0; i < count; i++)
        fill_sector(b->buffer + (size_t)i * 512, lba + i, version);
}

static void do_write(struct bench *b)
{
    uint64_t lba, version = b->next_version++;
    uint32_t count;
    pick_range(b, &lba, &count);
    fill(b, lba, count, version);
    check(b, b->disk->ops->write(b->disk->object, lba, count, b->buffer) == BLOCK_OK);
    for (uint32_t i = 0; i < count; i++)
        b->version[lba + i] = version;
}

static void do_zero(struct bench *b)
{
    uint64_t lba;
    uint32_t count;
    pick_range(b, &lba, &count);
    check(b, b->disk->ops->write_zeroes(b->disk->object, lba, count, true) == BLOCK_OK);
    for (uint32_t i = 0; i < count; i++)
        b->version[lba + i] = 0;
}

static void do_discard(struct bench *b)
{
    uint64_t lba;
    uint32_t count;
    pick_range(b, &lba, &count);
    check(b, b->disk->ops->discard(b->disk->object, lba, count) == BLOCK_OK);
    check(b, b->disk->ops->read(b->disk->object, lba, count, b->buffer) == BLOCK_OK);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t now = sector_version(b->buffer + (size_t)i * 512, lba + i);
        check(b, now == 0 || now == b->version[lba + i]);
        b->version[lba + i] = now;
    }
}

static unsigned active_members(const struct bench *b)
{
    unsigned active = 0;
    for (unsigned i = 0; i < b->members; i++)
        active += raid_status(b->array)->member[i].state == RAID_MEMBER_ACTIVE;
    return active;
}

static bool rebuilding(const struct bench *b)
{
    for (unsigned i = 0; i < b->members; i++) {
        if (raid_status(b->array)->member[i].state == RAID_MEMBER_REBUILDING)
            return true;
    }
    return false;
}

static bool can_lose_one(const struct bench *b)
{
    return b->level == RAID_5 ? active_members(b) == b->members
                              : b->level == RAID_1 && active_members(b) > 1;
}

static bool any_bad(const struct bench *b)
{
    for (unsigned i = 0; i < b->members; i++) {
        const struct memory_member *m = &b->store[b->holder[i]];
        if (raid_bad_sectors(b->array, i) || memory_bad(m, 0, (uint32_t)m->sectors, 1))
            return true;
    }
    return false;
}

/* What is bad may be lost together with a member: everything is good again before that. */
static void mend_all(struct bench *b)
{
    struct raid_scrub scrub = {.repair = true};
    struct error error = {0};
    if (b->level == RAID_0 || raid_degraded(b->array))
        return;
    for (unsigned i = 0; i < b->members; i++) {
        struct memory_member *m = &b->store[b->holder[i]];
        for (uint64_t lba = 0; lba < m->sectors; lba++)
            m->bad[lba] = m->bad[lba] ? BAD_UNTIL_WRITTEN : 0;
    }
    while (raid_scrub_step(b->array, &scrub, 3, &error) == 1)
        ;
    check(b, scrub.mismatches == 0 && scrub.bad == 0);
    check(b, !any_bad(b));
}

/* Some sectors go bad, at each row of at most as many members as the level can do without. */
static void do_bad(struct bench *b)
{
    const struct raid_geometry *geometry = &raid_status(b->array)->geometry;
    if (b->level == RAID_0 || raid_degraded(b->array))
        return;
    for (uint64_t i = below(b, 12) + 1; i > 0; i--) {
        uint64_t lba = below(b, geometry->member_sectors);
        unsigned member = (unsigned)below(b, b->members), bad = 0;
        uint32_t run = (uint32_t)below(b, 5) + 1;
        for (; run && lba < geometry->member_sectors; run--, lba++, bad = 0) {
            for (unsigned j = 0; j < b->members; j++)
                bad += j != member && b->store[b->holder[j]].bad[lba] != 0;
            if (bad < b->members - (b->level == RAID_5 ? b->members - 1 : 1))
                b->store[b->holder[member]].bad[lba] =
                    below(b, 2) ? BAD_UNTIL_WRITTEN : BAD_FOR_GOOD;
        }
    }
    switch (below(b, 3)) {
    case 0:
        for (unsigned i = 0; i < 4; i++)
            do_write(b);
        break;
    case 1:
        do_zero(b);
        break;
    default:
        break;
    }
    expect_everything(b);
    check(b, !raid_degraded(b->array));
}

/* By command, or by a store that stops working, noticed at the next access. */
static void do_fail(struct bench *b)
{
    unsigned member = (unsigned)below(b, b->members);
    if (!can_lose_one(b) || raid_status(b->array)->member[member].state != RAID_MEMBER_ACTIVE)
        return;
    mend_all(b);
    switch (below(b, 3)) {
    case 0:
        check(b, raid_fail(b->array, member));
        break;
    case 1:
        b->store[b->holder[member]].broken = true;
        do_write(b);
        check(b, b->disk->ops->flush(b->disk->object) == BLOCK_OK);
        break;
    default:
        b->store[b->holder[member]].bad_lba =
            below(b, raid_status(b->array)->geometry.member_sectors);
        expect_everything(b);
        for (unsigned i = 0; i < 4; i++)
            do_write(b);
        if (raid_status(b->array)->member[member].state != RAID_MEMBER_FAILED)
            check(b, raid_fail(b->array, member));
        b->store[b->holder[member]].bad_lba = UINT64_MAX;
        break;
    }
    check(b, raid_status(b->array)->member[member].state == RAID_MEMBER_FAILED);
    check(b, !raid_failed(b->array));
}

static void do_replace(struct bench *b)
{
    struct error error = {0};
    if (b->level == RAID_0 || rebuilding(b))
        return;
    for (unsigned i = 0; i < b->members; i++) {
        if (raid_status(b->array)->member[i].state != RAID_MEMBER_FAILED)
            continue;
        unsigned old = b->holder[i];
        b->store[b->spare].broken = false;
        b->store[b->spare].bad_lba = UINT64_MAX;
        memset(b->store[b->spare].bad, 0, b->store[b->spare].sectors);
        /* The replacement may hold anything. */
        memset(b->store[b->spare].data, (int)below(b, 256), b->store[b->spare].sectors * 512);
        check(b, raid_replace(b->array, i, &b->store[b->spare].member, &error) == 0);
        b->holder[i] = b->spare;
        b->spare = old;
        return;
    }
}

static void do_rebuild(struct bench *b, bool whole)
{
    struct error error = {0};
    int more;
    do {
        more = raid_rebuild_step(b->array, below(b, 4) + 1, &error);
        if (more < 0)
            fail_msg("seed %" PRIu64 ": %s", b->seed, error.text);
    } while (whole && more);
}

static void do_scrub(struct bench *b)
{
    struct raid_scrub scrub = {.repair = below(b, 2)};
    struct error error = {0};
    int more;
    if (b->level == RAID_0 || raid_degraded(b->array)) {
        check(b, raid_scrub_step(b->array, &scrub, 1, &error) == -1 && error.text[0]);
        return;
    }
    while ((more = raid_scrub_step(b->array, &scrub, 3, &error)) == 1)
        ;
    check(b, more == 0);
    check(b, scrub.mismatches == 0);
}

/* A silent flip where redundancy tells which copy is right: parity, or one of three mirrors. */
static void do_corrupt(struct bench *b)
{
    const struct raid_geometry *geometry = &raid_status(b->array)->geometry;
    struct error error = {0};
    if (raid_degraded(b->array) || b->level == RAID_0 || (b->level == RAID_1 && b->members < 3))
        return;
    mend_all(b);
    uint64_t lba = below(b, geometry->member_sectors);
    unsigned member = b->level == RAID_5 ? raid_parity_member(geometry, lba / geometry->chunk)
                                         : (unsigned)below(b, b->members);
    b->store[b->holder[member]].data[lba * 512 + below(b, 512)] ^= (uint8_t)(1u << below(b, 8));
    for (unsigned pass = 0; pass < 3; pass++) {
        struct raid_scrub scrub = {.repair = pass == 1};
        while (raid_scrub_step(b->array, &scrub, 7, &error) == 1)
            ;
        check(b, scrub.mismatches == (pass < 2) && scrub.repaired == (pass == 1));
        check(b, pass == 2 || scrub.first_mismatch == lba);
    }
}

static void do_restart(struct bench *b)
{
    check(b, raid_stop(b->array) == BLOCK_OK);
    raid_free(b->array);
    assemble(b, RAID_NO_MEMBER, (struct raid_options){0});
}

/* Power goes at some member write of a request; what was acknowledged must be there. */
static void do_power_cut(struct bench *b)
{
    uint64_t lba, version = b->next_version++;
    uint32_t count;
    pick_range(b, &lba, &count);
    bool zero = below(b, 5) == 0, complete = !raid_degraded(b->array);
    /* A bad sector that nobody knows of counts as a member lost with the power: all are known. */
    if (b->level != RAID_0 && complete)
        do_scrub(b);
    bool losable = !any_bad(b);
    fill(b, lba, count, zero ? 0 : version);
    b->power.writes_left = below(b, 12);
    enum block_status status = zero ? b->disk->ops->write_zeroes(b->disk->object, lba, count, true)
                                    : b->disk->ops->write(b->disk->object, lba, count, b->buffer);
    if (status == BLOCK_OK) {
        for (uint32_t i = 0; i < count; i++)
            b->version[lba + i] = zero ? 0 : version;
        b->power.off = true;
    }
    raid_free(b->array);
    power_on(&b->power, b->store, b->stores);
    /* A member may go with the power; RAID 5 then promises less about what was under way. */
    unsigned without = RAID_NO_MEMBER;
    if (complete && b->level == RAID_5 && losable && below(b, 3) == 0)
        without = (unsigned)below(b, b->members);
    assemble(b, without,
        (struct raid_options){.allow_missing = without != RAID_NO_MEMBER, .force = !b->strict});
    check(b, b->disk->ops->read(b->disk->object, lba, count, b->buffer) == BLOCK_OK);
    bool torn = without != RAID_NO_MEMBER && !b->strict;
    for (uint32_t i = 0; i < count && status != BLOCK_OK; i++) {
        uint64_t now = sector_version(b->buffer + (size_t)i * 512, lba + i);
        if (torn && now == UINT64_MAX) {
            fill_sector(b->buffer, lba + i, 0);
            check(b, b->disk->ops->write(b->disk->object, lba + i, 1, b->buffer) == BLOCK_OK);
            check(b, b->disk->ops->read(b->disk->object, lba, count, b->buffer) == BLOCK_OK);
            now = 0;
        }
        check(b, now == b->version[lba + i] || now == (zero ? 0 : version) || torn);
        b->version[lba + i] = now;
    }
    expect_everything(b);
    do_scrub(b);
}

/* More failures than the level survives: errors, never wrong data, and no write is accepted. */
static void lose_too_much(struct bench *b)
{
    mend_all(b);
    unsigned first = (unsigned)below(b, b->members);
    unsigned lost = b->level == RAID_0 ? 1 : b->level == RAID_5 ? 2 : b->members;
    for (unsigned i = 0; i < lost; i++)
        (void)raid_fail(b->array, (first + i) % b->members);
    check(b, raid_failed(b->array));
    uint64_t writes = b->power.writes;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t lba;
        uint32_t count;
        pick_range(b, &lba, &count);
        fill(b, lba, count, b->next_version++);
        check(b, b->disk->ops->write(b->disk->object, lba, count, b->buffer) == BLOCK_EIO);
        check(b, b->disk->ops->write_zeroes(b->disk->object, lba, count, true) == BLOCK_EIO);
        check(b, b->disk->ops->discard(b->disk->object, lba, count) == BLOCK_EIO);
        check(b, b->disk->ops->flush(b->disk->object) == BLOCK_EIO);
        if (b->disk->ops->read(b->disk->object, lba, count, b->buffer) == BLOCK_OK) {
            check(b, b->level != RAID_1);
            for (uint32_t j = 0; j < count; j++)
                check(
                    b, sector_version(b->buffer + (size_t)j * 512, lba + j) == b->version[lba + j]);
        }
    }
    check(b, b->power.writes == writes);
    check(b, raid_stop(b->array) == BLOCK_EIO);
}

static void do_save_restore(struct bench *b)
{
    struct buffer saved = {0}, again = {0};
    struct reader reader;
    raid_save(b->array, &saved);
    reader_init(&reader, saved.data, saved.size);
    raid_restore(b->array, &reader);
    check(b, !reader.failed && reader_left(&reader) == 0);
    raid_save(b->array, &again);
    check(b, again.size == saved.size && memcmp(again.data, saved.data, saved.size) == 0);
    buffer_free(&saved);
    buffer_free(&again);
}

static void random_operation(struct bench *b)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *b);
        unsigned weight;
    } operations[] = {
        {"write", do_write, 12},
        {"zero", do_zero, 2},
        {"discard", do_discard, 2},
        {"fail", do_fail, 3},
        {"replace", do_replace, 3},
        {"scrub", do_scrub, 1},
        {"corrupt", do_corrupt, 1},
        {"restart", do_restart, 1},
        {"power cut", do_power_cut, 3},
        {"bad sectors", do_bad, 3},
        {"save and restore", do_save_restore, 1},
    };
    uint64_t roll = below(b, 39);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (roll < operations[i].weight) {
            step(b, operations[i].name);
            operations[i].run(b);
            return;
        }
        roll -= operations[i].weight;
    }
    uint64_t lba;
    uint32_t count;
    switch (roll % 4) {
    case 0:
        step(b, "rebuild");
        do_rebuild(b, below(b, 3) == 0);
        break;
    case 1:
        step(b, "flush");
        check(b, b->disk->ops->flush(b->disk->object) == BLOCK_OK);
        break;
    default:
        step(b, "read");
        pick_range(b, &lba, &count);
        expect_range(b, lba, count);
        break;
    }
}

static void run_sequence(uint64_t seed)
{
    static const enum raid_level levels[] = {RAID_0, RAID_1, RAID_5, RAID_5};
    struct bench b = {.seed = seed, .random = seed * 0x2545f4914f6cdd1du + 1, .next_version = 1};
    struct error error = {0};
    b.level = levels[below(&b, 4)];
    unsigned minimum = b.level == RAID_5 ? 3 : 2;
    b.members = minimum + (unsigned)below(&b, 9 - minimum);
    b.strict = below(&b, 4) == 0;
    unsigned shift = below(&b, 50) == 0 ? (unsigned)below(&b, 9) : (unsigned)below(&b, 3);
    uint64_t chunk = 4096u << shift;
    uint64_t rows = shift > 4 ? 2 : 2 + below(&b, 12);
    uint64_t sectors = rows * chunk / 512 + RAID_METADATA_SECTORS + below(&b, 40);
    b.power = (struct power){.writes_left = UINT64_MAX, .seed = seed};
    b.stores = b.members + 1;
    b.spare = b.members;
    for (unsigned i = 0; i < b.stores; i++) {
        memory_member_init(&b.store[i], &b.power, sectors);
        b.holder[i < b.members ? i : 0] = i < b.members ? i : 0;
    }
    struct raid_member members[RAID_MAX_MEMBERS];
    for (unsigned i = 0; i < b.members; i++)
        members[i] = b.store[i].member;
    struct raid_create create = {
        .level = b.level, .chunk = chunk, .region = below(&b, 2) ? chunk : 0, .strict = b.strict};
    memcpy(create.uuid, &seed, sizeof seed);
    check(&b, raid_create(&create, members, b.members, &error) == 0);
    step(&b, "create");
    assemble(&b, RAID_NO_MEMBER, (struct raid_options){0});
    b.version = calloc(b.disk->sectors, sizeof *b.version);
    b.buffer = malloc((size_t)600 * 512 > chunk ? (size_t)600 * 512 : chunk);
    unsigned operations = 10 + (unsigned)below(&b, 40);
    for (unsigned i = 0; i < operations; i++)
        random_operation(&b);
    step(&b, "the end");
    if (b.level != RAID_0 && rebuilding(&b))
        do_rebuild(&b, true);
    expect_everything(&b);
    if (below(&b, 4) == 0)
        lose_too_much(&b);
    raid_free(b.array);
    free(b.version);
    free(b.buffer);
    for (unsigned i = 0; i < b.stores; i++)
        memory_member_free(&b.store[i]);
}

static uint64_t first_seed, sequences;

static void the_volume_equals_a_flat_model(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < sequences; i++)
        run_sequence(first_seed + i);
}

int main(int argc, char **argv)
{
    const char *count = getenv("RAID_SEQUENCES"), *seed = getenv("RAID_SEED");
    sequences = strtoull(argc > 1 ? argv[1] : count ? count : "1500", NULL, 0);
    first_seed = strtoull(argc > 2 ? argv[2] : seed ? seed : "1", NULL, 0);
    printf("%" PRIu64 " sequences from seed %" PRIu64 "\n", sequences, first_seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_volume_equals_a_flat_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
