/*
 * Every exception that a program can raise without paging tricks: vector, error code, saved RIP.
 * Expectations from the AMD64 APM volume 2, chapter 8. Option: parts=0x7f, a bit for each group of
 * checks.
 */
#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/interrupts.h"
#include "lib/segments.h"

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };

#define CR0_MP        (1ull << 1)
#define CR0_EM        (1ull << 2)
#define CR0_TS        (1ull << 3)
#define CR0_NE        (1ull << 5)
#define CR0_AM        (1ull << 18)
#define NON_CANONICAL 0x0000800000000000ull

extern uint64_t gdt[];

static uint64_t read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
static void write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value));
}

/* Assembly that faults at the label fault_NAME. */
#define FAULTING(name, code)                                   \
    extern const char fault_##name[];                          \
    static __attribute__((noinline)) uint64_t name(void *with) \
    {                                                          \
        uint64_t result = 0;                                   \
        __asm__ volatile(".globl fault_" #name "\n" code       \
                         : "+a"(result)                        \
                         : "D"(with)                           \
                         : "rcx", "rdx", "memory", "cc");      \
        return result;                                         \
    }
#define AT(name) "fault_" #name ": "

FAULTING(divide, "xor %%edx, %%edx; xor %%ecx, %%ecx\n" AT(divide) "div %%rcx")
FAULTING(overflow, "mov $1, %%ecx; mov $1, %%edx\n" AT(overflow) "div %%rcx")
FAULTING(minimum, "mov $0x8000000000000000, %%rax; cqo; mov $-1, %%rcx\n" AT(minimum) "idiv %%rcx")
FAULTING(undefined, AT(undefined) "ud2")
FAULTING(lock_register, AT(lock_register) ".byte 0xf0, 0x01, 0xc0")
FAULTING(read_non_canonical, AT(read_non_canonical) "mov (%%rdi), %%rax")
FAULTING(stack_non_canonical,
    "mov %%rbp, %%rdx; mov %%rdi, %%rbp\n" AT(stack_non_canonical) "mov (%%rbp), %%rax\n"
                                                                   "mov %%rdx, %%rbp")
FAULTING(unaligned_sse, AT(unaligned_sse) "movaps 1(%%rdi), %%xmm0")
FAULTING(read_msr, "mov %%edi, %%ecx\n" AT(read_msr) "rdmsr")
FAULTING(
    efer_reserved, "mov $0xc0000080, %%ecx; rdmsr; or $0x200, %%eax\n" AT(efer_reserved) "wrmsr")
FAULTING(write_cr4, AT(write_cr4) "mov %%rdi, %%cr4")
FAULTING(paging_off, AT(paging_off) "mov %%rdi, %%cr0")
FAULTING(load_data, AT(load_data) "mov %%edi, %%fs")
FAULTING(load_stack, AT(load_stack) "mov %%edi, %%ss")
FAULTING(load_task, AT(load_task) "ltr %%di")
FAULTING(breakpoint, AT(breakpoint) "int3")
FAULTING(software, AT(software) "int $0x1f")
FAULTING(use_sse, AT(use_sse) "pxor %%xmm0, %%xmm0")
FAULTING(use_x87, AT(use_x87) "fldz; fstp %%st(0)")
FAULTING(x87_error, "fninit; movw $0x37b, -8(%%rsp); fldcw -8(%%rsp); fld1; fldz; fdivrp\n" AT(
                        x87_error) "fwait; fninit")
FAULTING(sse_error,
    "movl $0x1d80, -8(%%rsp); ldmxcsr -8(%%rsp); pxor %%xmm1, %%xmm1; mov $1, %%ecx\n"
    "cvtsi2ss %%ecx, %%xmm0\n" AT(sse_error) "divss %%xmm1, %%xmm0")
FAULTING(misaligned, AT(misaligned) "mov 1(%%rdi), %%eax")
FAULTING(far_code, "push %%rdi; lea 1f(%%rip), %%rcx; push %%rcx\n" AT(far_code) "lretq\n1:")

