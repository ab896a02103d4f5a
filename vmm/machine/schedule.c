/* Turns of several vCPUs, drawn from a seed. */
#include "vmm/machine/schedule.h"

#include "vmm/machine/vcpus.h"

void schedule_init(struct schedule *schedule, uint64_t seed)
{
    *schedule = (struct schedule){.random = seed};
}

/* SplitMix64: every seed, 0 too, gives a good sequence. */
static uint64_t draw(struct schedule *schedule)
{
    uint64_t x = schedule->random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The running vCPU has something to do: instructions, or an interrupt that is about to wake it. */
static bool is_busy(const struct machine *machine)
{
    return vcpus_can_run(machine, machine->current) || vcpus_is_waking(machine);
}

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

uint64_t schedule_left(const struct schedule *schedule, const struct machine *machine)
{
    uint64_t now = machine->engine->retired;
    if (!vcpus_others_can_run(machine))
        return BUDGET_UNLIMITED;
    return schedule->turn_end > now ? schedule->turn_end - now : 0;
}

void schedule_yield(struct schedule *schedule, const struct machine *machine)
{
    schedule->turn_end = machine->engine->retired;
}
