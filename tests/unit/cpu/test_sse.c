/* The SSE and MMX instructions against the host CPU, every opcode of the model. */
#include "native.h"

enum { GROUP_AE = 0xae };

/* An MMX instruction with an x87 error pending raises #MF; an SSE one can only raise #XM. */
static bool x87_pending(const struct fpu_state *fpu)
{
    return fpu->status & ~fpu->control & 0x3f;
}

/* FXSAVE images: as forget_reserved(). Bytes 416 to 511 are not written. */
static void forget_image(const struct insn *insn, struct side *side)
{
    if (insn->map != MAP_0F || insn->opcode != GROUP_AE || (insn->modrm >> 3 & 7) != 0)
        return;
    uint8_t *at = side->memory + 256 + insn->displacement;
    static const uint8_t mask[4] = {0xff, 0xff, 0, 0};
    memcpy(at + 28, mask, 4);
    for (unsigned i = 0; i < 8; i++)
        memset(at + 32 + 16 * i + 10, 0, 6);
}

static void prepare(const struct insn *insn, struct side *start)
{
    random_side(start);
    normalize(&start->fpu);
    start->fpu.opcode = random_bits() & 0x7ff;
    start->fpu.instruction = random_bits() >> 17;
    start->fpu.data = random_bits() >> 17;
    if (insn->map != MAP_0F || insn->opcode != GROUP_AE || !(insn->flags & INSN_MEMORY))
        return;
    uint8_t *at = start->memory + 256 + insn->displacement;
    unsigned reg = insn->modrm >> 3 & 7;
    bool valid = random_below(4);
    /* MXCSR bit 17 exists on AMD hosts (misaligned SSE) but not in the model. */
    at[reg == 1 ? 26 : 2] &= (uint8_t)~2;
    if (reg == 1 && valid)
        memset(at + 26, 0, 2);
    if (reg == 2 && valid)
        memset(at + 2, 0, 2);
    if (reg == 0) { /* the host leaves the reserved bytes of each register as they were */
        for (unsigned i = 0; i < 8; i++)
            memset(at + 32 + 16 * i + 10, 0, 6);
    }
}

/* A host that ran something else before the signal may have saved FIP and FDP in their 32-bit form.
 */
static void restore_high_halves(struct fpu_state *fpu, const struct fpu_state *start)
{
    if (fpu->instruction == (uint32_t)start->instruction)
        fpu->instruction = start->instruction;
    if (fpu->data == (uint32_t)start->data)
        fpu->data = start->data;
}

static unsigned try(const struct instruction *instruction, unsigned count)
{
    static struct side start, native, handler;
    unsigned failures = 0;
    for (unsigned i = 0; i < count && failures < 2; i++) {
        prepare(&instruction->insn, &start);
        random_tlb();
        run_native(instruction, &start, &native, true);
        if (native.fault == NO_FAULT)
            forget_image(&instruction->insn, &native);
        run_handler(instruction, &start, &handler);
        /* one signal for both: tell them apart by what is pending */
        if (native.fault == VECTOR_XM && handler.fault == VECTOR_MF && x87_pending(&start.fpu) &&
            native.fpu.mxcsr == start.fpu.mxcsr) {
            native.fault = VECTOR_MF;
            restore_high_halves(&native.fpu, &start.fpu);
        }
        if (!same(&native, &handler)) {
            failures++;
            fprintf(stderr, "differs in state %u\n", i);
            explain(instruction, &start, &native, &handler);
        }
    }
    return failures;
}

/* A register number that the trampoline lets an instruction use as general or XMM register. */
static unsigned random_register(void)
{
    unsigned reg;
    do {
        reg = random_below(16);
    } while (reg == RSP || reg == RBX || reg == RDI);
    return reg;
}

static bool takes_immediate(unsigned map, unsigned opcode)
{
    if (map == MAP_0F3A)
        return true;
    return map == MAP_0F && ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
                                (opcode >= 0xc4 && opcode <= 0xc6));
}

/* Belongs to other files, or to extensions that this host has and the model does not. */
static bool excluded(unsigned map, unsigned opcode, unsigned prefix, bool memory, unsigned reg)
{
    if (map == MAP_0F) {
        if (opcode == 0x2b && prefix >= PREFIX_F3) /* SSE4A */
            return true;
        if (opcode == 0x78 || opcode == 0x79) /* SSE4A, VMX */
            return true;
        if (opcode == 0xc7 || (opcode >= 0xc8 && opcode <= 0xcf)) /* CMPXCHG8B, BSWAP */
            return true;
        if (opcode == 0xff || opcode == 0xc0 || opcode == 0xc1) /* UD0, XADD */
            return true;
        if (opcode == GROUP_AE) /* XSAVE, CLWB, FSGSBASE and others */
            return memory ? reg >= 4 && !(reg == 7 && prefix == PREFIX_NONE) : reg < 5;
        return (opcode < 0x10 || opcode > 0x17) && (opcode < 0x28 || opcode > 0x2f) &&
               (opcode < 0x50 || opcode > 0x7f) && opcode < 0xc2;
    }
    if (map == MAP_0F38)
        return opcode > 0x41;
    return opcode < 0x08 || opcode > 0x63 || opcode == 0x44; /* PCLMULQDQ */
}

