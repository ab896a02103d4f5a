/* The dispatcher: boundaries between instructions, and how blocks and single steps are run. */
#include "vmm/cpu/execute.h"
#include "vmm/cpu/stores.h"
#include "vmm/cpu/wait.h"

#include <string.h>

#include "vmm/cpu/decode.h"
#include "vmm/cpu/decode_table.h"
#include "vmm/cpu/dispatch.h"
#include "vmm/cpu/native/native.h"
#include "vmm/cpu/system.h"

enum {
    SLICE = 65536, /* instructions between looks at the kick flag */
    DELIVERIES_AT_MOST = 1 << 18
};

#define DR6_BREAKPOINTS 0xfull
#define DR6_SINGLE_STEP (1ull << 14)
#define DR6_FIXED       0xffff0ff0ull

void op_undefined(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu_raise(cpu, VECTOR_UD);
}

void op_too_long(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* ---- Forms for any instruction -------------------------------------------------------------- */

/* Where stores wait in buffers, some instructions find them empty and leave them so. */
static inline void call_handler(struct cpu *cpu, const struct insn *insn)
{
    if (UNLIKELY(cpu->observer.access != NULL))
        watch_instruction(cpu, insn);
    bool ordered = UNLIKELY(cpu->stores != NULL) && stores_are_ordered_by(insn);
    if (ordered)
        stores_drain(cpu);
    insn->handler(cpu, insn);
    if (ordered)
        stores_drain(cpu);
}

static inline void run_handler(struct cpu *cpu, const struct op *op)
{
    cpu->current = op;
    cpu->s.rip = cpu->block_rip + op->offset;
    cpu->engine.retired = cpu->slice_end - (uint64_t)cpu->countdown - op->remaining;
    call_handler(cpu, &op->insn);
}

bool exec_handler(struct cpu *cpu, const struct op *op)
{
    run_handler(cpu, op);
    if (UNLIKELY(cpu->stop_requested | cpu->jumped | (cpu->write_count != 0))) {
        cpu->countdown += op->remaining - 1;
        if (!cpu->jumped)
            cpu->s.rip += op->insn.length;
        cpu->jumped = false;
        return false;
    }
    return true;
}

void exec_last_handler(struct cpu *cpu, const struct op *op)
{
    run_handler(cpu, op);
    if (!cpu->jumped)
        cpu->s.rip += op->insn.length;
    cpu->jumped = false;
}

const struct op *exec_generic(struct cpu *cpu, const struct op *op)
{
    if (UNLIKELY(!exec_handler(cpu, op)))
        return NULL;
    NEXT();
}

const struct op *exec_generic_end(struct cpu *cpu, const struct op *op)
{
    exec_last_handler(cpu, op);
    return NULL;
}

/* ---- Between instructions ------------------------------------------------------------------- */

static void settle(struct cpu *cpu)
{
    cpu->current = NULL;
    cpu->running = NULL;
    cpu->stop_requested = false;
    cpu->engine.retired = cpu->slice_end - (uint64_t)cpu->countdown;
    if (!cpu->code64)
        cpu->s.rip &= 0xffffffff;
}

/*
 * A handler that faults itself makes no progress, yet need not end in a triple fault; as it retires
 * nothing, no budget would ever end the run either.
 */
static void bound_deliveries(struct cpu *cpu)
{
    if (cpu->delivery_retired != cpu->engine.retired) {
        cpu->delivery_retired = cpu->engine.retired;
        cpu->delivery_count = 0;
    }
    if (++cpu->delivery_count < DELIVERIES_AT_MOST)
        return;
    error_set(&cpu->failure,
        "the guest raises exceptions endlessly without executing an instruction: vector %u at "
        "RIP %#llx",
        cpu->fault_vector, (unsigned long long)cpu->s.rip);
    cpu->delivery_failed = true;
}

static void count_delivery(struct cpu *cpu)
{
    struct engine *engine = &cpu->engine;
    engine->delivered = engine_delivered(engine) + 1;
    engine->delivered_retired = engine->retired;
}

static void deliver(struct cpu *cpu)
{
    bound_deliveries(cpu);
    cpu->match.reported_retired = UINT64_MAX; /* the handler may begin with the same registers */
    if (!cpu_deliver_exception(cpu))
        cpu->shutdown = true;
    else
        count_delivery(cpu);
    cpu->jumped = false;
}

static void deliver_debug(struct cpu *cpu, uint64_t bits)
{
    /* APM volume 2, 13.1.1.3: B0 to B3 tell of this exception, the others stay until written. */
    cpu->s.dr6 = (cpu->s.dr6 & ~DR6_BREAKPOINTS) | bits | DR6_FIXED;
    cpu->fault_vector = VECTOR_DB;
    cpu->fault_has_error = false;
    cpu->fault_error = 0;
    deliver(cpu);
}

/*
 * MOV SS and POP SS put their own data breakpoints off to the end of the next instruction (APM
 * volume 3, MOV): until then they are pending, under the shadow.
 */
static void hold_debug(struct cpu *cpu, uint64_t bits)
{
    cpu->s.dr6 = (cpu->s.dr6 & ~DR6_BREAKPOINTS) | bits | DR6_FIXED;
    cpu->s.exception_pending = true;
    cpu->s.exception_vector = VECTOR_DB;
    cpu->s.exception_has_error = false;
}

static bool debug_is_held(const struct cpu *cpu)
{
    return cpu->s.mov_ss_shadow && cpu->s.exception_vector == VECTOR_DB;
}

/* The breakpoints put off, at the end of the next instruction; INT1 has raised #DB already. */
static uint64_t release_debug(struct cpu *cpu, const struct insn *insn)
{
    if (!cpu->s.exception_pending)
        return 0;
    cpu->s.exception_pending = false;
    return insn_has_trait(insn, TRAIT_DEBUG) ? 0 : cpu->s.dr6 & DR6_BREAKPOINTS;
}

/* What the instruction just finished has left to do; `traps` are further DR6 bits. */
static void finish_instruction(struct cpu *cpu, uint64_t traps)
{
    cpu->read_count = cpu->read_next = 0;
    traps |= cpu->debug_hits;
    cpu->debug_hits = 0;
    if (!traps)
        return;
    if (cpu->s.mov_ss_shadow) {
        hold_debug(cpu, traps);
        return;
    }
    /* A trap belongs to its instruction: no boundary lies before its delivery. */
    const struct engine before = cpu->engine;
    deliver_debug(cpu, traps);
    cpu->engine.delivered = before.delivered;
    cpu->engine.delivered_retired = before.delivered_retired;
}

bool cpu_interruptible(const struct cpu *cpu)
{
    return cpu->s.rflags & FLAG_IF && !cpu->s.sti_shadow && !cpu->s.mov_ss_shadow &&
           !cpu->s.exception_pending && !cpu->shutdown;
}

/* The execution breakpoints here, by bit. */
static uint64_t at_breakpoint(const struct cpu *cpu)
{
    uint64_t base = cpu->code64 ? 0 : cpu->s.segment[SEG_CS].base;
    if (cpu->breakpoint_rip == cpu->s.rip && cpu->breakpoint_retired == cpu->engine.retired)
        return 0;
    return points_at(cpu, base + cpu->s.rip);
}

/* After a fault's delivery the count of instructions is still that of the place before it, and a
 * stop here could not be found again by count. */
static bool has_own_count(const struct cpu *cpu)
{
    return engine_delivered(&cpu->engine) == 0;
}

static bool is_window(const struct cpu *cpu, const struct run_request *request)
{
    if (request->stop_for_nmi && vcpu_takes_nmi(&cpu->s) && has_own_count(cpu))
        return true;
    return request->stop_when_interruptible && cpu_interruptible(cpu) && has_own_count(cpu) &&
           (!request->stop_below_cr8 || cpu->s.cr8 < request->stop_below_cr8);
}

/* Does the run end here? */
/* Instructions until ring 3 has gone on for as long as the run request lets it. */
static uint64_t user_left(const struct cpu *cpu)
{
    if (!cpu->user_budget || cpu->cpl != 3)
        return UINT64_MAX;
    const uint64_t done = cpu->engine.retired - cpu->user_since;
    return done < cpu->user_budget ? cpu->user_budget - done : 0;
}

static bool boundary(
    struct cpu *cpu, const struct run_request *request, uint64_t end, struct vcpu_exit *exit)
{
    if (cpu_report_access(cpu, exit))
        return true;
    exit->kind = EXIT_KIND_COUNT;
    if (cpu->shutdown) {
        exit->kind = EXIT_SHUTDOWN;
    } else if (cpu->watching_anything && watch_take(cpu, exit)) {
        return true;
    } else if (cpu->s.halted) {
        exit->kind = EXIT_HLT;
    } else if (cpu->match.armed && match_here(cpu)) {
        cpu->match.reported_retired = cpu->engine.retired;
        exit->kind = EXIT_MATCH;
    } else if (is_window(cpu, request)) {
        exit->kind = EXIT_WINDOW;
    } else if (cpu->paused && has_own_count(cpu)) {
        exit->kind = EXIT_WAIT;
    } else if (cpu->engine.retired >= end || !user_left(cpu)) {
        exit->kind = EXIT_BUDGET;
    } else if (cpu->kicked && has_own_count(cpu)) {
        cpu->kicked = 0;
        exit->kind = EXIT_KICK;
    }
    return exit->kind != EXIT_KIND_COUNT;
}

/* ---- One instruction at a time -------------------------------------------------------------- */

static _Noreturn void stop_outside_ram(struct cpu *cpu, uint64_t gpa)
{
    error_set(&cpu->failure,
        "not implemented: execution outside RAM, at physical address %#llx (RIP %#llx)",
        (unsigned long long)gpa, (unsigned long long)cpu->s.rip);
    longjmp(*cpu->escape, CPU_JUMP_STOP);
}

static const uint8_t *fetch_page(struct cpu *cpu, uint64_t linear, uint64_t *gpa)
{
    *gpa = cpu_fetch_page(cpu, linear) & ~(PAGE_SIZE - 1);
    const uint8_t *host = memory_at(cpu->memory, *gpa, PAGE_SIZE);
    if (!host)
        stop_outside_ram(cpu, *gpa);
    return host;
}

static uint64_t code_linear(const struct cpu *cpu, uint64_t rip)
{
    return cpu->code64 ? rip : (cpu->s.segment[SEG_CS].base + rip) & 0xffffffff;
}

static void check_rip(struct cpu *cpu, unsigned length)
{
    const struct segment *cs = &cpu->s.segment[SEG_CS];
    uint64_t last = cpu->s.rip + length - 1;
    if (cpu->code64 ? (uint64_t)((int64_t)(cpu->s.rip << 16) >> 16) != cpu->s.rip
                    : last > cs->limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* Decodes the instruction at RIP, wherever it lies; faults of the fetch are raised. */
static void fetch_instruction(struct cpu *cpu, struct insn *insn)
{
    uint64_t linear, gpa;
    uint8_t bytes[2 * INSN_MAX_LENGTH];

    check_rip(cpu, 1);
    linear = code_linear(cpu, cpu->s.rip);
    unsigned offset = (unsigned)(linear % PAGE_SIZE), first = (unsigned)PAGE_SIZE - offset;
    const uint8_t *host = fetch_page(cpu, linear, &gpa);
    if (cpu->stores)
        stores_before_fetch(cpu, gpa);
    if (insn_decode(host + offset, first, cpu->code64, cpu->code_size, cpu_is_intel(cpu), insn) ==
        DECODE_MORE) {
        memcpy(bytes, host + offset, first);
        linear = code_linear(cpu, cpu->s.rip + first);
        host = fetch_page(cpu, linear, &gpa);
        if (cpu->stores)
            stores_before_fetch(cpu, gpa);
        memcpy(bytes + first, host, INSN_MAX_LENGTH);
        insn_decode(
            bytes, first + INSN_MAX_LENGTH, cpu->code64, cpu->code_size, cpu_is_intel(cpu), insn);
    }
    check_rip(cpu, insn->length);
}

/* DR6 bits of the instruction breakpoints at RIP. */
static uint64_t instruction_breakpoints(const struct cpu *cpu)
{
    uint64_t linear = code_linear(cpu, cpu->s.rip), hits = 0;
    for (unsigned i = 0; i < 4; i++) {
        if ((cpu->s.dr7 >> (2 * i) & 3) && !(cpu->s.dr7 >> (16 + 4 * i) & 3) &&
            cpu->s.dr[i] == linear)
            hits |= 1ull << i;
    }
    return hits;
}

/* DR6 bits of the I/O breakpoints that the instruction hits. */
static uint64_t port_breakpoints(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t hits = 0;
    if (!(cpu->s.cr4 & CR4_DE) || !insn_has_trait(insn, TRAIT_PORT))
        return 0;
    bool immediate = insn->opcode >= 0xe4 && insn->opcode < 0xe8;
    uint64_t port = immediate ? insn->immediate : cpu->s.gpr[RDX] & 0xffff;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t control = cpu->s.dr7 >> (16 + 4 * i) & 15, length = control >> 2;
        uint64_t first = cpu->s.dr[i] & ~(length == 2 ? 7 : length), size = length + 1;
        if ((cpu->s.dr7 >> (2 * i) & 3) && (control & 3) == 2 && port < first + size &&
            first < port + insn->operand_size)
            hits |= 1ull << i;
    }
    return hits;
}

/* Has TF of before the instruction no trap at its end? An INTO that does nothing has one. */
static bool loses_trap(const struct cpu *cpu, const struct insn *insn, bool jumped)
{
    return (jumped && insn_has_trait(insn, TRAIT_INTERRUPT)) || cpu->s.mov_ss_shadow ||
           (insn_has_trait(insn, TRAIT_LOADS_TF) && !(cpu->s.rflags & FLAG_TF));
}

void cpu_step(struct cpu *cpu)
{
    static const struct op one = {.remaining = 1};
    bool again = cpu->read_count; /* executed again with the value of a read */
    struct insn insn;

    cpu->countdown = 1;
    cpu->slice_end = cpu->engine.retired + 1;
    cpu->current = NULL;
    if (!again && !(cpu->s.rflags & FLAG_RF)) {
        uint64_t hits = instruction_breakpoints(cpu);
        if (hits) { /* AMD's do not wait for the end of MOV SS's shadow */
            deliver_debug(
                cpu, hits | (cpu->s.exception_pending ? cpu->s.dr6 & DR6_BREAKPOINTS : 0));
            cpu->s.exception_pending = false;
            settle(cpu);
            return;
        }
    }
    fetch_instruction(cpu, &insn);

    bool trap = cpu->s.rflags & FLAG_TF;
    uint64_t hits = port_breakpoints(cpu, &insn);
    cpu->s.rflags &= ~FLAG_RF;
    cpu->s.sti_shadow = cpu->s.mov_ss_shadow = false;
    cpu->countdown = 0;
    cpu->current = &one;
    cpu->read_next = 0;
    call_handler(cpu, &insn);
    bool jumped = cpu->jumped;
    if (!jumped)
        cpu->s.rip += insn.length;
    cpu->jumped = false;
    settle(cpu);
    if (loses_trap(cpu, &insn, jumped))
        trap = false;
    hits |= release_debug(cpu, &insn);
    finish_instruction(cpu, hits | (trap ? DR6_SINGLE_STEP : 0));
}

/* ---- Blocks --------------------------------------------------------------------------------- */

static bool flat_data(const struct segment *s)
{
    return !s->base && s->limit == 0xffffffff && (s->attributes & SEG_P) &&
           (s->attributes & (SEG_S | SEG_CODE | SEG_EXPAND_DOWN | SEG_WRITABLE)) ==
               (SEG_S | SEG_WRITABLE);
}

static unsigned block_mode(struct cpu *cpu)
{
    const struct segment *segment = cpu->s.segment;
    unsigned mode = cpu->code64 ? BLOCK_CODE64 : cpu->code_size == 4 ? BLOCK_CODE32 : 0;

    cpu->alignment_check = cpu->cpl == 3 && cpu->s.rflags & FLAG_AC && cpu->s.cr0 & CR0_AM;
    if (cpu->alignment_check)
        mode |= BLOCK_ALIGN;
    cpu->sse_ready = !(cpu->s.cr0 & (CR0_EM | CR0_TS)) && (cpu->s.cr4 & CR4_OSFXSR);
    if (mode & BLOCK_CODE32 && cpu->stack_size == 4 && cpu->s.cr0 & CR0_PE &&
        !segment[SEG_CS].base && segment[SEG_CS].limit == 0xffffffff &&
        flat_data(&segment[SEG_DS]) && flat_data(&segment[SEG_ES]) && flat_data(&segment[SEG_SS]) &&
        (segment[SEG_CS].attributes & SEG_WRITABLE))
        mode |= BLOCK_FLAT;
    return mode;
}

static struct block *find_block(struct cpu *cpu, unsigned mode)
{
    check_rip(cpu, 1);
    uint64_t linear = code_linear(cpu, cpu->s.rip), gpa;
    const struct tlb_entry *entry = &cpu->tlb[ACCESS_EXECUTE][linear / PAGE_SIZE % TLB_ENTRIES];

    if ((entry->page & ~TLB_SLOW) == (linear & ~(PAGE_SIZE - 1)))
        gpa = entry->gpa;
    else
        fetch_page(cpu, linear, &gpa);
    gpa |= linear % PAGE_SIZE;
    if (cpu->stores)
        stores_before_fetch(cpu, gpa);
    struct block *block = block_find(cpu->blocks, gpa << 8 | mode);
    if (block)
        return block;
    if (!memory_at(cpu->memory, gpa & ~(PAGE_SIZE - 1), PAGE_SIZE))
        stop_outside_ram(cpu, gpa);
    return blocks_build(cpu, gpa, cpu->s.rip, mode);
}

static void run_block(struct cpu *cpu, struct block *block)
{
    const struct op *op = block->ops;

    cpu->countdown -= block->count;
    cpu->block_rip = cpu->s.rip;
    cpu->running = block;
#if EXECUTE_THREADED
    op->exec(cpu, op);
#else
    while (op)
        op = op->exec(cpu, op);
#endif
    settle(cpu);
    finish_instruction(cpu, 0);
}

/* Debug registers take effect through the TLB (data) and by stepping (the rest). */
static void follow_debug_registers(struct cpu *cpu)
{
    uint64_t now[5] = {
        cpu->s.dr[0], cpu->s.dr[1], cpu->s.dr[2], cpu->s.dr[3], cpu->s.dr7 & 0xffff00ff};
    if (!memcmp(now, cpu->debug_seen, sizeof now))
        return;
    memcpy(cpu->debug_seen, now, sizeof now);
    cpu->debug_stepping = false;
    for (unsigned i = 0; i < 4; i++) {
        if ((now[4] >> (2 * i) & 3) && !(now[4] >> (16 + 4 * i) & 1))
            cpu->debug_stepping = true;
    }
    tlb_flush_all(cpu);
}

/*
 * Executes something: a block and what it is linked to, or one instruction. `waits`: something can
 * go on at the next boundary with a count of its own. That is the next one, unless its instruction
 * faults; a whole slice may end in a fault again, every time.
 */
static void advance(struct cpu *cpu, uint64_t end, bool waits)
{
    unsigned mode = block_mode(cpu);

    follow_debug_registers(cpu);
    if (!cpu->debug_stepping)
        cpu->s.rflags &= ~FLAG_RF; /* holds off instruction breakpoints alone */
    if (cpu->s.rflags & (FLAG_TF | FLAG_RF) || cpu->s.sti_shadow || cpu->s.mov_ss_shadow ||
        cpu->debug_stepping || cpu->read_count || waits) {
        cpu_step(cpu);
        return;
    }
    uint64_t left = end - cpu->engine.retired;
    if (cpu->stop_at_wait && wait_left(cpu) < left)
        left = wait_left(cpu);
    if (user_left(cpu) < left)
        left = user_left(cpu);
    cpu->countdown = left < SLICE ? (int64_t)left : SLICE;
    cpu->slice_end = cpu->engine.retired + (uint64_t)cpu->countdown;
    if (cpu->native && cpu->native->full)
        blocks_flush(cpu);
    struct block *block = find_block(cpu, mode);
    /* A stop is wanted already when fetching changed a watched page table. */
    if (!block || block->count > cpu->countdown || cpu->stop_requested ||
        (!cpu->code64 && cpu->s.rip + block->bytes - 1 > cpu->s.segment[SEG_CS].limit))
        cpu_step(cpu);
    else
        run_block(cpu, block);
}

/* The run loop came back from an instruction by longjmp; false when the machine cannot go on. */
static bool escaped(struct cpu *cpu, int reason)
{
    if (cpu->current)
        cpu->countdown += cpu->current->remaining;
    cpu->jumped = false;
    settle(cpu);
    wait_give_up(cpu);
    cpu->debug_hits = 0;
    cpu->access_hit.hits = 0;
    if (cpu->observer.abandon)
        cpu->observer.abandon(cpu->observer.context);
    cpu->write_count = cpu->write_next = 0;
    if (reason == CPU_JUMP_STOP)
        return false;
    if (reason == CPU_JUMP_FAULT) {
        cpu->s.sti_shadow = cpu->s.mov_ss_shadow = false;
        cpu->read_count = cpu->read_next = 0;
        deliver(cpu);
    } else {
        cpu->access_waiting = true;
    }
    return true;
}

bool cpu_finish_read(struct cpu *cpu)
{
    jmp_buf escape;
    int reason = setjmp(escape);

    cpu->escape = &escape;
    if (!reason)
        cpu_step(cpu);
    else if (!escaped(cpu, reason))
        return false;
    return true;
}

int cpu_run(
    struct cpu *cpu, const struct run_request *request, struct vcpu_exit *exit, struct error *error)
{
    jmp_buf escape;
    uint64_t start = cpu->engine.retired;
    const uint64_t end =
        request->budget > UINT64_MAX - start ? UINT64_MAX : start + request->budget;

    match_arm(cpu, request->match);
    cpu->stop_at_wait = request->stop_at_wait;
    cpu->user_budget = request->user_budget;
    cpu->paused = false;
    int reason = setjmp(escape);
    cpu->escape = &escape;
    if (reason && !escaped(cpu, reason)) {
        exit->kind = EXIT_ERROR;
        return error_set(error, "%s", cpu->failure.text);
    }
    while (!boundary(cpu, request, end, exit)) {
        if (cpu->delivery_failed) {
            exit->kind = EXIT_ERROR;
            return error_set(error, "%s", cpu->failure.text);
        }
        if (cpu->s.exception_pending && !debug_is_held(cpu)) {
            cpu->s.exception_pending = false;
            cpu->fault_vector = cpu->s.exception_vector;
            cpu->fault_has_error = cpu->s.exception_has_error;
            cpu->fault_error = cpu->s.exception_error;
            cpu->fault_address = cpu->s.cr2;
            deliver(cpu);
            continue;
        }
        uint64_t hits = cpu->breakpoint_count ? at_breakpoint(cpu) : 0;
        if (hits) {
            cpu->breakpoint_rip = cpu->s.rip;
            cpu->breakpoint_retired = cpu->engine.retired;
            exit->kind = EXIT_BREAKPOINT;
            exit->address = code_linear(cpu, cpu->s.rip);
            exit->hits = hits;
            return 0;
        }
        if (cpu->stop_at_wait && wait_look(cpu))
            continue;
        bool wanted = cpu->kicked || request->stop_when_interruptible;
        advance(cpu, end, wanted && !has_own_count(cpu));
    }
    return 0;
}
