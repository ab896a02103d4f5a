/*
 * What is known of one disk image: which sectors' contents the trace already has (or the guest has
 * written), and, while replaying, those contents. A sparse mapping that costs memory only for what
 * is touched, organised in pages so that checkpoints can keep versions of it like of RAM.
 */
#ifndef VMM_DISK_STORE_H
#define VMM_DISK_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct disk_store {
    uint8_t *host; /* sectors, then the map of known ones */
    uint64_t size; /* bytes mapped, a multiple of 4096 */
    uint64_t sectors;
    uint8_t *known;   /* a bit for each sector; inside `host` */
    uint8_t *written; /* a bit for each page of `host`: changed since a checkpoint took it */
    bool holds_data;  /* replay: contents are kept */
};

/* Up to 2^40 sectors. */
int disk_store_create(
    struct disk_store *store, uint64_t sectors, bool holds_data, struct error *error);
void disk_store_destroy(struct disk_store *store);

/* Length of the run of sectors from `lba` (at most `count`) that are all known or all not. */
uint32_t disk_store_run(const struct disk_store *store, uint64_t lba, uint32_t count, bool *known);
void disk_store_mark(struct disk_store *store, uint64_t lba, uint32_t count, bool known);
/* Contents, for a store that holds them; NULL data writes zeroes. */
void disk_store_read(const struct disk_store *store, uint64_t lba, uint32_t count, uint8_t *data);
void disk_store_write(struct disk_store *store, uint64_t lba, uint32_t count, const uint8_t *data);

#endif
