/*
 * Sectors kept in memory over something that must not change: what snapshot=on writes to. Costs
 * memory only for 4 KiB pieces that were written.
 */
#ifndef VMM_BLOCK_OVERLAY_H
#define VMM_BLOCK_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct overlay;

struct overlay *overlay_create(uint64_t sectors); /* NULL when out of memory */
void overlay_destroy(struct overlay *overlay);    /* NULL is fine */
void overlay_clear(struct overlay *overlay);      /* forgets everything written */
/* Whether every sector of the range has been written. */
bool overlay_covers(const struct overlay *overlay, uint64_t lba, uint32_t count);
/* Copies over `data` the sectors that have been written, and leaves the others. */
void overlay_read(const struct overlay *overlay, uint64_t lba, uint32_t count, uint8_t *data);
/* NULL `data` is zeroes. Fails when out of memory. */
int overlay_write(struct overlay *overlay, uint64_t lba, uint32_t count, const uint8_t *data,
    struct error *error);

#endif
