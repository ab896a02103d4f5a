/* The host code that all translations share: ways in and out, and where branches meet. */
#include "vmm/cpu/execute.h"
#include "vmm/cpu/native/compile.h"

enum { SAVED = 6 };
static const uint8_t saved[SAVED] = {HOST_RBX, HOST_RBP, HOST_R12, HOST_R13, HOST_R14, HOST_R15};

/* In RAX and RDX: native code to go on with; else an operation for the dispatcher's forms; else
 * neither. */
struct onward {
    const uint8_t *code;
    const struct op *op;
};

/* ---- What they call ----------------------------------------------------------------------------
 */

static void leave_native(struct cpu *cpu, struct block *block)
{
    cpu->running = block;
    cpu->block_rip = cpu->code_page | block_gpa(block) % PAGE_SIZE;
}

/* Executes one instruction by its handler. True: leave. */
static uint64_t call_handler(struct cpu *cpu, const struct op *op, struct block *block)
{
    leave_native(cpu, block);
    return !exec_handler(cpu, op);
}

/* ... the last of its block. */
static void call_last_handler(struct cpu *cpu, const struct op *op, struct block *block)
{
    leave_native(cpu, block);
    exec_last_handler(cpu, op);
}

/* The register that tells has the wanted value. True: leave. */
static uint64_t call_match(struct cpu *cpu, const struct op *op, struct block *block)
{
    const uint8_t telling = cpu->match.telling;
    leave_native(cpu, block);
    if (match_stops(cpu, op))
        return true;
    if (cpu->match.telling != telling) {
        native_match_tell(cpu, block);
        emit_settle();
    }
    return false;
}

static struct onward go_to(struct cpu *cpu, struct block *block, uint64_t target)
{
    if (block->native) {
        cpu->code_page = target & ~(PAGE_SIZE - 1);
        return (struct onward){.code = block->native};
    }
    int64_t left = cpu->countdown - block->entry_count;
    if (left < 0) {
        cpu->s.rip = target;
        return (struct onward){0};
    }
    cpu->countdown = left;
    cpu->block_rip = target;
    cpu->running = block;
    return (struct onward){.op = block->ops};
}

/* Goes on at `target`, which the table of targets does not know. */
static struct onward follow(struct cpu *cpu, uint64_t target)
{
    const struct tlb_entry *entry = &cpu->tlb[ACCESS_EXECUTE][target / PAGE_SIZE % TLB_ENTRIES];
    struct block *block = NULL;
    if (entry->page == (target & ~(PAGE_SIZE - 1)))
        block = block_find(cpu->blocks, (entry->gpa | target % PAGE_SIZE) << 8 | BLOCK_CODE64);
    if (!block) {
        cpu->s.rip = target;
        return (struct onward){0};
    }
    if (block->native) {
        uint64_t gpa = block_gpa(block);
        cpu->targets[(gpa ^ gpa >> 12) % NATIVE_TARGETS] =
            (struct native_target){.gpa = gpa, .code = block->native};
    }
    return go_to(cpu, block, target);
}

/* A branch inside the page, not yet aimed: `which` as in struct op. */
static struct onward follow_link(
    struct cpu *cpu, const struct op *op, struct block *block, uint64_t which)
{
    uint64_t offset = block_gpa(block) % PAGE_SIZE + (uint64_t)op->delta[which];
    uint64_t gpa = (block_gpa(block) & ~(PAGE_SIZE - 1)) | offset;
    struct block *next = block_find(cpu->blocks, gpa << 8 | BLOCK_CODE64);
    uint64_t target = cpu->code_page | offset;
    if (!next) {
        cpu->s.rip = target;
        return (struct onward){0};
    }
    if (next->native && !block->dropped) {
        emit_aim(block->native_links[which], next->native);
        emit_settle();
    }
    emit_settle();
    return go_to(cpu, next, target);
}

/* ---- Their code --------------------------------------------------------------------------------
 */

static void emit_exchange(struct emitter *e, bool store)
{
    for (unsigned i = 0; i < 16; i++) {
        if (host_of_guest[i] == HOST_NONE)
            continue;
        if (store)
            emit_store(e, guest_slot(i), host_of_guest[i]);
        else
            emit_load(e, host_of_guest[i], guest_slot(i));
    }
}

/* The generated code calls C functions by their addresses. */
#define CALL(e, function)                                                           \
    do {                                                                            \
        emit_constant(e, HOST_RAX, (uintptr_t)(function));                          \
        emit_shape(e, (struct shape){.opcode = 0xff}, 2, place_register(HOST_RAX)); \
    } while (0)

