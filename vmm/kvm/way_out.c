/* From where an instruction left ring 3 back to in front of it. */
#include "vmm/kvm/way_out.h"

#include "vmm/arch/translate.h"
#include "vmm/kvm/shows_host.h"

enum { SYSCALL_LENGTH = 2, OPCODE_INT3 = 0xcc };
#define DR6_BREAKPOINTS 0xfull

static uint64_t linear_of(const struct vcpu_state *state, uint64_t rip)
{
    return vcpu_in_64bit_mode(state) ? rip : (uint32_t)(state->segment[SEG_CS].base + rip);
}

/* Bytes of the software interrupt that is complete: INT3, or INT with 3 or 4 for its last byte. */
static unsigned interrupt_length(const struct memory *memory, const struct vcpu_state *state)
{
    uint8_t last;
    bool is_int3 = translate_read(memory, state, linear_of(state, state->rip - 1), &last, 1) == 1 &&
                   last == OPCODE_INT3;
    return is_int3 ? 1 : 2;
}

void way_out_rewind(const struct memory *memory, unsigned vector, bool stepped, bool int1_is_trap,
    struct vcpu_state *state)
{
    state->exception_pending = false;
    state->rflags &= ~FLAG_RF; /* set for the frame */
    if (vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW) {
        state->rip -= interrupt_length(memory, state);
    } else if (vector == VECTOR_DEBUG && stepped) {
        /* POPF or IRET set TF, and the instruction after it is complete. */
        state->dr6 = (state->dr6 & ~DR6_BREAKPOINTS) | DR6_BS;
        state->exception_pending = true;
        state->exception_vector = VECTOR_DEBUG;
    } else if (vector == VECTOR_DEBUG && int1_is_trap) {
        state->rip -= INT1_LENGTH; /* nothing else raises #DB: no breakpoint is enabled */
    }
}

bool way_out_is_syscall(const struct vcpu_state *state, uint64_t lstar)
{
    return state->rip == lstar && !(state->rflags & FLAG_IF);
}

/* RCX and R11 will get the same values again. */
void way_out_rewind_syscall(struct vcpu_state *state)
{
    state->rip = state->gpr[RCX] - SYSCALL_LENGTH;
    state->rflags = state->gpr[R11] & ~FLAG_RF;
}

void way_out_show_unchanged(const struct vcpu_state *guest, struct vcpu_state *state)
{
    state->sysenter_cs = guest->sysenter_cs;
    state->sysenter_esp = guest->sysenter_esp;
    state->sysenter_eip = guest->sysenter_eip;
    state->star = guest->star;
    state->lstar = guest->lstar;
    state->cstar = guest->cstar;
    state->sfmask = guest->sfmask;
    state->kernel_gs_base = guest->kernel_gs_base;
    state->tsc_aux = guest->tsc_aux;
    state->tsc_offset = guest->tsc_offset;
    state->pat = guest->pat;
    state->dr6 = guest->dr6;
    state->dr7 = guest->dr7;
}

bool way_out_may_execute(const uint8_t *code, size_t size)
{
    return !code_shows_host(code, size);
}

bool way_out_may_begin(const struct memory *memory, const struct vcpu_state *guest)
{
    struct translation at;
    const uint8_t *code = NULL;
    if (translate(memory, guest, linear_of(guest, guest->rip), &at))
        code = memory_at(memory, at.gpa & ~(PAGE_SIZE - 1), PAGE_SIZE);
    return code && way_out_may_execute(code, PAGE_SIZE);
}
