/*
 * FIP, FDP and FOP: what each maker's rules keep and show, as measured on AMD family 25 model 17
 * and Intel family 6 model 207. No host instruction takes part.
 */
#include "native.h"

#include "vmm/cpu/simd.h"

enum { OPERAND = 256, IMAGE = 1024 }; /* in test.memory */
#define RIP 0x123456789000ull

static void start(enum cpu_maker maker)
{
    struct cpu *cpu = test.cpu;
    cpu->personality = (struct personality){maker, PERSONALITY_REVISION};
    cpu->s.segment[SEG_CS].selector = 0;
    cpu->s.segment[SEG_DS].selector = 0;
    cpu->s.fpu = (struct fpu_state){.control = X87_INITIAL, .mxcsr = 0x1f80, .mxcsr_mask = 0xffff};
    cpu->s.rip = RIP;
    cpu->s.cr0 |= CR0_PE;
    memset(test.memory, 0, MEMORY_SIZE);
}

/* Executes `opcode` with ModRM.reg `reg` and the operand at `offset` of test.memory, or with the
 * register form `modrm` where offset is negative; RIP counts on by 2. */
static void run(unsigned opcode, unsigned modrm_or_reg, int offset, unsigned rex, unsigned size)
{
    struct cpu *cpu = test.cpu;
    jmp_buf escape;
    bool memory = offset >= 0;
    struct insn insn = {.map = opcode == 0xae ? MAP_0F : MAP_PRIMARY,
        .opcode = (uint8_t)opcode,
        .modrm = (uint8_t)(memory ? 0x43 | modrm_or_reg << 3 : modrm_or_reg),
        .flags = memory ? INSN_MEMORY : 0,
        .base = RBX,
        .index = NO_REGISTER,
        .displacement = offset,
        .address_size = 8,
        .operand_size = (uint8_t)size,
        .segment = SEG_DS,
        .rex = (uint8_t)rex};
    cpu->s.gpr[RBX] = (uintptr_t)test.memory;
    cpu->escape = &escape;
    assert_int_equal(setjmp(escape), 0);
    simd_handler (&insn)(cpu, &insn);
    cpu->s.rip += 2;
}

static void on_register(unsigned opcode, unsigned modrm)
{
    run(opcode, modrm, -1, 0, 4);
}

static void on_memory(unsigned opcode, unsigned reg)
{
    run(opcode, reg, OPERAND, 0, 4);
}

struct pointers {
    uint64_t instruction, data;
    unsigned opcode;
};

static struct pointers environment(void)
{
    uint32_t words[7];
    on_memory(0xd9, 7); /* FNSTCW, so that the masks can be loaded again */
    run(0xd9, 6, IMAGE, 0, 4);
    on_memory(0xd9, 5);
    memcpy(words, test.memory + IMAGE, sizeof words);
    assert_int_equal(words[4] & 0xffff, 0); /* FCS */
    assert_int_equal(words[6], 0xffff0000); /* FDS */
    return (struct pointers){words[3], words[5], words[4] >> 16};
}

static struct pointers fxsave(bool wide)
{
    run(0xae, 0, IMAGE, wide ? 0x48 : 0, 4);
    struct fpu_state image;
    memcpy(&image, test.memory + IMAGE, sizeof image);
    assert_int_equal(image.mxcsr_mask, 0xffff); /* the model's, whatever the host has */
    return (struct pointers){image.instruction, image.data, image.opcode};
}

static void assert_pointers(
    struct pointers found, uint64_t instruction, uint64_t data, unsigned opcode)
{
    assert_int_equal(found.instruction, instruction);
    assert_int_equal(found.data, data);
    assert_int_equal(found.opcode, opcode);
}

static uint64_t operand_address(void)
{
    return (uintptr_t)test.memory + OPERAND;
}

/* FLD1; FLD m64 */
static void every_instruction_counts_on_amd_and_its_address_on_intel(void **state)
{
    (void)state;
    start(MAKER_AMD);
    on_register(0xd9, 0xe8);
    on_memory(0xdd, 0);
    assert_pointers(environment(), (uint32_t)RIP + 2, (uint32_t)operand_address(), 0x543);
    start(MAKER_INTEL);
    on_register(0xd9, 0xe8);
    on_memory(0xdd, 0);
    assert_pointers(environment(), (uint32_t)RIP + 2, 0, 0);
}

static void control_instructions_do_not_count(void **state)
{
    (void)state;
    static const uint8_t control[][2] = {{0xdb, 0xe2}, {0xdb, 0xe0}, {0xdb, 0xe4}, {0xdf, 0xe0}};
    for (unsigned i = 0; i < 2; i++) {
        start(i ? MAKER_INTEL : MAKER_AMD);
        on_register(0xd9, 0xd0); /* FNOP counts */
        for (unsigned k = 0; k < 4; k++)
            on_register(control[k][0], control[k][1]);
        assert_pointers(environment(), (uint32_t)RIP, 0, i ? 0 : 0x1d0);
    }
}