static void check_at(
    const char *name, const struct attempt *got, uint64_t vector, uint64_t error, const char *place)
{
    check_fault(name, got, vector, error);
    check("  its RIP", got->rip, (uintptr_t)place);
}

#define TRY(text, function, argument, vector, error)                           \
    do {                                                                       \
        struct attempt got = attempt(function, (void *)(uintptr_t)(argument)); \
        check_at(text, &got, vector, error, fault_##function);                 \
    } while (0)

static void arithmetic(void)
{
    TRY("#DE by zero", divide, 0, DE, 0);
    TRY("#DE overflow", overflow, 0, DE, 0);
    TRY("#DE minimum by -1", minimum, 0, DE, 0);
    TRY("#UD UD2", undefined, 0, UD, 0);
    TRY("#UD LOCK with registers", lock_register, 0, UD, 0);
    struct attempt got = attempt(breakpoint, 0);
    check_fault("#BP", &got, BP, 0);
    check("  its RIP is after INT3", got.rip, (uintptr_t)fault_breakpoint + 1);
    got = attempt(software, 0);
    check_fault("INT 31", &got, 31, 0);
    check("  its RIP is after INT", got.rip, (uintptr_t)fault_software + 2);
}

static void protection(void)
{
    TRY("#GP non-canonical", read_non_canonical, NON_CANONICAL, GP, 0);
    TRY("#SS non-canonical by RBP", stack_non_canonical, NON_CANONICAL, SS, 0);
    TRY("#GP no such MSR", read_msr, 0x12345, GP, 0);
    TRY("#GP EFER reserved bit", efer_reserved, 0, GP, 0);
    TRY("#GP CR4 reserved bit", write_cr4, 1ull << 31, GP, 0);
    TRY("#GP CR0.PG without PE", paging_off, 1ull << 31, GP, 0);
    TRY("#GP CR0 upper half", paging_off, 1ull << 32 | 0x80000011, GP, 0);
}

static void selectors(void)
{
    uint64_t saved[2] = {gdt[SELECTOR_USER_DATA / 8], gdt[SELECTOR_USER_CODE / 8]};
    __asm__ volatile("lldt %w0" : : "r"(0));
    TRY("#GP selector beyond the GDT", load_data, 0x1000 | 3, GP, 0x1000);
    TRY("#GP selector of an empty LDT", load_data, 0x0c, GP, 0x0c);
    TRY("#GP null SS selector at CPL 0 with RPL 3", load_stack, 3, GP, 0);
    TRY("#GP code segment as SS", load_stack, SELECTOR_KERNEL_CODE, GP, SELECTOR_KERNEL_CODE);
    TRY("#GP user segment as SS", load_stack, SELECTOR_USER_DATA | 3, GP, SELECTOR_USER_DATA);
    TRY("#GP busy TSS", load_task, SELECTOR_TSS, GP, SELECTOR_TSS);
    TRY("#GP data segment as TSS", load_task, SELECTOR_KERNEL_DATA, GP, SELECTOR_KERNEL_DATA);
    gdt[SELECTOR_USER_DATA / 8] &= ~(1ull << 47);
    TRY("#NP data segment", load_data, SELECTOR_USER_DATA, NP, SELECTOR_USER_DATA);
    gdt[SELECTOR_USER_DATA / 8] = saved[0] & ~(3ull << 45); /* DPL 0 */
    gdt[SELECTOR_USER_DATA / 8] &= ~(1ull << 47);
    TRY("#SS stack segment not present", load_stack, SELECTOR_USER_DATA, SS, SELECTOR_USER_DATA);
    gdt[SELECTOR_USER_DATA / 8] = saved[0];
    gdt[SELECTOR_USER_CODE / 8] = (saved[1] & ~(3ull << 45)) & ~(1ull << 47);
    TRY("#NP code segment", far_code, SELECTOR_USER_CODE, NP, SELECTOR_USER_CODE);
    gdt[SELECTOR_USER_CODE / 8] = saved[1];
    struct attempt got = attempt(load_data, (void *)(uintptr_t)(SELECTOR_USER_DATA | 3));
    check_fault("user data segment in FS", &got, NO_VECTOR, 0);
    got = attempt(load_data, 0);
    check_fault("null selector in FS", &got, NO_VECTOR, 0);
}

static void reserved_code(void)
{
    const uint64_t saved = gdt[SELECTOR_USER_CODE / 8];
    gdt[SELECTOR_USER_CODE / 8] = (saved & ~(3ull << 45)) | 1ull << 54; /* L and D */
    TRY("#GP far return to L=1 D=1", far_code, SELECTOR_USER_CODE, GP, SELECTOR_USER_CODE);
    gdt[SELECTOR_USER_CODE / 8] = saved;
}

static void floating_point(void)
{
    uint64_t cr0 = read_cr0(), cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr0 = (cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE;
    write_cr0(cr0);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 & ~(3ull << 9)));
    TRY("#UD SSE without CR4.OSFXSR", use_sse, 0, UD, 0);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 3ull << 9));
    write_cr0(cr0 | CR0_TS);
    TRY("#NM SSE with CR0.TS", use_sse, 0, NM, 0);
    TRY("#NM x87 with CR0.TS", use_x87, 0, NM, 0);
    write_cr0(cr0 | CR0_EM);
    TRY("#UD SSE with CR0.EM", use_sse, 0, UD, 0);
    TRY("#NM x87 with CR0.EM", use_x87, 0, NM, 0);
    write_cr0(cr0);
    static uint64_t aligned[4] __attribute__((aligned(16)));
    TRY("#GP unaligned MOVAPS", unaligned_sse, aligned, GP, 0);
    TRY("#MF", x87_error, 0, MF, 0);
    __asm__ volatile("fninit");
    TRY("#XM", sse_error, 0, XM, 0);
    __asm__ volatile("mov %0, %%cr4" : : "r"((cr4 | 1ull << 9) & ~(1ull << 10)));
    TRY("#UD instead of #XM without CR4.OSXMMEXCPT", sse_error, 0, UD, 0);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 3ull << 9));
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    struct attempt got = attempt(use_x87, 0);
    check_fault("x87 allowed again", &got, NO_VECTOR, 0);
}

