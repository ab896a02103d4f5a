/*
 * The software CPU's insides: what its files share. Not for use outside vmm/cpu; others see
 * vmm/arch/engine.h.
 *
 * Who does what:
 *   soft.c        engine operations: run, complete, import, export, breakpoints
 *   decode*.c     bytes -> struct insn; independent of how instructions are executed
 *   blocks.c      cache of decoded blocks, keyed by physical page and mode; self-modifying code
 *   execute*.c    the dispatcher and the integer instruction groups
 *   mmu.c         paging, TLB, memory access of every kind (access.h has the inline hit path)
 *   segments.c, transfer.c, task.c, exceptions.c, control.c, msr.c, io.c    the system instructions
 *   match.c       stops at given registers
 *   native/       host code for blocks that run often
 *   x87*.c, mmx.c, sse*.c    floating point and SIMD, on the host's own instructions
 *
 * Rules that every instruction handler keeps:
 *   - While a handler runs, s.rip is the address of the instruction being executed. The dispatcher
 *     adds insn->length when the handler returns, unless `jumped` was set (cpu_jump does).
 *   - A handler makes every access that can fault before it changes any state; a fault leaves by
 *     longjmp (cpu_raise...) and the state must then be as before the instruction, except where the
 *     manual says otherwise. The same holds for an MMIO read, which abandons the instruction and
 *     executes it again from its start when the value is known (see mmu.c); so a read-modify-write
 *     first probes for writing (cpu_probe_write), then loads, then stores.
 *   - Arithmetic flags live in `flags`; s.rflags holds the other bits. cpu_get_rflags and
 *     cpu_set_rflags join and split them, cpu_get_arithmetic and cpu_set_arithmetic take only
 *     those six.
 */
#ifndef VMM_CPU_CPU_H
#define VMM_CPU_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/engine.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

struct cpu;
struct insn;
struct opcode;      /* decode_table.h */
struct block_cache; /* blocks.c */
struct block;
struct op;
struct simd_code; /* generated host code */
struct native;    /* native/native.h */
struct native_target;

typedef void (*insn_handler)(struct cpu *cpu, const struct insn *insn);

/* ---- Decoded instructions ------------------------------------------------------------------- */

enum insn_map { MAP_PRIMARY, MAP_0F, MAP_0F38, MAP_0F3A };
/* The mandatory-prefix view: F2 and F3 win over 66. */
enum insn_prefix { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

enum insn_flag {
    INSN_MEMORY = 1 << 0,       /* ModRM names memory: base, index, scale, displacement, segment */
    INSN_RIP_RELATIVE = 1 << 1, /* displacement is relative to the next instruction */
    INSN_LOCK = 1 << 2,
    INSN_REX = 1 << 3,        /* any REX prefix: SPL..DIL instead of AH..BH */
    INSN_REP = 1 << 4,        /* F3 */
    INSN_REPNE = 1 << 5,      /* F2 */
    INSN_OPERAND16 = 1 << 6,  /* a 66 prefix was present */
    INSN_ENDS_BLOCK = 1 << 7, /* control transfer, or changes mode, IF, paging, ... */
};

enum { NO_REGISTER = 0xff };

/*
 * One decoded instruction. `reg`, `rm`, `base`, `index` are full register numbers (REX applied).
 * `segment` is the effective segment (overrides and SS defaults applied; in 64-bit mode all but FS
 * and GS have base 0).
 */
struct insn {
    const struct opcode *row; /* what it is: its row of the decoder's tables */
    insn_handler handler;     /* the row's, or what simd_handler() chose */
    int64_t displacement;     /* memory displacement, sign-extended */
    uint64_t immediate;       /* sign-extended where the manual extends; far pointers: the offset */
    uint16_t flags;           /* enum insn_flag */
    uint16_t immediate2;      /* ENTER's second immediate; far pointers: the selector */
    uint8_t length;           /* bytes, 1 to 15 */
    uint8_t operand_size;     /* effective: 1, 2, 4, 8 */
    uint8_t address_size;     /* 2, 4, 8 */
    uint8_t opcode;           /* the byte in its map */
    uint8_t modrm;            /* the raw byte; 0 when there is none */
    uint8_t rex;              /* raw REX byte or 0 */
    uint8_t reg, rm;          /* ModRM.reg and, for mod=3, ModRM.rm */
    uint8_t base, index;      /* NO_REGISTER when absent */
    uint8_t segment;
    uint8_t map : 2;    /* enum insn_map */
    uint8_t prefix : 2; /* enum insn_prefix */
    uint8_t scale : 2;  /* of the index, 0 to 3 */
};

/* ---- TLB ------------------------------------------------------------------------------------ */

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE, ACCESS_KINDS };

