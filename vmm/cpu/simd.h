/*
 * What the floating-point and SIMD files of the software CPU share.
 *
 * An instruction executes as the same host instruction with fixed operands: a short piece of
 * generated code ("thunk") takes pointers to the operands. All thunks are generated when the CPU is
 * created, one for each value of an immediate, then made read-only and executable; nothing is
 * generated later. Thunks use the memory form of an instruction also for register operands, which
 * sit in memory anyway (struct fpu_state).
 *
 * x87 registers: while the software CPU runs, cpu->s.fpu.st is in physical order (st[i] is physical
 * register i, also MMi), so that push and pop change only TOP. fpu_to_image() and fpu_from_image()
 * convert.
 */
#ifndef VMM_CPU_SIMD_H
#define VMM_CPU_SIMD_H

#include <string.h>

#include "vmm/cpu/access.h"
#include "vmm/cpu/cpu.h"
#include "vmm/cpu/operand.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#ifndef UNLIKELY /* execute.h has it too */
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#endif

enum { XMM_SIZE = 16, MM_SIZE = 8 };

/* What an SSE or MMX instruction is: its operands, hence its handler and the shape of its thunk. */
enum simd_kind {
    SIMD_NONE,
    SIMD_V_W,     /* xmm <- xmm, xmm/m */
    SIMD_V_E,     /* xmm <- xmm, GPR/m */
    SIMD_V_Q,     /* xmm <- xmm, mm/m64 */
    SIMD_P_Q,     /* mm <- mm, mm/m */
    SIMD_P_W,     /* mm <- xmm/m */
    SIMD_P_E,     /* mm <- mm, GPR/m */
    SIMD_G_W,     /* GPR <- xmm/m */
    SIMD_G_U,     /* GPR <- xmm */
    SIMD_G_N,     /* GPR <- mm */
    SIMD_E_V,     /* GPR/m <- xmm */
    SIMD_COMPARE, /* EFLAGS <- xmm, xmm/m */
    SIMD_SHIFT_U, /* xmm <- xmm, immediate; ModRM.reg says which */
    SIMD_SHIFT_N, /* mm <- mm, immediate */
    SIMD_BLENDV,  /* xmm <- xmm, xmm/m, XMM0 */
    SIMD_STRING,  /* PCMPxSTRx */
    SIMD_INSERTPS,
    SIMD_DOT,         /* DPPS, DPPD: dot_product() */
    SIMD_APPROXIMATE, /* no thunk: approximate() */
    SIMD_MOVE,        /* no thunk: sse_move_handler() */
};

enum simd_flag {
    SIMD_ALIGNED = 1,  /* a memory operand must be aligned to 16 bytes */
    SIMD_MXCSR = 2,    /* reads or writes MXCSR */
    SIMD_IMM8 = 4,     /* has an immediate byte: 256 thunks */
    SIMD_REX_W = 8,    /* REX.W changes the operation: two thunks */
    SIMD_MEM_ONLY = 16 /* ModRM must name memory */
};

struct simd_operation {
    uint8_t kind;
    uint8_t size; /* bytes of the memory operand; with SIMD_REX_W, 8 when REX.W is set */
    uint8_t flags;
};

enum { SIMD_OPERATIONS = 3 * 256 * 4 };

/* By map (0F, 0F38, 0F3A), opcode and mandatory prefix. */
static inline unsigned simd_index(const struct insn *insn)
{
    return ((unsigned)insn->map - MAP_0F) << 10 | (unsigned)insn->opcode << 2 | insn->prefix;
}

extern const struct simd_operation simd_operations[SIMD_OPERATIONS];

/* What a thunk hands back: RAX and RDX, meaning by shape. */
struct simd_result {
    uint64_t rax, rdx;
};

/* Operands of a PCMPxSTRx thunk: RAX and RDX in, RCX (in RAX's place) and XMM0 out. */
struct simd_string {
    union {
        uint64_t rax, rcx;
    };
    uint64_t rdx;
    uint8_t xmm0[16];
} __attribute__((aligned(16)));

/* destination, source, third operand (BLENDV's mask, simd_string, RFLAGS), result buffer */
typedef struct simd_result (*simd_thunk)(void *, const void *, const void *, void *);

