/*
 * Hostile debugging information: an ELF file as a kernel's, or a kernel module's that is linked
 * first. Lines, functions, types and variables are looked up in it, and frames unwound by its call
 * frame information and ORC tables over a stack of its own addresses.
 */
#include <dwarf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/relocate.h"
#include "debugger/scopes.h"
#include "debugger/symbols.h"
#include "debugger/unwind.h"
#include "debugger/variables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 1 << 20, STACK = 0x80000, FRAMES = 12, ADDRESSES = 12, TEXT_MAX = 1 << 16 };

static struct memory memory;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void show(void *context, const char *name, const struct value *value)
{
    const struct symbols *symbols = context;
    const struct view view = {.memory = &memory};
    struct buffer text = {0};
    struct error error = {""};
    require(name != NULL);
    if (value) {
        type_describe(&value->type, &text);
        type_define(&value->type, &text);
        if (value_format(&view, symbols, value, 0, &text, &error) < 0)
            require(error.text[0] != '\0');
    }
    buffer_free(&text);
}

/* 32-bit code without paging: linear addresses are those of RAM. */
static void make_view(struct view *view, uint64_t pc)
{
    *view = (struct view){.memory = &memory};
    vcpu_reset(&view->state);
    view->state.cr0 = CR0_PE | CR0_ET;
    view->state.rip = pc;
    view->state.gpr[RSP] = STACK;
    view->state.gpr[RBP] = STACK + 0x40;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        view->state.segment[i] = (struct segment){
            .limit = 0xffffffff, .selector = 8, .attributes = i == SEG_CS ? 0xc9b : 0xc93};
    for (uint64_t at = STACK; at < STACK + 0x1000; at += 8) {
        uint64_t value = at % 24 ? pc + at % 7 : at + 0x60;
        memcpy(memory.host + at, &value, 8);
    }
}

static void look_at_code(const struct symbols *symbols, uint64_t pc)
{
    struct view view;
    struct frame frame, caller;
    struct source_line line;
    const struct module *module;
    struct scopes scopes;
    Dwarf_Die die;
    make_view(&view, pc);
    symbols_function(symbols, pc, &module, &die);
    symbols_unit(symbols, pc, &module, &die);
    symbols_after_prologue(symbols, pc);
    if (symbols_line(symbols, pc, &line)) {
        uint64_t list[8];
        int found;
        require(line.file != NULL);
        require(symbols_line_addresses(symbols, line.file, line.line, list, 8, &found) <= 8);
    }
    if (scopes_at(symbols, pc, &scopes))
        require(scopes.count <= MAX_SCOPES && scopes_inlined(&scopes) <= scopes.count);
    unwind_start(symbols, &view, &frame);
    for (unsigned i = 0; i < FRAMES; i++) {
        frame_line(symbols, &frame, &line);
        variables_each(symbols, &view, &frame, true, show, (void *)(uintptr_t)symbols);
        variables_each(symbols, &view, &frame, false, show, (void *)(uintptr_t)symbols);
        if (!unwind_next(symbols, &view, &frame, &caller))
            break;
        frame = caller;
    }
}

static void look_up_names(const struct symbols *symbols)
{
    static const char *const names[] = {"main", "node", "counter", "color", "inner", "orc_entry"};
    static const char *const types[] = {"struct node *", "enum color", "unsigned long", "word"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct view view;
        struct value value;
        uint64_t number, list[4];
        struct type type;
        make_view(&view, 0);
        if (variables_find(symbols, &view, NULL, names[i], &value) == VARIABLE_FOUND)
            show((void *)(uintptr_t)symbols, names[i], &value);
        type_find_enumerator(symbols, names[i], &number, &type);
        require(index_inlined(symbols->modules[0], names[i], list, 4) <= 4);
    }
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        struct buffer text = {0};
        const char *rest = types[i];
        struct type type;
        if (type_parse(symbols, &rest, &type))
            type_define(&type, &text);
        buffer_free(&text);
    }
    symbols_line_addresses(symbols, NULL, 3, (uint64_t[4]){0}, 4, &(int){0});
}

static void look(const struct symbols *symbols)
{
    struct module *module = symbols->modules[0];
    size_t step = module->count / ADDRESSES + 1;
    for (size_t i = 0; i < module->count; i += step)
        look_at_code(symbols, module->list[i].address + i % 3);
    look_at_code(symbols, module->low + module->bias);
    look_up_names(symbols);
}

static void add(const uint8_t *data, size_t size, bool linked)
{
    static const struct placed_section places[] = {{".text", 0x10000}, {".data", 0x14000},
        {".init.text", 0x18000}, {".orc_unwind", 0x20000}, {".orc_unwind_ip", 0x28000}};
    struct symbols symbols = {0};
    struct error error = {""};
    uint8_t *image = malloc(size ? size : 1);
    require(image != NULL);
    memcpy(image, data, size);
    if (linked && relocate(image, size, places, 5, &error) < 0) {
        require(error.text[0] != '\0');
        free(image);
        return;
    }
    if (symbols_add_image(&symbols, "fuzz", image, size, 0, &error) == 0) {
        symbols.modules[0]->kind = linked ? MODULE_LOADED : MODULE_KERNEL;
        look(&symbols);
    } else {
        require(error.text[0] != '\0');
    }
    symbols_free(&symbols);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct memory_backend backend = {.size = RAM};
    struct error error;
    if (!memory.host)
        require(memory_create(&memory, &backend, 1, &error) == 0);
    if (size < 64 || size > TEXT_MAX || memcmp(data, "\177ELF", 4) != 0)
        return 0;
    add(data, size, data[16] == 1);
    return 0;
}
