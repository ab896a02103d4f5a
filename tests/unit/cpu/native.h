/*
 * Runs one instruction on the host CPU and through the handler of the software CPU, from the same
 * state, and compares everything: registers, flags, the FXSAVE image, memory, and the fault.
 *
 * The native side executes the original bytes between FXRSTOR64 and FXSAVE64. The handler's side is
 * a struct cpu whose linear addresses are host addresses; the memory and fault functions that the
 * handlers call are defined here.
 */
#ifndef TESTS_UNIT_CPU_NATIVE_H
#define TESTS_UNIT_CPU_NATIVE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <ucontext.h>
#include <cmocka.h>

#include "vmm/cpu/cpu.h"

enum { MEMORY_SIZE = 2048, NO_FAULT = 0xff };

/* What both sides start from and end with. */
struct side {
    struct fpu_state fpu;
    uint64_t gpr[GPR_COUNT];
    uint64_t rflags;
    uint8_t memory[MEMORY_SIZE];
    unsigned fault; /* vector or NO_FAULT */
};

struct instruction {
    uint8_t bytes[128]; /* several instructions in sequences */
    unsigned length;
    struct insn insn;
};

static struct {
    uint8_t *code;   /* the native trampoline */
    uint64_t rip;    /* the instruction in it */
    uint8_t *memory; /* operands; GPR RBX points here */
    struct side *context;
    struct cpu *cpu;
    sigjmp_buf escape;
    struct fpu_state fault_fpu; /* when the signal came */
    volatile sig_atomic_t running;
    uint64_t random;
} test;

/* ---- What the handlers call ----------------------------------------------------------------- */

_Noreturn void cpu_raise(struct cpu *cpu, unsigned vector)
{
    cpu->fault_vector = (uint8_t)vector;
    longjmp(*cpu->escape, CPU_JUMP_FAULT);
}

_Noreturn void cpu_raise_error(struct cpu *cpu, unsigned vector, uint32_t error)
{
    cpu->fault_error = error;
    cpu_raise(cpu, vector);
}

_Noreturn void cpu_stop_unimplemented(struct cpu *cpu, const struct insn *insn, const char *what)
{
    (void)insn;
    (void)what;
    longjmp(*cpu->escape, CPU_JUMP_STOP);
}

uint64_t cpu_linear_checked(
    struct cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum access_kind kind)
{
    (void)cpu;
    (void)segment;
    (void)size;
    (void)kind;
    return offset;
}

static void *operand(uint64_t linear, unsigned size)
{
    uint64_t offset = linear - (uintptr_t)test.memory;
    assert_true(offset <= MEMORY_SIZE && size <= MEMORY_SIZE - offset);
    return test.memory + offset;
}

void cpu_probe_write(struct cpu *cpu, uint64_t linear, unsigned size)
{
    (void)cpu;
    operand(linear, size);
}

void cpu_load_bytes(struct cpu *cpu, uint64_t linear, void *data, unsigned size)
{
    (void)cpu;
    memcpy(data, operand(linear, size), size);
}

void cpu_store_bytes(struct cpu *cpu, uint64_t linear, const void *data, unsigned size)
{
    (void)cpu;
    memcpy(operand(linear, size), data, size);
}

/* ---- Random values -------------------------------------------------------------------------- */

