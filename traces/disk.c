/* The queue and thread by which a trace is compressed and written. */
#include "traces/disk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_QUEUE ((size_t)256 * 1024 * 1024)
#define SYNC_MS       1000 /* the longest that written chunks are not durable */
#define SPARE_JOBS    4    /* kept with their memory, so that a steady run allocates nothing */

static int64_t write_file(void *context, const void *data, size_t size)
{
    const struct trace_disk *disk = context;
    return write(disk->output.fd, data, size);
}

static int truncate_file(void *context, uint64_t size)
{
    const struct trace_disk *disk = context;
    /* Without O_APPEND the next write would leave a hole; there is none after a failure. */
    return ftruncate(disk->output.fd, (off_t)size);
}

int trace_part_add(struct trace_part_list *list, const struct trace_part *part)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct trace_part *parts = realloc(list->parts, capacity * sizeof *parts);
        if (!parts)
            return -1;
        list->parts = parts;
        list->capacity = capacity;
    }
    list->parts[list->count++] = *part;
    return 0;
}

int trace_disk_open(
    struct trace_disk *disk, const struct trace_writer_options *options, struct error *error)
{
    memset(disk, 0, sizeof *disk);
    disk->output = (struct trace_output){.fd = -1, .folder = -1, .replaced = -1};
    atomic_init(&disk->provisional, options->provisional);
    disk->queue_limit = options->queue_bytes ? options->queue_bytes : DEFAULT_QUEUE;
    if (options->sink) {
        disk->sink = *options->sink;
    } else {
        disk->sink = (struct trace_sink){write_file, truncate_file, disk};
        if (!options->path)
            return error_set(error, "no file name for the trace");
        if (trace_output_open(&disk->output, options->path, error) < 0)
            return -1;
    }
    if (pthread_mutex_init(&disk->lock, NULL) || pthread_cond_init(&disk->wake, NULL)) {
        trace_output_close(&disk->output, NULL);
        return error_set(error, "cannot create the locks of the trace writer");
    }
    return 0;
}

static int write_all(struct trace_disk *disk, const uint8_t *data, size_t size, struct error *error)
{
    for (size_t done = 0; done < size;) {
        int64_t count = disk->sink.write(disk->sink.context, data + done, size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count > 0 && (uint64_t)count <= size - done) {
            done += (size_t)count;
            continue;
        }
        if (count >= 0)
            errno = EIO;
        error_set_errno(error,
            "cannot write the trace at offset %llu (it is good up to its last complete chunk)",
            (unsigned long long)(disk->offset + done));
        /* A pipe cannot be cut; a reader takes the rest for a chunk cut short. */
        if (disk->sink.truncate)
            disk->sink.truncate(disk->sink.context, disk->offset);
        return -1;
    }
    disk->offset += size;
    disk->unsynced = true;
    atomic_store_explicit(&disk->written, disk->offset, memory_order_relaxed);
    return 0;
}

int trace_disk_begin(struct trace_disk *disk, const struct file_header *header, struct error *error)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    file_header_encode(header, bytes);
    return write_all(disk, bytes, sizeof bytes, error);
}

static int remember_chunk(
    struct trace_disk *disk, const struct trace_chunk *chunk, struct error *error)
{
    if (disk->chunk_count == disk->chunk_capacity) {
        size_t capacity = disk->chunk_capacity ? disk->chunk_capacity * 2 : 256;
        struct trace_chunk *chunks = realloc(disk->chunks, capacity * sizeof *chunks);
        if (!chunks)
            return error_set(error, "no memory for the index of the trace");
        disk->chunks = chunks;
        disk->chunk_capacity = capacity;
    }
    disk->chunks[disk->chunk_count++] = *chunk;
    atomic_store_explicit(&disk->chunks_written, disk->chunk_count, memory_order_relaxed);
    return 0;
}

/* All but index chunks are listed in the index. */
static int write_chunk(struct trace_disk *disk, struct trace_chunk *chunk, const void *raw,
    size_t size, struct error *error)
{
    if (size > TRACE_CHUNK_MAX)
        return error_set(error, "a chunk of the trace would be larger than %d bytes: %zu",
            TRACE_CHUNK_MAX, size);
    chunk->offset = disk->offset;
    buffer_clear(&disk->scratch);
    if (chunk_encode(chunk, raw, size, disk->packed, &disk->scratch))
        return error_set(error, "no memory to compress a chunk of the trace");
    return write_all(disk, disk->scratch.data, disk->scratch.size, error);
}

int trace_disk_chunk(struct trace_disk *disk, struct trace_chunk *chunk, const void *raw,
    size_t size, struct error *error)
{
    if (disk->chunk_count >= UINT32_MAX)
        return error_set(error, "the trace has too many chunks");
    chunk->sequence = (uint32_t)disk->chunk_count;
    if (write_chunk(disk, chunk, raw, size, error) || remember_chunk(disk, chunk, error))
        return -1;
    totals_add_chunk(&disk->totals, chunk);
    return 0;
}

int trace_disk_index(struct trace_disk *disk, struct error *error)
{
    struct tail tail = {.index_offset = disk->offset};
    struct buffer raw = {0};
    int result = 0;
    for (size_t i = 0; i < disk->chunk_count && !result; i += INDEX_ENTRIES) {
        size_t end = disk->chunk_count - i < INDEX_ENTRIES ? disk->chunk_count : i + INDEX_ENTRIES;
        buffer_clear(&raw);
        for (size_t j = i; j < end; j++)
            index_entry_encode(&disk->chunks[j], &raw);
        struct trace_chunk chunk = {.kind = TRACE_CHUNK_INDEX,
            .sequence = (uint32_t)(disk->chunk_count + tail.index_chunks++),
            .records = (uint32_t)(end - i)};
        if (raw.failed)
            result = error_set(error, "no memory for the index of the trace");
        else
            result = write_chunk(disk, &chunk, raw.data, raw.size, error);
    }
    buffer_free(&raw);
    if (result)
        return result;
    uint8_t bytes[TAIL_SIZE];
    tail_encode(&tail, bytes);
    if (write_all(disk, bytes, sizeof bytes, error) || trace_output_sync(&disk->output, error))
        return -1;
    return trace_output_publish(&disk->output, error);
}

uint64_t trace_disk_bound(struct trace_disk *disk)
{
    enum { CHUNKS_A_JOB = 4, LONGEST_END = 64 * 1024 };
    pthread_mutex_lock(&disk->lock);
    uint64_t jobs = 0;
    for (const struct trace_job *job = disk->first; job; job = job->next)
        jobs++;
    uint64_t waiting = disk->queued_bytes;
    pthread_mutex_unlock(&disk->lock);
    uint64_t written = atomic_load_explicit(&disk->written, memory_order_relaxed);
    uint64_t chunks = atomic_load_explicit(&disk->chunks_written, memory_order_relaxed);
    /* LZ4 adds a 255th to what it cannot compress. */
    return written + waiting + waiting / 255 + chunks * INDEX_ENTRY_SIZE +
           jobs * CHUNKS_A_JOB * (CHUNK_HEADER_SIZE + INDEX_ENTRY_SIZE) + LONGEST_END;
}

static int write_parts(struct trace_disk *disk, enum trace_chunk_kind kind,
    const struct trace_part_list *list, const struct buffer *raw, struct error *error)
{
    size_t offset = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct trace_part *part = &list->parts[i];
        struct trace_chunk chunk = {.kind = kind,
            .flags = part->flags,
            .records = part->records,
            .first_event = part->first_event,
            .end_event = part->end_event,
            .first_time = part->first_time};
        const uint8_t *start = raw->data ? raw->data + offset : NULL;
        if (trace_disk_chunk(disk, &chunk, start, part->size, error))
            return -1;
        offset += part->size;
    }
    return 0;
}

static int write_job(struct trace_disk *disk, const struct trace_job *job, struct error *error)
{
    if (write_parts(disk, TRACE_CHUNK_INPUTS, &job->input_parts, &job->inputs, error))
        return -1;
    if (write_parts(disk, TRACE_CHUNK_CHECKS, &job->check_parts, &job->checks, error))
        return -1;
    if (atomic_load(&disk->provisional))
        return 0;
    return trace_output_publish(&disk->output, error);
}

static uint64_t host_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Makes durable what was written a while ago; that may take long, and holds up only this thread. */
static int sync_in_time(struct trace_disk *disk, struct error *error)
{
    if (!disk->unsynced || host_ms() - disk->synced_at < SYNC_MS)
        return 0;
    disk->unsynced = false;
    int result = trace_output_sync(&disk->output, error);
    disk->synced_at = host_ms();
    return result;
}

/* Under the lock: until there is a job, the end, or something to be made durable. */
static void wait_for_work(struct trace_disk *disk)
{
    while (!disk->first && !disk->stop) {
        if (!disk->unsynced) {
            pthread_cond_wait(&disk->wake, &disk->lock);
            continue;
        }
        uint64_t until = disk->synced_at + SYNC_MS;
        struct timespec at = {
            .tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
        if (pthread_cond_clockwait(&disk->wake, &disk->lock, CLOCK_MONOTONIC, &at) == ETIMEDOUT)
            return;
    }
}

static size_t job_bytes(const struct trace_job *job)
{
    return sizeof *job + job->inputs.size + job->checks.size;
}

static void free_jobs(struct trace_job *job)
{
    while (job) {
        struct trace_job *next = job->next;
        buffer_free(&job->inputs);
        buffer_free(&job->checks);
        free(job->input_parts.parts);
        free(job->check_parts.parts);
        free(job);
        job = next;
    }
}

static void clear_job(struct trace_job *job)
{
    buffer_clear(&job->inputs);
    buffer_clear(&job->checks);
    job->input_parts.count = 0;
    job->check_parts.count = 0;
}

static void *disk_main(void *argument)
{
    struct trace_disk *disk = argument;
    pthread_mutex_lock(&disk->lock);
    for (;;) {
        wait_for_work(disk);
        struct trace_job *job = disk->first;
        if (!job && disk->stop)
            break;
        if (job)
            disk->first = job->next;
        bool failed = disk->failed;
        pthread_mutex_unlock(&disk->lock);
        struct error error = {{0}};
        size_t bytes = job ? job_bytes(job) : 0;
        if (!failed && job)
            failed = write_job(disk, job, &error) != 0;
        if (!failed)
            failed = sync_in_time(disk, &error) != 0;
        if (job)
            clear_job(job);
        pthread_mutex_lock(&disk->lock);
        if (failed && !disk->failed) {
            disk->failed = true;
            disk->error = error;
        }
        if (!job) {
            disk->unsynced = disk->unsynced && !disk->failed;
            continue;
        }
        disk->queued_bytes -= bytes;
        if (disk->spare_count < SPARE_JOBS) {
            job->next = disk->spare;
            disk->spare = job;
            disk->spare_count++;
            job = NULL;
        }
        if (job) {
            pthread_mutex_unlock(&disk->lock);
            job->next = NULL;
            free_jobs(job);
            pthread_mutex_lock(&disk->lock);
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return NULL;
}

struct trace_job *trace_disk_job(struct trace_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    struct trace_job *job = disk->spare;
    if (job) {
        disk->spare = job->next;
        disk->spare_count--;
    }
    pthread_mutex_unlock(&disk->lock);
    if (!job)
        return calloc(1, sizeof *job);
    job->next = NULL;
    return job;
}

static int start_thread(struct trace_disk *disk, struct error *error)
{
    /* Signals are for the threads that know what to do with them. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int number = pthread_create(&disk->thread, NULL, disk_main, disk);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (number)
        return error_set(error, "cannot start the trace's disk thread: %s", strerror(number));
    disk->running = true;
    return 0;
}

int trace_disk_submit(struct trace_disk *disk, struct trace_job *job, struct error *error)
{
    int result = 0;
    size_t bytes = job_bytes(job);
    job->next = NULL;
    if (!disk->running && start_thread(disk, error)) {
        free_jobs(job);
        return -1;
    }
    pthread_mutex_lock(&disk->lock);
    if (disk->failed) {
        result = error_set(error, "%s", disk->error.text);
    } else if (bytes > disk->queue_limit - disk->queued_bytes) {
        result = error_set(error,
            "the disk is too slow or stuck: %zu KiB of trace wait to be written, which is the "
            "limit; record to a faster disk",
            disk->queued_bytes / 1024);
    } else {
        if (disk->first)
            disk->last->next = job;
        else
            disk->first = job;
        disk->last = job;
        disk->queued_bytes += bytes;
        pthread_cond_signal(&disk->wake);
        job = NULL;
    }
    pthread_mutex_unlock(&disk->lock);
    free_jobs(job);
    return result;
}

int trace_disk_drain(struct trace_disk *disk, struct error *error)
{
    if (disk->running) {
        pthread_mutex_lock(&disk->lock);
        disk->stop = true;
        pthread_cond_signal(&disk->wake);
        pthread_mutex_unlock(&disk->lock);
        pthread_join(disk->thread, NULL);
        disk->running = false;
    }
    return disk->failed ? error_set(error, "%s", disk->error.text) : 0;
}

int trace_disk_close(struct trace_disk *disk, struct error *error)
{
    trace_disk_drain(disk, NULL);
    int result = trace_output_close(&disk->output, error);
    free_jobs(disk->first);
    free_jobs(disk->spare);
    buffer_free(&disk->scratch);
    free(disk->chunks);
    pthread_cond_destroy(&disk->wake);
    pthread_mutex_destroy(&disk->lock);
    return result;
}
