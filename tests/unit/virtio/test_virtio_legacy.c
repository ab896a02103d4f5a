/* The legacy interface of transitional devices, by register and field (virtio 1.2, 4.1.4.10). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/virtio_legacy.h"
#include "fake_nic.h"

enum {
    DISK_SLOT = 2,
    RINGS_PAGE = 0x40, /* of queue 0; queue 1 is two pages after it */
    TABLE = RINGS_PAGE << 12,
    AVAILABLE = TABLE + VIRTIO_QUEUE_SIZE * 16,
    USED = TABLE + 0x1000,
    NEXT_QUEUE = 0x2000,
    MSIX_ENABLE = 0x8000,
};

static void start(struct driver *d, unsigned slot, unsigned queues, uint32_t features)
{
    set_port(d, slot, VIRTIO_LEGACY_STATUS, 1, 0);
    memset(d->ram, 0, sizeof d->ram);
    d->available = 0;
    set_port(d, slot, VIRTIO_LEGACY_STATUS, 1, 1);
    set_port(d, slot, VIRTIO_LEGACY_STATUS, 1, 3);
    set_port(d, slot, VIRTIO_LEGACY_DRIVER_FEATURES, 4, features);
    for (unsigned i = 0; i < queues; i++) {
        set_port(d, slot, VIRTIO_LEGACY_QUEUE_SELECT, 2, i);
        set_port(d, slot, VIRTIO_LEGACY_QUEUE_ADDRESS, 4, RINGS_PAGE + i * (NEXT_QUEUE >> 12));
    }
    set_port(d, slot, VIRTIO_LEGACY_STATUS, 1, 7);
}

static void offer(struct driver *d, unsigned slot, unsigned queue, uint16_t number, uint16_t head)
{
    const uint64_t ring = AVAILABLE + queue * (uint64_t)NEXT_QUEUE;
    put16(d, ring + 4 + 2 * number, head);
    put16(d, ring + 2, (uint16_t)(number + 1));
    set_port(d, slot, VIRTIO_LEGACY_QUEUE_NOTIFY, 2, queue);
}

static uint8_t read_sector(struct driver *d, uint16_t number, uint64_t sector)
{
    header(d, 0, VIRTIO_BLK_IN, sector);
    descriptor(d, TABLE, 0, HEADERS, 16, 1, 1);
    descriptor(d, TABLE, 1, DATA, 512, 3, 2);
    descriptor(d, TABLE, 2, STATUS, 1, 2, 0);
    offer(d, DISK_SLOT, 0, number, 0);
    return d->ram[STATUS];
}

static void the_function_is_a_transitional_one(void **state)
{
    struct driver *d = *state;
    assert_int_equal(config_get(d, DISK_SLOT, 0, 4), 0x10011af4);
    assert_int_equal(config_get(d, DISK_SLOT, 8, 1), 0);        /* revision */
    assert_int_equal(config_get(d, DISK_SLOT, 0x2e, 2), 2);     /* the type */
    assert_int_equal(config_get(d, DISK_SLOT, 0x10, 4) & 3, 1); /* I/O */
    config_set(d, DISK_SLOT, 0x10, 4, UINT32_MAX);
    assert_int_equal(config_get(d, DISK_SLOT, 0x10, 4), 0xffffff81);
    unsigned in_modern = 0;
    for (unsigned at = config_get(d, DISK_SLOT, 0x34, 1); at;
         at = config_get(d, DISK_SLOT, at + 1, 1)) {
        if (config_get(d, DISK_SLOT, at, 1) == 9)
            in_modern += config_get(d, DISK_SLOT, at + 4, 1) == VIRTIO_LEGACY_MODERN_BAR;
    }
    assert_int_equal(in_modern, 5);
}

static void the_modern_interface_is_there_too(void **state)
{
    struct driver *d = *state;
    memset(d->disk.data + 512, 0x5a, 512);
    driver_start(d, features(d));
    assert_int_equal(reg(d, 0x14, 1), 15);
    assert_int_equal(request(d, VIRTIO_BLK_IN, 1, DATA, 512, true), VIRTIO_BLK_OK);
    assert_int_equal(d->ram[DATA], 0x5a);
}

