/* Symbol files: added by hand, refused when they are not what runs, taken out again. */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/command.h"
#include "debugger/processes.h"
#include "debugger/session.h"
#include "debugger/source.h"

enum { MAX_SECTIONS = 32 };

/* What was asked for. */
struct request {
    char file[1024], process[64];
    bool has_address, has_offset, force;
    uint64_t address, offset;
    struct placed_section sections[MAX_SECTIONS];
    unsigned section_count;
};

static int parse_section(
    struct debugger *debugger, struct request *request, const char **arguments, struct error *error)
{
    char address[64];
    if (request->section_count == MAX_SECTIONS)
        return error_set(error, "at most %d sections", MAX_SECTIONS);
    struct placed_section *section = &request->sections[request->section_count++];
    if (!next_word(arguments, section->name, sizeof section->name) ||
        !next_word(arguments, address, sizeof address))
        return error_set(error, "add-symbol-file: -s SECTION ADDRESS");
    return session_number(debugger, address, &section->address, error);
}

static int parse(
    struct debugger *debugger, const char *arguments, struct request *request, struct error *error)
{
    char word[64];
    if (!next_word(&arguments, request->file, sizeof request->file))
        return error_set(error, "add-symbol-file: give an ELF file, System.map or kallsyms");
    while (next_word(&arguments, word, sizeof word)) {
        if (strcmp(word, "-f") == 0) {
            request->force = true;
        } else if (strcmp(word, "-s") == 0) {
            if (parse_section(debugger, request, &arguments, error) < 0)
                return -1;
        } else if (strcmp(word, "-process") == 0) {
            if (!next_word(&arguments, request->process, sizeof request->process))
                return error_set(error, "add-symbol-file: -process NAME or PID");
        } else if (strcmp(word, "-o") == 0) {
            request->has_offset = true;
            if (!next_word(&arguments, word, sizeof word))
                return error_set(error, "add-symbol-file: -o OFFSET");
            if (session_number(debugger, word, &request->offset, error) < 0)
                return -1;
        } else {
            request->has_address = true;
            if (session_number(debugger, word, &request->address, error) < 0)
                return -1;
        }
    }
    if (request->has_address && request->address == 0)
        return error_set(error, "%s: nothing is at address 0", request->file);
    return 0;
}

static void announce(struct debugger *debugger, const struct module *module)
{
    print(debugger, "%zu symbols from %s%s\n", module->count, module->name,
        module->dwarf ? ", with debugging information" : "");
}

/* ---- Kernel modules ---- */

static int add_relocatable(struct debugger *debugger, struct request *request, struct error *error)
{
    struct symbols *symbols = &debugger->symbols;
    if (!request->has_address) {
        if (!follow_kernel(debugger))
            return error_set(error,
                "%s: relocatable, its sections have no addresses of their own: give .text's, and "
                "others with -s, or the kernel's symbols, which tell",
                request->file);
        return follow_add_file(debugger, request->file, error);
    }
    if (request->section_count == MAX_SECTIONS)
        return error_set(error, "at most %d sections", MAX_SECTIONS - 1);
    struct placed_section *text = &request->sections[request->section_count++];
    strcpy(text->name, ".text");
    text->address = request->address;
    if (symbols_add_placed(
            symbols, request->file, request->sections, request->section_count, error) < 0)
        return -1;
    debugger_moved(debugger);
    announce(debugger, symbols->modules[symbols->module_count - 1]);
    return 0;
}

/* ---- Linked files ---- */

static void take_back(struct debugger *debugger)
{
    symbols_remove(&debugger->symbols, debugger->symbols.module_count - 1);
    debugger_moved(debugger);
}

/* A kernel that is not there: because it does not run yet, or because another one does. */
static int check_kernel(struct debugger *debugger, const struct request *request,
    const struct module *module, struct error *error)
{
    uint64_t lstar = debugger->view.state.lstar;
    if (!module->away)
        return 0;
    if (lstar >> 63 && !request->force) {
        take_back(debugger);
        return error_set(error,
            "%s: not the kernel that runs here: its code is not in memory at any distance; -f "
            "keeps "
            "it for where it does run",
            request->file);
    }
    print(debugger, "Where the kernel is will be known as soon as it runs.\n");
    return 0;
}

