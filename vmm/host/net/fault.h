/*
 * Faults of host links on purpose, and how they are written on a command line:
 *
 *   net0:link1:down@t=2.5s    from then on nothing comes or goes by the link
 *   net0:link1:up@t=4s        it works again
 *
 * Without a time a fault is there from the start. Times are virtual.
 */
#ifndef VMM_NET_FAULT_H
#define VMM_NET_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum { NET_FAULT_MAX = 32 };

struct net_fault {
    unsigned net, link;
    bool up;
    uint64_t time; /* ns; 0: from the start */
};

/* Is it about a network, by its first word? */
bool net_fault_is(const char *text);
int net_fault_parse(const char *text, struct net_fault *fault, struct error *error);
void net_fault_print(const struct net_fault *fault, struct buffer *out); /* as parse reads it */

#endif
