/*
 * Loads for bench/cpu, all in ring 0. Options: load=0 nothing, 1 integer, 2 memory, 3 calls, 4 x87,
 * 5 sse, 6 pages; rounds=N. Ends with value 0 at the debug-exit port, on QEMU too.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"

enum { LOAD_NOTHING, LOAD_INTEGER, LOAD_MEMORY, LOAD_CALLS, LOAD_X87, LOAD_SSE, LOAD_PAGES };

/* Arithmetic, shifts, multiplication, loads and stores within 4 KiB, well and badly predicted
 * branches: about what compiled integer code does. */
static uint64_t integer_round(uint64_t seed)
{
    static uint32_t table[1024];
    uint64_t value = seed | 1, sum = 0;
    for (unsigned i = 0; i < 20000; i++) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        uint32_t *slot = &table[value & 1023];
        if (value & 0x100)
            *slot += (uint32_t)(value >> 32) * 2654435761u;
        else
            *slot ^= (uint32_t)i;
        sum += *slot;
        if (sum > UINT64_MAX / 2)
            sum -= value >> 3;
        sum = (sum << 5 | sum >> 59) + i;
    }
    return sum;
}

/* Copies and adds up 4 MiB, eight bytes at a time. */
static uint64_t memory_round(uint64_t seed)
{
    enum { WORDS = 4 << 17 };
    static uint64_t from[WORDS], to[WORDS];
    uint64_t sum = 0;
    from[seed % WORDS] = seed;
    for (size_t i = 0; i < WORDS; i += 4) {
        uint64_t a = from[i], b = from[i + 1], c = from[i + 2], d = from[i + 3];
        to[i] = a + 1;
        to[i + 1] = b;
        to[i + 2] = c + seed;
        to[i + 3] = d;
        sum += a + b + c + d;
    }
    return sum + to[seed % WORDS];
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned n)
{
    __asm__ volatile(""); /* or the compiler turns half of the calls into a loop */
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static __attribute__((noinline)) uint64_t step_add(uint64_t value)
{
    return value + 7;
}
static __attribute__((noinline)) uint64_t step_xor(uint64_t value)
{
    return value ^ value >> 9;
}
static __attribute__((noinline)) uint64_t step_double(uint64_t value)
{
    return value * 2 + 1;
}
static __attribute__((noinline)) uint64_t step_shift(uint64_t value)
{
    return value & 1 ? value >> 1 : value + 3;
}

/* Recursion and calls through a table. */
static uint64_t calls_round(uint64_t seed)
{
    static uint64_t (*const volatile steps[4])(uint64_t) = {
        step_add, step_xor, step_double, step_shift};
    uint64_t value = fibonacci(18) + seed;
    for (unsigned i = 0; i < 10000; i++)
        value = steps[(value >> 3 ^ i) & 3](value);
    return value;
}

static uint64_t x87_round(uint64_t seed)
{
    double x = 0, result;
    uint64_t count = 10000;
    __asm__ volatile("fninit\n\t"
                     "fld1\n\t"
                     "fldl2e\n\t"
                     "fldpi\n"
                     "1:\n\t"
                     "fadd %%st(1), %%st\n\t"
                     "fmul %%st(2), %%st\n\t"
                     "fld %%st(0)\n\t"
                     "fsqrt\n\t"
                     "fsub %%st(2), %%st\n\t"
                     "fxch %%st(1)\n\t"
                     "fdivp %%st, %%st(1)\n\t"
                     "fabs\n\t"
                     "fstl %1\n\t"
                     "faddl %1\n\t"
                     "fchs\n\t"
                     "fabs\n\t"
                     "fld1\n\t"
                     "faddp\n\t"
                     "dec %0\n\t"
                     "jnz 1b\n\t"
                     "fstpl %2\n\t"
                     "fstp %%st(0)\n\t"
                     "fstp %%st(0)"
                     : "+r"(count), "+m"(x), "=m"(result)
                     :
                     : "memory", "cc");
    uint64_t bits;
    __builtin_memcpy(&bits, &result, sizeof bits);
    return bits ^ seed;
}

/* Packed single, scalar double, integer and shuffles, a load and a store. */
static uint64_t sse_round(uint64_t seed)
{
    static uint32_t vectors[3][4]
        __attribute__((aligned(16))) = {{0x3f800000, 0x40000000, 0x40400000, 0x40800000},
            {0x3f000000, 0x3f100000, 0x3f200000, 0x3f300000}, {0}};
    uint64_t count = 10000;
    __asm__ volatile("movaps %1, %%xmm0\n\t"
                     "movaps %2, %%xmm1\n\t"
                     "pxor %%xmm2, %%xmm2\n\t"
                     "pxor %%xmm5, %%xmm5\n\t"
                     "cvtsi2sdq %0, %%xmm3\n"
                     "1:\n\t"
                     "mulps %%xmm1, %%xmm0\n\t"
                     "addps %1, %%xmm0\n\t"
                     "movaps %%xmm0, %%xmm4\n\t"
                     "shufps $0x39, %%xmm4, %%xmm4\n\t"
                     "paddd %%xmm4, %%xmm2\n\t"
                     "pxor %%xmm0, %%xmm2\n\t"
                     "pshufd $0x4e, %%xmm2, %%xmm4\n\t"
                     "pmaxub %%xmm4, %%xmm5\n\t"
                     "psrld $3, %%xmm4\n\t"
                     "movaps %%xmm4, %3\n\t"
                     "sqrtsd %%xmm3, %%xmm6\n\t"
                     "addsd %%xmm6, %%xmm3\n\t"
                     "mulsd %%xmm3, %%xmm6\n\t"
                     "ucomisd %%xmm6, %%xmm3\n\t"
                     "dec %0\n\t"
                     "jnz 1b"
                     : "+r"(count)
                     : "m"(vectors[0]), "m"(vectors[1]), "m"(vectors[2])
                     : "memory", "cc");
    return vectors[2][0] ^ seed;
}

enum { PAGES = 2048, WINDOW = 0x40000000 }; /* at 1 GiB, mapped with 4 KiB pages */

static uint64_t *pages_tables(void)
{
    static uint64_t tables[PAGES / 512][512] __attribute__((aligned(4096)));
    return tables[0];
}

/* In place of the large pages that start.S mapped there: each page of the window is one of 16. */
static void pages_map(void)
{
    static uint8_t memory[16][4096] __attribute__((aligned(4096)));
    uint64_t *entries = pages_tables(), level3;
    for (unsigned i = 0; i < PAGES; i++)
        entries[i] = (uintptr_t)memory[i & 15] | 3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(level3));
    uint64_t *table = (uint64_t *)(uintptr_t)(level3 & ~0xfffull);
    table = (uint64_t *)(uintptr_t)(table[0] & 0x000ffffffffff000);
    table = (uint64_t *)(uintptr_t)(table[WINDOW >> 30] & 0x000ffffffffff000);
    for (unsigned i = 0; i < PAGES / 512; i++)
        table[i] = (uintptr_t)(entries + 512 * i) | 3;
    __asm__ volatile("mov %0, %%cr3" : : "r"(level3) : "memory");
}

