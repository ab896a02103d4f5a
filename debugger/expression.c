#include "debugger/expression.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/percpu.h"
#include "debugger/variables.h"

enum { MAX_NESTING = 64, MAX_NAME = 256 };

struct parser {
    const struct expression_scope *scope;
    const char *at;
    struct error *error;
    unsigned nesting;
    unsigned skipping; /* inside an operand that does not count: && || ?: */
};

static int parse_ternary(struct parser *parser, struct value *value);
static int parse_unary(struct parser *parser, struct value *value);

static void skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

static bool accept(struct parser *parser, const char *token)
{
    skip_space(parser);
    size_t length = strlen(token);
    if (strncmp(parser->at, token, length) != 0)
        return false;
    parser->at += length;
    return true;
}

static int expect(struct parser *parser, const char *token)
{
    if (accept(parser, token))
        return 0;
    return *parser->at ? error_set(parser->error, "'%s' expected before '%.40s'", token, parser->at)
                       : error_set(parser->error, "'%s' expected at the end", token);
}

static int read_scalar(struct parser *parser, const struct value *value, uint64_t *bits)
{
    *bits = 0;
    if (parser->skipping)
        return 0;
    return value_scalar(parser->scope->view, value, bits, parser->error);
}

static struct value long_value(uint64_t bits)
{
    struct type type = type_builtin(TYPE_SIGNED, 8);
    return value_number(bits, &type);
}

static struct value int_value(bool truth)
{
    struct type type = type_builtin(TYPE_SIGNED, 4);
    return value_number(truth, &type);
}

/* ---- Primaries ---- */

