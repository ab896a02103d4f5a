/* Finds variables by name, and those that are in scope. */
#include "debugger/variables.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/names.h"
#include "debugger/pieces.h"
#include "debugger/scopes.h"

/* Where a variable is looked up from. */
struct scope {
    const struct symbols *symbols;
    const struct view *view;
    const struct frame *frame;
    const struct module *module;
    uint64_t pc; /* of the module's file */
    bool has_base;
    uint64_t base; /* DW_AT_frame_base */
};

/* Of the base type that DW_OP_convert names by its offset in the unit: how many bits, and whether
 * the highest is the sign (DWARF 5, 2.5.1.6). An offset of 0 is the generic type, of 64 bits. */
static bool resolve_type(Dwarf_Attribute *attribute, Dwarf_Op *op)
{
    Dwarf_Die type;
    Dwarf_Attribute entry;
    Dwarf_Word bits, encoding;
    if (op->number == 0) {
        op->number = 64;
        op->number2 = 0;
        return true;
    }
    if (dwarf_getlocation_die(attribute, op, &type) != 0 ||
        dwarf_formudata(dwarf_attr(&type, DW_AT_encoding, &entry), &encoding) != 0)
        return false;
    if (dwarf_formudata(dwarf_attr(&type, DW_AT_bit_size, &entry), &bits) != 0) {
        if (dwarf_formudata(dwarf_attr(&type, DW_AT_byte_size, &entry), &bits) != 0 || bits > 8)
            return false;
        bits *= 8;
    }
    op->number = bits;
    op->number2 = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
    return encoding != DW_ATE_float && bits > 0 && bits <= 64;
}

/* DWARF 5 (2.5.1.1) has addresses and constants by their numbers in a table of the unit, as clang
 * writes them: they take the place of the numbers. So do types. False when one is not there. */
static bool resolve_numbers(
    Dwarf_Attribute *attribute, const Dwarf_Op *ops, size_t count, Dwarf_Op *resolved)
{
    for (size_t i = 0; i < count; i++) {
        Dwarf_Attribute entry;
        Dwarf_Addr address;
        resolved[i] = ops[i];
        if (ops[i].atom == DW_OP_convert) {
            if (!resolve_type(attribute, &resolved[i]))
                return false;
            continue;
        }
        if (ops[i].atom != DW_OP_addrx && ops[i].atom != DW_OP_constx)
            continue;
        if (dwarf_getlocation_attr(attribute, &ops[i], &entry) != 0 ||
            dwarf_formaddr(&entry, &address) != 0)
            return false;
        resolved[i].atom = ops[i].atom == DW_OP_addrx ? DW_OP_addr : DW_OP_const8u;
        resolved[i].number = address;
    }
    return true;
}

enum { MOST_OPERATIONS = 128 };

/* The operations that tell where it is at the scope's pc; 0 when nothing does. */
static size_t find_operations(
    const struct scope *scope, Dwarf_Attribute *attribute, Dwarf_Op resolved[MOST_OPERATIONS])
{
    Dwarf_Op *ops;
    size_t count;
    return dwarf_getlocation_addr(attribute, scope->pc, &ops, &count, 1) == 1 &&
                   count <= MOST_OPERATIONS && resolve_numbers(attribute, ops, count, resolved)
               ? count
               : 0;
}

static bool evaluate(
    const struct scope *scope, const Dwarf_Op *ops, size_t count, struct location *location)
{
    return unwind_evaluate(scope->view, scope->module, scope->frame,
        scope->has_base ? &scope->base : NULL, ops, count, NULL, location);
}

static void find_frame_base(struct scope *scope, Dwarf_Die *function)
{
    Dwarf_Attribute attribute;
    Dwarf_Op ops[MOST_OPERATIONS];
    struct location location;
    if (!dwarf_attr(function, DW_AT_frame_base, &attribute) ||
        !evaluate(scope, ops, find_operations(scope, &attribute, ops), &location))
        return;
    if (location.kind == LOCATION_REGISTER && location.value < FRAME_REGISTERS &&
        (scope->frame->known & (1u << location.value)))
        location.value = scope->frame->reg[location.value];
    else if (location.kind != LOCATION_ADDRESS)
        return;
    scope->has_base = true;
    scope->base = location.value;
}