static void registers_have_their_fields(void **state)
{
    struct driver *d = *state;
    const uint32_t offered = port(d, DISK_SLOT, VIRTIO_LEGACY_DEVICE_FEATURES, 4);
    assert_int_equal(offered, (uint32_t)features(d));
    assert_true(offered & VIRTIO_BLK_F_FLUSH && offered & VIRTIO_F_INDIRECT_DESC);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_DRIVER_FEATURES, 4, UINT32_MAX);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_DRIVER_FEATURES, 4), offered);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SIZE, 2), VIRTIO_QUEUE_SIZE);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4, RINGS_PAGE);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), RINGS_PAGE);
    /* The rings lie as section 2.7.2 has them; the older registers show where. */
    assert_int_equal(reg(d, 0x20, 8), TABLE);
    assert_int_equal(reg(d, 0x28, 8), AVAILABLE);
    assert_int_equal(reg(d, 0x30, 8), USED);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SELECT, 2, 1);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SELECT, 2), 1);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SIZE, 2), 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4, RINGS_PAGE); /* no such queue */
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SELECT, 2, 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), 0);
    assert_int_equal(reg(d, 0x1c, 2), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 0x83);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1), 0x83);
    /* A register in another size is none. */
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 2), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_DRIVER_FEATURES, 2, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_DRIVER_FEATURES, 4), offered);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1), 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_DRIVER_FEATURES, 4), 0);
}

static void a_disk_is_read(void **state)
{
    struct driver *d = *state;
    const unsigned line = pci_setup_irq(DISK_SLOT, 0);
    memset(d->disk.data + 3 * 512, 0x33, 512);
    start(d, DISK_SLOT, 1, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1), 7);
    assert_int_equal(read_sector(d, 0, 3), VIRTIO_BLK_OK);
    assert_int_equal(d->ram[DATA + 511], 0x33);
    assert_int_equal(get16(d, USED + 2), 1);
    assert_int_equal(get32(d, USED + 8), 513);
    assert_true(d->line[line]);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_ISR, 1), 1);
    assert_false(d->line[line]);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_ISR, 1), 0);
    /* After a reset nothing is served until the queue is there again. */
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 0);
    assert_int_equal(read_sector(d, 1, 3), 0xee);
    start(d, DISK_SLOT, 1, 0);
    assert_int_equal(read_sector(d, 0, 3), VIRTIO_BLK_OK);
}

static void rings_outside_memory_break_the_device(void **state)
{
    struct driver *d = *state;
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 3);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4, UINT32_MAX);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1) & 64, 64);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 7);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_NOTIFY, 2, 0);
}

static void the_configuration_follows_the_vectors(void **state)
{
    struct driver *d = *state;
    unsigned msix = config_get(d, DISK_SLOT, 0x34, 1);
    while (config_get(d, DISK_SLOT, msix, 1) != 0x11)
        msix = config_get(d, DISK_SLOT, msix + 1, 1);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_VECTOR, 4), DISK_SECTORS);
    config_set(d, DISK_SLOT, msix + 2, 2, MSIX_ENABLE);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_MSIX, 4), DISK_SECTORS);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_VECTOR, 2), VIRTIO_NO_VECTOR);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_VECTOR, 2, 1);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_VECTOR, 2), 1);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_VECTOR, 2, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_VECTOR, 2), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_VECTOR, 2, 2); /* there are two */
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_VECTOR, 2), VIRTIO_NO_VECTOR);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_SELECT, 2, 1);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_VECTOR, 2), 0);
    /* Past the end of the configuration, and writing what is read-only. */
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_BAR_SIZE - 4, 4), 0);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_MSIX, 4, 0);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_CONFIG_MSIX, 4), DISK_SECTORS);
}

