/* The 16550A UART. */
#include "devices/uart.h"

#include <stdlib.h>
#include <string.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RDA = 1, IER_THRE = 2, IER_RLS = 4, IER_MS = 8 };
enum { IIR_NONE = 1, IIR_MS = 0, IIR_THRE = 2, IIR_RDA = 4, IIR_RLS = 6, IIR_TIMEOUT = 12 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_KEPT = 0xc9 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16 };
enum { LSR_DR = 1, LSR_ERRORS = 0x1e, LSR_THRE = 0x20, LSR_TEMT = 0x40, LSR_FIFO_ERROR = 0x80 };
enum { MSR_TERI = 4, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };
enum { POLLS = 2 };
enum { FIFO_SIZE = 16, POWER_ON_DIVISOR = 12, CHARACTER_ERRORS = 0x1c };

struct uart {
    struct uart_config config;
    struct timer timeout; /* armed while the FIFO holds bytes and the timeout has not come */
    struct uart_line reported;
    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t errors;       /* LSR's OE, PE, FE and BI as they will be read */
    uint8_t modem_inputs; /* wires: MSR bits 4-7 */
    uint8_t deltas;       /* MSR bits 0-3 */
    uint16_t divisor;
    bool thre_pending, timeout_pending;
    uint8_t polls;            /* reads of LSR in a row, of RBR among them; up to POLLS */
    uint8_t count;            /* bytes waiting; at most 1 without FIFO */
    uint8_t last;             /* what RBR reads when empty */
    uint8_t fifo[FIFO_SIZE];  /* oldest first, zeros after `count` */
    uint8_t marks[FIFO_SIZE]; /* errors of each that LSR has not shown yet */
};

/* ---- Interrupts ----------------------------------------------------------------------------- */

static bool has_fifo(const struct uart *uart)
{
    return uart->fcr & FCR_ENABLE;
}

static unsigned trigger_level(const struct uart *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return has_fifo(uart) ? levels[uart->fcr >> 6] : 1;
}

static uint8_t identify(const struct uart *uart)
{
    if ((uart->ier & IER_RLS) && uart->errors)
        return IIR_RLS;
    if ((uart->ier & IER_RDA) && uart->count >= trigger_level(uart))
        return IIR_RDA;
    if ((uart->ier & IER_RDA) && uart->timeout_pending)
        return IIR_TIMEOUT;
    if ((uart->ier & IER_THRE) && uart->thre_pending)
        return IIR_THRE;
    if ((uart->ier & IER_MS) && uart->deltas)
        return IIR_MS;
    return IIR_NONE;
}

static void update_irq(struct uart *uart)
{
    irq_set(&uart->config.irq, (uart->mcr & MCR_OUT2) && identify(uart) != IIR_NONE);
}

/* ---- Line and modem ------------------------------------------------------------------------- */

void uart_get_line(const struct uart *uart, struct uart_line *line)
{
    static const enum uart_parity parities[] = {UART_ODD, UART_EVEN, UART_MARK, UART_SPACE};
    uint8_t lcr = uart->lcr;
    bool loop = uart->mcr & MCR_LOOP;
    *line = (struct uart_line){
        .divisor = uart->divisor,
        .data_bits = (uint8_t)(5 + (lcr & 3)),
        .stop_half_bits = !(lcr & 4)       ? 2
                          : (lcr & 3) == 0 ? 3
                                           : 4,
        .parity = lcr & 8 ? parities[lcr >> 4 & 3] : UART_NONE,
        .sends_break = (lcr & LCR_BREAK) && !loop,
        .dtr = (uart->mcr & MCR_DTR) && !loop,
        .rts = (uart->mcr & MCR_RTS) && !loop,
    };
}

static bool same_line(const struct uart_line *a, const struct uart_line *b)
{
    return a->divisor == b->divisor && a->data_bits == b->data_bits &&
           a->stop_half_bits == b->stop_half_bits && a->parity == b->parity &&
           a->sends_break == b->sends_break && a->dtr == b->dtr && a->rts == b->rts;
}

static void report_line(struct uart *uart)
{
    struct uart_line line;
    uart_get_line(uart, &line);
    if (same_line(&line, &uart->reported))
        return;
    uart->reported = line;
    if (uart->config.line_changed)
        uart->config.line_changed(uart->config.target, &line);
}

