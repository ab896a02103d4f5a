/* Writes the MultiProcessor configuration table. */
#include "vmm/boot/mptable.h"

#include <string.h>

#include "base/buffer.h"
#include "devices/apic.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "vmm/arch/cpuid.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/bios.h"

enum { POINTER_SIZE = 16, HEADER_SIZE = 44, TABLE = (int)BIOS_MP_TABLE + POINTER_SIZE };
enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IO_APIC, ENTRY_IO_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { BUS_PCI = 0, BUS_ISA = 1, REVISION = 4, ALL_APICS = 0xff };
enum { TYPE_INT = 0, TYPE_NMI = 1, TYPE_EXTINT = 3, CONFORMS = 0, LEVEL_LOW = 0xf };

static uint8_t checksum(const uint8_t *data, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

static void put_processor(struct buffer *out, uint8_t id)
{
    enum { ENABLED = 1, BOOTS = 2, APIC_VERSION = 0x14 };
    uint32_t leaf[4];
    cpuid_query(1, 0, leaf);
    buffer_put_u8(out, ENTRY_PROCESSOR);
    buffer_put_u8(out, id);
    buffer_put_u8(out, APIC_VERSION);
    buffer_put_u8(out, id == 0 ? ENABLED | BOOTS : ENABLED);
    buffer_put_u32(out, leaf[0]);
    buffer_put_u32(out, leaf[3]);
    buffer_put_u64(out, 0);
}

static void put_bus(struct buffer *out, uint8_t id, const char name[6])
{
    buffer_put_u8(out, ENTRY_BUS);
    buffer_put_u8(out, id);
    buffer_put(out, name, 6);
}

static void put_interrupt(struct buffer *out, uint8_t entry, uint8_t type, uint16_t flags,
    uint8_t bus, uint8_t source, uint8_t apic, uint8_t input)
{
    buffer_put_u8(out, entry);
    buffer_put_u8(out, type);
    buffer_put_u16(out, flags);
    buffer_put_u8(out, bus);
    buffer_put_u8(out, source);
    buffer_put_u8(out, apic);
    buffer_put_u8(out, input);
}

static unsigned put_interrupts(struct buffer *out, bool has_pci)
{
    enum { ISA_LINES = 16, CASCADE = 2, SLOTS = 32, PINS = 4 };
    unsigned count = 0;
    for (uint8_t irq = 0; irq < ISA_LINES; irq++) {
        if (irq == CASCADE)
            continue;
        put_interrupt(out, ENTRY_IO_INTERRUPT, TYPE_INT, irq == ACPI_SCI_IRQ ? LEVEL_LOW : CONFORMS,
            BUS_ISA, irq, 0, irq == 0 ? ACPI_PIT_INPUT : irq);
        count++;
    }
    for (uint8_t i = 0; has_pci && i < SLOTS * PINS; i++, count++)
        put_interrupt(out, ENTRY_IO_INTERRUPT, TYPE_INT, LEVEL_LOW, BUS_PCI, i, 0,
            (uint8_t)pci_setup_irq(i / PINS, i % PINS));
    put_interrupt(out, ENTRY_LOCAL_INTERRUPT, TYPE_EXTINT, CONFORMS, BUS_ISA, 0, ALL_APICS, 0);
    put_interrupt(out, ENTRY_LOCAL_INTERRUPT, TYPE_NMI, CONFORMS, BUS_ISA, 0, ALL_APICS, 1);
    return count + 2;
}

static unsigned put_entries(struct buffer *out, const struct mptable_options *options)
{
    enum { IO_APIC_VERSION = 0x11, ENABLED = 1 };
    for (unsigned i = 0; i < options->cpus; i++)
        put_processor(out, (uint8_t)i);
    if (options->has_pci)
        put_bus(out, BUS_PCI, "PCI   ");
    put_bus(out, BUS_ISA, "ISA   ");
    buffer_put_u8(out, ENTRY_IO_APIC);
    buffer_put_u8(out, 0); /* what its ID register reads */
    buffer_put_u8(out, IO_APIC_VERSION);
    buffer_put_u8(out, ENABLED);
    buffer_put_u32(out, (uint32_t)IOAPIC_BASE);
    return options->cpus + options->has_pci + 2 + put_interrupts(out, options->has_pci);
}

static void put_header(struct buffer *out)
{
    buffer_put(out, "PCMP", 4);
    buffer_put_u16(out, 0); /* length, set at the end */
    buffer_put_u8(out, REVISION);
    buffer_put_u8(out, 0); /* checksum, too */
    buffer_put(out, "HINDSIGH", 8);
    buffer_put(out, "HS64        ", 12);
    buffer_put_u32(out, 0); /* no OEM table */
    buffer_put_u16(out, 0);
    buffer_put_u16(out, 0); /* number of entries */
    buffer_put_u32(out, (uint32_t)APIC_BASE);
    buffer_put_u32(out, 0); /* no extended entries */
}

static void write_pointer(struct memory *memory)
{
    uint8_t pointer[POINTER_SIZE] = {'_', 'M', 'P', '_'};
    const uint32_t table = TABLE;
    memcpy(pointer + 4, &table, sizeof table);
    pointer[8] = 1; /* length in 16-byte units */
    pointer[9] = REVISION;
    pointer[10] = checksum(pointer, sizeof pointer);
    memory_write(memory, BIOS_MP_TABLE, pointer, sizeof pointer);
}

int mptable_write(struct memory *memory, const struct mptable_options *options, struct error *error)
{
    struct buffer out = {0};
    put_header(&out);
    uint16_t entries = (uint16_t)put_entries(&out, options);
    bool fits = !out.failed && TABLE + out.size <= BIOS_SMBIOS;
    if (fits) {
        uint16_t size = (uint16_t)out.size;
        memcpy(out.data + 4, &size, sizeof size);
        memcpy(out.data + 34, &entries, sizeof entries);
        out.data[7] = checksum(out.data, out.size);
        memory_write(memory, TABLE, out.data, out.size);
        write_pointer(memory);
    }
    buffer_free(&out);
    return fits ? 0 : error_set(error, "the MP table does not fit into the firmware's memory");
}
