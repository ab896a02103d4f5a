/* The session itself: help, files, settings, quitting. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <ctype.h>
#include <gelf.h>
#include <inttypes.h>
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

static void write_points(const struct debugger *debugger, FILE *file)
{
    static const char *const names[] = {[POINT_BREAK] = "break",
        [POINT_WATCH] = "watch",
        [POINT_RWATCH] = "rwatch",
        [POINT_AWATCH] = "awatch",
        [POINT_EVENT] = "catch",
        [POINT_CONSOLE] = "watch console:",
        [POINT_EXCEPTION] = "catch",
        [POINT_MODE] = "catch",
        [POINT_DISK] = "watch"};
    for (unsigned i = 0; i < debugger->point_count; i++) {
        const struct point *point = &debugger->points[i];
        const char *name =
            point->kind == POINT_BREAK && point->temporary ? "tbreak" : names[point->kind];
        bool console = point->kind == POINT_CONSOLE;
        fprintf(file, "%s%s%s%s%s", name, console ? "\"" : " ",
            strcmp(point->text, "here") == 0 ? "" : point->text, console ? "\"" : "", "");
        if (strcmp(point->text, "here") == 0)
            fprintf(file, "*0x%" PRIx64, point->addresses[0]);
        fprintf(file, "%s%s\n", point->condition ? " if " : "",
            point->condition ? point->condition : "");
        if (point->script.size) {
            fprintf(file, "commands\n");
            for (size_t at = 0; at < point->script.size;) {
                const char *line = (const char *)point->script.data + at;
                fprintf(file, "%s\n", line);
                at += strlen(line) + 1;
            }
            fprintf(file, "end\n");
        }
    }
}

COMMAND(save)
{
    struct position at = timeline_position(debugger->timeline);
    if (!*arguments)
        return error_set(error, "save: give a file to write");
    FILE *file = fopen(arguments, "we");
    if (!file)
        return error_set_errno(error, "%s", arguments);
    fprintf(file, "seek %" PRIu64 ".%" PRIu64 "\n", at.event, at.insn);
    for (unsigned i = 1; i < debugger->symbols.module_count; i++)
        fprintf(file, "add-symbol-file %s -o 0x%" PRIx64 "\n", debugger->symbols.modules[i]->name,
            debugger->symbols.modules[i]->bias);
    write_points(debugger, file);
    for (unsigned i = 0; i < debugger->display_count; i++)
        fprintf(file, "display %s\n", debugger->displays[i].text);
    for (unsigned i = 0; i < debugger->bookmark_count; i++)
        fprintf(file, "bookmark %s %" PRIu64 ".%" PRIu64 "\n", debugger->bookmarks[i].name,
            debugger->bookmarks[i].position.event, debugger->bookmarks[i].position.insn);
    if (fclose(file) != 0)
        return error_set_errno(error, "%s", arguments);
    print(debugger, "Saved; 'source %s' brings it back.\n", arguments);
    return 0;
}

static uint64_t text_address(const struct module *module)
{
    Elf_Scn *section = NULL;
    size_t names;
    if (!module->elf || elf_getshdrstrndx(module->elf, &names) < 0)
        return 0;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        const char *name;
        if (gelf_getshdr(section, &header) &&
            (name = elf_strptr(module->elf, names, header.sh_name)) && strcmp(name, ".text") == 0)
            return header.sh_addr;
    }
    return 0;
}

static void remove_last_module(struct symbols *symbols)
{
    struct module *module = symbols->modules[symbols->module_count - 1];
    const char *start = module->image, *end = start + module->size;
    size_t kept = 0;
    for (size_t i = 0; i < symbols->count; i++) {
        if (symbols->list[i].name < start || symbols->list[i].name >= end)
            symbols->list[kept++] = symbols->list[i];
    }
    symbols->count = kept;
    symbols->module_count--;
    struct symbols alone = {.modules = {module}, .module_count = 1};
    symbols_free(&alone);
}

/* Linux, which may have moved itself. */
static bool is_kernel(const struct symbols *symbols, unsigned number)
{
    const char *start = symbols->modules[number]->image;
    const struct symbol *symbol = symbols_find(symbols, "asm_exc_page_fault");
    return symbol && symbol->name >= start && symbol->name < start + symbols->modules[number]->size;
}

