/* Writes Multiboot's information for a kernel. */
#include "vmm/boot/internal.h"
#include "vmm/boot/map.h"

/* Multiboot Specification 0.6.96, section 3.3, up to the loader's name. */
struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, command_line, module_count, module_list;
    uint32_t symbols[4];
    uint32_t memory_map_length, memory_map_address;
    uint32_t drives_length, drives_address, config_table, loader_name;
};

struct multiboot_module {
    uint32_t start, end, string, reserved;
};

struct multiboot_range {
    uint32_t size;
    uint64_t address, length;
    uint32_t type;
} __attribute__((packed));

void boot_write_multiboot_info(struct memory *memory, const struct boot_layout *layout)
{
    const uint64_t place = layout->area + BOOT_MULTIBOOT_INFO;
    const uint64_t modules = place + 0x100, map = place + 0x300;
    enum { HAS_MEMORY = 1, HAS_COMMAND_LINE = 4, HAS_MODULES = 8, HAS_MEMORY_MAP = 64 };
    enum { HAS_LOADER_NAME = 512 };
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    unsigned count = boot_memory_map(memory, ranges);
    for (unsigned i = 0; i < count; i++) {
        struct multiboot_range range = {.size = sizeof range - 4,
            .address = ranges[i].start,
            .length = ranges[i].size,
            .type = ranges[i].type};
        memory_write(memory, map + i * sizeof range, &range, sizeof range);
    }
    struct multiboot_info info = {
        .flags = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_MEMORY_MAP | HAS_LOADER_NAME,
        .mem_lower = BOOT_LOWER_KIB,
        .mem_upper = boot_upper_kib(memory),
        .command_line = (uint32_t)layout->command_line,
        .module_count = layout->module_count,
        .module_list = (uint32_t)modules,
        .memory_map_length = (uint32_t)(count * sizeof(struct multiboot_range)),
        .memory_map_address = (uint32_t)map,
        .loader_name = (uint32_t)layout->loader_name,
    };
    for (unsigned i = 0; i < layout->module_count; i++) {
        const struct boot_module_layout *module = &layout->module[i];
        struct multiboot_module entry = {.start = (uint32_t)module->start,
            .end = (uint32_t)(module->start + module->size),
            .string = (uint32_t)module->string};
        memory_write(memory, modules + i * sizeof entry, &entry, sizeof entry);
    }
    memory_write(memory, place, &info, sizeof info);
}
