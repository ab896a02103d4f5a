/* The detector of data races: what races, what orders, and what is told once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "debugger/races.h"

enum { DATA = 0x1000, LOCK = 0x2000, VECTOR = 0x60 };

static struct races *races;
static uint64_t now;

static int setup(void **state)
{
    const struct races_range ranges[] = {{DATA, 16}, {LOCK, 8}};
    (void)state;
    now = 0;
    races = races_create(ranges, 2);
    return races ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    races_destroy(races);
    return 0;
}

enum what { READ, WRITE, ATOMIC_READ, ATOMIC_WRITE };

static struct timeline_access make(
    unsigned vcpu, enum what what, uint64_t gpa, unsigned size, uint64_t rip)
{
    return (struct timeline_access){.vcpu = vcpu,
        .position = {1, now++},
        .memory = {.linear = gpa,
            .gpa = gpa,
            .rip = rip,
            .size = size,
            .is_write = what & 1,
            .is_atomic = what >= ATOMIC_READ}};
}

static void access_at(unsigned vcpu, enum what what, uint64_t gpa, unsigned size, uint64_t rip)
{
    const struct timeline_access access = make(vcpu, what, gpa, size, rip);
    races_access(races, &access);
}

static void take(unsigned vcpu)
{
    access_at(vcpu, ATOMIC_READ, LOCK, 4, 100);
    access_at(vcpu, ATOMIC_WRITE, LOCK, 4, 100);
}

static void give(unsigned vcpu)
{
    access_at(vcpu, WRITE, LOCK, 1, 101);
}

static void no_races(void)
{
    assert_null(races_at(races, 0));
}

static void writes_of_two_vcpus_race(void **state)
{
    (void)state;
    access_at(0, WRITE, DATA, 8, 1);
    access_at(1, WRITE, DATA + 4, 2, 2);
    const struct race *race = races_at(races, 0);
    assert_non_null(race);
    assert_int_equal(race->first.vcpu, 0);
    assert_int_equal(race->first.memory.rip, 1);
    assert_int_equal(race->second.memory.rip, 2);
    assert_int_equal(race->second.position.insn, 1);
    assert_int_equal(race->count, 1);
    assert_null(races_at(races, 1));
}

static void reads_one_vcpu_and_other_bytes_do_not_race(void **state)
{
    (void)state;
    access_at(0, READ, DATA, 8, 1);
    access_at(1, READ, DATA, 8, 2);
    access_at(0, WRITE, DATA + 8, 4, 3);
    access_at(0, READ, DATA + 8, 4, 4);
    access_at(1, WRITE, DATA + 12, 4, 5);
    access_at(1, WRITE, DATA + 16, 8, 6);
    access_at(0, WRITE, DATA + 16, 8, 7);
    no_races();
    assert_int_equal(races_counts(races).accesses, 5);
}

static void a_read_races_with_an_earlier_and_a_later_write(void **state)
{
    (void)state;
    access_at(0, READ, DATA, 8, 1);
    access_at(1, WRITE, DATA, 8, 2);
    access_at(0, READ, DATA, 8, 3);
    assert_int_equal(races_at(races, 0)->second.memory.rip, 2);
    assert_int_equal(races_at(races, 1)->second.memory.rip, 3);
    assert_null(races_at(races, 2));
}

static void a_lock_given_back_by_a_plain_store_orders(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        take(i & 1);
        access_at(i & 1, READ, DATA, 8, 1);
        access_at(i & 1, WRITE, DATA, 8, 2);
        give(i & 1);
    }
    no_races();
    assert_int_equal(races_counts(races).atomics, 1);
}

static void what_comes_after_the_lock_was_given_back_is_not_ordered(void **state)
{
    (void)state;
    take(0);
    give(0);
    access_at(0, WRITE, DATA, 8, 1);
    take(1);
    access_at(1, WRITE, DATA, 8, 2);
    assert_non_null(races_at(races, 0));
}

static void another_lock_does_not_order(void **state)
{
    (void)state;
    take(0);
    access_at(0, WRITE, DATA, 8, 1);
    give(0);
    access_at(1, ATOMIC_WRITE, LOCK + 4, 4, 100);
    access_at(1, WRITE, DATA, 8, 2);
    assert_non_null(races_at(races, 0));
}

static void a_load_of_the_lock_acquires(void **state)
{
    (void)state;
    take(0);
    access_at(0, WRITE, DATA, 8, 1);
    give(0);
    access_at(1, READ, LOCK, 4, 5);
    access_at(1, WRITE, DATA, 8, 2);
    no_races();
}

static void order_goes_on_through_a_third_vcpu(void **state)
{
    (void)state;
    access_at(0, WRITE, DATA, 8, 1);
    races_send(races, 0, VECTOR);
    races_receive(races, 1, VECTOR);
    take(1);
    give(1);
    take(2);
    access_at(2, WRITE, DATA, 8, 2);
    no_races();
}

static void a_message_orders_what_was_before_it_alone(void **state)
{
    (void)state;
    access_at(0, WRITE, DATA, 8, 1);
    races_send(races, 0, VECTOR);
    access_at(0, WRITE, DATA + 8, 8, 2);
    races_receive(races, 1, VECTOR);
    access_at(1, WRITE, DATA, 8, 3);
    no_races();
    access_at(1, WRITE, DATA + 8, 8, 4);
    assert_int_equal(races_at(races, 0)->first.memory.rip, 2);
}

static void starting_a_vcpu_orders(void **state)
{
    (void)state;
    access_at(0, WRITE, DATA, 8, 1);
    races_start(races, 0, 1);
    access_at(1, WRITE, DATA, 8, 2);
    no_races();
    access_at(2, WRITE, DATA, 8, 3);
    assert_non_null(races_at(races, 0));
}

static void a_pair_of_places_is_told_once_whatever_the_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        access_at(i & 1, WRITE, DATA, 8, 10 + (i & 1));
    assert_int_equal(races_at(races, 0)->count, 5);
    assert_null(races_at(races, 1));
}

static void a_lock_learned_before_is_known_when_it_is_given_back_first(void **state)
{
    (void)state;
    const struct timeline_access later = make(1, ATOMIC_WRITE, LOCK, 4, 100);
    races_learn(races, &later);
    access_at(0, WRITE, DATA, 8, 1);
    give(0);
    take(1);
    access_at(1, WRITE, DATA, 8, 2);
    no_races();
}

static void a_place_turned_out_to_order_is_not_told(void **state)
{
    (void)state;
    access_at(0, WRITE, LOCK, 4, 1);
    access_at(1, READ, LOCK, 4, 2);
    assert_non_null(races_at(races, 0));
    take(1);
    no_races();
}

static void an_access_over_the_edge_of_a_range_counts_inside_it(void **state)
{
    (void)state;
    access_at(0, WRITE, DATA - 4, 8, 1);
    access_at(1, WRITE, DATA - 4, 4, 2);
    no_races();
    access_at(1, WRITE, DATA, 1, 3);
    assert_int_equal(races_at(races, 0)->first.memory.rip, 1);
}

static void a_vcpu_may_write_the_same_bytes_in_many_sizes(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 8; size++) {
        for (unsigned start = 0; start + size <= 8; start++)
            access_at(0, WRITE, DATA + start, size, 1);
    }
    access_at(1, WRITE, DATA + 7, 1, 2);
    assert_int_equal(races_at(races, 0)->count, 1);
    assert_false(races_counts(races).overflowed);
}

static void ranges_in_any_order_that_overlap_count_each_access_once(void **state)
{
    const struct races_range ranges[] = {
        {0x9000, 0x1000}, {0x3000, 8}, {0x3004, 0x100}, {0x1000, 16}, {0x9800, 8}, {0x3000, 2}};
    static const uint64_t inside[] = {0x1000, 0x100f, 0x3000, 0x3007, 0x3103, 0x9000, 0x9fff};
    static const uint64_t outside[] = {0xfff, 0x1010, 0x2fff, 0x3104, 0x8fff, 0xa000};
    struct races *many = races_create(ranges, 6);
    (void)state;
    assert_non_null(many);
    for (unsigned i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        const struct timeline_access access = make(0, WRITE, outside[i], 1, 1);
        races_access(many, &access);
    }
    assert_int_equal(races_counts(many).accesses, 0);
    for (unsigned i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        const struct timeline_access access = make(i & 1, WRITE, inside[i], 1, 1);
        races_access(many, &access);
        assert_int_equal(races_counts(many).accesses, i + 1);
    }
    const struct timeline_access across = make(1, WRITE, 0x2ffe, 4, 2);
    races_access(many, &across);
    assert_non_null(races_at(many, 0));
    assert_int_equal(races_at(many, 0)->first.memory.gpa, 0x3000);
    races_destroy(many);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_of_two_vcpus_race),
        TEST(reads_one_vcpu_and_other_bytes_do_not_race),
        TEST(a_read_races_with_an_earlier_and_a_later_write),
        TEST(a_lock_given_back_by_a_plain_store_orders),
        TEST(what_comes_after_the_lock_was_given_back_is_not_ordered),
        TEST(another_lock_does_not_order),
        TEST(a_load_of_the_lock_acquires),
        TEST(order_goes_on_through_a_third_vcpu),
        TEST(a_message_orders_what_was_before_it_alone),
        TEST(starting_a_vcpu_orders),
        TEST(a_pair_of_places_is_told_once_whatever_the_order),
        TEST(a_lock_learned_before_is_known_when_it_is_given_back_first),
        TEST(a_place_turned_out_to_order_is_not_told),
        TEST(an_access_over_the_edge_of_a_range_counts_inside_it),
        TEST(a_vcpu_may_write_the_same_bytes_in_many_sizes),
        TEST(ranges_in_any_order_that_overlap_count_each_access_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
