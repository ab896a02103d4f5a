/* Completion of commands, symbols, registers, members, tags of types and source files. */
#include "debugger/command.h"
#include "debugger/index.h"
#include "debugger/session.h"
#include "debugger/variables.h"

#include <ctype.h>
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

struct sink {
    struct debugger *debugger;
    const char *prefix;
    void (*add)(void *context, const char *candidate);
    void *context;
};

static void offer(const struct sink *sink, const char *candidate)
{
    if (strncmp(candidate, sink->prefix, strlen(sink->prefix)) == 0)
        sink->add(sink->context, candidate);
}

static void offer_commands(const struct sink *sink)
{
    const struct command *command;
    for (unsigned i = 0; (command = commands_at(i)); i++)
        offer(sink, command->name);
}

static void offer_registers(const struct sink *sink)
{
    char name[40];
    for (unsigned i = 0; view_register_name(i); i++) {
        snprintf(name, sizeof name, "$%s", view_register_name(i));
        offer(sink, name);
    }
}

static void offer_info(const struct sink *sink)
{
    static const char *const subjects[] = {"registers", "breakpoints", "watchpoints", "locals",
        "args", "frame", "display", "symbol", "line", "functions", "types", "variables", "scope",
        "macro", "macros", "float", "vector", "history", "files", "processes", "maps",
        "checkpoints", "trace"};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        offer(sink, subjects[i]);
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.';
}

/* ---- Members ---- */

static const char *skip_brackets_back(const char *line, const char *at)
{
    unsigned depth = 0;
    do {
        at--;
        depth += *at == ')' || *at == ']';
        depth -= *at == '(' || *at == '[';
    } while (depth && at > line);
    return at;
}

/* Where the operand begins that ends at `end`: "nodes[0].next" of "print nodes[0].next->". */
static const char *operand_before(const char *line, const char *end)
{
    const char *at = end;
    while (at > line) {
        if (at[-1] == ')' || at[-1] == ']')
            at = skip_brackets_back(line, at);
        else if (is_name(at[-1]) || at[-1] == ':')
            at--;
        else if (at - line > 1 && at[-1] == '>' && at[-2] == '-')
            at -= 2;
        else
            break;
    }
    return at;
}

/* What the names of members begin after: "->", or "." in the word itself; NULL where none is. */
static const char *find_selector(const char *line, size_t start, size_t *size)
{
    const char *word = line + start, *dot = strrchr(word, '.');
    *size = 1;
    if (dot)
        return dot;
    *size = 2;
    return start >= 2 && strncmp(word - 2, "->", 2) == 0 ? word - 2 : NULL;
}

static bool offer_member(void *context, const struct member *member)
{
    struct sink *sink = context;
    if (!member->name || member->is_base)
        type_each_member(&member->type, offer_member, sink);
    else
        offer(sink, member->name);
    return false;
}

/* readline replaces the whole word, of which a part may stand before the dot. */
struct prefixed {
    const struct sink *sink;
    const char *head;
    int length;
};

static void add_prefixed(void *context, const char *candidate)
{
    const struct prefixed *prefixed = context;
    char text[600];
    snprintf(text, sizeof text, "%.*s%s", prefixed->length, prefixed->head, candidate);
    prefixed->sink->add(prefixed->sink->context, text);
}

static void offer_members(
    const struct sink *sink, const char *line, const char *selector, size_t size)
{
    char expression[MAX_LINE];
    struct value value;
    struct error ignored;
    const char *operand = operand_before(line, selector);
    snprintf(expression, sizeof expression, "%.*s", (int)(selector - operand), operand);
    if (session_evaluate(sink->debugger, expression, &value, &ignored) < 0)
        return;
    struct type type = value.type;
    while (type_kind(&type) == TYPE_POINTER || type_kind(&type) == TYPE_REFERENCE)
        type = type_target(&type);
    type_complete(&sink->debugger->symbols, &type);
    const char *rest = selector + size;
    const struct prefixed prefixed = {sink, sink->prefix, (int)(rest - sink->prefix)};
    struct sink members = {sink->debugger, rest, add_prefixed, (void *)(uintptr_t)&prefixed};
    if (type_kind(&type) == TYPE_STRUCT)
        type_each_member(&type, offer_member, &members);
}

/* ---- Tags, files, names ---- */

struct tagged {
    const struct sink *sink;
    int tags[2];
};

static bool offer_tagged(void *context, const char *name, int tag, Dwarf_Die *die)
{
    const struct tagged *tagged = context;
    (void)die;
    if (tag == tagged->tags[0] || tag == tagged->tags[1])
        offer(tagged->sink, name);
    return false;
}

