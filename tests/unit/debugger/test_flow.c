/*
 * What instructions copy and compute: each is executed by the software CPU on a state of random
 * bytes, and what flow_find() says of every byte that it wrote, or did not write, is compared with
 * the bytes. Then where the bytes come from is compared with a list.
 */
#include "tests/unit/cpu/guest64.h"

#include <stdio.h>

#include "debugger/flow.h"

/* What is looked at lies from GUEST_DATA and, on both sides of STACK_TOP, from STACK_START on, by
 * their sizes modulo which places are found. */
enum { DATA_SIZE = 0x4000, STACK_SIZE = 0x100, STACK_START = 0x1fff00, STACK_TOP = 0x1fff80 };
enum { MAX_ACCESSES = 128, SOURCE = GUEST_DATA, TARGET = GUEST_DATA + 0x1000, ROUNDS = 3 };

struct executed {
    struct vcpu_state before, after;
    uint8_t ram_before[DATA_SIZE], ram_after[DATA_SIZE]; /* from GUEST_DATA on */
    uint8_t stack_before[STACK_SIZE], stack_after[STACK_SIZE];
    struct stretch_access accesses[MAX_ACCESSES];
    unsigned access_count;
    struct memory memory;
};

static uint64_t seed = 1;

static uint64_t draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 29;
}

static void on_access(void *context, const struct memory_access *access)
{
    struct executed *executed = context;
    assert_true(executed->access_count < MAX_ACCESSES);
    executed->accesses[executed->access_count++] = (struct stretch_access){.gpa = access->gpa,
        .size = access->size,
        .kind = access->is_write ? STRETCH_STORE : STRETCH_LOAD};
}

/* Registers that addresses and counts are made of have sound values. */
static void randomize(struct guest *guest, struct vcpu_state *state)
{
    for (unsigned i = 0; i < DATA_SIZE; i += 8)
        guest_put64(guest, GUEST_DATA + i, draw());
    for (unsigned i = 0; i < STACK_SIZE; i += 8)
        guest_put64(guest, STACK_START + i, draw());
    for (unsigned i = 0; i < GPR_COUNT; i++)
        state->gpr[i] = draw();
    for (unsigned i = 0; i < 16; i++) {
        uint64_t words[2] = {draw(), draw()};
        memcpy(&state->fpu.xmm[i], words, sizeof words);
    }
    state->gpr[RSI] = SOURCE;
    state->gpr[RDI] = TARGET;
    state->gpr[RBP] = STACK_TOP - 0x40;
    state->gpr[RSP] = STACK_TOP;
    state->gpr[RCX] = 5;
    state->cr4 |= CR4_OSFXSR;
    state->rflags = FLAG_ONE | (draw() & (FLAG_CF | FLAG_ZF | FLAG_SF | FLAG_OF | FLAG_PF));
}

static void look(struct guest *guest, uint8_t *ram, uint8_t *stack)
{
    memcpy(ram, guest->memory.host + GUEST_DATA, DATA_SIZE);
    memcpy(stack, guest->memory.host + STACK_START, STACK_SIZE);
}

static void execute(struct guest *guest, struct executed *executed, unsigned count)
{
    const struct access_observer observer = {.access = on_access, .context = executed};
    executed->access_count = 0;
    guest_export(guest, &executed->before);
    look(guest, executed->ram_before, executed->stack_before);
    assert_true(engine_observe_accesses(guest->engine, &observer));
    guest_run(guest, count);
    assert_true(engine_observe_accesses(guest->engine, NULL));
    guest_export(guest, &executed->after);
    look(guest, executed->ram_after, executed->stack_after);
}

/* A byte of the machine before or after. */
static uint8_t byte_at(const struct executed *executed, const struct flow_place *place, bool after)
{
    const struct vcpu_state *state = after ? &executed->after : &executed->before;
    if (!place->in_memory && place->reg >= FLOW_XMM)
        return ((const uint8_t *)&state->fpu.xmm[place->reg - FLOW_XMM])[place->offset];
    if (!place->in_memory)
        return (uint8_t)(state->gpr[place->reg] >> 8 * place->offset);
    if (place->gpa >= GUEST_DATA)
        return (after ? executed->ram_after : executed->ram_before)[place->gpa % DATA_SIZE];
    return (after ? executed->stack_after : executed->stack_before)[place->gpa % STACK_SIZE];
}

