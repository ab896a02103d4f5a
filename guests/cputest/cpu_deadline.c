/*
 * The local APIC's timer in its TSC-deadline mode: it fires when the TSC reaches the deadline, or
 * has been set past it. Expectations from the Intel SDM volume 3, 11.5.4.1. What the guest computes
 * depends on the TSC, so a trace of the software CPU alone does not replay on KVM.
 */
#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/interrupts.h"
#include "lib/msr.h"

enum { VECTOR = 0x51 };
enum { TSC_MSR = 0x10, APIC_BASE_MSR = 0x1b, APIC_X2 = 1 << 10, DEADLINE_MSR = 0x6e0 };
enum { X2_EOI = 0x80b, X2_SVR = 0x80f, X2_LVT_TIMER = 0x832 };
enum { APIC_ON = 1 << 8, TIMER_DEADLINE = 1 << 18, MASKED = 1 << 16 };

static volatile unsigned taken;

static void on_vector(struct interrupt_frame *frame)
{
    (void)frame;
    taken++;
    msr_write(X2_EOI, 0);
}

static void wait_for(unsigned count)
{
    while (taken < count)
        __asm__ volatile("sti; nop; cli");
}

static void deadline(void)
{
    msr_write(X2_LVT_TIMER, TIMER_DEADLINE | VECTOR);
    msr_write(DEADLINE_MSR, msr_read(TSC_MSR) + 200000);
    check("TSC deadline: armed", msr_read(DEADLINE_MSR) != 0, 1);
    wait_for(1);
    check("  once reached it is 0", msr_read(DEADLINE_MSR), 0);
    /* It is one of the TSC: set that forward, and it is past. */
    msr_write(DEADLINE_MSR, msr_read(TSC_MSR) + (1ull << 40));
    msr_write(TSC_MSR, msr_read(TSC_MSR) + (1ull << 41));
    wait_for(2);
    check("  and is past when the TSC is set", msr_read(DEADLINE_MSR), 0);
    msr_write(X2_LVT_TIMER, MASKED);
}

/* CPUID does not have it on KVM that runs ring 0. */
static void check_presence(void)
{
    enum { X2APIC = 21, TSC_DEADLINE = 24 };
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    bool is_there = c >> TSC_DEADLINE & 1;
    check("TSC-deadline timer: where x2APIC is", is_there, c >> X2APIC & 1);
    if (!is_there)
        return;
    msr_write(APIC_BASE_MSR, msr_read(APIC_BASE_MSR) | APIC_X2);
    msr_write(X2_SVR, APIC_ON | 0xff);
    deadline();
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    interrupts_handle(VECTOR, on_vector);
    check_presence();
    check_end();
}
