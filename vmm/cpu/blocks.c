/* The cache of decoded blocks. */
#include "vmm/cpu/blocks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/cpu/decode.h"
#include "vmm/cpu/execute.h"
#include "vmm/cpu/native/native.h"

enum { CODE_PAGES = 1 << 16, LINE_SHIFT = 6 };

#define ARENA_SIZE (96ull << 20)

/* A page of RAM that holds decoded code. */
struct code_page {
    uint64_t lines; /* bit i: some block covers bytes of line i, 64 bytes each */
    uint64_t index; /* in page_index */
    struct block *blocks;
};

struct block block_none = {.entry_count = BLOCK_NO_ENTRY, .count = BLOCK_NO_ENTRY};

/* Zeroed pages that cost nothing until used. */
static void *map_zeroed(uint64_t size)
{
    void *area = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return area == MAP_FAILED ? NULL : area;
}

struct block_cache *blocks_create(const struct memory *memory, struct error *error)
{
    struct block_cache *cache = map_zeroed(sizeof *cache);
    if (!cache) {
        error_set(error, "software CPU: no memory for the block cache");
        return NULL;
    }
    cache->size = ARENA_SIZE;
    cache->page_index_count = memory->size / PAGE_SIZE;
    cache->arena = map_zeroed(cache->size);
    cache->pages = map_zeroed(CODE_PAGES * sizeof *cache->pages);
    cache->page_index = map_zeroed(cache->page_index_count * sizeof *cache->page_index);
    cache->page_count = 1;
    if (!cache->arena || !cache->pages || !cache->page_index) {
        blocks_destroy(cache);
        error_set(error, "software CPU: no memory for the block cache");
        return NULL;
    }
    return cache;
}

void blocks_destroy(struct block_cache *cache)
{
    if (!cache)
        return;
    if (cache->arena)
        munmap(cache->arena, cache->size);
    if (cache->pages)
        munmap(cache->pages, CODE_PAGES * sizeof *cache->pages);
    if (cache->page_index)
        munmap(cache->page_index, cache->page_index_count * sizeof *cache->page_index);
    munmap(cache, sizeof *cache);
}

void blocks_flush(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    for (unsigned i = 1; i < cache->page_count; i++)
        cache->page_index[cache->pages[i].index] = 0;
    memset(cache->heads, 0, sizeof cache->heads);
    cache->page_count = 1;
    cache->used = 0;
    if (cpu->native)
        native_flush(cpu->native);
    tlb_flush_writes(cpu);
}

/* The page's number in RAM, or UINT64_MAX. */
static uint64_t ram_page(const struct cpu *cpu, uint64_t gpa)
{
    const uint8_t *host = memory_at(cpu->memory, gpa & ~(PAGE_SIZE - 1), PAGE_SIZE);
    return host ? (uint64_t)(host - cpu->memory->host) / PAGE_SIZE : UINT64_MAX;
}

static struct code_page *code_page_find(const struct cpu *cpu, uint64_t gpa)
{
    const struct block_cache *cache = cpu->blocks;
    uint64_t page = ram_page(cpu, gpa);
    if (page == UINT64_MAX || !cache->page_index[page])
        return NULL;
    return &cache->pages[cache->page_index[page]];
}

bool blocks_page_has_code(const struct cpu *cpu, const uint8_t *host)
{
    const struct block_cache *cache = cpu->blocks;
    uint64_t page = (uint64_t)(host - cpu->memory->host) / PAGE_SIZE;
    return cache->page_index[page] && cache->pages[cache->page_index[page]].lines;
}

static uint64_t line_mask(unsigned first, unsigned last)
{
    unsigned low = first >> LINE_SHIFT, high = last >> LINE_SHIFT;
    return (UINT64_MAX >> (63 - high)) & (UINT64_MAX << low);
}

static uint64_t block_lines(const struct block *block)
{
    unsigned first = (unsigned)(block_gpa(block) % PAGE_SIZE);
    return line_mask(first, first + block->bytes - 1);
}

static void drop(struct cpu *cpu, struct block *block)
{
    struct block **link = &cpu->blocks->heads[block_hash(block->key)];
    while (*link != block)
        link = &(*link)->hash_next;
    *link = block->hash_next;
    block->dropped = true;
    block->entry_count = BLOCK_NO_ENTRY;
    native_drop(block);
    if (block == cpu->running)
        cpu->stop_requested = true;
}

/* Drops the page's blocks that overlap bytes first to last. */
static void drop_range(struct cpu *cpu, struct code_page *page, unsigned first, unsigned last)
{
    struct block **link = &page->blocks;
    if (!(page->lines & line_mask(first, last)))
        return;
    page->lines = 0;
    while (*link) {
        struct block *block = *link;
        unsigned start = (unsigned)(block_gpa(block) % PAGE_SIZE);
        if (start <= last && first < start + block->bytes) {
            *link = block->page_next;
            drop(cpu, block);
        } else {
            page->lines |= block_lines(block);
            link = &block->page_next;
        }
    }
    if (!page->lines)
        tlb_flush_writes(cpu); /* direct stores again */
}