struct kind {
    const char *name; /* of the instruction */
    uint8_t code[12];
    uint8_t iterations; /* 0: one */
    /* Where what byte comes from; a register: 100 + 16 * number + offset. */
    struct {
        uint64_t to, from;
    } expected[3];
};

#define REG(number, offset) (100 + 16 * (number) + (offset))
#define XMM(number, offset) REG(FLOW_XMM + (number), offset)

static struct flow_place place_of(uint64_t code)
{
    if (code >= STACK_START)
        return (struct flow_place){.in_memory = true, .gpa = code};
    return (struct flow_place){
        .reg = (uint8_t)((code - 100) / 16), .offset = (uint8_t)((code - 100) % 16)};
}

static const struct kind kinds[] = {
    {"mov rax, rbx", {0x48, 0x89, 0xd8}, 0, {{REG(RAX, 7), REG(RBX, 7)}}},
    {"mov eax, ebx", {0x89, 0xd8}, 0, {{REG(RAX, 3), REG(RBX, 3)}}},
    {"mov ah, bl", {0x88, 0xdc}, 0, {{REG(RAX, 1), REG(RBX, 0)}}},
    {"mov rax, [rsi+9]", {0x48, 0x8b, 0x46, 0x09}, 0, {{REG(RAX, 2), SOURCE + 11}}},
    {"mov [rdi+4], ax", {0x66, 0x89, 0x47, 0x04}, 0, {{TARGET + 5, REG(RAX, 1)}}},
    {"movzx eax, byte [rsi]", {0x0f, 0xb6, 0x06}, 0, {{REG(RAX, 0), SOURCE}}},
    {"movsx rax, bx", {0x48, 0x0f, 0xbf, 0xc3}, 0, {{REG(RAX, 1), REG(RBX, 1)}}},
    {"movsxd rax, ebx", {0x48, 0x63, 0xc3}, 0, {{REG(RAX, 3), REG(RBX, 3)}}},
    {"cdqe", {0x48, 0x98}, 0, {{0}}},
    {"bswap rdx", {0x48, 0x0f, 0xca}, 0, {{REG(RDX, 0), REG(RDX, 7)}}},
    {"bswap edx", {0x0f, 0xca}, 0, {{REG(RDX, 1), REG(RDX, 2)}}},
    {"xchg rax, rbx", {0x48, 0x93}, 0, {{REG(RAX, 3), REG(RBX, 3)}, {REG(RBX, 3), REG(RAX, 3)}}},
    {"xchg [rdi], al", {0x86, 0x07}, 0, {{TARGET, REG(RAX, 0)}, {REG(RAX, 0), TARGET}}},
    {"xadd [rdi], rax", {0x48, 0x0f, 0xc1, 0x07}, 0, {{REG(RAX, 5), TARGET + 5}}},
    {"cmovz rax, rbx", {0x48, 0x0f, 0x44, 0xc3}, 0, {{0}}},
    {"cmovnl eax, [rsi]", {0x0f, 0x4d, 0x06}, 0, {{0}}},
    {"cmova rax, rdx", {0x48, 0x0f, 0x47, 0xc2}, 0, {{0}}},
    {"cmpxchg [rdi], rbx", {0x48, 0x0f, 0xb1, 0x1f}, 0, {{REG(RAX, 6), TARGET + 6}}},
    {"cmpxchg8b [rdi]", {0x0f, 0xc7, 0x0f}, 0, {{REG(RDX, 2), TARGET + 6}}},
    {"push rbx", {0x53}, 0, {{STACK_TOP - 3, REG(RBX, 5)}}},
    {"push qword [rsi]", {0xff, 0x36}, 0, {{STACK_TOP - 8, SOURCE}}},
    {"push 5", {0x6a, 0x05}, 0, {{0}}},
    {"pop rbx", {0x5b}, 0, {{REG(RBX, 4), STACK_TOP + 4}}},
    {"pop qword [rdi]", {0x8f, 0x07}, 0, {{TARGET + 1, STACK_TOP + 1}}},
    {"leave", {0xc9}, 0, {{REG(RBP, 2), STACK_TOP - 0x40 + 2}}},
    {"lea rax, [rbx]", {0x48, 0x8d, 0x03}, 0, {{REG(RAX, 1), REG(RBX, 1)}}},
    {"lea rax, [rbx+8]", {0x48, 0x8d, 0x43, 0x08}, 0, {{0}}},
    {"xor eax, eax", {0x31, 0xc0}, 0, {{0}}},
    {"sub rbx, rbx", {0x48, 0x29, 0xdb}, 0, {{0}}},
    {"and rax, 0xff", {0x48, 0x25, 0xff, 0, 0, 0}, 0, {{0}}},
    {"and eax, 0xffff00ff", {0x25, 0xff, 0x00, 0xff, 0xff}, 0, {{0}}},
    {"or eax, 0xff00", {0x0d, 0x00, 0xff, 0, 0}, 0, {{0}}},
    {"or byte [rdi+2], 0", {0x80, 0x4f, 0x02, 0x00}, 0, {{0}}},
    {"shl rax, 16", {0x48, 0xc1, 0xe0, 0x10}, 0, {{REG(RAX, 5), REG(RAX, 3)}}},
    {"shr rax, 32", {0x48, 0xc1, 0xe8, 0x20}, 0, {{REG(RAX, 2), REG(RAX, 6)}}},
    {"shr eax, 8", {0xc1, 0xe8, 0x08}, 0, {{REG(RAX, 1), REG(RAX, 2)}}},
    {"shl eax, 3", {0xc1, 0xe0, 0x03}, 0, {{0}}},
    {"rol rax, 8", {0x48, 0xc1, 0xc0, 0x08}, 0, {{REG(RAX, 0), REG(RAX, 7)}}},
    {"ror ax, 8", {0x66, 0xc1, 0xc8, 0x08}, 0, {{REG(RAX, 0), REG(RAX, 1)}}},
    {"add rax, rbx", {0x48, 0x01, 0xd8}, 0, {{0}}},
    {"imul rax, rbx", {0x48, 0x0f, 0xaf, 0xc3}, 0, {{0}}},
    {"mul rbx", {0x48, 0xf7, 0xe3}, 0, {{0}}},
    {"inc dword [rdi]", {0xff, 0x07}, 0, {{0}}},
    {"cmp rax, rbx", {0x48, 0x39, 0xd8}, 0, {{0}}},
    {"test [rdi], eax", {0x85, 0x07}, 0, {{0}}},
    {"setz bl", {0x0f, 0x94, 0xc3}, 0, {{0}}},
    {"call +0", {0xe8, 0, 0, 0, 0}, 0, {{0}}},
    {"bsf eax, ebx", {0x0f, 0xbc, 0xc3}, 0, {{0}}},
    {"popcnt rax, rbx", {0xf3, 0x48, 0x0f, 0xb8, 0xc3}, 0, {{0}}},
    {"cpuid", {0x0f, 0xa2}, 0, {{0}}},
    {"cqo", {0x48, 0x99}, 0, {{0}}},
    {"movsb", {0xa4}, 0, {{TARGET, SOURCE}}},
    {"movsd", {0xa5}, 0, {{TARGET + 3, SOURCE + 3}}},
    {"rep movsb", {0xf3, 0xa4}, 5, {{TARGET + 4, SOURCE + 4}, {TARGET, SOURCE}}},
    {"rep movsq", {0xf3, 0x48, 0xa5}, 5, {{TARGET + 39, SOURCE + 39}, {TARGET + 8, SOURCE + 8}}},
    {"stosq", {0x48, 0xab}, 0, {{TARGET + 6, REG(RAX, 6)}}},
    {"rep stosd", {0xf3, 0xab}, 5, {{TARGET + 14, REG(RAX, 2)}}},
    {"lodsb", {0xac}, 0, {{REG(RAX, 0), SOURCE}}},
    {"rep lodsw", {0xf3, 0x66, 0xad}, 5, {{REG(RAX, 1), SOURCE + 9}}},
    {"movups xmm1, [rsi+1]", {0x0f, 0x10, 0x4e, 0x01}, 0, {{XMM(1, 15), SOURCE + 16}}},
    {"movaps [rdi], xmm2", {0x0f, 0x29, 0x17}, 0, {{TARGET + 9, XMM(2, 9)}}},
    {"movdqa xmm1, xmm2", {0x66, 0x0f, 0x6f, 0xca}, 0, {{XMM(1, 3), XMM(2, 3)}}},
    {"movdqu [rdi+3], xmm9", {0xf3, 0x44, 0x0f, 0x7f, 0x4f, 0x03}, 0, {{TARGET + 3, XMM(9, 0)}}},
    {"movntdq [rdi], xmm1", {0x66, 0x0f, 0xe7, 0x0f}, 0, {{TARGET + 15, XMM(1, 15)}}},
    {"movd xmm1, eax", {0x66, 0x0f, 0x6e, 0xc8}, 0, {{XMM(1, 2), REG(RAX, 2)}}},
    {"movq xmm1, rax", {0x66, 0x48, 0x0f, 0x6e, 0xc8}, 0, {{XMM(1, 7), REG(RAX, 7)}}},
    {"movq rax, xmm1", {0x66, 0x48, 0x0f, 0x7e, 0xc8}, 0, {{REG(RAX, 4), XMM(1, 4)}}},
    {"movq xmm1, [rsi]", {0xf3, 0x0f, 0x7e, 0x0e}, 0, {{XMM(1, 1), SOURCE + 1}}},
    {"movq [rdi], xmm1", {0x66, 0x0f, 0xd6, 0x0f}, 0, {{TARGET + 7, XMM(1, 7)}}},
    {"movss xmm1, [rsi]", {0xf3, 0x0f, 0x10, 0x0e}, 0, {{XMM(1, 3), SOURCE + 3}}},
    {"movss xmm1, xmm2", {0xf3, 0x0f, 0x10, 0xca}, 0, {{XMM(1, 3), XMM(2, 3)}}},
    {"movsd xmm1, xmm2", {0xf2, 0x0f, 0x10, 0xca}, 0, {{XMM(1, 7), XMM(2, 7)}}},
    {"movsd [rdi], xmm2", {0xf2, 0x0f, 0x11, 0x17}, 0, {{TARGET + 7, XMM(2, 7)}}},
    {"movlps xmm1, [rsi]", {0x0f, 0x12, 0x0e}, 0, {{XMM(1, 1), SOURCE + 1}}},
    {"movhps xmm1, [rsi]", {0x0f, 0x16, 0x0e}, 0, {{XMM(1, 9), SOURCE + 1}}},
    {"movhps [rdi], xmm1", {0x0f, 0x17, 0x0f}, 0, {{TARGET + 1, XMM(1, 9)}}},
    {"movhlps xmm1, xmm2", {0x0f, 0x12, 0xca}, 0, {{XMM(1, 1), XMM(2, 9)}}},
    {"movlhps xmm1, xmm2", {0x0f, 0x16, 0xca}, 0, {{XMM(1, 9), XMM(2, 1)}}},
    {"pshufd xmm1, xmm2, 0x1b", {0x66, 0x0f, 0x70, 0xca, 0x1b}, 0, {{XMM(1, 0), XMM(2, 12)}}},
    {"pslldq xmm1, 3", {0x66, 0x0f, 0x73, 0xf9, 0x03}, 0, {{XMM(1, 3), XMM(1, 0)}}},
    {"psrldq xmm1, 5", {0x66, 0x0f, 0x73, 0xd9, 0x05}, 0, {{XMM(1, 0), XMM(1, 5)}}},
    {"punpcklbw xmm1, xmm2", {0x66, 0x0f, 0x60, 0xca}, 0, {{XMM(1, 3), XMM(2, 1)}}},
    {"punpcklwd xmm1, xmm2", {0x66, 0x0f, 0x61, 0xca}, 0, {{XMM(1, 3), XMM(2, 1)}}},
    {"punpckldq xmm1, xmm2", {0x66, 0x0f, 0x62, 0xca}, 0, {{XMM(1, 8), XMM(1, 4)}}},
    {"punpcklqdq xmm1, [rsi]", {0x66, 0x0f, 0x6c, 0x0e}, 0, {{XMM(1, 8), SOURCE}}},
    {"pxor xmm1, xmm1", {0x66, 0x0f, 0xef, 0xc9}, 0, {{0}}},
    {"paddb xmm1, xmm2", {0x66, 0x0f, 0xfc, 0xca}, 0, {{0}}},
    {"pcmpeqb xmm1, [rsi]", {0x66, 0x0f, 0x74, 0x0e}, 0, {{0}}},
    {"pmovmskb eax, xmm1", {0x66, 0x0f, 0xd7, 0xc1}, 0, {{0}}},
    {"fxsave [rdi]", {0x0f, 0xae, 0x07}, 0, {{TARGET + 160 + 16 * 9 + 5, XMM(9, 5)}}},
};

