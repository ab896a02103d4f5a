/*
 * Who ran when, what was asked of the kernel, and what raced in a program, for the report of a
 * Linux guest whose symbols are there: the answers of `hindsight query` to "switches", "syscalls"
 * and "conflicts", each in a process of its own.
 */
#ifndef CLI_REPORT_TASKS_H
#define CLI_REPORT_TASKS_H

#include "base/buffer.h"
#include "base/error.h"

enum report_question { REPORT_SWITCHES, REPORT_SYSCALLS, REPORT_CONFLICTS, REPORT_QUESTIONS };

/* What is asked about; strings are borrowed. */
struct report_asked {
    const char *trace, *store;
    const char *kernel;  /* its symbols */
    const char *program; /* a program's file, which runs under its name; NULL: none */
};

struct report_tasks {
    struct buffer answer[REPORT_QUESTIONS]; /* JSON objects, fit for a page's script; or empty */
};

/* -1 and the error, with what query says, when it does not answer. Before confinement. */
int report_tasks_ask(
    struct report_tasks *tasks, const struct report_asked *asked, struct error *error);
/* The process's name of a program's file, as Linux cuts it. */
void report_process_name(const char *program, char name[16]);
void report_tasks_free(struct report_tasks *tasks);

#endif
