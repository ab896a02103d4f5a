/* What an expression is made of: numbers, characters, names, registers. */
#include "debugger/parser.h"

#include <ctype.h>
#include <dwarf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/floats.h"
#include "debugger/names.h"
#include "debugger/percpu.h"
#include "debugger/variables.h"

/* "1.5", "2e10", ".5": what is no integer. */
static bool parse_float(struct parser *parser, struct value *value)
{
    size_t digits = strspn(parser->at, "0123456789");
    char next = parser->at[digits], *end;
    if (next != '.' && next != 'e' && next != 'E')
        return false;
    double number = strtod(parser->at, &end);
    end += *end == 'f' || *end == 'F';
    if (end == parser->at + digits || isalnum((unsigned char)*end) || *end == '_')
        return false;
    parser->at = end;
    *value = floats_value(number);
    return true;
}

static int parse_number(struct parser *parser, struct value *value)
{
    char *end;
    if (parse_float(parser, value))
        return 0;
    errno = 0;
    uint64_t number = strtoull(parser->at, &end, 0);
    if (errno)
        return error_set(parser->error, "'%.40s': too large a number", parser->at);
    bool is_unsigned = false, is_long = false;
    for (; *end == 'u' || *end == 'U' || *end == 'l' || *end == 'L'; end++) {
        is_unsigned |= tolower((unsigned char)*end) == 'u';
        is_long |= tolower((unsigned char)*end) == 'l';
    }
    if (isalnum((unsigned char)*end) || *end == '_')
        return error_set(parser->error, "'%.40s' is not a number", parser->at);
    parser->at = end;
    bool wide = is_long || number > INT32_MAX;
    struct type type =
        type_builtin(is_unsigned || number > INT64_MAX ? TYPE_UNSIGNED : TYPE_SIGNED, wide ? 8 : 4);
    *value = value_number(number, &type);
    return 0;
}

static int parse_character(struct parser *parser, struct value *value)
{
    static const char letters[] = "abtnvfr0e", codes[] = "\a\b\t\n\v\f\r\0\033";
    char byte = parser->at[1];
    const char *end = parser->at + 2;
    if (byte == '\\') {
        const char *letter = *end ? strchr(letters, *end) : NULL;
        byte = letter ? codes[letter - letters] : *end;
        end += *end != '\0';
    }
    if (!byte || *end != '\'')
        return error_set(parser->error, "'%.10s': a character ends with '", parser->at);
    parser->at = end + 1;
    struct type type = type_builtin(TYPE_CHAR, 1);
    *value = value_number((uint64_t)(int64_t)byte, &type);
    return 0;
}

void parser_name(struct parser *parser, char *name)
{
    size_t length = 0;
    while (isalnum((unsigned char)*parser->at) || *parser->at == '_') {
        if (length + 1 < MAX_NAME)
            name[length++] = *parser->at;
        parser->at++;
    }
    name[length] = '\0';
}

static int from_history(struct parser *parser, uint64_t number, struct value *value)
{
    const struct expression_scope *scope = parser->scope;
    if (number == 0 || number > scope->history_count)
        return error_set(parser->error, "the value history has %u values, not a $%" PRIu64,
            scope->history_count, number);
    *value = scope->history[number - 1];
    return 0;
}

static struct type register_type(const char *name, unsigned size)
{
    bool pointer = strcmp(name, "rip") == 0 || strcmp(name, "pc") == 0;
    struct type code = type_builtin(TYPE_VOID, 0);
    if (pointer)
        return type_pointer_to(&code);
    if (strcmp(name, "rsp") == 0 || strcmp(name, "rbp") == 0 || strcmp(name, "sp") == 0 ||
        strcmp(name, "fp") == 0)
        return type_pointer_to(&code);
    bool general = size == 8 && name[0] == 'r';
    return type_builtin(general ? TYPE_SIGNED : TYPE_UNSIGNED, size);
}

/* A whole general register as the selected frame has it; false where the frame does not tell. */
static bool frame_register(const struct frame *frame, const char *name, uint64_t *bits, bool *is)
{
    unsigned number = FRAME_REGISTERS;
    if (strcmp(name, "rip") == 0 || strcmp(name, "pc") == 0)
        number = DWARF_PC;
    else if (strcmp(name, "sp") == 0)
        number = DWARF_RSP;
    else if (strcmp(name, "fp") == 0)
        number = DWARF_RBP;
    for (unsigned i = 0; i < DWARF_PC; i++) {
        if (strcmp(name, unwind_register_name(i)) == 0)
            number = i;
    }
    *is = number < FRAME_REGISTERS;
    if (!*is || !(frame->known & (1u << number)))
        return false;
    *bits = frame->reg[number];
    return true;
}

