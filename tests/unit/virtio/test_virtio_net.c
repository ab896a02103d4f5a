/* virtio-net as a driver meets it (virtio 1.2, section 5.1): frames out and in, buffers that do not
 * fit, the link's status, and drivers that misbehave. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_nic.h"

#define PLAIN (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS)
enum { NEEDS_RESET = 64 };

static int set_up(void **state)
{
    *state = nic_driver_create(false);
    return 0;
}

static int tear_down(void **state)
{
    nic_driver_destroy(*state);
    return 0;
}

static void fill(uint8_t *frame, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        frame[i] = (uint8_t)(i * 7 + seed);
}

static bool needs_reset(struct nic_driver *n)
{
    return reg(n->d, 0x14, 1) & NEEDS_RESET;
}

static void the_function_is_a_network_controller(void **state)
{
    struct nic_driver *n = *state;
    assert_int_equal(config_get(n->d, NIC_SLOT, 0, 4), 0x10411af4);
    assert_int_equal(config_get(n->d, NIC_SLOT, 8, 4) >> 8, 0x020000);
    assert_true(
        features(n->d) == (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                              VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MTU));
    assert_int_equal(reg(n->d, 0x12, 2), 2);
    /* mac, status, max_virtqueue_pairs, mtu */
    static const uint8_t config[] = {0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 0x05};
    for (unsigned i = 0; i < sizeof config; i++)
        assert_int_equal(reg(n->d, 0x2000 + i, 1), config[i]);
    assert_int_equal(reg(n->d, 0x2000 + sizeof config, 1), 0);
}

static void a_frame_is_sent(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[200];
    nic_start(n, PLAIN);
    fill(frame, sizeof frame, 3);
    memcpy(n->d->ram + DATA + HEADER, frame, sizeof frame);
    nic_buffer(n, TRANSMIT, 0, DATA, HEADER + sizeof frame);
    assert_int_equal(n->sent, 1);
    assert_int_equal(n->frame_size, sizeof frame);
    assert_memory_equal(n->frame, frame, sizeof frame);
    assert_int_equal(nic_used(n, TRANSMIT), 1);
    assert_int_equal(nic_used_length(n, TRANSMIT, 0), 0);
    assert_true(n->d->line[n->line]);
    assert_int_equal(reg(n->d, 0x1000, 1), 1);
    assert_false(n->d->line[n->line]);
}

/* Section 2.7.4: devices make no assumption about how a buffer is split. */
static void a_frame_may_be_scattered(void **state)
{
    struct nic_driver *n = *state;
    static const uint32_t cut[] = {5, 10, 1, 40, 0, 16};
    uint8_t frame[60];
    nic_start(n, PLAIN | VIRTIO_F_INDIRECT_DESC);
    fill(frame, sizeof frame, 9);
    memcpy(n->d->ram + DATA + HEADER, frame, sizeof frame);
    uint64_t at = DATA;
    for (unsigned i = 0; i < 6; i++) {
        descriptor(n->d, INDIRECT_NIC, i, at, cut[i], i < 5, (uint16_t)(i + 1));
        at += cut[i];
    }
    assert_int_equal(at, DATA + HEADER + sizeof frame);
    descriptor(n->d, ring_at(TRANSMIT, RING_DESC), 0, INDIRECT_NIC, 6 * 16, 4, 0);
    nic_offer(n, TRANSMIT, 0);
    nic_notify(n, TRANSMIT);
    assert_int_equal(n->frame_size, sizeof frame);
    assert_memory_equal(n->frame, frame, sizeof frame);
}

