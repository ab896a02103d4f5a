/*
 * The KVM engine: how to make one, and what its files share. Others use it by vmm/arch/engine.h.
 * Source: the kernel's Documentation/virt/kvm/api.rst; what one real host does differently is in
 * docs/determinism.md.
 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vmm/arch/engine.h"

struct kvm_engine {
    struct engine engine; /* first */
    struct memory *memory;
    int kvm, vm, vcpu; /* file descriptors, -1 when not open */
    struct kvm_run *run;
    size_t run_size;
    bool sync_regs;            /* registers come with every exit */
    uint64_t *dirty_bitmap[2]; /* of memory->region, made when they are read first */
    bool halted;
    bool interrupted;                  /* KVM holds an interrupt that the last exit does not show */
    uint64_t kept_msr[MSR_KEPT_COUNT]; /* the filter keeps accesses to these from KVM */

    /* Access being reported: the element of a string port access, whether completion is owed. */
    unsigned element;
    bool access_open;
    bool exit_waiting; /* completion already produced the next exit */
    uint64_t exit_rip; /* where the access was reported */

    bool host_traps_tsc; /* the host's own ring 3 is kept from RDTSC while the guest runs */

    /* For ring 3 beside the software CPU (way_out.h). */
    struct memory_region monitor; /* a slot beside the guest's RAM; size 0: none */
    bool on_other_tables;         /* CR3 in KVM is not the guest's, ... */
    uint64_t guest_cr3;           /* ... which is this */
    bool has_umip;                /* the CPU has UMIP, which CPUID is kept from telling */
    struct vcpu_state held;       /* what KVM has beside the core, as far as that is known: */
    bool holds_fpu, holds_rest;   /* ... the FPU; debug registers and MSRs */

    pthread_t thread; /* the one in run() */
    atomic_bool in_run;
    atomic_int kicked;
};

/* Stock KVM. The error says which of missing, unreadable or too old it is, and what to do. */
struct engine *kvm_create(
    struct memory *memory, struct personality personality, struct error *error);
/* Sets apic_extensions, which CPUID tells: before the first run. */
int kvm_extend_apic(struct engine *engine, struct personality personality, struct error *error);

int kvm_state_export(
    struct kvm_engine *kvm, struct vcpu_state *state, bool full, struct error *error);
int kvm_state_import(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error);
/* Without FPU, debug registers, and the MSRs after apic_base. */
int kvm_state_import_core(
    struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error);
int kvm_export_fpu(struct kvm_engine *kvm, struct fpu_state *fpu, struct error *error);
/*
 * As the two imports, with as few calls of the host as can be, for a machine in which nothing but
 * ring 3 runs: KVM gets the core from the shared page when it runs next, and nothing that it has.
 * Until then nothing but exports may be asked for. Whoever finds debug registers or MSRs changed
 * there clears holds_rest.
 */
int kvm_state_load(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error);
int kvm_state_load_core(
    struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error);
/* Keeps CPUID from ring 3, and SGDT and its like by bits of CR4 that it adds, where the host can.
 */
int kvm_hide_host(
    struct kvm_engine *kvm, struct personality personality, uint64_t *cr4, struct error *error);
int kvm_set_cpuid(struct kvm_engine *kvm, struct personality personality, struct error *error);
int kvm_filter_msrs(struct kvm_engine *kvm, struct error *error);
int kvm_map_memory(struct kvm_engine *kvm, struct error *error);
/* KVM reads the tables in the monitor's slot anew. Its log of the guest's written pages stays. */
int kvm_forget_shadows(struct kvm_engine *kvm, struct error *error);
int kvm_take_dirty_pages(
    struct engine *engine, uint64_t **pages, unsigned *count, struct error *error);

#endif