static int parse_number(struct parser *parser, struct value *value)
{
    char *end;
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

static void read_name(struct parser *parser, char *name)
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
    if (parse_ternary(parser, value) < 0)
        return -1;
    if (accept(parser, ",") &&
        (parse_ternary(parser, &number) < 0 || read_scalar(parser, &number, &cpu) < 0))
        return -1;
    return expect(parser, ")") < 0 ? -1
                                   : percpu_select(parser->scope->symbols, parser->scope->view, cpu,
                                         value, parser->error);
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
    read_name(parser, name);
    if (!*name)
        return from_history(parser, scope->history_count, value);
    if (isdigit((unsigned char)*name))
        return from_history(parser, strtoull(name, NULL, 10), value);
    if (strcmp(name, "percpu") == 0 && accept(parser, "("))
        return parse_percpu(parser, value);
    if (scope->frame && scope->frame->how != FRAME_CURRENT &&
        (frame_register(scope->frame, name, &bits, &general) || general)) {
        if (!frame_register(scope->frame, name, &bits, &general))
            return error_set(parser->error, "$%s was not preserved on the way to this frame", name);
        struct type type = register_type(name, 8);
        *value = value_number(bits, &type);
        return 0;
    }
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

static int parse_name(struct parser *parser, struct value *value)
{
    const struct expression_scope *scope = parser->scope;
    char name[MAX_NAME];
    uint64_t number;
    struct type type;
    read_name(parser, name);
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
    if (symbols_count(scope->symbols) == 0)
        return error_set(parser->error,
            "no symbol '%s': no symbols are loaded (see 'help "
            "add-symbol-file')",
            name);
    return error_set(parser->error, "no symbol '%s' here", name);
}

static int parse_primary(struct parser *parser, struct value *value)
{
    skip_space(parser);
    if (accept(parser, "(")) {
        if (parse_ternary(parser, value) < 0)
            return -1;
        return expect(parser, ")");
    }
    if (isdigit((unsigned char)*parser->at))
        return parse_number(parser, value);
    if (*parser->at == '\'')
        return parse_character(parser, value);
    if (*parser->at == '$')
        return parse_dollar(parser, value);
    if (isalpha((unsigned char)*parser->at) || *parser->at == '_')
        return parse_name(parser, value);
    return *parser->at ? error_set(parser->error, "'%.40s' is not understood", parser->at)
                       : error_set(parser->error, "an operand is missing at the end");
}

/* ---- Places ---- */

static int dereference(struct parser *parser, const struct value *pointer, struct value *value)
{
    uint64_t address;
    enum type_kind kind = type_kind(&pointer->type);
    struct type target = type_target(&pointer->type);
    if (read_scalar(parser, pointer, &address) < 0)
        return -1;
    if (kind == TYPE_FUNCTION) {
        *value = *pointer;
        return 0;
    }
    if (kind != TYPE_POINTER && kind != TYPE_ARRAY) {
        if (!type_is_integer(&pointer->type))
            return error_set(parser->error, "only a pointer can be followed");
        target = type_builtin(TYPE_SIGNED, 8); /* as gdb: a long */
    } else if (type_kind(&target) == TYPE_VOID) {
        return error_set(parser->error,
            "a void pointer cannot be followed: cast it, as in *(long *)0x%" PRIx64, address);
    }
    type_complete(parser->scope->symbols, &target);
    *value = value_at(address, &target);
    return 0;
}

static int select_member(struct parser *parser, const struct value *of, struct value *value)
{
    char name[MAX_NAME];
    struct member member;
    skip_space(parser);
    read_name(parser, name);
    if (!*name)
        return error_set(parser->error, "the name of a member is missing");
    if (type_kind(&of->type) != TYPE_STRUCT)
        return error_set(parser->error, "'%s': not a struct before it", name);
    if (!type_find_member(&of->type, name, &member)) {
        struct buffer text = {0};
        type_describe(&of->type, &text);
        buffer_put_u8(&text, 0);
        error_set(parser->error, "'%.200s' has no member '%s' (see 'ptype')",
            text.failed ? "?" : (const char *)text.data, name);
        buffer_free(&text);
        return -1;
    }
    if (!of->in_memory)
        return error_set(parser->error, "'%s': the struct is not in memory", name);
    type_complete(parser->scope->symbols, &member.type);
    *value = value_at(of->address + member.offset, &member.type);
    value->field_bits = member.bits;
    value->field_shift = member.shift;
    return 0;
}

static int add_scaled(
    struct parser *parser, const struct value *pointer, uint64_t count, struct value *result)
{
    uint64_t base;
    struct type target = type_target(&pointer->type);
    type_complete(parser->scope->symbols, &target);
    uint64_t size = type_size(&target);
    struct type type = type_pointer_to(&target);
    if (read_scalar(parser, pointer, &base) < 0)
        return -1;
    *result = value_number(base + count * (size ? size : 1), &type);
    return 0;
}

static bool is_pointer_like(const struct value *value)
{
    enum type_kind kind = type_kind(&value->type);
    return kind == TYPE_POINTER || kind == TYPE_ARRAY;
}

static int parse_postfix(struct parser *parser, struct value *value)
{
    if (parse_primary(parser, value) < 0)
        return -1;
    for (;;) {
        struct value operand = *value, index;
        uint64_t number;
        if (accept(parser, "[")) {
            if (parse_ternary(parser, &index) < 0 || expect(parser, "]") < 0 ||
                read_scalar(parser, &index, &number) < 0)
                return -1;
            if (!is_pointer_like(&operand))
                return error_set(parser->error, "only arrays and pointers have elements");
            if (add_scaled(parser, &operand, number, &index) < 0 ||
                dereference(parser, &index, value) < 0)
                return -1;
        } else if (accept(parser, "->")) {
            if (dereference(parser, &operand, value) < 0)
                return -1;
            operand = *value;
            if (select_member(parser, &operand, value) < 0)
                return -1;
        } else if (*parser->at == '.' && accept(parser, ".")) {
            /* As gdb: a pointer before a dot is followed. */
            if (is_pointer_like(&operand)) {
                if (dereference(parser, &operand, value) < 0)
                    return -1;
                operand = *value;
            }
            if (select_member(parser, &operand, value) < 0)
                return -1;
        } else {
            return 0;
        }
    }
}

/* ---- Unary ---- */

static int cast(struct parser *parser, const struct type *type, struct value *value)
{
    uint64_t bits;
    enum type_kind kind = type_kind(type);
    if (kind == TYPE_STRUCT || kind == TYPE_ARRAY) {
        if (!value->in_memory)
            return error_set(parser->error, "only something in memory can be seen as a struct");
        *value = value_at(value->address, type);
        return 0;
    }
    if (read_scalar(parser, value, &bits) < 0)
        return -1;
    if (kind == TYPE_BOOL)
        bits = bits != 0;
    unsigned size = (unsigned)type_size(type);
    if (size && size < 8)
        bits &= (1ull << (8 * size)) - 1;
    *value = value_number(bits, type);
    return 0;
}

/* "(type) operand"; *is tells whether there was a type. */
static int parse_cast(struct parser *parser, struct value *value, bool *is)
{
    const char *start = parser->at;
    struct type type;
    *is = false;
    if (!accept(parser, "(") || !type_parse(parser->scope->symbols, &parser->at, &type) ||
        !accept(parser, ")")) {
        parser->at = start;
        return 0;
    }
    *is = true;
    if (parse_unary(parser, value) < 0)
        return -1;
    return cast(parser, &type, value);
}

static int parse_sizeof(struct parser *parser, struct value *value)
{
    const char *start = parser->at;
    struct type type;
    if (!accept(parser, "(") || !type_parse(parser->scope->symbols, &parser->at, &type) ||
        !accept(parser, ")")) {
        parser->at = start;
        /* Its size is the type's: what it is at is not looked at. */
        parser->skipping++;
        int result = parse_unary(parser, value);
        parser->skipping--;
        if (result < 0)
            return -1;
        type = value->type;
    }
    type_complete(parser->scope->symbols, &type);
    struct type result = type_builtin(TYPE_UNSIGNED, 8);
    *value = value_number(type_size(&type), &result);
    return 0;
}

static int parse_address_of(struct parser *parser, struct value *value)
{
    if (parse_unary(parser, value) < 0)
        return -1;
    if (!value->in_memory)
        return error_set(parser->error, "a value that is not in memory has no address");
    if (value->field_bits)
        return error_set(parser->error, "a bit field has no address");
    struct type type = type_pointer_to(&value->type);
    *value = value_number(value->address, &type);
    return 0;
}

static bool accept_word(struct parser *parser, const char *word)
{
    skip_space(parser);
    size_t length = strlen(word);
    if (strncmp(parser->at, word, length) != 0 || isalnum((unsigned char)parser->at[length]) ||
        parser->at[length] == '_')
        return false;
    parser->at += length;
    return true;
}

static int parse_operator(struct parser *parser, struct value *value)
{
    struct value operand;
    uint64_t bits;
    bool is_cast;
    if (parse_cast(parser, value, &is_cast) < 0)
        return -1;
    if (is_cast)
        return 0;
    if (accept_word(parser, "sizeof"))
        return parse_sizeof(parser, value);
    if (accept(parser, "&"))
        return parse_address_of(parser, value);
    skip_space(parser);
    char sign = *parser->at;
    if (!sign || !strchr("*-+!~", sign))
        return parse_postfix(parser, value);
    parser->at++;
    if (parse_unary(parser, &operand) < 0)
        return -1;
    if (sign == '*')
        return dereference(parser, &operand, value);
    if (read_scalar(parser, &operand, &bits) < 0)
        return -1;
    if (sign == '!')
        *value = int_value(!bits);
    else
        *value = value_number(sign == '-' ? 0 - bits : sign == '~' ? ~bits : bits, &operand.type);
    return 0;
}

static int parse_unary(struct parser *parser, struct value *value)
{
    if (parser->nesting == MAX_NESTING)
        return error_set(parser->error, "the expression is nested too deeply");
    parser->nesting++;
    int result = parse_operator(parser, value);
    parser->nesting--;
    return result;
}

/* ---- Binary ---- */

struct binary_operator {
    const char *token;
    int level;
};

/* Longer tokens first. */
static const struct binary_operator operators[] = {{"||", 1}, {"&&", 2}, {"==", 6}, {"!=", 6},
    {"<<", 8}, {">>", 8}, {"<=", 7}, {">=", 7}, {"<", 7}, {">", 7}, {"|", 3}, {"^", 4}, {"&", 5},
    {"+", 9}, {"-", 9}, {"*", 10}, {"/", 10}, {"%", 10}, {"@", 11}};

static const struct binary_operator *peek_operator(struct parser *parser)
{
    skip_space(parser);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strncmp(parser->at, operators[i].token, strlen(operators[i].token)) == 0)
            return &operators[i];
    }
    return NULL;
}

