/* Linux bzImages by the 64-bit and the 32-bit boot protocol (Documentation/arch/x86/boot.rst). */
#include "vmm/boot/internal.h"

#include <string.h>

#include "vmm/boot/acpi.h"
#include "vmm/boot/map.h"

/* Offsets in the file and in boot_params alike. */
enum {
    SETUP_SECTORS = 0x1f1,
    SYSTEM_SIZE = 0x1f4, /* in 16-byte units */
    VIDEO_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    JUMP_LENGTH = 0x201, /* the header ends this many bytes after MAGIC */
    MAGIC = 0x202,
    VERSION = 0x206,
    LOADER_TYPE = 0x210,
    LOAD_FLAGS = 0x211,
    ENTRY_32BIT = 0x214,
    INITRD_ADDRESS = 0x218,
    INITRD_SIZE = 0x21c,
    COMMAND_LINE = 0x228,
    INITRD_MAX = 0x22c,
    LOAD_ALIGNMENT = 0x230,
    EXTENDED_LOAD_FLAGS = 0x236,
    COMMAND_LINE_SIZE = 0x238,
    PREFERRED_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_END = 0x264,
};

/* Offsets in boot_params alone. */
enum {
    PARAMS_RSDP = 0x070,
    PARAMS_E820_ENTRIES = 0x1e8,
    PARAMS_E820 = 0x2d0,
    PARAMS_SIZE = 0x1000,
};

enum {
    OLDEST_VERSION = 0x208,
    VERSION_WITH_PREFERENCE = 0x20a,
    VERSION_WITH_64BIT_ENTRY = 0x20c,
    LOADED_HIGH = 1 << 0,
    HAS_64BIT_ENTRY = 1 << 0,
    ENTRY_OFFSET = 0x200,
    SECTOR = 512,
    UNDEFINED_LOADER = 0xff,
    NORMAL_VIDEO = 0xffff,
};

static uint64_t get(const struct boot_image *kernel, size_t offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, kernel->data + offset, size);
    return value;
}

bool boot_is_linux(const struct boot_image *kernel)
{
    return kernel->size >= MAGIC + 4 && memcmp(kernel->data + MAGIC, "HdrS", 4) == 0 &&
           get(kernel, BOOT_FLAG, 2) == 0xaa55;
}

bool boot_linux_has_64bit_entry(const struct boot_image *kernel)
{
    return get(kernel, VERSION, 2) >= VERSION_WITH_64BIT_ENTRY &&
           (get(kernel, EXTENDED_LOAD_FLAGS, 2) & HAS_64BIT_ENTRY);
}

static uint64_t kernel_offset(const struct boot_image *kernel)
{
    uint64_t sectors = get(kernel, SETUP_SECTORS, 1);
    return ((sectors ? sectors : 4) + 1) * SECTOR;
}

static int check_header(const struct boot_request *request, struct error *error)
{
    const struct boot_image *kernel = &request->kernel;
    if (!boot_is_linux(kernel))
        return error_set(
            error, "%s: not a Linux kernel image (bzImage): it has no setup header", kernel->name);
    if (kernel->size < HEADER_END)
        return error_set(error,
            "%s: the kernel image is truncated: %zu bytes are not a whole setup "
            "header",
            kernel->name, kernel->size);
    unsigned version = (unsigned)get(kernel, VERSION, 2);
    if (version < OLDEST_VERSION)
        return error_set(error,
            "%s: boot protocol %u.%02u is too old: before 2.08 (Linux 2.6.26) the 16-bit entry is "
            "needed, whose BIOS calls are not there",
            kernel->name, version >> 8, version & 0xff);
    if (!(get(kernel, LOAD_FLAGS, 1) & LOADED_HIGH))
        return error_set(error,
            "%s: a zImage, loaded low: it needs the 16-bit entry, whose BIOS calls are not there",
            kernel->name);
    if (request->module_count > 1)
        return error_set(error, "%s: Linux takes one initrd, and there are %u modules",
            kernel->name, request->module_count);
    uint64_t offset = kernel_offset(kernel), size = get(kernel, SYSTEM_SIZE, 4) * 16;
    /* The size is rounded up to its unit. */
    if (offset + size > kernel->size + 15 || size < ENTRY_OFFSET || offset >= kernel->size)
        return error_set(error,
            "%s: the kernel image is truncated: it has %zu bytes, and its header tells of %llu",
            kernel->name, kernel->size, (unsigned long long)(offset + size));
    size_t length = strlen(request->command_line), most = get(kernel, COMMAND_LINE_SIZE, 4);
    if (length > most)
        return error_set(
            error, "the command line has %zu bytes; this kernel takes %zu", length, most);
    return 0;
}