/* Ten bytes before each frame, both ways, where VERSION_1 has twelve. */
static void frames_have_the_older_header(void **state)
{
    struct nic_driver *n = nic_driver_make(false, true);
    struct driver *d = n->d;
    enum { OLDER_HEADER = 10, FRAME = 60 };
    uint8_t frame[FRAME];
    (void)state;
    assert_int_equal(config_get(d, NIC_SLOT, 0, 4), 0x10001af4);
    assert_int_equal(port(d, NIC_SLOT, VIRTIO_LEGACY_CONFIG_VECTOR, 1), 0x52);
    start(d, NIC_SLOT, 2, UINT32_MAX);
    memset(frame, 0x77, sizeof frame);
    descriptor(d, TABLE, 0, DATA, 2048, 2, 0);
    put16(d, AVAILABLE + 4, 0);
    put16(d, AVAILABLE + 2, 1);
    assert_true(virtio_net_receive(n->net, frame, sizeof frame));
    assert_int_equal(get32(d, USED + 8), OLDER_HEADER + FRAME);
    assert_int_equal(d->ram[DATA + OLDER_HEADER - 1], 0);
    assert_int_equal(d->ram[DATA + OLDER_HEADER], 0x77);
    memset(d->ram + DATA, 0, OLDER_HEADER);
    memset(d->ram + DATA + OLDER_HEADER, 0x44, FRAME);
    descriptor(d, TABLE + NEXT_QUEUE, 0, DATA, OLDER_HEADER + FRAME, 0, 0);
    offer(d, NIC_SLOT, TRANSMIT, 0, 0);
    assert_int_equal(n->sent, 1);
    assert_int_equal(n->frame_size, FRAME);
    assert_int_equal(n->frame[0], 0x44);
    nic_driver_destroy(n);
}

static void entropy_comes_the_older_way(void **state)
{
    struct nic_driver *n = nic_driver_make(true, true);
    (void)state;
    assert_int_equal(config_get(n->d, NIC_SLOT, 0, 4), 0x10051af4);
    start(n->d, NIC_SLOT, 1, 0);
    descriptor(n->d, TABLE, 0, DATA, 8, 2, 0);
    offer(n->d, NIC_SLOT, 0, 0, 0);
    assert_int_equal(get32(n->d, USED + 8), 8);
    assert_int_equal(n->d->ram[DATA + 7], 8);
    nic_driver_destroy(n);
}

static void state_is_saved(void **state)
{
    struct driver *d = *state;
    struct buffer saved = {0};
    struct device disk = virtio_blk_device(d->blk);
    start(d, DISK_SLOT, 1, (uint32_t)VIRTIO_BLK_F_FLUSH);
    assert_int_equal(read_sector(d, 0, 1), VIRTIO_BLK_OK);
    disk.ops->save(disk.object, &saved);
    set_port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1, 0);
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    disk.ops->restore(disk.object, &in);
    assert_false(in.failed);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_STATUS, 1), 7);
    assert_int_equal(port(d, DISK_SLOT, VIRTIO_LEGACY_QUEUE_ADDRESS, 4), RINGS_PAGE);
    assert_int_equal(read_sector(d, 1, 1), VIRTIO_BLK_OK);
    assert_int_equal(get16(d, USED + 2), 2);
    buffer_free(&saved);
}

static int set_up(void **state)
{
    *state = driver_make(false, true);
    return 0;
}

static int tear_down(void **state)
{
    driver_destroy(*state);
    return 0;
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(the_function_is_a_transitional_one),
        DISK_TEST(the_modern_interface_is_there_too),
        DISK_TEST(registers_have_their_fields),
        DISK_TEST(a_disk_is_read),
        DISK_TEST(rings_outside_memory_break_the_device),
        DISK_TEST(the_configuration_follows_the_vectors),
        DISK_TEST(state_is_saved),
        cmocka_unit_test(frames_have_the_older_header),
        cmocka_unit_test(entropy_comes_the_older_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
