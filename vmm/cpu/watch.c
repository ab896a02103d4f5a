/* Data breakpoints: the engine's watchpoints and the guest's debug registers. */
#include "vmm/cpu/cpu.h"
#include "vmm/cpu/decode_table.h"

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a - b < b_size || b - a < a_size;
}

/* The data breakpoint in debug register `index`, if it is one: what it covers and its R/W field. */
static unsigned data_breakpoint(
    const struct cpu *cpu, unsigned index, uint64_t *address, uint64_t *size)
{
    static const uint8_t sizes[4] = {1, 2, 8, 4};
    uint64_t control = cpu->s.dr7 >> (16 + 4 * index) & 15;
    if (!(cpu->s.dr7 >> (2 * index) & 3) || !(control & 1))
        return 0;
    *size = sizes[control >> 2];
    *address = cpu->s.dr[index] & ~(*size - 1);
    return control & 3;
}

static bool is_data(const struct breakpoint *point)
{
    return point->kind == BREAK_WRITE || point->kind == BREAK_READ || point->kind == BREAK_ACCESS;
}

bool watch_page(const struct cpu *cpu, uint64_t linear_page, uint64_t gpa_page)
{
    uint64_t address, size;
    for (unsigned i = 0; i < cpu->breakpoint_count && cpu->watching; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        if (is_data(point) && overlap(point->physical ? gpa_page : linear_page, PAGE_SIZE,
                                  point->address, point->length))
            return true;
    }
    if (!(cpu->s.dr7 & 0xff))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (data_breakpoint(cpu, i, &address, &size) &&
            overlap(linear_page, PAGE_SIZE, address, size))
            return true;
    }
    return false;
}

/* The first one is described, all are named. */
static void add_hit(
    struct vcpu_exit *hit, unsigned index, uint64_t address, uint64_t size, bool is_write)
{
    if (!hit->hits)
        *hit = (struct vcpu_exit){.kind = EXIT_WATCHPOINT,
            .size = (uint8_t)(size < UINT8_MAX ? size : UINT8_MAX),
            .is_write = is_write,
            .address = address};
    hit->hits |= 1ull << index;
}

static void watch_ranges(
    struct cpu *cpu, uint64_t linear, uint64_t gpa, unsigned size, bool is_write)
{
    struct vcpu_exit *hit = cpu->delivering ? &cpu->change_hit : &cpu->access_hit;
    for (unsigned i = 0; i < cpu->breakpoint_count; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        if (!is_data(point) || (point->kind == (is_write ? BREAK_READ : BREAK_WRITE)) ||
            !overlap(point->physical ? gpa : linear, size, point->address, point->length))
            continue;
        add_hit(hit, i, linear, size, is_write);
        cpu->stop_requested = true;
    }
}

void watch_access(struct cpu *cpu, uint64_t linear, uint64_t gpa, unsigned size, bool is_write)
{
    uint64_t address, length;
    if (cpu->watching)
        watch_ranges(cpu, linear, gpa, size, is_write);
    if (!(cpu->s.dr7 & 0xff))
        return;
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = data_breakpoint(cpu, i, &address, &length);
        if (!kind || (kind == 1 && !is_write) || !overlap(linear, size, address, length))
            continue;
        cpu->debug_hits |= 1ull << i;
        cpu->stop_requested = true;
    }
}

/* ---- Every access ---------------------------------------------------------------------------- */

static bool is_atomic(const struct insn *insn)
{
    bool exchanges = insn_has_trait(insn, TRAIT_EXCHANGE) && (insn->flags & INSN_MEMORY);
    return exchanges || (insn->flags & INSN_LOCK);
}

static uint64_t linear_rip(const struct cpu *cpu)
{
    return cpu->s.rip + (cpu->code64 ? 0 : cpu->s.segment[SEG_CS].base);
}

void watch_instruction(struct cpu *cpu, const struct insn *insn)
{
    uint64_t linear = linear_rip(cpu), gpa = 0;
    cpu->observed = insn;
    if (!cpu->observer.instruction)
        return;
    const struct tlb_entry *entry = &cpu->tlb[ACCESS_EXECUTE][linear / PAGE_SIZE % TLB_ENTRIES];
    if ((entry->page & ~TLB_SLOW) == (linear & ~(PAGE_SIZE - 1)))
        gpa = entry->gpa + linear % PAGE_SIZE;
    else
        cpu_translate_quiet(cpu, linear, &gpa);
    cpu->observer.instruction(
        cpu->observer.context, linear, gpa, cpu->code64 ? 64 : cpu->code_size * 8);
}

static bool covers(const struct access_range *range, uint64_t linear, uint64_t gpa, uint64_t size)
{
    return overlap(range->physical ? gpa : linear, size, range->address, range->length);
}

static bool is_observed(const struct cpu *cpu, uint64_t linear, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < cpu->observer.range_count; i++) {
        if (covers(&cpu->observer.ranges[i], linear, gpa, size))
            return true;
    }
    return cpu->observing_all;
}

bool watch_observes_page(const struct cpu *cpu, uint64_t linear_page, uint64_t gpa_page)
{
    return is_observed(cpu, linear_page, gpa_page, PAGE_SIZE);
}

void watch_tell(struct cpu *cpu, const struct memory_access *access)
{
    struct memory_access told = *access;
    if (!is_observed(cpu, told.linear, told.gpa, told.size))
        return;
    told.rip = linear_rip(cpu);
    told.is_implicit |= cpu->delivering;
    told.is_atomic = !told.is_implicit && cpu->observed && is_atomic(cpu->observed);
    cpu->observer.access(cpu->observer.context, &told);
}

