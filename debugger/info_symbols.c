/* Lists of names, file by file with their lines, as gdb has them. */
#include "debugger/info_symbols.h"

#include <dwarf.h>
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/names.h"
#include "debugger/scopes.h"
#include "debugger/session.h"

enum { MAX_SHOWN = 500 };

struct listed {
    const char *file;
    int line;
    char *text;
};

struct search {
    struct debugger *debugger;
    regex_t pattern;
    struct listed *list;
    unsigned count, capacity;
    bool failed, more;
};

static int open_search(
    struct search *search, struct debugger *debugger, const char *text, struct error *error)
{
    char why[100];
    *search = (struct search){.debugger = debugger};
    int status = regcomp(&search->pattern, text, REG_EXTENDED | REG_NOSUB);
    if (status == 0)
        return 0;
    regerror(status, &search->pattern, why, sizeof why);
    return error_set(error, "'%.60s': %s", text, why);
}

static void close_search(struct search *search)
{
    for (unsigned i = 0; i < search->count; i++)
        free(search->list[i].text);
    free(search->list);
    regfree(&search->pattern);
}

static bool matches(const struct search *search, const char *name)
{
    return regexec(&search->pattern, name, 0, NULL, 0) == 0;
}

/* Takes over the text. */
static void keep(struct search *search, Dwarf_Die *die, struct buffer *text)
{
    if (search->count == search->capacity) {
        unsigned capacity = search->capacity ? 2 * search->capacity : 64;
        struct listed *list = realloc(search->list, capacity * sizeof *list);
        if (!list) {
            search->failed = true;
            return;
        }
        search->list = list;
        search->capacity = capacity;
    }
    struct listed listed = {dwarf_decl_file(die), 0, NULL};
    buffer_put_u8(text, 0);
    listed.text = text->failed ? NULL : strdup((const char *)text->data);
    dwarf_decl_line(die, &listed.line);
    if (listed.text)
        search->list[search->count++] = listed;
    search->failed |= !listed.text;
}

static int by_place(const void *a, const void *b)
{
    const struct listed *left = a, *right = b;
    int files = strcmp(left->file ? left->file : "", right->file ? right->file : "");
    if (files)
        return files;
    return left->line != right->line ? (left->line > right->line) - (left->line < right->line)
                                     : strcmp(left->text, right->text);
}

static void show(struct search *search, const char *what, const char *pattern)
{
    struct debugger *debugger = search->debugger;
    const struct listed *before = NULL;
    if (*pattern)
        print(debugger, "All %s matching regular expression \"%s\":\n", what, pattern);
    else
        print(debugger, "All %s:\n", what);
    if (search->count)
        qsort(search->list, search->count, sizeof *search->list, by_place);
    for (unsigned i = 0; i < search->count; i++) {
        const struct listed *listed = &search->list[i];
        bool same_file = before && before->file == listed->file;
        if (same_file && before->line == listed->line && strcmp(before->text, listed->text) == 0)
            continue;
        if (!same_file)
            print(debugger, "\nFile %s:\n", listed->file ? listed->file : "<unknown>");
        print(debugger, "%d:\t%s;\n", listed->line, listed->text);
        before = listed;
    }
    if (search->more)
        print(debugger, "(more than %d; a longer expression tells them apart)\n", MAX_SHOWN);
    debugger->lost |= search->failed;
}

static void put(struct buffer *out, const char *text)
{
    buffer_put(out, text, strlen(text));
}

static bool is_type(int tag)
{
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type ||
           tag == DW_TAG_enumeration_type || tag == DW_TAG_typedef || tag == DW_TAG_base_type;
}

static bool add_type(void *context, const char *name, int tag, Dwarf_Die *die)
{
    struct search *search = context;
    struct buffer text = {0};
    if (!is_type(tag) || !matches(search, name))
        return false;
    if (search->count == MAX_SHOWN) {
        search->more = true;
        return true;
    }
    struct type type = type_from_die(die);
    if (tag == DW_TAG_typedef) {
        struct type target = type_of(die);
        put(&text, "typedef ");
        type_describe(&target, &text);
        put(&text, " ");
        put(&text, name);
    } else {
        type_describe(&type, &text);
    }
    keep(search, die, &text);
    buffer_free(&text);
    return false;
}

