/*
 * The model-specific registers that the local APIC answers: APIC_BASE's modes, the registers of
 * x2APIC mode (AMD64 APM volume 2, 16.11; Intel SDM volume 3, 11.12) and the timer's deadline
 * (11.5.4.1). What raises #GP is decided here, on both engines, before anything reaches the device.
 */
#ifndef VMM_ARCH_APIC_MSR_H
#define VMM_ARCH_APIC_MSR_H

#include <stdbool.h>
#include <stdint.h>

/* In APIC_BASE. */
#define APIC_BASE_EXTENDED (1ull << 10) /* x2APIC mode */
#define APIC_BASE_ENABLED  (1ull << 11)

enum { MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_END = 0x840 };

/* May APIC_BASE be given this value while it has the old one? The modes follow one another from
 * disabled to xAPIC to x2APIC, and back by disabling alone. */
bool apic_base_allowed(uint64_t old, uint64_t value, bool has_extensions);

/* Is it one of x2APIC's registers, or the deadline? */
bool apic_msr_is(uint32_t index);
/* RDMSR and WRMSR of one of these with this APIC_BASE; false: #GP. */
bool apic_msr_readable(uint64_t apic_base, uint32_t index);
bool apic_msr_writable(uint64_t apic_base, uint32_t index, uint64_t value);

#endif
