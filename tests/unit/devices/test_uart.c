/* Expectations from the PC16550D data sheet, sections 8.1 to 8.11. */
#include "board.h"

#include <string.h>

#include "devices/uart.h"

enum { BASE = 0x3f8, RBR = BASE, THR = BASE, DLL = BASE, IER = BASE + 1, DLM = BASE + 1 };
enum { IIR = BASE + 2, FCR = BASE + 2, LCR = BASE + 3, MCR = BASE + 4, LSR = BASE + 5 };
enum { MSR = BASE + 6, SCR = BASE + 7 };

struct fixture {
    struct board board;
    struct uart *uart;
    uint8_t sent[64];
    size_t sent_count;
    struct uart_line line;
    unsigned line_changes;
};

static void collect(void *target, const uint8_t *bytes, size_t count)
{
    struct fixture *f = target;
    assert_true(f->sent_count + count <= sizeof f->sent);
    memcpy(f->sent + f->sent_count, bytes, count);
    f->sent_count += count;
}

static void line_changed(void *target, const struct uart_line *line)
{
    struct fixture *f = target;
    f->line = *line;
    f->line_changes++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    board_init(&f->board);
    struct uart_config config = {.name = "uart0",
        .clock = &f->board.clock,
        .irq = board_irq(&f->board),
        .output = {collect, f},
        .line_changed = line_changed,
        .target = f};
    f->uart = uart_create(&config, &f->board.error);
    assert_non_null(f->uart);
    assert_int_equal(uart_attach(f->uart, &f->board.ports, BASE, &f->board.error), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    uart_destroy(f->uart);
    free(f);
    return 0;
}

/* 115200 baud, 8N1, OUT2 so that interrupts get out. */
static void start(struct fixture *f, uint8_t ier, uint8_t fcr)
{
    out8(&f->board, LCR, 0x83);
    out8(&f->board, DLL, 1);
    out8(&f->board, DLM, 0);
    out8(&f->board, LCR, 0x03);
    out8(&f->board, FCR, fcr);
    out8(&f->board, MCR, 0x0b);
    out8(&f->board, IER, ier);
}

static void receive(struct fixture *f, const char *text)
{
    uart_receive(f->uart, (const uint8_t *)text, strlen(text));
}

static void registers_after_reset(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, SCR, 0x5a);
    start(f, 0x0f, 0xc1);
    uart_device(f->uart).ops->reset(f->uart);
    assert_int_equal(in8(&f->board, IER), 0);
    assert_int_equal(in8(&f->board, IIR), 0x01);
    assert_int_equal(in8(&f->board, LCR), 0);
    assert_int_equal(in8(&f->board, MCR), 0);
    assert_int_equal(in8(&f->board, LSR), 0x60);
    assert_int_equal(in8(&f->board, MSR) & 0x0f, 0);
    assert_int_equal(in8(&f->board, SCR), 0x5a);
    assert_false(f->board.irq.level);
}

static void register_bits(void **state)
{
    struct fixture *f = *state;
    out8(&f->board, IER, 0xff);
    assert_int_equal(in8(&f->board, IER), 0x0f);
    out8(&f->board, MCR, 0xff);
    assert_int_equal(in8(&f->board, MCR), 0x1f);
    out8(&f->board, LCR, 0x9b);
    out8(&f->board, DLL, 0x34);
    out8(&f->board, DLM, 0x12);
    assert_int_equal(in8(&f->board, DLL), 0x34);
    assert_int_equal(in8(&f->board, DLM), 0x12);
    out8(&f->board, LCR, 0x1b);
    assert_int_equal(in8(&f->board, IER), 0x0f);
    assert_int_equal(in8(&f->board, LCR), 0x1b);
    out8(&f->board, LSR, 0xff);
    assert_int_equal(in8(&f->board, LSR), 0x60);
    assert_int_equal(f->sent_count, 0);
}

static void transmits_at_once(void **state)
{
    struct fixture *f = *state;
    start(f, 0, 0);
    for (const char *c = "hi!"; *c; c++) {
        assert_int_equal(in8(&f->board, LSR) & 0x60, 0x60);
        out8(&f->board, THR, (uint8_t)*c);
    }
    assert_int_equal(f->sent_count, 3);
    assert_memory_equal(f->sent, "hi!", 3);
    out8(&f->board, LCR, 0x00); /* five data bits */
    out8(&f->board, THR, 0xff);
    assert_int_equal(f->sent[3], 0x1f);
}

static void thre_interrupt(void **state)
{
    struct fixture *f = *state;
    start(f, 0x02, 0);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0x02);
    assert_false(f->board.irq.level); /* reading IIR cleared it */
    assert_int_equal(in8(&f->board, IIR), 0x01);
    out8(&f->board, THR, 'x'); /* sent, and empty again */
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0x02);
    out8(&f->board, IER, 0x00);
    out8(&f->board, IER, 0x02); /* enabling with THR empty raises it */
    assert_true(f->board.irq.level);
}