/* ---- One byte ---------------------------------------------------------------------------------
 */

static bool writes(const struct executed *executed, const struct flow_place *place)
{
    return byte_at(executed, place, true) != byte_at(executed, place, false);
}

static void check_byte(const struct kind *kind, const struct flow_step *step,
    const struct executed *executed, struct flow_place place)
{
    struct flow_source source = flow_find(step, &place);
    uint8_t now = byte_at(executed, &place, true);
    bool known = source.kind == FLOW_KEPT || source.kind == FLOW_COPIED;
    if (source.kind == FLOW_KEPT)
        source.place = place;
    if (known && now != byte_at(executed, &source.place, false))
        fail_msg("%s: byte %u of %s %u (0x%llx) is %s", kind->name, place.offset,
            place.in_memory ? "memory" : "register", place.reg, (unsigned long long)place.gpa,
            source.kind == FLOW_KEPT ? "said to be kept" : "not what is said to be copied");
    uint64_t written = flow_written(step->decoder, step->insn);
    if (!place.in_memory && writes(executed, &place) && !(written >> place.reg & 1))
        fail_msg("%s: register %u is written", kind->name, place.reg);
    if (!place.in_memory && !(written >> place.reg & 1) && source.kind != FLOW_KEPT)
        fail_msg("%s: register %u has a source and is not written", kind->name, place.reg);
}

