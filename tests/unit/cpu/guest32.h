/*
 * A 32-bit protected-mode guest for tests of the system instructions: descriptors of many kinds, an
 * IDT whose handlers halt, a TSS, code at GUEST_CODE in ring 0 or 3. RIP at the halt tells which
 * vector was taken.
 */
#ifndef TESTS_UNIT_CPU_GUEST32_H
#define TESTS_UNIT_CPU_GUEST32_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/engines.h"

enum {
    GUEST_RAM = 4 << 20,
    GUEST_GDT = 0x1000,
    GUEST_IDT = 0x2000,
    GUEST_TSS = 0x3000,
    GUEST_LDT = 0x3800,
    GUEST_HANDLERS = 0x8000, /* 16 bytes each: HLT, IRET */
    GUEST_CODE = 0x10000,
    GUEST_OTHER = 0x10100, /* INT 30h: "arrived" */
    GUEST_GATE = 0x10200,  /* target of the call gates: HLT, then RETF */
    GUEST_STACK0 = 0x20000,
    GUEST_STACK3 = 0x30000,
};

/* The GDT. */
enum {
    CODE0 = 0x08,
    DATA0 = 0x10,
    CODE3 = 0x18,
    DATA3 = 0x20,
    TSS_SELECTOR = 0x28,
    LDT_SELECTOR = 0x30,
    CALL_GATE = 0x38, /* DPL 3, two parameters */
    CONFORMING = 0x40,
    DATA_ABSENT = 0x48,
    CODE16 = 0x50,
    DATA_READ_ONLY = 0x58,
    CODE_EXECUTE_ONLY = 0x60,
    DATA_SMALL = 0x68, /* limit FFFh */
    TASK_GATE = 0x70,
    CODE64 = 0x78,
    CALL_GATE_DPL0 = 0x80,
    CODE_ABSENT = 0x88,
    CALL_GATE16 = 0x90, /* DPL 3, one parameter, 16-bit */
    CODE_L_AND_D = 0x98,
    CALL_GATE_ABSENT = 0xa0,
    GUEST_GDT_LIMIT = 0xbf,
};

enum {
    ARRIVED = 0x30,
    GATE_DPL0 = 0x31,
    GATE_TRAP = 0x32,
    GATE_16 = 0x33,
    GATE_BAD = 0x34,
    GATE_ABSENT = 0x35,
    GUEST_IDT_ENTRIES = 0x40
};

struct guest {
    struct memory memory;
    struct engine *engine;
    struct vcpu_state state; /* as last imported or exported */
    struct error error;
};

static inline void guest_put(struct guest *guest, uint64_t gpa, uint64_t value, unsigned size)
{
    memcpy(guest->memory.host + gpa, &value, size);
    engine_memory_changed(guest->engine, gpa, size);
}

static inline uint32_t guest_get32(const struct guest *guest, uint64_t gpa)
{
    uint32_t value;
    memcpy(&value, guest->memory.host + gpa, 4);
    return value;
}

/* `attributes` as in struct segment; `limit` in the descriptor's own units. */
static inline uint64_t make_descriptor(uint32_t base, uint32_t limit, unsigned attributes)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)(attributes & 0xff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
           (uint64_t)(attributes >> 8 & 15) << 52 | (uint64_t)(base >> 24) << 56;
}

static inline uint64_t make_gate(
    uint16_t selector, uint32_t offset, unsigned access, unsigned count)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)count << 32 |
           (uint64_t)access << 40 | (uint64_t)(offset >> 16) << 48;
}

static inline void guest_tables(struct guest *guest)
{
    static const struct {
        uint16_t selector;
        uint32_t base, limit;
        unsigned attributes;
    } segments[] = {
        {CODE0, 0, 0xfffff, 0xc9a},
        {DATA0, 0, 0xfffff, 0xc92},
        {CODE3, 0, 0xfffff, 0xcfa},
        {DATA3, 0, 0xfffff, 0xcf2},
        {TSS_SELECTOR, GUEST_TSS, 0x88, 0x089},
        {LDT_SELECTOR, GUEST_LDT, 0x0f, 0x082},
        {CONFORMING, 0, 0xfffff, 0xc9e},
        {DATA_ABSENT, 0, 0xfffff, 0xc12},
        {CODE16, 0, 0xffff, 0x09a},
        {DATA_READ_ONLY, 0, 0xfffff, 0xc90},
        {CODE_EXECUTE_ONLY, 0, 0xfffff, 0xc98},
        {DATA_SMALL, 0, 0xfff, 0x4f2},
        {CODE64, 0, 0, 0x29a},
        {CODE_ABSENT, 0, 0xfffff, 0xc1a},
        {CODE_L_AND_D, 0, 0xfffff, 0xe9a},
    };
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
        guest_put(guest, GUEST_GDT + segments[i].selector,
            make_descriptor(segments[i].base, segments[i].limit, segments[i].attributes), 8);
    guest_put(guest, GUEST_GDT + CALL_GATE, make_gate(CODE0, GUEST_GATE, 0xec, 2), 8);
    guest_put(guest, GUEST_GDT + CALL_GATE_DPL0, make_gate(CODE0, GUEST_GATE, 0x8c, 0), 8);
    guest_put(guest, GUEST_GDT + CALL_GATE16, make_gate(CODE0, 0x200, 0xe4, 1), 8);
    guest_put(guest, GUEST_GDT + CALL_GATE_ABSENT, make_gate(CODE0, GUEST_GATE, 0x6c, 0), 8);
    guest_put(guest, GUEST_GDT + TASK_GATE, make_gate(TSS_SELECTOR, 0, 0xe5, 0), 8);
    guest_put(guest, GUEST_LDT + 8, make_descriptor(0, 0xfffff, 0xcf2), 8);

    for (unsigned i = 0; i < GUEST_IDT_ENTRIES; i++) {
        uint32_t handler = GUEST_HANDLERS + 16 * i;
        unsigned access = i == GATE_TRAP             ? 0xef
                          : i == GATE_16             ? 0xe6
                          : i == GATE_BAD            ? 0xec
                          : i == GATE_ABSENT         ? 0x6e
                          : i == GATE_DPL0 || i < 32 ? 0x8e
                                                     : 0xee;
        guest_put(guest, GUEST_IDT + 8 * i, make_gate(CODE0, handler, access, 0), 8);
        guest_put(guest, handler, 0xcff4, 2);
    }
    guest_put(guest, GUEST_TSS + 4, GUEST_STACK0, 4);
    guest_put(guest, GUEST_TSS + 8, DATA0, 4);
    guest_put(guest, GUEST_TSS + 102, 0x68, 2); /* permission map: ports 0 to FFh */
    guest_put(guest, GUEST_OTHER, 0x30cd, 2);
    guest_put(guest, GUEST_GATE, 0x0008caf4, 4);
}