static bool read_vector_register(
    const struct scope *scope, uint64_t number, const struct type *type, struct value *value)
{
    enum { VECTOR_BYTES = 16 };
    const uint8_t *bytes = pieces_vector_register(scope->view, scope->frame, number);
    if (!bytes || type_size(type) > VECTOR_BYTES)
        return false;
    *value = value_number(0, type);
    memcpy(value->bytes, bytes, type_size(type));
    return true;
}

/* "DW_OP_implicit_value": the contents themselves. */
static bool read_implicit(
    Dwarf_Attribute *attribute, const Dwarf_Op *op, const struct type *type, struct value *value)
{
    Dwarf_Block block;
    if (op->atom != DW_OP_implicit_value ||
        dwarf_getlocation_implicit_value(attribute, op, &block) != 0 || block.length > VALUE_BYTES)
        return false;
    *value = value_number(0, type);
    memcpy(value->bytes, block.data, block.length);
    return true;
}

/* DWARF's number of a general register as the encoding has it. */
static unsigned register_number(unsigned dwarf)
{
    static const uint8_t numbers[] = {RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP};
    return dwarf < sizeof numbers ? numbers[dwarf] : dwarf;
}

static enum variable_result read_variable(
    const struct scope *scope, Dwarf_Die *die, struct value *value)
{
    Dwarf_Attribute attribute;
    Dwarf_Word constant;
    Dwarf_Op ops[MOST_OPERATIONS];
    struct location location;
    struct type type = type_of(die);
    if (dwarf_attr_integrate(die, DW_AT_const_value, &attribute) &&
        dwarf_formudata(&attribute, &constant) == 0) {
        *value = value_number(constant, &type);
        return VARIABLE_FOUND;
    }
    size_t count = dwarf_attr_integrate(die, DW_AT_location, &attribute)
                       ? find_operations(scope, &attribute, ops)
                       : 0;
    if (count && pieces_are(ops, count)) {
        *value = value_number(0, &type);
        return pieces_read(scope->view, scope->module, scope->frame,
                   scope->has_base ? &scope->base : NULL, ops, count, value)
                   ? VARIABLE_FOUND
                   : VARIABLE_NOWHERE;
    }
    if (count == 1 && read_implicit(&attribute, &ops[0], &type, value))
        return VARIABLE_FOUND;
    if (!evaluate(scope, ops, count, &location))
        return VARIABLE_NOWHERE;
    switch (location.kind) {
    case LOCATION_ADDRESS:
        *value = value_at(location.value, &type);
        return VARIABLE_FOUND;
    case LOCATION_REGISTER:
        if (read_vector_register(scope, location.value, &type, value))
            return VARIABLE_FOUND;
        if (!scope->frame || location.value >= FRAME_REGISTERS ||
            !(scope->frame->known & (1u << location.value)))
            return VARIABLE_NOWHERE;
        *value = value_number(scope->frame->reg[location.value], &type);
        value->in_register = 1 + register_number((unsigned)location.value);
        return VARIABLE_FOUND;
    case LOCATION_VALUE:
        break;
    default:
        return VARIABLE_NOWHERE;
    }
    *value = value_number(location.value, &type);
    return VARIABLE_FOUND;
}

/* The scopes of the frame, and the function's frame base. */
static bool open_scopes(struct scope *scope, struct scopes *scopes)
{
    if (!scopes_of(scope->symbols, scope->frame, scopes))
        return false;
    scope->module = scopes->module;
    scope->pc = unwind_lookup_address(scope->frame) - scope->module->bias;
    find_frame_base(scope, &scopes->list[0]);
    return true;
}

static bool is_variable(Dwarf_Die *die, const char *name)
{
    int tag = dwarf_tag(die);
    const char *own;
    return (tag == DW_TAG_variable || tag == DW_TAG_formal_parameter) &&
           (own = dwarf_diename(die)) && strcmp(own, name) == 0;
}

static enum variable_result find_local(struct scope *scope, const char *name, struct value *value)
{
    struct scopes scopes;
    enum variable_result result = VARIABLE_NONE;
    if (!open_scopes(scope, &scopes))
        return VARIABLE_NONE;
    for (unsigned i = scopes.end; i-- > scopes.begin && result == VARIABLE_NONE;) {
        Dwarf_Die child;
        if (dwarf_child(&scopes.list[i], &child) != 0)
            continue;
        do {
            if (is_variable(&child, name) && !dwarf_hasattr(&child, DW_AT_declaration))
                result = read_variable(scope, &child, value);
        } while (result != VARIABLE_FOUND && dwarf_siblingof(&child, &child) == 0);
    }
    return result;
}