static void emit_add_rsp(struct emitter *e, int8_t bytes)
{
    emit_wide(e, 8, 0x83, 0, place_register(HOST_RSP));
    emit_8(e, (uint8_t)bytes);
}

static void emit_return(struct emitter *e)
{
    emit_8(e, 0xc3);
}

static void emit_restore_host(struct emitter *e)
{
    emit_add_rsp(e, 8);
    for (unsigned i = SAVED; i-- > 0;) {
        if (saved[i] & 8)
            emit_8(e, 0x41);
        emit_8(e, 0x58 | (saved[i] & 7));
    }
}

static const uint8_t *emit_enter(struct emitter *e)
{
    const uint8_t *start = e->at;
    for (unsigned i = 0; i < SAVED; i++) {
        if (saved[i] & 8)
            emit_8(e, 0x41);
        emit_8(e, 0x50 | (saved[i] & 7));
    }
    emit_add_rsp(e, -8);
    emit_lea(e, 8, HOST_RBP, place_base(HOST_RDI, CPU_BIAS));
    emit_load(e, HOST_RAX, CPU_PLACE(block_rip));
    emit_wide(e, 8, 0x81, 4, place_register(HOST_RAX)); /* AND */
    emit_32(e, (uint32_t)-PAGE_SIZE);
    emit_store(e, CPU_PLACE(code_page), HOST_RAX);
    emit_load(e, HOST_RAX, CPU_PLACE(running));
    emit_load(e, HOST_RAX, place_base(HOST_RAX, offsetof(struct block, native_body)));
    emit_exchange(e, false);
    emit_shape(e, (struct shape){.opcode = 0xff}, 4, place_register(HOST_RAX)); /* JMP */
    return start;
}

/* Back to the dispatcher. */
static const uint8_t *emit_leave(struct emitter *e)
{
    const uint8_t *start = e->at;
    emit_restore_host(e);
    emit_constant(e, HOST_RAX, 0);
    emit_return(e);
    return start;
}

/* Goes on as struct onward says. */
static const uint8_t *emit_onward(struct emitter *e, const uint8_t *leave)
{
    const uint8_t *start = e->at;
    emit_wide(e, 8, 0x85, HOST_RAX, place_register(HOST_RAX)); /* TEST */
    uint8_t *none = emit_jump_if(e, 4, NULL);
    emit_exchange(e, false);
    emit_shape(e, (struct shape){.opcode = 0xff}, 4, place_register(HOST_RAX));
    emit_aim(none, e->at);
    emit_wide(e, 8, 0x85, HOST_RDX, place_register(HOST_RDX));
    emit_jump_if(e, 4, leave);
    emit_wide(e, 8, 0x89, HOST_RDX, place_register(HOST_RSI));
    emit_lea(e, 8, HOST_RDI, place_base(HOST_RBP, -CPU_BIAS));
    emit_restore_host(e);
#if EXECUTE_THREADED
    emit_shape(
        e, (struct shape){.opcode = 0xff}, 4, place_base(HOST_RSI, offsetof(struct op, exec)));
#else
    emit_wide(e, 8, 0x89, HOST_RSI, place_register(HOST_RAX));
    emit_return(e);
#endif
    return start;
}

/* RDI, RSI, RDX = cpu, op, block: from RAX, an offset into the block's ops, and RCX, the block. */
static void emit_arguments(struct emitter *e)
{
    emit_lea(e, 8, HOST_RDI, place_base(HOST_RBP, -CPU_BIAS));
    emit_lea(e, 8, HOST_RSI, place_indexed(HOST_RCX, HOST_RAX, 0, offsetof(struct block, ops)));
    emit_wide(e, 8, 0x89, HOST_RCX, place_register(HOST_RDX));
}

typedef uint64_t call(struct cpu *cpu, const struct op *op, struct block *block);

/* Called; leaves when `function` says so. */
static const uint8_t *emit_step(struct emitter *e, call *function, const uint8_t *leave)
{
    const uint8_t *start = e->at;
    emit_exchange(e, true);
    emit_arguments(e);
    emit_add_rsp(e, -8);
    CALL(e, function);
    emit_add_rsp(e, 8);
    emit_wide(e, 8, 0x85, HOST_RAX, place_register(HOST_RAX));
    uint8_t *stop = emit_jump_if(e, 5, NULL);
    emit_exchange(e, false);
    emit_return(e);
    emit_aim(stop, e->at);
    emit_add_rsp(e, 8); /* the return address */
    emit_jump(e, leave);
    return start;
}

