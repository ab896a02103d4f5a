/* Translates a block: its frame, and what every instruction needs. */
#include "vmm/cpu/native/compile.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/cpu/decode_table.h"
#include "vmm/cpu/execute.h"
#include "vmm/cpu/flags.h"

enum { ROOM_PER_OP = 384, ROOM_PER_BLOCK = 512 }; /* bytes of host code at most */
#define CODE_SIZE EMIT_WRITABLE

/* Encodings want RDX where MUL and DIV put it, and no guest register that is often a base in RSP or
 * RBP; the rest is chance. */
const uint8_t host_of_guest[16] = {
    [RAX] = HOST_R14,
    [RCX] = HOST_R13,
    [RDX] = HOST_RDX,
    [RBX] = HOST_RBX,
    [RSP] = HOST_R12,
    [RBP] = HOST_R11,
    [RSI] = HOST_RSI,
    [RDI] = HOST_RDI,
    [R8] = HOST_R8,
    [R9] = HOST_R9,
    [R10] = HOST_R10,
    [R11] = HOST_NONE,
    [R12] = HOST_NONE,
    [R13] = HOST_NONE,
    [R14] = HOST_NONE,
    [R15] = HOST_NONE,
};

/* ---- Places ---------------------------------------------------------------------------------- */

struct place guest_place(unsigned number)
{
    if (host_of_guest[number] == HOST_NONE)
        return guest_slot(number);
    return place_register(host_of_guest[number]);
}

struct place operand_place(struct compile *c, unsigned number, unsigned size)
{
    if (size != 1 || !is_high_byte(c->insn, number))
        return guest_place(number);
    struct place slot = guest_slot(number & 3);
    emit_store(&c->e, slot, host_of_guest[number & 3]);
    slot.displacement++;
    return slot;
}

void operand_written(struct compile *c, unsigned number, unsigned size)
{
    if (size == 1 && is_high_byte(c->insn, number))
        emit_load(&c->e, host_of_guest[number & 3], guest_slot(number & 3));
}

unsigned operand_in_register(struct compile *c, unsigned number, unsigned size)
{
    struct place place = operand_place(c, number, size);
    if (place_is_register(place))
        return place.base;
    emit_sized(&c->e, size, 0x8a, HOST_RCX, place);
    return HOST_RCX;
}

void operand_set(struct compile *c, unsigned number, unsigned size, unsigned reg)
{
    struct place place = operand_place(c, number, size);
    if (size == 4 && !place_is_register(place)) {
        emit_wide(&c->e, 4, 0x89, reg, place_register(HOST_RCX));
        emit_store(&c->e, place, HOST_RCX);
    } else {
        emit_sized(&c->e, size, 0x88, reg, place);
    }
    operand_written(c, number, size);
}

unsigned guest_in_register(struct compile *c, unsigned number, unsigned scratch)
{
    if (host_of_guest[number] != HOST_NONE)
        return host_of_guest[number];
    emit_load(&c->e, scratch, guest_slot(number));
    return scratch;
}

void guest_set(struct compile *c, unsigned number, unsigned reg)
{
    emit_store(&c->e, guest_place(number), reg);
}

/* ---- Escapes --------------------------------------------------------------------------------- */

void escape_at(struct compile *c, uint8_t *displacement)
{
    c->escapes[c->escape_count++] =
        (struct escape){.displacement = displacement, .number = (uint8_t)c->number};
}

