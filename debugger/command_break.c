/* Breakpoints, watchpoints, catchpoints, and what is done to them. */
#include "debugger/command.h"
#include "debugger/running.h"
#include "debugger/processes.h"
#include "debugger/session.h"
#include "debugger/threads.h"
#include "debugger/source.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/event.h"

static struct point *new_point(
    struct debugger *debugger, enum point_kind kind, const char *text, struct error *error)
{
    if (debugger->point_count == MAX_POINTS) {
        error_set(error, "at most %d breakpoints and watchpoints: delete some", MAX_POINTS);
        return NULL;
    }
    struct point *point = &debugger->points[debugger->point_count];
    *point = (struct point){.kind = kind, .enabled = true, .text = strdup(text)};
    if (!point->text) {
        error_set(error, "out of memory");
        return NULL;
    }
    point->number = debugger->next_point++;
    debugger->point_count++;
    const struct type type = type_builtin(TYPE_SIGNED, 4);
    const struct value number = value_number(point->number, &type);
    if (session_set_variable(debugger, "bpnum", &number, error) < 0) {
        point_remove(debugger, point);
        return NULL;
    }
    return point;
}

static struct point *find_point(struct debugger *debugger, uint64_t number, struct error *error)
{
    for (unsigned i = 0; i < debugger->point_count; i++) {
        if (debugger->points[i].number == number)
            return &debugger->points[i];
    }
    error_set(error, "no breakpoint number %" PRIu64 " (see 'info breakpoints')", number);
    return NULL;
}

/* Splits "PLACE if CONDITION" into two owned strings; *condition is NULL without one. */
static int split(const char *text, char **place, char **condition, struct error *error)
{
    const char *word = text;
    *condition = NULL;
    while ((word = strstr(word, "if "))) {
        if (word == text || isspace((unsigned char)word[-1]))
            break;
        word++;
    }
    size_t length = word ? (size_t)(word - text) : strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    *place = strndup(text, length);
    if (word)
        *condition = strdup(skip_spaces(word + 3));
    if (*place && (!word || *condition))
        return 0;
    free(*place);
    free(*condition);
    return error_set(error, "out of memory");
}

/* Takes "thread N" from the end of a place: 0 without one. */
static int take_thread(
    struct debugger *debugger, char *place, unsigned *thread, struct error *error)
{
    char *word = place, *last = NULL;
    uint64_t number;
    *thread = 0;
    while ((word = strstr(word, "thread "))) {
        if (word == place || word[-1] == ' ')
            last = word;
        word++;
    }
    if (!last)
        return 0;
    if (session_number(debugger, last + strlen("thread "), &number, error) < 0)
        return -1;
    if (number == 0 || number > threads_count(debugger->timeline))
        return error_set(error, "there is no thread %" PRIu64 ": 1 to %u are the vCPUs", number,
            threads_count(debugger->timeline));
    *thread = (unsigned)number;
    do
        *last = '\0';
    while (last-- > place && *last == ' ');
    return 0;
}

static void announce(struct debugger *debugger, const struct point *point)
{
    struct source_line line;
    print(debugger, "%s %u at ", point->temporary ? "Temporary breakpoint" : "Breakpoint",
        point->number);
    print_address(debugger, point->addresses[0]);
    if (point->address_count > 1)
        print(debugger, ": %s. (%u locations)", point->text, point->address_count);
    else if (symbols_line(&debugger->symbols, point->addresses[0], &line))
        print(debugger, ": file %s, line %d.", base_name(line.file), line.line);
    print(debugger, "\n");
}

