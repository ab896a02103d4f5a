/* Writes the SMBIOS tables. */
#include "vmm/boot/smbios.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "vmm/arch/cpuid.h"
#include "vmm/boot/bios.h"

enum { ENTRY_SIZE = 0x1f, TABLES_OFFSET = 0x20, MAJOR = 2, MINOR = 8, NO_HANDLE = 0xfffe };

/* A handle for each structure: its type and number. */
enum {
    HANDLE_FIRMWARE = 0x000,
    HANDLE_SYSTEM = 0x100,
    HANDLE_ENCLOSURE = 0x300,
    HANDLE_PROCESSOR = 0x400,
    HANDLE_MEMORY_ARRAY = 0x1000,
    HANDLE_MEMORY_DEVICE = 0x1100,
    HANDLE_ARRAY_ADDRESS = 0x1300,
    HANDLE_BOOT = 0x2000,
    HANDLE_END = 0x7f00,
};

struct builder {
    struct buffer out;
    size_t start; /* of the structure under way */
    unsigned count, largest;
};

static void begin(struct builder *builder, uint8_t type, uint16_t handle)
{
    builder->start = builder->out.size;
    buffer_put_u8(&builder->out, type);
    buffer_put_u8(&builder->out, 0); /* length, set at the end */
    buffer_put_u16(&builder->out, handle);
}

/* Ends the formatted part; the strings follow, and a zero byte ends them. */
static void end(struct builder *builder, const char *const *strings)
{
    struct buffer *out = &builder->out;
    if (!out->failed)
        out->data[builder->start + 1] = (uint8_t)(out->size - builder->start);
    if (!*strings)
        buffer_put_u8(out, 0);
    for (; *strings; strings++)
        buffer_put(out, *strings, strlen(*strings) + 1);
    buffer_put_u8(out, 0);
    size_t size = out->size - builder->start;
    if (size > builder->largest)
        builder->largest = (unsigned)size;
    builder->count++;
}

#define STRINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_STRINGS   ((const char *const[]){NULL})

static void put_firmware(struct builder *builder)
{
    struct buffer *out = &builder->out;
    enum { NOT_SUPPORTED = 1 << 3, VIRTUAL_MACHINE = 1 << 4, ROM_64K = 0 };
    begin(builder, 0, HANDLE_FIRMWARE);
    buffer_put_u8(out, 1);
    buffer_put_u8(out, 2);
    buffer_put_u16(out, BIOS_ROM >> 4);
    buffer_put_u8(out, 3);
    buffer_put_u8(out, ROM_64K);
    buffer_put_u64(out, NOT_SUPPORTED);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, VIRTUAL_MACHINE);
    buffer_put_u8(out, 0); /* release of the firmware: 0.0 */
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 0xff); /* no embedded controller */
    buffer_put_u8(out, 0xff);
    end(builder, STRINGS("hindsight", "1", "01/01/2026"));
}

static void put_system(struct builder *builder)
{
    struct buffer *out = &builder->out;
    enum { WAKE_POWER_SWITCH = 6, UUID_SIZE = 16 };
    begin(builder, 1, HANDLE_SYSTEM);
    buffer_put_u8(out, 1);
    buffer_put_u8(out, 2);
    buffer_put_u8(out, 3);
    buffer_put_u8(out, 0);
    for (unsigned i = 0; i < UUID_SIZE; i++)
        buffer_put_u8(out, 0); /* none is set */
    buffer_put_u8(out, WAKE_POWER_SWITCH);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 0);
    end(builder, STRINGS("hindsight", CPUID_MODEL, "4"));
}

static void put_enclosure(struct builder *builder)
{
    struct buffer *out = &builder->out;
    enum { OTHER = 1, SAFE = 3, NONE = 3 };
    begin(builder, 3, HANDLE_ENCLOSURE);
    buffer_put_u8(out, 1);
    buffer_put_u8(out, OTHER);
    for (unsigned i = 0; i < 3; i++)
        buffer_put_u8(out, 0);
    buffer_put_u8(out, SAFE); /* at boot, power supply, thermal */
    buffer_put_u8(out, SAFE);
    buffer_put_u8(out, SAFE);
    buffer_put_u8(out, NONE);
    buffer_put_u32(out, 0);
    for (unsigned i = 0; i < 5; i++)
        buffer_put_u8(out, 0); /* height, cords, no contained elements, no SKU */
    end(builder, STRINGS("hindsight"));
}

static void put_processor(struct builder *builder, unsigned number)
{
    struct buffer *out = &builder->out;
    enum { CENTRAL = 3, UNKNOWN = 2, POPULATED_ENABLED = 0x41, MHZ = 2000, X64 = 1 << 2 };
    uint32_t id[4];
    char socket[16];
    snprintf(socket, sizeof socket, "CPU %u", number);
    cpuid_query(1, 0, id);
    begin(builder, 4, (uint16_t)(HANDLE_PROCESSOR + number));
    buffer_put_u8(out, 1);
    buffer_put_u8(out, CENTRAL);
    buffer_put_u8(out, UNKNOWN); /* family */
    buffer_put_u8(out, 2);
    buffer_put_u32(out, id[0]);
    buffer_put_u32(out, id[3]);
    buffer_put_u8(out, 3);
    buffer_put_u8(out, 0); /* voltage */
    buffer_put_u16(out, 0);
    buffer_put_u16(out, MHZ); /* at most, and now */
    buffer_put_u16(out, MHZ);
    buffer_put_u8(out, POPULATED_ENABLED);
    buffer_put_u8(out, UNKNOWN);
    for (unsigned i = 0; i < 3; i++)
        buffer_put_u16(out, 0xffff); /* no structures for caches */
    for (unsigned i = 0; i < 3; i++)
        buffer_put_u8(out, 0);
    buffer_put_u8(out, 1); /* cores, enabled, threads */
    buffer_put_u8(out, 1);
    buffer_put_u8(out, 1);
    buffer_put_u16(out, X64);
    buffer_put_u16(out, UNKNOWN);
    end(builder, STRINGS(socket, "AuthenticAMD", CPUID_MODEL));
}

