/*
 * Anything as the body of a 64-bit loop, so that blocks become warm, are chained and translated:
 * the native code must leave the registers and the memory that the interpreter leaves, wherever a
 * budget ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/soft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RAM = 1 << 20,
    TABLES = 0x1000, /* PML4, PDPT, PD */
    GDT = 0x4000,
    IDT = 0x5000,
    TSS = 0x6000,
    SKIP = 0x7000,       /* handlers: go on at the end of the loop's body */
    SKIP_ERROR = 0x7080, /* the same for exceptions with an error code */
    COUNTER = 0x8000,
    CODE = 0x9f80, /* the body runs into the next page */
    BODY_MAX = 400,
    DATA = 0x10000,
    STACK = 0x40000,
    LOOPS = 40,
    RUNS = 6,
    EXITS = 300
};

struct side {
    struct memory memory;
    struct engine *engine;
};

struct input {
    const uint8_t *data;
    size_t size;
};

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && input->size; i++, input->size--)
        value |= (uint64_t)*input->data++ << (8 * i);
    return value;
}

static void put(struct side *side, uint64_t gpa, uint64_t value, unsigned bytes)
{
    memcpy(side->memory.host + gpa, &value, bytes);
}

static void create(struct side *side, enum native_use use)
{
    const struct memory_backend backend = {.size = RAM};
    const struct engine_options options = {.native = use};
    struct error error;
    require(memory_create(&side->memory, &backend, 1, &error) == 0, "no memory");
    side->engine = soft_create(&side->memory, &options, &error);
    require(side->engine != NULL, "no engine");
}

/* mov qword [rsp], AFTER; iretq: an instruction that faults is passed over with the rest. */
static void put_handlers(struct side *side, uint32_t after)
{
    static const uint8_t drop[] = {0x48, 0x83, 0xc4, 0x08};
    static const uint8_t skip[] = {0x48, 0xc7, 0x04, 0x24};
    memcpy(side->memory.host + SKIP_ERROR, drop, sizeof drop);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = i ? SKIP_ERROR + sizeof drop : SKIP;
        memcpy(side->memory.host + at, skip, sizeof skip);
        put(side, at + 4, after, 4);
        put(side, at + 8, 0xcf48, 2);
    }
    for (unsigned i = 0; i < 256; i++) {
        bool has_error = i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21;
        uint64_t gate = (has_error ? SKIP_ERROR : SKIP) | 8ull << 16 | 0x8e00ull << 32 | 1ull << 32;
        put(side, IDT + 16 * i, gate, 8);
    }
}

static void put_tables(struct side *side)
{
    static const uint64_t descriptors[] = {
        0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x0000890060000067, 0};
    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        put(side, GDT + 8 * i, descriptors[i], 8);
    put(side, TABLES, (TABLES + 0x1000) | 7, 8);
    put(side, TABLES + 0x1000, (TABLES + 0x2000) | 7, 8);
    put(side, TABLES + 0x2000, 0x87, 8);
    put(side, TSS + 0x24, STACK + 0x8000, 8); /* IST1 */
}

/* The loop: BODY; nops; dec dword [COUNTER]; jnz CODE; hlt. */
static void put_loop(struct side *side, const uint8_t *body, size_t size)
{
    uint8_t *at = side->memory.host + CODE;
    memcpy(at, body, size);
    memset(at + size, 0x90, 15);
    uint32_t after = (uint32_t)(CODE + size + 15);
    put_handlers(side, after);
    put(side, after, 0x250cff, 3);
    put(side, after + 3, COUNTER, 4);
    put(side, after + 7, 0x850f, 2);
    put(side, after + 9, CODE - (after + 13), 4);
    put(side, after + 13, 0xf4, 1);
    put(side, COUNTER, LOOPS, 4);
}