/* Direct-mapped by linear page number; one table per access kind, and a bank of them each for
 * supervisor (0) and user (1) accesses, so that a change of CPL flushes nothing. */
enum { TLB_ENTRIES = 1024, TLB_BANKS = 2 };

/*
 * `page` is the linear page address when the host may touch the page directly, or that plus
 * TLB_SLOW when each access must take the slow path (MMIO, code page, watched page); a plain
 * compare with the linear page address thus hits only the direct ones. An empty entry has page = 1.
 */
#define TLB_SLOW 2ull
struct tlb_entry {
    uint64_t page;
    uint64_t addend; /* host address of RAM less its linear address */
    uint64_t gpa;    /* guest-physical address of the page */
    uint64_t flags;  /* mmu.c's own */
};

enum { TLB_LARGE_MARKS = 1024 };

/* What makes flushing cost as much as was filled, not as much as the tables hold (mmu.c). */
struct tlb_log {
    uint16_t filled[TLB_BANKS * ACCESS_KINDS * TLB_ENTRIES]; /* entries in use, each once */
    unsigned count;
    uint64_t large[2][TLB_LARGE_MARKS / 64]; /* hashed regions that have large-page entries */
};

/* Which pages of RAM the translations in the TLB came from (tables.h). */
struct cpu_tables {
    /* By page of RAM: 0: none, stores may be direct; else twice the number of the flush since which
     * it was last walked, + 1 if a global translation came from it. */
    uint64_t *walked;
    uint64_t flushes;     /* of the TLB, global translations or not */
    uint64_t last_global; /* the latest that dropped global ones */
};

/* ---- Arithmetic flags ----------------------------------------------------------------------- */

#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/*
 * CF PF AF ZF SF OF are kept as the host's LAHF and SETO hand them over, so that an arithmetic
 * handler stores them with one instruction: bits 8-15 are RFLAGS bits 0-7, bits 0-7 are 1 when OF.
 * Everybody else uses these two functions, in RFLAGS format.
 */
static inline uint64_t flags_to_rflags(uint16_t flags)
{
    return ((uint64_t)(flags >> 8) & 0xd5) | ((uint64_t)(flags & 1) << 11);
}

static inline uint16_t flags_from_rflags(uint64_t rflags)
{
    return (uint16_t)((rflags & 0xd5) << 8 | (rflags >> 11 & 1));
}

/* ---- The CPU -------------------------------------------------------------------------------- */

/* What longjmp to cpu->escape carries. */
enum {
    CPU_JUMP_FAULT = 1,
    CPU_JUMP_MMIO_READ,
    CPU_JUMP_PIO_READ,
    CPU_JUMP_TIME,
    CPU_JUMP_MSR_READ,
    CPU_JUMP_STOP
};

enum { CPU_MAX_ACCESSES = 72 }; /* FXSAVE to MMIO is 64 pieces of 8 bytes */

/* Time has no address. */
enum access_target { ACCESS_TO_MEMORY, ACCESS_TO_PORT, ACCESS_TO_TIME, ACCESS_TO_MSR };

struct pending_access {
    uint64_t address;
    uint64_t value;
    uint8_t size;
    enum access_target to;
};

/* Where execution stops (points.c). By offset in a page: one bit for places that may be of any
 * page, one for those of the upper half that are at no other linear address. */
struct code_points {
    uint8_t anywhere[PAGE_SIZE / 8], apart[PAGE_SIZE / 8];
    uint64_t *places; /* all that are no ranges, ascending; owned */
    unsigned count;
    bool has_ranges;
};

