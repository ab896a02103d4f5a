/* Parses and evaluates C expressions over the guest. */
#include "debugger/expression.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/floats.h"
#include "debugger/macros.h"
#include "debugger/parser.h"
#include "debugger/rust.h"

enum { MAX_NESTING = 64 };

static int parse_unary(struct parser *parser, struct value *value);

void parser_skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

bool parser_accept(struct parser *parser, const char *token)
{
    parser_skip_space(parser);
    size_t length = strlen(token);
    if (strncmp(parser->at, token, length) != 0)
        return false;
    parser->at += length;
    return true;
}

int parser_expect(struct parser *parser, const char *token)
{
    if (parser_accept(parser, token))
        return 0;
    return *parser->at ? error_set(parser->error, "'%s' expected before '%.40s'", token, parser->at)
                       : error_set(parser->error, "'%s' expected at the end", token);
}

int parser_scalar(struct parser *parser, const struct value *value, uint64_t *bits)
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

int parser_settle(struct parser *parser, struct value *value)
{
    struct value target;
    if (type_kind(&value->type) != TYPE_REFERENCE)
        return 0;
    if (parser->skipping) {
        const struct type type = type_target(&value->type);
        *value = value_at(0, &type);
        return 0;
    }
    if (value_refer(parser->scope->view, value, &target, parser->error) < 0)
        return -1;
    *value = target;
    return 0;
}

/* ---- Places ---- */

