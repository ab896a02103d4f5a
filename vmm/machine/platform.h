/*
 * The machine table: which devices a machine has. A new device takes its own file in devices/, a
 * line here, and a test; docs/architecture.md says how.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include "vmm/machine/machine.h"

/* Makes every device and puts it on the buses; on failure what was made is left for
 * platform_destroy. */
int platform_create(
    struct machine *machine, const struct machine_options *options, struct error *error);
void platform_destroy(struct machine *machine);

#endif
