/* Virtual time, and the timers of the devices in the order in which they fire. */
#include "devices/device.h"

#include <assert.h>

void clock_init(struct clock *clock, uint64_t (*sample)(void *source), void *source)
{
    *clock = (struct clock){.sample = sample, .source = source};
}

uint64_t clock_now(struct clock *clock)
{
    uint64_t now = clock->sample(clock->source);
    uint64_t deadline = clock_next_deadline(clock);
    if (now > deadline)
        now = deadline;
    if (now > clock->now)
        clock->now = now;
    return clock->now;
}

void timer_init(struct clock *clock, struct timer *timer, void (*fire)(void *device, uint64_t now),
    void *device)
{
    *timer = (struct timer){
        .deadline = TIMER_IDLE, .fire = fire, .device = device, .order = clock->timers++};
}

static bool fires_before(const struct timer *a, const struct timer *b)
{
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

void timer_arm(struct clock *clock, struct timer *timer, uint64_t deadline)
{
    timer_cancel(clock, timer);
    if (deadline == TIMER_IDLE)
        return;
    timer->deadline = deadline;
    struct timer **link = &clock->armed;
    while (*link && fires_before(*link, timer))
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
}

void timer_cancel(struct clock *clock, struct timer *timer)
{
    for (struct timer **link = &clock->armed; *link; link = &(*link)->next) {
        if (*link == timer) {
            *link = timer->next;
            break;
        }
    }
    timer->deadline = TIMER_IDLE;
    timer->next = NULL;
}

uint64_t clock_next_deadline(const struct clock *clock)
{
    return clock->armed ? clock->armed->deadline : TIMER_IDLE;
}

void clock_advance(struct clock *clock, uint64_t now)
{
    clock->target = now;
    while (clock->armed && clock->armed->deadline <= now) {
        struct timer *timer = clock->armed;
        uint64_t deadline = timer->deadline;
        if (deadline > clock->now)
            clock->now = deadline;
        timer_cancel(clock, timer);
        timer->fire(timer->device, deadline);
    }
    if (now > clock->now)
        clock->now = now;
    assert(!clock->armed || clock->armed->deadline > now); /* all that were due have fired */
    clock->target = 0;
}
