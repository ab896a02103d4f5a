/* The software CPU, as an engine. It never looks at the host beyond `memory`. */
#ifndef VMM_CPU_SOFT_H
#define VMM_CPU_SOFT_H

#include "vmm/arch/engine.h"

struct engine *soft_create(
    struct memory *memory, const struct engine_options *options, struct error *error);
/* How many instructions ring 3 has gone on for since it was entered, or its state was imported,
 * last; 0 in another ring. */
uint64_t soft_user_instructions(const struct engine *engine);

#endif
