/*
 * The processor's side of the local APIC: CR8 and the TPR are one register, the task priority holds
 * requests back, CPUID tells whether the APIC is enabled. Expectations from the AMD64 APM volume 2,
 * chapter 16, and volume 3 (CPUID).
 */
#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/interrupts.h"
#include "lib/msr.h"

enum { GP = 13, VECTOR = 0x51 };
enum { APIC_BASE_MSR = 0x1b, APIC_ENABLE = 1 << 11, APIC_X2 = 1 << 10 };
enum { ID = 0x20, LDR = 0xd0 };
enum { TPR = 0x80, APR = 0x90, PPR = 0xa0, EOI = 0xb0, SVR = 0xf0, ICR = 0x300, TO_SELF = 0x40000 };

enum { X2_VERSION = 0x803, X2_TPR = 0x808, X2_EOI = 0x80b, X2_SELF_IPI = 0x83f };

static volatile unsigned taken;
static volatile bool is_extended;

static volatile uint32_t *apic_register(unsigned offset)
{
    return (volatile uint32_t *)(0xfee00000ull + offset);
}

static uint64_t read_cr8(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    return value;
}

static void write_cr8(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

static uint64_t enable_x2apic(void *with)
{
    (void)with;
    msr_write(APIC_BASE_MSR, msr_read(APIC_BASE_MSR) | APIC_X2);
    return 0;
}

static void on_vector(struct interrupt_frame *frame)
{
    (void)frame;
    taken++;
    if (is_extended)
        msr_write(X2_EOI, 0);
    else
        *apic_register(EOI) = 0;
}

/* For a while, without anything that leaves the guest. */
static void allow_interrupts(void)
{
    __asm__ volatile("sti");
    for (unsigned i = 0; i < 100000 && !taken; i++)
        __asm__ volatile("" : : : "memory");
    __asm__ volatile("cli" : : : "memory");
}

static void priority_register(void)
{
    write_cr8(0xa);
    check("TPR after a write of CR8", *apic_register(TPR), 0xa0);
    check("  PPR", *apic_register(PPR), 0xa0);
    write_cr8(5);
    check("  APR", *apic_register(APR), 0x50);
    *apic_register(TPR) = 0x73;
    check("CR8 after a write of the TPR", read_cr8(), 7);
    check("  the TPR has four bits more", *apic_register(TPR), 0x73);
    write_cr8(7);
    check("  which an equal CR8 keeps", *apic_register(TPR), 0x73);
    write_cr8(6);
    write_cr8(0);
    check("zero again", *apic_register(TPR), 0);
}

static void priority_holds_back(void)
{
    interrupts_handle(VECTOR, on_vector);
    taken = 0;
    write_cr8(VECTOR >> 4);
    *apic_register(ICR) = VECTOR | TO_SELF;
    allow_interrupts();
    check("held back by its own priority class", taken, 0);
    write_cr8((VECTOR >> 4) - 1);
    allow_interrupts();
    check("taken below it", taken, 1);
    write_cr8(0);
}

static uint64_t cpuid_apic(void)
{
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d >> 9 & 1;
}

static void enable_bit(void)
{
    uint64_t base = msr_read(APIC_BASE_MSR);
    check("CPUID: APIC", cpuid_apic(), 1);
    msr_write(APIC_BASE_MSR, base & ~(uint64_t)APIC_ENABLE);
    check("  not while it is disabled", cpuid_apic(), 0);
    check("  its registers read as ones", *apic_register(SVR), 0xffffffff);
    msr_write(APIC_BASE_MSR, base);
    check("  and again", cpuid_apic(), 1);
}

/* Its registers are where the MSR says, and nowhere else. */
static void moved(void)
{
    const uint64_t there = 0xfed40000, base = msr_read(APIC_BASE_MSR);
    volatile uint32_t *spurious = (volatile uint32_t *)(there + SVR);
    check("before it moves: nothing there", *spurious, 0xffffffff);
    msr_write(APIC_BASE_MSR, there | (base & 0xfff));
    check("moved by its MSR: SVR", *spurious, 0x1ff);
    *(volatile uint32_t *)(there + TPR) = 0x20;
    check("  CR8 follows the TPR there", read_cr8(), 2);
    check("  nothing where it was", *apic_register(SVR), 0xffffffff);
    *apic_register(TPR) = 0x40;
    check("  and writes there do nothing", read_cr8(), 2);
    msr_write(APIC_BASE_MSR, base);
    check("  back", *apic_register(TPR), 0x20);
    write_cr8(0);
}

static uint64_t read_x2(void *with)
{
    return msr_read(*(uint32_t *)with);
}

static uint64_t leave_x2apic(void *with)
{
    (void)with;
    msr_write(APIC_BASE_MSR, msr_read(APIC_BASE_MSR) & ~(uint64_t)APIC_X2);
    return 0;
}

/* Where CPUID has it; where not, as on KVM that runs ring 0, it cannot be enabled. */
static void x2apic(void)
{
    uint32_t a = 1, b, c = 0, d, version = X2_VERSION;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    bool is_there = c >> 21 & 1;
    struct attempt got = attempt(read_x2, &version);
    check_fault("x2APIC's registers in xAPIC mode", &got, GP, 0);
    got = attempt(enable_x2apic, 0);
    if (!is_there) {
        check_fault("x2APIC mode", &got, GP, 0);
        return;
    }
    is_extended = true;
    check("x2APIC mode: version", msr_read(X2_VERSION), 0x50014);
    check("  nothing in memory", *apic_register(SVR), 0xffffffff);
    write_cr8(7);
    check("  TPR is CR8", msr_read(X2_TPR), 0x70);
    msr_write(X2_TPR, 0x30);
    check("  and CR8 is TPR", read_cr8(), 3);
    write_cr8(0);
    taken = 0;
    msr_write(X2_SELF_IPI, VECTOR);
    allow_interrupts();
    check("  an interrupt to itself", taken, 1);
    got = attempt(leave_x2apic, 0);
    check_fault("  straight back to xAPIC mode", &got, GP, 0);
    uint64_t base = msr_read(APIC_BASE_MSR);
    msr_write(APIC_BASE_MSR, base & ~(uint64_t)(APIC_X2 | APIC_ENABLE));
    msr_write(APIC_BASE_MSR, base & ~(uint64_t)APIC_X2);
    is_extended = false;
    check("  by switching it off: SVR", *apic_register(SVR), 0xff);
    *apic_register(SVR) = 0x1ff;
}

/* What is switched off in APIC_BASE forgets, but for the task priority (Intel SDM, 11.4.3). */
static void switched_off(void)
{
    uint64_t base = msr_read(APIC_BASE_MSR);
    *apic_register(SVR) = 0x1ff;
    *apic_register(ID) = 5u << 24;
    *apic_register(LDR) = 1u << 24;
    write_cr8(0xf);
    *apic_register(ICR) = VECTOR | TO_SELF;
    taken = 0;
    msr_write(APIC_BASE_MSR, base & ~(uint64_t)APIC_ENABLE);
    msr_write(APIC_BASE_MSR, base);
    check("after it was switched off: SVR", *apic_register(SVR), 0xff);
    check("  ID", *apic_register(ID), 0);
    check("  LDR", *apic_register(LDR), 0);
    check("  TPR, which is CR8", *apic_register(TPR), 0xf0);
    *apic_register(SVR) = 0x1ff;
    write_cr8(0);
    allow_interrupts();
    check("  the interrupt that waited", taken, 0);
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    *apic_register(SVR) = 0x1ff;
    priority_register();
    priority_holds_back();
    enable_bit();
    switched_off();
    moved();
    x2apic();
    check_end();
}
