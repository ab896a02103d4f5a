/* Searching memory, and comparing the machine at two positions. */
#include "debugger/command.h"
#include "debugger/session.h"
#include "debugger/table.h"
#include "replay/ever.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERN = 256, MAX_MATCHES = 100, MAX_PAGES_SHOWN = 200 };

/* ---- find ---- */

static bool hex_byte(const char *text, uint8_t *byte)
{
    if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
        return false;
    const char pair[] = {text[0], text[1], '\0'};
    *byte = (uint8_t)strtoul(pair, NULL, 16);
    return true;
}

/* "text" or hexadecimal bytes at *text. */
static int parse_pattern(const char **text, uint8_t *pattern, size_t *size, struct error *error)
{
    const char *at = *text;
    *size = 0;
    if (*at == '"') {
        const char *end = strchr(at + 1, '"');
        if (!end || end == at + 1 || end - at - 1 > MAX_PATTERN)
            return error_set(error, "find: a text in quotes of 1 to %d characters", MAX_PATTERN);
        *size = (size_t)(end - at - 1);
        memcpy(pattern, at + 1, *size);
        *text = skip_spaces(end + 1);
        return 0;
    }
    while (*at && *at != '-' && *size < MAX_PATTERN && strncmp(at, "in ", 3) != 0) {
        if (!hex_byte(at, &pattern[*size]))
            return error_set(error, "find: '%.20s' is not a hexadecimal byte such as de", at);
        ++*size;
        at = skip_spaces(at + 2);
    }
    if (*size == 0)
        return error_set(error, "find: give bytes or a text, as in: find de ad be ef");
    *text = at;
    return 0;
}

static unsigned find_in(struct debugger *debugger, const uint8_t *data, uint64_t size,
    uint64_t address, const uint8_t *pattern, size_t length, unsigned found)
{
    if (size == 0)
        return found;
    const uint8_t *at = data, *end = data + size;
    while (found < MAX_MATCHES && (at = memmem(at, (size_t)(end - at), pattern, length))) {
        print_address(debugger, address + (uint64_t)(at - data));
        print(debugger, "\n");
        at++;
        found++;
    }
    return found;
}

static int find_linear(struct debugger *debugger, const char *text, const uint8_t *pattern,
    size_t length, unsigned *found, struct error *error)
{
    uint64_t start, size;
    struct expression_scope scope;
    struct value value;
    session_scope(debugger, &scope);
    if (expression_evaluate_part(&scope, &text, &value, error) < 0 ||
        value_scalar(&debugger->view, &value, &start, error) < 0)
        return -1;
    text = skip_spaces(text);
    if (*text == ',')
        text++;
    if (session_number(debugger, text, &size, error) < 0)
        return -1;
    if (size > 1 << 30)
        return error_set(error, "find: at most 1 GiB of linear addresses");
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return error_set(error, "out of memory");
    bool readable = view_read(&debugger->view, start, data, size);
    if (readable)
        *found = find_in(debugger, data, size, start, pattern, length, 0);
    free(data);
    return readable ? 0
                    : error_set(error, "0x%" PRIx64 " and %" PRIu64 " bytes on: not all mapped",
                          start, size);
}

/* ---- find -ever ---- */

/* The instruction at a place, or what is delivered there. */
static int show_change(struct debugger *debugger, const char *what,
    const struct ever_change *change, struct error *error)
{
    struct timeline_stop stop;
    struct instruction instruction;
    int status = timeline_seek_delivered(
        debugger->timeline, change->position, change->delivered, &stop, error);
    debugger_moved(debugger);
    if (status < 0 || session_look(debugger, error) < 0)
        return -1;
    uint64_t pc = view_pc(&debugger->view);
    print(debugger, "%s at phys:0x%" PRIx64 ", by what follows %" PRIu64 ".%" PRIu64 ":\n  ", what,
        change->gpa, change->position.event, change->position.insn);
    print_address(debugger, pc);
    if (disassemble(&debugger->view, NULL, debugger->syntax, pc, &instruction))
        print(debugger, ":  %s", instruction.text);
    print(debugger, "\n");
    return 0;
}

