/* Opening and closing a session, looking at where it stands, executing a line. */
#include "debugger/session.h"
#include "debugger/threads.h"
#include "base/visible.h"
#include "debugger/command.h"
#include "debugger/hostfile.h"
#include "debugger/index.h"
#include "debugger/python/python.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void print(struct debugger *debugger, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    struct buffer text = {0};
    uint8_t *space = length < 0 ? NULL : buffer_extend(&text, (size_t)length + 1);
    if (space) {
        vsnprintf((char *)space, (size_t)length + 1, format, again);
        text.size--;
    }
    va_end(again);
    print_text(debugger, &text);
    buffer_free(&text);
}

void print_text(struct debugger *debugger, const struct buffer *text)
{
    buffer_put_visible(&debugger->out, text->data, text->size);
    debugger->out.failed |= text->failed;
}

void print_raw(struct debugger *debugger, const char *text)
{
    buffer_put(&debugger->out, text, strlen(text));
}

/* What there is of the output can be shown; that some is missing is kept for the error. */
static void note_lost_output(struct debugger *debugger)
{
    debugger->lost |= debugger->out.failed;
    debugger->out.failed = false;
}

void session_flush(struct debugger *debugger)
{
    note_lost_output(debugger);
    if (debugger->flush && debugger->out.size)
        debugger->flush(debugger->flush_context, &debugger->out);
}

