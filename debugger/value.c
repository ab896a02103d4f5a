/* Makes values of expressions, and prints them. */
#include "debugger/value.h"

#include <inttypes.h>
#include <string.h>

#include "debugger/floats.h"
#include "debugger/names.h"
#include "debugger/printer.h"
#include "debugger/rust.h"

enum { MAX_ELEMENTS = 200, MAX_STRING = 200, MAX_DEPTH = 12, MIN_REPEATS = 10 };

struct value value_number(uint64_t bits, const struct type *type)
{
    return (struct value){.type = *type, .bits = bits};
}

struct value value_at(uint64_t address, const struct type *type)
{
    return (struct value){.type = *type, .in_memory = true, .address = address};
}

struct value value_part(const struct value *of, uint64_t offset, const struct type *type)
{
    uint64_t size = type_size(type);
    if (of->in_memory)
        return value_at(of->address + offset, type);
    struct value part = value_number(0, type);
    if (size > VALUE_BYTES || offset > VALUE_BYTES - size) {
        part.unknown = UINT64_MAX;
        return part;
    }
    memcpy(part.bytes, of->bytes + offset, size);
    part.unknown = offset < 64 ? of->unknown >> offset : 0;
    return part;
}

struct value value_member(const struct value *of, const struct member *member)
{
    struct value value = value_part(of, member->offset, &member->type);
    value.field_bits = member->bits;
    value.field_shift = member->shift;
    return value;
}

bool value_is_lost(const struct value *value)
{
    uint64_t size = type_size(&value->type);
    return !value->in_memory && size && value->unknown << (size < 64 ? 64 - size : 0);
}

static uint64_t extend(uint64_t bits, unsigned width, bool is_signed)
{
    if (width == 0 || width >= 64)
        return bits;
    bits &= (1ull << width) - 1;
    return is_signed && bits >> (width - 1) ? bits | ~0ull << width : bits;
}

int value_refer(const struct view *view, const struct value *reference, struct value *target,
    struct error *error)
{
    uint64_t address = reference->bits;
    struct type type = type_target(&reference->type);
    if (reference->in_memory && !view_read_number(view, reference->address, 8, &address))
        return error_set(
            error, "cannot read memory at 0x%" PRIx64 ": not mapped", reference->address);
    if (type_kind(&type) == TYPE_REFERENCE)
        return error_set(error, "a reference to a reference");
    *target = value_at(address, &type);
    return 0;
}

int value_scalar(
    const struct view *view, const struct value *value, uint64_t *bits, struct error *error)
{
    enum type_kind kind = type_kind(&value->type);
    uint64_t size = type_size(&value->type);
    bool is_signed = type_is_signed(&value->type);
    if (kind == TYPE_ARRAY || kind == TYPE_FUNCTION) {
        if (!value->in_memory)
            return error_set(error, "the value is not in memory");
        *bits = value->address;
        return 0;
    }
    if (kind == TYPE_REFERENCE) {
        struct value target;
        return value_refer(view, value, &target, error) < 0
                   ? -1
                   : value_scalar(view, &target, bits, error);
    }
    if (kind == TYPE_STRUCT)
        return error_set(error, "a struct is not a number: name one of its members");
    if (kind == TYPE_VOID)
        return error_set(error, "a void has no value: cast its address to another type");
    if (size == 0 || size > 8)
        return error_set(error, "a value of %" PRIu64 " bytes is not a number", size);
    if (value_is_lost(value))
        return error_set(error, "optimized out: the compiler keeps it nowhere at this pc");
    *bits = value->bits >> value->field_shift;
    if (value->in_memory) {
        unsigned bytes =
            value->field_bits ? (value->field_bits + value->field_shift + 7) / 8 : (unsigned)size;
        if (bytes > 8 || !view_read_number(view, value->address, bytes, bits))
            return error_set(
                error, "cannot read memory at 0x%" PRIx64 ": not mapped", value->address);
        *bits >>= value->field_shift;
    }
    *bits = extend(*bits, value->field_bits ? value->field_bits : (unsigned)size * 8, is_signed);
    return 0;
}

/* ---- Formatting ---- */

static void put_character(struct buffer *out, unsigned char byte, char quote)
{
    static const char escaped[] = "\a\b\t\n\v\f\r\033", letters[] = "abtnvfre";
    const char *at = byte ? strchr(escaped, byte) : NULL;
    if (at)
        buffer_printf(out, "\\%c", letters[at - escaped]);
    else if (byte == (unsigned char)quote || byte == '\\')
        buffer_printf(out, "\\%c", byte);
    else if (byte < 0x20 || byte >= 0x7f)
        buffer_printf(out, "\\%03o", byte);
    else
        buffer_put_u8(out, byte);
}

