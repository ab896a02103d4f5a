/*
 * Calls of functions over a stretch of the run: told when they begin and when they return. A call
 * is its return address and the place of that on the stack, so calls that nest, are interrupted or
 * go on elsewhere are told apart; returns are seen where they come to.
 */
#ifndef DEBUGGER_QUERY_CALLS_H
#define DEBUGGER_QUERY_CALLS_H

#include "debugger/query.h"

enum { CALLS_MAX_FUNCTIONS = 48, CALLS_MAX_PARAMETERS = 12, CALLS_CONDITIONS = 2 };

struct call_parameter {
    char name[48];
    struct type type;
    enum { PARAMETER_UNKNOWN, PARAMETER_REGISTER, PARAMETER_STACK } where;
    unsigned
        number; /* DWARF's of the register, or the word on the stack after the return address */
};

/* A function that is looked for, where it is in memory. */
struct called_function {
    uint64_t entry;
    char name[128];
    bool has_types;
    struct type result;
    struct call_parameter parameters[CALLS_MAX_PARAMETERS];
    unsigned parameter_count;
};

struct call {
    const struct called_function *function;
    uint64_t argument[2];  /* the first, as integers */
    uint64_t slot, caller; /* where the return address is, and which it is */
    uint64_t space;        /* of a stack in the lower half */
    uint64_t row;          /* enter()'s */
    uint64_t retired, time;
};

struct calls {
    struct query *query;
    /* Called at the function's first instruction; gives a number to keep, UINT64_MAX: the return
     * is of no interest. */
    uint64_t (*enter)(void *context, const struct call *call, const struct view *view);
    void (*leave)(void *context, const struct call *call, const struct view *view);
    void *context;

    struct called_function functions[CALLS_MAX_FUNCTIONS];
    unsigned function_count;
    uint64_t entries[CALLS_MAX_FUNCTIONS];
    uint64_t *returns; /* ascending */
    unsigned return_count;
    bool failed;
    struct call *open; /* a hash table; caller 0: empty */
    uint64_t open_count, open_size;
};

void calls_free(struct calls *calls);
/* Looks up functions by a name where the run stands, besides those there are. */
void calls_add_functions(struct calls *calls, const char *name);
void calls_forget_functions(struct calls *calls);
/* Fills in CALLS_CONDITIONS conditions, for a plan's arm(); 0 where there is no function. -1: no
 * memory. */
int calls_arm(struct calls *calls, struct timeline_condition *conditions, struct error *error);
/* Has any of the symbol files a function of that name, in memory or not? An error says so. */
int calls_check_name(const struct debugger *debugger, const char *name, struct error *error);

#endif
