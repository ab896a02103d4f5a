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

/* As kernels have it for their programs: SSE, x87 errors as exceptions, pages read-only for ring 0,
 * too. A guest that has not stays on the software CPU where ring 3 has these anyway or the monitor
 * needs them. */
static void prepare_ring3(void)
{
    enum { CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_NE = 1 << 5, CR0_WP = 1 << 16, CR4_SSE = 0x600 };
    uint64_t cr0, cr4;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr0 = (cr0 & ~(uint64_t)CR0_EM) | CR0_MP | CR0_NE | CR0_WP;
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_SSE));
}

uint64_t user_run(uint64_t (*function)(void *argument), void *argument)
{
    prepare_ring3();
    interrupts_handle(VECTOR_UD, handle_ud);
    return user_enter(function, argument, user_stack + sizeof user_stack);
}
