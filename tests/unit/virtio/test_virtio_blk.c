/* virtio-blk as a driver meets it: negotiation, requests, interrupts, and drivers that misbehave.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake_driver.h"

#define PLAIN (VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH)
enum { NEEDS_RESET = 64, INT_LINE = 10 }; /* slot 2 is on PIRQB */

static int set_up(void **state)
{
    *state = driver_create(false);
    return 0;
}

static int tear_down(void **state)
{
    driver_destroy(*state);
    return 0;
}

static void features_are_negotiated(void **state)
{
    struct driver *d = *state;
    uint64_t offered = features(d);
    assert_true(
        offered == (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                       VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY |
                       VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES));
    set_reg(d, 0x14, 1, 3);
    accept_features(d, VIRTIO_F_VERSION_1 | 1); /* bit 0 was not offered */
    set_reg(d, 0x14, 1, 11);
    assert_int_equal(reg(d, 0x14, 1), 3);
    accept_features(d, VIRTIO_BLK_F_FLUSH); /* a legacy driver */
    set_reg(d, 0x14, 1, 11);
    assert_int_equal(reg(d, 0x14, 1), 3);
    set_reg(d, 0x14, 1, 15);
    assert_int_equal(reg(d, 0x14, 1), 3);
    accept_features(d, PLAIN);
    set_reg(d, 0x14, 1, 11);
    assert_int_equal(reg(d, 0x14, 1), 11);
    accept_features(d, VIRTIO_F_VERSION_1); /* too late */
    set_reg(d, 8, 4, 0);
    assert_int_equal(reg(d, 12, 4), VIRTIO_BLK_F_FLUSH);
    set_reg(d, 0x14, 1, 0);
    assert_int_equal(reg(d, 0x14, 1), 0);
}

static void the_configuration_describes_the_disk(void **state)
{
    struct driver *d = *state;
    assert_int_equal(reg(d, 0x2000, 4), DISK_SECTORS);
    assert_int_equal(reg(d, 0x2000, 8), DISK_SECTORS);
    assert_int_equal(reg(d, 0x200c, 4), 126);
    assert_int_equal(reg(d, 0x2014, 4), 512);
    assert_int_equal(reg(d, 0x201a, 2), 128);     /* min_io_size, in blocks */
    assert_int_equal(reg(d, 0x201c, 4), 384);     /* opt_io_size */
    assert_int_equal(reg(d, 0x2024, 4), 1 << 22); /* max_discard_sectors */
    assert_int_equal(reg(d, 0x2028, 4), 32);
    assert_int_equal(reg(d, 0x202c, 4), 1);
    assert_int_equal(reg(d, 0x2030, 4), 1 << 22); /* max_write_zeroes_sectors */
    assert_int_equal(reg(d, 0x2038, 1), 1);
    assert_int_equal(reg(d, 0x203c, 4), 0);
}

static void reads_and_writes(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    for (unsigned i = 0; i < 8 * 512; i++)
        d->ram[DATA + i] = (uint8_t)(i * 3 + i / 512);
    assert_int_equal(request(d, VIRTIO_BLK_OUT, 100, DATA, 8 * 512, false), 0);
    assert_memory_equal(d->disk.data + 100 * 512, d->ram + DATA, 8 * 512);
    assert_int_equal(get16(d, RING_USED + 2), 1);
    assert_int_equal(get32(d, RING_USED + 4), 0);
    assert_int_equal(get32(d, RING_USED + 8), 1);
    memset(d->written, 0, sizeof d->written);
    assert_int_equal(request(d, VIRTIO_BLK_IN, 102, DATA + 0x4000, 2 * 512, true), 0);
    assert_memory_equal(d->ram + DATA + 0x4000, d->ram + DATA + 2 * 512, 2 * 512);
    assert_int_equal(get32(d, RING_USED + 16), 2 * 512 + 1);
    assert_true(d->written[(DATA + 0x4000) / 512]);
    assert_true(d->written[(DATA + 0x4200) / 512]);
    assert_false(d->written[(DATA + 0x4400) / 512]);
    assert_true(d->written[STATUS / 512] && d->written[RING_USED / 512]);
    assert_int_equal(d->disk.flushes, 0);
}