static int set_break(
    struct debugger *debugger, const char *arguments, bool temporary, struct error *error)
{
    uint64_t addresses[MAX_POINT_ADDRESSES];
    unsigned count;
    char *place, *condition;
    if (split(arguments, &place, &condition, error) < 0)
        return -1;
    struct point *point = NULL;
    bool is_named = *place && *place != '*', pending = false;
    unsigned thread;
    char line[512];
    if (take_thread(debugger, place, &thread, error) < 0) {
        count = 0;
    } else if (place_parse(debugger, place, addresses, MAX_POINT_ADDRESSES, &count, error) < 0) {
        /* What is not there may come: with a module, a program, the kernel itself. */
        pending = is_named && (follow_kernel(debugger) || debugger->follow.directory_count);
        count = 0;
    }
    if (count || pending)
        point = new_point(debugger, POINT_BREAK,
            !*place                                               ? "here"
            : place_name_line(debugger, place, line, sizeof line) ? line
                                                                  : place,
            error);
    free(place);
    if (!point) {
        free(condition);
        return -1;
    }
    point->is_named = is_named;
    if (!is_named && addresses[0] >> 47 == 0)
        point->space = processes_space(debugger);
    point->temporary = temporary;
    point->thread = thread;
    point->condition = condition;
    memcpy(point->addresses, addresses, count * sizeof *addresses);
    point->address_count = count;
    if (pending)
        point->address_count = 0;
    if (pending && points_resolve(debugger, error) < 0)
        return -1;
    if (point->address_count)
        announce(debugger, point);
    else
        print(debugger, "%s here.\nBreakpoint %u (%s) pending.\n", error->text, point->number,
            point->text);
    return 0;
}

COMMAND(break)
{
    return set_break(debugger, arguments, false, error);
}

COMMAND(tbreak)
{
    return set_break(debugger, arguments, true, error);
}

/* ---- Watchpoints ---- */

static int set_console_watch(struct debugger *debugger, const char *text, struct error *error)
{
    char bare[256];
    size_t length = strlen(text);
    if (length >= 2 && *text == '"' && text[length - 1] == '"')
        snprintf(bare, sizeof bare, "%.*s", (int)(length - 2), text + 1);
    else
        snprintf(bare, sizeof bare, "%s", text);
    if (!*bare)
        return error_set(error, "watch console:\"TEXT\": give the text to wait for");
    struct point *point = new_point(debugger, POINT_CONSOLE, bare, error);
    if (!point)
        return -1;
    print(debugger, "Catchpoint %u: console text \"%s\"\n", point->number, bare);
    return 0;
}

static int set_disk_watch(struct debugger *debugger, const char *text, struct error *error)
{
    uint64_t sector, count, disk;
    if (place_parse_sectors(debugger, text + strlen("sector:"), &sector, &count, &disk, error) < 0)
        return -1;
    struct point *point = new_point(debugger, POINT_DISK, text, error);
    if (!point)
        return -1;
    point->addresses[0] = sector;
    point->address_count = 1;
    point->length = count;
    point->event_value = disk;
    print(debugger, "Watchpoint %u: %s\n", point->number, text);
    return 0;
}

