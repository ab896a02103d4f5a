/*
 * Debug exceptions: single-step, its order with faults and shadows, hardware breakpoints on
 * execution, data and I/O, DR6 and DR7. Expectations from the AMD64 APM volume 2, chapter 13.
 * Options, for emulators that would not come to the end: halt=1 (0: no HLT is stepped) int1=1 (0:
 * no INT1).
 */
#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/interrupts.h"

enum { DB = 1, UD = 6, GP = 13 };
enum { DR6_B0 = 1, DR6_B1 = 2, DR6_BD = 1 << 13, DR6_BS = 1 << 14 };
enum { DR7_L0 = 1, DR7_L1 = 4, DR7_GD = 1 << 13, DR7_FIXED = 0x400 };
enum { RF = 1 << 16, TF = 1 << 8 };

enum { LOG = 64 };
static volatile struct {
    uint64_t rip, dr6, rflags;
} trace[LOG];
static volatile unsigned count;

static uint64_t read_dr6(void)
{
    uint64_t value;
    __asm__ volatile("mov %%dr6, %0" : "=r"(value));
    return value;
}
static void write_dr6(uint64_t value)
{
    __asm__ volatile("mov %0, %%dr6" : : "r"(value));
}
static void write_dr7(uint64_t value)
{
    __asm__ volatile("mov %0, %%dr7" : : "r"(value | DR7_FIXED));
}
static void write_dr0(const volatile void *address)
{
    __asm__ volatile("mov %0, %%dr0" : : "r"(address));
}

static void note(struct interrupt_frame *frame)
{
    if (count < LOG) {
        trace[count].rip = frame->rip;
        trace[count].dr6 = read_dr6();
        trace[count].rflags = frame->rflags;
    }
    count++;
    write_dr6(0xffff0ff0);
    if (!(trace[(count - 1) % LOG].dr6 & DR6_BS))
        frame->rflags |= RF; /* an execution breakpoint would recur */
}

#define TF_ON  "pushfq; orq $0x100, (%%rsp); popfq\n"
#define TF_OFF "pushfq; andq $~0x100, (%%rsp); popfq\n"

static void single_step(void)
{
    extern const char step_a[], step_b[], step_c[], step_d[], step_end[];
    count = 0;
    __asm__ volatile(TF_ON "step_a: nop\nstep_b: xor %%ecx, %%ecx\nstep_c: jmp step_d\n"
                           "nop\nstep_d: " TF_OFF "step_end:"
                     :
                     :
                     : "rcx", "memory", "cc");
    /* Not after POPF that sets TF; after each of NOP, XOR, JMP, PUSHF, AND, POPF. */
    check("steps", count, 6);
    check("first after NOP", trace[0].rip, (uintptr_t)step_b);
    check("then after XOR", trace[1].rip, (uintptr_t)step_c);
    check("then at the target of JMP", trace[2].rip, (uintptr_t)step_d);
    check("last after the POPF that clears TF", trace[5].rip, (uintptr_t)step_end);
    check("DR6.BS", trace[0].dr6 & (DR6_BS | 15), DR6_BS);
    check("TF pushed", trace[0].rflags & TF, TF);
    check("no TF pushed after that POPF", trace[5].rflags & TF, 0);
    (void)step_a;
}

static void step_string(void)
{
    extern const char string_at[], string_end[];
    static uint8_t bytes[4];
    uint64_t counter = 3;
    void *to = bytes;
    count = 0;
    __asm__ volatile(TF_ON "string_at: rep stosb\nstring_end: " TF_OFF
                     : "+c"(counter), "+D"(to)
                     : "a"(0x41)
                     : "memory", "cc");
    check("one step for each iteration", count, 3 + 3);
    check("  RIP stays at the instruction", trace[0].rip, (uintptr_t)string_at);
    check("  until the last", trace[2].rip, (uintptr_t)string_end);
    check("  what was stored", bytes[0] + bytes[1] + bytes[2] + bytes[3], 3 * 0x41);
}

static void step_shadow(void)
{
    extern const char shadow_after[];
    count = 0;
    __asm__ volatile("mov %%ss, %%ecx\n" TF_ON "mov %%ecx, %%ss\nnop\nshadow_after: " TF_OFF
                     :
                     :
                     : "rcx", "memory", "cc");
    check("no step after MOV SS", trace[0].rip, (uintptr_t)shadow_after);
}

