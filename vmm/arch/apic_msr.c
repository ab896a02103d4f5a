/* Which of the local APIC's registers RDMSR and WRMSR reach, and with which values. */
#include "vmm/arch/apic_msr.h"

#include <stddef.h>

#include "vmm/arch/cpuid.h"

enum apic_mode { MODE_DISABLED, MODE_INVALID, MODE_XAPIC, MODE_X2APIC };

static enum apic_mode mode_of(uint64_t apic_base)
{
    return (enum apic_mode)(apic_base >> 10 & 3);
}

bool apic_base_allowed(uint64_t old, uint64_t value, bool has_extensions)
{
    /* 0 to 7, 9, and what is beyond the physical address. */
    const uint64_t reserved = 0x2ff | ~((1ull << CPUID_PHYSICAL_BITS) - 1);
    if (value & reserved || (value & APIC_BASE_EXTENDED && !has_extensions))
        return false;
    enum apic_mode from = mode_of(old), to = mode_of(value);
    if (to == MODE_X2APIC)
        return from != MODE_DISABLED;
    return to == MODE_DISABLED || (to == MODE_XAPIC && from != MODE_X2APIC);
}

/* Registers of x2APIC mode: `writable` bits; both false: none such. */
struct x2apic_register {
    uint8_t first, last;
    bool readable, writes;
    uint64_t writable;
};

static const struct x2apic_register registers[] = {
    {0x02, 0x03, true, false, 0},                 /* ID, version */
    {0x08, 0x08, true, true, 0xff},               /* TPR */
    {0x0a, 0x0a, true, false, 0},                 /* PPR */
    {0x0b, 0x0b, false, true, 0},                 /* EOI */
    {0x0d, 0x0d, true, false, 0},                 /* LDR */
    {0x0f, 0x0f, true, true, 0x1ff},              /* SVR */
    {0x10, 0x27, true, false, 0},                 /* ISR, TMR, IRR */
    {0x28, 0x28, true, true, 0},                  /* ESR */
    {0x30, 0x30, true, true, 0xffffffff000ccfff}, /* ICR, both halves */
    {0x32, 0x32, true, true, 0x710ff},            /* timer, with its modes */
    {0x33, 0x34, true, true, 0x117ff},            /* thermal sensor, performance counters */
    {0x35, 0x36, true, true, 0x1f7ff},            /* LINT0, LINT1 */
    {0x37, 0x37, true, true, 0x110ff},            /* error */
    {0x38, 0x38, true, true, UINT32_MAX},         /* initial count */
    {0x39, 0x39, true, false, 0},                 /* current count */
    {0x3e, 0x3e, true, true, 0xb},                /* divide configuration */
    {0x3f, 0x3f, false, true, 0xff},              /* self IPI */
};

static const struct x2apic_register *find(uint64_t apic_base, uint32_t index)
{
    if (mode_of(apic_base) != MODE_X2APIC || index < MSR_X2APIC)
        return NULL;
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++) {
        uint32_t number = index - MSR_X2APIC;
        if (number >= registers[i].first && number <= registers[i].last)
            return &registers[i];
    }
    return NULL;
}

bool apic_msr_is(uint32_t index)
{
    return index == MSR_TSC_DEADLINE || (index >= MSR_X2APIC && index < MSR_X2APIC_END);
}

bool apic_msr_readable(uint64_t apic_base, uint32_t index)
{
    const struct x2apic_register *found = find(apic_base, index);
    return index == MSR_TSC_DEADLINE || (found && found->readable);
}

bool apic_msr_writable(uint64_t apic_base, uint32_t index, uint64_t value)
{
    const struct x2apic_register *found = find(apic_base, index);
    return index == MSR_TSC_DEADLINE || (found && found->writes && !(value & ~found->writable));
}
