/* Which byte of the kernel's file the loader put at an address. */
#include "vmm/boot/internal.h"

#include <gelf.h>
#include <libelf.h>

static bool segment_where(Elf *elf, uint64_t gpa, uint64_t *offset)
{
    size_t count;
    GElf_Phdr segment;
    if (elf_getphdrnum(elf, &count) < 0)
        return false;
    /* A later segment may lie over an earlier one. */
    while (count-- > 0) {
        if (!gelf_getphdr(elf, (int)count, &segment) || segment.p_type != PT_LOAD ||
            gpa - segment.p_paddr >= segment.p_filesz)
            continue;
        *offset = segment.p_offset + (gpa - segment.p_paddr);
        return true;
    }
    return false;
}

bool boot_where(const struct boot_image *kernel, uint64_t gpa, uint64_t *offset)
{
    union {
        const uint8_t *in;
        char *out;
    } image = {.in = kernel->data};
    if (boot_is_linux(kernel))
        return boot_linux_where(kernel, gpa, offset);
    if (elf_version(EV_CURRENT) == EV_NONE)
        return false;
    Elf *elf = elf_memory(image.out, kernel->size);
    bool found = elf && segment_where(elf, gpa, offset) && *offset < kernel->size;
    elf_end(elf);
    return found;
}
