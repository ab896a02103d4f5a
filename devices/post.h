/*
 * The POST code latch at port 0x80: firmware and kernels write progress codes there, and "outb to
 * 0x80" is the customary short delay. The port is one byte wide and reads back the last value
 * written (on the PC it is a spare DMA page register). Reset clears it.
 */
#ifndef DEVICES_POST_H
#define DEVICES_POST_H

#include "devices/device.h"

struct post;

enum { POST_PORT = 0x80 };

struct post *post_create(struct error *error);
void post_destroy(struct post *post); /* NULL is fine */
int post_attach(struct post *post, struct bus *ports, struct error *error);
struct device post_device(struct post *post);
uint8_t post_code(const struct post *post); /* the last code written */
extern const struct device_class post_class;

#endif