/* Is it the file that runs? Linux patches some of its own code (4 % was seen). */
static int check_module(
    struct debugger *debugger, const char *file, bool force, struct error *error)
{
    struct symbols *symbols = &debugger->symbols;
    uint64_t compared, different;
    const struct module *module = symbols->modules[symbols->module_count - 1];
    if (!module->elf || debugger->unplaced == symbols->module_count) {
        if (debugger->unplaced)
            print(debugger, "Where the kernel is will be known when it has set up its handlers.\n");
        return 0;
    }
    symbols_compare(module, &debugger->view, &compared, &different);
    if (compared == 0) {
        print(debugger, "Its code is not mapped here, so whether it fits cannot be told; "
                        "'info files' compares again.\n");
        return 0;
    }
    unsigned allowed = is_kernel(symbols, symbols->module_count - 1) ? 10 : 50;
    if (different <= compared / allowed || force)
        return 0;
    remove_last_module(symbols);
    return error_set(error,
        "%s: not what runs in this trace: %" PRIu64 " of %" PRIu64
        " bytes of its code differ from memory; give its address, or -f to use it all the same",
        file, different, compared);
}

COMMAND(add_symbol_file)
{
    char file[1024], word[64];
    uint64_t address = 0;
    bool is_offset = false, has_address = false, force = false;
    struct symbols *symbols = &debugger->symbols;
    if (!next_word(&arguments, file, sizeof file))
        return error_set(error, "add-symbol-file: give an ELF file, System.map or kallsyms");
    if (session_look(debugger, error) < 0)
        return -1;
    while (next_word(&arguments, word, sizeof word)) {
        if (strcmp(word, "-o") == 0) {
            is_offset = true;
        } else if (strcmp(word, "-f") == 0) {
            force = true;
        } else if (session_number(debugger, word, &address, error) < 0) {
            return -1;
        } else {
            has_address = true;
        }
    }
    size_t before = symbols->count;
    if (symbols_add_file(symbols, file, is_offset ? address : 0, error) < 0)
        return -1;
    unsigned number = symbols->module_count - 1;
    if (has_address && !is_offset)
        symbols_move(symbols, number, address - text_address(symbols->modules[number]));
    size_t added = symbols->count - before;
    debugger_moved(debugger);
    if (!has_address && is_kernel(symbols, number)) {
        debugger->unplaced = number + 1;
        if (session_look(debugger, error) < 0)
            return -1;
    }
    if (check_module(debugger, file, force, error) < 0)
        return -1;
    print(debugger, "%zu symbols from %s%s\n", added, file,
        symbols->modules[number]->dwarf ? ", with debugging information" : "");
    return 0;
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

COMMAND(set)
{
    char word[64];
    const char *rest = arguments;
    if (*arguments == '$')
        return set_convenience(debugger, arguments, error);
    next_word(&rest, word, sizeof word);
    if (strcmp(word, "disassembly-flavor") == 0 && strcmp(rest, "intel") == 0)
        debugger->syntax = SYNTAX_INTEL;
    else if (strcmp(word, "disassembly-flavor") == 0 && strcmp(rest, "att") == 0)
        debugger->syntax = SYNTAX_ATT;
    else if (strcmp(word, "color") == 0 && (strcmp(rest, "on") == 0 || strcmp(rest, "off") == 0))
        debugger->color = strcmp(rest, "on") == 0;
    else if (strncmp(word, "var", 3) == 0 || strchr(arguments, '='))
        return error_set(error, "the past cannot be changed: 'set $name = ...' sets a variable of "
                                "the debugger");
    else
        return error_set(error, "set: disassembly-flavor att|intel, color on|off, or $name = "
                                "EXPRESSION");
    return 0;
}

const struct command script_commands[] = {
    {"Looking", "set", "", command_set, "$NAME = EXPRESSION|SETTING VALUE",
        "Sets a variable of the debugger, disassembly-flavor att|intel, or color on|off. The guest "
        "is "
        "never written to.",
        "set $n = free_list.head", COMPLETE_SYMBOL, false},
    {"Looking", "echo", "", command_echo, "TEXT", "Prints the text.", "echo here it is",
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
    {0},
};
