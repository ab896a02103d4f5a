/* The session itself: help, files, settings, quitting. */
#include "debugger/command.h"
#include "debugger/demangle.h"
#include "debugger/python/python.h"
#include "debugger/session.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- help ---- */

static void help_group(struct debugger *debugger, const char *group)
{
    const struct command *command;
    print(debugger, "\n%s\n", group);
    for (unsigned i = 0; (command = commands_at(i)); i++) {
        char usage[64];
        if (strcmp(command->group, group) != 0)
            continue;
        snprintf(usage, sizeof usage, "%s %s", command->name, command->arguments);
        print(debugger, "  %-34s %.*s\n", usage, (int)strcspn(command->help, "."), command->help);
    }
}

static void help_all(struct debugger *debugger)
{
    const struct command *command;
    const char *last = "";
    if (!demangle_available())
        print(debugger, "Built without a demangler: names of C++ and Rust are the linker's.\n");
    print(
        debugger, "Commands may be cut short where that is unambiguous. 'help NAME' tells more.\n");
    for (unsigned i = 0; (command = commands_at(i)); i++) {
        if (strcmp(last, command->group) != 0)
            help_group(debugger, command->group);
        last = command->group;
    }
}

COMMAND(help)
{
    if (!*arguments) {
        help_all(debugger);
        return 0;
    }
    const struct command *command = commands_find(arguments, error);
    if (!command)
        return -1;
    print(debugger, "%s %s\n", command->name, command->arguments);
    if (*command->aliases)
        print(debugger, "Also: %s\n", command->aliases);
    print(debugger, "%s\nExample: %s\n", command->help, command->example);
    return 0;
}

COMMAND(quit)
{
    (void)arguments;
    (void)error;
    debugger->finished = true;
    return 0;
}

COMMAND(echo)
{
    (void)error;
    for (const char *at = arguments; *at; at++) {
        if (at[0] == '\\' && at[1] == 'n') {
            print(debugger, "\n");
            at++;
        } else {
            print(debugger, "%c", *at);
        }
    }
    if (!strstr(arguments, "\\n"))
        print(debugger, "\n");
    return 0;
}

/* ---- Files ---- */

COMMAND(source)
{
    if (!*arguments)
        return error_set(error, "source: give a file of commands");
    return debugger_source(debugger, arguments, error);
}

COMMAND(directory)
{
    if (!*arguments) {
        print(debugger, "Sources are also looked for under: %s\n",
            debugger->directory ? debugger->directory : "(no directory)");
        return 0;
    }
    char *directory = strdup(arguments);
    if (!directory)
        return error_set(error, "out of memory");
    free(debugger->directory);
    debugger->directory = directory;
    return 0;
}

/* A line, or up to `end` the lines that follow. */
COMMAND(python)
{
    if (debugger->remote)
        return error_set(
            error, "python runs code on the host: it is not to be had over gdb's protocol");
    if (!python_available() || *arguments)
        return python_run(debugger, arguments, error);
    buffer_clear(&debugger->python);
    debugger->in_python = true;
    return 0;
}

/* ---- set ---- */

static int set_convenience(struct debugger *debugger, const char *text, struct error *error)
{
    char name[32];
    size_t length = 0;
    uint64_t ignored;
    unsigned size;
    struct value value;
    const char *at = text + 1;
    for (; isalnum((unsigned char)*at) || *at == '_'; at++) {
        if (length + 1 < sizeof name)
            name[length++] = *at;
    }
    name[length] = '\0';
    at = skip_spaces(at);
    if (*at != '=' || length == 0 || isdigit((unsigned char)*name))
        return error_set(error, "set: as in 'set $name = EXPRESSION'");
    if (session_look(debugger, error) < 0)
        return -1;
    if (view_register(&debugger->view, name, &ignored, &size))
        return error_set(error, "$%s is a register: the past cannot be changed", name);
    if (session_evaluate(debugger, at + 1, &value, error) < 0)
        return -1;
    /* The value now, not the place. */
    if (value.in_memory && type_size(&value.type) <= 8 && type_kind(&value.type) != TYPE_STRUCT &&
        type_kind(&value.type) != TYPE_ARRAY) {
        uint64_t bits;
        if (value_scalar(&debugger->view, &value, &bits, error) < 0)
            return -1;
        value = value_number(bits, &value.type);
    }
    return session_set_variable(debugger, name, &value, error);
}

bool debugger_page(const struct debugger *debugger, unsigned *height, unsigned *width)
{
    const struct page *page = &debugger->page;
    if (page->has_height)
        *height = page->height;
    if (page->has_width)
        *width = page->width;
    return !page->off && *height;
}