static void receives_without_fifo(void **state)
{
    struct fixture *f = *state;
    start(f, 0x05, 0);
    assert_int_equal(uart_receive_room(f->uart), 1);
    receive(f, "a");
    assert_int_equal(uart_receive_room(f->uart), 0);
    assert_int_equal(in8(&f->board, IIR), 0x04);
    assert_int_equal(in8(&f->board, LSR), 0x61);
    receive(f, "b"); /* overrun: the old character is destroyed */
    assert_int_equal(in8(&f->board, IIR), 0x06);
    assert_int_equal(in8(&f->board, LSR), 0x63);
    assert_int_equal(in8(&f->board, LSR), 0x61); /* the read cleared OE */
    assert_int_equal(in8(&f->board, IIR), 0x04);
    assert_int_equal(in8(&f->board, RBR), 'b');
    assert_int_equal(in8(&f->board, IIR), 0x01);
    assert_int_equal(in8(&f->board, LSR), 0x60);
    assert_false(f->board.irq.level);
}

static void fifo_trigger_levels(void **state)
{
    struct fixture *f = *state;
    static const uint8_t fcr[] = {0x01, 0x41, 0x81, 0xc1}, levels[] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        start(f, 0x01, fcr[i] | 0x02);
        assert_int_equal(in8(&f->board, IIR), 0xc1);
        for (unsigned n = 1; n <= 16; n++) {
            receive(f, "z");
            assert_int_equal(f->board.irq.level, n >= levels[i]);
            assert_int_equal(in8(&f->board, IIR), n >= levels[i] ? 0xc4 : 0xc1);
            assert_int_equal(uart_receive_room(f->uart), 16 - n);
        }
        for (unsigned n = 16; n > 0; n--) {
            assert_int_equal(f->board.irq.level, n >= levels[i]);
            in8(&f->board, RBR);
        }
    }
}

static void fifo_overrun_loses_the_newest(void **state)
{
    struct fixture *f = *state;
    start(f, 0x04, 0x01);
    receive(f, "0123456789abcdefgh");
    assert_int_equal(in8(&f->board, IIR), 0xc6);
    assert_int_equal(in8(&f->board, LSR), 0x63);
    for (const char *c = "0123456789abcdef"; *c; c++)
        assert_int_equal(in8(&f->board, RBR), *c);
    assert_int_equal(in8(&f->board, LSR), 0x60);
}

static void character_timeout(void **state)
{
    struct fixture *f = *state;
    start(f, 0x01, 0x81); /* trigger at 8 */
    advance_to(&f->board, 1000000);
    receive(f, "abc");
    assert_false(f->board.irq.level);
    /* Four characters of ten bits at 115200 baud: 347222 ns. */
    const uint64_t four = 4 * 10 * 1000000000ull / 115200;
    advance_to(&f->board, 1000000 + four - 10);
    assert_false(f->board.irq.level);
    advance_to(&f->board, 1000000 + four + 10);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0xcc);
    assert_int_equal(in8(&f->board, RBR), 'a'); /* clears it and starts over */
    assert_false(f->board.irq.level);
    advance_to(&f->board, 1000000 + 2 * four + 20);
    assert_true(f->board.irq.level);
    in8(&f->board, RBR);
    in8(&f->board, RBR);
    assert_true(clock_next_deadline(&f->board.clock) == TIMER_IDLE);
    advance_to(&f->board, 10000000);
    assert_false(f->board.irq.level);
}

static void errors_travel_with_their_character(void **state)
{
    struct fixture *f = *state;
    start(f, 0x04, 0xc1);
    receive(f, "a");
    uart_receive_error(f->uart, 'b', UART_LSR_PE);
    uart_receive_error(f->uart, 0, UART_LSR_BI | UART_LSR_FE);
    assert_false(f->board.irq.level);
    assert_int_equal(in8(&f->board, LSR), 0xe1); /* bit 7: somewhere in the FIFO */
    in8(&f->board, RBR);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, LSR), 0xe5);
    assert_int_equal(in8(&f->board, LSR), 0xe1);
    in8(&f->board, RBR);
    assert_int_equal(in8(&f->board, LSR), 0xf9);
    assert_int_equal(in8(&f->board, LSR), 0x61);
    assert_int_equal(in8(&f->board, RBR), 0);
    assert_int_equal(in8(&f->board, LSR), 0x60);
}

static void interrupt_priority(void **state)
{
    struct fixture *f = *state;
    start(f, 0x0f, 0x01);
    uart_set_modem_lines(f->uart, false, true, false, true); /* CTS drops */
    receive(f, "a");
    uart_receive_error(f->uart, 'b', 0);
    receive(f, "0123456789abcdefgh"); /* and an overrun */
    assert_int_equal(in8(&f->board, IIR), 0xc6);
    in8(&f->board, LSR);
    assert_int_equal(in8(&f->board, IIR), 0xc4);
    out8(&f->board, FCR, 0x03);
    assert_int_equal(in8(&f->board, IIR), 0xc2);
    assert_int_equal(in8(&f->board, IIR), 0xc0);
    assert_int_equal(in8(&f->board, MSR), 0xa1);
    assert_int_equal(in8(&f->board, IIR), 0xc1);
    assert_false(f->board.irq.level);
}

