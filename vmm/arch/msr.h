/*
 * The model-specific registers of hs64-v1 that do nothing but keep what is written to them: those
 * of its family (BKDG for AMD family 14h, models 00h-0Fh, section 3.19 and on) that kernels read
 * without asking CPUID, and IA32_MISC_ENABLE, which KVM has on every maker's model. Both engines
 * answer from here, so a guest finds the same on every host. What vcpu.h does not list and this
 * does not know raises #GP.
 *
 * Machine checks: no bank, as CPUID has no MCE. Performance counters: they hold what is written and
 * count nothing, because what they would count is not the same on every engine.
 */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include "vmm/arch/vcpu.h"

/* The values after reset. */
void msr_reset(uint64_t kept[MSR_KEPT_COUNT]);
/* RDMSR and WRMSR of one of these; false: #GP. */
bool msr_read(const uint64_t kept[MSR_KEPT_COUNT], uint32_t index, uint64_t *value);
bool msr_write(uint64_t kept[MSR_KEPT_COUNT], uint32_t index, uint64_t value);

/* The names of those that have a place in `kept`, in that order. */
const char *msr_kept_name(unsigned place);
uint32_t msr_kept_index(unsigned place);

#endif