static int check_fixed(struct debugger *debugger, const struct request *request,
    const struct module *module, struct error *error)
{
    uint64_t compared, different;
    if (!module->elf)
        return 0;
    symbols_compare(module, &debugger->view, &compared, &different);
    if (compared == 0) {
        print(debugger, "Its code is not mapped here, so whether it fits cannot be told; "
                        "'info files' compares again.\n");
        return 0;
    }
    /* A kernel patches some of its own code (4 % was seen). */
    unsigned allowed = follow_is_kernel(module) ? 10 : 50;
    if (different <= compared / allowed || request->force)
        return 0;
    take_back(debugger);
    return error_set(error,
        "%s: not what runs in this trace: %" PRIu64 " of %" PRIu64
        " bytes of its code differ from memory; give its address, or -f to use it all the same",
        request->file, different, compared);
}

/* Executables that run anywhere are linked at 0. */
static bool is_nowhere(const struct module *module, const struct request *request)
{
    return module->elf && module->low < PAGE_SIZE && !request->has_address && !request->has_offset;
}

static int add_linked(struct debugger *debugger, const struct request *request, struct error *error)
{
    struct symbols *symbols = &debugger->symbols;
    uint64_t text, size;
    const void *bytes;
    if (symbols_add_file(symbols, request->file, request->offset, error) < 0)
        return -1;
    struct module *module = symbols->modules[symbols->module_count - 1];
    if (*request->process) {
        module->kind = MODULE_PROCESS;
        module->away = true;
        if (!(module->owner = strdup(request->process))) {
            take_back(debugger);
            return error_set(error, "out of memory");
        }
    } else if (is_nowhere(module, request)) {
        take_back(debugger);
        return error_set(error,
            "%s: linked to run at any address: give its address, an offset with -o, or -process "
            "NAME",
            request->file);
    } else if (request->has_address) {
        if (!module_section(module, ".text", &text, &bytes, &size))
            text = 0;
        symbols_move(module, request->address - text);
    } else if (!request->has_offset && follow_is_kernel(module)) {
        module->kind = MODULE_KERNEL;
        module->away = true;
    }
    debugger_moved(debugger);
    if (session_look(debugger, error) < 0)
        return -1;
    int result = module->kind == MODULE_KERNEL    ? check_kernel(debugger, request, module, error)
                 : module->kind == MODULE_PROCESS ? processes_check(debugger, module, error)
                                                  : check_fixed(debugger, request, module, error);
    if (result < 0)
        return -1;
    announce(debugger, module);
    return points_resolve(debugger, error);
}

COMMAND(add_symbol_file)
{
    struct request request = {.file = ""};
    if (session_look(debugger, error) < 0 || parse(debugger, arguments, &request, error) < 0)
        return -1;
    return symbols_is_relocatable(request.file) ? add_relocatable(debugger, &request, error)
                                                : add_linked(debugger, &request, error);
}

COMMAND(remove_symbol_file)
{
    char word[1024];
    uint64_t address = 0;
    struct symbols *symbols = &debugger->symbols;
    if (!next_word(&arguments, word, sizeof word))
        return error_set(error, "remove-symbol-file: give a file, or -a ADDRESS in it");
    bool by_address = strcmp(word, "-a") == 0;
    if (by_address && session_number(debugger, arguments, &address, error) < 0)
        return -1;
    for (unsigned i = symbols->module_count; i-- > 0;) {
        const struct module *module = symbols->modules[i];
        bool wanted = by_address ? !module->away && module->elf && module_covers(module, address)
                                 : strcmp(module->name, word) == 0 ||
                                       strcmp(base_name(module->name), word) == 0;
        if (!wanted)
            continue;
        print(debugger, "%s is no longer used.\n", module->name);
        if (module->kind == MODULE_LOADED)
            follow_forget_file(debugger, module->owner);
        symbols_remove(symbols, i);
        /* Values and types that were kept may be of this file. */
        debugger->history_count = debugger->variable_count = 0;
        debugger->list_file = NULL;
        debugger_moved(debugger);
        return points_resolve(debugger, error);
    }
    return error_set(error, "no symbol file '%s' (see 'info files')", word);
}

const struct command symbols_commands[] = {
    {"The session", "add-symbol-file", "file symbol-file", command_add_symbol_file,
        "FILE [ADDRESS|-o OFFSET|-process NAME] [-s SECTION ADDRESS]... [-f]",
        "Adds symbols of an ELF file (ADDRESS is where its .text is), System.map or kallsyms. A "
        "kernel is found by itself, wherever it moved; so are a program with -process NAME or PID, "
        "and a kernel's module. A file whose code is not what memory holds is refused unless -f is "
        "given.",
        "add-symbol-file vmlinux", COMPLETE_FILE, false},
    {"The session", "remove-symbol-file", "", command_remove_symbol_file, "FILE|-a ADDRESS",
        "Takes out a symbol file, by name or by an address in it.", "remove-symbol-file vmlinux",
        COMPLETE_FILE, false},
    {0},
};