static void fifo_control(void **state)
{
    struct fixture *f = *state;
    start(f, 0, 0x01);
    receive(f, "abc");
    out8(&f->board, FCR, 0xc0); /* bit 0 clear: FIFOs off, and emptied by the change */
    assert_int_equal(in8(&f->board, IIR), 0x01);
    assert_int_equal(in8(&f->board, LSR), 0x60);
    out8(&f->board, FCR, 0x01);
    receive(f, "abc");
    out8(&f->board, FCR, 0x01);
    assert_int_equal(in8(&f->board, LSR), 0x61);
    out8(&f->board, FCR, 0x03);
    assert_int_equal(in8(&f->board, LSR), 0x60);
}

static void modem_status(void **state)
{
    struct fixture *f = *state;
    start(f, 0x08, 0);
    in8(&f->board, MSR);
    uart_set_modem_lines(f->uart, true, true, true, true);
    assert_false(f->board.irq.level); /* RI counts on its trailing edge */
    assert_int_equal(in8(&f->board, MSR), 0xf0);
    uart_set_modem_lines(f->uart, false, false, false, false);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0x00);
    assert_int_equal(in8(&f->board, MSR), 0x0f);
    assert_false(f->board.irq.level);
    assert_int_equal(in8(&f->board, MSR), 0x00);
}

static void loopback(void **state)
{
    struct fixture *f = *state;
    start(f, 0x01, 0x01);
    out8(&f->board, MCR, 0x1a); /* LOOP, OUT2, RTS */
    in8(&f->board, MSR);
    assert_int_equal(in8(&f->board, MSR), 0x90); /* CTS = RTS, DCD = OUT2 */
    out8(&f->board, MCR, 0x1d);                  /* DTR and OUT1, and bit 3 */
    assert_int_equal(in8(&f->board, MSR) & 0xf0, 0xe0);
    out8(&f->board, THR, 0xa5);
    assert_int_equal(f->sent_count, 0);
    assert_true(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0xc4);
    assert_int_equal(in8(&f->board, RBR), 0xa5);
    assert_int_equal(uart_receive_room(f->uart), 0);
    receive(f, "lost");
    assert_int_equal(in8(&f->board, LSR), 0x60);
    assert_false(f->line.dtr || f->line.rts); /* outputs are inactive */
}

static void out2_gates_the_interrupt(void **state)
{
    struct fixture *f = *state;
    start(f, 0x01, 0);
    receive(f, "a");
    assert_true(f->board.irq.level);
    out8(&f->board, MCR, 0x03);
    assert_false(f->board.irq.level);
    assert_int_equal(in8(&f->board, IIR), 0x04); /* still identified */
    out8(&f->board, MCR, 0x0b);
    assert_true(f->board.irq.level);
}

static void the_line_is_reported(void **state)
{
    struct fixture *f = *state;
    start(f, 0, 0);
    assert_int_equal(f->line.divisor, 1);
    assert_int_equal(f->line.data_bits, 8);
    assert_int_equal(f->line.stop_half_bits, 2);
    assert_true(f->line.parity == UART_NONE && f->line.dtr && f->line.rts && !f->line.sends_break);
    out8(&f->board, LCR, 0x5e); /* break, even parity, two stop bits, seven data bits */
    assert_true(f->line.sends_break && f->line.parity == UART_EVEN);
    assert_int_equal(f->line.data_bits, 7);
    assert_int_equal(f->line.stop_half_bits, 4);
    out8(&f->board, LCR, 0x2c); /* stick parity, 1.5 stop bits, five data bits */
    assert_true(f->line.parity == UART_MARK && f->line.stop_half_bits == 3);
    unsigned changes = f->line_changes;
    out8(&f->board, LCR, 0x2c);
    out8(&f->board, MCR, 0x0f); /* OUT1 is no part of the line */
    assert_int_equal(f->line_changes, changes);
    out8(&f->board, MCR, 0x0e);
    assert_int_equal(f->line_changes, changes + 1);
    assert_false(f->line.dtr);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(registers_after_reset),
        TEST(register_bits),
        TEST(transmits_at_once),
        TEST(thre_interrupt),
        TEST(receives_without_fifo),
        TEST(fifo_trigger_levels),
        TEST(fifo_overrun_loses_the_newest),
        TEST(character_timeout),
        TEST(errors_travel_with_their_character),
        TEST(interrupt_priority),
        TEST(fifo_control),
        TEST(modem_status),
        TEST(loopback),
        TEST(out2_gates_the_interrupt),
        TEST(the_line_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
