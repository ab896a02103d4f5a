/* Recognises repeated string instructions. */
#include "vmm/arch/repeat.h"

#include "vmm/arch/translate.h"

static bool is_legacy_prefix(uint8_t byte)
{
    return byte == 0x66 || byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e ||
           byte == 0x64 || byte == 0x65 || byte == 0xf0;
}

/* INS OUTS, MOVS CMPS, STOS LODS SCAS */
static bool is_string(uint8_t opcode)
{
    return (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) ||
           (opcode >= 0xaa && opcode <= 0xaf);
}

static uint64_t count_mask(const struct vcpu_state *state, bool other_size)
{
    if (vcpu_in_64bit_mode(state))
        return other_size ? UINT32_MAX : UINT64_MAX;
    bool is32 = state->segment[SEG_CS].attributes & SEG_DB;
    return is32 != other_size ? UINT32_MAX : 0xffff;
}

bool repeat_at_rip(
    const struct memory *memory, const struct vcpu_state *state, struct repeat *found)
{
    uint8_t code[15];
    bool is64 = vcpu_in_64bit_mode(state), repeated = false, other_size = false;
    uint64_t linear = state->rip;
    if (!is64)
        linear = (state->segment[SEG_CS].base + state->rip) & UINT32_MAX;
    uint64_t size = translate_read(memory, state, linear, code, sizeof code);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = code[i];
        if (byte == 0xf2 || byte == 0xf3) {
            repeated = true;
        } else if (byte == 0x67) {
            other_size = true;
        } else if (is_string(byte)) {
            *found = (struct repeat){
                .length = i + 1, .left = state->gpr[RCX] & count_mask(state, other_size)};
            return repeated;
        } else if (!is_legacy_prefix(byte) && !(is64 && (byte & 0xf0) == 0x40)) {
            return false;
        }
    }
    return false;
}
