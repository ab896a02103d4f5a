#include "vmm/machine/probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/arch/engine.h"
#include "vmm/kvm/kvm.h"

enum { CODE = 0x20000, TABLES = 0x1000, GDT = 0x500, IDT = 0x8000, STACK = 0x30000, PORT = 0x80 };

/* A machine of 1 MiB in 64-bit mode, with every page user-accessible. */
struct bench {
    struct memory memory;
    struct engine *engine;
};

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct segment segment(uint16_t selector, uint16_t type, unsigned dpl)
{
    return (struct segment){.limit = UINT32_MAX,
        .selector = (uint16_t)(selector | dpl),
        .attributes = (uint16_t)(type | SEG_ACCESSED | SEG_WRITABLE | SEG_S | SEG_P | SEG_G |
                                 dpl << SEG_DPL_SHIFT)};
}

static void make_state(struct bench *bench, struct vcpu_state *state, unsigned ring)
{
    const uint64_t present_writable_user = 7, large = 0x80;
    uint64_t entry = (TABLES + 0x1000) | present_writable_user;
    memory_write(&bench->memory, TABLES, &entry, 8);
    entry = (TABLES + 0x2000) | present_writable_user;
    memory_write(&bench->memory, TABLES + 0x1000, &entry, 8);
    entry = present_writable_user | large;
    memory_write(&bench->memory, TABLES + 0x2000, &entry, 8);
    /* One gate, vector 0x20, to CODE + 0x800. */
    uint64_t handler = CODE + 0x800;
    uint64_t gate[2] = {
        (handler & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48,
        handler >> 32};
    memory_write(&bench->memory, IDT + 0x20 * 16, gate, sizeof gate);
    uint64_t gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    memory_write(&bench->memory, GDT, gdt, sizeof gdt);

    vcpu_reset(state);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] =
            i == SEG_CS ? segment(0x10, SEG_CODE | SEG_L, ring) : segment(0x18, SEG_DB, ring);
    state->tr = (struct segment){.selector = 0x20, .limit = 0x67, .attributes = 0xb | SEG_P};
    state->ldt = (struct segment){0};
    state->gdt = (struct descriptor_table){GDT, sizeof gdt - 1};
    state->idt = (struct descriptor_table){IDT, 0xfff};
    state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state->cr3 = TABLES;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    state->rflags = FLAG_ONE | FLAG_IOPL;
    state->rip = CODE;
    state->gpr[RSP] = STACK;
}

static int load(struct bench *bench, const uint8_t *code, size_t size, unsigned ring,
    uint64_t count, struct error *error)
{
    struct vcpu_state state;
    make_state(bench, &state, ring);
    state.gpr[RCX] = count;
    memory_write(&bench->memory, CODE, code, size);
    return bench->engine->ops->import_state(bench->engine, &state, error);
}

static int next_exit(struct bench *bench, struct vcpu_exit *exit, struct error *error)
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    return bench->engine->ops->run(bench->engine, &request, exit, error);
}

/* Million instructions a second of "dec rcx; jnz", ended by a port write; 0 when it does not run.
 */
