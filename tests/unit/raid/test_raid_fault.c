/* Fault specifications and their effect through an array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/raid/fault.h"
#include "devices/raid/raid.h"
#include "memory_member.h"

static void specifications(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct fault fault;
    } good[] = {
        {"disk0:member1:fail@t=2.5s", {0, 1, FAULT_FAIL, 0, 2500000000}},
        {"disk3:member15:fail", {3, 15, FAULT_FAIL, 0, 0}},
        {"disk0:member1:eio@lba=4096", {0, 1, FAULT_EIO, 4096, 0}},
        {"disk0:member2:unreadable@lba=8,t=3s", {0, 2, FAULT_UNREADABLE, 8, 3000000000}},
        {"disk0:corrupt@lba=7", {0, 0, FAULT_CORRUPT, 7, 0}},
        {"disk1:member2:corrupt@lba=9,t=10ms", {1, 2, FAULT_CORRUPT, 9, 10000000}},
        {"disk1:member2:fail@t=1500", {1, 2, FAULT_FAIL, 0, 1500000000000}},
        {"disk1:member2:fail@t=0.000000001s", {1, 2, FAULT_FAIL, 0, 1}},
    };
    static const char *const bad[] = {"", "disk", "disk0", "disk0:", "disk0:member1",
        "disk0:member1:", "disk0:member1:explode", "disk0:member1:eio", "disk0:member1:fail@lba=1",
        "disk0:member1:fail@t=", "disk0:member1:fail@t=5h", "disk0:member1:eio@lba=x",
        "disk0:member1:fail@t=2.5s ", "disk0:member1:eio@lba=99999999999999999999",
        "disk-1:member1:fail", "disk0:member1:fail@t=0.0000000001s"};
    struct fault fault;
    struct error error;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(fault_parse(good[i].text, &fault, &error), 0);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(fault.disk, good[i].fault.disk);
            assert_int_equal(fault.member, good[i].fault.member);
            assert_int_equal(fault.kind, good[i].fault.kind);
            assert_int_equal(fault.lba, good[i].fault.lba);
            assert_int_equal(fault.time, good[i].fault.time);
            struct buffer text = {0};
            fault_print(&fault, &text);
            buffer_put_u8(&text, 0);
            assert_int_equal(fault_parse((const char *)text.data, &fault, &error), 0);
            buffer_free(&text);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error.text[0] = 0;
        assert_int_equal(fault_parse(bad[i], &fault, &error), -1);
        assert_int_not_equal(error.text[0], 0);
    }
}

static void effects(void **state)
{
    (void)state;
    struct power power = {.writes_left = UINT64_MAX};
    struct memory_member store[3];
    struct fault_layer layer[3];
    struct raid_member members[3];
    struct error error;
    static uint8_t data[256 * 512], back[256 * 512];
    for (unsigned i = 0; i < 3; i++) {
        memory_member_init(&store[i], &power, 128 + RAID_METADATA_SECTORS);
        layer[i] = (struct fault_layer){.below = store[i].member};
        members[i] = fault_member(&layer[i]);
    }
    struct raid_create create = {.level = RAID_5, .chunk = 4096};
    assert_int_equal(raid_create(&create, members, 3, &error), 0);
    struct raid_array *array = raid_assemble(members, 3, &(struct raid_options){0}, &error);
    struct block_device *disk = raid_block_device(array);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i / 3);
    assert_int_equal(disk->ops->write(disk->object, 0, 256, data), BLOCK_OK);

    /* Stripe 0 has its parity on member 2: a flip there is found and repaired, once. */
    struct fault fault = {.member = 2, .kind = FAULT_CORRUPT, .lba = 5};
    assert_int_equal(fault_inject(&layer[2], &fault, &error), 0);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct raid_scrub scrub = {.repair = true};
        while (raid_scrub_step(array, &scrub, 16, &error) == 1)
            ;
        assert_int_equal(scrub.mismatches, pass == 0);
        assert_true(pass == 1 || scrub.first_mismatch == 5);
    }
    fault = (struct fault){.member = 1, .kind = FAULT_EIO, .lba = 17};
    assert_int_equal(fault_inject(&layer[1], &fault, &error), 0);
    struct buffer saved = {0};
    fault_save(&layer[1], &saved);
    struct reader reader;
    layer[1].count = 0;
    reader_init(&reader, saved.data, saved.size);
    fault_restore(&layer[1], &reader);
    assert_false(reader.failed);
    buffer_free(&saved);
    assert_int_equal(disk->ops->read(disk->object, 0, 256, back), BLOCK_OK);
    assert_memory_equal(back, data, sizeof data);
    /* The member stays: its other sectors are as good as before. */
    assert_int_equal(raid_status(array)->member[1].state, RAID_MEMBER_ACTIVE);
    assert_int_equal(raid_bad_sectors(array, 1), 1);
    fault = (struct fault){.member = 1, .kind = FAULT_FAIL};
    assert_int_equal(fault_inject(&layer[1], &fault, &error), 0);
    assert_int_equal(disk->ops->read(disk->object, 0, 256, back), BLOCK_OK);
    assert_memory_equal(back, data, sizeof data);
    assert_int_equal(raid_status(array)->member[1].state, RAID_MEMBER_FAILED);
    fault = (struct fault){.member = 0, .kind = FAULT_FAIL};
    assert_int_equal(fault_inject(&layer[0], &fault, &error), 0);
    assert_int_equal(disk->ops->write(disk->object, 0, 256, data), BLOCK_EIO);
    fault = (struct fault){.member = 2, .kind = FAULT_EIO, .lba = 1u << 30};
    assert_int_equal(fault_inject(&layer[2], &fault, &error), -1);
    raid_free(array);
    for (unsigned i = 0; i < 3; i++)
        memory_member_free(&store[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(specifications), cmocka_unit_test(effects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
