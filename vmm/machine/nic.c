/* The machine's NICs. */
#include "vmm/machine/nic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "devices/virtio_net.h"
#include "vmm/machine/machine.h"
#include "vmm/host/net/note.h"

_Static_assert(
    (int)NETWORK_FRAME_MOST == (int)VIRTIO_NET_FRAME_MOST, "a frame is a frame on both sides");
_Static_assert(
    (int)NETWORK_FRAME_MOST + 1 <= (int)DELIVERY_MAX, "a frame and its link fit a delivery");
_Static_assert(BOND_MAX_LINKS <= 8, "a byte has a bit for each link");
_Static_assert((int)NIC_NO_LINK == (int)NOTE_NO_LINK, "no link is no link");

struct timed_fault {
    struct timer timer;
    struct nic *nic;
    struct net_fault fault;
};

struct counter {
    uint64_t frames, bytes;
};

struct nic {
    struct machine *machine;
    unsigned number, links;
    char name[16], links_name[16];
    struct network *network;
    struct virtio_net *net;
    uint8_t live, down; /* a bit for each link: it works, as far as known; down by a fault */
    struct counter sent[BOND_MAX_LINKS], received[BOND_MAX_LINKS], lost, dropped;
    struct timed_fault timed[NET_FAULT_MAX];
    unsigned timed_count;
    const uint8_t *frame; /* on its way out */
    size_t frame_size;
};

static uint8_t all_links(const struct nic *nic)
{
    return (uint8_t)((1u << nic->links) - 1);
}

static void count(struct counter *counter, size_t bytes)
{
    counter->frames++;
    counter->bytes += bytes;
}

/* ---- Notes ---- */

static void note_frame(struct nic *nic, enum net_note_kind kind, unsigned link,
    const uint8_t *frame, size_t size, bool dropped)
{
    struct buffer payload = {0};
    const struct note_net_frame note = {
        .net = nic->number,
        .link = link,
        .dropped = dropped,
        .size = (uint32_t)size,
        .digest = XXH3_64bits(frame, size),
    };
    note_net_frame_encode(&note, &payload);
    machine_note(nic->machine, (uint8_t)kind, &payload);
}

static void note_links(struct nic *nic)
{
    struct buffer payload = {0};
    const struct note_net_links note = {
        .net = nic->number,
        .links = nic->links,
        .live = nic->live,
        .down = nic->down,
        .time = nic->machine->clock.now,
    };
    note_net_links_encode(&note, &payload);
    machine_note(nic->machine, NOTE_NET_LINKS, &payload);
}

/* ---- Out ---- */

static int send_frame(void *context, void *data, size_t capacity, size_t *size)
{
    struct nic *nic = context;
    uint8_t *answer = data, live = 0;
    if (capacity < 2)
        return -1;
    /* A machine that went live out of a trace has no links. */
    int used = -1;
    if (nic->network)
        used = network_send(nic->network, nic->frame, nic->frame_size, &live);
    answer[0] = used < 0 ? NIC_NO_LINK : (uint8_t)used;
    answer[1] = live;
    *size = live == nic->live ? 1 : 2;
    return 0;
}

static void transmit(void *context, const uint8_t *frame, size_t size)
{
    struct nic *nic = context;
    struct machine *machine = nic->machine;
    struct error error;
    uint8_t bytes[2];
    const struct input_question question = {INPUT_LINK, send_frame, nic};
    struct input_answer answer = {.data = bytes, .capacity = sizeof bytes};
    nic->frame = frame;
    nic->frame_size = size;
    if (services_ask(&machine->services, &question, &answer, &error) < 0) {
        machine_fail(machine, &error);
        return;
    }
    if (answer.size == 0 || (bytes[0] != NIC_NO_LINK && bytes[0] >= nic->links)) {
        error_set(&error, "%s: a frame left by a link that is not there", nic->name);
        machine_fail(machine, &error);
        return;
    }
    if (answer.size == 2) {
        nic->live = bytes[1] & all_links(nic);
        note_links(nic);
    }
    count(bytes[0] == NIC_NO_LINK ? &nic->lost : &nic->sent[bytes[0]], size);
    note_frame(nic, NOTE_NET_SENT, bytes[0], frame, size, false);
}

/* ---- In ---- */

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
    unsigned link = delivery->data[0];
    const uint8_t *frame = delivery->data + 1;
    size_t size = delivery->size - 1;
    if (link >= nic->links)
        return error_set(
            error, "a packet comes by link%u, which %s does not have", link, nic->name);
    count(&nic->received[link], size);
    bool dropped = !virtio_net_receive(nic->net, frame, size);
    if (dropped)
        count(&nic->dropped, size);
    note_frame(nic, NOTE_NET_RECEIVED, link, frame, size, dropped);
    return 0;
}

bool nic_can_receive(const struct nic *nic)
{
    return virtio_net_can_receive(nic->net);
}

/* ---- Faults ---- */

static void set_down(struct nic *nic, uint8_t down)
{
    nic->down = down;
    virtio_net_set_link(nic->net, down != all_links(nic));
}

static void tell_network(struct nic *nic)
{
    for (unsigned i = 0; i < nic->links && nic->network; i++)
        network_set_link(nic->network, i, !(nic->down >> i & 1));
}

static void apply_fault(struct nic *nic, const struct net_fault *fault)
{
    uint8_t bit = (uint8_t)(1u << fault->link);
    set_down(nic, fault->up ? nic->down & (uint8_t)~bit : nic->down | bit);
    tell_network(nic);
}

