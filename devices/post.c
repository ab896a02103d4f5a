/* The POST code latch at port 80h. */
#include "devices/post.h"

#include <stdlib.h>

struct post {
    uint8_t code;
};

static uint64_t post_read(void *device, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    const struct post *post = device;
    return post->code;
}

static void post_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct post *post = device;
    post->code = (uint8_t)value;
}

struct post *post_create(struct error *error)
{
    struct post *post = calloc(1, sizeof *post);
    if (!post)
        error_set(error, "post: out of memory");
    return post;
}

void post_destroy(struct post *post)
{
    free(post);
}

int post_attach(struct post *post, struct bus *ports, struct error *error)
{
    return bus_register(ports,
        &(struct bus_range){.base = POST_PORT,
            .size = 1,
            .name = "post",
            .device = post,
            .read = post_read,
            .write = post_write},
        error);
}

uint8_t post_code(const struct post *post)
{
    return post->code;
}

static void post_reset(void *device)
{
    struct post *post = device;
    post->code = 0;
}

static void post_save(const void *device, struct buffer *out)
{
    const struct post *post = device;
    buffer_put_u8(out, post->code);
}

static void post_restore(void *device, struct reader *in)
{
    struct post *post = device;
    uint8_t code = reader_get_u8(in);
    if (!in->failed)
        post->code = code;
}

static void post_describe(const void *device, struct buffer *out)
{
    const struct post *post = device;
    buffer_printf(out, "code %#04x\n", post->code);
}

static void post_free(void *device)
{
    post_destroy(device);
}

struct device post_device(struct post *post)
{
    static const struct device_ops ops = {
        .destroy = post_free,
        .reset = post_reset,
        .save = post_save,
        .restore = post_restore,
        .describe = post_describe,
    };
    return (struct device){.name = "post", .ops = &ops, .object = post};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    struct post *post = post_create(error);
    if (!post)
        return -1;
    *device = post_device(post);
    return device_attached(device, post_attach(post, wiring->ports, error));
}

const struct device_class post_class = {.create = create};
