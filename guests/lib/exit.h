/*
 * How a guest ends.
 *
 * Success: CLI, HLT. A halted CPU with interrupts off can never continue, so the machine treats it
 * as a shutdown with status 0. (The debug-exit port cannot give status 0.)
 * Failure: a byte V written to the debug-exit port 0xf4 ends the machine with status V << 1 | 1.
 */
#ifndef GUEST_EXIT_H
#define GUEST_EXIT_H

#include <stdint.h>

enum { DEBUG_EXIT = 0xf4 };

void guest_succeed(void) __attribute__((noreturn));
void guest_fail(uint8_t value) __attribute__((noreturn));
/* Prints "panic: " and the message as a line, then fails with `value`. */
void guest_panic(uint8_t value, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif
