/*
 * The disk side of a trace writer: a queue of sealed jobs, and a thread that compresses and writes
 * them. The thread that submits takes a lock only as long as it takes to link a job in.
 */
#ifndef TRACES_DISK_H
#define TRACES_DISK_H

#include <pthread.h>
#include <stdatomic.h>

#include "traces/format.h"
#include "traces/output.h"

/* A stretch of a job's buffer that becomes one chunk. */
struct trace_part {
    size_t size;
    uint32_t records;
    uint8_t flags;
    uint64_t first_event;
    uint64_t end_event;
    uint64_t first_time;
};

struct trace_part_list {
    struct trace_part *parts;
    size_t count;
    size_t capacity;
};

/* What one seal hands over: chunks of inputs, then chunks of checks. */
struct trace_job {
    struct buffer inputs;
    struct buffer checks;
    struct trace_part_list input_parts;
    struct trace_part_list check_parts;
    struct trace_job *next;
};

struct trace_disk {
    struct trace_sink sink;
    struct trace_output output; /* closed when the sink is the caller's */

    /* Of the disk thread while it runs, of the caller before and after. */
    struct buffer scratch;
    struct trace_chunk *chunks; /* what the index will list */
    size_t chunk_count;
    size_t chunk_capacity;
    uint64_t offset;            /* end of the last complete chunk */
    struct trace_totals totals; /* those of chunks only */
    uint64_t synced_at;         /* host ms */
    bool unsynced;              /* something was written since */
    bool packed;                /* chunks are made as small as they go; see FILE_PACKED */

    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct trace_job *first; /* queue; under the lock, as all below */
    struct trace_job *last;
    struct trace_job *spare;
    size_t spare_count;
    size_t queued_bytes;
    size_t queue_limit;
    bool stop;
    bool failed;
    struct error error;
    _Atomic uint64_t written;
    _Atomic uint64_t chunks_written;
    atomic_bool provisional; /* the file does not take its name yet */
};

/* Appends; -1 when there is no memory. */
int trace_part_add(struct trace_part_list *list, const struct trace_part *part);

int trace_disk_open(
    struct trace_disk *disk, const struct trace_writer_options *options, struct error *error);
/* Writes the file header. */
int trace_disk_begin(
    struct trace_disk *disk, const struct file_header *header, struct error *error);
/* An empty job, reused when there is one. NULL: no memory. */
struct trace_job *trace_disk_job(struct trace_disk *disk);
/* Takes the job in any case. The first one starts the thread, so that it is made in a process that
 * was confined by then. -1 when the thread cannot be started, has failed, or too much waits. */
int trace_disk_submit(struct trace_disk *disk, struct trace_job *job, struct error *error);
/* Lets the thread write all that is queued and ends it. -1 when it failed at any time. */
int trace_disk_drain(struct trace_disk *disk, struct error *error);
/* Writes one chunk, in the caller's thread: before start or after drain. */
int trace_disk_chunk(struct trace_disk *disk, struct trace_chunk *chunk, const void *raw,
    size_t size, struct error *error);
/* An upper bound of the file's size, were all that waits written and ended now. */
uint64_t trace_disk_bound(struct trace_disk *disk);
/* Writes index and tail, makes everything durable and gives the file its name. After drain. */
int trace_disk_index(struct trace_disk *disk, struct error *error);
/* Closes the file, which vanishes when it had not got its name, and frees everything. -1 when the
 * file system reports a late error. */
int trace_disk_close(struct trace_disk *disk, struct error *error);

#endif
