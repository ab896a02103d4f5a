/* Runs cases on the host's CPU, in a child process. */
#include "tests/differential/native.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Everything parent and child share; code and memory are also mapped at their test addresses. */
struct shared {
    uint8_t code[CODE_SIZE];
    uint8_t memory[MEMORY_SIZE];
    uint8_t initial[MEMORY_SIZE];
    _Atomic uint32_t submitted; /* batches asked for */
    _Atomic uint32_t finished;  /* ... and done */
    uint32_t first, count;      /* the cases to run */
    _Atomic uint32_t current;
    struct test_case cases[BATCH];
    struct outcome outcomes[BATCH];
};

struct native {
    struct shared *shared;
    int file;
    pid_t child;
    struct native_limits limits;
};

/* ---- The child ------------------------------------------------------------------------------- */

/*
 * From here to native_child() nothing may use thread-local storage (FS belongs to the cases) nor
 * the C library.
 */
static struct shared *child_shared;
static bool child_running; /* a case, rather than the start */
/* NT and ID are taken from the flags at the return from the handler, not from its frame. */
uint64_t native_sticky_flags __attribute__((visibility("hidden")));

static long raw_syscall(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static void copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void fill(void *to, uint8_t byte, size_t size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
}

static const int register_index[GPR_COUNT] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
    REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static unsigned code_bytes(const struct test_case *test)
{
    unsigned size = test->code_size + 1u, space = (unsigned)(CODE_SIZE - test->code_offset);
    return size < space ? size : space;
}

static void collect(struct shared *shared, const ucontext_t *context)
{
    uint32_t current = atomic_load_explicit(&shared->current, memory_order_relaxed);
    const struct test_case *test = &shared->cases[current];
    struct outcome *outcome = &shared->outcomes[current];
    const greg_t *registers = context->uc_mcontext.gregs;
    for (int i = 0; i < GPR_COUNT; i++)
        outcome->gpr[i] = (uint64_t)registers[register_index[i]];
    outcome->rip = (uint64_t)registers[REG_RIP];
    outcome->rflags = (uint64_t)registers[REG_EFL];
    outcome->cs = (uint16_t)registers[REG_CSGSFS];
    outcome->vector = (uint16_t)registers[REG_TRAPNO];
    outcome->error = (uint32_t)registers[REG_ERR];
    outcome->cr2 = outcome->vector == 14 ? (uint64_t)registers[REG_CR2] : 0;
    if (outcome->vector == 1 && !test->block)
        outcome->vector = COMPLETED;
    copy(&outcome->fpu, context->uc_mcontext.fpregs, sizeof outcome->fpu);
    outcome_fpu(&outcome->fpu);
    outcome_memory(outcome, shared->memory, shared->initial);
    fill(shared->code + test->code_offset, FILLER, code_bytes(test));
}

static void enter(struct shared *shared, ucontext_t *context)
{
    const struct test_case *test =
        &shared->cases[atomic_load_explicit(&shared->current, memory_order_relaxed)];
    copy(shared->code + test->code_offset, test->code, code_bytes(test));
    greg_t *registers = context->uc_mcontext.gregs;
    for (int i = 0; i < GPR_COUNT; i++)
        registers[register_index[i]] = (greg_t)test->gpr[i];
    registers[REG_RIP] = (greg_t)test->rip;
    registers[REG_EFL] = (greg_t)(test->rflags | (test->block ? 0 : FLAG_TF));
    registers[REG_CSGSFS] = (greg_t)((test->compatibility ? SELECTOR_CODE32 : SELECTOR_CODE64) |
                                     (uint64_t)SELECTOR_DATA << 48);
    native_sticky_flags = FLAG_ONE | FLAG_IF | (test->rflags & (FLAG_NT | FLAG_ID));
    copy(context->uc_mcontext.fpregs, &test->fpu, sizeof test->fpu);
}

static void next_batch(struct shared *shared)
{
    uint32_t done = atomic_load(&shared->finished);
    for (int spin = 0; spin < 2000 && atomic_load(&shared->submitted) == done; spin++)
        __builtin_ia32_pause();
    while (atomic_load(&shared->submitted) == done)
        raw_syscall(SYS_futex, (long)&shared->submitted, FUTEX_WAIT, (long)done, 0);
    copy(shared->memory, shared->initial, MEMORY_SIZE);
    atomic_store(&shared->current, shared->first);
}

void native_handler(int signal, siginfo_t *info, void *context)
    __attribute__((visibility("hidden"), used));
void native_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    struct shared *shared = child_shared;
    if (child_running) {
        collect(shared, context);
        uint32_t next = atomic_load(&shared->current) + 1;
        atomic_store(&shared->current, next);
        if (next == shared->count) {
            atomic_fetch_add(&shared->finished, 1);
            raw_syscall(SYS_futex, (long)&shared->finished, FUTEX_WAKE, 1, 0);
            next_batch(shared);
        }
    } else {
        child_running = true;
        next_batch(shared);
    }
    enter(shared, context);
}

