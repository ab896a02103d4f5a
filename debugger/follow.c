/* Finds out which symbol files are in the guest's memory, and where. */
#include "debugger/follow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/processes.h"
#include "debugger/session.h"

enum {
    PAGE_FAULT = 14,
    SAMPLES = 24,
    SAMPLE_BYTES = 64,
    /* A quarter of the code may differ: the kernel patches its own, by samples up to 10 %. */
    ALLOWED = 4,
};

/* Where kernels run, and the granularity of the pages that map them. */
#define KERNEL_START 0xffffffff80000000ull
#define KERNEL_PAGE  0x200000ull
#define KERNEL_PAGES 512u

void follow_free(struct follow *follow)
{
    for (unsigned i = 0; i < follow->directory_count; i++)
        free(follow->directories[i]);
    for (size_t i = 0; i < follow->file_count; i++) {
        free(follow->files[i].name);
        free(follow->files[i].path);
    }
    free(follow->files);
    free(follow->loaded);
    *follow = (struct follow){0};
}

/* ---- Is it there? ---- */

static void compare(const struct view *view, uint64_t address, const uint8_t *own, size_t size,
    uint64_t *compared, uint64_t *different)
{
    uint8_t bytes[SAMPLE_BYTES];
    if (!view_read(view, address, bytes, size))
        return;
    *compared += size;
    for (size_t i = 0; i < size; i++)
        *different += bytes[i] != own[i];
}

static void compare_samples(const struct module *module, const struct view *view, uint64_t bias,
    const char *section, unsigned count, uint64_t *compared, uint64_t *different)
{
    uint64_t address, size;
    const void *bytes;
    if (!module_section(module, section, &address, &bytes, &size) || !bytes || size < SAMPLE_BYTES)
        return;
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = (size - SAMPLE_BYTES) / count * i;
        compare(view, address + bias + at, (const uint8_t *)bytes + at, SAMPLE_BYTES, compared,
            different);
    }
}

/* A page table of user mode maps little of the kernel: the entry code. */
static void compare_entry(const struct module *module, const struct view *view, uint64_t bias,
    uint64_t *compared, uint64_t *different)
{
    uint64_t address, size;
    const void *bytes;
    const struct symbol *entry = module_find(module, "entry_SYSCALL_64");
    if (!entry || !module_section(module, ".text", &address, &bytes, &size) || !bytes)
        return;
    uint64_t at = entry->address - module->bias - address;
    if (at < size && size - at >= SAMPLE_BYTES)
        compare(view, entry->address - module->bias + bias, (const uint8_t *)bytes + at,
            SAMPLE_BYTES, compared, different);
}

bool follow_fits(const struct module *module, const struct view *view, uint64_t bias)
{
    uint64_t compared = 0, different = 0;
    compare_samples(module, view, bias, ".text", SAMPLES, &compared, &different);
    if (!compared)
        compare_entry(module, view, bias, &compared, &different);
    return compared && different <= compared / ALLOWED;
}

/* ---- The kernel ---- */

bool follow_is_kernel(const struct module *module)
{
    return module_find(module, "asm_exc_page_fault") || module_find(module, "start_kernel");
}

static bool gate_target(const struct view *view, unsigned vector, uint64_t *target)
{
    uint64_t gate[2];
    if (vector * 16 + 15 > view->state.idt.limit ||
        !view_read(view, view->state.idt.base + vector * 16, gate, sizeof gate) ||
        !(gate[0] >> 47 & 1))
        return false;
    *target = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | (gate[1] & 0xffffffff) << 32;
    return true;
}

/* The handlers in the IDT and in LSTAR have names. */
static bool find_by_anchors(const struct module *module, const struct view *view, uint64_t *bias)
{
    static const struct {
        const char *name;
        int vector; /* -1: LSTAR */
    } anchors[] = {{"entry_SYSCALL_64", -1}, {"asm_exc_page_fault", PAGE_FAULT},
        {"early_idt_handler_array", 0}};
    for (size_t i = 0; i < sizeof anchors / sizeof anchors[0]; i++) {
        uint64_t there = view->state.lstar;
        const struct symbol *symbol = module_find(module, anchors[i].name);
        if (!symbol ||
            (anchors[i].vector >= 0 && !gate_target(view, (unsigned)anchors[i].vector, &there)))
            continue;
        *bias = there - (symbol->address - module->bias);
        /* A list has no code to compare: that it is moved by whole pages has to do. */
        if (there && *bias % KERNEL_PAGE == 0 &&
            (module->elf ? follow_fits(module, view, *bias) : there >= KERNEL_START))
            return true;
    }
    return false;
}

/* A kernel maps nothing below itself from its first page tables on, before it has handlers. */
static bool find_by_pages(const struct module *module, const struct view *view, uint64_t *bias)
{
    const struct symbol *text = module_find(module, "_text");
    bool before = false;
    if (!text || !module->elf)
        return false;
    for (unsigned i = 0; i < KERNEL_PAGES; i++) {
        uint8_t byte;
        uint64_t address = KERNEL_START + i * KERNEL_PAGE;
        bool mapped = view_read(view, address, &byte, 1);
        *bias = address - (text->address - module->bias);
        if (mapped && !before && follow_fits(module, view, *bias))
            return true;
        before = mapped;
    }
    return false;
}

/* Where the kernel of this file is, if it is in memory. */
static bool find_kernel(const struct module *module, const struct view *view, uint64_t *bias)
{
    if (!(view->state.cr0 & CR0_PG) || !(view->state.efer & EFER_LMA))
        return false;
    *bias = module->bias;
    if (module->elf && follow_fits(module, view, *bias))
        return true;
    return find_by_anchors(module, view, bias) || find_by_pages(module, view, bias);
}

uint64_t follow_look(const struct debugger *debugger, const struct view *view)
{
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        uint64_t bias;
        if (module->kind == MODULE_KERNEL && find_kernel(module, view, &bias))
            return (bias ^ (uint64_t)(uintptr_t)module) | 1;
    }
    return 0;
}

struct module *follow_kernel(const struct debugger *debugger)
{
    struct module *any = NULL;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        struct module *module = debugger->symbols.modules[i];
        if (module->kind == MODULE_KERNEL && (!any || (any->away && !module->away)))
            any = module;
    }
    return any;
}

static void place_kernel(struct debugger *debugger, struct module *module)
{
    uint64_t bias;
    bool first = !module->identity;
    module->away = !find_kernel(module, &debugger->view, &bias);
    if (module->away || (!first && bias == module->bias))
        return;
    if (bias != module->bias)
        symbols_move(module, bias);
    module->identity = 1;
    print(debugger, "The kernel of %s runs 0x%" PRIx64 " from where it was linked.\n", module->name,
        bias);
}

void follow(struct debugger *debugger)
{
    struct symbols *symbols = &debugger->symbols;
    struct follow *state = &debugger->follow;
    state->signature = state->kernel_signature = 0;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        if (module->kind != MODULE_KERNEL)
            continue;
        place_kernel(debugger, module);
        if (!module->away && !state->kernel_signature)
            state->kernel_signature = (module->bias ^ (uint64_t)(uintptr_t)module) | 1;
    }
    state->signature = state->kernel_signature;
    struct module *kernel = follow_kernel(debugger);
    if (!kernel)
        return;
    modules_follow(debugger, kernel, &state->signature);
    processes_follow(debugger, &state->signature);
}
