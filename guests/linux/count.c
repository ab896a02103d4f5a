/* Counts: which of several that run the same file is told by its name and its step. */
#include <stdlib.h>
#include <unistd.h>

static unsigned long counter;

__attribute__((noinline)) static void tick(unsigned step)
{
    counter += step;
    __asm__ volatile("" : : : "memory");
}

int main(int argc, char **argv)
{
    unsigned step = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    for (unsigned i = 0; i < 100; i++) {
        tick(step);
        write(2, ".", 1);
        usleep(1000);
    }
    return 0;
}