static unsigned try_opcode(unsigned map, unsigned opcode, unsigned prefix, unsigned *known)
{
    unsigned failures = 0;
    bool group = map == MAP_0F && (opcode == GROUP_AE || (opcode >= 0x71 && opcode <= 0x73));
    for (unsigned form = 0; form < 64; form++) {
        bool memory = form & 1, rex_w = form & 2;
        unsigned reg = group ? form >> 2 & 7 : random_register();
        if ((!group && form >= 24) || excluded(map, opcode, prefix, memory, reg))
            continue;
        int immediate = takes_immediate(map, opcode) ? (int)random_below(256) : -1;
        int displacement = random_below(3) ? (int)random_below(4) * 16 : (int)random_below(64);
        struct instruction instruction = make(map, opcode, prefix, rex_w, memory, reg,
            random_register(), (int8_t)displacement, immediate);
        *known += simd_handler(&instruction.insn) != NULL;
        failures += try(&instruction, rounds(simd_handler(&instruction.insn) ? 30 : 1));
    }
    return failures;
}

static void try_map(unsigned map)
{
    catch_faults();
    unsigned failures = 0, known = 0;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned prefix = PREFIX_NONE; prefix <= PREFIX_F2; prefix++)
            failures += try_opcode(map, opcode, prefix, &known) != 0;
    }
    assert_true(known > 100);
    assert_int_equal(failures, 0);
}

static void map_0f(void **state)
{
    (void)state;
    try_map(MAP_0F);
}

static void map_0f38(void **state)
{
    (void)state;
    try_map(MAP_0F38);
}

static void map_0f3a(void **state)
{
    (void)state;
    try_map(MAP_0F3A);
}

/* Every immediate has its own code. */
static void all_immediates(void **state)
{
    (void)state;
    catch_faults();
    unsigned failures = 0;
    for (unsigned map = MAP_0F; map <= MAP_0F3A; map++) {
        for (unsigned index = 0; index < 1024; index++) {
            unsigned opcode = index >> 2, prefix = index & 3;
            struct instruction probe = make(map, opcode, prefix, false, false, 2, 3, 0, 0);
            if (map == MAP_0F38 || !takes_immediate(map, opcode) || !simd_handler(&probe.insn))
                continue;
            for (int immediate = 0; immediate < 256; immediate++) {
                struct instruction instruction = make(map, opcode, prefix, false, false,
                    random_below(2) ? 2 : 6, random_register(), 0, immediate);
                failures += try(&instruction, 2) != 0;
            }
        }
    }
    assert_int_equal(failures, 0);
}

/* SSE arithmetic, MXCSR accesses, MMX and x87, in one go: state that is kept between instructions.
 */
static struct instruction random_element(void)
{
    static const struct {
        unsigned map, opcode, prefix, reg;
        bool memory;
    } others[] = {
        {MAP_0F, 0xae, PREFIX_NONE, 3, true},       /* STMXCSR */
        {MAP_0F, 0xae, PREFIX_NONE, 2, true},       /* LDMXCSR */
        {MAP_0F, 0xae, PREFIX_NONE, 0, true},       /* FXSAVE */
        {MAP_0F, 0xfc, PREFIX_NONE, 1, false},      /* PADDB mm */
        {MAP_0F, 0x2d, PREFIX_NONE, 1, false},      /* CVTPS2PI */
        {MAP_PRIMARY, 0xd8, PREFIX_NONE, 0, true},  /* FADD m32 */
        {MAP_PRIMARY, 0xd9, PREFIX_NONE, 6, false}, /* FXTRACT (with ST(4)) */
        {MAP_PRIMARY, 0xd9, PREFIX_NONE, 3, true},  /* FSTP m32 */
        {MAP_PRIMARY, 0xdd, PREFIX_NONE, 0, true},  /* FLD m64 */
        {MAP_0F, 0x57, PREFIX_NONE, 5, false},      /* XORPS */
    };
    static const uint8_t arithmetic[] = {0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f};
    if (random_below(2))
        return make(MAP_0F, arithmetic[random_below(sizeof arithmetic)], random_below(4), false,
            random_below(2), random_below(16), random_below(16), (int8_t)(16 * random_below(4)),
            -1);
    unsigned i = random_below(sizeof others / sizeof others[0]);
    bool fxsave = others[i].opcode == 0xae && others[i].reg == 0;
    return make(others[i].map, others[i].opcode, others[i].prefix, false, others[i].memory,
        others[i].reg, 4, fxsave ? 64 : 0, -1);
}

