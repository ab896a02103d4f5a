/*
 * What floating-point instructions leave where the manuals leave it open, on whatever executes this
 * program: approximations, functions of the x87 with the status word, and where an exception or an
 * image of the state shows the last x87 instruction (FCS:FIP, FOP, FDS:FDP), and whether there is
 * an exception. As flags.c: `diff` shows what an emulator computes otherwise than a processor.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void approximations(void)
{
    static const uint32_t operands[] = {0x3f800000, 0x40400000, 0x3dcccccd, 0xc2f6e979, 0x5f123456,
        0x00000000, 0x80000000, 0x00123456, 0x007fffff, 0x00800000, 0x7e800001, 0x7f000001,
        0x7f7fffff, 0x7f800000, 0xff800000, 0x7f812345, 0xffc12345};
    for (unsigned i = 0; i < sizeof operands / sizeof operands[0]; i++) {
        uint32_t reciprocal, root, status = 0x1f80;
        __asm__ volatile("ldmxcsr %2\n\tmovd %3, %%xmm0\n\trcpss %%xmm0, %%xmm1\n\t"
                         "rsqrtss %%xmm0, %%xmm2\n\tmovd %%xmm1, %0\n\tmovd %%xmm2, %1\n\t"
                         "stmxcsr %2"
                         : "=r"(reciprocal), "=r"(root), "+m"(status)
                         : "r"(operands[i])
                         : "xmm0", "xmm1", "xmm2");
        printf("rcpss, rsqrtss of %08x: %08x %08x, MXCSR %04x\n", operands[i], reciprocal, root,
            status);
    }
}

struct number {
    uint64_t fraction;
    uint16_t exponent;
};

struct form {
    const char *text;
    void (*execute)(const struct number *first, const struct number *second, struct number *result,
        uint16_t *status);
};

/* ST(0) is the first operand, ST(1) the second. */
#define FORMS(FORM) \
    FORM(faddp)     \
    FORM(fmulp)     \
    FORM(fdivp)     \
    FORM(fsqrt)     \
    FORM(frndint)   \
    FORM(fscale)    \
    FORM(fprem)     \
    FORM(fprem1)    \
    FORM(fxtract)   \
    FORM(fxam)      \
    FORM(fcom)      \
    FORM(fabs)      \
    FORM(fsin)      \
    FORM(fcos)      \
    FORM(fsincos)   \
    FORM(fptan)     \
    FORM(fpatan)    \
    FORM(f2xm1)     \
    FORM(fyl2x)     \
    FORM(fyl2xp1)

#define DEFINE(name)                                                                    \
    static void execute_##name(const struct number *first, const struct number *second, \
        struct number *result, uint16_t *status)                                        \
    {                                                                                   \
        __asm__ volatile("fninit\n\tfldt %3\n\tfldt %2\n\tfnclex\n\t" #name             \
                         "\n\tfnstsw %1\n\tfstpt %0\n\tfninit"                          \
                         : "=m"(*result), "=m"(*status)                                 \
                         : "m"(*first), "m"(*second));                                  \
    }
FORMS(DEFINE)

#define LIST(name) {#name, execute_##name},
static const struct form forms[] = {FORMS(LIST)};

static void x87(void)
{
    static const struct number operands[][2] = {
        {{0xc90fdaa22168c234, 0x3ffe}, {0x8123456789abcdef, 0x4001}},
        {{0xb504f333f9de6484, 0xbffd}, {0x8000000000000000, 0x3fff}},
        {{0x0123456789abcdef, 0x0000}, {0x8000000000000001, 0x3fff}},
        {{0x8000000000000000, 0x0000}, {0xaaaaaaaaaaaaaaaa, 0x7ffe}},
        {{0xc123456789abcdef, 0x7fff}, {0x9000000000000000, 0x7fff}},
        {{0x4000000000000000, 0x4000}, {0x8000000000000000, 0x3fff}}};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (unsigned j = 0; j < sizeof operands / sizeof operands[0]; j++) {
            struct number result = {0, 0};
            uint16_t status = 0;
            forms[i].execute(&operands[j][0], &operands[j][1], &result, &status);
            printf("%s of operands %u: %04x %016lx, status %04x\n", forms[i].text, j,
                result.exponent, result.fraction, status);
        }
    }
}

/* ---- The last instruction ----------------------------------------------------------------------
 */

struct environment {
    uint32_t control, status, tags, instruction;
    uint16_t code_selector, opcode;
    uint32_t data;
    uint16_t data_selector, unused;
};

struct image {
    uint16_t control, status, tags, opcode;
    uint64_t instruction, data;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t registers[480];
} __attribute__((aligned(16)));

