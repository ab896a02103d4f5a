/*
 * Checkpoints kept in a file beside the trace, so that the next session starts warm. Internal to
 * replay/.
 *
 * The file: magic, version (of the file and of the machine), identity of the trace; then blocks,
 * each with its size and XXH3-64: what was printed, the checkpoint at the start, the further ones
 * in order of position, an empty one. The identity covers the checksums of all of the trace's
 * chunks. The file is a copy of what a replay can make again: one that does not fit, or the part
 * after a damaged block, is left out.
 */
#ifndef REPLAY_CACHE_H
#define REPLAY_CACHE_H

#include "replay/checkpoint.h"
#include "replay/printed.h"

/* Digest of what the trace in the file is. */
uint64_t cache_identity(const char *path, const struct trace_reader *trace);
/* Replaces the file as a whole, or leaves it as it was. */
int cache_save(const char *path, uint64_t identity, const struct checkpoints *checkpoints,
    const struct printed *printed, struct error *error);
/* 0 when the file is not there; an error says what was left out, and why. */
int cache_load(const char *path, uint64_t identity, struct checkpoints *checkpoints,
    struct printed *printed, struct error *error);
/* The same from memory; for tests. */
int cache_decode(const uint8_t *data, size_t size, uint64_t identity,
    struct checkpoints *checkpoints, struct printed *printed, struct error *error);

#endif
