/* The vCPUs of a machine as gdb's threads: number N is vCPU N - 1. */
#ifndef DEBUGGER_THREADS_H
#define DEBUGGER_THREADS_H

#include "debugger/running.h"
#include "debugger/view.h"

struct debugger;

/* How many there are, and the number of the one that runs at the timeline's position. */
unsigned threads_count(const struct timeline *timeline);
unsigned threads_running(struct timeline *timeline);
/* Registers of a thread at the position. */
int threads_view(
    struct view *view, struct timeline *timeline, unsigned thread, struct error *error);
/* The list that `info threads` shows. */
int threads_list(struct debugger *debugger, struct error *error);
/* Says so when another thread is looked at than at the stop before. */
void threads_show_switch(struct debugger *debugger);
/* "vCPU 0, halted" */
void threads_describe(struct timeline *timeline, unsigned thread, struct buffer *out);
/*
 * Moves by one instruction of this thread; what other threads do meanwhile is run through. The stop
 * says TIMELINE_DONE, or what ended the way there.
 */
int threads_step(struct timeline *timeline, enum direction direction, unsigned thread,
    struct timeline_stop *stop, struct error *error);

#endif
