/* The IDT, interrupt handlers and the interrupt flag. */
#ifndef GUEST_INTERRUPTS_H
#define GUEST_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

enum { VECTOR_COUNT = 256, VECTOR_UD = 6, VECTOR_IRQ0 = 32 };

/* As vectors.S and the CPU push it, lowest address first. */
struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error; /* 0 for vectors without an error code */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Runs with interrupts off. A PIC interrupt's handler calls pic_end. */
typedef void (*interrupt_handler)(struct interrupt_frame *frame);

void interrupts_init(void);
/* Loads the same IDT on another processor. */
void interrupts_load(void);
/* A vector without a handler panics (debug-exit value 2). */
void interrupts_handle(unsigned vector, interrupt_handler handler);

static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/*
 * Waits for an interrupt and returns with interrupts off. Call with interrupts off after checking
 * that there is nothing to do: STI takes effect after HLT has begun, so no wakeup is lost.
 */
static inline void interrupts_wait(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Called by vectors.S. */
void interrupt_dispatch(struct interrupt_frame *frame);

#endif
