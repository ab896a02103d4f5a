/* The running chain of state digests, and the comparison that stands on it. */
#define XXH_INLINE_ALL /* one call per event on the recorder's hot path */
#include <xxhash.h>

#include "traces/trace.h"

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

uint64_t trace_chain_step(uint64_t chain, const struct trace_check *check)
{
    uint8_t bytes[34];
    put_u64(bytes, chain);
    put_u64(bytes + 8, check->digest);
    put_u64(bytes + 16, check->address);
    put_u64(bytes + 24, check->value);
    bytes[32] = check->kind;
    bytes[33] = check->size;
    return XXH3_64bits(bytes, sizeof bytes);
}

static bool chain_differs(
    const struct trace_check *recorded, const struct trace_check *own, struct trace_chain *chain)
{
    if (recorded->starts_chunk)
        *chain = (struct trace_chain){.value = recorded->seed, .known = true};
    if (!recorded->observed)
        return false;
    bool differs = false;
    if (!own->observed) {
        chain->known = false;
    } else if (chain->known) {
        chain->value = trace_chain_step(chain->value, own);
        differs = recorded->has_chain ? chain->value != recorded->chain
                                      : (uint8_t)chain->value != recorded->chain_low;
    }
    if (recorded->has_chain)
        *chain = (struct trace_chain){.value = recorded->chain, .known = true};
    return differs;
}

unsigned trace_check_compare(const struct trace_check *recorded, const struct trace_check *own,
    bool compare_insn, struct trace_chain *chain)
{
    unsigned difference = 0;
    if (recorded->event != own->event)
        difference |= TRACE_DIFFERS_EVENT;
    if (recorded->kind != own->kind)
        difference |= TRACE_DIFFERS_KIND;
    if (recorded->address != own->address)
        difference |= TRACE_DIFFERS_ADDRESS;
    if (recorded->size != own->size)
        difference |= TRACE_DIFFERS_SIZE;
    if (recorded->value != own->value)
        difference |= TRACE_DIFFERS_VALUE;
    if (compare_insn && recorded->insn_delta != own->insn_delta)
        difference |= TRACE_DIFFERS_INSN;
    if (recorded->flags != own->flags)
        difference |= TRACE_DIFFERS_FLAGS;
    if (chain_differs(recorded, own, chain))
        difference |= TRACE_DIFFERS_STATE;
    return difference;
}
