/* Expectations from the AMD64 APM volume 2, 16.5 to 16.7, and the Intel SDM volume 3, 11.6. */
#include "board.h"

#include <stdlib.h>
#include <string.h>

#include "devices/apic_bus.h"

enum { COUNT = 3 };
enum { ID = 0x20, TPR = 0x80, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ICR = 0x300, LINT0 = 0x350 };
enum { LOGICAL = 1 << 11, ASSERT = 1 << 14, LEVEL = 1 << 15 };
enum { TO_SELF = 1 << 18, TO_ALL = 2 << 18, TO_OTHERS = 3 << 18 };

struct fixture {
    struct board board;
    struct bus mmio;
    struct apic_bus *bus;
    struct apic *apic[COUNT];
    /* Signals, in order. */
    struct {
        unsigned processor;
        uint8_t mode, vector;
    } signal[8];
    unsigned signals;
};

static void take_signal(void *context, unsigned processor, uint8_t mode, uint8_t vector)
{
    struct fixture *f = context;
    assert_true(f->signals < 8);
    f->signal[f->signals].processor = processor;
    f->signal[f->signals].mode = mode;
    f->signal[f->signals++].vector = vector;
}

static void set(struct fixture *f, unsigned processor, unsigned reg, uint32_t value)
{
    apic_bus_select(f->bus, processor);
    bus_write(&f->mmio, APIC_BASE + reg, 4, value);
}

static uint32_t get(struct fixture *f, unsigned processor, unsigned reg)
{
    apic_bus_select(f->bus, processor);
    return (uint32_t)bus_read(&f->mmio, APIC_BASE + reg, 4);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    bus_init(&f->mmio, 1ull << 40);
    f->bus = apic_bus_create(&(struct apic_bus_config){.signal = take_signal, .machine = f}, NULL);
    assert_non_null(f->bus);
    for (unsigned i = 0; i < COUNT; i++) {
        const struct apic_config config = {
            .clock = &f->board.clock, .id = (uint8_t)i, .bus = f->bus};
        f->apic[i] = apic_create(&config, NULL);
        assert_non_null(f->apic[i]);
        apic_bus_add(f->bus, f->apic[i]);
    }
    assert_int_equal(apic_bus_attach(f->bus, &f->mmio, NULL), 0);
    for (unsigned i = 0; i < COUNT; i++)
        set(f, i, SVR, 0x1ff);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++)
        apic_destroy(f->apic[i]);
    apic_bus_destroy(f->bus);
    free(f);
    return 0;
}

/* Which processors have a request, by bit; they take it. */
static unsigned requests(struct fixture *f)
{
    unsigned found = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        if (!apic_has_request(f->apic[i]))
            continue;
        found |= 1u << i;
        apic_acknowledge(f->apic[i]);
        set(f, i, 0xb0, 0); /* EOI */
    }
    return found;
}

static void send(struct fixture *f, unsigned processor, uint8_t destination, uint32_t low)
{
    set(f, processor, ICR + 16, (uint32_t)destination << 24);
    set(f, processor, ICR, low);
}

static void the_guest_sees_the_apic_of_the_processor_that_runs(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(get(f, i, ID), i << 24);
    set(f, 1, TPR, 0x50);
    assert_int_equal(get(f, 0, TPR), 0);
    assert_int_equal(get(f, 1, TPR), 0x50);
}

static void only_the_first_processor_starts_with_its_apic_enabled(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++) {
        struct device device = apic_device(f->apic[i]);
        device.ops->reset(device.object);
    }
    assert_int_equal(get(f, 0, SVR), 0x1ff);
    assert_int_equal(get(f, 0, LINT0), 0x700);
    assert_int_equal(get(f, 1, SVR), 0xff);
    assert_int_equal(get(f, 1, LINT0), 0x10000);
    assert_true(apic_accepts_external(f->apic[0]));
    assert_false(apic_accepts_external(f->apic[1]));
}

