/* The one-register devices: debug exit, debug console, POST latch, system control port A. */
#include "board.h"

#include <string.h>

#include "devices/debug_console.h"
#include "devices/debug_exit.h"
#include "devices/port92.h"
#include "devices/post.h"

struct seen {
    uint32_t status;
    unsigned exits, resets, a20_changes;
    bool a20;
    char text[32];
    size_t length;
};

static void on_exit_port(void *machine, uint32_t status)
{
    struct seen *seen = machine;
    seen->status = status;
    seen->exits++;
}

static void on_reset(void *machine)
{
    struct seen *seen = machine;
    seen->resets++;
}

static void on_a20(void *machine, bool open)
{
    struct seen *seen = machine;
    seen->a20 = open;
    seen->a20_changes++;
}

static void on_text(void *target, const uint8_t *bytes, size_t count)
{
    struct seen *seen = target;
    assert_true(seen->length + count < sizeof seen->text);
    memcpy(seen->text + seen->length, bytes, count);
    seen->length += count;
}

static void debug_exit_status(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 4};
    for (unsigned i = 0; i < 3; i++) {
        struct board board;
        struct seen seen = {0};
        board_init(&board);
        struct debug_exit *device =
            debug_exit_create(&(struct debug_exit_config){on_exit_port, &seen}, &board.error);
        assert_non_null(device);
        assert_int_equal(debug_exit_attach(device, &board.ports, 0xf4, 3, &board.error), -1);
        assert_int_equal(debug_exit_attach(device, &board.ports, 0xf4, sizes[i], NULL), 0);
        out8(&board, 0xf4, 0x00);
        assert_int_equal(seen.status, 1);
        out8(&board, 0xf4, 0x10);
        assert_int_equal(seen.status, 0x21);
        bus_write(&board.ports, 0xf4, sizes[i], 0x81828384);
        static const uint32_t wide[] = {0x109, 0x10709, 0x03050709};
        assert_int_equal(seen.status, wide[i]);
        assert_int_equal(seen.exits, 3);
        assert_int_equal(in8(&board, 0xf4), 0);
        debug_exit_destroy(device);
    }
}

static void debug_console_text(void **state)
{
    (void)state;
    struct board board;
    struct seen seen = {0};
    board_init(&board);
    struct debug_console *device =
        debug_console_create(&(struct byte_sink){on_text, &seen}, &board.error);
    assert_non_null(device);
    assert_int_equal(debug_console_attach(device, &board.ports, NULL), 0);
    assert_int_equal(in8(&board, 0xe9), 0xe9);
    out8(&board, 0xe9, 'o');
    out8(&board, 0xe9, 'k');
    assert_string_equal(seen.text, "ok");
    debug_console_destroy(device);
}

static void post_latch(void **state)
{
    (void)state;
    struct board board;
    board_init(&board);
    struct post *post = post_create(&board.error);
    assert_non_null(post);
    assert_int_equal(post_attach(post, &board.ports, NULL), 0);
    out8(&board, 0x80, 0xa5);
    assert_int_equal(in8(&board, 0x80), 0xa5);
    assert_int_equal(post_code(post), 0xa5);
    post_device(post).ops->reset(post);
    assert_int_equal(post_code(post), 0);
    post_destroy(post);
}

static void port92_gate_and_reset(void **state)
{
    (void)state;
    struct board board;
    struct seen seen = {0};
    board_init(&board);
    struct port92 *port92 =
        port92_create(&(struct port92_config){on_reset, on_a20, &seen}, &board.error);
    assert_non_null(port92);
    assert_int_equal(port92_attach(port92, &board.ports, NULL), 0);
    assert_int_equal(in8(&board, 0x92), 0x02);
    out8(&board, 0x92, 0x00);
    assert_true(seen.a20_changes == 1 && !seen.a20 && !port92_a20(port92));
    out8(&board, 0x92, 0xfe);
    assert_int_equal(in8(&board, 0x92), 0x02);
    assert_true(seen.a20_changes == 2 && seen.a20);
    assert_int_equal(seen.resets, 0);
    out8(&board, 0x92, 0x03);
    out8(&board, 0x92, 0x03); /* only the change from 0 to 1 acts */
    assert_int_equal(seen.resets, 1);
    port92_device(port92).ops->reset(port92);
    assert_int_equal(in8(&board, 0x92), 0x02);
    out8(&board, 0x92, 0x01);
    assert_int_equal(seen.resets, 2);
    port92_destroy(port92);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_exit_status),
        cmocka_unit_test(debug_console_text),
        cmocka_unit_test(post_latch),
        cmocka_unit_test(port92_gate_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