static void fault_is_due(void *context, uint64_t now)
{
    struct timed_fault *timed = context;
    (void)now;
    apply_fault(timed->nic, &timed->fault);
    note_links(timed->nic);
}

static int arm_faults(
    struct nic *nic, const struct net_fault *faults, unsigned fault_count, struct error *error)
{
    for (unsigned i = 0; i < fault_count; i++) {
        const struct net_fault *fault = &faults[i];
        if (fault->net != nic->number)
            continue;
        if (fault->link >= nic->links)
            return error_set(error, "--fault: %s has no link%u; it has %u links", nic->name,
                fault->link, nic->links);
        if (fault->time == 0) {
            apply_fault(nic, fault);
            continue;
        }
        struct timed_fault *timed = &nic->timed[nic->timed_count++];
        *timed = (struct timed_fault){.nic = nic, .fault = *fault};
        timer_init(&nic->machine->clock, &timed->timer, fault_is_due, timed);
        timer_arm(&nic->machine->clock, &timed->timer, fault->time);
    }
    return 0;
}

/* ---- The links as a device: what checkpoints and digests cover ---- */

static void links_reset(void *object)
{
    (void)object; /* a reset does not reach the links */
}

static void save_counter(const struct counter *counter, struct buffer *out)
{
    buffer_put_u64(out, counter->frames);
    buffer_put_u64(out, counter->bytes);
}

static void restore_counter(struct counter *counter, struct reader *in)
{
    counter->frames = reader_get_u64(in);
    counter->bytes = reader_get_u64(in);
}

static void links_save(const void *object, struct buffer *out)
{
    const struct nic *nic = object;
    buffer_put_u8(out, nic->live);
    buffer_put_u8(out, nic->down);
    for (unsigned i = 0; i < nic->links; i++) {
        save_counter(&nic->sent[i], out);
        save_counter(&nic->received[i], out);
    }
    save_counter(&nic->lost, out);
    save_counter(&nic->dropped, out);
    for (unsigned i = 0; i < nic->timed_count; i++)
        buffer_put_u64(out, nic->timed[i].timer.deadline);
}

static void links_restore(void *object, struct reader *in)
{
    struct nic *nic = object;
    nic->live = reader_get_u8(in) & all_links(nic);
    nic->down = reader_get_u8(in) & all_links(nic);
    for (unsigned i = 0; i < nic->links; i++) {
        restore_counter(&nic->sent[i], in);
        restore_counter(&nic->received[i], in);
    }
    restore_counter(&nic->lost, in);
    restore_counter(&nic->dropped, in);
    for (unsigned i = 0; i < nic->timed_count; i++)
        timer_arm(&nic->machine->clock, &nic->timed[i].timer, reader_get_u64(in));
    tell_network(nic);
}

static void links_describe(const void *object, struct buffer *out)
{
    const struct nic *nic = object;
    for (unsigned i = 0; i < nic->links; i++) {
        const char *state = nic->live >> i & 1 ? "live" : "dead";
        if (nic->down >> i & 1)
            state = "down";
        buffer_printf(out,
            "link%u %s sent %" PRIu64 " frames %" PRIu64 " bytes received %" PRIu64
            " frames %" PRIu64 " bytes\n",
            i, state, nic->sent[i].frames, nic->sent[i].bytes, nic->received[i].frames,
            nic->received[i].bytes);
    }
    buffer_printf(
        out, "lost %" PRIu64 "\ndropped %" PRIu64 "\n", nic->lost.frames, nic->dropped.frames);
}

static void links_free(void *device)
{
    nic_destroy(device);
}

struct device nic_links_device(struct nic *nic)
{
    static const struct device_ops ops = {
        .destroy = links_free,
        .reset = links_reset,
        .save = links_save,
        .restore = links_restore,
        .describe = links_describe,
    };
    return (struct device){.name = nic->links_name, .ops = &ops, .object = nic};
}

struct device nic_device(struct nic *nic)
{
    return virtio_net_device(nic->net);
}

struct network *nic_network(struct nic *nic)
{
    return nic->network;
}

/* ---- Making ---- */

struct nic *nic_create(struct machine *machine, unsigned number, const struct net_config *config,
    const struct net_fault *faults, unsigned fault_count, struct error *error)
{
    struct nic *nic = calloc(1, sizeof *nic);
    if (!nic) {
        error_set(error, "out of memory");
        return NULL;
    }
    nic->machine = machine;
    nic->number = number;
    nic->links = config->links;
    nic->live = all_links(nic);
    snprintf(nic->name, sizeof nic->name, "net%u", number);
    snprintf(nic->links_name, sizeof nic->links_name, "links%u", number);
    struct virtio_net_config net = {
        .name = nic->name,
        .memory = machine->services.memory,
        .is_transitional = machine->services.transitional_virtio,
        .transmit = transmit,
        .target = nic,
    };
    memcpy(net.mac, config->mac, sizeof net.mac);
    bool live = !machine->services.no_host && config->link[0];
    if ((live && !(nic->network = network_open(config, error))) ||
        !(nic->net = virtio_net_create(&net, error)) ||
        pci_add(machine->pci, virtio_net_function(nic->net), error) < 0 ||
        arm_faults(nic, faults, fault_count, error) < 0) {
        nic_destroy(nic);
        return NULL;
    }
    return nic;
}

void nic_destroy(struct nic *nic)
{
    if (!nic)
        return;
    for (unsigned i = 0; i < nic->timed_count; i++)
        timer_cancel(&nic->machine->clock, &nic->timed[i].timer);
    network_close(nic->network);
    virtio_net_destroy(nic->net);
    free(nic);
}
