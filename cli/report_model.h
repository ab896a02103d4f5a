/*
 * What a run shows, gathered while it is replayed: the data of `hindsight report`. Everything that
 * a hostile trace could make long has a bound; what is left out is counted.
 */
#ifndef CLI_REPORT_MODEL_H
#define CLI_REPORT_MODEL_H

#include "cli/console_watch.h"
#include "replay/replay.h"

enum {
    REPORT_EVENTS_MAX = 4000000, /* events whose time and place are kept */
    REPORT_SITES_MAX = 4095,     /* different registers and vectors; the rest are "other" */
    REPORT_ROWS_MAX = 500000,    /* of each table below */
    REPORT_SPACES_MAX = 4096,
};

/* A list of JSON values without its brackets. */
struct report_list {
    struct buffer text;
    uint64_t rows, left_out;
};

/* What was accessed how: a register of a device, an interrupt's vector. */
struct report_site {
    uint64_t address, count;
    uint8_t kind, size;
    char device[24];
};

struct report_model {
    struct machine *machine; /* borrowed */
    uint64_t events;         /* seen; times and sites have the first REPORT_EVENTS_MAX of them */
    uint64_t first_event, last_time;
    struct report_list times; /* of each event, ns since the one before */
    struct report_list event_sites;
    struct report_site sites[REPORT_SITES_MAX + 1]; /* the last one: all others */
    unsigned site_count;
    uint16_t buckets[8192];            /* open addressing over sites: number + 1 */
    struct report_list turns;          /* [event, vCPU]: runs from there on */
    struct report_list spaces;         /* [event, vCPU, ring, number of the address space] */
    uint64_t space[REPORT_SPACES_MAX]; /* CR3 of each */
    unsigned space_count;
    struct {
        unsigned ring, space;
        bool known;
    } at[CONFIG_MAX_CPUS];
    unsigned current;
    struct report_list console; /* [event, time, text] */
    struct report_list disk;    /* [event, time, disk, kind, sector, count] */
    struct report_list
        members; /* [event, time, disk, member, kind, role, LBA, count, stripe, failed] */
    struct report_list frames; /* [event, time, network, received, size, dropped] */
    struct report_list marks;  /* [event, time, text] */
    struct console_watch watch;
    char line[CONSOLE_LINE_MAX + 1];
    size_t line_length;
    uint64_t line_event, line_time;
    bool failed; /* no memory */
};

/* `model` is zeroed. */
int report_model_init(struct report_model *model, struct error *error);
void report_model_free(struct report_model *model);
/*
 * From here on sees the machine's events. On the software CPU the run stops with STOP_BREAKPOINT
 * where the ring or the address space changes: report_model_changed() is to be called then, and the
 * run to go on. On another engine they are known as of each event.
 */
int report_model_attach(struct report_model *model, struct machine *machine, struct error *error);
int report_model_changed(struct report_model *model, struct error *error);
/* What the guest prints: a byte_sink's put. */
void report_model_console(void *model, const uint8_t *bytes, size_t count);
/* Adds a mark where the run stands. */
void report_model_mark(struct report_model *model, const char *text);
/* Was there no memory for some of it? */
bool report_model_failed(struct report_model *model);
/* Ends the line under way. */
void report_model_end(struct report_model *model);

/* A JSON string that may stand in a page's script: `<` and bytes that are not ASCII are escaped. */
void report_string(struct buffer *out, const char *text);
/* Events, tables and sites as members of a JSON object that has begun. */
void report_model_write(const struct report_model *model, struct buffer *out);

#endif
