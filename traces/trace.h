/*
 * The trace container, NAME.hst: one little-endian file, append-only while recording. The byte
 * layout is docs/trace-format.md; this header is what the recorder writes through and what replay,
 * info, dump and verify read through. What the kinds of records mean is their business.
 *
 * A trace holds the machine configuration (settings and boot files), then for every stretch of the
 * run an INPUTS chunk (all that replay needs) and a CHECKS chunk (what replay compares against, may
 * be stripped), then an end record and an index. Whatever instant the recorder is killed at, the
 * file is good up to its last complete INPUTS chunk.
 *
 * Return codes: 0 or a count on success, TRACE_ERROR (-1) when something outside the trace failed
 * (cannot open, no memory), TRACE_DAMAGED (-2) when the file is not a usable trace: damaged, empty,
 * of another version or architecture, not a trace. `error` then holds one line for a person; a
 * damaged chunk is named by its number and file offset. TRACE_MISSING (-3): a boot file that the
 * trace names is not in the store. No bytes of a file, however hostile, make
 * a function here crash, loop, or allocate much more than the file's own size times LZ4's
 * largest ratio.
 *
 * Threads: a writer belongs to one thread (its disk thread is internal). A reader may be shared by
 * threads after it is opened; each stream (inputs, checks, notes) belongs to one thread.
 */
#ifndef TRACES_TRACE_H
#define TRACES_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum { TRACE_OK = 0, TRACE_ERROR = -1, TRACE_DAMAGED = -2, TRACE_MISSING = -3 };

#define TRACE_VERSION             1
#define TRACE_ARCHITECTURE_X86_64 62                /* the ELF machine number */
#define TRACE_INPUT_KINDS         32                /* input kinds are 0 to 31 */
#define TRACE_INPUT_MAX           (1024 * 1024)     /* bytes of payload of one input record */
#define TRACE_NOTE_MAX            (64 * 1024)       /* bytes of payload of one note */
#define TRACE_CHUNK_MAX           (4 * 1024 * 1024) /* uncompressed bytes of a chunk */
#define TRACE_DIGEST_MAX          64
#define TRACE_HASH_SIZE           32 /* of a SHA-256 */

/*
 * `event` is the ordinal of the last event and `insn` the guest instructions retired since it.
 * The run starts at 0.0, before any event.
 */
struct trace_position {
    uint64_t event;
    uint64_t insn;
};

/* ---- Machine configuration ---- */

/* A zeroed struct is an empty configuration. */
struct trace_config {
    struct buffer settings; /* "key=value" strings, each with its terminator */
    struct trace_blob_source *blobs;
    size_t setting_count;
    size_t blob_count;
    bool failed; /* an allocation failed or a key was not usable: trace_writer_create() says so */
};

