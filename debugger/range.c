/* Understands ranges of memory. */
#include "debugger/range.h"

#include <string.h>

#include "debugger/session.h"

/* Is it the place of what is in memory, or a number that is an address? */
static bool is_place(const struct value *value, bool physical)
{
    return value->in_memory && !physical && type_kind(&value->type) != TYPE_POINTER;
}

int range_parse(struct debugger *debugger, const char *text, uint64_t physical_size,
    struct access_range *range, struct error *error)
{
    struct expression_scope scope;
    struct value value;
    const char *at = text;
    if (session_look(debugger, error) < 0)
        return -1;
    range->physical = strncmp(text, "phys:", 5) == 0;
    at += range->physical ? 5 : 0;
    session_scope(debugger, &scope);
    if (expression_evaluate_part(&scope, &at, &value, error) < 0)
        return -1;
    at = skip_spaces(at);
    range->address = value.address;
    range->length = type_size(&value.type);
    bool takes_number = *at == ',' ? !is_place(&value, range->physical) : range->physical;
    if (takes_number && value_scalar(&debugger->view, &value, &range->address, error) < 0)
        return -1;
    if (*at == ',') {
        if (session_number(debugger, skip_spaces(at + 1), &range->length, error) < 0)
            return -1;
    } else if (*at) {
        return error_set(error, "'%.40s' is not understood", at);
    } else if (range->physical && physical_size) {
        range->length = physical_size;
    } else if (!value.in_memory || range->physical) {
        return error_set(
            error, "'%.60s' is no variable: give ADDRESS,SIZE or *(TYPE *)ADDRESS", text);
    }
    if (range->length == 0 || range->length > ~range->address)
        return error_set(error, "'%.60s' has no bytes to look at", text);
    return 0;
}
