/* Finds the loops in which a vCPU waits for another one. */
#include "vmm/cpu/wait.h"

#include <string.h>

#include "vmm/cpu/decode.h"
#include "vmm/cpu/dispatch.h"
#include "vmm/cpu/operand.h"

/* ---- What such a loop consists of ------------------------------------------------------------ */

static unsigned modrm_reg(const struct insn *insn)
{
    return insn->modrm >> 3 & 7;
}

/* One-byte opcodes that change no more than registers and flags, given registers as operands. */
static bool primary_is_plain(const struct insn *insn)
{
    const uint8_t opcode = insn->opcode;
    if (opcode < 0x40)
        return (opcode & 7) < 6;
    return opcode == 0x63 || (opcode >= 0x70 && opcode <= 0x7f) ||
           (opcode >= 0x80 && opcode <= 0x85) || (opcode >= 0x88 && opcode <= 0x8b) ||
           opcode == 0x8d || opcode == 0x90 || opcode == 0x98 || opcode == 0xa8 || opcode == 0xa9 ||
           (opcode >= 0xb0 && opcode <= 0xc1) || opcode == 0xc6 || opcode == 0xc7 ||
           (opcode >= 0xd0 && opcode <= 0xd3) || opcode == 0xe9 || opcode == 0xeb ||
           ((opcode == 0xf6 || opcode == 0xf7) && modrm_reg(insn) < 4) || opcode == 0xfe ||
           (opcode == 0xff && modrm_reg(insn) < 2);
}

/* ... of those, with memory as their operand they only read it. */
static bool primary_only_reads(const struct insn *insn)
{
    const uint8_t opcode = insn->opcode;
    if (opcode < 0x40)
        return (opcode & 7) == 2 || (opcode & 7) == 3 || opcode == 0x38 || opcode == 0x39;
    return opcode == 0x63 ||
           ((opcode == 0x80 || opcode == 0x81 || opcode == 0x83) && modrm_reg(insn) == 7) ||
           opcode == 0x84 || opcode == 0x85 || opcode == 0x8a || opcode == 0x8b || opcode == 0x8d ||
           ((opcode == 0xf6 || opcode == 0xf7) && modrm_reg(insn) < 2);
}

static bool extended_is_plain(const struct insn *insn)
{
    const uint8_t opcode = insn->opcode;
    const bool is_fence = opcode == 0xae && !(insn->flags & INSN_MEMORY) && modrm_reg(insn) >= 5;
    return is_fence || opcode == 0x1f || (opcode >= 0x40 && opcode <= 0x4f) ||
           (opcode >= 0x80 && opcode <= 0x9f) || opcode == 0xa3 ||
           (opcode == 0xba && modrm_reg(insn) == 4) || opcode == 0xb6 || opcode == 0xb7 ||
           opcode == 0xbe || opcode == 0xbf;
}

static bool is_plain(const struct cpu *cpu, const struct insn *insn)
{
    const bool names_memory = insn->flags & INSN_MEMORY;
    if (insn->flags & INSN_LOCK || (insn->opcode == 0x63 && !cpu->code64))
        return false;
    if (insn->map == MAP_PRIMARY)
        return primary_is_plain(insn) && (!names_memory || primary_only_reads(insn));
    /* SETcc stores where it names memory. */
    bool stores = names_memory && insn->opcode >= 0x90 && insn->opcode <= 0x9f;
    return insn->map == MAP_0F && !(insn->flags & (INSN_REP | INSN_REPNE)) &&
           extended_is_plain(insn) && !stores;
}

/* One that exchanges with memory, or compares and exchanges, or sets a bit: it may leave it as it
 * is. */
static bool may_change_nothing(const struct insn *insn)
{
    const uint8_t opcode = insn->opcode;
    if (!(insn->flags & INSN_MEMORY))
        return false;
    if (insn->map == MAP_PRIMARY)
        return opcode == 0x86 || opcode == 0x87;
    return insn->map == MAP_0F &&
           (opcode == 0xb0 || opcode == 0xb1 || (opcode == 0xba && modrm_reg(insn) == 5));
}

