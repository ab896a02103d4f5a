/*
 * Computation whose every boundary follows the delivery of a fault: a thousand passes of a loop,
 * then UD2, whose handler, entered through a trap gate, is the loop again. No exit, no IRETQ, no
 * STI: whoever wants to stop the guest where a count of instructions leads finds such a place in
 * the middle of the loop alone. The timer and the letter 'q' have to get in all the same. Options:
 * ticks=20 (0: no timer, typing ends it) hz=100.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"
#include "lib/timers.h"

enum { TRAP_GATE = 0x8f, GATE_SIZE = 16, GATE_OFFSET_MIDDLE = 6, GATE_TYPE = 5 };

extern const char starve_again[];
static uint8_t stack[4096] __attribute__((aligned(16)));
static uint64_t ticks, wanted;

__asm__("starve_again:\n"
        "    leaq stack + 4096, %rsp\n"
        "    movl $1000, %ecx\n"
        "1:  decl %ecx\n"
        "    jnz 1b\n"
        "    ud2\n");

static void done(const char *by)
{
    interrupts_off();
    console_printf("starve: ended by %s\n", by);
    guest_succeed();
}

static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    pic_end(IRQ_PIT);
    if (++ticks == wanted)
        done("the timer");
}

static void handle_uart(struct interrupt_frame *frame)
{
    (void)frame;
    while (!(port_in8(COM1 + UART_IIR) & 1)) { /* bit 0 clear: an interrupt is pending */
        if (port_in8(COM1 + UART_DATA) == 'q')
            done("typing");
    }
    pic_end(IRQ_COM1);
}

/* Points the gate of #UD at the loop, with interrupts as they are. */
static void make_trap_gate(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    volatile uint8_t *gate = (volatile uint8_t *)(idt.base + GATE_SIZE * VECTOR_UD);
    uint64_t target = (uintptr_t)starve_again;
    gate[0] = (uint8_t)target;
    gate[1] = (uint8_t)(target >> 8);
    gate[GATE_OFFSET_MIDDLE] = (uint8_t)(target >> 16);
    gate[GATE_OFFSET_MIDDLE + 1] = (uint8_t)(target >> 24);
    gate[GATE_TYPE] = TRAP_GATE;
}

void guest_main(const struct boot_info *boot)
{
    wanted = boot_option(boot, "ticks", 20);
    make_trap_gate();
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    interrupts_handle(VECTOR_IRQ0 + IRQ_COM1, handle_uart);
    if (wanted) {
        pit_start((unsigned)boot_option(boot, "hz", 100));
        pic_unmask(IRQ_PIT);
    }
    port_out8(COM1 + UART_IER, 1); /* received data */
    pic_unmask(IRQ_COM1);
    console_printf("starve: begins\n");
    interrupts_on();
    __asm__ volatile("jmp starve_again" : : "m"(stack));
    __builtin_unreachable();
}
