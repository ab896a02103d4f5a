/*
 * The debug console at port 0xe9, by the convention of Bochs and QEMU: a byte written goes to the
 * sink at once; a read gives 0xe9, by which a guest detects the port. The device has no state.
 */
#ifndef DEVICES_DEBUG_CONSOLE_H
#define DEVICES_DEBUG_CONSOLE_H

#include "devices/device.h"

struct debug_console;

enum { DEBUG_CONSOLE_PORT = 0xe9 };

struct debug_console *debug_console_create(const struct byte_sink *output, struct error *error);
void debug_console_destroy(struct debug_console *console); /* NULL is fine */
int debug_console_attach(struct debug_console *console, struct bus *ports, struct error *error);
struct device debug_console_device(struct debug_console *console);
extern const struct device_class debug_console_class;

#endif