static void put_memory(struct builder *builder, const struct memory *memory)
{
    struct buffer *out = &builder->out;
    enum { BOARD = 3, SYSTEM_MEMORY = 3, NO_CORRECTION = 3, DIMM = 9, RAM = 7, OTHER = 2 };
    enum { IN_EXTENDED = 0x7fff };
    uint64_t kib = memory->size >> 10, mib = memory->size >> 20;
    begin(builder, 16, HANDLE_MEMORY_ARRAY);
    buffer_put_u8(out, BOARD);
    buffer_put_u8(out, SYSTEM_MEMORY);
    buffer_put_u8(out, NO_CORRECTION);
    buffer_put_u32(out, kib < 0x80000000u ? (uint32_t)kib : 0x80000000u);
    buffer_put_u16(out, NO_HANDLE);
    buffer_put_u16(out, 1);
    buffer_put_u64(out, kib < 0x80000000u ? 0 : memory->size);
    end(builder, NO_STRINGS);

    begin(builder, 17, HANDLE_MEMORY_DEVICE);
    buffer_put_u16(out, HANDLE_MEMORY_ARRAY);
    buffer_put_u16(out, NO_HANDLE);
    buffer_put_u16(out, 64); /* width, with and without correction */
    buffer_put_u16(out, 64);
    buffer_put_u16(out, mib < IN_EXTENDED ? (uint16_t)mib : IN_EXTENDED);
    buffer_put_u8(out, DIMM);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, 1);
    buffer_put_u8(out, 0);
    buffer_put_u8(out, RAM);
    buffer_put_u16(out, OTHER);
    buffer_put_u16(out, 0); /* speed */
    buffer_put_u8(out, 2);
    for (unsigned i = 0; i < 4; i++)
        buffer_put_u8(out, 0);
    buffer_put_u32(out, mib < IN_EXTENDED ? 0 : (uint32_t)mib);
    buffer_put_u16(out, 0); /* configured speed */
    for (unsigned i = 0; i < 3; i++)
        buffer_put_u16(out, 0);
    end(builder, STRINGS("DIMM 0", "hindsight"));

    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &memory->region[i];
        if (!region->size)
            continue;
        begin(builder, 19, (uint16_t)(HANDLE_ARRAY_ADDRESS + i));
        buffer_put_u32(out, UINT32_MAX); /* in the 64-bit fields */
        buffer_put_u32(out, UINT32_MAX);
        buffer_put_u16(out, HANDLE_MEMORY_ARRAY);
        buffer_put_u8(out, 1);
        buffer_put_u64(out, region->gpa);
        buffer_put_u64(out, region->gpa + region->size - 1);
        end(builder, NO_STRINGS);
    }
}

static void put_boot_and_end(struct builder *builder)
{
    begin(builder, 32, HANDLE_BOOT);
    for (unsigned i = 0; i < 7; i++)
        buffer_put_u8(&builder->out, 0); /* no errors */
    end(builder, NO_STRINGS);
    begin(builder, 127, HANDLE_END);
    end(builder, NO_STRINGS);
}

static uint8_t checksum(const uint8_t *data, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

static void write_entry(struct memory *memory, const struct builder *builder)
{
    enum { INTERMEDIATE = 0x10, INTERMEDIATE_SIZE = 0xf };
    uint8_t entry[ENTRY_SIZE] = "_SM_";
    const uint16_t largest = (uint16_t)builder->largest, count = (uint16_t)builder->count;
    const uint16_t size = (uint16_t)builder->out.size;
    const uint32_t address = BIOS_SMBIOS + TABLES_OFFSET;
    entry[5] = ENTRY_SIZE;
    entry[6] = MAJOR;
    entry[7] = MINOR;
    memcpy(entry + 8, &largest, sizeof largest);
    memcpy(entry + INTERMEDIATE, "_DMI_", 5);
    memcpy(entry + 0x16, &size, sizeof size);
    memcpy(entry + 0x18, &address, sizeof address);
    memcpy(entry + 0x1c, &count, sizeof count);
    entry[0x1e] = MAJOR << 4 | MINOR;
    entry[0x15] = checksum(entry + INTERMEDIATE, INTERMEDIATE_SIZE);
    entry[4] = checksum(entry, ENTRY_SIZE);
    memory_write(memory, BIOS_SMBIOS, entry, sizeof entry);
}

int smbios_write(struct memory *memory, unsigned cpus, struct error *error)
{
    struct builder builder = {0};
    put_firmware(&builder);
    put_system(&builder);
    put_enclosure(&builder);
    for (unsigned i = 0; i < cpus; i++)
        put_processor(&builder, i);
    put_memory(&builder, memory);
    put_boot_and_end(&builder);
    bool fits = !builder.out.failed && BIOS_SMBIOS + TABLES_OFFSET + builder.out.size <= BIOS_CODE;
    if (fits) {
        memory_write(memory, BIOS_SMBIOS + TABLES_OFFSET, builder.out.data, builder.out.size);
        write_entry(memory, &builder);
    }
    buffer_free(&builder.out);
    return fits ? 0 : error_set(error, "the SMBIOS tables do not fit into the firmware's memory");
}
