#include "debugger/value.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_ELEMENTS = 200, MAX_STRING = 200, MAX_DEPTH = 12, MIN_REPEATS = 10 };

struct value value_number(uint64_t bits, const struct type *type)
{
    return (struct value){.type = *type, .bits = bits};
}

struct value value_at(uint64_t address, const struct type *type)
{
    return (struct value){.type = *type, .in_memory = true, .address = address};
}

static uint64_t extend(uint64_t bits, unsigned width, bool is_signed)
{
    if (width == 0 || width >= 64)
        return bits;
    bits &= (1ull << width) - 1;
    return is_signed && bits >> (width - 1) ? bits | ~0ull << width : bits;
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
    if (kind == TYPE_STRUCT)
        return error_set(error, "a struct is not a number: name one of its members");
    if (kind == TYPE_VOID)
        return error_set(error, "a void has no value: cast its address to another type");
    if (size == 0 || size > 8)
        return error_set(error, "a value of %" PRIu64 " bytes is not a number", size);
    *bits = value->bits;
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
    float single;
    double number;
    uint32_t low = (uint32_t)bits;
    memcpy(&single, &low, sizeof single);
    memcpy(&number, &bits, sizeof number);
    buffer_printf(out, "%.*g", size == 4 ? 9 : 17, size == 4 ? (double)single : number);
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

struct printer {
    const struct view *view;
    const struct symbols *symbols;
    struct buffer *out;
    struct error *error;
    char format;
    unsigned depth;
    bool first;             /* of the members */
    const struct value *of; /* whose members are printed */
    bool failed;
};

static int print_value(struct printer *printer, const struct value *value);

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

static int print_scalar(struct printer *printer, const struct value *value, enum type_kind kind)
{
    uint64_t bits;
    unsigned size = (unsigned)type_size(&value->type);
    if (value_scalar(printer->view, value, &bits, printer->error) < 0)
        return -1;
    if (printer->format == 's' && kind == TYPE_POINTER) {
        buffer_printf(printer->out, "0x%" PRIx64, bits);
        print_string_at(printer, bits);
    } else if (printer->format && printer->format != 's') {
        value_format_number(printer->symbols, bits, size, printer->format, printer->out);
    } else if (kind == TYPE_POINTER) {
        print_pointer(printer, value, bits);
    } else if (kind == TYPE_ENUM) {
        const char *name = type_enumerator(&value->type, bits);
        if (name)
            buffer_printf(printer->out, "%s", name);
        else
            buffer_printf(printer->out, "%" PRId64, (int64_t)bits);
    } else if (kind == TYPE_BOOL) {
        buffer_printf(printer->out, "%s",
            bits == 0   ? "false"
            : bits == 1 ? "true"
                        : "(not a bool)");
    } else if (kind == TYPE_CHAR && size == 1) {
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

static bool print_member(void *context, const struct member *member)
{
    struct printer *printer = context;
    const struct value *of = printer->of;
    struct value value = value_at(of->address + member->offset, &member->type);
    value.field_bits = member->bits;
    value.field_shift = member->shift;
    if (!printer->first)
        buffer_printf(printer->out, ", ");
    if (member->name)
        buffer_printf(printer->out, "%s = ", member->name);
    printer->failed = print_value(printer, &value) < 0;
    printer->of = of;
    printer->first = false;
    return printer->failed;
}

static int print_struct(struct printer *printer, const struct value *value)
{
    buffer_put_u8(printer->out, '{');
    printer->of = value;
    printer->first = true;
    if (type_each_member(&value->type, print_member, printer))
        return -1;
    buffer_put_u8(printer->out, '}');
    return 0;
}

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
    size_t length = strnlen(text, size);
    value_quote(text, length, printer->out);
    if (length == size && count > size)
        buffer_printf(printer->out, "...");
    return 0;
}

static int print_elements(
    struct printer *printer, const struct value *value, const struct type *element, uint64_t count)
{
    struct buffer *out = printer->out, text = {0}, last = {0};
    uint64_t size = type_size(element), repeats = 0, shown = 0;
    int result = 0;
    buffer_put_u8(out, '{');
    for (uint64_t i = 0; i < count && result == 0; i++) {
        struct value one = value_at(value->address + i * size, element);
        buffer_clear(&text);
        printer->out = &text;
        result = print_value(printer, &one);
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
    buffer_put_u8(out, '}');
    buffer_free(&text);
    buffer_free(&last);
    return result;
}

static int print_array(struct printer *printer, const struct value *value)
{
    struct type element = type_target(&value->type);
    uint64_t count = type_elements(&value->type);
    if (!value->in_memory)
        return error_set(printer->error, "an array that is not in memory");
    if (type_size(&element) == 0)
        return error_set(printer->error, "an array of elements of unknown size");
    if (type_kind(&element) == TYPE_CHAR && (!printer->format || printer->format == 's'))
        return print_characters(printer, value, count);
    return print_elements(printer, value, &element, count);
}

static int print_value(struct printer *printer, const struct value *value)
{
    enum type_kind kind = type_kind(&value->type);
    int result;
    if (printer->depth == MAX_DEPTH) {
        buffer_printf(printer->out, "...");
        return 0;
    }
    if (kind == TYPE_FUNCTION) {
        buffer_put_u8(printer->out, '{');
        type_describe(&value->type, printer->out);
        buffer_printf(printer->out, "} ");
        value_format_number(printer->symbols, value->address, 8, 'a', printer->out);
        return 0;
    }
    printer->depth++;
    if (kind == TYPE_STRUCT) {
        result = value->in_memory ? print_struct(printer, value)
                                  : error_set(printer->error, "a struct that is not in memory");
    } else if (kind == TYPE_ARRAY) {
        result = print_array(printer, value);
    } else {
        printer->depth--;
        return print_scalar(printer, value, kind);
    }
    printer->depth--;
    return result;
}

int value_format(const struct view *view, const struct symbols *symbols, const struct value *value,
    char format, struct buffer *out, struct error *error)
{
    struct printer printer = {
        .view = view, .symbols = symbols, .out = out, .error = error, .format = format};
    return print_value(&printer, value);
}
