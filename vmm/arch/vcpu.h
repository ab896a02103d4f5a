/*
 * The complete architectural state of one virtual CPU, in one plain struct that either engine can
 * export at any exit and import again, and the digests taken over it.
 *
 * Sources: AMD64 Architecture Programmer's Manual volume 2 (system programming), Intel SDM
 * volume 3.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "vmm/arch/personality.h"

/* General-purpose registers in instruction encoding order. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };

/* Segment registers in instruction encoding order. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/*
 * A segment register with its hidden part. `attributes` holds the descriptor's bits: 0-3 type, 4 S,
 * 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G. A null or unusable segment has attributes 0. `limit` is
 * in bytes with granularity applied (0xffffffff for 4 GiB).
 */
struct segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes;
};

enum {
    SEG_TYPE = 0xf,      /* mask */
    SEG_ACCESSED = 1,    /* type bit 0 of code and data segments */
    SEG_WRITABLE = 2,    /* data: writable; code: readable */
    SEG_EXPAND_DOWN = 4, /* data: expand down; code: conforming */
    SEG_CODE = 8,
    SEG_S = 1 << 4, /* 1: code or data, 0: system */
    SEG_DPL_SHIFT = 5,
    SEG_P = 1 << 7,
    SEG_AVL = 1 << 8,
    SEG_L = 1 << 9,
    SEG_DB = 1 << 10,
    SEG_G = 1 << 11,
};

struct descriptor_table {
    uint64_t base;
    uint16_t limit;
};

/* RFLAGS */
#define FLAG_CF   (1ull << 0)
#define FLAG_ONE  (1ull << 1) /* always set */
#define FLAG_PF   (1ull << 2)
#define FLAG_AF   (1ull << 4)
#define FLAG_ZF   (1ull << 6)
#define FLAG_SF   (1ull << 7)
#define FLAG_TF   (1ull << 8)
#define FLAG_IF   (1ull << 9)
#define FLAG_DF   (1ull << 10)
#define FLAG_OF   (1ull << 11)
#define FLAG_IOPL (3ull << 12)
#define FLAG_NT   (1ull << 14)
#define FLAG_RF   (1ull << 16)
#define FLAG_VM   (1ull << 17)
#define FLAG_AC   (1ull << 18)
#define FLAG_VIF  (1ull << 19)
#define FLAG_VIP  (1ull << 20)
#define FLAG_ID   (1ull << 21)

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME        (1ull << 0)
#define CR4_PVI        (1ull << 1)
#define CR4_TSD        (1ull << 2)
#define CR4_DE         (1ull << 3)
#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_PCE        (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

/* Model-specific registers of hs64-v1 by index. What neither this nor msr.h lists raises #GP on
 * both engines. */
enum {
    MSR_TSC = 0x10,
    MSR_APIC_BASE = 0x1b,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_PAT = 0x277,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
#define MSR_PERF_CTR0      0xc0010004u

/* Places of the MSRs that do nothing but keep what is written (vmm/arch/msr.h). */
enum {
    MSR_KEPT_MISC_ENABLE,
    MSR_KEPT_PERF_CTL,                         /* four */
    MSR_KEPT_PERF_CTR = MSR_KEPT_PERF_CTL + 4, /* four */
    MSR_KEPT_SYS_CFG = MSR_KEPT_PERF_CTR + 4,
    MSR_KEPT_HWCR,
    MSR_KEPT_LS_CFG,
    MSR_KEPT_IC_CFG,
    MSR_KEPT_DC_CFG,
    MSR_KEPT_BU_CFG,
    MSR_KEPT_DE_CFG,
    MSR_KEPT_COUNT
};
enum { MSR_PERF_COUNTERS = 4 };

/* The 512-byte FXSAVE64 image (APM volume 1, 64-bit FXSAVE format), little-endian. */
struct fpu_state {
    uint16_t control;     /* FCW */
    uint16_t status;      /* FSW, TOP in bits 11-13 */
    uint8_t tag;          /* abridged: bit i set = physical register i holds something */
    uint8_t reserved0;    /* 0 */
    uint16_t opcode;      /* FOP: low 3 bits of the opcode, ModRM */
    uint64_t instruction; /* FIP */
    uint64_t data;        /* FDP */
    uint32_t mxcsr;
    uint32_t mxcsr_mask; /* 0xffff on hs64-v1 */
    uint8_t st[8][16];   /* ST(0)..ST(7), 80 bits each, upper 48 bits 0 */
    uint8_t xmm[16][16];
    uint8_t reserved1[48]; /* 0 */
    /* In the part that belongs to software: the selectors that go with FIP and FDP, FCS and FDS,
     * where the personality has them; an image in 64-bit form has no place for them. */
    uint16_t code_selector, data_selector;
    uint8_t reserved2[44]; /* 0 */
} __attribute__((aligned(16)));

_Static_assert(sizeof(struct fpu_state) == 512, "the FXSAVE image is 512 bytes");

struct vcpu_state {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    struct segment segment[SEG_COUNT];
    struct segment ldt;
    struct segment tr;
    struct descriptor_table gdt;
    struct descriptor_table idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    uint64_t dr[4], dr6, dr7;