static void make_state(struct vcpu_state *s, struct input *input)
{
    vcpu_reset(s);
    s->efer = EFER_LME | EFER_LMA | EFER_SCE;
    s->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_MP | CR0_WP;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    s->cr3 = TABLES;
    s->rip = CODE;
    s->rflags = FLAG_ONE | (take(input, 2) & 0xcd5);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        uint64_t kind = take(input, 1);
        s->gpr[i] = kind & 1 ? take(input, 8) : kind & 2 ? DATA + take(input, 2) : kind >> 2;
    }
    s->gpr[RSP] = STACK;
    for (unsigned i = 0; i < 16; i++) {
        uint64_t value = take(input, 1) * 0x0101010101010101;
        memcpy(s->fpu.xmm[i], &value, 8);
    }
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->segment[i] = (struct segment){.limit = 0xffffffff,
            .selector = i == SEG_CS ? 8 : 16,
            .attributes = i == SEG_CS ? 0xa9b : 0xc93};
    s->gdt = (struct descriptor_table){.base = GDT, .limit = 39};
    s->idt = (struct descriptor_table){.base = IDT, .limit = 0xfff};
    s->tr = (struct segment){.base = TSS, .limit = 0x67, .selector = 24, .attributes = 0x8b};
    s->lstar = s->cstar = SKIP;
    s->star = 8ull << 32;
}

static void prepare(struct side *side, const struct vcpu_state *state, const struct input *body)
{
    struct error error;
    memset(side->memory.host, 0, RAM);
    for (uint64_t at = DATA; at < DATA + 0x3000; at += 8)
        put(side, at, at * 0x9e3779b97f4a7c15, 8);
    put_tables(side);
    put_loop(side, body->data, body->size < BODY_MAX ? body->size : BODY_MAX);
    engine_memory_changed(side->engine, 0, RAM);
    require(engine_import_state(side->engine, state, &error) == 0, "the state is refused");
}

/* Runs exactly `budget` instructions, or to where nothing goes on; false then. */
static bool run(struct side *side, uint64_t budget, struct vcpu_exit *exit)
{
    uint64_t end = side->engine->retired + budget;
    struct error error;
    for (unsigned i = 0; i < EXITS && side->engine->retired < end; i++) {
        const struct run_request request = {.budget = end - side->engine->retired};
        if (engine_run(side->engine, &request, exit, &error))
            return false;
        if (exit->kind == EXIT_SHUTDOWN || exit->kind == EXIT_HLT)
            return false;
        if (engine_complete(side->engine, 0x0123456789abcdefull * (i + 1), &error) < 0)
            return false;
    }
    return side->engine->retired == end;
}

static void compare(struct side *native, struct side *plain)
{
    struct vcpu_state states[2];
    struct buffer saved[2] = {{0}, {0}};
    struct error error;
    require(engine_export_state(native->engine, &states[0], &error) == 0 &&
                engine_export_state(plain->engine, &states[1], &error) == 0,
        "no state");
    vcpu_save(&states[0], &saved[0]);
    vcpu_save(&states[1], &saved[1]);
    if (saved[0].size != saved[1].size || memcmp(saved[0].data, saved[1].data, saved[0].size)) {
        for (unsigned i = 0; i < GPR_COUNT; i++)
            fprintf(stderr, "%u: %016llx %016llx\n", i, (unsigned long long)states[0].gpr[i],
                (unsigned long long)states[1].gpr[i]);
        fprintf(stderr, "rip %llx %llx, rflags %llx %llx\n", (unsigned long long)states[0].rip,
            (unsigned long long)states[1].rip, (unsigned long long)states[0].rflags,
            (unsigned long long)states[1].rflags);
        require(false, "native code leaves another state");
    }
    require(memcmp(native->memory.host, plain->memory.host, RAM) == 0,
        "native code leaves other memory");
    buffer_free(&saved[0]);
    buffer_free(&saved[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct side native, plain;
    struct input input = {data, size};
    struct vcpu_state state;
    uint64_t budgets[RUNS];

    if (!native.engine) {
        create(&native, NATIVE_EAGER);
        create(&plain, NATIVE_NEVER);
    }
    for (unsigned i = 0; i < RUNS; i++)
        budgets[i] = 1 + take(&input, 1) * (i + 1);
    make_state(&state, &input);
    prepare(&native, &state, &input);
    prepare(&plain, &state, &input);
    const uint64_t start = native.engine->retired - plain.engine->retired;
    for (unsigned i = 0; i < RUNS; i++) {
        struct vcpu_exit exits[2] = {{0}, {0}};
        bool more = run(&native, budgets[i], &exits[0]);
        bool also = run(&plain, budgets[i], &exits[1]);
        require(more == also && exits[0].kind == exits[1].kind &&
                    exits[0].address == exits[1].address && exits[0].value == exits[1].value,
            "native code exits otherwise");
        require(native.engine->retired - plain.engine->retired == start,
            "native code counts otherwise");
        compare(&native, &plain);
        if (!more)
            break;
    }
    return 0;
}