static int repeat(struct parser *parser, struct value *left, const struct value *right)
{
    uint64_t count;
    if (read_scalar(parser, right, &count) < 0)
        return -1;
    if (!left->in_memory || left->type.repeat)
        return error_set(parser->error, "'@' needs something in memory before it");
    if (count == 0 || count > 1000000)
        return error_set(parser->error, "'@' needs a count from 1 to 1000000 after it");
    left->type.repeat = count;
    return 0;
}

static struct type arithmetic_type(const struct value *left, const struct value *right)
{
    uint64_t a = type_size(&left->type), b = type_size(&right->type);
    bool wide = a == 8 || b == 8;
    unsigned size = wide ? 8 : 4;
    bool is_unsigned =
        (a == size && !type_is_signed(&left->type)) || (b == size && !type_is_signed(&right->type));
    return type_builtin(is_unsigned ? TYPE_UNSIGNED : TYPE_SIGNED, size);
}

static int compute(struct parser *parser, const char *token, uint64_t a, uint64_t b,
    const struct type *type, struct value *result)
{
    bool is_signed = type_is_signed(type);
    int64_t left = (int64_t)a, right = (int64_t)b;
    bool is_shift = strcmp(token, "<<") == 0 || strcmp(token, ">>") == 0;
    uint64_t bits;
    if ((*token == '/' || *token == '%') && b == 0 && !parser->skipping)
        return error_set(parser->error, "division by zero");
    if ((*token == '/' || *token == '%') && (b == 0 || (is_signed && right == -1)))
        bits = *token == '/' ? 0 - a : 0;
    else if (*token == '/')
        bits = is_signed ? (uint64_t)(left / right) : a / b;
    else if (*token == '%')
        bits = is_signed ? (uint64_t)(left % right) : a % b;
    else if (is_shift && b > 63)
        bits = 0;
    else if (is_shift)
        bits = *token == '<' ? a << b : is_signed ? (uint64_t)(left >> b) : a >> b;
    else
        bits = *token == '+'   ? a + b
               : *token == '-' ? a - b
               : *token == '*' ? a * b
               : *token == '|' ? a | b
               : *token == '^' ? a ^ b
                               : a & b;
    if (type_size(type) == 4)
        bits = is_signed ? (uint64_t)(int64_t)(int32_t)bits : (uint32_t)bits;
    *result = value_number(bits, type);
    return 0;
}

