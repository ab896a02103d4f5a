/* MSI-X per the PCI Local Bus Specification 3.0, section 6.8.2, through the ports and a BAR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/pci.h"
#include "devices/pci_msix.h"

enum { VECTORS = 3, MASKED = 1, ENABLE = 0x8000, MASK_ALL = 0x4000 };

struct fixture {
    struct bus ports, mmio;
    struct pci_host *host;
    struct pci_function function;
    struct pci_msix msix;
    uint64_t table;
    unsigned messages;
    uint64_t address;
    uint32_t data;
};

static void message(void *machine, uint64_t address, uint32_t data)
{
    struct fixture *f = machine;
    f->messages++;
    f->address = address;
    f->data = data;
}

static uint64_t bar_read(void *device, uint64_t address, unsigned size)
{
    return pci_msix_read(&((struct fixture *)device)->msix, address, size);
}

static void bar_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    pci_msix_write(&((struct fixture *)device)->msix, address, size, value);
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    pci_msix_config_written(&((struct fixture *)device)->msix, offset, size);
}

static uint32_t config_get(struct fixture *f, unsigned offset, unsigned size)
{
    bus_write(&f->ports, 0xcf8, 4, 0x80000000u | 2 << 11 | (offset & 0xfc));
    return (uint32_t)bus_read(&f->ports, 0xcfc + (offset & 3), size);
}

static void set_control(struct fixture *f, uint16_t value)
{
    bus_write(&f->ports, 0xcf8, 4, 0x80000000u | 2 << 11 | 0x40);
    bus_write(&f->ports, 0xcfe, 2, value);
}

static void set_entry(struct fixture *f, unsigned vector, uint64_t address, uint32_t data)
{
    bus_write(&f->mmio, f->table + vector * 16, 4, (uint32_t)address);
    bus_write(&f->mmio, f->table + vector * 16 + 4, 4, address >> 32);
    bus_write(&f->mmio, f->table + vector * 16 + 8, 4, data);
    bus_write(&f->mmio, f->table + vector * 16 + 12, 4, 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    bus_init(&f->ports, 65536);
    bus_init(&f->mmio, 1ull << 36);
    const struct pci_config config = {
        .ports = &f->ports, .mmio = &f->mmio, .message = message, .machine = f};
    f->host = pci_create(&config, NULL);
    assert_non_null(f->host);
    assert_int_equal(pci_attach(f->host, NULL), 0);
    pci_function_init(&f->function, 0x1234, 0x5678, 0xff0000, 0);
    f->function.name = "test";
    f->function.device = f;
    f->function.config_written = config_written;
    f->function.bar[2] =
        (struct pci_bar){.size = PCI_MSIX_BAR_SIZE, .read = bar_read, .write = bar_write};
    assert_true(pci_msix_init(&f->msix, &f->function, 2, VECTORS));
    assert_int_equal(pci_add(f->host, &f->function, NULL), 0);
    pci_setup(f->host);
    f->table = config_get(f, 0x18, 4) & ~15u;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pci_destroy(f->host);
    free(f);
    return 0;
}

static void the_capability_describes_the_table(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(config_get(f, 0x40, 1), 0x11);
    assert_int_equal(config_get(f, 0x42, 2), VECTORS - 1);
    assert_int_equal(config_get(f, 0x44, 4), 2);
    assert_int_equal(config_get(f, 0x48, 4), 0x802);
    set_control(f, 0xffff);
    assert_int_equal(config_get(f, 0x42, 2), ENABLE | MASK_ALL | (VECTORS - 1));
    for (unsigned i = 0; i < VECTORS; i++)
        assert_int_equal(bus_read(&f->mmio, f->table + i * 16 + 12, 4), MASKED);
    bus_write(&f->mmio, f->table + 16, 8, 0x1fee01003);
    assert_true(bus_read(&f->mmio, f->table + 16, 8) == 0x1fee01000);
    assert_int_equal(bus_read(&f->mmio, f->table + VECTORS * 16, 4), 0);
}

static void interrupts_are_messages(void **state)
{
    struct fixture *f = *state;
    set_entry(f, 1, 0xfee00000, 0x4055);
    pci_msix_notify(&f->msix, 1);
    assert_int_equal(f->messages, 0); /* not enabled yet: it waits */
    set_control(f, ENABLE);
    assert_int_equal(f->messages, 1);
    assert_true(f->address == 0xfee00000);
    assert_int_equal(f->data, 0x4055);
    pci_msix_notify(&f->msix, 1);
    assert_int_equal(f->messages, 2);
    pci_msix_notify(&f->msix, VECTORS);
    assert_int_equal(f->messages, 2);
}

static void masked_vectors_wait(void **state)
{
    struct fixture *f = *state;
    set_control(f, ENABLE);
    set_entry(f, 0, 0xfee00000, 0x50);
    set_entry(f, 2, 0xfee00000, 0x52);
    bus_write(&f->mmio, f->table + 2 * 16 + 12, 4, MASKED);
    pci_msix_notify(&f->msix, 2);
    pci_msix_notify(&f->msix, 2);
    assert_int_equal(f->messages, 0);
    assert_int_equal(bus_read(&f->mmio, f->table + 0x800, 4), 1 << 2);
    bus_write(&f->mmio, f->table + 2 * 16 + 12, 4, 0);
    assert_int_equal(f->messages, 1); /* both were one */
    assert_int_equal(f->data, 0x52);
    assert_int_equal(bus_read(&f->mmio, f->table + 0x800, 4), 0);
    set_control(f, ENABLE | MASK_ALL);
    pci_msix_notify(&f->msix, 0);
    assert_int_equal(f->messages, 1);
    struct buffer saved = {0};
    pci_msix_save(&f->msix, &saved);
    pci_msix_reset(&f->msix);
    assert_int_equal(config_get(f, 0x42, 2), VECTORS - 1);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    pci_msix_restore(&f->msix, &in);
    assert_false(in.failed || reader_left(&in));
    set_control(f, ENABLE);
    assert_int_equal(f->messages, 2);
    assert_int_equal(f->data, 0x50);
    buffer_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_capability_describes_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupts_are_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(masked_vectors_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
