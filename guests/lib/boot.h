/*
 * What the loader passed, independent of the boot protocol, and the functions every guest has.
 */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

#define BOOT_ELF64     1
#define BOOT_PVH       2
#define BOOT_MULTIBOOT 3

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

struct boot_info {
    unsigned protocol;        /* BOOT_ELF64, BOOT_PVH or BOOT_MULTIBOOT */
    const char *command_line; /* never NULL */
    uint64_t initrd;          /* GPA of the first module; 0 when there is none */
    uint64_t initrd_size;     /* bytes */
};

/*
 * The guest itself. On entry interrupts are off, the GDT, IDT, TSS, UART and both PICs (all inputs
 * masked) are set up. Returning is success: see guest_succeed.
 */
void guest_main(const struct boot_info *boot);

/* The value of "name=NUMBER" (decimal or 0x...) in the command line, or `fallback`. */
uint64_t boot_option(const struct boot_info *boot, const char *name, uint64_t fallback);

/* Called by start.S. */
void boot_main(unsigned protocol, const void *info);
#endif

#endif
