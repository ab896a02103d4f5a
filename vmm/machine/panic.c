/* Watches the console for a kernel's panic. */
#include "vmm/machine/panic.h"

#include <stdlib.h>
#include <string.h>

static const char begins[] = "Kernel panic - not syncing: ";
static const char ends[] = "---[ end Kernel panic";

enum { LINE_MAX = 511 };

struct panic_watch {
    struct panic_watch_config config;
    char line[LINE_MAX + 1]; /* the line under way, cut off at its room */
    uint16_t length;
    char text[LINE_MAX + 1]; /* of the panic */
};

static void end_line(struct panic_watch *watch)
{
    watch->line[watch->length] = '\0';
    watch->length = 0;
    const char *found = strstr(watch->line, begins);
    if (found && !strstr(watch->line, ends) && watch->text[0] == '\0')
        strcpy(watch->text, found);
    if (strstr(watch->line, ends) && watch->config.panicked)
        watch->config.panicked(watch->config.machine);
}

static void put(void *target, const uint8_t *bytes, size_t count)
{
    struct panic_watch *watch = target;
    sink_put(&watch->config.next, bytes, count);
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\r' || bytes[i] == '\n' || bytes[i] == '\0')
            end_line(watch);
        else if (watch->length < LINE_MAX)
            watch->line[watch->length++] = (char)bytes[i];
    }
}

struct panic_watch *panic_watch_create(const struct panic_watch_config *config, struct error *error)
{
    struct panic_watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        error_set(error, "out of memory");
        return NULL;
    }
    watch->config = *config;
    return watch;
}

void panic_watch_destroy(struct panic_watch *watch)
{
    free(watch);
}

struct byte_sink panic_watch_sink(struct panic_watch *watch)
{
    return (struct byte_sink){.put = put, .target = watch};
}

const char *panic_watch_text(const struct panic_watch *watch)
{
    return watch->text;
}

static void watch_reset(void *device)
{
    struct panic_watch *watch = device;
    watch->length = 0;
    watch->text[0] = '\0';
}

static void watch_save(const void *device, struct buffer *out)
{
    const struct panic_watch *watch = device;
    size_t length = strlen(watch->text);
    buffer_put_u16(out, watch->length);
    buffer_put(out, watch->line, watch->length);
    buffer_put_u16(out, (uint16_t)length);
    buffer_put(out, watch->text, length);
}

static void watch_restore(void *device, struct reader *in)
{
    struct panic_watch *watch = device;
    uint16_t line_length = reader_get_u16(in);
    const uint8_t *line = line_length <= LINE_MAX ? reader_take(in, line_length) : NULL;
    uint16_t text_length = reader_get_u16(in);
    const uint8_t *text = text_length <= LINE_MAX ? reader_take(in, text_length) : NULL;
    if (in->failed || !line || !text) {
        in->failed = true;
        return;
    }
    memcpy(watch->line, line, line_length);
    watch->length = line_length;
    memcpy(watch->text, text, text_length);
    watch->text[text_length] = '\0';
}

static void watch_describe(const void *device, struct buffer *out)
{
    const struct panic_watch *watch = device;
    buffer_printf(out, "text %.400s\n", watch->text);
}

static void panic_watch_free(void *device)
{
    panic_watch_destroy(device);
}

struct device panic_watch_device(struct panic_watch *watch)
{
    static const struct device_ops ops = {
        .destroy = panic_watch_free,
        .reset = watch_reset,
        .save = watch_save,
        .restore = watch_restore,
        .describe = watch_describe,
    };
    return (struct device){.name = "panic_watch", .ops = &ops, .object = watch};
}
