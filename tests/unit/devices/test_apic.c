/* Expectations from the AMD64 APM volume 2, chapter 16, and the Intel 82093AA data sheet. */
#include "board.h"

#include <stdio.h>
#include <string.h>

#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "devices/ioapic.h"

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0 };
enum { SVR = 0xf0, ISR = 0x100, IRR = 0x200, ESR = 0x280, ICR = 0x300, TIMER = 0x320 };
enum { LINT0 = 0x350, LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };
enum { MASKED = 1 << 16, PERIODIC = 1 << 17, DEADLINE = 1 << 18, LEVEL = 1 << 15 };

struct fixture {
    struct board board;
    struct bus mmio;
    struct apic_bus *apics;
    struct apic *apic;
    struct ioapic *ioapic;
    unsigned priorities;
};

static bool send(void *target, const struct apic_message *message)
{
    return apic_bus_send(((struct fixture *)target)->apics, message, NULL, APIC_TO_DESTINATION);
}

static void ended(void *target, uint8_t vector)
{
    ioapic_ended(((struct fixture *)target)->ioapic, vector);
}

static void priority_written(void *target)
{
    ((struct fixture *)target)->priorities++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    bus_init(&f->mmio, 1ull << 40);
    f->apics = apic_bus_create(&(struct apic_bus_config){0}, NULL);
    assert_non_null(f->apics);
    const struct apic_config config = {
        .bus = f->apics,
        .clock = &f->board.clock,
        .ended = ended,
        .ended_target = f,
        .priority_written = priority_written,
        .machine = f,
        .can_be_absent = true,
        .has_extensions = true,
    };
    f->apic = apic_create(&config, NULL);
    f->ioapic = ioapic_create(&(struct ioapic_config){send, f}, NULL);
    assert_true(f->apic && f->ioapic);
    apic_bus_add(f->apics, f->apic);
    assert_int_equal(apic_bus_attach(f->apics, &f->mmio, NULL), 0);
    assert_int_equal(ioapic_attach(f->ioapic, &f->mmio, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ioapic_destroy(f->ioapic);
    apic_destroy(f->apic);
    apic_bus_destroy(f->apics);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, unsigned reg)
{
    return (uint32_t)bus_read(&f->mmio, 0xfee00000 + reg, 4);
}

static void set(struct fixture *f, unsigned reg, uint32_t value)
{
    bus_write(&f->mmio, 0xfee00000 + reg, 4, value);
}

static uint32_t get_io(struct fixture *f, uint8_t index)
{
    bus_write(&f->mmio, 0xfec00000, 4, index);
    return (uint32_t)bus_read(&f->mmio, 0xfec00010, 4);
}

static void set_io(struct fixture *f, uint8_t index, uint32_t value)
{
    bus_write(&f->mmio, 0xfec00000, 4, index);
    bus_write(&f->mmio, 0xfec00010, 4, value);
}

static void interrupt(struct fixture *f, uint8_t vector)
{
    assert_true(send(f, &(struct apic_message){.vector = vector}));
}

static void firmware_leaves_a_virtual_wire(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, VERSION), 0x00050014);
    assert_int_equal(get(f, SVR), 0x1ff);
    assert_int_equal(get(f, LINT0), 0x700);
    assert_int_equal(get(f, TIMER), MASKED);
    assert_true(apic_accepts_external(f->apic));
    set(f, LINT0, 0x700 | MASKED);
    assert_false(apic_accepts_external(f->apic));
    set(f, LINT0, 0x700);
    set(f, SVR, 0xff); /* disabled by software: every local vector is masked */
    assert_int_equal(get(f, LINT0), 0x700 | MASKED);
    assert_false(apic_accepts_external(f->apic));
}

static void higher_priorities_interrupt_lower_ones(void **state)
{
    struct fixture *f = *state;
    assert_false(apic_output(f->apic));
    interrupt(f, 0x41);
    interrupt(f, 0x62);
    assert_int_equal(get(f, IRR + 0x20), 1u << 1);
    assert_int_equal(get(f, IRR + 0x30), 1u << 2);
    assert_true(apic_output(f->apic));
    assert_int_equal(apic_acknowledge(f->apic), 0x62);
    assert_int_equal(get(f, ISR + 0x30), 1u << 2);
    assert_int_equal(get(f, PPR), 0x60);
    assert_false(apic_output(f->apic)); /* class 4 waits for class 6 */
    interrupt(f, 0x6f);
    assert_false(apic_output(f->apic)); /* the same class */
    interrupt(f, 0x70);
    assert_int_equal(apic_acknowledge(f->apic), 0x70);
    set(f, EOI, 0);
    set(f, EOI, 0);
    assert_int_equal(apic_acknowledge(f->apic), 0x6f);
    set(f, EOI, 0);
    assert_int_equal(apic_acknowledge(f->apic), 0x41);
    set(f, EOI, 0);
    assert_false(apic_output(f->apic));
    assert_int_equal(apic_acknowledge(f->apic), 0xff); /* spurious, not in service */
    assert_int_equal(get(f, PPR), 0);
}

