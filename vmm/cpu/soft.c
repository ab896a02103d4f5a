/* The software CPU as an engine. */
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/cpuid.h"
#include "vmm/cpu/integer.h"
#include "vmm/cpu/blocks.h"
#include "vmm/cpu/dispatch.h"
#include "vmm/cpu/native/native.h"
#include "vmm/cpu/soft.h"
#include "vmm/cpu/stores.h"
#include "vmm/cpu/tables.h"
#include "vmm/cpu/wait.h"

static struct cpu *cpu_of(struct engine *engine)
{
    return (struct cpu *)engine;
}

static void soft_destroy(struct engine *engine)
{
    struct cpu *cpu = cpu_of(engine);
    if (!cpu)
        return;
    blocks_destroy(cpu->blocks);
    simd_destroy(cpu->simd);
    native_destroy(cpu->native);
    free(cpu->breakpoints);
    points_free(cpu);
    free(cpu->written);
    tables_free(cpu);
    stores_destroy(cpu->stores);
    free(cpu);
}

static int soft_run(struct engine *engine, const struct run_request *request,
    struct vcpu_exit *exit, struct error *error)
{
    memset(exit, 0, sizeof *exit);
    struct cpu *cpu = cpu_of(engine);
    int result = cpu_run(cpu, request, exit, error);
    simd_leave(cpu);
    return result;
}

uint64_t soft_user_instructions(const struct engine *engine)
{
    const struct cpu *cpu = (const struct cpu *)engine;
    return cpu->cpl == 3 ? cpu->engine.retired - cpu->user_since : 0;
}

/* ---- Accesses outside RAM ------------------------------------------------------------------- */

bool cpu_report_access(struct cpu *cpu, struct vcpu_exit *exit)
{
    static const enum exit_kind reads[] = {[ACCESS_TO_MEMORY] = EXIT_MMIO_READ,
        [ACCESS_TO_PORT] = EXIT_PIO_IN,
        [ACCESS_TO_TIME] = EXIT_TIME,
        [ACCESS_TO_MSR] = EXIT_MSR_READ};
    static const enum exit_kind writes[] = {[ACCESS_TO_MEMORY] = EXIT_MMIO_WRITE,
        [ACCESS_TO_PORT] = EXIT_PIO_OUT,
        [ACCESS_TO_MSR] = EXIT_MSR_WRITE};
    const struct pending_access *access;
    bool is_write = !cpu->access_waiting;

    if (cpu->access_waiting)
        access = &cpu->reads[cpu->read_count - 1];
    else if (cpu->write_next < cpu->write_count)
        access = &cpu->writes[cpu->write_next];
    else
        return false;
    cpu->write_reported = is_write;
    exit->kind = is_write ? writes[access->to] : reads[access->to];
    exit->size = access->size;
    exit->address = access->address;
    exit->value = is_write ? access->value : 0;
    exit->is_write = is_write;
    return true;
}

static int soft_complete(struct engine *engine, uint64_t value, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);

    if (cpu->access_waiting) {
        struct pending_access *access = &cpu->reads[cpu->read_count - 1];
        access->value = access->size == 8 ? value : value & ((1ull << (8 * access->size)) - 1);
        cpu->access_waiting = false;
        bool finished = cpu_finish_read(cpu);
        simd_leave(cpu);
        if (!finished)
            return error_set(error, "%s", cpu->failure.text);
    } else if (cpu->write_reported) {
        cpu->write_reported = false;
        if (++cpu->write_next >= cpu->write_count)
            cpu->write_count = cpu->write_next = 0;
    }
    return cpu->access_waiting || cpu->write_count ? ENGINE_MORE : ENGINE_DONE;
}

/* ---- State ---------------------------------------------------------------------------------- */

static int soft_export_state(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    const struct cpu *cpu = cpu_of(engine);
    (void)error;
    *state = cpu->s;
    state->rflags = cpu_get_rflags(cpu);
    fpu_to_image(&state->fpu);
    vcpu_canonicalize(state);
    return 0;
}

