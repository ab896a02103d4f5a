#include "vmm/event.h"

const char *event_kind_name(enum event_kind kind)
{
    static const char *const names[EVENT_KIND_COUNT] = {
        [EVENT_PIO_IN] = "pio-in",
        [EVENT_PIO_OUT] = "pio-out",
        [EVENT_MMIO_READ] = "mmio-read",
        [EVENT_MMIO_WRITE] = "mmio-write",
        [EVENT_HLT] = "hlt",
        [EVENT_SHUTDOWN] = "shutdown",
        [EVENT_INTERRUPT] = "interrupt",
        [EVENT_LANDING] = "landing",
        [EVENT_TIME] = "time",
        [EVENT_CONSOLE] = "console",
        [EVENT_MODEM] = "modem",
        [EVENT_DISK] = "disk",
        [EVENT_PACKET] = "packet",
    };
    const char *name = kind < EVENT_KIND_COUNT ? names[kind] : 0;
    return name ? name : "?";
}
