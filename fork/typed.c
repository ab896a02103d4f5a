/* What was typed in a recorded run, and after what. */
#include "fork/typed.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "devices/uart.h"

/* ---- The line under the cursor ---- */

bool cursor_line_put(struct cursor_line *line, uint8_t byte)
{
    if (byte == '\r')
        return false;
    if (byte == '\n') {
        bool changes = line->length > 0 && !line->whole;
        line->whole = line->whole || changes;
        return changes;
    }
    if (line->whole)
        line->length = 0;
    line->whole = false;
    if (line->length < CURSOR_LINE_MAX)
        line->text[line->length++] = (char)byte;
    line->text[line->length] = '\0';
    return true;
}

/* "[    1.234567] ", and "[    T1] " after it. */
static const char *pass_prefix(const char *text)
{
    const char *at = text;
    if (*at++ != '[')
        return text;
    while (isalnum((unsigned char)*at) || *at == ' ' || *at == '.')
        at++;
    return at[0] == ']' && at[1] == ' ' ? at + 2 : text;
}

const char *cursor_line_text(const struct cursor_line *line)
{
    const char *text = pass_prefix(line->text);
    return text == line->text ? text : pass_prefix(text);
}

bool cursor_line_equal(const struct cursor_line *a, const struct cursor_line *b)
{
    return a->whole == b->whole && strcmp(cursor_line_text(a), cursor_line_text(b)) == 0;
}

/* ---- Finding ---- */

struct finder {
    struct typed_list *list;
    struct trace_inputs *inputs;
    struct machine *machine;
    struct cursor_line line, before; /* now, and when the piece before was given */
    struct buffer printed;           /* since then */
    uint64_t changed;                /* when the line did last */
    uint64_t given;                  /* when the piece before was */
    bool filled;                     /* its last byte filled the port */
};

static void take_output(void *context, const uint8_t *bytes, size_t count)
{
    struct finder *finder = context;
    buffer_put(&finder->printed, bytes, count);
    for (size_t i = 0; i < count; i++) {
        if (cursor_line_put(&finder->line, bytes[i]))
            finder->changed = finder->machine ? machine_time(finder->machine) : 0;
    }
}

static unsigned count_times(const struct finder *finder)
{
    struct cursor_line line = finder->before;
    unsigned times = 0;
    for (size_t i = 0; i < finder->printed.size; i++)
        times += cursor_line_put(&line, finder->printed.data[i]) &&
                 cursor_line_equal(&line, &finder->line);
    return times;
}

static struct typed *add_piece(struct typed_list *list)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct typed *grown = realloc(list->piece, room * sizeof *grown);
        if (!grown)
            return NULL;
        list->piece = grown;
        list->room = room;
    }
    struct typed *piece = &list->piece[list->count++];
    memset(piece, 0, sizeof *piece);
    return piece;
}

static struct typed *begin_piece(struct finder *finder, uint64_t event)
{
    struct typed *piece = add_piece(finder->list);
    if (!piece)
        return NULL;
    piece->event = event;
    piece->time = machine_time(finder->machine);
    piece->times = count_times(finder);
    piece->delay = piece->time - (piece->times ? finder->changed : finder->given);
    if (piece->times && (piece->after = malloc(sizeof *piece->after)))
        *piece->after = finder->line;
    return piece->times && !piece->after ? NULL : piece;
}

/* The next console input of the trace, which the event under way is. */
static int next_input(struct finder *finder, struct reader *bytes, struct error *error)
{
    struct trace_input input = {0};
    int result;
    do
        result = trace_inputs_next(finder->inputs, &input, error);
    while (result == 1 && input.kind != INPUT_CONSOLE);
    if (result < 0)
        return result;
    reader_init(bytes, input.payload, result == 1 ? input.size : 0);
    reader_get_varint(bytes); /* which port */
    return bytes->failed ? error_set(error, "the trace lacks what was typed") : 0;
}

static int take_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    struct finder *finder = context;
    struct reader bytes;
    if (event->kind != EVENT_CONSOLE)
        return 0;
    int result = next_input(finder, &bytes, error);
    if (result < 0)
        return result;
    struct typed_list *list = finder->list;
    struct typed *piece =
        finder->filled ? &list->piece[list->count - 1] : begin_piece(finder, event->ordinal);
    size_t size = reader_left(&bytes);
    if (piece)
        buffer_put(&piece->bytes, reader_take(&bytes, size), size);
    if (!piece || piece->bytes.failed || finder->printed.failed)
        return error_set(error, "out of memory for what was typed");
    finder->filled = uart_receive_room(machine->uart) == 0;
    finder->given = machine_time(machine);
    finder->before = finder->line;
    buffer_clear(&finder->printed);
    return 0;
}

static int find(struct finder *finder, struct replay *replay, bool *damaged, struct error *error)
{
    const struct machine_observer observer = {.event = take_event, .context = finder};
    enum replay_outcome outcome;
    finder->machine = replay_machine(replay);
    finder->inputs = trace_inputs_open(replay_trace(replay), error);
    if (!finder->inputs || machine_observe(finder->machine, &observer, error) < 0 ||
        replay_run(replay, POSITION_END, &outcome, damaged, error) < 0)
        return -1;
    if (outcome == REPLAY_DIVERGED)
        return error_set(error, "the trace diverges; see 'hindsight replay'");
    if (machine_stopped(finder->machine) == STOP_INTERRUPTED)
        return error_set(error, "interrupted while what was typed is looked for");
    return 0;
}

int typed_find(struct typed_list *list, const char *trace, const struct replay_options *options,
    bool *damaged, struct error *error)
{
    struct finder finder = {.list = list};
    struct replay_options own = *options;
    own.console = (struct byte_sink){.put = take_output, .target = &finder};
    struct replay *replay = replay_open(trace, &own, damaged, error);
    int result = replay ? find(&finder, replay, damaged, error) : -1;
    trace_inputs_close(finder.inputs);
    replay_close(replay);
    buffer_free(&finder.printed);
    return result;
}

void typed_free(struct typed_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        buffer_free(&list->piece[i].bytes);
        free(list->piece[i].after);
    }
    free(list->piece);
    *list = (struct typed_list){0};
}