/* At every exit: without the FPU image, which is most of the state and takes work to bring out. */
static int soft_export_core(struct engine *engine, struct vcpu_state *state, struct error *error)
{
    const struct cpu *cpu = cpu_of(engine);
    const struct vcpu_state *from = &cpu->s;
    const size_t after = offsetof(struct vcpu_state, fpu) + sizeof from->fpu;
    (void)error;
    memcpy(state, from, offsetof(struct vcpu_state, dr));
    state->apic_base = from->apic_base;
    memcpy((char *)state + after, (const char *)from + after, sizeof *state - after);
    state->rflags = cpu_get_rflags(cpu);
    vcpu_canonicalize_core(state);
    return 0;
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* What no instruction sequence can bring about, and the rest of the CPU relies on. */
static const char *state_fault(const struct vcpu_state *s)
{
    bool active = s->efer & EFER_LMA;

    if (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE))
        return "CR0.PG without CR0.PE";
    if (active != (s->efer & EFER_LME && s->cr0 & CR0_PG))
        return "EFER.LMA does not match EFER.LME and CR0.PG";
    if (active && !(s->cr4 & CR4_PAE))
        return "long mode without CR4.PAE";
    if (s->cr4 & ~CPUID_CR4_ALLOWED)
        return "CR4 has bits that hs64-v1 does not have";
    if (s->rflags & FLAG_VM && (!(s->cr0 & CR0_PE) || active))
        return "RFLAGS.VM outside legacy protected mode";
    if (active && s->segment[SEG_CS].attributes & SEG_L && s->segment[SEG_CS].attributes & SEG_DB)
        return "CS has both L and D";
    if (!canonical(s->segment[SEG_FS].base) || !canonical(s->segment[SEG_GS].base) ||
        !canonical(s->gdt.base) || !canonical(s->idt.base) || !canonical(s->tr.base) ||
        !canonical(s->ldt.base) || !canonical(s->kernel_gs_base) || !canonical(s->lstar) ||
        !canonical(s->cstar) || !canonical(s->sysenter_esp) || !canonical(s->sysenter_eip))
        return "a base address is not canonical";
    if (s->cr3 >> CPUID_PHYSICAL_BITS || s->cr8 > 15)
        return "CR3 or CR8 out of range";
    if (s->exception_pending && s->exception_vector > 31)
        return "a pending exception is not one";
    return NULL;
}

static int soft_import_state(
    struct engine *engine, const struct vcpu_state *state, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);
    struct vcpu_state copy = *state;

    vcpu_canonicalize(&copy);
    const char *fault = state_fault(&copy);
    if (fault)
        return error_set(error,
            "impossible CPU state: %s; the checkpoint or trace that it came "
            "from is damaged or of another CPU model",
            fault);
    fpu_from_image(&copy.fpu);
    cpu->s = copy;
    cpu->user_since = cpu->engine.retired;
    cpu_set_rflags(cpu, copy.rflags);
    cpu_mode_changed(cpu);
    tlb_flush_all(cpu);
    cpu->read_count = cpu->read_next = cpu->write_count = cpu->write_next = 0;
    cpu->access_waiting = cpu->write_reported = false;
    cpu->shutdown = cpu->jumped = cpu->stop_requested = false;
    watch_forget(cpu);
    cpu->engine.delivered = 0;
    cpu->debug_hits = 0;
    cpu->breakpoint_retired = cpu->match.reported_retired = UINT64_MAX;
    cpu->repeat_retired = UINT64_MAX;
    cpu->pause_rip = UINT64_MAX;
    wait_restart(cpu);
    cpu->delivery_failed = false;
    cpu->delivery_count = 0;
    return 0;
}

/* ---- Interrupts, breakpoints ---------------------------------------------------------------- */

static bool soft_interruptible(struct engine *engine)
{
    return cpu_interruptible(cpu_of(engine));
}

static int soft_interrupt(struct engine *engine, uint8_t vector, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);
    if (!cpu_interruptible(cpu))
        return error_set(
            error, "software CPU: interrupt %u offered while the guest cannot take it", vector);
    cpu->s.halted = false;
    if (!cpu_deliver_interrupt(cpu, vector))
        cpu->shutdown = true;
    cpu->jumped = false;
    return 0;
}

static bool soft_other_flags(const struct engine *engine, uint64_t *arithmetic)
{
    const struct cpu *cpu = (const struct cpu *)engine;
    *arithmetic = flags_to_rflags(cpu->repeat_flags);
    return repeat_stands_at(cpu, cpu->s.rip, cpu->engine.retired);
}

static int soft_nmi(struct engine *engine, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);
    if (!vcpu_takes_nmi(&cpu->s) || cpu->shutdown)
        return error_set(error, "software CPU: an NMI offered while the guest cannot take it");
    cpu->s.halted = false;
    if (!cpu_deliver_interrupt(cpu, VECTOR_NMI))
        cpu->shutdown = true;
    cpu->jumped = false;
    return 0;
}