static void frames_of_other_sizes_are_not_sent(void **state)
{
    struct nic_driver *n = *state;
    static const struct {
        uint32_t length;
        unsigned sent;
    } cases[] = {{HEADER + 14, 1}, {HEADER + 1518, 1}, {HEADER + 13, 0}, {HEADER + 1519, 0},
        {HEADER, 0}, {HEADER - 1, 0}, {1, 0}, {60000, 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nic_start(n, PLAIN);
        n->sent = 0;
        nic_buffer(n, TRANSMIT, 0, DATA, cases[i].length);
        assert_int_equal(n->sent, cases[i].sent);
        assert_int_equal(nic_used(n, TRANSMIT), 1); /* the buffer comes back either way */
        assert_false(needs_reset(n));
    }
}

static void a_frame_is_received(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[1518];
    fill(frame, sizeof frame, 1);
    assert_false(virtio_net_can_receive(n->net));
    nic_start(n, PLAIN);
    assert_false(virtio_net_can_receive(n->net));
    nic_buffer(n, RECEIVE, 0, DATA, 2048);
    nic_buffer(n, RECEIVE, 1, DATA + 4096, HEADER + 60);
    assert_int_equal(nic_used(n, RECEIVE), 0);
    assert_false(n->d->line[n->line]);
    assert_true(virtio_net_can_receive(n->net));
    memset(n->d->written, 0, sizeof n->d->written);
    assert_true(virtio_net_receive(n->net, frame, 1514));
    assert_int_equal(nic_used(n, RECEIVE), 1);
    assert_int_equal(nic_used_length(n, RECEIVE, 0), HEADER + 1514);
    static const uint8_t header[HEADER] = {[10] = 1}; /* num_buffers */
    assert_memory_equal(n->d->ram + DATA, header, HEADER);
    assert_memory_equal(n->d->ram + DATA + HEADER, frame, 1514);
    assert_true(n->d->written[DATA / 512] && n->d->written[(DATA + HEADER + 1513) / 512]);
    assert_false(n->d->written[(DATA + 2048) / 512]);
    assert_true(n->d->line[n->line]);
    assert_true(virtio_net_receive(n->net, frame, 60)); /* fits exactly */
    assert_int_equal(nic_used_length(n, RECEIVE, 1), HEADER + 60);
    assert_false(virtio_net_can_receive(n->net));
    assert_false(virtio_net_receive(n->net, frame, 60));
    assert_int_equal(nic_used(n, RECEIVE), 2);
}

static void a_frame_that_does_not_fit_is_dropped(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[1600];
    fill(frame, sizeof frame, 5);
    nic_start(n, PLAIN);
    nic_buffer(n, RECEIVE, 0, DATA, HEADER + 99);
    assert_false(virtio_net_receive(n->net, frame, 100));
    assert_int_equal(nic_used(n, RECEIVE), 0);
    assert_false(needs_reset(n));
    assert_true(virtio_net_can_receive(n->net)); /* the buffer is still there */
    assert_false(virtio_net_receive(n->net, frame, 13));
    assert_false(virtio_net_receive(n->net, frame, 1519));
    assert_true(virtio_net_receive(n->net, frame, 99));
    assert_memory_equal(n->d->ram + DATA + HEADER, frame, 99);
}

static void a_received_frame_may_be_scattered(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[100];
    fill(frame, sizeof frame, 77);
    nic_start(n, PLAIN);
    /* As a driver does that keeps the header apart. */
    descriptor(n->d, ring_at(RECEIVE, RING_DESC), 0, DATA, HEADER, 3, 1);
    descriptor(n->d, ring_at(RECEIVE, RING_DESC), 1, DATA + 0x1000, 30, 3, 2);
    descriptor(n->d, ring_at(RECEIVE, RING_DESC), 2, DATA + 0x2000, 1500, 2, 0);
    nic_offer(n, RECEIVE, 0);
    assert_true(virtio_net_receive(n->net, frame, sizeof frame)); /* without any notification */
    assert_memory_equal(n->d->ram + DATA + 0x1000, frame, 30);
    assert_memory_equal(n->d->ram + DATA + 0x2000, frame + 30, 70);
    assert_int_equal(nic_used_length(n, RECEIVE, 0), HEADER + 100);
}

static void event_indices_are_kept_for_each_queue(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[60] = {0};
    nic_start(n, PLAIN | VIRTIO_F_EVENT_IDX);
    uint64_t receive_event = ring_at(RECEIVE, RING_AVAIL) + 4 + 2 * QUEUE;
    uint64_t transmit_event = ring_at(TRANSMIT, RING_AVAIL) + 4 + 2 * QUEUE;
    put16(n->d, receive_event, 1);       /* tell me when the second has come */
    put16(n->d, transmit_event, 0xffff); /* and not that frames were sent */
    for (unsigned i = 0; i < 4; i++)
        nic_buffer(n, RECEIVE, i, DATA + 4096 * i, 2048);
    /* Notify me of the next buffer only when these are used up: section 2.7.10. */
    assert_int_equal(get16(n->d, ring_at(RECEIVE, RING_USED) + 4 + 8 * QUEUE), 0);
    nic_buffer(n, TRANSMIT, 0, DATA + 0x8000, 80);
    assert_false(n->d->line[n->line]);
    assert_int_equal(get16(n->d, ring_at(TRANSMIT, RING_USED) + 4 + 8 * QUEUE), 1);
    assert_true(virtio_net_receive(n->net, frame, 60));
    assert_false(n->d->line[n->line]);
    assert_true(virtio_net_receive(n->net, frame, 60));
    assert_true(n->d->line[n->line]);
    assert_int_equal(get16(n->d, ring_at(RECEIVE, RING_USED) + 4 + 8 * QUEUE), 2);
}

static void the_driver_is_told_of_the_link(void **state)
{
    struct nic_driver *n = *state;
    nic_start(n, PLAIN);
    uint64_t generation = reg(n->d, 0x15, 1);
    assert_int_equal(reg(n->d, 0x2006, 2), 1);
    virtio_net_set_link(n->net, true);
    assert_false(n->d->line[n->line]);
    virtio_net_set_link(n->net, false);
    assert_true(n->d->line[n->line]);
    assert_int_equal(reg(n->d, 0x1000, 1), 2);
    assert_int_equal(reg(n->d, 0x2006, 2), 0);
    assert_int_not_equal(reg(n->d, 0x15, 1), generation);
    set_reg(n->d, 0x14, 1, 0); /* a reset does not plug the cable in */
    assert_int_equal(reg(n->d, 0x2006, 2), 0);
    virtio_net_set_link(n->net, true);
    assert_false(n->d->line[n->line]); /* nobody to tell */
}

static void hostile_chains_break_the_device(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[60] = {0};
    for (unsigned kind = 0; kind < 6; kind++) {
        unsigned queue = kind < 4 ? RECEIVE : TRANSMIT;
        uint64_t table = ring_at(queue, RING_DESC);
        nic_start(n, PLAIN);
        n->sent = 0;
        switch (kind) {
        case 0: /* no room for the header */
            descriptor(n->d, table, 0, DATA, HEADER - 1, 2, 0);
            break;
        case 1: /* nothing to write to at all */
            descriptor(n->d, table, 0, DATA, 2048, 0, 0);
            break;
        case 2: /* runs in a circle */
            descriptor(n->d, table, 0, DATA, 100, 3, 0);
            break;
        case 3: /* past the end of RAM */
            descriptor(n->d, table, 0, RAM_SIZE - 100, 2048, 2, 0);
            break;
        case 4:
            descriptor(n->d, table, 0, UINT64_MAX - 20, 80, 0, 0);
            break;
        default: /* a readable segment after a writable one */
            descriptor(n->d, table, 0, DATA, 40, 3, 1);
            descriptor(n->d, table, 1, DATA, 80, 0, 0);
            break;
        }
        nic_offer(n, queue, 0);
        nic_notify(n, queue);
        if (queue == RECEIVE)
            assert_false(virtio_net_receive(n->net, frame, sizeof frame));
        assert_true(needs_reset(n));
        assert_int_equal(n->sent, 0);
        assert_int_equal(nic_used(n, queue), 0);
        /* It stays so: nothing moves until a reset. */
        assert_false(virtio_net_can_receive(n->net));
        assert_false(virtio_net_receive(n->net, frame, sizeof frame));
        nic_notify(n, TRANSMIT);
        assert_int_equal(n->sent, 0);
    }
}

/* More buffers announced than the ring has. */
static void an_impossible_index_breaks_the_device(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[60] = {0};
    nic_start(n, PLAIN);
    put16(n->d, ring_at(RECEIVE, RING_AVAIL) + 2, QUEUE + 1);
    assert_false(virtio_net_receive(n->net, frame, sizeof frame));
    assert_true(needs_reset(n));
}

static void state_is_saved_and_restored(void **state)
{
    struct nic_driver *n = *state;
    uint8_t frame[60];
    fill(frame, sizeof frame, 8);
    nic_start(n, PLAIN);
    nic_buffer(n, RECEIVE, 0, DATA, 2048);
    nic_buffer(n, RECEIVE, 1, DATA + 4096, 2048);
    virtio_net_receive(n->net, frame, sizeof frame);
    virtio_net_set_link(n->net, false);
    struct device device = virtio_net_device(n->net);
    struct buffer saved = {0}, again = {0};
    device.ops->save(device.object, &saved);
    set_reg(n->d, 0x14, 1, 0);
    virtio_net_set_link(n->net, true);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(device.object, &in);
    assert_false(in.failed);
    assert_int_equal(reader_left(&in), 0);
    device.ops->save(device.object, &again);
    assert_int_equal(again.size, saved.size);
    assert_memory_equal(again.data, saved.data, saved.size);
    assert_int_equal(reg(n->d, 0x2006, 2), 0);
    assert_true(virtio_net_receive(n->net, frame, sizeof frame));
    assert_memory_equal(n->d->ram + DATA + 4096 + HEADER, frame, sizeof frame);
    buffer_free(&saved);
    buffer_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_function_is_a_network_controller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_may_be_scattered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_of_other_sizes_are_not_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_is_received, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_that_does_not_fit_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_received_frame_may_be_scattered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(event_indices_are_kept_for_each_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_driver_is_told_of_the_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_chains_break_the_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_impossible_index_breaks_the_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(state_is_saved_and_restored, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
