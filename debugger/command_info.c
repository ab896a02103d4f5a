/* info: what there is to tell, by subject. */
#include "debugger/command.h"
#include "debugger/processes.h"
#include "debugger/session.h"
#include "debugger/threads.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/info_float.h"
#include "debugger/info_macro.h"
#include "debugger/info_symbols.h"
#include "debugger/locals.h"

static int info_registers(struct debugger *debugger, const char *arguments, struct error *error)
{
    struct buffer text = {0};
    uint64_t value;
    unsigned size;
    char word[32];
    if (!*arguments) {
        vcpu_describe(&debugger->view.state, &text);
        print_text(debugger, &text);
        buffer_free(&text);
        return 0;
    }
    while (next_word(&arguments, word, sizeof word)) {
        const char *name = *word == '$' ? word + 1 : word;
        if (!view_register(&debugger->view, name, &value, &size))
            return error_set(error, "no register '%s'", name);
        print(debugger, "%-14s 0x%-18" PRIx64 " %" PRId64 "\n", name, value,
            size == 8 ? (int64_t)value : (int64_t)value);
    }
    return 0;
}

static int info_args(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    (void)error;
    print_locals(debugger, &debugger->frame, true, "");
    return 0;
}

static int info_locals(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    (void)error;
    print_locals(debugger, &debugger->frame, false, "");
    return 0;
}

static int info_breakpoints(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    (void)error;
    points_describe(debugger);
    return 0;
}

static int info_display(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    (void)error;
    if (debugger->display_count == 0)
        print(debugger, "No displays.\n");
    for (unsigned i = 0; i < debugger->display_count; i++)
        print(debugger, "%u: %s\n", debugger->displays[i].number, debugger->displays[i].text);
    return 0;
}

static int info_symbol(struct debugger *debugger, const char *arguments, struct error *error)
{
    uint64_t address;
    struct buffer text = {0};
    if (session_number(debugger, arguments, &address, error) < 0)
        return -1;
    symbols_describe(&debugger->symbols, address, &text);
    if (text.size == 0 && !text.failed)
        print(debugger, "No symbol covers 0x%" PRIx64 ".\n", address);
    else {
        print_text(debugger, &text);
        print(debugger, "\n");
    }
    buffer_free(&text);
    return 0;
}

static int info_line(struct debugger *debugger, const char *arguments, struct error *error)
{
    uint64_t address;
    unsigned count;
    struct source_line line;
    if (place_parse(debugger, arguments, &address, 1, &count, error) < 0)
        return -1;
    if (!symbols_line(&debugger->symbols, address, &line))
        return error_set(error, "no line information for 0x%" PRIx64, address);
    print(debugger, "Line %d of \"%s\" covers 0x%" PRIx64 " to 0x%" PRIx64 ".\n", line.line,
        line.file, line.start, line.end);
    return 0;
}

static int info_frame(struct debugger *debugger, const char *arguments, struct error *error)
{
    static const char *const how[] = {[FRAME_CURRENT] = "the innermost",
        [FRAME_CFI] = "by call frame information",
        [FRAME_INTERRUPT] = "interrupted",
        [FRAME_POINTER] = "by frame pointer: a guess"};
    const struct frame *frame = &debugger->frame;
    (void)arguments;
    (void)error;
    print(debugger, "Frame %u (%s): pc ", debugger->level, how[frame->how]);
    print_address(debugger, frame->reg[DWARF_PC]);
    if (frame->has_cfa)
        print(debugger, ", CFA 0x%" PRIx64, frame->cfa);
    print(debugger, "\n");
    for (unsigned i = 0; i < DWARF_PC; i++) {
        if (frame->known & (1u << i))
            print(debugger, "%-4s 0x%016" PRIx64 "%s", unwind_register_name(i), frame->reg[i],
                i % 4 == 3 ? "\n" : "  ");
        else
            print(debugger, "%-4s %-18s%s", unwind_register_name(i), "not known",
                i % 4 == 3 ? "\n" : "  ");
    }
    return 0;
}

