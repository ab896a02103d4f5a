/*
 * All devices on one bus, wired as in a PC, driven by a stream of bytes: what the state test and
 * the fuzzer run. Two machines given the same bytes must behave the same.
 */
#ifndef TESTS_UNIT_DEVICES_PC_H
#define TESTS_UNIT_DEVICES_PC_H

#include <stdlib.h>

#include "devices/debug_console.h"
#include "devices/debug_exit.h"
#include "devices/i8042.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/post.h"
#include "devices/rtc.h"
#include "devices/uart.h"

enum { PC_DEVICES = 9 };

struct pc {
    struct bus ports;
    struct clock clock;
    uint64_t time;
    struct pic *pic;
    struct pit *pit;
    struct rtc *rtc;
    struct uart *uart;
    struct i8042 *i8042;
    struct port92 *port92;
    struct post *post;
    struct debug_exit *debug_exit;
    struct debug_console *debug_console;
    struct device devices[PC_DEVICES];
};

static inline uint64_t pc_sample(void *source)
{
    struct pc *pc = source;
    return pc->time;
}

/* False when memory is short or something does not fit. */
static inline bool pc_open(struct pc *pc)
{
    *pc = (struct pc){0};
    bus_init(&pc->ports, 65536);
    clock_init(&pc->clock, pc_sample, pc);
    pc->pic = pic_create(&(struct pic_config){0}, NULL);
    if (!pc->pic)
        return false;
    struct clock *clock = &pc->clock;
    pc->pit = pit_create(&(struct pit_config){clock, pic_line(pc->pic, 0)}, NULL);
    pc->rtc = rtc_create(
        &(struct rtc_config){clock, pic_line(pc->pic, 8), 1700000000, 1ull << 31, 1ull << 32},
        NULL);
    pc->uart = uart_create(
        &(struct uart_config){.name = "uart0", .clock = clock, .irq = pic_line(pc->pic, 4)}, NULL);
    pc->i8042 = i8042_create(&(struct i8042_config){.irq = pic_line(pc->pic, 1)}, NULL);
    pc->port92 = port92_create(&(struct port92_config){0}, NULL);
    pc->post = post_create(NULL);
    pc->debug_exit = debug_exit_create(&(struct debug_exit_config){0}, NULL);
    pc->debug_console = debug_console_create(&(struct byte_sink){0}, NULL);
    if (!pc->pit || !pc->rtc || !pc->uart || !pc->i8042 || !pc->port92 || !pc->post ||
        !pc->debug_exit || !pc->debug_console)
        return false;
    const struct device devices[] = {pic_device(pc->pic), pit_device(pc->pit), rtc_device(pc->rtc),
        uart_device(pc->uart), i8042_device(pc->i8042), port92_device(pc->port92),
        post_device(pc->post), debug_exit_device(pc->debug_exit),
        debug_console_device(pc->debug_console)};
    for (unsigned i = 0; i < PC_DEVICES; i++)
        pc->devices[i] = devices[i];
    return !pic_attach(pc->pic, &pc->ports, NULL) && !pit_attach(pc->pit, &pc->ports, NULL) &&
           !rtc_attach(pc->rtc, &pc->ports, NULL) &&
           !uart_attach(pc->uart, &pc->ports, 0x3f8, NULL) &&
           !i8042_attach(pc->i8042, &pc->ports, NULL) &&
           !port92_attach(pc->port92, &pc->ports, NULL) &&
           !post_attach(pc->post, &pc->ports, NULL) &&
           !debug_exit_attach(pc->debug_exit, &pc->ports, DEBUG_EXIT_PORT, 4, NULL) &&
           !debug_console_attach(pc->debug_console, &pc->ports, NULL);
}

static inline void pc_close(struct pc *pc)
{
    debug_console_destroy(pc->debug_console);
    debug_exit_destroy(pc->debug_exit);
    post_destroy(pc->post);
    port92_destroy(pc->port92);
    i8042_destroy(pc->i8042);
    uart_destroy(pc->uart);
    rtc_destroy(pc->rtc);
    pit_destroy(pc->pit);
    pic_destroy(pc->pic);
}

