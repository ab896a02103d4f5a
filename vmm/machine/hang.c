/* Ends the run of a guest whose serial console has fallen silent. */
#include "vmm/machine/hang.h"

#include <stdlib.h>

struct hang_watch {
    struct hang_watch_config config;
    struct timer timer;
    uint64_t heard; /* when the last byte came, virtual ns */
};

static uint64_t deadline_of(const struct hang_watch *watch)
{
    uint64_t deadline = watch->heard + watch->config.limit;
    return deadline < watch->heard ? TIMER_IDLE : deadline;
}

static void look(void *device, uint64_t now)
{
    struct hang_watch *watch = device;
    if (deadline_of(watch) > now)
        timer_arm(watch->config.clock, &watch->timer, deadline_of(watch));
    else
        watch->config.hung(watch->config.machine);
}

/* The clock's last known time will do: reading it would be an input, and a question of the guest's
 * console alone. The timer moves on only when it fires. */
static void put(void *target, const uint8_t *bytes, size_t count)
{
    struct hang_watch *watch = target;
    watch->heard = watch->config.clock->now;
    sink_put(&watch->config.next, bytes, count);
}

struct hang_watch *hang_watch_create(const struct hang_watch_config *config, struct error *error)
{
    struct hang_watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        error_set(error, "out of memory");
        return NULL;
    }
    watch->config = *config;
    timer_init(config->clock, &watch->timer, look, watch);
    timer_arm(config->clock, &watch->timer, deadline_of(watch));
    return watch;
}

struct byte_sink hang_watch_sink(struct hang_watch *watch)
{
    return (struct byte_sink){.put = put, .target = watch};
}

static void watch_destroy(void *device)
{
    struct hang_watch *watch = device;
    if (watch)
        timer_cancel(watch->config.clock, &watch->timer);
    free(watch);
}

/* A guest that starts again has not fallen silent. */
static void watch_reset(void *device)
{
    struct hang_watch *watch = device;
    watch->heard = watch->config.clock->now;
    timer_arm(watch->config.clock, &watch->timer, deadline_of(watch));
}

static void watch_save(const void *device, struct buffer *out)
{
    const struct hang_watch *watch = device;
    buffer_put_u64(out, watch->heard);
    buffer_put_u64(out, watch->timer.deadline);
}

static void watch_restore(void *device, struct reader *in)
{
    struct hang_watch *watch = device;
    uint64_t heard = reader_get_u64(in), deadline = reader_get_u64(in);
    if (in->failed)
        return;
    watch->heard = heard;
    timer_arm(watch->config.clock, &watch->timer, deadline);
}

static void watch_describe(const void *device, struct buffer *out)
{
    const struct hang_watch *watch = device;
    buffer_printf(out, "heard %llu\n", (unsigned long long)watch->heard);
}

struct device hang_watch_device(struct hang_watch *watch)
{
    static const struct device_ops ops = {
        .destroy = watch_destroy,
        .reset = watch_reset,
        .save = watch_save,
        .restore = watch_restore,
        .describe = watch_describe,
    };
    return (struct device){.name = "hang_watch", .ops = &ops, .object = watch};
}
