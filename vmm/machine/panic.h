/*
 * Watches the serial console for a Linux kernel's last words and ends the run when they are
 * complete: "Kernel panic - not syncing: TEXT" up to "---[ end Kernel panic". It looks at the bytes
 * that the UART sends and at nothing else, so a replay ends in the same place.
 */
#ifndef VMM_PANIC_H
#define VMM_PANIC_H

#include "devices/device.h"

struct panic_watch;

struct panic_watch_config {
    struct byte_sink next; /* where the bytes go on to */
    void (*panicked)(void *machine);
    void *machine;
};

struct panic_watch *panic_watch_create(
    const struct panic_watch_config *config, struct error *error);
void panic_watch_destroy(struct panic_watch *watch); /* NULL is fine */
struct device panic_watch_device(struct panic_watch *watch);
struct byte_sink panic_watch_sink(struct panic_watch *watch);
/* The first line of the panic, without what precedes it; "" while there was none. */
const char *panic_watch_text(const struct panic_watch *watch);

#endif