static void check_all(
    const struct kind *kind, const struct flow_step *step, const struct executed *executed)
{
    for (unsigned reg = 0; reg < FLOW_REGISTERS; reg++) {
        if (reg >= FLOW_MM && reg < FLOW_XMM)
            continue;
        for (unsigned i = 0; i < (reg < FLOW_MM ? 8 : 16); i++)
            check_byte(kind, step, executed,
                (struct flow_place){.reg = (uint8_t)reg, .offset = (uint8_t)i});
    }
    for (unsigned i = 0; i < STACK_SIZE; i++)
        check_byte(
            kind, step, executed, (struct flow_place){.in_memory = true, .gpa = STACK_START + i});
    for (unsigned i = 0; i < DATA_SIZE; i++)
        check_byte(
            kind, step, executed, (struct flow_place){.in_memory = true, .gpa = GUEST_DATA + i});
}

static void check_copies(const struct kind *kind, const struct flow_step *step)
{
    for (unsigned i = 0; i < 3 && kind->expected[i].to; i++) {
        struct flow_place to = place_of(kind->expected[i].to),
                          from = place_of(kind->expected[i].from);
        struct flow_source source = flow_find(step, &to);
        if (source.kind != FLOW_COPIED || source.place.in_memory != from.in_memory ||
            source.place.gpa != from.gpa || source.place.reg != from.reg ||
            source.place.offset != from.offset)
            fail_msg("%s: copy %u comes from another place", kind->name, i);
    }
}

