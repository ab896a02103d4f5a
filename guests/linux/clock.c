/*
 * Reads the time stamp counter in a loop, by RDTSC and RDTSCP, among computation: that it goes on,
 * and digits that another run would not have.
 */
#include <stdint.h>
#include <stdio.h>

enum { ROUNDS = 40, READS = 50, SPIN = 200000 };

static uint64_t read_counter(unsigned which)
{
    uint32_t low, high, aux;
    if (which % 2)
        __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    else
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

int main(void)
{
    uint64_t last = 0, fold = 0, back = 0;
    volatile uint64_t work = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < READS; i++) {
            uint64_t now = read_counter(i);
            back += now < last;
            last = now;
            fold = fold * 31 + now;
        }
        for (unsigned i = 0; i < SPIN; i++)
            work += i * last;
        printf("clock: %016llx\n", (unsigned long long)fold);
    }
    printf("clock: %u reads, %llu times back\n", ROUNDS * READS, (unsigned long long)back);
    return 0;
}