static void the_interrupt_is_a_level(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    assert_false(d->line[INT_LINE]);
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    assert_int_equal(d->disk.flushes, 1);
    assert_true(d->line[INT_LINE]);
    assert_int_equal(reg(d, 0x1000, 1), 1);
    assert_false(d->line[INT_LINE]);
    assert_int_equal(reg(d, 0x1000, 1), 0);
    put16(d, RING_AVAIL, 1); /* VIRTQ_AVAIL_F_NO_INTERRUPT */
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    assert_false(d->line[INT_LINE]);
}

static void event_index_suppresses_interrupts(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN | VIRTIO_F_EVENT_IDX);
    uint64_t used_event = RING_AVAIL + 4 + 2 * QUEUE, avail_event = RING_USED + 4 + 8 * QUEUE;
    put16(d, used_event, 2); /* tell me when the third is done */
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    assert_false(d->line[INT_LINE]);
    assert_int_equal(get16(d, avail_event), 2);
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    assert_true(d->line[INT_LINE]);
    reg(d, 0x1000, 1);
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    assert_false(d->line[INT_LINE]);
    assert_int_equal(get16(d, avail_event), 4);
}

/* Several requests in one notification, and indexes that wrap around the ring and 65536. */
static void many_requests(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    for (unsigned round = 0; round < 66000 / 5; round++) {
        for (unsigned i = 0; i < 5; i++) {
            unsigned first = 3 * i;
            header(d, i, VIRTIO_BLK_OUT, (round + i) % DISK_SECTORS);
            put64(d, DATA + i * 512, round * 5 + i);
            descriptor(d, RING_DESC, first, HEADERS + i * 16, 16, 1, (uint16_t)(first + 1));
            descriptor(d, RING_DESC, first + 1, DATA + i * 512, 512, 1, (uint16_t)(first + 2));
            descriptor(d, RING_DESC, first + 2, STATUS + i, 1, 2, 0);
            make_available(d, (uint16_t)first);
        }
        notify(d);
        assert_int_equal(get16(d, RING_USED + 2), (uint16_t)(5 * (round + 1)));
        for (unsigned i = 0; i < 5; i++) {
            uint64_t stored;
            memcpy(&stored, d->disk.data + (round + i) % DISK_SECTORS * 512, 8);
            assert_int_equal(stored, round * 5 + i);
            assert_int_equal(d->ram[STATUS + i], 0);
        }
    }
}

/* Header, data and status cut at odd places, through an indirect table. */
static void scattered_requests(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN | VIRTIO_F_INDIRECT_DESC);
    for (unsigned write = 0; write < 2; write++) {
        uint16_t data_flags = write ? 1 : 3;
        header(d, 0, write ? VIRTIO_BLK_OUT : VIRTIO_BLK_IN, 7);
        for (unsigned i = 0; i < 4096; i++) {
            d->ram[DATA + i] = (uint8_t)(i ^ 0x5a);
            d->disk.data[7 * 512 + i % 1024] = (uint8_t)i;
        }
        descriptor(d, INDIRECT, 0, HEADERS, 5, 1, 3);
        descriptor(d, INDIRECT, 3, HEADERS + 5, 11, 1, 1);
        descriptor(d, INDIRECT, 1, DATA, 100, data_flags, 2);
        descriptor(d, INDIRECT, 2, DATA + 200, 0, data_flags, 4); /* empty ones do no harm */
        descriptor(d, INDIRECT, 4, DATA + 1000, 924, data_flags, 5);
        descriptor(d, INDIRECT, 5, STATUS, 1, 2, 0);
        descriptor(d, RING_DESC, 9, INDIRECT, 6 * 16, 4, 0);
        make_available(d, 9);
        notify(d);
        assert_int_equal(d->ram[STATUS], 0);
        assert_memory_equal(d->disk.data + 7 * 512, d->ram + DATA, 100);
        assert_memory_equal(d->disk.data + 7 * 512 + 100, d->ram + DATA + 1000, 924);
    }
    assert_int_equal(reg(d, 0x14, 1), 15);
}

