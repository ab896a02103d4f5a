#include "vmm/machine/probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/kvm/trial.h"

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Million instructions a second of "dec rcx; jnz", ended by a port write; 0 when it does not run.
 */
static double measure_mips(struct trial *trial, unsigned ring)
{
    static const uint8_t code[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, TRIAL_PORT};
    struct error error;
    double mips = 0;
    /* More and more until it takes long enough to be measured. */
    for (uint64_t count = 2000; count <= 20000000; count *= 10) {
        struct vcpu_exit exit;
        if (trial_load(trial, code, sizeof code, ring, count, &error) < 0)
            return 0;
        double start = now_us();
        if (trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT)
            return 0;
        double taken = now_us() - start;
        engine_complete(trial->engine, 0, &error);
        mips = 2.0 * (double)count / taken;
        if (taken > 4000)
            break;
    }
    return mips;
}

static double measure_exit(struct trial *trial)
{
    static const uint8_t code[] = {0xe6, TRIAL_PORT, 0xeb, 0xfc};
    enum { ROUNDS = 500 };
    struct error error;
    if (trial_load(trial, code, sizeof code, 0, 0, &error) < 0)
        return 0;
    double start = now_us();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct vcpu_exit exit;
        if (trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
            engine_complete(trial->engine, 0, &error) < 0)
            return 0;
    }
    return (now_us() - start) / ROUNDS;
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

static void *kick_later(void *context)
{
    struct engine *engine = context;
    usleep(5000);
    engine_kick(engine);
    return NULL;
}

static bool test_kick(struct trial *trial)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    struct error error;
    struct vcpu_exit exit;
    pthread_t thread;
    if (trial_load(trial, code, sizeof code, 0, 0, &error) < 0 ||
        pthread_create(&thread, NULL, kick_later, trial->engine) != 0)
        return false;
    bool landed = trial_run(trial, &exit, &error) == 0 && exit.kind == EXIT_KICK;
    pthread_join(thread, NULL);
    return landed;
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
    probe->kick_lands = test_kick(&trial);
    trial_close(&trial);
    probe->usable = probe->ring0_mips > 0;
    if (!probe->usable && !probe->why.text[0])
        error_set(&probe->why, "kvm: a guest of two instructions does not run");
    /* Last and on a machine of its own: a failed emulation may leave the vCPU unusable. */
    if (trial_open(&trial, &probe->why)) {
        probe->sse_ring0 = test_sse(&trial);
        trial_close(&trial);
    }
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