/* "(x)": this CPU's per-CPU variable; "(x, N)": CPU N's. */
static int parse_percpu(struct parser *parser, struct value *value)
{
    struct value number;
    uint64_t cpu = PERCPU_THIS;
    if (parser_expression(parser, value) < 0)
        return -1;
    if (parser_accept(parser, ",") &&
        (parser_expression(parser, &number) < 0 || parser_scalar(parser, &number, &cpu) < 0))
        return -1;
    return parser_expect(parser, ")") < 0 ? -1
                                          : percpu_select(parser->scope->symbols,
                                                parser->scope->view, cpu, value, parser->error);
}

static int parse_dollar(struct parser *parser, struct value *value)
{
    const struct expression_scope *scope = parser->scope;
    char name[MAX_NAME];
    uint64_t bits;
    unsigned size;
    bool general;
    parser->at++;
    if (*parser->at == '$') {
        parser->at++;
        return from_history(parser, scope->history_count - 1, value);
    }
    parser_name(parser, name);
    if (!*name)
        return from_history(parser, scope->history_count, value);
    if (isdigit((unsigned char)*name))
        return from_history(parser, strtoull(name, NULL, 10), value);
    if (strcmp(name, "percpu") == 0 && parser_accept(parser, "("))
        return parse_percpu(parser, value);
    if (scope->frame && scope->frame->how != FRAME_CURRENT &&
        (frame_register(scope->frame, name, &bits, &general) || general)) {
        if (!frame_register(scope->frame, name, &bits, &general))
            return error_set(parser->error, "$%s was not preserved on the way to this frame", name);
        struct type type = register_type(name, 8);
        *value = value_number(bits, &type);
        return 0;
    }
    if (floats_register(scope->view, name, value))
        return 0;
    if (view_register(scope->view, name, &bits, &size)) {
        struct type type = register_type(name, size);
        *value = value_number(bits, &type);
        return 0;
    }
    for (unsigned i = 0; i < scope->variable_count; i++) {
        if (strcmp(scope->variables[i].name, name) == 0) {
            *value = scope->variables[i].value;
            return 0;
        }
    }
    return error_set(parser->error,
        "$%s: no register or convenience variable of that name (see 'info registers')", name);
}

/* ---- Names ---- */

/* "<int, 4>" at the parser's place: how long it is; 0: not that. */
static size_t arguments_length(const char *text)
{
    unsigned depth = 0;
    for (const char *at = text; *at; at++) {
        depth += *at == '<';
        if (*at == '>' && --depth == 0)
            return (size_t)(at + 1 - text);
    }
    return 0;
}

static bool is_template(const struct symbols *symbols, const char *name)
{
    static const int tags[] = {
        DW_TAG_structure_type, DW_TAG_class_type, DW_TAG_subprogram, DW_TAG_variable};
    const struct module *module;
    Dwarf_Die die;
    return symbols_find(symbols, name) || symbols_find_die(symbols, name, tags, 4, &module, &die);
}

/* "a < b" is a comparison unless "a<b...>" is a name or a scope. */
static void take_arguments(struct parser *parser, char *name)
{
    size_t size = *parser->at == '<' ? arguments_length(parser->at) : 0, length = strlen(name);
    if (size == 0 || length + size + 1 >= MAX_NAME)
        return;
    memcpy(name + length, parser->at, size);
    name[length + size] = '\0';
    bool is_scope = strncmp(parser->at + size, "::", 2) == 0;
    if (is_scope || is_template(parser->scope->symbols, name))
        parser->at += size;
    else
        name[length] = '\0';
}

/* "geo::Box<int, 4>::last" */
static void read_path(struct parser *parser, char *name)
{
    parser_name(parser, name);
    take_arguments(parser, name);
    while (strncmp(parser->at, "::", 2) == 0) {
        char part[MAX_NAME];
        parser->at += 2;
        parser_name(parser, part);
        size_t length = strlen(name);
        snprintf(name + length, MAX_NAME - length, "::%s", part);
        take_arguments(parser, name);
    }
}

/* "(pointer, type, member)": the struct that the member is in. */
static int parse_container_of(struct parser *parser, struct value *value)
{
    char name[MAX_NAME];
    uint64_t address;
    struct type type;
    struct member member;
    if (parser_expression(parser, value) < 0 || parser_scalar(parser, value, &address) < 0 ||
        parser_expect(parser, ",") < 0)
        return -1;
    if (!type_parse(parser->scope->symbols, &parser->at, &type))
        return error_set(parser->error, "container_of: '%.40s' is not a type", parser->at);
    if (parser_expect(parser, ",") < 0)
        return -1;
    uint64_t offset = 0;
    struct type at = type;
    do {
        parser_skip_space(parser);
        parser_name(parser, name);
        if (!type_find_member(&at, name, &member))
            return error_set(parser->error, "container_of: no member '%s'", name);
        offset += member.offset;
        at = member.type;
    } while (parser_accept(parser, "."));
    struct type pointer = type_pointer_to(&type);
    *value = value_number(address - offset, &pointer);
    return parser_expect(parser, ")");
}

