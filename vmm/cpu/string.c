/*
 * String instructions. A repeated one makes as many iterations as the slice allows in one call, and
 * each iteration is finished before the next begins: a fault, an exit or the end of the slice finds
 * the registers as after the last finished one, RIP still at the instruction.
 */
#include "vmm/cpu/flags.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/operand.h"

static uint64_t index_register(const struct cpu *cpu, const struct insn *insn, unsigned number)
{
    return cpu->s.gpr[number] & size_mask(insn->address_size);
}

/* In bytes, by DF. */
static uint64_t step(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t size = insn->operand_size;
    return cpu->s.rflags & FLAG_DF ? -size : size;
}

static void advance(struct cpu *cpu, const struct insn *insn, unsigned number, uint64_t bytes)
{
    unsigned size = insn->address_size;
    gpr_write(cpu, number, size, cpu->s.gpr[number] + bytes);
}

static uint64_t source(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    return linear_address(cpu, insn->segment, index_register(cpu, insn, RSI), size, ACCESS_READ);
}

static uint64_t destination(struct cpu *cpu, const struct insn *insn, enum access_kind kind)
{
    return linear_address(cpu, SEG_ES, index_register(cpu, insn, RDI), insn->operand_size, kind);
}

static void compare(struct cpu *cpu, const struct insn *insn, uint64_t left, uint64_t right)
{
    uint32_t flags = cpu->flags;
    HOST_BINARY("cmp", insn->operand_size, left, right, flags);
    cpu->flags = (uint16_t)flags;
}

static void movs_once(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t value = memory_load(cpu, source(cpu, insn, size), size);
    memory_store(cpu, destination(cpu, insn, ACCESS_WRITE), size, value);
    advance(cpu, insn, RSI, step(cpu, insn));
    advance(cpu, insn, RDI, step(cpu, insn));
}

static void stos_once(struct cpu *cpu, const struct insn *insn)
{
    uint64_t to = destination(cpu, insn, ACCESS_WRITE);
    memory_store(cpu, to, insn->operand_size, cpu->s.gpr[RAX]);
    advance(cpu, insn, RDI, step(cpu, insn));
}

static void lods_once(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    gpr_write(cpu, RAX, size, memory_load(cpu, source(cpu, insn, size), size));
    advance(cpu, insn, RSI, step(cpu, insn));
}

static void cmps_once(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t left, right;
    /* The order in which AMD's processors read: it decides which of two faults is raised. */
    if (insn->flags & INSN_REP && size == 1) {
        left = memory_load(cpu, source(cpu, insn, size), size);
        right = memory_load(cpu, destination(cpu, insn, ACCESS_READ), size);
    } else {
        right = memory_load(cpu, destination(cpu, insn, ACCESS_READ), size);
        left = memory_load(cpu, source(cpu, insn, size), size);
    }
    compare(cpu, insn, left, right);
    advance(cpu, insn, RSI, step(cpu, insn));
    advance(cpu, insn, RDI, step(cpu, insn));
}

static void scas_once(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    uint64_t right = memory_load(cpu, destination(cpu, insn, ACCESS_READ), size);
    compare(cpu, insn, cpu->s.gpr[RAX], right);
    advance(cpu, insn, RDI, step(cpu, insn));
}

/* May linear addresses be had by adding up offsets, no checks but the TLB's? */
static bool plain_addresses(const struct cpu *cpu, const struct insn *insn, unsigned segment)
{
    const struct segment *s = &cpu->s.segment[segment];
    if (cpu->alignment_check || insn->address_size == 2)
        return false;
    if (cpu->code64)
        return true;
    return !s->base && s->limit == 0xffffffff && (s->attributes & SEG_P) &&
           (s->attributes & (SEG_S | SEG_CODE | SEG_EXPAND_DOWN | SEG_WRITABLE)) ==
               (SEG_S | SEG_WRITABLE);
}

static uint64_t plain_linear(
    const struct cpu *cpu, const struct insn *insn, unsigned segment, unsigned number)
{
    uint64_t linear = index_register(cpu, insn, number);
    if (segment == SEG_FS || segment == SEG_GS)
        linear += cpu->s.segment[segment].base;
    return linear;
}

static uint64_t elements_in_page(uint64_t linear, unsigned size)
{
    return (PAGE_SIZE - linear % PAGE_SIZE) / size;
}

