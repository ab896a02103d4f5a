/* The two 8259As as a PC has them: IRQ 0-15 at vectors VECTOR_IRQ0 and up. */
#ifndef GUEST_PIC_H
#define GUEST_PIC_H

#include <stdbool.h>

enum { PIC_MASTER = 0x20, PIC_SLAVE = 0xa0 };
enum { IRQ_PIT = 0, IRQ_KEYBOARD = 1, IRQ_CASCADE = 2, IRQ_COM1 = 4, IRQ_RTC = 8 };

void pic_init(void); /* all inputs masked */
void pic_unmask(unsigned irq);
void pic_mask(unsigned irq);
/* Ends the interrupt being serviced (non-specific EOI). */
void pic_end(unsigned irq);

#endif