/* ---- Changes that are no stores -------------------------------------------------------------- */

/* Where in the watched range the change lies, by the page tables as they are. */
static bool find_change(const struct cpu *cpu, const struct access_range *range, uint64_t gpa,
    uint64_t size, uint64_t *address)
{
    if (range->physical) {
        *address = gpa;
        return overlap(gpa, size, range->address, range->length);
    }
    uint64_t length;
    for (uint64_t done = 0; done < range->length; done += length) {
        uint64_t linear = range->address + done, at;
        uint64_t room = PAGE_SIZE - linear % PAGE_SIZE;
        length = room < range->length - done ? room : range->length - done;
        if (!cpu_translate_quiet(cpu, linear, &at) || !overlap(gpa, size, at, length))
            continue;
        *address = gpa > at ? linear + (gpa - at) : linear;
        return true;
    }
    return false;
}

static void tell_change(const struct cpu *cpu, uint64_t gpa, uint64_t size, bool is_walk)
{
    const struct access_observer *observer = &cpu->observer;
    uint64_t address;
    for (unsigned i = 0; i < observer->range_count; i++) {
        if (find_change(cpu, &observer->ranges[i], gpa, size, &address)) {
            observer->change(observer->context, gpa, size, is_walk);
            return;
        }
    }
}

void watch_change(struct cpu *cpu, uint64_t gpa, uint64_t size, bool is_walk)
{
    if (cpu->observer.change)
        tell_change(cpu, gpa, size, is_walk);
    for (unsigned i = 0; i < cpu->breakpoint_count && cpu->watching; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        const struct access_range range = {point->physical, point->address, point->length};
        uint64_t address;
        if ((point->kind != BREAK_WRITE && point->kind != BREAK_ACCESS) ||
            !find_change(cpu, &range, gpa, size, &address))
            continue;
        add_hit(&cpu->change_hit, i, address, size, true);
        cpu->stop_requested = true;
    }
}

/* ---- Exceptions and modes -------------------------------------------------------------------- */

void watch_exception(struct cpu *cpu, unsigned vector, uint64_t rip, uint32_t error)
{
    for (unsigned i = 0; i < cpu->breakpoint_count; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        if (point->kind != BREAK_EXCEPTION || vector - point->address >= point->length)
            continue;
        uint64_t hits = cpu->exception_hit.hits | 1ull << i;
        cpu->exception_hit = (struct vcpu_exit){.kind = EXIT_EXCEPTION,
            .hits = hits,
            .rip = rip,
            .error = error,
            .vector = (uint8_t)vector};
    }
}

static unsigned mode_now(const struct cpu *cpu)
{
    unsigned mode = cpu->cpl;
    mode |= cpu->code64 ? 4 : 0;
    mode |= cpu->s.cr0 & CR0_PE ? 8 : 0;
    mode |= cpu->s.cr0 & CR0_PG ? 16 : 0;
    mode |= cpu->s.efer & EFER_LMA ? 32 : 0;
    return mode;
}

/* ---- The set, and what was hit --------------------------------------------------------------- */

void watch_forget(struct cpu *cpu)
{
    cpu->access_hit.hits = cpu->change_hit.hits = cpu->exception_hit.hits = 0;
    cpu->mode_seen = mode_now(cpu);
    cpu->space_seen = cpu->s.cr3;
}

void watch_set(struct cpu *cpu)
{
    cpu->watching = cpu->watching_exceptions = cpu->watching_anything = false;
    cpu->mode_points = cpu->space_points = 0;
    for (unsigned i = 0; i < cpu->breakpoint_count; i++) {
        enum break_kind kind = cpu->breakpoints[i].kind;
        cpu->watching |= is_data(&cpu->breakpoints[i]);
        cpu->watching_exceptions |= kind == BREAK_EXCEPTION;
        cpu->watching_anything |= kind != BREAK_EXECUTE;
        if (kind == BREAK_MODE)
            cpu->mode_points |= 1ull << i;
        if (kind == BREAK_SPACE)
            cpu->space_points |= 1ull << i;
    }
    watch_forget(cpu);
}

bool watch_take(struct cpu *cpu, struct vcpu_exit *exit)
{
    const struct vcpu_exit *exception = &cpu->exception_hit;
    const struct vcpu_exit *data = cpu->access_hit.hits ? &cpu->access_hit : &cpu->change_hit;
    uint64_t data_hits = cpu->access_hit.hits | cpu->change_hit.hits;
    uint64_t mode_hits = mode_now(cpu) != cpu->mode_seen ? cpu->mode_points : 0;
    uint64_t space_hits = cpu->s.cr3 != cpu->space_seen ? cpu->space_points : 0;
    uint64_t hits = data_hits | exception->hits | mode_hits | space_hits;
    if (!hits) {
        cpu->mode_seen = mode_now(cpu);
        cpu->space_seen = cpu->s.cr3;
        return false;
    }
    *exit = (struct vcpu_exit){.kind = mode_hits ? EXIT_MODE : EXIT_SPACE};
    if (data_hits)
        *exit = *data;
    else if (exception->hits)
        exit->kind = EXIT_EXCEPTION;
    if (exception->hits) {
        exit->rip = exception->rip;
        exit->error = exception->error;
        exit->vector = exception->vector;
    }
    exit->hits = hits;
    watch_forget(cpu);
    return true;
}