/* A member of the object whose method this is, by its name alone. */
static bool find_in_this(struct parser *parser, const char *name, struct value *value)
{
    const struct expression_scope *scope = parser->scope;
    struct value this, ignored;
    struct member member;
    if (!scope->frame ||
        variables_local(scope->symbols, scope->view, scope->frame, name, &ignored) !=
            VARIABLE_NONE ||
        variables_local(scope->symbols, scope->view, scope->frame, "this", &this) !=
            VARIABLE_FOUND ||
        type_kind(&this.type) != TYPE_POINTER)
        return false;
    uint64_t address;
    struct error error;
    struct type type = type_target(&this.type);
    if (type_kind(&type) != TYPE_STRUCT || !type_find_member(&type, name, &member) ||
        value_scalar(scope->view, &this, &address, &error) < 0)
        return false;
    struct value object = value_at(address, &type);
    return parser_member(parser, &object, name, value) == 0;
}

/* "FUNCTION::variable", as far as there is such a function. */
static bool find_static(struct parser *parser, const char *name, struct value *value)
{
    char function[MAX_NAME];
    const char *last = names_last_part(name);
    if (last == name)
        return false;
    snprintf(function, sizeof function, "%.*s", (int)(last - name - 2), name);
    return variables_static(parser->scope->symbols, parser->scope->view, function, last, value) ==
           VARIABLE_FOUND;
}

static bool find_word(const char *name, struct value *value)
{
    static const char *const words[] = {"false", "true", "nullptr"};
    for (unsigned i = 0; i < 3; i++) {
        struct type type = i < 2 ? type_builtin(TYPE_BOOL, 1) : type_builtin(TYPE_SIGNED, 8);
        if (strcmp(name, words[i]) != 0)
            continue;
        *value = value_number(i == 1, &type);
        return true;
    }
    return false;
}

static int find_name(struct parser *parser, const char *name, struct value *value)
{
    const struct expression_scope *scope = parser->scope;
    uint64_t number;
    struct type type;
    if (find_in_this(parser, name, value))
        return 0;
    switch (variables_find(scope->symbols, scope->view, scope->frame, name, value)) {
    case VARIABLE_FOUND:
        type_complete(scope->symbols, &value->type);
        return 0;
    case VARIABLE_NOWHERE:
        return error_set(parser->error, "%s has no place at this pc: optimized out", name);
    default:
        break;
    }
    if (type_find_enumerator(scope->symbols, name, &number, &type)) {
        *value = value_number(number, &type);
        return 0;
    }
    if (find_static(parser, name, value) || find_word(name, value))
        return 0;
    if (symbols_count(scope->symbols) == 0)
        return error_set(parser->error,
            "no symbol '%s': no symbols are loaded (see 'help "
            "add-symbol-file')",
            name);
    return error_set(parser->error, "no symbol '%s' here", name);
}

static int parse_name(struct parser *parser, struct value *value)
{
    char name[MAX_NAME];
    read_path(parser, name);
    if (strcmp(name, "container_of") == 0 && parser_accept(parser, "("))
        return parse_container_of(parser, value);
    return find_name(parser, name, value);
}

/* "'file.c'::name", and a name in quotes; *is tells whether it is one of them. */
static int parse_quoted(struct parser *parser, struct value *value, bool *is)
{
    char quoted[MAX_NAME], name[MAX_NAME];
    const char *start = parser->at + 1, *end = strchr(start, '\'');
    *is = end && *start != '\\' && end - start > 1 && end - start < MAX_NAME;
    if (!*is)
        return 0;
    snprintf(quoted, sizeof quoted, "%.*s", (int)(end - start), start);
    parser->at = end + 1;
    if (!parser_accept(parser, "::"))
        return find_name(parser, quoted, value);
    read_path(parser, name);
    switch (variables_in_file(parser->scope->symbols, parser->scope->view, quoted, name, value)) {
    case VARIABLE_FOUND:
        return 0;
    case VARIABLE_NOWHERE:
        return error_set(parser->error, "%s of %s has no place: optimized out", name, quoted);
    default:
        return error_set(parser->error, "no variable '%s' in a file '%s'", name, quoted);
    }
}

int parser_primary(struct parser *parser, struct value *value)
{
    parser_skip_space(parser);
    if (parser_accept(parser, "(")) {
        if (parser_expression(parser, value) < 0)
            return -1;
        return parser_expect(parser, ")");
    }
    if (isdigit((unsigned char)*parser->at) ||
        (*parser->at == '.' && isdigit((unsigned char)parser->at[1])))
        return parse_number(parser, value);
    if (*parser->at == '\'') {
        bool is_quoted;
        if (parse_quoted(parser, value, &is_quoted) < 0)
            return -1;
        return is_quoted ? 0 : parse_character(parser, value);
    }
    if (*parser->at == '$')
        return parse_dollar(parser, value);
    if (isalpha((unsigned char)*parser->at) || *parser->at == '_')
        return parse_name(parser, value);
    return *parser->at ? error_set(parser->error, "'%.40s' is not understood", parser->at)
                       : error_set(parser->error, "an operand is missing at the end");
}
