/* What assembly says of members that do not make an array, and creation of bad parameters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "memory_member.h"

enum { STORES = 8, SECTORS = 128 + RAID_METADATA_SECTORS };

struct bench {
    struct power power;
    struct memory_member store[STORES];
    struct raid_member members[STORES];
};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    bench->power.writes_left = UINT64_MAX;
    for (unsigned i = 0; i < STORES; i++) {
        memory_member_init(&bench->store[i], &bench->power, SECTORS);
        bench->members[i] = bench->store[i].member;
    }
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < STORES; i++)
        memory_member_free(&bench->store[i]);
    free(bench);
    return 0;
}

static void create(struct bench *bench, enum raid_level level, unsigned first, unsigned count)
{
    struct raid_create create = {.level = level, .chunk = 4096};
    struct error error;
    create.uuid[0] = (uint8_t)(first + 1);
    assert_int_equal(raid_create(&create, bench->members + first, count, &error), 0);
}

static void expect_refusal(const struct raid_member *members, unsigned count,
    struct raid_options options, const char *words)
{
    struct error error = {0};
    struct raid_array *array = raid_assemble(members, count, &options, &error);
    assert_null(array);
    if (!strstr(error.text, words))
        fail_msg("'%s' does not say '%s'", error.text, words);
}

static void expect_create_refusal(const struct bench *bench, enum raid_level level, unsigned count,
    uint64_t chunk, const char *words)
{
    struct raid_create create = {.level = level, .chunk = chunk};
    struct error error = {0};
    assert_int_equal(raid_create(&create, bench->members, count, &error), -1);
    if (!strstr(error.text, words))
        fail_msg("'%s' does not say '%s'", error.text, words);
}

static void bad_parameters(void **state)
{
    struct bench *bench = *state;
    expect_create_refusal(bench, RAID_5, 3, 5000, "power of two");
    expect_create_refusal(bench, RAID_5, 3, 2048, "4K to 1M");
    expect_create_refusal(bench, RAID_5, 3, 2 << 20, "4K to 1M");
    expect_create_refusal(bench, RAID_5, 2, 4096, "at least 3 members");
    expect_create_refusal(bench, RAID_0, 1, 4096, "at least 2 members");
    expect_create_refusal(bench, (enum raid_level)4, 4, 4096, "not supported");
    expect_create_refusal(bench, RAID_0, 2, 1 << 20, "too small");
    bench->store[1].sectors -= 8;
    expect_create_refusal(bench, RAID_1, 2, 4096, "unequal size");
    bench->store[1].sectors = 100;
    expect_create_refusal(bench, RAID_1, 2, 4096, "too small");
    bench->store[1].sectors = SECTORS;
}

static void any_order_is_sorted(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_5, 0, 4);
    struct raid_member shuffled[4] = {
        bench->members[2], bench->members[0], bench->members[3], bench->members[1]};
    struct raid_assembly assembly;
    struct error error;
    assert_int_equal(raid_examine(&assembly, shuffled, 4, &error), 0);
    assert_int_equal(assembly.given[0], 1);
    assert_int_equal(assembly.given[1], 3);
    assert_int_equal(assembly.given[2], 0);
    assert_int_equal(assembly.given[3], 2);
    assert_int_equal(assembly.missing, 0);
}

static void missing_members(void **state)
{
    struct bench *bench = *state;
    struct raid_options degraded = {.allow_missing = true};
    struct error error;
    create(bench, RAID_5, 0, 3);
    expect_refusal(bench->members, 2, (struct raid_options){0}, "member 2 of 3 is missing");
    expect_refusal(bench->members, 1, degraded, "needs 2 that are up to date, and 1");
    struct raid_array *array = raid_assemble(bench->members, 2, &degraded, &error);
    assert_non_null(array);
    assert_true(raid_degraded(array));
    raid_free(array);
    create(bench, RAID_0, 0, 3);
    expect_refusal(bench->members, 2, degraded, "needs 3");
}

static void strangers(void **state)
{
    struct bench *bench = *state;
    struct raid_member members[4];
    create(bench, RAID_5, 0, 3);
    create(bench, RAID_1, 3, 2);
    memcpy(members, bench->members, sizeof members);
    expect_refusal(members, 4, (struct raid_options){0}, "belongs to another array (RAID 1");
    members[3] = bench->members[6];
    expect_refusal(members, 4, (struct raid_options){0}, "has no superblock");
    memcpy(bench->store[6].data, bench->store[1].data, SECTORS * 512);
    expect_refusal(members, 4, (struct raid_options){0}, "member 1, which is given already");
    members[3] = bench->members[1];
    expect_refusal(members, 4, (struct raid_options){0}, "which is given already");
    /* The same identity with another level: a superblock somebody meddled with. */
    struct raid_create create1 = {.level = RAID_1, .chunk = 4096, .uuid = {1}};
    assert_int_equal(raid_create(&create1, bench->members + 6, 2, NULL), 0);
    members[3] = bench->members[6];
    expect_refusal(members, 4, (struct raid_options){0}, "is a RAID 1 member");
    expect_refusal(bench->members + 5, 1, (struct raid_options){0}, "none of the 1 given");
}

