/* The choices of a live run: noted, and followed in part. */
#include "vmm/machine/choices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/vcpus.h"

/* Nobody runs for longer than so many of the longest turns while others could. */
enum { PATIENCE = 100 };

static const char *const kind_names[] = {"timer", "turn"};

/* ---- Lists ---- */

void choices_free(struct choices *choices)
{
    free(choices->list);
    *choices = (struct choices){0};
}

void choices_add(struct choices *choices, const struct choice *choice)
{
    if (choices->count == choices->room) {
        size_t room = choices->room ? 2 * choices->room : 256;
        struct choice *list = realloc(choices->list, room * sizeof *list);
        if (!list) {
            choices->failed = true;
            return;
        }
        choices->list = list;
        choices->room = room;
    }
    choices->list[choices->count++] = *choice;
}

void choices_write(const struct choices *choices, struct buffer *out)
{
    for (size_t i = 0; i < choices->count; i++) {
        const struct choice *choice = &choices->list[i];
        buffer_printf(out, "%s %u %" PRIu64 " %" PRIu64 " %" PRIu64, kind_names[choice->kind],
            choice->vcpu, choice->insns, choice->poll, choice->event);
        if (choice->kind == CHOICE_TURN)
            buffer_printf(out, " %u", choice->to);
        buffer_printf(out, "\n");
    }
    if (choices->failed)
        out->failed = true;
}

static bool parse_line(const char *line, struct choice *choice)
{
    char kind[8];
    int end = 0;
    *choice = (struct choice){0};
    if (sscanf(line, "%7s %u %" SCNu64 " %" SCNu64 " %" SCNu64 "%n", kind, &choice->vcpu,
            &choice->insns, &choice->poll, &choice->event, &end) != 5 ||
        choice->vcpu >= CONFIG_MAX_CPUS)
        return false;
    line += end;
    if (strcmp(kind, kind_names[CHOICE_TIMER]) == 0)
        return *line == '\0';
    choice->kind = CHOICE_TURN;
    end = 0;
    return strcmp(kind, kind_names[CHOICE_TURN]) == 0 &&
           sscanf(line, " %u%n", &choice->to, &end) == 1 && line[end] == '\0' &&
           choice->to < CONFIG_MAX_CPUS;
}

int choices_parse(struct choices *choices, char *text, struct error *error)
{
    struct choice choice;
    for (char *line; (line = strsep(&text, "\n"));) {
        if (*line == '\0')
            continue;
        if (!parse_line(line, &choice))
            return error_set(error, "'%.80s' is no choice of a run", line);
        choices_add(choices, &choice);
    }
    return choices->failed ? error_set(error, "out of memory") : 0;
}

/* ---- Where the run is ---- */

static uint64_t own_count(const struct chooser *chooser, const struct machine *machine)
{
    return chooser->ran[machine->current] + machine->engine->retired - chooser->since;
}

void chooser_poll(struct chooser *chooser, const struct machine *machine)
{
    uint64_t count = own_count(chooser, machine);
    chooser->polls = count == chooser->last ? chooser->polls + 1 : 0;
    chooser->last = count;
}

void chooser_note(
    struct chooser *chooser, const struct machine *machine, enum choice_kind kind, unsigned to)
{
    if (!chooser->note)
        return;
    const struct choice choice = {.kind = kind,
        .vcpu = machine->current,
        .insns = own_count(chooser, machine),
        .poll = chooser->polls,
        .to = to,
        .event = machine->position.event};
    choices_add(chooser->note, &choice);
}

void chooser_turned(struct chooser *chooser, const struct machine *machine)
{
    chooser->ran[machine->current] = own_count(chooser, machine);
    chooser->since = machine->engine->retired;
    /* The next poll is the first one of whoever runs then. */
    chooser->last = UINT64_MAX;
    chooser->waits = false;
}

/* ---- Following ---- */

/* The running vCPU's next choice, due or not; NULL: there is none. */
static const struct choice *next_choice(struct chooser *chooser, const struct machine *machine)
{
    const struct choices *follow = chooser->follow;
    size_t *next = &chooser->next[machine->current];
    while (*next < follow->count && follow->list[*next].vcpu != machine->current)
        ++*next;
    return *next < follow->count ? &follow->list[*next] : NULL;
}

static const struct choice *due_choice(struct chooser *chooser, const struct machine *machine)
{
    const struct choice *choice = next_choice(chooser, machine);
    uint64_t count = own_count(chooser, machine);
    bool due = choice && (count > choice->insns ||
                             (count == choice->insns && chooser->polls >= choice->poll));
    return due ? choice : NULL;
}

static void take(struct chooser *chooser, const struct machine *machine)
{
    chooser->next[machine->current]++;
}

bool chooser_fires(struct chooser *chooser, const struct machine *machine)
{
    const struct choice *choice = chooser->follow ? due_choice(chooser, machine) : NULL;
    if (!choice || choice->kind != CHOICE_TIMER)
        return false;
    take(chooser, machine);
    if (clock_next_deadline(&machine->clock) == TIMER_IDLE)
        return false;
    chooser_note(chooser, machine, CHOICE_TIMER, 0);
    return true;
}

/* The next in turn that can run. */
static unsigned others_first(const struct machine *machine)
{
    unsigned index = machine->current;
    do {
        index = (index + 1) % machine->config->cpus;
    } while (index != machine->current && !vcpus_can_run(machine, index));
    return index;
}

static bool has_run_long(const struct chooser *chooser, const struct machine *machine)
{
    return machine->engine->retired - chooser->since >=
           (uint64_t)machine->config->turn[1] * PATIENCE;
}

bool chooser_turns(struct chooser *chooser, const struct machine *machine, unsigned *to)
{
    bool busy = vcpus_can_run(machine, machine->current) || vcpus_is_waking(machine);
    const struct choice *choice = due_choice(chooser, machine);
    bool chosen = choice && choice->kind == CHOICE_TURN;
    if (!vcpus_others_can_run(machine))
        return false;
    if (!chosen && busy && !chooser->waits && !has_run_long(chooser, machine))
        return false;
    *to = others_first(machine);
    if (!chosen)
        return true;
    if (choice->to != machine->current && choice->to < machine->config->cpus &&
        vcpus_can_run(machine, choice->to))
        *to = choice->to;
    take(chooser, machine);
    chooser_note(chooser, machine, CHOICE_TURN, *to);
    return true;
}

uint64_t chooser_left(struct chooser *chooser, const struct machine *machine)
{
    const struct choice *choice = next_choice(chooser, machine);
    uint64_t count = own_count(chooser, machine), left = BUDGET_UNLIMITED;
    if (choice && choice->insns > count)
        left = choice->insns - count;
    if (machine->config->cpus > 1 && vcpus_others_can_run(machine)) {
        uint64_t ran = machine->engine->retired - chooser->since;
        uint64_t most = (uint64_t)machine->config->turn[1] * PATIENCE;
        uint64_t rest = ran < most ? most - ran : 0;
        left = rest < left ? rest : left;
    }
    return left;
}
