/* Which device an event of a running machine is about. */
#ifndef CLI_EVENT_DEVICE_H
#define CLI_EVENT_DEVICE_H

#include "vmm/machine/machine.h"

/* The device whose register it accesses; "" where there is none. */
const char *event_device(const struct machine *machine, const struct machine_event *event);

#endif