/* One word a page, all pages, then new tables: every access misses the TLB. Some INVLPG. */
static uint64_t pages_round(uint64_t seed)
{
    uint64_t sum = seed, level4;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < PAGES; i++) {
            volatile uint64_t *word =
                (volatile uint64_t *)(uintptr_t)(WINDOW + i * 4096ull + (i & 63) * 64);
            sum += *word;
            *word = sum;
        }
        for (unsigned i = 0; i < 32; i++)
            __asm__ volatile("invlpg (%0)" : : "r"(WINDOW + i * 4096ull) : "memory");
    }
    __asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(level4) : : "memory");
    return sum;
}

static uint64_t nothing_round(uint64_t seed)
{
    return seed;
}

static void enable_sse(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    value = (value & ~(1ull << 2 | 1ull << 3)) | 1ull << 1;
    __asm__ volatile("mov %0, %%cr0" : : "r"(value));
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    __asm__ volatile("mov %0, %%cr4" : : "r"(value | 3ull << 9));
}

void guest_main(const struct boot_info *boot)
{
    static uint64_t (*const rounds_of[])(uint64_t) = {
        nothing_round, integer_round, memory_round, calls_round, x87_round, sse_round, pages_round};
    uint64_t load = boot_option(boot, "load", LOAD_INTEGER);
    uint64_t rounds = boot_option(boot, "rounds", 100);
    if (load >= sizeof rounds_of / sizeof *rounds_of)
        guest_panic(3, "no load %lu", load);
    enable_sse();
    if (load == LOAD_PAGES)
        pages_map();
    uint64_t result = 88172645463325252;
    for (uint64_t i = 0; i < rounds; i++)
        result += rounds_of[load](result);
    console_printf("load %lu, %lu rounds: %lx\n", load, rounds, result);
    guest_fail(0);
}