static void step_sti(void)
{
    extern const char sti_after[];
    count = 0;
    __asm__ volatile(TF_ON "sti\nsti_after: cli\n" TF_OFF : : : "memory", "cc");
    check("step of STI", trace[0].rip, (uintptr_t)sti_after);
}

/* The step of HLT ends it: nothing else would. */
static void step_halt(void)
{
    extern const char halt_after[];
    count = 0;
    __asm__ volatile(TF_ON "hlt\nhalt_after: nop\n" TF_OFF : : : "memory", "cc");
    check("step of HLT", trace[0].rip, (uintptr_t)halt_after);
}

static void write_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

extern const char step_syscall_entry[];
__asm__("step_syscall_entry:\n"
        "    or $0x100, %r11\n"
        "    sysretq\n");

static uint64_t step_by_sysret(void *with)
{
    (void)with;
    __asm__ volatile("syscall\nsysret_after: nop\nnop" : : : "rcx", "r11", "memory", "cc");
    return 0;
}

static void step_sysret(void)
{
    extern const char sysret_after[];
    enum { EFER = 0xc0000080, STAR, LSTAR, SFMASK = 0xc0000084 };
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(EFER));
    write_msr(EFER, low | 1);
    write_msr(STAR, 0x0013000800000000);
    write_msr(LSTAR, (uintptr_t)step_syscall_entry);
    write_msr(SFMASK, 0);
    struct attempt got = attempt_user(step_by_sysret, 0);
    check_fault("SYSRET that sets TF", &got, DB, 0);
    check("  is itself stepped", got.rip, (uintptr_t)sysret_after);
    check("  DR6.BS", read_dr6() & (DR6_BS | 15), DR6_BS);
    write_dr6(0xffff0ff0);
    write_msr(EFER, low);
    interrupts_handle(DB, note);
}

static uint64_t stepped_ud(void *with)
{
    (void)with;
    __asm__ volatile(TF_ON "ud2" : : : "memory", "cc");
    return 0;
}

static void step_fault(void)
{
    struct attempt got = attempt(stepped_ud, 0);
    check_fault("a fault comes instead of the step", &got, UD, 0);
    check("  TF pushed with it", got.rflags & TF, TF);
    check("  RF pushed with it", got.rflags & RF, RF);
    interrupts_handle(DB, note);
}

static __attribute__((noinline)) void pass_breakpoint(void)
{
    __asm__ volatile("nop\nexec_at: nop\nnop" : : : "memory");
}

extern const char exec_at[];

static void execution(void)
{
    write_dr0(exec_at);
    write_dr7(DR7_L0);
    count = 0;
    for (unsigned i = 0; i < 3; i++)
        pass_breakpoint();
    write_dr7(0);
    check("execution breakpoint, three times", count, 3);
    check("  before the instruction", trace[0].rip, (uintptr_t)exec_at);
    check("  DR6.B0", trace[0].dr6 & (DR6_BS | 15), DR6_B0);
    check("  RF left to the handler", trace[0].rflags & RF, 0); /* SDM volume 3, 17.3.1.1 */
}

/* AMD64 APM volume 2, 13.1.1.3: B0 to B3 are as the exception found them, BS is left. */
static void stale_bits(void)
{
    write_dr0(exec_at);
    write_dr7(DR7_L0);
    write_dr6(0xffff0ff0 | DR6_B1 | DR6_BS);
    count = 0;
    pass_breakpoint();
    write_dr7(0);
    check("DR6 of a breakpoint: B1 cleared, BS left", trace[0].dr6, 0xffff0ff0 | DR6_B0 | DR6_BS);
}

/* An execution breakpoint is a fault of the next instruction, which MOV SS does not hold off on
 * AMD's. */
static void execution_after_mov_ss(void)
{
    extern const char shadowed_at[];
    write_dr0(shadowed_at);
    write_dr7(DR7_L0);
    count = 0;
    __asm__ volatile("mov %%ss, %%ecx; mov %%ecx, %%ss\nshadowed_at: nop" : : : "rcx", "memory");
    write_dr7(0);
    check("execution breakpoint after MOV SS", count, 1);
    check("  its RIP", trace[0].rip, (uintptr_t)shadowed_at);
}

