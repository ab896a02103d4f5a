/* Decodes instructions and tells what they read and write. */
#include "debugger/flow.h"

#include <stdlib.h>
#include <string.h>

#include "debugger/flow_parts.h"

/* ---- Decoding ------------------------------------------------------------------------------- */

struct flow_decoder {
    csh handle[3]; /* 16, 32, 64 bits */
};

struct flow_decoder *flow_create(void)
{
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    struct flow_decoder *decoder = calloc(1, sizeof *decoder);
    for (unsigned i = 0; decoder && i < 3; i++) {
        if (cs_open(CS_ARCH_X86, modes[i], &decoder->handle[i]) != CS_ERR_OK) {
            flow_destroy(decoder);
            return NULL;
        }
        cs_option(decoder->handle[i], CS_OPT_DETAIL, CS_OPT_ON);
    }
    return decoder;
}

void flow_destroy(struct flow_decoder *decoder)
{
    for (unsigned i = 0; decoder && i < 3; i++) {
        if (decoder->handle[i])
            cs_close(&decoder->handle[i]);
    }
    free(decoder);
}

cs_insn *flow_decode(
    struct flow_decoder *decoder, const uint8_t *bytes, unsigned bits, uint64_t linear)
{
    cs_insn *insn = NULL;
    csh handle = decoder->handle[bits == 64 ? 2 : bits == 32 ? 1 : 0];
    return cs_disasm(handle, bytes, STRETCH_CODE_BYTES, linear, 1, &insn) == 1 ? insn : NULL;
}

csh flow_handle(const struct flow_decoder *decoder)
{
    return decoder->handle[2];
}

/* What the decoder's own lists lack. */
static uint64_t also_written(const cs_insn *insn)
{
    switch (insn->id) {
    case X86_INS_FXRSTOR:
    case X86_INS_FXRSTOR64:
        return ((1ull << FLOW_REGISTERS) - (1ull << FLOW_XMM)) | 0xffull << FLOW_MM;
    case X86_INS_SYSCALL:
        return 1u << RCX | 1u << R11;
    case X86_INS_CPUID:
        return 1u << RAX | 1u << RBX | 1u << RCX | 1u << RDX;
    case X86_INS_RDTSC:
    case X86_INS_RDMSR:
    case X86_INS_RDPMC:
        return 1u << RAX | 1u << RDX;
    case X86_INS_RDTSCP:
        return 1u << RAX | 1u << RDX | 1u << RCX;
    case X86_INS_POPAL:
    case X86_INS_POPAW:
        return 0xff;
    case X86_INS_LEAVE:
    case X86_INS_ENTER:
        return 1u << RSP | 1u << RBP;
    case X86_INS_IRET:
    case X86_INS_IRETD:
    case X86_INS_IRETQ:
        return 1u << RSP | 1ull << FLOW_FLAGS;
    case X86_INS_CMPXCHG8B:
    case X86_INS_CMPXCHG16B:
        return 1u << RAX | 1u << RDX;
    case X86_INS_CMPXCHG:
        return 1u << RAX;
    case X86_INS_CWD:
    case X86_INS_CDQ:
    case X86_INS_CQO:
        return 1u << RDX;
    case X86_INS_CBW:
    case X86_INS_CWDE:
    case X86_INS_CDQE:
        return 1u << RAX;
    default:
        return 0;
    }
}

/* A string instruction with a prefix, which elsewhere is part of the opcode. */
static bool is_repeated(const cs_insn *insn)
{
    const cs_x86 *x86 = flow_x86(insn);
    uint8_t opcode = x86->opcode[0];
    bool string = (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) ||
                  (opcode >= 0xaa && opcode <= 0xaf);
    return string && (x86->prefix[0] == X86_PREFIX_REP || x86->prefix[0] == X86_PREFIX_REPNE);
}

uint64_t flow_written(const struct flow_decoder *decoder, const cs_insn *insn)
{
    cs_regs read, write;
    uint8_t reads, writes;
    struct flow_part part;
    uint64_t written = also_written(insn);
    const cs_x86 *x86 = flow_x86(insn);
    if (cs_regs_access(decoder->handle[2], insn, read, &reads, write, &writes) == CS_ERR_OK) {
        for (unsigned i = 0; i < writes; i++)
            written |= flow_part_of(write[i], &part) ? 1ull << part.reg : 0;
    }
    bool both = insn->id == X86_INS_XCHG || insn->id == X86_INS_XADD;
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type == X86_OP_REG && (both || operand->access & CS_AC_WRITE) &&
            flow_part_of(operand->reg, &part))
            written |= 1ull << part.reg;
    }
    if (is_repeated(insn))
        written |= 1u << RCX;
    return written;
}

struct flow_source flow_find(const struct flow_step *step, const struct flow_place *place)
{
    return flow_rule_of(step->insn, place)(step, place);
}

/* ---- Operands ------------------------------------------------------------------------------- */

static bool add_operand(
    struct flow_operand *operands, unsigned *count, const struct flow_operand *operand)
{
    for (unsigned i = 0; i < *count; i++) {
        const struct flow_place *a = &operands[i].first, *b = &operand->first;
        if (a->in_memory == b->in_memory && a->gpa == b->gpa && a->reg == b->reg)
            return true;
    }
    if (*count == FLOW_MAX_OPERANDS)
        return false;
    operands[(*count)++] = *operand;
    return true;
}

static bool add_register(
    struct flow_operand *operands, unsigned *count, unsigned reg, bool is_address)
{
    struct flow_part part;
    if (!flow_part_of(reg, &part))
        return true;
    const struct flow_operand operand = {
        .first = {.reg = (uint8_t)part.reg, .offset = (uint8_t)part.offset},
        .size = part.size,
        .is_address = is_address};
    return add_operand(operands, count, &operand);
}

static bool names_address(const cs_x86 *x86, unsigned reg)
{
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type == X86_OP_MEM && (operand->mem.base == reg || operand->mem.index == reg))
            return true;
    }
    return false;
}

unsigned flow_operands(
    const struct flow_step *step, struct flow_operand operands[FLOW_MAX_OPERANDS])
{
    const cs_x86 *x86 = flow_x86(step->insn);
    const bool is_lea = step->insn->id == X86_INS_LEA;
    cs_regs read, write;
    uint8_t reads = 0, writes = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < x86->op_count; i++) {
        if (x86->operands[i].type == X86_OP_REG && x86->operands[i].access & CS_AC_READ)
            add_register(operands, &count, x86->operands[i].reg, false);
    }
    for (unsigned i = 0; i < step->access_count; i++) {
        const struct stretch_access *access = &step->accesses[i];
        const struct flow_operand operand = {.first = {.in_memory = true, .gpa = access->gpa},
            .size = access->size < 16 ? access->size : 16};
        if (flow_is_kind(access, false))
            add_operand(operands, &count, &operand);
    }
    if (cs_regs_access(step->decoder->handle[2], step->insn, read, &reads, write, &writes) !=
        CS_ERR_OK)
        return count;
    for (unsigned i = 0; i < reads; i++)
        add_register(operands, &count, read[i], !is_lea && names_address(x86, read[i]));
    return count;
}