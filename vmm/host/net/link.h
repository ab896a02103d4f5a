/*
 * Host links: where a NIC's frames go. One datagram is one Ethernet frame without a checksum, as in
 * QEMU's datagram back ends. None of the calls blocks.
 *
 *   udp:LOCALPORT:HOST:PORT   UDP; HOST is a numeric IPv4 address or "localhost"
 *   unix:LOCAL:PEER           datagram sockets of the UNIX domain, by path
 *   fd:N                      a datagram socket that was inherited, one end of a socketpair(2)
 *   tap:NAME                  a TAP interface (needs CAP_NET_ADMIN, or one made for this user)
 */
#ifndef VMM_NET_LINK_H
#define VMM_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct net_link;

struct net_link *net_link_open(const char *specification, struct error *error);
void net_link_close(struct net_link *link);             /* NULL is fine */
const char *net_link_name(const struct net_link *link); /* as specified */
int net_link_fd(const struct net_link *link);
/* True when the frame left, or was lost because the link's queue is full; false when the link does
 * not work: errno says why. */
bool net_link_send(struct net_link *link, const uint8_t *frame, size_t size);
/* Bytes of the next frame; 0: none now, or one that is too long for `capacity`; -1: the other end
 * is gone, errno says why. */
ssize_t net_link_receive(struct net_link *link, uint8_t *frame, size_t capacity);

#endif
