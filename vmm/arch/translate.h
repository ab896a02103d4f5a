/*
 * Guest-virtual to guest-physical from a vCPU state and RAM alone, without side effects: no faults,
 * no accessed bits. For the run loop, landings and the debugger. Source: AMD64 APM volume 2,
 * chapter 5.
 */
#ifndef VMM_TRANSLATE_H
#define VMM_TRANSLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

enum { TRANSLATE_MAX_LEVELS = 4 };

struct translation {
    uint64_t gpa;
    uint64_t page_size;              /* 4 KiB, 2 MiB, 4 MiB, 1 GiB; with paging off: 4 KiB */
    bool writable, user, executable; /* as the tables say, all levels together */
    unsigned levels;                 /* entries walked, 0 with paging off */
    uint64_t entry_gpa[TRANSLATE_MAX_LEVELS]; /* top level first */
    uint64_t entry[TRANSLATE_MAX_LEVELS];
};

/* False when `linear` is not mapped; `levels` then tells how far the walk came. */
bool translate(const struct memory *memory, const struct vcpu_state *state, uint64_t linear,
    struct translation *result);

/* Reads [linear, linear+size) page by page; returns how many bytes could be read from the start. */
uint64_t translate_read(const struct memory *memory, const struct vcpu_state *state,
    uint64_t linear, void *data, uint64_t size);

/* Calls `visit` with the GPA of every page that holds paging structures reachable from CR3. */
void translate_each_table(const struct memory *memory, const struct vcpu_state *state,
    void (*visit)(void *context, uint64_t gpa), void *context);

#endif
