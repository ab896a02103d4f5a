/* The table of commands: names, help, and how a word finds one. */
#include "debugger/session.h"

#include <string.h>

static const struct command commands[] = {
    {"Moving forward", "step", "s", command_step, "[COUNT]",
        "Goes on to the next source line, into functions that are called. Interrupts on the way "
        "are "
        "run through.",
        "step", COMPLETE_NONE, true},
    {"Moving forward", "next", "n", command_next, "[COUNT]",
        "Goes on to the next source line, over calls.", "next 3", COMPLETE_NONE, true},
    {"Moving forward", "stepi", "si", command_stepi, "[COUNT]",
        "Executes one instruction, or COUNT. Where an interrupt comes first, its handler's first.",
        "stepi 100", COMPLETE_NONE, true},
    {"Moving forward", "nexti", "ni", command_nexti, "[COUNT]",
        "Executes one instruction, over calls and interrupts.", "nexti", COMPLETE_NONE, true},
    {"Moving forward", "finish", "fin", command_finish, "",
        "Goes on until the selected frame returns, and prints the value returned.", "finish",
        COMPLETE_NONE, true},
    {"Moving forward", "until", "u", command_until, "[PLACE]",
        "Without PLACE as next, but not back to the start of a loop. With PLACE goes on to there "
        "in "
        "this frame or an outer one.",
        "until crash.c:120", COMPLETE_SYMBOL, true},
    {"Moving forward", "advance", "", command_advance, "PLACE",
        "Goes on to a place in code, in whatever frame.", "advance guest_panic", COMPLETE_SYMBOL,
        false},
    {"Moving forward", "continue", "c fg", command_continue, "[COUNT]",
        "Goes on to the next stop: a breakpoint, watchpoint, catchpoint or the end of the trace. "
        "With "
        "COUNT to the COUNT-th.",
        "continue", COMPLETE_NONE, true},

    {"Moving backward", "reverse-step", "rs", command_reverse_step, "[COUNT]",
        "Goes back to the beginning of the line executed before, into functions from their end.",
        "reverse-step", COMPLETE_NONE, true},
    {"Moving backward", "reverse-next", "rn", command_reverse_next, "[COUNT]",
        "Goes back to the beginning of the line executed before, over calls.", "reverse-next",
        COMPLETE_NONE, true},
    {"Moving backward", "reverse-stepi", "rsi", command_reverse_stepi, "[COUNT]",
        "Undoes one instruction, or COUNT.", "reverse-stepi", COMPLETE_NONE, true},
    {"Moving backward", "reverse-nexti", "rni", command_reverse_nexti, "[COUNT]",
        "Undoes one instruction; a whole call or interrupt counts as one.", "reverse-nexti",
        COMPLETE_NONE, true},
    {"Moving backward", "reverse-finish", "rfin", command_reverse_finish, "",
        "Goes back to the call of the selected frame's function, or to before the interrupt.",
        "reverse-finish", COMPLETE_NONE, true},
    {"Moving backward", "reverse-continue", "rc", command_reverse_continue, "[COUNT]",
        "Goes back to the last stop before here. A watchpoint stops before the write.",
        "reverse-continue", COMPLETE_NONE, true},
    {"Moving backward", "last-write", "lw", command_last_write,
        "VARIABLE|*ADDRESS|phys:ADDRESS|sector:LBA",
        "Goes back to the instruction that last wrote there, before it is executed.",
        "last-write free_list.head", COMPLETE_SYMBOL, false},

    {"Places in time", "seek", "goto run-to", command_seek, "POSITION",
        "Goes to a position: EVENT, EVENT.INSN, start, end, 50%, t=2.5s, insn=N or a bookmark.",
        "seek 50%", COMPLETE_NONE, false},
    {"Places in time", "when", "", command_when, "",
        "Tells the position, the instructions executed so far and the virtual time.", "when",
        COMPLETE_NONE, false},
    {"Places in time", "bookmark", "mark", command_bookmark, "[NAME [POSITION]]",
        "Gives this position (or another) a name for seek. Without NAME lists the bookmarks.",
        "bookmark corrupted", COMPLETE_NONE, false},
    {"Places in time", "checkpoint", "", command_checkpoint, "",
        "Keeps the whole machine here, so that coming back is fast.", "checkpoint", COMPLETE_NONE,
        false},
    {"Places in time", "diff", "", command_diff, "POSITION [POSITION]",
        "Compares registers and memory at two positions, or at one and here.", "diff 100 200",
        COMPLETE_NONE, false},

    {"Stopping", "break", "b br", command_break, "[PLACE] [if CONDITION]",
        "Stops before the code of a function, FILE:LINE, LINE or *ADDRESS is executed.",
        "break handle_pit if ticks > 5", COMPLETE_SYMBOL, false},
    {"Stopping", "tbreak", "tb", command_tbreak, "[PLACE] [if CONDITION]",
        "A breakpoint that is deleted when it is hit.", "tbreak guest_panic", COMPLETE_SYMBOL,
        false},
    {"Stopping", "watch", "wa", command_watch, "EXPRESSION [if CONDITION]",
        "Stops when the value of a variable or *(TYPE *)ADDRESS changes; going backward, before "
        "the "
        "write. phys:ADDRESS watches physical memory, console:\"TEXT\" what the guest prints, "
        "sector:LBA[,COUNT][@DISK] what it reads and writes on a disk.",
        "watch nodes[31].owner", COMPLETE_SYMBOL, false},
    {"Stopping", "rwatch", "", command_rwatch, "EXPRESSION [if CONDITION]",
        "Stops when it is read.", "rwatch free_list.head", COMPLETE_SYMBOL, false},
    {"Stopping", "awatch", "", command_awatch, "EXPRESSION [if CONDITION]",
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
        "The lines that follow, up to 'end', are executed at each hit.", "commands 1",
        COMPLETE_NONE, false},

    {"Looking", "print", "p inspect", command_print, "[/FORMAT] [EXPRESSION]",
        "Prints a value: C expressions over registers ($rax), variables, casts, members, elements, "
        "and "
        "'@' for arrays. Formats x d u t o c a s f.",
        "print/x *free_list.head", COMPLETE_SYMBOL, false},
    {"Looking", "x", "", command_x, "[/COUNT FORMAT SIZE] [ADDRESS]",
        "Examines memory: formats x d u t o c a s i, sizes b h w g.", "x/8gx $rsp", COMPLETE_SYMBOL,
        true},
    {"Looking", "ptype", "whatis", command_ptype, "TYPE|EXPRESSION",
        "Prints a type, with members and offsets.", "ptype struct node", COMPLETE_SYMBOL, false},
    {"Looking", "display", "disp", command_display, "[/FORMAT] [EXPRESSION]",
        "Prints the expression at every stop; with /i disassembles. Without arguments displays "
        "now.",
        "display/i $pc", COMPLETE_SYMBOL, false},
    {"Looking", "undisplay", "", command_undisplay, "[NUMBER]", "Stops displaying.", "undisplay 1",
        COMPLETE_NONE, false},
    {"Looking", "info", "i", command_info, "[SUBJECT]",
        "Tells about registers, breakpoints, locals, args, frame, display, symbol, line, "
        "functions, "
        "files, checkpoints, trace.",
        "info registers rip rsp", COMPLETE_NONE, false},
    {"Looking", "find", "", command_find, "BYTES|\"TEXT\" [in START, SIZE]",
        "Searches memory, all of physical memory unless told where.", "find \"panic\"",
        COMPLETE_NONE, false},
    {"Looking", "set", "", command_set, "$NAME = EXPRESSION|SETTING VALUE",
        "Sets a variable of the debugger, disassembly-flavor att|intel, or color on|off. The guest "
        "is "
        "never written to.",
        "set $n = free_list.head", COMPLETE_SYMBOL, false},
    {"Looking", "echo", "", command_echo, "TEXT", "Prints the text.", "echo here it is",
        COMPLETE_NONE, false},

    {"Code and stack", "backtrace", "bt where", command_backtrace, "[COUNT]",
        "The calls that led here, across interrupts.", "backtrace", COMPLETE_NONE, false},
    {"Code and stack", "frame", "f", command_frame, "[NUMBER]", "Selects a frame and shows it.",
        "frame 2", COMPLETE_NONE, false},
    {"Code and stack", "up", "", command_up, "[COUNT]", "Selects the caller's frame.", "up",
        COMPLETE_NONE, true},
    {"Code and stack", "down", "", command_down, "[COUNT]", "Selects the called frame.", "down",
        COMPLETE_NONE, true},
    {"Code and stack", "list", "l", command_list, "[PLACE]",
        "Ten lines of source around a place; again, the next ten.", "list list_pop",
        COMPLETE_SYMBOL, true},
    {"Code and stack", "disassemble", "disas", command_disassemble, "[/rs] [ADDRESS]",
        "The function around the pc or an address; /r with bytes, /s with source lines.",
        "disassemble list_pop", COMPLETE_SYMBOL, false},

    {"The run", "events", "", command_events, "[POSITION [COUNT]]",
        "Events of the run, around here or from a position on.", "events 1000 5", COMPLETE_NONE,
        false},
    {"The run", "exits", "", command_exits, "[POSITION [COUNT]]",
        "Port and memory-mapped accesses, and halts.", "exits 1000 5", COMPLETE_NONE, false},
    {"The run", "irqs", "", command_irqs, "[POSITION [COUNT]]", "Interrupts that were delivered.",
        "irqs start 5", COMPLETE_NONE, false},
    {"The run", "console", "", command_console, "[LINES]",
        "What the guest had printed by now; the last LINES lines.", "console 5", COMPLETE_NONE,
        false},
    {"The run", "disk", "", command_disk, "[POSITION [COUNT]]",
        "The state of the disks, and their events.", "disk", COMPLETE_NONE, false},

    {"The machine", "devices", "dev", command_devices, "[NAME]",
        "Registers of the devices, or of one, by their data sheets' names.", "devices pic",
        COMPLETE_NONE, false},
    {"The machine", "pagetable", "pt", command_pagetable, "ADDRESS",
        "Walks the page tables for a linear address.", "pagetable $rip", COMPLETE_SYMBOL, false},
    {"The machine", "gdt", "", command_gdt, "", "The global descriptor table.", "gdt",
        COMPLETE_NONE, false},
    {"The machine", "idt", "", command_idt, "[VECTOR]",
        "The interrupt descriptor table, or one gate.", "idt 32", COMPLETE_NONE, false},
    {"The machine", "msr", "", command_msr, "", "The model-specific registers.", "msr",
        COMPLETE_NONE, false},
    {"The machine", "cr", "", command_cr, "", "The control registers, bit by bit.", "cr",
        COMPLETE_NONE, false},

    {"Linux guests", "ps", "tasks", command_ps, "",
        "The tasks at this position, with their command lines; '*' marks the running one. Needs "
        "vmlinux with debugging information.",
        "ps", COMPLETE_NONE, false},
    {"Linux guests", "current", "", command_current, "", "The task that runs.", "current",
        COMPLETE_NONE, false},
    {"Linux guests", "dmesg", "", command_dmesg, "[LINES]",
        "The kernel's log as it stands in memory; the last LINES records.", "dmesg 5",
        COMPLETE_NONE, false},

    {"The session", "add-symbol-file", "file symbol-file", command_add_symbol_file,
        "FILE [ADDRESS|-o OFFSET] [-f]",
        "Adds symbols of an ELF file (ADDRESS is where its .text is), System.map or kallsyms. A "
        "file "
        "whose code is not what memory holds is refused unless -f is given.",
        "add-symbol-file vmlinux -o 0x1000000", COMPLETE_FILE, false},
    {"The session", "directory", "dir", command_directory, "[DIRECTORY]",
        "Where sources are looked for as well.", "directory /usr/src/linux", COMPLETE_FILE, false},
    {"The session", "source", "", command_source, "FILE", "Executes a file of commands.",
        "source session.hs", COMPLETE_FILE, false},
    {"The session", "save", "", command_save, "FILE",
        "Writes position, breakpoints, displays and bookmarks as commands for source.",
        "save session.hs", COMPLETE_FILE, false},
    {"The session", "help", "h", command_help, "[COMMAND]",
        "Lists the commands, or tells about one.", "help watch", COMPLETE_COMMAND, false},
    {"The session", "quit", "q exit", command_quit, "", "Ends the session.", "quit", COMPLETE_NONE,
        false},
};