struct simd_entry {
    const uint8_t *code; /* thunk for immediate 0; + immediate * stride for others */
    const uint8_t *wide; /* with REX.W; INSERTPS: from a register */
    uint16_t stride;     /* 0 without an immediate */
    uint8_t size;
    uint8_t flags;
};

struct simd_code {
    struct simd_entry entry[SIMD_OPERATIONS];
    /* x87: by (opcode & 7) and ModRM.reg, or ModRM & 63 in register forms; NULL where none. `full`
     * executes the very instruction on a whole image, `quick` on single operands (x87.h). */
    const uint8_t *full_memory[64], *full_register[512];
    const uint8_t *quick_memory[64], *quick_register[512];
    bool cvtpi2ps_touches_mmx;     /* even with a memory operand; likewise found out */
    const uint8_t *shift[3][2][8]; /* 0F 71 to 73 by prefix and ModRM.reg */
    const uint8_t *recover;        /* where a trapped thunk continues (simd_trap.c) */
    uint8_t *memory;
    size_t size, used;
    uint32_t host_mxcsr;   /* what the host's own code runs with */
    uint16_t host_control; /* x87 control word, likewise */
};

/* simd_code.c, x87_code.c: generators, called by simd_create(). */
void simd_emit(struct simd_code *simd, const uint8_t *bytes, unsigned count);
const uint8_t *simd_align(struct simd_code *simd, unsigned alignment);
void simd_generate(struct simd_code *simd);
void x87_generate(struct simd_code *simd);

/* Is 0F `opcode` (71 to 73) /reg an instruction? */
static inline bool simd_shift_exists(unsigned opcode, unsigned prefix, unsigned reg)
{
    if (opcode == 0x73)
        return reg == 2 || reg == 6 || (prefix == PREFIX_66 && (reg == 3 || reg == 7));
    return reg == 2 || reg == 4 || reg == 6;
}

static inline simd_thunk simd_at(const uint8_t *code)
{
    union {
        const uint8_t *data;
        simd_thunk call;
    } u = {.data = code};
    return u.call;
}

static inline const uint8_t *simd_entry_code(
    const struct simd_entry *entry, const struct insn *insn)
{
    const uint8_t *code =
        (entry->flags & SIMD_REX_W) && (insn->rex & 8) ? entry->wide : entry->code;
    return code + (size_t)(uint8_t)insn->immediate * entry->stride;
}

/* 0F 71 to 73 with registers */
static inline const uint8_t *simd_shift_code(const struct simd_code *simd, const struct insn *insn)
{
    return simd->shift[insn->opcode - 0x71][insn->prefix][insn->modrm >> 3 & 7] +
           (size_t)(uint8_t)insn->immediate * simd->entry[simd_index(insn)].stride;
}

/* ---- Availability --------------------------------------------------------------------------- */

_Noreturn void sse_unavailable(struct cpu *cpu);
_Noreturn void mmx_unavailable(struct cpu *cpu);
_Noreturn void x87_error(struct cpu *cpu, const struct insn *insn);

/* #UD when CR0.EM or not CR4.OSFXSR, #NM when CR0.TS. */
static inline void sse_check(struct cpu *cpu)
{
    if (UNLIKELY((cpu->s.cr0 & (CR0_EM | CR0_TS)) | (~cpu->s.cr4 & CR4_OSFXSR)))
        sse_unavailable(cpu);
}

static inline bool x87_error_pending(const struct cpu *cpu)
{
    return cpu->s.fpu.status & ~cpu->s.fpu.control & 0x3f;
}

/* #UD when CR0.EM, #NM when CR0.TS, #MF when an x87 error is pending. */
static inline void mmx_check(struct cpu *cpu, const struct insn *insn)
{
    if (UNLIKELY(cpu->s.cr0 & (CR0_EM | CR0_TS)))
        mmx_unavailable(cpu);
    if (UNLIKELY(x87_error_pending(cpu)))
        x87_error(cpu, insn);
}

/* ---- Operands ------------------------------------------------------------------------------- */

static inline unsigned modrm_mmx_reg(const struct insn *insn)
{
    return insn->modrm >> 3 & 7;
}

static inline unsigned modrm_mmx_rm(const struct insn *insn)
{
    return insn->modrm & 7;
}