static void the_task_priority_holds_interrupts_back(void **state)
{
    struct fixture *f = *state;
    interrupt(f, 0x55);
    set(f, TPR, 0x50);
    assert_int_equal(f->priorities, 1);
    assert_int_equal(apic_get_cr8(f->apic), 5);
    assert_false(apic_output(f->apic));
    assert_true(apic_has_request(f->apic));
    assert_int_equal(apic_request_priority(f->apic), 5);
    apic_set_cr8(f->apic, 4);
    assert_int_equal(get(f, TPR), 0x40);
    assert_true(apic_output(f->apic));
    set(f, TPR, 0x47);
    apic_set_cr8(f->apic, 4); /* no change: the low half stays */
    assert_int_equal(get(f, TPR), 0x47);
}

static void messages_find_their_processor(void **state)
{
    struct fixture *f = *state;
    struct apic_message message = {.destination = 1, .vector = 0x40};
    assert_false(send(f, &message));
    set(f, ID, 1u << 24);
    assert_true(send(f, &message));
    message.is_logical = true;
    set(f, LDR, 0x06000000);
    assert_false(send(f, &message));
    message.destination = 0x02;
    assert_true(send(f, &message));
    set(f, DFR, 0x0fffffff); /* clusters */
    set(f, LDR, 0x32000000);
    message.destination = 0x22;
    assert_false(send(f, &message));
    message.destination = 0x3f;
    assert_true(send(f, &message));
    apic_acknowledge(f->apic);
    set(f, EOI, 0);
    apic_bus_send_msi(f->apics, 0xfee01000, 0x4091); /* physical, APIC 1 */
    assert_int_equal(apic_acknowledge(f->apic), 0x91);
    apic_bus_send_msi(f->apics, 0xfed01000, 0x40a1);
    assert_false(apic_has_request(f->apic));
}

/* The same registers, but for their other forms: Intel SDM volume 3, 11.12. */
static void x2apic_mode_has_wide_ids(void **state)
{
    struct fixture *f = *state;
    set(f, TPR, 0x35);
    set(f, LDR, 0x07000000);
    apic_set_mode(f->apic, true, true);
    assert_int_equal(apic_read_msr(f->apic, 0x02), 0); /* its ID, not shifted */
    assert_int_equal(apic_read_msr(f->apic, 0x08), 0x35);
    assert_int_equal(apic_read_msr(f->apic, 0x0d), 1); /* cluster 0, the first in it */
    assert_int_equal(apic_read_msr(f->apic, 0x0f), 0x1ff);
    apic_write_msr(f->apic, 0x08, 0);
    struct apic_message message = {.destination = 0xff, .vector = 0x40, .is_wide = true};
    assert_false(send(f, &message)); /* a processor of its own there */
    message.destination = 0xffffffff;
    assert_true(send(f, &message));
    message = (struct apic_message){.destination = 0xff, .vector = 0x40};
    assert_true(send(f, &message)); /* everybody, of the I/O APIC */
    message = (struct apic_message){.destination = 3, .is_logical = true, .vector = 0x40};
    assert_true(send(f, &message));
    message.destination = 2;
    assert_false(send(f, &message));
    message = (struct apic_message){.destination = 0x10001, .is_logical = true, .is_wide = true};
    assert_false(send(f, &message)); /* of cluster 1 */
    /* The ICR is one register, and there is one for messages to itself. */
    apic_acknowledge(f->apic);
    apic_write_msr(f->apic, 0x0b, 0);
    apic_write_msr(f->apic, 0x30, 0x12300004041);
    assert_true(apic_read_msr(f->apic, 0x30) == 0x12300004041);
    assert_false(apic_output(f->apic)); /* for APIC 123h */
    apic_write_msr(f->apic, 0x3f, 0x77);
    assert_int_equal(apic_read_msr(f->apic, 0x23), 1 << (0x77 - 0x60));
    assert_int_equal(apic_acknowledge(f->apic), 0x77);
    apic_init(f->apic);
    assert_int_equal(apic_read_msr(f->apic, 0x0d), 1); /* INIT keeps the mode */
    assert_int_equal(apic_read_msr(f->apic, 0x0f), 0xff);
    apic_set_mode(f->apic, false, false);
    apic_set_mode(f->apic, true, false);
    assert_int_equal(get(f, LDR), 0);
}

