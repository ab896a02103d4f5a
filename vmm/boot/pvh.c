/* The PVH start info (Xen: xen/include/public/arch-x86/hvm/start_info.h). */
#include "vmm/boot/acpi.h"
#include "vmm/boot/internal.h"
#include "vmm/boot/map.h"

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

void boot_write_start_info(struct memory *memory, const struct boot_layout *layout)
{
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    unsigned count = boot_memory_map(memory, ranges);
    for (unsigned i = 0; i < count; i++) {
        struct memory_map_entry entry = {
            .address = ranges[i].start, .size = ranges[i].size, .type = ranges[i].type};
        memory_write(
            memory, layout->area + BOOT_MEMORY_MAP + i * sizeof entry, &entry, sizeof entry);
    }
    struct start_info info = {
        .magic = 0x336ec578,
        .version = 1,
        .module_count = layout->module_count,
        .command_line = layout->command_line,
        .rsdp = ACPI_RSDP,
        .memory_map = layout->area + BOOT_MEMORY_MAP,
        .memory_map_entries = count,
    };
    for (unsigned i = 0; i < layout->module_count; i++) {
        const struct boot_module_layout *module = &layout->module[i];
        struct module_entry entry = {
            .address = module->start, .size = module->size, .command_line = module->string};
        memory_write(
            memory, layout->area + BOOT_MODULE_LIST + i * sizeof entry, &entry, sizeof entry);
    }
    if (layout->module_count)
        info.module_list = layout->area + BOOT_MODULE_LIST;
    memory_write(memory, layout->area + BOOT_START_INFO, &info, sizeof info);
}
