/*
 * How ring 3 leaves KVM again, for paired.c: nothing that ends its stay there may be acted upon
 * inside KVM. What ring 3 has instead of the guest's IDT and system registers, and how the guest's
 * state is found again, is one file's secret each: null_idt.c and monitor.c.
 */
#ifndef VMM_KVM_WAY_OUT_H
#define VMM_KVM_WAY_OUT_H

#include "vmm/kvm/kvm.h"

enum way_out_result {
    WAY_OUT_STAYS, /* the exit is the guest's own, and happened in ring 3 */
    WAY_OUT_AGAIN, /* it is settled, and ring 3 goes on in KVM */
    WAY_OUT_LEFT,  /* the state is in front of something that the software CPU has to execute */
};

struct way_out {
    const struct way_out_ops *ops;
    struct memory *memory;
    struct kvm_engine *kvm;
    struct vcpu_state guest; /* as it entered: for what KVM must not have */
};

struct way_out_ops {
    void (*destroy)(struct way_out *way);
    /* Gives plain ring 3 (paired.c) to KVM: 1. 0: not in this state, and nothing has happened. */
    int (*enter)(struct way_out *way, const struct vcpu_state *guest, struct error *error);
    /* Puts the guest's own values back into what KVM shows: the core, or all of it. */
    void (*show)(const struct way_out *way, struct vcpu_state *state, bool full);
    /* Tells what a run of KVM ended with, one of enum way_out_result or -1; the guest's state goes
     * to *state if ring 3 was left. */
    int (*leave)(struct way_out *way, const struct vcpu_exit *exit, struct vcpu_state *state,
        struct error *error);
};

/* ---- What all ways have in common -------------------------------------------------------------
 */

enum { VECTOR_DEBUG = 1, VECTOR_BREAKPOINT = 3, VECTOR_OVERFLOW = 4, VECTOR_PAGE_FAULT = 14 };
enum { OPCODE_INT1 = 0xf1, INT1_LENGTH = 1 };
#define DR6_BS (1ull << 14)

/* An exception for which the frame was not pushed, or not by the guest: back to in front of its
 * instruction. INT1, INT3 and the software interrupts 3 and 4 may be complete by then. */
void way_out_rewind(const struct memory *memory, unsigned vector, bool stepped, bool int1_is_trap,
    struct vcpu_state *state);
/* Where SYSCALL is not refused: it got as far as LSTAR, with IF clear, which a jump there by code
 * of ring 3 leaves set. */
bool way_out_is_syscall(const struct vcpu_state *state, uint64_t lstar);
void way_out_rewind_syscall(struct vcpu_state *state);

/* Registers that ring 3 cannot change, as they were when it entered: KVM need not keep all of each
 * (kvm-amd: the lower half of SYSENTER_ESP and SYSENTER_EIP). */
void way_out_show_unchanged(const struct vcpu_state *guest, struct vcpu_state *state);
/* Whether code, of which a page at a host address is given, shows ring 3 nothing of the host
 * (shows_host.h): for struct shadow. And whether ring 3 can begin: KVM would leave other code at
 * once. */
bool way_out_may_execute(const uint8_t *code, size_t size);
bool way_out_may_begin(const struct memory *memory, const struct vcpu_state *guest);

/* For hosts that run ring 3 of the guest in their own. */
struct way_out *null_idt_create(struct memory *memory, struct kvm_engine *kvm, struct error *error);

#endif
