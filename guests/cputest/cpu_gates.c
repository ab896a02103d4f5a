/*
 * Gates, stacks and privilege: DPL of gates, interrupt and trap gates, RSP0, IST, the pushed frame,
 * privileged instructions, I/O permission, IRET, SYSCALL and SYSRET, call gates, triple fault not
 * included. Expectations from the AMD64 APM volume 2, chapters 4, 6 and 8.
 */
#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/interrupts.h"
#include "lib/segments.h"

enum { UD = 6, NP = 11, GP = 13 };

extern uint64_t gdt[];
extern uint8_t tss[];

enum { TSS_RSP0_OFFSET = 4, TSS_IST1_OFFSET = 36, TSS_IOMAP_OFFSET = 104 };

static uint8_t *gate(unsigned vector)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    return (uint8_t *)(uintptr_t)idt.base + 16 * vector;
}

static uint64_t flags(void)
{
    uint64_t value;
    __asm__ volatile("pushfq; pop %0" : "=r"(value));
    return value;
}

#define CODE(name, code)                                                                         \
    static __attribute__((noinline)) uint64_t name(void *with)                                   \
    {                                                                                            \
        uint64_t result = 0;                                                                     \
        __asm__ volatile(code : "+a"(result) : "D"(with) : "rcx", "rdx", "r11", "memory", "cc"); \
        return result;                                                                           \
    }

CODE(int_31, "int $31")
CODE(do_hlt, "hlt")
CODE(do_cli, "cli")
CODE(do_sti, "sti")
CODE(do_clts, "clts")
CODE(do_invlpg, "invlpg (%%rdi)")
CODE(do_wbinvd, "wbinvd")
CODE(do_rdmsr, "mov $0xc0000080, %%ecx; rdmsr")
CODE(do_wrmsr, "mov $0xc0000080, %%ecx; wrmsr")
CODE(do_lgdt, "lgdt (%%rdi)")
CODE(do_lidt, "lidt (%%rdi)")
CODE(do_lldt, "lldt %%ax")
CODE(do_ltr, "ltr %%ax")
CODE(do_swapgs, "swapgs")
CODE(read_cr3, "mov %%cr3, %%rax")
CODE(write_cr3, "mov %%rax, %%cr3")
CODE(read_dr7, "mov %%dr7, %%rax")
CODE(lmsw, "lmsw %%ax")
CODE(out_byte, "mov $0x80, %%edx; outb %%al, %%dx")
CODE(out_word, "mov $0x7f, %%edx; outw %%ax, %%dx")
CODE(load_kernel_data, "mov $0x10, %%eax; mov %%eax, %%fs")
CODE(far_to_kernel, "push $8; lea 1f(%%rip), %%rcx; push %%rcx; lretq\n1:")
CODE(change_if, "pushfq; andq $~0x200, (%%rsp); popfq; pushfq; pop %%rax")
CODE(change_iopl, "pushfq; orq $0x3000, (%%rsp); popfq; pushfq; pop %%rax")

static void privileged(void)
{
    static const struct {
        const char *name;
        uint64_t (*function)(void *);
        uint64_t error;
    } list[] = {{"HLT", do_hlt, 0}, {"CLI", do_cli, 0}, {"STI", do_sti, 0}, {"CLTS", do_clts, 0},
        {"INVLPG", do_invlpg, 0}, {"WBINVD", do_wbinvd, 0}, {"RDMSR", do_rdmsr, 0},
        {"WRMSR", do_wrmsr, 0}, {"LGDT", do_lgdt, 0}, {"LIDT", do_lidt, 0}, {"LLDT", do_lldt, 0},
        {"LTR", do_ltr, 0}, {"SWAPGS", do_swapgs, 0}, {"read CR3", read_cr3, 0},
        {"write CR3", write_cr3, 0}, {"read DR7", read_dr7, 0}, {"LMSW", lmsw, 0},
        {"kernel data segment in FS", load_kernel_data, 0x10},
        {"far return to ring 0", far_to_kernel, 8}};
    static uint64_t operand[2];
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        struct attempt got = attempt_user(list[i].function, operand);
        check_fault(list[i].name, &got, GP, list[i].error);
    }
    struct attempt got = attempt_user(change_if, 0);
    check("POPF in ring 3 leaves IF", got.result & 0x200, 0x200);
    got = attempt_user(change_iopl, 0);
    check("POPF in ring 3 leaves IOPL", got.result & 0x3000, 0);
}

