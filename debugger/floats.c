/* Floats and vectors of the guest, computed with on the host's own. */
#include "debugger/floats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { VECTOR_BYTES = 16, EXTENDED_BYTES = 10 };

bool floats_is(const struct value *value)
{
    return type_kind(&value->type) == TYPE_FLOAT;
}

static long double from_bytes(const uint8_t *bytes, unsigned size)
{
    float single;
    double number;
    long double extended = 0;
    if (size == 4) {
        memcpy(&single, bytes, sizeof single);
        return (long double)single;
    }
    if (size == 8) {
        memcpy(&number, bytes, sizeof number);
        return (long double)number;
    }
    memcpy(&extended, bytes, EXTENDED_BYTES);
    return extended;
}

int floats_read(
    const struct view *view, const struct value *value, long double *number, struct error *error)
{
    uint8_t bytes[VECTOR_BYTES] = {0};
    uint64_t bits;
    unsigned size = (unsigned)type_size(&value->type);
    if (!floats_is(value)) {
        if (value_scalar(view, value, &bits, error) < 0)
            return -1;
        *number = type_is_signed(&value->type) ? (long double)(int64_t)bits : (long double)bits;
        return 0;
    }
    if (size != 4 && size != 8 && size != VECTOR_BYTES)
        return error_set(error, "a float of %u bytes is not known", size);
    memcpy(bytes, &value->bits, 8);
    memcpy(bytes + 8, &value->high, 8);
    if (value->in_memory && !view_read(view, value->address, bytes, size))
        return error_set(error, "cannot read memory at 0x%" PRIx64 ": not mapped", value->address);
    *number = from_bytes(bytes, size);
    return 0;
}

struct value floats_convert(long double number, const struct type *type)
{
    struct value value = value_number(0, type);
    float single = (float)number;
    double wide = (double)number;
    switch (type_size(type)) {
    case 4:
        memcpy(&value.bits, &single, sizeof single);
        break;
    case 8:
        memcpy(&value.bits, &wide, sizeof wide);
        break;
    default:
        memcpy(&value.bits, &number, 8);
        memcpy(&value.high, (const uint8_t *)&number + 8, EXTENDED_BYTES - 8);
        break;
    }
    return value;
}

struct value floats_value(double number)
{
    struct type type = type_builtin(TYPE_FLOAT, 8);
    return floats_convert((long double)number, &type);
}

uint64_t floats_integer(long double number)
{
    if (number >= -0x1p63L && number < 0x1p63L)
        return (uint64_t)(int64_t)number;
    return number >= 0 && number < 0x1p64L ? (uint64_t)number : 0;
}

void floats_put(long double number, unsigned size, struct buffer *out)
{
    buffer_printf(out, "%.*Lg", size == 4 ? 9 : size == 8 ? 17 : 21, number);
}

/* ---- Registers ---- */

bool floats_register(const struct view *view, const char *name, struct value *value)
{
    unsigned number;
    char rest;
    struct type type;
    const uint8_t *bytes;
    if (sscanf(name, "xmm%u%c", &number, &rest) == 1 && number < 16) {
        type = type_builtin(TYPE_VECTOR, VECTOR_BYTES);
        bytes = (const uint8_t *)&view->state.fpu.xmm[number];
    } else if (sscanf(name, "st%u%c", &number, &rest) == 1 && number < 8) {
        type = type_builtin(TYPE_FLOAT, VECTOR_BYTES);
        bytes = (const uint8_t *)&view->state.fpu.st[number];
    } else {
        return false;
    }
    *value = value_number(0, &type);
    memcpy(&value->bits, bytes, 8);
    memcpy(&value->high, bytes + 8, type.builtin == TYPE_VECTOR ? 8 : 2);
    return true;
}

struct lane {
    const char *name;
    enum type_kind kind;
    unsigned size;
};

static const struct lane lanes[] = {
    {"v4_float", TYPE_FLOAT, 4},
    {"v2_double", TYPE_FLOAT, 8},
    {"v16_int8", TYPE_SIGNED, 1},
    {"v8_int16", TYPE_SIGNED, 2},
    {"v4_int32", TYPE_SIGNED, 4},
    {"v2_int64", TYPE_SIGNED, 8},
};

enum { LANES = sizeof lanes / sizeof lanes[0] };

bool vector_member(const struct value *vector, const char *name, struct value *member)
{
    *member = *vector;
    if (strcmp(name, "uint128") == 0)
        return true;
    for (unsigned i = 0; i < LANES; i++) {
        if (strcmp(lanes[i].name, name) != 0)
            continue;
        member->type = type_builtin(lanes[i].kind, lanes[i].size);
        member->type.repeat = VECTOR_BYTES / lanes[i].size;
        return true;
    }
    return false;
}

bool vector_is_array(const struct value *value)
{
    return !value->in_memory && value->type.repeat && !value->type.has_die;
}

int vector_element(
    const struct value *array, uint64_t index, struct value *element, struct error *error)
{
    struct type type = type_target(&array->type);
    uint64_t count = type_elements(&array->type), size = type_size(&type);
    uint8_t bytes[VECTOR_BYTES];
    if (index >= count)
        return error_set(error, "no element %" PRIu64 ": there are %" PRIu64, index, count);
    memcpy(bytes, &array->bits, 8);
    memcpy(bytes + 8, &array->high, 8);
    *element = value_number(0, &type);
    memcpy(&element->bits, bytes + index * size, size);
    return 0;
}

static void put_lane(
    const struct symbols *symbols, const struct value *array, char format, struct buffer *out)
{
    uint64_t count = type_elements(&array->type);
    unsigned size = VECTOR_BYTES / (unsigned)count;
    bool is_float = array->type.builtin == TYPE_FLOAT;
    buffer_put_u8(out, '{');
    for (uint64_t i = 0; i < count; i++) {
        struct value element;
        struct error ignored;
        if (vector_element(array, i, &element, &ignored) < 0)
            break;
        buffer_printf(out, "%s", i ? ", " : "");
        value_format_number(symbols, element.bits, size,
            format     ? format
            : is_float ? 'f'
                       : 'd',
            out);
    }
    buffer_put_u8(out, '}');
}

static void put_decimal(unsigned __int128 number, struct buffer *out)
{
    char digits[40];
    unsigned count = sizeof digits;
    do {
        digits[--count] = (char)('0' + (unsigned)(number % 10));
        number /= 10;
    } while (number);
    buffer_put(out, digits + count, sizeof digits - count);
}

static void put_hexadecimal(const struct value *value, struct buffer *out)
{
    if (value->high)
        buffer_printf(out, "0x%" PRIx64 "%016" PRIx64, value->high, value->bits);
    else
        buffer_printf(out, "0x%" PRIx64, value->bits);
}

void vector_put(
    const struct symbols *symbols, const struct value *value, char format, struct buffer *out)
{
    struct value member;
    if (vector_is_array(value))
        return put_lane(symbols, value, format, out);
    buffer_put_u8(out, '{');
    for (unsigned i = 0; i < LANES; i++) {
        vector_member(value, lanes[i].name, &member);
        buffer_printf(out, "%s = ", lanes[i].name);
        put_lane(symbols, &member, format, out);
        buffer_printf(out, ", ");
    }
    buffer_printf(out, "uint128 = ");
    if (format == 'x')
        put_hexadecimal(value, out);
    else
        put_decimal((unsigned __int128)value->high << 64 | value->bits, out);
    buffer_put_u8(out, '}');
}
