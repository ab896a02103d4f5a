/*
 * Placement against tables written down from md's description of left-symmetric RAID 5 (parity
 * starts on the last member and moves left; data starts after the parity and wraps), and contents
 * of members against a second calculation that knows nothing of devices/raid/layout.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/parity.h"
#include "devices/raid/raid.h"
#include "memory_member.h"

enum { P = -1 };

static void left_symmetric_tables(void **state)
{
    (void)state;
    /* [stripe][member] = data chunk number */
    static const int three[3][3] = {{0, 1, P}, {3, P, 2}, {P, 4, 5}};
    static const int four[4][4] = {{0, 1, 2, P}, {4, 5, P, 3}, {8, P, 6, 7}, {P, 9, 10, 11}};
    static const int five[5][5] = {{0, 1, 2, 3, P}, {5, 6, 7, P, 4}, {10, 11, P, 8, 9},
        {15, P, 12, 13, 14}, {P, 16, 17, 18, 19}};
    for (unsigned members = 3; members <= 5; members++) {
        struct raid_geometry geometry;
        assert_int_equal(raid_geometry_init(&geometry, RAID_5, members, 8192, 1600, NULL), 0);
        for (unsigned stripe = 0; stripe < 3 * members; stripe++) {
            for (unsigned member = 0; member < members; member++) {
                unsigned round = stripe / members, row = stripe % members;
                int chunk = members == 3   ? three[row][member]
                            : members == 4 ? four[row][member]
                                           : five[row][member];
                if (chunk == P) {
                    assert_int_equal(raid_parity_member(&geometry, stripe), member);
                    continue;
                }
                uint64_t number = (uint64_t)chunk + (uint64_t)round * members * (members - 1);
                for (unsigned offset = 0; offset < 16; offset += 5) {
                    struct raid_location at;
                    raid_locate(&geometry, number * 16 + offset, &at);
                    assert_int_equal(at.stripe, stripe);
                    assert_int_equal(at.member, member);
                    assert_int_equal(at.lba, stripe * 16 + offset);
                    assert_int_equal(at.remaining, 16 - offset);
                    assert_int_equal(raid_data_member(&geometry, stripe, at.index), member);
                }
            }
        }
    }
}

static void sizes_are_rounded_as_md_does(void **state)
{
    (void)state;
    struct raid_geometry geometry;
    assert_int_equal(raid_geometry_init(&geometry, RAID_0, 3, 65536, 1000, NULL), 0);
    assert_int_equal(geometry.sectors, 3 * 896);
    assert_int_equal(raid_geometry_init(&geometry, RAID_5, 4, 65536, 1000, NULL), 0);
    assert_int_equal(geometry.sectors, 3 * 896);
    assert_int_equal(raid_geometry_init(&geometry, RAID_1, 4, 65536, 1001, NULL), 0);
    assert_int_equal(geometry.sectors, 1000);
}

/* Where byte content of the volume must be on the members: chunk by chunk, walking. */
static void check_members(enum raid_level level, unsigned n, uint64_t chunk, uint64_t rows)
{
    struct power power = {.writes_left = UINT64_MAX};
    struct memory_member store[8];
    struct raid_member members[8];
    struct error error = {0};
    uint64_t sectors = chunk / 512;
    for (unsigned i = 0; i < n; i++) {
        memory_member_init(&store[i], &power, rows * sectors + RAID_METADATA_SECTORS);
        members[i] = store[i].member;
    }
    struct raid_create create = {.level = level, .chunk = chunk};
    assert_int_equal(raid_create(&create, members, n, &error), 0);
    struct raid_array *array = raid_assemble(members, n, &(struct raid_options){0}, &error);
    assert_non_null(array);
    struct block_device *disk = raid_block_device(array);
    uint8_t *volume = malloc(disk->sectors * 512);
    uint64_t random = chunk + n;
    for (uint64_t i = 0; i < disk->sectors * 512; i++)
        volume[i] = (uint8_t)random_next(&random);
    for (uint64_t at = 0; at < disk->sectors;) {
        uint32_t count = (uint32_t)random_below(&random, 3 * sectors) + 1;
        if (count > disk->sectors - at)
            count = (uint32_t)(disk->sectors - at);
        assert_int_equal(disk->ops->write(disk->object, at, count, volume + at * 512), BLOCK_OK);
        at += count;
    }
    const uint8_t *next = volume;
    unsigned parity = n - 1;
    for (uint64_t row = 0; row < rows; row++) {
        if (level == RAID_1) {
            for (unsigned i = 0; i < n; i++)
                assert_memory_equal(store[i].data + row * chunk, next, chunk);
            next += chunk;
        } else if (level == RAID_0) {
            for (unsigned i = 0; i < n; i++, next += chunk)
                assert_memory_equal(store[i].data + row * chunk, next, chunk);
        } else {
            for (unsigned i = 1; i < n; i++, next += chunk)
                assert_memory_equal(store[(parity + i) % n].data + row * chunk, next, chunk);
            for (uint64_t byte = 0; byte < chunk; byte++) {
                uint8_t sum = 0;
                for (unsigned i = 0; i < n; i++)
                    sum ^= store[i].data[row * chunk + byte];
                assert_int_equal(sum, 0);
            }
            parity = parity ? parity - 1 : n - 1;
        }
    }
    assert_ptr_equal(next, volume + disk->sectors * 512);
    free(volume);
    raid_free(array);
    for (unsigned i = 0; i < n; i++)
        memory_member_free(&store[i]);
}

