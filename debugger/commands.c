/* How a word finds a command. The commands stand in the tables of their families' files. */
#include "debugger/command.h"

#include <string.h>

#include "base/error.h"

static const struct command *const families[] = {
    step_commands,
    move_commands,
    print_commands,
    printf_commands,
    macro_commands,
    info_commands,
    break_commands,
    stack_commands,
    compare_commands,
    events_commands,
    machine_commands,
    threads_commands,
    races_commands,
    query_commands,
    origin_commands,
    linux_commands,
    symbols_commands,
    modules_commands,
    files_commands,
    script_commands,
    save_commands,
};

enum { FAMILIES = sizeof families / sizeof families[0], MAX_WORD = 24 };

const struct command *commands_at(unsigned number)
{
    for (unsigned i = 0; i < FAMILIES; i++) {
        for (const struct command *command = families[i]; command->name; command++) {
            if (number-- == 0)
                return command;
        }
    }
    return NULL;
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
    for (unsigned i = 0; commands_at(i); i++) {
        const char *name = commands_at(i)->name;
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
    const struct command *command, *found = NULL;
    char candidates[200] = "";
    unsigned count = 0;
    size_t length = strlen(word);
    for (unsigned i = 0; (command = commands_at(i)); i++) {
        if (strcmp(command->name, word) == 0 || is_alias(command, word))
            return command;
    }
    for (unsigned i = 0; (command = commands_at(i)); i++) {
        if (strncmp(command->name, word, length) != 0)
            continue;
        found = command;
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
