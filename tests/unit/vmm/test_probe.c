/* What the probe makes of a host that is no use: here the software CPU with its kick taken away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/cpu/soft.h"
#include "vmm/kvm/trial.h"
#include "vmm/machine/probe.h"

static struct engine_ops ops;
static unsigned kicks;
static void (*real_kick)(struct engine *engine);

static void kick_is_lost(struct engine *engine)
{
    (void)engine;
    kicks++;
}

/* As on a host that holds everything still while the guest computes. */
static void kick_is_late(struct engine *engine)
{
    kicks++;
    real_kick(engine);
}

static void open_trial(struct trial *trial, void (*kick)(struct engine *engine))
{
    const struct memory_backend backend = {.size = 2 << 20};
    const struct engine_options options = {.native = NATIVE_NEVER};
    struct error error;
    *trial = (struct trial){0};
    kicks = 0;
    assert_int_equal(memory_create(&trial->memory, &backend, 1, &error), 0);
    trial->engine = soft_create(&trial->memory, &options, &error);
    assert_non_null(trial->engine);
    ops = *trial->engine->ops;
    real_kick = ops.kick;
    if (kick)
        ops.kick = kick;
    trial->engine->ops = &ops;
}

static void a_kick_ends_a_long_loop(void **state)
{
    struct trial trial;
    (void)state;
    open_trial(&trial, NULL);
    assert_true(probe_kick_lands(&trial, UINT64_MAX));
    trial_close(&trial);
}

static void a_loop_ends_without_a_kick(void **state)
{
    struct trial trial;
    (void)state;
    open_trial(&trial, kick_is_lost);
    assert_false(probe_kick_lands(&trial, 1 << 22));
    assert_in_range(kicks, 1, 3);
    trial_close(&trial);
}

static void a_kick_after_the_loop_is_not_taken_for_one_in_the_next(void **state)
{
    struct trial trial;
    (void)state;
    open_trial(&trial, kick_is_late);
    assert_false(probe_kick_lands(&trial, 1));
    assert_int_equal(kicks, 3);
    trial_close(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kick_ends_a_long_loop),
        cmocka_unit_test(a_loop_ends_without_a_kick),
        cmocka_unit_test(a_kick_after_the_loop_is_not_taken_for_one_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