void native_entry(void) __attribute__((visibility("hidden")));
void native_restorer(void) __attribute__((visibility("hidden")));
/* AC and NT are the case's; the handler runs without. */
__asm__(".text\n"
        "native_entry:\n"
        "    pushfq\n"
        "    andl $0xfffbbfff, (%rsp)\n"
        "    popfq\n"
        "    jmp native_handler\n"
        "native_restorer:\n"
        "    pushq native_sticky_flags(%rip)\n"
        "    popfq\n"
        "    movl $15, %eax\n"
        "    syscall\n");

struct kernel_sigaction {
    void (*handler)(void);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

/* What else the process has at low addresses (a sanitizer's shadow) is not for cases to find. */
static void unmap_the_rest(void)
{
    static const uint64_t limit = 1ull << 46; /* the program and its libraries are above */
    uint64_t begin = DATA_BASE + DATA_SIZE + PAGE;
    if ((uintptr_t)&child_running > limit)
        raw_syscall(SYS_munmap, (long)begin, (long)(limit - begin), 0, 0);
}

static _Noreturn void native_child(struct native *native)
{
    static uint8_t stack[65536] __attribute__((aligned(64)));
    child_shared = native->shared;
    child_running = false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    static const struct {
        uint64_t address;
        size_t size, offset;
        int protection;
    } maps[] = {
        {CODE_BASE, CODE_SIZE, offsetof(struct shared, code), PROT_READ | PROT_EXEC},
        {DATA_BASE, DATA_SIZE, offsetof(struct shared, memory), PROT_READ | PROT_WRITE},
        {LOW_BASE, PAGE, offsetof(struct shared, memory) + LOW_OFFSET, PROT_READ | PROT_WRITE},
        {DATA_BASE + DATA_SIZE, PAGE, offsetof(struct shared, memory) + READ_ONLY_OFFSET,
            PROT_READ},
    };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        void *want = (void *)(uintptr_t)maps[i].address;
        if (mmap(want, maps[i].size, maps[i].protection,
                MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, native->file,
                (off_t)maps[i].offset) != want)
            _exit(2);
    }
    unmap_the_rest();
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct kernel_sigaction action = {.handler = native_entry,
        .flags = SA_SIGINFO | SA_ONSTACK | 0x04000000 /* SA_RESTORER */,
        .restorer = native_restorer,
        .mask = ~0ul};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        raw_syscall(SYS_rt_sigaction, signals[i], (long)&action, 0, 8);
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(SELECTOR_DATA));
    raw_syscall(SYS_arch_prctl, ARCH_SET_GS, (long)GS_BASE, 0, 0);
    raw_syscall(SYS_arch_prctl, ARCH_SET_FS, (long)FS_BASE, 0, 0);
    for (;;)
        __asm__ volatile("int3");
}

/* ---- The parent ------------------------------------------------------------------------------ */

static int start_child(struct native *native, struct error *error)
{
    memset(native->shared->code, FILLER, CODE_SIZE);
    native->child = fork();
    if (native->child < 0)
        return error_set_errno(error, "cannot start the native child");
    if (native->child == 0)
        native_child(native);
    return 0;
}

static void stop_child(struct native *native)
{
    if (native->child <= 0)
        return;
    kill(native->child, SIGKILL);
    waitpid(native->child, NULL, 0);
    native->child = 0;
}

void native_side_destroy(struct native *native)
{
    if (!native)
        return;
    stop_child(native);
    if (native->shared)
        munmap(native->shared, sizeof *native->shared);
    if (native->file >= 0)
        close(native->file);
    free(native);
}

struct test_case *native_cases(struct native *native)
{
    return native->shared->cases;
}

uint8_t *native_memory(struct native *native)
{
    return native->shared->initial;
}

const struct outcome *native_outcomes(struct native *native)
{
    return native->shared->outcomes;
}

