/* What the boot loader's files share: fixed places in low memory and the pieces of loading. */
#ifndef VMM_BOOT_INTERNAL_H
#define VMM_BOOT_INTERNAL_H

#include "vmm/boot/boot.h"

enum {
    BOOT_GDT = 0x500,
    BOOT_PAGE_TABLES = 0x1000, /* PML4, PDPT, four page directories */
    BOOT_START_INFO = 0x7000,
    BOOT_MODULE_LIST = 0x7100,
    BOOT_MEMORY_MAP = 0x7200,
    BOOT_MULTIBOOT_INFO = 0x7800,
    BOOT_STRING_AREA = 0x8000, /* command line */
    BOOT_PARAMS = 0x9000,      /* Linux's zero page */
    BOOT_LOW_END = 0x10000,
};

/* What was loaded where. */
struct boot_layout {
    uint64_t entry;        /* physical */
    uint64_t kernel_start; /* lowest byte loaded */
    uint64_t kernel_end;   /* one past the highest, BSS included */
    uint64_t initrd_start; /* 0 when there is none */
    uint64_t initrd_size;
    uint64_t initrd_limit; /* where it must end at the latest; 0: anywhere in low RAM */
};

/* elf.c: loads PT_LOAD segments by physical address and chooses the protocol when it is AUTO. */
int boot_load_elf(struct memory *memory, const struct boot_request *request,
    enum boot_protocol *protocol, struct boot_layout *layout, struct error *error);

/* linux.c */
bool boot_is_linux(const struct boot_image *kernel);
/* Loads the protected-mode kernel and fills in *layout. */
int boot_load_linux(struct memory *memory, const struct boot_request *request,
    struct boot_layout *layout, struct error *error);
/* Writes boot_params. */
void boot_write_linux_params(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout);

/* E820-like memory map; returns the number of entries, at most 4. */
struct boot_memory_range {
    uint64_t start, size;
    uint32_t type; /* 1 RAM, 2 reserved */
};
unsigned boot_memory_map(const struct memory *memory, struct boot_memory_range ranges[4]);

/* pvh.c and multiboot.c: write the information structure for the guest. */
void boot_write_start_info(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout);
void boot_write_multiboot_info(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout);

/* entry.c: first register states. */
void boot_enter_long_mode(
    struct memory *memory, const struct boot_layout *layout, struct vcpu_state *state);
void boot_enter_protected_mode(struct memory *memory, uint64_t entry, struct vcpu_state *state);

#endif