static void member_contents(void **state)
{
    (void)state;
    for (unsigned n = 2; n <= 8; n++) {
        check_members(RAID_0, n, 4096, 11);
        check_members(RAID_1, n, 65536, 3);
        check_members(RAID_0, n, 65536, 5);
        if (n >= 3) {
            check_members(RAID_5, n, 4096, 21);
            check_members(RAID_5, n, 131072, 4);
        }
    }
    check_members(RAID_5, 3, 1 << 20, 3);
}

static void xor_of_any_number_of_sources(void **state)
{
    (void)state;
    enum { BYTES = 20480 };
    static uint8_t data[9][BYTES], out[BYTES];
    const uint8_t *sources[9];
    uint64_t random = 5;
    for (unsigned i = 0; i < 9; i++) {
        for (unsigned j = 0; j < BYTES; j++)
            data[i][j] = (uint8_t)random_next(&random);
        sources[i] = data[i];
    }
    for (unsigned count = 1; count <= 9; count++) {
        parity_compute(out, sources, count, BYTES);
        for (unsigned j = 0; j < BYTES; j++) {
            uint8_t sum = 0;
            for (unsigned i = 0; i < count; i++)
                sum ^= data[i][j];
            assert_int_equal(out[j], sum);
        }
    }
}

/* Calls a write of one range makes on members: what "fewer members" means. */
static void the_shorter_way_is_taken(void **state)
{
    (void)state;
    struct power power = {.writes_left = UINT64_MAX};
    struct memory_member store[8];
    struct raid_member members[8];
    for (unsigned i = 0; i < 8; i++) {
        memory_member_init(&store[i], &power, 64 + RAID_METADATA_SECTORS);
        members[i] = store[i].member;
    }
    struct raid_create create = {.level = RAID_5, .chunk = 4096};
    struct error error;
    static uint8_t data[7 * 4096];
    assert_int_equal(raid_create(&create, members, 8, &error), 0);
    struct raid_array *array = raid_assemble(members, 8, &(struct raid_options){0}, &error);
    struct block_device *disk = raid_block_device(array);
    assert_int_equal(disk->ops->write(disk->object, 0, 1, data), BLOCK_OK);
    for (unsigned chunks = 1; chunks <= 7; chunks++) {
        unsigned before = 0, after = 0;
        for (unsigned i = 0; i < 8; i++)
            before += (unsigned)store[i].reads;
        assert_int_equal(disk->ops->write(disk->object, 0, chunks * 8, data), BLOCK_OK);
        for (unsigned i = 0; i < 8; i++)
            after += (unsigned)store[i].reads;
        unsigned by_change = chunks + 1, from_data = 7 - chunks;
        assert_int_equal(after - before, by_change < from_data ? by_change : from_data);
    }
    raid_free(array);
    for (unsigned i = 0; i < 8; i++)
        memory_member_free(&store[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(left_symmetric_tables),
        cmocka_unit_test(sizes_are_rounded_as_md_does),
        cmocka_unit_test(member_contents),
        cmocka_unit_test(xor_of_any_number_of_sources),
        cmocka_unit_test(the_shorter_way_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
