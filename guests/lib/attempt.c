/* Calls code that may raise an exception. */
#include "lib/attempt.h"

#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/segments.h"

enum { FAULTS = 32, FLAGS_KERNEL = 2 };

uint64_t user_enter(uint64_t (*entry)(void *), void *argument, void *stack_top); /* user.S */
void user_leave(uint64_t result) __attribute__((noreturn));
extern const char user_done[];

static uint8_t user_stack[16384] __attribute__((aligned(16)));
static void *resume_buffer[5];
static uint64_t resume_stack;
static struct attempt caught;
static unsigned passed, failed;

static __attribute__((noreturn)) void resume(void)
{
    __builtin_longjmp(resume_buffer, 1);
}

static void catch_fault(struct interrupt_frame *frame)
{
    if ((frame->cs & 3) == 3 && frame->vector == VECTOR_UD && frame->rip == (uintptr_t)user_done)
        user_leave(frame->rax);
    caught = (struct attempt){.vector = frame->vector,
        .error = frame->error,
        .rip = frame->rip,
        .cs = frame->cs,
        .rflags = frame->rflags,
        .rsp = frame->rsp,
        .ss = frame->ss,
        .frame = (uintptr_t)&frame->rip};
    __asm__ volatile("mov %%cr2, %0" : "=r"(caught.cr2));
    frame->rip = (uintptr_t)resume;
    frame->cs = SELECTOR_KERNEL_CODE;
    frame->ss = SELECTOR_KERNEL_DATA;
    frame->rsp = resume_stack;
    frame->rflags = FLAGS_KERNEL;
}

static void catch_all(void)
{
    for (unsigned vector = 0; vector < FAULTS; vector++)
        interrupts_handle(vector, catch_fault);
    uint64_t stack;
    __asm__ volatile("mov %%rsp, %0" : "=r"(stack));
    resume_stack = (stack - 4096) & ~15ull; /* only until the longjmp has restored its own */
}

static __attribute__((noinline)) uint64_t call_kernel(uint64_t (*function)(void *), void *argument)
{
    return function(argument);
}

static __attribute__((noinline)) uint64_t call_user(uint64_t (*function)(void *), void *argument)
{
    return user_enter(function, argument, user_stack + sizeof user_stack);
}

static __attribute__((noinline)) struct attempt run(
    uint64_t (*call)(uint64_t (*)(void *), void *), uint64_t (*function)(void *), void *argument)
{
    catch_all();
    if (__builtin_setjmp(resume_buffer))
        return caught;
    uint64_t result = call(function, argument);
    return (struct attempt){.vector = NO_VECTOR, .result = result};
}

struct attempt attempt(uint64_t (*function)(void *argument), void *argument)
{
    return run(call_kernel, function, argument);
}

struct attempt attempt_user(uint64_t (*function)(void *argument), void *argument)
{
    return run(call_user, function, argument);
}

void check(const char *name, uint64_t actual, uint64_t expected)
{
    if (actual == expected) {
        passed++;
        console_printf("ok %s\n", name);
    } else {
        failed++;
        console_printf("FAILED %s: %lx instead of %lx\n", name, actual, expected);
    }
}

void check_fault(const char *name, const struct attempt *attempt, uint64_t vector, uint64_t error)
{
    if (attempt->vector == vector && attempt->vector != NO_VECTOR && attempt->error != error) {
        failed++;
        console_printf("FAILED %s: error code %lx instead of %lx\n", name, attempt->error, error);
        return;
    }
    check(name, attempt->vector, vector);
}

void check_end(void)
{
    console_printf("%u checks passed, %u failed\n", passed, failed);
    if (failed)
        guest_fail(1);
}