/* Bytes that two states with nothing in common have alike, or not. */
static void check_constants(const struct kind *kind, const struct flow_step *steps,
    const struct executed *executed, unsigned reg, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        struct flow_place place = {.reg = (uint8_t)reg, .offset = (uint8_t)i};
        if (flow_find(&steps[0], &place).kind == FLOW_CONSTANT &&
            flow_find(&steps[1], &place).kind == FLOW_CONSTANT &&
            byte_at(&executed[0], &place, true) != byte_at(&executed[1], &place, true))
            fail_msg("%s: byte %u of register %u is no constant", kind->name, i, reg);
    }
}

static void check_kind(struct flow_decoder *decoder, const struct kind *kind)
{
    static struct executed executed[ROUNDS];
    struct flow_step steps[ROUNDS];
    cs_insn *insn = flow_decode(decoder, kind->code, 64, GUEST_CODE);
    assert_non_null(insn);
    struct guest guest;
    guest_create(&guest, kind->code, sizeof kind->code);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct vcpu_state state;
        guest_state(&state);
        randomize(&guest, &state);
        guest_import(&guest, &state);
        /* The memory as before: what the rules ask of it is from then. */
        struct memory before = guest.memory;
        execute(&guest, &executed[i], kind->iterations ? kind->iterations : 1);
        steps[i] = (struct flow_step){.decoder = decoder,
            .insn = insn,
            .before = &executed[i].before,
            .memory = &before,
            .accesses = executed[i].accesses,
            .access_count = executed[i].access_count};
        uint8_t *ram = guest.memory.host + GUEST_DATA;
        memcpy(ram, executed[i].ram_before, sizeof executed[i].ram_before);
        check_all(kind, &steps[i], &executed[i]);
        check_copies(kind, &steps[i]);
        steps[i].memory = NULL;
    }
    bool compares = insn->id == X86_INS_CMPXCHG || insn->id == X86_INS_CMPXCHG8B;
    for (unsigned reg = 0; reg < FLOW_REGISTERS && !compares; reg++) {
        if (reg < FLOW_MM || reg >= FLOW_XMM)
            check_constants(kind, steps, executed, reg, reg < FLOW_MM ? 8 : 16);
    }
    guest_destroy(&guest);
    cs_free(insn, 1);
}