/* MSR bits 4-7: the wires, or in loopback the outputs. */
static uint8_t modem_status(const struct uart *uart)
{
    uint8_t mcr = uart->mcr;
    if (!(mcr & MCR_LOOP))
        return uart->modem_inputs;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* RI is noted on its trailing edge, the others on any change. */
static void note_deltas(struct uart *uart, uint8_t before)
{
    uint8_t after = modem_status(uart);
    uint8_t changed = (before ^ after) & (MSR_CTS | MSR_DSR | MSR_DCD);
    uint8_t trailing = before & ~after & MSR_RI;
    uart->deltas |= (uint8_t)((changed | trailing) >> 4);
}

void uart_set_modem_lines(struct uart *uart, bool cts, bool dsr, bool ri, bool dcd)
{
    uint8_t before = modem_status(uart);
    uart->modem_inputs = (uint8_t)((cts ? MSR_CTS : 0) | (dsr ? MSR_DSR : 0) | (ri ? MSR_RI : 0) |
                                   (dcd ? MSR_DCD : 0));
    note_deltas(uart, before);
    update_irq(uart);
}

/* ---- Receiver ------------------------------------------------------------------------------- */

static uint64_t character_time(const struct uart *uart)
{
    struct uart_line line;
    uart_get_line(uart, &line);
    uint64_t half_bits =
        2u + 2u * line.data_bits + (line.parity != UART_NONE ? 2 : 0) + line.stop_half_bits;
    uint64_t divisor = line.divisor ? line.divisor : 1;
    return half_bits * divisor * 16 * 1000000000u / (2 * UART_CLOCK_HZ);
}

static void restart_timeout(struct uart *uart)
{
    struct clock *clock = uart->config.clock;
    uart->timeout_pending = false;
    uint64_t delay = 4 * character_time(uart);
    if (has_fifo(uart) && uart->count > 0 && clock->now < TIMER_IDLE - delay)
        timer_arm(clock, &uart->timeout, clock->now + delay);
    else
        timer_cancel(clock, &uart->timeout);
}

static void uart_timeout(void *device, uint64_t now)
{
    (void)now;
    struct uart *uart = device;
    uart->timeout_pending = has_fifo(uart) && uart->count > 0;
    update_irq(uart);
}

/* An error shows in LSR when its character comes to the top of the FIFO. */
static void show_errors(struct uart *uart)
{
    if (uart->count > 0)
        uart->errors |= uart->marks[0];
}

static uint8_t word_mask(const struct uart *uart)
{
    return (uint8_t)(0xff >> (3 - (uart->lcr & 3)));
}

static void push(struct uart *uart, uint8_t byte, uint8_t errors)
{
    byte &= word_mask(uart);
    if (!has_fifo(uart)) {
        if (uart->count > 0)
            uart->errors |= UART_LSR_OE; /* and the old character is overwritten */
        uart->count = 0;
    } else if (uart->count == FIFO_SIZE) {
        uart->errors |= UART_LSR_OE; /* only the character in the shift register is lost */
        return;
    }
    uart->fifo[uart->count] = byte;
    uart->marks[uart->count] = errors;
    if (uart->count++ == 0)
        show_errors(uart);
    restart_timeout(uart);
}

static uint8_t pop(struct uart *uart)
{
    if (uart->count == 0)
        return uart->last;
    uart->last = uart->fifo[0];
    uart->count--;
    memmove(uart->fifo, uart->fifo + 1, FIFO_SIZE - 1);
    memmove(uart->marks, uart->marks + 1, FIFO_SIZE - 1);
    uart->fifo[FIFO_SIZE - 1] = uart->marks[FIFO_SIZE - 1] = 0;
    show_errors(uart);
    restart_timeout(uart);
    update_irq(uart);
    return uart->last;
}

static void clear_receiver(struct uart *uart)
{
    uart->count = 0;
    memset(uart->fifo, 0, sizeof uart->fifo);
    memset(uart->marks, 0, sizeof uart->marks);
    restart_timeout(uart);
}

unsigned uart_receive_room(const struct uart *uart)
{
    if (uart->mcr & MCR_LOOP)
        return 0;
    return (has_fifo(uart) ? FIFO_SIZE : 1u) - uart->count;
}

unsigned uart_waiting(const struct uart *uart)
{
    return uart->lcr & LCR_DLAB ? 0 : uart->count;
}

bool uart_listens(const struct uart *uart)
{
    return (uart->ier & IER_RDA) || uart->polls >= POLLS;
}

void uart_receive(struct uart *uart, const uint8_t *bytes, size_t count)
{
    if (uart->mcr & MCR_LOOP)
        return;
    for (size_t i = 0; i < count; i++)
        push(uart, bytes[i], 0);
    update_irq(uart);
}

void uart_receive_error(struct uart *uart, uint8_t byte, uint8_t errors)
{
    if (uart->mcr & MCR_LOOP)
        return;
    push(uart, byte, errors & CHARACTER_ERRORS);
    update_irq(uart);
}

/* ---- Registers ------------------------------------------------------------------------------ */

static void transmit(struct uart *uart, uint8_t byte)
{
    byte &= word_mask(uart);
    if (uart->mcr & MCR_LOOP)
        push(uart, byte, 0);
    else
        sink_put(&uart->config.output, &byte, 1);
    uart->thre_pending = true;
}

static uint8_t read_iir(struct uart *uart)
{
    uint8_t source = identify(uart);
    if (source == IIR_THRE) {
        uart->thre_pending = false;
        update_irq(uart);
    }
    return source | (has_fifo(uart) ? 0xc0 : 0);
}

static uint8_t peek_lsr(const struct uart *uart)
{
    uint8_t lsr = uart->errors | LSR_THRE | LSR_TEMT | (uart->count > 0 ? LSR_DR : 0);
    for (unsigned i = 0; has_fifo(uart) && i < uart->count; i++) {
        if (uart->marks[i])
            lsr |= LSR_FIFO_ERROR;
    }
    return lsr;
}

static uint8_t read_lsr(struct uart *uart)
{
    uint8_t lsr = peek_lsr(uart);
    uart->errors = 0;
    uart->marks[0] = 0;
    update_irq(uart);
    return lsr;
}

static uint8_t read_msr(struct uart *uart)
{
    uint8_t msr = modem_status(uart) | uart->deltas;
    uart->deltas = 0;
    update_irq(uart);
    return msr;
}

static void write_ier(struct uart *uart, uint8_t value)
{
    uint8_t enabled = value & ~uart->ier;
    uart->ier = value & 0x0f;
    if (enabled & IER_THRE)
        uart->thre_pending = true; /* THR is always empty */
}

static void write_fcr(struct uart *uart, uint8_t value)
{
    bool toggled = (value ^ uart->fcr) & FCR_ENABLE;
    uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (toggled || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
        clear_receiver(uart);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
    uint8_t before = modem_status(uart);
    uart->mcr = value & 0x1f;
    note_deltas(uart, before);
    report_line(uart);
}

static uint64_t uart_read(void *device, uint64_t address, unsigned size)
{
    struct uart *uart = device;
    if (size > 1)
        return bus_read_bytes(uart_read, device, address, size);
    bool dlab = uart->lcr & LCR_DLAB;
    if (address == LSR)
        uart->polls = uart->polls < POLLS ? (uint8_t)(uart->polls + 1) : POLLS;
    else if (address != RBR_THR)
        uart->polls = 0;
    switch (address) {
    case RBR_THR:
        return dlab ? (uint8_t)uart->divisor : pop(uart);
    case IER:
        return dlab ? uart->divisor >> 8 : uart->ier;
    case IIR_FCR:
        return read_iir(uart);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        return read_lsr(uart);
    case MSR:
        return read_msr(uart);
    default:
        return uart->scr;
    }
}

static void write_register(struct uart *uart, uint64_t address, uint8_t value)
{
    bool dlab = uart->lcr & LCR_DLAB;
    uart->polls = 0;
    if (dlab && address <= IER) {
        uart->divisor = (uint16_t)(address == IER ? value << 8 | (uart->divisor & 0xff)
                                                  : (uart->divisor & 0xff00) | value);
        report_line(uart);
        return;
    }
    switch (address) {
    case RBR_THR:
        transmit(uart, value);
        break;
    case IER:
        write_ier(uart, value);
        break;
    case IIR_FCR:
        write_fcr(uart, value);
        break;
    case LCR:
        uart->lcr = value;
        report_line(uart);
        break;
    case MCR:
        write_mcr(uart, value);
        break;
    case SCR:
        uart->scr = value;
        break;
    default:
        return; /* LSR and MSR are for reading */
    }
    update_irq(uart);
}

static void uart_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    if (size > 1)
        bus_write_bytes(uart_write, device, address, size, value);
    else
        write_register(device, address, (uint8_t)value);
}

/* ---- The device ----------------------------------------------------------------------------- */

/* What the MR pin does: the divisor, RBR and SCR keep their values. */
static void uart_reset(void *device)
{
    struct uart *uart = device;
    uart->ier = uart->fcr = uart->lcr = uart->mcr = 0;
    uart->polls = 0;
    uart->errors = uart->deltas = 0;
    uart->thre_pending = false;
    clear_receiver(uart);
    update_irq(uart);
    report_line(uart);
}

static void uart_save(const void *device, struct buffer *out)
{
    const struct uart *uart = device;
    buffer_put_u8(out, uart->ier);
    buffer_put_u8(out, uart->fcr);
    buffer_put_u8(out, uart->lcr);
    buffer_put_u8(out, uart->mcr);
    buffer_put_u8(out, uart->scr);
    buffer_put_u8(out, uart->errors);
    buffer_put_u8(out, uart->modem_inputs);
    buffer_put_u8(out, uart->deltas);
    buffer_put_u16(out, uart->divisor);
    buffer_put_u8(out, (uint8_t)(uart->thre_pending | uart->timeout_pending << 1));
    buffer_put_u8(out, uart->last);
    buffer_put_u8(out, uart->count);
    buffer_put(out, uart->fifo, FIFO_SIZE);
    buffer_put(out, uart->marks, FIFO_SIZE);
    buffer_put_u64(out, uart->timeout.deadline);
}

static bool registers_valid(const struct uart *uart)
{
    if ((uart->ier & ~0x0f) || (uart->fcr & ~FCR_KEPT) || (uart->mcr & ~0x1f))
        return false;
    if ((uart->errors & ~LSR_ERRORS) || (uart->modem_inputs & 0x0f) || (uart->deltas & ~0x0f))
        return false;
    for (unsigned i = 0; i < FIFO_SIZE; i++) {
        if ((uart->marks[i] & ~CHARACTER_ERRORS) ||
            (i >= uart->count && (uart->fifo[i] || uart->marks[i])))
            return false;
    }
    return uart->count <= (has_fifo(uart) ? FIFO_SIZE : 1);
}

static void uart_restore(void *device, struct reader *in)
{
    struct uart *uart = device;
    struct uart next = *uart;
    next.ier = reader_get_u8(in);
    next.fcr = reader_get_u8(in);
    next.lcr = reader_get_u8(in);
    next.mcr = reader_get_u8(in);
    next.scr = reader_get_u8(in);
    next.errors = reader_get_u8(in);
    next.modem_inputs = reader_get_u8(in);
    next.deltas = reader_get_u8(in);
    next.divisor = reader_get_u16(in);
    uint8_t flags = reader_get_u8(in);
    next.thre_pending = flags & 1;
    next.timeout_pending = flags & 2;
    next.last = reader_get_u8(in);
    next.count = reader_get_u8(in);
    reader_get(in, next.fifo, FIFO_SIZE);
    reader_get(in, next.marks, FIFO_SIZE);
    uint64_t deadline = reader_get_u64(in);
    if (flags > 3 || !registers_valid(&next))
        in->failed = true;
    if (in->failed)
        return;
    timer_cancel(uart->config.clock, &uart->timeout);
    next.timeout = uart->timeout;
    *uart = next;
    timer_arm(uart->config.clock, &uart->timeout, deadline);
    report_line(uart);
}

static void uart_describe(const void *device, struct buffer *out)
{
    const struct uart *uart = device;
    buffer_printf(out, "ier %#04x\niir %#04x\nfcr %#04x\nlcr %#04x\nmcr %#04x\nlsr %#04x\n",
        uart->ier, identify(uart) | (has_fifo(uart) ? 0xc0 : 0), uart->fcr, uart->lcr, uart->mcr,
        peek_lsr(uart));
    buffer_printf(out, "msr %#04x\nscr %#04x\ndivisor %u\nreceived %u\n",
        modem_status(uart) | uart->deltas, uart->scr, uart->divisor, uart->count);
}

struct uart *uart_create(const struct uart_config *config, struct error *error)
{
    struct uart *uart = calloc(1, sizeof *uart);
    if (!uart) {
        error_set(error, "%s: out of memory", config->name);
        return NULL;
    }
    uart->config = *config;
    uart->divisor = POWER_ON_DIVISOR;
    uart->modem_inputs = MSR_CTS | MSR_DSR | MSR_DCD;
    timer_init(config->clock, &uart->timeout, uart_timeout, uart);
    uart_get_line(uart, &uart->reported);
    uart_reset(uart);
    return uart;
}

void uart_destroy(struct uart *uart)
{
    if (uart)
        timer_cancel(uart->config.clock, &uart->timeout);
    free(uart);
}

int uart_attach(struct uart *uart, struct bus *ports, uint16_t base, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){base, UART_PORTS, uart->config.name, uart, uart_read, uart_write},
        error);
}

static void uart_free(void *device)
{
    uart_destroy(device);
}

struct device uart_device(struct uart *uart)
{
    static const struct device_ops ops = {
        .destroy = uart_free,
        .reset = uart_reset,
        .save = uart_save,
        .restore = uart_restore,
        .describe = uart_describe,
    };
    return (struct device){.name = uart->config.name, .ops = &ops, .object = uart};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct uart_config config = {
        .name = "uart0",
        .clock = wiring->clock,
        .irq = wiring->isa[UART_IRQ],
        .output = wiring->console,
        .line_changed = wiring->line_changed,
        .target = wiring->line_target,
    };
    struct uart *uart = uart_create(&config, error);
    if (!uart)
        return -1;
    *device = uart_device(uart);
    return device_attached(device, uart_attach(uart, wiring->ports, UART_PORT, error));
}

const struct device_class uart_class = {.create = create};
