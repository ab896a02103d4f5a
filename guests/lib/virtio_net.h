/*
 * A driver for one virtio-net NIC (virtio 1.2, section 5.1) without offloads: frames in, frames
 * out. Call everything with interrupts off.
 */
#ifndef GUEST_VIRTIO_NET_H
#define GUEST_VIRTIO_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NET_FRAME_MOST = 1514 };

/* The `number`-th NIC; false when there is none. */
bool net_open(unsigned number, uint8_t mac[6]);
bool net_link_up(void);
/* A buffer of NET_FRAME_MOST bytes for the next frame to send, then its size; or NULL: all are
 * with the device. Nothing leaves before net_flush(). */
uint8_t *net_prepare(void);
void net_send(size_t size);
void net_flush(void);
/* The oldest frame that has come in, valid until net_release(); NULL: none. */
const uint8_t *net_receive(size_t *size);
void net_release(void);
unsigned net_interrupts(void); /* how many were taken */

#endif
