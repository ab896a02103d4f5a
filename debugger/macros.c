/* Reads macros from DWARF: which are defined at a place in the source. */
#include "debugger/macros.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/scopes.h"

/* What a file may claim: more is left out. */
enum { MAX_MACROS = 1 << 20, MAX_IMPORTS = 8, MAX_INCLUDED = 200 };

struct slot {
    struct macro macro;
    bool defined;
};

struct macros {
    Dwarf *dwarf;
    Dwarf_Off unit;
    const char *file; /* where one stands: the definitions up to this line of it */
    int line;
    struct slot *list;
    size_t count, capacity;
    uint32_t *table; /* a hash table of names: 1 + index into list; 0: empty */
    size_t table_size;
    struct macro_file **files; /* owned */
    size_t file_count, file_capacity;
    /* While they are read. */
    struct macro_file *in;
    unsigned depth, imports;
    bool past, failed;
};

void macros_free(struct macros *macros)
{
    if (!macros)
        return;
    for (size_t i = 0; i < macros->file_count; i++)
        free(macros->files[i]);
    free(macros->files);
    free(macros->list);
    free(macros->table);
    free(macros);
}

/* ---- By name ---- */

static size_t hash(const char *name, size_t length)
{
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++)
        value = (value ^ (uint8_t)name[i]) * 0x100000001b3;
    return (size_t)(value ^ value >> 32);
}

/* The place in the table of the name, or where it would be. */
static size_t find_slot(const struct macros *macros, const char *name, size_t length)
{
    size_t mask = macros->table_size - 1, at = hash(name, length) & mask;
    for (; macros->table[at]; at = (at + 1) & mask) {
        const struct macro *macro = &macros->list[macros->table[at] - 1].macro;
        if (macro->length == length && memcmp(macro->text, name, length) == 0)
            break;
    }
    return at;
}

const struct macro *macros_find(const struct macros *macros, const char *name, size_t length)
{
    uint32_t number = macros->table_size ? macros->table[find_slot(macros, name, length)] : 0;
    const struct slot *slot = number ? &macros->list[number - 1] : NULL;
    return slot && slot->defined ? &slot->macro : NULL;
}

void macros_each(const struct macros *macros,
    void (*visit)(void *context, const struct macro *macro), void *context)
{
    for (size_t i = 0; i < macros->count; i++) {
        if (macros->list[i].defined)
            visit(context, &macros->list[i].macro);
    }
}

static bool grow(struct macros *macros)
{
    if (macros->count < macros->capacity)
        return true;
    size_t capacity = macros->capacity ? macros->capacity * 2 : 1024;
    if (capacity > MAX_MACROS)
        return false;
    struct slot *list = realloc(macros->list, capacity * sizeof *list);
    if (list)
        macros->list = list;
    uint32_t *table = calloc(2 * capacity, sizeof *table);
    if (!list || !table) {
        free(table);
        return false;
    }
    free(macros->table);
    macros->table = table;
    macros->table_size = 2 * capacity;
    macros->capacity = capacity;
    for (size_t i = 0; i < macros->count; i++)
        table[find_slot(macros, list[i].macro.text, list[i].macro.length)] = (uint32_t)i + 1;
    return true;
}

static void change(struct macros *macros, const char *text, int line, bool defined)
{
    struct slot slot = {{text, strcspn(text, " ("), macros->in, line}, defined};
    if (!grow(macros)) {
        macros->failed = true;
        return;
    }
    size_t at = find_slot(macros, text, slot.macro.length);
    if (macros->table[at]) {
        macros->list[macros->table[at] - 1] = slot;
        return;
    }
    macros->list[macros->count++] = slot;
    macros->table[at] = (uint32_t)macros->count;
}

/* ---- From DWARF ---- */

static void enter_file(struct macros *macros, Dwarf_Macro *entry, int line)
{
    Dwarf_Files *files;
    size_t count;
    Dwarf_Word number;
    const char *name = NULL;
    if (dwarf_macro_getsrcfiles(macros->dwarf, entry, &files, &count) == 0 &&
        dwarf_macro_param2(entry, &number, NULL) == 0 && number < count)
        name = dwarf_filesrc(files, number, NULL, NULL);
    if (macros->file_count == macros->file_capacity) {
        size_t capacity = macros->file_capacity ? macros->file_capacity * 2 : 64;
        struct macro_file **list = realloc(macros->files, capacity * sizeof *list);
        macros->failed |= !list;
        if (!list)
            return;
        macros->files = list;
        macros->file_capacity = capacity;
    }
    struct macro_file *file = malloc(sizeof *file);
    macros->failed |= !file || macros->depth == MAX_INCLUDED;
    if (!file)
        return;
    *file = (struct macro_file){name ? name : "?", macros->in, line};
    macros->files[macros->file_count++] = file;
    macros->in = file;
    macros->depth++;
}