const char *skip_spaces(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

bool next_word(const char **text, char *word, size_t size)
{
    size_t length = 0;
    const char *at = skip_spaces(*text);
    for (; *at && !isspace((unsigned char)*at); at++) {
        if (length + 1 < size)
            word[length++] = *at;
    }
    word[length] = '\0';
    *text = skip_spaces(at);
    return length > 0;
}

/* ---- Looking ---- */

void debugger_moved(struct debugger *debugger)
{
    debugger->view_known = false;
    debugger->thread = 0;
}

int session_select_thread(struct debugger *debugger, unsigned thread, struct error *error)
{
    debugger->view_known = false;
    debugger->thread = debugger->shown = thread;
    return session_look(debugger, error);
}

int session_look(struct debugger *debugger, struct error *error)
{
    if (debugger->view_known)
        return 0;
    if (debugger->thread == 0)
        debugger->thread = threads_running(debugger->timeline);
    if (threads_view(&debugger->view, debugger->timeline, debugger->thread, error) < 0)
        return -1;
    debugger->view_known = true;
    debugger->level = 0;
    follow(debugger);
    unwind_start(&debugger->symbols, &debugger->view, &debugger->frame);
    return 0;
}

int session_frame(
    struct debugger *debugger, unsigned level, struct frame *frame, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    unwind_start(&debugger->symbols, &debugger->view, frame);
    for (unsigned i = 0; i < level; i++) {
        struct frame caller;
        if (!unwind_next(&debugger->symbols, &debugger->view, frame, &caller))
            return error_set(error, "there is no frame %u: the outermost is %u", level, i);
        *frame = caller;
    }
    return 0;
}

void session_scope(const struct debugger *debugger, struct expression_scope *scope)
{
    *scope = (struct expression_scope){
        .symbols = &debugger->symbols,
        .view = &debugger->view,
        .frame = &debugger->frame,
        .history = debugger->history,
        .history_count = debugger->history_count,
        .variables = debugger->variables,
        .variable_count = debugger->variable_count,
    };
}

int session_evaluate(
    struct debugger *debugger, const char *text, struct value *value, struct error *error)
{
    struct expression_scope scope;
    if (session_look(debugger, error) < 0)
        return -1;
    session_scope(debugger, &scope);
    return expression_evaluate(&scope, text, value, error);
}

int session_number(
    struct debugger *debugger, const char *text, uint64_t *number, struct error *error)
{
    struct expression_scope scope;
    if (session_look(debugger, error) < 0)
        return -1;
    session_scope(debugger, &scope);
    return expression_number(&scope, text, number, error);
}

int session_format(struct debugger *debugger, const struct value *value, char format,
    struct buffer *out, struct error *error)
{
    struct value_style style = {.format = format, .pretty = debugger->pretty};
    if (format == 'r')
        style.format = 0;
    else if (python_shows(debugger))
        style = (struct value_style){format, debugger->pretty, false, python_show, debugger};
    return value_format_as(&debugger->view, &debugger->symbols, value, &style, out, error);
}

int session_summary(
    struct debugger *debugger, const struct value *value, struct buffer *out, struct error *error)
{
    const struct value_style style = {.is_summary = true, .show = python_show, .context = debugger};
    return python_shows(debugger)
               ? value_show(&debugger->view, &debugger->symbols, value, &style, out, error)
               : 0;
}

unsigned session_remember(struct debugger *debugger, const struct value *value)
{
    if (debugger->history_count == MAX_HISTORY) {
        memmove(debugger->history, debugger->history + 1,
            (MAX_HISTORY - 1) * sizeof debugger->history[0]);
        debugger->history_count--;
    }
    debugger->history[debugger->history_count++] = *value;
    return debugger->history_count;
}

int session_set_variable(
    struct debugger *debugger, const char *name, const struct value *value, struct error *error)
{
    struct convenience *variable = NULL;
    for (unsigned i = 0; i < debugger->variable_count; i++) {
        if (strcmp(debugger->variables[i].name, name) == 0)
            variable = &debugger->variables[i];
    }
    if (!variable) {
        if (debugger->variable_count == MAX_CONVENIENCE)
            return error_set(error, "at most %d convenience variables", MAX_CONVENIENCE);
        variable = &debugger->variables[debugger->variable_count++];
        snprintf(variable->name, sizeof variable->name, "%s", name);
    }
    variable->value = *value;
    return 0;
}

/* ---- Opening ---- */

static void load_kernel(struct debugger *debugger)
{
    const struct trace_reader *trace = timeline_trace(debugger->timeline);
    struct trace_blob blob;
    struct error error;
    int number = trace_reader_find_blob(trace, "kernel");
    if (number < 0 || !trace_reader_blob_at(trace, (size_t)number, &blob))
        return;
    uint8_t *image = malloc(blob.size + 1);
    const char *name = trace_reader_setting(trace, "kernel-name");
    if (!image || trace_reader_blob(trace, (size_t)number, image, &error) < 0) {
        free(image);
        return;
    }
    image[blob.size] = 0;
    if (blob.size < 4 || memcmp(image, "\177ELF", 4) != 0) {
        print(debugger, "The trace's kernel is not an ELF file and has no symbols; "
                        "'add-symbol-file' adds some.\n");
        free(image);
        return;
    }
    if (symbols_add_image(&debugger->symbols, name ? name : "kernel", image, blob.size, 0, &error) <
        0)
        print(debugger, "No symbols: %s\n", error.text);
    else if (symbols_count(&debugger->symbols) == 0)
        print(debugger, "The trace's kernel has no symbol table; 'add-symbol-file' adds one.\n");
}

static void greet(struct debugger *debugger)
{
    struct trace_info info;
    trace_reader_info(timeline_trace(debugger->timeline), &info);
    print(debugger, "%" PRIu64 " events", info.end_event ? info.end_event - 1 : 0);
    if (info.complete)
        print(debugger, ", %.6f s of virtual time; it ended by %s",
            (double)info.end.virtual_time / 1e9, trace_end_reason_name(info.end.reason));
    else
        print(debugger, "; the recording was cut off there");
    if (info.damaged)
        print(debugger, "; damaged after that: %s", info.damage.text);
    print(debugger, ". Type 'help' for the commands.\n");
}

struct debugger *debugger_open(
    const char *path, const struct debugger_options *options, bool *damaged, struct error *error)
{
    const struct timeline_options timeline = {.cache_bytes = options->cache_bytes,
        .cache_path = options->cache_path,
        .memory_limit = options->memory_limit,
        .any_version = options->any_version,
        .store = options->store,
        .sparse = options->sparse};
    struct debugger *debugger = calloc(1, sizeof *debugger);
    *damaged = false;
    if (!debugger) {
        error_set(error, "out of memory");
        return NULL;
    }
    debugger->color = options->color;
    debugger->next_point = debugger->next_display = 1;
    debugger->x_format = 'x';
    debugger->x_size = 'w';
    debugger->timeline = timeline_open(path, &timeline, damaged, error);
    if (!debugger->timeline) {
        debugger_close(debugger);
        return NULL;
    }
    greet(debugger);
    load_kernel(debugger);
    return debugger;
}

const char *debugger_cache_message(const struct debugger *debugger)
{
    return timeline_cache_message(debugger->timeline);
}

int debugger_keep_cache(struct debugger *debugger, struct error *error)
{
    return timeline_keep(debugger->timeline, error);
}

void debugger_close(struct debugger *debugger)
{
    if (!debugger)
        return;
    for (unsigned i = 0; i < debugger->point_count; i++)
        point_free(&debugger->points[i]);
    for (unsigned i = 0; i < debugger->display_count; i++)
        free(debugger->displays[i].text);
    free(debugger->directory);
    free(debugger->origins.list);
    symbols_free(&debugger->symbols);
    follow_free(&debugger->follow);
    buffer_free(&debugger->script);
    buffer_free(&debugger->python);
    buffer_free(&debugger->out);
    timeline_close(debugger->timeline);
    free(debugger);
}

struct buffer *debugger_output(struct debugger *debugger)
{
    return &debugger->out;
}

void debugger_set_flush(
    struct debugger *debugger, void (*flush)(void *context, struct buffer *output), void *context)
{
    debugger->flush = flush;
    debugger->flush_context = context;
}

void debugger_set_progress(struct debugger *debugger,
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
    debugger->progress = progress;
    debugger->progress_context = context;
}

bool debugger_collects(const struct debugger *debugger)
{
    return debugger->collecting || debugger->in_python;
}

void debugger_prompt(const struct debugger *debugger, char *text, size_t size)
{
    struct position at = timeline_position(debugger->timeline);
    if (debugger_collects(debugger))
        snprintf(text, size, ">");
    else
        snprintf(text, size, "(hindsight %" PRIu64 ".%" PRIu64 "%s) ", at.event, at.insn,
            timeline_at_end(debugger->timeline) ? " end" : "");
}

bool debugger_finished(const struct debugger *debugger)
{
    return debugger->finished;
}

void debugger_interrupt(struct debugger *debugger)
{
    atomic_store(&debugger->interrupted, true);
    timeline_interrupt(debugger->timeline);
    python_interrupt(debugger);
}

struct timeline *debugger_timeline(struct debugger *debugger)
{
    return debugger->timeline;
}

const struct symbols *debugger_symbols(const struct debugger *debugger)
{
    return &debugger->symbols;
}

/* ---- Executing ---- */

/* Is there nothing else on the line? */
static bool is_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    line = skip_spaces(line);
    return strncmp(line, word, length) == 0 && !*skip_spaces(line + length);
}