static void soft_kick(struct engine *engine)
{
    __atomic_store_n(&cpu_of(engine)->kicked, 1, __ATOMIC_RELAXED);
}

static bool has_data(const struct breakpoint *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i].kind != BREAK_EXECUTE)
            return true;
    }
    return false;
}

static int soft_set_breakpoints(
    struct engine *engine, const struct breakpoint *list, unsigned count, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);
    struct breakpoint *copy = NULL;

    if (count > ENGINE_MAX_BREAKPOINTS)
        return error_set(error, "there are %u breakpoints; at most %d are possible", count,
            ENGINE_MAX_BREAKPOINTS);
    if (count) {
        copy = calloc(count, sizeof *copy);
        if (!copy)
            return error_set(error, "no memory for %u breakpoints", count);
        memcpy(copy, list, count * sizeof *copy);
    }
    if (points_set(cpu, copy, count) < 0) {
        free(copy);
        return error_set(error, "no memory for %u breakpoints", count);
    }
    bool flush = has_data(cpu->breakpoints, cpu->breakpoint_count) || has_data(copy, count);
    free(cpu->breakpoints);
    cpu->breakpoints = copy;
    cpu->breakpoint_count = count;
    watch_set(cpu);
    if (flush)
        tlb_flush_all(cpu);
    return 0;
}

/* The TLB holds ways around the observer, and so do decoded blocks around one of every access. */
static void soft_observe_accesses(struct engine *engine, const struct access_observer *observer)
{
    struct cpu *cpu = cpu_of(engine);
    bool had_all = cpu->observing_all;
    cpu->observer = observer ? *observer : (struct access_observer){0};
    cpu->observing_all = cpu->observer.access && !cpu->observer.range_count;
    cpu->observed = NULL;
    tlb_flush_all(cpu);
    if (had_all || cpu->observing_all)
        blocks_flush(cpu);
}

static void soft_memory_changed(struct engine *engine, uint64_t gpa, uint64_t size)
{
    struct cpu *cpu = cpu_of(engine);

    blocks_memory_written(cpu, gpa, size);
    wait_give_up(cpu);
    watch_change(cpu, gpa, size, false);
    if (cpu->observer.device_write)
        cpu->observer.device_write(cpu->observer.context, gpa, size);
    for (uint64_t page = gpa & ~(PAGE_SIZE - 1); page < gpa + size; page += PAGE_SIZE) {
        const uint8_t *host = memory_at(cpu->memory, page, PAGE_SIZE);
        if (host) {
            cpu_mark_written(cpu, host);
            tables_changed(cpu, host);
        }
    }
}

static void soft_end_turn(struct engine *engine)
{
    struct cpu *cpu = cpu_of(engine);
    if (cpu->stores)
        stores_end_turn(cpu);
}

static void soft_save_stores(const struct engine *engine, struct buffer *out)
{
    const struct cpu *cpu = (const struct cpu *)engine;
    if (cpu->stores)
        stores_save(cpu->stores, out);
}

static void soft_restore_stores(struct engine *engine, struct reader *in)
{
    struct cpu *cpu = cpu_of(engine);
    if (cpu->stores)
        stores_restore(cpu->stores, in);
}

static void soft_forget_code(struct engine *engine)
{
    blocks_flush(cpu_of(engine));
}

/* Decoded blocks and their native code hold what one personality chose. */
static void soft_set_personality(struct engine *engine, struct personality personality)
{
    struct cpu *cpu = cpu_of(engine);
    cpu->personality = personality;
    blocks_flush(cpu);
}

static void soft_set_functions(struct engine *engine, const struct host_cpu *recorded)
{
    struct cpu *cpu = cpu_of(engine);
    cpu->functions = FUNCTIONS_OWN;
    if (!recorded)
        return;
    struct host_cpu host;
    host_cpu_identify(&host);
    cpu->functions = host_cpu_same_model(&host, recorded) ? FUNCTIONS_HOST : FUNCTIONS_UNKNOWN;
    cpu->functions_of = *recorded;
}

static void soft_put_aside(struct engine *engine)
{
    struct cpu *cpu = cpu_of(engine);
    fpu_put_aside(&cpu->s.fpu, cpu->personality);
}

