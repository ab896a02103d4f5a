/*
 * The SMBIOS tables (DMTF DSP0134, version 2.8): firmware, system, enclosure, processors and
 * memory, as kernels print them and management programs read them. The entry point is at
 * BIOS_SMBIOS, where a search of the ROM finds it.
 */
#ifndef VMM_BOOT_SMBIOS_H
#define VMM_BOOT_SMBIOS_H

#include "base/error.h"
#include "vmm/arch/memory.h"

int smbios_write(struct memory *memory, unsigned cpus, struct error *error);

#endif
