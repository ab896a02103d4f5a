/* Starts secondary processors, and drives the local APIC. */
#include "lib/processors.h"

#include "lib/boot.h"
#include "lib/exit.h"
#include "lib/interrupts.h"

enum { STACK_SIZE = 16384, TRAMPOLINE = 0x8000 };

extern const char secondary_start[], secondary_end[]; /* secondary.S */
void secondary_main(void);
extern uint64_t secondary_stack;
uint64_t secondary_stack; /* of the next one to start */

static char stacks[PROCESSORS_MAX][STACK_SIZE] __attribute__((aligned(16)));
static void (*run)(unsigned number);
static volatile unsigned begun, ended, started;

unsigned processors_count(void)
{
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    unsigned count = b >> 16 & 0xff;
    return d & 1 << 28 && count ? count : 1;
}

unsigned processors_self(void)
{
    return *apic_register(APIC_ID) >> 24;
}

void processors_send(unsigned destination, uint32_t message)
{
    *apic_register(APIC_ICR_HIGH) = destination << 24;
    *apic_register(APIC_ICR) = message;
}

/* Called by secondary.S, on its own stack. */
void secondary_main(void)
{
    interrupts_load();
    *apic_register(APIC_SVR) = 0x1ff;
    __atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
    run(processors_self());
    __atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void processors_start(unsigned count, void (*entry)(unsigned number))
{
    uint64_t size = (uint64_t)(secondary_end - secondary_start);
    for (uint64_t i = 0; i < size; i++)
        ((volatile char *)TRAMPOLINE)[i] = secondary_start[i];
    run = entry;
    *apic_register(APIC_SVR) = 0x1ff;
    for (unsigned i = 1; i < count; i++) {
        secondary_stack = (uintptr_t)&stacks[i][STACK_SIZE];
        processors_send(i, IPI_ASSERT | IPI_INIT);
        processors_send(i, IPI_ASSERT | IPI_STARTUP | TRAMPOLINE >> 12);
        while (begun < i)
            processor_pause();
    }
    started = count ? count - 1 : 0;
}

void processors_join(void)
{
    while (ended < started)
        processor_pause();
}