enum variable_result variables_local(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, const char *name, struct value *value)
{
    struct scope scope = {.symbols = symbols, .view = view, .frame = frame};
    return find_local(&scope, name, value);
}

/* ---- Of a function, of a file ---- */

static void take_first(void *context, const struct symbol *symbol)
{
    const struct symbol **first = context;
    if (!*first)
        *first = symbol;
}

static enum variable_result find_inside(
    const struct scope *scope, Dwarf_Die *parent, const char *name, struct value *value)
{
    Dwarf_Die child;
    enum variable_result result = VARIABLE_NONE;
    if (dwarf_child(parent, &child) != 0)
        return VARIABLE_NONE;
    do {
        if (is_variable(&child, name) && !dwarf_hasattr(&child, DW_AT_declaration))
            result = read_variable(scope, &child, value);
        else if (dwarf_tag(&child) == DW_TAG_lexical_block)
            result = find_inside(scope, &child, name, value);
    } while (result == VARIABLE_NONE && dwarf_siblingof(&child, &child) == 0);
    return result;
}

enum variable_result variables_static(const struct symbols *symbols, const struct view *view,
    const char *function, const char *name, struct value *value)
{
    struct scope scope = {.symbols = symbols, .view = view};
    const struct symbol *symbol = NULL;
    Dwarf_Die die;
    symbols_each_function(symbols, function, take_first, &symbol);
    if (!symbol || !symbols_function(symbols, symbol->address, &scope.module, &die))
        return VARIABLE_NONE;
    return find_inside(&scope, &die, name, value);
}

struct file_search {
    struct scope scope;
    const char *file;
    struct value *value;
    enum variable_result result;
};

static bool is_of_file(Dwarf_Die *die, const char *file)
{
    Dwarf_Die unit;
    const char *name = dwarf_diecu(die, &unit, NULL, NULL) ? dwarf_diename(&unit) : NULL;
    size_t length = name ? strlen(name) : 0, tail = strlen(file);
    return length >= tail && strcmp(name + length - tail, file) == 0 &&
           (length == tail || name[length - tail - 1] == '/');
}

static bool look_in_file(void *context, Dwarf_Die *die)
{
    struct file_search *search = context;
    if (!is_of_file(die, search->file))
        return false;
    search->result = read_variable(&search->scope, die, search->value);
    return search->result == VARIABLE_FOUND;
}

enum variable_result variables_in_file(const struct symbols *symbols, const struct view *view,
    const char *file, const char *name, struct value *value)
{
    struct file_search search = {.scope = {.symbols = symbols, .view = view},
        .file = file,
        .value = value,
        .result = VARIABLE_NONE};
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        search.scope.module = module;
        const char *last = names_last_part(name);
        if (!module->away && module->dwarf &&
            (index_each(module, name, DW_TAG_variable, look_in_file, &search) ||
                (last != name && index_each(module, last, DW_TAG_variable, look_in_file, &search))))
            break;
    }
    return search.result;
}

/* ---- By name ---- */

/* A function of C++ or Rust, by the end of its name. */
static bool find_function(const struct symbols *symbols, const char *name, struct value *value)
{
    const struct symbol *symbol = NULL;
    const struct module *module;
    Dwarf_Die die;
    symbols_each_function(symbols, name, take_first, &symbol);
    if (!symbol || !symbol->linkage)
        return false;
    struct type type = symbols_function(symbols, symbol->address, &module, &die)
                           ? type_from_die(&die)
                           : type_builtin(TYPE_FUNCTION, 0);
    *value = value_at(symbol->address, &type);
    return true;
}

static uint64_t symbol_address(const struct view *view, const struct symbol *symbol)
{
    return symbol->address + (symbol->is_percpu ? view_percpu_base(view) : 0);
}

