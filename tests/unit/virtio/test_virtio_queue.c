/* Split rings over plain memory: no PCI, no transport, no device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "devices/virtio_queue.h"

enum {
    RAM = 0x10000,
    SIZE = 8, /* of the queue */
    DESCRIPTORS = 0x1000,
    AVAILABLE = 0x2000,
    USED = 0x3000,
    INDIRECT = 0x4000,
    BUFFERS = 0x8000,
    NEXT = 1,
    WRITE = 2,
    TABLE = 4,
};

struct fake {
    uint8_t ram[RAM];
    uint64_t written; /* bytes reported by `wrote` */
    struct virtio_queue queue;
    struct virtio_rings rings;
    unsigned requests, hold_at; /* hold_at: the request that is held, counted from 1 */
    uint16_t heads[32];
    uint32_t answer;
    char text[64]; /* what the last request could read */
};

static uint8_t *ram_at(void *context, uint64_t gpa, uint64_t size)
{
    struct fake *fake = context;
    return gpa <= RAM && size <= RAM - gpa ? fake->ram + gpa : NULL;
}

static void ram_wrote(void *context, uint64_t gpa, uint64_t size)
{
    struct fake *fake = context;
    assert_non_null(ram_at(fake, gpa, size));
    fake->written += size;
}

static uint32_t serve_request(void *context, unsigned number, const struct virtio_chain *chain)
{
    struct fake *fake = context;
    assert_int_equal(number, 1);
    if (fake->requests + 1 == fake->hold_at)
        return VIRTIO_HOLD;
    assert_true(fake->requests < sizeof fake->heads / sizeof *fake->heads);
    fake->heads[fake->requests++] = chain->head;
    memset(fake->text, 0, sizeof fake->text);
    virtio_chain_read(chain, 0, fake->text, sizeof fake->text - 1);
    if (fake->answer == VIRTIO_BROKEN)
        return VIRTIO_BROKEN;
    return (uint32_t)virtio_chain_write(&fake->rings.memory, chain, 0, "answer", 6);
}

static void put16(struct fake *fake, uint64_t gpa, unsigned value)
{
    fake->ram[gpa] = (uint8_t)value;
    fake->ram[gpa + 1] = (uint8_t)(value >> 8);
}

static unsigned get16(const struct fake *fake, uint64_t gpa)
{
    return fake->ram[gpa] | (unsigned)fake->ram[gpa + 1] << 8;
}

static void put_descriptor(struct fake *fake, uint64_t gpa, uint64_t address, uint32_t length,
    unsigned flags, unsigned next)
{
    memcpy(fake->ram + gpa, &address, 8);
    memcpy(fake->ram + gpa + 8, &length, 4);
    put16(fake, gpa + 12, flags);
    put16(fake, gpa + 14, next);
}

/* Descriptor `index` of the queue's own table: a buffer of its own. */
static void describe(
    struct fake *fake, unsigned index, uint32_t length, unsigned flags, unsigned next)
{
    put_descriptor(fake, DESCRIPTORS + 16 * index, BUFFERS + 0x100 * index, length, flags, next);
}

static void offer(struct fake *fake, unsigned head)
{
    unsigned index = get16(fake, AVAILABLE + 2);
    put16(fake, AVAILABLE + 4 + 2 * (index % SIZE), head);
    put16(fake, AVAILABLE + 2, index + 1);
}

/* A readable buffer with "ask", then two writable ones. */
static void offer_sound(struct fake *fake)
{
    describe(fake, 2, 3, NEXT, 5);
    memcpy(fake->ram + BUFFERS + 0x200, "ask", 3);
    describe(fake, 5, 4, NEXT | WRITE, 1);
    describe(fake, 1, 100, WRITE, 0);
    offer(fake, 2);
}

static struct fake fake;

static int set_up(void **context)
{
    memset(&fake, 0, sizeof fake);
    fake.queue = (struct virtio_queue){
        .size = SIZE, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = USED};
    fake.rings = (struct virtio_rings){
        .memory = {.context = &fake, .at = ram_at, .wrote = ram_wrote},
        .request = serve_request,
        .context = &fake,
    };
    assert_true(virtio_queue_enable(&fake.queue, &fake.rings.memory));
    *context = &fake;
    return 0;
}

