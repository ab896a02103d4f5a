/* Bonding by its contract, and networks of sockets that are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/host/net/network.h"

#define MS 1000000ull

/* An IPv4 UDP frame from port `port`. */
static void make_frame(uint8_t frame[60], uint16_t port)
{
    memset(frame, 0, 60);
    memcpy(frame, "\x52\x54\0\0\0\x02\x52\x54\0\0\0\x01\x08\0\x45", 15);
    frame[14 + 9] = 17;
    memcpy(frame + 14 + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
    frame[34] = (uint8_t)(port >> 8);
    frame[35] = (uint8_t)port;
}

static void round_robin_takes_turns(void **state)
{
    (void)state;
    struct bond bond;
    uint8_t frame[60];
    make_frame(frame, 1);
    bond_init(&bond, BOND_ROUND_ROBIN, 3);
    for (int i = 0; i < 9; i++)
        assert_int_equal(bond_choose(&bond, frame, 60, 0), i % 3);
    bond_failed(&bond, 1, 10);
    unsigned count[3] = {0};
    for (int i = 0; i < 100; i++)
        count[bond_choose(&bond, frame, 60, 10)]++;
    assert_int_equal(count[1], 0);
    assert_int_equal(count[0], 50);
    bond_heard(&bond, 1, frame, 60, 20);
    assert_true(bond_is_live(&bond, 1, 20));
    bond_failed(&bond, 0, 30);
    bond_failed(&bond, 1, 30);
    bond_failed(&bond, 2, 30);
    assert_int_equal(bond_choose(&bond, frame, 60, 30), -1);
    assert_true(bond_choose(&bond, frame, 60, 30 + BOND_RETRY_NS) >= 0);
}

static void a_flow_keeps_its_link(void **state)
{
    (void)state;
    struct bond bond;
    uint8_t frame[60];
    bond_init(&bond, BOND_HASH, 2);
    unsigned count[2] = {0};
    for (unsigned port = 1000; port < 2000; port++) {
        make_frame(frame, (uint16_t)port);
        int link = bond_choose(&bond, frame, 60, 0);
        count[link]++;
        frame[45] = 77; /* the payload is no part of the flow */
        assert_int_equal(bond_choose(&bond, frame, 60, 0), link);
    }
    /* A fair hash of 1000 flows is in 350..650 but for one case in 10^21. */
    assert_true(count[0] > 350 && count[0] < 650);
    bond_init(&bond, BOND_BACKUP, 2);
    assert_int_equal(bond_choose(&bond, frame, 60, 0), 0);
    bond_failed(&bond, 0, 0);
    assert_int_equal(bond_choose(&bond, frame, 60, 0), 1);
}

static void silence_after_a_hello_is_death(void **state)
{
    (void)state;
    struct bond bond;
    uint8_t hello[BOND_HELLO_SIZE], frame[60];
    make_frame(frame, 1);
    bond_make_hello(hello);
    bond_init(&bond, BOND_BACKUP, 2);
    assert_true(bond_is_live(&bond, 0, 5000 * MS)); /* a peer that never says hello */
    assert_true(bond_heard(&bond, 0, hello, sizeof hello, 100 * MS));
    assert_true(bond_is_live(&bond, 0, 600 * MS));
    assert_false(bond_is_live(&bond, 0, 601 * MS));
    /* The peer says hello by all links: one that it was never heard on is dead, too. */
    assert_true(bond_is_live(&bond, 1, 600 * MS));
    assert_false(bond_is_live(&bond, 1, 601 * MS));
    assert_int_equal(bond_choose(&bond, frame, 60, 700 * MS), -1);
    assert_true(bond_heard(&bond, 1, hello, sizeof hello, 700 * MS));
    assert_int_equal(bond_choose(&bond, frame, 60, 700 * MS), 1);
    assert_false(bond_heard(&bond, 0, frame, 60, 800 * MS));
    assert_int_equal(bond_choose(&bond, frame, 60, 800 * MS), 0);
    bond_was_deaf(&bond, 3000 * MS);
    assert_true(bond_is_live(&bond, 0, 3100 * MS));
}

static void configurations_are_read(void **state)
{
    (void)state;
    struct net_config config, again;
    struct error error;
    assert_int_equal(net_config_parse("link=udp:1:127.0.0.1:2,link=fd:3,bond=hash,"
                                      "mac=52:54:00:aa:bb:cc",
                         1, &config, &error),
        0);
    assert_int_equal(config.links, 2);
    assert_string_equal(config.link[1], "fd:3");
    struct buffer text = {0};
    net_config_write(&config, &text);
    buffer_put_u8(&text, 0);
    assert_int_equal(net_config_restore((char *)text.data, &again, &error), 0);
    assert_int_equal(again.mode, BOND_HASH);
    assert_memory_equal(again.mac, "\x52\x54\0\xaa\xbb\xcc", 6);
    net_config_free(&config);
    buffer_free(&text);
    static const char *const wrong[] = {"", "bond=rr", "link=fd:3,bond=fast",
        "link=fd:3,mac=53:54:00:aa:bb:cc", "link=fd:3,mac=1:2", "speed=10"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(net_config_parse(wrong[i], 1, &config, &error), -1);
    assert_int_equal(
        net_config_restore("links=9,bond=rr,mac=52:54:00:aa:bb:cc", &again, &error), -1);
    static const char *const links[] = {"udp:0:127.0.0.1:5", "udp:5:nowhere:6", "udp:5",
        "fd:", "fd:1x", "tap:", "unix:a", "wire:1"};
    for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++)
        assert_null(net_link_open(links[i], &error));
}

static struct network *open_pair(enum bond_mode mode, const int fds[2])
{
    struct net_config config = {.mode = mode, .links = 2};
    char names[2][16];
    struct error error;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "fd:%d", fds[i]);
        config.link[i] = names[i];
    }
    struct network *network = network_open(&config, &error);
    if (!network)
        fail_msg("%s", error.text);
    close(fds[0]);
    close(fds[1]);
    return network;
}

