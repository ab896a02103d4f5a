/* Rows of a degraded RAID 5 that hold the missing member's data in the parity's place. */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "memory_member.h"

enum { MEMBERS = 4, CHUNK = 8, OUT = 1, LONGEST = 64 };

struct fixture {
    struct power power;
    struct memory_member store[MEMBERS + 1];
    struct raid_array *array;
    struct block_device *disk;
    uint64_t *version; /* acknowledged, by sector */
    unsigned accesses[RAID_IO_FLUSH + 1];
    uint8_t buffer[LONGEST * 512];
};

static void see_access(void *context, const struct raid_member_io *io)
{
    struct fixture *f = context;
    f->accesses[io->kind]++;
}

static void assemble(struct fixture *f, bool keep_parity)
{
    struct raid_member members[MEMBERS + 1];
    struct raid_superblock super;
    struct error error = {0};
    unsigned count = 0;
    for (unsigned i = 0; i <= MEMBERS; i++) {
        if (raid_superblock_read(&f->store[i].member, &super, NULL) == 0)
            members[count++] = f->store[i].member;
    }
    const struct raid_options options = {.keep_parity = keep_parity,
        .allow_missing = true,
        .observer = {.context = f, .member_io = see_access}};
    f->array = raid_assemble(members, count, &options, &error);
    if (!f->array)
        fail_msg("%s", error.text);
    f->disk = raid_block_device(f->array);
}

static bool write_version(struct fixture *f, uint64_t lba, uint32_t count, uint64_t version)
{
    for (uint32_t i = 0; i < count; i++)
        fill_sector(f->buffer + (size_t)i * 512, lba + i, version);
    if (f->disk->ops->write(f->disk->object, lba, count, f->buffer))
        return false;
    for (uint32_t i = 0; i < count; i++)
        f->version[lba + i] = version;
    return true;
}

/* A complete array with content, of which a member then fails. */
static void start(struct fixture *f, uint64_t rows, uint64_t region, bool cached, bool keep_parity)
{
    *f = (struct fixture){.power = {.writes_left = UINT64_MAX, .seed = 7, .cached = cached}};
    struct raid_member members[MEMBERS];
    struct error error = {0};
    const struct raid_create create = {
        .level = RAID_5, .chunk = CHUNK * 512, .region = region * 512, .uuid = {3}};
    for (unsigned i = 0; i <= MEMBERS; i++)
        memory_member_init(&f->store[i], &f->power, rows + RAID_METADATA_SECTORS);
    for (unsigned i = 0; i < MEMBERS; i++)
        members[i] = f->store[i].member;
    if (raid_create(&create, members, MEMBERS, &error))
        fail_msg("%s", error.text);
    assemble(f, keep_parity);
    f->version = calloc(f->disk->sectors, 8);
    assert_non_null(f->version);
    for (uint64_t lba = 0; lba < f->disk->sectors; lba += CHUNK)
        assert_true(write_version(f, lba, CHUNK, 1));
    assert_int_equal(raid_stop(f->array), BLOCK_OK);
    assert_true(raid_fail(f->array, OUT));
}

static void finish(struct fixture *f)
{
    raid_free(f->array);
    free(f->version);
    for (unsigned i = 0; i <= MEMBERS; i++)
        memory_member_free(&f->store[i]);
}

static void crash(struct fixture *f)
{
    raid_free(f->array);
    f->array = NULL;
    power_on(&f->power, f->store, MEMBERS + 1);
    assemble(f, false);
}

static void expect_content(struct fixture *f, uint64_t but)
{
    for (uint64_t lba = 0; lba < f->disk->sectors; lba++) {
        if (lba == but)
            continue;
        assert_int_equal(f->disk->ops->read(f->disk->object, lba, 1, f->buffer), BLOCK_OK);
        if (sector_version(f->buffer, lba) != f->version[lba])
            fail_msg("sector %" PRIu64 " has version %" PRIu64 " and not %" PRIu64, lba,
                sector_version(f->buffer, lba), f->version[lba]);
    }
}

static int rebuild(struct fixture *f)
{
    struct error error;
    int more = raid_replace(f->array, OUT, &f->store[MEMBERS].member, &error) ? -1 : 1;
    while (more > 0)
        more = raid_rebuild_step(f->array, 3, &error);
    return more;
}