static bool compare(const char *token, uint64_t a, uint64_t b, bool is_signed)
{
    bool less = is_signed ? (int64_t)a < (int64_t)b : a < b;
    if (strcmp(token, "==") == 0)
        return a == b;
    if (strcmp(token, "!=") == 0)
        return a != b;
    if (strcmp(token, "<") == 0)
        return less;
    if (strcmp(token, ">=") == 0)
        return !less;
    return strcmp(token, ">") == 0 ? !less && a != b : less || a == b;
}

static int pointer_arithmetic(
    struct parser *parser, const char *token, struct value *left, const struct value *right)
{
    uint64_t a, b;
    struct type target = type_target(&left->type);
    type_complete(parser->scope->symbols, &target);
    uint64_t size = type_size(&target);
    if (read_scalar(parser, right, &b) < 0)
        return -1;
    if (*token == '-' && is_pointer_like(right)) {
        if (read_scalar(parser, left, &a) < 0)
            return -1;
        *left = long_value((uint64_t)((int64_t)(a - b) / (int64_t)(size ? size : 1)));
        return 0;
    }
    struct value pointer = *left;
    return add_scaled(parser, &pointer, *token == '-' ? 0 - b : b, left);
}

static int combine(
    struct parser *parser, const char *token, struct value *left, const struct value *right)
{
    uint64_t a, b;
    if (*token == '@')
        return repeat(parser, left, right);
    if ((*token == '+' || *token == '-') && is_pointer_like(left))
        return pointer_arithmetic(parser, token, left, right);
    if (read_scalar(parser, left, &a) < 0 || read_scalar(parser, right, &b) < 0)
        return -1;
    if (*token == '+' && is_pointer_like(right))
        return add_scaled(parser, right, a, left);
    struct type type = arithmetic_type(left, right);
    bool comparison =
        strchr("=!<>", *token) && strcmp(token, "<<") != 0 && strcmp(token, ">>") != 0;
    if (!comparison)
        return compute(parser, token, a, b, &type, left);
    if (type_size(&type) == 4 && !type_is_signed(&type)) {
        a = (uint32_t)a;
        b = (uint32_t)b;
    }
    *left = int_value(compare(token, a, b, type_is_signed(&type)));
    return 0;
}

