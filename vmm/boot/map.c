/* The map of physical memory. */
#include "vmm/boot/map.h"

#include "vmm/boot/bios.h"

unsigned boot_memory_map(const struct memory *memory, struct boot_memory_range ranges[BOOT_MAP_MAX])
{
    enum { VIDEO = 0xa0000, HIGH = 0x100000 };
    unsigned count = 0;
    uint64_t low = memory->region[0].size;
    ranges[count++] = (struct boot_memory_range){0, BIOS_EBDA, BOOT_MAP_RAM};
    ranges[count++] = (struct boot_memory_range){BIOS_EBDA, VIDEO - BIOS_EBDA, BOOT_MAP_RESERVED};
    ranges[count++] = (struct boot_memory_range){BIOS_ROM, HIGH - BIOS_ROM, BOOT_MAP_RESERVED};
    if (low > HIGH)
        ranges[count++] = (struct boot_memory_range){HIGH, low - HIGH, BOOT_MAP_RAM};
    if (memory->region[1].size)
        ranges[count++] =
            (struct boot_memory_range){memory->region[1].gpa, memory->region[1].size, BOOT_MAP_RAM};
    return count;
}

uint32_t boot_upper_kib(const struct memory *memory)
{
    enum { HIGH = 0x100000 };
    uint64_t low = memory->region[0].size;
    return low > HIGH ? (uint32_t)((low - HIGH) >> 10) : 0;
}
