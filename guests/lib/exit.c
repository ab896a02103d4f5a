/* Ends a guest with a status. */
#include "lib/exit.h"

#include <stdarg.h>

#include "lib/console.h"
#include "lib/port.h"

void guest_succeed(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}

void guest_fail(uint8_t value)
{
    port_out8(DEBUG_EXIT, value);
    guest_succeed(); /* a machine without the port: nothing better is left to do */
}

void guest_panic(uint8_t value, const char *format, ...)
{
    va_list arguments;
    __asm__ volatile("cli" : : : "memory");
    console_printf("panic: ");
    va_start(arguments, format);
    console_vprintf(format, arguments);
    va_end(arguments);
    console_put('\n');
    guest_fail(value);
}
