/* The KVM engine: create, run, complete, kick. */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/arch/apic_msr.h"
#include "vmm/arch/msr.h"
#include "vmm/arch/repeat.h"

enum { KICK_SIGNAL_OFFSET = 3 }; /* SIGRTMIN + 3: the first ones belong to the C library */

static void ignore_kick(int signal)
{
    (void)signal;
}

static void kvm_destroy(struct engine *engine)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    if (kvm->run)
        munmap(kvm->run, kvm->run_size);
    if (kvm->vcpu >= 0)
        close(kvm->vcpu);
    if (kvm->vm >= 0)
        close(kvm->vm);
    if (kvm->kvm >= 0)
        close(kvm->kvm);
    free(kvm->dirty_bitmap[0]);
    free(kvm->dirty_bitmap[1]);
    free(kvm);
}

static int describe_internal_error(
    struct kvm_engine *kvm, struct vcpu_exit *exit, struct error *error)
{
    const struct kvm_run *run = kvm->run;
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        exit->kind = EXIT_UNEMULATED;
        return 0;
    }
    exit->kind = EXIT_ERROR;
    return error_set(error, "kvm: internal error %u (%s); the guest may run with --engine soft",
        run->internal.suberror,
        run->internal.suberror == KVM_INTERNAL_ERROR_SIMUL_EX      ? "simultaneous exceptions"
        : run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV ? "exit during event delivery"
                                                                   : "unexpected exit");
}

