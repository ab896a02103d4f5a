/*
 * i8042 keyboard controller with an AT keyboard (IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard and Auxiliary Device Controller" and "Keyboards") at ports 0x60 and 0x64.
 *
 * Controller: status, command byte, RAM, self-test, interface tests, input and output port, the
 * processor reset pulse, translation of scan code set 2 to set 1. After create and reset it is as
 * firmware leaves it: command byte 0x65 (IRQ 1 and translation on, auxiliary port off), A20 open.
 * There is no auxiliary device and none can be plugged: the interface test answers 0x02, a byte for
 * the device answers 0xfe with the time-out bit, and command 0xd3 answers on the keyboard's side.
 *
 * Keyboard: all commands of scan code sets 1 and 2; set 3 is refused (0xfe). Keys do not repeat by
 * themselves. Its buffer holds 16 bytes; what does not fit is lost and marked by an overrun code.
 *
 * Everything is immediate: the next byte is in the output buffer as soon as the last one is read,
 * with a low pulse on the interrupt line between the two. No time is sampled.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "devices/device.h"

struct i8042;

enum { I8042_DATA_PORT = 0x60, I8042_COMMAND_PORT = 0x64 };

/* A key is its make code in set 2, with 0xe000 added when the prefix 0xe0 comes before it. */
enum { I8042_EXTENDED = 0xe000, I8042_PAUSE = 0xe177, I8042_PRINT_SCREEN = 0xe07c };

struct i8042_config {
    struct irq_line irq;                   /* IRQ 1 */
    void (*reset_request)(void *machine);  /* the guest pulses the processor's reset; may be NULL */
    void (*a20)(void *machine, bool open); /* on a change of output port bit 1; may be NULL */
    void *machine;
};

struct i8042 *i8042_create(const struct i8042_config *config, struct error *error);
void i8042_destroy(struct i8042 *i8042); /* NULL is fine */
int i8042_attach(struct i8042 *i8042, struct bus *ports, struct error *error);
struct device i8042_device(struct i8042 *i8042);

/* A key goes down (make) or up. Dropped while the guest has scanning disabled. */
void i8042_key(struct i8042 *i8042, uint16_t key, bool make);
bool i8042_a20(const struct i8042 *i8042);
uint8_t i8042_leds(const struct i8042 *i8042); /* bit 0 scroll, 1 num, 2 caps lock */
extern const struct device_class i8042_class;

#endif