static void damaged_superblocks(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_1, 0, 2);
    uint64_t at = ((SECTORS - 16) & ~7ull) * 512;
    struct memory_member *m = &bench->store[1];
    struct error error;
    struct raid_superblock superblock;
    /* Created at event 1: the second copy. A flipped bit anywhere in it is noticed. */
    for (unsigned bit = 64; bit < 4096; bit += 37) {
        m->data[at + 4096 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(raid_superblock_read(&m->member, &superblock, &error), -1);
        assert_non_null(strstr(error.text, "damaged"));
        m->data[at + 4096 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(raid_superblock_read(&m->member, &superblock, &error), 0);
    m->sectors -= 8;
    assert_int_equal(raid_superblock_read(&m->member, &superblock, &error), -1);
    m->sectors = SECTORS;
    static const uint8_t md[4] = {0xfc, 0x4e, 0x2b, 0xa9};
    memcpy(m->data + at, md, 4);
    expect_refusal(bench->members, 2, (struct raid_options){0}, "Linux md");
    m->broken = true;
    expect_refusal(bench->members, 2, (struct raid_options){0}, "cannot be read");
}

static struct raid_array *open_array(struct bench *bench, unsigned first, unsigned count)
{
    struct raid_options options = {.allow_missing = true};
    struct error error;
    struct raid_array *array = raid_assemble(bench->members + first, count, &options, &error);
    if (!array)
        fail_msg("%s", error.text);
    return array;
}

static void write_something(struct raid_array *array, uint8_t byte)
{
    uint8_t data[512];
    memset(data, byte, sizeof data);
    struct block_device *disk = raid_block_device(array);
    assert_int_equal(disk->ops->write(disk->object, 3, 1, data), BLOCK_OK);
}

static void a_stale_member_is_not_used(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_1, 0, 2);
    struct raid_array *array = open_array(bench, 0, 1);
    write_something(array, 7);
    assert_int_equal(raid_stop(array), BLOCK_OK);
    raid_free(array);
    array = open_array(bench, 0, 2);
    assert_int_equal(raid_status(array)->member[1].state, RAID_MEMBER_FAILED);
    struct error error;
    assert_int_equal(raid_replace(array, 1, &bench->members[5], &error), 0);
    while (raid_rebuild_step(array, 1, &error) == 1)
        ;
    assert_false(raid_degraded(array));
    assert_int_equal(raid_stop(array), BLOCK_OK);
    raid_free(array);
    struct raid_assembly assembly;
    struct raid_member three[3] = {bench->members[1], bench->members[5], bench->members[0]};
    assert_int_equal(raid_examine(&assembly, three, 3, &error), 0);
    assert_int_equal(assembly.candidate[0].verdict, RAID_MEMBER_STALE);
    assert_non_null(strstr(assembly.candidate[0].reason.text, "was replaced"));
    assert_int_equal(assembly.candidate[1].verdict, RAID_MEMBER_USED);
}

static uint8_t first_byte(struct raid_array *array)
{
    uint8_t data[512];
    struct block_device *disk = raid_block_device(array);
    assert_int_equal(disk->ops->read(disk->object, 3, 1, data), BLOCK_OK);
    return data[0];
}

/* A copy of one member is taken, the array is written to and stopped (or killed), and the copy put
 * back: its event count tells, whatever its own superblock says. */
static void a_member_restored_from_an_older_copy_is_out_of_date(void **state)
{
    struct bench *bench = *state;
    for (unsigned mode = 0; mode < 8; mode++) {
        unsigned restored = 1;
        bool stopped = mode & 1, level5 = mode & 2, copied_while_unclean = mode & 4;
        struct error error = {0};
        create(bench, level5 ? RAID_5 : RAID_1, 0, 3);
        struct raid_array *array = open_array(bench, 0, 3);
        write_something(array, 1);
        if (!copied_while_unclean)
            assert_int_equal(raid_stop(array), BLOCK_OK);
        raid_free(array);
        struct memory_member *member = &bench->store[restored];
        memcpy(bench->store[6].data, member->data, SECTORS * 512);
        array = open_array(bench, 0, 3);
        /* Sector 3 of RAID 5 is on member 0: this goes to the restored one. */
        uint8_t data[512] = {2};
        struct block_device *disk = raid_block_device(array);
        write_something(array, 2);
        for (unsigned i = 0; i < 24; i++)
            assert_int_equal(disk->ops->write(disk->object, i, 1, data), BLOCK_OK);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(disk->ops->flush(disk->object), BLOCK_OK);
        if (stopped)
            assert_int_equal(raid_stop(array), BLOCK_OK);
        raid_free(array);
        memcpy(member->data, bench->store[6].data, SECTORS * 512);
        expect_refusal(bench->members, 3, (struct raid_options){0}, "out of date as member 1");
        struct raid_options options = {.allow_missing = true, .force = true};
        array = raid_assemble(bench->members, 3, &options, &error);
        assert_non_null(array);
        assert_int_equal(raid_status(array)->member[restored].state, RAID_MEMBER_FAILED);
        assert_int_equal(first_byte(array), 2);
        for (unsigned i = 0; i < 24; i++) {
            uint8_t back[512];
            disk = raid_block_device(array);
            assert_int_equal(disk->ops->read(disk->object, i, 1, back), BLOCK_OK);
            assert_int_equal(back[0], 2);
        }
        assert_int_equal(raid_replace(array, restored, &bench->members[restored], &error), 0);
        while (raid_rebuild_step(array, 1, &error) == 1)
            ;
        struct raid_scrub scrub = {0};
        while (raid_scrub_step(array, &scrub, 1, &error) == 1)
            ;
        assert_int_equal(scrub.mismatches, 0);
        raid_free(array);
    }
}

/* Whatever write of a superblock update a kill falls on, all members are taken back. */
static void a_killed_update_leaves_no_member_out_of_date(void **state)
{
    struct bench *bench = *state;
    for (uint64_t cut = 0;; cut++) {
        create(bench, RAID_1, 0, 3);
        struct raid_array *array = open_array(bench, 0, 3);
        bench->power.writes_left = cut;
        uint8_t data[512] = {9};
        struct block_device *disk = raid_block_device(array);
        bool done =
            disk->ops->write(disk->object, 3, 1, data) == BLOCK_OK && raid_stop(array) == BLOCK_OK;
        raid_free(array);
        power_on(&bench->power, bench->store, STORES);
        struct raid_assembly assembly;
        struct error error;
        assert_int_equal(raid_examine(&assembly, bench->members, 3, &error), 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(assembly.candidate[i].verdict, RAID_MEMBER_USED);
        if (done)
            break;
        assert_true(cut < 100);
    }
}

static int refuse(void *context, const struct raid_array *array, struct error *error)
{
    (void)context;
    return error_set(error, "not this one of %u members", raid_status(array)->geometry.members);
}

static void a_refused_array_is_left_as_it_is(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_5, 0, 3);
    struct raid_array *array = open_array(bench, 0, 3);
    write_something(array, 1);
    raid_free(array);
    uint64_t writes = bench->power.writes;
    struct raid_options options = {.allow_missing = true, .force = true, .check = refuse};
    expect_refusal(bench->members, 3, options, "not this one of 3");
    expect_refusal(bench->members, 2, options, "not this one of 3");
    assert_int_equal(bench->power.writes, writes);
}

static void halves_used_separately_are_refused(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_1, 0, 2);
    for (unsigned half = 0; half < 2; half++) {
        struct raid_array *array = open_array(bench, half, 1);
        write_something(array, (uint8_t)half);
        raid_free(array);
    }
    expect_refusal(bench->members, 2, (struct raid_options){0}, "used separately");
}

