/* Expectations from the Intel 8259A data sheet; ELCR from that of the 82371SB. */
#include "board.h"

#include "devices/pic.h"

struct fixture {
    struct board board;
    struct pic *pic;
    unsigned changes;
    bool output;
};

static void output_changed(void *machine, bool level)
{
    struct fixture *f = machine;
    assert_true(level != f->output);
    f->output = level;
    f->changes++;
}

static void initialize(struct fixture *f, uint8_t icw1, uint8_t master_icw4, uint8_t slave_icw4)
{
    out8(&f->board, 0x20, icw1);
    out8(&f->board, 0x21, 0x20);
    out8(&f->board, 0x21, 0x04);
    if (icw1 & 1)
        out8(&f->board, 0x21, master_icw4);
    out8(&f->board, 0xa0, icw1);
    out8(&f->board, 0xa1, 0x28);
    out8(&f->board, 0xa1, 0x02);
    if (icw1 & 1)
        out8(&f->board, 0xa1, slave_icw4);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    f->pic = pic_create(&(struct pic_config){output_changed, f}, &f->board.error);
    assert_non_null(f->pic);
    assert_int_equal(pic_attach(f->pic, &f->board.ports, &f->board.error), 0);
    initialize(f, 0x11, 0x01, 0x01);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pic_destroy(f->pic);
    free(f);
    return 0;
}

static void raise(struct fixture *f, unsigned input)
{
    pic_set_line(f->pic, input, true);
}

static void lower(struct fixture *f, unsigned input)
{
    pic_set_line(f->pic, input, false);
}

static uint8_t irr(struct fixture *f, uint16_t port)
{
    out8(&f->board, port, 0x0a);
    return in8(&f->board, port);
}

static uint8_t isr(struct fixture *f, uint16_t port)
{
    out8(&f->board, port, 0x0b);
    return in8(&f->board, port);
}

static void edge_request_acknowledge_eoi(void **state)
{
    struct fixture *f = *state;
    assert_false(pic_output(f->pic));
    raise(f, 3);
    assert_true(pic_output(f->pic) && f->output);
    assert_int_equal(irr(f, 0x20), 0x08);
    assert_int_equal(pic_acknowledge(f->pic), 0x23);
    assert_false(f->output);
    assert_int_equal(irr(f, 0x20), 0);
    assert_int_equal(isr(f, 0x20), 0x08);
    out8(&f->board, 0x20, 0x20);
    assert_int_equal(isr(f, 0x20), 0);
    assert_false(pic_output(f->pic)); /* still high, but no new edge */
    lower(f, 3);
    raise(f, 3);
    assert_true(pic_output(f->pic));
}

static void nothing_before_initialization(void **state)
{
    struct fixture *f = *state;
    pic_device(f->pic).ops->reset(f->pic);
    raise(f, 1);
    assert_false(pic_output(f->pic));
    out8(&f->board, 0x20, 0x11); /* resets the edge sense circuit */
    out8(&f->board, 0x21, 0x40);
    out8(&f->board, 0x21, 0x04);
    assert_false(pic_output(f->pic));
    out8(&f->board, 0x21, 0x01);
    assert_false(pic_output(f->pic));
    lower(f, 1);
    raise(f, 1);
    assert_int_equal(pic_acknowledge(f->pic), 0x41);
}

static void fully_nested_priorities(void **state)
{
    struct fixture *f = *state;
    raise(f, 5);
    raise(f, 4);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    assert_false(pic_output(f->pic)); /* 5 is below 4 in service */
    raise(f, 1);
    assert_int_equal(pic_acknowledge(f->pic), 0x21);
    assert_int_equal(isr(f, 0x20), 0x12);
    out8(&f->board, 0x20, 0x20); /* non-specific: the highest in service, 1 */
    assert_int_equal(isr(f, 0x20), 0x10);
    out8(&f->board, 0x20, 0x64); /* specific: 4 */
    assert_int_equal(pic_acknowledge(f->pic), 0x25);
}

static void masking(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x21, 0x08);
    raise(f, 3);
    assert_false(pic_output(f->pic));
    assert_int_equal(irr(f, 0x20), 0x08); /* the mask does not hide the request */
    assert_int_equal(in8(&f->board, 0x21), 0x08);
    out8(&f->board, 0x21, 0x00);
    assert_true(pic_output(f->pic));
}

static void a_request_that_goes_is_spurious(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x4d0, 0x08); /* input 3 by level */
    raise(f, 3);
    lower(f, 3);
    assert_false(pic_output(f->pic));
    assert_int_equal(pic_acknowledge(f->pic), 0x27);
    assert_int_equal(isr(f, 0x20), 0); /* no in-service bit */
    /* A real IR7 does set it. */
    raise(f, 7);
    assert_int_equal(pic_acknowledge(f->pic), 0x27);
    assert_int_equal(isr(f, 0x20), 0x80);
}