static void fninit_and_fnsave_clear_them(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        start(i & 1 ? MAKER_INTEL : MAKER_AMD);
        on_memory(0xdd, 0);
        if (i & 2)
            on_register(0xdb, 0xe3);
        else
            run(0xdd, 6, IMAGE, 0, 4);
        assert_pointers(environment(), 0, 0, 0);
    }
}

/* FDIV m64 by 0 with #Z unmasked, then FNCLEX */
static void an_unmasked_exception_sets_all_on_both(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(i ? MAKER_INTEL : MAKER_AMD);
        on_register(0xd9, 0xe8);
        test.cpu->s.fpu.control = 0x037b;
        on_memory(0xdc, 6);
        assert_pointers(fxsave(true), RIP + 2, operand_address(), 0x473);
        assert_pointers(fxsave(false), (uint32_t)(RIP + 2), (uint32_t)operand_address(), 0x473);
        on_register(0xdb, 0xe2);
        if (i)
            assert_pointers(fxsave(true), RIP + 2, operand_address(), 0x473);
        else
            assert_pointers(fxsave(true), 0, 0, 0);
        assert_pointers(environment(), (uint32_t)RIP + 2, (uint32_t)operand_address(), 0x473);
    }
}

/* FLDCW that unmasks #Z after a division by 0 */
static void unmasking_shows_the_last_instruction_on_amd(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(i ? MAKER_INTEL : MAKER_AMD);
        on_register(0xd9, 0xe8);
        on_memory(0xdc, 6);
        memcpy(test.memory + OPERAND, &(uint16_t){0x037b}, 2);
        on_memory(0xd9, 5);
        assert_pointers(fxsave(true), RIP + 2, i ? 0 : operand_address(), i ? 0 : 0x473);
    }
}

static void transcendental_instructions_count(void **state)
{
    (void)state;
    start(MAKER_INTEL);
    on_register(0xd9, 0xee);
    test.cpu->s.fpu.control = 0x037b;
    on_register(0xd9, 0xe8);
    on_register(0xd9, 0xc9); /* FXCH: log2(0) */
    on_register(0xd9, 0xf1);
    assert_pointers(fxsave(true), RIP + 6, 0, 0x1f1);
}

static void amd_extends_pointers_of_57_bits(void **state)
{
    (void)state;
    const uint64_t given = 0x0123456789abcdef;
    for (unsigned i = 0; i < 2; i++) {
        start(i ? MAKER_INTEL : MAKER_AMD);
        struct fpu_state image = {.control = 0x037e,
            .status = 1,
            .opcode = 0xffff,
            .instruction = given,
            .data = given,
            .mxcsr = 0x1f80};
        memcpy(test.memory + IMAGE, &image, sizeof image);
        run(0xae, 1, IMAGE, 0x48, 4);
        uint64_t kept = i ? given : 0xff23456789abcdef;
        assert_pointers(fxsave(true), kept, kept, 0x7ff);
        memcpy(test.memory + IMAGE, &image, sizeof image);
        run(0xae, 1, IMAGE, 0, 4);
        assert_pointers(fxsave(true), (uint32_t)given, (uint32_t)given, 0x7ff);
    }
}

/* SDM volume 1, figures 8-9 to 8-12 */
static void environments_have_the_layout_of_the_mode(void **state)
{
    (void)state;
    static const struct {
        bool protected;
        unsigned size;
        uint32_t words[4]; /* from FIP on; 0xffff above words of 16 bits is not stored */
        struct fpu_state loaded;
    } layouts[] = {
        {true, 4, {0x89abcdef, 0x01e80000, 0x76543210, 0xffff0000},
            {.opcode = 0x1e8, .instruction = 0x89abcdef, .data = 0x76543210}},
        {true, 2, {0xcdef, 0, 0x3210, 0}, {.instruction = 0xcdef, .data = 0x3210}},
        {false, 4, {0xcdef, 0x089ab1e8, 0x3210, 0x07654000},
            {.opcode = 0x1e8, .instruction = 0x89abcdef, .data = 0x76543210}},
        {false, 2, {0xcdef, 0xb1e8, 0x3210, 0x4000},
            {.opcode = 0x1e8, .instruction = 0xbcdef, .data = 0x43210}},
    };
    for (unsigned i = 0; i < 4; i++) {
        unsigned size = layouts[i].size;
        start(MAKER_AMD);
        struct fpu_state *fpu = &test.cpu->s.fpu;
        fpu->opcode = 0x1e8;
        fpu->instruction = 0xfedc89abcdef;
        fpu->data = 0xba9876543210;
        if (!layouts[i].protected)
            test.cpu->s.cr0 &= ~CR0_PE;
        run(0xd9, 6, IMAGE, 0, size);
        for (unsigned k = 0; k < 4; k++)
            assert_memory_equal(test.memory + IMAGE + (3 + k) * size, &layouts[i].words[k], size);
        on_register(0xdb, 0xe3);
        run(0xd9, 4, IMAGE, 0, size);
        assert_int_equal(fpu->opcode, layouts[i].loaded.opcode);
        assert_int_equal(fpu->instruction, layouts[i].loaded.instruction);
        assert_int_equal(fpu->data, layouts[i].loaded.data);
    }
    test.cpu->s.cr0 |= CR0_PE;
}