static void identity(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    assert_int_equal(request(d, VIRTIO_BLK_GET_ID, 0, DATA, 20, true), 0);
    assert_memory_equal(d->ram + DATA, "serial-number-12345", 20);
    assert_int_equal(get32(d, RING_USED + 8), 21);
}

static void range(struct driver *d, unsigned i, uint64_t sector, uint32_t count, uint32_t flags)
{
    put64(d, DATA + 16 * i, sector);
    put32(d, DATA + 16 * i + 8, count);
    put32(d, DATA + 16 * i + 12, flags);
}

static void discard_and_write_zeroes(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    memset(d->disk.data, 0xff, sizeof d->disk.data);
    range(d, 0, 10, 5, 0);
    range(d, 1, 100, 1, 0);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, DATA, 32, false), 0);
    assert_int_equal(d->disk.discards, 2);
    assert_int_equal(d->disk.data[10 * 512], 0);
    assert_int_equal(d->disk.data[15 * 512], 0xff);
    assert_int_equal(d->disk.data[100 * 512], 0);
    range(d, 0, 200, 2, 1);
    assert_int_equal(request(d, VIRTIO_BLK_WRITE_ZEROES, 0, DATA, 16, false), 0);
    assert_int_equal(d->disk.data[201 * 512], 0);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, DATA, 16, false), VIRTIO_BLK_UNSUPP);
    range(d, 0, DISK_SECTORS - 1, 2, 0);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, DATA, 16, false), VIRTIO_BLK_IOERR);
    range(d, 0, UINT64_MAX, 2, 0);
    assert_int_equal(request(d, VIRTIO_BLK_WRITE_ZEROES, 0, DATA, 16, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, DATA, 15, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, DATA, 33 * 16, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_DISCARD, 0, 0, 0, false), VIRTIO_BLK_IOERR);
}

static void errors_are_statuses(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN);
    assert_int_equal(request(d, VIRTIO_BLK_IN, DISK_SECTORS, DATA, 512, true), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_IN, UINT64_MAX, DATA, 512, true), VIRTIO_BLK_IOERR);
    assert_int_equal(
        request(d, VIRTIO_BLK_OUT, DISK_SECTORS - 1, DATA, 1024, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_IN, 0, DATA, 511, true), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, 77, 0, DATA, 512, true), VIRTIO_BLK_UNSUPP);
    d->disk.fail = true;
    assert_int_equal(request(d, VIRTIO_BLK_IN, 0, DATA, 512, true), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_OUT, 0, DATA, 512, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false), VIRTIO_BLK_IOERR);
    assert_int_equal(reg(d, 0x14, 1), 15);
}

static void without_flush_writes_go_through(void **state)
{
    struct driver *d = *state;
    driver_start(d, VIRTIO_F_VERSION_1);
    assert_int_equal(request(d, VIRTIO_BLK_OUT, 0, DATA, 512, false), 0);
    assert_int_equal(d->disk.flushes, 1);
}

static void a_read_only_disk_says_so(void **state)
{
    (void)state;
    struct driver *d = driver_create(true);
    assert_true(features(d) & VIRTIO_BLK_F_RO);
    assert_false(features(d) & VIRTIO_BLK_F_DISCARD);
    driver_start(d, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_RO);
    assert_int_equal(request(d, VIRTIO_BLK_OUT, 0, DATA, 512, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_WRITE_ZEROES, 0, DATA, 16, false), VIRTIO_BLK_IOERR);
    assert_int_equal(request(d, VIRTIO_BLK_IN, 0, DATA, 512, true), 0);
    driver_destroy(d);
}