static void a_pulse_is_remembered_in_edge_mode(void **state)
{
    struct fixture *f = *state;
    raise(f, 3);
    lower(f, 3);
    assert_true(pic_output(f->pic));
    assert_int_equal(irr(f, 0x20), 0x08);
    assert_int_equal(pic_acknowledge(f->pic), 0x23);
    assert_int_equal(irr(f, 0x20), 0); /* once */
    out8(&f->board, 0x20, 0x20);
    raise(f, 11);
    lower(f, 11);
    assert_int_equal(pic_acknowledge(f->pic), 0x2b);
    assert_false(pic_output(f->pic));
}

static void cascade(void **state)
{
    struct fixture *f = *state;
    raise(f, 12);
    assert_int_equal(irr(f, 0x20), 0x04);
    assert_int_equal(irr(f, 0xa0), 0x10);
    assert_int_equal(pic_acknowledge(f->pic), 0x2c);
    assert_int_equal(isr(f, 0x20), 0x04);
    assert_int_equal(isr(f, 0xa0), 0x10);
    /* Without special fully nested mode the slave is locked out until the master's EOI. */
    raise(f, 9);
    assert_false(pic_output(f->pic));
    out8(&f->board, 0xa0, 0x20);
    assert_false(pic_output(f->pic));
    out8(&f->board, 0x20, 0x20);
    assert_int_equal(pic_acknowledge(f->pic), 0x29);
}

static void cascade_sits_at_input_2(void **state)
{
    struct fixture *f = *state;
    raise(f, 3);
    raise(f, 8);
    raise(f, 1);
    assert_int_equal(pic_acknowledge(f->pic), 0x21);
    out8(&f->board, 0x20, 0x20);
    assert_int_equal(pic_acknowledge(f->pic), 0x28);
    out8(&f->board, 0xa0, 0x20);
    out8(&f->board, 0x20, 0x20);
    assert_int_equal(pic_acknowledge(f->pic), 0x23);
    raise(f, 2); /* the slave's wire: not ours to drive */
    assert_int_equal(irr(f, 0x20), 0);
}

static void spurious_from_the_slave(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x4d1, 0x02); /* input 9 by level */
    raise(f, 9);
    assert_true(pic_output(f->pic));
    /* The request goes between the two chips' parts of the cycle: a masked slave is the same. */
    out8(&f->board, 0xa1, 0xff);
    assert_false(pic_output(f->pic));
    assert_int_equal(pic_acknowledge(f->pic), 0x27);
    assert_int_equal(isr(f, 0xa0), 0);
}

static void slave_identity_must_match(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0xa0, 0x11);
    out8(&f->board, 0xa1, 0x28);
    out8(&f->board, 0xa1, 0x03); /* says it is on input 3 */
    out8(&f->board, 0xa1, 0x01);
    raise(f, 8);
    assert_int_equal(pic_acknowledge(f->pic), 0xff);
}

static void special_fully_nested(void **state)
{
    struct fixture *f = *state;
    initialize(f, 0x11, 0x11, 0x01);
    raise(f, 12);
    assert_int_equal(pic_acknowledge(f->pic), 0x2c);
    raise(f, 14); /* lower on the slave: no */
    assert_false(pic_output(f->pic));
    raise(f, 3); /* lower on the master: no */
    assert_false(pic_output(f->pic));
    raise(f, 9); /* higher on the slave: yes */
    assert_int_equal(pic_acknowledge(f->pic), 0x29);
    assert_int_equal(isr(f, 0xa0), 0x12);
}

static void automatic_eoi(void **state)
{
    struct fixture *f = *state;
    initialize(f, 0x11, 0x03, 0x03);
    raise(f, 9);
    raise(f, 4);
    assert_int_equal(pic_acknowledge(f->pic), 0x29);
    assert_int_equal(isr(f, 0x20), 0);
    assert_int_equal(isr(f, 0xa0), 0);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    assert_int_equal(isr(f, 0x20), 0);
    /* Rotation in automatic EOI mode: 4 went to the bottom only if the mode is set. */
    out8(&f->board, 0x20, 0x80);
    lower(f, 4);
    raise(f, 4);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    lower(f, 4);
    raise(f, 4);
    raise(f, 5);
    assert_int_equal(pic_acknowledge(f->pic), 0x25);
}

