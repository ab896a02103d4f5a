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
 *  - linux: a bzImage by its 64-bit entry (Linux: Documentation/arch/x86/boot.rst, version 2.12 and
 *    later), identity-mapped first 4 GiB, flat segments, IF=0, RSI = boot_params.
 *
 * The first 64 KiB hold what the loader makes (tables, start info, command line); a kernel that
 * wants to be loaded there is refused.
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

struct boot_request {
    enum boot_protocol protocol;
    struct boot_image kernel;
    struct boot_image initrd; /* data NULL: none */
    const char *command_line; /* "" when none */
};

enum { BOOT_COMMAND_LINE_MAX = 2047 };

/* Loads and fills *state. Fails with one line that names the file and what is wrong with it. */
int boot_load(struct memory *memory, const struct boot_request *request, struct vcpu_state *state,
    struct error *error);

#endif