static void submit(struct native *native, unsigned first, unsigned count)
{
    struct shared *shared = native->shared;
    shared->first = first;
    shared->count = count;
    atomic_fetch_add(&shared->submitted, 1);
    syscall(SYS_futex, &shared->submitted, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int native_submit(struct native *native, unsigned count, struct error *error)
{
    if (count == 0 || count > BATCH)
        return error_set(error, "a batch has 1 to %d cases", BATCH);
    submit(native, 0, count);
    return 0;
}

/* The case under way killed the child or never ended: note it, go on with the next. */
static int replace_child(struct native *native, struct error *error)
{
    struct shared *shared = native->shared;
    uint32_t current = atomic_load(&shared->current), count = shared->count;
    bool dead = waitpid(native->child, NULL, WNOHANG) == native->child;
    if (dead)
        native->child = 0;
    stop_child(native);
    shared->outcomes[current] = (struct outcome){.vector = dead ? FAILED : HUNG};
    atomic_store(&shared->finished, atomic_load(&shared->submitted));
    if (start_child(native, error))
        return -1;
    if (current + 1 < count)
        submit(native, current + 1, count);
    return 0;
}

int native_wait(struct native *native, struct error *error)
{
    struct shared *shared = native->shared;
    uint32_t seen = UINT32_MAX;
    unsigned idle = 0;
    for (;;) {
        uint32_t finished = atomic_load(&shared->finished);
        if (finished == atomic_load(&shared->submitted))
            return 0;
        struct timespec limit = {.tv_nsec = 100000000};
        long result = syscall(SYS_futex, &shared->finished, FUTEX_WAIT, finished, &limit, NULL, 0);
        if (result == 0 || errno != ETIMEDOUT)
            continue;
        uint32_t current = atomic_load(&shared->current);
        idle = current == seen ? idle + 1 : 0;
        seen = current;
        siginfo_t info = {0};
        bool dead = waitid(P_PID, (id_t)native->child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                    info.si_pid == native->child;
        if ((dead || idle >= 20) && replace_child(native, error))
            return -1;
    }
}

/* ---- Limits ---------------------------------------------------------------------------------- */

/* Runs a NOP as a case by itself. */
static const struct outcome *try_nop(
    struct native *native, bool compatibility, uint64_t flags, uint64_t stack, struct error *error)
{
    enum { NOP = 0x90 };
    struct test_case *test = native_cases(native);
    *test = (struct test_case){.rip = CODE_BASE,
        .rflags = FLAG_ONE | FLAG_IF | flags,
        .fpu = {.control = 0x37f, .mxcsr = 0x1f80},
        .code = {NOP},
        .code_size = 1,
        .compatibility = compatibility,
        .insn_count = 1};
    test->gpr[RSP] = stack;
    if (native_submit(native, 1, error) || native_wait(native, error))
        return NULL;
    return native_outcomes(native);
}

static int find_limits(struct native *native, struct error *error)
{
    const uint64_t wild = 1ull << 60;
    struct native_limits *limits = &native->limits;
    const struct outcome *outcome = try_nop(native, true, 0, DATA_BASE, error);
    if (!outcome)
        return -1;
    limits->no_compatibility = outcome->vector != COMPLETED;
    outcome = try_nop(native, false, FLAG_NT, DATA_BASE, error);
    if (!outcome)
        return -1;
    limits->no_nested_task = outcome->vector != COMPLETED || !(outcome->rflags & FLAG_NT);
    outcome = try_nop(native, false, 0, wild, error);
    if (!outcome)
        return -1;
    limits->no_wild_stack = outcome->vector != COMPLETED;
    return 0;
}

const struct native_limits *native_limits(const struct native *native)
{
    return &native->limits;
}

void native_print_limits(const struct native *native, FILE *out)
{
    const struct native_limits *limits = &native->limits;
    if (limits->no_compatibility)
        fprintf(out, "this host's kernel runs no 32-bit code: left out\n");
    if (limits->no_nested_task)
        fprintf(out, "this host's kernel loses NT: cases begin without it, those that set it are "
                     "left out\n");
    if (limits->no_wild_stack)
        fprintf(
            out, "this host's kernel returns to no RSP that is not canonical: cases have none\n");
}

struct native *native_side_create(struct error *error)
{
    struct native *native = calloc(1, sizeof *native);
    if (!native) {
        error_set(error, "no memory for the native side");
        return NULL;
    }
    size_t size = (sizeof(struct shared) + PAGE - 1) & ~(size_t)(PAGE - 1);
    native->file = memfd_create("cpu_differential", MFD_CLOEXEC);
    if (native->file < 0 || ftruncate(native->file, (off_t)size)) {
        error_set_errno(error, "cannot create the shared memory of the native side");
        goto fail;
    }
    native->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, native->file, 0);
    if (native->shared == MAP_FAILED) {
        error_set_errno(error, "cannot map the shared memory of the native side");
        native->shared = NULL;
        goto fail;
    }
    if (start_child(native, error) || find_limits(native, error))
        goto fail;
    return native;
fail:
    native_side_destroy(native);
    return NULL;
}