static int parse_binary(struct parser *parser, int level, struct value *left)
{
    if (parse_unary(parser, left) < 0)
        return -1;
    for (;;) {
        const struct binary_operator *found = peek_operator(parser);
        struct value right;
        uint64_t a, b;
        if (!found || found->level < level)
            return 0;
        parser->at += strlen(found->token);
        bool logical = found->level <= 2;
        if (logical && read_scalar(parser, left, &a) < 0)
            return -1;
        bool decided = logical && (found->level == 1 ? a != 0 : a == 0);
        parser->skipping += decided;
        int result = parse_binary(parser, found->level + 1, &right);
        if (result == 0 && logical)
            result = read_scalar(parser, &right, &b);
        parser->skipping -= decided;
        if (result < 0)
            return -1;
        if (logical)
            *left = int_value(decided ? found->level == 1 : b != 0);
        else if (combine(parser, found->token, left, &right) < 0)
            return -1;
    }
}

static int parse_ternary(struct parser *parser, struct value *value)
{
    struct value yes, no;
    uint64_t condition;
    if (parse_binary(parser, 1, value) < 0)
        return -1;
    if (!accept(parser, "?"))
        return 0;
    if (read_scalar(parser, value, &condition) < 0)
        return -1;
    parser->skipping += condition == 0;
    int result = parse_ternary(parser, &yes);
    parser->skipping -= condition == 0;
    if (result < 0 || expect(parser, ":") < 0)
        return -1;
    parser->skipping += condition != 0;
    result = parse_ternary(parser, &no);
    parser->skipping -= condition != 0;
    *value = condition ? yes : no;
    return result;
}

int expression_evaluate_part(const struct expression_scope *scope, const char **text,
    struct value *value, struct error *error)
{
    struct error own = {""};
    struct parser parser = {.scope = scope, .at = *text, .error = error ? error : &own};
    int result = parse_ternary(&parser, value);
    *text = parser.at;
    return result;
}

int expression_evaluate(const struct expression_scope *scope, const char *text, struct value *value,
    struct error *error)
{
    if (expression_evaluate_part(scope, &text, value, error) < 0)
        return -1;
    while (isspace((unsigned char)*text))
        text++;
    return *text ? error_set(error, "'%.40s' is not understood", text) : 0;
}

int expression_number(
    const struct expression_scope *scope, const char *text, uint64_t *number, struct error *error)
{
    struct value value;
    if (expression_evaluate(scope, text, &value, error) < 0)
        return -1;
    /* A struct or function stands for where it is. */
    enum type_kind kind = type_kind(&value.type);
    if (value.in_memory && (kind == TYPE_STRUCT || kind == TYPE_VOID)) {
        *number = value.address;
        return 0;
    }
    return value_scalar(scope->view, &value, number, error);
}
