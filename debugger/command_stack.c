/* Frames and code: backtrace, frame, up, down, list, disassemble. */
#include "debugger/command.h"
#include "debugger/names.h"
#include "debugger/locals.h"
#include "debugger/session.h"
#include "debugger/scopes.h"
#include "debugger/source.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Why the trace ends, where that is not because there is no more. */
static void print_end(struct debugger *debugger, const struct frame *frame, enum unwind_end end)
{
    uint64_t pc = frame->reg[DWARF_PC];
    switch (end) {
    case UNWIND_OUTERMOST:
        return;
    case UNWIND_NO_INFORMATION:
        print(debugger, "Backtrace stopped: nothing tells the caller of ");
        print_address(debugger, pc);
        if (pc >> 63 == 0 && follow_kernel(debugger))
            print(debugger, " ('add-symbol-file FILE -process NAME' may)");
        break;
    case UNWIND_UNREADABLE:
        print(debugger, "Backtrace stopped: the stack of the caller of ");
        print_address(debugger, pc);
        print(debugger, " cannot be read");
        break;
    case UNWIND_INNER:
        print(debugger, "Backtrace stopped: previous frame inner to this frame (corrupt stack?)");
        break;
    }
    print(debugger, "\n");
}

/* A system call is entered by SYSCALL, or by INT 80h. */
static const char *what_entered(const struct view *view, const struct frame *caller)
{
    uint8_t code[2];
    if (caller->is_user && view_read(view, caller->reg[DWARF_PC] - 2, code, 2) &&
        ((code[0] == 0x0f && code[1] == 0x05) || (code[0] == 0xcd && code[1] == 0x80)))
        return "system call made here";
    return "interrupt or exception taken here";
}

/* What calls a program's main is the C library's affair: gdb shows none of it either. */
static bool is_main(const struct debugger *debugger, const struct frame *frame)
{
    const struct symbol *symbol = symbols_at(&debugger->symbols, unwind_lookup_address(frame));
    return frame->inlined == 0 && frame->reg[DWARF_PC] >> 63 == 0 && follow_kernel(debugger) &&
           symbol && strcmp(symbol->name, "main") == 0;
}

static bool take_word(const char **arguments, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*arguments, word, length) != 0 ||
        ((*arguments)[length] && !isspace((unsigned char)(*arguments)[length])))
        return false;
    *arguments = skip_spaces(*arguments + length);
    return true;
}

COMMAND(backtrace)
{
    struct frame frame, caller;
    uint64_t limit = MAX_FRAMES;
    bool full = take_word(&arguments, "full") || take_word(&arguments, "-full");
    if (*arguments && session_number(debugger, arguments, &limit, error) < 0)
        return -1;
    if (session_frame(debugger, 0, &frame, error) < 0)
        return -1;
    for (unsigned level = 0; level < limit; level++) {
        print(debugger, "#%-3u", level);
        print_frame(debugger, &frame, true);
        print(debugger, "\n");
        if (full)
            print_locals(debugger, &frame, false, "        ");
        if (is_main(debugger, &frame))
            return 0;
        if (!unwind_next(&debugger->symbols, &debugger->view, &frame, &caller)) {
            print_end(debugger, &frame, caller.end);
            return 0;
        }
        if (level + 1 < limit && caller.how == FRAME_INTERRUPT && frame.inlined == 0)
            print(debugger, "    <%s>\n", what_entered(&debugger->view, &caller));
        frame = caller;
    }
    print(debugger, "(more frames follow)\n");
    return 0;
}

static int select_frame(struct debugger *debugger, uint64_t level, struct error *error)
{
    struct frame frame;
    struct source_line line;
    if (level >= MAX_FRAMES)
        return error_set(error, "there is no frame %" PRIu64, level);
    if (session_frame(debugger, (unsigned)level, &frame, error) < 0)
        return -1;
    debugger->frame = frame;
    debugger->level = (unsigned)level;
    print(debugger, "#%-3u", debugger->level);
    print_frame(debugger, &frame, true);
    print(debugger, "\n");
    if (frame_line(&debugger->symbols, &frame, &line)) {
        debugger->list_file = line.file;
        debugger->list_line = line.line > 5 ? line.line - 5 : 1;
        print_source(debugger, line.file, line.line, line.line, 0);
    }
    return 0;
}

/* The name of a frame's function, as the backtrace shows it. */
static bool is_of(struct debugger *debugger, const struct frame *frame, const char *name)
{
    struct scopes scopes;
    struct buffer inlined = {0};
    const struct symbol *symbol = symbols_at(&debugger->symbols, unwind_lookup_address(frame));
    if (!frame->inlined)
        return symbol && names_match(symbol->name, name);
    bool is =
        scopes_of(&debugger->symbols, frame, &scopes) && scopes_inlined_name(&scopes, &inlined);
    buffer_put_u8(&inlined, 0);
    debugger->lost |= inlined.failed;
    is = is && !inlined.failed && names_match((const char *)inlined.data, name);
    buffer_free(&inlined);
    return is;
}

/* "function NAME": the innermost frame of it. */
static int select_function(struct debugger *debugger, const char *name, struct error *error)
{
    struct frame frame, caller;
    if (session_frame(debugger, 0, &frame, error) < 0)
        return -1;
    for (unsigned level = 0; level < MAX_FRAMES; level++) {
        if (is_of(debugger, &frame, name))
            return select_frame(debugger, level, error);
        if (!unwind_next(&debugger->symbols, &debugger->view, &frame, &caller))
            break;
        frame = caller;
    }
    return error_set(error, "no frame is of function '%s'", name);
}