static void sequences(void **state)
{
    (void)state;
    catch_faults();
    static struct side start, native, handler;
    enum { LENGTH = 8 };
    unsigned failures = 0, compared = 0;
    for (unsigned round = 0; round < rounds(20000) && failures < 3; round++) {
        struct instruction list[LENGTH], all = {0};
        for (unsigned i = 0; i < LENGTH; i++) {
            list[i] = random_element();
            memcpy(all.bytes + all.length, list[i].bytes, list[i].length);
            all.length += list[i].length;
        }
        random_side(&start);
        start.fpu.mxcsr |= 0x1f80;
        start.fpu.control |= 0x3f;
        normalize(&start.fpu);
        /* what LDMXCSR loads; FXSAVE writes elsewhere, and the host leaves its reserved bytes */
        uint32_t mxcsr = ((uint32_t)random_bits() & 0xffff) | 0x1f80;
        memcpy(start.memory + 256, &mxcsr, 4);
        memset(start.memory + 256 + 64, 0, 512);
        random_tlb();
        run_native(&all, &start, &native, true);
        run_handlers(list, LENGTH, &start, &handler);
        struct insn fxsave = {
            .map = MAP_0F, .opcode = GROUP_AE, .flags = INSN_MEMORY, .displacement = 64};
        forget_image(&fxsave, &native);
        forget_image(&fxsave, &handler);
        if (native.fault != NO_FAULT) /* LDMXCSR of what a store left there */
            continue;
        /* MXCSR.MM is an AMD extension that hs64-v1 lacks. */
        memcpy(&mxcsr, handler.memory + 256, 4);
        if (handler.fault == VECTOR_GP && (mxcsr & 1u << 17))
            continue;
        compared++;
        if (!same(&native, &handler)) {
            failures++;
            explain(&all, &start, &native, &handler);
        }
    }
    assert_int_equal(failures, 0);
    assert_true(compared > rounds(10000));
}

static unsigned fault_of(uint64_t cr0, uint64_t cr4, const struct instruction *instruction)
{
    static struct side start, end;
    uint64_t saved0 = test.cpu->s.cr0, saved4 = test.cpu->s.cr4;
    memset(&start, 0, sizeof start);
    start.gpr[RBX] = (uintptr_t)test.memory + 256;
    start.gpr[RDI] = start.gpr[RBX];
    start.fpu.mxcsr = 0x1f00; /* invalid operation unmasked */
    start.fpu.control = 0x37f;
    memset(start.fpu.xmm, 0xff, sizeof start.fpu.xmm); /* quiet NaNs: invalid in COMISS */
    test.cpu->s.cr0 = cr0;
    test.cpu->s.cr4 = cr4;
    run_handler(instruction, &start, &end);
    test.cpu->s.cr0 = saved0;
    test.cpu->s.cr4 = saved4;
    return end.fault;
}