static int dereference(struct parser *parser, const struct value *pointer, struct value *value)
{
    uint64_t address;
    enum type_kind kind = type_kind(&pointer->type);
    struct type target = type_target(&pointer->type);
    if (parser_scalar(parser, pointer, &address) < 0)
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

static int no_member(struct parser *parser, const struct value *of, const char *name)
{
    struct buffer text = {0};
    type_describe(&of->type, &text);
    buffer_put_u8(&text, 0);
    error_set(parser->error, "'%.200s' has no member '%s' (see 'ptype')",
        text.failed ? "?" : (const char *)text.data, name);
    buffer_free(&text);
    return -1;
}

/* Tuples' members are called by number: ".0". */
static void read_member_name(struct parser *parser, char *name)
{
    parser_skip_space(parser);
    parser_name(parser, name);
    if (isdigit((unsigned char)*name)) {
        size_t length = strlen(name);
        memmove(name + 2, name, length + 1 < MAX_NAME - 2 ? length + 1 : MAX_NAME - 2);
        name[0] = name[1] = '_';
        name[MAX_NAME - 1] = '\0';
    }
}

int parser_member(
    struct parser *parser, const struct value *of, const char *name, struct value *value)
{
    struct member member;
    struct value variant;
    const char *variant_name;
    enum type_kind kind = type_kind(&of->type);
    if (kind == TYPE_VECTOR)
        return vector_member(of, name, value) ? 0 : no_member(parser, of, name);
    if (kind != TYPE_STRUCT)
        return error_set(parser->error, "'%s': not a struct before it", name);
    if (rust_is_enum(&of->type)) {
        if (!rust_find_variant(parser->scope->view, of, &variant, &variant_name))
            return error_set(parser->error, "'%s': no variant can be told before it", name);
        of = &variant;
    }
    if (!type_find_member(&of->type, name, &member))
        return no_member(parser, of, name);
    type_complete(parser->scope->symbols, &member.type);
    *value = value_member(of, &member);
    return 0;
}

static int select_member(struct parser *parser, struct value *of, struct value *value)
{
    char name[MAX_NAME];
    read_member_name(parser, name);
    if (!*name)
        return error_set(parser->error, "the name of a member is missing");
    return parser_settle(parser, of) < 0 ? -1 : parser_member(parser, of, name, value);
}

static int add_scaled(
    struct parser *parser, const struct value *pointer, uint64_t count, struct value *result)
{
    uint64_t base;
    struct type target = type_target(&pointer->type);
    type_complete(parser->scope->symbols, &target);
    uint64_t size = type_size(&target);
    struct type type = type_pointer_to(&target);
    if (parser_scalar(parser, pointer, &base) < 0)
        return -1;
    *result = value_number(base + count * (size ? size : 1), &type);
    return 0;
}

static bool is_pointer_like(const struct value *value)
{
    enum type_kind kind = type_kind(&value->type);
    return kind == TYPE_POINTER || kind == TYPE_ARRAY;
}

static int select_element(
    struct parser *parser, const struct value *of, uint64_t number, struct value *value)
{
    struct value place, slice;
    if (vector_is_array(of))
        return vector_element(of, number, value, parser->error);
    if (rust_slice(of, &slice))
        of = &slice;
    if (!is_pointer_like(of))
        return error_set(parser->error, "only arrays and pointers have elements");
    return add_scaled(parser, of, number, &place) < 0 ? -1 : dereference(parser, &place, value);
}

static int parse_postfix(struct parser *parser, struct value *value)
{
    if (parser_primary(parser, value) < 0)
        return -1;
    for (;;) {
        struct value operand = *value, index;
        uint64_t number;
        if (parser_accept(parser, "[")) {
            if (parser_expression(parser, &index) < 0 || parser_expect(parser, "]") < 0 ||
                parser_scalar(parser, &index, &number) < 0)
                return -1;
            if (parser_settle(parser, &operand) < 0 ||
                select_element(parser, &operand, number, value) < 0)
                return -1;
        } else if (parser_accept(parser, "->")) {
            if (parser_settle(parser, &operand) < 0 || dereference(parser, &operand, value) < 0)
                return -1;
            operand = *value;
            if (select_member(parser, &operand, value) < 0)
                return -1;
        } else if (*parser->at == '.' && parser_accept(parser, ".")) {
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
    long double number;
    enum type_kind kind = type_kind(type);
    if (parser_settle(parser, value) < 0)
        return -1;
    if ((kind == TYPE_FLOAT || floats_is(value)) && kind != TYPE_STRUCT && kind != TYPE_ARRAY) {
        if (!parser->skipping &&
            floats_read(parser->scope->view, value, &number, parser->error) < 0)
            return -1;
        *value = parser->skipping     ? value_number(0, type)
                 : kind == TYPE_FLOAT ? floats_convert(number, type)
                                      : value_number(floats_integer(number), type);
        return 0;
    }
    if (kind == TYPE_STRUCT || kind == TYPE_ARRAY) {
        if (!value->in_memory)
            return error_set(parser->error, "only something in memory can be seen as a struct");
        *value = value_at(value->address, type);
        return 0;
    }
    if (parser_scalar(parser, value, &bits) < 0)
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
    if (!parser_accept(parser, "(") || !type_parse(parser->scope->symbols, &parser->at, &type) ||
        !parser_accept(parser, ")")) {
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
    if (!parser_accept(parser, "(") || !type_parse(parser->scope->symbols, &parser->at, &type) ||
        !parser_accept(parser, ")")) {
        parser->at = start;
        /* Its size is the type's: what it is at is not looked at. */
        parser->skipping++;
        int result = parse_unary(parser, value);
        if (result == 0)
            result = parser_settle(parser, value);
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
    if (parse_unary(parser, value) < 0 || parser_settle(parser, value) < 0)
        return -1;
    if (!value->in_memory)
        return error_set(parser->error, "a value that is not in memory has no address");
    if (value->field_bits)
        return error_set(parser->error, "a bit field has no address");
    struct type type = type_pointer_to(&value->type);
    *value = value_number(value->address, &type);
    return 0;
}

static int float_unary(
    struct parser *parser, char sign, const struct value *operand, struct value *value)
{
    long double number = 0;
    if (!parser->skipping && floats_read(parser->scope->view, operand, &number, parser->error) < 0)
        return -1;
    *value = sign == '!' ? int_value(number == 0)
                         : floats_convert(sign == '-' ? -number : number, &operand->type);
    return 0;
}

static bool accept_word(struct parser *parser, const char *word)
{
    parser_skip_space(parser);
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
    if (parser_accept(parser, "&"))
        return parse_address_of(parser, value);
    parser_skip_space(parser);
    char sign = *parser->at;
    if (!sign || !strchr("*-+!~", sign))
        return parse_postfix(parser, value);
    parser->at++;
    if (parse_unary(parser, &operand) < 0 || parser_settle(parser, &operand) < 0)
        return -1;
    if (sign == '*')
        return dereference(parser, &operand, value);
    if (floats_is(&operand) && sign != '~')
        return float_unary(parser, sign, &operand, value);
    if (parser_scalar(parser, &operand, &bits) < 0)
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
    parser_skip_space(parser);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strncmp(parser->at, operators[i].token, strlen(operators[i].token)) == 0)
            return &operators[i];
    }
    return NULL;
}

static int repeat(struct parser *parser, struct value *left, const struct value *right)
{
    uint64_t count;
    if (parser_scalar(parser, right, &count) < 0)
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
    if (parser_scalar(parser, right, &b) < 0)
        return -1;
    if (*token == '-' && is_pointer_like(right)) {
        if (parser_scalar(parser, left, &a) < 0)
            return -1;
        *left = long_value((uint64_t)((int64_t)(a - b) / (int64_t)(size ? size : 1)));
        return 0;
    }
    struct value pointer = *left;
    return add_scaled(parser, &pointer, *token == '-' ? 0 - b : b, left);
}

/* The wider of the two floats, at least a double, as gdb. */
static struct type float_type(const struct value *left, const struct value *right)
{
    bool extended = (floats_is(left) && type_size(&left->type) > 8) ||
                    (floats_is(right) && type_size(&right->type) > 8);
    return type_builtin(TYPE_FLOAT, extended ? 16 : 8);
}

static int combine_floats(
    struct parser *parser, const char *token, struct value *left, const struct value *right)
{
    long double a = 0, b = 0;
    struct type type = float_type(left, right);
    if (!parser->skipping && (floats_read(parser->scope->view, left, &a, parser->error) < 0 ||
                                 floats_read(parser->scope->view, right, &b, parser->error) < 0))
        return -1;
    bool equal = strcmp(token, "==") == 0, unequal = strcmp(token, "!=") == 0;
    if (equal || unequal)
        *left = int_value((a == b) == equal);
    else if (strcmp(token, "<") == 0 || strcmp(token, ">") == 0)
        *left = int_value(*token == '<' ? a < b : a > b);
    else if (strcmp(token, "<=") == 0 || strcmp(token, ">=") == 0)
        *left = int_value(*token == '<' ? a <= b : a >= b);
    else if (token[1] || !strchr("+-*/", *token))
        return error_set(parser->error, "'%s' is not for floating point", token);
    else
        *left = floats_convert(*token == '+'   ? a + b
                               : *token == '-' ? a - b
                               : *token == '*' ? a * b
                                               : a / b,
            &type);
    return 0;
}

static int combine(
    struct parser *parser, const char *token, struct value *left, struct value *right)
{
    uint64_t a, b;
    if (parser_settle(parser, left) < 0 || parser_settle(parser, right) < 0)
        return -1;
    if (*token == '@')
        return repeat(parser, left, right);
    if (floats_is(left) || floats_is(right))
        return combine_floats(parser, token, left, right);
    if ((*token == '+' || *token == '-') && is_pointer_like(left))
        return pointer_arithmetic(parser, token, left, right);
    if (parser_scalar(parser, left, &a) < 0 || parser_scalar(parser, right, &b) < 0)
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
        if (logical && parser_scalar(parser, left, &a) < 0)
            return -1;
        bool decided = logical && (found->level == 1 ? a != 0 : a == 0);
        parser->skipping += decided;
        int result = parse_binary(parser, found->level + 1, &right);
        if (result == 0 && logical)
            result = parser_scalar(parser, &right, &b);
        parser->skipping -= decided;
        if (result < 0)
            return -1;
        if (logical)
            *left = int_value(decided ? found->level == 1 : b != 0);
        else if (combine(parser, found->token, left, &right) < 0)
            return -1;
    }
}

int parser_expression(struct parser *parser, struct value *value)
{
    struct value yes, no;
    uint64_t condition;
    if (parse_binary(parser, 1, value) < 0)
        return -1;
    if (!parser_accept(parser, "?"))
        return 0;
    if (parser_scalar(parser, value, &condition) < 0)
        return -1;
    parser->skipping += condition == 0;
    int result = parser_expression(parser, &yes);
    parser->skipping -= condition == 0;
    if (result < 0 || parser_expect(parser, ":") < 0)
        return -1;
    parser->skipping += condition != 0;
    result = parser_expression(parser, &no);
    parser->skipping -= condition != 0;
    *value = condition ? yes : no;
    return result;
}

static int evaluate(const struct expression_scope *scope, const char **text, struct value *value,
    struct error *error)
{
    struct parser parser = {.scope = scope, .at = *text, .error = error};
    int result = parser_expression(&parser, value);
    *text = parser.at;
    return result;
}

static int evaluate_expanded(const struct expression_scope *scope, const struct macros *macros,
    const char **text, struct value *value, struct error *error)
{
    struct expanded expanded;
    int result = macros_expand(macros, *text, &expanded, error);
    if (result == 0) {
        const char *at = (const char *)expanded.text.data;
        result = evaluate(scope, &at, value, error);
        *text += expanded_source(&expanded, (size_t)(at - (const char *)expanded.text.data));
    }
    buffer_free(&expanded.text);
    return result;
}

int expression_evaluate_part(const struct expression_scope *scope, const char **text,
    struct value *value, struct error *error)
{
    struct error own = {""};
    const struct macros *macros = scope->frame ? macros_at(scope->symbols, scope->frame) : NULL;
    return macros ? evaluate_expanded(scope, macros, text, value, error ? error : &own)
                  : evaluate(scope, text, value, error ? error : &own);
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
