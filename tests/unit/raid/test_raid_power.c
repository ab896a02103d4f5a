/*
 * Power is cut at every single member write of a random workload; after each cut the array is
 * assembled anew and every sector compared with what was acknowledged (or, when members have a
 * volatile cache, flushed). Where the level has redundancy, parity or mirrors must agree.
 *
 * Ways to lose power: all members come back; the array was degraded before, and puts the missing
 * member's data in the parity's place or keeps parity; a member goes at the same moment; members
 * have bad sectors; a rebuild or a scrub is at work. docs/raid.md says what is promised in each.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "memory_member.h"

enum { MEMBERS = 4, REQUESTS = 14, CHUNK = 4096, LONGEST = 60, LEVELS = 3 };
enum loss {
    LOSS_NONE,
    LOSS_BEFORE,
    LOSS_WITH_POWER,
    LOSS_REBUILDING,
    LOSS_SECTORS,   /* bad ones, on all members */
    LOSS_KEPT,      /* before, and the array keeps parity */
    LOSS_SCRUBBING, /* sectors that disagree or read badly are being repaired */
    LOSSES
};

struct request {
    uint64_t lba;
    uint32_t count; /* 0: flush */
};

struct run {
    enum raid_level level;
    enum loss loss;
    bool cached, strict;
    uint64_t seed, random;
    struct power power;
    struct memory_member store[MEMBERS + 1];
    struct raid_member members[MEMBERS];
    struct raid_array *array;
    struct block_device *disk;
    struct request request[REQUESTS];
    uint64_t *acknowledged; /* newest acknowledged version of each sector */
    uint64_t *flushed;      /* newest flushed version */
    uint8_t *unreadable;    /* by sector: nobody had noticed when power went */
    struct raid_scrub scrub;
    int under_way; /* request that power was cut in, or -1 */
    uint8_t buffer[LONGEST * 512];
};

static void fail_run(const struct run *run, uint64_t cut, const char *what, uint64_t sector)
{
    fail_msg("seed %" PRIu64 " RAID %d loss %d cached %d strict %d cut %" PRIu64 ": %s (sector "
             "%" PRIu64 ")",
        run->seed, (int)run->level, (int)run->loss, run->cached, run->strict, cut, what, sector);
}

static void scrub_all(struct run *run, uint64_t stripes, bool repair, uint64_t *mismatches)
{
    struct raid_scrub scrub = {.repair = repair};
    struct error error;
    while (raid_scrub_step(run->array, &scrub, stripes, &error) == 1)
        ;
    if (mismatches)
        *mismatches = scrub.mismatches;
}

/* At no row more than one member: all that was written can still be had. */
static void spoil_sectors(struct run *run)
{
    const struct raid_geometry *geometry = &raid_status(run->array)->geometry;
    for (uint64_t row = 0; row < geometry->member_sectors; row++) {
        if (random_below(&run->random, 6))
            continue;
        unsigned member = (unsigned)random_below(&run->random, MEMBERS);
        if (run->loss == LOSS_SECTORS)
            run->store[member].bad[row] = BAD_FOR_GOOD;
        else if (random_below(&run->random, 2))
            run->store[member].bad[row] = BAD_UNTIL_WRITTEN;
        else if (run->level == RAID_5)
            run->store[raid_parity_member(geometry, row / geometry->chunk)].data[row * 512] ^= 1;
        else
            run->store[1 + member % (MEMBERS - 1)].data[row * 512] ^= 1;
    }
    /* Which sectors are bad is known when power goes: see docs/raid.md on those that are not. */
    if (run->loss == LOSS_SECTORS)
        scrub_all(run, 4, false, NULL);
    for (unsigned i = 0; i < MEMBERS; i++)
        memcpy(run->store[i].stable, run->store[i].data, run->store[i].sectors * 512);
}

