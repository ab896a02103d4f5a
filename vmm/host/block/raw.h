/*
 * A raw image file as the member of an array, or as a whole disk. The only host I/O under a disk.
 *
 * Host errors, short reads and a file that has become shorter are failed accesses (-1): the array
 * takes the member out. raw_error() then says what the host said.
 * - A write of zeroes to a hole leaves the hole; zeroing punches one: sparse files stay sparse.
 * - Flush is fdatasync.
 * - The file is locked (flock) against a second use: exclusively, or shared for a snapshot.
 * - With `snapshot`, writes are kept in memory and the file is opened read-only.
 */
#ifndef VMM_BLOCK_RAW_H
#define VMM_BLOCK_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/block.h"

struct raw_file;

struct raw_options {
    bool snapshot;
    bool read_only; /* writes fail; for looking only, so the file is not locked */
};

/* An existing regular file or block device of at least one sector. Bytes after the last whole
 * sector are not part of it. */
struct raw_file *raw_open(const char *path, const struct raw_options *options, struct error *error);
/* Makes a new file of `sectors` sectors without allocating them, or, with `replace`, empties and
 * resizes one that is there. */
int raw_make(const char *path, uint64_t sectors, bool replace, struct error *error);
/* Whether raw_make would be refused; changes nothing. */
int raw_make_check(const char *path, bool replace, struct error *error);
bool raw_same(const char *path, const char *other); /* two names of one file, or the same name */
void raw_close(struct raw_file *file);              /* NULL is fine */
/* Valid until raw_close. */
struct raid_member raw_member(struct raw_file *file);
/* The last failure, one line; empty when there was none. */
const char *raw_error(const struct raw_file *file);

#endif
