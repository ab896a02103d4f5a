/*
 * How ring 3 leaves KVM again, for paired.c: nothing that ends its stay there may be acted upon
 * inside KVM. What ring 3 has instead of the guest's IDT and system registers, and how the guest's
 * state is found again, is one file's secret each: null_idt.c.
 */
#ifndef VMM_KVM_WAY_OUT_H
#define VMM_KVM_WAY_OUT_H

#include "vmm/kvm/kvm.h"

enum way_out_result {
    WAY_OUT_STAYS, /* the exit is the guest's own, and happened in ring 3 */
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

/* For hosts that run ring 3 of the guest in their own. */
struct way_out *null_idt_create(struct memory *memory, struct kvm_engine *kvm, struct error *error);

#endif
