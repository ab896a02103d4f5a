/* Asks `hindsight query` what the report of a Linux guest shows of its tasks. */
#include "cli/report_tasks.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pool.h"

static const char *const questions[REPORT_QUESTIONS] = {[REPORT_SWITCHES] = "switches",
    [REPORT_SYSCALLS] = "syscalls",
    [REPORT_CONFLICTS] = "conflicts"};

struct asking {
    const struct report_asked *about;
    unsigned count;                             /* of questions */
    char program[PATH_MAX + 64], conflicts[40]; /* a command, and the question about it */
    char output[REPORT_QUESTIONS][32];
    int status[REPORT_QUESTIONS];
    unsigned next;
};

static int next_question(void *opaque, struct pool_run *run, struct error *error)
{
    struct asking *asking = opaque;
    enum { ROOM = 16 };
    if (asking->next == asking->count)
        return 0;
    unsigned i = asking->next++;
    const struct report_asked *about = asking->about;
    const char *const words[] = {"hindsight", "query", about->trace,
        i == REPORT_CONFLICTS ? asking->conflicts : questions[i], "--json", "--limit", "200000",
        "--symbols", about->kernel};
    const char *const options[][2] = {
        {"-ex", i == REPORT_CONFLICTS ? asking->program : NULL}, {"--store", about->store}};
    run->number = i;
    run->argv = pool_arguments(ROOM);
    run->output = strdup(asking->output[i]);
    bool added = run->argv && run->output;
    for (size_t word = 0; word < sizeof words / sizeof words[0]; word++)
        added = added && pool_add(run->argv, ROOM, words[word]);
    for (size_t option = 0; option < 2; option++)
        added =
            added && (!options[option][1] || (pool_add(run->argv, ROOM, options[option][0]) &&
                                                 pool_add(run->argv, ROOM, options[option][1])));
    if (added)
        return 1;
    pool_run_free(run);
    return error_set(error, "out of memory");
}

static int question_ended(void *opaque, const struct pool_run *run, int status, struct error *error)
{
    struct asking *asking = opaque;
    (void)error;
    asking->status[run->number] = status;
    return 0;
}

static int read_all(const char *path, struct buffer *text, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, "%s", path);
    uint8_t *room;
    size_t got;
    do {
        room = buffer_extend(text, 65536);
        got = room ? fread(room, 1, 65536, file) : 0;
        text->size -= room ? 65536 - got : 0;
    } while (got);
    fclose(file);
    return text->failed ? error_set(error, "out of memory") : 0;
}

/* The object among what was printed, with `<` escaped, which stands in strings alone. */
static void put_object(const struct buffer *printed, struct buffer *out)
{
    size_t from = 0, to = printed->size;
    while (from < to && printed->data[from] != '{')
        from++;
    while (to > from && printed->data[to - 1] != '}')
        to--;
    for (size_t i = from; i < to; i++) {
        if (printed->data[i] == '<')
            buffer_printf(out, "\\u003c");
        else if (printed->data[i] < 0x80)
            buffer_put_u8(out, printed->data[i]);
        else
            buffer_printf(out, "\\u%04x", printed->data[i]);
    }
}

static int take_answer(
    struct report_tasks *tasks, const struct asking *asking, unsigned i, struct error *error)
{
    struct buffer printed = {0};
    int result = read_all(asking->output[i], &printed, error);
    if (result == 0 && asking->status[i] != 0) {
        while (printed.size && printed.data[printed.size - 1] == '\n')
            printed.size--;
        result = error_set(error, "query '%s': %.*s", questions[i],
            (int)(printed.size < 300 ? printed.size : 300), (const char *)printed.data);
    }
    if (result == 0)
        put_object(&printed, &tasks->answer[i]);
    buffer_free(&printed);
    return result;
}

void report_process_name(const char *program, char name[16])
{
    const char *slash = strrchr(program, '/');
    snprintf(name, 16, "%s", slash ? slash + 1 : program);
}

static void name_program(struct asking *asking, const char *program)
{
    char name[16];
    report_process_name(program, name);
    snprintf(
        asking->program, sizeof asking->program, "add-symbol-file %s -process %s", program, name);
    snprintf(asking->conflicts, sizeof asking->conflicts, "conflicts %s", name);
}

int report_tasks_ask(
    struct report_tasks *tasks, const struct report_asked *asked, struct error *error)
{
    struct asking asking = {
        .about = asked, .count = asked->program ? REPORT_QUESTIONS : REPORT_CONFLICTS};
    unsigned made = 0;
    int result = 0;
    if (asked->program)
        name_program(&asking, asked->program);
    for (; made < asking.count && result == 0; made += result == 0) {
        strcpy(asking.output[made], "/tmp/hindsight-report-XXXXXX");
        int fd = mkstemp(asking.output[made]);
        result = fd < 0 ? error_set_errno(error, "%s", asking.output[made]) : close(fd);
    }
    const struct pool pool = {.next = next_question, .ended = question_ended, .context = &asking};
    if (result == 0)
        result = pool_work(&pool, error);
    if (result > 0)
        result = error_set(error, "interrupted");
    for (unsigned i = 0; i < made; i++) {
        if (result == 0)
            result = take_answer(tasks, &asking, i, error);
        unlink(asking.output[i]);
    }
    return result;
}

void report_tasks_free(struct report_tasks *tasks)
{
    for (unsigned i = 0; i < REPORT_QUESTIONS; i++)
        buffer_free(&tasks->answer[i]);
}
