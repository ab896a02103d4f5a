/* Sectors that cannot be read or written: what an array does about them, sector by sector. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "memory_member.h"

enum { STORES = 5, DATA = 1024, SECTORS = DATA + RAID_METADATA_SECTORS, MOST = DATA * 3 };

struct bench {
    struct power power;
    struct memory_member store[STORES];
    struct raid_member members[STORES];
    unsigned count;
    struct raid_array *array;
    struct block_device *disk;
    uint8_t data[MOST * 512], back[MOST * 512];
};

static void open_array(struct bench *bench)
{
    struct error error = {0};
    bench->array = raid_assemble(bench->members, bench->count, &(struct raid_options){0}, &error);
    if (!bench->array)
        fail_msg("%s", error.text);
    bench->disk = raid_block_device(bench->array);
}

static struct bench *make(enum raid_level level, unsigned count)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct raid_create create = {.level = level, .chunk = 4096};
    struct error error = {0};
    bench->power.writes_left = UINT64_MAX;
    bench->count = count;
    for (unsigned i = 0; i < STORES; i++) {
        memory_member_init(&bench->store[i], &bench->power, SECTORS);
        bench->members[i] = bench->store[i].member;
    }
    assert_int_equal(raid_create(&create, bench->members, count, &error), 0);
    open_array(bench);
    for (uint64_t i = 0; i < bench->disk->sectors; i++)
        fill_sector(bench->data + i * 512, i, i + 1);
    assert_int_equal(bench->disk->ops->write(
                         bench->disk->object, 0, (uint32_t)bench->disk->sectors, bench->data),
        BLOCK_OK);
    return bench;
}

static void drop(struct bench *bench)
{
    raid_free(bench->array);
    for (unsigned i = 0; i < STORES; i++)
        memory_member_free(&bench->store[i]);
    free(bench);
}

static void again(struct bench *bench)
{
    raid_free(bench->array);
    open_array(bench);
}

static enum block_status read_at(struct bench *bench, uint64_t lba, uint32_t count)
{
    return bench->disk->ops->read(bench->disk->object, lba, count, bench->back);
}

static void expect_data(struct bench *bench)
{
    uint32_t all = (uint32_t)bench->disk->sectors;
    assert_int_equal(read_at(bench, 0, all), BLOCK_OK);
    assert_memory_equal(bench->back, bench->data, (size_t)all * 512);
}

static void expect_members(const struct bench *bench, unsigned active)
{
    unsigned found = 0;
    for (unsigned i = 0; i < bench->count; i++)
        found += raid_status(bench->array)->member[i].state == RAID_MEMBER_ACTIVE;
    assert_int_equal(found, active);
}

static void two_bad_sectors_in_different_stripes_of_raid_5_lose_nothing(void **state)
{
    (void)state;
    for (uint8_t kind = BAD_UNTIL_WRITTEN; kind <= BAD_FOR_GOOD; kind++) {
        struct bench *bench = make(RAID_5, 3);
        bench->store[0].bad[3] = kind;
        bench->store[1].bad[77] = kind;
        bench->store[2].bad[78] = kind;
        expect_data(bench);
        expect_members(bench, 3);
        /* They serve the rest, also for writing, and after the array was stopped or killed. */
        for (unsigned pass = 0; pass < 2; pass++) {
            for (uint64_t i = 0; i < bench->disk->sectors; i += 5) {
                fill_sector(bench->data + i * 512, i, i + 100000 + pass);
                assert_int_equal(
                    bench->disk->ops->write(bench->disk->object, i, 1, bench->data + i * 512),
                    BLOCK_OK);
            }
            if (pass)
                assert_int_equal(raid_stop(bench->array), BLOCK_OK);
            again(bench);
            expect_data(bench);
            expect_members(bench, 3);
        }
        drop(bench);
    }
}

static void a_sector_that_cannot_be_read_is_written_again(void **state)
{
    (void)state;
    static const enum raid_level levels[] = {RAID_1, RAID_5};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *bench = make(levels[i], 3);
        bench->store[0].bad[3] = bench->store[0].bad[4] = BAD_UNTIL_WRITTEN;
        expect_data(bench);
        assert_int_equal(bench->store[0].bad[3], 0);
        assert_int_equal(bench->store[0].bad[4], 0);
        assert_int_equal(raid_bad_sectors(bench->array, 0), 0);
        expect_members(bench, 3);
        drop(bench);
    }
}

static void a_scrub_that_repairs_writes_bad_sectors_again(void **state)
{
    (void)state;
    struct error error;
    struct bench *bench = make(RAID_5, 4);
    bench->store[1].bad[9] = BAD_FOR_GOOD;
    bench->store[2].bad[10] = BAD_FOR_GOOD;
    for (unsigned pass = 0; pass < 4; pass++) {
        struct raid_scrub scrub = {.repair = pass != 1};
        int more;
        if (pass == 2)
            bench->store[1].bad[9] = BAD_UNTIL_WRITTEN;
        while ((more = raid_scrub_step(bench->array, &scrub, 3, &error)) == 1)
            ;
        assert_int_equal(more, 0);
        assert_int_equal(scrub.mismatches, 0);
        assert_int_equal(scrub.bad, pass < 2 ? 2 : 1);
        assert_int_equal(raid_bad_sectors(bench->array, 1), pass < 2);
        again(bench);
    }
    bench->store[2].bad[10] = 0;
    expect_data(bench);
    drop(bench);
}

