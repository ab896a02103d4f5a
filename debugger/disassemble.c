/* Disassembles guest memory with capstone. */
#include "debugger/disassemble.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/translate.h"

static cs_mode mode_of(const struct vcpu_state *state)
{
    if (vcpu_in_64bit_mode(state))
        return CS_MODE_64;
    return state->segment[SEG_CS].attributes & SEG_DB ? CS_MODE_32 : CS_MODE_16;
}

static enum instruction_kind classify(csh handle, const cs_insn *insn)
{
    if (cs_insn_group(handle, insn, CS_GRP_CALL))
        return INSTRUCTION_CALL;
    if (insn->id == X86_INS_IRET || insn->id == X86_INS_IRETD || insn->id == X86_INS_IRETQ)
        return INSTRUCTION_INTERRUPT_RETURN;
    if (cs_insn_group(handle, insn, CS_GRP_RET))
        return INSTRUCTION_RETURN;
    if (insn->id == X86_INS_SYSCALL || insn->id == X86_INS_SYSENTER ||
        cs_insn_group(handle, insn, CS_GRP_INT))
        return INSTRUCTION_INTERRUPT;
    if (cs_insn_group(handle, insn, CS_GRP_JUMP))
        return INSTRUCTION_JUMP;
    return INSTRUCTION_OTHER;
}

static void find_target(const cs_insn *insn, struct instruction *instruction)
{
    const cs_x86 *x86 = &insn->detail->x86;
    if (instruction->kind != INSTRUCTION_CALL && instruction->kind != INSTRUCTION_JUMP)
        return;
    if (x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM) {
        instruction->has_target = true;
        instruction->target = (uint64_t)x86->operands[0].imm;
    }
}

/* The address that a RIP-relative operand means. */
static bool memory_operand(const cs_insn *insn, uint64_t *address)
{
    const cs_x86 *x86 = &insn->detail->x86;
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type != X86_OP_MEM)
            continue;
        if (operand->mem.base == X86_REG_RIP)
            *address = insn->address + insn->size + (uint64_t)operand->mem.disp;
        else if (operand->mem.base == X86_REG_INVALID && operand->mem.disp)
            *address = (uint64_t)operand->mem.disp;
        else
            continue;
        return true;
    }
    return false;
}

static void write_text(
    const cs_insn *insn, const struct symbols *symbols, struct instruction *instruction)
{
    struct buffer name = {0};
    uint64_t address;
    bool relative = memory_operand(insn, &address);
    if (symbols && instruction->has_target)
        symbols_describe(symbols, instruction->target, &name);
    else if (symbols && relative)
        symbols_describe(symbols, address, &name);
    buffer_put_u8(&name, 0);
    const char *text = name.failed ? "" : (const char *)name.data;
    instruction->cut = name.failed;
    snprintf(instruction->text, sizeof instruction->text, "%-6s %.90s%s%.50s", insn->mnemonic,
        insn->op_str, *text ? (relative ? " # " : " ") : "", text);
    size_t length = strlen(instruction->text);
    while (length && instruction->text[length - 1] == ' ')
        instruction->text[--length] = '\0';
    buffer_free(&name);
}

bool disassemble(const struct view *view, const struct symbols *symbols,
    enum disassemble_syntax syntax, uint64_t address, struct instruction *instruction)
{
    csh handle;
    cs_insn *insn;
    *instruction = (struct instruction){0};
    size_t size = translate_read(
        view->memory, &view->state, address, instruction->bytes, sizeof instruction->bytes);
    if (size == 0 || cs_open(CS_ARCH_X86, mode_of(&view->state), &handle) != CS_ERR_OK)
        return false;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    cs_option(
        handle, CS_OPT_SYNTAX, syntax == SYNTAX_ATT ? CS_OPT_SYNTAX_ATT : CS_OPT_SYNTAX_INTEL);
    size_t count = cs_disasm(handle, instruction->bytes, size, address, 1, &insn);
    if (count == 1) {
        instruction->size = insn->size;
        instruction->kind = classify(handle, insn);
        find_target(insn, instruction);
        write_text(insn, symbols, instruction);
        cs_free(insn, 1);
    }
    cs_close(&handle);
    return count == 1;
}