/* ---- Programs ---- */

/* The one asked for, or the one that runs. */
static int find_process(
    struct debugger *debugger, const char *selector, struct process *process, struct error *error)
{
    if (!follow_kernel(debugger) || follow_kernel(debugger)->away)
        return error_set(error, "the kernel's processes cannot be read without its symbols: "
                                "'add-symbol-file vmlinux'");
    if (*selector && !processes_find(debugger, selector, process))
        return error_set(
            error, "no process '%s' at this position (see 'info processes')", selector);
    if (!*selector && !processes_current(debugger, process))
        return error_set(error, "no process runs at this position");
    if (!process->space)
        return error_set(
            error, "%s is a thread of the kernel: it has no memory of its own", process->name);
    return 0;
}

static bool print_map(void *context, const struct process_map *map)
{
    struct debugger *debugger = context;
    print(debugger,
        "  0x%016" PRIx64 " 0x%016" PRIx64 " %10" PRIx64 " %10" PRIx64 "  %c%c%c%c  %s\n",
        map->start, map->end, map->end - map->start, map->file ? map->offset : 0,
        map->flags & 1 ? 'r' : '-', map->flags & 2 ? 'w' : '-', map->flags & 4 ? 'x' : '-',
        map->flags & 8 ? 's' : 'p', map->path);
    return false;
}

static int info_maps(struct debugger *debugger, const char *arguments, struct error *error)
{
    struct process process;
    if (find_process(debugger, arguments, &process, error) < 0)
        return -1;
    print(debugger, "process %u, %s\n", process.pid, process.name);
    print(
        debugger, "  Start Addr         End Addr                 Size     Offset  Perms objfile\n");
    processes_each_map(debugger, process.space, print_map, debugger);
    return 0;
}

static int info_processes(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    const struct command *ps = commands_find("ps", error);
    return ps ? ps->run(debugger, "", error) : -1;
}

static void print_file(void *context, unsigned number, const char *path)
{
    print(context, "%4u  %s\n", number, path);
}

static int info_open_files(struct debugger *debugger, const char *selector, struct error *error)
{
    struct process process;
    if (find_process(debugger, selector, &process, error) < 0)
        return -1;
    print(debugger, "process %u, %s\n", process.pid, process.name);
    processes_each_file(debugger, process.task, print_file, debugger);
    return 0;
}

static int info_files(struct debugger *debugger, const char *arguments, struct error *error)
{
    if (*arguments)
        return info_open_files(debugger, strcmp(arguments, ".") == 0 ? "" : arguments, error);
    if (debugger->symbols.module_count == 0)
        print(debugger, "No symbol files.\n");
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        uint64_t compared, different;
        print(debugger, "%s: %s%s", module->name, module->elf ? "ELF" : "symbol list",
            module->dwarf ? " with debugging information" : "");
        if (module->away) {
            print(debugger, "; not in memory at this position\n");
            continue;
        }
        if (module->bias)
            print(debugger, ", moved by 0x%" PRIx64, module->bias);
        if (module->kind == MODULE_PROCESS)
            print(debugger, ", of process %s", module->owner);
        if (module->kind == MODULE_LOADED) {
            print(debugger, "; placed as the kernel's module %s\n", module->owner);
            continue;
        }
        symbols_compare(module, &debugger->view, &compared, &different);
        if (module->elf && compared == 0)
            print(debugger, "; its code is not mapped here");
        else if (module->elf)
            print(debugger, "; %" PRIu64 " of %" PRIu64 " bytes of its code differ from memory",
                different, compared);
        print(debugger, "\n");
    }
    return 0;
}

static int info_checkpoints(struct debugger *debugger, const char *arguments, struct error *error)
{
    unsigned count;
    uint64_t bytes;
    (void)arguments;
    (void)error;
    timeline_cache(debugger->timeline, &count, &bytes);
    print(debugger, "%u checkpoints, %" PRIu64 " bytes\n", count, bytes);
    return 0;
}

