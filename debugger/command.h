/*
 * A command of the debugger: one function and one row, both in the file of its family
 * (command_*.c, linux.c). docs/architecture.md tells how to add one.
 */
#ifndef DEBUGGER_COMMAND_H
#define DEBUGGER_COMMAND_H

#include <stdbool.h>

struct debugger;
struct error;

struct command {
    const char *group; /* the heading in `help` that it stands under */
    const char *name;
    const char *aliases; /* words, separated by spaces */
    /* `arguments` begins at a word or is empty. -1 and the error when the command failed. */
    int (*run)(struct debugger *debugger, const char *arguments, struct error *error);
    const char *arguments; /* "[COUNT]" */
    const char *help;      /* sentences */
    const char *example;   /* a line to type */
    /* COMPLETE_FILE also says that it is about files of the host: not over gdb's protocol; with
     * COMPLETE_FOLDER the command itself looks whether it is. */
    enum completion {
        COMPLETE_NONE,
        COMPLETE_SYMBOL,
        COMPLETE_PLACE, /* as COMPLETE_SYMBOL, and source files */
        COMPLETE_FILE,
        COMPLETE_FOLDER,
        COMPLETE_COMMAND
    } completion;
    bool repeats; /* an empty line does it again */
};

/* The families' tables; each ends with a row without a name. commands.c lists them in order. */
extern const struct command step_commands[], move_commands[], print_commands[], info_commands[],
    break_commands[], stack_commands[], compare_commands[], events_commands[], machine_commands[],
    linux_commands[], symbols_commands[], modules_commands[], threads_commands[], races_commands[],
    query_commands[], origin_commands[], files_commands[], printf_commands[], macro_commands[],
    script_commands[], save_commands[];

/* NULL past the last. */
const struct command *commands_at(unsigned number);
/* By name, alias or unambiguous prefix. */
const struct command *commands_find(const char *word, struct error *error);

#define COMMAND(name) \
    static int command_##name(struct debugger *debugger, const char *arguments, struct error *error)

#endif
