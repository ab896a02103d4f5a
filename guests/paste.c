/*
 * Takes a long paste from the serial port, and is in no hurry: it sets the port up, works a while,
 * then clears the receiver as drivers do, and only then looks for bytes. Ends at Ctrl-D with the
 * number of bytes before it and their sum.
 *
 * Options: poll=1 (look at LSR instead of taking interrupts), work=N (rounds of work before).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"

enum { CTRL_D = 4 };

static volatile uint64_t count, sum;
static volatile bool ended;

static void receive(void)
{
    while (!ended && (port_in8(COM1 + UART_LSR) & 1)) {
        uint8_t byte = port_in8(COM1 + UART_DATA);
        ended = byte == CTRL_D;
        count = count + !ended;
        sum = sum + (ended ? 0 : byte * (count % 251));
    }
}

static void handle_uart(struct interrupt_frame *frame)
{
    (void)frame;
    while (!(port_in8(COM1 + UART_IIR) & 1))
        receive();
    pic_end(IRQ_COM1);
}

void guest_main(const struct boot_info *boot)
{
    console_printf("paste: not listening yet\n");
    for (volatile uint64_t i = boot_option(boot, "work", 2000000); i; i--)
        ;
    port_out8(COM1 + UART_IIR, 0x07); /* FIFOs on and empty */
    (void)port_in8(COM1 + UART_LSR);
    (void)port_in8(COM1 + UART_DATA);
    port_out8(COM1 + UART_IIR, 0x87);
    console_printf("paste: listening\n");
    if (boot_option(boot, "poll", 0)) {
        while (!ended)
            receive();
    } else {
        interrupts_handle(VECTOR_IRQ0 + IRQ_COM1, handle_uart);
        pic_unmask(IRQ_COM1);
        port_out8(COM1 + UART_IER, 1);
        interrupts_off();
        while (!ended)
            interrupts_wait();
    }
    console_printf("paste: %lu bytes, sum %lu\n", count, sum);
}
