#include "vmm/nic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio_net.h"
#include "vmm/machine.h"

_Static_assert(
    (int)NETWORK_FRAME_MOST == (int)VIRTIO_NET_FRAME_MOST, "a frame is a frame on both sides");
_Static_assert(
    (int)NETWORK_FRAME_MOST + 1 <= (int)DELIVERY_MAX, "a frame and its link fit a delivery");

struct nic {
    struct machine *machine;
    unsigned number;
    char name[16];
    struct network *network;
    struct virtio_net *net;
    const uint8_t *frame; /* on its way out */
    size_t frame_size;
};

static int send_frame(void *context, void *data, size_t capacity, size_t *size)
{
    struct nic *nic = context;
    uint8_t *link = data;
    if (capacity < 1)
        return -1;
    int used = network_send(nic->network, nic->frame, nic->frame_size);
    *link = used < 0 ? NIC_NO_LINK : (uint8_t)used;
    *size = 1;
    return 0;
}

static void transmit(void *context, const uint8_t *frame, size_t size)
{
    struct nic *nic = context;
    struct machine *machine = nic->machine;
    struct error error;
    uint8_t link = NIC_NO_LINK;
    size_t got = 0;
    nic->frame = frame;
    nic->frame_size = size;
    if (machine->source->ops->value(machine->source, machine, INPUT_LINK, send_frame, nic, &link,
            sizeof link, &got, &error) < 0)
        machine_fail(machine, &error);
}

static uint8_t *guest_at(void *context, uint64_t gpa, uint64_t size)
{
    struct machine *machine = context;
    return memory_at(&machine->memory, gpa, size);
}

static void guest_wrote(void *context, uint64_t gpa, uint64_t size)
{
    struct machine *machine = context;
    machine->engine->ops->memory_changed(machine->engine, gpa, size);
}

struct nic *nic_create(
    struct machine *machine, unsigned number, const struct net_config *config, struct error *error)
{
    struct nic *nic = calloc(1, sizeof *nic);
    if (!nic) {
        error_set(error, "out of memory");
        return NULL;
    }
    nic->machine = machine;
    nic->number = number;
    snprintf(nic->name, sizeof nic->name, "net%u", number);
    struct virtio_net_config net = {
        .name = nic->name,
        .memory = {.context = machine, .at = guest_at, .wrote = guest_wrote},
        .transmit = transmit,
        .target = nic,
    };
    memcpy(net.mac, config->mac, sizeof net.mac);
    bool live = !machine->no_host;
    if ((live && !(nic->network = network_open(config, error))) ||
        !(nic->net = virtio_net_create(&net, error)) ||
        pci_add(machine->pci, virtio_net_function(nic->net), error) < 0) {
        nic_destroy(nic);
        return NULL;
    }
    return nic;
}

void nic_destroy(struct nic *nic)
{
    if (!nic)
        return;
    network_close(nic->network);
    virtio_net_destroy(nic->net);
    free(nic);
}

struct device nic_device(struct nic *nic)
{
    return virtio_net_device(nic->net);
}

struct network *nic_network(struct nic *nic)
{
    return nic->network;
}

bool nic_is_due(const struct nic *nic)
{
    return nic->network && network_has_frame(nic->network) && virtio_net_can_receive(nic->net);
}

int nic_fd(const struct nic *nic)
{
    bool wanted = nic->network && virtio_net_can_receive(nic->net);
    return wanted ? network_fd(nic->network) : -1;
}

bool nic_take(struct nic *nic, struct delivery *delivery)
{
    unsigned link = 0;
    if (!nic_is_due(nic))
        return false;
    size_t size = network_take(nic->network, delivery->data + 1, &link);
    if (size == 0)
        return false;
    delivery->kind = INPUT_PACKET;
    delivery->device = nic->number;
    delivery->data[0] = (uint8_t)link;
    delivery->size = size + 1;
    return true;
}

int nic_deliver(struct nic *nic, const struct delivery *delivery, struct error *error)
{
    if (delivery->size < 1 || delivery->size > NETWORK_FRAME_MOST + 1)
        return error_set(
            error, "a packet of %zu bytes cannot be delivered to %s", delivery->size, nic->name);
    virtio_net_receive(nic->net, delivery->data + 1, delivery->size - 1);
    return 0;
}
