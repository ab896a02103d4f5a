/*
 * Several host links as one: which of them a frame leaves by.
 *
 *   rr      each frame by the next live link: most bandwidth, frames may overtake one another
 *   hash    by the frame's flow (addresses and ports): a flow keeps its order and its link
 *   backup  the first live link
 *
 * A link is dead after a send failed or its other end was found gone, and, once the peer has been
 * heard to say hello by any link (it then does by all), when it has been silent for BOND_DEAD_NS;
 * it lives again when it is heard.
 * Hello is a broadcast frame of EtherType 0x88b5 (IEEE 802 local experimental), sent on each link
 * every BOND_HELLO_NS; hosts that do not know it ignore it.
 *
 * A bond holds no links and asks no clock: callers tell it what happens and when, in ns.
 */
#ifndef VMM_NET_BOND_H
#define VMM_NET_BOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOND_MAX_LINKS = 8, BOND_HELLO_SIZE = 60 };
#define BOND_HELLO_NS 100000000ull
#define BOND_DEAD_NS  500000000ull
#define BOND_RETRY_NS \
    1000000000ull /* a link that failed without ever saying hello is tried again */

enum bond_mode { BOND_ROUND_ROBIN, BOND_HASH, BOND_BACKUP, BOND_MODES };

const char *bond_mode_name(enum bond_mode mode); /* "rr", "hash", "backup" */
bool bond_mode_parse(const char *name, enum bond_mode *mode);

struct bond_link {
    bool down;      /* nothing may come or go by it */
    bool failed;    /* the last send failed, or its other end is gone */
    uint64_t heard; /* when anything came last */
    uint64_t failed_at;
    uint64_t sent, received; /* frames */
};

struct bond {
    enum bond_mode mode;
    unsigned count;
    unsigned next;        /* round robin */
    bool says_hello;      /* the peer does, by whatever link */
    uint64_t hello_since; /* when it first did: silence counts from then on */
    struct bond_link link[BOND_MAX_LINKS];
};

void bond_init(struct bond *bond, enum bond_mode mode, unsigned count);
bool bond_is_live(const struct bond *bond, unsigned link, uint64_t now);
/* The link for a frame, or -1 when none lives. Does not count it as sent. */
int bond_choose(struct bond *bond, const uint8_t *frame, size_t size, uint64_t now);
void bond_sent(struct bond *bond, unsigned link);
void bond_failed(struct bond *bond, unsigned link, uint64_t now);
/* A frame came; true when it is a hello and not for the guest. */
bool bond_heard(struct bond *bond, unsigned link, const uint8_t *frame, size_t size, uint64_t now);
/* The host did not look at the links until `now`: their silence means nothing. */
void bond_was_deaf(struct bond *bond, uint64_t now);
void bond_make_hello(uint8_t frame[BOND_HELLO_SIZE]);
/* Of addresses, protocol and ports; the same for all frames of a flow. */
uint32_t bond_flow_hash(const uint8_t *frame, size_t size);

#endif
