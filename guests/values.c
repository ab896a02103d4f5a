/*
 * Values as compilers keep them where registers are enough: structs in two registers, in one and
 * nowhere. For the debugger's tests; it ends with success at once.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/exit.h"

enum kind { LIGHT, HEAVY };

struct part {
    uint16_t weight;
    uint16_t flags : 4, more : 12;
    enum kind kind;
};

struct pair {
    uint64_t left;
    struct part right;
};

struct table {
    struct pair *rows[2];
    void (*visit)(struct pair pair);
    char (*line)[8];
};

static volatile uint64_t sum;

/* The ABI passes all of it in RDI and RSI. */
static void __attribute__((noinline)) weigh(struct pair pair)
{
    sum += pair.left;
    sum += pair.right.weight;
    sum += pair.right.more;
}

static const struct table table __attribute__((used)) = {.visit = weigh};

/* Only the first half is kept to the end. */
static uint64_t __attribute__((noinline)) scale(uint64_t number)
{
    struct pair split;
    split.left = number * 3;
    /* It is there from here on, whatever the compiler would rather do first. */
    __asm__ volatile("" : "+r"(split.left));
    split.right.weight = (uint16_t)number;
    sum += split.right.weight;
    sum += 1;
    return split.left;
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    struct pair whole = {0x1122334455667788, {7, 5, 0xabc, HEAVY}};
    weigh(whole);
    struct pair other = {scale(sum), {(uint16_t)sum, 1, (uint16_t)(sum & 0xfff), LIGHT}};
    weigh(other);
    guest_succeed();
}