void trace_config_free(struct trace_config *config);
/* `key` is not empty and holds no '='; a key may be given more than once (repeatable options). */
void trace_config_set(struct trace_config *config, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `data` is borrowed until trace_writer_create() returns; the name is copied. */
void trace_config_add_blob(
    struct trace_config *config, const char *name, const void *data, size_t size);

/* ---- A store of boot files ---- */

/*
 * A folder in which each file has the SHA-256 of its content as its name, 64 hexadecimal digits. A
 * trace that was unpacked, or recorded with a store, names its boot files by these hashes and does
 * not hold them. Nothing else of a trace becomes part of a path.
 */
struct trace_store;

/* `create`: makes the folder, and those above it, where there is none. NULL on failure. */
struct trace_store *trace_store_open(const char *folder, bool create, struct error *error);
void trace_store_close(struct trace_store *store); /* NULL is allowed */
/* Puts a file in, durable and in one step, unless it is there; gives its hash. */
int trace_store_put(const struct trace_store *store, const void *data, size_t size,
    uint8_t hash[TRACE_HASH_SIZE], struct error *error);
/* Is it there, with that content? It is read to know. */
bool trace_store_has(
    const struct trace_store *store, const uint8_t hash[TRACE_HASH_SIZE], uint64_t size);
/* The name of a file in a store. */
void trace_hash_text(const uint8_t hash[TRACE_HASH_SIZE], char text[2 * TRACE_HASH_SIZE + 1]);

/* ---- Records ---- */

/*
 * An input. Asynchronous records carry the position they apply at (an interrupt, a console byte
 * that arrived by itself); synchronous ones (the answer to a question of a device) carry none:
 * their order is enough.
 */
struct trace_input {
    uint8_t kind;
    bool has_position;
    struct trace_position position;
    const uint8_t *payload; /* valid until the next call on the stream; NULL when size is 0 */
    size_t size;
};

/*
 * One event as it was recorded. `digest` is of the vCPU state after the event and is not stored:
 * the trace keeps a running chain of digests, whose low 8 bits are stored with every observed event
 * and all 64 bits with every 64th observed event and with the last one of a chunk. A difference of
 * state is therefore seen at that event with probability 255/256, and at the latest at the next
 * full word (a miss there has probability 2^-64).
 */
struct trace_check {
    uint64_t event; /* its ordinal */
    uint8_t kind;
    uint8_t size;
    uint8_t flags;
    bool observed; /* the state was observed: `digest` counts */
    uint64_t address;
    uint64_t value;
    uint64_t insn_delta; /* instructions since the previous event; not stored, and 0, in a trace
                            without counts_instructions */
    uint64_t digest;     /* given to the writer; 0 from the reader */
    /* From the reader only: */
    uint8_t chain_low; /* observed: low 8 bits of the chain after this event */
    bool has_chain;    /* all 64 bits are in `chain` */
    bool starts_chunk; /* `seed` is the chain's value before this event */
    uint64_t chain;
    uint64_t seed;
};

/* A detail attached to an event: a disk transfer, output bytes. */
struct trace_note {
    uint64_t event;
    uint8_t kind;
    const uint8_t *payload; /* valid until the next call on the stream */
    size_t size;
};

/* The chain a comparing side keeps; copyable (a checkpoint keeps a copy). Zeroed = not known yet,
 * which becomes known at the next chunk start or full word. */
struct trace_chain {
    uint64_t value;
    bool known;
};

/* The chain after an observed event; uses kind, address, size, value and digest. Pure. */
uint64_t trace_chain_step(uint64_t chain, const struct trace_check *check);

enum trace_difference {
    TRACE_DIFFERS_EVENT = 1,
    TRACE_DIFFERS_KIND = 2,
    TRACE_DIFFERS_ADDRESS = 4,
    TRACE_DIFFERS_SIZE = 8,
    TRACE_DIFFERS_VALUE = 16,
    TRACE_DIFFERS_INSN = 32,
    TRACE_DIFFERS_FLAGS = 64,
    TRACE_DIFFERS_STATE = 128, /* the vCPU state, here or after the last full word */
};

/*
 * Compares an event of this run (with its digest) with the recorded one and advances the chain.
 * Gives the fields that differ as a set of enum trace_difference, 0 for none. Instruction deltas
 * are compared when `compare_insn`. A recorded event without observation, or an own one, skips the
 * state; when only the own one lacks it, the chain becomes unknown until it can be picked up again.
 */
unsigned trace_check_compare(const struct trace_check *recorded, const struct trace_check *own,
    bool compare_insn, struct trace_chain *chain);

/* ---- How a recording ended ---- */

enum trace_end_reason {
    TRACE_END_COMPLETE,       /* stopped as asked: a limit was reached, or the user quit */
    TRACE_END_SIGNAL,         /* `status` is the signal */
    TRACE_END_GUEST_SHUTDOWN, /* reset or triple fault */
    TRACE_END_DEBUG_EXIT,     /* `status` is the status the guest asked for */
    TRACE_END_ERROR,          /* `text` says what failed */
    TRACE_END_REASON_COUNT
};

struct trace_end {
    enum trace_end_reason reason;
    int32_t status;
    int32_t guest_status;  /* exit status that the recorder returned for the guest */
    uint64_t events;       /* one past the last event */
    uint64_t insn;         /* instructions after the last event; 0 when they are not counted */
    uint64_t virtual_time; /* ns since power-on */
    uint8_t digest[TRACE_DIGEST_MAX];
    uint8_t digest_size; /* bytes of `digest` in use */
    char text[256];      /* free text for a person; may be empty */
};

struct trace_kind_total {
    uint64_t records;
    uint64_t bytes; /* of payload */
};

struct trace_chunk_total {
    uint64_t chunks;
    uint64_t records;
    uint64_t raw_bytes;    /* before compression, without chunk headers */
    uint64_t stored_bytes; /* in the file, with chunk headers */
};

struct trace_totals {
    struct trace_chunk_total configuration; /* configuration and boot files */
    struct trace_chunk_total inputs;
    struct trace_chunk_total checks;
    struct trace_kind_total input[TRACE_INPUT_KINDS];
    struct trace_kind_total check[256]; /* bytes: 0 */
    struct trace_kind_total note[256];
    uint64_t observed; /* checks with a digest */
};

/* ---- Writing ---- */

/*
 * Where the bytes go instead of a file, for tests. `write` appends: it gives the bytes taken (1 to
 * size) or -1 with errno. `truncate` (may be NULL) cuts what was written to `size` bytes. Both are
 * called from the disk thread, and from the caller's during create.
 */
struct trace_sink {
    int64_t (*write)(void *context, const void *data, size_t size);
    int (*truncate)(void *context, uint64_t size);
    void *context;
};

/* Zero means the default wherever a number is asked for. */
struct trace_writer_options {
    const char *path;              /* created, or replaced once a first chunk is complete */
    bool provisional;              /* not even then, but when trace_writer_publish() allows it */
    const struct trace_sink *sink; /* when set, used instead of `path` */
    const struct trace_config *config;
    const struct trace_store *store; /* boot files go there; NULL: into the trace */
    bool include_checks;
    bool counts_instructions; /* the engine counts: instruction deltas are stored */
    uint64_t first_event;     /* ordinal of the first event that the trace will cover */
    size_t seal_bytes;        /* trace_writer_wants_seal() from this much on; default 256 KiB */
    size_t queue_bytes;       /* may wait for the disk; default 256 MiB */
};

struct trace_writer;

/*
 * Creates the file, writes header, configuration and boot files (this waits for the disk); the disk
 * thread is started by the first seal. NULL on failure. A caller whose path may be a pipe ignores
 * SIGPIPE.
 */
struct trace_writer *trace_writer_create(
    const struct trace_writer_options *options, struct error *error);

/*
 * Adds an input record. `at` is NULL for a synchronous record; positions never go backwards. Never
 * waits, takes no lock. A failure (kind or size out of range, position going backwards, no memory)
 * is kept and returned by the next seal.
 */
void trace_writer_input(struct trace_writer *writer, uint8_t kind, const struct trace_position *at,
    const void *payload, size_t size);

/* The same from a buffer, whose own failure (no memory) is one of the record as well. */
void trace_writer_input_buffer(struct trace_writer *writer, uint8_t kind,
    const struct trace_position *at, const struct buffer *payload);

/* Adds a check; events never go backwards. Does nothing when the trace has no checks. As above. */
void trace_writer_check(struct trace_writer *writer, const struct trace_check *check);

/* Attaches a note to `event`, which is the event of the last check or one after it. As above. */
void trace_writer_note(
    struct trace_writer *writer, uint64_t event, uint8_t kind, const void *payload, size_t size);

/* Enough is buffered that a seal is due. (A seal is also due 100 ms after the last: that is the
 * caller's to know.) */
bool trace_writer_wants_seal(const struct trace_writer *writer);

/*
 * Hands everything since the last seal to the disk thread, as chunks that cover the events from the
 * last seal's `end_event` up to, not including, `end_event`: "the inputs are complete up to
 * end_event". `virtual_time` is the time now, thus the first time of the next chunk. Call it
 * between events. Does nothing when there is nothing new. Never waits for the disk: when more than
 * queue_bytes wait it fails. Returns -1 when this or an earlier call failed or the disk thread met
 * an error (the file is then good up to its last complete chunk, and all further calls fail too).
 */
int trace_writer_seal(
    struct trace_writer *writer, uint64_t end_event, uint64_t virtual_time, struct error *error);

/* A provisional trace may take its name, with its next chunk or its end. */
void trace_writer_publish(struct trace_writer *writer);

/* What the file would have at most, were the trace ended now: for who limits its size. */
uint64_t trace_writer_bound(struct trace_writer *writer);

/* Bytes that reached the file so far, for progress: fewer than were queued. */
uint64_t trace_writer_written(const struct trace_writer *writer);

/*
 * Seals up to end->events, waits for the disk, writes end record and index, closes and frees the
 * writer in any case. When an earlier seal failed because of the queue or of bad records, what was
 * sealed before is kept and the end record says TRACE_END_ERROR with that error. Returns -1 when
 * anything of the trace is missing from the file, or not known to be durable.
 */
int trace_writer_finish(
    struct trace_writer *writer, const struct trace_end *end, struct error *error);

/* Drops what is not sealed, waits for the disk, writes no end record, frees. A file that has not
 * taken its name vanishes. For tests, and for a caller that cannot describe the end. NULL is
 * allowed. */
void trace_writer_abandon(struct trace_writer *writer);

/* ---- Reading ---- */

struct trace_reader;

int trace_reader_open(struct trace_reader **reader, const char *path, struct error *error);
/* `data` is borrowed for the life of the reader. */
int trace_reader_open_memory(
    struct trace_reader **reader, const void *data, size_t size, struct error *error);
void trace_reader_close(struct trace_reader *reader); /* NULL is allowed; streams go first */

struct trace_info {
    uint16_t version;
    uint16_t architecture;
    bool has_checks;          /* recorded with checks and not stripped */
    bool stripped;            /* had checks once */
    bool counts_instructions; /* instruction deltas of checks are stored */
    bool stored;              /* its boot files are in a store */
    bool packed;              /* compressed as far as it goes */
    bool complete;            /* has its end record: `end` is valid */
    bool rebuilt;             /* the index was missing or damaged and was rebuilt by scanning */
    bool damaged;             /* the chunks after the last listed one cannot be read: `damage` says
                                 why; a stream that gets there returns TRACE_DAMAGED */
    uint64_t file_size;       /* bytes */
    uint64_t lost_bytes;      /* bytes of a chunk cut short at the end of the file, ignored */
    uint64_t first_event;
    uint64_t end_event;   /* inputs are complete up to this event; replay stops before it */
    uint64_t checked_end; /* checks exist up to this event */
    size_t chunks;
    struct trace_end end;
    struct error damage;
};

void trace_reader_info(const struct trace_reader *reader, struct trace_info *info);

enum trace_chunk_kind {
    TRACE_CHUNK_CONFIG = 1,
    TRACE_CHUNK_BLOB = 2,
    TRACE_CHUNK_INPUTS = 3,
    TRACE_CHUNK_CHECKS = 4,
    TRACE_CHUNK_END = 5,
    TRACE_CHUNK_INDEX = 6,
};

struct trace_chunk {
    uint64_t offset; /* of its header in the file */
    enum trace_chunk_kind kind;
    uint8_t flags;
    uint32_t sequence; /* its number in the file, from 0 */
    uint32_t records;
    uint32_t raw_size;    /* payload before compression */
    uint32_t stored_size; /* payload in the file */
    uint64_t first_event;
    uint64_t end_event; /* one past the last event covered */
    uint64_t first_time;
};

/* `number` below info.chunks; false when it is not. Index chunks are not listed. */
bool trace_reader_chunk(const struct trace_reader *reader, size_t number, struct trace_chunk *out);
const char *trace_chunk_kind_name(enum trace_chunk_kind kind);
const char *trace_end_reason_name(enum trace_end_reason reason);

/* Event whose chunk holds virtual time `time`: the first event of the last INPUTS chunk that starts
 * at or before it. For seeking by time. */
uint64_t trace_reader_event_at(const struct trace_reader *reader, uint64_t time);

/* Totals by kind: from the end record, or by reading every chunk when there is none. */
int trace_reader_totals(
    const struct trace_reader *reader, struct trace_totals *totals, struct error *error);

/* The value of the first setting with that key, or NULL. The strings live as long as the reader. */
const char *trace_reader_setting(const struct trace_reader *reader, const char *key);
/* All of them in order; false when `number` is past the last. */
bool trace_reader_setting_at(
    const struct trace_reader *reader, size_t number, const char **key, const char **value);

struct trace_blob {
    const char *name; /* lives as long as the reader */
    uint64_t size;
    uint64_t digest; /* XXH3-64 of the content */
    bool stored;     /* in a store, under: */
    uint8_t hash[TRACE_HASH_SIZE];
};

/* Number of the blob with that name, or -1. */
int trace_reader_find_blob(const struct trace_reader *reader, const char *name);
/* false when `number` is past the last. */
bool trace_reader_blob_at(const struct trace_reader *reader, size_t number, struct trace_blob *out);
/*
 * Where the boot files of a trace with info.stored are to be found. Opens them, so that they can be
 * read after the process was confined; the store may be closed then. TRACE_MISSING names the first
 * that is not there. Of any other trace: does nothing.
 */
int trace_reader_use_store(
    struct trace_reader *reader, const struct trace_store *store, struct error *error);
/* Reads a whole blob into `data`, which has room for its size; checks its digest, and its hash if
 * it is stored. */
int trace_reader_blob(
    const struct trace_reader *reader, size_t number, void *data, struct error *error);

/* ---- Streams: 1 = one was read, 0 = the end of the trace, TRACE_ERROR, TRACE_DAMAGED ---- */

/* A place in the stream of inputs, before a record. Copyable; good for every stream of the same
 * file. */
struct trace_cursor {
    uint64_t chunk;
    uint64_t offset;
    struct trace_position position;
};

struct trace_inputs;

/* At the start of the trace. NULL when there is no memory. */
struct trace_inputs *trace_inputs_open(const struct trace_reader *reader, struct error *error);
void trace_inputs_close(struct trace_inputs *inputs);
int trace_inputs_next(struct trace_inputs *inputs, struct trace_input *out, struct error *error);
/* As next, without passing over it. */
int trace_inputs_peek(struct trace_inputs *inputs, struct trace_input *out, struct error *error);
/* To the start of the chunk that covers `event` (the last chunk when it is past the end). */
void trace_inputs_seek(struct trace_inputs *inputs, uint64_t event);
void trace_inputs_save(const struct trace_inputs *inputs, struct trace_cursor *cursor);
void trace_inputs_restore(struct trace_inputs *inputs, const struct trace_cursor *cursor);

struct trace_checks;

struct trace_checks *trace_checks_open(const struct trace_reader *reader, struct error *error);
void trace_checks_close(struct trace_checks *checks);
int trace_checks_next(struct trace_checks *checks, struct trace_check *out, struct error *error);
int trace_checks_peek(struct trace_checks *checks, struct trace_check *out, struct error *error);
/* To the first check whose event is `event` or later. Reads from the start of its chunk, at most a
 * few milliseconds. 0 or an error. */
int trace_checks_seek(struct trace_checks *checks, uint64_t event, struct error *error);

struct trace_notes;

struct trace_notes *trace_notes_open(const struct trace_reader *reader, struct error *error);
void trace_notes_close(struct trace_notes *notes);
int trace_notes_next(struct trace_notes *notes, struct trace_note *out, struct error *error);
int trace_notes_peek(struct trace_notes *notes, struct trace_note *out, struct error *error);
int trace_notes_seek(struct trace_notes *notes, uint64_t event, struct error *error);

/* ---- Whole files ---- */

/*
 * Container integrity: every checksum, every record's framing, every boot file's digest, the index
 * against the chunks. `progress` (may be NULL) is told the bytes done and of how many. 0 when all
 * is intact up to the end of the file; a trace cut short by a killed recorder is intact.
 */
int trace_verify(const char *path, void (*progress)(void *context, uint64_t done, uint64_t total),
    void *context, struct error *error);
int trace_verify_reader(const struct trace_reader *reader,
    void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
    struct error *error);

enum trace_boot_files { TRACE_KEEP_BOOT_FILES, TRACE_UNPACK_BOOT_FILES, TRACE_PACK_BOOT_FILES };

struct trace_copy_options {
    bool strip;  /* without checks */
    bool packed; /* compressed as far as it goes: takes a second for some megabytes */
    enum trace_boot_files boot_files;
    const struct trace_store *store; /* where they are put, or come from */
};

/* Copies `in` to `out` (another file, replaced). Event ordinals stay. On failure `out` is as it
 * was. */
int trace_copy(
    const char *in, const char *out, const struct trace_copy_options *options, struct error *error);

#endif
