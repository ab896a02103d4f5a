/*
 * Expectations from the IBM PS/2 Hardware Interface Technical Reference: controller commands,
 * keyboard commands and the scan code tables.
 */
#include "board.h"

#include "devices/i8042.h"

struct fixture {
    struct board board;
    struct i8042 *i8042;
    unsigned resets, a20_changes;
    bool a20;
};

static void reset_request(void *machine)
{
    struct fixture *f = machine;
    f->resets++;
}

static void a20(void *machine, bool open)
{
    struct fixture *f = machine;
    f->a20 = open;
    f->a20_changes++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    struct i8042_config config = {
        .irq = board_irq(&f->board), .reset_request = reset_request, .a20 = a20, .machine = f};
    f->i8042 = i8042_create(&config, &f->board.error);
    assert_non_null(f->i8042);
    assert_int_equal(i8042_attach(f->i8042, &f->board.ports, &f->board.error), 0);
    assert_int_equal(f->a20_changes, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    i8042_destroy(f->i8042);
    free(f);
    return 0;
}

static void expect_bytes(struct fixture *f, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(in8(&f->board, 0x64) & 0x21, 0x01);
        assert_int_equal(in8(&f->board, 0x60), bytes[i]);
    }
    assert_int_equal(in8(&f->board, 0x64) & 0x01, 0);
}

