/* What the boot loader's files share: the places of what it makes and the pieces of loading. */
#ifndef VMM_BOOT_INTERNAL_H
#define VMM_BOOT_INTERNAL_H

#include "vmm/boot/boot.h"

/* Offsets in the loader's area, which is 64 KiB from a multiple of 64 KiB: the lowest in which no
 * segment of the kernel lies. */
enum {
    BOOT_GDT = 0x500,
    BOOT_AREA_START = BOOT_GDT,
    BOOT_PAGE_TABLES = 0x1000, /* PML4, PDPT, four page directories */
    BOOT_START_INFO = 0x7000,
    BOOT_MODULE_LIST = 0x7100,
    BOOT_MEMORY_MAP = 0x7400,
    BOOT_MULTIBOOT_INFO = 0x7800,
    BOOT_STRING_AREA = 0x8000, /* command line, then the modules' */
    BOOT_STRING_END = 0xa000,
    BOOT_PARAMS = 0xa000, /* Linux's zero page */
    BOOT_MULTIBOOT2_INFO = 0xb000,
    BOOT_AREA_END = 0xe000,
    BOOT_AREA_STEP = 0x10000,
};

struct boot_module_layout {
    uint64_t start, size;
    uint64_t string; /* its command line */
};

/* What was loaded where. */
struct boot_layout {
    uint64_t area;         /* where the loader's area is */
    uint64_t command_line; /* where the strings are */
    uint64_t loader_name;
    uint64_t entry;        /* physical */
    uint64_t kernel_start; /* lowest byte loaded */
    uint64_t kernel_end;   /* one past the highest, BSS included */
    uint64_t module_limit; /* where modules must end at the latest; 0: anywhere in low RAM */
    struct boot_module_layout module[BOOT_MAX_MODULES];
    unsigned module_count;
};

/* elf.c: loads PT_LOAD segments by physical address and chooses the protocol when it is AUTO. */
int boot_load_elf(struct memory *memory, const struct boot_request *request,
    struct boot_choice *choice, struct boot_layout *layout, struct error *error);

/* linux.c */
bool boot_is_linux(const struct boot_image *kernel);
/* Loads the protected-mode kernel and fills in *layout. */
int boot_load_linux(struct memory *memory, const struct boot_request *request,
    struct boot_choice *choice, struct boot_layout *layout, struct error *error);
/* As boot_where(), of such an image. */
bool boot_linux_where(const struct boot_image *kernel, uint64_t gpa, uint64_t *offset);
/* Has it the 64-bit entry? Else it is started by the 32-bit one. */
bool boot_linux_has_64bit_entry(const struct boot_image *kernel);
/* Writes boot_params. */
void boot_write_linux_params(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout);

/* pvh.c, multiboot.c and multiboot2.c: the information structure for the guest. */
void boot_write_start_info(struct memory *memory, const struct boot_layout *layout);
void boot_write_multiboot_info(struct memory *memory, const struct boot_layout *layout);
int boot_write_multiboot2_info(
    struct memory *memory, const struct boot_layout *layout, struct error *error);

/* entry.c: first register states. */
void boot_enter_long_mode(
    struct memory *memory, const struct boot_layout *layout, struct vcpu_state *state);
void boot_enter_protected_mode(
    struct memory *memory, const struct boot_layout *layout, struct vcpu_state *state);

#endif
