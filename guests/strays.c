/*
 * What a kernel with several processors does wrong. stray=0: a processor is started where there is
 * no code (page=0x9f), and the others go on. stray=1: messages of every kind to processors that
 * are not there. stray=2: one triple-faults while the first one runs. stray=3: all halt with
 * interrupts off. Options: stray=0 page=0x9f.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/processors.h"

enum stray { STRAY_START, STRAY_MESSAGES, STRAY_FAULT, STRAY_HALT };
/* Debug-exit value: the first processor came to its end while another one ran astray. */
enum { WENT_ON = 0x11 };
enum { NOBODY = 0x55, VECTOR = 0x60, IPI_LOGICAL = 1 << 11, IPI_LOWEST = 1 << 8 };

static enum stray stray;

static void run(unsigned number)
{
    (void)number;
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};
    if (stray == STRAY_FAULT)
        __asm__ volatile("lidt %0; int3" : : "m"(no_idt));
}

static void work(void)
{
    volatile uint64_t x = 1;
    for (unsigned i = 0; i < 3000000; i++)
        x = x * 3;
}

static void send_to_nobody(void)
{
    processors_send(NOBODY, VECTOR);
    processors_send(NOBODY, IPI_LOWEST | VECTOR);
    processors_send(NOBODY, IPI_ASSERT | IPI_NMI);
    processors_send(NOBODY, IPI_ASSERT | IPI_INIT);
    processors_send(NOBODY, IPI_ASSERT | IPI_STARTUP | 0x9f);
    processors_send(0, IPI_LOGICAL | VECTOR);
    processors_send(0, 3 << 8 | VECTOR); /* a delivery mode that there is not */
}

void guest_main(const struct boot_info *boot)
{
    stray = (enum stray)boot_option(boot, "stray", STRAY_START);
    uint32_t page = (uint32_t)boot_option(boot, "page", 0x9f);
    *apic_register(APIC_SVR) = 0x1ff;
    if (stray == STRAY_START) {
        processors_send(1, IPI_ASSERT | IPI_INIT);
        processors_send(1, IPI_ASSERT | IPI_STARTUP | (page & 0xff));
    } else {
        processors_start(processors_count(), run);
    }
    if (stray == STRAY_MESSAGES)
        send_to_nobody();
    work();
    if (stray == STRAY_START)
        guest_fail(WENT_ON); /* the stray one may never halt */
    if (stray == STRAY_HALT) {
        processors_join();
        __asm__ volatile("cli; hlt");
    }
    console_printf("strays: the first processor is at its end\n");
}