static inline uint64_t random_bits(void)
{
    test.random += 0x9e3779b97f4a7c15; /* splitmix64 */
    uint64_t z = test.random;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline unsigned random_below(unsigned limit)
{
    return (unsigned)(random_bits() >> 33) % limit;
}

static inline uint64_t random_double(void)
{
    static const uint64_t special[] = {0, 1, 0x000fffffffffffff, 0x0010000000000000,
        0x3ff0000000000000, 0x4000000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff0000000000001, 0x7ff8000000000000, 0x7fffffffffffffff, 0x41dfffffffc00000,
        0x43e0000000000000, 0x3fe0000000000000, 0x36a0000000000000, 0x380fffffe0000000};
    uint64_t sign = random_bits() & 1ull << 63;
    switch (random_below(4)) {
    case 0:
        return special[random_below(16)] | sign;
    case 1:
        return random_bits();
    case 2: /* a small integer */
        return (random_bits() & 0x000ff00000000000) | 0x4010000000000000 | sign;
    default: /* near 1 */
        return (random_bits() & 0x000fffffffffffff) | (uint64_t)(1020 + random_below(6)) << 52 |
               sign;
    }
}

static inline uint32_t random_single(void)
{
    static const uint32_t special[] = {0, 1, 0x007fffff, 0x00800000, 0x3f800000, 0x40000000,
        0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7fffffff, 0x4effffff, 0x4f000000,
        0x5f000000, 0x3f000000, 0x00400000};
    uint32_t sign = (uint32_t)random_bits() & 1u << 31;
    switch (random_below(3)) {
    case 0:
        return special[random_below(16)] | sign;
    case 1:
        return (uint32_t)random_bits();
    default:
        return ((uint32_t)random_bits() & 0x007fffff) | (uint32_t)(124 + random_below(6)) << 23 |
               sign;
    }
}

static inline void random_extended(uint8_t *out)
{
    static const uint16_t exponents[] = {
        0, 1, 0x3fff, 0x4000, 0x403e, 0x403d, 0x7ffe, 0x7fff, 0x3bcd, 0x43fe, 0x3f6a, 0x407e};
    static const uint64_t significands[] = {0, 1, 1ull << 63, 3ull << 62, UINT64_MAX,
        (1ull << 63) + 1, 0x7fffffffffffffff, 0x8000000000000400};
    uint16_t high =
        random_below(2) ? exponents[random_below(12)] : (uint16_t)(0x3fff - 70 + random_below(140));
    uint64_t low = random_below(2) ? significands[random_below(8)] : random_bits() | 1ull << 63;
    if (random_below(16) == 0)
        high = (uint16_t)random_bits();
    high = (uint16_t)((high & 0x7fff) | (random_below(2) << 15));
    memcpy(out, &low, 8);
    memcpy(out + 8, &high, 2);
}

/* 16 bytes of singles, doubles, extended or anything. */
static inline void random_vector(uint8_t *out)
{
    unsigned kind = random_below(4);
    for (unsigned i = 0; i < 16; i += 4) {
        uint32_t single = kind == 0 ? random_single() : (uint32_t)random_bits();
        memcpy(out + i, &single, 4);
    }
    for (unsigned i = 0; i < 16 && kind == 1; i += 8) {
        uint64_t value = random_double();
        memcpy(out + i, &value, 8);
    }
    if (kind == 2)
        random_extended(out);
    if (kind == 3 && random_below(2)) { /* strings, BCD and small integers */
        for (unsigned i = 0; i < 16; i++)
            out[i] = (uint8_t)(random_below(4) ? random_below(10) : 0);
    }
}

/* ---- The native side ------------------------------------------------------------------------ */

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (!test.running)
        _exit(99);
    memcpy(&test.fault_fpu, ((ucontext_t *)context)->uc_mcontext.fpregs, sizeof test.fault_fpu);
    siglongjmp(test.escape, number);
}

