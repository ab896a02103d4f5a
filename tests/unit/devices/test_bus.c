/* The bus. */
#include "board.h"

#include <string.h>

struct memory {
    uint8_t bytes[16];
    unsigned accesses;
};

static uint64_t memory_read(void *device, uint64_t address, unsigned size)
{
    struct memory *memory = device;
    uint64_t value = 0;
    assert_true(address + size <= sizeof memory->bytes);
    memory->accesses++;
    memcpy(&value, memory->bytes + address, size);
    return value | (size < 8 ? ~0ull << (8 * size) : 0); /* the bus must drop the high bits */
}

static void memory_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct memory *memory = device;
    assert_true(address + size <= sizeof memory->bytes);
    memory->accesses++;
    memcpy(memory->bytes + address, &value, size);
}

static struct bus_range range_at(struct memory *memory, uint64_t base, uint64_t size)
{
    return (struct bus_range){base, size, "memory", memory, memory_read, memory_write};
}

static void ranges_do_not_overlap_or_leave_the_bus(void **state)
{
    (void)state;
    struct bus bus;
    struct memory memory = {0};
    struct error error = {0};
    bus_init(&bus, 0x100);
    struct bus_range middle = range_at(&memory, 0x40, 16);
    assert_int_equal(bus_register(&bus, &middle, &error), 0);
    static const struct {
        uint64_t base, size;
        bool fits;
    } cases[] = {
        {0x3f, 1, true},
        {0x3f, 2, false},
        {0x38, 16, false},
        {0x4f, 1, false},
        {0x40, 16, false},
        {0x44, 2, false},
        {0x50, 16, true},
        {0xf0, 16, true},
        {0xf0, 17, false},
        {0x100, 1, false},
        {0x80, 0, false},
        {0x80, UINT64_MAX, false},
        {UINT64_MAX, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bus_range range = range_at(&memory, cases[i].base, cases[i].size);
        error.text[0] = 0;
        assert_int_equal(bus_register(&bus, &range, &error), cases[i].fits ? 0 : -1);
        if (cases[i].fits)
            assert_true(bus_unregister(&bus, cases[i].base));
        else
            assert_true(error.text[0] != 0);
    }
    assert_false(bus_unregister(&bus, 0x41));
    assert_ptr_equal(bus_find(&bus, 0x4f)->device, &memory);
    assert_null(bus_find(&bus, 0x50));
}

static void the_table_fills_up(void **state)
{
    (void)state;
    struct bus bus;
    struct memory memory = {0};
    bus_init(&bus, 65536);
    for (unsigned i = 0; i < BUS_MAX_RANGES; i++) {
        struct bus_range range = range_at(&memory, (BUS_MAX_RANGES - i) * 16, 16);
        assert_int_equal(bus_register(&bus, &range, NULL), 0);
    }
    for (unsigned i = 1; i < bus.count; i++)
        assert_true(bus.ranges[i - 1].base < bus.ranges[i].base);
    struct bus_range range = range_at(&memory, 0x8000, 16);
    assert_int_equal(bus_register(&bus, &range, NULL), -1);
}

static void accesses_reach_the_device(void **state)
{
    (void)state;
    struct bus bus;
    struct memory memory = {0};
    bus_init(&bus, 0x100);
    struct bus_range range = range_at(&memory, 0x40, 16);
    bus_register(&bus, &range, NULL);
    bus_write(&bus, 0x41, 4, 0xffffffff11223344);
    assert_int_equal(memory.accesses, 1);
    assert_true(bus_read(&bus, 0x40, 8) == 0x0000001122334400);
    assert_int_equal(bus_read(&bus, 0x42, 1), 0x33);
    assert_true(bus.unclaimed_reads == 0 && bus.unclaimed_writes == 0);
}

static void unclaimed_reads_as_ones_and_counts_once(void **state)
{
    (void)state;
    struct bus bus;
    struct memory memory = {.bytes = {[0] = 0x12, [15] = 0x34}};
    bus_init(&bus, 0x100);
    struct bus_range range = range_at(&memory, 0x40, 16);
    bus_register(&bus, &range, NULL);
    assert_int_equal(bus_read(&bus, 0x80, 2), 0xffff);
    assert_int_equal(bus.unclaimed_reads, 1);
    /* Partly claimed, at either end. */
    assert_true(bus_read(&bus, 0x3d, 4) == 0x12ffffff);
    assert_int_equal(bus.unclaimed_reads, 2);
    assert_true(bus_read(&bus, 0x4f, 4) == 0xffffff34);
    assert_int_equal(bus.unclaimed_reads, 3);
    bus_write(&bus, 0x4f, 4, 0xddccbbaa);
    assert_int_equal(memory.bytes[15], 0xaa);
    bus_write(&bus, 0x90, 8, 0);
    assert_int_equal(bus.unclaimed_writes, 2);
    /* Past the last address nothing is found, and nothing wraps to address 0. */
    assert_true(bus_read(&bus, UINT64_MAX, 8) == UINT64_MAX);
}

static void accesses_split_between_neighbours(void **state)
{
    (void)state;
    struct bus bus;
    struct memory low = {0}, high = {0};
    bus_init(&bus, 0x100);
    struct bus_range first = range_at(&low, 0x40, 2), second = range_at(&high, 0x42, 2);
    bus_register(&bus, &second, NULL);
    bus_register(&bus, &first, NULL);
    bus_write(&bus, 0x41, 2, 0xbbaa);
    assert_int_equal(low.bytes[1], 0xaa);
    assert_int_equal(high.bytes[0], 0xbb);
    assert_int_equal(bus_read(&bus, 0x41, 2), 0xbbaa);
    assert_true(bus.unclaimed_reads == 0 && bus.unclaimed_writes == 0);
}

static void ranges_without_handlers(void **state)
{
    (void)state;
    struct bus bus;
    bus_init(&bus, 0x100);
    struct bus_range range = {.base = 0x10, .size = 4, .name = "hole"};
    bus_register(&bus, &range, NULL);
    assert_true(bus_read(&bus, 0x10, 4) == 0xffffffff);
    bus_write(&bus, 0x10, 4, 1);
    assert_true(bus.unclaimed_reads == 0 && bus.unclaimed_writes == 0);
}

static void wide_accesses_go_low_byte_first(void **state)
{
    (void)state;
    struct memory memory = {0};
    bus_write_bytes(memory_write, &memory, 3, 4, 0x04030201);
    static const uint8_t expected[] = {0, 0, 0, 1, 2, 3, 4, 0};
    assert_memory_equal(memory.bytes, expected, sizeof expected);
    assert_true(bus_read_bytes(memory_read, &memory, 3, 4) == 0x04030201);
    assert_int_equal(memory.accesses, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_do_not_overlap_or_leave_the_bus),
        cmocka_unit_test(the_table_fills_up),
        cmocka_unit_test(accesses_reach_the_device),
        cmocka_unit_test(unclaimed_reads_as_ones_and_counts_once),
        cmocka_unit_test(accesses_split_between_neighbours),
        cmocka_unit_test(ranges_without_handlers),
        cmocka_unit_test(wide_accesses_go_low_byte_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