static void degraded_and_dirty_needs_force(void **state)
{
    struct bench *bench = *state;
    struct raid_options options = {.allow_missing = true};
    struct error error;
    create(bench, RAID_5, 0, 3);
    struct raid_array *array = open_array(bench, 0, 3);
    write_something(array, 1);
    raid_free(array);
    expect_refusal(bench->members, 2, options, "force");
    options.force = true;
    array = raid_assemble(bench->members, 2, &options, &error);
    assert_non_null(array);
    raid_free(array);
}

static void nothing_is_written_before_the_guest_writes(void **state)
{
    struct bench *bench = *state;
    create(bench, RAID_5, 0, 3);
    uint64_t writes = bench->power.writes;
    struct raid_array *array = open_array(bench, 0, 3);
    uint8_t data[512];
    struct block_device *disk = raid_block_device(array);
    assert_int_equal(disk->ops->read(disk->object, 0, 1, data), BLOCK_OK);
    assert_int_equal(raid_stop(array), BLOCK_OK);
    raid_free(array);
    assert_int_equal(bench->power.writes, writes);
}

static void replacing_has_rules(void **state)
{
    struct bench *bench = *state;
    struct error error = {0};
    create(bench, RAID_5, 0, 3);
    struct raid_array *array = open_array(bench, 0, 3);
    assert_int_equal(raid_replace(array, 0, &bench->members[4], &error), -1);
    assert_non_null(strstr(error.text, "only a failed one"));
    assert_int_equal(raid_replace(array, 3, &bench->members[4], &error), -1);
    assert_non_null(strstr(error.text, "no member 3"));
    assert_true(raid_fail(array, 2));
    assert_false(raid_fail(array, 2));
    bench->store[4].sectors -= 16;
    assert_int_equal(raid_replace(array, 2, &bench->members[4], &error), -1);
    assert_non_null(strstr(error.text, "needs"));
    bench->store[4].broken = true;
    bench->store[4].sectors += 16;
    assert_int_equal(raid_replace(array, 2, &bench->members[4], &error), -1);
    assert_int_equal(raid_status(array)->member[2].state, RAID_MEMBER_FAILED);
    bench->store[4].broken = false;
    assert_int_equal(raid_replace(array, 2, &bench->members[4], &error), 0);
    /* The target fails while it is filled; the array is no worse than before. */
    bench->store[4].broken = true;
    assert_int_equal(raid_rebuild_step(array, 1, &error), -1);
    assert_false(raid_failed(array));
    write_something(array, 9);
    raid_free(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_parameters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_order_is_sorted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_superblocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stale_member_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_member_restored_from_an_older_copy_is_out_of_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_killed_update_leaves_no_member_out_of_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_array_is_left_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(halves_used_separately_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(degraded_and_dirty_needs_force, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            nothing_is_written_before_the_guest_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacing_has_rules, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
