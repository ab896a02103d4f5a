/* Breakpoints, watchpoints and catchpoints: what a session stops at. */
#ifndef DEBUGGER_POINTS_H
#define DEBUGGER_POINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "debugger/type.h"

struct debugger;

enum { MAX_POINTS = 48, MAX_POINT_ADDRESSES = 16 };

enum point_kind {
    POINT_BREAK,
    POINT_WATCH,
    POINT_RWATCH,
    POINT_AWATCH,
    POINT_EVENT,
    POINT_CONSOLE,
    POINT_EXCEPTION, /* vector event_value if match_value */
    POINT_MODE,
    POINT_DISK, /* `length` sectors from addresses[0] on, of disk event_value */
};

/* A breakpoint, watchpoint or catchpoint. Strings are owned. */
struct point {
    unsigned number;
    enum point_kind kind;
    bool enabled, temporary, physical;
    char *text;           /* as it was asked for */
    char *condition;      /* an expression, or NULL */
    unsigned thread;      /* only where this one runs; 0: any */
    struct buffer script; /* lines of `commands`, each with its terminator */
    uint64_t hits, ignore;
    uint64_t addresses[MAX_POINT_ADDRESSES]; /* linear; for a watch one */
    unsigned address_count; /* 0: what `text` names is not in memory where it was last resolved */
    bool is_named;          /* `text` says where, whatever moves */
    uint64_t space;         /* a place of user memory: its process's struct mm_struct; 0: none */
    uint64_t length;        /* watched bytes */
    struct type type;       /* watched */
    uint64_t old;           /* the watched value when it was last looked at */
    bool old_known;
    uint32_t event_kinds; /* POINT_EVENT */
    bool match_address, match_value;
    uint64_t event_address, event_value;
    void *
        script_object; /* of a script's own Breakpoint (python/python.h), which is asked; or NULL */
};

/* Frees what the point owns. */
void point_free(struct point *point);
/* Takes it out of the session; those after it move down by one. */
void point_remove(struct debugger *debugger, struct point *point);
bool point_is_watch(const struct point *point);
/* Is it about places in memory or on a disk? */
bool point_by_address(const struct point *point);
/* Can changes of the watched value be told? Those of larger things cannot: every write stops. */
bool point_has_value(const struct point *point);
/* The watched value as it is now; false where it cannot be read. */
bool point_read(struct debugger *debugger, const struct point *point, uint64_t *value);
/* `Old value`, `New value`... are taken from here on: call after moving by other means. */
void points_look(struct debugger *debugger);
/*
 * Finds anew the places of those that have names: what they name may have moved, come or gone. Says
 * nothing where a name is not there.
 */
int points_resolve(struct debugger *debugger, struct error *error);
/* Is a point's address still what its text names, and is its process the one that runs? */
bool point_holds(
    struct debugger *debugger, const struct point *point, uint64_t address, uint64_t signature);
/* The list that `info breakpoints` shows. */
void points_describe(struct debugger *debugger);

#endif
