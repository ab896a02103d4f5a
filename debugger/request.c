/* Takes gdb's packets apart. */
#include "debugger/request.h"

#include <string.h>

/* Hexadecimal digits at *text, at most 16. */
static bool hex(const char **text, uint64_t *value)
{
    const char *start = *text;
    *value = 0;
    for (;; ++*text) {
        char c = **text;
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return *text > start;
        if (*text - start == 16)
            return false;
        *value = *value << 4 | digit;
    }
}

static bool character(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    ++*text;
    return true;
}

static void parse_breakpoint(const char *at, const char *end, struct request *request)
{
    char type = *at;
    request->kind = REQUEST_MALFORMED;
    if (type < '0' || type > '4')
        return;
    request->type = (unsigned)(type - '0');
    at++;
    if (!character(&at, ',') || !hex(&at, &request->address) || !character(&at, ',') ||
        !hex(&at, &request->length) || (*at != '\0' && *at != ';'))
        return;
    request->kind = REQUEST_OK;
    if (*at != ';')
        return;
    request->text = at + 1;
    request->text_size = (size_t)(end - at) - 1;
}

static void parse_memory(const char *at, struct request *request)
{
    bool good =
        hex(&at, &request->address) && character(&at, ',') && hex(&at, &request->length) && !*at;
    request->kind = good ? REQUEST_MEMORY : REQUEST_MALFORMED;
}

/* The first action counts: all threads run while one of them steps. */
static void parse_vcont(const char *at, struct request *request)
{
    const char *colon = strchr(at, ':'), *end = strchr(at[0] ? at + 1 : at, ';');
    if (colon && (!end || colon < end) && strncmp(colon, ":-", 2) != 0 &&
        (colon++, !hex(&colon, &request->number))) {
        request->kind = REQUEST_MALFORMED;
        return;
    }
    if (*at == '?')
        request->kind = REQUEST_VCONT_QUERY;
    else if (at[0] == ';' && (at[1] == 'c' || at[1] == 'C'))
        request->kind = REQUEST_CONTINUE;
    else if (at[0] == ';' && (at[1] == 's' || at[1] == 'S'))
        request->kind = REQUEST_STEP;
    else
        request->kind = REQUEST_MALFORMED;
}

static void parse_features(const char *at, struct request *request)
{
    const char *colon = strchr(at, ':');
    request->kind = REQUEST_MALFORMED;
    if (!colon)
        return;
    request->text = at;
    request->text_size = (size_t)(colon - at);
    at = colon + 1;
    if (hex(&at, &request->address) && character(&at, ',') && hex(&at, &request->length) && !*at)
        request->kind = REQUEST_FEATURES;
}

static bool starts(const char **at, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*at, prefix, length) != 0)
        return false;
    *at += length;
    return true;
}

static void parse_query(const char *at, size_t size, struct request *request)
{
    const char *start = at;
    if (starts(&at, "qSupported"))
        request->kind = REQUEST_SUPPORTED;
    else if (starts(&at, "QStartNoAckMode"))
        request->kind = REQUEST_NO_ACK;
    else if (starts(&at, "qXfer:features:read:"))
        return parse_features(at, request);
    else if (starts(&at, "qRcmd,"))
        request->kind = REQUEST_MONITOR;
    else if (starts(&at, "qfThreadInfo"))
        request->kind = REQUEST_THREADS_FIRST;
    else if (starts(&at, "qsThreadInfo"))
        request->kind = REQUEST_THREADS_NEXT;
    else if (starts(&at, "qThreadExtraInfo"))
        request->kind = character(&at, ',') && hex(&at, &request->number) ? REQUEST_THREAD_NAME
                                                                          : REQUEST_MALFORMED;
    else if (starts(&at, "qAttached"))
        request->kind = REQUEST_ATTACHED;
    else if (starts(&at, "qSymbol"))
        request->kind = REQUEST_OK;
    else if (starts(&at, "Qqemu.PhyMemMode:"))
        request->kind =
            hex(&at, &request->number) && !*at ? REQUEST_SET_PHYSICAL : REQUEST_MALFORMED;
    else if (strcmp(at, "qqemu.PhyMemMode") == 0)
        request->kind = REQUEST_IS_PHYSICAL;
    else if (strcmp(at, "qC") == 0)
        request->kind = REQUEST_THREAD;
    request->text = at;
    request->text_size = size - (size_t)(at - start);
}

void request_parse(const char *packet, size_t size, struct request *request)
{
    const char *at = packet + 1;
    *request = (struct request){.kind = REQUEST_UNKNOWN};
    switch (packet[0]) {
    case '?':
        request->kind = REQUEST_WHY;
        break;
    case 'H':
        if (*at == 'g' && strcmp(at + 1, "-1") != 0 && (at++, !hex(&at, &request->number) || *at))
            request->kind = REQUEST_MALFORMED;
        else
            request->kind = packet[1] == 'g' ? REQUEST_SELECT : REQUEST_OK;
        break;
    case 'T':
        request->kind = hex(&at, &request->number) && !*at ? REQUEST_ALIVE : REQUEST_MALFORMED;
        break;
    case 'g':
        request->kind = REQUEST_REGISTERS;
        break;
    case 'p':
        request->kind = hex(&at, &request->number) && !*at ? REQUEST_REGISTER : REQUEST_MALFORMED;
        break;
    case 'G':
    case 'P':
    case 'M':
    case 'X':
        request->kind = REQUEST_WRITE;
        break;
    case 'm':
        parse_memory(at, request);
        break;
    case 'Z':
    case 'z':
        parse_breakpoint(at, packet + size, request);
        if (request->kind != REQUEST_MALFORMED)
            request->kind = packet[0] == 'Z' ? REQUEST_INSERT : REQUEST_REMOVE;
        break;
    case 'c':
    case 'C':
        request->kind = REQUEST_CONTINUE;
        break;
    case 's':
    case 'S':
        request->kind = REQUEST_STEP;
        break;
    case 'b':
        request->kind = strcmp(at, "c") == 0   ? REQUEST_REVERSE_CONTINUE
                        : strcmp(at, "s") == 0 ? REQUEST_REVERSE_STEP
                                               : REQUEST_UNKNOWN;
        break;
    case 'v':
        if (starts(&at, "Cont"))
            parse_vcont(at, request);
        else if (starts(&at, "Kill"))
            request->kind = REQUEST_VKILL;
        break;
    case 'q':
    case 'Q':
        parse_query(packet, size, request);
        break;
    case 'D':
        request->kind = REQUEST_DETACH;
        break;
    case 'k':
        request->kind = REQUEST_KILL;
        break;
    default:
        break;
    }
}
