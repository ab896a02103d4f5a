/* Output to COM1. */
#include "lib/console.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/port.h"

void console_init(void)
{
    port_out8(COM1 + UART_IER, 0);
    port_out8(COM1 + UART_LCR, 0x80); /* DLAB */
    port_out8(COM1 + UART_DATA, 1);   /* divisor 1: 115200 baud */
    port_out8(COM1 + UART_IER, 0);
    port_out8(COM1 + UART_LCR, 0x03); /* 8N1 */
    port_out8(COM1 + UART_MCR, 0x0b); /* DTR, RTS, OUT2 (interrupt enable on a PC) */
}

static void put_raw(char character)
{
    while (!(port_in8(COM1 + UART_LSR) & 0x20)) /* THRE */
        ;
    port_out8(COM1 + UART_DATA, (uint8_t)character);
}

void console_put(char character)
{
    if (character == '\n')
        put_raw('\r');
    put_raw(character);
}

static void put_number(uint64_t value, unsigned base, unsigned width)
{
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > count; width--)
        console_put('0');
    while (count)
        console_put(digits[--count]);
}

static void put_signed(int64_t value, unsigned width)
{
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        console_put('-');
        magnitude = -magnitude;
    }
    put_number(magnitude, 10, width);
}

void console_vprintf(const char *format, va_list arguments)
{
    for (; *format; format++) {
        if (*format != '%') {
            console_put(*format);
            continue;
        }
        unsigned width = 0;
        bool is_long = false;
        for (format++; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        for (; *format == 'l'; format++)
            is_long = true;
        switch (*format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                console_put(*text);
            break;
        case 'c':
            console_put((char)va_arg(arguments, int));
            break;
        case 'd':
            put_signed(is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int), width);
            break;
        case 'u':
        case 'x':
            put_number(is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned),
                *format == 'x' ? 16 : 10, width);
            break;
        case 'p':
            console_put('0');
            console_put('x');
            put_number((uintptr_t)va_arg(arguments, void *), 16, width);
            break;
        case '\0':
            return;
        default:
            console_put(*format);
        }
    }
}

void console_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    console_vprintf(format, arguments);
    va_end(arguments);
}