void blocks_memory_written(struct cpu *cpu, uint64_t gpa, uint64_t size)
{
    while (size) {
        uint64_t offset = gpa % PAGE_SIZE;
        uint64_t piece = size < PAGE_SIZE - offset ? size : PAGE_SIZE - offset;
        struct code_page *page = code_page_find(cpu, gpa);
        if (page && page->lines)
            drop_range(cpu, page, (unsigned)offset, (unsigned)(offset + piece - 1));
        gpa += piece;
        size -= piece;
    }
}

void blocks_drop_offset(struct cpu *cpu, unsigned offset)
{
    for (unsigned i = 1; i < cpu->blocks->page_count; i++)
        drop_range(cpu, &cpu->blocks->pages[i], offset, offset);
}

/* Could the wanted registers be looked for at this place? */
static bool may_match_at(const struct cpu *cpu, uint64_t gpa)
{
    return cpu->match.armed && !((cpu->match.linear ^ gpa) % PAGE_SIZE);
}

/* Room for the largest block, flushing everything if need be. */
static struct block *reserve(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    uint64_t most = sizeof(struct block) + (BLOCK_MAX_OPS + 2) * sizeof(struct op);
    if (cache->used + most > cache->size || cache->page_count + 1 >= CODE_PAGES)
        blocks_flush(cpu);
    return (struct block *)(cache->arena + cache->used);
}

static void insert(struct cpu *cpu, struct block *block)
{
    struct block_cache *cache = cpu->blocks;
    uint64_t index = ram_page(cpu, block_gpa(block));
    struct block **head = &cache->heads[block_hash(block->key)];

    if (!cache->page_index[index]) {
        cache->page_index[index] = cache->page_count;
        cache->pages[cache->page_count++] = (struct code_page){.index = index};
    }
    struct code_page *page = &cache->pages[cache->page_index[index]];
    if (!page->lines)
        tlb_flush_writes(cpu);
    page->lines |= block_lines(block);
    block->page_next = page->blocks;
    page->blocks = block;
    block->hash_next = *head;
    *head = block;
}

struct block *blocks_build(struct cpu *cpu, uint64_t gpa, uint64_t rip, unsigned mode)
{
    struct block_cache *cache = cpu->blocks;
    struct block *block = reserve(cpu);
    const uint8_t *host = memory_at(cpu->memory, gpa & ~(PAGE_SIZE - 1), PAGE_SIZE);
    unsigned start = (unsigned)(gpa % PAGE_SIZE), offset = 0, count = 0, checks = 0;
    bool ended = false;

    const uint64_t linear = rip + (mode & BLOCK_CODE64 ? 0 : cpu->s.segment[SEG_CS].base);
    *block = (struct block){.key = gpa << 8 | mode,
        .may_break = points_may_break(cpu, linear),
        .match_op = BLOCK_NO_MATCH};
    while (count < BLOCK_MAX_OPS && start + offset < PAGE_SIZE && !ended) {
        struct op *op = &block->ops[count + checks];
        if (count && points_may_break(cpu, linear + offset))
            break;
        if (insn_decode(host + start + offset, (unsigned)PAGE_SIZE - start - offset,
                mode & BLOCK_CODE64, mode & BLOCK_CODE32 ? 4 : 2, cpu_is_intel(cpu),
                &op->insn) == DECODE_MORE)
            break;
        if (may_match_at(cpu, gpa + offset)) {
            op[1].insn = op->insn;
            exec_match_prepare(cpu, op++);
            op[-1].offset = (uint16_t)offset;
            op[-1].remaining = (uint16_t)count;
            block->match_op = (uint8_t)count;
            checks = 1;
        }
        op_prepare(cpu, op, mode, offset);
        op->offset = (uint16_t)offset;
        op->remaining = (uint16_t)count;
        offset += op->insn.length;
        ended = op->insn.flags & INSN_ENDS_BLOCK;
        count++;
    }
    if (!count)
        return NULL;
    for (unsigned i = 0; i < count + checks; i++)
        block->ops[i].remaining = (uint16_t)(count - block->ops[i].remaining);
    if (!ended)
        op_prepare_end(&block->ops[count + checks], mode, offset);
    block->count = count;
    block->entry_count = block->may_break ? BLOCK_NO_ENTRY : count;
    block->bytes = (uint16_t)offset;
    block->first = block->ops[0].exec;
    if (cpu->native && mode == BLOCK_CODE64 && !block->may_break && !cpu->observing_all)
        block->ops[0].exec = exec_warm;
    cache->used += (sizeof *block + (count + checks + 1) * sizeof(struct op) + 63) & ~63ull;
    insert(cpu, block);
    return block;
}
