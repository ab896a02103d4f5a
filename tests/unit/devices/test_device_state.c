/*
 * save and restore: a machine restored from another's bytes cannot be told from it, at any point of
 * a random run; slicing time differently does not show either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pc.h"

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void random_bytes(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)next_random();
}

static void assert_same_state(const struct pc *a, const struct pc *b)
{
    struct buffer left = {0}, right = {0};
    pc_save(a, &left);
    pc_save(b, &right);
    assert_false(left.failed || right.failed);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    assert_true(clock_next_deadline(&a->clock) == clock_next_deadline(&b->clock));
    buffer_free(&left);
    buffer_free(&right);
}

/* A setting that makes devices do something: random bytes alone seldom finish a programming. */
static void boot(struct pc *pc)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11},
        {0xa1, 0x28}, {0xa1, 0x02}, {0xa1, 0x01}, {0x43, 0x34}, {0x40, 0x10}, {0x40, 0x04},
        {0x70, 0x0b}, {0x71, 0x72}, {0x3fa, 0x81}, {0x3fc, 0x0b}, {0x3f9, 0x0f}, {0x61, 0x01},
        {0x43, 0xb6}, {0x42, 0x99}, {0x42, 0x01}};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        bus_write(&pc->ports, writes[i].port, 1, writes[i].value);
}

static void restored_machines_continue_alike(void **state)
{
    (void)state;
    random_state = 42;
    printf("seed %llu\n", (unsigned long long)random_state);
    for (unsigned run = 0; run < 400; run++) {
        struct pc original, copy;
        uint8_t bytes[3000];
        random_bytes(bytes, sizeof bytes);
        assert_true(pc_open(&original));
        if (run & 1)
            boot(&original);
        struct reader in;
        reader_init(&in, bytes, sizeof bytes);
        while (reader_left(&in) > sizeof bytes / 2)
            pc_step(&original, &in);
        /* The copy has had a life of its own: all of it must be overwritten. */
        assert_true(pc_open(&copy));
        struct reader other;
        reader_init(&other, bytes, 700);
        while (reader_left(&other))
            pc_step(&copy, &other);
        struct buffer saved = {0};
        pc_save(&original, &saved);
        struct reader from;
        reader_init(&from, saved.data, saved.size);
        pc_restore(&copy, &from);
        assert_false(from.failed);
        assert_int_equal(reader_left(&from), 0);
        buffer_free(&saved);
        assert_same_state(&original, &copy);
        struct reader in_copy = in;
        while (reader_left(&in)) {
            uint64_t seen = pc_step(&original, &in);
            assert_true(pc_step(&copy, &in_copy) == seen);
        }
        assert_same_state(&original, &copy);
        pc_close(&original);
        pc_close(&copy);
    }
}

/* One long advance, or one from each deadline to the next: the guest finds the same machine. */
static void slicing_time_does_not_show(void **state)
{
    (void)state;
    random_state = 7;
    printf("seed %llu\n", (unsigned long long)random_state);
    for (unsigned run = 0; run < 300; run++) {
        struct pc whole, sliced;
        assert_true(pc_open(&whole) && pc_open(&sliced));
        uint8_t bytes[200];
        random_bytes(bytes, sizeof bytes);
        for (unsigned i = 0; i < 2; i++) {
            struct pc *pc = i ? &sliced : &whole;
            boot(pc);
            struct reader in;
            reader_init(&in, bytes, sizeof bytes);
            while (reader_left(&in))
                pc_step(pc, &in);
            clock_advance(&pc->clock, pc->time);
        }
        uint64_t target = whole.time + next_random() % 5000000;
        if (target < whole.time || target > INT64_MAX) {
            pc_close(&whole);
            pc_close(&sliced);
            continue;
        }
        whole.time = sliced.time = target;
        clock_advance(&whole.clock, target);
        for (uint64_t next; (next = clock_next_deadline(&sliced.clock)) <= target;)
            clock_advance(&sliced.clock, next);
        clock_advance(&sliced.clock, target);
        assert_same_state(&whole, &sliced);
        pc_close(&whole);
        pc_close(&sliced);
    }
}

static void short_and_damaged_states_are_refused(void **state)
{
    (void)state;
    random_state = 11;
    printf("seed %llu\n", (unsigned long long)random_state);
    struct pc pc;
    assert_true(pc_open(&pc));
    boot(&pc);
    for (unsigned i = 0; i < PC_DEVICES; i++) {
        const struct device *device = &pc.devices[i];
        struct buffer saved = {0}, after = {0};
        device->ops->save(device->object, &saved);
        for (size_t size = 0; size < saved.size; size++) {
            struct reader in;
            reader_init(&in, saved.data, size);
            device->ops->restore(device->object, &in);
            assert_true(in.failed);
        }
        device->ops->save(device->object, &after); /* a failed restore changes nothing */
        assert_int_equal(after.size, saved.size);
        if (saved.size > 0)
            assert_memory_equal(after.data, saved.data, saved.size);
        buffer_free(&saved);
        buffer_free(&after);
    }
    pc_close(&pc);
}

static void describe_names_the_registers(void **state)
{
    (void)state;
    struct pc pc;
    assert_true(pc_open(&pc));
    struct buffer text = {0};
    for (unsigned i = 0; i < PC_DEVICES; i++) {
        size_t before = text.size;
        pc.devices[i].ops->describe(pc.devices[i].object, &text);
        for (size_t at = before; at < text.size; at++)
            assert_true(text.data[at] == '\n' || (text.data[at] >= ' ' && text.data[at] < 127));
        assert_true(text.size == before || text.data[text.size - 1] == '\n');
    }
    buffer_put_u8(&text, 0);
    assert_false(text.failed);
    assert_non_null(strstr((const char *)text.data, "date 2023-11-14\nhours 22\nminutes 13\n"));
    assert_non_null(strstr((const char *)text.data, "lsr 0x60\n"));
    buffer_free(&text);
    pc_close(&pc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restored_machines_continue_alike),
        cmocka_unit_test(slicing_time_does_not_show),
        cmocka_unit_test(short_and_damaged_states_are_refused),
        cmocka_unit_test(describe_names_the_registers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
