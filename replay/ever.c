/* Searches memory all through the run. */
#include "replay/ever.h"

#include <stdlib.h>
#include <string.h>

#include "replay/walk.h"

struct search {
    struct timeline *timeline;
    const struct memory *memory;
    const uint8_t *pattern;
    size_t size;
    uint64_t *places; /* where it stands, ascending */
    unsigned count;
    uint8_t *written; /* a bit for each page of RAM: to be looked at */
    bool overflowed;
    /* Where it stood first, in the slice that begins there; and what stood last. */
    uint64_t first_slice, last_slice;
    uint64_t *last_places;
    unsigned last_count, first_count;
    uint64_t first_places[TIMELINE_MAX_CONDITIONS];
};

/* ---- Looking at pages -------------------------------------------------------------------------
 */

static void on_written(void *context, uint64_t page)
{
    struct search *search = context;
    search->written[page / 8] |= (uint8_t)(1u << page % 8);
}

/* The first place at or after `gpa`. */
static unsigned lower_bound(const struct search *search, uint64_t gpa)
{
    unsigned low = 0, high = search->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (search->places[middle] < gpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Replaces the places in [from, from + length) by those where it stands now. */
static void look_at(struct search *search, uint64_t from, uint64_t length, const uint8_t *host)
{
    unsigned first = lower_bound(search, from), past = lower_bound(search, from + length);
    memmove(search->places + first, search->places + past,
        (search->count - past) * sizeof *search->places);
    search->count -= past - first;
    const uint8_t *at = host, *end = host + length + search->size - 1;
    while ((at = memmem(at, (size_t)(end - at), search->pattern, search->size))) {
        if (search->count == EVER_MAX_PLACES) {
            search->overflowed = true;
            return;
        }
        memmove(search->places + first + 1, search->places + first,
            (search->count - first) * sizeof *search->places);
        search->places[first++] = from + (uint64_t)(at - host);
        search->count++;
        at++;
    }
}

/* A page, and where the pattern begins before it and ends in it. */
static void look_at_page(struct search *search, uint64_t page)
{
    uint64_t gpa = memory_gpa(search->memory, page * PAGE_SIZE), before = search->size - 1;
    const struct memory_region *region = &search->memory->region[0];
    if (gpa - region->gpa >= region->size)
        region = &search->memory->region[1];
    uint64_t offset = gpa - region->gpa;
    uint64_t start = offset > before ? offset - before : 0, end = offset + PAGE_SIZE;
    if (end + before > region->size)
        end = region->size - before;
    if (start < end)
        look_at(search, region->gpa + start, end - start, region->host + start);
}

static void look(struct search *search)
{
    uint64_t bytes = (search->memory->size / PAGE_SIZE + 7) / 8;
    for (uint64_t i = 0; i < bytes; i++) {
        for (unsigned bits = search->written[i]; bits && !search->overflowed; bits &= bits - 1)
            look_at_page(search, i * 8 + (unsigned)__builtin_ctz(bits));
        search->written[i] = 0;
    }
}

/* ---- The run -----------------------------------------------------------------------------------
 */

/* What stands now was there when the slice that begins at `retired` ended. */
static void keep(struct search *search, struct ever *ever, uint64_t slice, uint64_t retired)
{
    if (search->count == 0)
        return;
    if (!ever->found) {
        search->first_slice = slice;
        ever->first.gpa = search->places[0];
        for (; search->first_count < search->count && search->first_count < TIMELINE_MAX_CONDITIONS;
             search->first_count++)
            search->first_places[search->first_count] = search->places[search->first_count];
    }
    ever->found = true;
    search->last_slice = retired;
    search->last_count = search->count;
    memcpy(search->last_places, search->places, search->count * sizeof *search->places);
}

static uint64_t next_look(uint64_t retired)
{
    uint64_t more = retired / 64;
    return retired + (more < EVER_LEAST ? EVER_LEAST : more > EVER_MOST ? EVER_MOST : more);
}

static int run(
    struct search *search, struct ever *ever, struct timeline_stop *stop, struct error *error)
{
    struct timeline *timeline = search->timeline;
    struct memory_walk walk;
    uint64_t offset, slice = 0;
    if (timeline_seek(timeline, (struct position){0, 0}, stop, error) < 0)
        return -1;
    memory_walk_begin(&walk, search->memory);
    while (memory_walk_next(&walk, &offset))
        on_written(search, offset / PAGE_SIZE);
    memory_walk_end(&walk);
    look(search);
    keep(search, ever, 0, 0);
    ever->from_start = search->count != 0;
    while (stop->why != TIMELINE_END && !search->overflowed) {
        if (timeline_pass(timeline, POSITION_END, next_look(slice), stop, error) < 0 ||
            checkpoints_collect(timeline->checkpoints, error) < 0)
            return -1;
        if (stop->why == TIMELINE_INTERRUPTED)
            return 0;
        look(search);
        ever->looks++;
        keep(search, ever, slice, timeline_retired(timeline));
        slice = timeline_retired(timeline);
    }
    ever->to_end = search->count != 0;
    return search->overflowed
               ? error_set(error, "it stands in more than %d places at once: give more bytes",
                     EVER_MAX_PLACES)
               : 0;
}

/* ---- To the instruction -------------------------------------------------------------------------
 */

static bool stands(const struct search *search, uint64_t gpa)
{
    const uint8_t *host = memory_at(search->memory, gpa, search->size);
    return host && memcmp(host, search->pattern, search->size) == 0;
}

struct watched {
    const struct search *search;
    bool wanted;
};

/* Does it stand in any of the places watched, or in none? */
static bool is_wanted(void *context, struct timeline *timeline)
{
    const struct watched *watched = context;
    const struct search *search = watched->search;
    (void)timeline;
    bool any = false;
    for (unsigned i = 0; i < search->last_count && !any; i++)
        any = stands(search, search->last_places[i]);
    return any == watched->wanted;
}

static unsigned watch(const struct search *search, struct watched *watched,
    struct timeline_condition conditions[TIMELINE_MAX_CONDITIONS])
{
    unsigned count = 0;
    for (; count < search->last_count && count < TIMELINE_MAX_CONDITIONS; count++)
        conditions[count] = (struct timeline_condition){.kind = CONDITION_WRITE,
            .physical = true,
            .address = search->last_places[count],
            .length = search->size,
            .accept = watched ? is_wanted : NULL,
            .context = watched};
    return count;
}

/* The write after which it stands in the places watched, or no longer does; then back before it. */
static int find_change(struct search *search, bool wanted, struct ever_change *change,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_condition conditions[TIMELINE_MAX_CONDITIONS];
    struct watched watched = {search, wanted};
    unsigned count = watch(search, &watched, conditions);
    if (timeline_run(search->timeline, FORWARD, conditions, count, stop, error) < 0)
        return -1;
    if (stop->why != TIMELINE_CONDITION)
        return stop->why == TIMELINE_INTERRUPTED
                   ? 0
                   : error_set(error, "the write that was seen is not found again");
    change->gpa = search->last_places[stop->condition];
    count = watch(search, NULL, conditions);
    if (timeline_run(search->timeline, BACKWARD, conditions, count, stop, error) < 0)
        return -1;
    change->position = timeline_position(search->timeline);
    change->delivered = timeline_delivered(search->timeline);
    return 0;
}

static int find_first(
    struct search *search, struct ever *ever, struct timeline_stop *stop, struct error *error)
{
    memcpy(search->last_places, search->first_places, sizeof search->first_places);
    search->last_count = search->first_count;
    if (timeline_seek_retired(search->timeline, search->first_slice, stop, error) < 0)
        return -1;
    return find_change(search, true, &ever->first, stop, error);
}

static int find_last(
    struct search *search, struct ever *ever, struct timeline_stop *stop, struct error *error)
{
    if (timeline_seek_retired(search->timeline, search->last_slice, stop, error) < 0)
        return -1;
    return find_change(search, false, &ever->last, stop, error);
}

int ever_find(struct timeline *timeline, const uint8_t *pattern, size_t size, struct ever *ever,
    struct timeline_stop *stop, struct error *error)
{
    struct search search = {.timeline = timeline,
        .memory = &timeline_machine(timeline)->memory,
        .pattern = pattern,
        .size = size};
    *ever = (struct ever){0};
    search.places = calloc(EVER_MAX_PLACES, sizeof *search.places);
    search.last_places = calloc(EVER_MAX_PLACES, sizeof *search.last_places);
    search.written = calloc(1, search.memory->size / PAGE_SIZE / 8 + 1);
    int status = search.places && search.last_places && search.written
                     ? 0
                     : error_set(error, "out of memory");
    if (status == 0) {
        checkpoints_tell(timeline->checkpoints, on_written, &search);
        status = run(&search, ever, stop, error);
        checkpoints_tell(timeline->checkpoints, NULL, NULL);
    }
    if (status == 0 && stop->why != TIMELINE_INTERRUPTED && ever->found && !ever->to_end)
        status = find_last(&search, ever, stop, error);
    if (status == 0 && stop->why != TIMELINE_INTERRUPTED && ever->found && !ever->from_start)
        status = find_first(&search, ever, stop, error);
    if (status == 0 && stop->why != TIMELINE_INTERRUPTED)
        stop->why = TIMELINE_DONE;
    free(search.places);
    free(search.last_places);
    free(search.written);
    return status;
}
