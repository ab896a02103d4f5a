/* Writes the ACPI tables. */
#include "vmm/boot/acpi.h"

#include <string.h>

#include "devices/acpi_pm.h"
#include "devices/apic.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "vmm/boot/aml.h"
#include "vmm/boot/bios.h"

enum { HEADER_SIZE = 36, FADT_SIZE = 244, FACS_SIZE = 64, RSDP_SIZE = 36 };

/* ---- Table headers ---- */

struct builder {
    struct memory *memory;
    uint64_t next; /* where the next table goes */
    bool failed;
};

static void begin_table(struct buffer *out, const char *signature, uint8_t revision)
{
    buffer_clear(out);
    buffer_put(out, signature, 4);
    buffer_put_u32(out, 0); /* length, set at the end */
    buffer_put_u8(out, revision);
    buffer_put_u8(out, 0); /* checksum, too */
    buffer_put(out, "HINDSI", 6);
    buffer_put(out, "HS64V1  ", 8);
    buffer_put_u32(out, 1);
    buffer_put(out, "HSGT", 4);
    buffer_put_u32(out, 1);
}

/* All bytes of a table together make 0. */
static uint8_t checksum(const uint8_t *data, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

/* Copies `size` bytes to the next place that is a multiple of `alignment`; returns it. */
static uint64_t place(struct builder *builder, const void *data, size_t size, uint64_t alignment)
{
    uint64_t address = (builder->next + alignment - 1) & ~(alignment - 1);
    if (address + size > BIOS_MP_TABLE || !memory_write(builder->memory, address, data, size)) {
        builder->failed = true;
        return 0;
    }
    builder->next = address + size;
    return address;
}

static uint64_t end_table(struct builder *builder, struct buffer *table)
{
    if (table->failed) {
        builder->failed = true;
        return 0;
    }
    uint32_t size = (uint32_t)table->size;
    memcpy(table->data + 4, &size, sizeof size);
    table->data[9] = checksum(table->data, table->size);
    return place(builder, table->data, table->size, 16);
}

/* ---- DSDT ---- */

static size_t begin_device(struct buffer *out, const char *name, const char *id)
{
    size_t start = aml_begin_device(out, name);
    aml_name(out, "_HID");
    aml_eisa_id(out, id);
    return start;
}

struct legacy_device {
    const char *name, *id;
    uint16_t ports[2];
    uint8_t size; /* ports in each */
    uint8_t irq;
};

static const struct legacy_device legacy_devices[] = {
    {"COM1", "PNP0501", {0x3f8}, 8, 4},
    {"RTC_", "PNP0B00", {0x70}, 2, 8},
    {"KBD_", "PNP0303", {0x60, 0x64}, 1, 1},
};

static void put_legacy_device(struct buffer *out, const struct legacy_device *device)
{
    size_t start = begin_device(out, device->name, device->id);
    aml_name(out, "_UID");
    aml_integer(out, 1);
    aml_name(out, "_CRS");
    size_t resources = aml_begin_resources(out);
    for (unsigned i = 0; i < 2 && device->ports[i]; i++)
        aml_io(out, device->ports[i], device->size);
    aml_irq(out, device->irq);
    aml_end_resources(out, resources);
    aml_end(out, start);
}

/* Interrupt pins A to D of each slot, where the PIRQ router sends them. */
static void put_pci_routing(struct buffer *out)
{
    enum { SLOTS = 32, PINS = 4 };
    aml_name(out, "_PRT");
    size_t list = aml_begin_package(out, SLOTS * PINS);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (unsigned pin = 0; pin < PINS; pin++) {
            size_t entry = aml_begin_package(out, 4);
            aml_integer(out, slot << 16 | 0xffff);
            aml_integer(out, pin);
            aml_integer(out, 0);
            aml_integer(out, pci_setup_irq(slot, pin));
            aml_end(out, entry);
        }
    }
    aml_end(out, list);
}

static void put_pci(struct buffer *out)
{
    size_t start = begin_device(out, "PCI0", "PNP0A03");
    aml_name(out, "_UID");
    aml_integer(out, 0);
    aml_name(out, "_BBN");
    aml_integer(out, 0);
    aml_name(out, "_CRS");
    size_t resources = aml_begin_resources(out);
    aml_bus_range(out, 0, 0);
    aml_io(out, 0xcf8, 8);
    aml_io_window(out, 0, 0xcf7);
    aml_io_window(out, 0xd00, 0xffff);
    aml_memory_window(out, (uint32_t)MEMORY_HOLE, (uint32_t)IOAPIC_BASE - 1);
    aml_end_resources(out, resources);
    put_pci_routing(out);
    aml_end(out, start);
}

static void put_hpet_device(struct buffer *out)
{
    size_t start = begin_device(out, "HPET", "PNP0103");
    aml_name(out, "_CRS");
    size_t resources = aml_begin_resources(out);
    aml_memory(out, (uint32_t)HPET_BASE, HPET_SIZE);
    aml_end_resources(out, resources);
    aml_end(out, start);
}

static uint64_t put_dsdt(
    struct builder *builder, struct buffer *out, const struct acpi_options *options)
{
    begin_table(out, "DSDT", 2);
    aml_name(out, "\\_S5_");
    size_t start = aml_begin_package(out, 4);
    aml_integer(out, ACPI_PM_SLEEP_OFF);
    aml_integer(out, ACPI_PM_SLEEP_OFF);
    aml_integer(out, 0);
    aml_integer(out, 0);
    aml_end(out, start);
    start = aml_begin_scope(out, "\\_SB_");
    if (options->has_pci)
        put_pci(out);
    for (unsigned i = 0; i < sizeof legacy_devices / sizeof legacy_devices[0]; i++)
        put_legacy_device(out, &legacy_devices[i]);
    if (options->has_hpet)
        put_hpet_device(out);
    aml_end(out, start);
    return end_table(builder, out);
}

/* ---- The other tables ---- */

static uint64_t put_facs(struct builder *builder)
{
    struct {
        char signature[4];
        uint32_t length;
        uint8_t rest[FACS_SIZE - 8];
    } facs = {.signature = {'F', 'A', 'C', 'S'}, .length = FACS_SIZE};
    return place(builder, &facs, sizeof facs, 64);
}

/* A generic address structure. */
static void put_address(struct buffer *out, uint8_t space, uint64_t address, uint8_t bits)
{
    buffer_put_u8(out, space);
    buffer_put_u8(out, bits);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 0);
    buffer_put_u64(out, address);
}

static void put_port_address(struct buffer *out, uint16_t port, uint8_t bits)
{
    enum { SPACE_PORTS = 1 };
    put_address(out, SPACE_PORTS, port, bits);
}

static void put_zeroes(struct buffer *out, size_t size)
{
    uint8_t *room = buffer_extend(out, size);
    if (room)
        memset(room, 0, size);
}

static void put_fadt_ports(struct buffer *out)
{
    buffer_put_u32(out, ACPI_PM_PORT);
    buffer_put_u32(out, 0);
    buffer_put_u32(out, ACPI_PM_CONTROL_PORT);
    buffer_put_u32(out, 0);
    buffer_put_u32(out, 0);
    buffer_put_u32(out, ACPI_PM_TIMER_PORT);
    put_zeroes(out, 8);    /* general-purpose events */
    buffer_put_u8(out, 4); /* PM1_EVT_LEN */
    buffer_put_u8(out, 2); /* PM1_CNT_LEN */
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 4); /* PM_TMR_LEN */
    put_zeroes(out, 4);
}

static uint64_t put_fadt(struct builder *builder, struct buffer *out, uint64_t facs, uint64_t dsdt)
{
    enum {
        NO_C2 = 0xfff,
        BOOT_LEGACY = 1 << 0,
        BOOT_8042 = 1 << 1,
        BOOT_NO_VGA = 1 << 2,
        FLAG_WBINVD = 1 << 0,
        FLAG_C1 = 1 << 2,
        FLAG_NO_POWER_BUTTON = 1 << 4,
        FLAG_NO_SLEEP_BUTTON = 1 << 5,
        FLAG_NO_RTC_WAKE = 1 << 6,
        FLAG_RESET_REGISTER = 1 << 10,
        PORT_8042 = 0x64,
        COMMAND_RESET = 0xfe,
    };
    begin_table(out, "FACP", 4);
    buffer_put_u32(out, (uint32_t)facs);
    buffer_put_u32(out, (uint32_t)dsdt);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 0); /* preferred profile: unspecified */
    buffer_put_u16(out, ACPI_SCI_IRQ);
    put_zeroes(out, 8); /* no SMI command port */
    put_fadt_ports(out);
    buffer_put_u16(out, NO_C2);
    buffer_put_u16(out, NO_C2);
    put_zeroes(out, 8);
    buffer_put_u8(out, 0x32); /* the RTC's century */
    buffer_put_u16(out, BOOT_LEGACY | BOOT_8042 | BOOT_NO_VGA);
    buffer_put_u8(out, 0);
    buffer_put_u32(out, FLAG_WBINVD | FLAG_C1 | FLAG_NO_POWER_BUTTON | FLAG_NO_SLEEP_BUTTON |
                            FLAG_NO_RTC_WAKE | FLAG_RESET_REGISTER);
    put_port_address(out, PORT_8042, 8);
    buffer_put_u8(out, COMMAND_RESET);
    put_zeroes(out, 3);
    buffer_put_u64(out, 0); /* X_FIRMWARE_CTRL: the 32-bit one is used */
    buffer_put_u64(out, dsdt);
    put_port_address(out, ACPI_PM_PORT, 32);
    put_zeroes(out, 12);
    put_port_address(out, ACPI_PM_CONTROL_PORT, 16);
    put_zeroes(out, 24);
    put_port_address(out, ACPI_PM_TIMER_PORT, 32);
    put_zeroes(out, 24);
    if (!out->failed && out->size != FADT_SIZE)
        builder->failed = true;
    return end_table(builder, out);
}

