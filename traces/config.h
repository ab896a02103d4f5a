/* The machine configuration as its CONFIG chunk holds it. Inside traces/ only. */
#ifndef TRACES_CONFIG_H
#define TRACES_CONFIG_H

#include "traces/format.h"

struct trace_blob_source {
    char *name;
    const void *data; /* borrowed */
    size_t size;
};

struct trace_setting {
    const char *key;
    const char *value;
};

struct trace_stored_blob {
    struct trace_blob blob;
    int fd;               /* of a stored one, once a store is used; else -1 */
    uint64_t first_piece; /* its first BLOB chunk, counted among the BLOB chunks */
    uint64_t pieces;      /* 0 of a stored one */
};

struct trace_stored_config {
    struct buffer raw; /* what the strings point into */
    struct trace_setting *settings;
    size_t setting_count;
    struct trace_stored_blob *blobs;
    size_t blob_count;
    uint64_t pieces; /* of all blobs */
};

/* `hashes`: of boot files that are in a store, TRACE_HASH_SIZE bytes each; NULL: they follow. */
void trace_config_encode(
    const struct trace_config *config, const uint8_t *hashes, struct buffer *out);
/* `stored`: the boot files have hashes. Takes the content of `raw`. TRACE_OK, TRACE_DAMAGED or
 * TRACE_ERROR (no memory); to be freed in any case. `config` is zeroed before. */
int trace_config_decode(struct trace_stored_config *config, struct buffer *raw, bool stored);
void trace_stored_config_free(struct trace_stored_config *config);

#endif
