/*
 * Carries values about in every way that a processor has, for tests of where they came from.
 * Nothing but the numbers' places matters: each ends in a variable that says how it got there.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"

uint64_t made;                           /* computed */
uint64_t copied;                         /* from `made`, byte by byte */
uint64_t pushed;                         /* by way of the stack and other registers */
uint64_t swapped;                        /* its bytes the other way round */
uint64_t joined;                         /* its lower half; the upper one is a constant */
uint64_t chosen;                         /* by a condition */
uint64_t overlapping[3];                 /* filled by a copy onto itself */
uint64_t loaded = 0x1122334455667788ull; /* as the file has it */
uint64_t cleared;                        /* nobody writes it */
uint32_t time_read;                      /* from the time stamp counter */
uint8_t port_read;                       /* from a device */

static void carry(void)
{
    uint64_t count = 8, condition = 1;
    void *from = &made, *to = &copied;
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    __asm__ volatile("mov %1, %%rax\n\tpush %%rax\n\txor %%eax, %%eax\n\tpop %%rdx\n\t"
                     "xchg %%rdx, %%rcx\n\tpush %%rcx\n\txor %%ecx, %%ecx\n\tpop %%rcx\n\t"
                     "mov %%rcx, %0"
                     : "=m"(pushed)
                     : "m"(made)
                     : "rax", "rcx", "rdx");
    __asm__ volatile("mov %1, %%rax\n\tbswap %%rax\n\tmov %%rax, %0"
                     : "=m"(swapped)
                     : "m"(made)
                     : "rax");
    __asm__ volatile("mov %1, %%eax\n\tmov %%eax, %0\n\tmovl $0x5a5a5a5a, 4+%0"
                     : "=m"(joined)
                     : "m"(made)
                     : "rax");
    __asm__ volatile("mov $7, %%eax\n\ttest %2, %2\n\tcmovnz %1, %%rax\n\tcmovz %2, %%rax\n\t"
                     "mov %%rax, %0"
                     : "=m"(chosen)
                     : "m"(made), "r"(condition)
                     : "rax", "cc");
}

static void overlap(void)
{
    const void *from = &overlapping[0];
    void *to = &overlapping[1];
    uint64_t count = 2;
    __asm__ volatile("mov %1, %%rax\n\tmov %%rax, %0" : "=m"(overlapping[0]) : "m"(made) : "rax");
    __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

static void ask(void)
{
    __asm__ volatile("rdtsc\n\tmov %%eax, %0" : "=m"(time_read) : : "rax", "rdx");
    __asm__ volatile("mov $0x3fd, %%edx\n\tin %%dx, %%al\n\tmov %%al, %0"
                     : "=m"(port_read)
                     :
                     : "rax", "rdx");
}

void carried(void);
__attribute__((noinline)) void carried(void)
{
    __asm__ volatile("" : : : "memory");
}

void guest_main(const struct boot_info *boot)
{
    uint64_t factor = boot_option(boot, "factor", 77);
    __asm__ volatile("mov %1, %%rax\n\timul %2, %%rax\n\tmov %%rax, %0"
                     : "=m"(made)
                     : "r"(factor), "r"(0x9e3779b97f4a7c15ull)
                     : "rax");
    carry();
    overlap();
    ask();
    carried();
    console_printf("moves: %lx %lx\n", copied, loaded + cleared);
    __asm__ volatile("movq $0, %0" : "=m"(joined));
}
