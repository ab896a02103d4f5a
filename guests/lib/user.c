/* Runs a function in ring 3. */
#include "lib/user.h"

#include "lib/exit.h"
#include "lib/interrupts.h"

uint64_t user_enter(uint64_t (*entry)(void *), void *argument, void *stack_top);
void user_leave(uint64_t result) __attribute__((noreturn));
extern const char user_done[];

static uint8_t user_stack[32768] __attribute__((aligned(16)));

static void handle_ud(struct interrupt_frame *frame)
{
    if ((frame->cs & 3) == 3 && frame->rip == (uintptr_t)user_done)
        user_leave(frame->rax);
    guest_panic(2, "invalid opcode at rip %lx cs %lx", frame->rip, frame->cs);
}

/* As kernels have it for their programs: SSE, and x87 errors as exceptions. On KVM that runs ring 3
 * as the host's own, ring 3 has both anyway, so a guest without them stays on the software CPU
 * there. */
static void allow_floating_point(void)
{
    enum { CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_NE = 1 << 5, CR4_SSE = 0x600 };
    uint64_t cr0, cr4;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~(uint64_t)CR0_EM) | CR0_MP | CR0_NE));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_SSE));
}

uint64_t user_run(uint64_t (*function)(void *argument), void *argument)
{
    allow_floating_point();
    interrupts_handle(VECTOR_UD, handle_ud);
    return user_enter(function, argument, user_stack + sizeof user_stack);
}