/* Eight bytes of a bitmap, of which few bits are set, or as many as are left. */
static uint64_t word_of(const uint8_t *bits, uint64_t bytes, uint64_t at)
{
    uint64_t word = 0;
    memcpy(&word, bits + at, bytes - at < sizeof word ? bytes - at : sizeof word);
    return word;
}

static unsigned count_bits(const uint8_t *bits, uint64_t bytes)
{
    unsigned count = 0;
    for (uint64_t at = 0; at < bytes; at += sizeof(uint64_t))
        for (uint64_t word = word_of(bits, bytes, at); word; word &= word - 1)
            count++;
    return count;
}

static int soft_take_dirty_pages(
    struct engine *engine, uint64_t **pages, unsigned *count, struct error *error)
{
    struct cpu *cpu = cpu_of(engine);
    const struct memory *memory = cpu->memory;
    uint64_t bytes = (memory->size / PAGE_SIZE + 7) / 8;
    unsigned n = 0;

    *count = count_bits(cpu->written, bytes);
    *pages = malloc((*count + 1) * sizeof **pages);
    if (!*pages)
        return error_set(error, "no memory for the list of written pages");
    for (uint64_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        for (uint64_t word = word_of(cpu->written, bytes, at); word; word &= word - 1) {
            uint64_t offset = (at * 8 + (unsigned)__builtin_ctzll(word)) * PAGE_SIZE;
            const struct memory_region *high = &memory->region[1];
            bool is_low = offset < memory->region[0].size;
            (*pages)[n++] = is_low ? offset : high->gpa + (offset - memory->region[0].size);
        }
    }
    memset(cpu->written, 0, bytes);
    tlb_flush_writes(cpu);
    return 0;
}

static bool soft_take_hit(struct engine *engine, struct vcpu_exit *exit)
{
    struct cpu *cpu = cpu_of(engine);
    return cpu->watching_anything && watch_take(cpu, exit);
}

static const struct engine_ops soft_ops = {
    .name = "soft",
    .counts = true,
    .destroy = soft_destroy,
    .run = soft_run,
    .complete = soft_complete,
    .export_state = soft_export_state,
    .export_core = soft_export_core,
    .import_state = soft_import_state,
    .interruptible = soft_interruptible,
    .interrupt = soft_interrupt,
    .other_flags = soft_other_flags,
    .nmi = soft_nmi,
    .kick = soft_kick,
    .set_breakpoints = soft_set_breakpoints,
    .observe_accesses = soft_observe_accesses,
    .take_hit = soft_take_hit,
    .take_dirty_pages = soft_take_dirty_pages,
    .memory_changed = soft_memory_changed,
    .forget_code = soft_forget_code,
    .end_turn = soft_end_turn,
    .save_stores = soft_save_stores,
    .restore_stores = soft_restore_stores,
    .set_personality = soft_set_personality,
    .set_functions = soft_set_functions,
    .put_aside = soft_put_aside,
};

struct engine *soft_create(
    struct memory *memory, const struct engine_options *options, struct error *error)
{
    struct vcpu_state reset;
    struct cpu *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);

    if (!cpu) {
        error_set(error, "no memory for the software CPU");
        return NULL;
    }
    if (!alu_logic_clears_adjust()) {
        error_set(error, "soft: this host's CPU sets AF in AND, OR or XOR: none is known to");
        free(cpu);
        return NULL;
    }
    memset(cpu, 0, sizeof *cpu);
    cpu->engine.ops = &soft_ops;
    cpu->memory = memory;
    cpu->personality = PERSONALITY_OF_MODEL;
    cpu->blocks = blocks_create(memory, error);
    cpu->simd = cpu->blocks ? simd_create(error) : NULL;
    if (options->store_buffers) {
        cpu->stores = stores_create();
        if (cpu->stores)
            stores_seed(cpu->stores, options->seed);
        else
            error_set(error, "no memory for store buffers");
    }
    cpu->native = native_create(options->store_buffers ? NATIVE_NEVER : options->native);
    cpu->targets = cpu->native ? cpu->native->targets : NULL;
    cpu->written = calloc(1, (memory->size / PAGE_SIZE + 7) / 8);
    vcpu_reset(&reset);
    if (!cpu->written)
        error_set(error, "no memory for the software CPU");
    if (tables_create(cpu, error) < 0 || !cpu->simd || !cpu->written ||
        !cpu->stores != !options->store_buffers || soft_import_state(&cpu->engine, &reset, error)) {
        soft_destroy(&cpu->engine);
        return NULL;
    }
    return &cpu->engine;
}
