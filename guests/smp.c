/*
 * Several processors: interrupts of every addressing between them, NMI, a mapping taken away from
 * all of them (shoot-down), counters with a lock and without one. What must hold is checked; how
 * many updates the counter without a lock loses is the run's own. Options: rounds=2000.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/processors.h"

enum { VECTOR_NMI = 2, VECTOR_CALL = 0x60, VECTOR_FLUSH = 0x61 };
/* Debug-exit value: something that must hold does not. */
enum { BROKEN = 8 };
#define WINDOW 0x40000000ull

enum phase { PHASE_IDLE, PHASE_COUNT, PHASE_END };

static unsigned count;
static uint64_t rounds;
static volatile unsigned phase, counted;
static volatile unsigned calls[PROCESSORS_MAX], nmis[PROCESSORS_MAX], flushes[PROCESSORS_MAX];
static volatile uint64_t locked, loose;
static volatile uint32_t lock;
static volatile uint64_t seen[PROCESSORS_MAX];
static uint64_t table[512] __attribute__((aligned(4096)));
static uint64_t pages[2][512] __attribute__((aligned(4096)));

static void on_call(struct interrupt_frame *frame)
{
    (void)frame;
    calls[processors_self()]++;
    *apic_register(APIC_EOI) = 0;
}

static void on_nmi(struct interrupt_frame *frame)
{
    (void)frame;
    nmis[processors_self()]++;
}

static void on_flush(struct interrupt_frame *frame)
{
    (void)frame;
    unsigned self = processors_self();
    __asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
    seen[self] = *(volatile uint64_t *)WINDOW;
    flushes[self]++;
    *apic_register(APIC_EOI) = 0;
}

static void take_lock(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        while (lock)
            processor_pause();
}

static void count_up(void)
{
    for (uint64_t i = 0; i < rounds; i++) {
        take_lock();
        locked = locked + 1;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
        loose = loose + 1;
    }
    __atomic_fetch_add(&counted, 1, __ATOMIC_SEQ_CST);
}

/* What the others do: wait halted for what the first one wants. */
static void serve(unsigned number)
{
    (void)number;
    bool done = false;
    while (phase != PHASE_END) {
        if (phase == PHASE_COUNT && !done) {
            count_up();
            done = true;
        }
        interrupts_wait();
    }
}

static void expect(const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted)
        guest_panic(BROKEN, "%s: %lu, not %lu", what, got, wanted);
}

/* A processor that takes no notice for so many turns has missed it. */
static void wait_for(const char *what, volatile unsigned *counter, unsigned wanted)
{
    for (unsigned i = 0; i < 1000000 && *counter < wanted; i++)
        processor_pause();
    expect(what, *counter, wanted);
}

static void call_processors(void)
{
    for (unsigned i = 1; i < count; i++) {
        processors_send(i, VECTOR_CALL);
        wait_for("a call to one", &calls[i], 1);
    }
    processors_send(0, IPI_TO_OTHERS | VECTOR_CALL);
    for (unsigned i = 1; i < count; i++)
        wait_for("a call to all others", &calls[i], 2);
    interrupts_on();
    processors_send(0, IPI_TO_ALL | VECTOR_CALL);
    for (unsigned i = 0; i < count; i++)
        wait_for("a call to all", &calls[i], i ? 3 : 1);
    processors_send(0, IPI_TO_SELF | VECTOR_CALL);
    wait_for("a call to itself", &calls[0], 2);
    interrupts_off();
    for (unsigned i = 0; i < count; i++) {
        processors_send(i, IPI_ASSERT | IPI_NMI);
        wait_for("an NMI", &nmis[i], 1);
    }
}

/* Maps WINDOW, in a 2 MiB page of the first GiB's neighbour, by a table of small pages. */
static void map_window(uint64_t *page)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    uint64_t *level4 = (uint64_t *)(cr3 & ~0xfffull);
    uint64_t *level3 = (uint64_t *)(level4[0] & ~0xfffull);
    uint64_t *level2 = (uint64_t *)(level3[1] & ~0xfffull);
    table[0] = (uintptr_t)page | 3;
    level2[0] = (uintptr_t)table | 3;
}

static void shoot_down(void)
{
    for (unsigned round = 0; round < 20; round++) {
        pages[round & 1][0] = round;
        map_window(pages[round & 1]);
        processors_send(0, IPI_TO_OTHERS | VECTOR_FLUSH);
        for (unsigned i = 1; i < count; i++) {
            wait_for("a shoot-down", &flushes[i], round + 1);
            expect("what is seen after it", seen[i], round);
        }
    }
}

void guest_main(const struct boot_info *boot)
{
    rounds = boot_option(boot, "rounds", 2000);
    count = processors_count();
    interrupts_handle(VECTOR_NMI, on_nmi);
    interrupts_handle(VECTOR_CALL, on_call);
    interrupts_handle(VECTOR_FLUSH, on_flush);
    processors_start(count, serve);
    console_printf("smp: %u processors\n", count);
    call_processors();
    shoot_down();
    phase = PHASE_COUNT;
    processors_send(0, IPI_TO_OTHERS | VECTOR_CALL);
    count_up();
    wait_for("those that have counted", &counted, count);
    expect("the counter with a lock", locked, rounds * count);
    console_printf("smp: counter with a lock %lu\n", (uint64_t)locked);
    console_printf("smp: counter without one %lu\n", (uint64_t)loose);
    phase = PHASE_END;
    processors_send(0, IPI_TO_OTHERS | VECTOR_CALL);
    processors_join();
}
