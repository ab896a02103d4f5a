/*
 * Anything as code, in every mode, from a state made of the input: the software CPU must neither
 * crash nor hang, and must say exactly how much it retired.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/engines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RAM = 2 << 20,
    TABLES = 0x10000, /* PML4, PDPT, PD, and a page directory for 32-bit paging */
    GDT = 0x2000,
    IDT = 0x3000,
    TSS = 0x4000,
    TASK = 0x4ff0, /* of another task, across two pages */
    CODE = 0x7f80, /* runs into the next page */
    HANDLER = 0x9000,
    STACK = 0xf000,
    BUDGET = 3000,
    EXITS = 200
};

struct input {
    const uint8_t *data;
    size_t size;
};

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        if (!input->size)
            return value;
        value |= (uint64_t)*input->data++ << (8 * i);
        input->size--;
    }
    return value;
}

static void put(struct memory *memory, uint64_t gpa, uint64_t value, unsigned bytes)
{
    memcpy(memory->host + gpa, &value, bytes);
}

static void make_tables(struct memory *memory, struct input *input)
{
    /* null, code 64, code 32, data, code 16, user code 64, user data, TSS, and two random ones */
    static const uint64_t descriptors[] = {0, 0x00af9b000000ffff, 0x00cf9b000000ffff,
        0x00cf93000000ffff, 0x00009b000000ffff, 0x00affb000000ffff, 0x00cff3000000ffff};
    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        put(memory, GDT + 8 * i, descriptors[i], 8);
    put(memory, GDT + 56, 0x0000890040000067, 8);
    put(memory, GDT + 72, take(input, 8), 8);
    put(memory, GDT + 80, take(input, 8), 8);
    put(memory, TABLES, (TABLES + 0x1000) | 7, 8);
    put(memory, TABLES + 0x1000, (TABLES + 0x2000) | 7, 8);
    put(memory, TABLES + 0x2000, 0x87, 8);
    put(memory, TABLES + 0x2008, take(input, 6), 8);
    put(memory, TABLES + 0x3000, 0x87, 4);
    put(memory, TSS + 4, STACK - 0x100, 8);
    put(memory, HANDLER, 0xcf48, 2); /* IRETQ, or DEC and IRET */
}

static void make_idt(struct memory *memory, bool wide, unsigned selector, uint8_t type)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t gate = HANDLER | (uint64_t)selector << 16 | (uint64_t)type << 40;
        put(memory, IDT + (wide ? 16 : 8) * i, gate, 8);
        if (wide)
            put(memory, IDT + 16 * i + 8, 0, 8);
    }
}

/* Another task at every third gate, with registers of the input and segments that may load. */
static void make_task(struct memory *memory, struct input *input)
{
    unsigned kind = (unsigned)take(input, 1);
    bool wide = kind & 1;
    unsigned size = wide ? 4 : 2, segments = wide ? 0x48 : 0x22;
    uint64_t limit = (wide ? 0x67u : 0x2bu) - ((kind & 0x30) == 0x30);
    put(memory, GDT + 88, limit | (uint64_t)TASK << 16 | (wide ? 0x89ull : 0x81ull) << 40, 8);
    for (unsigned i = 0; i < 0x68; i += 4)
        put(memory, TASK + i, take(input, 4), 4);
    put(memory, TASK + (wide ? 0x20 : 0x0e), kind & 2 ? HANDLER : CODE + 8, size);
    put(memory, TASK + (wide ? 0x38 : 0x1a), STACK, size);
    if (wide)
        put(memory, TASK + 0x1c, TABLES + 0x3000, 4);
    if (wide && kind & 0xc0)
        put(memory, TASK + 0x26, 0, 2); /* not of virtual-8086 mode */
    for (unsigned i = 0; i < (wide ? 6u : 4u); i++) {
        uint64_t selector = i == SEG_CS ? (wide ? 16 : 32) : kind & 8 ? take(input, 1) % 96 : 24;
        put(memory, TASK + segments + size * i, selector, 2);
    }
    put(memory, TASK + (wide ? 0x60 : 0x2a), kind & 4 ? take(input, 1) : 0, 2);
    for (unsigned i = 0; i < 256; i += 3)
        put(memory, IDT + 8 * i, 88ull << 16 | 0xe5ull << 40, 8);
}

static void set_segments(struct vcpu_state *s, unsigned code, unsigned code_attributes,
    unsigned data, unsigned data_attributes)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->segment[i] = (struct segment){.limit = 0xffffffff,
            .selector = (uint16_t)(i == SEG_CS ? code : data),
            .attributes = (uint16_t)(i == SEG_CS ? code_attributes : data_attributes)};
}