/* What run_request.match asks for (match.c). */
struct cpu_match {
    bool armed;
    uint64_t linear; /* of the instruction */
    uint64_t gpr[16];
    uint64_t arithmetic;       /* flags, in RFLAGS format */
    bool flags_told;           /* a place with other flags was reported */
    uint8_t telling;           /* the register that last told another pass from this one */
    uint64_t reported_retired; /* where EXIT_MATCH was last reported; UINT64_MAX: nowhere */
};

/* A look for a loop that waits (wait.h). */
struct cpu_wait {
    unsigned left;  /* instructions that it may still execute; 0: none is under way */
    uint64_t next;  /* engine.retired when the next one is due */
    uint16_t flags; /* the state that it compares with */
    uint64_t rip, gpr[16];
};

struct cpu {
    struct engine engine; /* first: a struct engine * is a struct cpu * */
    struct memory *memory;
    enum { FUNCTIONS_OWN, FUNCTIONS_HOST, FUNCTIONS_UNKNOWN } functions; /* transcendental, x87 */
    struct host_cpu functions_of;   /* whose they are, unless own */
    struct personality personality; /* decides at decoding and at execution; cpu_is_intel() */

    /*
     * The dispatcher (execute.c). A block's instructions are charged to `countdown` when it is
     * entered; `current->remaining` of them, counted from the instruction under way, are given back
     * when a fault or an exit leaves it. What native code touches comes first (native/native.h).
     */
    int64_t countdown;  /* instructions left in the slice after the block under way */
    uint64_t block_rip; /* RIP of the first instruction of the block under way */
    uint64_t code_page; /* in native code: linear address of the page it is of */
    struct tlb_entry (*tlb)[TLB_ENTRIES]; /* by access kind: the bank of the present CPL */
    struct native_target *targets;        /* of indirect branches; NULL without native code */
    uint64_t kept;   /* a value that native code keeps across an address check */
    uint16_t flags;  /* the arithmetic flags, see flags_to_rflags() */
    bool sse_ready;  /* neither CR0 nor CR4 forbids SSE; set by the dispatcher */
    bool mxcsr_live; /* the host's MXCSR is the guest's, and newer than s.fpu.mxcsr */

    struct vcpu_state s; /* while running, s.rflags lacks the arithmetic bits: see `flags` */
    bool jumped;         /* the handler has set s.rip to the next instruction */

    /* Derived from s by cpu_mode_changed(). */
    bool code64;        /* 64-bit mode */
    uint8_t code_size;  /* default operand size of CS: 2 or 4 (4 in 64-bit mode) */
    uint8_t stack_size; /* width of SP: 2, 4, 8 */
    uint8_t cpl;
    bool alignment_check; /* CR0.AM, RFLAGS.AC and CPL 3: unaligned data accesses raise #AC */

    uint64_t slice_end;       /* engine.retired when the countdown is used up */
    uint64_t zero;            /* always 0: stands for absent address parts */
    const struct op *current; /* the instruction under way where it may raise; else NULL */
    struct block *running;    /* the block under way; NULL outside */

    struct tlb_entry tlb_banks[TLB_BANKS][ACCESS_KINDS][TLB_ENTRIES];
    struct tlb_log tlb_log;
    struct cpu_tables tables;

    /* The fault that cpu_raise() left for the run loop. */
    jmp_buf *escape;
    uint8_t fault_vector;
    bool fault_has_error;
    uint32_t fault_error;
    uint64_t fault_address;    /* CR2 of a page fault */
    bool delivering;           /* an exception or interrupt is being delivered (exceptions.c) ... */
    bool delivering_external;  /* ... so selector error codes get EXT */
    bool delivery_failed;      /* it needs what is not implemented: `failure` says what */
    uint64_t delivery_retired; /* exceptions delivered since this many instructions were retired: */
    unsigned delivery_count;

    /*
     * Accesses outside RAM. `reads` holds the values already answered for the instruction under
     * way, in order, and last the one being asked for; `read_next` counts those consumed by the
     * current execution of it. Writes made by a finished instruction wait in `writes` until the run
     * loop has reported each.
     */
    struct pending_access reads[CPU_MAX_ACCESSES];
    unsigned read_count, read_next;
    struct pending_access writes[CPU_MAX_ACCESSES];
    unsigned write_count, write_next;