/* FCS and FDS after FLD1 and FLD m64, as FNSTENV shows them. */
static void assert_selectors(unsigned code, unsigned data)
{
    uint32_t words[7];
    run(0xd9, 6, IMAGE, 0, 4);
    memcpy(words, test.memory + IMAGE, sizeof words);
    assert_int_equal(words[4] & 0xffff, code);
    assert_int_equal(words[6], 0xffff0000 | data);
}

static void start_with_selectors(enum cpu_maker maker, unsigned revision)
{
    start(maker);
    test.cpu->personality.revision = revision;
    test.cpu->s.segment[SEG_CS].selector = 0x33;
    test.cpu->s.segment[SEG_DS].selector = 0x2b;
    on_register(0xd9, 0xe8);
    assert_int_equal(test.cpu->s.fpu.data_selector, 0); /* it has no operand in memory */
    on_memory(0xdd, 0);
}

static void amd_keeps_the_selectors_since_revision_2(void **state)
{
    (void)state;
    start_with_selectors(MAKER_AMD, 2);
    assert_selectors(0x33, 0x2b);
    start_with_selectors(MAKER_AMD, 1);
    assert_selectors(0, 0);
    start_with_selectors(MAKER_INTEL, 2);
    assert_selectors(0, 0);
}

/* FXSAVE64 and FXRSTOR64 have no place for them. */
static void selectors_go_with_pointers_of_32_bits(void **state)
{
    (void)state;
    struct fpu_state image = {.control = 0x037e,
        .status = 1,
        .instruction = 0x554433221100,
        .data = 0x332288776655,
        .mxcsr = 0x1f80};
    start_with_selectors(MAKER_AMD, 2);
    memcpy(test.memory + IMAGE, &image, sizeof image);
    run(0xae, 1, IMAGE, 0x48, 4);
    assert_selectors(0, 0);
    memcpy(test.memory + IMAGE, &image, sizeof image);
    run(0xae, 1, IMAGE, 0, 4);
    assert_pointers(fxsave(false), image.instruction, image.data, 0);
    assert_pointers(fxsave(true), (uint32_t)image.instruction, (uint32_t)image.data, 0);
    assert_selectors(0x5544, 0x3322);
    run(0xd9, 4, IMAGE, 0, 4); /* FLDENV of what FNSTENV stored */
    assert_selectors(0x5544, 0x3322);
}

/* What KVM has after an exit, so that the software CPU goes on with the same. */
static void putting_the_state_aside_loses_them_on_amd_without_an_exception(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bool intel = i & 1, pending = i & 2;
        struct fpu_state fpu = {.control = 0x37f,
            .status = pending ? 0x8080 : 0,
            .opcode = 1,
            .instruction = 2,
            .data = 3,
            .code_selector = 0x33,
            .data_selector = 0x2b};
        fpu_put_aside(&fpu, (struct personality){intel ? MAKER_INTEL : MAKER_AMD, 2});
        assert_int_equal(fpu.code_selector | fpu.data_selector, 0); /* exits have the 64-bit form */
        bool kept = intel || pending;
        assert_int_equal(fpu.opcode, kept ? 1 : 0);
        assert_int_equal(fpu.instruction, kept ? 2 : 0);
        assert_int_equal(fpu.data, kept ? 3 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_counts_on_amd_and_its_address_on_intel),
        cmocka_unit_test(control_instructions_do_not_count),
        cmocka_unit_test(fninit_and_fnsave_clear_them),
        cmocka_unit_test(an_unmasked_exception_sets_all_on_both),
        cmocka_unit_test(unmasking_shows_the_last_instruction_on_amd),
        cmocka_unit_test(transcendental_instructions_count),
        cmocka_unit_test(amd_extends_pointers_of_57_bits),
        cmocka_unit_test(environments_have_the_layout_of_the_mode),
        cmocka_unit_test(amd_keeps_the_selectors_since_revision_2),
        cmocka_unit_test(selectors_go_with_pointers_of_32_bits),
        cmocka_unit_test(putting_the_state_aside_loses_them_on_amd_without_an_exception),
    };
    return cmocka_run_group_tests(tests, native_setup, native_teardown);
}