static inline uint8_t *emit(uint8_t *at, const void *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

#define EMIT(at, ...) \
    emit(at, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* OP reg, [rax + offset] with an 8-bit opcode and REX */
static inline uint8_t *emit_context(uint8_t *at, unsigned opcode, unsigned reg, size_t offset)
{
    uint32_t displacement = (uint32_t)offset;
    at = EMIT(
        at, (uint8_t)(0x48 | (reg >> 3) << 2), (uint8_t)opcode, (uint8_t)(0x80 | (reg & 7) << 3));
    return emit(at, &displacement, 4);
}

static inline uint8_t *emit_fx(uint8_t *at, unsigned reg, size_t offset)
{
    uint32_t displacement = (uint32_t)offset;
    at = EMIT(at, 0x48, 0x0f, 0xae, (uint8_t)(0x80 | reg << 3));
    return emit(at, &displacement, 4);
}

static __attribute__((noinline)) void build_trampoline(const struct instruction *instruction)
{
    uint8_t *at = test.code;
    uintptr_t context = (uintptr_t)test.context;
    uintptr_t rax_slot = (uintptr_t)&test.context->gpr[RAX];
    at = EMIT(
        at, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push callee-saved */
    at = EMIT(at, 0x48, 0xb8);                                           /* mov rax, context */
    at = emit(at, &context, 8);
    at = emit_fx(at, 1, offsetof(struct side, fpu));
    at = emit_context(at, 0x8b, RCX, offsetof(struct side, rflags));
    at = EMIT(at, 0x51, 0x9d); /* push rcx; popfq */
    for (unsigned i = GPR_COUNT; i-- > 0;) {
        if (i != RSP)
            at = emit_context(at, 0x8b, i, offsetof(struct side, gpr) + 8 * i);
    }
    test.rip = (uintptr_t)at;
    at = emit(at, instruction->bytes, instruction->length);
    at = EMIT(at, 0x48, 0xa3); /* mov [rax_slot], rax */
    at = emit(at, &rax_slot, 8);
    at = EMIT(at, 0x48, 0xb8);
    at = emit(at, &context, 8);
    for (unsigned i = 1; i < GPR_COUNT; i++) {
        if (i != RSP)
            at = emit_context(at, 0x89, i, offsetof(struct side, gpr) + 8 * i);
    }
    at = EMIT(at, 0x9c, 0x59); /* pushfq; pop rcx */
    at = emit_context(at, 0x89, RCX, offsetof(struct side, rflags));
    at = emit_fx(at, 0, offsetof(struct side, fpu));
    at = EMIT(at, 0xdb, 0xe3); /* fninit */
    EMIT(at, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* What the machine does not keep reads as 0 (vmm/arch/vcpu.h), what it knows better is its own. */
static inline void forget_reserved(struct fpu_state *fpu)
{
    fpu->reserved0 = 0;
    fpu->opcode &= 0x7ff;
    fpu->mxcsr_mask = 0xffff;
    for (unsigned i = 0; i < 8; i++)
        memset(fpu->st[i] + 10, 0, 6);
    memset(fpu->reserved1, 0, sizeof fpu->reserved1);
    fpu->code_selector = fpu->data_selector = 0;
    memset(fpu->reserved2, 0, sizeof fpu->reserved2);
}

static inline void run_native(
    const struct instruction *instruction, const struct side *start, struct side *end, bool sse)
{
    static const uint32_t mxcsr = 0x1f80;
    *test.context = *start;
    memcpy(test.memory, start->memory, MEMORY_SIZE);
    build_trampoline(instruction);
    union {
        uint8_t *data;
        void (*call)(void);
    } code = {.data = test.code};
    int number = sigsetjmp(test.escape, 1);
    if (number == 0) {
        test.running = 1;
        code.call();
        test.running = 0;
        __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
        *end = *test.context;
        end->fault = NO_FAULT;
    } else {
        test.running = 0;
        __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
        *end = *start;
        end->fault = number == SIGILL    ? VECTOR_UD
                     : number == SIGSEGV ? VECTOR_GP
                     : sse               ? VECTOR_XM
                                         : VECTOR_MF;
        if (end->fault == VECTOR_XM) /* conversions to and from MMX enter the MMX state first */
            end->fpu = test.fault_fpu;
    }
    memcpy(end->memory, test.memory, MEMORY_SIZE);
    forget_reserved(&end->fpu);
    fpu_put_aside(&end->fpu, test.cpu->personality); /* as FXSAVE does */
}

/* Both sides must start from a state that FXRSTOR would load unchanged. */
static inline void normalize(struct fpu_state *fpu)
{
    static const uint32_t mxcsr = 0x1f80;
    fpu->mxcsr &= 0xffff;
    forget_reserved(fpu);
    __asm__ volatile("fxrstor64 %0\n\tfxsave64 %0\n\tfninit\n\tldmxcsr %1"
                     : "+m"(*fpu)
                     : "m"(mxcsr)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                     "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
    forget_reserved(fpu);
}

/* ---- The handler's side --------------------------------------------------------------------- */

/* Executes `count` instructions one after the other, up to the first fault. */
static inline void run_handlers(const struct instruction *instructions, unsigned count,
    const struct side *start, struct side *end)
{
    struct cpu *cpu = test.cpu;
    jmp_buf escape;
    memcpy(test.memory, start->memory, MEMORY_SIZE);
    memcpy(cpu->s.gpr, start->gpr, sizeof start->gpr);
    cpu->s.fpu = start->fpu;
    fpu_from_image(&cpu->s.fpu);
    cpu_set_arithmetic(cpu, start->rflags);
    cpu->escape = &escape;
    cpu->fault_vector = NO_FAULT;
    cpu->s.rip = test.rip;
    if (setjmp(escape) == 0) {
        for (unsigned i = 0; i < count; i++) {
            insn_handler handler = simd_handler(&instructions[i].insn);
            if (!handler)
                cpu_raise(cpu, VECTOR_UD);
            handler(cpu, &instructions[i].insn);
            cpu->s.rip += instructions[i].length;
        }
    }
    simd_leave(cpu);
    memcpy(end->gpr, cpu->s.gpr, sizeof end->gpr);
    end->fpu = cpu->s.fpu;
    fpu_to_image(&end->fpu);
    fpu_put_aside(&end->fpu, cpu->personality);
    end->rflags = cpu_get_arithmetic(cpu);
    end->fault = cpu->fault_vector;
    memcpy(end->memory, test.memory, MEMORY_SIZE);
}

static inline void run_handler(
    const struct instruction *instruction, const struct side *start, struct side *end)
{
    run_handlers(instruction, 1, start, end);
}

/* ---- Comparison ----------------------------------------------------------------------------- */

static inline void print_bytes(const char *name, const void *data, size_t count)
{
    fprintf(stderr, "  %-8s", name);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%02x%s", ((const uint8_t *)data)[i], i % 8 == 7 ? " " : "");
    fprintf(stderr, "\n");
}

static inline void explain(const struct instruction *instruction, const struct side *start,
    const struct side *native, const struct side *handler)
{
    print_bytes("bytes", instruction->bytes, instruction->length);
    fprintf(stderr, "  fault native %u handler %u; rflags %llx: %llx %llx\n", native->fault,
        handler->fault, (unsigned long long)start->rflags, (unsigned long long)native->rflags,
        (unsigned long long)handler->rflags);
    const uint8_t *a = (const void *)&native->fpu, *b = (const void *)&handler->fpu;
    for (size_t i = 0; i < sizeof native->fpu; i += 16) {
        if (i != 0 && memcmp(a + i, b + i, 16) == 0)
            continue;
        fprintf(stderr, "  image at %zu\n", i);
        print_bytes("start", (const uint8_t *)&start->fpu + i, 16);
        print_bytes("native", a + i, 16);
        print_bytes("handler", b + i, 16);
    }
    print_bytes("mxcsr", &start->fpu.mxcsr, 4);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        if (native->gpr[i] != handler->gpr[i])
            fprintf(stderr, "  gpr %u: %llx native %llx handler %llx\n", i,
                (unsigned long long)start->gpr[i], (unsigned long long)native->gpr[i],
                (unsigned long long)handler->gpr[i]);
    }
    for (size_t i = 0; i < MEMORY_SIZE; i += 16) {
        if (memcmp(native->memory + i, handler->memory + i, 16) != 0) {
            fprintf(stderr, "  memory at %zu\n", i);
            print_bytes("native", native->memory + i, 16);
            print_bytes("handler", handler->memory + i, 16);
        }
    }
}

static inline bool same(const struct side *a, const struct side *b)
{
    return a->fault == b->fault && memcmp(&a->fpu, &b->fpu, sizeof a->fpu) == 0 &&
           memcmp(a->gpr, b->gpr, sizeof a->gpr) == 0 &&
           ((a->rflags ^ b->rflags) & FLAGS_ARITHMETIC) == 0 &&
           memcmp(a->memory, b->memory, MEMORY_SIZE) == 0;
}

/* ---- Making instructions and states --------------------------------------------------------- */

static inline void put(struct instruction *instruction, unsigned byte)
{
    instruction->bytes[instruction->length++] = (uint8_t)byte;
}

/* Memory operands are [rbx + displacement8]. `immediate` < 0: none. */
static inline struct instruction make(unsigned map, unsigned opcode, unsigned prefix, bool rex_w,
    bool memory, unsigned reg, unsigned rm, int8_t displacement, int immediate)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    struct instruction i = {0};
    struct insn *insn = &i.insn;
    if (prefix != PREFIX_NONE)
        put(&i, prefixes[prefix]);
    if (map != MAP_PRIMARY || reg > 7) {
        insn->rex = (uint8_t)(0x40 | rex_w << 3 | (reg >> 3) << 2 | (memory ? 0 : rm >> 3));
        insn->flags |= INSN_REX;
        put(&i, insn->rex);
    }
    if (map != MAP_PRIMARY)
        put(&i, 0x0f);
    if (map == MAP_0F38)
        put(&i, 0x38);
    if (map == MAP_0F3A)
        put(&i, 0x3a);
    put(&i, opcode);
    insn->modrm =
        (uint8_t)(memory ? 0x40 | (reg & 7) << 3 | RBX : 0xc0 | (reg & 7) << 3 | (rm & 7));
    if (map == MAP_0F && opcode == 0x77) /* EMMS: no operands */
        memory = false;
    else
        put(&i, insn->modrm);
    insn->base = insn->index = NO_REGISTER;
    if (memory) {
        put(&i, (uint8_t)displacement);
        insn->flags |= INSN_MEMORY;
        insn->base = RBX;
        insn->displacement = displacement;
    }
    if (immediate >= 0) {
        put(&i, (unsigned)immediate);
        insn->immediate = (uint64_t)(int64_t)(int8_t)immediate;
    }
    if (prefix == PREFIX_66)
        insn->flags |= INSN_OPERAND16;
    insn->length = (uint8_t)i.length;
    insn->operand_size = rex_w ? 8 : prefix == PREFIX_66 ? 2 : 4;
    insn->address_size = 8;
    insn->map = map & 3;
    insn->opcode = (uint8_t)opcode;
    insn->prefix = prefix & 3;
    insn->reg = (uint8_t)reg;
    insn->rm = (uint8_t)rm;
    insn->segment = SEG_DS;
    return i;
}

static inline void random_side(struct side *side)
{
    memset(side, 0, sizeof *side);
    for (unsigned i = 0; i < 8; i++) {
        random_vector(side->fpu.st[i]);
        if (random_below(2))
            random_extended(side->fpu.st[i]);
        memset(side->fpu.st[i] + 10, 0, 6);
    }
    for (unsigned i = 0; i < 16; i++)
        random_vector(side->fpu.xmm[i]);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        side->gpr[i] = random_below(2) ? random_bits() : random_below(40);
    side->gpr[RSP] = 0;
    side->gpr[RBX] = (uintptr_t)test.memory + 256;
    side->gpr[RDI] = (uintptr_t)test.memory + 512 + random_below(16);
    for (unsigned i = 0; i < MEMORY_SIZE; i += 16)
        random_vector(side->memory + i);
    side->rflags = (random_bits() & FLAGS_ARITHMETIC) | FLAG_ONE | FLAG_IF;
    side->fpu.mxcsr = (uint32_t)random_bits() & 0xffff;
    if (random_below(2))
        side->fpu.mxcsr |= 0x1f80;
    side->fpu.control = (uint16_t)(random_bits() & 0x1f7f);
    if (random_below(4))
        side->fpu.control |= 0x3f;
    side->fpu.status = (uint16_t)random_bits();
    if (random_below(8)) /* nothing pending */
        side->fpu.status &= (uint16_t)(side->fpu.control | ~0x3f);
    side->fpu.tag = (uint8_t)random_bits();
    if (random_below(2))
        side->fpu.tag |= (uint8_t)random_bits() | (uint8_t)random_bits();
}

/* Half the runs touch memory directly through the TLB, half through the functions above. */
static inline void random_tlb(void)
{
    uint64_t page = (uintptr_t)test.memory & ~(PAGE_SIZE - 1);
    for (unsigned kind = 0; kind < ACCESS_KINDS; kind++) {
        struct tlb_entry *entry = &test.cpu->tlb[kind][page / PAGE_SIZE % TLB_ENTRIES];
        entry->page = random_below(2) ? page : 1;
        entry->addend = 0; /* the guest address is the host address */
    }
}

/* cmocka installs its own handlers before each test, so each calls this first. */
static inline void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

static inline int native_setup(void **state)
{
    (void)state;
    test.code = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (test.code == MAP_FAILED)
        return -1;
    test.memory = test.code + PAGE_SIZE;
    test.context = aligned_alloc(64, (sizeof *test.context + 63) / 64 * 64);
    test.cpu = aligned_alloc(64, (sizeof *test.cpu + 63) / 64 * 64);
    if (!test.context || !test.cpu)
        return -1;
    memset(test.cpu, 0, sizeof *test.cpu);
    struct error error;
    test.cpu->simd = simd_create(&error);
    if (!test.cpu->simd)
        return -1;
    test.cpu->tlb = test.cpu->tlb_banks[0];
    test.cpu->s.cr0 = CR0_PE | CR0_NE | CR0_MP;
    test.cpu->s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    test.cpu->code64 = true;
    struct host_cpu host;
    host_cpu_identify(&host);
    test.cpu->personality = host_cpu_personality(&host);
    const char *seed = getenv("HINDSIGHT_TEST_SEED");
    if (seed)
        test.random = strtoull(seed, NULL, 0);
    else if (getrandom(&test.random, sizeof test.random, 0) != sizeof test.random)
        return -1;
    printf("HINDSIGHT_TEST_SEED=0x%llx\n", (unsigned long long)test.random);
    return 0;
}

static inline int native_teardown(void **state)
{
    (void)state;
    simd_destroy(test.cpu->simd);
    munmap(test.code, 2 * PAGE_SIZE);
    free(test.context);
    free(test.cpu);
    return 0;
}

/* How many random states each instruction is tried with. */
static inline unsigned rounds(unsigned usual)
{
    const char *factor = getenv("HINDSIGHT_TEST_FACTOR");
    return usual * (factor ? (unsigned)strtoul(factor, NULL, 0) : 1);
}

#endif