static inline void pc_save(const struct pc *pc, struct buffer *out)
{
    buffer_put_u64(out, pc->time);
    buffer_put_u64(out, pc->clock.now);
    for (unsigned i = 0; i < PC_DEVICES; i++)
        pc->devices[i].ops->save(pc->devices[i].object, out);
}

/* As a machine does it: the clock first, then the devices. */
static inline void pc_restore(struct pc *pc, struct reader *in)
{
    uint64_t time = reader_get_u64(in), now = reader_get_u64(in);
    if (in->failed)
        return;
    pc->time = time;
    pc->clock.now = now;
    for (unsigned i = 0; i < PC_DEVICES; i++)
        pc->devices[i].ops->restore(pc->devices[i].object, in);
}

static inline uint8_t pc_byte(struct reader *in)
{
    return reader_left(in) ? reader_get_u8(in) : 0;
}

/* Moves time by up to 2^(6 * scale) ns without passing the end of time. */
static inline void pc_move_time(struct pc *pc, struct reader *in, bool fire)
{
    unsigned scale = pc_byte(in) % 10;
    uint64_t step = ((uint64_t)pc_byte(in) << 8 | pc_byte(in)) << (6 * scale) >> 16;
    pc->time = step > TIMER_IDLE - pc->time ? TIMER_IDLE : pc->time + step;
    if (pc->time < pc->clock.now)
        pc->time = pc->clock.now;
    if (fire)
        clock_advance(&pc->clock, pc->time);
}

/* One step of what `in` says; returns what the guest sees of it. */
static inline uint64_t pc_step(struct pc *pc, struct reader *in)
{
    static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x40, 0x41, 0x42,
        0x42, 0x43, 0x43, 0x43, 0x61, 0x61, 0x70, 0x70, 0x71, 0x71, 0x3f8, 0x3f8, 0x3f9, 0x3fa,
        0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x60, 0x60, 0x64, 0x92, 0x80, 0xf4, 0xe9, 0x3f, 0x1ff};
    enum { PORTS = sizeof ports / sizeof ports[0] };
    uint8_t action = pc_byte(in);
    unsigned size = action & 0x80 ? 1u << (action >> 5 & 3) : 1;
    size = size > 4 ? 4 : size;
    switch (action & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        return bus_read(&pc->ports, ports[pc_byte(in) % PORTS], size);
    case 5:
    case 6:
    case 7:
    case 8:
    case 9: {
        uint16_t port = ports[pc_byte(in) % PORTS];
        uint64_t value = (uint64_t)pc_byte(in) * 0x01010101u ^ (uint64_t)action << 8;
        bus_write(&pc->ports, port, size, value);
        return 0;
    }
    case 10:
        pc_move_time(pc, in, true);
        return pic_output(pc->pic);
    case 11:
        pc_move_time(pc, in, false);
        return 0;
    case 12: {
        uint8_t bytes[20] = {0};
        unsigned count = pc_byte(in) % sizeof bytes;
        for (unsigned i = 0; i < count; i++)
            bytes[i] = pc_byte(in);
        uart_receive(pc->uart, bytes, count);
        uart_receive_error(pc->uart, bytes[0], bytes[1]);
        return uart_receive_room(pc->uart);
    }
    case 13: {
        uint8_t lines = pc_byte(in);
        uart_set_modem_lines(pc->uart, lines & 1, lines & 2, lines & 4, lines & 8);
        return pic_output(pc->pic);
    }
    case 14: {
        uint16_t key = (uint16_t)((action & 0x10 ? I8042_EXTENDED : 0) | pc_byte(in));
        i8042_key(pc->i8042, action & 0x40 ? I8042_PAUSE : key, action & 0x20);
        return pic_output(pc->pic);
    }
    default:
        return pic_acknowledge(pc->pic) | (uint64_t)pic_output(pc->pic) << 8;
    }
}

#endif
