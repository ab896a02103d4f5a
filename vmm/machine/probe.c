/* Finds out what the host's KVM does. */
#include "vmm/machine/probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/arch/cpuid.h"
#include "vmm/kvm/monitor.h"
#include "vmm/kvm/trial.h"

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds for `count` passes of "dec rcx; jnz", ended by a port write; 0 when it does not run.
 */
static double time_loop(struct trial *trial, unsigned ring, uint64_t count)
{
    static const uint8_t code[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, TRIAL_PORT};
    struct error error;
    struct vcpu_exit exit;
    if (trial_load(trial, code, sizeof code, ring, count, &error) < 0)
        return 0;
    double start = now_us();
    if (trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT)
        return 0;
    double taken = now_us() - start;
    engine_complete(trial->engine, 0, &error);
    return taken;
}

/*
 * Million instructions a second; 0 when it does not run. The best of several: the first entry into
 * a guest takes milliseconds on some hosts, and a busy host takes its share of any.
 */
static double measure_mips(struct trial *trial, unsigned ring)
{
    enum { ATTEMPTS = 3 };
    double best = 0;
    /* More and more until it takes long enough to be measured. */
    for (uint64_t count = 2000; count <= 20000000; count *= 10) {
        double shortest = 0;
        for (unsigned i = 0; i < ATTEMPTS; i++) {
            double taken = time_loop(trial, ring, count);
            if (taken <= 0)
                return 0;
            if (i == 0 || taken < shortest)
                shortest = taken;
        }
        double mips = 2.0 * (double)count / shortest;
        best = mips > best ? mips : best;
        if (shortest > 2000)
            break;
    }
    return best;
}

static double measure_exit(struct trial *trial)
{
    static const uint8_t code[] = {0xe6, TRIAL_PORT, 0xeb, 0xfc};
    enum { ROUNDS = 100, ATTEMPTS = 5 };
    struct error error;
    double best = 0;
    if (trial_load(trial, code, sizeof code, 0, 0, &error) < 0)
        return 0;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        double start = now_us();
        for (unsigned j = 0; j < ROUNDS; j++) {
            struct vcpu_exit exit;
            if (trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
                engine_complete(trial->engine, 0, &error) < 0)
                return 0;
        }
        double taken = (now_us() - start) / ROUNDS;
        best = i == 0 || taken < best ? taken : best;
    }
    return best;
}

/* sti; out; inc rax; out: an interrupt injected at the first out must come before the inc. */
static bool test_interrupt(struct trial *trial)
{
    static const uint8_t code[] = {
        0xfb, 0x90, 0xe6, TRIAL_PORT, 0x48, 0xff, 0xc0, 0xe6, TRIAL_PORT};
    static const uint8_t handler[] = {0xe6, TRIAL_PORT + 1};
    struct error error;
    struct vcpu_exit exit;
    struct vcpu_state state;
    memory_write(&trial->memory, TRIAL_HANDLER, handler, sizeof handler);
    struct engine *engine = trial->engine;
    if (trial_load(trial, code, sizeof code, 0, 0, &error) < 0 ||
        trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
        engine_complete(engine, 0, &error) != ENGINE_DONE || !engine_interruptible(engine) ||
        engine_interrupt(engine, 0x20, &error) < 0 || trial_run(trial, &exit, &error) < 0 ||
        exit.kind != EXIT_PIO_OUT || exit.address != TRIAL_PORT + 1 ||
        engine_complete(engine, 0, &error) < 0 || engine_export_state(engine, &state, &error) < 0)
        return false;
    return state.gpr[RAX] == 0;
}

/* addps xmm0, xmm0; out */
static bool test_sse(struct trial *trial)
{
    static const uint8_t code[] = {0x0f, 0x58, 0xc0, 0xe6, TRIAL_PORT};
    struct error error;
    struct vcpu_exit exit;
    if (trial_load(trial, code, sizeof code, 0, 0, &error) < 0 ||
        trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT)
        return false;
    engine_complete(trial->engine, 0, &error);
    return true;
}

/* ---- A kick while the guest computes -----------------------------------------------------------
 */