static inline void set_gpr(struct cpu *cpu, const struct insn *insn, unsigned reg, uint64_t value)
{
    cpu->s.gpr[reg] = insn->rex & 8 ? value : (uint32_t)value;
}

/* The memory operand with all checks: limits, canonical form, alignment (#GP where the instruction
 * demands it, else #AC where enabled), paging. */
uint64_t simd_linear(
    struct cpu *cpu, const struct insn *insn, unsigned size, enum access_kind kind, bool aligned);
/* Faults now where a later access of up to 8 bytes would. */
void simd_touch(struct cpu *cpu, uint64_t linear, unsigned size, enum access_kind kind);
const void *simd_load_slow(
    struct cpu *cpu, const struct insn *insn, unsigned size, bool aligned, void *buffer);
void simd_store_slow(
    struct cpu *cpu, const struct insn *insn, const void *data, unsigned size, bool aligned);

/* The memory operand's host address when no check but the TLB's is needed, else NULL: an address in
 * the TLB is canonical. */
static inline void *simd_direct(
    struct cpu *cpu, const struct insn *insn, unsigned size, enum access_kind kind, bool aligned)
{
    if (UNLIKELY(!cpu->code64 || cpu->alignment_check))
        return NULL;
    uint64_t linear = insn_offset(cpu, insn);
    if (UNLIKELY(insn->segment >= SEG_FS))
        linear += cpu->s.segment[insn->segment].base;
    if (aligned && UNLIKELY(linear & 15))
        return NULL;
    return cpu_direct(cpu, kind, linear, size);
}

/* The memory operand's bytes: in place, or read into `buffer`. */
static inline const void *simd_load(
    struct cpu *cpu, const struct insn *insn, unsigned size, bool aligned, void *buffer)
{
    const void *direct = simd_direct(cpu, insn, size, ACCESS_READ, aligned);
    if (LIKELY(direct != NULL))
        return direct;
    return simd_load_slow(cpu, insn, size, aligned, buffer);
}

static inline void simd_store(
    struct cpu *cpu, const struct insn *insn, const void *data, unsigned size, bool aligned)
{
    void *direct = simd_direct(cpu, insn, size, ACCESS_WRITE, aligned);
    if (LIKELY(direct != NULL))
        memcpy(direct, data, size);
    else
        simd_store_slow(cpu, insn, data, size, aligned);
}

/* MASKMOVQ, MASKMOVDQU: bytes of `data` whose mask byte has its top bit set, to [rDI]. */
void simd_masked_store(struct cpu *cpu, const struct insn *insn, const uint8_t *data,
    const uint8_t *mask, unsigned size);

/* ---- Execution ------------------------------------------------------------------------------ */

/*
 * Runs a thunk under the guest's MXCSR. While all its exceptions are masked, the guest's MXCSR
 * stays in the host between instructions (simd_leave() ends this): storing it after each costs more
 * than the instruction. The software CPU's own code computes with integers only. With an unmasked
 * exception it raises #XM (or #UD) and `destination` (16 bytes, or NULL) is unchanged.
 */
struct simd_result simd_run_unmasked(
    struct cpu *cpu, const uint8_t *code, void *destination, const void *source);

static inline void host_load_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value) : "memory");
}

static inline uint32_t host_store_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value) : : "memory");
    return value;
}

static inline struct simd_result simd_run_mxcsr(
    struct cpu *cpu, const uint8_t *code, void *destination, const void *source)
{
    if (UNLIKELY(!cpu->mxcsr_live)) {
        if ((cpu->s.fpu.mxcsr & 0x1f80) != 0x1f80)
            return simd_run_unmasked(cpu, code, destination, source);
        host_load_mxcsr(cpu->s.fpu.mxcsr);
        cpu->mxcsr_live = true;
    }
    return simd_at(code)(destination, source, NULL, NULL);
}

static inline struct simd_result simd_run(struct cpu *cpu, const struct simd_entry *entry,
    const uint8_t *code, void *destination, const void *source)
{
    if (entry->flags & SIMD_MXCSR)
        return simd_run_mxcsr(cpu, code, destination, source);
    return simd_at(code)(destination, source, NULL, NULL);
}

/* ---- x87 and MMX state ---------------------------------------------------------------------- */

enum { X87_TOP_SHIFT = 11 };