static void expect_parity(struct fixture *f)
{
    struct raid_scrub scrub = {0};
    struct error error;
    while (raid_scrub_step(f->array, &scrub, 16, &error) == 1)
        ;
    assert_int_equal(scrub.mismatches, 0);
    assert_int_equal(raid_status(f->array)->fold, 0);
}

/* The volume sector that is on this member at a row. */
static uint64_t sector_at(const struct fixture *f, unsigned member, uint64_t row)
{
    const struct raid_geometry *geometry = &raid_status(f->array)->geometry;
    struct raid_location at;
    for (uint64_t lba = 0; lba < f->disk->sectors; lba++) {
        raid_locate(geometry, lba, &at);
        if (at.member == member && at.lba == row)
            return lba;
    }
    fail_msg("no sector there");
    return 0;
}

static void a_write_to_folded_rows_is_one_access(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 64, 16, false, false);
    for (uint64_t lba = 0; lba < f.disk->sectors; lba += CHUNK)
        assert_true(write_version(&f, lba, CHUNK, 2));
    memset(f.accesses, 0, sizeof f.accesses);
    for (uint64_t lba = 0; lba < f.disk->sectors; lba += CHUNK)
        assert_true(write_version(&f, lba, CHUNK, 3));
    assert_int_equal(f.accesses[RAID_IO_WRITE], f.disk->sectors / CHUNK);
    assert_int_equal(f.accesses[RAID_IO_READ] + f.accesses[RAID_IO_FLUSH], 0);
    expect_content(&f, UINT64_MAX);
    crash(&f);
    expect_content(&f, UINT64_MAX);
    finish(&f);
}

/* A checkpoint goes back to before rows were folded, and forward again. */
static void a_checkpoint_knows_what_is_folded(void **state)
{
    (void)state;
    static struct fixture f;
    struct buffer before = {0}, after = {0}, again = {0};
    struct reader in;
    start(&f, 64, 16, false, false);
    raid_save(f.array, &before);
    assert_true(write_version(&f, 0, 40, 2));
    raid_save(f.array, &after);
    reader_init(&in, before.data, before.size);
    raid_restore(f.array, &in);
    assert_false(in.failed);
    assert_int_equal(raid_status(f.array)->fold, 0);
    reader_init(&in, after.data, after.size);
    raid_restore(f.array, &in);
    assert_false(in.failed);
    raid_save(f.array, &again);
    assert_int_equal(again.size, after.size);
    assert_memory_equal(again.data, after.data, after.size);
    expect_content(&f, UINT64_MAX);
    buffer_free(&before);
    buffer_free(&after);
    buffer_free(&again);
    finish(&f);
}

static void a_machine_that_keeps_parity_folds_nothing(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 64, 16, false, true);
    assert_true(write_version(&f, 0, 40, 2));
    assert_int_equal(raid_status(f.array)->fold, 0);
    expect_content(&f, UINT64_MAX);
    finish(&f);
}

static void a_rebuild_gives_parity_back(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 64, 16, false, false);
    assert_true(write_version(&f, 20, 50, 2));
    assert_int_not_equal(raid_status(f.array)->fold, 0);
    assert_int_equal(rebuild(&f), 0);
    expect_parity(&f);
    expect_content(&f, UINT64_MAX);
    assert_true(raid_fail(f.array, 2));
    expect_content(&f, UINT64_MAX);
    finish(&f);
}

/* Parity of a row that a crash finds in the journal must not come over the data in its place. */
static void rows_that_could_not_be_read_are_folded_later(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 64, 16, false, false);
    /* A sector nobody can give, until a write of it and of the missing member's own. */
    uint64_t row = 3, missing = sector_at(&f, OUT, row), unreadable = sector_at(&f, 2, row);
    f.store[2].bad[row] = BAD_UNTIL_WRITTEN;
    uint64_t low = missing < unreadable ? missing : unreadable;
    uint64_t high = missing < unreadable ? unreadable : missing;
    assert_true(write_version(&f, low, (uint32_t)(high - low) + 1, 2));
    assert_true(f.accesses[RAID_IO_FLUSH] > 0);
    assert_true(write_version(&f, low, 1, 3));
    memset(f.accesses, 0, sizeof f.accesses);
    assert_true(write_version(&f, missing, 1, 4));
    assert_int_equal(f.accesses[RAID_IO_WRITE], 1);
    crash(&f);
    expect_content(&f, UINT64_MAX);
    finish(&f);
}