/* APIC_BASE is not written by KVM itself. 1: run on, 0: an exit. */
static int write_apic_base(struct kvm_engine *kvm, struct error *error)
{
    struct kvm_run *run = kvm->run;
    struct kvm_sregs sregs;
    if (ioctl(kvm->vcpu, KVM_GET_SREGS, &sregs) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's system registers");
    run->msr.error =
        !apic_base_allowed(sregs.apic_base, run->msr.data, kvm->engine.apic_extensions);
    if (run->msr.error)
        return 1;
    sregs.apic_base = run->msr.data;
    if (ioctl(kvm->vcpu, KVM_SET_SREGS, &sregs) < 0)
        return error_set_errno(error, "kvm: cannot set the vCPU's system registers");
    kvm->access_open = kvm->engine.msr_exits;
    return !kvm->access_open;
}

/* One that the local APIC has, which is not KVM's. 1: #GP, 0: an exit. */
static int serve_apic_msr(struct kvm_engine *kvm, struct error *error)
{
    struct kvm_run *run = kvm->run;
    struct kvm_sregs sregs;
    if (ioctl(kvm->vcpu, KVM_GET_SREGS, &sregs) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's system registers");
    kvm->access_open = run->exit_reason == KVM_EXIT_X86_RDMSR
                           ? apic_msr_readable(sregs.apic_base, run->msr.index)
                           : apic_msr_writable(sregs.apic_base, run->msr.index, run->msr.data);
    run->msr.error = !kvm->access_open;
    return !kvm->access_open;
}

/* An MSR that KVM does not answer: from the model's table, or #GP. */
static int serve_msr(struct kvm_engine *kvm, struct error *error)
{
    struct kvm_run *run = kvm->run;
    uint64_t value = 0;
    if (run->exit_reason == KVM_EXIT_X86_WRMSR && run->msr.index == MSR_APIC_BASE)
        return write_apic_base(kvm, error);
    if (kvm->engine.apic_extensions && apic_msr_is(run->msr.index))
        return serve_apic_msr(kvm, error);
    bool exists = run->exit_reason == KVM_EXIT_X86_RDMSR
                      ? msr_read(kvm->kept_msr, run->msr.index, &value)
                      : msr_write(kvm->kept_msr, run->msr.index, run->msr.data);
    if (run->exit_reason == KVM_EXIT_X86_RDMSR)
        run->msr.data = value;
    run->msr.error = !exists;
    return 1;
}

/* Moves RIP on by `length` and clears RF. */
static int clear_rf(struct kvm_engine *kvm, unsigned length, struct error *error)
{
    struct kvm_regs regs;
    if (ioctl(kvm->vcpu, KVM_GET_REGS, &regs) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's registers");
    regs.rip += length;
    regs.rflags &= ~FLAG_RF;
    if (ioctl(kvm->vcpu, KVM_SET_REGS, &regs) < 0)
        return error_set_errno(error, "kvm: cannot set the vCPU's registers");
    if (kvm->sync_regs)
        kvm->run->s.regs.regs = regs;
    return 0;
}

/*
 * RF is set after an IRET that took it from the stack, until the next instruction is complete, and
 * between the iterations of a repeated string instruction (SDM volume 3, 17.3.1.1). KVM's differs:
 *  - After the last iteration of one that it emulated it leaves RIP on it, with RCX 0 and RF set,
 *    and moves on at the next entry. The architecture has no such boundary: it is finished here.
 *  - Where it skips the exiting instruction without executing it, an RF from before may be left.
 * The instruction is complete: RF is clear, unless it has iterations left.
 *  - A fault that the host handles, as for a page not mapped yet, leaves RF set in the interrupted
 *    guest (SDM volume 3, "Saving RIP, RSP, RFLAGS, and SSP", for EPT violations; a host that runs
 *    the guest in its own ring 3 finds it so in the frame). On a kick it then cannot be told from
 *    one that IRET set: the software CPU executes the instruction, and the kick comes after it,
 *    where RF is certain. At a repeated string instruction it is cleared: whether an iteration is
 *    done cannot be told either, and clear is what AMD's processors have at both places.
 */
static int settle_rf(struct kvm_engine *kvm, struct vcpu_exit *exit, struct error *error)
{
    struct vcpu_state state;
    struct repeat repeat;
    if (kvm->sync_regs && !(kvm->run->s.regs.regs.rflags & FLAG_RF))
        return 0;
    if (kvm_state_export(kvm, &state, false, error) < 0)
        return -1;
    /* Setting registers would lose a pending exception, whose RF is that of the frame to come. */
    if (!(state.rflags & FLAG_RF) || state.exception_pending)
        return 0;
    if (kvm->on_other_tables)
        state.cr3 = kvm->guest_cr3;
    const enum exit_kind kind = exit->kind;
    bool inside = kind != EXIT_HLT && repeat_at_rip(kvm->memory, &state, &repeat);
    if (kvm->sync_regs && kind != EXIT_KICK && state.rip != kvm->exit_rip)
        inside = false;
    if (inside && !repeat.left)
        return clear_rf(kvm, repeat.length, error);
    if (inside == (kind == EXIT_KICK))
        return clear_rf(kvm, 0, error);
    if (kind == EXIT_KICK) {
        exit->kind = EXIT_UNEMULATED;
        atomic_store(&kvm->kicked, 1);
    }
    return 0;
}

/* KVM reports a HLT that was single-stepped with the trap pending, which the next entry delivers:
 * the guest does not wait. 1: so it is. */
static int trap_ends_halt(struct kvm_engine *kvm, struct error *error)
{
    struct vcpu_state state;
    if (kvm_state_export(kvm, &state, false, error) < 0)
        return -1;
    return state.exception_pending;
}

/* Translates the exit in kvm->run. 1: handled here, run on. */
static int decode_exit(struct kvm_engine *kvm, struct vcpu_exit *exit, struct error *error)
{
    struct kvm_run *run = kvm->run;
    int result;
    *exit = (struct vcpu_exit){0};
    kvm->exit_rip = run->s.regs.regs.rip;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        kvm->element = 0;
        kvm->access_open = true;
        return 0;
    case KVM_EXIT_MMIO:
        if (run->mmio.len == 0 || run->mmio.len > 8)
            return error_set(error, "kvm: MMIO exit of %u bytes", run->mmio.len);
        kvm->access_open = true;
        return 0;
    case KVM_EXIT_HLT:
        result = trap_ends_halt(kvm, error);
        if (result)
            return result;
        kvm->halted = true;
        exit->kind = EXIT_HLT;
        return settle_rf(kvm, exit, error);
    case KVM_EXIT_SET_TPR: /* CR8 was lowered: what it held back may be due */
        exit->kind = EXIT_KICK;
        return 0;
    case KVM_EXIT_SHUTDOWN:
        exit->kind = EXIT_SHUTDOWN;
        return 0;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        return serve_msr(kvm, error);
    case KVM_EXIT_INTERNAL_ERROR:
        return describe_internal_error(kvm, exit, error);
    case KVM_EXIT_FAIL_ENTRY:
        return error_set(error, "kvm: the host CPU refuses the guest state (reason %#llx)",
            (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_IRQ_WINDOW_OPEN: /* it was asked for: wants_window() */
        exit->kind = EXIT_KICK;
        return 0;
    case KVM_EXIT_INTR:
        return 1;
    default:
        return error_set(
            error, "kvm: exit reason %u is not one that this machine can cause", run->exit_reason);
    }
}

/* The access that the open exit stands at. */
static void report_access(struct kvm_engine *kvm, struct vcpu_exit *exit)
{
    struct kvm_run *run = kvm->run;
    *exit = (struct vcpu_exit){0};
    if (run->exit_reason == KVM_EXIT_IO) {
        exit->kind = run->io.direction == KVM_EXIT_IO_IN ? EXIT_PIO_IN : EXIT_PIO_OUT;
        exit->address = run->io.port;
        exit->size = run->io.size;
        if (exit->kind == EXIT_PIO_OUT)
            memcpy(&exit->value,
                (uint8_t *)run + run->io.data_offset + (size_t)kvm->element * run->io.size,
                run->io.size);
    } else if (run->exit_reason == KVM_EXIT_X86_WRMSR) {
        *exit = (struct vcpu_exit){
            .kind = EXIT_MSR_WRITE, .size = 8, .address = run->msr.index, .value = run->msr.data};
    } else if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
        *exit = (struct vcpu_exit){.kind = EXIT_MSR_READ, .size = 8, .address = run->msr.index};
    } else {
        exit->kind = run->mmio.is_write ? EXIT_MMIO_WRITE : EXIT_MMIO_READ;
        exit->address = run->mmio.phys_addr;
        exit->size = (uint8_t)run->mmio.len;
        if (run->mmio.is_write)
            memcpy(&exit->value, run->mmio.data, run->mmio.len);
    }
}

/*
 * KVM_RUN. A host that runs ring 3 of the guest in its own ring 3 may not look at the guest's
 * CR4.TSD, but keeps a process from RDTSC that asks for it. Without that nothing may run: the guest
 * would see the host's counter, unrecorded.
 */
static int enter_guest(struct kvm_engine *kvm)
{
    kvm->holds_fpu = false;
    if (!kvm->host_traps_tsc)
        return ioctl(kvm->vcpu, KVM_RUN, 0);
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0)
        return -1;
    int result = ioctl(kvm->vcpu, KVM_RUN, 0), reason = errno;
    prctl(PR_SET_TSC, PR_TSC_ENABLE);
    errno = reason;
    return result;
}

/* From the registers rather than kvm_run.ready_for_interrupt_injection, so that both engines decide
 * alike. The events in the shared page are those of the last exit: an interrupt put there since
 * would be overwritten by a second one. */
static bool kvm_interruptible(struct engine *engine)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    struct vcpu_state state;
    struct kvm_vcpu_events events;
    if (kvm->interrupted)
        return false;
    if (kvm->sync_regs) {
        const struct kvm_sync_regs *regs = &kvm->run->s.regs;
        return (regs->regs.rflags & FLAG_IF) && !regs->events.interrupt.shadow &&
               !regs->events.exception.injected && !regs->events.exception.pending &&
               !regs->events.interrupt.injected;
    }
    if (kvm_state_export(kvm, &state, false, NULL) < 0 ||
        ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, &events) < 0 || events.interrupt.injected)
        return false;
    return (state.rflags & FLAG_IF) && !state.sti_shadow && !state.mov_ss_shadow &&
           !state.exception_pending;
}

