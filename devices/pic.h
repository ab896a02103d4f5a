/*
 * Two 8259A interrupt controllers in cascade, as in a PC (Intel 8259A data sheet, order 231468):
 * the master at ports 0x20-0x21 drives the processor's INTR; the slave at 0xa0-0xa1 drives the
 * master's input 2. Edge/level control registers at 0x4d0-0x4d1 (Intel 82371SB, "ELCR").
 *
 * Implemented: ICW1-4, OCW1-3, fully nested and special fully nested mode, specific and
 * non-specific EOI, automatic EOI, rotation, special mask, poll, IRR/ISR/IMR reads, edge and level
 * triggering by LTIM or by ELCR.
 *
 * - In edge mode a request stands until it is acknowledged, however short the pulse was, as PC
 *   chipsets and the other virtual machines have it; the data sheet wants the input to stay high.
 *   In level mode it stands as long as the input. A request that has gone is acknowledged as IR7 of
 *   the chip concerned, without an in-service bit ("spurious interrupt").
 * - The slave's INT output is a plain level into the master: it falls in every acknowledge cycle of
 *   the hardware, so edge and level sensing of input 2 come to the same.
 * - A slave answers an acknowledge only if ICW3 of both chips agree that it is on input 2;
 *   otherwise the vector is read from an undriven bus: 0xff.
 * - Before ICW1-4 are complete a chip requests nothing.
 * - The MCS-80/85 mode (ICW4 bit 0 clear) is stored, but an acknowledge always gives an 8086
 * vector.
 */
#ifndef DEVICES_PIC_H
#define DEVICES_PIC_H

#include "devices/device.h"

struct pic;

enum { PIC_INPUTS = 16, PIC_MASTER_PORT = 0x20, PIC_SLAVE_PORT = 0xa0, PIC_ELCR_PORT = 0x4d0 };

struct pic_config {
    /* Called when the level to the processor changes, also by reset and restore. May be NULL. */
    void (*output_changed)(void *machine, bool level);
    void *machine;
};

struct pic *pic_create(const struct pic_config *config, struct error *error);
void pic_destroy(struct pic *pic); /* NULL is fine */
int pic_attach(struct pic *pic, struct bus *ports, struct error *error);
struct device pic_device(struct pic *pic);

/* The level of input 0 to 15; has the type of irq_line.set. Input 2 is the cascade: ignored. */
void pic_set_line(void *pic, unsigned input, bool level);
struct irq_line pic_line(struct pic *pic, unsigned input);
/* The level of the INTR wire to the processor. */
bool pic_output(const struct pic *pic);
/* The processor's interrupt acknowledge cycle: returns the vector and updates IRR and ISR. */
uint8_t pic_acknowledge(struct pic *pic);
extern const struct device_class pic_class;

#endif