static void io_permission(void)
{
    struct attempt got = attempt_user(out_byte, 0);
    check_fault("OUT allowed by the map", &got, NO_VECTOR, 0);
    tss[TSS_IOMAP_OFFSET + 0x80 / 8] |= 1;
    got = attempt_user(out_byte, 0);
    check_fault("OUT refused by the map", &got, GP, 0);
    got = attempt_user(out_word, 0);
    check_fault("OUT of a word of which one port is refused", &got, GP, 0);
    got = attempt(out_byte, 0);
    check_fault("OUT in ring 0 whatever the map", &got, NO_VECTOR, 0);
    tss[TSS_IOMAP_OFFSET + 0x80 / 8] &= 0xfe;
}

static void gates(void)
{
    uint8_t *entry = gate(31);
    struct attempt got = attempt_user(int_31, 0);
    check_fault("INT 31 from ring 3, gate DPL 0", &got, GP, 31 * 8 + 2);
    entry[5] |= 0x60;
    got = attempt_user(int_31, 0);
    check_fault("INT 31 from ring 3, gate DPL 3", &got, 31, 0);
    check("  CS of ring 3 pushed", got.cs, SELECTOR_USER_CODE | 3);
    check("  SS of ring 3 pushed", got.ss, SELECTOR_USER_DATA | 3);
    check("  IF pushed", got.rflags & 0x200, 0x200);
    uint64_t rsp0;
    __builtin_memcpy(&rsp0, tss + TSS_RSP0_OFFSET, 8);
    check("  frame below RSP0", got.frame, (rsp0 & ~15ull) - 40);
    got = attempt(int_31, 0);
    check("ring 0: frame aligned to 16", got.frame & 15, 8);
    check("  old RSP above it", got.rsp > got.frame, 1);
    entry[5] &= 0x7f;
    got = attempt(int_31, 0);
    check_fault("INT 31, gate not present", &got, NP, 31 * 8 + 2);
    entry[5] = 0xe5; /* a task gate, which long mode has not */
    got = attempt(int_31, 0);
    check_fault("INT 31, gate of a wrong type", &got, GP, 31 * 8 + 2);
    entry[5] = 0x8e;
}

static uint64_t seen_flags;
static uint64_t seen_frame;

static void see(struct interrupt_frame *frame)
{
    seen_flags = flags();
    seen_frame = (uintptr_t)&frame->rip;
}

static void gate_types(void)
{
    interrupts_handle(40, see);
    uint8_t *entry = gate(40);
    __asm__ volatile("sti; int $40; cli");
    check("interrupt gate clears IF", seen_flags & 0x200, 0);
    entry[5] = 0x8f;
    __asm__ volatile("sti; int $40; cli");
    check("trap gate leaves IF", seen_flags & 0x200, 0x200);
    __asm__ volatile("int $40");
    check("  also when clear", seen_flags & 0x200, 0);
    static uint8_t stack[2048] __attribute__((aligned(16)));
    uint64_t top = (uintptr_t)stack + sizeof stack;
    __builtin_memcpy(tss + TSS_IST1_OFFSET, &top, 8);
    entry[4] = 1;
    __asm__ volatile("int $40");
    check("IST 1 gives the stack in ring 0", seen_frame, top - 40);
    top -= 8;
    __builtin_memcpy(tss + TSS_IST1_OFFSET, &top, 8);
    __asm__ volatile("int $40");
    check("  aligned down to 16", seen_frame, top - 8 - 40);
    entry[4] = 0;
    entry[5] = 0x8e;
}

static uint64_t iret_to(uint64_t cs, uint64_t ss)
{
    uint64_t result;
    __asm__ volatile(
        "mov %%rsp, %%rcx; push %1; push %%rcx; pushfq; push %2; lea 1f(%%rip), %%rax\n"
        "push %%rax; iretq\n1: mov %%ss, %%eax; mov $0x10, %%ecx; mov %%ecx, %%ss"
        : "=&a"(result)
        : "r"(ss), "r"(cs)
        : "rcx", "memory", "cc");
    return result & 0xffff;
}

static uint64_t iret_null_stack(void *with)
{
    (void)with;
    return iret_to(SELECTOR_KERNEL_CODE, 0);
}
static uint64_t iret_to_data(void *with)
{
    (void)with;
    return iret_to(SELECTOR_KERNEL_DATA, SELECTOR_KERNEL_DATA);
}
static uint64_t iret_bad_stack(void *with)
{
    (void)with;
    return iret_to(SELECTOR_KERNEL_CODE, SELECTOR_USER_DATA | 3);
}
CODE(iret_nt, "pushfq; orq $0x4000, (%%rsp); popfq; iretq")