void escape_if(struct compile *c, unsigned condition)
{
    escape_at(c, emit_jump_if(&c->e, condition, NULL));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Constants of addresses are 32 bits wide. */
static bool address_fits(const struct block *block, const struct op *op)
{
    const struct insn *insn = &op->insn;
    int64_t displacement = insn->displacement;
    if (insn->flags & INSN_RIP_RELATIVE)
        displacement += (int64_t)(block_gpa(block) % PAGE_SIZE) + op->offset + insn->length;
    return !(insn->flags & INSN_MEMORY) || fits_32(displacement);
}

static struct place address_place(struct compile *c)
{
    const struct insn *insn = c->insn;
    int32_t displacement = (int32_t)insn->displacement;
    if (insn->flags & INSN_RIP_RELATIVE) {
        emit_load(&c->e, HOST_RAX, CPU_PLACE(code_page));
        displacement += (int32_t)(block_gpa(c->block) % PAGE_SIZE) + c->op->offset + insn->length;
        return place_base(HOST_RAX, displacement);
    }
    if (insn->index == NO_REGISTER)
        return place_base(guest_in_register(c, insn->base, HOST_RAX), displacement);
    unsigned index = guest_in_register(c, insn->index, HOST_RCX);
    if (insn->base == NO_REGISTER)
        return place_scaled(index, insn->scale, displacement);
    unsigned base = guest_in_register(c, insn->base, HOST_RAX);
    return place_indexed(base, index, insn->scale, displacement);
}

unsigned effective_address(struct compile *c, bool linear)
{
    const struct insn *insn = c->insn;
    bool segment = linear && (insn->segment == SEG_FS || insn->segment == SEG_GS);
    unsigned result = HOST_RAX;

    if (insn->base == NO_REGISTER && insn->index == NO_REGISTER &&
        !(insn->flags & INSN_RIP_RELATIVE)) {
        uint64_t offset = (uint64_t)insn->displacement & size_mask(insn->address_size);
        emit_constant(&c->e, HOST_RAX, offset);
    } else {
        struct place place = address_place(c);
        if (place.kind == PLACE_BASE && !place.displacement && insn->address_size == 8)
            result = place.base;
        else
            emit_lea(&c->e, insn->address_size, HOST_RAX, place);
    }
    if (segment) {
        if (result != HOST_RAX)
            emit_wide(&c->e, 8, 0x89, result, place_register(HOST_RAX));
        result = HOST_RAX;
        emit_wide(&c->e, 8, 0x03, HOST_RAX,
            cpu_place(offsetof(struct cpu, s.segment) + insn->segment * sizeof(struct segment) +
                      offsetof(struct segment, base)));
    }
    return result;
}

enum { ENTRY_SHIFT = 5, PAGE_SHIFT = 12 };
_Static_assert(sizeof(struct tlb_entry) == 1 << ENTRY_SHIFT, "entries are found by a shift");

/* R15 = cpu->tlb, advanced to the entry of the page that `linear` is in. */
static void emit_entry(struct emitter *e, unsigned linear)
{
    emit_wide(e, 8, 0x89, linear, place_register(HOST_R15));
    emit_wide(e, 8, 0xc1, 5, place_register(HOST_R15)); /* SHR */
    emit_8(e, PAGE_SHIFT - ENTRY_SHIFT);
    emit_wide(e, 4, 0x81, 4, place_register(HOST_R15)); /* AND */
    emit_32(e, (TLB_ENTRIES - 1) << ENTRY_SHIFT);
    emit_wide(e, 8, 0x03, HOST_R15, CPU_PLACE(tlb));
}

/* RCX &= the mask of a page's address; CMP RCX, page of the entry. */
static void emit_compare_page(struct emitter *e, int32_t entries)
{
    emit_wide(e, 8, 0x81, 4, place_register(HOST_RCX));
    emit_32(e, (uint32_t)-PAGE_SIZE);
    emit_wide(e, 8, 0x3b, HOST_RCX,
        place_base(HOST_R15, entries + (int32_t)offsetof(struct tlb_entry, page)));
}

struct place memory_at_linear(
    struct compile *c, unsigned linear, unsigned size, enum access_kind kind)
{
    int32_t entries = (int32_t)(kind * TLB_ENTRIES * sizeof(struct tlb_entry));
    flags_leave_host(c);
    emit_entry(&c->e, linear);
    /* The last byte's page never is in the first byte's entry when the access crosses. */
    emit_lea(&c->e, 8, HOST_RCX, place_base(linear, (int32_t)size - 1));
    emit_compare_page(&c->e, entries);
    escape_if(c, 5);
    emit_load(&c->e, HOST_R15,
        place_base(HOST_R15, entries + (int32_t)offsetof(struct tlb_entry, addend)));
    c->rax_busy = linear == HOST_RAX;
    return place_indexed(HOST_R15, linear, 0, 0);
}

struct place memory_operand(struct compile *c, unsigned size, enum access_kind kind)
{
    flags_leave_host(c);
    return memory_at_linear(c, effective_address(c, true), size, kind);
}

uint8_t *emit_code_entry(struct emitter *e)
{
    emit_entry(e, HOST_RAX);
    emit_wide(e, 8, 0x89, HOST_RAX, place_register(HOST_RCX));
    emit_compare_page(e, CODE_ENTRIES);
    return emit_jump_if(e, 5, NULL);
}

/* ---- Flags ----------------------------------------------------------------------------------- */

void flags_save(struct compile *c)
{
    if (c->flags_in_cpu)
        return;
    emit_8(&c->e, 0x9f);                                                              /* LAHF */
    emit_shape(&c->e, (struct shape){.opcode = 0x0f90}, 0, place_register(HOST_RAX)); /* SETO AL */
    emit_wide(&c->e, 2, 0x89, HOST_RAX, CPU_PLACE(flags));
    c->flags_in_cpu = true;
}

void flags_leave_host(struct compile *c)
{
    flags_save(c);
    c->flags_in_host = false;
}

static void emit_load_flags(struct emitter *e)
{
    emit_wide(e, 4, 0x0fb7, HOST_RAX, CPU_PLACE(flags)); /* MOVZX */
    emit_8(e, 0x04);                                     /* ADD AL, 127: OF */
    emit_8(e, 127);
    emit_8(e, 0x9e); /* SAHF */
}

void flags_enter_host(struct compile *c)
{
    if (c->flags_in_host)
        return;
    if (c->rax_busy)
        emit_wide(&c->e, 8, 0x89, HOST_RAX, place_register(HOST_RCX));
    emit_load_flags(&c->e);
    if (c->rax_busy)
        emit_wide(&c->e, 8, 0x89, HOST_RCX, place_register(HOST_RAX));
    c->flags_in_host = true;
}

void flags_enter_carry(struct compile *c)
{
    if (c->flags_in_host)
        return;
    emit_wide(&c->e, 2, 0x0fba, 4, CPU_PLACE(flags)); /* BT: CF is bit 8 */
    emit_8(&c->e, 8);
}

void flags_prepare(struct compile *c)
{
    uint16_t kept = c->live[c->number] & (uint16_t)~c->form->writes;
    uint16_t needed = kept | c->form->reads;
    if (needed == FLAG_CF)
        flags_enter_carry(c);
    else if (needed)
        flags_enter_host(c);
}

void flags_are_in_host(struct compile *c)
{
    c->flags_in_host = true;
    c->flags_in_cpu = !c->live[c->number];
}

/* ---- Forms ----------------------------------------------------------------------------------- */

const struct translation_form *native_form(const struct insn *insn)
{
    const struct translation_form *form = insn->row->native;
    for (; form && form->emit; form++)
        if (!form->possible || form->possible(insn))
            return form;
    return NULL;
}

static bool escapes(const struct translation_form *form, const struct insn *insn)
{
    bool memory = insn->flags & INSN_MEMORY && !insn_has_trait(insn, TRAIT_NO_ACCESS);
    return !form || form->escapes || memory;
}

/* ---- The block ------------------------------------------------------------------------------- */

static void emit_op_offset(struct compile *c, unsigned number)
{
    emit_constant(&c->e, HOST_RAX, number * sizeof(struct op));
}

void emit_handler(struct compile *c)
{
    settle_pending(c);
    flags_leave_host(c);
    emit_op_offset(c, c->number);
    emit_call(&c->e, c->step);
    c->flags_settled = true;
}

static const uint8_t *emit_with_block(struct compile *c, const uint8_t *routine)
{
    const uint8_t *start = c->e.at;
    emit_constant(&c->e, HOST_RCX, (uintptr_t)c->block);
    emit_jump(&c->e, routine);
    return start;
}

/* The entry, and where those are sent who may not come in. */
static void emit_entry_of_block(struct compile *c)
{
    struct block *block = c->block;
    const uint8_t *give_back = c->e.at;
    emit_wide(&c->e, 8, 0x83, 0, CPU_PLACE(countdown)); /* ADD */
    emit_8(&c->e, block->count);
    block->native_refuse = c->e.at;
    emit_constant(&c->e, HOST_RAX, block_gpa(block) % PAGE_SIZE);
    emit_jump(&c->e, c->native->refuse);
    block->native = c->e.at;
    emit_wide(&c->e, 8, 0x83, 5, CPU_PLACE(countdown)); /* SUB */
    emit_8(&c->e, block->count);
    emit_jump_if(&c->e, 8, give_back);
    block->native_body = c->e.at;
}

void emit_branch_to(struct compile *c, unsigned which)
{
    struct block *block = c->block;
    int64_t offset = (int64_t)(block_gpa(block) % PAGE_SIZE) + c->op->delta[which];
    if (offset >= 0 && offset < (int64_t)PAGE_SIZE) {
        block->native_links[which] = emit_jump(&c->e, NULL);
        c->linked[which] = true;
        return;
    }
    emit_load(&c->e, HOST_RAX, CPU_PLACE(code_page));
    emit_lea(&c->e, 8, HOST_RAX, place_base(HOST_RAX, (int32_t)offset));
    if (c->op->insn.length) {
        escape_at(c, emit_code_entry(&c->e));
        emit_jump(&c->e, c->native->arrive);
    } else {
        emit_jump(&c->e, c->native->lookup); /* no instruction of its own that could fault */
    }
}

/* Not an instruction: the one that it stands in front of is decoded in it. */
static bool is_match(const struct block *block, unsigned number)
{
    return number == block->match_op;
}

/* Neither reads flags nor keeps some: what is pending does not show, but where it escapes. */
static bool renews_flags(const struct translation_form *form)
{
    return form && form->touches && !form->reads && form->writes == FLAGS_ALL;
}

static bool leaves_pending(const struct translation_form *form)
{
    return renews_flags(form) || (form && !form->touches && !form->reads);
}

static void emit_op(struct compile *c, unsigned number)
{
    const struct op *op = &c->block->ops[number];
    bool last = op->insn.flags & INSN_ENDS_BLOCK;
    c->op = op;
    c->insn = &op->insn;
    c->number = number;
    c->form = native_form(&op->insn);
    c->rax_busy = false;
    c->flags_settled = false;
    if (last || is_match(c->block, number) || !leaves_pending(c->form))
        settle_pending(c);
    c->pending_at[number] = c->pending;
    if (renews_flags(c->form))
        c->pending = PENDING_NONE;
    if (is_match(c->block, number)) {
        last = false;
        native_emit_match(c);
    } else if (c->form) {
        c->form->emit(c);
        if (c->form->touches && !c->flags_settled)
            flags_are_in_host(c);
    } else if (last) {
        flags_leave_host(c);
        emit_op_offset(c, number);
        emit_jump(&c->e, c->last);
    } else {
        emit_handler(c);
    }
    c->resume[number] = last ? NULL : c->e.at;
    c->resume_flags[number] = c->flags_in_host && c->live[number];
}

/* One piece for all escapes of an op. */
static void emit_escapes(struct compile *c)
{
    for (unsigned i = 0; i < c->escape_count;) {
        unsigned number = c->escapes[i].number;
        for (; i < c->escape_count && c->escapes[i].number == number; i++)
            emit_aim(c->escapes[i].displacement, c->e.at);
        emit_pending(c, c->pending_at[number]);
        emit_op_offset(c, number);
        if (!c->resume[number]) {
            emit_jump(&c->e, c->last);
            continue;
        }
        emit_call(&c->e, is_match(c->block, number) ? c->match : c->step);
        if (c->resume_flags[number])
            emit_load_flags(&c->e);
        emit_jump(&c->e, c->resume[number]);
    }
}

static void emit_links(struct compile *c)
{
    for (unsigned which = 0; which < 2; which++) {
        if (!c->linked[which])
            continue;
        emit_aim(c->block->native_links[which], c->e.at);
        emit_op_offset(c, c->number);
        emit_constant(&c->e, HOST_R15, which);
        emit_jump(&c->e, c->link);
    }
}

/* What an op that may escape leaves to its handler has to be right then: everything. */
static void find_live_flags(struct compile *c)
{
    uint16_t live = FLAGS_ALL;
    for (unsigned i = block_op_count(c->block); i-- > 0;) {
        const struct insn *insn = &c->block->ops[i].insn;
        const struct translation_form *form = native_form(insn);
        c->live[i] = live;
        bool calls = form && form->intel_calls && cpu_is_intel(c->cpu);
        if (is_match(c->block, i) || calls || escapes(form, insn))
            live = FLAGS_ALL;
        else
            live = (uint16_t)((live & ~form->writes) | form->reads);
    }
}

static bool worthwhile(const struct block *block)
{
    unsigned by_handler = 0;
    for (unsigned i = 0; i < block_op_count(block); i++) {
        const struct op *op = &block->ops[i];
        if (is_match(block, i))
            continue;
        bool branch = op->insn.flags & INSN_ENDS_BLOCK && op->exec != exec_generic_end;
        if (!address_fits(block, op) || (branch && !fits_32(op->delta[1] + (int64_t)PAGE_SIZE)))
            return false;
        by_handler += !native_form(&op->insn);
    }
    return by_handler <= 1 + block->count / 4;
}

static void translate(struct compile *c)
{
    const struct block *block = c->block;
    c->step = emit_with_block(c, c->native->step);
    c->last = emit_with_block(c, c->native->last);
    c->link = emit_with_block(c, c->native->link);
    if (block->match_op != BLOCK_NO_MATCH)
        c->match = emit_with_block(c, c->native->match);
    find_live_flags(c);
    emit_entry_of_block(c);
    for (unsigned i = 0; i < block_op_count(block); i++)
        emit_op(c, i);
    if (!(c->insn->flags & INSN_ENDS_BLOCK)) {
        settle_pending(c);
        flags_leave_host(c);
        c->number = block_op_count(block);
        c->op = &block->ops[block_op_count(block)];
        emit_branch_to(c, 0);
    }
    emit_escapes(c);
    emit_links(c);
}

bool native_compile(struct cpu *cpu, struct block *block)
{
    struct native *native = cpu->native;
    if (block->dropped || !worthwhile(block))
        return false;
    struct compile c = {
        .cpu = cpu,
        .native = native,
        .block = block,
        .flags_in_cpu = true,
        .e.at = native->memory + native->used,
    };
    translate(&c);
    native->used = ((size_t)(c.e.at - native->memory) + 15) & ~(size_t)15;
    native->full = native->size - native->used < ROOM_PER_BLOCK + OPS_MAX * ROOM_PER_OP;
    return true;
}

const struct op *exec_warm(struct cpu *cpu, const struct op *op)
{
    struct block *block = cpu->running;
    struct native *native = cpu->native;
    if (++block->heat <= native->warmth || native->full)
        return block->first(cpu, op);
    bool done = native_compile(cpu, block);
    block->ops->exec = done ? native_enter(native) : block->first;
    return block->ops->exec(cpu, op);
}

void native_drop(struct block *block)
{
    if (!block->native)
        return;
    struct emitter e = {.at = block->native};
    emit_jump(&e, block->native_refuse);
    emit_settle();
}

/* ---- Memory for code ---------------------------------------------------------------------------
 */

/* One memory object, mapped twice: to be executed, and after that to be written. */
static void *map_code(void)
{
    int fd = memfd_create("hindsight-code", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    uint8_t *memory = mmap(NULL, CODE_SIZE + EMIT_WRITABLE, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool mapped =
        memory != MAP_FAILED && ftruncate(fd, (off_t)CODE_SIZE) == 0 &&
        mmap(memory, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) == memory &&
        mmap(memory + EMIT_WRITABLE, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
            0) == memory + EMIT_WRITABLE;
    close(fd);
    if (!mapped && memory != MAP_FAILED)
        munmap(memory, CODE_SIZE + EMIT_WRITABLE);
    return mapped ? memory : NULL;
}

struct native *native_create(enum native_use use)
{
    if (use == NATIVE_NEVER)
        return NULL;
    struct native *native = calloc(1, sizeof *native);
    if (!native)
        return NULL;
    void *memory = map_code();
    if (!memory) {
        free(native);
        return NULL;
    }
    native->memory = memory;
    native->size = CODE_SIZE;
    native->warmth = use == NATIVE_EAGER ? 0 : NATIVE_WARMTH;
    native_emit_routines(native);
    for (unsigned i = 0; i < NATIVE_TARGETS; i++)
        native->targets[i].gpa = UINT64_MAX;
    return native;
}

void native_destroy(struct native *native)
{
    if (!native)
        return;
    munmap(native->memory, native->size + EMIT_WRITABLE);
    free(native);
}

void native_flush(struct native *native)
{
    native->used = native->routines;
    native->full = false;
    for (unsigned i = 0; i < NATIVE_TARGETS; i++)
        native->targets[i].gpa = UINT64_MAX;
}