/* A block is executed when it ends; what is wrong in it is then its own affair. */
static int collect_python(struct debugger *debugger, const char *line, struct error *error)
{
    struct buffer *code = &debugger->python;
    if (!is_word(line, "end")) {
        buffer_put(code, line, strlen(line));
        buffer_put_u8(code, '\n');
        return code->failed ? error_set(error, "out of memory") : 0;
    }
    struct buffer block = *code;
    *code = (struct buffer){0};
    debugger->in_python = false;
    buffer_put_u8(&block, 0);
    int result = block.failed ? error_set(error, "out of memory")
                              : python_run(debugger, (const char *)block.data, error);
    buffer_free(&block);
    return result;
}

/* A line of a breakpoint's commands; "end" ends them, but for that of a block of Python. */
static int collect(struct debugger *debugger, const char *line, struct error *error)
{
    struct buffer *script = &debugger->collecting->script;
    size_t length = strlen(line);
    bool is_end = is_word(line, "end");
    if (is_end && !debugger->in_python) {
        debugger->collecting = NULL;
        return 0;
    }
    if (is_end || !debugger->in_python) {
        line = skip_spaces(line);
        for (length = strlen(line); length && isspace((unsigned char)line[length - 1]);)
            length--;
    }
    debugger->in_python = debugger->in_python ? !is_end : is_word(line, "python");
    buffer_put(script, line, length);
    buffer_put_u8(script, 0);
    return script->failed ? error_set(error, "out of memory") : 0;
}