static bool is_here(const struct macros *macros)
{
    return macros->in && strcmp(macros->in->name, macros->file) == 0;
}

static void leave_file(struct macros *macros)
{
    macros->past |= is_here(macros);
    if (!macros->in)
        return;
    /* The files are owned by the list, and not const there. */
    macros->in = (struct macro_file *)(uintptr_t)macros->in->outer;
    macros->depth--;
}

static int read_entry(Dwarf_Macro *entry, void *context);

static void import(struct macros *macros, Dwarf_Macro *entry)
{
    Dwarf_Attribute attribute;
    Dwarf_Word offset;
    if (macros->imports == MAX_IMPORTS || dwarf_macro_param(entry, 0, &attribute) != 0 ||
        dwarf_formudata(&attribute, &offset) != 0)
        return;
    macros->imports++;
    dwarf_getmacros_off(macros->dwarf, offset, read_entry, macros, DWARF_GETMACROS_START);
    macros->imports--;
}

static void read_definition(struct macros *macros, unsigned opcode, int line, const char *text)
{
    bool defined = opcode == DW_MACRO_define || opcode == DW_MACRO_define_strp ||
                   opcode == DW_MACRO_define_strx || opcode == DW_MACRO_define_sup;
    if (is_here(macros) && line > macros->line)
        macros->past = true;
    else if (text)
        change(macros, text, line, defined);
}

static int read_entry(Dwarf_Macro *entry, void *context)
{
    struct macros *macros = context;
    unsigned opcode;
    Dwarf_Word line = 0;
    Dwarf_Attribute attribute;
    const char *text = NULL;
    if (dwarf_macro_opcode(entry, &opcode) != 0)
        return DWARF_CB_ABORT;
    if (opcode != DW_MACRO_import && opcode != DW_MACRO_end_file)
        dwarf_macro_param1(entry, &line);
    switch (opcode) {
    case DW_MACRO_start_file:
        if (is_here(macros) && (int)line > macros->line)
            macros->past = true;
        else
            enter_file(macros, entry, (int)line);
        break;
    case DW_MACRO_end_file:
        leave_file(macros);
        break;
    case DW_MACRO_import:
        import(macros, entry);
        break;
    case DW_MACRO_define:
    case DW_MACRO_undef:
    case DW_MACRO_define_strp:
    case DW_MACRO_undef_strp:
    case DW_MACRO_define_strx:
    case DW_MACRO_undef_strx:
        /* Not dwarf_macro_param2(), which knows no strings by number. */
        if (dwarf_macro_param(entry, 1, &attribute) == 0)
            text = dwarf_formstring(&attribute);
        read_definition(macros, opcode, (int)line, text);
        break;
    default:
        break;
    }
    return macros->past || macros->failed ? DWARF_CB_ABORT : DWARF_CB_OK;
}

static struct macros *read_macros(Dwarf *dwarf, Dwarf_Die *unit, const struct source_line *line)
{
    struct macros *macros = calloc(1, sizeof *macros);
    if (!macros)
        return NULL;
    *macros = (struct macros){
        .dwarf = dwarf, .unit = dwarf_dieoffset(unit), .file = line->file, .line = line->line};
    dwarf_getmacros(unit, read_entry, macros, DWARF_GETMACROS_START);
    return macros;
}

const struct macros *macros_at(const struct symbols *symbols, const struct frame *frame)
{
    const struct module *found;
    Dwarf_Die unit;
    struct source_line line;
    uint64_t address = unwind_lookup_address(frame);
    if (!symbols_unit(symbols, address, &found, &unit) ||
        !(dwarf_hasattr(&unit, DW_AT_macros) || dwarf_hasattr(&unit, DW_AT_GNU_macros)) ||
        !frame_line(symbols, frame, &line))
        return NULL;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        struct macros *kept = module->macros;
        if (module != found)
            continue;
        if (kept && kept->unit == dwarf_dieoffset(&unit) && kept->line == line.line &&
            strcmp(kept->file, line.file) == 0)
            return kept;
        macros_free(kept);
        return module->macros = read_macros(module->dwarf, &unit, &line);
    }
    return NULL;
}