void value_quote(const char *text, size_t size, struct buffer *out)
{
    buffer_put_u8(out, '"');
    for (size_t i = 0; i < size; i++)
        put_character(out, (unsigned char)text[i], '"');
    buffer_put_u8(out, '"');
}

static void put_binary(struct buffer *out, uint64_t bits)
{
    int top = 63;
    while (top > 0 && !(bits >> top & 1))
        top--;
    for (int i = top; i >= 0; i--)
        buffer_put_u8(out, '0' + (bits >> i & 1));
}

static void put_float(struct buffer *out, uint64_t bits, unsigned size)
{
    struct type type = type_builtin(TYPE_FLOAT, size == 4 ? 4 : 8);
    struct value value = value_number(bits, &type);
    long double number;
    struct error ignored;
    if (floats_read(NULL, &value, &number, &ignored) == 0)
        floats_put(number, size == 4 ? 4 : 8, out);
}

void value_format_number(
    const struct symbols *symbols, uint64_t bits, unsigned size, char format, struct buffer *out)
{
    uint64_t narrow = extend(bits, size * 8, false), wide = extend(bits, size * 8, true);
    switch (format) {
    case 'd':
        return buffer_printf(out, "%" PRId64, (int64_t)wide);
    case 'u':
        return buffer_printf(out, "%" PRIu64, narrow);
    case 'o':
        return buffer_printf(out, "0%" PRIo64, narrow);
    case 't':
        return put_binary(out, narrow);
    case 'c':
        buffer_printf(out, "%" PRId64 " '", (int64_t)wide);
        put_character(out, (unsigned char)narrow, '\'');
        return buffer_put_u8(out, '\'');
    case 'f':
        return put_float(out, narrow, size);
    case 'a':
        buffer_printf(out, "0x%" PRIx64 " ", narrow);
        symbols_describe(symbols, narrow, out);
        if (out->size && out->data[out->size - 1] == ' ')
            out->size--;
        return;
    case 'z':
        return buffer_printf(out, "0x%0*" PRIx64, (int)size * 2, narrow);
    default:
        return buffer_printf(out, "0x%" PRIx64, narrow);
    }
}

void printer_put(struct printer *printer, const char *text)
{
    buffer_put(printer->out, text, strlen(text));
}

static void start_line(struct printer *printer, unsigned depth)
{
    buffer_put_u8(printer->out, '\n');
    for (unsigned i = 0; i < depth; i++)
        printer_put(printer, "  ");
}

void printer_separate(struct printer *printer)
{
    if (!printer->first)
        printer_put(printer, printer->style.pretty ? "," : ", ");
    if (printer->style.pretty)
        start_line(printer, printer->depth);
}

void printer_close(struct printer *printer, const char *bracket)
{
    if (printer->style.pretty)
        start_line(printer, printer->depth - 1);
    printer_put(printer, bracket);
}

static void print_string_at(struct printer *printer, uint64_t address)
{
    char text[MAX_STRING + 1];
    if (!view_read_string(printer->view, address, text, sizeof text))
        return;
    size_t length = strlen(text);
    buffer_put_u8(printer->out, ' ');
    value_quote(text, length, printer->out);
    if (length == MAX_STRING)
        buffer_printf(printer->out, "...");
}

static void print_pointer(struct printer *printer, const struct value *value, uint64_t bits)
{
    struct type target = type_target(&value->type);
    enum type_kind kind = type_kind(&target);
    if (printer->depth == 0 && kind != TYPE_CHAR) {
        buffer_put_u8(printer->out, '(');
        type_describe(&value->type, printer->out);
        buffer_printf(printer->out, ") ");
    }
    if (kind == TYPE_CHAR && type_size(&target) == 1) {
        buffer_printf(printer->out, "0x%" PRIx64, bits);
        return print_string_at(printer, bits);
    }
    value_format_number(printer->symbols, bits, 8, 'a', printer->out);
}

static int print_float(struct printer *printer, const struct value *value)
{
    long double number;
    if (floats_read(printer->view, value, &number, printer->error) < 0)
        return -1;
    floats_put(number, (unsigned)type_size(&value->type), printer->out);
    return 0;
}

static bool is_rust_type(const struct type *type)
{
    Dwarf_Die die;
    return type_peel(type, &die) && names_language(&die) == LANGUAGE_RUST;
}

static bool is_character(const struct value *value, enum type_kind kind, unsigned size)
{
    return kind == TYPE_CHAR && (size == 1 || is_rust_type(&value->type));
}

