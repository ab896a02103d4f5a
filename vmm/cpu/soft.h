/* The software CPU, as an engine. It never looks at the host beyond `memory`. */
#ifndef VMM_CPU_SOFT_H
#define VMM_CPU_SOFT_H

#include "vmm/arch/engine.h"

struct engine *soft_create(
    struct memory *memory, const struct engine_options *options, struct error *error);

#endif