static void every_kind_of_move(void **state)
{
    struct flow_decoder *decoder = flow_create();
    (void)state;
    assert_non_null(decoder);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check_kind(decoder, &kinds[i]);
    flow_destroy(decoder);
}

static void a_compare_and_exchange_that_succeeds(void **state)
{
    static const uint8_t code[12] = {0x48, 0x0f, 0xb1, 0x1f}; /* cmpxchg [rdi], rbx */
    static const struct kind kind = {.name = "cmpxchg that succeeds"};
    static struct executed executed;
    struct flow_decoder *decoder = flow_create();
    struct vcpu_state start;
    struct guest guest;
    (void)state;
    cs_insn *insn = flow_decode(decoder, code, 64, GUEST_CODE);
    guest_create(&guest, code, sizeof code);
    guest_state(&start);
    randomize(&guest, &start);
    start.gpr[RAX] = guest_get64(&guest, TARGET);
    guest_import(&guest, &start);
    execute(&guest, &executed, 1);
    memcpy(guest.memory.host + GUEST_DATA, executed.ram_before, sizeof executed.ram_before);
    const struct flow_step step = {.decoder = decoder,
        .insn = insn,
        .before = &executed.before,
        .memory = &guest.memory,
        .accesses = executed.accesses,
        .access_count = executed.access_count};
    check_all(&kind, &step, &executed);
    const struct flow_place place = {.in_memory = true, .gpa = TARGET + 3};
    struct flow_source source = flow_find(&step, &place);
    assert_int_equal(source.kind, FLOW_COPIED);
    assert_int_equal(source.place.reg, RBX);
    assert_int_equal(source.place.offset, 3);
    guest_destroy(&guest);
    cs_free(insn, 1);
    flow_destroy(decoder);
}

static void what_is_computed_names_its_operands(void **state)
{
    static const uint8_t code[STRETCH_CODE_BYTES] = {0x48, 0x03, 0x44, 0xcb, 0x08};
    const struct stretch_access load = {.gpa = 0x5008, .size = 8, .kind = STRETCH_LOAD};
    struct flow_operand operands[FLOW_MAX_OPERANDS];
    struct flow_decoder *decoder = flow_create();
    cs_insn *insn = flow_decode(decoder, code, 64, 0); /* add rax, [rbx + rcx * 8 + 8] */
    const struct flow_step step = {
        .decoder = decoder, .insn = insn, .accesses = &load, .access_count = 1};
    (void)state;
    assert_int_equal(flow_operands(&step, operands), 4);
    assert_int_equal(operands[0].first.reg, RAX);
    assert_false(operands[0].is_address);
    assert_true(operands[1].first.in_memory);
    assert_int_equal(operands[1].first.gpa, 0x5008);
    assert_int_equal(operands[2].first.reg, RBX);
    assert_true(operands[2].is_address);
    assert_int_equal(operands[3].first.reg, RCX);
    cs_free(insn, 1);
    flow_destroy(decoder);
}

static void registers_have_the_names_of_debuggers(void **state)
{
    static const char *const names[] = {"rax", "eax", "ax", "al", "ah", "rsp", "spl", "sil", "r8",
        "r9d", "r10w", "r15b", "xmm0", "xmm15", "mm3"};
    struct flow_place first;
    unsigned size;
    char name[16];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(flow_register_find(names[i], &first, &size));
        flow_register_name(first.reg, first.offset, size, name);
        assert_string_equal(name, names[i]);
    }
    assert_false(flow_register_find("cr3", &first, &size));
    assert_false(flow_register_find("", &first, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_move),
        cmocka_unit_test(a_compare_and_exchange_that_succeeds),
        cmocka_unit_test(what_is_computed_names_its_operands),
        cmocka_unit_test(registers_have_the_names_of_debuggers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