static int print_scalar(struct printer *printer, const struct value *value, enum type_kind kind)
{
    uint64_t bits;
    unsigned size = (unsigned)type_size(&value->type);
    if (value_is_lost(value)) {
        printer_put(printer, "<optimized out>");
        return 0;
    }
    if (kind == TYPE_FLOAT && (!printer->style.format || printer->style.format == 'f'))
        return print_float(printer, value);
    if (value_scalar(printer->view, value, &bits, printer->error) < 0)
        return -1;
    if (printer->style.format == 's' && kind == TYPE_POINTER) {
        buffer_printf(printer->out, "0x%" PRIx64, bits);
        print_string_at(printer, bits);
    } else if (printer->style.format && printer->style.format != 's') {
        value_format_number(printer->symbols, bits, size, printer->style.format, printer->out);
    } else if (kind == TYPE_POINTER) {
        print_pointer(printer, value, bits);
    } else if (kind == TYPE_ENUM) {
        type_put_enumerator(&value->type, bits, printer->out);
    } else if (kind == TYPE_BOOL) {
        buffer_printf(printer->out, "%s",
            bits == 0   ? "false"
            : bits == 1 ? "true"
                        : "(not a bool)");
    } else if (is_character(value, kind, size)) {
        buffer_printf(printer->out, "%" PRId64 " '", (int64_t)bits);
        put_character(printer->out, (unsigned char)bits, '\'');
        buffer_put_u8(printer->out, '\'');
    } else {
        value_format_number(printer->symbols, bits, size,
            kind == TYPE_FLOAT             ? 'f'
            : type_is_signed(&value->type) ? 'd'
                                           : 'u',
            printer->out);
    }
    return 0;
}

/* "<Base> = "; lines tell where the members begin that are the class's own. */
static void put_member_name(struct printer *printer, const struct member *member)
{
    if (member->is_base) {
        buffer_put_u8(printer->out, '<');
        type_describe(&member->type, printer->out);
        printer_put(printer, "> = ");
    } else if (member->name) {
        printer_put(printer, member->name);
        printer_put(printer, " = ");
    }
}

static bool print_member(void *context, const struct member *member)
{
    struct printer *printer = context;
    const struct value *of = printer->of;
    struct value value = value_member(of, member);
    printer_separate(printer);
    if (printer->style.pretty && printer->past_base && !member->is_base) {
        printer_put(printer, "members of ");
        type_describe(&of->type, printer->out);
        buffer_put_u8(printer->out, ':');
        start_line(printer, printer->depth);
    }
    put_member_name(printer, member);
    printer->past_base = false;
    if (member->is_virtual)
        printer_put(printer, "<virtual base>");
    else
        printer->failed = printer_value(printer, &value) < 0;
    printer->past_base = member->is_base;
    printer->of = of;
    printer->first = false;
    return printer->failed;
}

static int print_struct(struct printer *printer, const struct value *value)
{
    if (is_rust_type(&value->type))
        return rust_print_struct(printer, value);
    buffer_put_u8(printer->out, '{');
    printer->of = value;
    printer->first = true;
    printer->past_base = false;
    if (type_each_member(&value->type, print_member, printer))
        return -1;
    if (printer->first)
        buffer_put_u8(printer->out, '}'); /* of none */
    else
        printer_close(printer, "}");
    return 0;
}

/* "text", '\000' <repeats 40 times>, "more": of more than ten the same in a row one is shown. */
static void quote_counted(const char *text, size_t size, struct buffer *out)
{
    enum { MAX_SHOWN = 10 };
    size_t start = 0;
    for (size_t at = 0, end; at < size; at = end) {
        for (end = at + 1; end < size && text[end] == text[at]; end++)
            ;
        if (end - at <= MAX_SHOWN)
            continue;
        if (at > start)
            value_quote(text + start, at - start, out);
        buffer_printf(out, "%s'", at > start ? ", " : "");
        put_character(out, (unsigned char)text[at], '\'');
        buffer_printf(out, "' <repeats %zu times>%s", end - at, end < size ? ", " : "");
        start = end;
    }
    if (start < size || size == 0)
        value_quote(text + start, size - start, out);
}

/* As gdb: all of an array but one zero byte at its end. */
static int print_characters(struct printer *printer, const struct value *value, uint64_t count)
{
    char text[MAX_STRING + 1];
    /* Of unknown length: up to its zero byte. */
    if (count == 0 && view_read_string(printer->view, value->address, text, sizeof text)) {
        value_quote(text, strlen(text), printer->out);
        return 0;
    }
    size_t size = count < MAX_STRING ? count : MAX_STRING;
    if (!view_read(printer->view, value->address, text, size))
        return error_set(
            printer->error, "cannot read memory at 0x%" PRIx64 ": not mapped", value->address);
    bool is_whole = count == size;
    quote_counted(text, is_whole && size && text[size - 1] == '\0' ? size - 1 : size, printer->out);
    if (!is_whole)
        buffer_printf(printer->out, "...");
    return 0;
}

