/* Frames and source lines as they are shown. */
#include "debugger/hostfile.h"
#include "debugger/session.h"
#include "debugger/source.h"
#include "debugger/threads.h"

#include <libgen.h>
#include <limits.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/scopes.h"
#include "debugger/variables.h"

#define COLOR_FUNCTION "\033[33m"
#define COLOR_FILE     "\033[32m"
#define COLOR_ADDRESS  "\033[34m"
#define COLOR_END      "\033[m"

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void colored(struct debugger *debugger, const char *color, const char *text)
{
    if (debugger->color)
        print_raw(debugger, color);
    print(debugger, "%s", text);
    if (debugger->color)
        print_raw(debugger, COLOR_END);
}

struct arguments {
    struct debugger *debugger;
    bool any;
};

static void print_argument(void *context, const char *name, const struct value *value)
{
    struct arguments *arguments = context;
    struct debugger *debugger = arguments->debugger;
    struct buffer text = {0};
    struct error error;
    print(debugger, "%s%s=", arguments->any ? ", " : "", name);
    arguments->any = true;
    enum type_kind kind = value ? type_kind(&value->type) : TYPE_VOID;
    struct value referred;
    if (kind == TYPE_REFERENCE && value_refer(&debugger->view, value, &referred, &error) == 0) {
        value = &referred;
        kind = type_kind(&referred.type);
    }
    int shown = value ? session_summary(debugger, value, &text, &error) : 0;
    if (!value)
        print(debugger, "<optimized out>");
    else if (shown < 0)
        print(debugger, "<%s>", error.text);
    else if (shown > 0)
        print_text(debugger, &text);
    else if (kind == TYPE_STRUCT || kind == TYPE_ARRAY)
        print(debugger, "...");
    else if (kind == TYPE_POINTER) {
        uint64_t bits;
        struct type target = type_target(&value->type);
        if (type_kind(&target) == TYPE_CHAR &&
            value_format(&debugger->view, &debugger->symbols, value, 's', &text, &error) == 0)
            print_text(debugger, &text);
        else if (value_scalar(&debugger->view, value, &bits, &error) == 0)
            print_address(debugger, bits);
        else
            print(debugger, "<%s>", error.text);
    } else if (value_format(&debugger->view, &debugger->symbols, value, 0, &text, &error) < 0) {
        print(debugger, "<%s>", error.text);
    } else {
        print_text(debugger, &text);
    }
    buffer_free(&text);
}

void print_frame(struct debugger *debugger, const struct frame *frame, bool brief)
{
    struct source_line line;
    uint64_t pc = frame->reg[DWARF_PC], lookup = unwind_lookup_address(frame);
    bool has_line = frame_line(&debugger->symbols, frame, &line);
    const struct symbol *symbol = symbols_at(&debugger->symbols, lookup);
    struct arguments arguments = {debugger, false};
    struct scopes scopes;
    struct buffer inlined = {0};
    char number[32];
    /* Where the address is told already, by what is inlined there, it is not told again. */
    bool is_outer = frame->inlined < frame->inlined_here;
    if (!is_outer && (!brief || !has_line || line.start != pc)) {
        snprintf(number, sizeof number, "0x%016" PRIx64, pc);
        colored(debugger, COLOR_ADDRESS, number);
        print(debugger, " in ");
    }
    if (frame->inlined && scopes_of(&debugger->symbols, frame, &scopes) &&
        scopes_inlined_name(&scopes, &inlined)) {
        buffer_put_u8(&inlined, 0);
        debugger->lost |= inlined.failed;
        colored(debugger, COLOR_FUNCTION, inlined.failed ? "??" : (const char *)inlined.data);
    } else if (symbol && !has_line && pc != symbol->address) {
        colored(debugger, COLOR_FUNCTION, symbol->name);
        print(debugger, "+%" PRIu64, pc - symbol->address);
    } else {
        colored(debugger, COLOR_FUNCTION, symbol ? symbol->name : "??");
    }
    buffer_free(&inlined);
    print(debugger, " (");
    variables_each(&debugger->symbols, &debugger->view, frame, true, print_argument, &arguments);
    print(debugger, ")");
    if (has_line) {
        print(debugger, " at ");
        colored(debugger, COLOR_FILE, base_name(line.file));
        print(debugger, ":%d", line.line);
    }
    if (frame->how == FRAME_POINTER)
        print(debugger, " (by frame pointer: a guess)");
}

/* Names from debugging information: under what the user named, and nowhere else. */
static FILE *open_source(const struct debugger *debugger, const char *file)
{
    const struct symbols *symbols = &debugger->symbols;
    FILE *source = NULL;
    if (debugger->directory)
        source = hostfile_open_under(debugger->directory, file);
    /* The first module is the kernel in the trace; the others are files. */
    for (unsigned i = 1; !source && i < symbols->module_count; i++) {
        char folder[PATH_MAX];
        if (snprintf(folder, sizeof folder, "%s", symbols->modules[i]->name) >= (int)sizeof folder)
            continue;
        source = hostfile_open_under(dirname(folder), file);
    }
    return source;
}

bool print_source(struct debugger *debugger, const char *file, int first, int last, int current)
{
    char text[1024];
    int number = 0;
    FILE *source = open_source(debugger, file);
    if (!source)
        return false;
    while (number < last && fgets(text, sizeof text, source)) {
        bool whole = strchr(text, '\n') != NULL;
        number++;
        if (number >= first) {
            text[strcspn(text, "\r\n")] = '\0';
            bool bold = debugger->color && number == current;
            print_raw(debugger, bold ? "\033[1m" : "");
            print(debugger, "%d\t%s", number, text);
            print_raw(debugger, bold ? COLOR_END "\n" : "\n");
        }
        while (!whole && fgets(text, sizeof text, source))
            whole = strchr(text, '\n') != NULL;
    }
    fclose(source);
    return number >= first;
}

static void print_instruction(struct debugger *debugger, uint64_t address)
{
    struct instruction instruction;
    print_address(debugger, address);
    if (disassemble(&debugger->view, &debugger->symbols, debugger->syntax, address, &instruction))
        print(debugger, ":\t%s\n", instruction.text);
    else
        print(debugger, ":\t(no instruction can be read)\n");
    debugger->lost |= instruction.cut;
}

int print_stop(struct debugger *debugger, struct error *error)
{
    struct source_line line;
    if (session_look(debugger, error) < 0)
        return -1;
    uint64_t pc = debugger->frame.reg[DWARF_PC];
    threads_show_switch(debugger);
    print_frame(debugger, &debugger->frame, true);
    print(debugger, "\n");
    bool has_line = symbols_line(&debugger->symbols, pc, &line);
    if (debugger->view.state.halted)
        print(debugger, "The CPU is halted, waiting for an interrupt.\n");
    if (has_line) {
        debugger->list_file = line.file;
        debugger->list_line = line.line > 5 ? line.line - 5 : 1;
        has_line = print_source(debugger, line.file, line.line, line.line, 0);
    }
    if (!has_line)
        print_instruction(debugger, pc);
    return display_all(debugger, error);
}
