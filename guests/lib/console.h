/*
 * Output to COM1 by polling: 115200 baud, 8N1. A line feed is sent as CR LF. The FIFOs stay off:
 * switching them on would lose a byte that has already come in.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>

enum { COM1 = 0x3f8, DEBUG_CONSOLE = 0xe9 };

/* UART registers, as offsets from COM1 (PC16550D data sheet, table II). */
enum {
    UART_DATA = 0, /* RBR, THR; DLL when LCR bit 7 is set */
    UART_IER = 1,  /* DLM when LCR bit 7 is set */
    UART_IIR = 2,  /* FCR when written */
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCRATCH = 7,
};

void console_init(void);
void console_put(char character);
/* %s %c %d %u %x %p, with l and a zero-padded width. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_vprintf(const char *format, va_list arguments);

#endif