static bool add_variable(void *context, const char *name, int tag, Dwarf_Die *die)
{
    struct search *search = context;
    struct buffer text = {0};
    if (tag != DW_TAG_variable || !matches(search, name))
        return false;
    if (search->count == MAX_SHOWN) {
        search->more = true;
        return true;
    }
    struct type type = type_of(die);
    put(&text, dwarf_hasattr_integrate(die, DW_AT_external) ? "" : "static ");
    type_declare(&type, name, &text);
    keep(search, die, &text);
    buffer_free(&text);
    return false;
}

static int list(struct debugger *debugger, const char *pattern, const char *what,
    bool (*add)(void *context, const char *name, int tag, Dwarf_Die *die), struct error *error)
{
    struct search search;
    if (open_search(&search, debugger, pattern, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        struct module *module = debugger->symbols.modules[i];
        if (!module->away && module->dwarf && index_names(module, add, &search))
            break;
    }
    show(&search, what, pattern);
    close_search(&search);
    return 0;
}

int info_types(struct debugger *debugger, const char *arguments, struct error *error)
{
    return list(debugger, arguments, "defined types", add_type, error);
}

int info_variables(struct debugger *debugger, const char *arguments, struct error *error)
{
    return list(debugger, arguments, "defined variables", add_variable, error);
}

int info_functions(struct debugger *debugger, const char *arguments, struct error *error)
{
    unsigned shown = 0;
    struct search search;
    if (open_search(&search, debugger, arguments, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        for (size_t j = 0; j < module->count && !module->away && shown < MAX_SHOWN; j++) {
            const struct symbol *symbol = &module->list[j];
            if (symbol->kind != SYMBOL_FUNCTION || !matches(&search, symbol->name))
                continue;
            print(debugger, "0x%016" PRIx64 "  %s\n", symbol->address, symbol->name);
            shown++;
        }
    }
    if (shown == 0)
        print(debugger, "No function has '%s' in its name.\n", arguments);
    close_search(&search);
    return 0;
}

static unsigned show_scope(struct debugger *debugger, Dwarf_Die *scope)
{
    Dwarf_Die child;
    unsigned count = 0;
    if (dwarf_child(scope, &child) != 0)
        return 0;
    do {
        int tag = dwarf_tag(&child);
        const char *name = dwarf_diename(&child);
        if (!name || (tag != DW_TAG_variable && tag != DW_TAG_formal_parameter))
            continue;
        struct buffer text = {0};
        struct type type = type_of(&child);
        type_describe(&type, &text);
        print(debugger, "Symbol %s is %s of type ", name,
            tag == DW_TAG_variable ? "a variable" : "an argument");
        print_text(debugger, &text);
        print(debugger, ", length %" PRIu64 ".\n", type_size(&type));
        buffer_free(&text);
        count++;
    } while (dwarf_siblingof(&child, &child) == 0);
    return count;
}

int info_scope(struct debugger *debugger, const char *arguments, struct error *error)
{
    uint64_t address;
    unsigned count, shown = 0;
    struct scopes scopes;
    if (!*arguments)
        return error_set(error, "info scope: give a place in code");
    if (place_parse(debugger, arguments, &address, 1, &count, error) < 0)
        return -1;
    if (!scopes_at(&debugger->symbols, address, &scopes))
        return error_set(error, "no debugging information for '%.60s'", arguments);
    print(debugger, "Scope for %s:\n", arguments);
    for (unsigned i = scopes.count; i-- > 0;) {
        shown += show_scope(debugger, &scopes.list[i]);
        if (dwarf_tag(&scopes.list[i]) == DW_TAG_inlined_subroutine)
            break;
    }
    if (shown == 0)
        print(debugger, "It has no locals.\n");
    return 0;
}
