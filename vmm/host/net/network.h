/*
 * The host side of one NIC: its links, bonded, and a thread that listens to them.
 */
#ifndef VMM_NET_NETWORK_H
#define VMM_NET_NETWORK_H

#include "base/buffer.h"
#include "vmm/host/net/bond.h"
#include "vmm/host/net/link.h"

struct net_config {
    uint8_t mac[6];
    enum bond_mode mode;
    unsigned links;
    char *link[BOND_MAX_LINKS]; /* owned; NULL in a replay */
};

/*
 * "link=udp:7001:127.0.0.1:7002,link=...,bond=rr|hash|backup,mac=52:54:00:12:34:56". Without mac=
 * the address is drawn from `seed`.
 */
int net_config_parse(
    const char *text, uint64_t seed, struct net_config *config, struct error *error);
/* Without the links, for the trace's header; and back. */
void net_config_write(const struct net_config *config, struct buffer *out);
int net_config_restore(const char *text, struct net_config *config, struct error *error);
void net_config_free(struct net_config *config);

struct network;

enum { NETWORK_FRAME_MOST = 1518 };

struct network *network_open(const struct net_config *config, struct error *error);
void network_close(struct network *network); /* NULL is fine */
/* Called by the listening thread when a frame arrived where none was waiting. Set it before the
 * first frame is wanted; NULL: nobody. */
void network_listen(struct network *network, void (*arrived)(void *context), void *context);
/* Readable while frames wait. */
int network_fd(const struct network *network);
bool network_has_frame(const struct network *network);
/* Bytes of the oldest frame that waits, and the link it came by; 0: there is none. */
size_t network_take(struct network *network, uint8_t frame[NETWORK_FRAME_MOST], unsigned *link);
/*
 * The link that the frame left by, or -1: lost, because no link lives. A link whose queue is full
 * loses the frame as any wire would. *live receives a bit for each link that lives.
 */
int network_send(struct network *network, const uint8_t *frame, size_t size, uint8_t *live);
/* Nothing comes or goes by a link that is not up. */
void network_set_link(struct network *network, unsigned link, bool up);

#endif
