/*
 * The kvm engine with the software CPU for all but ring 3 of long mode: for hosts whose KVM does
 * not execute ring 0 exactly (probe_ring0_exact()), and for guests whose ring 0 reads the time
 * stamp counter. Same contract as kvm_create(), and the same name.
 */
#ifndef VMM_KVM_PAIRED_H
#define VMM_KVM_PAIRED_H

#include "vmm/arch/engine.h"

struct engine *paired_create(struct memory *memory, struct personality personality,
    const struct engine_options *options, struct error *error);
/* As kvm_extend_apic(). */
int paired_extend_apic(struct engine *engine, struct personality personality, struct error *error);

#endif
