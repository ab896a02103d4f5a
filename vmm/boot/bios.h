/*
 * What a BIOS leaves in the first mebibyte for a kernel that looks there itself: the interrupt
 * vectors, the BIOS data area (BDA), the extended one (EBDA), the last bytes of the ROM. There is
 * no BIOS in it: an interrupt service returns with CF set and AH 86h, "function not
 * supported", a hardware interrupt is acknowledged and forgotten, and a jump to the reset vector
 * resets.
 */
#ifndef VMM_BOOT_BIOS_H
#define VMM_BOOT_BIOS_H

#include "vmm/arch/memory.h"

/* Where things are; what is not here lies between them. */
#define BIOS_DATA     0x400ull
#define BIOS_EBDA     0x9fc00ull /* 1 KiB */
#define BIOS_ROM      0xf0000ull /* 64 KiB: tables from the start, code at the end */
#define BIOS_MP_TABLE 0xf8000ull
#define BIOS_SMBIOS   0xfc000ull
#define BIOS_CODE     0xffe00ull

struct bios_options {
    int64_t time; /* seconds since 1970 at power-on: the BDA counts ticks since midnight */
};

void bios_write(struct memory *memory, const struct bios_options *options);

#endif
