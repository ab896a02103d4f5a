/*
 * Watches for a guest that has fallen silent: ends the run when nothing came out of its serial
 * console for a stated virtual time. It sees what the UART sends and the machine's clock and
 * nothing else, so a replay ends in the same place.
 */
#ifndef VMM_HANG_H
#define VMM_HANG_H

#include "devices/device.h"

struct hang_watch;

struct hang_watch_config {
    struct clock *clock;
    uint64_t limit;        /* virtual ns of silence */
    struct byte_sink next; /* where the bytes go on to */
    void (*hung)(void *machine);
    void *machine;
};

struct hang_watch *hang_watch_create(const struct hang_watch_config *config, struct error *error);
struct device hang_watch_device(struct hang_watch *watch);
struct byte_sink hang_watch_sink(struct hang_watch *watch);

#endif