static inline unsigned x87_top(const struct cpu *cpu)
{
    return cpu->s.fpu.status >> X87_TOP_SHIFT & 7;
}

#define X87_C0        0x0100
#define X87_C1        0x0200
#define X87_C2        0x0400
#define X87_C3        0x4000
#define X87_CONDITION (X87_C0 | X87_C1 | X87_C2 | X87_C3)
#define X87_MASKS     0x3f   /* control: exceptions masked; status: exceptions raised */
#define X87_SUMMARY   0x8080 /* status: ES and B, set while an unmasked exception is pending */
#define X87_OPCODE    0x07ff /* the bits that FOP has */
#define X87_INITIAL   0x037f /* control after FNINIT */

/* Loads the control word: reserved bits take their fixed values and ES and B follow the masks. */
void x87_set_control(struct fpu_state *fpu, uint16_t control);

/* FNINIT: all but the registers' contents. */
static inline void x87_initialize(struct fpu_state *fpu)
{
    fpu->control = X87_INITIAL;
    fpu->status = 0;
    fpu->tag = 0;
    fpu->opcode = 0;
    fpu->instruction = 0;
    fpu->data = 0;
    fpu->code_selector = 0;
    fpu->data_selector = 0;
}

/* What every MMX instruction does: TOP 0, all registers valid. */
static inline void mmx_enter_top(struct cpu *cpu)
{
    cpu->s.fpu.status &= (uint16_t) ~(7 << X87_TOP_SHIFT);
}

static inline void mmx_enter(struct cpu *cpu)
{
    mmx_enter_top(cpu);
    cpu->s.fpu.tag = 0xff;
}

/* The exponent of a register that an MMX instruction wrote. */
static inline void mmx_written(struct cpu *cpu, unsigned reg)
{
    memset(cpu->s.fpu.st[reg] + 8, 0xff, 2);
}

/* ---- Handlers by family --------------------------------------------------------------------- */

insn_handler sse_handler(const struct insn *insn, const struct simd_operation *operation);
/* RCPPS, RCPSS, RSQRTPS, RSQRTSS (approximate.c). */
void dot_product(struct cpu *cpu, const struct insn *insn); /* DPPS, DPPD (dot.c) */
void approximate(struct cpu *cpu, const struct insn *insn);
insn_handler sse_move_handler(const struct insn *insn);
insn_handler sse_string_handler(const struct insn *insn);
insn_handler mmx_handler(const struct insn *insn, const struct simd_operation *operation);
insn_handler mmx_move_handler(const struct insn *insn);
insn_handler fxsave_handler(const struct insn *insn); /* 0F AE */
insn_handler x87_handler(const struct insn *insn);
insn_handler x87_move_handler(const struct insn *insn);        /* x87_move.c */
insn_handler x87_quick_handler(const struct insn *insn);       /* x87_quick.c */
insn_handler x87_environment_handler(const struct insn *insn); /* x87_environment.c */
insn_handler x87_transcendental_handler(const struct insn *insn);

/* ---- x87 (x87.c) ---------------------------------------------------------------------------- */

/* #NM when CR0.EM or CR0.TS. */
static inline void x87_available(struct cpu *cpu)
{
    if (UNLIKELY(cpu->s.cr0 & (CR0_EM | CR0_TS)))
        cpu_raise(cpu, VECTOR_NM);
}

/* ... and #MF when an error is pending: what every waiting instruction begins with. */
static inline void x87_check(struct cpu *cpu, const struct insn *insn)
{
    x87_available(cpu);
    if (UNLIKELY(x87_error_pending(cpu)))
        x87_error(cpu, insn);
}

/*
 * At the end of every instruction that is not for control (SDM volume 1, 8.1.8): FIP. FOP and, of
 * an operand in memory, FDP follow on AMD's processors each time, on Intel's with an unmasked
 * exception only. The segments' selectors follow with them on AMD's.
 */
static inline void x87_point_at(struct cpu *cpu, const struct insn *insn, bool memory)
{
    struct fpu_state *fpu = &cpu->s.fpu;
    fpu->instruction = cpu->s.rip;
    if (UNLIKELY(cpu_is_intel(cpu)) && LIKELY(!(fpu->status & X87_SUMMARY)))
        return;
    fpu->opcode = (uint16_t)((insn->opcode & 7u) << 8 | insn->modrm);
    if (memory)
        fpu->data = insn_offset(cpu, insn);
    if (!cpu_has_fpu_selectors(cpu))
        return;
    fpu->code_selector = cpu->s.segment[SEG_CS].selector;
    if (memory)
        fpu->data_selector = cpu->s.segment[insn->segment].selector;
}

