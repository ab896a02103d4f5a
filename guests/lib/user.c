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

uint64_t user_run(uint64_t (*function)(void *argument), void *argument)
{
    interrupts_handle(VECTOR_UD, handle_ud);
    return user_enter(function, argument, user_stack + sizeof user_stack);
}
