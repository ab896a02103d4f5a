/* Ranges of memory as they are asked for. */
#ifndef DEBUGGER_RANGE_H
#define DEBUGGER_RANGE_H

#include "base/error.h"
#include "vmm/arch/engine.h"

struct debugger;

/* "EXPRESSION", what is in memory, "ADDRESS,SIZE" or "phys:ADDRESS,SIZE", where the session looks;
 * with `physical_size` that is the SIZE of "phys:ADDRESS"; 0: it is refused. */
int range_parse(struct debugger *debugger, const char *text, uint64_t physical_size,
    struct access_range *range, struct error *error);

#endif
