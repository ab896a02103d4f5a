/* Hands the accesses and messages of a stretch of the run to the detector of races. */
#include "debugger/races_look.h"

static void on_learn(void *context, const struct timeline_access *access)
{
    races_learn(context, access);
}

static void on_access(void *context, const struct timeline_access *access)
{
    races_access(context, access);
}

static void on_send(void *context, unsigned vcpu, unsigned message)
{
    races_send(context, vcpu, message);
}

static void on_receive(void *context, unsigned vcpu, unsigned message)
{
    races_receive(context, vcpu, message);
}

static void on_start(void *context, unsigned vcpu, unsigned started)
{
    races_start(context, vcpu, started);
}

/*
 * A run that does not start with the machine may begin where a lock is held, whose release is
 * synchronisation though no locked access was seen yet: a first pass learns the locks.
 */
int races_look(struct timeline *timeline, struct position from, struct position to,
    struct races *races, struct races_covered *covered, struct error *error)
{
    const struct accesses_watcher learner = {.access = on_learn, .context = races};
    const struct accesses_watcher watcher = {.access = on_access,
        .send = on_send,
        .receive = on_receive,
        .start = on_start,
        .context = races};
    bool first = position_compare(from, (struct position){0, 0}) != 0;
    if (first &&
        accesses_watch(timeline, from, to, &learner, &covered->began, &covered->stop, error) < 0)
        return -1;
    if (first && covered->stop.why == TIMELINE_INTERRUPTED) {
        covered->began = false;
        return 0;
    }
    if (timeline_seek(timeline, from, &covered->stop, error) < 0)
        return -1;
    uint64_t start = timeline_retired(timeline);
    if (covered->stop.why != TIMELINE_INTERRUPTED &&
        accesses_watch(timeline, from, to, &watcher, &covered->began, &covered->stop, error) < 0)
        return -1;
    covered->reached = timeline_position(timeline);
    covered->instructions = timeline_retired(timeline) - start;
    return 0;
}