    uint64_t apic_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    uint64_t tsc_offset; /* what WRMSR to the TSC changed: see vcpu_tsc() */
    uint64_t kept_msr[MSR_KEPT_COUNT];

    struct fpu_state fpu;

    /* An exception raised but not yet delivered: only between engines, never at rest. */
    bool exception_pending;
    bool exception_has_error;
    uint8_t exception_vector;
    uint32_t exception_error;

    bool sti_shadow;    /* interrupts are held off for one instruction after STI */
    bool mov_ss_shadow; /* ... and, with debug traps, after MOV SS or POP SS */
    bool nmi_blocked;   /* between NMI delivery and IRET */
    bool halted;        /* stopped in HLT; RIP is after the HLT */
};

/* Power-on state (APM volume 2, table 14-1): real mode, CS base 0xffff0000, RIP 0xfff0. */
void vcpu_reset(struct vcpu_state *state);

/*
 * Replaces by fixed values what the architecture leaves without meaning, so that equal machines
 * have equal structs: attributes, base and limit of null segments, upper halves in 32-bit mode,
 * reserved bits. Both engines call it on export; digests are over canonical states only.
 */
void vcpu_canonicalize(struct vcpu_state *state);
/* What the core digest covers, alone. */
void vcpu_canonicalize_core(struct vcpu_state *state);

/*
 * What the x87's pointers become when its state leaves the processor (XSAVE): AMD's processors
 * store 0 unless an unmasked exception is pending, and the pointers are lost. KVM does so at each
 * exit.
 */
void fpu_put_aside(struct fpu_state *fpu, struct personality personality);

/*
 * XXH3-64 digests. The core digest covers everything except the FPU image, the debug registers and
 * the MSRs after apic_base (what KVM hands over at every exit without further calls); the full
 * digest covers all.
 */
uint64_t vcpu_digest_core(const struct vcpu_state *state);
uint64_t vcpu_digest_full(const struct vcpu_state *state);

/* Fixed little-endian layout, for the trace and checkpoints. */
void vcpu_save(const struct vcpu_state *state, struct buffer *out);
void vcpu_restore(struct vcpu_state *state, struct reader *in); /* nonsense sets in->failed */

/* Registers in the manner of gdb's `info registers`, several lines. */
void vcpu_describe(const struct vcpu_state *state, struct buffer *out);
/* One line for each field that differs, "name  a  b"; returns how many differ. */
unsigned vcpu_compare(const struct vcpu_state *a, const struct vcpu_state *b, struct buffer *out);

/* The TSC counts at 2 GHz of virtual time: clearly more than 1 GHz, because guests divide 2^32
 * nanoseconds by it in 32 bits, and below 2^31 Hz. */
enum { VCPU_TSC_PER_NS = 2 };

/* The TSC at a virtual time in ns. */
static inline uint64_t vcpu_tsc(const struct vcpu_state *state, uint64_t time)
{
    return time * VCPU_TSC_PER_NS + state->tsc_offset;
}

/* 64-bit mode: long mode active and CS.L. */
static inline bool vcpu_in_64bit_mode(const struct vcpu_state *state)
{
    return (state->efer & EFER_LMA) && (state->segment[SEG_CS].attributes & SEG_L);
}

/* Would an NMI be delivered now? Not in another one's handler, nor in a shadow (APM volume
 * 2, 8.2.3).
 */
static inline bool vcpu_takes_nmi(const struct vcpu_state *state)
{
    return !state->nmi_blocked && !state->sti_shadow && !state->mov_ss_shadow &&
           !state->exception_pending;
}

/* CPL as the hardware keeps it: the DPL of SS, or 0 in real mode. */
static inline unsigned vcpu_cpl(const struct vcpu_state *state)
{
    if (!(state->cr0 & CR0_PE))
        return 0;
    if (state->rflags & FLAG_VM)
        return 3;
    return (state->segment[SEG_SS].attributes >> SEG_DPL_SHIFT) & 3;
}

#endif
