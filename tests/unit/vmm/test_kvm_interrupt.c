/* When KVM takes an interrupt: one at a time, so that a second one at the same boundary has to
 * wait, whichever way the registers come; and how one that waits learns that it can be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "vmm/kvm/kvm.h"
#include "vmm/kvm/trial.h"
#include "vmm/machine/probe.h"

enum { VECTOR = 0x20 };

static struct trial trial;
static struct error error;

static void a_second_interrupt_waits(bool sync_regs)
{
    /* STI; NOP; OUT; the handler: OUT to the next port. */
    static const uint8_t code[] = {0xfb, 0x90, 0xe6, TRIAL_PORT, 0xe6, TRIAL_PORT};
    static const uint8_t handler[] = {0xe6, TRIAL_PORT + 1};
    struct engine *engine = trial.engine;
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    struct vcpu_exit exit;
    uint8_t vector;
    if (!sync_regs) {
        kvm->sync_regs = false;
        kvm->run->kvm_valid_regs = 0;
    }
    assert_true(memory_write(&trial.memory, TRIAL_HANDLER, handler, sizeof handler));
    assert_int_equal(trial_load(&trial, code, sizeof code, 0, 0, &error), 0);
    assert_int_equal(trial_run(&trial, &exit, &error), 0);
    assert_int_equal(exit.kind, EXIT_PIO_OUT);
    assert_int_equal(engine->ops->complete(engine, 0, &error), ENGINE_DONE);
    assert_true(engine->ops->interruptible(engine));
    assert_int_equal(engine->ops->interrupt(engine, VECTOR, &error), 0);
    assert_false(engine->ops->interruptible(engine));
    assert_int_equal(engine->ops->queued_interrupt(engine, &vector, &error), 1);
    assert_int_equal(vector, VECTOR);
    assert_int_equal(trial_run(&trial, &exit, &error), 0);
    assert_int_equal(exit.address, TRIAL_PORT + 1);
    assert_int_equal(engine->ops->complete(engine, 0, &error), ENGINE_DONE);
    assert_int_equal(engine->ops->queued_interrupt(engine, &vector, &error), 0);
}

static void a_second_interrupt_waits_with_shared_registers(void **state)
{
    (void)state;
    a_second_interrupt_waits(true);
}

static void a_second_interrupt_waits_without(void **state)
{
    (void)state;
    a_second_interrupt_waits(false);
}

/* Until an interrupt of the given priority could be taken, or OUT. */
static enum exit_kind run_until_interruptible(unsigned cr8, unsigned priority)
{
    /* STI; NOP; OUT */
    static const uint8_t code[] = {0xfb, 0x90, 0xe6, TRIAL_PORT};
    const struct run_request request = {
        .budget = BUDGET_UNLIMITED, .stop_below_cr8 = (uint8_t)priority};
    struct engine *engine = trial.engine;
    struct vcpu_state state;
    struct vcpu_exit exit;
    trial_state(&trial, &state, 0);
    state.cr8 = cr8;
    assert_true(memory_write(&trial.memory, TRIAL_CODE, code, sizeof code));
    assert_int_equal(engine->ops->import_state(engine, &state, &error), 0);
    assert_int_equal(engine->ops->run(engine, &request, &exit, &error), 0);
    assert_int_equal(engine->ops->complete(engine, 0, &error), ENGINE_DONE);
    assert_true(exit.kind != EXIT_KICK || engine->ops->interruptible(engine));
    return exit.kind;
}

static void a_run_ends_where_a_waiting_interrupt_can_be_taken(void **state)
{
    (void)state;
    if (!probe_ring0_exact()) {
        puts("skipped: this KVM emulates ring 0, in batches in which it looks for no window");
        skip();
    }
    assert_int_equal(run_until_interruptible(4, 5), EXIT_KICK);
    assert_int_equal(run_until_interruptible(0, 1), EXIT_KICK);
    /* Held back by CR8, and none. */
    assert_int_equal(run_until_interruptible(5, 5), EXIT_PIO_OUT);
    assert_int_equal(run_until_interruptible(0, 0), EXIT_PIO_OUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_interrupt_waits_with_shared_registers),
        cmocka_unit_test(a_second_interrupt_waits_without),
        cmocka_unit_test(a_run_ends_where_a_waiting_interrupt_can_be_taken),
    };
    if (!trial_open(&trial, &error)) {
        puts("skipped: no usable /dev/kvm");
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    trial_close(&trial);
    return failed;
}
