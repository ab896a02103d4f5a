/* Sizes and times as people write them. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>

struct unit {
    const char *name;
    double factor;
};

/* A non-negative decimal number with one of the units, or none for the first. */
static bool parse_number(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return false;
    char *end;
    errno = 0;
    unsigned long long whole = strtoull(text, &end, 10);
    bool integral = errno == 0 && *end != '.' && end != text;
    double number = integral ? (double)whole : strtod(text, &end);
    if (end == text || !isfinite(number))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(end, units[i].name) != 0)
            continue;
        double scaled = number * units[i].factor;
        if (scaled >= 18446744073709551615.0)
            return false;
        *value = integral ? whole * (uint64_t)units[i].factor : (uint64_t)llround(scaled);
        return true;
    }
    return false;
}

int parse_size(const char *text, uint64_t *size, struct error *error)
{
    static const struct unit units[] = {{"", 1}, {"K", 1024}, {"M", 1048576}, {"G", 1073741824},
        {"T", 1099511627776}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
    if (!parse_number(text, units, sizeof units / sizeof units[0], size))
        return error_set(
            error, "'%s' is not a size: give bytes, or a number with K, M, G or T", text);
    return 0;
}

int parse_time(const char *text, uint64_t *ns, struct error *error)
{
    static const struct unit units[] = {
        {"", 1e9}, {"s", 1e9}, {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"m", 6e10}, {"h", 3.6e12}};
    if (!parse_number(text, units, sizeof units / sizeof units[0], ns))
        return error_set(error,
            "'%s' is not a time: give seconds, or a number with ns, us, ms, s, m or h", text);
    return 0;
}
