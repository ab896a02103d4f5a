/*
 * The flags that instructions leave, the undefined ones too, on whatever executes this program: a
 * line for each instruction, with what it leaves of two operands, each with all arithmetic flags
 * clear and set before; and what prefixes that the manuals exclude make of a register. On a
 * processor and in an emulator, `diff` shows what the emulator computes otherwise.
 */
#include <stdio.h>
#include <stdint.h>

#define ARITHMETIC 0x8d5ul /* OF SF ZF AF PF CF */

struct registers {
    uint64_t rax, rcx, rdx, flags;
};

struct form {
    const char *text;
    void (*execute)(struct registers *registers);
};

#define FORMS(FORM)                                               \
    FORM(shl_1, "shl $1, %%eax")                                  \
    FORM(shl_4, "shl $4, %%rax")                                  \
    FORM(shl_cl, "shl %%cl, %%eax")                               \
    FORM(shr_1, "shr $1, %%eax")                                  \
    FORM(shr_4, "shr $4, %%rax")                                  \
    FORM(shr_8_word, "shr $8, %%ax")                              \
    FORM(shr_cl, "shr %%cl, %%eax")                               \
    FORM(sar_1, "sar $1, %%eax")                                  \
    FORM(sar_4, "sar $4, %%rax")                                  \
    FORM(rol_1, "rol $1, %%eax")                                  \
    FORM(rol_5, "rol $5, %%rax")                                  \
    FORM(ror_5, "ror $5, %%eax")                                  \
    FORM(rcl_1, "rcl $1, %%eax")                                  \
    FORM(rcl_5, "rcl $5, %%eax")                                  \
    FORM(rcr_5, "rcr $5, %%rax")                                  \
    FORM(shld_4, "shld $4, %%edx, %%eax")                         \
    FORM(shrd_4, "shrd $4, %%rdx, %%rax")                         \
    FORM(mul_byte, "mul %%cl")                                    \
    FORM(mul, "mul %%ecx")                                        \
    FORM(mul_quad, "mul %%rcx")                                   \
    FORM(imul, "imul %%rcx")                                      \
    FORM(imul_2, "imul %%ecx, %%eax")                             \
    FORM(imul_3, "imul $1000, %%rcx, %%rax")                      \
    FORM(imul_to_0, "mov $0x10000, %%ecx; imul %%ecx, %%ecx")     \
    FORM(bsf_flags_of_0, "mov $0, %%ecx; bsf %%ecx, %%eax")       \
    FORM(div, "xor %%edx, %%edx; div %%ecx")                      \
    FORM(div_quad, "xor %%edx, %%edx; div %%rcx")                 \
    FORM(idiv, "cltd; idiv %%ecx")                                \
    FORM(bsf, "bsf %%rcx, %%rax")                                 \
    FORM(bsr, "bsr %%ecx, %%eax")                                 \
    FORM(bt, "bt $3, %%eax")                                      \
    FORM(add_bt, "add %%ecx, %%eax; bt $3, %%eax")                \
    FORM(add_jmp_bt, "add %%ecx, %%eax; jmp 1f; 1: bt $3, %%eax") \
    FORM(bts, "bts %%ecx, %%eax")                                 \
    FORM(and, "and %%ecx, %%eax")                                 \
    FORM(or, "or %%rcx, %%rax")                                   \
    FORM(xor, "xor %%ecx, %%eax")                                 \
    FORM(test, "test %%ecx, %%eax")                               \
    FORM(add, "add %%ecx, %%eax")                                 \
    FORM(adc, "adc %%rcx, %%rax")                                 \
    FORM(sub, "sub %%ecx, %%eax")                                 \
    FORM(inc, "inc %%eax")                                        \
    FORM(neg, "neg %%rax")                                        \
    FORM(cmpxchg, "cmpxchg %%ecx, %%edx")                         \
    FORM(popcnt, "popcnt %%ecx, %%eax")

/* Pushes: to be compiled with -mno-red-zone. */
#define DEFINE(name, text)                                                          \
    static void execute_##name(struct registers *r)                                 \
    {                                                                               \
        __asm__ volatile("push %3\n\tpopfq\n\t" text "\n\tpushfq\n\tpop %3"         \
                         : "+a"(r->rax), "+c"(r->rcx), "+d"(r->rdx), "+r"(r->flags) \
                         :                                                          \
                         : "cc", "memory");                                         \
    }
FORMS(DEFINE)

/* RAX is what is looked at. */
#define RESULTS(FORM)                                                                          \
    FORM(bsf_of_0, "xor %%ecx, %%ecx; bsf %%ecx, %%eax")                                       \
    FORM(bsr_of_0, "xor %%ecx, %%ecx; bsr %%ecx, %%eax")                                       \
    FORM(bsf_of_0_word, "xor %%ecx, %%ecx; bsf %%cx, %%ax")                                    \
    FORM(bswap_66, ".byte 0x66; bswap %%eax")                                                  \
    FORM(movsxd_66, ".byte 0x66, 0x63, 0xc1")                                                  \
    FORM(loope_repne, "mov $2, %%ecx; cmp %%eax, %%edx; .byte 0xf2; loope 1f; inc %%eax; 1:")  \
    FORM(loope_repe, "mov $2, %%ecx; cmp %%eax, %%edx; .byte 0xf3; loope 1f; inc %%eax; 1:")   \
    FORM(loopne_repe, "mov $2, %%ecx; cmp %%eax, %%edx; .byte 0xf3; loopne 1f; inc %%eax; 1:") \
    FORM(loopne_repne, "mov $2, %%ecx; cmp %%eax, %%edx; .byte 0xf2; loopne 1f; inc %%eax; 1:")
RESULTS(DEFINE)

#define LIST(name, text) {text, execute_##name},
static const struct form forms[] = {FORMS(LIST)};
#define NAME(name, text) {#name, execute_##name},
static const struct form results[] = {RESULTS(NAME)};

static void print_flags(uint64_t flags)
{
    static const struct {
        unsigned bit;
        char letter;
    } names[] = {{11, 'O'}, {7, 'S'}, {6, 'Z'}, {4, 'A'}, {2, 'P'}, {0, 'C'}};
    putchar(' ');
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        putchar(flags >> names[i].bit & 1 ? names[i].letter : '-');
}

/* One % for two in the texts, as the assembler has it. */
static void print_text(const char *text)
{
    int length = 0;
    for (; *text; text++) {
        putchar(*text);
        length++;
        if (text[0] == '%' && text[1] == '%')
            text++;
    }
    printf("%*s", 41 - length, "");
}

int main(void)
{
    static const struct registers operands[] = {{.rax = 0x2e9c, .rcx = 3, .rdx = 0x2e9c},
        {.rax = 0x9abcdef0f1e2d3c4, .rcx = 0x80000005, .rdx = 7}};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        print_text(forms[i].text);
        for (unsigned j = 0; j < 4; j++) {
            struct registers r = operands[j / 2];
            r.flags = 2 | (j & 1 ? ARITHMETIC : 0);
            forms[i].execute(&r);
            print_flags(r.flags);
        }
        putchar('\n');
    }
    for (unsigned i = 0; i < sizeof results / sizeof results[0]; i++) {
        printf("%-41s", results[i].text);
        for (unsigned j = 0; j < 2; j++) {
            struct registers r = operands[j];
            results[i].execute(&r);
            printf(" %lx", r.rax);
        }
        putchar('\n');
    }
    return 0;
}
