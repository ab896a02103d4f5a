/*
 * The MultiProcessor configuration table (Intel, MultiProcessor Specification 1.4, chapter 4):
 * processors, buses, the I/O APIC and where each interrupt goes. For kernels older than ACPI, and
 * small ones. The floating pointer is at BIOS_MP_TABLE, where a search of the ROM finds it.
 */
#ifndef VMM_BOOT_MPTABLE_H
#define VMM_BOOT_MPTABLE_H

#include "base/error.h"
#include "vmm/arch/memory.h"

struct mptable_options {
    bool has_pci;
    unsigned cpus; /* with the APIC IDs from 0 on; the first one boots */
};

int mptable_write(
    struct memory *memory, const struct mptable_options *options, struct error *error);

#endif
