/* The list of breakpoints, watchpoints and catchpoints. */
#include "debugger/points.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/processes.h"
#include "debugger/python/python.h"
#include "debugger/session.h"

void point_free(struct point *point)
{
    free(point->text);
    free(point->condition);
    buffer_free(&point->script);
    python_let_go(point->script_object);
}

void point_remove(struct debugger *debugger, struct point *point)
{
    unsigned index = (unsigned)(point - debugger->points);
    point_free(point);
    debugger->point_count--;
    memmove(point, point + 1, (debugger->point_count - index) * sizeof *point);
}

bool point_is_watch(const struct point *point)
{
    return point->kind == POINT_WATCH || point->kind == POINT_RWATCH || point->kind == POINT_AWATCH;
}

bool point_by_address(const struct point *point)
{
    return point->kind <= POINT_AWATCH || point->kind == POINT_DISK;
}

bool point_has_value(const struct point *point)
{
    return point->kind == POINT_WATCH && point->length <= 8;
}

bool point_read(struct debugger *debugger, const struct point *point, uint64_t *value)
{
    if (point->physical) {
        *value = 0;
        return memory_read(debugger->view.memory, point->addresses[0], value, point->length);
    }
    return view_read_number(&debugger->view, point->addresses[0], (unsigned)point->length, value);
}

/* ---- Following what moves ---- */

/* A program's names are known also while another one runs. */
static void show_processes(struct debugger *debugger, bool *was_away, bool show)
{
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        struct module *module = debugger->symbols.modules[i];
        if (show)
            was_away[i] = module->away;
        if (module->kind == MODULE_PROCESS && module->identity)
            module->away = show ? false : was_away[i];
    }
}

/* Of all programs, or as the one that runs sees it. Quietly: what place_parse has to say was said
 * when the point was set. */
static unsigned resolve(
    struct debugger *debugger, const struct point *point, bool of_all, uint64_t *addresses)
{
    bool was_away[SYMBOLS_MAX_MODULES];
    unsigned count = 0;
    struct error error;
    struct value value;
    struct expression_scope scope;
    size_t printed = debugger->out.size;
    if (of_all)
        show_processes(debugger, was_away, true);
    if (point->kind == POINT_BREAK) {
        if (place_parse(debugger, point->text, addresses, MAX_POINT_ADDRESSES, &count, &error) < 0)
            count = 0;
    } else {
        session_scope(debugger, &scope);
        scope.frame = NULL;
        if (expression_evaluate(&scope, point->text, &value, &error) == 0 && value.in_memory) {
            addresses[0] = value.address;
            count = 1;
        }
    }
    if (of_all)
        show_processes(debugger, was_away, false);
    debugger->out.size = printed;
    return count;
}

int points_resolve(struct debugger *debugger, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->point_count; i++) {
        struct point *point = &debugger->points[i];
        if (point->is_named)
            point->address_count = resolve(debugger, point, true, point->addresses);
    }
    return 0;
}

static bool resolves_to(
    struct debugger *debugger, const struct point *point, bool of_all, uint64_t address)
{
    uint64_t addresses[MAX_POINT_ADDRESSES];
    unsigned count = resolve(debugger, point, of_all, addresses), i = 0;
    while (i < count && addresses[i] != address)
        i++;
    return i < count;
}

/* An address in a program's file is that program's alone. Several may be linked to the same
 * addresses: then it has to be what the point names in the one that runs. */
static bool runs_here(struct debugger *debugger, const struct point *point, uint64_t address)
{
    unsigned programs = 0;
    bool running = false;
    if (point->space && point->space != processes_space(debugger))
        return false;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        if (module->kind != MODULE_PROCESS || !module->identity || !module_covers(module, address))
            continue;
        programs++;
        running |= !module->away;
    }
    return programs == 0 || (running && (programs == 1 || !point->is_named ||
                                            resolves_to(debugger, point, false, address)));
}

bool point_holds(
    struct debugger *debugger, const struct point *point, uint64_t address, uint64_t signature)
{
    if (session_look(debugger, NULL) < 0)
        return true;
    if (point->is_named && signature != debugger->follow.signature &&
        !resolves_to(debugger, point, true, address))
        return false;
    return point->physical || runs_here(debugger, point, address);
}

void points_look(struct debugger *debugger)
{
    if (session_look(debugger, NULL) < 0)
        return;
    for (unsigned i = 0; i < debugger->point_count; i++) {
        struct point *point = &debugger->points[i];
        if (point_has_value(point) && point->address_count)
            point->old_known = point_read(debugger, point, &point->old);
    }
}

void points_describe(struct debugger *debugger)
{
    static const char *const kinds[] = {[POINT_BREAK] = "breakpoint",
        [POINT_WATCH] = "watchpoint",
        [POINT_RWATCH] = "read watch",
        [POINT_AWATCH] = "access watch",
        [POINT_EVENT] = "catchpoint",
        [POINT_CONSOLE] = "console",
        [POINT_EXCEPTION] = "catchpoint",
        [POINT_MODE] = "catchpoint",
        [POINT_DISK] = "disk watch"};
    if (debugger->point_count == 0) {
        print(debugger, "No breakpoints, watchpoints or catchpoints.\n");
        return;
    }
    print(debugger, "Num  Type          Disp Enb What\n");
    for (unsigned i = 0; i < debugger->point_count; i++) {
        const struct point *point = &debugger->points[i];
        print(debugger, "%-4u %-13s %-4s %-3s ", point->number, kinds[point->kind],
            point->temporary ? "del" : "keep", point->enabled ? "y" : "n");
        for (unsigned j = 0; point->kind == POINT_BREAK && j < point->address_count; j++) {
            print_address(debugger, point->addresses[j]);
            print(debugger, " ");
        }
        if (point_by_address(point) && point->address_count == 0)
            print(debugger, "<PENDING> ");
        print(debugger, "%s%s%s\n", point->kind == POINT_BREAK ? "(" : "", point->text,
            point->kind == POINT_BREAK ? ")" : "");
        if (point->condition)
            print(debugger, "\tstop only if %s\n", point->condition);
        if (point->hits)
            print(debugger, "\talready hit %" PRIu64 " time%s\n", point->hits,
                point->hits == 1 ? "" : "s");
        if (point->ignore)
            print(debugger, "\tignore next %" PRIu64 " hits\n", point->ignore);
        for (size_t at = 0; at < point->script.size;) {
            const char *line = (const char *)point->script.data + at;
            print(debugger, "\t%s\n", line);
            at += strlen(line) + 1;
        }
    }
}