/*
 * Shall the run end when the guest can take an interrupt? The local APIC's that waits, once CR8 is
 * below it: nothing else would tell when a guest that lowered CR8 first allows interrupts after it.
 */
static bool wants_window(struct kvm_engine *kvm, const struct run_request *request)
{
    return kvm->run->cr8 < request->stop_below_cr8 && !kvm_interruptible(&kvm->engine);
}

/* Enters the guest once. 1: an exit is in kvm->run, 0: interrupted by a kick, -1: error. */
static int enter(struct kvm_engine *kvm, struct error *error)
{
    for (;;) {
        kvm->run->immediate_exit = 0;
        if (atomic_load(&kvm->kicked))
            kvm->run->immediate_exit = 1;
        int entered = enter_guest(kvm);
        kvm->interrupted = false; /* what was not delivered is in the events again */
        if (entered == 0)
            return 1;
        if (errno != EINTR && errno != EAGAIN)
            return error_set_errno(error, "kvm: KVM_RUN failed");
        if (atomic_exchange(&kvm->kicked, 0))
            return 0;
    }
}

static int kvm_run(struct engine *engine, const struct run_request *request, struct vcpu_exit *exit,
    struct error *error)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    if (kvm->access_open) {
        report_access(kvm, exit);
        return 0;
    }
    kvm->run->request_interrupt_window = wants_window(kvm, request);
    kvm->thread = pthread_self();
    atomic_store(&kvm->in_run, true);
    int result;
    do {
        result = 1;
        if (!kvm->exit_waiting)
            result = enter(kvm, error);
        kvm->exit_waiting = false;
        if (result == 0)
            *exit = (struct vcpu_exit){.kind = EXIT_KICK};
        if (result == 1)
            result = decode_exit(kvm, exit, error);
    } while (result == 1);
    atomic_store(&kvm->in_run, false);
    if (result < 0) {
        exit->kind = EXIT_ERROR;
        return -1;
    }
    if (kvm->access_open)
        report_access(kvm, exit);
    return exit->kind == EXIT_KICK ? settle_rf(kvm, exit, error) : 0;
}

/*
 * KVM finishes a port read or an emulated instruction only on the next KVM_RUN; entering with
 * immediate_exit set does that and nothing else.
 */
static int kvm_complete(struct engine *engine, uint64_t value, struct error *error)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    struct kvm_run *run = kvm->run;
    if (!kvm->access_open)
        return ENGINE_DONE;
    if (run->exit_reason == KVM_EXIT_IO) {
        if (run->io.direction == KVM_EXIT_IO_IN)
            memcpy((uint8_t *)run + run->io.data_offset + (size_t)kvm->element * run->io.size,
                &value, run->io.size);
        if (++kvm->element < run->io.count)
            return ENGINE_MORE;
    } else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write) {
        memcpy(run->mmio.data, &value, run->mmio.len);
    } else if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
        run->msr.data = value;
    }
    kvm->access_open = kvm->holds_fpu = false;
    run->immediate_exit = 1;
    if (ioctl(kvm->vcpu, KVM_RUN, 0) == 0) {
        kvm->exit_waiting = true;
        return ENGINE_MORE;
    }
    if (errno != EINTR)
        return error_set_errno(error, "kvm: KVM_RUN failed while completing an access");
    struct vcpu_exit access = {.kind = EXIT_PIO_IN}; /* or any other */
    return settle_rf(kvm, &access, error) < 0 ? -1 : ENGINE_DONE;
}

static int kvm_export(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    return kvm_state_export((struct kvm_engine *)engine, state, true, error);
}

static int kvm_export_core(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    return kvm_state_export((struct kvm_engine *)engine, state, false, error);
}

static int kvm_import(struct engine *engine, const struct vcpu_state *state, struct error *error)
{
    return kvm_state_import((struct kvm_engine *)engine, state, error);
}

static int kvm_interrupt(struct engine *engine, uint8_t vector, struct error *error)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    struct kvm_interrupt interrupt = {.irq = vector};
    if (ioctl(kvm->vcpu, KVM_INTERRUPT, &interrupt) < 0)
        return error_set_errno(error, "kvm: cannot inject interrupt %#x", vector);
    kvm->interrupted = true;
    kvm->halted = false;
    return 0;
}

static int kvm_queued_interrupt(struct engine *engine, uint8_t *vector, struct error *error)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    struct kvm_vcpu_events events;
    if (ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, &events) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's events");
    *vector = events.interrupt.nr;
    return events.interrupt.injected && !events.interrupt.soft;
}

static void kvm_kick(struct engine *engine)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    atomic_store(&kvm->kicked, 1);
    kvm->run->immediate_exit = 1;
    if (atomic_load(&kvm->in_run))
        pthread_kill(kvm->thread, SIGRTMIN + KICK_SIGNAL_OFFSET);
}

static int kvm_set_breakpoints(
    struct engine *engine, const struct breakpoint *list, unsigned count, struct error *error)
{
    (void)engine;
    (void)list;
    if (count)
        return error_set(error, "kvm: breakpoints need the software CPU");
    return 0;
}

static void kvm_memory_changed(struct engine *engine, uint64_t gpa, uint64_t size)
{
    /* The host mapping is the guest's memory: nothing is cached here. */
    (void)engine;
    (void)gpa;
    (void)size;
}

static const struct engine_ops kvm_ops = {
    .name = "kvm",
    .counts = false,
    .destroy = kvm_destroy,
    .run = kvm_run,
    .complete = kvm_complete,
    .export_state = kvm_export,
    .export_core = kvm_export_core,
    .import_state = kvm_import,
    .interruptible = kvm_interruptible,
    .interrupt = kvm_interrupt,
    .queued_interrupt = kvm_queued_interrupt,
    .kick = kvm_kick,
    .take_dirty_pages = kvm_take_dirty_pages,
    .set_breakpoints = kvm_set_breakpoints,
    .memory_changed = kvm_memory_changed,
};

