/* Decides where ring 3 moves to KVM, by what that gained before. */
#include "vmm/kvm/entering.h"

#include <stddef.h>

enum {
    /* A processor's own rate is not known: it cannot count instructions there. About the fastest
     * one, so that code that runs as fast as it can is not taken for slow. */
    OWN_RATE = 140,
    /* Code that is slow on the processor, too, looks as if much was to be gained: no more than this
     * is taken to be, in percent. */
    MOST_GAIN = 300,
    LEAST_STAYS_IN_COST = 2, /* a stay shorter than this many times its cost is not one that pays */
    SHORTEST = 1000,         /* instructions from which a rate can be told */
    FIRST_TRY = 4,           /* times the cost has to be spent before a stay is tried, ... */
    NEXT_TRY = 16,           /* ... and after one that failed, doubled each time ... */
    MOST_FAILURES = 10,      /* ... as often as this */
    CREDIT_PART = 32,        /* of the time in ring 3, that may be lost in tries */
    NEW_WEIGHT = 4,          /* one part in so many of an average is the newest value */
    MOST_JUMP = 8,           /* a value beyond so many times the average is the host's doing */
    MOST_EMPTY_NS = 20000,   /* a run of KVM that takes longer was not for nothing */
};
#define FIRST_NS       500000ull
#define COST_NS        60000ull
#define FIRST_CREDIT   8000000ull
#define MOST_CREDIT_NS 64000000ull

void entering_begin(struct entering *entering)
{
    *entering = (struct entering){.first_ns = FIRST_NS,
        .cost_ns = COST_NS,
        .credit_ns = FIRST_CREDIT,
        .empty_ns = MOST_EMPTY_NS};
}

static uint64_t mix(uint64_t space, uint64_t page)
{
    return ((space >> 12) * 0x9e3779b97f4a7c15ull + page) * 0xbf58476d1ce4e5b9ull >> 32;
}

static unsigned place_slot(const struct entering_place *place)
{
    return (unsigned)(mix(place->space, place->page) % ENTERING_PLACES);
}

static unsigned space_slot(const struct entering_place *place)
{
    return (unsigned)(mix(place->space, 0) % ENTERING_SPACES);
}

static bool is_of(const struct entering_record *record, uint64_t space, uint64_t page)
{
    return record->used && record->place.space == space && record->place.page == page;
}

/* The stays of the place, or if there were none those of its address space; NULL: nothing is known
 * of either. */
static const struct entering_record *find(
    const struct entering *entering, const struct entering_place *place)
{
    const struct entering_record *record = &entering->place[place_slot(place)];
    const struct entering_record *space = &entering->space[space_slot(place)];
    if (is_of(record, place->space, place->page) && record->stays)
        return record;
    return is_of(space, place->space, 0) ? space : NULL;
}

/* Another that has the same slot is forgotten. */
static struct entering_record *take(struct entering_record *record, uint64_t space, uint64_t page)
{
    if (!is_of(record, space, page))
        *record = (struct entering_record){.place = {.space = space, .page = page}, .used = true};
    return record;
}

static struct entering_record *take_place(
    struct entering *entering, const struct entering_place *place)
{
    return take(&entering->place[place_slot(place)], place->space, place->page);
}

static struct entering_record *take_space(
    struct entering *entering, const struct entering_place *place)
{
    return take(&entering->space[space_slot(place)], place->space, 0);
}

/* A moving average, which a single value cannot carry away. */
static void average(uint64_t *mean, uint64_t value)
{
    if (*mean && value > *mean * MOST_JUMP)
        value = *mean * MOST_JUMP;
    *mean = *mean ? (*mean * (NEW_WEIGHT - 1) + value) / NEW_WEIGHT : value;
}

static void note_soft(struct entering_record *record, uint64_t instructions, uint64_t ns)
{
    record->spent_ns += ns;
    if (instructions >= SHORTEST)
        average(&record->rate, ns * 1000 / instructions + 1);
}

void entering_note_soft(struct entering *entering, const struct entering_place *place,
    uint64_t instructions, uint64_t ns)
{
    note_soft(take_space(entering, place), instructions, ns);
    note_soft(take_place(entering, place), instructions, ns);
    entering->credit_ns += ns / CREDIT_PART;
    if (entering->credit_ns > MOST_CREDIT_NS)
        entering->credit_ns = MOST_CREDIT_NS;
}

/* What the software CPU would have taken longer for as much as KVM did in `ns`. */
static uint64_t gain_of(uint64_t rate, uint64_t ns)
{
    const uint64_t percent = rate > OWN_RATE ? (rate - OWN_RATE) * 100 / OWN_RATE : 0;
    return ns / 100 * (percent < MOST_GAIN ? percent : MOST_GAIN);
}

static bool pays(uint64_t rate, uint64_t ns, uint64_t cost_ns)
{
    return gain_of(rate, ns) > cost_ns && ns > cost_ns * LEAST_STAYS_IN_COST;
}

/* The shortest of late. */
uint64_t entering_note_run(struct entering *entering, uint64_t ns)
{
    entering->empty_ns += entering->empty_ns / 256 + 1;
    if (entering->empty_ns > MOST_EMPTY_NS)
        entering->empty_ns = MOST_EMPTY_NS;
    if (entering->empty_ns > ns)
        entering->empty_ns = ns;
    return ns - entering->empty_ns;
}

static void note_stay(
    struct entering_record *record, uint64_t rate, uint64_t ns, uint64_t cost_ns, bool paid)
{
    if (!record->rate)
        record->rate = rate;
    record->stays++;
    record->spent_ns = 0;
    average(&record->stay_ns, ns + 1);
    average(&record->cost_ns, cost_ns + 1);
    if (paid)
        record->failures = 0;
    else if (record->failures < MOST_FAILURES)
        record->failures++;
}

void entering_note_stay(
    struct entering *entering, const struct entering_place *place, uint64_t ns, uint64_t cost_ns)
{
    struct entering_record *space = take_space(entering, place);
    struct entering_record *record = take_place(entering, place);
    const uint64_t rate = record->rate ? record->rate : space->rate, gain = gain_of(rate, ns);
    const uint64_t lost = cost_ns > gain ? cost_ns - gain : 0;
    entering->credit_ns -= lost < entering->credit_ns ? lost : entering->credit_ns;
    average(space->stays ? &entering->cost_ns : &entering->first_ns, cost_ns);
    /* The next one does not have to make what the first one did. */
    const uint64_t usual_ns = space->stays ? cost_ns : entering->cost_ns;
    const bool paid = pays(rate, ns, usual_ns);
    note_stay(space, rate, ns, usual_ns, paid);
    note_stay(record, rate, ns, usual_ns, paid);
}

static bool has_paid(const struct entering_record *record)
{
    return record && record->stays && pays(record->rate, record->stay_ns, record->cost_ns);
}

bool entering_has_paid(const struct entering *entering, const struct entering_place *place)
{
    return has_paid(find(entering, place));
}

bool entering_pays(const struct entering *entering, const struct entering_place *place)
{
    const struct entering_record *record = find(entering, place);
    if (!record || has_paid(record))
        return record != NULL;
    const uint64_t cost = record->stays ? record->cost_ns : entering->first_ns;
    const uint64_t patience = record->failures ? (uint64_t)NEXT_TRY << record->failures : FIRST_TRY;
    return entering->credit_ns >= cost && record->spent_ns / patience >= cost &&
           gain_of(record->rate, record->spent_ns) > cost;
}