    bool stop_at_wait;    /* as the run request says */
    uint64_t user_budget; /* likewise */
    uint64_t user_since;  /* engine.retired when ring 3 was entered last */
    bool paused;          /* it waits for another vCPU, while `stop_at_wait`: the same PAUSE was
                             executed again, or a loop changed nothing (wait.h) */
    struct cpu_wait wait;
    uint64_t pause_rip;   /* of the last PAUSE since a state was imported: when a
                             kick came must not matter */
    bool stop_requested;  /* leave the dispatcher at the next instruction boundary */
    volatile int kicked;  /* engine kick */
    struct error failure; /* text of a CPU_JUMP_STOP */

    uint8_t *written; /* a bit for each page of RAM, by host offset: written since it was taken */

    struct access_observer observer; /* its `access` is NULL: nobody is told of accesses */
    bool observing_all;              /* somebody is told of each, wherever it is */
    const struct insn *observed;     /* the instruction under way while somebody is told */

    struct stores *stores; /* store buffers (stores.h); NULL: none */
    struct block_cache *blocks;
    struct simd_code *simd;
    struct native *native; /* NULL: blocks are only interpreted */

    struct breakpoint *breakpoints;
    unsigned breakpoint_count;
    struct code_points code_points; /* those that are BREAK_EXECUTE */
    bool watching;                  /* some breakpoint is for data */
    bool watching_exceptions;       /* some is BREAK_EXCEPTION */
    bool watching_anything;         /* some is not BREAK_EXECUTE */
    uint64_t mode_points;           /* those that are BREAK_MODE, by bit */
    unsigned mode_seen;             /* watch.c's name of the mode when it was last looked at */
    uint64_t space_points;          /* those that are BREAK_SPACE, by bit */
    uint64_t space_seen;            /* CR3 when it was last looked at */
    struct vcpu_exit access_hit;    /* by the instruction under way: void if it is abandoned */
    struct vcpu_exit change_hit;    /* by what stays: deliveries, page tables, devices */
    struct vcpu_exit exception_hit;
    uint64_t breakpoint_rip;     /* where EXIT_BREAKPOINT was last reported, and when: */
    uint64_t breakpoint_retired; /* going on from there steps over it */
    struct cpu_match match;
    /* Between iterations of a repeated CMPS or SCAS: where that is, and the flags that the other
     * makers' processors show there. */
    uint64_t repeat_rip, repeat_retired; /* UINT64_MAX: nowhere */
    uint16_t repeat_flags;
    uint64_t debug_hits;    /* DR6 bits of the traps that the instruction itself brought about */
    uint64_t debug_seen[5]; /* DR0-3 and DR7 that the TLB and the dispatcher know of */
    bool debug_stepping;    /* DR7 enables instruction or I/O breakpoints */

    bool access_waiting; /* reads[read_count - 1] waits for engine_complete() */
    bool write_reported; /* writes[write_next] was the last exit */
    bool shutdown;       /* triple fault */
};

/* ---- Faults (exceptions.c) ------------------------------------------------------------------ */

enum {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_XM = 19,
};

_Noreturn void cpu_raise(struct cpu *cpu, unsigned vector); /* without an error code */
_Noreturn void cpu_raise_error(struct cpu *cpu, unsigned vector, uint32_t error);
_Noreturn void cpu_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error);
/* Stops the machine: the engine fails with "not implemented: WHAT: BYTES at ADDRESS in MODE". */
_Noreturn void cpu_stop_unimplemented(struct cpu *cpu, const struct insn *insn, const char *what);
/*
 * Called by the run loop after an escape with CPU_JUMP_FAULT: delivers the exception through the
 * IDT, with double faults; false on triple fault (the engine then reports EXIT_SHUTDOWN). Handles
 * escapes of its own.
 */
bool cpu_deliver_exception(struct cpu *cpu);
/* External interrupt; the guest is interruptible. Same return. */
bool cpu_deliver_interrupt(struct cpu *cpu, uint8_t vector);