static int open_device(struct kvm_engine *kvm, struct error *error)
{
    kvm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm->kvm < 0) {
        if (errno == ENOENT)
            return error_set(error, "kvm: /dev/kvm is missing: load the kvm module (modprobe "
                                    "kvm_intel or kvm_amd), enable virtualization in the firmware, "
                                    "or use --engine soft");
        if (errno == EACCES || errno == EPERM)
            return error_set(error, "kvm: no permission to open /dev/kvm: add yourself to the kvm "
                                    "group (usermod -aG kvm USER), or use --engine soft");
        return error_set_errno(error, "kvm: cannot open /dev/kvm (--engine soft needs none)");
    }
    int version = ioctl(kvm->kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(error, "kvm: /dev/kvm speaks API version %d, not %d: use --engine soft",
            version, KVM_API_VERSION);
    static const struct {
        int capability;
        const char *name;
    } needed[] = {{KVM_CAP_USER_MEMORY, "user memory"}, {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
        {KVM_CAP_VCPU_EVENTS, "vCPU events"}, {KVM_CAP_DEBUGREGS, "debug registers"},
        {KVM_CAP_EXT_CPUID, "CPUID"}, {KVM_CAP_XSAVE, "XSAVE"}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (ioctl(kvm->kvm, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
            return error_set(error, "kvm: the host's KVM has no %s capability: use --engine soft",
                needed[i].name);
    }
    return 0;
}

static int create_vm(struct kvm_engine *kvm, struct error *error)
{
    kvm->vm = ioctl(kvm->kvm, KVM_CREATE_VM, 0);
    if (kvm->vm < 0)
        return error_set_errno(error,
            "kvm: cannot create a virtual machine (%s--engine soft needs no KVM)",
            errno == EBUSY ? "is another hypervisor running? " : "");
    /* Where Intel hosts keep what they need to run real mode: just below 4 GiB, outside RAM. */
    if (ioctl(kvm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
        ioctl(kvm->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0)
        return error_set_errno(error, "kvm: cannot place the TSS page");
    struct kvm_enable_cap failure = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args[0] = 1};
    if (ioctl(kvm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0 &&
        ioctl(kvm->vm, KVM_ENABLE_CAP, &failure) < 0)
        return error_set_errno(error, "kvm: cannot have emulation failures reported");
    if (kvm_filter_msrs(kvm, error) < 0 || kvm_map_memory(kvm, error) < 0)
        return -1;
    return 0;
}

static int create_vcpu(struct kvm_engine *kvm, struct personality personality, struct error *error)
{
    kvm->vcpu = ioctl(kvm->vm, KVM_CREATE_VCPU, 0);
    if (kvm->vcpu < 0)
        return error_set_errno(error, "kvm: cannot create a vCPU");
    int size = ioctl(kvm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return error_set(error, "kvm: the vCPU's shared page is too small");
    kvm->run_size = (size_t)size;
    kvm->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kvm->vcpu, 0);
    if (kvm->run == MAP_FAILED) {
        kvm->run = NULL;
        return error_set_errno(error, "kvm: cannot map the vCPU's shared page");
    }
    const int wanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    int offered = ioctl(kvm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    kvm->sync_regs = offered > 0 && (offered & wanted) == wanted;
    if (kvm->sync_regs)
        kvm->run->kvm_valid_regs = (uint64_t)wanted;
    if (kvm_set_cpuid(kvm, personality, error) < 0)
        return -1;
    struct vcpu_state reset;
    vcpu_reset(&reset);
    return kvm_state_import(kvm, &reset, error);
}

int kvm_extend_apic(struct engine *engine, struct personality personality, struct error *error)
{
    engine->apic_extensions = true;
    return kvm_set_cpuid((struct kvm_engine *)engine, personality, error);
}

struct engine *kvm_create(
    struct memory *memory, struct personality personality, struct error *error)
{
    struct kvm_engine *kvm = calloc(1, sizeof *kvm);
    if (!kvm) {
        error_set(error, "kvm: out of memory");
        return NULL;
    }
    kvm->engine.ops = &kvm_ops;
    kvm->memory = memory;
    kvm->kvm = kvm->vm = kvm->vcpu = -1;
    /* Process-wide, and harmless to repeat: the handler does nothing but interrupt KVM_RUN. */
    struct sigaction action = {.sa_handler = ignore_kick};
    if (sigaction(SIGRTMIN + KICK_SIGNAL_OFFSET, &action, NULL) < 0)
        error_set_errno(error, "kvm: cannot install the kick signal");
    else if (open_device(kvm, error) == 0 && create_vm(kvm, error) == 0 &&
             create_vcpu(kvm, personality, error) == 0)
        return &kvm->engine;
    kvm_destroy(&kvm->engine);
    return NULL;
}
