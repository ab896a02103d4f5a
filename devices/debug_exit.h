/*
 * The debug-exit port, by the convention of QEMU's isa-debug-exit: a write of V ends the machine
 * with exit status (V << 1) | 1, which is never 0. The range is 1, 2 or 4 bytes from the base port;
 * V has the width of the guest's access. Reads give zero. The device has no state.
 */
#ifndef DEVICES_DEBUG_EXIT_H
#define DEVICES_DEBUG_EXIT_H

#include "devices/device.h"

struct debug_exit;

enum { DEBUG_EXIT_PORT = 0xf4, DEBUG_EXIT_SIZE = 4 };

struct debug_exit_config {
    /* Called inside the guest's write; the machine stops after it. May be NULL. */
    void (*exit)(void *machine, uint32_t status);
    void *machine;
};

struct debug_exit *debug_exit_create(const struct debug_exit_config *config, struct error *error);
void debug_exit_destroy(struct debug_exit *debug_exit); /* NULL is fine */
/* `size` is 1, 2 or 4. */
int debug_exit_attach(struct debug_exit *debug_exit, struct bus *ports, uint16_t base,
    unsigned size, struct error *error);
struct device debug_exit_device(struct debug_exit *debug_exit);
extern const struct device_class debug_exit_class;

#endif
