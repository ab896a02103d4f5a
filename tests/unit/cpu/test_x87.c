/* The x87 instructions against the host CPU, every encoding of D8 to DF. */
#include "native.h"

#include "vmm/cpu/simd.h"

static bool is_transcendental(const struct insn *insn)
{
    static const uint8_t modrm[] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff};
    return insn->opcode == 0xd9 && memchr(modrm, insn->modrm, sizeof modrm);
}

/* Where a number stands among all: neighbours differ by 1. */
static uint64_t place(const uint8_t *value)
{
    uint64_t significand;
    uint16_t exponent;
    memcpy(&significand, value, 8);
    memcpy(&exponent, value + 8, 2);
    /* Only the low bits count where two numbers are neighbours. */
    uint64_t magnitude = ((uint64_t)(exponent & 0x7fff) << 63) + (significand & (UINT64_MAX >> 1));
    return exponent & 0x8000 ? -magnitude : magnitude;
}

/* Not all processors round these correctly: what the host has in the registers that they write may
 * be the number beside it, and C1 the other way. */
static void excuse_rounding(struct side *native, const struct side *handler)
{
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *expected = handler->fpu.st[i];
        uint8_t *found = native->fpu.st[i];
        uint64_t distance = place(expected) - place(found) + 1;
        if (distance <= 2)
            memcpy(found, expected, 10);
    }
    native->fpu.status &= (uint16_t)~X87_C1;
    native->fpu.status |= handler->fpu.status & X87_C1;
}

/* Where the host's kernel takes the processor away between the instruction and what stores the
 * state, AMD's pointers are lost, so that a difference counts when it comes again. */
static bool differs(const struct instruction *instruction, const struct side *start,
    struct side *native, const struct side *handler)
{
    for (unsigned i = 0; i < 3; i++) {
        run_native(instruction, start, native, false);
        if (is_transcendental(&instruction->insn))
            excuse_rounding(native, handler);
        if (same(native, handler))
            return false;
    }
    return true;
}

static unsigned try(const struct instruction *instruction, unsigned count)
{
    static struct side start, native, handler;
    unsigned failures = 0;
    for (unsigned i = 0; i < count && failures < 3; i++) {
        random_side(&start);
        normalize(&start.fpu);
        start.fpu.opcode = random_bits() & 0x7ff;
        start.fpu.instruction = random_bits() >> 17;
        start.fpu.data = random_bits() >> 17;
        random_tlb();
        run_native(instruction, &start, &native, false);
        run_handler(instruction, &start, &handler);
        if (differs(instruction, &start, &native, &handler)) {
            failures++;
            fprintf(stderr, "differs in state %u\n", i);
            explain(instruction, &start, &native, &handler);
        }
    }
    return failures;
}

static void registers(void **state)
{
    (void)state;
    catch_faults();
    unsigned failures = 0;
    for (unsigned opcode = 0xd8; opcode <= 0xdf; opcode++) {
        for (unsigned modrm = 0; modrm < 64; modrm++) {
            struct instruction instruction =
                make(MAP_PRIMARY, opcode, PREFIX_NONE, false, false, modrm >> 3, modrm & 7, 0, -1);
            failures += try(&instruction, rounds(200)) != 0;
        }
    }
    assert_int_equal(failures, 0);
}

static void memory(void **state)
{
    (void)state;
    catch_faults();
    unsigned failures = 0;
    for (unsigned prefix = PREFIX_NONE; prefix <= PREFIX_66; prefix++) {
        for (unsigned opcode = 0xd8; opcode <= 0xdf; opcode++) {
            for (unsigned reg = 0; reg < 8; reg++) {
                int8_t displacement = (int8_t)random_below(64);
                struct instruction instruction =
                    make(MAP_PRIMARY, opcode, prefix, false, true, reg, 0, displacement, -1);
                failures += try(&instruction, rounds(1000)) != 0;
            }
        }
    }
    assert_int_equal(failures, 0);
}

static unsigned fault_of(uint64_t cr0, unsigned opcode, unsigned modrm, uint16_t status)
{
    struct cpu *cpu = test.cpu;
    jmp_buf escape;
    struct insn insn = {.map = MAP_PRIMARY, .opcode = (uint8_t)opcode, .modrm = (uint8_t)modrm};
    cpu->s.fpu = (struct fpu_state){.control = 0x37e, .status = status, .tag = 0xff};
    uint64_t saved = cpu->s.cr0;
    cpu->s.cr0 = cr0;
    cpu->escape = &escape;
    cpu->fault_vector = NO_FAULT;
    int jump = setjmp(escape);
    if (jump == 0)
        simd_handler (&insn)(cpu, &insn);
    cpu->s.cr0 = saved;
    return jump == CPU_JUMP_STOP ? 0x100 : cpu->fault_vector;
}

/* Intel SDM volume 3, table 2-2 and section 8.7.1 of volume 1. */
static void availability(void **state)
{
    (void)state;
    uint64_t pe = CR0_PE | CR0_NE;
    assert_int_equal(fault_of(pe, 0xd8, 0xc1, 0), NO_FAULT);
    assert_int_equal(fault_of(pe | CR0_EM, 0xd8, 0xc1, 0), VECTOR_NM);
    assert_int_equal(fault_of(pe | CR0_TS, 0xd8, 0xc1, 0), VECTOR_NM);
    assert_int_equal(fault_of(pe | CR0_TS, 0xdb, 0xe3, 0), VECTOR_NM);
    assert_int_equal(fault_of(pe | CR0_TS, 0x9b, 0, 0), NO_FAULT);
    assert_int_equal(fault_of(pe | CR0_MP, 0x9b, 0, 0), NO_FAULT);
    assert_int_equal(fault_of(pe | CR0_EM, 0x9b, 0, 0), NO_FAULT);
    assert_int_equal(fault_of(pe | CR0_TS | CR0_MP, 0x9b, 0, 0), VECTOR_NM);
    /* an unmasked invalid operation is pending */
    assert_int_equal(fault_of(pe, 0x9b, 0, 0x8081), VECTOR_MF);
    assert_int_equal(fault_of(pe, 0xd8, 0xc1, 0x8081), VECTOR_MF);
    assert_int_equal(fault_of(pe, 0xd9, 0xc0, 0x8081), VECTOR_MF);
    assert_int_equal(fault_of(pe, 0xdf, 0xe0, 0x8081), NO_FAULT);
    assert_int_equal(fault_of(pe, 0xdb, 0xe2, 0x8081), NO_FAULT);
    assert_int_equal(fault_of(CR0_PE, 0x9b, 0, 0x8081), 0x100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(memory),
        cmocka_unit_test(availability),
    };
    return cmocka_run_group_tests(tests, native_setup, native_teardown);
}