/* After "struct", "union", "class" or "enum"; false when none of them stands before the word. */
static bool offer_tags(const struct sink *sink, const char *line, size_t start)
{
    static const struct {
        const char *word;
        int tags[2];
    } kinds[] = {{"struct", {DW_TAG_structure_type, DW_TAG_class_type}},
        {"class", {DW_TAG_structure_type, DW_TAG_class_type}}, {"union", {DW_TAG_union_type, 0}},
        {"enum", {DW_TAG_enumeration_type, 0}}};
    size_t end = start;
    while (end && isspace((unsigned char)line[end - 1]))
        end--;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && end < start; i++) {
        size_t size = strlen(kinds[i].word);
        if (end < size || strncmp(line + end - size, kinds[i].word, size) != 0 ||
            (end > size && is_name(line[end - size - 1])))
            continue;
        struct tagged tagged = {sink, {kinds[i].tags[0], kinds[i].tags[1]}};
        for (unsigned j = 0; j < sink->debugger->symbols.module_count; j++)
            index_names(sink->debugger->symbols.modules[j], offer_tagged, &tagged);
        return true;
    }
    return false;
}

/* "crash.c:", for a line of it. */
static void offer_files(const struct sink *sink)
{
    const struct symbols *symbols = &sink->debugger->symbols;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        Dwarf *dwarf = symbols->modules[i]->dwarf;
        Dwarf_CU *cu = NULL;
        Dwarf_Die unit;
        uint8_t type;
        while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, &type, &unit, NULL) == 0) {
            char text[300];
            const char *name = dwarf_diename(&unit), *slash = name ? strrchr(name, '/') : NULL;
            snprintf(text, sizeof text, "%s:", slash ? slash + 1 : name ? name : "");
            if (name && type == DW_UT_compile)
                offer(sink, text);
        }
    }
}

static void offer_local(void *context, const char *name, const struct value *value)
{
    (void)value;
    offer(context, name);
}

static void offer_names(struct sink *sink)
{
    struct debugger *debugger = sink->debugger;
    if (session_look(debugger, NULL) == 0) {
        variables_each(
            &debugger->symbols, &debugger->view, &debugger->frame, true, offer_local, sink);
        variables_each(
            &debugger->symbols, &debugger->view, &debugger->frame, false, offer_local, sink);
    }
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        for (size_t j = 0; j < module->count; j++)
            offer(sink, module->list[j].name);
    }
}

static void offer_operands(struct sink *sink, const char *line, size_t start, bool places)
{
    size_t size;
    const char *selector = find_selector(line, start, &size);
    if (*sink->prefix == '$') {
        offer_registers(sink);
        return;
    }
    if (offer_tags(sink, line, start))
        return;
    if (selector)
        offer_members(sink, line, selector, size);
    else if (is_name(*sink->prefix))
        offer_names(sink);
    if (places && is_name(*sink->prefix))
        offer_files(sink);
}

bool debugger_complete(struct debugger *debugger, const char *line, size_t start,
    void (*add)(void *context, const char *candidate), void *context)
{
    char word[64];
    const char *rest = skip_spaces(line);
    size_t begin = (size_t)(rest - line), length = 0;
    struct sink sink = {debugger, line + start, add, context};
    if (start <= begin) {
        offer_commands(&sink);
        return true;
    }
    while (isalnum((unsigned char)rest[length]) || rest[length] == '-')
        length++;
    snprintf(word, sizeof word, "%.*s", (int)length, rest);
    const struct command *command = commands_find(word, NULL);
    if (!command)
        return true;
    if (command->completion == COMPLETE_FILE || command->completion == COMPLETE_FOLDER)
        return false;
    if (command->completion == COMPLETE_COMMAND)
        offer_commands(&sink);
    if (strcmp(command->name, "info") == 0)
        offer_info(&sink);
    if (command->completion == COMPLETE_SYMBOL || command->completion == COMPLETE_PLACE)
        offer_operands(&sink, line, start, command->completion == COMPLETE_PLACE);
    return true;
}

bool debugger_repeats(const char *line)
{
    char word[64];
    size_t length = 0;
    line = skip_spaces(line);
    while (isalnum((unsigned char)line[length]) || line[length] == '-')
        length++;
    snprintf(word, sizeof word, "%.*s", (int)length, line);
    const struct command *command = *word ? commands_find(word, NULL) : NULL;
    return command && command->repeats;
}
