/* Looks an event's address up on the machine's buses. */
#include "cli/event_device.h"

const char *event_device(const struct machine *machine, const struct machine_event *event)
{
    const struct bus_range *range = NULL;
    if (event->kind == EVENT_PIO_IN || event->kind == EVENT_PIO_OUT)
        range = bus_find(&machine->ports, event->address);
    else if (event->kind == EVENT_MMIO_READ || event->kind == EVENT_MMIO_WRITE)
        range = bus_find(&machine->mmio, event->address);
    return range && range->name ? range->name : "";
}
