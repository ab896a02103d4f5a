/* Configuration mechanism 1, BARs, capabilities and interrupt routing, through the ports. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_driver.h"

static void functions_answer_and_others_do_not(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    assert_int_equal(config_get(d, 0, 0, 4), 0x12378086);
    assert_int_equal(config_get(d, 1, 0, 4), 0x70008086);
    assert_int_equal(config_get(d, 2, 0, 4), 0x10421af4);
    assert_int_equal(config_get(d, 3, 0, 4), UINT32_MAX);
    assert_int_equal(config_get(d, 2, 2, 2), 0x1042);
    assert_int_equal(config_get(d, 2, 1, 1), 0x1a);
    assert_int_equal(config_get(d, 2, 0x0b, 1), 1); /* mass storage */
    /* Other buses and functions are empty; without the enable bit nothing answers. */
    bus_write(&d->ports, 0xcf8, 4, 0x80010000);
    assert_int_equal((uint32_t)bus_read(&d->ports, 0xcfc, 4), UINT32_MAX);
    bus_write(&d->ports, 0xcf8, 4, 0x80000100);
    assert_int_equal((uint32_t)bus_read(&d->ports, 0xcfc, 4), UINT32_MAX);
    bus_write(&d->ports, 0xcf8, 4, 0);
    assert_int_equal((uint32_t)bus_read(&d->ports, 0xcfc, 4), UINT32_MAX);
    bus_write(&d->ports, 0xcf8, 4, 0x80001004);
    assert_int_equal(bus_read(&d->ports, 0xcf8, 4), 0x80001004);
    bus_write(&d->ports, 0xcf8, 2, 0x1234); /* only whole double words reach the register */
    assert_int_equal(bus_read(&d->ports, 0xcf8, 4), 0x80001004);
    driver_destroy(d);
}

static void bars_are_sized_and_moved(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    uint64_t first = d->bar;
    assert_non_null(bus_find(&d->mmio, first));
    assert_int_equal(reg(d, 0x12, 2), 1); /* one queue */
    config_set(d, 2, 4, 2, 0);
    assert_null(bus_find(&d->mmio, first));
    config_set(d, 2, 0x10, 4, UINT32_MAX);
    assert_int_equal(config_get(d, 2, 0x10, 4), 0xffffc000);
    config_set(d, 2, 0x14, 4, UINT32_MAX);
    assert_int_equal(config_get(d, 2, 0x14, 4), 0xfffff000); /* the MSI-X table */
    config_set(d, 2, 0x18, 4, UINT32_MAX);
    assert_int_equal(config_get(d, 2, 0x18, 4), 0);
    config_set(d, 2, 0x10, 4, 0xe8004000);
    config_set(d, 2, 4, 2, 2);
    assert_null(bus_find(&d->mmio, first));
    d->bar = 0xe8004000;
    assert_int_equal(reg(d, 0x12, 2), 1);
    /* IDs and the pin are not the guest's to change. */
    config_set(d, 2, 0, 4, 0);
    config_set(d, 2, 0x3c, 2, 0x0407);
    assert_int_equal(config_get(d, 2, 0, 4), 0x10421af4);
    assert_int_equal(config_get(d, 2, 0x3c, 2), 0x0107);
    driver_destroy(d);
}

static void capabilities_form_a_list(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    unsigned found = 0, seen = 0;
    assert_true(config_get(d, 2, 6, 2) & 0x10);
    for (unsigned at = config_get(d, 2, 0x34, 1); at; at = config_get(d, 2, at + 1, 1)) {
        assert_true(at >= 0x40 && at % 4 == 0 && ++seen < 10);
        if (config_get(d, 2, at, 1) == 0x11) { /* MSI-X: two vectors, table in BAR 1 */
            assert_int_equal(config_get(d, 2, at + 2, 2), 1);
            assert_int_equal(config_get(d, 2, at + 4, 4), 1);
            assert_int_equal(config_get(d, 2, at + 8, 4), 0x801);
            continue;
        }
        assert_int_equal(config_get(d, 2, at, 1), 9);
        found |= 1u << config_get(d, 2, at + 3, 1);
        if (config_get(d, 2, at + 3, 1) == 2)
            assert_int_equal(config_get(d, 2, at + 16, 4), 4);
    }
    assert_int_equal(found, 0x3e); /* common, notify, ISR, device, PCI access */
    driver_destroy(d);
}