static void start(struct run *run, uint64_t seed)
{
    struct error error = {0};
    run->seed = run->random = seed;
    run->power = (struct power){.writes_left = UINT64_MAX, .seed = seed + 1, .cached = run->cached};
    for (unsigned i = 0; i <= MEMBERS; i++)
        memory_member_init(&run->store[i], &run->power, 6 * CHUNK / 512 + RAID_METADATA_SECTORS);
    for (unsigned i = 0; i < MEMBERS; i++)
        run->members[i] = run->store[i].member;
    struct raid_create create = {
        .level = run->level, .chunk = CHUNK, .region = CHUNK, .strict = run->strict};
    if (raid_create(&create, run->members, MEMBERS, &error))
        fail_msg("%s", error.text);
    const struct raid_options options = {.keep_parity = run->loss == LOSS_KEPT};
    run->array = raid_assemble(run->members, MEMBERS, &options, &error);
    if (!run->array)
        fail_msg("%s", error.text);
    run->disk = raid_block_device(run->array);
    run->acknowledged = calloc(run->disk->sectors, 8);
    run->flushed = calloc(run->disk->sectors, 8);
    run->unreadable = calloc(run->disk->sectors, 1);
    run->under_way = -1;
    /* Content to lose: version 1 everywhere, flushed. */
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        fill_sector(run->buffer, lba, 1);
        assert_int_equal(run->disk->ops->write(run->disk->object, lba, 1, run->buffer), BLOCK_OK);
        run->acknowledged[lba] = run->flushed[lba] = 1;
    }
    assert_int_equal(raid_stop(run->array), BLOCK_OK);
    if (run->loss == LOSS_BEFORE || run->loss == LOSS_KEPT || run->loss == LOSS_REBUILDING)
        assert_true(raid_fail(run->array, 1));
    if (run->loss == LOSS_SECTORS || run->loss == LOSS_SCRUBBING)
        spoil_sectors(run);
    run->scrub = (struct raid_scrub){.repair = true};
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct request *request = &run->request[i];
        request->lba = random_below(&run->random, run->disk->sectors);
        request->count = (uint32_t)random_below(&run->random, LONGEST) + 1;
        if (random_below(&run->random, 2))
            request->count = request->count % 12 + 1;
        if (request->count > run->disk->sectors - request->lba)
            request->count = (uint32_t)(run->disk->sectors - request->lba);
        if (random_below(&run->random, 5) == 0)
            request->count = 0;
    }
}

static void finish(struct run *run)
{
    raid_free(run->array);
    run->array = NULL;
    free(run->acknowledged);
    free(run->flushed);
    free(run->unreadable);
    for (unsigned i = 0; i <= MEMBERS; i++)
        memory_member_free(&run->store[i]);
}

/* Runs the workload until power goes. Versions are 2 and up, by request. */
static void work(struct run *run)
{
    struct error error;
    for (unsigned i = 0; i < REQUESTS && !run->power.off; i++) {
        const struct request *request = &run->request[i];
        if (run->loss == LOSS_REBUILDING) {
            if (i == 2)
                (void)raid_replace(run->array, 1, &run->store[MEMBERS].member, &error);
            if (i > 2 && !run->power.off)
                (void)raid_rebuild_step(run->array, 1, &error);
        }
        if (run->loss == LOSS_SCRUBBING)
            (void)raid_scrub_step(run->array, &run->scrub, 1, &error);
        if (run->power.off)
            return;
        if (request->count == 0) {
            if (run->disk->ops->flush(run->disk->object) == BLOCK_OK)
                memcpy(run->flushed, run->acknowledged, run->disk->sectors * 8);
            continue;
        }
        for (uint32_t j = 0; j < request->count; j++)
            fill_sector(run->buffer + (size_t)j * 512, request->lba + j, i + 2);
        if (run->disk->ops->write(run->disk->object, request->lba, request->count, run->buffer)) {
            run->under_way = (int)i;
            return;
        }
        for (uint32_t j = 0; j < request->count; j++)
            run->acknowledged[request->lba + j] = i + 2;
    }
}

