/* Programs in a Linux guest, read from the kernel's structures at the position. */
#ifndef DEBUGGER_PROCESSES_H
#define DEBUGGER_PROCESSES_H

#include "debugger/symbols.h"
#include "debugger/view.h"

struct debugger;

struct process {
    uint64_t task;  /* its struct task_struct */
    uint64_t space; /* its struct mm_struct; 0: a kernel thread */
    unsigned pid;
    char name[16];
};

/* The one that runs. */
bool processes_current(struct debugger *debugger, struct process *process);
/* By number or name, the running one preferred; threads of the kernel are none. */
bool processes_find(struct debugger *debugger, const char *selector, struct process *process);
/* The memory of the process that runs: its struct mm_struct; 0: not known, or none. */
uint64_t processes_space(struct debugger *debugger);
/* The view by that memory's page tables. */
bool processes_view(struct debugger *debugger, uint64_t space, struct view *view);

struct process_map {
    uint64_t area; /* its struct vm_area_struct */
    uint64_t start, end, flags, offset;
    uint64_t file; /* 0: none */
    char path[512];
};

/* Calls `visit` for each mapping, ascending, until it returns true. */
void processes_each_map(struct debugger *debugger, uint64_t space,
    bool (*visit)(void *context, const struct process_map *map), void *context);
void processes_each_file(struct debugger *debugger, uint64_t task,
    void (*visit)(void *context, unsigned number, const char *path), void *context);

/* Finds where symbol files of programs belong; adds to *signature. */
void processes_follow(struct debugger *debugger, uint64_t *signature);
/* A program's file was just added: is it the one that runs under that name? */
int processes_check(struct debugger *debugger, const struct module *module, struct error *error);

#endif
