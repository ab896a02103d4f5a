/*
 * Floating point and SSE registers: their values, and arithmetic as the host does it. Numbers of 10
 * bytes are the x87's extended ones (SDM volume 1, section 4.2.2); in values their low 8 bytes are
 * `bits` and the rest is `high`.
 */
#ifndef DEBUGGER_FLOATS_H
#define DEBUGGER_FLOATS_H

#include "debugger/value.h"

bool floats_is(const struct value *value);
/* The number of a float, or of an integer as one. */
int floats_read(
    const struct view *view, const struct value *value, long double *number, struct error *error);
struct value floats_value(double number);
/* As a float of the type's size. */
struct value floats_convert(long double number, const struct type *type);
/* Cut to an integer; what fits none is 0. */
uint64_t floats_integer(long double number);
void floats_put(long double number, unsigned size, struct buffer *out);

/* $st0 to $st7 and $xmm0 to $xmm15; false for any other name. */
bool floats_register(const struct view *view, const char *name, struct value *value);
/* Of an SSE register: "v4_float", "v2_int64", ... as gdb has them: an array. */
bool vector_member(const struct value *vector, const char *name, struct value *member);
/* Of such an array. */
int vector_element(
    const struct value *array, uint64_t index, struct value *element, struct error *error);
/* Is the value an array out of an SSE register? */
bool vector_is_array(const struct value *value);
void vector_put(
    const struct symbols *symbols, const struct value *value, char format, struct buffer *out);

#endif
