/* printf: C's conversions over the guest's values. */
#include "debugger/command.h"
#include "debugger/floats.h"
#include "debugger/printf.h"
#include "debugger/session.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SPECIFICATION = 16, MAX_STRING = 1000, MAX_FIELD = 512 };

struct formatter {
    struct debugger *debugger;
    const char *format;    /* inside the quotes */
    const char *arguments; /* past the quotes */
    struct buffer out;
};

/* The next argument, after its comma. */
static int take(struct formatter *formatter, struct value *value, struct error *error)
{
    struct expression_scope scope;
    const char *at = skip_spaces(formatter->arguments);
    if (*at != ',')
        return error_set(error,
            *at ? "printf: a comma is missing before '%.40s'"
                : "printf: too few arguments for the format%.0s",
            at);
    session_scope(formatter->debugger, &scope);
    formatter->arguments = at + 1;
    return expression_evaluate_part(&scope, &formatter->arguments, value, error);
}

static int put_string(struct formatter *formatter, const char *specification,
    const struct value *value, struct error *error)
{
    char text[MAX_STRING], field[MAX_STRING + 8];
    uint64_t address;
    const struct view *view = &formatter->debugger->view;
    if (value_scalar(view, value, &address, error) < 0)
        return -1;
    if (!view_read_string(view, address, text, sizeof text))
        return error_set(
            error, "printf: no string can be read at 0x%llx", (unsigned long long)address);
    char whole[MAX_SPECIFICATION + 4];
    snprintf(whole, sizeof whole, "%ss", specification);
    int size = snprintf(field, sizeof field, whole, text);
    buffer_put(&formatter->out, field,
        size < 0                   ? 0
        : size < (int)sizeof field ? (size_t)size
                                   : sizeof field - 1);
    return 0;
}

static int put_number(struct formatter *formatter, const char *specification, char conversion,
    const struct value *value, struct error *error)
{
    char whole[MAX_SPECIFICATION + 8], field[MAX_FIELD];
    const struct view *view = &formatter->debugger->view;
    uint64_t bits;
    long double number;
    int size;
    if (strchr("fgeFGE", conversion)) {
        if (floats_read(view, value, &number, error) < 0)
            return -1;
        snprintf(whole, sizeof whole, "%sL%c", specification, conversion);
        size = snprintf(field, sizeof field, whole, number);
    } else {
        if (floats_is(value)) {
            if (floats_read(view, value, &number, error) < 0)
                return -1;
            bits = floats_integer(number);
        } else if (value_scalar(view, value, &bits, error) < 0) {
            return -1;
        }
        if (conversion == 'p')
            snprintf(whole, sizeof whole, "0x%sllx", specification);
        else if (conversion == 'c')
            snprintf(whole, sizeof whole, "%sc", specification);
        else
            snprintf(whole, sizeof whole, "%sll%c", specification, conversion);
        size = conversion == 'c' ? snprintf(field, sizeof field, whole, (int)(unsigned char)bits)
                                 : snprintf(field, sizeof field, whole, (unsigned long long)bits);
    }
    buffer_put(&formatter->out, field,
        size < 0                   ? 0
        : size < (int)sizeof field ? (size_t)size
                                   : sizeof field - 1);
    return 0;
}

/* A narrower number has the bits of its own type alone. */
static void narrow(struct value *value, char conversion)
{
    if (strchr("xXou", conversion) && !value->in_memory && type_size(&value->type) == 4)
        value->bits = (uint32_t)value->bits;
}

/* "%-8.3lx": flags, width and precision are C's, the size is the value's. */
static int convert(struct formatter *formatter, struct error *error)
{
    char specification[MAX_SPECIFICATION] = "%";
    size_t length = 1;
    struct value value;
    const char *at = formatter->format + 1;
    while (*at && strchr("-+ #0123456789.", *at)) {
        if (length + 1 == sizeof specification)
            return error_set(error, "printf: '%.20s': too long a conversion", formatter->format);
        specification[length++] = *at++;
    }
    specification[length] = '\0';
    while (*at && strchr("hlLzjt", *at))
        at++;
    const char conversion = *at;
    formatter->format = at + (conversion != '\0');
    if (conversion == '%') {
        buffer_put_u8(&formatter->out, '%');
        return 0;
    }
    if (!conversion || !strchr("diuxXocspfgeFGE", conversion))
        return error_set(error, "printf: %%%c is no conversion: d i u x o c s p f g e", conversion);
    if (take(formatter, &value, error) < 0)
        return -1;
    if (conversion == 's')
        return put_string(formatter, specification, &value, error);
    if (conversion == 'p')
        specification[0] = '%';
    narrow(&value, conversion);
    return put_number(formatter, specification, conversion, &value, error);
}

static void put_escape(struct formatter *formatter)
{
    static const char letters[] = "abtnvfre", codes[] = "\a\b\t\n\v\f\r\033";
    const char *letter = strchr(letters, formatter->format[1]);
    char byte = formatter->format[1] && letter ? codes[letter - letters] : formatter->format[1];
    buffer_put_u8(&formatter->out, (uint8_t)byte);
    formatter->format += formatter->format[1] ? 2 : 1;
}

/* Past the closing quote; NULL when there is none. */
static const char *end_of_string(const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        else if (*text == '"')
            return text + 1;
    }
    return NULL;
}

static int format(struct formatter *formatter, const char *end, struct error *error)
{
    while (formatter->format < end) {
        if (*formatter->format == '%') {
            if (convert(formatter, error) < 0)
                return -1;
        } else if (*formatter->format == '\\') {
            put_escape(formatter);
        } else {
            buffer_put_u8(&formatter->out, (uint8_t)*formatter->format++);
        }
    }
    const char *rest = skip_spaces(formatter->arguments);
    return *rest ? error_set(error, "printf: more arguments than the format has: '%.40s'", rest)
                 : 0;
}

int printf_format(
    struct debugger *debugger, const char *arguments, struct buffer *out, struct error *error)
{
    const char *end = *arguments == '"' ? end_of_string(arguments + 1) : NULL;
    if (!end)
        return error_set(error, "printf: as in printf \"%%d\\n\", $rax");
    if (session_look(debugger, error) < 0)
        return -1;
    struct formatter formatter = {.debugger = debugger, .format = arguments + 1, .arguments = end};
    int result = format(&formatter, end - 1, error);
    if (result == 0)
        buffer_put(out, formatter.out.data, formatter.out.size);
    out->failed |= formatter.out.failed;
    buffer_free(&formatter.out);
    return result;
}

COMMAND(printf)
{
    struct buffer text = {0};
    int result = printf_format(debugger, arguments, &text, error);
    debugger->lost |= text.failed;
    if (result == 0)
        print_text(debugger, &text);
    buffer_free(&text);
    return result;
}

const struct command printf_commands[] = {
    {"Looking", "printf", "", command_printf, "\"FORMAT\"[, EXPRESSION]...",
        "Prints by C's conversions d i u x o c s p f g e; sizes are those of the values.",
        "printf \"rip is %#x\\n\", $rip", COMPLETE_SYMBOL, false},
    {0},
};