/* Of instructions with a register operand or none, with an operand in memory, with either. */
static inline void x87_point_register(struct cpu *cpu, const struct insn *insn)
{
    x87_point_at(cpu, insn, false);
}

static inline void x87_point_memory(struct cpu *cpu, const struct insn *insn)
{
    x87_point_at(cpu, insn, true);
}

static inline void x87_point(struct cpu *cpu, const struct insn *insn)
{
    x87_point_at(cpu, insn, insn->flags & INSN_MEMORY);
}

/* Any instruction that computes, in any state, on the host with the whole x87 state loaded. */
void x87_full(struct cpu *cpu, const struct insn *insn);

/* Physical register of ST(i), and whether it holds something. */
static inline unsigned x87_physical(const struct cpu *cpu, unsigned i)
{
    return (x87_top(cpu) + i) & 7;
}

static inline bool x87_valid(const struct cpu *cpu, unsigned i)
{
    return cpu->s.fpu.tag >> x87_physical(cpu, i) & 1;
}

static inline void x87_set_top(struct cpu *cpu, unsigned top)
{
    cpu->s.fpu.status =
        (uint16_t)((cpu->s.fpu.status & ~(7u << X87_TOP_SHIFT)) | (top & 7) << X87_TOP_SHIFT);
}

static inline void x87_pop(struct cpu *cpu)
{
    unsigned top = x87_top(cpu);
    cpu->s.fpu.tag &= (uint8_t) ~(1u << top);
    x87_set_top(cpu, top + 1);
}

/* Bytes of a memory operand of D8 to DF, by (opcode & 7) * 8 + ModRM.reg; 0 where x87_full() is
 * not concerned. X87_STORES marks those written. */
enum { X87_STORES = 0x80 };
extern const uint8_t x87_memory_operand[64];

static inline unsigned x87_memory_index(const struct insn *insn)
{
    return (insn->opcode & 7u) << 3 | modrm_mmx_reg(insn);
}

static inline unsigned x87_register_index(const struct insn *insn)
{
    return (insn->opcode & 7u) << 6 | (insn->modrm & 0x3f);
}

/* Is this register form (opcode & 7) * 64 + (ModRM & 63) no instruction on any CPU? */
bool x87_register_undefined(unsigned index);

/*
 * The condition codes that an instruction leaves alone, of those that it does not compute. The
 * manuals call them undefined; both makers' processors keep C0, C2 and C3, and clear C1 but for
 * FCMOV and the comparisons that go to EFLAGS.
 */
static inline uint16_t x87_kept_condition(const struct insn *insn)
{
    bool keeps_c1 =
        !(insn->flags & INSN_MEMORY) &&
        ((insn->opcode & 0xfe) == 0xda || (insn->opcode == 0xdf && insn->modrm >= 0xe8));
    return keeps_c1 ? X87_CONDITION : X87_CONDITION & ~X87_C1;
}

/* After an instruction that computes no condition codes. */
static inline void x87_keep_condition(struct cpu *cpu, const struct insn *insn)
{
    cpu->s.fpu.status &= (uint16_t)(~X87_CONDITION | x87_kept_condition(insn));
}

/* Copies an 80-bit register in the pieces in which it was stored, so that the host can forward
 * it. */
static inline void x87_copy(void *to, const void *from)
{
    uint64_t low;
    uint16_t high;
    memcpy(&low, from, 8);
    memcpy(&high, (const uint8_t *)from + 8, 2);
    memcpy(to, &low, 8);
    memcpy((uint8_t *)to + 8, &high, 2);
}

/* The register that the next push fills must be empty. Sets its tag and TOP. */
static inline void x87_push(struct cpu *cpu, const void *value)
{
    unsigned top = (x87_top(cpu) - 1) & 7;
    x87_copy(cpu->s.fpu.st[top], value);
    cpu->s.fpu.tag |= (uint8_t)(1u << top);
    x87_set_top(cpu, top);
}

#endif