/* on or off; false for another word. */
static bool set_switch(const char *text, bool *on)
{
    bool is_on = strcmp(text, "on") == 0;
    if (is_on || strcmp(text, "off") == 0)
        *on = is_on;
    return is_on || strcmp(text, "off") == 0;
}

/* A count of rows or columns; "unlimited" and 0 are without end. */
static bool set_extent(const char *text, bool *has, unsigned *extent)
{
    char *end;
    unsigned long number = strcmp(text, "unlimited") == 0 ? 0 : strtoul(text, &end, 10);
    if (strcmp(text, "unlimited") != 0 && (!isdigit((unsigned char)*text) || *end))
        return false;
    *has = true;
    *extent = number < UINT_MAX ? (unsigned)number : UINT_MAX;
    return true;
}

static bool set_setting(struct debugger *debugger, const char *name, const char *value)
{
    struct page *page = &debugger->page;
    bool on;
    if (strcmp(name, "disassembly-flavor") == 0) {
        bool is_intel = strcmp(value, "intel") == 0;
        if (is_intel || strcmp(value, "att") == 0)
            debugger->syntax = is_intel ? SYNTAX_INTEL : SYNTAX_ATT;
        return is_intel || strcmp(value, "att") == 0;
    }
    if (strcmp(name, "color") == 0)
        return set_switch(value, &debugger->color);
    if (strcmp(name, "print") == 0 && strncmp(value, "pretty ", 7) == 0)
        return set_switch(skip_spaces(value + 7), &debugger->pretty);
    if (strcmp(name, "height") == 0)
        return set_extent(value, &page->has_height, &page->height);
    if (strcmp(name, "width") == 0)
        return set_extent(value, &page->has_width, &page->width);
    if (strcmp(name, "pagination") == 0 && set_switch(value, &on)) {
        page->off = !on;
        return true;
    }
    if (strcmp(name, "scheduler-locking") == 0 && set_switch(value, &on)) {
        debugger->machine_steps = !on;
        return true;
    }
    return false;
}

COMMAND(set)
{
    char word[64];
    const char *rest = arguments;
    if (*arguments == '$')
        return set_convenience(debugger, arguments, error);
    next_word(&rest, word, sizeof word);
    if (set_setting(debugger, word, rest))
        return 0;
    if (strncmp(word, "var", 3) == 0 || strchr(arguments, '='))
        return error_set(error, "the past cannot be changed: 'set $name = ...' sets a variable of "
                                "the debugger");
    return error_set(error, "set: disassembly-flavor att|intel, color on|off, print pretty on|off, "
                            "pagination on|off, height ROWS, width COLUMNS, "
                            "scheduler-locking on|off, or $name = EXPRESSION");
}

const struct command script_commands[] = {
    {"Looking", "set", "", command_set, "$NAME = EXPRESSION|SETTING VALUE",
        "Sets a variable of the debugger, disassembly-flavor att|intel, color on|off, "
        "print pretty on|off (a line for each member), pagination on|off, height and width (of the "
        "pages that long output is shown by on a terminal; 0: without end), or "
        "scheduler-locking: with on, as it is at "
        "first, steps are those of the thread looked at, "
        "with off "
        "those of the machine, whichever vCPU runs. The guest is never written to.",
        "set $n = free_list.head", COMPLETE_SYMBOL, false},
    {"Looking", "echo", "", command_echo, "TEXT", "Prints the text.", "echo here it is",
        COMPLETE_NONE, false},
    {"The session", "directory", "dir", command_directory, "[DIRECTORY]",
        "Where sources are looked for as well.", "directory /usr/src/linux", COMPLETE_FILE, false},
    {"The session", "source", "", command_source, "FILE",
        "Executes a file of commands, or of Python where it is FILE.py.", "source session.hs",
        COMPLETE_FILE, false},
    {"The session", "python", "py", command_python, "[CODE]",
        "Executes Python: the code on the line, or the lines that follow up to 'end'. The module "
        "hindsight has the session: execute, parse_and_eval, position, seek, read_memory, "
        "read_register, lookup_symbol, newest_frame, query, ... (docs/debugger.md).",
        "python print(hindsight.position())", COMPLETE_NONE, false},
    {"The session", "help", "h", command_help, "[COMMAND]",
        "Lists the commands, or tells about one.", "help watch", COMPLETE_COMMAND, false},
    {"The session", "quit", "q exit", command_quit, "", "Ends the session.", "quit", COMPLETE_NONE,
        false},
    {0},
};
