/* What `hindsight fork` is told to do to the guest, in words. */
#ifndef CLI_INJECT_H
#define CLI_INJECT_H

#include "fork/fork.h"

struct injections {
    struct fork_injection list[FORK_INJECTIONS];
    unsigned count;
};

/* "nmi", "nmi:1", "break", "sysrq:t". */
int injections_add_event(struct injections *injections, const char *text, struct error *error);
/* "rax=0x10" */
int injections_add_register(struct injections *injections, const char *text, struct error *error);
/* "0xffffffff81000000=90 90", "phys:0x1000=00" */
int injections_add_memory(struct injections *injections, const char *text, struct error *error);

#endif