struct kicker {
    struct engine *engine;
    atomic_bool sent;
};

static void *kick_later(void *context)
{
    struct kicker *kicker = context;
    usleep(5000);
    atomic_store(&kicker->sent, true);
    engine_kick(kicker->engine);
    return NULL;
}

/* dec rcx; jnz; and, without an end, out; jmp: so that there is somewhere to go on from. */
static const uint8_t kicked_loop[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, TRIAL_PORT, 0xeb, 0xfc};

enum kick_result { KICK_LANDED, KICK_LOST, KICK_LATE };

static enum kick_result try_kick(struct trial *trial, uint64_t passes)
{
    struct kicker kicker = {.engine = trial->engine};
    struct error error;
    struct vcpu_exit exit;
    pthread_t thread;
    if (trial_load(trial, kicked_loop, sizeof kicked_loop, 0, passes, &error) < 0 ||
        pthread_create(&thread, NULL, kick_later, &kicker) != 0)
        return KICK_LOST;
    bool ran = trial_run(trial, &exit, &error) == 0;
    bool sent = atomic_load(&kicker.sent);
    pthread_join(thread, NULL);
    if (ran && exit.kind == EXIT_KICK)
        return KICK_LANDED;
    if (!ran || sent)
        return KICK_LOST;
    /* Not to be taken for the next one's. */
    for (unsigned i = 0; i < 2 && exit.kind != EXIT_KICK; i++) {
        if (engine_complete(trial->engine, 0, &error) < 0 || trial_run(trial, &exit, &error) < 0)
            return KICK_LOST;
    }
    return KICK_LATE;
}

bool probe_kick_lands(struct trial *trial, uint64_t passes)
{
    enum { ATTEMPTS = 3 };
    enum kick_result result = KICK_LATE;
    for (unsigned i = 0; i < ATTEMPTS && result == KICK_LATE; i++)
        result = try_kick(trial, passes);
    return result == KICK_LANDED;
}

/* ---- Instructions that could show the host ----------------------------------------------------
 */

static const struct instruction {
    const char *title, *name;
    uint8_t size, code[6];
} instructions[PROBE_INSTRUCTIONS] = {
    [PROBE_RDTSC] = {"RDTSC, RDTSCP", "rdtsc", 2, {0x0f, 0x31}},
    [PROBE_CPUID] = {"CPUID", "cpuid", 2, {0x0f, 0xa2}},
    [PROBE_XGETBV] = {"XGETBV", "xgetbv", 3, {0x0f, 0x01, 0xd0}},
    [PROBE_RDFSBASE] = {"RDFSBASE, WRFSBASE", "rdfsbase", 5, {0xf3, 0x48, 0x0f, 0xae, 0xc0}},
    [PROBE_RDRAND] = {"RDRAND, RDSEED", "rdrand", 3, {0x0f, 0xc7, 0xf0}},
    [PROBE_SGDT] = {"SGDT, SIDT", "sgdt", 5, {0x0f, 0x01, 0x44, 0x24, 0xc0}},
};

const char *probe_instruction_title(enum probe_instruction instruction)
{
    return instructions[instruction].title;
}

const char *probe_instruction_name(enum probe_instruction instruction)
{
    return instructions[instruction].name;
}

const char *fidelity_name(enum fidelity fidelity)
{
    static const char *const names[] = {"exact", "logged", "detected"};
    return names[fidelity];
}

/* Executes one on KVM as hs64-v1 would have it fault, which CPUID alone does not, and looks whether
 * the host's shows. */