/* A kernel loaded elsewhere than it prefers would move itself there all the same. */
static uint64_t load_address(const struct boot_image *kernel)
{
    if (get(kernel, VERSION, 2) >= VERSION_WITH_PREFERENCE)
        return get(kernel, PREFERRED_ADDRESS, 8);
    return get(kernel, ENTRY_32BIT, 4);
}

bool boot_linux_where(const struct boot_image *kernel, uint64_t gpa, uint64_t *offset)
{
    if (kernel->size < HEADER_END || kernel_offset(kernel) > kernel->size)
        return false;
    *offset = kernel_offset(kernel) + (gpa - load_address(kernel));
    return gpa - load_address(kernel) < kernel->size - kernel_offset(kernel);
}

/* What it needs from there on to unpack itself; older headers do not say. */
static uint64_t size_needed(const struct boot_image *kernel, uint64_t size)
{
    uint64_t needed =
        get(kernel, VERSION, 2) >= VERSION_WITH_PREFERENCE ? get(kernel, INIT_SIZE, 4) : 4 * size;
    return needed < size ? size : needed;
}

int boot_load_linux(struct memory *memory, const struct boot_request *request,
    struct boot_choice *choice, struct boot_layout *layout, struct error *error)
{
    const struct boot_image *kernel = &request->kernel;
    if (check_header(request, error) < 0)
        return -1;
    uint64_t address = load_address(kernel);
    uint64_t offset = kernel_offset(kernel), size = kernel->size - offset;
    uint64_t needed = size_needed(kernel, size);
    uint64_t low = memory->region[0].size;
    if (address < 0x100000 || address > MEMORY_HOLE)
        return error_set(error, "%s: the kernel wants to be loaded at %#llx, which is not memory",
            kernel->name, (unsigned long long)address);
    if (address > low || needed > low - address)
        return error_set(error,
            "%s: the kernel needs at least %llu MiB of memory to unpack itself; give more with "
            "--memory",
            kernel->name, (unsigned long long)((address + needed + 0xfffff) >> 20));
    memory_write(memory, address, kernel->data + offset, size);
    layout->kernel_start = address;
    layout->kernel_end = address + needed;
    bool has_64bit_entry = boot_linux_has_64bit_entry(kernel);
    layout->entry = address + (has_64bit_entry ? ENTRY_OFFSET : 0);
    layout->module_limit = get(kernel, INITRD_MAX, 4) + 1;
    if (choice->protocol == BOOT_AUTO)
        choice->reason = has_64bit_entry ? "the file has Linux's header, with the 64-bit entry"
                                         : "the file has Linux's header, with the 32-bit entry";
    choice->protocol = BOOT_LINUX;
    return 0;
}

static void put(uint8_t *params, size_t offset, unsigned size, uint64_t value)
{
    memcpy(params + offset, &value, size);
}

void boot_write_linux_params(
    struct memory *memory, const struct boot_request *request, const struct boot_layout *layout)
{
    enum { E820_ENTRY = 20 };
    const struct boot_image *kernel = &request->kernel;
    uint8_t params[PARAMS_SIZE] = {0};
    size_t end = MAGIC + get(kernel, JUMP_LENGTH, 1);
    if (end > kernel->size)
        end = kernel->size;
    memcpy(params + SETUP_SECTORS, kernel->data + SETUP_SECTORS, end - SETUP_SECTORS);
    put(params, LOADER_TYPE, 1, UNDEFINED_LOADER);
    put(params, VIDEO_MODE, 2, NORMAL_VIDEO);
    put(params, INITRD_ADDRESS, 4, layout->module[0].start);
    put(params, INITRD_SIZE, 4, layout->module[0].size);
    put(params, COMMAND_LINE, 4, layout->command_line);
    put(params, PARAMS_RSDP, 8, ACPI_RSDP);
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    unsigned count = boot_memory_map(memory, ranges);
    put(params, PARAMS_E820_ENTRIES, 1, count);
    for (unsigned i = 0; i < count; i++) {
        size_t entry = PARAMS_E820 + i * E820_ENTRY;
        put(params, entry, 8, ranges[i].start);
        put(params, entry + 8, 8, ranges[i].size);
        put(params, entry + 16, 4, ranges[i].type);
    }
    memory_write(memory, layout->area + BOOT_PARAMS, params, sizeof params);
}