/* AMD64 APM volume 5 (MMX) and volume 4 (SSE): the exception tables of the instructions. */
static void availability(void **state)
{
    (void)state;
    catch_faults();
    uint64_t cr0 = CR0_PE | CR0_NE, cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    struct instruction andps = make(MAP_0F, 0x54, PREFIX_NONE, false, false, 1, 2, 0, -1);
    struct instruction movaps = make(MAP_0F, 0x28, PREFIX_NONE, false, false, 1, 2, 0, -1);
    struct instruction comiss = make(MAP_0F, 0x2f, PREFIX_NONE, false, false, 1, 2, 0, -1);
    struct instruction paddb = make(MAP_0F, 0xfc, PREFIX_NONE, false, false, 1, 2, 0, -1);
    struct instruction movq2dq = make(MAP_0F, 0xd6, PREFIX_F3, false, false, 1, 2, 0, -1);
    struct instruction movnti = make(MAP_0F, 0xc3, PREFIX_NONE, false, true, 1, 0, 0, -1);
    struct instruction fxsave = make(MAP_0F, 0xae, PREFIX_NONE, false, true, 0, 0, 0, -1);
    struct instruction sfence = make(MAP_0F, 0xae, PREFIX_NONE, false, false, 7, 0, 0, -1);
    const struct instruction *sse[] = {&andps, &movaps, &movq2dq};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fault_of(cr0, cr4, sse[i]), NO_FAULT);
        assert_int_equal(fault_of(cr0 | CR0_EM, cr4, sse[i]), VECTOR_UD);
        assert_int_equal(fault_of(cr0 | CR0_TS, cr4, sse[i]), VECTOR_NM);
        assert_int_equal(fault_of(cr0, 0, sse[i]), VECTOR_UD);
        assert_int_equal(fault_of(cr0 | CR0_TS, 0, sse[i]), VECTOR_UD);
    }
    assert_int_equal(fault_of(cr0, cr4, &comiss), VECTOR_XM);
    assert_int_equal(fault_of(cr0, CR4_OSFXSR, &comiss), VECTOR_UD);
    assert_int_equal(fault_of(cr0, 0, &paddb), NO_FAULT);
    assert_int_equal(fault_of(cr0 | CR0_EM, cr4, &paddb), VECTOR_UD);
    assert_int_equal(fault_of(cr0 | CR0_TS, cr4, &paddb), VECTOR_NM);
    assert_int_equal(fault_of(cr0 | CR0_TS | CR0_EM, 0, &movnti), NO_FAULT);
    assert_int_equal(fault_of(cr0 | CR0_TS, cr4, &fxsave), VECTOR_NM);
    assert_int_equal(fault_of(cr0 | CR0_EM, cr4, &fxsave), VECTOR_NM);
    assert_int_equal(fault_of(cr0 | CR0_TS | CR0_EM, 0, &sfence), NO_FAULT);
}

/* AMD64 APM volume 2, 8.2.18: operands at other than their natural boundary. 80-bit reals count as
 * 8 bytes, environments as their elements, and what must be aligned to 16 anyway raises #GP. */
static void alignment_checks(void **state)
{
    (void)state;
    catch_faults();
    static const struct {
        unsigned map, opcode, prefix, reg, alignment, fault;
    } cases[] = {
        {MAP_0F, 0x10, PREFIX_NONE, 1, 16, VECTOR_AC}, /* MOVUPS */
        {MAP_0F, 0x11, PREFIX_NONE, 1, 16, VECTOR_AC},
        {MAP_0F, 0xf0, PREFIX_F2, 1, 16, VECTOR_AC},   /* LDDQU */
        {MAP_0F, 0x28, PREFIX_NONE, 1, 16, VECTOR_GP}, /* MOVAPS */
        {MAP_0F, 0x58, PREFIX_F2, 1, 8, VECTOR_AC},
        {MAP_0F, 0x58, PREFIX_F3, 1, 4, VECTOR_AC},
        {MAP_0F, 0xfc, PREFIX_NONE, 1, 8, VECTOR_AC},
        {MAP_0F, 0xae, PREFIX_NONE, 3, 4, VECTOR_AC}, /* STMXCSR */
        {MAP_0F38, 0x22, PREFIX_66, 1, 2, VECTOR_AC}, /* PMOVSXBQ */
        {MAP_PRIMARY, 0xd9, PREFIX_NONE, 0, 4, VECTOR_AC},
        {MAP_PRIMARY, 0xdd, PREFIX_NONE, 3, 8, VECTOR_AC},
        {MAP_PRIMARY, 0xdb, PREFIX_NONE, 5, 8, VECTOR_AC},
        {MAP_PRIMARY, 0xd9, PREFIX_NONE, 7, 2, VECTOR_AC},
        {MAP_PRIMARY, 0xd9, PREFIX_NONE, 6, 4, VECTOR_AC},
        {MAP_PRIMARY, 0xdd, PREFIX_NONE, 6, 4, VECTOR_AC},
        {MAP_PRIMARY, 0xdd, PREFIX_66, 6, 2, VECTOR_AC},
    };
    test.cpu->alignment_check = true;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int offset = 0; offset < 32; offset++) {
            struct instruction instruction = make(cases[i].map, cases[i].opcode, cases[i].prefix,
                false, true, cases[i].reg, 0, (int8_t)offset, -1);
            bool aligned = (unsigned)offset % cases[i].alignment == 0;
            unsigned fault = fault_of(CR0_PE | CR0_NE, CR4_OSFXSR | CR4_OSXMMEXCPT, &instruction);
            assert_int_equal(fault, aligned ? NO_FAULT : cases[i].fault);
        }
    }
    test.cpu->alignment_check = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_0f),
        cmocka_unit_test(map_0f38),
        cmocka_unit_test(map_0f3a),
        cmocka_unit_test(all_immediates),
        cmocka_unit_test(sequences),
        cmocka_unit_test(availability),
        cmocka_unit_test(alignment_checks),
    };
    return cmocka_run_group_tests(tests, native_setup, native_teardown);
}
