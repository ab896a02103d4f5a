/* Turns of several vCPUs, drawn from a seed. */
#include "vmm/machine/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "vmm/machine/vcpus.h"

/* PCT draws its points from so many instructions unless told otherwise: a boot of Linux. */
#define DEFAULT_LENGTH 1000000000u
/* A vCPU that PCT lets run for so many of the longest turns gives way. */
enum { PATIENCE = 100 };

/* ---- Names ----------------------------------------------------------------------------------- */

static bool number(const char **text, int base, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(*text, &end, base);
    bool good = end != *text && errno == 0 && **text != '-' && **text != '+';
    *text = end;
    return good;
}

static bool parse_pct(const char *text, struct schedule *schedule)
{
    uint64_t depth;
    schedule->kind = SCHEDULE_PCT;
    schedule->length = DEFAULT_LENGTH;
    if (!number(&text, 10, &depth) || depth == 0 || depth > SCHEDULE_MAX_DEPTH)
        return false;
    schedule->depth = (unsigned)depth;
    if (*text == ',' && (text++, !number(&text, 10, &schedule->length)))
        return false;
    return *text == '\0' && schedule->length > 0;
}

static bool parse_range(const char *text, struct schedule *schedule)
{
    schedule->kind = SCHEDULE_EVERY_ACCESS;
    schedule->range = (struct breakpoint){.kind = BREAK_ACCESS};
    if (strncmp(text, "phys:", 5) == 0) {
        schedule->range.physical = true;
        text += 5;
    }
    return number(&text, 0, &schedule->range.address) && *text == '+' &&
           (text++, number(&text, 0, &schedule->range.length)) && *text == '\0' &&
           schedule->range.length > 0 && schedule->range.length <= PAGE_SIZE;
}

int schedule_parse(const char *text, struct schedule *schedule, struct error *error)
{
    *schedule = (struct schedule){.kind = SCHEDULE_RANDOM};
    if (strcmp(text, "random") == 0 ||
        (strncmp(text, "pct:", 4) == 0 && parse_pct(text + 4, schedule)) ||
        (strncmp(text, "every-access:", 13) == 0 && parse_range(text + 13, schedule)))
        return 0;
    return error_set(error,
        "'%s' is no schedule: random, pct:DEPTH[,LENGTH] with a depth of 1 to %d, or "
        "every-access:[phys:]ADDRESS+SIZE with a size of 1 to 4096",
        text, SCHEDULE_MAX_DEPTH);
}

/* ---- The generator --------------------------------------------------------------------------- */

static uint64_t draw(struct schedule *schedule)
{
    return random_draw(&schedule->random);
}

/* The running vCPU has something to do: instructions, or an interrupt that is about to wake it. */
static bool is_busy(const struct machine *machine)
{
    return vcpus_can_run(machine, machine->current) || vcpus_is_waking(machine);
}

/* ---- PCT ---------------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void draw_priorities(struct schedule *schedule, const struct machine *machine)
{
    const unsigned count = machine->config->cpus;
    for (unsigned i = 0; i < count; i++)
        schedule->priority[i] = i + 1;
    for (unsigned i = count; i > 1; i--) {
        unsigned other = (unsigned)(draw(schedule) % i);
        int64_t kept = schedule->priority[i - 1];
        schedule->priority[i - 1] = schedule->priority[other];
        schedule->priority[other] = kept;
    }
    for (unsigned i = 0; i + 1 < schedule->depth; i++)
        schedule->points[i] = machine->engine->retired + draw(schedule) % schedule->length;
    qsort(schedule->points, schedule->depth - 1, sizeof schedule->points[0], compare);
}

static void demote(struct schedule *schedule, unsigned index)
{
    schedule->priority[index] = --schedule->lowest;
}

/* The change points that were passed make the running vCPU the last one; so does a long turn. */
static void pass_points(struct schedule *schedule, const struct machine *machine)
{
    const uint64_t now = machine->engine->retired;
    while (schedule->point + 1 < schedule->depth && schedule->points[schedule->point] <= now) {
        schedule->point++;
        demote(schedule, machine->current);
    }
    if (now >= schedule->turn_end) {
        demote(schedule, machine->current);
        schedule->turn_end = now + (uint64_t)machine->config->turn[1] * PATIENCE;
    }
}

static bool next_by_priority(
    struct schedule *schedule, const struct machine *machine, unsigned *index)
{
    pass_points(schedule, machine);
    int64_t best = is_busy(machine) ? schedule->priority[machine->current] : INT64_MIN;
    bool found = false;
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        if (i == machine->current || !vcpus_can_run(machine, i) || schedule->priority[i] <= best)
            continue;
        best = schedule->priority[i];
        *index = i;
        found = true;
    }
    if (found)
        schedule->turn_end =
            machine->engine->retired + (uint64_t)machine->config->turn[1] * PATIENCE;
    return found;
}

/* ---- Random turns ------------------------------------------------------------------------------
 */

/* One of the others that can run, each as likely. */
static unsigned choose(struct schedule *schedule, const struct machine *machine)
{
    unsigned candidates[CONFIG_MAX_CPUS], count = 0;
    for (unsigned i = 0; i < machine->config->cpus; i++) {
        if (i != machine->current && vcpus_can_run(machine, i))
            candidates[count++] = i;
    }
    return candidates[draw(schedule) % count];
}

bool schedule_next(struct schedule *schedule, struct machine *machine, unsigned *index)
{
    if (schedule->kind == SCHEDULE_PCT)
        return next_by_priority(schedule, machine, index);
    bool is_over = machine->engine->retired >= schedule->turn_end;
    if (!is_over && is_busy(machine))
        return false;
    if (!vcpus_others_can_run(machine))
        return false;
    const uint32_t *turn = machine->config->turn;
    *index = choose(schedule, machine);
    schedule->turn_end =
        machine->engine->retired + turn[0] + draw(schedule) % ((uint64_t)turn[1] - turn[0] + 1);
    return true;
}

/* ---- The interface -----------------------------------------------------------------------------
 */

int schedule_begin(struct schedule *schedule, struct machine *machine, struct error *error)
{
    if (schedule_parse(machine->config->schedule, schedule, error) < 0)
        return -1;
    schedule->random = machine->config->seed;
    if (machine->config->cpus == 1)
        return 0;
    if (schedule->kind == SCHEDULE_PCT)
        draw_priorities(schedule, machine);
    if (schedule->kind == SCHEDULE_EVERY_ACCESS)
        return machine_end_turns_at(machine, &schedule->range, error);
    return 0;
}

uint64_t schedule_left(const struct schedule *schedule, const struct machine *machine)
{
    uint64_t now = machine->engine->retired, end = schedule->turn_end;
    if (!vcpus_others_can_run(machine))
        return BUDGET_UNLIMITED;
    if (schedule->kind == SCHEDULE_PCT && schedule->point + 1 < schedule->depth &&
        schedule->points[schedule->point] < end)
        end = schedule->points[schedule->point];
    return end > now ? end - now : 0;
}

void schedule_yield(struct schedule *schedule, const struct machine *machine)
{
    schedule->turn_end = machine->engine->retired;
}

bool schedule_accessed(struct schedule *schedule, const struct machine *machine)
{
    if (draw(schedule) & 1 || !vcpus_others_can_run(machine))
        return false;
    schedule_yield(schedule, machine);
    return true;
}