static void make_mode(struct vcpu_state *s, struct memory *memory, struct input *input)
{
    unsigned mode = (unsigned)take(input, 1);
    bool user = mode & 8;

    s->cr0 |= CR0_PE | CR0_ET;
    switch (mode & 7) {
    case 0: /* real mode */
        s->cr0 &= ~CR0_PE;
        for (unsigned i = 0; i < SEG_COUNT; i++)
            s->segment[i] = (struct segment){
                .limit = 0xffff, .attributes = (uint16_t)(i == SEG_CS ? 0x9b : 0x93)};
        put(memory, 0, HANDLER, 4);
        break;
    case 1: /* 16-bit protected mode with small limits */
        set_segments(s, 32, 0x9b, 24, 0x93);
        for (unsigned i = 0; i < SEG_COUNT; i++)
            s->segment[i].limit = 0xffff;
        make_idt(memory, false, 16, 0x8e);
        break;
    case 2: /* 32-bit, with or without paging */
    case 3:
        set_segments(s, 16, 0xc9b, 24, 0xc93);
        make_idt(memory, false, 16, 0xee);
        if (mode & 1) {
            s->cr0 |= CR0_PG;
            s->cr4 = (s->cr4 & ~CR4_PAE) | CR4_PSE;
            s->cr3 = TABLES + 0x3000;
        }
        break;
    default: /* long mode: compatibility, or 64-bit in either ring */
        s->cr0 |= CR0_PG;
        s->cr4 |= CR4_PAE;
        s->efer |= EFER_LME | EFER_LMA;
        s->cr3 = TABLES;
        if ((mode & 7) == 4)
            set_segments(s, 16, 0xc9b, 24, 0xc93);
        else if (user)
            set_segments(s, 43, 0xafb, 51, 0xcf3);
        else
            set_segments(s, 8, 0xa9b, 24, 0xc93);
        make_idt(memory, true, 8, 0xee);
        break;
    }
}

static void make_state(struct vcpu_state *s, struct memory *memory, struct input *input)
{
    vcpu_reset(s);
    s->cr0 = take(input, 1) & (CR0_MP | CR0_EM | CR0_TS);
    s->cr0 |= take(input, 1) & 1 ? CR0_AM | CR0_WP : 0;
    s->cr0 |= CR0_NE;
    s->cr4 = take(input, 2) & (CR4_TSD | CR4_DE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    s->efer = take(input, 2) & (EFER_SCE | EFER_NXE);
    make_mode(s, memory, input);
    if (s->cr0 & CR0_PE && !(s->efer & EFER_LME) && take(input, 1) & 1)
        make_task(memory, input);
    s->rflags = FLAG_ONE | (take(input, 3) & (0x47fd5 | FLAG_NT));
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        uint64_t kind = take(input, 1);
        s->gpr[i] = kind & 1 ? take(input, 8) : take(input, 2) << (kind >> 4);
    }
    s->gpr[RSP] = STACK - (s->gpr[RSP] & 0x7f);
    s->rip = CODE;
    s->gdt = (struct descriptor_table){.base = GDT, .limit = 95};
    s->idt = (struct descriptor_table){.base = s->cr0 & CR0_PE ? IDT : 0, .limit = 0xfff};
    s->tr = (struct segment){.base = TSS, .limit = 0x67, .selector = 56, .attributes = 0x8b};
    s->lstar = s->cstar = s->sysenter_eip = HANDLER;
    s->sysenter_cs = 8;
    s->star = (uint64_t)8 << 32 | (uint64_t)32 << 48;
    if (take(input, 1) % 4 == 0) {
        s->dr7 = take(input, 4) & 0xffff00ff;
        s->dr[0] = CODE + (take(input, 1) & 63);
        s->dr[1] = STACK - 16;
    }
}

static void run(struct engine *engine)
{
    uint64_t end = engine->retired + BUDGET;
    struct vcpu_exit exit;
    struct error error;

    for (unsigned i = 0; i < EXITS && engine->retired < end; i++) {
        const struct run_request request = {.budget = end - engine->retired};
        if (engine_run(engine, &request, &exit, &error)) {
            if (exit.kind != EXIT_ERROR)
                abort();
            return;
        }
        if (engine->retired > end || (exit.kind == EXIT_BUDGET && engine->retired != end))
            abort();
        if (exit.kind == EXIT_SHUTDOWN)
            return;
        int more = engine_complete(engine, 0x0123456789abcdefull * (i + 1), &error);
        if (more < 0)
            return;
        if (exit.kind == EXIT_HLT) {
            if (!engine_interruptible(engine))
                return;
            if (engine_interrupt(engine, (uint8_t)(32 + i), &error))
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory memory;
    static struct engine *engine;
    const struct memory_backend backend = {.size = RAM};
    struct input input = {data, size};
    struct vcpu_state state, copy;
    struct error error;

    if (!engine) {
        if (memory_create(&memory, &backend, 1, &error) ||
            !(engine = engines_soft(&memory, &error)))
            abort();
    }
    memset(memory.host, 0, RAM);
    make_tables(&memory, &input);
    make_state(&state, &memory, &input);
    memcpy(memory.host + CODE, input.data, input.size < 4096 ? input.size : 4096);
    engine_memory_changed(engine, 0, RAM);
    if (engine_import_state(engine, &state, &error))
        return 0;
    run(engine);
    if (engine_export_state(engine, &copy, &error))
        abort();
    /* Whatever state that was, going back into it works. */
    if (engine_import_state(engine, &copy, &error)) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }

    /* States of pure noise are refused or survived. */
    struct reader reader = {.data = data, .size = size};
    vcpu_restore(&state, &reader);
    if (!reader.failed && !engine_import_state(engine, &state, &error))
        run(engine);
    return 0;
}