static void put_override(struct buffer *out, uint8_t irq, uint32_t input, uint16_t flags)
{
    enum { OVERRIDE = 2, OVERRIDE_SIZE = 10 };
    buffer_put_u8(out, OVERRIDE);
    buffer_put_u8(out, OVERRIDE_SIZE);
    buffer_put_u8(out, 0); /* ISA */
    buffer_put_u8(out, irq);
    buffer_put_u32(out, input);
    buffer_put_u16(out, flags);
}

static void put_processor(struct buffer *out, uint8_t number)
{
    enum { PROCESSOR = 0, PROCESSOR_SIZE = 8, ENABLED = 1 };
    buffer_put_u8(out, PROCESSOR);
    buffer_put_u8(out, PROCESSOR_SIZE);
    buffer_put_u8(out, number); /* ACPI processor UID */
    buffer_put_u8(out, number); /* APIC ID */
    buffer_put_u32(out, ENABLED);
}

static uint64_t put_madt(
    struct builder *builder, struct buffer *out, const struct acpi_options *options)
{
    enum { IO_APIC = 1, NMI = 4, PCAT_COMPATIBLE = 1 };
    enum { CONFORMS = 0, LEVEL_LOW = 0xf, ALL_PROCESSORS = 0xff, LINT1 = 1 };
    begin_table(out, "APIC", 3);
    buffer_put_u32(out, (uint32_t)APIC_BASE);
    buffer_put_u32(out, PCAT_COMPATIBLE);
    for (unsigned i = 0; i < options->cpus; i++)
        put_processor(out, (uint8_t)i);
    const uint8_t io_apic[4] = {IO_APIC, 12, 0, 0};
    buffer_put(out, io_apic, sizeof io_apic);
    buffer_put_u32(out, (uint32_t)IOAPIC_BASE);
    buffer_put_u32(out, 0);
    put_override(out, 0, ACPI_PIT_INPUT, CONFORMS);
    put_override(out, ACPI_SCI_IRQ, ACPI_SCI_IRQ, LEVEL_LOW);
    const uint8_t nmi[6] = {NMI, 6, ALL_PROCESSORS, 0, 0, LINT1};
    buffer_put(out, nmi, sizeof nmi);
    return end_table(builder, out);
}

/* IA-PC HPET Specification 1.0a, 3.2.4. */
static uint64_t put_hpet(struct builder *builder, struct buffer *out)
{
    enum { SPACE_MEMORY = 0, SHORTEST_PERIOD = 100, PROTECTS_4K = 1 };
    begin_table(out, "HPET", 1);
    buffer_put_u32(out, HPET_CAPABILITIES);
    put_address(out, SPACE_MEMORY, HPET_BASE, 64);
    buffer_put_u8(out, 0);
    buffer_put_u16(out, SHORTEST_PERIOD);
    buffer_put_u8(out, PROTECTS_4K);
    return end_table(builder, out);
}

/* RSDT or XSDT: a list of tables, in entries of 32 or 64 bits. */
static uint64_t put_list(struct builder *builder, struct buffer *out, const char *signature,
    const uint64_t *tables, unsigned count)
{
    const bool is_wide = signature[0] == 'X';
    begin_table(out, signature, 1);
    for (unsigned i = 0; i < count; i++) {
        if (is_wide)
            buffer_put_u64(out, tables[i]);
        else
            buffer_put_u32(out, (uint32_t)tables[i]);
    }
    return end_table(builder, out);
}

static void write_rsdp(struct builder *builder, uint64_t rsdt, uint64_t xsdt)
{
    enum { RSDP_1_SIZE = 20 };
    struct buffer out = {0};
    buffer_put(&out, "RSD PTR ", 8);
    buffer_put_u8(&out, 0);
    buffer_put(&out, "HINDSI", 6);
    buffer_put_u8(&out, 2);
    buffer_put_u32(&out, (uint32_t)rsdt);
    buffer_put_u32(&out, RSDP_SIZE);
    buffer_put_u64(&out, xsdt);
    buffer_put_u32(&out, 0);
    if (out.failed) {
        builder->failed = true;
    } else {
        out.data[8] = checksum(out.data, RSDP_1_SIZE);
        out.data[32] = checksum(out.data, RSDP_SIZE);
        memory_write(builder->memory, ACPI_RSDP, out.data, out.size);
    }
    buffer_free(&out);
}

int acpi_write_tables(
    struct memory *memory, const struct acpi_options *options, struct error *error)
{
    struct builder builder = {.memory = memory, .next = ACPI_RSDP + RSDP_SIZE};
    struct buffer out = {0};
    uint64_t facs = put_facs(&builder);
    uint64_t dsdt = put_dsdt(&builder, &out, options);
    uint64_t tables[3];
    unsigned count = 0;
    tables[count++] = put_fadt(&builder, &out, facs, dsdt);
    tables[count++] = put_madt(&builder, &out, options);
    if (options->has_hpet)
        tables[count++] = put_hpet(&builder, &out);
    uint64_t rsdt = put_list(&builder, &out, "RSDT", tables, count);
    uint64_t xsdt = put_list(&builder, &out, "XSDT", tables, count);
    write_rsdp(&builder, rsdt, xsdt);
    buffer_free(&out);
    if (builder.failed)
        return error_set(error, "the ACPI tables do not fit into the firmware's memory");
    return 0;
}