static void rotation(void **state)
{
    struct fixture *f = *state;
    /* The data sheet's example: 4 and 6 in service, rotate on non-specific EOI serves 4, so 5 is
     * the highest and 4 the lowest. */
    raise(f, 6);
    assert_int_equal(pic_acknowledge(f->pic), 0x26);
    raise(f, 4);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    out8(&f->board, 0x20, 0xa0);
    assert_int_equal(isr(f, 0x20), 0x40);
    lower(f, 4);
    raise(f, 4);
    raise(f, 3);
    assert_false(pic_output(f->pic)); /* 6 is above both now */
    raise(f, 5);
    assert_int_equal(pic_acknowledge(f->pic), 0x25);
    out8(&f->board, 0x20, 0x65);
    out8(&f->board, 0x20, 0x66);
    assert_int_equal(pic_acknowledge(f->pic), 0x23);
    out8(&f->board, 0x20, 0xe3); /* rotate on specific EOI: 3 to the bottom, 4 to the top */
    assert_int_equal(isr(f, 0x20), 0);
    raise(f, 0);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    out8(&f->board, 0x20, 0x20);
    out8(&f->board, 0x20, 0xc7); /* set priority: the usual order again */
    raise(f, 1);
    assert_int_equal(pic_acknowledge(f->pic), 0x20);
}

static void special_mask(void **state)
{
    struct fixture *f = *state;
    raise(f, 4);
    assert_int_equal(pic_acknowledge(f->pic), 0x24);
    raise(f, 6);
    out8(&f->board, 0x21, 0x10);
    assert_false(pic_output(f->pic)); /* 4 in service still blocks */
    out8(&f->board, 0x20, 0x68);
    assert_int_equal(pic_acknowledge(f->pic), 0x26);
    out8(&f->board, 0x20, 0x20); /* leaves the masked 4 alone */
    assert_int_equal(isr(f, 0x20), 0x10);
    out8(&f->board, 0x20, 0x08); /* ESMM = 0: no change */
    raise(f, 7);
    assert_true(pic_output(f->pic));
    out8(&f->board, 0x20, 0x48);
    assert_false(pic_output(f->pic));
}

static void polling(void **state)
{
    struct fixture *f = *state;
    raise(f, 5);
    out8(&f->board, 0x20, 0x0c);
    assert_int_equal(in8(&f->board, 0x20), 0x85);
    assert_int_equal(isr(f, 0x20), 0x20);
    assert_false(pic_output(f->pic));
    out8(&f->board, 0x20, 0x0c);
    assert_int_equal(in8(&f->board, 0x20) & 0x80, 0);
    assert_int_equal(in8(&f->board, 0x20), 0x20); /* one read only: then ISR as before */
}

static void level_triggering(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x4d0, 0xff);
    out8(&f->board, 0x4d1, 0xff);
    assert_int_equal(in8(&f->board, 0x4d0), 0xf8);
    assert_int_equal(in8(&f->board, 0x4d1), 0xde);
    assert_int_equal(bus_read(&f->board.ports, 0x4d0, 2), 0xdef8);
    raise(f, 5);
    assert_int_equal(pic_acknowledge(f->pic), 0x25);
    out8(&f->board, 0x20, 0x20);
    assert_true(pic_output(f->pic)); /* still high: requests again */
    assert_int_equal(pic_acknowledge(f->pic), 0x25);
    lower(f, 5);
    out8(&f->board, 0x20, 0x20);
    assert_false(pic_output(f->pic));
    /* LTIM makes every input of the chip level triggered. */
    out8(&f->board, 0x4d0, 0);
    initialize(f, 0x19, 0x01, 0x01);
    raise(f, 1);
    assert_int_equal(pic_acknowledge(f->pic), 0x21);
    out8(&f->board, 0x20, 0x20);
    assert_true(pic_output(f->pic));
}

static void single_chip_and_no_icw4(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, 0x20, 0x12); /* SNGL, no ICW4 */
    out8(&f->board, 0x21, 0x60);
    out8(&f->board, 0x21, 0xf0); /* OCW1 already */
    assert_int_equal(in8(&f->board, 0x21), 0xf0);
    raise(f, 8); /* the slave's INT is an ordinary input of this chip now */
    assert_int_equal(pic_acknowledge(f->pic), 0x62);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(edge_request_acknowledge_eoi),
        TEST(nothing_before_initialization),
        TEST(fully_nested_priorities),
        TEST(masking),
        TEST(a_request_that_goes_is_spurious),
        TEST(a_pulse_is_remembered_in_edge_mode),
        TEST(cascade),
        TEST(cascade_sits_at_input_2),
        TEST(spurious_from_the_slave),
        TEST(slave_identity_must_match),
        TEST(special_fully_nested),
        TEST(automatic_eoi),
        TEST(rotation),
        TEST(special_mask),
        TEST(polling),
        TEST(level_triggering),
        TEST(single_chip_and_no_icw4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