/* What to watch: a place in memory, or *ADDRESS of 8 bytes. */
static int find_watched(struct debugger *debugger, const char *text, uint64_t *address,
    uint64_t *length, struct type *type, struct error *error)
{
    struct value value;
    uint64_t bits;
    if (session_evaluate(debugger, text, &value, error) < 0)
        return -1;
    *type = value.type;
    if (!value.in_memory)
        return error_set(
            error, "'%s' is not in memory: watch *(TYPE *)ADDRESS or a variable", text);
    *address = value.address;
    *length = type_size(&value.type);
    if (*length == 0 || *length > PAGE_SIZE)
        return error_set(
            error, "'%s': %" PRIu64 " bytes cannot be watched (1 to 4096 can)", text, *length);
    if (*length <= 8 && !view_read_number(&debugger->view, *address, (unsigned)*length, &bits))
        return error_set(error, "'%s': 0x%" PRIx64 " is not mapped here", text, *address);
    return 0;
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."

/* Is it there whatever the frame? */
static bool is_global(const struct debugger *debugger, const char *text, uint64_t address)
{
    struct value value;
    struct error error;
    struct expression_scope scope;
    session_scope(debugger, &scope);
    scope.frame = NULL;
    return expression_evaluate(&scope, text, &value, &error) == 0 && value.in_memory &&
           value.address == address;
}

/* "-l EXPRESSION": the place that it has now, whatever it means later. */
static const char *skip_location(const char *text)
{
    static const char *const options[] = {"-location", "-l"};
    for (unsigned i = 0; i < 2; i++) {
        size_t length = strlen(options[i]);
        if (strncmp(text, options[i], length) == 0 && isspace((unsigned char)text[length]))
            return skip_spaces(text + length);
    }
    return text;
}

static int set_watch(
    struct debugger *debugger, enum point_kind kind, const char *arguments, struct error *error)
{
    static const char *const names[] = {[POINT_WATCH] = "Watchpoint",
        [POINT_RWATCH] = "Read watchpoint",
        [POINT_AWATCH] = "Access watchpoint"};
    uint64_t address, length = 8;
    struct type type = type_builtin(TYPE_UNSIGNED, 8);
    char *text, *condition;
    if (!*arguments)
        return error_set(error, "give what to watch: a variable or *(TYPE *)ADDRESS");
    if (strncmp(arguments, "console:", 8) == 0)
        return set_console_watch(debugger, arguments + 8, error);
    if (strncmp(arguments, "sector:", 7) == 0)
        return set_disk_watch(debugger, arguments, error);
    if (split(arguments, &text, &condition, error) < 0)
        return -1;
    bool physical = strncmp(text, "phys:", 5) == 0;
    const char *expression = skip_location(text);
    unsigned thread;
    int status = take_thread(debugger, text, &thread, error);
    if (status == 0)
        status = physical ? session_number(debugger, text + 5, &address, error)
                          : find_watched(debugger, expression, &address, &length, &type, error);
    char shown[MAX_LINE];
    snprintf(shown, sizeof shown, "%s%s", expression == text ? "" : "-location ", expression);
    struct point *point = status < 0 ? NULL : new_point(debugger, kind, shown, error);
    if (!point) {
        free(text);
        free(condition);
        return -1;
    }
    point->condition = condition;
    point->thread = thread;
    point->addresses[0] = address;
    point->address_count = 1;
    point->length = length;
    point->physical = physical;
    point->type = type;
    /* A global variable by its name alone moves with what it belongs to. */
    point->is_named = !physical && text[strspn(text, NAME_CHARACTERS)] == '\0' &&
                      is_global(debugger, text, address);
    if (!physical && address >> 47 == 0)
        point->space = processes_space(debugger);
    points_look(debugger);
    print(debugger, "%s %u: %s\n", names[kind], point->number, shown);
    free(text);
    return 0;
}

COMMAND(watch)
{
    return set_watch(debugger, POINT_WATCH, arguments, error);
}

COMMAND(rwatch)
{
    return set_watch(debugger, POINT_RWATCH, arguments, error);
}

COMMAND(awatch)
{
    return set_watch(debugger, POINT_AWATCH, arguments, error);
}

/* ---- Catchpoints ---- */

/* "exception [VECTOR]" */
static int catch_exception(
    struct debugger *debugger, const char *text, const char *arguments, struct error *error)
{
    uint64_t vector = 0;
    if (*arguments && session_number(debugger, arguments, &vector, error) < 0)
        return -1;
    if (vector > 31)
        return error_set(error, "exceptions have vectors 0 to 31, not %" PRIu64, vector);
    struct point *point = new_point(debugger, POINT_EXCEPTION, text, error);
    if (!point)
        return -1;
    point->match_address = *arguments;
    point->event_address = vector;
    print(debugger, "Catchpoint %u: %s\n", point->number, text);
    return 0;
}

static int catch_mode(struct debugger *debugger, struct error *error)
{
    struct point *point = new_point(debugger, POINT_MODE, "mode", error);
    if (!point)
        return -1;
    print(debugger, "Catchpoint %u: mode\n", point->number);
    return 0;
}

static bool event_kinds_by_name(const char *name, uint32_t *kinds)
{
    *kinds = 0;
    for (unsigned kind = 1; kind < EVENT_KIND_COUNT; kind++) {
        const char *own = event_kind_name((enum event_kind)kind);
        size_t length = strlen(name);
        if (strcmp(name, "all") == 0 || strcmp(own, name) == 0 ||
            (strncmp(own, name, length) == 0 && own[length] == '-'))
            *kinds |= 1u << kind;
    }
    return *kinds != 0;
}

COMMAND(catch)
{
    char word[32];
    const char *rest = arguments;
    uint64_t number = 0;
    uint32_t kinds;
    next_word(&rest, word, sizeof word);
    if (strcmp(word, "exception") == 0)
        return catch_exception(debugger, arguments, rest, error);
    if (strcmp(word, "mode") == 0)
        return catch_mode(debugger, error);
    if (strcmp(word, "event") == 0)
        next_word(&rest, word, sizeof word);
    if (strcmp(word, "irq") == 0)
        strcpy(word, "interrupt");
    if (!event_kinds_by_name(word, &kinds))
        return error_set(error,
            "catch: exception [VECTOR], mode, interrupt [VECTOR], pio [PORT], mmio "
            "[ADDRESS], hlt, console, landing, time, disk or all");
    if (*rest && session_number(debugger, rest, &number, error) < 0)
        return -1;
    struct point *point = new_point(debugger, POINT_EVENT, arguments, error);
    if (!point)
        return -1;
    point->event_kinds = kinds;
    bool by_value = kinds == 1u << EVENT_INTERRUPT;
    point->match_value = *rest && by_value;
    point->match_address = *rest && !by_value;
    point->event_value = point->event_address = number;
    print(debugger, "Catchpoint %u: %s\n", point->number, arguments);
    return 0;
}

/* ---- What is done to them ---- */

COMMAND(delete)
{
    char word[32];
    const char *rest = arguments;
    uint64_t number;
    if (strncmp(rest, "display", 7) == 0)
        return display_remove(debugger, skip_spaces(rest + 7), error);
    if (!*rest) {
        while (debugger->point_count)
            point_remove(debugger, &debugger->points[0]);
        return 0;
    }
    while (next_word(&rest, word, sizeof word)) {
        if (session_number(debugger, word, &number, error) < 0)
            return -1;
        struct point *point = find_point(debugger, number, error);
        if (!point)
            return -1;
        point_remove(debugger, point);
    }
    return 0;
}

static int set_enabled(
    struct debugger *debugger, const char *rest, bool enabled, struct error *error)
{
    char word[32];
    uint64_t number;
    for (unsigned i = 0; !*rest && i < debugger->point_count; i++)
        debugger->points[i].enabled = enabled;
    while (next_word(&rest, word, sizeof word)) {
        if (session_number(debugger, word, &number, error) < 0)
            return -1;
        struct point *point = find_point(debugger, number, error);
        if (!point)
            return -1;
        point->enabled = enabled;
    }
    return 0;
}

COMMAND(enable)
{
    return set_enabled(debugger, arguments, true, error);
}

COMMAND(disable)
{
    return set_enabled(debugger, arguments, false, error);
}

/* The point whose number begins *text. */
static struct point *take_point(struct debugger *debugger, const char **text, struct error *error)
{
    char word[32];
    uint64_t number;
    if (!next_word(text, word, sizeof word)) {
        error_set(error, "give the number of a breakpoint (see 'info breakpoints')");
        return NULL;
    }
    if (session_number(debugger, word, &number, error) < 0)
        return NULL;
    return find_point(debugger, number, error);
}

COMMAND(condition)
{
    struct point *point = take_point(debugger, &arguments, error);
    if (!point)
        return -1;
    char *condition = *arguments ? strdup(arguments) : NULL;
    if (*arguments && !condition)
        return error_set(error, "out of memory");
    free(point->condition);
    point->condition = condition;
    if (!condition)
        print(debugger, "Breakpoint %u is now unconditional.\n", point->number);
    return 0;
}

COMMAND(ignore)
{
    struct point *point = take_point(debugger, &arguments, error);
    uint64_t count;
    if (!point)
        return -1;
    if (!*arguments)
        return error_set(error, "ignore %u: give how many hits to ignore", point->number);
    if (session_number(debugger, arguments, &count, error) < 0)
        return -1;
    point->ignore = count;
    print(debugger, "Will ignore next %" PRIu64 " hits of breakpoint %u.\n", count, point->number);
    return 0;
}

COMMAND(commands)
{
    struct point *point = NULL;
    if (*arguments)
        point = take_point(debugger, &arguments, error);
    else if (debugger->point_count)
        point = &debugger->points[debugger->point_count - 1];
    else
        return error_set(error, "there is no breakpoint to give commands to");
    if (!point)
        return -1;
    buffer_clear(&point->script);
    debugger->collecting = point;
    return 0;
}

const struct command break_commands[] = {
    {"Stopping", "break", "b br", command_break, "[PLACE] [if CONDITION]",
        "Stops before the code of a function, FILE:LINE, LINE, +LINES or -LINES from here, or "
        "*ADDRESS is executed. A function's name stands for its clones (NAME.constprop.0) too.",
        "break handle_pit if ticks > 5", COMPLETE_PLACE, false},
    {"Stopping", "tbreak", "tb", command_tbreak, "[PLACE] [if CONDITION]",
        "A breakpoint that is deleted when it is hit.", "tbreak guest_panic", COMPLETE_PLACE,
        false},
    {"Stopping", "watch", "wa", command_watch, "[-location] EXPRESSION [if CONDITION]",
        "Stops when the value of a variable or *(TYPE *)ADDRESS changes; going backward, before "
        "the "
        "write. With -location (-l) it is the place that the expression has now. phys:ADDRESS "
        "watches physical memory, console:\"TEXT\" what the guest prints, "
        "sector:LBA[,COUNT][@DISK] what it reads and writes on a disk.",
        "watch nodes[31].owner", COMPLETE_SYMBOL, false},
    {"Stopping", "rwatch", "", command_rwatch, "[-location] EXPRESSION [if CONDITION]",
        "Stops when it is read.", "rwatch free_list.head", COMPLETE_SYMBOL, false},
    {"Stopping", "awatch", "", command_awatch, "[-location] EXPRESSION [if CONDITION]",
        "Stops when it is read or written.", "awatch free_list.head", COMPLETE_SYMBOL, false},
    {"Stopping", "catch", "", command_catch,
        "exception [VECTOR]|mode|interrupt [VECTOR]|KIND [ADDRESS]",
        "Stops at events: an exception's handler, an interrupt's delivery, a port access (pio, "
        "pio-in, "
        "pio-out), mmio, hlt, console, time, disk, all.",
        "catch pio-out 0x3f8", COMPLETE_NONE, false},
    {"Stopping", "delete", "d del", command_delete, "[NUMBER]...",
        "Deletes breakpoints, all without a number.", "delete 2", COMPLETE_NONE, false},
    {"Stopping", "disable", "dis", command_disable, "[NUMBER]...",
        "Keeps breakpoints from stopping.", "disable 1", COMPLETE_NONE, false},
    {"Stopping", "enable", "en", command_enable, "[NUMBER]...", "Undoes disable.", "enable 1",
        COMPLETE_NONE, false},
    {"Stopping", "condition", "cond", command_condition, "NUMBER [CONDITION]",
        "Makes a breakpoint stop only if the expression is not zero there.",
        "condition 1 node->owner == 2", COMPLETE_NONE, false},
    {"Stopping", "ignore", "", command_ignore, "NUMBER COUNT", "Lets the next COUNT hits pass.",
        "ignore 1 10", COMPLETE_NONE, false},
    {"Stopping", "commands", "", command_commands, "[NUMBER]",
        "The lines that follow, up to 'end', are executed at each hit. 'silent' as the first keeps "
        "the stop from being told, 'continue' as the last makes a log of the hits. $bpnum is the "
        "number of the last breakpoint that was set.",
        "commands 1", COMPLETE_NONE, false},
    {0},
};