static void a_message_reaches_the_processor_with_the_physical_id(void **state)
{
    struct fixture *f = *state;
    send(f, 0, 2, 0x40);
    assert_int_equal(requests(f), 1 << 2);
    send(f, 2, 0, 0x40);
    assert_int_equal(requests(f), 1 << 0);
    send(f, 0, 7, 0x40); /* nobody */
    assert_int_equal(requests(f), 0);
    send(f, 1, 0xff, 0x40);
    assert_int_equal(requests(f), 7);
}

static void shorthands_name_the_sender_all_and_all_others(void **state)
{
    struct fixture *f = *state;
    send(f, 1, 0, TO_SELF | 0x41);
    assert_int_equal(requests(f), 2);
    send(f, 1, 0, TO_ALL | 0x41);
    assert_int_equal(requests(f), 7);
    send(f, 1, 0, TO_OTHERS | 0x41);
    assert_int_equal(requests(f), 5);
}

static void a_logical_destination_is_a_set_of_processors(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++)
        set(f, i, LDR, 1u << (24 + i));
    send(f, 0, 6, LOGICAL | 0x42);
    assert_int_equal(requests(f), 6);
    for (unsigned i = 0; i < COUNT; i++) {
        set(f, i, DFR, 0x0fffffff); /* cluster model */
        set(f, i, LDR, (uint32_t)(i == 2 ? 0x21 : 0x11 << i) << 24);
    }
    send(f, 0, 0x21, LOGICAL | 0x42);
    assert_int_equal(requests(f), 1 << 2);
}

static void lowest_priority_goes_to_one_processor_the_least_busy(void **state)
{
    struct fixture *f = *state;
    const uint32_t lowest = APIC_LOWEST_PRIORITY << 8;
    set(f, 0, TPR, 0x30);
    set(f, 1, TPR, 0x20);
    set(f, 2, TPR, 0x20);
    send(f, 0, 0xff, lowest | 0x90);
    assert_int_equal(requests(f), 1 << 1);
    set(f, 1, SVR, 0xff); /* disabled: takes nothing */
    send(f, 0, 0xff, lowest | 0x90);
    assert_int_equal(requests(f), 1 << 2);
}

static void a_device_can_interrupt_any_processor(void **state)
{
    struct fixture *f = *state;
    apic_bus_send_msi(f->bus, 0xfee02000, 0x55);
    assert_int_equal(requests(f), 1 << 2);
    apic_bus_send_msi(f->bus, 0xfef02000, 0x55);
    assert_int_equal(requests(f), 0);
}

static void init_and_startup_reach_the_machine_for_each_processor_addressed(void **state)
{
    struct fixture *f = *state;
    send(f, 0, 0, TO_OTHERS | LEVEL | ASSERT | APIC_INIT << 8);
    send(f, 0, 0, TO_OTHERS | LEVEL | APIC_INIT << 8); /* takes the level back */
    send(f, 0, 2, ASSERT | APIC_STARTUP << 8 | 0x9a);
    send(f, 1, 0, ASSERT | APIC_NMI << 8);
    assert_int_equal(f->signals, 4);
    assert_int_equal(f->signal[0].processor, 1);
    assert_int_equal(f->signal[0].mode, APIC_INIT);
    assert_int_equal(f->signal[1].processor, 2);
    assert_int_equal(f->signal[2].processor, 2);
    assert_int_equal(f->signal[2].mode, APIC_STARTUP);
    assert_int_equal(f->signal[2].vector, 0x9a);
    assert_int_equal(f->signal[3].processor, 0);
    assert_int_equal(f->signal[3].mode, APIC_NMI);
    assert_int_equal(requests(f), 0);
}

static void init_keeps_the_id_and_clears_the_rest(void **state)
{
    struct fixture *f = *state;
    set(f, 1, ID, 5u << 24);
    set(f, 1, TPR, 0x20);
    send(f, 0, 5, 0x70);
    apic_init(f->apic[1]);
    assert_int_equal(get(f, 1, ID), 5u << 24);
    assert_int_equal(get(f, 1, TPR), 0);
    assert_int_equal(get(f, 1, SVR), 0xff);
    assert_int_equal(requests(f), 0);
}