#define EXPECT(f, ...) \
    expect_bytes(f, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void keyboard(struct fixture *f, uint8_t value)
{
    out8(&f->board, 0x60, value);
}

static void command(struct fixture *f, uint8_t value)
{
    out8(&f->board, 0x64, value);
}

static void command_byte(struct fixture *f, uint8_t value)
{
    command(f, 0x60);
    out8(&f->board, 0x60, value);
}

static void self_tests(void **state)
{
    struct fixture *f = *state;
    command(f, 0xaa);
    EXPECT(f, 0x55);
    assert_int_equal(in8(&f->board, 0x64) & 0x04, 0x04);
    command(f, 0xab);
    EXPECT(f, 0x00);
    command(f, 0xa9); /* no auxiliary device */
    EXPECT(f, 0x02);
}

static void command_byte_and_ram(void **state)
{
    struct fixture *f = *state;
    command_byte(f, 0x45);
    command(f, 0x20);
    EXPECT(f, 0x45);
    command(f, 0x7f);
    assert_int_equal(in8(&f->board, 0x64) & 0x08, 0x08); /* command port written last */
    out8(&f->board, 0x60, 0x99);
    assert_int_equal(in8(&f->board, 0x64) & 0x08, 0);
    command(f, 0x3f);
    EXPECT(f, 0x99);
    command(f, 0xad);
    command(f, 0x20);
    EXPECT(f, 0x55);
    command(f, 0xae);
    command(f, 0xa7);
    command(f, 0x20);
    EXPECT(f, 0x65);
    command(f, 0xa8);
    command(f, 0x20);
    EXPECT(f, 0x45);
}

static void output_port_reset_and_a20(void **state)
{
    struct fixture *f = *state;
    command(f, 0xd0);
    assert_int_equal(in8(&f->board, 0x60) & 0x03, 0x03);
    assert_true(i8042_a20(f->i8042));
    command(f, 0xd1);
    out8(&f->board, 0x60, 0xcd);
    assert_true(f->a20_changes == 1 && !f->a20 && !i8042_a20(f->i8042));
    command(f, 0xd1);
    out8(&f->board, 0x60, 0xcf);
    assert_true(f->a20_changes == 2 && f->a20);
    assert_int_equal(f->resets, 0);
    command(f, 0xff); /* pulses nothing */
    command(f, 0xf1);
    assert_int_equal(f->resets, 0);
    command(f, 0xfe);
    assert_int_equal(f->resets, 1);
    command(f, 0xd1);
    out8(&f->board, 0x60, 0xce);
    assert_int_equal(f->resets, 2);
}

static void keyboard_commands(void **state)
{
    struct fixture *f = *state;
    command_byte(f, 0x05); /* no translation */
    keyboard(f, 0xff);
    EXPECT(f, 0xfa, 0xaa);
    keyboard(f, 0xee);
    EXPECT(f, 0xee);
    keyboard(f, 0xf2);
    EXPECT(f, 0xfa, 0xab, 0x83);
    keyboard(f, 0xed);
    EXPECT(f, 0xfa);
    keyboard(f, 0x05);
    EXPECT(f, 0xfa);
    assert_int_equal(i8042_leds(f->i8042), 5);
    keyboard(f, 0xed);
    keyboard(f, 0xee); /* a command instead of the parameter */
    EXPECT(f, 0xfa, 0xee);
    assert_int_equal(i8042_leds(f->i8042), 5);
    keyboard(f, 0xf3);
    keyboard(f, 0x20);
    EXPECT(f, 0xfa, 0xfa);
    keyboard(f, 0xf0);
    keyboard(f, 0x00);
    EXPECT(f, 0xfa, 0xfa, 0x02);
    keyboard(f, 0xf0);
    keyboard(f, 0x03);
    EXPECT(f, 0xfa, 0xfe);
    keyboard(f, 0xfe); /* resend */
    EXPECT(f, 0xfe);
    keyboard(f, 0x00);
    EXPECT(f, 0xfe);
}

static void identify_through_translation(void **state)
{
    struct fixture *f = *state;
    keyboard(f, 0xf2);
    EXPECT(f, 0xfa, 0xab, 0x41);
}

static void keys(void **state)
{
    struct fixture *f = *state;
    /* A (set 2 code 1c), translated to set 1 as power-on leaves it. */
    i8042_key(f->i8042, 0x1c, true);
    i8042_key(f->i8042, 0x1c, false);
    EXPECT(f, 0x1e, 0x9e);
    i8042_key(f->i8042, I8042_EXTENDED | 0x75, true); /* cursor up */
    i8042_key(f->i8042, I8042_EXTENDED | 0x75, false);
    EXPECT(f, 0xe0, 0x48, 0xe0, 0xc8);
    i8042_key(f->i8042, I8042_PAUSE, true);
    i8042_key(f->i8042, I8042_PAUSE, false);
    EXPECT(f, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    i8042_key(f->i8042, I8042_PRINT_SCREEN, true);
    i8042_key(f->i8042, I8042_PRINT_SCREEN, false);
    EXPECT(f, 0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
    i8042_key(f->i8042, 0x83, true); /* F7 */
    EXPECT(f, 0x41);
    command_byte(f, 0x05);
    i8042_key(f->i8042, 0x1c, true);
    i8042_key(f->i8042, 0x1c, false);
    EXPECT(f, 0x1c, 0xf0, 0x1c);
    keyboard(f, 0xf0);
    keyboard(f, 0x01); /* set 1 from the keyboard itself */
    EXPECT(f, 0xfa, 0xfa);
    i8042_key(f->i8042, I8042_EXTENDED | 0x75, false);
    EXPECT(f, 0xe0, 0xc8);
}

static void scanning_off_and_interface_off(void **state)
{
    struct fixture *f = *state;
    keyboard(f, 0xf5);
    EXPECT(f, 0xfa);
    i8042_key(f->i8042, 0x1c, true);
    assert_int_equal(in8(&f->board, 0x64) & 1, 0);
    keyboard(f, 0xf4);
    EXPECT(f, 0xfa);
    command(f, 0xad);
    i8042_key(f->i8042, 0x1c, true); /* waits in the keyboard */
    assert_int_equal(in8(&f->board, 0x64) & 1, 0);
    command(f, 0xae);
    EXPECT(f, 0x1e);
}

static void the_buffer_overruns(void **state)
{
    struct fixture *f = *state;
    command_byte(f, 0x05);
    for (unsigned i = 0; i < 40; i++)
        i8042_key(f->i8042, 0x1c, true);
    /* One byte in the controller, 16 in the keyboard, then the overrun code. */
    for (unsigned i = 0; i < 17; i++)
        assert_int_equal(in8(&f->board, 0x60), 0x1c);
    EXPECT(f, 0x00);
}

static void interrupts(void **state)
{
    struct fixture *f = *state;
    i8042_key(f->i8042, 0x1c, true);
    i8042_key(f->i8042, 0x1c, false);
    assert_true(f->board.irq.level);
    assert_int_equal(f->board.irq.rises, 1);
    in8(&f->board, 0x60); /* the next byte follows with an edge of its own */
    assert_true(f->board.irq.level);
    assert_int_equal(f->board.irq.rises, 2);
    in8(&f->board, 0x60);
    assert_false(f->board.irq.level);
    command_byte(f, 0x44);
    i8042_key(f->i8042, 0x1c, true);
    assert_false(f->board.irq.level);
    command_byte(f, 0x45);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, 0x60), 0x1e);
    assert_int_equal(in8(&f->board, 0x60), 0x1e); /* the register keeps its value */
}

static void no_auxiliary_device(void **state)
{
    struct fixture *f = *state;
    command(f, 0xd4);
    out8(&f->board, 0x60, 0xf2);
    assert_int_equal(in8(&f->board, 0x64) & 0x61, 0x61); /* time-out, from the auxiliary side */
    assert_false(f->board.irq.level);
    assert_int_equal(in8(&f->board, 0x60), 0xfe);
    command(f, 0xd3);
    out8(&f->board, 0x60, 0x5a);
    EXPECT(f, 0x5a); /* not marked as auxiliary */
    command(f, 0xd2);
    out8(&f->board, 0x60, 0x77);
    EXPECT(f, 0x77);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(self_tests),
        TEST(command_byte_and_ram),
        TEST(output_port_reset_and_a20),
        TEST(keyboard_commands),
        TEST(identify_through_translation),
        TEST(keys),
        TEST(scanning_off_and_interface_off),
        TEST(the_buffer_overruns),
        TEST(interrupts),
        TEST(no_auxiliary_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
