/* The Multiboot 2 information (Multiboot2 Specification 2.0, section 3.6): tags, one after another.
 */
#include <string.h>

#include "base/buffer.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/internal.h"
#include "vmm/boot/map.h"

enum {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_LOADER_NAME = 2,
    TAG_MODULE = 3,
    TAG_MEMORY = 4,
    TAG_MEMORY_MAP = 6,
    TAG_ACPI_OLD = 14,
    TAG_ACPI_NEW = 15,
    RSDP_OLD_SIZE = 20,
    RSDP_NEW_SIZE = 36,
};

static size_t begin(struct buffer *out, uint32_t type)
{
    size_t start = out->size;
    buffer_put_u32(out, type);
    buffer_put_u32(out, 0); /* size, set at the end */
    return start;
}

static void end(struct buffer *out, size_t start)
{
    if (out->failed)
        return;
    uint32_t size = (uint32_t)(out->size - start);
    memcpy(out->data + start + 4, &size, sizeof size);
    while (out->size % 8)
        buffer_put_u8(out, 0);
}

/* A string as it is in the loader's area already. */
static void put_string(struct buffer *out, const struct memory *memory, uint64_t address)
{
    char byte = 1;
    for (; byte && !out->failed; address++) {
        if (!memory_read(memory, address, &byte, 1))
            byte = 0;
        buffer_put_u8(out, (uint8_t)byte);
    }
}

static void put_string_tag(
    struct buffer *out, uint32_t type, const struct memory *memory, uint64_t address)
{
    size_t start = begin(out, type);
    put_string(out, memory, address);
    end(out, start);
}

static void put_modules(
    struct buffer *out, const struct memory *memory, const struct boot_layout *layout)
{
    for (unsigned i = 0; i < layout->module_count; i++) {
        const struct boot_module_layout *module = &layout->module[i];
        size_t start = begin(out, TAG_MODULE);
        buffer_put_u32(out, (uint32_t)module->start);
        buffer_put_u32(out, (uint32_t)(module->start + module->size));
        put_string(out, memory, module->string);
        end(out, start);
    }
}

static void put_memory(struct buffer *out, const struct memory *memory)
{
    enum { ENTRY_SIZE = 24, ENTRY_VERSION = 0 };
    size_t start = begin(out, TAG_MEMORY);
    buffer_put_u32(out, BOOT_LOWER_KIB);
    buffer_put_u32(out, boot_upper_kib(memory));
    end(out, start);
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    unsigned count = boot_memory_map(memory, ranges);
    start = begin(out, TAG_MEMORY_MAP);
    buffer_put_u32(out, ENTRY_SIZE);
    buffer_put_u32(out, ENTRY_VERSION);
    for (unsigned i = 0; i < count; i++) {
        buffer_put_u64(out, ranges[i].start);
        buffer_put_u64(out, ranges[i].size);
        buffer_put_u32(out, ranges[i].type);
        buffer_put_u32(out, 0);
    }
    end(out, start);
}

static void put_rsdp(struct buffer *out, const struct memory *memory, uint32_t type, size_t size)
{
    uint8_t rsdp[RSDP_NEW_SIZE] = {0};
    memory_read(memory, ACPI_RSDP, rsdp, size);
    size_t start = begin(out, type);
    buffer_put(out, rsdp, size);
    end(out, start);
}

int boot_write_multiboot2_info(
    struct memory *memory, const struct boot_layout *layout, struct error *error)
{
    struct buffer out = {0};
    buffer_put_u32(&out, 0); /* size, set at the end */
    buffer_put_u32(&out, 0);
    put_string_tag(&out, TAG_COMMAND_LINE, memory, layout->command_line);
    put_string_tag(&out, TAG_LOADER_NAME, memory, layout->loader_name);
    put_modules(&out, memory, layout);
    put_memory(&out, memory);
    put_rsdp(&out, memory, TAG_ACPI_OLD, RSDP_OLD_SIZE);
    put_rsdp(&out, memory, TAG_ACPI_NEW, RSDP_NEW_SIZE);
    end(&out, begin(&out, TAG_END));
    bool fits = !out.failed && out.size <= BOOT_AREA_END - BOOT_MULTIBOOT2_INFO;
    if (fits) {
        uint32_t size = (uint32_t)out.size;
        memcpy(out.data, &size, sizeof size);
        memory_write(memory, layout->area + BOOT_MULTIBOOT2_INFO, out.data, out.size);
    }
    buffer_free(&out);
    return fits ? 0 : error_set(error, "the Multiboot 2 information is too long");
}