/* The device must stop, tell the driver, and work again after a reset. */
static void expect_broken(struct driver *d)
{
    assert_int_equal(reg(d, 0x14, 1), 15 | NEEDS_RESET);
    assert_true(d->line[INT_LINE]);
    assert_int_equal(reg(d, 0x1000, 1) & 2, 2);
    uint16_t used = get16(d, RING_USED + 2);
    make_available(d, 0);
    notify(d);
    assert_int_equal(get16(d, RING_USED + 2), used);
    driver_start(d, PLAIN | VIRTIO_F_INDIRECT_DESC);
    assert_int_equal(request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false), 0);
    reg(d, 0x1000, 1);
}

static void hostile_chains_break_the_device(void **state)
{
    struct driver *d = *state;
    driver_start(d, PLAIN | VIRTIO_F_INDIRECT_DESC);
    /* Address, length, flags, next of descriptor 0; the others are made by request(). */
    static const struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags, next;
    } bad[] = {
        {HEADERS, 16, 1, 0},     /* itself, forever */
        {HEADERS, 16, 1, QUEUE}, /* beyond the table */
        {HEADERS, 16, 1, 0xffff},
        {RAM_SIZE, 16, 1, 2}, /* beyond RAM */
        {RAM_SIZE - 8, 16, 1, 2},
        {UINT64_MAX - 4, 16, 1, 2},         /* wraps */
        {HEADERS, UINT32_MAX, 1, 2},        /* absurd length */
        {HEADERS, 15, 1, 2},                /* no room for the header */
        {HEADERS, 16, 0, 0},                /* no status */
        {HEADERS, 16, 2, 0},                /* nothing readable */
        {INDIRECT, 16, 5, 1},               /* indirect and next */
        {INDIRECT, 0, 4, 0},                /* an empty table */
        {INDIRECT, 24, 4, 0},               /* half a descriptor */
        {INDIRECT, 16 * (QUEUE + 1), 4, 0}, /* longer than the queue */
        {RAM_SIZE - 16, 32, 4, 0},          /* a table beyond RAM */
        {UINT64_MAX - 15, 32, 4, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        header(d, 0, VIRTIO_BLK_FLUSH, 0);
        descriptor(d, RING_DESC, 0, bad[i].gpa, bad[i].length, bad[i].flags, bad[i].next);
        descriptor(d, RING_DESC, 2, STATUS, 1, 2, 0);
        descriptor(d, INDIRECT, 0, INDIRECT, 16, 4, 0); /* a table in a table */
        if (bad[i].gpa == RAM_SIZE - 16)
            descriptor(d, RAM_SIZE - 16, 0, HEADERS, 16, 1, 1);
        make_available(d, 0);
        notify(d);
        expect_broken(d);
    }
    /* Readable after writable. */
    header(d, 0, VIRTIO_BLK_FLUSH, 0);
    descriptor(d, RING_DESC, 0, STATUS, 1, 3, 1);
    descriptor(d, RING_DESC, 1, HEADERS, 16, 0, 0);
    make_available(d, 0);
    notify(d);
    expect_broken(d);
    /* A loop of two. */
    descriptor(d, RING_DESC, 0, HEADERS, 16, 1, 1);
    descriptor(d, RING_DESC, 1, HEADERS, 16, 1, 0);
    make_available(d, 0);
    notify(d);
    expect_broken(d);
    /* A head beyond the table, and an index that runs ahead of the ring. */
    make_available(d, QUEUE);
    notify(d);
    expect_broken(d);
    put16(d, RING_AVAIL + 2, (uint16_t)(d->available + QUEUE + 1));
    notify(d);
    expect_broken(d);
    /* Indirect without having asked for it. */
    driver_start(d, PLAIN);
    descriptor(d, RING_DESC, 0, INDIRECT, 16, 4, 0);
    make_available(d, 0);
    notify(d);
    expect_broken(d);
}

