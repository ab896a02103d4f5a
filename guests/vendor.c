/*
 * What the makers of processors do differently where the manuals leave it open: undefined flags,
 * results for operands that the manuals exclude, approximations. Each group's results and flags,
 * over pseudo-random operands, in ring 0 and in ring 3, are folded into a number and printed; the
 * numbers depend on the CPU rules alone. Options: rounds=400, x87=1 (0: no transcendental
 * functions), strings=1 (0: no page faults).
 */
#include <stdint.h>

#include "lib/attempt.h"
#include "lib/boot.h"
#include "lib/console.h"

#define FLAGS_ARITHMETIC 0x8d5ull
#define CR0_EM_TS        0xcull
#define CR0_MP_NE_WP     0x10022ull
#define CR4_SSE          0x600ull /* OSFXSR, OSXMMEXCPT */

enum { PAGE = 4096, WINDOW_ENTRIES = 512 };
#define WINDOW 0x40000000ull

static uint64_t seed, fold, rounds;
static uint64_t table[WINDOW_ENTRIES] __attribute__((aligned(PAGE)));
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));

static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Often short, often all ones: what shifts and multiplications look different for. */
static uint64_t operand(void)
{
    uint64_t value = random_next(), shape = random_next();
    value >>= shape & 63;
    return shape & 64 ? ~value : value;
}

static void add(uint64_t value)
{
    fold = (fold ^ value) * 0x9e3779b97f4a7c15ull;
    fold ^= fold >> 29;
}

/* OPERATION with operands in RAX, RBX and CL, beginning with all flags 0 and then all set. */
#define RUN(operation)                                                                         \
    do {                                                                                       \
        uint64_t a_ = operand(), b_ = operand(), c_ = random_next();                           \
        for (uint64_t before_ = 0; before_ <= FLAGS_ARITHMETIC; before_ += FLAGS_ARITHMETIC) { \
            uint64_t a = a_, b = b_, flags = before_;                                          \
            __asm__ volatile("pushq %2\n\tpopfq\n\t" operation "\n\tpushfq\n\tpopq %2"         \
                             : "+a"(a), "+b"(b), "+d"(flags)                                   \
                             : "c"(c_)                                                         \
                             : "cc", "memory");                                                \
            add(a);                                                                            \
            add(b);                                                                            \
            add(flags &FLAGS_ARITHMETIC);                                                      \
        }                                                                                      \
    } while (0)

static void shifts(void)
{
    RUN("shll %%cl, %%eax");
    RUN("shrq %%cl, %%rax");
    RUN("sarl %%cl, %%eax");
    RUN("shlq $5, %%rax");
    RUN("shrl $9, %%eax");
    RUN("sarq $33, %%rax");
    RUN("shlw %%cl, %%ax");
    RUN("shrb %%cl, %%al");
    RUN("shrl %%eax");
}

static void rotates(void)
{
    RUN("roll $5, %%eax");
    RUN("rorq $11, %%rax");
    RUN("rolw $8, %%ax");
    RUN("roll %%cl, %%eax");
    RUN("rorb %%cl, %%al");
    RUN("rcll $3, %%eax");
    RUN("rcrq %%cl, %%rax");
    RUN("rclw %%cl, %%ax");
}

static void double_shifts(void)
{
    RUN("shldl $7, %%ebx, %%eax");
    RUN("shrdq $41, %%rbx, %%rax");
    RUN("shldq %%cl, %%rbx, %%rax");
    RUN("shrdw %%cl, %%bx, %%ax");
    RUN("shldw %%cl, %%bx, %%ax");
}

static void multiplications(void)
{
    RUN("imull %%ebx, %%eax");
    RUN("imulq $-77, %%rbx, %%rax");
    RUN("imulw %%bx, %%ax");
    RUN("mulb %%bl");
    RUN("imulb %%bl");
    RUN("movq %%rdx, %%r8; mull %%ebx; movq %%rdx, %%rbx; movq %%r8, %%rdx");
    RUN("movzbl %%al, %%eax; orb $1, %%bl; divb %%bl");
}

static void bits(void)
{
    RUN("bsfl %%ebx, %%eax");
    RUN("bsrq %%rbx, %%rax");
    RUN("movl $0, %%ebx; bsfl %%ebx, %%eax");
    RUN("btl %%ebx, %%eax");
    RUN("btsq $40, %%rax");
    RUN(".byte 0x66; bswapl %%eax");
    RUN(".byte 0x66, 0x48, 0x90; .byte 0x66, 0x63, 0xc3"); /* MOVSXD AX, EBX */
    RUN("andl %%ebx, %%eax");
}

