/* Places in code ("function", "file.c:12") and in time ("1532.87", "50%"). */
#include "debugger/place.h"

#include <ctype.h>
#include <dwarf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/scopes.h"
#include "debugger/session.h"

void print_address(struct debugger *debugger, uint64_t address)
{
    struct buffer text = {0};
    value_format_number(&debugger->symbols, address, 8, 'a', &text);
    print_text(debugger, &text);
    buffer_free(&text);
}

/* ---- Code ---- */

/* Where the body of an inlined function begins, wherever it was inlined. */
static unsigned inlined_places(
    struct debugger *debugger, const char *name, uint64_t *addresses, unsigned max)
{
    unsigned count = 0;
    for (unsigned i = 0; i < debugger->symbols.module_count && count < max; i++) {
        struct module *module = debugger->symbols.modules[i];
        if (module->away || !module->dwarf)
            continue;
        unsigned all = index_inlined(module, name, addresses + count, max - count);
        for (unsigned end = all < max - count ? count + all : max; count < end; count++)
            addresses[count] += module->bias;
    }
    return count;
}

static int parse_line_number(const char *text, int *line)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number <= 0 || number > INT32_MAX)
        return -1;
    *line = (int)number;
    return 0;
}

static int place_of_line(struct debugger *debugger, const char *file, int line, uint64_t *addresses,
    unsigned max, unsigned *count, struct error *error)
{
    int found;
    unsigned all = symbols_line_addresses(&debugger->symbols, file, line, addresses, max, &found);
    if (all == 0)
        return error_set(
            error, "no code for line %d%s%s", line, file ? " of " : "", file ? file : " here");
    *count = all < max ? all : max;
    if (found != line)
        print(debugger, "Line %d has no code; line %d is the next that has.\n", line, found);
    return 0;
}

static int place_of_name(struct debugger *debugger, const char *name, uint64_t *addresses,
    unsigned max, unsigned *count, struct error *error)
{
    const struct symbol *symbol = symbols_find(&debugger->symbols, name);
    *count = 0;
    if (symbol && symbol->kind != SYMBOL_OBJECT)
        addresses[(*count)++] = symbols_after_prologue(&debugger->symbols, symbol->address);
    *count += inlined_places(debugger, name, addresses + *count, max - *count);
    if (*count)
        return 0;
    if (symbol)
        return error_set(error, "'%s' is data, not code: did you mean 'watch %s'?", name, name);
    if (symbols_count(&debugger->symbols) == 0)
        return error_set(error, "no symbols are loaded (see 'help add-symbol-file'); "
                                "'break *ADDRESS' needs none");
    return error_set(error, "no function '%s'", name);
}

int place_parse(struct debugger *debugger, const char *text, uint64_t *addresses, unsigned max,
    unsigned *count, struct error *error)
{
    struct source_line here;
    int line;
    if (session_look(debugger, error) < 0)
        return -1;
    *count = 1;
    if (*text == '*')
        return session_number(debugger, text + 1, addresses, error);
    if (!*text) {
        addresses[0] = debugger->frame.reg[DWARF_PC];
        return 0;
    }
    const char *colon = strrchr(text, ':');
    if (colon && parse_line_number(colon + 1, &line) == 0) {
        char file[512];
        snprintf(file, sizeof file, "%.*s", (int)(colon - text), text);
        return place_of_line(debugger, file, line, addresses, max, count, error);
    }
    if (parse_line_number(text, &line) == 0) {
        const char *file = debugger->list_file;
        if (!file && frame_line(&debugger->symbols, &debugger->frame, &here))
            file = here.file;
        if (!file)
            return error_set(error, "no current source file: give FILE:LINE");
        return place_of_line(debugger, file, line, addresses, max, count, error);
    }
    return place_of_name(debugger, text, addresses, max, count, error);
}

/* ---- Time ---- */

static bool digits(const char **text, uint64_t *number)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

int position_from_text(
    struct debugger *debugger, const char *text, struct position *position, struct error *error)
{
    uint64_t last = timeline_last_event(debugger->timeline);
    *position = (struct position){0, 0};
    for (unsigned i = 0; i < debugger->bookmark_count; i++) {
        if (strcmp(debugger->bookmarks[i].name, text) == 0) {
            *position = debugger->bookmarks[i].position;
            return 0;
        }
    }
    if (strcmp(text, "start") == 0)
        return 0;
    if (strcmp(text, "end") == 0) {
        *position = (struct position){UINT64_MAX, UINT64_MAX};
        return 0;
    }
    if (strcmp(text, ".") == 0) {
        *position = timeline_position(debugger->timeline);
        return 0;
    }
    const char *at = text;
    if (!digits(&at, &position->event))
        return error_set(error,
            "'%.60s' is not a position: 1532, 1532.87, start, end, 50%%, t=2.5s or a bookmark",
            text);
    if (strcmp(at, "%") == 0 && position->event <= 100) {
        position->event = last / 100 * position->event + last % 100 * position->event / 100;
        return 0;
    }
    if (*at == '.' && (at++, !digits(&at, &position->insn)))
        return error_set(error, "'%.60s': after the point comes a count of instructions", text);
    if (*at)
        return error_set(error,
            "'%.60s' is not a position: 1532, 1532.87, start, end, 50%%, t=2.5s or a bookmark",
            text);
    if (position->event > last)
        return error_set(error, "'%.60s' is past the end of the trace, event %" PRIu64, text, last);
    return 0;
}

/* ---- Disks ---- */

int place_parse_sectors(struct debugger *debugger, const char *text, uint64_t *sector,
    uint64_t *count, uint64_t *disk, struct error *error)
{
    char lba[128];
    const char *at = strchr(text, '@'), *comma = strchr(text, ',');
    size_t length = strcspn(text, ",@");
    *count = 1;
    *disk = 0;
    snprintf(lba, sizeof lba, "%.*s", (int)length, text);
    if (session_number(debugger, lba, sector, error) < 0 ||
        (at && session_number(debugger, at + 1, disk, error) < 0))
        return -1;
    if (comma && (!at || comma < at)) {
        snprintf(lba, sizeof lba, "%.*s", (int)strcspn(comma + 1, "@"), comma + 1);
        if (session_number(debugger, lba, count, error) < 0)
            return -1;
    }
    if (!trace_reader_setting(timeline_trace(debugger->timeline), "disk"))
        return error_set(error, "the recorded machine has no disk");
    if (*count == 0 || *disk > 63)
        return error_set(error, "sector:LBA[,COUNT][@DISK]: a count from 1 on, a disk from 0 on");
    return 0;
}