static const uint8_t *emit_last(struct emitter *e, const uint8_t *leave)
{
    const uint8_t *start = e->at;
    emit_exchange(e, true);
    emit_arguments(e);
    CALL(e, call_last_handler);
    emit_jump(e, leave);
    return start;
}

/* R15 says which. */
static const uint8_t *emit_link(struct emitter *e, const uint8_t *onward)
{
    const uint8_t *start = e->at;
    emit_exchange(e, true);
    emit_arguments(e);
    emit_wide(e, 8, 0x89, HOST_R15, place_register(HOST_RCX));
    CALL(e, follow_link);
    emit_jump(e, onward);
    return start;
}

/* To the linear address in RAX. */
static const uint8_t *emit_follow(struct emitter *e, const uint8_t *onward)
{
    const uint8_t *start = e->at;
    emit_exchange(e, true);
    emit_lea(e, 8, HOST_RDI, place_base(HOST_RBP, -CPU_BIAS));
    emit_wide(e, 8, 0x89, HOST_RAX, place_register(HOST_RSI));
    CALL(e, follow);
    emit_jump(e, onward);
    return start;
}

/* To the linear address in RAX, whose TLB entry is at R15 and whose page is in RCX. */
static const uint8_t *emit_arrive(struct emitter *e, const uint8_t *follow_code)
{
    const uint8_t *start = e->at;
    emit_store(e, CPU_PLACE(code_page), HOST_RCX);
    emit_load(e, HOST_RCX, place_base(HOST_R15, CODE_ENTRIES + offsetof(struct tlb_entry, gpa)));
    emit_wide(e, 4, 0x89, HOST_RAX, place_register(HOST_R15));
    emit_wide(e, 4, 0x81, 4, place_register(HOST_R15));
    emit_32(e, PAGE_SIZE - 1);
    emit_wide(e, 8, 0x09, HOST_RCX, place_register(HOST_R15)); /* OR: the physical address */
    emit_wide(e, 4, 0x89, HOST_R15, place_register(HOST_RCX));
    emit_wide(e, 4, 0xc1, 5, place_register(HOST_RCX)); /* SHR */
    emit_8(e, 12);
    emit_wide(e, 4, 0x31, HOST_R15, place_register(HOST_RCX));
    emit_wide(e, 4, 0x81, 4, place_register(HOST_RCX));
    emit_32(e, NATIVE_TARGETS - 1);
    emit_wide(e, 4, 0xc1, 4, place_register(HOST_RCX)); /* SHL */
    emit_8(e, 4);
    emit_wide(e, 8, 0x03, HOST_RCX, CPU_PLACE(targets));
    emit_wide(e, 8, 0x39, HOST_R15, place_base(HOST_RCX, offsetof(struct native_target, gpa)));
    emit_jump_if(e, 5, follow_code);
    emit_shape(e, (struct shape){.opcode = 0xff}, 4,
        place_base(HOST_RCX, offsetof(struct native_target, code)));
    return start;
}

/* To the linear address in RAX. */
static const uint8_t *emit_lookup(
    struct emitter *e, const uint8_t *arrive, const uint8_t *follow_code)
{
    const uint8_t *start = e->at;
    uint8_t *miss = emit_code_entry(e);
    emit_jump(e, arrive);
    emit_aim(miss, follow_code);
    return start;
}

/* A block does not let us in: RAX is its offset in the page. */
static const uint8_t *emit_refuse(struct emitter *e, const uint8_t *leave)
{
    const uint8_t *start = e->at;
    emit_wide(e, 8, 0x03, HOST_RAX, CPU_PLACE(code_page));
    emit_store(e, CPU_PLACE(s.rip), HOST_RAX);
    emit_exchange(e, true);
    emit_jump(e, leave);
    return start;
}

void native_emit_routines(struct native *native)
{
    _Static_assert(sizeof(struct native_target) == 16, "emit_arrive() scales by it");
    struct emitter e = {.at = native->memory};
    const uint8_t *leave = emit_leave(&e), *onward = emit_onward(&e, leave);
    native->enter = emit_enter(&e);
    native->step = emit_step(&e, call_handler, leave);
    native->match = emit_step(&e, call_match, leave);
    native->last = emit_last(&e, leave);
    native->link = emit_link(&e, onward);
    native->follow = emit_follow(&e, onward);
    native->arrive = emit_arrive(&e, native->follow);
    native->lookup = emit_lookup(&e, native->arrive, native->follow);
    native->refuse = emit_refuse(&e, leave);
    native->routines = native->used = (size_t)(e.at - native->memory + 63) & ~(size_t)63;
}
