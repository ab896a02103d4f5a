/*
 * The differential tester of the software CPU against the host's CPU: what one case is, what came
 * of it, and the address space in which both sides run it.
 *
 * Both sides run at CPL 3 with the same linear addresses, selectors and segment bases. A single
 * case executes one instruction; a block executes instructions up to the INT3 after the last.
 */
#ifndef TESTS_DIFFERENTIAL_CASE_H
#define TESTS_DIFFERENTIAL_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/vcpu.h"

/* Linear addresses of both sides. All else below 2^47 is unmapped, as far as cases can tell. */
#define CODE_BASE 0x10000000ull /* CODE_PAGES pages, user, read and execute */
#define DATA_BASE 0x20000000ull /* DATA_PAGES pages read and write, then one read-only page */
#define LOW_BASE  0x8000ull     /* one page, read and write, for 16-bit addressing */
#define FS_BASE   0x13579bd0ull
#define GS_BASE   0x700012345670ull

enum {
    PAGE = 4096,
    CODE_PAGES = 2,
    CODE_SIZE = CODE_PAGES * PAGE,
    DATA_PAGES = 4,
    DATA_SIZE = DATA_PAGES * PAGE,
    /* Initial contents and the mapped copy are laid out as: writable data, low page, read-only. */
    LOW_OFFSET = DATA_SIZE,
    WRITABLE_SIZE = DATA_SIZE + PAGE,
    READ_ONLY_OFFSET = WRITABLE_SIZE,
    MEMORY_SIZE = WRITABLE_SIZE + PAGE,
    /* Valid FXSAVE images for FXRSTOR, LDMXCSR and the like, at this offset of the data. */
    IMAGES_OFFSET = 3 * PAGE,
    IMAGES = 4,
    /* Small numbers for loops to count down, in the low page. */
    COUNTERS_OFFSET = PAGE - 64,
    COUNTERS = 16,
    FILLER = 0xcc, /* INT3: what the code pages hold around the case */
};

/* The selectors Linux gives a process; the guest has the same. */
enum { SELECTOR_CODE64 = 0x33, SELECTOR_CODE32 = 0x23, SELECTOR_DATA = 0x2b };

enum {
    BLOCK_INSNS = 16,
    CODE_BYTES = BLOCK_INSNS * 15 + 16,
    LINE_BYTES = 64,
    LINES = WRITABLE_SIZE / LINE_BYTES,
    LINES_KEPT = 24,
};

struct test_case {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    struct fpu_state fpu;
    uint8_t code[CODE_BYTES];
    uint16_t code_size;   /* bytes of code[] in use */
    uint16_t code_offset; /* from CODE_BASE; code beyond CODE_SIZE is cut off */
    bool compatibility;   /* 32-bit code segment */
    bool block;
    bool trap; /* soft runs it with TF=1 too, and so must deliver the #DB */
    uint8_t group;
    uint8_t insn_count;
    uint16_t insn_start[BLOCK_INSNS]; /* in code[] */
};

/* Vectors as in the manual; COMPLETED when the one instruction raised nothing. */
enum { COMPLETED = 256, HUNG = 257, FAILED = 258 };

struct changed_line {
    uint16_t line; /* of the writable memory, in LINE_BYTES */
    uint8_t bytes[LINE_BYTES];
};

struct outcome {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr2;   /* page faults only, else 0 */
    uint32_t error; /* error code, 0 where the vector has none */
    uint16_t vector;
    uint16_t cs;
    struct fpu_state fpu; /* MXCSR_MASK and reserved bytes zeroed */
    uint32_t line_count;  /* all that changed; the first LINES_KEPT are kept */
    uint64_t line_digest; /* over all of them */
    struct changed_line lines[LINES_KEPT];
};

/* ---- random.c ------------------------------------------------------------------------------- */

struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);
/* 0 to bound-1. */
static inline uint32_t random_below(struct random *random, uint32_t bound)
{
    return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}
static inline bool random_percent(struct random *random, uint32_t percent)
{
    return random_below(random, 100) < percent;
}
/* Integers as instructions like them least: bounds, powers of two, small, pointers, any. */
uint64_t random_integer(struct random *random);
/* x87 extended, double, single: zeros, denormals, infinities, NaNs, unnormals, integers, any. */
void random_extended(struct random *random, uint8_t bytes[10]);
uint64_t random_double(struct random *random);
uint32_t random_single(struct random *random);
/* An FPU image with consistent FSW; `calm`: all exceptions masked and none pending. */
void random_fpu(struct random *random, struct fpu_state *fpu, bool calm);
/* An address in or about the test memory; `calm`: mapped. */
uint64_t random_address(struct random *random, bool calm);
/* MEMORY_SIZE bytes. */
void random_memory(struct random *random, uint8_t *memory);

/* ---- outcome.c ------------------------------------------------------------------------------ */

/* Finds what differs from `initial` in the WRITABLE_SIZE bytes of `memory`, notes it and undoes it.
 */
void outcome_memory(struct outcome *outcome, uint8_t *memory, const uint8_t *initial);
/* Zeroes what is not compared. */
void outcome_fpu(struct fpu_state *fpu);

#endif