static bool shows_host(enum probe_instruction instruction, unsigned ring)
{
    enum { CPUID_SIGNATURE = 1 };
    static const uint8_t stop[] = {0xe6, TRIAL_PORT};
    const struct instruction *tried = &instructions[instruction];
    struct trial trial;
    struct vcpu_state state;
    struct vcpu_exit exit;
    struct error error;
    uint32_t model[4];
    bool shows = true;
    if (!trial_open(&trial, &error))
        return true;
    trial_state(&trial, &state, ring);
    state.idt.limit = 0;
    state.gpr[RAX] = instruction == PROBE_CPUID ? CPUID_SIGNATURE : 0;
    state.gpr[RCX] = 0;
    memory_write(&trial.memory, TRIAL_CODE, tried->code, tried->size);
    memory_write(&trial.memory, TRIAL_CODE + tried->size, stop, sizeof stop);
    struct engine *engine = trial.engine;
    if (engine->ops->import_state(engine, &state, &error) == 0 &&
        trial_run(&trial, &exit, &error) == 0) {
        shows = exit.kind == EXIT_PIO_OUT;
        if (shows && instruction == PROBE_CPUID && engine_complete(engine, 0, &error) >= 0 &&
            engine->ops->export_state(engine, &state, &error) == 0) {
            cpuid_query(CPUID_SIGNATURE, 0, model);
            shows = state.gpr[RAX] != model[0];
        }
    }
    trial_close(&trial);
    return shows;
}

/* Where ring 3 alone can run on KVM the software CPU executes ring 0, and sees the time stamp
 * counter read; SGDT and SIDT of ring 3 fault by UMIP, if there is that. Where KVM does not execute
 * ring 0 exactly, ring 3 executes no page there that holds one of the others. */
static void probe_instructions(struct probe *probe)
{
    bool hides_tables = true;
    probe->monitor = probe->sse_ring0 && monitor_works(&hides_tables, &probe->why);
    const bool paired = !probe->sse_ring0 || probe->monitor;
    for (unsigned i = 0; i < PROBE_INSTRUCTIONS; i++) {
        for (unsigned j = 0; j < 2; j++) {
            enum fidelity *fidelity = &probe->fidelity[i][j];
            if (i == PROBE_RDTSC)
                *fidelity = paired ? FIDELITY_LOGGED : FIDELITY_DETECTED;
            else if (i == PROBE_SGDT && !hides_tables && j)
                *fidelity = FIDELITY_DETECTED;
            else if (i == PROBE_SGDT || (paired && (j == 0 || !probe->sse_ring0)))
                *fidelity = FIDELITY_EXACT;
            else
                *fidelity = shows_host(i, j ? 3 : 0) ? FIDELITY_DETECTED : FIDELITY_EXACT;
        }
    }
}

static void probe_capabilities(struct probe *probe)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return;
    probe->sync_regs = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) > 0;
    probe->msr_filter = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) > 0;
    probe->immediate_exit = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0;
    close(kvm);
}

void probe_kvm(struct probe *probe)
{
    struct trial trial;
    *probe = (struct probe){0};
    if (!trial_open(&trial, &probe->why))
        return;
    probe_capabilities(probe);
    uint64_t *pages = NULL;
    unsigned count;
    probe->dirty_log = engine_take_dirty_pages(trial.engine, &pages, &count, &probe->why) == 0;
    free(pages);
    probe->ring0_mips = measure_mips(&trial, 0);
    probe->ring3_mips = measure_mips(&trial, 3);
    probe->exit_us = measure_exit(&trial);
    probe->interrupt_at_exit = test_interrupt(&trial);
    probe->kick_lands = probe_kick_lands(&trial, PROBE_KICK_PASSES);
    trial_close(&trial);
    probe->usable = probe->ring0_mips > 0;
    if (!probe->usable && !probe->why.text[0])
        error_set(&probe->why, "kvm: a guest of two instructions does not run");
    /* Last and on a machine of its own: a failed emulation may leave the vCPU unusable. */
    if (trial_open(&trial, &probe->why)) {
        probe->sse_ring0 = test_sse(&trial);
        trial_close(&trial);
    }
    if (probe->usable)
        probe_instructions(probe);
}

bool probe_ring0_exact(void)
{
    struct trial trial;
    struct error error;
    if (!trial_open(&trial, &error))
        return true;
    bool exact = test_sse(&trial);
    trial_close(&trial);
    return exact;
}

const char *probe_auto_engine(void)
{
    struct trial trial;
    struct error error;
    if (!trial_open(&trial, &error))
        return "soft";
    double mips = measure_mips(&trial, 0);
    trial_close(&trial);
    return mips >= PROBE_SLOW_MIPS ? "kvm" : "soft";
}
