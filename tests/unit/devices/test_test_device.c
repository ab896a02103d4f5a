/* Expectations from QEMU's hw/misc/pc-testdev.c as test suites use it. */
#include "board.h"

#include "devices/test_device.h"

struct lines {
    uint32_t levels;
    unsigned changes;
};

static void set_line(void *machine, unsigned line, bool level)
{
    struct lines *lines = machine;
    lines->levels = level ? lines->levels | 1u << line : lines->levels & ~(1u << line);
    lines->changes++;
}

static struct test_device *begin(struct board *board, struct bus *mmio, struct lines *lines)
{
    board_init(board);
    bus_init(mmio, 1ull << 52);
    *lines = (struct lines){0};
    struct test_device *device = test_device_create(
        &(struct test_device_config){.set_line = set_line, .machine = lines}, &board->error);
    assert_non_null(device);
    assert_int_equal(test_device_attach(device, &board->ports, mmio, &board->error), 0);
    return device;
}

static void ports_and_memory_keep_what_is_written(void **state)
{
    (void)state;
    struct board board;
    struct bus mmio;
    struct lines lines;
    struct test_device *device = begin(&board, &mmio, &lines);
    bus_write(&board.ports, 0xe0, 4, 0x11223344);
    bus_write(&board.ports, 0xe1, 1, 0xaa);
    assert_int_equal(bus_read(&board.ports, 0xe0, 4), 0x1122aa44);
    assert_int_equal(bus_read(&board.ports, 0xe2, 2), 0x1122);
    bus_write(&board.ports, 0xe4, 4, 0x1000); /* nothing to forget */
    assert_int_equal(bus_read(&board.ports, 0xe4, 4), 0);
    bus_write(&mmio, 0xff00fff8, 8, 0x1122334455667788);
    assert_true(bus_read(&mmio, 0xff00fff8, 8) == 0x1122334455667788);
    assert_int_equal(bus_read(&mmio, 0xff00fffd, 1), 0x33);
    test_device_destroy(device);
}

static void lines_follow_their_ports(void **state)
{
    (void)state;
    struct board board;
    struct bus mmio;
    struct lines lines;
    struct test_device *device = begin(&board, &mmio, &lines);
    const struct device ops = test_device_device(device);
    bus_write(&board.ports, 0x200b, 4, 1);
    bus_write(&board.ports, 0x2017, 1, 1);
    assert_int_equal(lines.levels, 1 << 11 | 1 << 23);
    bus_write(&board.ports, 0x200b, 4, 0);
    assert_int_equal(lines.levels, 1 << 23);
    ops.ops->reset(ops.object);
    assert_int_equal(lines.levels, 0);
    assert_int_equal(lines.changes, 4);
    test_device_destroy(device);
}

static void memory_is_saved_once_it_was_written(void **state)
{
    (void)state;
    struct board board;
    struct bus mmio;
    struct lines lines;
    struct test_device *device = begin(&board, &mmio, &lines);
    const struct device ops = test_device_device(device);
    struct buffer fresh = {0}, used = {0};
    struct reader in;
    ops.ops->save(ops.object, &fresh);
    assert_true(fresh.size < 16);
    bus_write(&mmio, 0xff000000, 4, 0x12345678);
    ops.ops->save(ops.object, &used);
    reader_init(&in, fresh.data, fresh.size);
    ops.ops->restore(ops.object, &in);
    assert_int_equal(bus_read(&mmio, 0xff000000, 4), 0);
    reader_init(&in, used.data, used.size);
    ops.ops->restore(ops.object, &in);
    assert_false(in.failed);
    assert_int_equal(bus_read(&mmio, 0xff000000, 4), 0x12345678);
    static const uint8_t bad[] = {0, 0, 0, 0, 0, 0, 0, 1, 0};
    reader_init(&in, bad, sizeof bad);
    ops.ops->restore(ops.object, &in);
    assert_true(in.failed);
    buffer_free(&fresh);
    buffer_free(&used);
    test_device_destroy(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_and_memory_keep_what_is_written),
        cmocka_unit_test(lines_follow_their_ports),
        cmocka_unit_test(memory_is_saved_once_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
