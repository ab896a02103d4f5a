/* The machine configuration: building it, and its CONFIG and BLOB chunks. */
#include "traces/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void trace_config_free(struct trace_config *config)
{
    for (size_t i = 0; i < config->blob_count; i++)
        free(config->blobs[i].name);
    free(config->blobs);
    buffer_free(&config->settings);
    *config = (struct trace_config){0};
}

void trace_config_set(struct trace_config *config, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *value = NULL;
    int length = vasprintf(&value, format, arguments);
    va_end(arguments);
    if (length < 0 || !*key || strchr(key, '=')) {
        config->failed = true;
    } else {
        buffer_put(&config->settings, key, strlen(key));
        buffer_put_u8(&config->settings, '=');
        buffer_put(&config->settings, value, (size_t)length + 1);
        config->setting_count++;
    }
    if (length >= 0)
        free(value);
}

void trace_config_add_blob(
    struct trace_config *config, const char *name, const void *data, size_t size)
{
    struct trace_blob_source *blobs =
        realloc(config->blobs, (config->blob_count + 1) * sizeof *blobs);
    char *copy = strdup(name);
    if (blobs)
        config->blobs = blobs;
    if (!blobs || !copy) {
        free(copy);
        config->failed = true;
        return;
    }
    blobs[config->blob_count++] =
        (struct trace_blob_source){.name = copy, .data = data, .size = size};
}

void trace_config_encode(
    const struct trace_config *config, const uint8_t *hashes, struct buffer *out)
{
    buffer_put_u32(out, (uint32_t)config->setting_count);
    buffer_put_u32(out, (uint32_t)config->blob_count);
    buffer_put(out, config->settings.data, config->settings.size);
    for (size_t i = 0; i < config->blob_count; i++) {
        const struct trace_blob_source *blob = &config->blobs[i];
        buffer_put(out, blob->name, strlen(blob->name) + 1);
        buffer_put_u64(out, blob->size);
        buffer_put_u64(out, digest64(blob->data, blob->size));
        if (hashes)
            buffer_put(out, hashes + i * TRACE_HASH_SIZE, TRACE_HASH_SIZE);
    }
    if (config->settings.failed || config->failed)
        out->failed = true;
}

/* A string with its terminator, in place; NULL when there is none. */
static char *take_string(struct reader *in)
{
    if (in->failed)
        return NULL;
    const uint8_t *start = in->data + in->position;
    size_t left = reader_left(in);
    const uint8_t *end = left ? memchr(start, 0, left) : NULL;
    if (!end) {
        in->failed = true;
        return NULL;
    }
    return (char *)(uintptr_t)reader_take(in, (size_t)(end - start) + 1);
}

static bool decode_settings(struct trace_stored_config *config, struct reader *in)
{
    for (size_t i = 0; i < config->setting_count; i++) {
        char *key = take_string(in);
        char *equals = key ? strchr(key, '=') : NULL;
        if (!equals || equals == key)
            return false;
        *equals = 0;
        config->settings[i] = (struct trace_setting){.key = key, .value = equals + 1};
    }
    return true;
}

static bool decode_blobs(struct trace_stored_config *config, struct reader *in, bool stored)
{
    uint64_t pieces = 0;
    for (size_t i = 0; i < config->blob_count; i++) {
        struct trace_stored_blob *blob = &config->blobs[i];
        blob->blob.name = take_string(in);
        blob->blob.size = reader_get_u64(in);
        blob->blob.digest = reader_get_u64(in);
        blob->blob.stored = stored;
        blob->fd = -1;
        if (stored)
            reader_get(in, blob->blob.hash, TRACE_HASH_SIZE);
        if (in->failed || blob->blob.size > (uint64_t)UINT32_MAX * BLOB_PIECE)
            return false;
        blob->first_piece = pieces;
        blob->pieces = stored ? 0 : (blob->blob.size + BLOB_PIECE - 1) / BLOB_PIECE;
        pieces += blob->pieces;
    }
    config->pieces = pieces;
    return true;
}

int trace_config_decode(struct trace_stored_config *config, struct buffer *raw, bool stored)
{
    config->raw = *raw;
    *raw = (struct buffer){0};
    struct reader in;
    reader_init(&in, config->raw.data, config->raw.size);
    config->setting_count = reader_get_u32(&in);
    config->blob_count = reader_get_u32(&in);
    /* The least that each takes bounds what is allocated for a hostile count. */
    if (in.failed || config->setting_count > reader_left(&in) / 3 ||
        config->blob_count > reader_left(&in) / 17)
        return TRACE_DAMAGED;
    config->settings = calloc(config->setting_count + 1, sizeof *config->settings);
    config->blobs = calloc(config->blob_count + 1, sizeof *config->blobs);
    if (!config->settings || !config->blobs)
        return TRACE_ERROR;
    if (!decode_settings(config, &in) || !decode_blobs(config, &in, stored) || reader_left(&in))
        return TRACE_DAMAGED;
    return TRACE_OK;
}

void trace_stored_config_free(struct trace_stored_config *config)
{
    for (size_t i = 0; config->blobs && i < config->blob_count; i++) {
        if (config->blobs[i].blob.stored && config->blobs[i].fd >= 0)
            close(config->blobs[i].fd);
    }
    free(config->settings);
    free(config->blobs);
    buffer_free(&config->raw);
}
