/*
 * SSE instructions under unmasked exceptions.
 *
 * First the instruction runs on a copy with everything masked: when it raises nothing that is
 * unmasked, that result is the result. Otherwise, and whenever underflow is unmasked (tiny exact
 * results raise it only then), it runs with the guest's masks and the host CPU itself decides: it
 * either completes or traps as SIGFPE, and then the signal frame has the MXCSR that the guest would
 * see. The signal handler is installed only around that one instruction, under a lock; a SIGFPE
 * from elsewhere goes to the handler that was there before.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "vmm/cpu/simd.h"

enum { MXCSR_FLAGS = 0x3f, MXCSR_MASKS = 0x1f80, MXCSR_UE = 0x10, MXCSR_MASK_SHIFT = 7 };
enum { LONGEST_THUNK = 32 };

struct guard {
    uintptr_t code;    /* the thunk that may trap */
    uintptr_t recover; /* where to go on when it did */
    uint32_t host_mxcsr;
    uint32_t mxcsr; /* at the trap */
    bool trapped;
};

static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous; /* under handler_lock */
static _Thread_local struct guard *volatile active;

static void on_sigfpe(int signal, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    struct guard *guard = active;
    uintptr_t rip = (uintptr_t)user->uc_mcontext.gregs[REG_RIP];
    if (guard && rip >= guard->code && rip < guard->code + LONGEST_THUNK) {
        guard->trapped = true;
        guard->mxcsr = user->uc_mcontext.fpregs->mxcsr;
        user->uc_mcontext.fpregs->mxcsr = guard->host_mxcsr;
        user->uc_mcontext.gregs[REG_RIP] = (greg_t)guard->recover;
        return;
    }
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signal, info, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(signal);
    else
        sigaction(SIGFPE, &previous, NULL); /* the fault recurs and ends the process */
}

/* Only the host CPU knows: true when the thunk completed, false when it trapped. */
static bool run_guarded(struct cpu *cpu, const uint8_t *code, void *destination, const void *source,
    uint32_t *mxcsr, struct simd_result *result)
{
    struct guard guard = {
        .code = (uintptr_t)code,
        .recover = (uintptr_t)cpu->simd->recover,
        .host_mxcsr = cpu->simd->host_mxcsr,
    };
    struct sigaction action = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigset_t fpe, old_mask;
    sigemptyset(&action.sa_mask);
    sigemptyset(&fpe);
    sigaddset(&fpe, SIGFPE);

    pthread_mutex_lock(&handler_lock);
    sigaction(SIGFPE, &action, &previous);
    pthread_sigmask(SIG_UNBLOCK, &fpe, &old_mask);
    active = &guard;
    atomic_signal_fence(memory_order_seq_cst);
    host_load_mxcsr(*mxcsr);
    *result = simd_at(code)(destination, source, NULL, NULL);
    uint32_t after = host_store_mxcsr();
    host_load_mxcsr(cpu->simd->host_mxcsr);
    atomic_signal_fence(memory_order_seq_cst);
    active = NULL;
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    sigaction(SIGFPE, &previous, NULL);
    pthread_mutex_unlock(&handler_lock);

    bool trapped = *(volatile bool *)&guard.trapped;
    *mxcsr = trapped ? *(volatile uint32_t *)&guard.mxcsr : after;
    return !trapped;
}

struct simd_result simd_run_unmasked(
    struct cpu *cpu, const uint8_t *code, void *destination, const void *source)
{
    uint32_t guest = cpu->s.fpu.mxcsr;
    uint32_t unmasked = ~(guest >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS;
    uint8_t copy[16] __attribute__((aligned(16))) = {0};
    struct simd_result result;

    if (!(unmasked & MXCSR_UE)) {
        if (destination)
            memcpy(copy, destination, 16);
        host_load_mxcsr((guest | MXCSR_MASKS) & ~(uint32_t)MXCSR_FLAGS);
        result = simd_at(code)(copy, source, NULL, NULL);
        uint32_t raised = host_store_mxcsr() & MXCSR_FLAGS;
        host_load_mxcsr(cpu->simd->host_mxcsr);
        if (!(raised & unmasked)) {
            if (destination)
                memcpy(destination, copy, 16);
            cpu->s.fpu.mxcsr = guest | raised;
            return result;
        }
    }
    bool completed = run_guarded(cpu, code, destination, source, &guest, &result);
    cpu->s.fpu.mxcsr = guest;
    if (!completed)
        cpu_raise(cpu, cpu->s.cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD);
    return result;
}