/* ---- Looking --------------------------------------------------------------------------------- */

void wait_restart(struct cpu *cpu)
{
    cpu->wait.left = 0;
    cpu->wait.next = 0;
}

static void end(struct cpu *cpu)
{
    cpu->wait.left = 0;
    cpu->wait.next = cpu->engine.retired + WAIT_INTERVAL;
}

void wait_give_up(struct cpu *cpu)
{
    if (cpu->wait.left)
        end(cpu);
}

uint64_t wait_left(const struct cpu *cpu)
{
    const uint64_t now = cpu->engine.retired;
    return cpu->wait.next > now ? cpu->wait.next - now : 1;
}

static const uint8_t *at(const struct cpu *cpu, uint64_t linear, unsigned size)
{
    uint64_t gpa;
    if (linear % PAGE_SIZE > PAGE_SIZE - size || !cpu_translate_quiet(cpu, linear, &gpa))
        return NULL;
    return memory_at(cpu->memory, gpa, size);
}

/* Decodes what comes next, if nothing but the instruction itself takes effect there. */
static bool peek(const struct cpu *cpu, struct insn *insn)
{
    const struct vcpu_state *s = &cpu->s;
    if (s->rflags & (FLAG_TF | FLAG_RF | FLAG_VM) || s->sti_shadow || s->mov_ss_shadow ||
        s->exception_pending || cpu->debug_stepping || cpu->read_count || cpu->observing_all)
        return false;
    uint64_t linear = cpu->code64 ? s->rip : (s->segment[SEG_CS].base + s->rip) & 0xffffffff;
    const uint8_t *code = at(cpu, linear, INSN_MAX_LENGTH);
    return code && insn_decode(code, INSN_MAX_LENGTH, cpu->code64, cpu->code_size,
                       cpu_is_intel(cpu), insn) != DECODE_MORE;
}

/* The operand in memory of an instruction that may leave it as it is. */
static const uint8_t *operand(const struct cpu *cpu, const struct insn *insn)
{
    uint64_t offset = insn_offset(cpu, insn);
    uint64_t linear = offset + cpu->s.segment[insn->segment].base;
    return at(cpu, cpu->code64 ? linear : (uint32_t)linear, insn->operand_size);
}

static bool is_where_it_was(const struct cpu *cpu)
{
    const struct cpu_wait *wait = &cpu->wait;
    return cpu->s.rip == wait->rip && cpu->flags == wait->flags &&
           !memcmp(cpu->s.gpr, wait->gpr, sizeof wait->gpr);
}

static void take_state(struct cpu *cpu)
{
    struct cpu_wait *wait = &cpu->wait;
    wait->rip = cpu->s.rip;
    wait->flags = cpu->flags;
    memcpy(wait->gpr, cpu->s.gpr, sizeof wait->gpr);
}

bool wait_look(struct cpu *cpu)
{
    struct cpu_wait *wait = &cpu->wait;
    struct insn insn;
    uint8_t before[8];
    const uint8_t *changing = NULL;
    if (!wait->left && cpu->engine.retired < wait->next)
        return false;
    if (!wait->left)
        wait->left = WAIT_LOOK_MOST;
    const unsigned done = WAIT_LOOK_MOST - wait->left;
    if (!(done & (done - 1)))
        take_state(cpu);
    if (!peek(cpu, &insn) || (!is_plain(cpu, &insn) && (!may_change_nothing(&insn) ||
                                                           !(changing = operand(cpu, &insn))))) {
        end(cpu);
        return false;
    }
    if (changing)
        memcpy(before, changing, insn.operand_size);
    cpu_step(cpu);
    wait->left--;
    if (is_where_it_was(cpu)) {
        cpu->paused = true;
        wait_restart(cpu);
    } else if (!wait->left || (changing && memcmp(before, changing, insn.operand_size))) {
        end(cpu);
    }
    return true;
}
