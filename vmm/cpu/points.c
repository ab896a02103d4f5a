/* Places in code where execution stops: the engine's BREAK_EXECUTE. */
#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/blocks.h"
#include "vmm/cpu/cpu.h"

/* More changed places than these are not worth looking up block by block. */
enum { MANY_CHANGES = 256 };

static bool has_bit(const uint8_t *bits, uint64_t linear)
{
    uint64_t offset = linear % PAGE_SIZE;
    return bits[offset / 8] >> (offset % 8) & 1;
}

static void set_bit(uint8_t *bits, uint64_t linear)
{
    uint64_t offset = linear % PAGE_SIZE;
    bits[offset / 8] |= (uint8_t)(1 << offset % 8);
}

static bool is_range(const struct breakpoint *point)
{
    return point->kind == BREAK_EXECUTE && !point->place_count && point->length > 1;
}

/* ---- Taking them over ------------------------------------------------------------------------ */

static int by_address(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void mark(struct code_points *points, const struct breakpoint *point)
{
    for (unsigned i = 0; i < point->place_count; i++)
        set_bit(point->places[i] >> 63 ? points->apart : points->anywhere, point->places[i]);
    points->has_ranges |= is_range(point);
    uint64_t length = point->length < PAGE_SIZE ? point->length : PAGE_SIZE;
    for (uint64_t i = 0; i < (length ? length : 1) && !point->place_count; i++)
        set_bit(points->anywhere, point->address + i);
}

static void add_places(struct code_points *points, const struct breakpoint *point)
{
    if (!point->place_count && !is_range(point))
        points->places[points->count++] = point->address;
    if (point->place_count)
        memcpy(points->places + points->count, point->places,
            point->place_count * sizeof *point->places);
    points->count += point->place_count;
}

static bool gather(struct code_points *points, const struct breakpoint *list, unsigned count)
{
    uint64_t total = 0;
    *points = (struct code_points){0};
    for (unsigned i = 0; i < count; i++)
        total += list[i].place_count + 1;
    points->places = calloc(total + 1, sizeof *points->places);
    for (unsigned i = 0; i < count && points->places; i++) {
        if (list[i].kind != BREAK_EXECUTE)
            continue;
        mark(points, &list[i]);
        add_places(points, &list[i]);
    }
    if (points->count)
        qsort(points->places, points->count, sizeof *points->places, by_address);
    return points->places != NULL;
}

/* The code at places that one of the lists has and the other has not is decoded anew. */
static void drop_changed(struct cpu *cpu, const struct code_points *a, const struct code_points *b)
{
    unsigned i = 0, j = 0, changes = 0;
    while (i < a->count || j < b->count) {
        bool first = j == b->count || (i < a->count && a->places[i] < b->places[j]);
        bool second = i == a->count || (j < b->count && b->places[j] < a->places[i]);
        if ((first || second) && ++changes == MANY_CHANGES) {
            blocks_flush(cpu);
            return;
        }
        if (first || second)
            blocks_drop_offset(cpu, (first ? a->places[i] : b->places[j]) % PAGE_SIZE);
        i += !second;
        j += !first;
    }
}

int points_set(struct cpu *cpu, const struct breakpoint *list, unsigned count)
{
    struct code_points points;
    if (!gather(&points, list, count))
        return -1;
    if (points.has_ranges || cpu->code_points.has_ranges)
        blocks_flush(cpu);
    else
        drop_changed(cpu, &cpu->code_points, &points);
    points_free(cpu);
    cpu->code_points = points;
    return 0;
}

void points_free(struct cpu *cpu)
{
    free(cpu->code_points.places);
    cpu->code_points.places = NULL;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool contains(const uint64_t *places, unsigned count, uint64_t linear)
{
    return count && bsearch(&linear, places, count, sizeof *places, by_address);
}

bool points_may_break(const struct cpu *cpu, uint64_t linear)
{
    const struct code_points *points = &cpu->code_points;
    if (has_bit(points->anywhere, linear))
        return true;
    return has_bit(points->apart, linear) &&
           (!(linear >> 63) || contains(points->places, points->count, linear));
}

static bool is_at(const struct cpu *cpu, const struct breakpoint *point, uint64_t linear)
{
    uint64_t at = linear;
    if (point->kind != BREAK_EXECUTE)
        return false;
    if (point->place_count)
        return contains(point->places, point->place_count, linear);
    if (point->physical && !cpu_translate_quiet(cpu, linear, &at))
        return false;
    return at == point->address || at - point->address < point->length;
}

uint64_t points_at(const struct cpu *cpu, uint64_t linear)
{
    const struct code_points *points = &cpu->code_points;
    uint64_t hits = 0;
    if (!has_bit(points->anywhere, linear) && !has_bit(points->apart, linear))
        return 0;
    for (unsigned i = 0; i < cpu->breakpoint_count; i++) {
        if (is_at(cpu, &cpu->breakpoints[i], linear))
            hits |= 1ull << i;
    }
    return hits;
}
