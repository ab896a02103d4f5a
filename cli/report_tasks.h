/*
 * Who ran when and what was asked of the kernel, for the report of a Linux guest whose symbols are
 * there: the answers of `hindsight query` to "switches" and "syscalls", each in a process of its
 * own.
 */
#ifndef CLI_REPORT_TASKS_H
#define CLI_REPORT_TASKS_H

#include "base/buffer.h"
#include "base/error.h"

enum report_question { REPORT_SWITCHES, REPORT_SYSCALLS, REPORT_QUESTIONS };

struct report_tasks {
    struct buffer answer[REPORT_QUESTIONS]; /* JSON objects, fit for a page's script; or empty */
};

/* -1 and the error, with what query says, when it does not answer. Before confinement. */
int report_tasks_ask(struct report_tasks *tasks, const char *trace, const char *store,
    const char *symbols, struct error *error);
void report_tasks_free(struct report_tasks *tasks);

#endif
