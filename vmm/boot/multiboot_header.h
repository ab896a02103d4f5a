/* The headers by which a kernel says that it follows the Multiboot specifications. */
#ifndef VMM_BOOT_MULTIBOOT_HEADER_H
#define VMM_BOOT_MULTIBOOT_HEADER_H

#include "vmm/boot/boot.h"

/*
 * Multiboot 1 (0.6.96, section 3.1): the entry is the header's own where its address fields are
 * valid (flag 16), else the ELF file's, which must then be a 32-bit file.
 */
bool multiboot_header_find(
    const struct boot_image *kernel, bool is64, uint64_t elf_entry, uint64_t *entry);
/*
 * Multiboot 2 (2.0, section 3.1), for the i386 architecture: the entry is that of the entry address
 * tag, else the ELF file's. False as well when a tag that is not optional asks for what is not
 * there; `why` (may be NULL) then says what.
 */
bool multiboot2_header_find(
    const struct boot_image *kernel, uint64_t elf_entry, uint64_t *entry, const char **why);

#endif
