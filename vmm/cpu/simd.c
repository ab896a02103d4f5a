/* What the floating-point and SIMD files share. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/cpu/simd.h"

static void prefetch(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu;
    (void)insn;
}

static insn_handler map_0f_handler(const struct insn *insn)
{
    bool memory = insn->flags & INSN_MEMORY;
    switch (insn->opcode) {
    case 0x0d:
        return memory ? prefetch : NULL;
    case 0x18:
        return prefetch;
    case 0xae:
        return fxsave_handler(insn);
    default:
        return NULL;
    }
}

insn_handler simd_handler(const struct insn *insn)
{
    if (insn->flags & INSN_LOCK)
        return NULL;
    if (insn->map == MAP_PRIMARY)
        return x87_handler(insn);
    const struct simd_operation *operation = &simd_operations[simd_index(insn)];
    if ((operation->flags & SIMD_MEM_ONLY) && !(insn->flags & INSN_MEMORY))
        return NULL;
    switch ((enum simd_kind)operation->kind) {
    case SIMD_NONE:
        return insn->map == MAP_0F ? map_0f_handler(insn) : NULL;
    case SIMD_MOVE: {
        insn_handler handler = sse_move_handler(insn);
        return handler ? handler : mmx_move_handler(insn);
    }
    case SIMD_STRING:
        return sse_string_handler(insn);
    case SIMD_P_Q:
    case SIMD_P_E:
    case SIMD_P_W:
    case SIMD_G_N:
    case SIMD_V_Q:
    case SIMD_SHIFT_N:
        return mmx_handler(insn, operation);
    default:
        return sse_handler(insn, operation);
    }
}

void sse_unavailable(struct cpu *cpu)
{
    bool absent = (cpu->s.cr0 & CR0_EM) || !(cpu->s.cr4 & CR4_OSFXSR);
    cpu_raise(cpu, absent ? VECTOR_UD : VECTOR_NM);
}

void mmx_unavailable(struct cpu *cpu)
{
    cpu_raise(cpu, cpu->s.cr0 & CR0_EM ? VECTOR_UD : VECTOR_NM);
}

/* Operands of 10 bytes count as 8, environments as their elements. */
static unsigned natural_alignment(unsigned size)
{
    return size == 10 ? 8 : size & -size;
}

void simd_touch(struct cpu *cpu, uint64_t linear, unsigned size, enum access_kind kind)
{
    uint8_t scratch[8];
    if (cpu_direct(cpu, kind, linear, size))
        return;
    if (kind == ACCESS_WRITE)
        cpu_probe_write(cpu, linear, size);
    else
        cpu_load_bytes(cpu, linear, scratch, size);
}

/* Where an 80-bit operand or an environment crosses pages it matters for the fault in which order
 * the host's microcode reaches for the pieces. */
static void touch_pieces(
    struct cpu *cpu, const struct insn *insn, uint64_t offset, unsigned size, enum access_kind kind)
{
    bool extended = size == 10;
    unsigned first = natural_alignment(size);
    uint64_t second = offset + (extended ? first : size - 1);
    unsigned second_size = extended ? 2 : 1;
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, first, kind);
    check_alignment(cpu, linear, first);
    simd_touch(cpu, linear, first, kind);
    simd_touch(
        cpu, cpu_linear_checked(cpu, insn->segment, second, second_size, kind), second_size, kind);
}

