/*
 * A flaky program: two threads count without a lock, and now and then an update is lost. Status 3.
 * Compiled with -DFIXED each adds at once.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile long counter;
static pthread_barrier_t barrier;
static long rounds = 6000;

__attribute__((noinline)) static void add_one(void)
{
#ifdef FIXED
    __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
#else
    long value = counter;
    counter = value + 1;
#endif
}

static void pause_a_while(void)
{
    for (volatile int i = 0; i < 40; i++)
        ;
}

static void *count(void *unused)
{
    pthread_barrier_wait(&barrier);
    for (long i = 0; i < rounds; i++) {
        add_one();
        pause_a_while();
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t other;
    if (argc > 1)
        rounds = atol(argv[1]);
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&other, NULL, count, NULL) != 0)
        return 1;
    count(NULL);
    pthread_join(other, NULL);
    printf("%ld of %ld\n", counter, 2 * rounds);
    return counter == 2 * rounds ? 0 : 3;
}