static unsigned access_capability(struct driver *d)
{
    unsigned at = config_get(d, 2, 0x34, 1);
    while (config_get(d, 2, at + 3, 1) != 5)
        at = config_get(d, 2, at + 1, 1);
    return at;
}

static void registers_through_configuration_space(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    unsigned at = access_capability(d);
    config_set(d, 2, at + 4, 1, 0);
    config_set(d, 2, at + 8, 4, 0x14);
    config_set(d, 2, at + 12, 4, 1);
    config_set(d, 2, at + 16, 1, 3);
    assert_int_equal(reg(d, 0x14, 1), 3);
    assert_int_equal(config_get(d, 2, at + 16, 1), 3);
    config_set(d, 2, at + 8, 4, 0x2000);
    config_set(d, 2, at + 12, 4, 4);
    assert_int_equal(config_get(d, 2, at + 16, 4), DISK_SECTORS);
    /* What lies outside the BAR does nothing. */
    config_set(d, 2, at + 8, 4, 0xfffffffc);
    config_set(d, 2, at + 16, 4, 1);
    (void)config_get(d, 2, at + 16, 4);
    config_set(d, 2, at + 8, 4, 0x14);
    config_set(d, 2, at + 12, 4, 3);
    config_set(d, 2, at + 16, 4, 0);
    assert_int_equal(reg(d, 0x14, 1), 3);
    driver_destroy(d);
}

static void interrupts_follow_the_routing(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    struct pci_function *function = virtio_blk_function(d->blk);
    unsigned line = config_get(d, 2, 0x3c, 1);
    assert_in_range(line, 3, 15);
    pci_set_interrupt(function, true);
    assert_true(d->line[line]);
    assert_true(config_get(d, 2, 6, 2) & 8);
    /* Slot 2 is on PIRQB: register 0x61 of the ISA bridge. */
    config_set(d, 1, 0x61, 1, 7);
    assert_false(d->line[line]);
    assert_true(d->line[7]);
    config_set(d, 1, 0x61, 1, 0x80);
    assert_false(d->line[7]);
    config_set(d, 1, 0x61, 1, 7);
    config_set(d, 2, 4, 2, 0x406); /* INTx disable */
    assert_false(d->line[7]);
    config_set(d, 2, 4, 2, 0x006);
    assert_true(d->line[7]);
    pci_set_interrupt(function, false);
    assert_false(d->line[7]);
    driver_destroy(d);
}

static void state_survives_saving(void **state)
{
    (void)state;
    struct driver *d = driver_create(false);
    struct device device = pci_device(d->pci);
    struct buffer saved = {0}, again = {0};
    config_set(d, 2, 4, 2, 0);
    config_set(d, 2, 0x10, 4, 0xe9000000);
    config_set(d, 2, 4, 2, 6);
    device.ops->save(device.object, &saved);
    config_set(d, 2, 0x10, 4, 0xea000000);
    config_set(d, 1, 0x61, 1, 3);
    device.ops->reset(device.object);
    assert_int_equal(d->mmio.count, 0);
    struct reader reader;
    reader_init(&reader, saved.data, saved.size);
    device.ops->restore(device.object, &reader);
    assert_false(reader.failed);
    assert_int_equal(reader_left(&reader), 0);
    device.ops->save(device.object, &again);
    assert_int_equal(again.size, saved.size);
    assert_memory_equal(again.data, saved.data, saved.size);
    assert_non_null(bus_find(&d->mmio, 0xe9000000));
    buffer_free(&saved);
    buffer_free(&again);
    driver_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_answer_and_others_do_not),
        cmocka_unit_test(bars_are_sized_and_moved),
        cmocka_unit_test(capabilities_form_a_list),
        cmocka_unit_test(registers_through_configuration_space),
        cmocka_unit_test(interrupts_follow_the_routing),
        cmocka_unit_test(state_survives_saving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
