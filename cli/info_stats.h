/* `hindsight info --stats`: what a run was made of, counted over all its events. */
#ifndef CLI_INFO_STATS_H
#define CLI_INFO_STATS_H

#include "base/buffer.h"
#include "traces/trace.h"

enum { STATS_PLACES = 4096, STATS_DISKS = 16, STATS_NETWORKS = 16 };

/* A port, an address, an MSR or a vector, by the kind of its events. */
struct stats_place {
    uint8_t kind;
    uint64_t address, count;
};

struct stats {
    uint64_t by_kind[256], total;
    uint64_t insns, longest,
        longest_event; /* longest: instructions between two events, before it */
    bool counted;
    struct stats_place places[STATS_PLACES]; /* most often first, once read */
    unsigned place_count;
    uint64_t elsewhere; /* events at places for which there was no room */
    struct {
        uint64_t reads, read_sectors, writes, written_sectors, flushes, discards;
    } disks[STATS_DISKS];
    struct {
        uint64_t sent, sent_bytes, received, received_bytes;
    } networks[STATS_NETWORKS];
};

/* Reads all checks and notes; `stats` is zeroed. 0, or TRACE_DAMAGED or TRACE_ERROR. */
int stats_read(struct stats *stats, const struct trace_reader *reader, struct error *error);
/* Lines for a person; a member "stats" of a JSON object that has begun. `ns`: virtual time. */
void stats_text(const struct stats *stats, uint64_t ns, struct buffer *out);
void stats_json(const struct stats *stats, uint64_t ns, struct buffer *out);

#endif