/* Does the run follow Intel's rules where the makers differ? Else it follows AMD's. */
static inline bool cpu_is_intel(const struct cpu *cpu)
{
    return cpu->personality.maker == MAKER_INTEL;
}

/* Are there FCS and FDS? */
static inline bool cpu_has_fpu_selectors(const struct cpu *cpu)
{
    return personality_has(cpu->personality, MAKER_AMD, 2);
}

/* ---- Control state (control.c) -------------------------------------------------------------- */

/* The six arithmetic flags in RFLAGS format; setting replaces all six and ignores other bits. */
static inline uint64_t cpu_get_arithmetic(const struct cpu *cpu)
{
    return flags_to_rflags(cpu->flags);
}

static inline void cpu_set_arithmetic(struct cpu *cpu, uint64_t rflags)
{
    cpu->flags = flags_from_rflags(rflags);
}

/* Recomputes code64, code_size, stack_size, cpl. Call after a change of CS, SS, CR0, EFER or VM. */
void cpu_mode_changed(struct cpu *cpu);
uint64_t cpu_get_rflags(const struct cpu *cpu);        /* arithmetic flags joined in */
void cpu_set_rflags(struct cpu *cpu, uint64_t rflags); /* all bits, unchecked */
/* Transfers control inside the current code segment; checks CS limit or canonical form (#GP). */
void cpu_jump(struct cpu *cpu, uint64_t rip);

/* ---- Memory (mmu.c; inline hit paths in access.h) ------------------------------------------- */

/* Linear address of segment:offset for an access of `size` bytes, with limit, type and canonical
 * checks (#GP or #SS). */
uint64_t cpu_linear_checked(
    struct cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum access_kind kind);
/* By linear address, any alignment, page crossing included; sizes 1, 2, 4, 8. */
uint64_t cpu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size);
void cpu_store_slow(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value);
/* Faults now if a store of `size` bytes (up to 512) there would. */
void cpu_probe_write(struct cpu *cpu, uint64_t linear, unsigned size);
/* Up to 512 bytes; as a whole or not at all as far as faults go. */
void cpu_load_bytes(struct cpu *cpu, uint64_t linear, void *data, unsigned size);
void cpu_store_bytes(struct cpu *cpu, uint64_t linear, const void *data, unsigned size);
/* Supervisor access whatever the CPL (descriptor tables, TSS, IDT). */
uint64_t cpu_load_system(struct cpu *cpu, uint64_t linear, unsigned size);
void cpu_store_system(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value);
/* Instruction fetch: GPA of the page that holds `linear`; #PF if not executable. */
uint64_t cpu_fetch_page(struct cpu *cpu, uint64_t linear);
/* Without faults, A/D updates or checks, for the debugger; false when not mapped. */
bool cpu_translate_quiet(const struct cpu *cpu, uint64_t linear, uint64_t *gpa);
/* Empties all of the TLB of a new CPU, whose memory may be anything; cpu_mode_changed() does it
 * where `tlb` is still NULL. */
void tlb_init(struct cpu *cpu);
void tlb_flush_all(struct cpu *cpu);
void tlb_flush_non_global(struct cpu *cpu);
void tlb_flush_page(struct cpu *cpu, uint64_t linear);
/* Drops direct write entries so that the next store to code or watched pages is seen. */
void tlb_flush_writes(struct cpu *cpu);
/* Has stores to this page of RAM (GPA) take the slow path. */
void tlb_slow_writes(struct cpu *cpu, uint64_t gpa);
/* Notes that RAM on this page (host address) is being written: engine_ops.take_dirty_pages. */
static inline void cpu_mark_written(struct cpu *cpu, const uint8_t *host)
{
    uint64_t page = (uint64_t)(host - cpu->memory->host) / PAGE_SIZE;
    cpu->written[page / 8] |= (uint8_t)(1u << (page % 8));
}

/* ---- Code cache and watchpoints (blocks.c, soft.c) ------------------------------------------- */

/* Does this page of RAM (host address) hold decoded instructions? Then stores to it take the slow
 * path. */
bool blocks_page_has_code(const struct cpu *cpu, const uint8_t *host);
/* RAM at [gpa, gpa+size) was written: decoded instructions there are dropped; the dispatcher leaves
 * a dropped block that is being executed after the current instruction. */