COMMAND(frame)
{
    uint64_t level;
    if (session_look(debugger, error) < 0)
        return -1;
    if (strncmp(arguments, "function ", 9) == 0)
        return select_function(debugger, skip_spaces(arguments + 9), error);
    level = debugger->level;
    if (*arguments && session_number(debugger, arguments, &level, error) < 0)
        return -1;
    return select_frame(debugger, level, error);
}

COMMAND(up)
{
    uint64_t count = 1;
    if (*arguments && session_number(debugger, arguments, &count, error) < 0)
        return -1;
    if (session_look(debugger, error) < 0)
        return -1;
    return select_frame(
        debugger, debugger->level + (count < MAX_FRAMES ? count : MAX_FRAMES), error);
}

COMMAND(down)
{
    uint64_t count = 1;
    if (*arguments && session_number(debugger, arguments, &count, error) < 0)
        return -1;
    if (session_look(debugger, error) < 0)
        return -1;
    if (debugger->level == 0)
        return error_set(error, "frame 0 is the innermost: there is none below");
    return select_frame(debugger, debugger->level < count ? 0 : debugger->level - count, error);
}

/* ---- Code ---- */

static int find_list_place(struct debugger *debugger, const char *text, struct error *error)
{
    uint64_t address;
    unsigned count;
    struct source_line line;
    if (!*text && debugger->list_file)
        return 0;
    if (place_parse(debugger, text, &address, 1, &count, error) < 0)
        return -1;
    if (!symbols_line(&debugger->symbols, *text ? address : address, &line))
        return error_set(error, "no line information for 0x%" PRIx64, address);
    debugger->list_file = line.file;
    debugger->list_line = line.line > 5 ? line.line - 5 : 1;
    return 0;
}

COMMAND(list)
{
    struct source_line line;
    if (session_look(debugger, error) < 0 || find_list_place(debugger, arguments, error) < 0)
        return -1;
    int current = 0;
    if (frame_line(&debugger->symbols, &debugger->frame, &line) &&
        strcmp(line.file, debugger->list_file) == 0)
        current = line.line;
    int first = debugger->list_line;
    if (!print_source(debugger, debugger->list_file, first, first + 9, current))
        return error_set(error,
            "%s: cannot be read, or ends before line %d ('directory DIR' adds a place to look)",
            debugger->list_file, first);
    debugger->list_line = first + 10;
    return 0;
}

static void show_instruction(struct debugger *debugger, uint64_t address, bool with_bytes,
    const struct instruction *instruction)
{
    print(debugger, "%s ", address == debugger->frame.reg[DWARF_PC] ? "=>" : "  ");
    print_address(debugger, address);
    print(debugger, ":\t");
    for (unsigned i = 0; with_bytes && i < instruction->size; i++)
        print(debugger, "%02x%s", instruction->bytes[i], i + 1 < instruction->size ? " " : "\t");
    print(debugger, "%s\n", instruction->text);
}

/* Options "/r" bytes and "/s" source lines, at *text. */
static void parse_options(const char **text, bool *with_bytes, bool *with_source)
{
    *with_bytes = *with_source = false;
    while (**text == '/') {
        for (++*text; **text && !isspace((unsigned char)**text); ++*text) {
            *with_bytes |= **text == 'r';
            *with_source |= **text == 's' || **text == 'm';
        }
        *text = skip_spaces(*text);
    }
}

COMMAND(disassemble)
{
    bool with_bytes, with_source;
    struct instruction instruction;
    struct source_line line;
    int last_line = 0;
    uint64_t address, end;
    parse_options(&arguments, &with_bytes, &with_source);
    if (session_look(debugger, error) < 0)
        return -1;
    address = debugger->frame.reg[DWARF_PC];
    if (*arguments && session_number(debugger, arguments, &address, error) < 0)
        return -1;
    const struct symbol *symbol = symbols_at(&debugger->symbols, address);
    end = address + 64;
    if (symbol && symbol->size) {
        address = symbol->address;
        end = address + symbol->size;
    }
    while (address < end) {
        if (!disassemble(
                &debugger->view, &debugger->symbols, debugger->syntax, address, &instruction))
            return error_set(error, "no instruction can be read at 0x%" PRIx64, address);
        if (with_source && symbols_line(&debugger->symbols, address, &line) &&
            line.line != last_line) {
            last_line = line.line;
            print_source(debugger, line.file, line.line, line.line, 0);
        }
        show_instruction(debugger, address, with_bytes, &instruction);
        debugger->lost |= instruction.cut;
        address += instruction.size;
    }
    return 0;
}

const struct command stack_commands[] = {
    {"Code and stack", "backtrace", "bt where", command_backtrace, "[full] [COUNT]",
        "The calls that led here, across interrupts; with full each frame's local variables, too.",
        "backtrace", COMPLETE_NONE, false},
    {"Code and stack", "frame", "f", command_frame, "[NUMBER|function NAME]",
        "Selects a frame and shows it.", "frame 2", COMPLETE_NONE, false},
    {"Code and stack", "up", "", command_up, "[COUNT]", "Selects the caller's frame.", "up",
        COMPLETE_NONE, true},
    {"Code and stack", "down", "", command_down, "[COUNT]", "Selects the called frame.", "down",
        COMPLETE_NONE, true},
    {"Code and stack", "list", "l", command_list, "[PLACE]",
        "Ten lines of source around a place; again, the next ten.", "list list_pop", COMPLETE_PLACE,
        true},
    {"Code and stack", "disassemble", "disas", command_disassemble, "[/rs] [ADDRESS]",
        "The function around the pc or an address; /r with bytes, /s with source lines.",
        "disassemble list_pop", COMPLETE_SYMBOL, false},
    {0},
};
