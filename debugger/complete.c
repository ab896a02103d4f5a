/* Completion of commands, symbols and registers. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct sink {
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
        "history", "files", "processes", "maps", "checkpoints", "trace"};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        offer(sink, subjects[i]);
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.';
}

bool debugger_complete(struct debugger *debugger, const char *line, size_t start,
    void (*add)(void *context, const char *candidate), void *context)
{
    char word[64];
    const char *rest = skip_spaces(line);
    size_t begin = (size_t)(rest - line), length = 0;
    struct sink sink = {line + start, add, context};
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
    if (command->completion != COMPLETE_SYMBOL)
        return true;
    if (*sink.prefix == '$') {
        offer_registers(&sink);
    } else if (is_name(*sink.prefix)) {
        for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
            const struct module *module = debugger->symbols.modules[i];
            for (size_t j = 0; j < module->count; j++)
                offer(&sink, module->list[j].name);
        }
    }
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