void blocks_memory_written(struct cpu *cpu, uint64_t gpa, uint64_t size);
/* Is some watchpoint on this page? Then accesses to it take the slow path, which calls
 * watch_access for each. */
bool watch_page(const struct cpu *cpu, uint64_t linear_page, uint64_t gpa_page);
void watch_access(struct cpu *cpu, uint64_t linear, uint64_t gpa, unsigned size, bool is_write);
/* Is the observer told of accesses to this page? Only while there is one. */
bool watch_observes_page(const struct cpu *cpu, uint64_t linear_page, uint64_t gpa_page);
/* Tells the observer of an access to RAM, if it is to know. Only while there is one. */
void watch_tell(struct cpu *cpu, const struct memory_access *access);
/* Tells the observer that the instruction at RIP begins. Only while there is one. */
void watch_instruction(struct cpu *cpu, const struct insn *insn);
/* [gpa, gpa + size) of RAM is changed, not by a store; `is_walk`: by address translation. */
void watch_change(struct cpu *cpu, uint64_t gpa, uint64_t size, bool is_walk);
/* An exception was delivered. Only while `watching_exceptions`. */
void watch_exception(struct cpu *cpu, unsigned vector, uint64_t rip, uint32_t error);
/* Follows a new set of breakpoints; forgets hits. */
void watch_set(struct cpu *cpu);
void watch_forget(struct cpu *cpu);
/* What was hit since the last call; false: nothing. Only while `watching_anything`. */
bool watch_take(struct cpu *cpu, struct vcpu_exit *exit);

/* ---- Where execution stops (points.c) ---------------------------------------------------------
 */

/* Takes over those of the breakpoints, and drops the decoded code that they concern. -1: no memory,
 * and nothing is changed. */
int points_set(struct cpu *cpu, const struct breakpoint *list, unsigned count);
void points_free(struct cpu *cpu);
/* May execution have to stop at the instruction at this linear address, or at another of code at
 * the same place in RAM? */
bool points_may_break(const struct cpu *cpu, uint64_t linear);
/* The breakpoints at the linear address, by bit. */
uint64_t points_at(const struct cpu *cpu, uint64_t linear);

/* ---- The registers to stop at (match.c) -------------------------------------------------------
 */

/* Looks for these registers from now on; NULL: for none. */
void match_arm(struct cpu *cpu, const struct vcpu_state *wanted);
/* Between instructions: do the wanted registers stand here, and was it not reported yet? */
bool match_here(struct cpu *cpu);
/* Does the CPU, at `rip` with `retired` instructions retired, stand between iterations of a
 * repeated CMPS or SCAS (string.c)? */
bool repeat_stands_at(const struct cpu *cpu, uint64_t rip, uint64_t retired);
/* Is the instruction at RIP the wanted one? */
bool match_rip(const struct cpu *cpu);

/* ---- Floating point and SIMD ---------------------------------------------------------------- */

/*
 * The handler of an x87, MMX or SSE instruction, by map, opcode, prefix, ModRM and REX.W of `insn`,
 * or NULL when hs64-v1 has no such instruction (#UD). CR0.EM, CR0.TS, CR4.OSFXSR and pending x87
 * errors are checked by the handlers at execution. The decoder asks for D8-DF, 9B (FWAIT), and what
 * it does not know itself in 0F, 0F38, 0F3A.
 */
insn_handler simd_handler(const struct insn *insn);
struct simd_code *simd_create(struct error *error);
void simd_destroy(struct simd_code *simd);
/* The guest's MXCSR may be in the host's while instructions execute: this brings s.fpu.mxcsr up to
 * date and restores the host's own. Call before leaving the run loop to other code. */
void simd_leave(struct cpu *cpu);
/*
 * While the software CPU runs, cpu->s.fpu.st is in physical order (st[i] is physical register i,
 * MMi) so that a push or pop moves no data. Export converts its copy to the FXSAVE image's order
 * (ST(0) first), import converts from it. Pure functions of the struct.
 */
void fpu_to_image(struct fpu_state *fpu);
void fpu_from_image(struct fpu_state *fpu);

#endif