enum { COMMANDS = sizeof commands / sizeof commands[0], MAX_WORD = 24 };

const struct command *commands_at(unsigned number)
{
    return number < COMMANDS ? &commands[number] : NULL;
}

static bool is_alias(const struct command *command, const char *word)
{
    const char *at = command->aliases;
    size_t length = strlen(word);
    while (*at) {
        size_t size = strcspn(at, " ");
        if (size == length && strncmp(at, word, size) == 0)
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance; words longer than MAX_WORD are far. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[MAX_WORD + 1];
    size_t width = strlen(b);
    if (width > MAX_WORD || strlen(a) > MAX_WORD)
        return MAX_WORD;
    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= width; j++) {
            unsigned above = row[j];
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = least(change, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[width];
}

static int refuse(const char *word, struct error *error)
{
    char near[200] = "";
    size_t used = 0;
    for (unsigned i = 0; i < COMMANDS; i++) {
        const char *name = commands[i].name;
        if (distance(word, name) > 2 && !(strlen(word) > 3 && strstr(name, word)))
            continue;
        if (used + strlen(name) + 8 < sizeof near) {
            strcpy(near + used, used ? ", " : "");
            strcat(near, name);
            used = strlen(near);
        }
    }
    if (*near)
        return error_set(error, "'%s' is not a command; did you mean %s?", word, near);
    return error_set(error, "'%s' is not a command (see 'help')", word);
}

const struct command *commands_find(const char *word, struct error *error)
{
    const struct command *found = NULL;
    char candidates[200] = "";
    unsigned count = 0;
    size_t length = strlen(word);
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, word) == 0 || is_alias(&commands[i], word))
            return &commands[i];
    }
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (strncmp(commands[i].name, word, length) != 0)
            continue;
        found = &commands[i];
        if (strlen(candidates) + strlen(found->name) + 3 < sizeof candidates) {
            strcat(candidates, count ? ", " : "");
            strcat(candidates, found->name);
        }
        count++;
    }
    if (count == 1)
        return found;
    if (count == 0)
        refuse(word, error);
    else
        error_set(error, "'%s' could be %s", word, candidates);
    return NULL;
}
