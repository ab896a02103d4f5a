/* Lines that a person types at the debugger's prompt. */
#include "cli/line_editor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HINDSIGHT_READLINE

#include <readline/history.h>
#include <readline/readline.h>

#include "debugger/debugger.h"

static volatile sig_atomic_t pressed; /* Ctrl-C at the prompt */
static char history[PATH_MAX];
/* readline's completion function takes no context. */
static struct {
    struct debugger *debugger;
    char **list;
    size_t count, capacity;
} completion;

/* Ctrl-C at the prompt drops what was typed; a fresh prompt comes. */
static int drop_line(void)
{
    if (!pressed)
        return 0;
    pressed = 0;
    rl_point = rl_end;
    rl_redisplay();
    rl_crlf();
    rl_replace_line("", 1);
    rl_on_new_line();
    rl_redisplay();
    return 0;
}

static void add_candidate(void *context, const char *candidate)
{
    (void)context;
    if (completion.count == completion.capacity) {
        size_t capacity = completion.capacity ? completion.capacity * 2 : 64;
        char **list = realloc(completion.list, capacity * sizeof *list);
        if (!list)
            return;
        completion.list = list;
        completion.capacity = capacity;
    }
    char *copy = strdup(candidate);
    if (copy)
        completion.list[completion.count++] = copy;
}

/* Hands over the strings one by one; readline frees them. */
static char *next_candidate(const char *text, int state)
{
    static size_t next;
    (void)text;
    if (state == 0)
        next = 0;
    return next < completion.count ? completion.list[next++] : NULL;
}

static char **complete(const char *text, int start, int end)
{
    (void)end;
    completion.count = 0;
    rl_attempted_completion_over = 1;
    if (!debugger_complete(
            completion.debugger, rl_line_buffer, (size_t)start, add_candidate, NULL)) {
        rl_attempted_completion_over = 0;
        return NULL;
    }
    if (completion.count == 0)
        return NULL;
    /* After "crash.c:" comes a line. */
    const char *first = completion.list[0];
    bool is_file = *first && first[strlen(first) - 1] == ':';
    rl_completion_append_character = is_file ? '\0' : ' ';
    return rl_completion_matches(text, next_candidate);
}

bool line_editor_available(void)
{
    return true;
}

bool line_editor_history(char path[PATH_MAX])
{
    const char *home = getenv("HOME");
    return home && snprintf(path, PATH_MAX, "%s/.hindsight_history", home) < PATH_MAX;
}

/* In place: readline's own way makes other files beside it, which confinement does not allow. */
static void save_history(const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    for (int i = 0; i < history_length; i++) {
        const HIST_ENTRY *entry = history_get(history_base + i);
        if (entry)
            fprintf(file, "%s\n", entry->line);
    }
    fclose(file);
}

void line_editor_start(struct debugger *debugger)
{
    completion.debugger = debugger;
    rl_readline_name = "hindsight";
    /* The first at once; the second where the signal came between two reads. */
    rl_signal_event_hook = drop_line;
    rl_event_hook = drop_line;
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t\n\"'`@><=;|&{(+-*/,!~?:[";
    using_history();
    stifle_history(1000);
    if (line_editor_history(history))
        read_history(history);
    else
        history[0] = '\0';
}

char *line_editor_read(const char *prompt)
{
    return readline(prompt);
}

void line_editor_remember(const char *line)
{
    HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!last || strcmp(last->line, line) != 0)
        add_history(line);
}

void line_editor_end(void)
{
    if (*history)
        save_history(history);
    free(completion.list);
    completion.list = NULL;
    completion.count = completion.capacity = 0;
}

void line_editor_interrupt(void)
{
    pressed = 1;
}

#else

bool line_editor_available(void)
{
    return false;
}

bool line_editor_history(char path[PATH_MAX])
{
    (void)path;
    return false;
}

void line_editor_start(struct debugger *debugger)
{
    (void)debugger;
}

char *line_editor_read(const char *prompt)
{
    char *line = NULL;
    size_t size = 0;
    fputs(prompt, stdout);
    fflush(stdout);
    if (getline(&line, &size, stdin) < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

void line_editor_remember(const char *line)
{
    (void)line;
}

void line_editor_end(void) {}

void line_editor_interrupt(void) {}

#endif
