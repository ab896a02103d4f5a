/* The virtio network device. */
#include "devices/virtio_net.h"

#include <stdlib.h>
#include <string.h>

#include "devices/virtio_legacy.h"

enum {
    DEVICE_ID = 1,
    CLASS_ETHERNET = 0x020000,
    RECEIVE = 0,
    TRANSMIT = 1,
    QUEUES = 2,
    HEADER_MOST = 12, /* struct virtio_net_hdr */
    HEADER_LEGACY = 10,
    CONFIG_SIZE = 12, /* mac, status, max_virtqueue_pairs, mtu */
    STATUS_LINK_UP = 1,
};

struct virtio_net {
    struct virtio_net_config config;
    struct virtio virtio;
    bool link_up;
    /* The frame on its way into the guest; only during virtio_net_receive(). */
    const uint8_t *frame;
    size_t frame_size;
    bool taken;
};

/* Without VERSION_1 and mergeable buffers there is no num_buffers (section 5.1.6.1). */
static size_t header_size(const struct virtio_net *net)
{
    return virtio_has(&net->virtio, VIRTIO_F_VERSION_1) ? HEADER_MOST : HEADER_LEGACY;
}

static uint32_t receive(struct virtio_net *net, const struct virtio_chain *chain)
{
    if (!net->frame)
        return VIRTIO_HOLD;
    const uint8_t header[HEADER_MOST] = {[10] = 1}; /* num_buffers */
    const size_t header_bytes = header_size(net);
    const uint8_t *frame = net->frame;
    net->frame = NULL;
    if (chain->writable_bytes < header_bytes) {
        virtio_broken(&net->virtio);
        return 0;
    }
    if (chain->writable_bytes < header_bytes + net->frame_size)
        return VIRTIO_HOLD;
    virtio_chain_write(&net->virtio.rings.memory, chain, 0, header, header_bytes);
    virtio_chain_write(&net->virtio.rings.memory, chain, header_bytes, frame, net->frame_size);
    net->taken = true;
    return (uint32_t)(header_bytes + net->frame_size);
}

static void transmit(struct virtio_net *net, const struct virtio_chain *chain)
{
    uint8_t frame[VIRTIO_NET_FRAME_MOST];
    const size_t header_bytes = header_size(net);
    uint64_t size = chain->readable_bytes - header_bytes;
    if (chain->readable_bytes < header_bytes + VIRTIO_NET_FRAME_LEAST || size > sizeof frame)
        return;
    virtio_chain_read(chain, header_bytes, frame, size);
    net->config.transmit(net->config.target, frame, (size_t)size);
}

static uint32_t net_request(void *device, unsigned queue, const struct virtio_chain *chain)
{
    if (queue == RECEIVE)
        return receive(device, chain);
    transmit(device, chain);
    return 0;
}

static uint8_t net_config_read(void *device, unsigned offset)
{
    const struct virtio_net *net = device;
    uint8_t config[CONFIG_SIZE] = {[6] = net->link_up ? STATUS_LINK_UP : 0,
        [8] = 1,
        [10] = (uint8_t)VIRTIO_NET_MTU,
        [11] = VIRTIO_NET_MTU >> 8};
    memcpy(config, net->config.mac, sizeof net->config.mac);
    return config[offset];
}

static const struct virtio_type net_type = {
    .id = DEVICE_ID,
    .class_code = CLASS_ETHERNET,
    .features = VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS,
    .queues = QUEUES,
    .config_size = CONFIG_SIZE,
    .request = net_request,
    .config_read = net_config_read,
};

bool virtio_net_can_receive(const struct virtio_net *net)
{
    return virtio_has_chain(&net->virtio, RECEIVE);
}

bool virtio_net_receive(struct virtio_net *net, const uint8_t *frame, size_t size)
{
    if (size < VIRTIO_NET_FRAME_LEAST || size > VIRTIO_NET_FRAME_MOST)
        return false;
    net->frame = frame;
    net->frame_size = size;
    net->taken = false;
    virtio_serve(&net->virtio, RECEIVE);
    net->frame = NULL;
    return net->taken;
}

void virtio_net_set_link(struct virtio_net *net, bool up)
{
    if (net->link_up == up)
        return;
    net->link_up = up;
    virtio_config_changed(&net->virtio);
}

struct virtio_net *virtio_net_create(const struct virtio_net_config *config, struct error *error)
{
    struct virtio_net *net = calloc(1, sizeof *net);
    if (!net) {
        error_set(error, "%s: out of memory", config->name);
        return NULL;
    }
    net->config = *config;
    net->link_up = true;
    if (virtio_init(&net->virtio, &net_type, config->name, net, net_type.features, &config->memory,
            error) < 0) {
        free(net);
        return NULL;
    }
    if (config->is_transitional)
        virtio_legacy_add(&net->virtio);
    return net;
}

void virtio_net_destroy(struct virtio_net *net)
{
    free(net);
}

struct pci_function *virtio_net_function(struct virtio_net *net)
{
    return &net->virtio.function;
}

static void net_reset(void *device)
{
    virtio_bus_reset(&((struct virtio_net *)device)->virtio);
}

static void net_save(const void *device, struct buffer *out)
{
    const struct virtio_net *net = device;
    buffer_put_u8(out, net->link_up);
    virtio_save(&net->virtio, out);
}

static void net_restore(void *device, struct reader *in)
{
    struct virtio_net *net = device;
    net->link_up = reader_get_u8(in) != 0;
    virtio_restore(&net->virtio, in);
}

static void net_describe(const void *device, struct buffer *out)
{
    const struct virtio_net *net = device;
    const uint8_t *mac = net->config.mac;
    buffer_printf(out, "mac %02x:%02x:%02x:%02x:%02x:%02x\nlink %s\n", mac[0], mac[1], mac[2],
        mac[3], mac[4], mac[5], net->link_up ? "up" : "down");
    virtio_describe(&net->virtio, out);
}

struct device virtio_net_device(struct virtio_net *net)
{
    static const struct device_ops ops = {
        .reset = net_reset,
        .save = net_save,
        .restore = net_restore,
        .describe = net_describe,
    };
    return (struct device){.name = net->config.name, .ops = &ops, .object = net};
}