static void branches(void)
{
    /* LOOPE with REPNE, RCX being kept. */
    RUN("pushq %%rcx; movl $2, %%ecx; cmpl %%eax, %%ebx; .byte 0xf2; loope 1f; incl %%eax\n1:"
        "\tpopq %%rcx");
}

static void approximations(void)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t reciprocal, root, x = (uint32_t)operand();
        __asm__ volatile("movd %2, %%xmm0\n\trcpss %%xmm0, %%xmm1\n\trsqrtss %%xmm0, %%xmm2\n\t"
                         "movd %%xmm1, %0\n\tmovd %%xmm2, %1"
                         : "=r"(reciprocal), "=r"(root)
                         : "r"(x));
        add(reciprocal);
        add(root);
    }
}

/* A scan that runs into a page that is not there shows flags, RCX and RDI in the fault's frame. */
static uint64_t scan_into_nothing(void *unused)
{
    uint64_t at = WINDOW + PAGE - 64, left = 20;
    (void)unused;
    __asm__ volatile("cmpq $1, %2\n\trepe scasq"
                     : "+D"(at), "+c"(left)
                     : "a"(0ull)
                     : "cc", "memory");
    return left;
}

static void strings(void)
{
    struct attempt got = attempt(scan_into_nothing, 0);
    add(got.vector);
    add(got.cr2);
    add(got.rflags & FLAGS_ARITHMETIC);
}

static void functions(void)
{
    union {
        double number;
        uint64_t bits;
    } x = {.bits = 0x3ff0000000000000ull | random_next() >> 12};
    uint64_t result[2] = {0};
    __asm__ volatile("fninit\n\tfldl %1\n\tfsin\n\tfldl %1\n\tfyl2x\n\tfstpt %0"
                     : "=m"(result)
                     : "m"(x)
                     : "memory");
    add(result[0]);
    add(result[1] & 0xffff);
}

struct group {
    const char *name;
    void (*run)(void);
};

static const struct group groups[] = {{"shifts", shifts}, {"rotates", rotates},
    {"double shifts", double_shifts}, {"multiplications", multiplications}, {"bits", bits},
    {"branches", branches}, {"approximations", approximations}, {"strings", strings},
    {"functions", functions}};
enum { GROUPS = sizeof groups / sizeof groups[0], STRINGS = GROUPS - 2, FUNCTIONS = GROUPS - 1 };

static uint64_t run_group(void *argument)
{
    const struct group *group = argument;
    fold = 0;
    seed = 88172645463325252ull;
    for (uint64_t i = 0; i < rounds; i++)
        group->run();
    return fold;
}

/* One page at WINDOW and nothing after it. */
static void map_window(void)
{
    uint64_t cr3;
    __asm__("movq %%cr3, %0" : "=r"(cr3));
    const uint64_t mask = 0xfffffff000ull;
    uint64_t *level4 = (uint64_t *)(cr3 & mask), *level3 = (uint64_t *)(level4[0] & mask);
    uint64_t *directory = (uint64_t *)(level3[1] & mask);
    table[0] = (uint64_t)page | 7;
    directory[0] = (uint64_t)table | 7;
    __asm__ volatile("movq %0, %%cr3" : : "r"(cr3) : "memory");
}

static void enable_floating_point(void)
{
    uint64_t cr0, cr4;
    __asm__ volatile("movq %%cr0, %0\n\tmovq %%cr4, %1" : "=r"(cr0), "=r"(cr4));
    cr0 = (cr0 & ~CR0_EM_TS) | CR0_MP_NE_WP;
    cr4 |= CR4_SSE;
    __asm__ volatile("movq %0, %%cr0\n\tmovq %1, %%cr4" : : "r"(cr0), "r"(cr4));
}

void guest_main(const struct boot_info *boot)
{
    rounds = boot_option(boot, "rounds", 400);
    bool with_functions = boot_option(boot, "x87", 1),
         with_strings = boot_option(boot, "strings", 1);
    enable_floating_point();
    map_window();
    for (unsigned i = 0; i < GROUPS; i++) {
        void *group = (void *)&groups[i];
        if ((i == FUNCTIONS && !with_functions) || (i == STRINGS && !with_strings))
            continue;
        uint64_t ring0 = run_group(group);
        console_printf("%s: ring 0 %016lx", groups[i].name, ring0);
        if (i != STRINGS) { /* attempt() is of ring 0 */
            struct attempt user = attempt_user(run_group, group);
            console_printf(
                " ring 3 %s", user.vector == NO_VECTOR && user.result == ring0 ? "same" : "other");
        }
        console_printf("\n");
    }
}
