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

/* What is at a name: each address once, `max` of them. */
struct found {
    uint64_t *addresses;
    unsigned count, max;
    bool entries; /* of functions; else where their bodies begin */
};

static void add_found(struct found *found, uint64_t address)
{
    for (unsigned i = 0; i < found->count; i++) {
        if (found->addresses[i] == address)
            return;
    }
    if (found->count < found->max)
        found->addresses[found->count++] = address;
}

/* What the compiler makes of a function beside or instead of it: NAME.constprop.0,
 * NAME.isra.0.part.1; `cold` for the parts moved out of the way, which are never called. */
static bool is_clone(const char *symbol, const char *name, bool cold)
{
    static const char *const suffixes[] = {".constprop.", ".isra.", ".part."};
    const size_t length = strlen(name);
    if (strncmp(symbol, name, length) != 0 || symbol[length] != '.')
        return false;
    bool is_cold = strstr(symbol + length, ".cold") != NULL;
    if (is_cold || cold)
        return is_cold && cold;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (strncmp(symbol + length, suffixes[i], strlen(suffixes[i])) == 0)
            return true;
    }
    return false;
}

static void add_function_at(const struct symbols *symbols, uint64_t address, struct found *found)
{
    add_found(found, found->entries ? address : symbols_after_prologue(symbols, address));
}

/* The functions of that name, which files may each have their own, and their clones; of one module
 * where `only` is not NULL, its symbol, and of every program. */
static void add_functions(const struct symbols *symbols, const char *name,
    const struct symbol *only, bool cold, struct found *found)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *module = symbols->modules[i];
        bool is_other = only && (only < module->list || only >= module->list + module->count);
        if (module->away || (is_other && module->kind != MODULE_PROCESS))
            continue;
        for (size_t j = 0; j < module->count; j++) {
            const struct symbol *symbol = &module->list[j];
            if (*symbol->name == *name && symbol->is_code &&
                (strcmp(symbol->name, name) == 0 || is_clone(symbol->name, name, cold)))
                add_function_at(symbols, symbol->address, found);
        }
    }
}

struct function_search {
    const struct symbols *symbols;
    struct found *found;
};

static void add_function(void *context, const struct symbol *symbol)
{
    const struct function_search *search = context;
    if (symbol->is_code)
        add_function_at(search->symbols, symbol->address, search->found);
}

static int place_of_name(struct debugger *debugger, const char *name, uint64_t *addresses,
    unsigned max, unsigned *count, struct error *error)
{
    const struct symbols *symbols = &debugger->symbols;
    const struct symbol *symbol = symbols_find(symbols, name);
    struct found found = {.addresses = addresses, .max = max};
    struct function_search search = {symbols, &found};
    bool is_data = symbol && !symbol->is_code;
    symbols_each_function(symbols, name, add_function, &search);
    if (!is_data)
        add_functions(symbols, name, symbol, false, &found);
    uint64_t inlined[MAX_POINT_ADDRESSES];
    unsigned places = inlined_places(debugger, name, inlined, MAX_POINT_ADDRESSES);
    for (unsigned i = 0; i < places; i++)
        add_found(&found, inlined[i]);
    if (found.count == 0 && !is_data)
        add_functions(symbols, name, NULL, true, &found);
    *count = found.count;
    if (*count)
        return 0;
    if (is_data)
        return error_set(error, "'%s' is data, not code: did you mean 'watch %s'?", name, name);
    if (symbols_count(symbols) == 0)
        return error_set(error, "no symbols are loaded (see 'help add-symbol-file'); "
                                "'break *ADDRESS' needs none");
    return error_set(error, "no function '%s'", name);
}

unsigned place_functions(
    struct debugger *debugger, const char *name, uint64_t *entries, unsigned max)
{
    const struct symbols *symbols = &debugger->symbols;
    const struct symbol *symbol = symbols_find(symbols, name);
    struct found found = {.addresses = entries, .max = max, .entries = true};
    struct function_search search = {symbols, &found};
    symbols_each_function(symbols, name, add_function, &search);
    if (!symbol || symbol->is_code)
        add_functions(symbols, name, symbol, false, &found);
    return found.count;
}

