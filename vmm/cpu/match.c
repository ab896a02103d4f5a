/*
 * Stops where given registers stand. Blocks that contain the instruction get an operation in front
 * of it that compares one register, the one that last told a pass from the wanted one (as host code
 * in native/native_match.c); the
 * dispatcher compares at every boundary where it is anyway, and a repeated string instruction stops
 * at the wanted count by itself.
 */
#include <stddef.h>
#include <string.h>

#include "vmm/cpu/execute.h"

static uint64_t linear_rip(const struct cpu *cpu, uint64_t rip)
{
    return cpu->code64 ? rip : (cpu->s.segment[SEG_CS].base + rip) & 0xffffffff;
}

static uint64_t wanted_linear(const struct vcpu_state *state)
{
    if (vcpu_in_64bit_mode(state))
        return state->rip;
    return (state->segment[SEG_CS].base + state->rip) & 0xffffffff;
}

bool match_rip(const struct cpu *cpu)
{
    return linear_rip(cpu, cpu->s.rip) == cpu->match.linear;
}

static bool flags_match(const struct cpu *cpu, uint64_t rip, uint64_t retired)
{
    const struct cpu_match *match = &cpu->match;
    return cpu_get_arithmetic(cpu) == match->arithmetic ||
           (repeat_stands_at(cpu, rip, retired) &&
               flags_to_rflags(cpu->repeat_flags) == match->arithmetic);
}

/* `retired` tells a boundary that was reported from later ones with the same registers. */
static bool matches(const struct cpu *cpu, uint64_t rip, uint64_t retired)
{
    const struct cpu_match *match = &cpu->match;
    return linear_rip(cpu, rip) == match->linear && retired != match->reported_retired &&
           memcmp(cpu->s.gpr, match->gpr, sizeof match->gpr) == 0 &&
           (!match->flags_told || flags_match(cpu, rip, retired));
}

bool match_here(struct cpu *cpu)
{
    if (!matches(cpu, cpu->s.rip, cpu->engine.retired))
        return false;
    if (!flags_match(cpu, cpu->s.rip, cpu->engine.retired))
        cpu->match.flags_told = true;
    return true;
}

__attribute__((noinline)) bool match_stops(struct cpu *cpu, const struct op *op)
{
    struct cpu_match *match = &cpu->match;
    uint64_t rip = cpu->block_rip + op->offset;
    if (matches(cpu, rip, cpu->slice_end - (uint64_t)cpu->countdown - op->remaining)) {
        cpu->countdown += op->remaining;
        cpu->s.rip = rip;
        return true;
    }
    for (uint8_t i = 0; i < 16; i++) {
        if (cpu->s.gpr[i] != match->gpr[i]) {
            match->telling = i;
            break;
        }
    }
    return false;
}

static void tell_by(const struct cpu_match *match, struct op *op)
{
    op->reg = (uint16_t)(offsetof(struct cpu, s.gpr) + match->telling * sizeof(uint64_t));
    op->immediate = match->gpr[match->telling];
}

static const struct op *exec_match(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(REG(uint64_t, op->reg) == op->immediate)) {
        if (match_stops(cpu, op))
            return NULL;
        tell_by(&cpu->match, (struct op *)(uintptr_t)op);
    }
    NEXT();
}

void exec_match_prepare(const struct cpu *cpu, struct op *op)
{
    op->exec = exec_match;
    tell_by(&cpu->match, op);
}

void match_arm(struct cpu *cpu, const struct vcpu_state *wanted)
{
    struct cpu_match *match = &cpu->match;
    if (!wanted && !match->armed)
        return;
    const bool was_armed = match->armed;
    const uint64_t old = match->linear;
    if (wanted) {
        uint64_t linear = wanted_linear(wanted);
        uint64_t arithmetic = wanted->rflags & FLAGS_ARITHMETIC;
        if (was_armed && linear == old && arithmetic == match->arithmetic &&
            memcmp(wanted->gpr, match->gpr, sizeof match->gpr) == 0)
            return;
        match->linear = linear;
        match->arithmetic = arithmetic;
        memcpy(match->gpr, wanted->gpr, sizeof match->gpr);
        match->reported_retired = UINT64_MAX;
        match->flags_told = false;
    }
    match->armed = wanted != NULL;
    if (was_armed)
        blocks_drop_offset(cpu, (unsigned)(old % PAGE_SIZE));
    if (match->armed)
        blocks_drop_offset(cpu, (unsigned)(match->linear % PAGE_SIZE));
}
