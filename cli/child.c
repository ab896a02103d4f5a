/* One run of this program, waited for. */
#include "cli/child.h"

#include <stdio.h>
#include <string.h>

#include "cli/pool.h"

struct job {
    const struct child *child;
    bool started;
    int status;
};

void child_add(struct child *child, const char *word)
{
    if (child->count < CHILD_WORDS_MAX)
        child->word[child->count] = word;
    child->count++;
}

static int next(void *context, struct pool_run *run, struct error *error)
{
    struct job *job = context;
    const struct child *child = job->child;
    if (job->started)
        return 0;
    job->started = true;
    run->argv = pool_arguments(child->count);
    run->output = strdup(child->output);
    bool added = run->argv && run->output;
    for (unsigned i = 0; i < child->count; i++)
        added = added && pool_add(run->argv, child->count, child->word[i]);
    if (added)
        return 1;
    pool_run_free(run);
    return error_set(error, "out of memory");
}

static int ended(void *context, const struct pool_run *run, int status, struct error *error)
{
    struct job *job = context;
    (void)run;
    (void)error;
    job->status = status;
    return 0;
}

int child_run(const struct child *child, int *interrupted, struct error *error)
{
    struct job job = {.child = child};
    const struct pool pool = {.jobs = 1, .next = next, .ended = ended, .context = &job};
    *interrupted = 0;
    if (child->count > CHILD_WORDS_MAX)
        return error_set(error, "more than %d words on a command line", CHILD_WORDS_MAX);
    int result = pool_work(&pool, error);
    if (result > 0) {
        *interrupted = result;
        return error_set(error, "interrupted");
    }
    return result < 0 ? -1 : job.status;
}

void child_last_line(const struct child *child, char *line, size_t size)
{
    char next_line[512];
    FILE *file = fopen(child->output, "re");
    snprintf(line, size, "it says nothing");
    while (file && fgets(next_line, sizeof next_line, file)) {
        next_line[strcspn(next_line, "\n")] = '\0';
        const char *text = strncmp(next_line, "hindsight: ", 11) == 0 ? next_line + 11 : next_line;
        if (*text)
            snprintf(line, size, "%s", text);
    }
    if (file)
        fclose(file);
}

void child_put_lines(
    const struct child *child, const char *prefix, const char *indent, struct buffer *out)
{
    char line[512];
    FILE *file = fopen(child->output, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (!prefix || strncmp(line, prefix, strlen(prefix)) == 0) {
            buffer_printf(out, "%s", indent);
            buffer_put(out, line, strlen(line));
        }
    }
    if (file)
        fclose(file);
}
