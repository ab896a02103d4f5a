/* A driver for one virtio NIC. */
#include "lib/virtio_net.h"

#include "lib/exit.h"
#include "lib/virtio.h"

enum { DEVICE_ID = 1, RECEIVE = 0, TRANSMIT = 1, HEADER = 12, BUFFER = 2048 };

#define FEATURE_MAC    (1ul << 5)
#define FEATURE_STATUS (1ul << 16)

static struct virtio_ring receive_ring = {.asks = true}, transmit_ring;
static struct virtio device;
static uint8_t receive_buffer[VIRTIO_QUEUE][BUFFER] __attribute__((aligned(4096)));
static uint8_t transmit_buffer[VIRTIO_QUEUE][BUFFER] __attribute__((aligned(4096)));
static uint8_t idle[VIRTIO_QUEUE]; /* transmit slots, a stack */
static unsigned idle_count, received_slot;

bool net_open(unsigned number, uint8_t mac[6])
{
    struct virtio_ring *const rings[] = {&receive_ring, &transmit_ring};
    if (!virtio_open(&device, DEVICE_ID, number, FEATURE_MAC | FEATURE_STATUS, rings, 2))
        return false;
    if (!device.config)
        guest_panic(VIRTIO_BROKEN, "the NIC has no configuration");
    for (unsigned i = 0; i < 6; i++)
        mac[i] = device.config[i];
    for (unsigned i = 0; i < VIRTIO_QUEUE; i++) {
        virtio_submit(&device, RECEIVE, i, receive_buffer[i], BUFFER, true);
        idle[idle_count++] = (uint8_t)i;
    }
    virtio_notify(&device, RECEIVE);
    return true;
}

bool net_link_up(void)
{
    return device.config[6] & 1;
}

static void reclaim(void)
{
    unsigned slot;
    uint32_t length;
    while (virtio_take(&device, TRANSMIT, &slot, &length))
        idle[idle_count++] = (uint8_t)slot;
}

uint8_t *net_prepare(void)
{
    reclaim();
    return idle_count ? transmit_buffer[idle[idle_count - 1]] + HEADER : NULL;
}

void net_send(size_t size)
{
    unsigned slot = idle[--idle_count];
    for (unsigned i = 0; i < HEADER; i++)
        transmit_buffer[slot][i] = 0;
    virtio_submit(&device, TRANSMIT, slot, transmit_buffer[slot], (uint32_t)(HEADER + size), false);
}

void net_flush(void)
{
    virtio_notify(&device, TRANSMIT);
}

const uint8_t *net_receive(size_t *size)
{
    uint32_t length;
    if (!virtio_take(&device, RECEIVE, &received_slot, &length))
        return NULL;
    if (length < HEADER || length > BUFFER)
        guest_panic(VIRTIO_BROKEN, "the NIC received %u bytes with its header", length);
    *size = length - HEADER;
    return receive_buffer[received_slot] + HEADER;
}

void net_release(void)
{
    virtio_submit(&device, RECEIVE, received_slot, receive_buffer[received_slot], BUFFER, true);
    virtio_notify(&device, RECEIVE);
}

unsigned net_interrupts(void)
{
    return device.interrupts;
}