static int serve(bool *interrupt)
{
    bool wanted = true;
    int result = virtio_queue_serve(&fake.queue, &fake.rings, 1, &wanted);
    if (interrupt)
        *interrupt = wanted;
    else if (result < 0)
        assert_false(wanted);
    return result;
}

static void expect_refused(void)
{
    assert_int_equal(serve(NULL), -1);
    assert_int_equal(fake.requests, 0);
    assert_int_equal(get16(&fake, USED + 2), 0);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_a_request_goes_round(void **context)
{
    bool interrupt;
    (void)context;
    assert_int_equal(serve(&interrupt), 0); /* nothing is there */
    assert_false(interrupt);
    offer_sound(&fake);
    assert_true(virtio_queue_has_chain(&fake.queue, &fake.rings.memory));
    assert_int_equal(serve(&interrupt), 0);
    assert_true(interrupt);
    assert_false(virtio_queue_has_chain(&fake.queue, &fake.rings.memory));
    assert_string_equal(fake.text, "ask");
    assert_memory_equal(fake.ram + BUFFERS + 0x500, "answ", 4);
    assert_memory_equal(fake.ram + BUFFERS + 0x100, "er", 2);
    assert_int_equal(get16(&fake, USED + 2), 1);
    assert_int_equal(get16(&fake, USED + 4), 2); /* the head */
    assert_int_equal(get16(&fake, USED + 8), 6); /* bytes written */
    assert_int_equal(fake.written, 6 + 8 + 2);
}

static void test_the_ring_wraps(void **context)
{
    (void)context;
    describe(&fake, 3, 16, WRITE, 0);
    for (unsigned i = 0; i < 3 * SIZE; i++) {
        offer(&fake, 3);
        assert_int_equal(serve(NULL), 0);
    }
    assert_int_equal(fake.requests, 3 * SIZE);
    assert_int_equal(get16(&fake, USED + 2), 3 * SIZE);
    fake.queue.next_available = fake.queue.next_used = fake.queue.signalled = 0xffff;
    put16(&fake, AVAILABLE + 2, 0xffff);
    offer(&fake, 3); /* the indices pass 65535 */
    assert_int_equal(serve(NULL), 0);
    assert_int_equal(get16(&fake, USED + 2), 0);
}

static void test_a_held_request_waits(void **context)
{
    bool interrupt;
    (void)context;
    describe(&fake, 0, 16, WRITE, 0);
    describe(&fake, 1, 16, WRITE, 0);
    offer(&fake, 0);
    offer(&fake, 1);
    fake.hold_at = 2;
    assert_int_equal(serve(&interrupt), 0);
    assert_true(interrupt);
    assert_int_equal(fake.requests, 1);
    assert_true(virtio_queue_has_chain(&fake.queue, &fake.rings.memory));
    assert_int_equal(serve(&interrupt), 0);
    assert_false(interrupt); /* nothing was given back meanwhile */
    fake.hold_at = 0;
    assert_int_equal(serve(&interrupt), 0);
    assert_true(interrupt);
    assert_int_equal(fake.heads[1], 1);
}

static void test_the_driver_wants_no_interrupt(void **context)
{
    bool interrupt;
    (void)context;
    offer_sound(&fake);
    put16(&fake, AVAILABLE, 1); /* NO_INTERRUPT */
    assert_int_equal(serve(&interrupt), 0);
    assert_false(interrupt);
    assert_int_equal(get16(&fake, USED + 4 + 8 * SIZE), 0); /* avail_event was not negotiated */
}

/* With event indices the driver names the entry that it wants to hear of. */
static void test_the_driver_names_an_entry(void **context)
{
    static const struct {
        unsigned served, named;
        bool wanted;
    } cases[] = {
        {1, 0, true}, {1, 1, false}, {3, 0, true}, {3, 2, true}, {3, 3, false}, {3, 0xffff, false}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool interrupt;
        set_up(context);
        fake.rings.event_index = true;
        put16(&fake, AVAILABLE + 4 + 2 * SIZE, cases[i].named);
        put16(&fake, AVAILABLE, 1); /* NO_INTERRUPT means nothing then */
        describe(&fake, 0, 16, WRITE, 0);
        for (unsigned n = 0; n < cases[i].served; n++)
            offer(&fake, 0);
        assert_int_equal(serve(&interrupt), 0);
        assert_int_equal(interrupt, cases[i].wanted);
        assert_int_equal(get16(&fake, USED + 4 + 8 * SIZE), cases[i].served);
    }
}

static void test_indirect_tables(void **context)
{
    (void)context;
    put_descriptor(&fake, DESCRIPTORS, INDIRECT, 32, TABLE, 0);
    put_descriptor(&fake, INDIRECT, BUFFERS, 3, NEXT, 1);
    put_descriptor(&fake, INDIRECT + 16, BUFFERS + 0x100, 6, WRITE, 0);
    memcpy(fake.ram + BUFFERS, "ask", 3);
    offer(&fake, 0);
    expect_refused(); /* not negotiated */
    set_up(context);
    fake.rings.indirect = true;
    put_descriptor(&fake, DESCRIPTORS, INDIRECT, 32, TABLE, 0);
    put_descriptor(&fake, INDIRECT, BUFFERS, 3, NEXT, 1);
    put_descriptor(&fake, INDIRECT + 16, BUFFERS + 0x100, 6, WRITE, 0);
    offer(&fake, 0);
    assert_int_equal(serve(NULL), 0);
    assert_memory_equal(fake.ram + BUFFERS + 0x100, "answer", 6);
}

static void test_indirect_tables_that_break_rules(void **context)
{
    static const struct {
        uint32_t length;
        unsigned flags, inner;
    } cases[] = {{0, TABLE, 0}, {17, TABLE, 0}, {16 * (SIZE + 1), TABLE, 0}, {16, TABLE | NEXT, 0},
        {16, TABLE, TABLE}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_up(context);
        fake.rings.indirect = true;
        put_descriptor(&fake, DESCRIPTORS, INDIRECT, cases[i].length, cases[i].flags, 0);
        put_descriptor(&fake, INDIRECT, INDIRECT, 16, cases[i].inner, 0);
        offer(&fake, 0);
        expect_refused();
    }
}

static void test_chains_that_break_rules(void **context)
{
    (void)context;
    offer(&fake, SIZE); /* no such descriptor */
    expect_refused();
    set_up(context);
    describe(&fake, 0, 16, NEXT, SIZE);
    offer(&fake, 0);
    expect_refused();
    set_up(context);
    describe(&fake, 0, 16, NEXT, 1); /* in circles */
    describe(&fake, 1, 16, NEXT, 0);
    offer(&fake, 0);
    expect_refused();
    set_up(context);
    fake.queue.size = VIRTIO_QUEUE_SIZE; /* as many as a chain has room for */
    describe(&fake, 0, 16, NEXT, 1);
    describe(&fake, 1, 16, NEXT, 0);
    offer(&fake, 0);
    expect_refused();
    set_up(context);
    describe(&fake, 0, 16, NEXT | WRITE, 1); /* readable after writable */
    describe(&fake, 1, 16, 0, 0);
    offer(&fake, 0);
    expect_refused();
    set_up(context);
    put_descriptor(&fake, DESCRIPTORS, RAM - 8, 16, WRITE, 0); /* not all of it is RAM */
    offer(&fake, 0);
    expect_refused();
    set_up(context);
    put16(&fake, AVAILABLE + 2, SIZE + 1); /* more than there can be */
    expect_refused();
}

/* Rings that lie elsewhere when they are served than when they were enabled. */
static void test_rings_outside_memory(void **context)
{
    (void)context;
    offer_sound(&fake);
    fake.queue.available = RAM;
    expect_refused();
    set_up(context);
    offer_sound(&fake);
    fake.queue.used = RAM;
    assert_int_equal(serve(NULL), -1);
    set_up(context);
    offer_sound(&fake);
    fake.queue.descriptors = UINT64_MAX - 15;
    expect_refused();
}

static void test_a_request_that_breaks_the_devices_rules(void **context)
{
    (void)context;
    offer_sound(&fake);
    fake.answer = VIRTIO_BROKEN;
    assert_int_equal(serve(NULL), -1);
    assert_int_equal(fake.requests, 1);
    assert_int_equal(get16(&fake, USED + 2), 0);
}

/* A driver that offers more while it is served waits for its next notification. */
static uint32_t offering_request(void *context, unsigned number, const struct virtio_chain *chain)
{
    offer(context, 2);
    return serve_request(context, number, chain);
}

static void test_only_what_was_there_is_served(void **context)
{
    (void)context;
    fake.rings.request = offering_request;
    offer_sound(&fake);
    assert_int_equal(serve(NULL), 0);
    assert_int_equal(fake.requests, 1);
    assert_true(virtio_queue_has_chain(&fake.queue, &fake.rings.memory));
}

static void test_what_can_be_enabled(void **context)
{
    static const struct virtio_queue unsound[] = {
        {.size = 0, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = USED},
        {.size = 6, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = USED},
        {.size = 256, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = USED},
        {.size = SIZE, .descriptors = DESCRIPTORS + 8, .available = AVAILABLE, .used = USED},
        {.size = SIZE, .descriptors = DESCRIPTORS, .available = AVAILABLE + 1, .used = USED},
        {.size = SIZE, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = USED + 2},
        {.size = SIZE, .descriptors = RAM - 16, .available = AVAILABLE, .used = USED},
        {.size = SIZE, .descriptors = DESCRIPTORS, .available = RAM - 2, .used = USED},
        {.size = SIZE, .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = RAM - 64},
    };
    (void)context;
    for (unsigned i = 0; i < sizeof unsound / sizeof *unsound; i++) {
        struct virtio_queue queue = unsound[i];
        assert_false(virtio_queue_enable(&queue, &fake.rings.memory));
        assert_false(queue.enabled);
    }
}

static void test_copies_skip(void **context)
{
    char text[8] = {0};
    (void)context;
    struct virtio_chain chain = {.readable = 2,
        .writable = 2,
        .segment = {{fake.ram, 0, 3}, {fake.ram + 0x10, 0x10, 3}, {fake.ram + 0x20, 0x20, 2},
            {fake.ram + 0x30, 0x30, 2}}};
    memcpy(fake.ram, "abc", 3);
    memcpy(fake.ram + 0x10, "def", 3);
    assert_int_equal(virtio_chain_read(&chain, 2, text, 3), 3);
    assert_string_equal(text, "cde");
    assert_int_equal(virtio_chain_read(&chain, 5, text, 8), 1);
    assert_int_equal(virtio_chain_read(&chain, 6, text, 8), 0);
    assert_int_equal(virtio_chain_write(&fake.rings.memory, &chain, 1, "xyz!", 4), 3);
    assert_memory_equal(fake.ram + 0x20, "\0x", 2);
    assert_memory_equal(fake.ram + 0x30, "yz", 2);
    assert_int_equal(fake.written, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_request_goes_round, set_up),
        cmocka_unit_test_setup(test_the_ring_wraps, set_up),
        cmocka_unit_test_setup(test_a_held_request_waits, set_up),
        cmocka_unit_test_setup(test_the_driver_wants_no_interrupt, set_up),
        cmocka_unit_test_setup(test_the_driver_names_an_entry, set_up),
        cmocka_unit_test_setup(test_indirect_tables, set_up),
        cmocka_unit_test_setup(test_indirect_tables_that_break_rules, set_up),
        cmocka_unit_test_setup(test_chains_that_break_rules, set_up),
        cmocka_unit_test_setup(test_rings_outside_memory, set_up),
        cmocka_unit_test_setup(test_a_request_that_breaks_the_devices_rules, set_up),
        cmocka_unit_test_setup(test_only_what_was_there_is_served, set_up),
        cmocka_unit_test_setup(test_what_can_be_enabled, set_up),
        cmocka_unit_test_setup(test_copies_skip, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
