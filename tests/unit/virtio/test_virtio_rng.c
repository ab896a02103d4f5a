/* virtio-rng as a driver meets it (virtio 1.2, section 5.4). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_nic.h"

static int set_up(void **state)
{
    *state = nic_driver_create(true);
    return 0;
}

static int tear_down(void **state)
{
    nic_driver_destroy(*state);
    return 0;
}

static void start(struct nic_driver *n)
{
    nic_start(n, VIRTIO_F_VERSION_1);
    n->next_byte = 0;
}

static void the_function_is_an_entropy_source(void **state)
{
    struct nic_driver *n = *state;
    assert_int_equal(config_get(n->d, NIC_SLOT, 0, 4), 0x10441af4);
    assert_int_equal(reg(n->d, 0x12, 2), 1);
    assert_true(
        features(n->d) == (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX));
}

static void buffers_are_filled(void **state)
{
    struct nic_driver *n = *state;
    start(n);
    nic_buffer(n, 0, 0, DATA, 10);
    assert_int_equal(nic_used(n, 0), 1);
    assert_int_equal(nic_used_length(n, 0, 0), 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(n->d->ram[DATA + i], i + 1);
    assert_int_equal(n->d->ram[DATA + 10], 0);
    assert_true(n->d->written[DATA / 512]);
    assert_true(n->d->line[n->line]);
    /* A long buffer gets at least a byte, and says how many. */
    nic_buffer(n, 0, 1, DATA + 4096, 5000);
    assert_int_equal(nic_used_length(n, 0, 1), VIRTIO_RNG_MOST);
    assert_int_equal(n->d->ram[DATA + 4096], 11);
    assert_int_equal(n->d->ram[DATA + 4096 + VIRTIO_RNG_MOST], 0);
}

static void scattered_buffers_are_filled_in_order(void **state)
{
    struct nic_driver *n = *state;
    start(n);
    descriptor(n->d, ring_at(0, RING_DESC), 0, DATA, 3, 3, 1);
    descriptor(n->d, ring_at(0, RING_DESC), 1, DATA + 100, 4, 2, 0);
    nic_offer(n, 0, 0);
    nic_notify(n, 0);
    assert_int_equal(nic_used_length(n, 0, 0), 7);
    static const uint8_t first[] = {1, 2, 3, 0}, second[] = {4, 5, 6, 7, 0};
    assert_memory_equal(n->d->ram + DATA, first, sizeof first);
    assert_memory_equal(n->d->ram + DATA + 100, second, sizeof second);
}

/* The driver must not put device-readable buffers there; nothing is asked of the host for them. */
static void readable_buffers_get_nothing(void **state)
{
    struct nic_driver *n = *state;
    start(n);
    descriptor(n->d, ring_at(0, RING_DESC), 0, DATA, 64, 0, 0);
    nic_offer(n, 0, 0);
    nic_notify(n, 0);
    assert_int_equal(n->next_byte, 0);
    assert_int_equal(n->d->ram[DATA], 0);
}

static void buffers_outside_memory_break_the_device(void **state)
{
    struct nic_driver *n = *state;
    start(n);
    nic_buffer(n, 0, 0, RAM_SIZE - 4, 5);
    assert_int_equal(reg(n->d, 0x14, 1) & 64, 64);
    assert_int_equal(n->next_byte, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_function_is_an_entropy_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buffers_are_filled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scattered_buffers_are_filled_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readable_buffers_get_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buffers_outside_memory_break_the_device, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