uint64_t simd_linear(
    struct cpu *cpu, const struct insn *insn, unsigned size, enum access_kind kind, bool aligned)
{
    uint64_t offset = insn_offset(cpu, insn);
    uint64_t base = cpu->code64 && insn->segment < SEG_FS ? 0 : cpu->s.segment[insn->segment].base;
    /* Before the canonical check, which would be #SS for some. */
    if (aligned && (base + offset) & 15)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    bool crosses = (base + offset) % PAGE_SIZE + size > PAGE_SIZE;
    if (crosses && (size & (size - 1)))
        touch_pieces(cpu, insn, offset, size, kind);
    if (cpu->alignment_check && cpu_is_intel(cpu) && size < 16)
        check_alignment(
            cpu, cpu_linear_checked(cpu, insn->segment, offset, 1, kind), natural_alignment(size));
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, size, kind);
    /* 16 bytes that need no alignment have #AC on AMD's processors alone. */
    if (size != 16 || !cpu_is_intel(cpu))
        check_alignment(cpu, linear, natural_alignment(size));
    return linear;
}

const void *simd_load_slow(
    struct cpu *cpu, const struct insn *insn, unsigned size, bool aligned, void *buffer)
{
    uint64_t linear = simd_linear(cpu, insn, size, ACCESS_READ, aligned);
    const void *direct = cpu_direct(cpu, ACCESS_READ, linear, size);
    if (direct)
        return direct;
    cpu_load_bytes(cpu, linear, buffer, size);
    return buffer;
}

void simd_store_slow(
    struct cpu *cpu, const struct insn *insn, const void *data, unsigned size, bool aligned)
{
    cpu_store_bytes(cpu, simd_linear(cpu, insn, size, ACCESS_WRITE, aligned), data, size);
}

/* Does CVTPI2PS from memory make all x87 registers valid on this host? */
static bool cvtpi2ps_touches_mmx(void)
{
    static const uint32_t integers[2];
    uint32_t environment[7];
    __asm__ volatile("fninit\n\tcvtpi2ps %1, %%xmm0\n\tfnstenv %0\n\tfninit"
                     : "=m"(environment)
                     : "m"(integers)
                     : "xmm0");
    return (uint16_t)environment[2] != 0xffff;
}

struct simd_code *simd_create(struct error *error)
{
    struct simd_code *simd = calloc(1, sizeof *simd);
    if (!simd) {
        error_set(error, "no memory for the floating-point code: free some and try again");
        return NULL;
    }
    simd_generate(simd);
    x87_generate(simd);
    simd->size = (simd->used + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    simd->used = 0;
    simd->memory =
        mmap(NULL, simd->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (simd->memory == MAP_FAILED) {
        error_set_errno(error, "cannot map %zu bytes for generated code", simd->size);
        free(simd);
        return NULL;
    }
    simd_generate(simd);
    x87_generate(simd);
    if (mprotect(simd->memory, simd->size, PROT_READ | PROT_EXEC)) {
        error_set_errno(
            error, "cannot make generated code executable (does a security policy forbid it?)");
        simd_destroy(simd);
        return NULL;
    }
    simd->host_mxcsr = host_store_mxcsr();
    __asm__ volatile("fnstcw %0" : "=m"(simd->host_control));
    simd->cvtpi2ps_touches_mmx = cvtpi2ps_touches_mmx();
    return simd;
}

void simd_destroy(struct simd_code *simd)
{
    if (!simd)
        return;
    munmap(simd->memory, simd->size);
    free(simd);
}

void simd_leave(struct cpu *cpu)
{
    if (!cpu->mxcsr_live)
        return;
    cpu->s.fpu.mxcsr = host_store_mxcsr();
    host_load_mxcsr(cpu->simd->host_mxcsr);
    cpu->mxcsr_live = false;
}

static void rotate(struct fpu_state *fpu, unsigned by)
{
    uint8_t old[8][16];
    memcpy(old, fpu->st, sizeof old);
    for (unsigned i = 0; i < 8; i++)
        memcpy(fpu->st[i], old[(i + by) & 7], sizeof old[i]);
}

void fpu_to_image(struct fpu_state *fpu)
{
    rotate(fpu, fpu->status >> X87_TOP_SHIFT & 7);
}

void fpu_from_image(struct fpu_state *fpu)
{
    rotate(fpu, 8u - (fpu->status >> X87_TOP_SHIFT & 7));
}