/* It is the rebuild that copies it, before the place gets parity that cannot be computed. */
static void the_missing_sector_outlives_a_bad_one_in_its_row(void **state)
{
    (void)state;
    static struct fixture f;
    start(&f, 64, 16, false, false);
    assert_true(write_version(&f, 0, 40, 2));
    uint64_t row = 3, missing = sector_at(&f, OUT, row), bad = sector_at(&f, 2, row);
    f.store[2].bad[row] = BAD_FOR_GOOD;
    assert_int_equal(f.disk->ops->read(f.disk->object, bad, 1, f.buffer), BLOCK_EIO);
    assert_true(write_version(&f, missing, 1, 3));
    expect_content(&f, bad);
    assert_int_equal(rebuild(&f), 0);
    expect_content(&f, bad);
    assert_int_equal(f.disk->ops->read(f.disk->object, bad, 1, f.buffer), BLOCK_EIO);
    finish(&f);
}

/* Assembles after a bit of the map was flipped on so many members. */
static bool assemble_damaged(struct fixture *f, unsigned damaged, struct error *error)
{
    struct raid_member members[MEMBERS - 1];
    uint64_t map = ((f->store[0].sectors - 16) & ~UINT64_C(7)) - 280 + 129;
    unsigned count = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (i == OUT)
            continue;
        if (count < damaged)
            f->store[i].data[map * 512 + 32] ^= 1;
        members[count++] = f->store[i].member;
    }
    f->array = raid_assemble(members, count, &(struct raid_options){0}, error);
    if (f->array)
        f->disk = raid_block_device(f->array);
    return f->array;
}

static void a_damaged_map_is_had_from_the_others(void **state)
{
    (void)state;
    static struct fixture f;
    struct error error = {0};
    for (unsigned damaged = 1; damaged < MEMBERS; damaged++) {
        start(&f, 64, 16, false, false);
        assert_true(write_version(&f, 0, 40, 2));
        raid_free(f.array);
        f.array = NULL;
        if (assemble_damaged(&f, damaged, &error)) {
            assert_true(damaged < MEMBERS - 1);
            expect_content(&f, UINT64_MAX);
        } else {
            assert_int_equal(damaged, MEMBERS - 1);
            assert_non_null(strstr(error.text, "map of the rows"));
        }
        finish(&f);
    }
}

/* Folds, or folds and rebuilds, until power goes. False when that was never. */
static bool work(struct fixture *f, uint64_t cut, bool cached, bool unfold)
{
    enum { ROWS = 2048 + 512 };
    start(f, ROWS, 4096, cached, false);
    if (unfold)
        assert_true(write_version(f, 5, 3, 1));
    f->disk->ops->flush(f->disk->object);
    f->power.writes_left = cut;
    if (unfold)
        (void)rebuild(f);
    else
        (void)write_version(f, 5, 3, 1);
    return f->power.off;
}

/* Larger than what one entry of the journal speaks of. */
static void a_large_unit_is_folded_and_unfolded_whole_wherever_power_goes(void **state)
{
    (void)state;
    static struct fixture f;
    unsigned cuts = 0;
    for (unsigned mode = 0; mode < 4; mode++) {
        bool off = true;
        for (uint64_t cut = 0; off; cut += 1 + random_below(&f.power.seed, 60)) {
            off = work(&f, cut, mode & 1, mode & 2);
            crash(&f);
            expect_content(&f, UINT64_MAX);
            cuts++;
            finish(&f);
        }
    }
    printf("%u cuts\n", cuts);
    assert_true(cuts > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_to_folded_rows_is_one_access),
        cmocka_unit_test(a_checkpoint_knows_what_is_folded),
        cmocka_unit_test(a_machine_that_keeps_parity_folds_nothing),
        cmocka_unit_test(a_rebuild_gives_parity_back),
        cmocka_unit_test(rows_that_could_not_be_read_are_folded_later),
        cmocka_unit_test(the_missing_sector_outlives_a_bad_one_in_its_row),
        cmocka_unit_test(a_damaged_map_is_had_from_the_others),
        cmocka_unit_test(a_large_unit_is_folded_and_unfolded_whole_wherever_power_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