static int info_trace(struct debugger *debugger, const char *arguments, struct error *error)
{
    const struct trace_reader *trace = timeline_trace(debugger->timeline);
    const char *key, *value;
    (void)arguments;
    for (size_t i = 0; trace_reader_setting_at(trace, i, &key, &value); i++)
        print(debugger, "%-12s %s\n", key, value);
    (void)error;
    print_position(debugger);
    return 0;
}

static int info_threads(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    return threads_list(debugger, error);
}

static int info_history(struct debugger *debugger, const char *arguments, struct error *error)
{
    const struct trail *trail = &debugger->trail;
    (void)arguments;
    (void)error;
    for (unsigned i = 0; i <= trail->last; i++)
        print(debugger, "%s %" PRIu64 ".%" PRIu64 "\n", i == trail->at ? "*" : " ",
            trail->places[i].event, trail->places[i].insn);
    return 0;
}

struct subject {
    const char *name;
    int (*run)(struct debugger *debugger, const char *arguments, struct error *error);
    const char *what;
};

static const struct subject subjects[] = {
    {"registers", info_registers, "[NAME]... the CPU's registers"},
    {"breakpoints", info_breakpoints, "breakpoints, watchpoints and catchpoints"},
    {"watchpoints", info_breakpoints, "the same"},
    {"locals", info_locals, "local variables of the selected frame"},
    {"args", info_args, "arguments of the selected frame"},
    {"frame", info_frame, "registers of the selected frame"},
    {"display", info_display, "what is displayed at each stop"},
    {"symbol", info_symbol, "ADDRESS: the symbol that covers it"},
    {"line", info_line, "PLACE: the addresses of a source line"},
    {"functions", info_functions, "[REGEX] functions whose names match"},
    {"types", info_types, "[REGEX] types whose names match"},
    {"variables", info_variables, "[REGEX] variables whose names match"},
    {"scope", info_scope, "PLACE: the variables that can be named there"},
    {"macro", info_macro, "NAME: a macro's definition, where the selected frame stands"},
    {"macros", info_macros, "all macros that are defined there"},
    {"float", info_float, "the x87's registers"},
    {"vector", info_vector, "the SSE registers, as what they may hold"},
    {"files", info_files,
        "[PROCESS] symbol files, and whether they fit memory; of a process, or '.', open files"},
    {"processes", info_processes, "the programs at this position, as ps"},
    {"maps", info_maps, "[PROCESS] the memory map of a process, the running one"},
    {"checkpoints", info_checkpoints, "how many, and their memory"},
    {"threads", info_threads, "the vCPUs, and what each is doing"},
    {"trace", info_trace, "the recorded machine"},
    {"history", info_history, "the places in time where this session was, for seek - and seek +"},
};

COMMAND(info)
{
    char word[32];
    const struct subject *found = NULL;
    if (session_look(debugger, error) < 0)
        return -1;
    if (!next_word(&arguments, word, sizeof word)) {
        for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
            print(debugger, "info %-12s %s\n", subjects[i].name, subjects[i].what);
        return 0;
    }
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0] && !found; i++) {
        if (strncmp(subjects[i].name, word, strlen(word)) == 0)
            found = &subjects[i];
    }
    if (!found)
        return error_set(error, "info %s: no such subject; 'info' lists them", word);
    return found->run(debugger, arguments, error);
}

const struct command info_commands[] = {
    {"Looking", "info", "i", command_info, "[SUBJECT]",
        "Tells about registers, breakpoints, locals, args, frame, display, symbol, line, "
        "functions, types, variables, scope, macro, macros, float, vector, "
        "files, processes, maps, checkpoints, threads, trace, history.",
        "info registers rip rsp", COMPLETE_NONE, false},
    {0},
};
