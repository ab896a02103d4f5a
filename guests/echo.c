/*
 * Interrupt-driven serial input with a little line editing: characters are echoed, backspace
 * erases, Enter prints the line back. The line "q", or Ctrl-D, ends the guest.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"

enum { RING_SIZE = 256, LINE_SIZE = 128, CTRL_D = 4, BACKSPACE = 8, DELETE = 127 };

/* Filled by the handler, emptied by the main loop; the indices run freely. */
static volatile uint8_t ring[RING_SIZE];
static volatile unsigned ring_in, ring_out;

static char line[LINE_SIZE];
static unsigned length;

static void receive(void)
{
    while (port_in8(COM1 + UART_LSR) & 1) { /* data ready */
        uint8_t byte = port_in8(COM1 + UART_DATA);
        if (ring_in - ring_out < RING_SIZE)
            ring[ring_in++ % RING_SIZE] = byte;
    }
}

/* Switching the FIFOs on clears the receiver; in loopback nothing new comes in meanwhile. */
static void enable_fifos(void)
{
    port_out8(COM1 + UART_MCR, 0x10);
    receive();
    port_out8(COM1 + UART_IIR, 0x81); /* on, trigger level 8 */
    port_out8(COM1 + UART_MCR, 0x0b);
}

static void handle_uart(struct interrupt_frame *frame)
{
    (void)frame;
    while (!(port_in8(COM1 + UART_IIR) & 1)) /* bit 0 clear: an interrupt is pending */
        receive();
    pic_end(IRQ_COM1);
}

/* True when the guest is to end. */
static bool finish_line(void)
{
    line[length] = '\0';
    console_printf("\n");
    if (length == 1 && line[0] == 'q')
        return true;
    console_printf("you typed %u characters: %s\n> ", length, line);
    length = 0;
    return false;
}

static bool take(uint8_t byte)
{
    switch (byte) {
    case '\r':
    case '\n':
        return finish_line();
    case CTRL_D:
        console_printf("\n");
        return true;
    case BACKSPACE:
    case DELETE:
        if (length) {
            length--;
            console_printf("\b \b");
        }
        return false;
    default:
        if (byte >= ' ' && byte < DELETE && length < LINE_SIZE - 1) {
            line[length++] = (char)byte;
            console_put((char)byte);
        }
        return false;
    }
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    console_printf("echo: type lines; q ends\n> ");
    enable_fifos();
    interrupts_handle(VECTOR_IRQ0 + IRQ_COM1, handle_uart);
    pic_unmask(IRQ_COM1);
    port_out8(COM1 + UART_IER, 1); /* received data available */

    for (bool done = false; !done;) {
        interrupts_off();
        while (ring_in == ring_out)
            interrupts_wait();
        interrupts_on();
        while (!done && ring_in != ring_out)
            done = take(ring[ring_out++ % RING_SIZE]);
    }
    interrupts_off();
    console_printf("bye\n");
}