static int report_ever(struct debugger *debugger, const struct ever *ever, struct error *error)
{
    if (!ever->found) {
        print(debugger, "It stood nowhere at any of the %" PRIu64 " looks.\n", ever->looks);
        return 0;
    }
    if (ever->from_start)
        print(debugger, "It stood at phys:0x%" PRIx64 " from the start.\n", ever->first.gpa);
    else if (show_change(debugger, "First", &ever->first, error) < 0)
        return -1;
    if (ever->to_end)
        print(debugger, "It stands there, or elsewhere, at the end.\n");
    else
        return show_change(debugger, "Gone, last", &ever->last, error);
    return 0;
}

/* A row for where it first stood, and one for where it last did; none when it stood nowhere. */
static void report_ever_as_rows(struct debugger *debugger, const struct ever *ever)
{
    enum { WHAT, POSITION, ADDRESS, COLUMNS };
    static const struct column columns[COLUMNS] = {
        {"what", COLUMN_TEXT}, {"position", COLUMN_POSITION}, {"phys", COLUMN_ADDRESS}};
    const struct {
        const char *what;
        const struct ever_change *change; /* NULL: it is no change */
    } rows[2] = {
        {ever->from_start ? "from the start" : "first", ever->from_start ? NULL : &ever->first},
        {ever->to_end ? "to the end" : "gone", ever->to_end ? NULL : &ever->last},
    };
    struct table table;
    struct buffer text = {0};
    table_begin(&table, columns, COLUMNS);
    for (unsigned i = 0; i < 2 && ever->found; i++) {
        uint64_t row = table_add(&table);
        table_set_text(&table, row, WHAT, rows[i].what);
        if (rows[i].change) {
            table_set_position(&table, row, POSITION, rows[i].change->position);
            table_set_number(&table, row, ADDRESS, rows[i].change->gpa);
        }
    }
    table_print_json(&table, &text);
    print_text(debugger, &text);
    buffer_free(&text);
    table_free(&table);
}

static int find_ever(struct debugger *debugger, const uint8_t *pattern, size_t length, bool json,
    struct error *error)
{
    const struct position here = timeline_position(debugger->timeline);
    const uint64_t delivered = timeline_delivered(debugger->timeline);
    struct timeline_stop stop;
    struct ever ever;
    struct error ignored;
    int status = ever_find(debugger->timeline, pattern, length, &ever, &stop, error);
    debugger_moved(debugger);
    if (status == 0 && stop.why == TIMELINE_INTERRUPTED)
        print(debugger, "Interrupted.\n");
    else if (status == 0 && json)
        report_ever_as_rows(debugger, &ever);
    else if (status == 0)
        status = report_ever(debugger, &ever, error);
    if (timeline_seek_delivered(
            debugger->timeline, here, delivered, &stop, status < 0 ? &ignored : error) < 0)
        return -1;
    debugger_moved(debugger);
    return status;
}

COMMAND(find)
{
    uint8_t pattern[MAX_PATTERN];
    size_t length;
    unsigned found = 0;
    if (parse_pattern(&arguments, pattern, &length, error) < 0 || session_look(debugger, error) < 0)
        return -1;
    bool json = strcmp(arguments, "-ever -json") == 0;
    if (json || strcmp(arguments, "-ever") == 0)
        return find_ever(debugger, pattern, length, json, error);
    if (strncmp(arguments, "in ", 3) == 0) {
        if (find_linear(debugger, skip_spaces(arguments + 3), pattern, length, &found, error) < 0)
            return -1;
    } else if (*arguments) {
        return error_set(
            error, "find: '%s' is not understood; 'in START, SIZE' or -ever may follow", arguments);
    } else {
        const struct memory *memory = debugger->view.memory;
        print(debugger, "Physical addresses:\n");
        for (unsigned i = 0; i < 2; i++)
            found = find_in(debugger, memory->region[i].host, memory->region[i].size,
                memory->region[i].gpa, pattern, length, found);
    }
    print(debugger, "%u match%s%s\n", found, found == 1 ? "" : "es",
        found == MAX_MATCHES ? ", and perhaps more" : "");
    return 0;
}

/* ---- diff ---- */