static bool covers(const struct run *run, uint64_t version, uint64_t sector)
{
    const struct request *request = &run->request[version - 2];
    return sector >= request->lba && sector - request->lba < request->count;
}

static bool allowed(const struct run *run, uint64_t sector, uint64_t version)
{
    if (version == run->acknowledged[sector])
        return true;
    if (version >= 2 && (int)version - 2 == run->under_way)
        return covers(run, version, sector);
    /* A cache may have kept any unflushed write, or lost it. */
    return run->cached && version >= run->flushed[sector] && version <= run->acknowledged[sector] &&
           (version < 2 || covers(run, version, sector));
}

/* Before power is on again: sectors that can only be had from the others of their row. */
static void note_unreadable(struct run *run)
{
    const struct raid_geometry *geometry = &raid_status(run->array)->geometry;
    for (uint64_t lba = 0; run->level == RAID_5 && lba < run->disk->sectors; lba++) {
        struct raid_location at;
        raid_locate(geometry, lba, &at);
        run->unreadable[lba] =
            run->loss == LOSS_SCRUBBING && run->store[at.member].bad[at.lba] != 0;
    }
}

/* Some sector of this one's row has been written since the last flush. */
static bool row_in_flux(const struct run *run, uint64_t sector)
{
    const struct raid_geometry *geometry = &raid_status(run->array)->geometry;
    struct raid_location at, other;
    raid_locate(geometry, sector, &at);
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        raid_locate(geometry, lba, &other);
        if (other.lba == at.lba &&
            (run->acknowledged[lba] != run->flushed[lba] ||
                (run->under_way >= 0 && covers(run, (uint64_t)run->under_way + 2, lba))))
            return true;
    }
    return false;
}

/* The write under way replaces all data of this sector's row, and so has no journal entry. */
static bool whole_row_under_way(const struct run *run, uint64_t sector)
{
    const struct raid_geometry *geometry = &raid_status(run->array)->geometry;
    struct raid_location at, other;
    raid_locate(geometry, sector, &at);
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        raid_locate(geometry, lba, &other);
        if (other.lba == at.lba &&
            (run->under_way < 0 || !covers(run, (uint64_t)run->under_way + 2, lba)))
            return false;
    }
    return true;
}

/*
 * What docs/raid.md does not promise of a member lost with the power, or of a sector that turns out
 * unreadable afterwards: a whole-stripe write under way, and rows not flushed when members have a
 * cache. With strict everything is promised.
 */
static bool may_be_torn(const struct run *run, uint64_t sector)
{
    if (run->level != RAID_5 || run->strict ||
        (run->loss != LOSS_WITH_POWER && !run->unreadable[sector]))
        return false;
    if (whole_row_under_way(run, sector))
        return true;
    return run->cached && run->unreadable[sector] && row_in_flux(run, sector);
}

static unsigned again(struct run *run, uint64_t cut, struct raid_member *members)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (run->loss == LOSS_WITH_POWER && i == cut % MEMBERS)
            continue;
        /* Whichever of the failed one and its replacement the superblocks name is used. */
        members[count++] = run->store[i].member;
    }
    if (run->loss == LOSS_REBUILDING)
        members[count++] = run->store[MEMBERS].member;
    return count;
}

