/*
 * A machine of 2 MiB for trying out what this host's KVM does with a few instructions: 64-bit mode,
 * every page for ring 3 too, one gate (vector 20h, to TRIAL_HANDLER), IOPL 3.
 */
#ifndef VMM_KVM_TRIAL_H
#define VMM_KVM_TRIAL_H

#include "vmm/arch/engine.h"

enum { TRIAL_CODE = 0x20000, TRIAL_HANDLER = TRIAL_CODE + 0x800, TRIAL_PORT = 0x80 };

struct trial {
    struct memory memory;
    struct engine *engine;
    bool remapped;
};

/* On a KVM engine of its own. False, with the error, where there is none. */
bool trial_open(struct trial *trial, struct error *error);
void trial_close(struct trial *trial);

/* The state in which code at TRIAL_CODE begins; writes tables and descriptors. */
void trial_state(struct trial *trial, struct vcpu_state *state, unsigned ring);
/* From now on that state's tables have pages of 4 KiB, and `gpa` for the page at `linear`. */
void trial_remap(struct trial *trial, uint32_t linear, uint32_t gpa);
/* Puts the code there, and that state into the engine with RCX = `count`. */
int trial_load(struct trial *trial, const uint8_t *code, size_t size, unsigned ring, uint64_t count,
    struct error *error);
int trial_run(struct trial *trial, struct vcpu_exit *exit, struct error *error);

#endif
