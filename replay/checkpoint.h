/*
 * Checkpoints of a replaying machine: the whole of it at a position. RAM is kept as versions of
 * pages, LZ4-compressed and shared: a checkpoint owns only the pages written since the one before
 * it. Within a memory budget; when it is used up, checkpoints are dropped where they stand closest.
 *
 * One store belongs to one machine whose engine logs written pages (engine_ops.take_dirty_pages).
 */
#ifndef REPLAY_CHECKPOINT_H
#define REPLAY_CHECKPOINT_H

#include "replay/source.h"
#include "vmm/machine/machine.h"

struct checkpoints;

struct checkpoints *checkpoints_create(struct machine *machine, struct replay_source *source,
    uint64_t budget_bytes, struct error *error);
void checkpoints_destroy(struct checkpoints *checkpoints);

/*
 * Takes one where the machine stands, unless there is one already. Must first be called at the
 * start (position 0.0). A machine inside an instruction, or at the first instruction of a fault's
 * handler (the position is that of the faulting one), is left alone (0 is returned).
 */
int checkpoints_take(struct checkpoints *checkpoints, struct error *error);

/* From now on each page of RAM is told when it is found to have been written, by its number in
 * memory->host; `written` NULL: no longer. */
void checkpoints_tell(
    struct checkpoints *checkpoints, void (*written)(void *context, uint64_t page), void *context);
/* Looks for written pages now, as taking a checkpoint does. */
int checkpoints_collect(struct checkpoints *checkpoints, struct error *error);

/* The last one at or before `at` (`before` = strictly before); false when there is none. */
bool checkpoints_find(
    const struct checkpoints *checkpoints, struct position at, bool before, struct position *found);

/* The last one from which a run forward comes to the first position with `retired` instructions:
 * one with fewer, or the start. *at receives its count. */
bool checkpoints_find_retired(
    const struct checkpoints *checkpoints, uint64_t retired, struct position *found, uint64_t *at);

/* Puts the machine back to the checkpoint at exactly this position. */
int checkpoints_restore(struct checkpoints *checkpoints, struct position at, struct error *error);

unsigned checkpoints_count(const struct checkpoints *checkpoints);
uint64_t checkpoints_bytes(const struct checkpoints *checkpoints);

/* Checkpoint `number` as bytes; they hold for this trace on a machine of the same build. */
void checkpoints_encode(const struct checkpoints *checkpoints, unsigned number, struct buffer *out);
/* Adds one after the last, from bytes that may be anything; on an error nothing is added. Pages
 * that it needs lie in those added before it, in order. */
int checkpoints_decode(
    struct checkpoints *checkpoints, const uint8_t *data, size_t size, struct error *error);
/* Are these the bytes of the checkpoint at the start? */
bool checkpoints_is_start(const struct checkpoints *checkpoints, const uint8_t *data, size_t size);

#endif