/* "12", "+2" and "-2" are about the file at hand, and the last two count from the line where the
 * selected frame stands. False: `text` is no such thing. */
static bool parse_bare_line(
    struct debugger *debugger, const char *text, const char **file, int *line)
{
    struct source_line here;
    const bool is_offset = *text == '+' || *text == '-';
    bool known = frame_line(&debugger->symbols, &debugger->frame, &here);
    if (parse_line_number(text + is_offset, line) < 0)
        return false;
    *file = debugger->list_file && !is_offset ? debugger->list_file : known ? here.file : NULL;
    if (is_offset && known)
        *line = *text == '-'                     ? here.line - *line
                : here.line <= INT32_MAX - *line ? here.line + *line
                                                 : 0;
    return true;
}

bool place_name_line(struct debugger *debugger, const char *text, char *name, size_t size)
{
    const char *file;
    int line;
    return session_look(debugger, NULL) == 0 && parse_bare_line(debugger, text, &file, &line) &&
           file && (size_t)snprintf(name, size, "%s:%d", file, line) < size;
}

int place_parse(struct debugger *debugger, const char *text, uint64_t *addresses, unsigned max,
    unsigned *count, struct error *error)
{
    const char *bare;
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
    if (parse_bare_line(debugger, text, &bare, &line)) {
        if (!bare)
            return error_set(error, "no current source file: give FILE:LINE");
        if (line <= 0)
            return error_set(error, "'%s' from here: there is no such line", text);
        return place_of_line(debugger, bare, line, addresses, max, count, error);
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

bool position_is_share(const char *text, unsigned *percent)
{
    uint64_t number;
    if (!digits(&text, &number) || strcmp(text, "%") != 0 || number > 100)
        return false;
    *percent = (unsigned)number;
    return true;
}

/* How many instructions there are is known at the end only. */
static int count_instructions(
    struct debugger *debugger, struct timeline_stop *stop, struct error *error)
{
    *stop = (struct timeline_stop){.why = TIMELINE_DONE};
    if (debugger->instructions)
        return 0;
    if (timeline_seek(debugger->timeline, POSITION_END, stop, error) < 0)
        return -1;
    if (stop->why != TIMELINE_INTERRUPTED)
        debugger->instructions = timeline_retired(debugger->timeline);
    return 0;
}

int position_seek_share(
    struct debugger *debugger, unsigned percent, struct timeline_stop *stop, struct error *error)
{
    if (percent == 100)
        return timeline_seek(debugger->timeline, POSITION_END, stop, error);
    if (count_instructions(debugger, stop, error) < 0)
        return -1;
    const uint64_t all = debugger->instructions;
    if (stop->why == TIMELINE_INTERRUPTED)
        return 0;
    return timeline_seek_retired(
        debugger->timeline, all / 100 * percent + all % 100 * percent / 100, stop, error);
}

/* Goes there to see which position it is, and comes back. */
static int position_of_share(
    struct debugger *debugger, unsigned percent, struct position *position, struct error *error)
{
    const struct position here = timeline_position(debugger->timeline);
    struct timeline_stop stop, back;
    int result = position_seek_share(debugger, percent, &stop, error);
    *position = timeline_position(debugger->timeline);
    if (result == 0 && stop.why == TIMELINE_INTERRUPTED)
        result = error_set(error, "interrupted");
    debugger_moved(debugger);
    return timeline_seek(debugger->timeline, here, &back, result < 0 ? NULL : error) < 0 ? -1
                                                                                         : result;
}

int position_from_text(
    struct debugger *debugger, const char *text, struct position *position, struct error *error)
{
    uint64_t last = timeline_last_event(debugger->timeline);
    unsigned percent;
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
    if (position_is_share(text, &percent))
        return position_of_share(debugger, percent, position, error);
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
    const unsigned disks = timeline_machine(debugger->timeline)->config->disk_count;
    if (disks == 0)
        return error_set(error, "the recorded machine has no disk");
    if (*count == 0)
        return error_set(error, "sector:LBA[,COUNT][@DISK]: a count from 1 on");
    if (*disk >= disks)
        return error_set(error,
            "the recorded machine has no disk %" PRIu64 ": it has %u, numbered from 0", *disk,
            disks);
    return 0;
}