static void data(void)
{
    extern const char data_after[];
    static volatile uint64_t watched[2];
    count = 0;
    write_dr0(&watched[0]);
    write_dr7(DR7_L0 | 1 << 16 | 3 << 18); /* write, 4 bytes */
    __asm__ volatile("movl $1, %0\ndata_after: nop" : "=m"(watched[0]));
    check("write watchpoint", count, 1);
    check("  after the instruction", trace[0].rip, (uintptr_t)data_after);
    check("  DR6.B0", trace[0].dr6 & (DR6_BS | 15), DR6_B0);
    count = 0;
    (void)watched[0];
    check("  not on reading", count, 0);
    *((volatile uint8_t *)watched + 3) = 1;
    check("  a byte inside", count, 1);
    *((volatile uint8_t *)watched + 4) = 1;
    check("  not the byte after", count, 1);
    *(volatile uint32_t *)((uintptr_t)watched + 2) = 1;
    check("  an access that overlaps", count, 2);
    write_dr7(DR7_L0 | 3 << 16 | 2 << 18); /* read or write, 8 bytes */
    count = 0;
    (void)watched[0];
    check("access watchpoint, on reading", count, 1);
    write_dr7(0);
    (void)watched[0];
    check("  not when disabled", count, 1);
}

static volatile uint16_t selector;

static void watch_selector(void)
{
    __asm__ volatile("mov %%ss, %0" : "=m"(selector));
    write_dr0(&selector);
    write_dr7(DR7_L0 | 3 << 16 | 1 << 18); /* read or write, 2 bytes */
    count = 0;
}

/* A data breakpoint of MOV SS itself waits for the next instruction, and an INT1 there is one #DB
 * with it. */
static void data_of_mov_ss(void)
{
    extern const char ss_after[];
    watch_selector();
    __asm__ volatile("mov %0, %%ss\nnop\nss_after: nop" : : "m"(selector) : "memory");
    check("data breakpoint of MOV SS", count, 1);
    check("  after the next instruction", trace[0].rip, (uintptr_t)ss_after);
    check("  DR6.B0", trace[0].dr6 & (DR6_BS | 15), DR6_B0);
    write_dr7(0);
}

static void int1_after_mov_ss(void)
{
    extern const char ss_int1_after[];
    watch_selector();
    __asm__ volatile("mov %0, %%ss\n.byte 0xf1\nss_int1_after: nop" : : "m"(selector) : "memory");
    check("INT1 after it: once", count, 1);
    check("  its RIP", trace[0].rip, (uintptr_t)ss_int1_after);
    write_dr7(0);
}

static uint64_t touch_dr0(void *with)
{
    (void)with;
    uint64_t value;
    __asm__ volatile("mov %%dr0, %0" : "=r"(value));
    return value;
}
static uint64_t bad_dr7(void *with)
{
    (void)with;
    __asm__ volatile("mov %0, %%dr7" : : "r"(1ull << 40));
    return 0;
}

static void general_detect(void)
{
    write_dr6(0xffff0ff0 | DR6_B1);
    write_dr7(DR7_GD);
    struct attempt got = attempt(touch_dr0, 0);
    check_fault("#DB by DR7.GD", &got, DB, 0);
    check("  DR6.BD", read_dr6() & (DR6_BD | 15), DR6_BD);
    write_dr6(0xffff0ff0);
    got = attempt(touch_dr0, 0); /* the #DB cleared GD */
    check_fault("GD is clear then", &got, NO_VECTOR, 0);
    got = attempt(bad_dr7, 0);
    check_fault("#GP for the upper half of DR7", &got, GP, 0);
    write_dr7(0);
}

static void (*const parts[])(void) = {single_step, step_string, step_shadow, step_sti, step_halt,
    step_fault, step_sysret, execution, stale_bits, execution_after_mov_ss, data, data_of_mov_ss,
    int1_after_mov_ss, general_detect};

void guest_main(const struct boot_info *boot)
{
    const uint64_t wanted = boot_option(boot, "parts", UINT64_MAX);
    write_dr7(0);
    write_dr6(0xffff0ff0);
    interrupts_handle(DB, note);
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (wanted >> i & 1)
            parts[i]();
    }
    check_end();
}
