/* The machine's side of vmm/host/services.h. */
#ifndef VMM_MACHINE_SERVICES_H
#define VMM_MACHINE_SERVICES_H

#include "vmm/machine/machine.h"

/* Fills machine->services; the platform adds the PCI bus when it has made it. */
void services_init(struct machine *machine, bool no_host);

#endif
