/* Data breakpoints: the engine's watchpoints and the guest's debug registers. */
#include "vmm/cpu/cpu.h"

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

bool watch_page(const struct cpu *cpu, uint64_t linear_page, uint64_t gpa_page)
{
    uint64_t address, size;
    for (unsigned i = 0; i < cpu->breakpoint_count && cpu->watching; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        if (point->kind != BREAK_EXECUTE && overlap(point->physical ? gpa_page : linear_page,
                                                PAGE_SIZE, point->address, point->length))
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

static void watch_ranges(
    struct cpu *cpu, uint64_t linear, uint64_t gpa, unsigned size, bool is_write)
{
    for (unsigned i = 0; i < cpu->breakpoint_count; i++) {
        const struct breakpoint *point = &cpu->breakpoints[i];
        if (point->kind == BREAK_EXECUTE ||
            (point->kind == (is_write ? BREAK_READ : BREAK_WRITE)) ||
            !overlap(point->physical ? gpa : linear, size, point->address, point->length))
            continue;
        cpu->watch_hit = true;
        cpu->watch_exit = (struct vcpu_exit){.kind = EXIT_WATCHPOINT,
            .size = (uint8_t)size,
            .is_write = is_write,
            .address = linear};
        cpu->stop_requested = true;
        return;
    }
}

void watch_access(struct cpu *cpu, uint64_t linear, uint64_t gpa, unsigned size, bool is_write)
{
    uint64_t address, length;
    if (cpu->watching && !cpu->watch_hit)
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
