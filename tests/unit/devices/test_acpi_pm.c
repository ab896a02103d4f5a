/* Expectations from the ACPI Specification 6.4, section 4.8. */
#include "board.h"

#include "devices/acpi_pm.h"

enum { PM1_STATUS = 0x600, PM1_ENABLE = 0x602, PM1_CONTROL = 0x604, PM_TIMER = 0x608 };
/* Half of a 24-bit counter's range at 3.579545 MHz: 2.3435 s; rounded up to the ns. */
#define HALF ((uint64_t)((8388608.0L * 1e9L) / 3579545.0L) + 1)

struct fixture {
    struct board board;
    struct acpi_pm *pm;
    unsigned offs;
};

static void power_off(void *machine)
{
    ((struct fixture *)machine)->offs++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    const struct acpi_pm_config config = {&f->board.clock, board_irq(&f->board), power_off, f};
    f->pm = acpi_pm_create(&config, NULL);
    assert_non_null(f->pm);
    assert_int_equal(acpi_pm_attach(f->pm, &f->board.ports, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    acpi_pm_destroy(f->pm);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, uint16_t port, unsigned size)
{
    return (uint32_t)bus_read(&f->board.ports, port, size);
}

static void set(struct fixture *f, uint16_t port, unsigned size, uint32_t value)
{
    bus_write(&f->board.ports, port, size, value);
}

static void the_timer_counts_at_its_rate(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, PM_TIMER, 4), 0);
    f->board.time = 1000000000;
    assert_int_equal(get(f, PM_TIMER, 4), 3579545);
    assert_int_equal(get(f, PM_TIMER, 2), 3579545 & 0xffff);
    assert_int_equal(get(f, PM_TIMER + 2, 1), 3579545 >> 16);
    f->board.time = 2 * HALF;
    assert_true(get(f, PM_TIMER, 4) < 8);
}

static void its_highest_bit_raises_the_sci(void **state)
{
    struct fixture *f = *state;
    set(f, PM1_ENABLE, 2, 1);
    assert_int_equal(get(f, PM1_STATUS, 2), 0);
    advance_to(&f->board, HALF - 1);
    assert_false(f->board.irq.level);
    advance_to(&f->board, HALF);
    assert_true(f->board.irq.level);
    assert_int_equal(get(f, PM1_STATUS, 2), 1);
    set(f, PM1_STATUS, 2, 0xfffe);
    assert_int_equal(get(f, PM1_STATUS, 2), 1); /* cleared by a one alone */
    set(f, PM1_STATUS, 2, 1);
    assert_int_equal(get(f, PM1_STATUS, 2), 0);
    assert_false(f->board.irq.level);
    advance_to(&f->board, 2 * HALF);
    assert_true(f->board.irq.level);
    set(f, PM1_ENABLE, 2, 0);
    assert_false(f->board.irq.level);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    assert_int_equal(get(f, PM1_STATUS, 4), 1); /* status and enable at once */
}

static void sleeping_in_s5_powers_off(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, PM1_CONTROL, 2), 1);     /* SCI_EN */
    set(f, PM1_CONTROL, 2, ACPI_PM_SLEEP_OFF << 10); /* no SLP_EN */
    set(f, PM1_CONTROL, 2, 1 << 13 | 1 << 10);       /* another state */
    assert_int_equal(f->offs, 0);
    set(f, PM1_CONTROL, 2, 1 << 13 | ACPI_PM_SLEEP_OFF << 10);
    assert_int_equal(f->offs, 1);
    assert_int_equal(get(f, PM1_CONTROL, 2), 1 | ACPI_PM_SLEEP_OFF << 10); /* SLP_EN reads as 0 */
    set(f, PM1_CONTROL, 1, 0);
    set(f, PM1_CONTROL + 1, 1, 0x20 | ACPI_PM_SLEEP_OFF << 2);
    assert_int_equal(f->offs, 2);
}

static void state_is_saved_and_restored(void **state)
{
    struct fixture *f = *state;
    struct device device = acpi_pm_device(f->pm);
    struct buffer saved = {0}, again = {0};
    set(f, PM1_ENABLE, 2, 1);
    set(f, PM1_CONTROL, 2, 0x1402);
    device.ops->save(f->pm, &saved);
    device.ops->reset(f->pm);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(f->pm, &in);
    assert_false(in.failed);
    device.ops->save(f->pm, &again);
    assert_int_equal(saved.size, again.size);
    assert_memory_equal(saved.data, again.data, saved.size);
    advance_to(&f->board, HALF);
    assert_true(f->board.irq.level);
    buffer_free(&saved);
    buffer_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_timer_counts_at_its_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(its_highest_bit_raises_the_sci, setup, teardown),
        cmocka_unit_test_setup_teardown(sleeping_in_s5_powers_off, setup, teardown),
        cmocka_unit_test_setup_teardown(state_is_saved_and_restored, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
