/*
 * 16550A UART (National Semiconductor PC16550D data sheet; Texas Instruments TL16C550C agrees),
 * 1.8432 MHz clock, eight ports.
 *
 * Transmitter: a byte written to THR leaves through the sink at once and THR and the shift register
 * are empty again: LSR.THRE and LSR.TEMT always read as ones and nothing depends on the baud rate.
 * The bytes are cut to the word length of LCR.
 *
 * Receiver: uart_receive puts bytes into the FIFO (or RBR) as if they came from the wire; a back
 * end asks uart_receive_room first, because what does not fit is lost with LSR.OE, as in the
 * hardware. The character timeout is four characters of virtual time at the programmed rate after
 * the last arrival or read, counted from clock->now: no time is sampled for it.
 *
 * Interrupts: priority and identification as in the data sheet. On PCs the OUT2 bit of MCR gates
 * the interrupt line; as in Super I/O chips (SMSC FDC37C669) the bit does so in loopback mode too.
 *
 * Loopback connects transmitter to receiver and RTS, DTR, OUT1, OUT2 to CTS, DSR, RI, DCD; nothing
 * enters or leaves the machine and the modem outputs are inactive.
 */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include "devices/device.h"

struct uart;

/* The first serial port of a PC. */
enum { UART_PORT = 0x3f8, UART_IRQ = 4 };

enum { UART_PORTS = 8, UART_CLOCK_HZ = 1843200 };

/* LSR error bits, for uart_receive_error. */
enum {
    UART_LSR_OE = 1 << 1,
    UART_LSR_PE = 1 << 2,
    UART_LSR_FE = 1 << 3,
    UART_LSR_BI = 1 << 4,
};

enum uart_parity { UART_NONE, UART_ODD, UART_EVEN, UART_MARK, UART_SPACE };

/* What the far end of the cable sees: the outputs and the frame format. */
struct uart_line {
    uint16_t divisor;       /* rate = 115200 / divisor; 0 is not a rate */
    uint8_t data_bits;      /* 5 to 8 */
    uint8_t stop_half_bits; /* 2, 3 (1.5 bits) or 4 */
    enum uart_parity parity;
    bool sends_break, dtr, rts;
};

struct uart_config {
    const char *name; /* "uart0" */
    struct clock *clock;
    struct irq_line irq;
    struct byte_sink output;
    /* Called when anything in struct uart_line changes, also by reset and restore. May be NULL. */
    void (*line_changed)(void *target, const struct uart_line *line);
    void *target;
};

struct uart *uart_create(const struct uart_config *config, struct error *error);
void uart_destroy(struct uart *uart); /* cancels its timer; NULL is fine */
int uart_attach(struct uart *uart, struct bus *ports, uint16_t base, struct error *error);
struct device uart_device(struct uart *uart);

/* How many bytes uart_receive takes without loss: 0 in loopback mode, at most 16. */
unsigned uart_receive_room(const struct uart *uart);
/*
 * Somebody looks for bytes from the wire: the receive interrupt is enabled, or LSR was read again
 * with no use for what it said before but to see whether a byte has come (the transmitter is always
 * empty). What arrives earlier is often lost, for a driver clears the FIFO while it sets the port
 * up; a back end that can wait does. Not part of the state: a question for whoever is live.
 */
bool uart_listens(const struct uart *uart);
/* Bytes from the wire. In loopback mode the wire is disconnected and they are lost. */
void uart_receive(struct uart *uart, const uint8_t *bytes, size_t count);
/* How many bytes wait to be read; the next read of RBR takes the oldest. 0 while the divisor is
 * there in its place. */
unsigned uart_waiting(const struct uart *uart);
/* One byte with any of LSR's PE, FE and BI; a break is byte 0 with BI and FE. */
void uart_receive_error(struct uart *uart, uint8_t byte, uint8_t errors);
/* The modem inputs, true = active. After create CTS, DSR and DCD are active and RI is not. */
void uart_set_modem_lines(struct uart *uart, bool cts, bool dsr, bool ri, bool dcd);
void uart_get_line(const struct uart *uart, struct uart_line *line);
extern const struct device_class uart_class;

#endif
