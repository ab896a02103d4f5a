/* Finds a Linux kernel's per-CPU variables. */
#include "debugger/percpu.h"

#include <inttypes.h>

enum { MAX_CPUS = 8192 };

static int find_base(const struct symbols *symbols, const struct view *view, uint64_t cpu,
    uint64_t *base, struct error *error)
{
    const struct symbol *offsets = symbols_find(symbols, "__per_cpu_offset");
    const struct symbol *number = symbols_find(symbols, "nr_cpu_ids");
    uint64_t count = MAX_CPUS;
    if (cpu == PERCPU_THIS) {
        *base = view_percpu_base(view);
        return *base ? 0 : error_set(error, "the per-CPU areas are not set up at this position");
    }
    if (number)
        view_read_number(view, number->address, 4, &count);
    if (cpu >= count)
        return error_set(error, "no CPU %" PRIu64 ": this kernel has %" PRIu64, cpu, count);
    if (!offsets || !view_read_number(view, offsets->address + cpu * 8, 8, base))
        return error_set(error, "the kernel's __per_cpu_offset cannot be read");
    return 0;
}

int percpu_select(const struct symbols *symbols, const struct view *view, uint64_t cpu,
    struct value *value, struct error *error)
{
    uint64_t base, address;
    struct type type = value->type;
    if (value->in_memory) {
        address = value->address;
    } else if (type_kind(&type) == TYPE_POINTER) {
        address = value->bits;
        type = type_target(&type);
    } else {
        return error_set(error, "$percpu: give a per-CPU variable, or a pointer to one");
    }
    /* An offset, as in the kernel's own pointers, or this CPU's place already. */
    if (address >> 63)
        address -= view_percpu_base(view);
    if (address >> 32)
        return error_set(error, "$percpu: not a per-CPU variable");
    if (find_base(symbols, view, cpu, &base, error) < 0)
        return -1;
    unsigned bits = value->field_bits, shift = value->field_shift;
    *value = value_at(base + address, &type);
    value->field_bits = bits;
    value->field_shift = shift;
    return 0;
}
