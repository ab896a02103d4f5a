/* Expectations from QEMU's docs/specs/fw_cfg.rst. */
#include "board.h"

#include <string.h>

#include "devices/fw_cfg.h"

static const struct fw_cfg_config three_cpus = {.ram_size = 0x123456789a000,
    .cpus = 3,
    .ranges = {{0, 0x9fc00, 1}, {0x100000, 0x7f00000, 1}},
    .range_count = 2};

static struct fw_cfg *begin(struct board *board)
{
    board_init(board);
    struct fw_cfg *device = fw_cfg_create(&three_cpus, &board->error);
    assert_non_null(device);
    assert_int_equal(fw_cfg_attach(device, &board->ports, &board->error), 0);
    return device;
}

static void select_item(struct board *board, uint16_t key)
{
    bus_write(&board->ports, 0x510, 2, key);
}

static void read_item(struct board *board, uint16_t key, void *data, size_t size)
{
    uint8_t *bytes = data;
    select_item(board, key);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)bus_read(&board->ports, 0x511, 1);
}

static uint64_t number(struct board *board, uint16_t key, size_t size)
{
    uint64_t value = 0;
    read_item(board, key, &value, size);
    return value;
}

static void items_read_as_the_machine_is(void **state)
{
    (void)state;
    struct board board;
    struct fw_cfg *device = begin(&board);
    char signature[4];
    read_item(&board, 0, signature, sizeof signature);
    assert_memory_equal(signature, "QEMU", 4);
    assert_int_equal(number(&board, 1, 4), 1); /* ports, no DMA */
    assert_true(number(&board, 3, 8) == 0x123456789a000);
    assert_int_equal(number(&board, 5, 2), 3);
    assert_int_equal(number(&board, 0xf, 2), 3);
    fw_cfg_destroy(device);
}

static void the_directory_names_the_memory_map(void **state)
{
    (void)state;
    struct board board;
    struct fw_cfg *device = begin(&board);
    uint8_t directory[4 + 64];
    read_item(&board, 0x19, directory, sizeof directory);
    static const uint8_t entry[12] = {0, 0, 0, 1, 0, 0, 0, 40, 0, 0x20, 0, 0}; /* big-endian */
    assert_memory_equal(directory, entry, sizeof entry);
    assert_string_equal((char *)directory + 12, "etc/e820");
    uint8_t map[40];
    read_item(&board, 0x20, map, sizeof map);
    uint64_t start, size;
    uint32_t type;
    memcpy(&start, map + 20, 8);
    memcpy(&size, map + 28, 8);
    memcpy(&type, map + 36, 4);
    assert_true(start == 0x100000 && size == 0x7f00000 && type == 1);
    fw_cfg_destroy(device);
}

static void what_is_not_there_reads_as_zeroes(void **state)
{
    (void)state;
    struct board board;
    struct fw_cfg *device = begin(&board);
    assert_int_equal(number(&board, 2, 8), 0);      /* no UUID */
    assert_int_equal(number(&board, 0x8000, 8), 0); /* no ACPI tables */
    assert_int_equal(number(&board, 5, 4), 3);      /* zeroes after the end */
    select_item(&board, 0);
    bus_write(&board.ports, 0x510, 1, 5); /* the selector is written as a whole */
    bus_write(&board.ports, 0x511, 1, 5); /* data is not written */
    assert_int_equal(bus_read(&board.ports, 0x511, 1), 'Q');
    assert_int_equal(bus_read(&board.ports, 0x511, 1), 'E');
    assert_int_equal(bus_read(&board.ports, 0x510, 2) & 0xff, 0xff);
    fw_cfg_destroy(device);
}

static void state_is_the_selection(void **state)
{
    (void)state;
    struct board board;
    struct fw_cfg *device = begin(&board);
    const struct device ops = fw_cfg_device(device);
    struct buffer saved = {0};
    select_item(&board, 3);
    bus_read(&board.ports, 0x511, 1);
    ops.ops->save(ops.object, &saved);
    ops.ops->reset(ops.object);
    assert_int_equal(bus_read(&board.ports, 0x511, 1), 'Q');
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    ops.ops->restore(ops.object, &in);
    assert_false(in.failed);
    assert_int_equal(bus_read(&board.ports, 0x511, 1), 0xa0);
    static const uint8_t beyond[] = {3, 0, 9, 0, 0, 0};
    reader_init(&in, beyond, sizeof beyond);
    ops.ops->restore(ops.object, &in);
    assert_true(in.failed);
    buffer_free(&saved);
    fw_cfg_destroy(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_read_as_the_machine_is),
        cmocka_unit_test(the_directory_names_the_memory_map),
        cmocka_unit_test(what_is_not_there_reads_as_zeroes),
        cmocka_unit_test(state_is_the_selection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
