/* Reads injections from the command line. */
#include "cli/inject.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fork_injection *add(struct injections *injections, struct error *error)
{
    if (injections->count == FORK_INJECTIONS) {
        error_set(error, "at most %d", FORK_INJECTIONS);
        return NULL;
    }
    struct fork_injection *injection = &injections->list[injections->count++];
    *injection = (struct fork_injection){0};
    return injection;
}

/* The whole of `text` up to `end`. */
static int parse_number(const char *text, char end, uint64_t *number, struct error *error)
{
    char *stop;
    errno = 0;
    *number = strtoull(text, &stop, 0);
    if (errno || stop == text || *stop != end || *text == '-')
        return error_set(error, "a number is wanted");
    return 0;
}

int injections_add_event(struct injections *injections, const char *text, struct error *error)
{
    uint64_t vcpu = 0;
    struct fork_injection *injection = add(injections, error);
    if (!injection)
        return -1;
    if (strcmp(text, "break") == 0) {
        injection->kind = FORK_BREAK;
    } else if (strcmp(text, "nmi") == 0) {
        injection->kind = FORK_NMI;
    } else if (strncmp(text, "nmi:", 4) == 0) {
        if (parse_number(text + 4, '\0', &vcpu, error) < 0 || vcpu >= CONFIG_MAX_CPUS)
            return error_set(error, "nmi:VCPU, a number from 0 on");
        injection->kind = FORK_NMI;
        injection->number = (unsigned)vcpu;
    } else if (strncmp(text, "sysrq:", 6) == 0 && text[6] && !text[7]) {
        injection->kind = FORK_BREAK;
        struct fork_injection *key = add(injections, error);
        if (!key)
            return -1;
        key->kind = FORK_KEY;
        key->key = (uint8_t)text[6];
    } else {
        return error_set(error, "nmi, nmi:VCPU, break or sysrq:KEY");
    }
    return 0;
}

int injections_add_register(struct injections *injections, const char *text, struct error *error)
{
    const char *equals = strchr(text, '=');
    struct fork_injection *injection = add(injections, error);
    if (!injection)
        return -1;
    injection->kind = FORK_REGISTER;
    for (unsigned i = 0; equals && inject_register_name(i); i++) {
        const char *name = inject_register_name(i);
        if (strlen(name) != (size_t)(equals - text) || strncmp(name, text, strlen(name)) != 0)
            continue;
        injection->number = i;
        return parse_number(equals + 1, '\0', &injection->value, error);
    }
    return error_set(error, "REGISTER=VALUE, of rax to r15, rip and rflags");
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int injections_add_memory(struct injections *injections, const char *text, struct error *error)
{
    const char *equals = strchr(text, '=');
    struct fork_injection *injection = add(injections, error);
    if (!injection)
        return -1;
    injection->kind = FORK_MEMORY;
    injection->physical = strncmp(text, "phys:", 5) == 0;
    if (!equals ||
        parse_number(injection->physical ? text + 5 : text, '=', &injection->address, error) < 0)
        return error_set(error, "ADDRESS=BYTES or phys:ADDRESS=BYTES");
    for (const char *at = equals + 1; *at; at++) {
        if (isspace((unsigned char)*at))
            continue;
        if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]))
            return error_set(error, "bytes are pairs of hexadecimal digits: '%.20s'", at);
        if (injection->size == INJECT_BYTES)
            return error_set(error, "at most %d bytes", INJECT_BYTES);
        injection->bytes[injection->size++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
        at++;
    }
    return injection->size ? 0 : error_set(error, "no bytes are given");
}
