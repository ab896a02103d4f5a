#include "vmm/boot/internal.h"

#include <string.h>

static const char *const protocol_names[BOOT_PROTOCOL_COUNT] = {
    [BOOT_AUTO] = "auto",
    [BOOT_ELF64] = "elf64",
    [BOOT_PVH] = "pvh",
    [BOOT_MULTIBOOT] = "multiboot",
    [BOOT_LINUX] = "linux",
};

const char *boot_protocol_name(enum boot_protocol protocol)
{
    return protocol < BOOT_PROTOCOL_COUNT ? protocol_names[protocol] : "?";
}

bool boot_protocol_parse(const char *name, enum boot_protocol *protocol)
{
    for (unsigned i = 0; i < BOOT_PROTOCOL_COUNT; i++) {
        if (strcmp(name, protocol_names[i]) == 0) {
            *protocol = (enum boot_protocol)i;
            return true;
        }
    }
    return false;
}

unsigned boot_memory_map(const struct memory *memory, struct boot_memory_range ranges[4])
{
    enum { EBDA = 0x9fc00, HIGH = 0x100000 };
    unsigned count = 0;
    uint64_t low = memory->region[0].size;
    ranges[count++] = (struct boot_memory_range){0, EBDA, 1};
    ranges[count++] = (struct boot_memory_range){EBDA, HIGH - EBDA, 2};
    if (low > HIGH)
        ranges[count++] = (struct boot_memory_range){HIGH, low - HIGH, 1};
    if (memory->region[1].size)
        ranges[count++] =
            (struct boot_memory_range){memory->region[1].gpa, memory->region[1].size, 1};
    return count;
}

/* At the top of low RAM, page-aligned, above the kernel. */
static int load_initrd(struct memory *memory, const struct boot_image *initrd,
    struct boot_layout *layout, struct error *error)
{
    if (!initrd->data)
        return 0;
    uint64_t low = memory->region[0].size;
    if (layout->initrd_limit && layout->initrd_limit < low)
        low = layout->initrd_limit;
    uint64_t floor = (layout->kernel_end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    if (initrd->size == 0)
        return error_set(error, "%s: the initrd is empty", initrd->name);
    uint64_t needed = (initrd->size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    if (floor >= low || needed > low - floor)
        return error_set(error,
            "%s: an initrd of %zu bytes does not fit beside the kernel in %llu MiB of low memory; "
            "give more with --memory",
            initrd->name, initrd->size, (unsigned long long)(low >> 20));
    layout->initrd_start = low - needed;
    layout->initrd_size = initrd->size;
    memory_write(memory, layout->initrd_start, initrd->data, initrd->size);
    return 0;
}

int boot_load(struct memory *memory, const struct boot_request *request, struct vcpu_state *state,
    struct error *error)
{
    size_t length = strlen(request->command_line);
    if (length > BOOT_COMMAND_LINE_MAX)
        return error_set(error, "the command line has %zu bytes; at most %d are possible", length,
            BOOT_COMMAND_LINE_MAX);
    if (request->kernel.size == 0)
        return error_set(error, "%s: the file is empty", request->kernel.name);
    struct boot_layout layout = {0};
    enum boot_protocol protocol = request->protocol;
    if (protocol == BOOT_AUTO && boot_is_linux(&request->kernel))
        protocol = BOOT_LINUX;
    int loaded = protocol == BOOT_LINUX ? boot_load_linux(memory, request, &layout, error)
                                        : boot_load_elf(memory, request, &protocol, &layout, error);
    if (loaded < 0 || load_initrd(memory, &request->initrd, &layout, error) < 0)
        return -1;
    memory_write(memory, BOOT_STRING_AREA, request->command_line, length + 1);
    boot_write_start_info(memory, request, &layout);
    boot_write_multiboot_info(memory, request, &layout);
    vcpu_reset(state);
    if (protocol == BOOT_ELF64 || protocol == BOOT_LINUX) {
        boot_enter_long_mode(memory, &layout, state);
        if (protocol == BOOT_LINUX) {
            boot_write_linux_params(memory, request, &layout);
            state->gpr[RSI] = BOOT_PARAMS;
        }
        return 0;
    }
    boot_enter_protected_mode(memory, layout.entry, state);
    if (protocol == BOOT_PVH) {
        state->gpr[RBX] = BOOT_START_INFO;
    } else {
        state->gpr[RAX] = 0x2badb002;
        state->gpr[RBX] = BOOT_MULTIBOOT_INFO;
    }
    return 0;
}
