/*
 * What the device tests stand on: a port bus, a clock whose time the test sets, and an interrupt
 * line that remembers its level and its rises.
 */
#ifndef TESTS_UNIT_DEVICES_BOARD_H
#define TESTS_UNIT_DEVICES_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "devices/device.h"

struct wire {
    bool level;
    unsigned rises;
    uint64_t last_rise; /* virtual ns */
    struct clock *clock;
};

struct board {
    struct bus ports;
    struct clock clock;
    uint64_t time;
    unsigned samples;
    struct wire irq;
    struct error error;
};

static inline uint64_t board_sample(void *source)
{
    struct board *board = source;
    board->samples++;
    return board->time;
}

static inline void wire_set(void *controller, unsigned input, bool level)
{
    (void)input;
    struct wire *wire = controller;
    if (level && !wire->level) {
        wire->rises++;
        wire->last_rise = wire->clock->now;
    }
    wire->level = level;
}

static inline void board_init(struct board *board)
{
    *board = (struct board){0};
    bus_init(&board->ports, 65536);
    clock_init(&board->clock, board_sample, board);
    board->irq.clock = &board->clock;
}

static inline struct irq_line board_irq(struct board *board)
{
    return (struct irq_line){.set = wire_set, .controller = &board->irq};
}

static inline void advance_to(struct board *board, uint64_t time)
{
    board->time = time;
    clock_advance(&board->clock, time);
}

static inline uint8_t in8(struct board *board, uint16_t port)
{
    return (uint8_t)bus_read(&board->ports, port, 1);
}

static inline void out8(struct board *board, uint16_t port, uint8_t value)
{
    bus_write(&board->ports, port, 1, value);
}

#endif
