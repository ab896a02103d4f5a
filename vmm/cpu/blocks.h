/*
 * The cache of decoded blocks: runs of instructions inside one page, keyed by guest-physical
 * address and the mode bits that decoding and specialisation depend on.
 *
 * Blocks come from an arena made once; when it is full, everything is dropped. A dropped block's
 * memory stays until then, so a block being executed may be dropped safely; its `entry_count` then
 * keeps links from entering it.
 */
#ifndef VMM_CPU_BLOCKS_H
#define VMM_CPU_BLOCKS_H

#include "vmm/cpu/cpu.h"

/* Executes the operation and, in threaded builds, what follows; NULL: back to the dispatcher. */
typedef const struct op *(*op_exec)(struct cpu *cpu, const struct op *op);

/* A decoded instruction prepared for the dispatcher. Register operands are byte offsets into
 * struct cpu, so that byte registers and absent address parts need no cases. */
struct op {
    op_exec exec;
    uint64_t immediate;
    union {
        struct {
            int64_t displacement; /* RIP-relative: from the block's first instruction */
            uint64_t offset_mask; /* of the address size */
        };
        struct block *link[2]; /* branches: not taken (or next block), taken */
    };
    int64_t delta[2];      /* branches: targets less the block's RIP */
    uint16_t reg, rm;      /* register operands */
    uint16_t base, index;  /* address parts; base is block_rip when RIP-relative */
    uint16_t segment_base; /* the segment's base */
    uint8_t scale;
    uint16_t offset;    /* of the instruction in the block, in bytes */
    uint16_t remaining; /* instructions of the block from this one on, this one included */
    struct insn insn;
};

enum { BLOCK_MAX_OPS = 64, BLOCK_NO_ENTRY = 0x7fffffff, BLOCK_NO_MATCH = 0xff };

enum block_mode {
    BLOCK_CODE64 = 1 << 0,
    BLOCK_CODE32 = 1 << 1,
    BLOCK_FLAT = 1 << 2,  /* CS, DS, ES, SS have base 0 and limit 4 GiB, 32-bit stack */
    BLOCK_ALIGN = 1 << 3, /* alignment checks */
};

struct block {
    uint64_t key;         /* GPA << 8 | mode */
    uint32_t count;       /* instructions */
    uint32_t entry_count; /* the same, or BLOCK_NO_ENTRY: only the dispatcher may enter */
    uint16_t bytes;
    uint8_t match_op; /* which of `ops` looks for registers (match.c), or BLOCK_NO_MATCH */
    bool dropped;
    bool may_break; /* a breakpoint may be set on its first instruction */
    struct block *hash_next, *page_next;
    /* Host code, when there is any (native/native.h): its entry, the entry after the charge to
     * `countdown`, the way out of those refused, displacements of the jumps to other blocks, and
     * the comparison for match.c. */
    uint8_t *native, *native_body, *native_refuse, *native_links[2], *native_match;
    op_exec first; /* ops[0].exec without native code */
    unsigned heat; /* times entered by the dispatcher */
    /* count, one more where registers are looked for (match.c), and a last one that leaves unless
     * the block ends in a transfer */
    struct op ops[];
};

enum { BLOCK_HASH_BITS = 16 };

struct block_cache {
    struct block *heads[1 << BLOCK_HASH_BITS];
    uint8_t *arena;
    uint64_t used, size;
    struct code_page *pages; /* pool; 0 is not used */
    unsigned page_count;
    uint32_t *page_index; /* by page of RAM: into the pool, or 0 */
    uint64_t page_index_count;
};

static inline unsigned block_hash(uint64_t key)
{
    return (unsigned)((key * 0x9e3779b97f4a7c15u) >> (64 - BLOCK_HASH_BITS));
}

static inline struct block *block_find(const struct block_cache *cache, uint64_t key)
{
    struct block *block = cache->heads[block_hash(key)];
    while (block && block->key != key)
        block = block->hash_next;
    return block;
}

/* How many there are in `ops`, but for the one that leaves. */
static inline unsigned block_op_count(const struct block *block)
{
    return block->count + (block->match_op != BLOCK_NO_MATCH);
}

static inline uint64_t block_gpa(const struct block *block)
{
    return block->key >> 8;
}

/* A block that cannot be entered: what links point to until they are made. */
extern struct block block_none;

struct block_cache *blocks_create(const struct memory *memory, struct error *error);
void blocks_destroy(struct block_cache *cache);
/* Drops the blocks of every page that cover the byte at this offset in it; none may be under way.
 */
void blocks_drop_offset(struct cpu *cpu, unsigned offset);
/* Drops everything; no block may be under way. */
void blocks_flush(struct cpu *cpu);

/*
 * Decodes the block that starts at `gpa` (in RAM) in `mode`, whose RIP is `rip`. NULL when its
 * first instruction goes on in the next page.
 */
struct block *blocks_build(struct cpu *cpu, uint64_t gpa, uint64_t rip, unsigned mode);

/* specialize.c: fills in everything of the op but offset and remaining; `offset` is of the
 * instruction in a block that starts at `gpa`. */
void op_prepare(const struct cpu *cpu, struct op *op, unsigned mode, unsigned offset);
/* The op after the last instruction of a block that falls through. */
void op_prepare_end(struct op *op, unsigned mode, unsigned offset);

#endif
