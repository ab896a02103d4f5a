/* Makes every stop by a kick a landing. */
#include "tests/kicked/every_kick.h"

#include <signal.h>

#include <unistd.h>

#include "vmm/machine/probe.h"

static struct every_kick *every_of(struct input_source *source)
{
    return (struct every_kick *)source;
}

static uint64_t every_clock(struct input_source *source, struct machine *machine)
{
    struct input_source *live = every_of(source)->live;
    return live->ops->clock(live, machine);
}

static int every_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct input_source *live = every_of(source)->live;
    return live->ops->poll(live, machine, delivery, error);
}

static int every_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct input_source *live = every_of(source)->live;
    return live->ops->wait(live, machine, delivery, error);
}

static int set_timer(const struct every_kick *self, long pause, struct error *error)
{
    const struct itimerspec once = {.it_value.tv_nsec = pause};
    if (timer_settime(self->timer, 0, &once, NULL) < 0)
        return error_set_errno(error, "the timer of the kicks");
    return 0;
}

static int every_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct every_kick *self = every_of(source);
    if (self->is_due && set_timer(self, self->pause, error) < 0)
        return -1;
    self->is_due = false;
    return self->live->ops->plan(self->live, machine, plan, error);
}

/* The software CPU may land anywhere, also where it runs ring 0 for KVM; KVM alone where an
 * interrupt can be taken. */
static bool may_land(const struct every_kick *self, const struct machine *machine)
{
    struct engine *engine = machine->engine;
    if (self->landings >= self->most)
        return false;
    if (machine->counts_time)
        return engine->retired != machine->position.event_retired;
    return self->anywhere || engine_interruptible(engine);
}

static int every_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct every_kick *self = every_of(source);
    int wanted = self->live->ops->landing(self->live, machine, exit, error);
    if (wanted < 0)
        return -1;
    /* To write a landing may take longer than the pause: a kick meanwhile would be the next, and
     * the guest would get nowhere. */
    if (exit->kind == EXIT_KICK) {
        if (set_timer(self, 0, error) < 0)
            return -1;
        self->is_due = self->landings < self->most;
        if (may_land(self, machine))
            wanted = 1;
    }
    self->landings += wanted > 0;
    return wanted;
}

static int every_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    struct input_source *live = every_of(source)->live;
    return live->ops->value(live, machine, question, answer, error);
}

static bool every_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    struct input_source *live = every_of(source)->live;
    return live->ops->member_failed(live, machine, operation, failed);
}

static const struct input_source_ops every_ops = {
    .name = "live",
    .clock = every_clock,
    .poll = every_poll,
    .wait = every_wait,
    .plan = every_plan,
    .landing = every_landing,
    .value = every_value,
    .member_failed = every_member_failed,
};

struct input_source *every_kick_around(
    struct every_kick *every, struct input_source *live, unsigned most)
{
    *every = (struct every_kick){
        .source.ops = &every_ops, .live = live, .most = most, .anywhere = !probe_ring0_exact()};
    return &every->source;
}

/* A signal's handler is told nothing. */
static struct every_kick *kicking;

static void kick(int signal)
{
    (void)signal;
    engine_kick(kicking->engine);
}

int every_kick_start(struct every_kick *every, struct engine *engine, long pause)
{
    const struct sigaction action = {.sa_handler = kick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    event._sigev_un._tid = gettid();
    every->engine = engine;
    every->pause = pause;
    kicking = every;
    if (sigaction(SIGALRM, &action, NULL) < 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &every->timer) < 0)
        return -1;
    every->is_due = true;
    return 0;
}

int every_kick_stop(struct every_kick *every)
{
    return timer_delete(every->timer);
}