static void the_deadline_is_one_of_the_tsc(void **state)
{
    struct fixture *f = *state;
    apic_set_deadline(f->apic, 4000, 2000);
    assert_true(apic_get_deadline(f->apic) == 0); /* in another mode */
    set(f, TIMER, DEADLINE | 0x61);
    assert_int_equal(get(f, TIMER), DEADLINE | 0x61);
    set(f, INITIAL, 100);
    assert_int_equal(get(f, INITIAL), 0);
    apic_set_deadline(f->apic, 4000, 2000);
    assert_true(apic_get_deadline(f->apic) == 4000);
    assert_int_equal(get(f, CURRENT), 0);
    const struct device device = apic_device(f->apic);
    struct buffer saved = {0};
    device.ops->save(device.object, &saved);
    advance_to(&f->board, 1999);
    assert_false(apic_output(f->apic));
    advance_to(&f->board, 2000);
    assert_int_equal(apic_acknowledge(f->apic), 0x61);
    set(f, EOI, 0);
    assert_true(apic_get_deadline(f->apic) == 0);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    /* Masked it runs out all the same; 0 and another mode disarm. */
    set(f, TIMER, DEADLINE | MASKED | 0x61);
    apic_set_deadline(f->apic, 6000, 3000);
    advance_to(&f->board, 3000);
    assert_true(apic_get_deadline(f->apic) == 0);
    assert_false(apic_output(f->apic));
    apic_set_deadline(f->apic, 8000, 4000);
    apic_set_deadline(f->apic, 0, 0);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    apic_set_deadline(f->apic, 8000, 4000);
    set(f, TIMER, 0x61);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    assert_true(apic_get_deadline(f->apic) == 0);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(device.object, &in);
    assert_false(in.failed);
    assert_true(apic_get_deadline(f->apic) == 4000);
    assert_true(clock_next_deadline(&f->board.clock) == 2000);
    buffer_free(&saved);
}

static void a_processor_interrupts_itself(void **state)
{
    struct fixture *f = *state;
    set(f, ICR, 0x40000 | 0x33); /* to self */
    assert_int_equal(apic_acknowledge(f->apic), 0x33);
    set(f, EOI, 0);
    set(f, ICR, 0xc0000 | 0x34); /* to all others */
    assert_false(apic_output(f->apic));
    set(f, ICR + 0x10, 0);
    set(f, ICR, 0x35);
    assert_int_equal(apic_acknowledge(f->apic), 0x35);
    set(f, EOI, 0);
    set(f, LVT_ERROR, 0x36);
    set(f, ICR, 0x40000 | 0x05); /* vectors below 16 cannot be sent */
    assert_int_equal(apic_acknowledge(f->apic), 0x36);
    assert_int_equal(get(f, ESR), 0);
    set(f, ESR, 0);
    assert_int_equal(get(f, ESR), 1 << 5);
}

static void the_timer_fires_once(void **state)
{
    struct fixture *f = *state;
    advance_to(&f->board, 5000);
    set(f, DIVIDE, 0x3); /* by 16 */
    set(f, TIMER, 0x50);
    set(f, INITIAL, 1000);
    f->board.time = 5000 + 16 * 250;
    assert_int_equal(get(f, CURRENT), 750);
    assert_true(clock_next_deadline(&f->board.clock) == 5000 + 16000);
    advance_to(&f->board, 20999);
    assert_false(apic_output(f->apic));
    advance_to(&f->board, 21000);
    assert_int_equal(apic_acknowledge(f->apic), 0x50);
    assert_int_equal(get(f, CURRENT), 0);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    set(f, EOI, 0);
    set(f, INITIAL, 10);
    set(f, INITIAL, 0); /* stops it */
    advance_to(&f->board, 100000);
    assert_false(apic_output(f->apic));
}

static void the_timer_fires_again_and_again(void **state)
{
    struct fixture *f = *state;
    set(f, DIVIDE, 0xb); /* by 1 */
    set(f, TIMER, 0x50 | PERIODIC);
    set(f, INITIAL, 3000);
    for (unsigned i = 1; i <= 5; i++) {
        advance_to(&f->board, 3000 * i - 1);
        assert_false(apic_output(f->apic));
        advance_to(&f->board, 3000 * i);
        assert_int_equal(apic_acknowledge(f->apic), 0x50);
        set(f, EOI, 0);
    }
    /* Many periods at once are one request; the phase stays. */
    advance_to(&f->board, 3000 * 1000 + 1000);
    assert_int_equal(apic_acknowledge(f->apic), 0x50);
    set(f, EOI, 0);
    assert_false(apic_output(f->apic));
    assert_int_equal(get(f, CURRENT), 2000);
    assert_true(clock_next_deadline(&f->board.clock) == 3000 * 1001);
    set(f, TIMER, 0x50 | PERIODIC | MASKED);
    advance_to(&f->board, 3000 * 2000);
    assert_false(apic_output(f->apic));
    set(f, TIMER, 0x50 | PERIODIC);
    assert_true(clock_next_deadline(&f->board.clock) == 3000 * 2001);
}