static void verify(struct run *run, uint64_t cut)
{
    struct raid_member members[MEMBERS + 1];
    struct raid_options options = {
        .allow_missing = run->loss == LOSS_WITH_POWER, .force = !run->strict};
    struct error error = {0};
    note_unreadable(run);
    raid_free(run->array);
    power_on(&run->power, run->store, MEMBERS + 1);
    unsigned count = again(run, cut, members);
    /* A replacement that power did not let become one is not a member yet. */
    struct raid_superblock superblock;
    if (run->loss == LOSS_REBUILDING &&
        raid_superblock_read(&members[count - 1], &superblock, NULL))
        count--;
    run->array = raid_assemble(members, count, &options, &error);
    if (!run->array)
        fail_run(run, cut, error.text, 0);
    run->disk = raid_block_device(run->array);
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        if (run->disk->ops->read(run->disk->object, lba, 1, run->buffer))
            fail_run(run, cut, "cannot be read", lba);
        uint64_t version = sector_version(run->buffer, lba);
        if (!allowed(run, lba, version) && !may_be_torn(run, lba))
            fail_run(run, cut, "has the wrong content", lba);
    }
    uint64_t mismatches;
    if (raid_degraded(run->array) || run->level == RAID_0)
        return;
    scrub_all(run, 4, true, &mismatches);
    if (mismatches && run->loss != LOSS_SCRUBBING)
        fail_run(run, cut, "members disagree", mismatches);
    scrub_all(run, 4, false, &mismatches);
    if (mismatches)
        fail_run(run, cut, "members disagree after a repair", mismatches);
}

static uint64_t cut_everywhere(struct run *run, uint64_t seed)
{
    start(run, seed);
    uint64_t before = run->power.writes;
    work(run);
    uint64_t writes = run->power.writes - before;
    finish(run);
    for (uint64_t cut = 0; cut < writes; cut++) {
        start(run, seed);
        run->power.writes_left = cut;
        work(run);
        assert_true(run->power.off);
        verify(run, cut);
        finish(run);
    }
    return writes;
}

static uint64_t first_seed, seeds;

static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    static struct run run;
    uint64_t cuts = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        static const enum raid_level levels[LEVELS] = {RAID_0, RAID_1, RAID_5};
        for (unsigned mode = 0; mode < LEVELS * LOSSES * 4; mode++) {
            run = (struct run){.level = levels[mode % LEVELS],
                .loss = (enum loss)(mode / LEVELS % LOSSES),
                .cached = mode / (LEVELS * LOSSES) & 1,
                .strict = mode / (LEVELS * LOSSES) & 2};
            if (run.level == RAID_0 && run.loss != LOSS_NONE)
                continue;
            if (run.level != RAID_5 && (run.strict || run.loss == LOSS_KEPT))
                continue;
            /* Power and a member at once, with a cache between: promised by strict only. */
            if (run.level == RAID_5 && run.loss == LOSS_WITH_POWER && run.cached && !run.strict)
                continue;
            cuts += cut_everywhere(&run, seed);
        }
    }
    printf("%" PRIu64 " cuts\n", cuts);
    assert_true(cuts > 1000);
}

/* The write leaves that sector's row half done, and its content has to be had from there. */
static void a_sector_found_unreadable_after_a_kill_keeps_its_content(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){.level = RAID_5, .loss = LOSS_SCRUBBING};
    assert_true(cut_everywhere(&run, 5) > 25);
}

/* Everything on the store fails once this many writes were done. */
static void break_at(struct run *run, unsigned store, uint64_t writes)
{
    run->store[store].breaks_at = run->power.writes + writes;
}

static unsigned lost_members(const struct run *run)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < MEMBERS; i++)
        lost += raid_status(run->array)->member[i].state != RAID_MEMBER_ACTIVE;
    return lost;
}

/* Every sector is right or an error. Returns how many could be read. `restarted`: after a new start
 * with a member missing, which strict alone lets find the rows of a whole-stripe write under way.
 */
static uint64_t expect_right_or_error(struct run *run, uint64_t cut, bool restarted)
{
    uint64_t readable = 0;
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        if (run->disk->ops->read(run->disk->object, lba, 1, run->buffer))
            continue;
        readable++;
        bool torn =
            restarted && run->level == RAID_5 && !run->strict && whole_row_under_way(run, lba);
        if (!torn && !allowed(run, lba, sector_version(run->buffer, lba)))
            fail_run(run, cut, "has the wrong content after two failures", lba);
    }
    return readable;
}