static double measure_mips(struct bench *bench, unsigned ring)
{
    static const uint8_t code[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, PORT};
    struct error error;
    double mips = 0;
    /* More and more until it takes long enough to be measured. */
    for (uint64_t count = 2000; count <= 20000000; count *= 10) {
        struct vcpu_exit exit;
        if (load(bench, code, sizeof code, ring, count, &error) < 0)
            return 0;
        double start = now_us();
        if (next_exit(bench, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT)
            return 0;
        double taken = now_us() - start;
        bench->engine->ops->complete(bench->engine, 0, &error);
        mips = 2.0 * (double)count / taken;
        if (taken > 4000)
            break;
    }
    return mips;
}

static double measure_exit(struct bench *bench)
{
    static const uint8_t code[] = {0xe6, PORT, 0xeb, 0xfc};
    enum { ROUNDS = 500 };
    struct error error;
    if (load(bench, code, sizeof code, 0, 0, &error) < 0)
        return 0;
    double start = now_us();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct vcpu_exit exit;
        if (next_exit(bench, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
            bench->engine->ops->complete(bench->engine, 0, &error) < 0)
            return 0;
    }
    return (now_us() - start) / ROUNDS;
}

/* sti; out; inc rax; out: an interrupt injected at the first out must come before the inc. */
static bool test_interrupt(struct bench *bench)
{
    static const uint8_t code[] = {0xfb, 0x90, 0xe6, PORT, 0x48, 0xff, 0xc0, 0xe6, PORT};
    static const uint8_t handler[] = {0xe6, PORT + 1};
    struct error error;
    struct vcpu_exit exit;
    struct vcpu_state state;
    memory_write(&bench->memory, CODE + 0x800, handler, sizeof handler);
    struct engine *engine = bench->engine;
    if (load(bench, code, sizeof code, 0, 0, &error) < 0 || next_exit(bench, &exit, &error) < 0 ||
        exit.kind != EXIT_PIO_OUT || engine->ops->complete(engine, 0, &error) != ENGINE_DONE ||
        !engine->ops->interruptible(engine) || engine->ops->interrupt(engine, 0x20, &error) < 0 ||
        next_exit(bench, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
        exit.address != PORT + 1 || engine->ops->complete(engine, 0, &error) < 0 ||
        engine->ops->export_state(engine, &state, &error) < 0)
        return false;
    return state.gpr[RAX] == 0;
}

/* addps xmm0, xmm0; out */
static bool test_sse(struct bench *bench)
{
    static const uint8_t code[] = {0x0f, 0x58, 0xc0, 0xe6, PORT};
    struct error error;
    struct vcpu_exit exit;
    if (load(bench, code, sizeof code, 0, 0, &error) < 0 || next_exit(bench, &exit, &error) < 0 ||
        exit.kind != EXIT_PIO_OUT)
        return false;
    bench->engine->ops->complete(bench->engine, 0, &error);
    return true;
}

static void *kick_later(void *context)
{
    struct engine *engine = context;
    usleep(5000);
    engine->ops->kick(engine);
    return NULL;
}

static bool test_kick(struct bench *bench)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    struct error error;
    struct vcpu_exit exit;
    pthread_t thread;
    if (load(bench, code, sizeof code, 0, 0, &error) < 0 ||
        pthread_create(&thread, NULL, kick_later, bench->engine) != 0)
        return false;
    bool landed = next_exit(bench, &exit, &error) == 0 && exit.kind == EXIT_KICK;
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

static bool open_bench(struct bench *bench, struct error *error)
{
    const struct memory_backend backend = {.size = 2 << 20};
    *bench = (struct bench){0};
    if (memory_create(&bench->memory, &backend, 1, error) < 0)
        return false;
    bench->engine = kvm_create(&bench->memory, error);
    if (!bench->engine)
        memory_destroy(&bench->memory);
    return bench->engine != NULL;
}

static void close_bench(struct bench *bench)
{
    bench->engine->ops->destroy(bench->engine);
    memory_destroy(&bench->memory);
}

void probe_kvm(struct probe *probe)
{
    struct bench bench;
    *probe = (struct probe){0};
    if (!open_bench(&bench, &probe->why))
        return;
    probe_capabilities(probe);
    uint64_t *pages = NULL;
    unsigned count;
    probe->dirty_log =
        bench.engine->ops->take_dirty_pages(bench.engine, &pages, &count, &probe->why) == 0;
    free(pages);
    probe->ring0_mips = measure_mips(&bench, 0);
    probe->ring3_mips = measure_mips(&bench, 3);
    probe->exit_us = measure_exit(&bench);
    probe->interrupt_at_exit = test_interrupt(&bench);
    probe->kick_lands = test_kick(&bench);
    close_bench(&bench);
    probe->usable = probe->ring0_mips > 0;
    if (!probe->usable && !probe->why.text[0])
        error_set(&probe->why, "kvm: a guest of two instructions does not run");
    /* Last and on a machine of its own: a failed emulation may leave the vCPU unusable. */
    if (open_bench(&bench, &probe->why)) {
        probe->sse_ring0 = test_sse(&bench);
        close_bench(&bench);
    }
}

bool probe_ring0_exact(void)
{
    struct bench bench;
    struct error error;
    if (!open_bench(&bench, &error))
        return true;
    bool exact = test_sse(&bench);
    close_bench(&bench);
    return exact;
}

const char *probe_auto_engine(void)
{
    struct bench bench;
    struct error error;
    if (!open_bench(&bench, &error))
        return "soft";
    double mips = measure_mips(&bench, 0);
    close_bench(&bench);
    return mips >= PROBE_SLOW_MIPS ? "kvm" : "soft";
}