static void hostile_rings_break_the_device(void **state)
{
    struct driver *d = *state;
    static const struct {
        uint64_t desc, avail, used;
        uint16_t size;
    } bad[] = {
        {RAM_SIZE - 16, RING_AVAIL, RING_USED, 16},
        {RING_DESC, RAM_SIZE, RING_USED, 16},
        {RING_DESC, RING_AVAIL, UINT64_MAX - 3, 16},
        {RING_DESC + 8, RING_AVAIL, RING_USED, 16},
        {RING_DESC, RING_AVAIL + 1, RING_USED, 16},
        {RING_DESC, RING_AVAIL, RING_USED + 2, 16},
        {RING_DESC, RING_AVAIL, RING_USED, 0},
        {RING_DESC, RING_AVAIL, RING_USED, 24},
        {RING_DESC, RING_AVAIL, RING_USED, 256},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        set_reg(d, 0x14, 1, 0);
        set_reg(d, 0x14, 1, 3);
        accept_features(d, PLAIN);
        set_reg(d, 0x14, 1, 11);
        set_reg(d, 0x18, 2, bad[i].size);
        set_reg(d, 0x20, 8, bad[i].desc);
        set_reg(d, 0x28, 8, bad[i].avail);
        set_reg(d, 0x30, 8, bad[i].used);
        set_reg(d, 0x1c, 2, 1);
        assert_int_equal(reg(d, 0x1c, 2), 0);
        assert_true(reg(d, 0x14, 1) & NEEDS_RESET);
        set_reg(d, 0x14, 1, 15);
        notify(d);
    }
    /* Queues that do not exist. */
    set_reg(d, 0x14, 1, 0);
    set_reg(d, 0x16, 2, 1);
    assert_int_equal(reg(d, 0x18, 2), 0);
    set_reg(d, 0x1c, 2, 1);
    set_reg(d, 0x3004, 2, 1);
    set_reg(d, 0x3ffc, 4, 1);
}

static void notifying_too_early_does_nothing(void **state)
{
    struct driver *d = *state;
    notify(d);
    set_reg(d, 0x14, 1, 3);
    notify(d);
    assert_int_equal(reg(d, 0x14, 1), 3);
}

static void requests_continue_after_restoring(void **state)
{
    struct driver *d = *state;
    struct device device = virtio_blk_device(d->blk);
    struct buffer saved = {0}, again = {0};
    struct reader reader;
    driver_start(d, PLAIN);
    request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false);
    device.ops->save(device.object, &saved);
    device.ops->reset(device.object);
    assert_int_equal(reg(d, 0x14, 1), 0);
    reader_init(&reader, saved.data, saved.size);
    device.ops->restore(device.object, &reader);
    assert_false(reader.failed);
    assert_int_equal(reader_left(&reader), 0);
    device.ops->save(device.object, &again);
    assert_memory_equal(again.data, saved.data, saved.size);
    assert_int_equal(request(d, VIRTIO_BLK_FLUSH, 0, 0, 0, false), 0);
    assert_int_equal(get16(d, RING_USED + 2), 2);
    /* Any damage ends in an error at most. */
    for (size_t cut = 0; cut < saved.size; cut++) {
        reader_init(&reader, saved.data, cut);
        device.ops->restore(device.object, &reader);
        assert_true(reader.failed);
        notify(d);
    }
    buffer_free(&saved);
    buffer_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(features_are_negotiated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_configuration_describes_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_and_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_interrupt_is_a_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(event_index_suppresses_interrupts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scattered_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(discard_and_write_zeroes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_are_statuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_flush_writes_go_through, set_up, tear_down),
        cmocka_unit_test(a_read_only_disk_says_so),
        cmocka_unit_test_setup_teardown(hostile_chains_break_the_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_rings_break_the_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notifying_too_early_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_continue_after_restoring, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
