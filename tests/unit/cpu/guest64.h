/*
 * A small 64-bit guest for tests of the software CPU: 16 MiB of RAM mapped one to one by large
 * pages, flat segments, ring 0, code at GUEST_CODE.
 */
#ifndef TESTS_UNIT_CPU_GUEST64_H
#define TESTS_UNIT_CPU_GUEST64_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/engines.h"

enum {
    GUEST_RAM = 16 << 20,
    GUEST_TABLES = 0x1000, /* PML4, PDPT, PD */
    GUEST_CODE = 0x100000,
    GUEST_DATA = 0x300000,
    GUEST_STACK = 0x200000,
};

struct guest {
    struct memory memory;
    struct engine *engine;
    struct error error;
};

static inline void guest_put64(struct guest *guest, uint64_t gpa, uint64_t value)
{
    memcpy(guest->memory.host + gpa, &value, 8);
}

static inline uint64_t guest_get64(struct guest *guest, uint64_t gpa)
{
    uint64_t value;
    memcpy(&value, guest->memory.host + gpa, 8);
    return value;
}

static inline void guest_state(struct vcpu_state *state)
{
    vcpu_reset(state);
    state->efer = EFER_LME | EFER_LMA;
    state->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    state->cr4 = CR4_PAE;
    state->cr3 = GUEST_TABLES;
    state->rflags = FLAG_ONE;
    state->rip = GUEST_CODE;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        state->gpr[i] = 0;
    state->gpr[RSP] = GUEST_STACK;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] = (struct segment){.limit = 0xffffffff,
            .selector = i == SEG_CS ? 8 : 16,
            .attributes = i == SEG_CS ? 0xa9b : 0xc93};
}

static inline void guest_create(struct guest *guest, const void *code, size_t size)
{
    const struct memory_backend backend = {.size = GUEST_RAM};
    struct vcpu_state state;

    assert_int_equal(memory_create(&guest->memory, &backend, 1, &guest->error), 0);
    guest->engine = engines_soft(&guest->memory, &guest->error);
    assert_non_null(guest->engine);
    guest_put64(guest, GUEST_TABLES, GUEST_TABLES + 0x1003);
    guest_put64(guest, GUEST_TABLES + 0x1000, GUEST_TABLES + 0x2003);
    for (uint64_t i = 0; i < GUEST_RAM >> 21; i++)
        guest_put64(guest, GUEST_TABLES + 0x2000 + 8 * i, i << 21 | 0x83);
    memcpy(guest->memory.host + GUEST_CODE, code, size);
    guest_state(&state);
    assert_int_equal(engine_import_state(guest->engine, &state, &guest->error), 0);
}

static inline void guest_destroy(struct guest *guest)
{
    engine_destroy(guest->engine);
    memory_destroy(&guest->memory);
}

static inline struct vcpu_exit guest_run(struct guest *guest, uint64_t budget)
{
    const struct run_request request = {.budget = budget};
    struct vcpu_exit exit;
    if (engine_run(guest->engine, &request, &exit, &guest->error))
        fail_msg("%s", guest->error.text);
    return exit;
}

static inline void guest_export(struct guest *guest, struct vcpu_state *state)
{
    assert_int_equal(engine_export_state(guest->engine, state, &guest->error), 0);
}

static inline void guest_import(struct guest *guest, const struct vcpu_state *state)
{
    if (engine_import_state(guest->engine, state, &guest->error))
        fail_msg("%s", guest->error.text);
}

#endif