/*
 * One member fails at some write, another some writes later; the machine goes on. What is read is
 * right or an error; without the two the array is refused where the level needs one of them; and
 * when the second comes back as it was, there is all that was acknowledged.
 */
static void two_failures_give_the_right_content_or_an_error(void **state)
{
    (void)state;
    static struct run run;
    const enum loss losses[] = {LOSS_NONE, LOSS_BEFORE, LOSS_REBUILDING, LOSS_SECTORS, LOSS_KEPT};
    enum { WAYS = sizeof losses / sizeof losses[0] };
    uint64_t runs = 0, refused = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        for (unsigned mode = 0; mode < 2 * WAYS * 2; mode++) {
            for (uint64_t cut = 0;; cut += 3) {
                run = (struct run){.level = mode & 1 ? RAID_5 : RAID_1,
                    .loss = losses[mode / 2 % WAYS],
                    .strict = mode >= 2 * WAYS};
                start(&run, seed);
                uint64_t before = run.power.writes;
                unsigned first = (unsigned)random_below(&run.random, MEMBERS);
                unsigned second =
                    (first + 1 + (unsigned)random_below(&run.random, MEMBERS - 1)) % MEMBERS;
                break_at(&run, first, cut);
                break_at(&run, second, cut + random_below(&run.random, 40));
                work(&run);
                bool reached = run.power.writes - before > cut;
                (void)expect_right_or_error(&run, cut, false);
                bool failed = raid_failed(run.array);
                if (!failed && run.level == RAID_5)
                    assert_true(lost_members(&run) <= 2);
                struct raid_member members[MEMBERS + 1];
                struct raid_options options = {.allow_missing = true, .force = true};
                struct error error = {0};
                unsigned count = again(&run, cut, members);
                raid_free(run.array);
                run.array = NULL;
                for (unsigned pass = 0; pass < 2; pass++) {
                    struct raid_member there[MEMBERS + 1];
                    unsigned given = 0;
                    /* The second one comes back. */
                    if (pass) {
                        run.store[second].breaks_at = 0;
                        run.store[second].broken = false;
                    }
                    for (unsigned i = 0; i < count; i++) {
                        struct raid_superblock superblock;
                        if (raid_superblock_read(&members[i], &superblock, NULL) == 0)
                            there[given++] = members[i];
                    }
                    run.array = raid_assemble(there, given, &options, &error);
                    if (!run.array) {
                        refused++;
                        assert_true(error.text[0]);
                        continue;
                    }
                    run.disk = raid_block_device(run.array);
                    if (pass || !failed)
                        (void)expect_right_or_error(&run, cut, true);
                    raid_free(run.array);
                    run.array = NULL;
                }
                runs++;
                finish(&run);
                if (!reached)
                    break;
            }
        }
    }
    printf("%" PRIu64 " pairs of failures, %" PRIu64 " assemblies refused\n", runs, refused);
    assert_true(runs > 100 && refused > 0);
}

struct snapshot {
    uint8_t *data[MEMBERS + 1];
};

static void save_stores(const struct run *run, struct snapshot *snapshot)
{
    for (unsigned i = 0; i <= MEMBERS; i++) {
        size_t bytes = run->store[i].sectors * 512;
        snapshot->data[i] = snapshot->data[i] ? snapshot->data[i] : malloc(bytes);
        assert_non_null(snapshot->data[i]);
        memcpy(snapshot->data[i], run->store[i].data, bytes);
    }
}

