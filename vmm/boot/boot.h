/*
 * Boot loaders: put a kernel, its initrd and its command line in guest memory and give the vCPU its
 * first state.
 *
 * Ways in:
 *  - elf64: e_entry in 64-bit mode, identity-mapped first 4 GiB (2 MiB pages), flat segments, IF=0,
 *    RSI = GPA of the PVH start info, RSP = 0. For ELF64 files whose entry is linked at its
 *    physical address.
 *  - pvh: the 32-bit entry named by the XEN_ELFNOTE_PHYS32_ENTRY note, protected mode without
 * paging, EBX = start info (Xen: docs/misc/pvh.pandoc,
 * xen/include/public/arch-x86/hvm/start_info.h).
 *  - multiboot: Multiboot Specification version 0.6.96, EAX = 0x2BADB002, EBX = information.
 *  - multiboot2: Multiboot2 Specification version 2.0, EAX = 0x36D76289, EBX = information.
 *  - linux: a bzImage (Linux: Documentation/arch/x86/boot.rst), by its 64-bit entry where it has
 * one (version 2.12 and later; identity-mapped first 4 GiB, flat segments, IF=0, RSI =
 * boot_params), else by the 32-bit one (version 2.02 and later; protected mode, flat segments,
 * IF=0, ESI = boot_params, EBP, EDI and EBX zero). The 16-bit entry needs BIOS calls, which are not
 * there.
 *
 * With `auto`: what has Linux's header is booted by it, then come the Multiboot headers, 1 before
 * 2, the PVH note, and the ELF64 entry.
 *
 * The loader's own tables, start info and strings are in low memory, where no segment of the kernel
 * lies. Firmware's (bios.h) are not in the way of a kernel: it may overwrite them.
 */
#ifndef VMM_BOOT_BOOT_H
#define VMM_BOOT_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

enum boot_protocol {
    BOOT_AUTO,
    BOOT_ELF64,
    BOOT_PVH,
    BOOT_MULTIBOOT,
    BOOT_LINUX,
    BOOT_MULTIBOOT2,
    BOOT_PROTOCOL_COUNT
};

const char *boot_protocol_name(enum boot_protocol protocol); /* "auto", "elf64", ... */
/* False when no protocol has that name. */
bool boot_protocol_parse(const char *name, enum boot_protocol *protocol);

struct boot_image {
    const char *name; /* for messages */
    const uint8_t *data;
    size_t size;
};

enum { BOOT_COMMAND_LINE_MAX = 2047, BOOT_MAX_MODULES = 8 };

/*
 * Modules are files that the kernel finds in memory; the first one is what Linux calls initrd. A
 * module's name may go on after its path with a space and arguments, and is its command line,
 * without the directory. A Multiboot command line begins with the kernel's name, as GRUB and QEMU
 * have it.
 */
struct boot_request {
    enum boot_protocol protocol;
    struct boot_image kernel;
    const struct boot_image *modules;
    unsigned module_count;
    const char *command_line; /* "" when none */
};

/* What a trace calls the module of that number: "initrd", "module1", ... */
const char *boot_module_label(unsigned number);

/* The way in that was taken, and by what it was chosen. */
struct boot_choice {
    enum boot_protocol protocol;
    const char *reason; /* a phrase: "it has a Multiboot header" */
};

/* Loads and fills *state and *choice. Fails with one line that names the file and what is wrong
 * with it. */
int boot_load(struct memory *memory, const struct boot_request *request, struct vcpu_state *state,
    struct boot_choice *choice, struct error *error);

/* Which byte of the kernel's file boot_load() puts at `gpa`; false when none. */
bool boot_where(const struct boot_image *kernel, uint64_t gpa, uint64_t *offset);

#endif
