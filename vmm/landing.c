#include "vmm/landing.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/digest.h"

/* Every page of RAM: when the software CPU also wrote in this stretch, KVM's log is not enough. */
static int all_pages(struct machine *machine, struct landing *landing, struct error *error)
{
    uint64_t count = machine->memory.size / PAGE_SIZE;
    uint64_t *pages = malloc(count * sizeof *pages);
    if (!pages)
        return error_set(error, "out of memory for a landing");
    unsigned n = 0;
    for (unsigned r = 0; r < 2; r++) {
        const struct memory_region *region = &machine->memory.region[r];
        for (uint64_t at = 0; at < region->size; at += PAGE_SIZE)
            pages[n++] = region->gpa + at;
    }
    free(landing->pages);
    landing->pages = pages;
    landing->page_count = n;
    return 0;
}

int landing_capture(struct machine *machine, struct landing *landing, struct error *error)
{
    *landing = (struct landing){0};
    struct engine *engine = machine->engine;
    if (engine->ops->export_state(engine, &landing->state, error) < 0 ||
        engine->ops->take_dirty_pages(engine, &landing->pages, &landing->page_count, error) < 0)
        return -1;
    if ((machine->assisted && all_pages(machine, landing, error) < 0) ||
        digest_pages(&machine->memory, &landing->state, landing->pages, landing->page_count,
            &landing->pages_digest, error) < 0) {
        landing_free(landing);
        return -1;
    }
    return 0;
}

void landing_free(struct landing *landing)
{
    free(landing->pages);
    landing->pages = NULL;
    landing->page_count = 0;
}

int landing_matches(struct machine *machine, const struct landing *landing, struct error *error)
{
    struct vcpu_state state;
    struct engine *engine = machine->engine;
    if (engine->ops->export_state(engine, &state, error) < 0)
        return -1;
    if (state.rip != landing->state.rip ||
        memcmp(state.gpr, landing->state.gpr, sizeof state.gpr) != 0 ||
        vcpu_digest_full(&state) != vcpu_digest_full(&landing->state))
        return 0;
    uint64_t digest;
    if (digest_pages(
            &machine->memory, &state, landing->pages, landing->page_count, &digest, error) < 0)
        return -1;
    return digest == landing->pages_digest;
}

void landing_save(const struct landing *landing, struct buffer *out)
{
    vcpu_save(&landing->state, out);
    buffer_put_u64(out, landing->pages_digest);
    buffer_put_varint(out, landing->page_count);
    uint64_t last = 0;
    for (unsigned i = 0; i < landing->page_count; i++) {
        buffer_put_varint(out, (landing->pages[i] - last) / PAGE_SIZE);
        last = landing->pages[i];
    }
}

int landing_restore(struct landing *landing, struct reader *in, struct error *error)
{
    *landing = (struct landing){0};
    vcpu_restore(&landing->state, in);
    landing->pages_digest = reader_get_u64(in);
    uint64_t count = reader_get_varint(in);
    if (in->failed || count > reader_left(in))
        return error_set(error, "a landing record is damaged");
    landing->pages = malloc((count + 1) * sizeof *landing->pages);
    if (!landing->pages)
        return error_set(error, "out of memory for a landing");
    uint64_t last = 0;
    for (uint64_t i = 0; i < count; i++) {
        last += reader_get_varint(in) * PAGE_SIZE;
        landing->pages[i] = last;
    }
    landing->page_count = (unsigned)count;
    if (in->failed) {
        landing_free(landing);
        return error_set(error, "a landing record is damaged");
    }
    return 0;
}