static double operand;

struct seen {
    struct environment environment;
    struct image image, narrow;
};

/* `has` is 0 where there is none, so that no address of this run is printed. */
static const char *place(uint64_t value, const void *expected, uint64_t mask)
{
    if (value == 0)
        return "0";
    return value == ((uintptr_t)expected & mask) ? "its address" : "another";
}

static void print_seen(const char *name, const struct seen *seen, const void *instruction)
{
    const struct environment *e = &seen->environment;
    printf("%s: FNSTENV has FIP %s, FOP %03x, FDP %s, FCS %04x, FDS %04x\n", name,
        place(e->instruction, instruction, UINT32_MAX), e->opcode & 0x7ff,
        place(e->data, &operand, UINT32_MAX), e->code_selector, e->data_selector);
    printf("%s: FXSAVE64 has FIP %s, FOP %03x, FDP %s\n", name,
        place(seen->image.instruction, instruction, UINT64_MAX), seen->image.opcode,
        place(seen->image.data, &operand, UINT64_MAX));
    printf("%s: FXSAVE has FIP %s, FOP %03x, FDP %s, FCS %04x, FDS %04x\n", name,
        place(seen->narrow.instruction & UINT32_MAX, instruction, UINT32_MAX), seen->narrow.opcode,
        place(seen->narrow.data & UINT32_MAX, &operand, UINT32_MAX),
        (unsigned)(seen->narrow.instruction >> 32), (unsigned)(seen->narrow.data >> 32));
}

/* CODE with the instruction looked at after the label 1, and what shows it afterwards. */
#define LAST(text, code, value, control_word)                                                     \
    do {                                                                                          \
        static struct seen seen;                                                                  \
        const void *at;                                                                           \
        uint16_t control = control_word;                                                          \
        operand = value;                                                                          \
        __asm__ volatile("fninit\n\tfldcw %4\n\tlea 1f(%%rip), %3\n\t" code                       \
                         "\n\tfxsave64 %1\n\tfxsave %2\n\tfnstenv %0\n\tfnclex\n\tfninit"         \
                         : "=m"(seen.environment), "=m"(seen.image), "=m"(seen.narrow), "=&r"(at) \
                         : "m"(control), "m"(operand));                                           \
        print_seen(text, &seen, at);                                                              \
    } while (0)

static void last(void)
{
    LAST("nothing", "1:", 1, 0x37f);
    LAST("fld m64", "1: fldl %5", 1, 0x37f);
    LAST("fld1; fld m64; fadd", "fld1; fldl %5\n1: faddp", 1, 0x37f);
    LAST("fld1; fdiv 0, masked", "fld1\n1: fdivl %5", 0, 0x37f);
    LAST("fld1; fdiv 0, unmasked", "fld1\n1: fdivl %5", 0, 0x37b);
    LAST("fld1; fldz; fdivr, unmasked", "fld1; fldz\n1: fdivrp", 0, 0x37b);
    LAST("fdiv 0, unmasked; fnclex", "fld1\n1: fdivl %5; fnclex", 0, 0x37b);
    LAST("fdiv 0, unmasked; fnclex; fld1", "fld1; fdivl %5; fnclex\n1: fld1", 0, 0x37b);
    LAST("fdiv 0, unmasked; fnstsw", "fld1\n1: fdivl %5; fnstsw %%ax", 0, 0x37b);
}

/* ---- Exceptions --------------------------------------------------------------------------------
 */

static sigjmp_buf escape;

static void on_signal(int number)
{
    siglongjmp(escape, number);
}

static void divide(void)
{
    const uint32_t zero_unmasked = 0x1d80;
    __asm__ volatile("ldmxcsr %0\n\tpxor %%xmm0, %%xmm0\n\tmovss %1, %%xmm1\n\tdivss %%xmm0, %%xmm1"
                     :
                     : "m"(zero_unmasked), "m"((const float){1})
                     : "xmm0", "xmm1");
}

static void divide_x87(void)
{
    const uint16_t zero_unmasked = 0x37b;
    __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait"
                     :
                     : "m"(zero_unmasked));
}

static void exception(const char *name, void (*raise)(void))
{
    const uint32_t masked = 0x1f80;
    signal(SIGFPE, on_signal);
    int number = sigsetjmp(escape, 1);
    if (!number)
        raise();
    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(masked));
    printf("%s 1 by 0, unmasked: %s\n", name, number ? "an exception" : "none");
}

int main(void)
{
    static struct image image;
    approximations();
    x87();
    last();
    exception("divss", divide);
    exception("fdiv", divide_x87);
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    printf("MXCSR_MASK %08x\n", image.mxcsr_mask);
    return 0;
}