static int execute(struct debugger *debugger, const char *line, struct error *error)
{
    char word[64], text[MAX_LINE];
    size_t length = 0;
    if (error)
        error->text[0] = '\0';
    if (!debugger->in_script)
        atomic_store(&debugger->interrupted, false);
    if (strlen(line) >= sizeof text)
        return error_set(error, "a line of more than %d characters", MAX_LINE - 1);
    if (debugger->collecting)
        return collect(debugger, line, error);
    if (debugger->in_python)
        return collect_python(debugger, line, error);
    line = skip_spaces(line);
    snprintf(text, sizeof text, "%s", line);
    for (size_t end = strlen(text); end && isspace((unsigned char)text[end - 1]);)
        text[--end] = '\0';
    if (!*text || *text == '#')
        return 0;
    /* "x/8gx": a command's name ends where its letters do. */
    while (isalnum((unsigned char)text[length]) || text[length] == '-' || text[length] == '_')
        length++;
    if (length == 0 || length >= sizeof word)
        return error_set(error, "'%.40s' is not a command (see 'help')", text);
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    const struct command *command = commands_find(word, error);
    if (!command)
        return -1;
    if (debugger->remote && command->completion == COMPLETE_FILE)
        return error_set(error,
            "%s reads or writes files of the host: it is not to be had over gdb's protocol",
            command->name);
    return command->run(debugger, skip_spaces(text + length), error);
}

int debugger_execute(struct debugger *debugger, const char *line, struct error *error)
{
    /* gdb may have moved meanwhile. */
    trail_note(&debugger->trail, timeline_position(debugger->timeline));
    int result = execute(debugger, line, error);
    if (!debugger->in_script)
        trail_note(&debugger->trail, timeline_position(debugger->timeline));
    note_lost_output(debugger);
    for (unsigned i = 0; i < debugger->symbols.module_count; i++)
        debugger->lost |= index_was_cut(debugger->symbols.modules[i]);
    bool lost = debugger->lost;
    debugger->lost = false;
    return lost && result == 0 ? error_set(error, "out of memory: what was shown is incomplete")
                               : result;
}

int debugger_execute_remote(struct debugger *debugger, const char *line, struct error *error)
{
    debugger->remote = true;
    int result = debugger_execute(debugger, line, error);
    debugger->remote = false;
    return result;
}

/* A file, or a pipe that a shell made for it. */
static FILE *open_script(const char *path, struct error *error)
{
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISFIFO(status.st_mode))
        return hostfile_open(path, error);
    FILE *file = fopen(path, "re");
    if (!file)
        error_set_errno(error, "%s", path);
    return file;
}

int debugger_source(struct debugger *debugger, const char *path, struct error *error)
{
    char line[MAX_LINE];
    unsigned number = 0;
    int result = 0;
    size_t size = strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".py") == 0)
        return python_source(debugger, path, error);
    if (debugger->source_depth == MAX_SOURCE_DEPTH)
        return error_set(error, "%s: files source each other too deeply", path);
    FILE *file = open_script(path, error);
    if (!file)
        return -1;
    debugger->source_depth++;
    while (result == 0 && !debugger->finished && fgets(line, sizeof line, file)) {
        number++;
        size_t length = strcspn(line, "\n");
        if (!line[length] && !feof(file))
            result = error_set(
                error, "no line of text, or one of more than %d characters", MAX_LINE - 1);
        line[length] = '\0';
        if (result == 0)
            result = debugger_execute(debugger, line, error);
        session_flush(debugger);
    }
    if (result == 0 && !debugger->finished && !feof(file))
        result = error_set_errno(error, "the rest of it cannot be read");
    if (result == 0 && debugger->in_python) {
        debugger->in_python = false;
        buffer_clear(&debugger->python);
        result = error_set(error, "a block of Python has no 'end'");
    }
    debugger->source_depth--;
    fclose(file);
    return result < 0 ? error_prefix(error, "%s:%u", path, number) : 0;
}
