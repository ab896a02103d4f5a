/* Boot loaders, and the vCPU's first state. */
#include "vmm/boot/internal.h"

#include <string.h>

#include "base/buffer.h"

static const char *const protocol_names[BOOT_PROTOCOL_COUNT] = {
    [BOOT_AUTO] = "auto",
    [BOOT_ELF64] = "elf64",
    [BOOT_PVH] = "pvh",
    [BOOT_MULTIBOOT] = "multiboot",
    [BOOT_LINUX] = "linux",
    [BOOT_MULTIBOOT2] = "multiboot2",
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

const char *boot_module_label(unsigned number)
{
    static const char *const labels[BOOT_MAX_MODULES] = {
        "initrd", "module1", "module2", "module3", "module4", "module5", "module6", "module7"};
    return number < BOOT_MAX_MODULES ? labels[number] : "?";
}

/* ---- Modules --------------------------------------------------------------------------------- */

/* Below the modules before it from the top of low RAM on, page-aligned, above the kernel. */
static int load_module(struct memory *memory, const struct boot_image *image,
    struct boot_layout *layout, struct error *error)
{
    uint64_t low = memory->region[0].size;
    if (layout->module_limit && layout->module_limit < low)
        low = layout->module_limit;
    if (layout->module_count)
        low = layout->module[layout->module_count - 1].start;
    uint64_t floor = (layout->kernel_end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    if (image->size == 0)
        return error_set(error, "%s: the initrd or module is empty", image->name);
    uint64_t needed = (image->size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    if (floor >= low || needed > low - floor)
        return error_set(error,
            "%s: an initrd or module of %zu bytes does not fit beside the kernel in %llu MiB of "
            "low "
            "memory; give more with --memory",
            image->name, image->size, (unsigned long long)(low >> 20));
    uint64_t start = (low - needed) & ~(PAGE_SIZE - 1);
    layout->module[layout->module_count++] =
        (struct boot_module_layout){.start = start, .size = image->size};
    memory_write(memory, start, image->data, image->size);
    return 0;
}

static int load_modules(struct memory *memory, const struct boot_request *request,
    struct boot_layout *layout, struct error *error)
{
    if (request->module_count > BOOT_MAX_MODULES)
        return error_set(error, "there are %u modules; at most %d are possible",
            request->module_count, BOOT_MAX_MODULES);
    for (unsigned i = 0; i < request->module_count; i++) {
        if (load_module(memory, &request->modules[i], layout, error) < 0)
            return -1;
    }
    return 0;
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* Without the directory; what follows a space is not of the path. */
static const char *base_name(const char *name)
{
    const char *base = name;
    for (const char *at = name; *at && *at != ' '; at++) {
        if (*at == '/')
            base = at + 1;
    }
    return base;
}

static int put_string(struct memory *memory, uint64_t *next, uint64_t end,
    const struct buffer *text, uint64_t *where, struct error *error)
{
    if (text->failed || text->size > end - *next)
        return error_set(error, "the command lines of kernel and modules are too long together");
    *where = *next;
    memory_write(memory, *next, text->data, text->size);
    *next += text->size;
    return 0;
}

static void set_text(struct buffer *text, const char *first, const char *second)
{
    buffer_clear(text);
    buffer_put(text, first, strlen(first));
    if (*first && *second)
        buffer_put(text, " ", 1);
    buffer_put(text, second, strlen(second) + 1);
}

static int write_strings(struct memory *memory, const struct boot_request *request,
    enum boot_protocol protocol, struct boot_layout *layout, struct error *error)
{
    uint64_t next = layout->area + BOOT_STRING_AREA, end = layout->area + BOOT_STRING_END;
    bool named = protocol == BOOT_MULTIBOOT || protocol == BOOT_MULTIBOOT2;
    struct buffer text = {0};
    set_text(&text, named ? base_name(request->kernel.name) : "", request->command_line);
    int result = put_string(memory, &next, end, &text, &layout->command_line, error);
    set_text(&text, "", "hindsight");
    if (result == 0)
        result = put_string(memory, &next, end, &text, &layout->loader_name, error);
    for (unsigned i = 0; result == 0 && i < layout->module_count; i++) {
        set_text(&text, "", base_name(request->modules[i].name));
        result = put_string(memory, &next, end, &text, &layout->module[i].string, error);
    }
    buffer_free(&text);
    return result;
}

/* ---- Entering -------------------------------------------------------------------------------- */

static int enter(struct memory *memory, const struct boot_request *request,
    enum boot_protocol protocol, const struct boot_layout *layout, struct vcpu_state *state,
    struct error *error)
{
    bool long_mode = protocol == BOOT_ELF64 ||
                     (protocol == BOOT_LINUX && boot_linux_has_64bit_entry(&request->kernel));
    boot_write_start_info(memory, layout);
    vcpu_reset(state);
    if (long_mode)
        boot_enter_long_mode(memory, layout, state);
    else
        boot_enter_protected_mode(memory, layout, state);
    switch (protocol) {
    case BOOT_LINUX:
        boot_write_linux_params(memory, request, layout);
        state->gpr[RSI] = layout->area + BOOT_PARAMS;
        return 0;
    case BOOT_PVH:
        state->gpr[RBX] = layout->area + BOOT_START_INFO;
        return 0;
    case BOOT_MULTIBOOT:
        boot_write_multiboot_info(memory, layout);
        state->gpr[RAX] = 0x2badb002;
        state->gpr[RBX] = layout->area + BOOT_MULTIBOOT_INFO;
        return 0;
    case BOOT_MULTIBOOT2:
        state->gpr[RAX] = 0x36d76289;
        state->gpr[RBX] = layout->area + BOOT_MULTIBOOT2_INFO;
        return boot_write_multiboot2_info(memory, layout, error);
    default:
        return 0;
    }
}

int boot_load(struct memory *memory, const struct boot_request *request, struct vcpu_state *state,
    struct boot_choice *choice, struct error *error)
{
    size_t length = strlen(request->command_line);
    if (length > BOOT_COMMAND_LINE_MAX)
        return error_set(error, "the command line has %zu bytes; at most %d are possible", length,
            BOOT_COMMAND_LINE_MAX);
    if (request->kernel.size == 0)
        return error_set(error, "%s: the file is empty", request->kernel.name);
    struct boot_layout layout = {0};
    *choice = (struct boot_choice){.protocol = request->protocol, .reason = "--boot says so"};
    bool is_linux = request->protocol == BOOT_LINUX ||
                    (request->protocol == BOOT_AUTO && boot_is_linux(&request->kernel));
    int loaded = is_linux ? boot_load_linux(memory, request, choice, &layout, error)
                          : boot_load_elf(memory, request, choice, &layout, error);
    if (loaded < 0 || load_modules(memory, request, &layout, error) < 0 ||
        write_strings(memory, request, choice->protocol, &layout, error) < 0)
        return -1;
    return enter(memory, request, choice->protocol, &layout, state, error);
}
