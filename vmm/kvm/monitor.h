/* The way out of ring 3 (way_out.h) for hosts whose KVM executes ring 0 exactly. */
#ifndef VMM_KVM_MONITOR_H
#define VMM_KVM_MONITOR_H

#include "vmm/kvm/way_out.h"

/* Before the engine's first run. */
struct way_out *monitor_create(struct memory *memory, struct kvm_engine *kvm,
    struct personality personality, struct error *error);
/* Does it work on this host? Takes some milliseconds. `hides_tables`: SGDT and SIDT fault. */
bool monitor_works(bool *hides_tables, struct error *error);

#endif