static uint64_t misaligned_with_ac(void *with)
{
    __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq" : : : "memory", "cc");
    return misaligned(with);
}

static void alignment(void)
{
    static uint64_t word[2];
    struct attempt got = attempt_user(misaligned_with_ac, word);
    check_fault("no #AC without CR0.AM", &got, NO_VECTOR, 0);
    write_cr0(read_cr0() | CR0_AM);
    got = attempt_user(misaligned_with_ac, word);
    check_fault("#AC in ring 3", &got, AC, 0);
    got = attempt(misaligned_with_ac, word);
    check_fault("no #AC in ring 0", &got, NO_VECTOR, 0);
    __asm__ volatile("pushfq; andq $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
}

/* A contributory exception while delivering a contributory one. */
static void double_fault(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    uint8_t *gate = (uint8_t *)(uintptr_t)idt.base + 16 * GP;
    gate[5] &= 0x7f;
    struct attempt got = attempt(read_non_canonical, (void *)NON_CANONICAL);
    check_fault("#DF: #GP whose gate is not present", &got, DF, 0);
    gate[5] |= 0x80;
    gate = (uint8_t *)(uintptr_t)idt.base + 16 * UD;
    gate[5] &= 0x7f;
    got = attempt(undefined, 0);
    got.error |= 1; /* EXT: AMD and Intel define it differently here */
    check_fault("#NP: #UD whose gate is not present", &got, NP, UD * 8 + 3);
    gate[5] |= 0x80;
    got = attempt(undefined, 0);
    check_fault("#UD again", &got, UD, 0);
}

static void (*const parts[])(void) = {
    arithmetic, protection, selectors, reserved_code, floating_point, alignment, double_fault};

void guest_main(const struct boot_info *boot)
{
    const uint64_t wanted = boot_option(boot, "parts", UINT64_MAX);
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (wanted >> i & 1)
            parts[i]();
    }
    check_end();
}