/* Flips bits of one byte; then either the content is the model's, or the array says why not. */
static bool flip(
    struct run *run, const struct snapshot *snapshot, uint64_t cut, unsigned member, uint64_t at)
{
    struct raid_member members[MEMBERS + 1];
    struct error error = {0};
    for (unsigned i = 0; i <= MEMBERS; i++)
        memcpy(run->store[i].data, snapshot->data[i], run->store[i].sectors * 512);
    run->store[member].data[at] ^= (uint8_t)(1u << random_below(&run->random, 8));
    run->array =
        raid_assemble(members, again(run, cut, members), &(struct raid_options){0}, &error);
    if (!run->array) {
        if (!strstr(error.text, "the journal of member"))
            fail_run(run, cut, error.text, at);
        return false;
    }
    run->disk = raid_block_device(run->array);
    for (uint64_t lba = 0; lba < run->disk->sectors; lba++) {
        if (run->disk->ops->read(run->disk->object, lba, 1, run->buffer) ||
            !allowed(run, lba, sector_version(run->buffer, lba)))
            fail_run(run, cut, "has the wrong content after a flip", lba);
    }
    if (!raid_degraded(run->array)) {
        uint64_t mismatches;
        scrub_all(run, 4, false, &mismatches);
        if (mismatches)
            fail_run(run, cut, "members disagree after a flip", mismatches);
    }
    raid_free(run->array);
    run->array = NULL;
    return true;
}

/* Killed at some write, then one byte of journal or bitmap is another. */
static void a_flipped_byte_gives_the_right_content_or_a_refusal(void **state)
{
    (void)state;
    static struct run run;
    struct snapshot snapshot = {0};
    const enum loss losses[] = {LOSS_NONE, LOSS_BEFORE, LOSS_SECTORS, LOSS_KEPT};
    enum { WAYS = sizeof losses / sizeof losses[0] };
    const char *every = getenv("RAID_EVERY_BYTE");
    uint64_t flips = 0, refused = 0;
    for (unsigned mode = 0; mode < 2 * WAYS - 1; mode++) { /* mirrors have no parity to keep */
        for (uint64_t cut = 0;; cut += every ? 37 : 5) {
            run = (struct run){.level = mode < WAYS ? RAID_5 : RAID_1, .loss = losses[mode % WAYS]};
            start(&run, first_seed);
            run.power.writes_left = cut;
            work(&run);
            bool killed = run.power.off;
            raid_free(run.array);
            run.array = NULL;
            power_on(&run.power, run.store, MEMBERS + 1);
            save_stores(&run, &snapshot);
            uint64_t end = ((run.store[0].sectors - 16) & ~UINT64_C(7)) * 512;
            uint64_t first = end - 280 * 512, headers[] = {first, first + 136 * 512};
            for (uint64_t i = 0; killed && (every ? i < (end - first) * MEMBERS : i < 60); i++) {
                uint64_t at = first + random_below(&run.random, end - first);
                if (i % 3)
                    at = headers[i % 2] + random_below(&run.random, i % 3 == 1 ? 76 : 9 * 512);
                unsigned member = (unsigned)random_below(&run.random, MEMBERS);
                if (every) {
                    at = first + i / MEMBERS;
                    member = (unsigned)(i % MEMBERS);
                }
                flips++;
                refused += !flip(&run, &snapshot, cut, member, at);
            }
            finish(&run);
            if (!killed)
                break;
        }
    }
    for (unsigned i = 0; i <= MEMBERS; i++)
        free(snapshot.data[i]);
    printf("%" PRIu64 " flips, %" PRIu64 " refused\n", flips, refused);
    assert_true(flips > 1000 && refused > 0 && refused < flips / 4);
}

int main(int argc, char **argv)
{
    const char *count = getenv("RAID_POWER_SEEDS"), *seed = getenv("RAID_SEED");
    seeds = strtoull(argc > 1 ? argv[1] : count ? count : "2", NULL, 0);
    first_seed = strtoull(argc > 2 ? argv[2] : seed ? seed : "1", NULL, 0);
    printf("%" PRIu64 " workloads from seed %" PRIu64 "\n", seeds, first_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost),
        cmocka_unit_test(a_sector_found_unreadable_after_a_kill_keeps_its_content),
        cmocka_unit_test(two_failures_give_the_right_content_or_an_error),
        cmocka_unit_test(a_flipped_byte_gives_the_right_content_or_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