static void irets(void)
{
    struct attempt got = attempt(iret_null_stack, 0);
    check_fault("IRETQ to ring 0 with a null SS", &got, NO_VECTOR, 0);
    check("  SS", got.result, 0);
    got = attempt(iret_to_data, 0);
    check_fault("IRETQ to a data segment", &got, GP, SELECTOR_KERNEL_DATA);
    got = attempt(iret_bad_stack, 0);
    check_fault("IRETQ to ring 0 with SS of ring 3", &got, GP, SELECTOR_USER_DATA);
    got = attempt(iret_nt, 0);
    check_fault("IRETQ with NT in long mode", &got, GP, 0);
}

/* SYSCALL from ring 3 and back by SYSRET. */
static void write_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static uint64_t read_msr(uint32_t index)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return low | (uint64_t)high << 32;
}

extern const char syscall_entry[];
__asm__("syscall_entry:\n"
        "    pushfq\n" /* on the stack of ring 3 */
        "    pop %rax\n"
        "    mov %cs, %edx\n"
        "    sysretq\n");

static uint64_t do_syscall(void *with)
{
    uint64_t *result = with;
    uint64_t inside, cs, rip, old_flags, ss;
    __asm__ volatile("or $-1, %%rcx; or $-1, %%r11; stc; syscall\n"
                     "1: mov %%r11, %3; lea 1b(%%rip), %2; sub %%rcx, %2; mov %%ss, %%ecx"
                     : "=&a"(inside), "=&d"(cs), "=&r"(rip), "=&r"(old_flags), "=&c"(ss)
                     :
                     : "r11", "memory", "cc");
    result[0] = inside;
    result[1] = cs;
    result[2] = rip;
    result[3] = old_flags;
    result[4] = ss & 0xffff;
    return 0;
}
CODE(syscall_disabled, "syscall")

static void syscalls(void)
{
    static uint64_t seen[5];
    uint64_t efer = read_msr(0xc0000080);
    write_msr(0xc0000080, efer & ~1ull);
    struct attempt got = attempt_user(syscall_disabled, 0);
    check_fault("SYSCALL without EFER.SCE", &got, UD, 0);
    write_msr(0xc0000080, efer | 1);
    /* SYSCALL: CS 8, SS 16. SYSRETQ: CS 0x20 + 16 = 0x30, SS 0x20 + 8 = 0x28, both with RPL 3. */
    write_msr(0xc0000081, 0x0023000800000000);
    write_msr(0xc0000082, (uintptr_t)syscall_entry);
    write_msr(0xc0000084, 0x201); /* IF and CF are cleared */
    got = attempt_user(do_syscall, seen);
    check_fault("SYSCALL and SYSRET", &got, NO_VECTOR, 0);
    check("  CS inside", seen[1] & 0xffff, SELECTOR_KERNEL_CODE);
    check("  flags cleared by SFMASK", seen[0] & 0x201, 0);
    check("  RCX held the next RIP", seen[2], 0);
    check("  R11 held the flags", seen[3] & 0x201, 0x201);
    check("  SS after SYSRET", seen[4], SELECTOR_USER_DATA | 3);
    write_msr(0xc0000080, efer);
}

static uint64_t read_gs(void *with)
{
    uint64_t value, selector;
    __asm__ volatile("mov %%gs:(%2), %0; mov %%gs, %1" : "=&r"(value), "=&r"(selector) : "r"(with));
    return selector & 0xffff ? 1 : value;
}

/* IRETQ to ring 3 makes GS null where its DPL is 0, but 64-bit code goes on to use its base. */
static void null_gs(void)
{
    static volatile uint64_t word = 0x1234;
    static uint64_t before;
    __asm__ volatile("mov %0, %%gs" : : "r"(SELECTOR_KERNEL_DATA));
    before = (uintptr_t)&word - 64;
    write_msr(0xc0000101, before);
    struct attempt got = attempt_user(read_gs, (void *)64);
    check_fault("GS in ring 3", &got, NO_VECTOR, 0);
    check("  null, with its base", got.result, 0x1234);
    check("  its base afterwards", read_msr(0xc0000101), before);
    write_msr(0xc0000101, 0);
}

static void swapgs(void)
{
    write_msr(0xc0000101, 0x1111000);
    write_msr(0xc0000102, 0x2222000);
    __asm__ volatile("swapgs");
    check("SWAPGS: GS base", read_msr(0xc0000101), 0x2222000);
    check("SWAPGS: kernel GS base", read_msr(0xc0000102), 0x1111000);
    write_msr(0xc0000100, 0);
    write_msr(0xc0000101, 0);
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    attempt(int_31, 0); /* installs the handlers */
    gate_types();
    gates();
    privileged();
    io_permission();
    irets();
    syscalls();
    null_gs();
    swapgs();
    check_end();
}
