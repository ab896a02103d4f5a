/* The information structures that a kernel finds in memory: PVH start info, Multiboot information.
 */
#include "vmm/boot/internal.h"

#include <string.h>

#include "vmm/boot/acpi.h"

/* struct hvm_start_info, version 1. */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t module_list, command_line, rsdp, memory_map;
    uint32_t memory_map_entries, reserved;
};

struct module_entry {
    uint64_t address, size, command_line, reserved;
};

struct memory_map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

void boot_write_start_info(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout)
{
    (void)request;
    struct boot_memory_range ranges[4];
    unsigned count = boot_memory_map(memory, ranges);
    for (unsigned i = 0; i < count; i++) {
        struct memory_map_entry entry = {
            .address = ranges[i].start, .size = ranges[i].size, .type = ranges[i].type};
        memory_write(memory, BOOT_MEMORY_MAP + i * sizeof entry, &entry, sizeof entry);
    }
    struct start_info info = {
        .magic = 0x336ec578,
        .version = 1,
        .command_line = BOOT_STRING_AREA,
        .rsdp = ACPI_RSDP,
        .memory_map = BOOT_MEMORY_MAP,
        .memory_map_entries = count,
    };
    if (layout->initrd_size) {
        struct module_entry module = {.address = layout->initrd_start, .size = layout->initrd_size};
        memory_write(memory, BOOT_MODULE_LIST, &module, sizeof module);
        info.module_count = 1;
        info.module_list = BOOT_MODULE_LIST;
    }
    memory_write(memory, BOOT_START_INFO, &info, sizeof info);
}

/* Multiboot Specification 0.6.96, section 3.3, up to the memory map. */
struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, command_line, module_count, module_list;
    uint32_t symbols[4];
    uint32_t memory_map_length, memory_map_address;
};

struct multiboot_module {
    uint32_t start, end, string, reserved;
};

struct multiboot_range {
    uint32_t size;
    uint64_t address, length;
    uint32_t type;
} __attribute__((packed));

void boot_write_multiboot_info(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout)
{
    (void)request;
    enum { MODULE = BOOT_MULTIBOOT_INFO + 0x100, RANGES = BOOT_MULTIBOOT_INFO + 0x200 };
    enum { HAS_MEMORY = 1, HAS_COMMAND_LINE = 4, HAS_MODULES = 8, HAS_MEMORY_MAP = 64 };
    struct boot_memory_range ranges[4];
    unsigned count = boot_memory_map(memory, ranges);
    for (unsigned i = 0; i < count; i++) {
        struct multiboot_range range = {.size = sizeof range - 4,
            .address = ranges[i].start,
            .length = ranges[i].size,
            .type = ranges[i].type};
        memory_write(memory, RANGES + i * sizeof range, &range, sizeof range);
    }
    struct multiboot_info info = {
        .flags = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MEMORY_MAP,
        .mem_lower = 639,
        .mem_upper = (uint32_t)((memory->region[0].size - 0x100000) >> 10),
        .command_line = BOOT_STRING_AREA,
        .memory_map_length = (uint32_t)(count * sizeof(struct multiboot_range)),
        .memory_map_address = RANGES,
    };
    if (layout->initrd_size) {
        struct multiboot_module module = {.start = (uint32_t)layout->initrd_start,
            .end = (uint32_t)(layout->initrd_start + layout->initrd_size)};
        memory_write(memory, MODULE, &module, sizeof module);
        info.flags |= HAS_MODULES;
        info.module_count = 1;
        info.module_list = MODULE;
    }
    memory_write(memory, BOOT_MULTIBOOT_INFO, &info, sizeof info);
}
