/* The rule for where ring 3 moves to KVM (vmm/kvm/entering.h), as a table that is told times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/kvm/entering.h"

#define MS 1000000ull
#define US 1000ull
/* Of a piece of ring 3 between two looks. */
enum { PIECE = 1 << 17 };
enum { SLOW_NS = 2 * PIECE, FAST_NS = PIECE / 10 };

static struct entering rule;
static const struct entering_place here = {.space = 0x1000, .page = 0x401};

static int set_up(void **state)
{
    (void)state;
    entering_begin(&rule);
    return 0;
}

/* Pieces of a place on the software CPU until the rule would have it move; -1: it does not within
 * `ns`. */
static int64_t wait_for_move(const struct entering_place *place, uint64_t piece_ns, uint64_t ns)
{
    uint64_t spent = 0;
    while (spent < ns && !entering_pays(&rule, place)) {
        entering_note_soft(&rule, place, PIECE, piece_ns);
        spent += piece_ns;
    }
    return spent < ns ? (int64_t)spent : -1;
}

static void a_place_that_nothing_is_known_of_stays_on_the_software_cpu(void **state)
{
    (void)state;
    assert_false(entering_pays(&rule, &here));
    assert_false(entering_has_paid(&rule, &here));
}

static void slow_code_that_goes_on_is_tried_after_some_times_the_cost(void **state)
{
    (void)state;
    const int64_t spent = wait_for_move(&here, SLOW_NS, 1000 * MS);
    assert_in_range(spent, MS, 10 * MS);
    assert_false(entering_has_paid(&rule, &here));
}

static void code_as_fast_as_the_processor_never_moves(void **state)
{
    (void)state;
    assert_int_equal(wait_for_move(&here, FAST_NS, 1000 * MS), -1);
}

static void a_place_whose_stay_paid_moves_at_once_from_then_on(void **state)
{
    (void)state;
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    entering_note_stay(&rule, &here, 3 * MS, 2 * MS);
    assert_true(entering_has_paid(&rule, &here));
    assert_true(entering_pays(&rule, &here));
    for (unsigned i = 0; i < 100; i++) {
        entering_note_stay(&rule, &here, 3 * MS, 60 * US);
        assert_true(entering_pays(&rule, &here));
    }
}

static void another_page_of_a_space_that_paid_moves_at_once(void **state)
{
    (void)state;
    const struct entering_place next = {.space = here.space, .page = here.page + 7};
    const struct entering_place other = {.space = here.space + 0x1000, .page = here.page};
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    entering_note_stay(&rule, &here, 3 * MS, 2 * MS);
    assert_true(entering_pays(&rule, &next));
    assert_false(entering_pays(&rule, &other));
}

static void a_page_that_leaves_soon_stays_on_the_software_cpu_in_a_space_that_pays(void **state)
{
    (void)state;
    const struct entering_place call = {.space = here.space, .page = here.page + 7};
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    for (unsigned i = 0; i < 20; i++)
        entering_note_stay(&rule, &here, 3 * MS, 60 * US);
    entering_note_stay(&rule, &call, 5 * US, 60 * US);
    assert_false(entering_pays(&rule, &call));
    assert_true(entering_pays(&rule, &here));
}

static void stays_that_do_not_pay_are_tried_ever_more_seldom(void **state)
{
    (void)state;
    int64_t before = 0;
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    for (unsigned i = 0; i < 8; i++) {
        entering_note_stay(&rule, &here, 20 * US, 60 * US);
        const int64_t spent = wait_for_move(&here, SLOW_NS, 10000 * MS);
        assert_true(spent > before);
        before = spent;
    }
}

static void a_phase_of_short_stays_is_left_and_one_of_long_stays_is_found(void **state)
{
    (void)state;
    unsigned stays = 0;
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    for (unsigned i = 0; i < 50; i++)
        entering_note_stay(&rule, &here, 3 * MS, 60 * US);
    while (entering_pays(&rule, &here) && stays < 1000) {
        entering_note_stay(&rule, &here, 20 * US, 60 * US);
        stays++;
    }
    assert_in_range(stays, 1, 30);
    assert_true(wait_for_move(&here, SLOW_NS, 10000 * MS) >= 0);
    for (unsigned i = 0; i < 3 && !entering_has_paid(&rule, &here); i++)
        entering_note_stay(&rule, &here, 3 * MS, 60 * US);
    assert_true(entering_pays(&rule, &here));
}

/* Each place behaves well until it is trusted, and none comes twice. */
static void a_guest_that_wants_to_be_slow_loses_a_small_part_of_its_time(void **state)
{
    (void)state;
    uint64_t spent = 0, lost = 0;
    for (uint64_t i = 0; spent < 20000 * MS; i++) {
        const struct entering_place place = {.space = 0x1000 * (1 + i / 40 % 200), .page = i};
        entering_note_soft(&rule, &place, PIECE, SLOW_NS);
        spent += SLOW_NS;
        if (entering_pays(&rule, &place)) {
            entering_note_stay(&rule, &place, 0, 2 * MS);
            lost += 2 * MS;
        }
    }
    assert_true(lost > 0);
    assert_true(lost < spent / 16);
}

static void what_one_stay_says_does_not_carry_the_average_away(void **state)
{
    (void)state;
    wait_for_move(&here, SLOW_NS, 1000 * MS);
    for (unsigned i = 0; i < 20; i++)
        entering_note_stay(&rule, &here, 3 * MS, 60 * US);
    /* The host ran something else meanwhile. */
    entering_note_stay(&rule, &here, 3 * MS, 400 * MS);
    assert_true(entering_pays(&rule, &here));
}

static void short_runs_are_the_way_and_long_ones_are_not(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_in_range(entering_note_run(&rule, 4 * MS), 4 * MS - 20 * US, 4 * MS);
    assert_int_equal(entering_note_run(&rule, 14 * US), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(entering_note_run(&rule, 15 * US), 0, US);
    for (unsigned i = 0; i < 1000; i++)
        assert_in_range(entering_note_run(&rule, 4 * MS), 4 * MS - 20 * US, 4 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_place_that_nothing_is_known_of_stays_on_the_software_cpu, set_up),
        cmocka_unit_test_setup(slow_code_that_goes_on_is_tried_after_some_times_the_cost, set_up),
        cmocka_unit_test_setup(code_as_fast_as_the_processor_never_moves, set_up),
        cmocka_unit_test_setup(a_place_whose_stay_paid_moves_at_once_from_then_on, set_up),
        cmocka_unit_test_setup(another_page_of_a_space_that_paid_moves_at_once, set_up),
        cmocka_unit_test_setup(
            a_page_that_leaves_soon_stays_on_the_software_cpu_in_a_space_that_pays, set_up),
        cmocka_unit_test_setup(stays_that_do_not_pay_are_tried_ever_more_seldom, set_up),
        cmocka_unit_test_setup(
            a_phase_of_short_stays_is_left_and_one_of_long_stays_is_found, set_up),
        cmocka_unit_test_setup(
            a_guest_that_wants_to_be_slow_loses_a_small_part_of_its_time, set_up),
        cmocka_unit_test_setup(what_one_stay_says_does_not_carry_the_average_away, set_up),
        cmocka_unit_test_setup(short_runs_are_the_way_and_long_ones_are_not, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
