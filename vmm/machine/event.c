/* Names of events and inputs. */
#include "vmm/machine/event.h"

#include "vmm/machine/inputs.h"

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
        [EVENT_TURN] = "turn",
        [EVENT_NMI] = "nmi",
        [EVENT_TSC] = "tsc",
        [EVENT_MSR_WRITE] = "msr-write",
        [EVENT_NMI_SENT] = "nmi-sent",
        [EVENT_BREAK] = "break",
        [EVENT_REGISTER] = "register",
        [EVENT_MEMORY] = "memory",
        [EVENT_MSR_READ] = "msr-read",
    };
    const char *name = kind < EVENT_KIND_COUNT ? names[kind] : 0;
    return name ? name : "?";
}

const char *input_kind_name(enum input_kind kind)
{
    static const char *const names[INPUT_KIND_COUNT] = {
        [INPUT_CLOCK] = "clock",
        [INPUT_LANDING] = "landing",
        [INPUT_TIME] = "time",
        [INPUT_CONSOLE] = "console",
        [INPUT_MODEM] = "modem",
        [INPUT_SECTORS] = "sectors",
        [INPUT_MEMBER] = "member",
        [INPUT_DISK_EVENT] = "disk-event",
        [INPUT_ENTROPY] = "entropy",
        [INPUT_PACKET] = "packet",
        [INPUT_LINK] = "link",
        [INPUT_TURN] = "turn",
        [INPUT_TSC] = "tsc",
        [INPUT_NMI] = "nmi",
        [INPUT_BREAK] = "break",
        [INPUT_REGISTER] = "register",
        [INPUT_MEMORY] = "memory",
    };
    const char *name = kind < INPUT_KIND_COUNT ? names[kind] : 0;
    return name ? name : "?";
}