/* Forward copy, element by element: an overlap repeats what was just written. */
static void copy_elements(uint8_t *to, const uint8_t *from, uint64_t bytes, unsigned size)
{
    if (to <= from || to >= from + bytes) {
        memmove(to, from, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i += size) {
        uint64_t value;
        memcpy(&value, from + i, size);
        memcpy(to + i, &value, size);
    }
}

static void fill_elements(uint8_t *to, uint64_t value, uint64_t bytes, unsigned size)
{
    if (size == 1) {
        memset(to, (int)value, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i += size)
        memcpy(to + i, &value, size);
}

/* What is repeated: MOVS, STOS, LODS, or CMPS and SCAS. */
enum repeated { MOVES, FILLS, LOADS, COMPARES };

static bool writes_memory(enum repeated what)
{
    return what == MOVES || what == FILLS;
}

/*
 * Up to `limit` iterations of a forward MOVS or STOS inside one page of source and destination,
 * at once. Returns how many; 0 when the long way has to be gone.
 */
static uint64_t bulk(struct cpu *cpu, const struct insn *insn, enum repeated what, uint64_t limit)
{
    bool moves = what == MOVES;
    unsigned size = insn->operand_size;

    if (cpu->s.rflags & FLAG_DF || !plain_addresses(cpu, insn, SEG_ES) ||
        (moves && !plain_addresses(cpu, insn, insn->segment)))
        return 0;
    uint64_t to = plain_linear(cpu, insn, SEG_ES, RDI), count = elements_in_page(to, size);
    uint64_t from = moves ? plain_linear(cpu, insn, insn->segment, RSI) : 0;
    if (moves && elements_in_page(from, size) < count)
        count = elements_in_page(from, size);
    if (count > limit)
        count = limit;
    if (!count)
        return 0;
    unsigned bytes = (unsigned)count * size;
    uint8_t *target = direct(cpu, ACCESS_WRITE, to, bytes);
    if (!target)
        return 0;
    if (moves) {
        const uint8_t *origin = direct(cpu, ACCESS_READ, from, bytes);
        if (!origin)
            return 0;
        copy_elements(target, origin, bytes, size);
        advance(cpu, insn, RSI, bytes);
    } else {
        fill_elements(target, cpu->s.gpr[RAX], bytes, size);
    }
    advance(cpu, insn, RDI, bytes);
    return count;
}

/* Must something be seen to before the next iteration? */
static bool interrupted(const struct cpu *cpu)
{
    return cpu->countdown <= 0 || cpu->stop_requested || cpu->write_count || cpu->read_count;
}

/* Of the `count` iterations left, how many there are up to the boundary with the wanted RCX. */
static uint64_t until_match(const struct cpu *cpu, const struct insn *insn, uint64_t count)
{
    if (!cpu->match.armed || !match_rip(cpu))
        return UINT64_MAX;
    uint64_t wanted = cpu->match.gpr[RCX] & size_mask(insn->address_size);
    return wanted < count ? count - wanted : UINT64_MAX;
}

bool repeat_stands_at(const struct cpu *cpu, uint64_t rip, uint64_t retired)
{
    return cpu->repeat_retired == retired && cpu->repeat_rip == rip;
}

/*
 * With 67 in 64-bit mode Intel's processors write the registers at 32 bits when a repetition
 * begins, which clears their upper halves even where no iteration is completed: RCX, and those of
 * MOVS and STOS.
 */
static void narrow_registers(struct cpu *cpu, const struct insn *insn, enum repeated what)
{
    if (!cpu_is_intel(cpu) || insn->address_size != 4 || !cpu->code64)
        return;
    cpu->s.gpr[RCX] = (uint32_t)cpu->s.gpr[RCX];
    if (!writes_memory(what))
        return;
    cpu->s.gpr[RDI] = (uint32_t)cpu->s.gpr[RDI];
    if (what == MOVES)
        cpu->s.gpr[RSI] = (uint32_t)cpu->s.gpr[RSI];
}

/* The first iteration of a call was charged with the block; further ones are charged here. */
static void repeat(struct cpu *cpu, const struct insn *insn, insn_handler once, enum repeated what)
{
    unsigned size = insn->address_size;
    uint64_t count = index_register(cpu, insn, RCX);

    if (!(insn->flags & (INSN_REP | INSN_REPNE))) {
        once(cpu, insn);
        return;
    }
    uint64_t stop = until_match(cpu, insn, count), retired = cpu->engine.retired;
    const bool shows_last = !cpu_is_intel(cpu);
    const uint16_t before =
        shows_last && repeat_stands_at(cpu, cpu->s.rip, retired) ? cpu->repeat_flags : cpu->flags;
    narrow_registers(cpu, insn, what);
    while (count) {
        uint64_t done = 0;
        if (writes_memory(what)) {
            uint64_t room = (uint64_t)cpu->countdown + 1;
            if (stop < room)
                room = stop;
            done = bulk(cpu, insn, what, count < room ? count : room);
        }
        if (!done) {
            once(cpu, insn);
            done = 1;
        }
        count -= done;
        stop -= done;
        cpu->countdown -= (int64_t)done - 1;
        gpr_write(cpu, RCX, size, count);
        if (!count)
            return;
        if (what == COMPARES && !(cpu->flags & FLAG_ZF << 8) != !(insn->flags & INSN_REP))
            return;
        if (what == COMPARES) {
            cpu->repeat_rip = cpu->s.rip;
            cpu->repeat_retired = ++retired;
            cpu->repeat_flags = shows_last ? before : cpu->flags;
            if (!shows_last)
                cpu->flags = before; /* written when the repetition completes, even by a fault */
        }
        if (!stop || interrupted(cpu)) {
            cpu->jumped = true;       /* to itself */
            cpu->s.rflags |= FLAG_RF; /* between iterations: APM volume 2, section 3.1.6 */
            return;
        }
        cpu->countdown--;
    }
}

void op_movs(struct cpu *cpu, const struct insn *insn)
{
    repeat(cpu, insn, movs_once, MOVES);
}

void op_cmps(struct cpu *cpu, const struct insn *insn)
{
    repeat(cpu, insn, cmps_once, COMPARES);
}

void op_stos(struct cpu *cpu, const struct insn *insn)
{
    repeat(cpu, insn, stos_once, FILLS);
}

void op_lods(struct cpu *cpu, const struct insn *insn)
{
    repeat(cpu, insn, lods_once, LOADS);
}

void op_scas(struct cpu *cpu, const struct insn *insn)
{
    repeat(cpu, insn, scas_once, COMPARES);
}