static void one_switched_off_forgets_and_takes_no_message(void **state)
{
    struct fixture *f = *state;
    set(f, 1, ID, 5u << 24);
    set(f, 1, TPR, 0x20);
    set(f, 1, LDR, 1u << 24);
    send(f, 0, 5, 0x70);
    apic_set_mode(f->apic[1], false, false);
    assert_false(apic_output(f->apic[1]));
    assert_true(apic_accepts_external(f->apic[1]));
    send(f, 0, 1, 0x41);
    assert_int_equal(requests(f), 0);
    send(f, 0, 0xff, LOGICAL | 0x42);
    assert_int_equal(requests(f), 1 << 0 | 1 << 2);
    send(f, 0, 0, TO_OTHERS | 0x43);
    assert_int_equal(requests(f), 1 << 2);
    set(f, 0, TPR, 0x10);
    set(f, 2, TPR, 0x10);
    send(f, 0, 0xff, APIC_LOWEST_PRIORITY << 8 | 0x90);
    assert_int_equal(requests(f), 1 << 0);
    send(f, 0, 0, TO_OTHERS | ASSERT | APIC_NMI << 8);
    send(f, 0, 1, ASSERT | APIC_INIT << 8);
    assert_int_equal(f->signals, 1);
    assert_int_equal(f->signal[0].processor, 2);
    apic_set_mode(f->apic[1], true, false);
    assert_int_equal(get(f, 1, ID), 1u << 24);
    assert_int_equal(get(f, 1, SVR), 0xff);
    assert_int_equal(get(f, 1, LDR), 0);
    assert_int_equal(get(f, 1, TPR), 0x20); /* the processor's CR8 */
    assert_false(apic_accepts_external(f->apic[1]));
    set(f, 1, SVR, 0x1ff);
    assert_int_equal(requests(f), 0);
    send(f, 0, 1, 0x41);
    assert_int_equal(requests(f), 1 << 1);
}

static void whether_it_is_there_is_part_of_its_state(void **state)
{
    struct fixture *f = *state;
    const struct apic_config config = {
        .clock = &f->board.clock, .bus = f->bus, .can_be_absent = true};
    struct apic *apic = apic_create(&config, NULL);
    assert_non_null(apic);
    const struct device device = apic_device(apic);
    struct buffer saved = {0};
    apic_set_mode(apic, false, false);
    device.ops->save(apic, &saved);
    device.ops->reset(apic);
    assert_true(apic_is_present(apic));
    struct reader in = {.data = saved.data, .size = saved.size};
    device.ops->restore(apic, &in);
    assert_false(in.failed);
    assert_int_equal(in.position, saved.size);
    assert_false(apic_is_present(apic));
    buffer_free(&saved);
    apic_destroy(apic);
}

static void a_hidden_apic_reads_as_ones(void **state)
{
    struct fixture *f = *state;
    set(f, 0, TPR, 0x20);
    apic_bus_hide(f->bus, true);
    assert_int_equal(get(f, 0, TPR), UINT32_MAX);
    set(f, 0, TPR, 0x50);
    apic_bus_hide(f->bus, false);
    assert_int_equal(get(f, 0, TPR), 0x20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_guest_sees_the_apic_of_the_processor_that_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(
            only_the_first_processor_starts_with_its_apic_enabled, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_message_reaches_the_processor_with_the_physical_id, setup, teardown),
        cmocka_unit_test_setup_teardown(
            shorthands_name_the_sender_all_and_all_others, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_logical_destination_is_a_set_of_processors, setup, teardown),
        cmocka_unit_test_setup_teardown(
            lowest_priority_goes_to_one_processor_the_least_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(
            one_switched_off_forgets_and_takes_no_message, setup, teardown),
        cmocka_unit_test_setup_teardown(whether_it_is_there_is_part_of_its_state, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hidden_apic_reads_as_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_can_interrupt_any_processor, setup, teardown),
        cmocka_unit_test_setup_teardown(
            init_and_startup_reach_the_machine_for_each_processor_addressed, setup, teardown),
        cmocka_unit_test_setup_teardown(init_keeps_the_id_and_clears_the_rest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
