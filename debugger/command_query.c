/* The questions over the run as commands, and `query`, by which all of them can be asked. */
#include "debugger/command.h"
#include "debugger/query.h"

#include <string.h>

struct question {
    const char *name;
    int (*ask)(struct query *query, const char *text, struct error *error);
};

static const struct question questions[] = {
    {"calls", query_calls},
    {"executes", query_executes},
    {"when", query_when},
    {"writes", query_writes},
    {"reads", query_reads},
    {"irqs", query_irqs},
    {"faults", query_faults},
    {"syscalls", query_syscalls},
    {"switches", query_switches},
    {"allocs", query_allocs},
    {"dprintf", query_dprintf},
    {"conflicts", query_conflicts},
};

enum { QUESTIONS = sizeof questions / sizeof questions[0] };

static const struct question *find_question(const char *name)
{
    for (unsigned i = 0; i < QUESTIONS; i++) {
        if (strcmp(questions[i].name, name) == 0)
            return &questions[i];
    }
    return NULL;
}

/* Options may stand after the question's name, too. */
static int ask(
    struct query *query, const struct question *question, const char *text, struct error *error)
{
    query->name = question->name;
    if (query_options(query, &text, error) < 0)
        return -1;
    query->question = text;
    return query_close(query, question->ask(query, text, error), error);
}

int query_ask(
    struct debugger *debugger, const char *name, const char *arguments, struct error *error)
{
    struct query query;
    return query_open(&query, debugger, error) < 0
               ? -1
               : ask(&query, find_question(name), arguments, error);
}

int query_answer(struct debugger *debugger, const char *arguments,
    void (*receive)(void *context, struct query *query), void *context, struct error *error)
{
    char word[32];
    struct query query;
    if (query_open(&query, debugger, error) < 0 || query_options(&query, &arguments, error) < 0)
        return -1;
    query.receive = receive;
    query.receive_context = context;
    next_word(&arguments, word, sizeof word);
    const struct question *question = find_question(word);
    if (!question)
        return error_set(error,
            "query: ask for calls, executes, when, writes, reads, irqs, faults, syscalls, "
            "switches, allocs, dprintf or conflicts%s%.30s%s",
            *word ? ", not '" : "", word, *word ? "'" : "");
    return ask(&query, question, arguments, error);
}

COMMAND(query)
{
    return query_answer(debugger, arguments, NULL, NULL, error);
}

#define ASK(name)                                            \
    COMMAND(name)                                            \
    {                                                        \
        return query_ask(debugger, #name, arguments, error); \
    }

ASK(calls)
ASK(executes)
ASK(writes)
ASK(reads)
ASK(faults)
ASK(syscalls)
ASK(switches)
ASK(allocs)
ASK(dprintf)
ASK(conflicts)

#define OPTIONS "[-from POSITION] [-to POSITION] [-limit N] [-json] "

const struct command query_commands[] = {
    {"Questions over the run", "query", "", command_query, OPTIONS "QUESTION",
        "Asks any of these questions, also 'irqs' and 'when CONDITION', over the whole run or from "
        "one position to another, and answers with a table: a row for each, with the position to "
        "go to. At most 10000 rows, if -limit says no other number; Ctrl-C ends it early with what "
        "there is. -json is for programs.",
        "query -json irqs", COMPLETE_NONE, false},
    {"Questions over the run", "calls", "", command_calls, OPTIONS "FUNCTION...",
        "Every call of a function, or of several, and their clones: arguments, result, how many "
        "instructions and "
        "how much virtual time passed until it returned, and where it returned to.",
        "calls handle_pit", COMPLETE_SYMBOL, false},
    {"Questions over the run", "executes", "", command_executes,
        OPTIONS "FUNCTION|FILE:LINE|*ADDRESS|ADDRESS,LENGTH",
        "When code there was executed: a row for each stretch of instructions inside it.",
        "executes handle_pit", COMPLETE_SYMBOL, false},
    {"Questions over the run", "writes", "", command_writes,
        OPTIONS "EXPRESSION|ADDRESS,LENGTH|phys:ADDRESS[,LENGTH]|sector:LBA[,COUNT][@DISK]",
        "Every write there, by instructions, deliveries and devices: who, with the value before "
        "and "
        "after. A place of linear memory is what it is at this position's page tables' addresses "
        "throughout; that of a process counts while the process runs.",
        "writes ticks", COMPLETE_SYMBOL, false},
    {"Questions over the run", "reads", "", command_reads,
        OPTIONS "EXPRESSION|ADDRESS,LENGTH|phys:ADDRESS[,LENGTH]|sector:LBA[,COUNT][@DISK]",
        "Every read there by the CPU, with the value; of sectors by the guest.", "reads ticks",
        COMPLETE_SYMBOL, false},
    {"Questions over the run", "faults", "", command_faults, OPTIONS,
        "Every exception that was delivered: by which instruction, with its error code, and the "
        "address of page faults.",
        "faults", COMPLETE_NONE, false},
    {"Questions over the run", "syscalls", "", command_syscalls, OPTIONS "[NAME]",
        "Every system call of 64-bit Linux programs with arguments, result and duration; those of "
        "one name with NAME.",
        "syscalls", COMPLETE_NONE, false},
    {"Questions over the run", "switches", "", command_switches, OPTIONS,
        "Every switch from one task to another, and how long the one before ran; of address spaces "
        "where no Linux kernel is known.",
        "switches", COMPLETE_NONE, false},
    {"Questions over the run", "allocs", "", command_allocs, OPTIONS "ADDRESS",
        "The life of the Linux kernel's objects around an address: who allocated and freed them, "
        "with callers, and who used them after that.",
        "allocs 0xffff888003a1c000", COMPLETE_NONE, false},
    {"Questions over the run", "dprintf", "", command_dprintf,
        OPTIONS "PLACE,\"FORMAT\"[,VALUE]...",
        "What printf would print wherever execution comes to a place.",
        "dprintf handle_pit,\"%d\\n\",ticks", COMPLETE_SYMBOL, false},
    {"Questions over the run", "conflicts", "", command_conflicts, OPTIONS "PROCESS",
        "Pairs of places in a program's own code that race on its memory, in its last 100 million "
        "instructions: two rows for each, with thread, source line and callers. The program's "
        "symbols are needed (add-symbol-file FILE -process NAME), and the kernel's.",
        "conflicts worker", COMPLETE_NONE, false},
    {0},
};