enum variable_result variables_find(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, const char *name, struct value *value)
{
    static const int tags[] = {DW_TAG_variable, DW_TAG_subprogram};
    struct scope scope = {.symbols = symbols, .view = view, .frame = frame};
    Dwarf_Die die;
    if (frame) {
        enum variable_result result = find_local(&scope, name, value);
        if (result != VARIABLE_NONE)
            return result;
    }
    const struct symbol *symbol = symbols_find(symbols, name);
    if (symbol && symbol->kind == SYMBOL_FUNCTION && symbol->linkage &&
        find_function(symbols, name, value))
        return VARIABLE_FOUND;
    if (symbols_find_die(symbols, name, tags, 2, &scope.module, &die)) {
        if (dwarf_tag(&die) == DW_TAG_subprogram) {
            struct type type = type_from_die(&die);
            if (!symbol && find_function(symbols, name, value))
                return VARIABLE_FOUND;
            *value = value_at(symbol ? symbol->address : 0, &type);
            return symbol ? VARIABLE_FOUND : VARIABLE_NOWHERE;
        }
        if (read_variable(&scope, &die, value) == VARIABLE_FOUND)
            return VARIABLE_FOUND;
        struct type type = type_of(&die);
        if (!symbol)
            return VARIABLE_NOWHERE;
        *value = value_at(symbol_address(view, symbol), &type);
        return VARIABLE_FOUND;
    }
    if (!symbol)
        return find_function(symbols, name, value) ? VARIABLE_FOUND : VARIABLE_NONE;
    /* A symbol without a type: its size decides. */
    bool scalar = symbol->size == 1 || symbol->size == 2 || symbol->size == 4 || symbol->size == 8;
    struct type type = symbol->is_code ? type_builtin(TYPE_FUNCTION, 0)
                       : scalar        ? type_builtin(TYPE_UNSIGNED, (unsigned)symbol->size)
                                       : type_builtin(TYPE_UNSIGNED, 8);
    *value = value_at(symbol_address(view, symbol), &type);
    return VARIABLE_FOUND;
}

void variables_each(const struct symbols *symbols, const struct view *view,
    const struct frame *frame, bool parameters,
    void (*visit)(void *context, const char *name, const struct value *value), void *context)
{
    struct scope scope = {.symbols = symbols, .view = view, .frame = frame};
    struct scopes scopes;
    Dwarf_Die child;
    if (!open_scopes(&scope, &scopes))
        return;
    for (unsigned i = scopes.end; i-- > scopes.begin;) {
        if (dwarf_child(&scopes.list[i], &child) != 0)
            continue;
        do {
            int kind = dwarf_tag(&child);
            const char *name = dwarf_diename(&child);
            bool is_parameter = kind == DW_TAG_formal_parameter && i == scopes.begin;
            struct value value;
            if (!name || (kind != DW_TAG_variable && kind != DW_TAG_formal_parameter) ||
                is_parameter != parameters)
                continue;
            bool found = read_variable(&scope, &child, &value) == VARIABLE_FOUND;
            visit(context, name, found ? &value : NULL);
        } while (dwarf_siblingof(&child, &child) == 0);
    }
}

/* ---- Of a function that is entered ---- */

bool variables_parameters(const struct symbols *symbols, const struct view *view, uint64_t entry,
    struct type *result,
    void (*visit)(
        void *context, const char *name, const struct type *type, const struct location *location),
    void *context)
{
    struct scope scope = {.symbols = symbols, .view = view};
    Dwarf_Die function, child;
    if (!symbols_function(symbols, entry, &scope.module, &function))
        return false;
    scope.pc = entry - scope.module->bias;
    *result = type_of(&function);
    if (dwarf_child(&function, &child) != 0)
        return true;
    do {
        struct location location = {.kind = LOCATION_NONE};
        Dwarf_Attribute attribute;
        const char *name = dwarf_diename(&child);
        struct type type = type_of(&child);
        if (dwarf_tag(&child) != DW_TAG_formal_parameter)
            continue;
        Dwarf_Op ops[MOST_OPERATIONS];
        if (!dwarf_attr_integrate(&child, DW_AT_location, &attribute) ||
            !evaluate(&scope, ops, find_operations(&scope, &attribute, ops), &location))
            location.kind = LOCATION_NONE;
        visit(context, name ? name : "?", &type, &location);
    } while (dwarf_siblingof(&child, &child) == 0);
    return true;
}