static int print_elements(
    struct printer *printer, const struct value *value, const struct type *element, uint64_t count)
{
    struct buffer *out = printer->out, text = {0}, last = {0};
    uint64_t size = type_size(element), repeats = 0, shown = 0;
    int result = 0;
    bool is_rust = is_rust_type(element);
    buffer_put_u8(out, is_rust ? '[' : '{');
    for (uint64_t i = 0; i < count && result == 0; i++) {
        struct value one = value_part(value, i * size, element);
        buffer_clear(&text);
        printer->out = &text;
        result = printer_value(printer, &one);
        printer->out = out;
        out->failed |= text.failed;
        bool same = i > 0 && text.size == last.size && memcmp(text.data, last.data, text.size) == 0;
        repeats = same ? repeats + 1 : 0;
        if (repeats < MIN_REPEATS && shown < MAX_ELEMENTS) {
            buffer_printf(out, "%s", i ? ", " : "");
            buffer_put(out, text.data, text.size);
            shown++;
        } else if (shown >= MAX_ELEMENTS) {
            buffer_printf(out, "...");
            break;
        } else if (repeats == MIN_REPEATS) {
            buffer_printf(out, " <and more of the same>");
        }
        struct buffer swap = text;
        text = last;
        last = swap;
    }
    buffer_put_u8(out, is_rust ? ']' : '}');
    buffer_free(&text);
    buffer_free(&last);
    return result;
}

static int print_array(struct printer *printer, const struct value *value)
{
    struct type element = type_target(&value->type);
    uint64_t count = type_elements(&value->type);
    if (vector_is_array(value)) {
        vector_put(printer->symbols, value, printer->style.format, printer->out);
        return 0;
    }
    if (type_size(&element) == 0)
        return error_set(printer->error, "an array of elements of unknown size");
    if (value->in_memory && type_kind(&element) == TYPE_CHAR && type_size(&element) == 1 &&
        (!printer->style.format || printer->style.format == 's'))
        return print_characters(printer, value, count);
    return print_elements(printer, value, &element, count);
}

/* "(geo::Shape &) @0x7ffe1234: {...}"; further in the place alone, as gdb. */
static int print_reference(struct printer *printer, const struct value *value)
{
    struct value target;
    if (value_refer(printer->view, value, &target, printer->error) < 0)
        return -1;
    if (printer->depth == 0) {
        buffer_put_u8(printer->out, '(');
        type_describe(&value->type, printer->out);
        printer_put(printer, ") ");
    }
    buffer_printf(printer->out, "@0x%" PRIx64, target.address);
    if (printer->depth)
        return 0;
    printer_put(printer, ": ");
    return printer_value(printer, &target);
}

int printer_value(struct printer *printer, const struct value *value)
{
    enum type_kind kind = type_kind(&value->type);
    int result;
    if (printer->depth == MAX_DEPTH) {
        buffer_printf(printer->out, "...");
        return 0;
    }
    const struct value_style *style = &printer->style;
    result = style->show ? style->show(style->context, printer, value) : 0;
    if (result != 0)
        return result < 0 ? -1 : 0;
    if (kind == TYPE_FUNCTION) {
        buffer_put_u8(printer->out, '{');
        type_describe(&value->type, printer->out);
        buffer_printf(printer->out, "} ");
        value_format_number(printer->symbols, value->address, 8, 'a', printer->out);
        return 0;
    }
    if (kind == TYPE_REFERENCE)
        return print_reference(printer, value);
    if (kind == TYPE_VECTOR) {
        vector_put(printer->symbols, value, printer->style.format, printer->out);
        return 0;
    }
    printer->depth++;
    if (kind == TYPE_STRUCT) {
        result = print_struct(printer, value);
    } else if (kind == TYPE_ARRAY) {
        result = print_array(printer, value);
    } else {
        printer->depth--;
        return print_scalar(printer, value, kind);
    }
    printer->depth--;
    return result;
}

int value_format_as(const struct view *view, const struct symbols *symbols,
    const struct value *value, const struct value_style *style, struct buffer *out,
    struct error *error)
{
    struct printer printer = {
        .view = view, .symbols = symbols, .out = out, .error = error, .style = *style};
    return printer_value(&printer, value);
}

int value_show(const struct view *view, const struct symbols *symbols, const struct value *value,
    const struct value_style *style, struct buffer *out, struct error *error)
{
    struct printer printer = {
        .view = view, .symbols = symbols, .out = out, .error = error, .style = *style};
    return style->show(style->context, &printer, value);
}

int value_format(const struct view *view, const struct symbols *symbols, const struct value *value,
    char format, struct buffer *out, struct error *error)
{
    const struct value_style style = {.format = format};
    return value_format_as(view, symbols, value, &style, out, error);
}
