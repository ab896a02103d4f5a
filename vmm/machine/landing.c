/* Landings that only the guest's state can name. */
#include "vmm/machine/landing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/digest.h"
#include "vmm/arch/repeat.h"

static int set_pages(
    struct landing *landing, const uint64_t *gpas, unsigned count, struct error *error)
{
    landing->pages = calloc((size_t)count + 1, sizeof *landing->pages);
    if (!landing->pages)
        return error_set(error, "out of memory for a landing");
    for (unsigned i = 0; i < count; i++)
        landing->pages[i].gpa = gpas[i];
    landing->page_count = count;
    return 0;
}

/* The two ascending lists as one, in `gpas`. */
static int add_pages(uint64_t **gpas, unsigned *count, const uint64_t *more, unsigned more_count)
{
    uint64_t *both = malloc(((size_t)*count + more_count + 1) * sizeof *both);
    if (!both)
        return -1;
    unsigned n = 0, i = 0, j = 0;
    while (i < *count || j < more_count) {
        bool is_first = j == more_count || (i < *count && (*gpas)[i] <= more[j]);
        uint64_t gpa = is_first ? (*gpas)[i++] : more[j++];
        if (n == 0 || both[n - 1] != gpa)
            both[n++] = gpa;
    }
    free(*gpas);
    *gpas = both;
    *count = n;
    return 0;
}

/* What was written since the last landing, at least; each engine knows of its own writes. */
static int take_dirty_pages(
    struct machine *machine, uint64_t **gpas, unsigned *count, struct error *error)
{
    struct engine *const engine = machine->engine;
    struct engine *const other = engine == machine->soft ? machine->home : machine->soft;
    uint64_t *more;
    unsigned more_count;
    if (engine_take_dirty_pages(engine, gpas, count, error) < 0)
        return -1;
    if (!machine->run.assisted || other == engine)
        return 0;
    int result = engine_take_dirty_pages(other, &more, &more_count, error);
    if (result == 0) {
        if (add_pages(gpas, count, more, more_count) < 0)
            result = error_set(error, "out of memory for a landing");
        free(more);
    }
    if (result < 0)
        free(*gpas);
    return result;
}

int landing_capture(struct machine *machine, struct landing *landing, struct error *error)
{
    *landing = (struct landing){0};
    struct engine *engine = machine->engine;
    uint64_t *gpas;
    unsigned count;
    if (engine_export_state(engine, &landing->state, error) < 0 ||
        take_dirty_pages(machine, &gpas, &count, error) < 0)
        return -1;
    fpu_put_aside(&landing->state.fpu, machine->config->personality);
    int result = set_pages(landing, gpas, count, error);
    free(gpas);
    if (result == 0)
        result = digest_pages(&machine->memory, &landing->state, landing->pages, count, error);
    if (result < 0)
        landing_free(landing);
    return result;
}

void landing_free(struct landing *landing)
{
    free(landing->pages);
    landing->pages = NULL;
    landing->page_count = 0;
}

/* In a loop that differs in memory alone it is the same page every time: that one is tried first.
 */
static bool pages_match(struct machine *machine, struct landing *landing)
{
    const unsigned count = landing->page_count, first = landing->telling_page;
    for (unsigned i = 0; i < count; i++) {
        unsigned number = (first + i) % count;
        if (!digest_page_matches(&machine->memory, &landing->state, &landing->pages[number])) {
            landing->telling_page = number;
            return false;
        }
    }
    return true;
}

/* In front of the first iteration the software CPU has RF clear, unless an IRET set it there, which
 * looks the same. */
static bool is_between_iterations(const struct machine *machine, const struct vcpu_state *state)
{
    struct repeat repeat;
    return (state->rflags & FLAG_RF) && repeat_at_rip(&machine->memory, state, &repeat) &&
           repeat.left;
}

/* What processors differ in between two iterations, as the landing has it. */
static void settle_flags(
    const struct machine *machine, const struct landing *landing, struct vcpu_state *state)
{
    const uint64_t arithmetic = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;
    const struct engine *engine = machine->engine;
    const uint64_t wanted = landing->state.rflags;
    uint64_t other;
    if (!is_between_iterations(machine, state))
        return;
    state->rflags = (state->rflags & ~FLAG_RF) | (wanted & FLAG_RF);
    if (engine->ops->other_flags && engine->ops->other_flags(engine, &other) &&
        other == (wanted & arithmetic))
        state->rflags = (state->rflags & ~arithmetic) | other;
}

static void keep_nearest(
    const struct machine *machine, struct landing *landing, const struct vcpu_state *state)
{
    unsigned nearest = state ? NEAREST_PAGES : NEAREST_REGISTERS;
    if (landing->nearest >= nearest)
        return;
    landing->nearest = nearest;
    landing->nearest_insns = machine->engine->retired - machine->position.event_retired;
    if (state)
        landing->nearest_state = *state;
    else
        landing->nearest_page = landing->pages[landing->telling_page].gpa;
}

int landing_matches(struct machine *machine, struct landing *landing, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    if (!pages_match(machine, landing)) {
        keep_nearest(machine, landing, NULL);
        return 0;
    }
    if (engine_export_state(engine, &state, error) < 0)
        return -1;
    fpu_put_aside(&state.fpu, machine->config->personality);
    settle_flags(machine, landing, &state);
    if (vcpu_digest_full(&state) == vcpu_digest_full(&landing->state))
        return 1;
    keep_nearest(machine, landing, &state);
    return 0;
}

void landing_describe_nearest(const struct landing *landing, struct buffer *out)
{
    if (landing->nearest == NEAREST_NONE) {
        buffer_printf(out, "it came nowhere to the general registers of the recorded landing\n");
        return;
    }
    buffer_printf(out,
        "it came nearest to the recorded landing %" PRIu64
        " instructions after the event: all general registers are equal there, ",
        landing->nearest_insns);
    if (landing->nearest == NEAREST_REGISTERS) {
        buffer_printf(out, "and the memory at %#" PRIx64 " differs\n", landing->nearest_page);
        return;
    }
    buffer_printf(out, "and so is memory; recorded, replayed:\n");
    vcpu_compare(&landing->state, &landing->nearest_state, out);
}

void landing_save(const struct landing *landing, struct buffer *out)
{
    vcpu_save(&landing->state, out);
    buffer_put_varint(out, landing->page_count);
    uint64_t last = 0;
    for (unsigned i = 0; i < landing->page_count; i++) {
        const struct page_digest *page = &landing->pages[i];
        buffer_put_varint(out, (page->gpa - last) / PAGE_SIZE << 1 | page->is_table);
        buffer_put_u64(out, page->digest);
        last = page->gpa;
    }
}

int landing_restore(struct landing *landing, struct reader *in, struct error *error)
{
    *landing = (struct landing){0};
    vcpu_restore(&landing->state, in);
    uint64_t count = reader_get_varint(in);
    if (in->failed || count > reader_left(in)) {
        in->failed = true;
        return error_set(error, "a landing record is damaged");
    }
    landing->pages = calloc(count + 1, sizeof *landing->pages);
    if (!landing->pages)
        return error_set(error, "out of memory for a landing");
    uint64_t last = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct page_digest *page = &landing->pages[i];
        uint64_t step = reader_get_varint(in);
        last += (step >> 1) * PAGE_SIZE;
        *page =
            (struct page_digest){.gpa = last, .is_table = step & 1, .digest = reader_get_u64(in)};
    }
    landing->page_count = (unsigned)count;
    if (in->failed) {
        landing_free(landing);
        return error_set(error, "a landing record is damaged");
    }
    return 0;
}