static inline struct segment flat_segment(unsigned selector, unsigned attributes)
{
    return (struct segment){0, 0xffffffff, (uint16_t)selector, (uint16_t)attributes};
}

/* Fresh tables and state; `code` at GUEST_CODE in ring `cpl`. */
static inline void guest_start(struct guest *guest, unsigned cpl, const void *code, size_t size)
{
    struct vcpu_state *s = &guest->state;
    memset(guest->memory.host, 0, 0x40000);
    engine_memory_changed(guest->engine, 0, 0x40000);
    guest_tables(guest);
    memcpy(guest->memory.host + GUEST_CODE, code, size);
    vcpu_reset(s);
    s->cr0 = CR0_PE | CR0_ET;
    s->gdt = (struct descriptor_table){GUEST_GDT, GUEST_GDT_LIMIT};
    s->idt = (struct descriptor_table){GUEST_IDT, GUEST_IDT_ENTRIES * 8 - 1};
    s->tr = (struct segment){GUEST_TSS, 0x88, TSS_SELECTOR, 0x8b};
    s->ldt = (struct segment){0};
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->segment[i] = flat_segment(cpl ? DATA3 | 3 : DATA0, cpl ? 0xcf3 : 0xc93);
    s->segment[SEG_CS] = flat_segment(cpl ? CODE3 | 3 : CODE0, cpl ? 0xcfb : 0xc9b);
    s->gpr[RSP] = cpl ? GUEST_STACK3 : GUEST_STACK0;
    s->rip = GUEST_CODE;
}

static inline void guest_import(struct guest *guest)
{
    if (engine_import_state(guest->engine, &guest->state, &guest->error))
        fail_msg("%s", guest->error.text);
}

static inline int guest_try_run(struct guest *guest, uint64_t budget, struct vcpu_exit *exit)
{
    const struct run_request request = {.budget = budget};
    int status = engine_run(guest->engine, &request, exit, &guest->error);
    if (status == 0)
        engine_export_state(guest->engine, &guest->state, &guest->error);
    return status;
}

static inline struct vcpu_exit guest_run(struct guest *guest)
{
    struct vcpu_exit exit;
    if (guest_try_run(guest, 1000, &exit))
        fail_msg("%s", guest->error.text);
    return exit;
}

/* After a halt: goes on with the instruction after the HLT. */
static inline struct vcpu_exit guest_continue(struct guest *guest)
{
    engine_complete(guest->engine, 0, &guest->error);
    guest->state.halted = false;
    guest_import(guest);
    return guest_run(guest);
}

/* The vector whose handler halted, or -1. */
static inline int guest_vector(const struct guest *guest)
{
    uint64_t at = guest->state.rip - 1 - GUEST_HANDLERS;
    return guest->state.halted && at % 16 == 0 && at / 16 < GUEST_IDT_ENTRIES ? (int)(at / 16) : -1;
}

/* 4 bytes at SS:ESP + `offset`. */
static inline uint32_t guest_stack(const struct guest *guest, unsigned offset)
{
    return guest_get32(guest, guest->state.gpr[RSP] + offset);
}

static inline void guest_create(struct guest *guest)
{
    const struct memory_backend backend = {.size = GUEST_RAM};
    assert_int_equal(memory_create(&guest->memory, &backend, 1, &guest->error), 0);
    guest->engine = engines_soft(&guest->memory, &guest->error);
    assert_non_null(guest->engine);
}

static inline void guest_destroy(struct guest *guest)
{
    engine_destroy(guest->engine);
    memory_destroy(&guest->memory);
}

enum { DE = 0, DB = 1, UD = 6, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, NONE = -1 };

static struct guest guest; /* of the test program */

static inline int set_up(void **state)
{
    (void)state;
    guest_create(&guest);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    guest_destroy(&guest);
    return 0;
}

/* Runs `code`; what it should end in is the handler of `vector`, with `error` on its stack. */
static inline void expect(
    const char *name, const uint8_t *code, size_t size, unsigned cpl, int vector, uint32_t error)
{
    guest_start(&guest, cpl, code, size);
    guest_import(&guest);
    struct vcpu_exit exit = guest_run(&guest);
    if (exit.kind != EXIT_HLT || guest_vector(&guest) != vector)
        fail_msg("%s, ring %u: exit %d at %llx, vector %d instead of %d", name, cpl, exit.kind,
            (unsigned long long)guest.state.rip, guest_vector(&guest), vector);
    bool has_error = vector == DF || (vector >= TS && vector <= GP);
    if (has_error && guest_stack(&guest, 0) != error)
        fail_msg("%s, ring %u: error %x instead of %x", name, cpl, guest_stack(&guest, 0), error);
}

#endif