static size_t take(struct network *network, uint8_t *frame, unsigned *link)
{
    struct pollfd fd = {.fd = network_fd(network), .events = POLLIN};
    poll(&fd, 1, 5000);
    return network_take(network, frame, link);
}

/* Two networks over two socket pairs; the first pair's end is closed in the middle. */
static void a_cut_link_is_left(void **state)
{
    (void)state;
    int pair[2][2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair[i]), 0);
    int far_first = dup(pair[0][1]);
    struct network *near = open_pair(BOND_ROUND_ROBIN, (int[]){pair[0][0], pair[1][0]});
    struct network *far = open_pair(BOND_ROUND_ROBIN, (int[]){pair[0][1], pair[1][1]});
    uint8_t frame[60], got[NETWORK_FRAME_MOST], live;
    unsigned by[2] = {0}, link;
    for (uint16_t i = 0; i < 40; i++) {
        make_frame(frame, i);
        int used = network_send(near, frame, sizeof frame, &live);
        assert_true(used >= 0);
        assert_int_equal(take(far, got, &link), sizeof frame);
        assert_memory_equal(got, frame, sizeof frame);
        assert_int_equal(link, used);
        by[link]++;
    }
    assert_int_equal(by[0], 20);
    assert_int_equal(by[1], 20);
    shutdown(far_first, SHUT_RD);
    close(far_first);
    for (uint16_t i = 0; i < 40; i++) {
        make_frame(frame, i);
        assert_int_equal(network_send(near, frame, sizeof frame, &live), 1);
        assert_int_equal(live, 2);
        assert_int_equal(take(far, got, &link), sizeof frame);
        assert_memory_equal(got, frame, sizeof frame);
    }
    network_close(near);
    network_close(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_takes_turns),
        cmocka_unit_test(a_flow_keeps_its_link),
        cmocka_unit_test(silence_after_a_hello_is_death),
        cmocka_unit_test(configurations_are_read),
        cmocka_unit_test(a_cut_link_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