struct other {
    struct vcpu_state state;
    uint8_t *ram;
};

static uint64_t gpa_of(const struct memory *memory, uint64_t offset)
{
    return offset < memory->region[0].size
               ? memory->region[0].gpa + offset
               : memory->region[1].gpa + offset - memory->region[0].size;
}

static void compare_pages(struct debugger *debugger, const struct other *other)
{
    const struct memory *memory = debugger->view.memory;
    uint64_t pages = 0, bytes = 0;
    for (uint64_t page = 0; page < memory->size; page += PAGE_SIZE) {
        const uint8_t *now = memory->host + page, *then = other->ram + page;
        uint64_t first = PAGE_SIZE, count = 0;
        if (memcmp(now, then, PAGE_SIZE) == 0)
            continue;
        for (uint64_t i = 0; i < PAGE_SIZE; i++) {
            if (now[i] == then[i])
                continue;
            first = first == PAGE_SIZE ? i : first;
            count++;
        }
        pages++;
        bytes += count;
        if (pages <= MAX_PAGES_SHOWN)
            print(debugger,
                "page 0x%09" PRIx64 ": %4" PRIu64 " bytes differ, first at 0x%" PRIx64
                ": %02x  %02x\n",
                gpa_of(memory, page), count, gpa_of(memory, page + first), then[first], now[first]);
    }
    print(debugger, "%" PRIu64 " pages and %" PRIu64 " bytes of memory differ%s\n", pages, bytes,
        pages > MAX_PAGES_SHOWN ? " (not all pages are shown)" : "");
}

static int seek_and_look(struct debugger *debugger, struct position position, struct error *error)
{
    struct timeline_stop stop;
    int status = timeline_seek(debugger->timeline, position, &stop, error);
    debugger_moved(debugger);
    if (status == 0 && stop.why == TIMELINE_INTERRUPTED)
        return error_set(error, "interrupted on the way");
    return status < 0 ? -1 : session_look(debugger, error);
}

static int compare_positions(struct debugger *debugger, struct position first,
    struct position second, struct other *other, struct error *error)
{
    struct buffer text = {0};
    if (seek_and_look(debugger, first, error) < 0)
        return -1;
    other->state = debugger->view.state;
    memcpy(other->ram, debugger->view.memory->host, debugger->view.memory->size);
    if (seek_and_look(debugger, second, error) < 0)
        return -1;
    unsigned registers = vcpu_compare(&other->state, &debugger->view.state, &text);
    print_text(debugger, &text);
    print(debugger, "%u registers differ\n", registers);
    buffer_free(&text);
    compare_pages(debugger, other);
    return 0;
}

COMMAND(diff)
{
    char first_text[64], second_text[64];
    struct position first, second, here = timeline_position(debugger->timeline);
    struct other other;
    struct error ignored;
    if (!next_word(&arguments, first_text, sizeof first_text) ||
        position_from_text(debugger, first_text, &first, error) < 0)
        return *first_text ? -1 : error_set(error, "diff: give one or two positions");
    second = here;
    if (next_word(&arguments, second_text, sizeof second_text) &&
        position_from_text(debugger, second_text, &second, error) < 0)
        return -1;
    if (session_look(debugger, error) < 0)
        return -1;
    other.ram = malloc(debugger->view.memory->size);
    if (!other.ram)
        return error_set(error, "diff: no memory for a second copy of the guest's");
    int status = compare_positions(debugger, first, second, &other, error);
    free(other.ram);
    /* Back to where it was, whatever happened. */
    if (seek_and_look(debugger, here, status < 0 ? &ignored : error) < 0)
        return -1;
    return status;
}

const struct command compare_commands[] = {
    {"Places in time", "diff", "", command_diff, "POSITION [POSITION]",
        "Compares registers and memory at two positions, or at one and here.", "diff 100 200",
        COMPLETE_NONE, false},
    {"Looking", "find", "", command_find, "BYTES|\"TEXT\" [in START, SIZE | -ever [-json]]",
        "Searches memory, all of physical memory unless told where. With -ever tells when in the "
        "whole run the bytes first and last stood anywhere in it.",
        "find \"panic\"", COMPLETE_NONE, false},
    {0},
};