static void a_member_whose_list_is_full_is_taken_out(void **state)
{
    (void)state;
    struct bench *bench = make(RAID_5, 3);
    for (unsigned i = 0; i < 400 && i * 2 < DATA; i++)
        bench->store[1].bad[i * 2] = BAD_FOR_GOOD;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < bench->disk->sectors; i++) {
            assert_int_equal(
                bench->disk->ops->write(bench->disk->object, i, 1, bench->data + i * 512),
                BLOCK_OK);
        }
        expect_data(bench);
        expect_members(bench, pass ? 2 : 3);
        for (unsigned i = 1; i < 400; i += 2)
            bench->store[1].bad[DATA - i] = BAD_FOR_GOOD;
    }
    drop(bench);
}

static void the_last_mirror_and_a_degraded_array_lose_only_the_sector(void **state)
{
    (void)state;
    static const enum raid_level levels[] = {RAID_1, RAID_5};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *bench = make(levels[i], i + 2);
        struct error error = {0};
        assert_true(raid_fail(bench->array, 1));
        bench->store[0].bad[3] = BAD_FOR_GOOD;
        /* Sector 3 of the volume is on member 0 in both. */
        assert_int_equal(read_at(bench, 3, 1), BLOCK_EIO);
        assert_int_equal(read_at(bench, 4, 4), BLOCK_OK);
        assert_memory_equal(bench->back, bench->data + 4 * 512, 4 * 512);
        assert_false(raid_failed(bench->array));
        /* A rebuild goes on past it. */
        assert_int_equal(raid_replace(bench->array, 1, &bench->members[4], &error), 0);
        bench->members[1] = bench->members[4];
        int more;
        while ((more = raid_rebuild_step(bench->array, 4, &error)) == 1)
            ;
        assert_int_equal(more, 0);
        expect_members(bench, bench->count);
        assert_int_equal(raid_bad_sectors(bench->array, 1), 1);
        again(bench);
        unsigned lost = 0;
        for (uint64_t lba = 0; lba < bench->disk->sectors; lba++) {
            if (read_at(bench, lba, 1))
                lost++;
            else
                assert_memory_equal(bench->back, bench->data + lba * 512, 512);
        }
        assert_int_equal(lost, levels[i] == RAID_1 ? 1 : 2);
        drop(bench);
    }
}

/* A list of which any byte is wrong is not believed, and its member not without it. */
static void a_member_that_has_lost_its_list_is_out_of_date(void **state)
{
    (void)state;
    struct bench *bench = make(RAID_5, 3);
    uint8_t *list = bench->store[1].data + (((SECTORS - 16) & ~7ull) + 9) * 512;
    bench->store[1].bad[5] = BAD_FOR_GOOD;
    expect_data(bench);
    assert_memory_equal(list, "HSRBAD1", 8);
    assert_int_equal(raid_stop(bench->array), BLOCK_OK);
    for (unsigned i = 0; i <= 512; i++) {
        struct raid_assembly assembly;
        struct error error;
        if (i < 512)
            list[i] ^= 0x40;
        else
            bench->store[1].bad[((SECTORS - 16) & ~7ull) + 9] = BAD_FOR_GOOD;
        assert_int_equal(raid_examine(&assembly, bench->members, 3, &error), 0);
        assert_int_equal(assembly.candidate[1].verdict, RAID_MEMBER_STALE);
        assert_non_null(strstr(assembly.candidate[1].reason.text, "list of bad sectors"));
        if (i < 512)
            list[i] ^= 0x40;
    }
    drop(bench);
}

static void a_bad_sector_under_the_metadata_is_survived_where_there_is_a_copy(void **state)
{
    (void)state;
    struct bench *bench = make(RAID_5, 3);
    uint64_t superblock = (SECTORS - 16) & ~7ull;
    raid_free(bench->array); /* as killed: the bitmap is read */
    bench->store[0].bad[superblock] = BAD_UNTIL_WRITTEN;
    bench->store[1].bad[superblock + 8] = BAD_UNTIL_WRITTEN;
    bench->store[2].bad[superblock - 8] = BAD_UNTIL_WRITTEN;
    open_array(bench);
    expect_data(bench);
    expect_members(bench, 3);
    drop(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_bad_sectors_in_different_stripes_of_raid_5_lose_nothing),
        cmocka_unit_test(a_sector_that_cannot_be_read_is_written_again),
        cmocka_unit_test(a_scrub_that_repairs_writes_bad_sectors_again),
        cmocka_unit_test(a_member_whose_list_is_full_is_taken_out),
        cmocka_unit_test(the_last_mirror_and_a_degraded_array_lose_only_the_sector),
        cmocka_unit_test(a_member_that_has_lost_its_list_is_out_of_date),
        cmocka_unit_test(a_bad_sector_under_the_metadata_is_survived_where_there_is_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
