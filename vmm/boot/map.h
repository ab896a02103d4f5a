/* The map of physical memory as a BIOS gives it (ACPI Specification 6.4, section 15). */
#ifndef VMM_BOOT_MAP_H
#define VMM_BOOT_MAP_H

#include "vmm/arch/memory.h"

enum {
    BOOT_MAP_RAM = 1,
    BOOT_MAP_RESERVED = 2,
    BOOT_MAP_MAX = 5,
};

struct boot_memory_range {
    uint64_t start, size;
    uint32_t type;
};

/*
 * In order: RAM up to the EBDA, the EBDA reserved, from A0000h to EFFFFh a hole, F0000h to FFFFFh
 * reserved with the firmware's tables, RAM from 1 MiB on. Returns how many.
 */
unsigned boot_memory_map(
    const struct memory *memory, struct boot_memory_range ranges[BOOT_MAP_MAX]);

/* What Multiboot calls lower and upper memory, in KiB: below the EBDA, and from 1 MiB up to the
 * first hole. */
enum { BOOT_LOWER_KIB = 639 };
uint32_t boot_upper_kib(const struct memory *memory);

#endif
