/*
 * Interrupt-driven serial input with a little line editing: characters are echoed, backspace
 * erases, Enter prints the line back. The line "q", or Ctrl-D, ends the guest. Options: lines=0, so
 * many before the prompt; work=0, so long before each; prompt=1, 0 for another one; fail=0, 1 to
 * panic at "q".
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"

enum { RING_SIZE = 256, LINE_SIZE = 128, CTRL_D = 4, BACKSPACE = 8, DELETE = 127, FAILS = 9 };

/* Filled by the handler, emptied by the main loop; the indices run freely. */
static volatile uint8_t ring[RING_SIZE];
static volatile unsigned ring_in, ring_out;

static char line[LINE_SIZE];
static unsigned length;
static bool fails;
static const char *prompt = "> ";

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
    console_printf("you typed %u characters: %s\n%s", length, line, prompt);
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

static void greet(const struct boot_info *boot)
{
    uint64_t work = boot_option(boot, "work", 0);
    fails = boot_option(boot, "fail", 0);
    if (!boot_option(boot, "prompt", 1))
        prompt = "$ ";
    console_printf("echo: type lines; q ends\n");
    for (uint64_t i = 0; i < boot_option(boot, "lines", 0); i++) {
        for (volatile uint64_t j = 0; j < work; j++)
            ;
        console_printf("line %lu before the prompt\n", i);
    }
    console_printf("%s", prompt);
}

void guest_main(const struct boot_info *boot)
{
    greet(boot);
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
    if (fails)
        guest_panic(FAILS, "told to");
    console_printf("bye\n");
}