/* Inputs 3 and 4 with vectors 0x61 and 0x62. */
static void edges_and_levels_go_through_the_io_apic(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_io(f, 1), 0x00170011);
    assert_int_equal(get_io(f, 0x16), MASKED);
    ioapic_set_line(f->ioapic, 3, true);
    set_io(f, 0x16, 0x61);
    assert_false(apic_output(f->apic)); /* an edge while masked is lost */
    ioapic_set_line(f->ioapic, 3, false);
    ioapic_set_line(f->ioapic, 3, true);
    assert_int_equal(apic_acknowledge(f->apic), 0x61);
    set(f, EOI, 0);
    assert_false(apic_output(f->apic));

    ioapic_set_line(f->ioapic, 4, true);
    set_io(f, 0x18, 0x62 | LEVEL);
    assert_int_equal(get_io(f, 0x18), 0x62 | LEVEL | 1 << 14);
    assert_int_equal(apic_acknowledge(f->apic), 0x62);
    assert_int_equal(get(f, 0x180 + 0x30), 1u << 2); /* TMR */
    ioapic_set_line(f->ioapic, 4, false);
    ioapic_set_line(f->ioapic, 4, true);
    assert_false(apic_has_request(f->apic)); /* remote IRR holds it */
    set(f, EOI, 0);
    assert_int_equal(apic_acknowledge(f->apic), 0x62); /* still asserted: again */
    ioapic_set_line(f->ioapic, 4, false);
    set(f, EOI, 0);
    assert_false(apic_has_request(f->apic));
    assert_int_equal(get_io(f, 0x18), 0x62 | LEVEL);
}

static uint64_t random_state = 7;

static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static void step(struct fixture *f, uint32_t choice, uint32_t value)
{
    static const uint16_t registers[] = {
        ID, TPR, EOI, LDR, DFR, SVR, ESR, ICR, TIMER, LINT0, LVT_ERROR, INITIAL, DIVIDE, CURRENT};
    switch (choice % 5) {
    case 0:
        set(f, registers[value % 14], value >> 4 & (choice & 8 ? 0xffffffff : 0x3ffff));
        break;
    case 1:
        advance_to(&f->board, f->board.time + (value & 0xfffff));
        break;
    case 2:
        ioapic_set_line(f->ioapic, value % 24, value & 32);
        break;
    case 3:
        set_io(f, (uint8_t)(0x10 + value % 48), value & 32 ? value >> 6 & 0x1ffff : 0);
        break;
    default:
        if (apic_output(f->apic))
            apic_acknowledge(f->apic);
        break;
    }
}

static void save(struct fixture *f, struct buffer *out)
{
    struct device apic = apic_device(f->apic), ioapic = ioapic_device(f->ioapic);
    apic.ops->save(apic.object, out);
    ioapic.ops->save(ioapic.object, out);
    assert_false(out->failed);
}

static void restored_controllers_continue_alike(void **state)
{
    struct fixture *f = *state;
    void *other_state;
    setup(&other_state);
    struct fixture *g = other_state;
    printf("seed %llu\n", (unsigned long long)random_state);
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; i < 20; i++)
            step(f, next_random(), next_random());
        struct buffer saved = {0}, left = {0}, right = {0};
        save(f, &saved);
        struct reader in;
        reader_init(&in, saved.data, saved.size);
        g->board.time = f->board.time;
        g->board.clock.now = f->board.clock.now;
        apic_device(g->apic).ops->restore(g->apic, &in);
        ioapic_device(g->ioapic).ops->restore(g->ioapic, &in);
        assert_false(in.failed || reader_left(&in));
        uint64_t seed = random_state;
        for (unsigned i = 0; i < 20; i++)
            step(f, next_random(), next_random());
        random_state = seed;
        for (unsigned i = 0; i < 20; i++)
            step(g, next_random(), next_random());
        save(f, &left);
        save(g, &right);
        assert_int_equal(left.size, right.size);
        assert_memory_equal(left.data, right.data, left.size);
        buffer_free(&saved);
        buffer_free(&left);
        buffer_free(&right);
    }
    teardown(&other_state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(firmware_leaves_a_virtual_wire, setup, teardown),
        cmocka_unit_test_setup_teardown(higher_priorities_interrupt_lower_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(the_task_priority_holds_interrupts_back, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_find_their_processor, setup, teardown),
        cmocka_unit_test_setup_teardown(x2apic_mode_has_wide_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(the_deadline_is_one_of_the_tsc, setup, teardown),
        cmocka_unit_test_setup_teardown(a_processor_interrupts_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(the_timer_fires_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_timer_fires_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(edges_and_levels_go_through_the_io_apic, setup, teardown),
        cmocka_unit_test_setup_teardown(restored_controllers_continue_alike, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
