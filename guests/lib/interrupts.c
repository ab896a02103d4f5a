/* The IDT and interrupt handlers. */
#include "lib/interrupts.h"

#include <stddef.h>

#include "lib/exit.h"
#include "lib/segments.h"

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

_Static_assert(sizeof(struct gate) == 16, "a long-mode gate is 16 bytes");

enum { STUB_SIZE = 16, GATE_INTERRUPT = 0x8e /* present, DPL 0, type 14 */ };

extern const char interrupt_stubs[]; /* vectors.S */

static struct gate idt[VECTOR_COUNT];
static interrupt_handler handlers[VECTOR_COUNT];

void interrupts_init(void)
{
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        uint64_t stub = (uintptr_t)interrupt_stubs + vector * STUB_SIZE;
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = SELECTOR_KERNEL_CODE,
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
    interrupts_load();
}

void interrupts_load(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof idt - 1, (uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void interrupts_handle(unsigned vector, interrupt_handler handler)
{
    handlers[vector] = handler;
}

void interrupt_dispatch(struct interrupt_frame *frame)
{
    interrupt_handler handler = handlers[frame->vector];
    if (!handler)
        guest_panic(2, "vector %lu error %lx at rip %lx cs %lx rflags %lx rsp %lx", frame->vector,
            frame->error, frame->rip, frame->cs, frame->rflags, frame->rsp);
    handler(frame);
}
