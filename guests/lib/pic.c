/* The two 8259As. */
#include "lib/pic.h"

#include <stdint.h>

#include "lib/interrupts.h"
#include "lib/port.h"

void pic_init(void)
{
    port_out8(PIC_MASTER, 0x11); /* ICW1: edge triggered, cascaded, ICW4 follows */
    port_out8(PIC_MASTER + 1, VECTOR_IRQ0);
    port_out8(PIC_MASTER + 1, 1 << IRQ_CASCADE); /* ICW3: slave on input 2 */
    port_out8(PIC_MASTER + 1, 0x01);             /* ICW4: 8086 mode */
    port_out8(PIC_SLAVE, 0x11);
    port_out8(PIC_SLAVE + 1, VECTOR_IRQ0 + 8);
    port_out8(PIC_SLAVE + 1, IRQ_CASCADE); /* ICW3: slave identity */
    port_out8(PIC_SLAVE + 1, 0x01);
    port_out8(PIC_MASTER + 1, 0xff);
    port_out8(PIC_SLAVE + 1, 0xff);
}

static void change_mask(uint16_t port, uint8_t clear, uint8_t set)
{
    uint8_t mask = port_in8(port);
    port_out8(port, (uint8_t)((mask & ~clear) | set));
}

void pic_unmask(unsigned irq)
{
    if (irq >= 8) {
        change_mask(PIC_SLAVE + 1, (uint8_t)(1 << (irq - 8)), 0);
        irq = IRQ_CASCADE;
    }
    change_mask(PIC_MASTER + 1, (uint8_t)(1 << irq), 0);
}

void pic_mask(unsigned irq)
{
    if (irq >= 8)
        change_mask(PIC_SLAVE + 1, 0, (uint8_t)(1 << (irq - 8)));
    else
        change_mask(PIC_MASTER + 1, 0, (uint8_t)(1 << irq));
}

void pic_end(unsigned irq)
{
    if (irq >= 8)
        port_out8(PIC_SLAVE, 0x20);
    port_out8(PIC_MASTER, 0x20);
}
