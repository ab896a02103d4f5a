/* Names of places: in code ("function", "file.c:12"), in time ("1532.87", "50%"), on a disk. */
#ifndef DEBUGGER_PLACE_H
#define DEBUGGER_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "replay/timeline.h"

struct debugger;
struct error;

enum { MAX_BOOKMARKS = 64 };

struct bookmark {
    char name[64];
    struct position position;
};

/* "function", "file.c:12", "12", "+2" and "-2" from the line at hand, "*EXPRESSION": addresses to
 * break at; how many in *count. */
int place_parse(struct debugger *debugger, const char *text, uint64_t *addresses, unsigned max,
    unsigned *count, struct error *error);
/* Where the functions of that name and their clones begin, of those in memory; how many. */
unsigned place_functions(
    struct debugger *debugger, const char *name, uint64_t *entries, unsigned max);
/* A line of the file at hand, "12" or "+2", by a name that means the same anywhere: "FILE:LINE".
 * False where `text` is something else. */
bool place_name_line(struct debugger *debugger, const char *text, char *name, size_t size);
/* "50%", which is of the instructions of the run. */
bool position_is_share(const char *text, unsigned *percent);
/* Goes there; to the end first where it is not known yet how many instructions there are. */
int position_seek_share(
    struct debugger *debugger, unsigned percent, struct timeline_stop *stop, struct error *error);
/* Goes to what the command `seek` takes, which says nothing of it. */
int position_seek(
    struct debugger *debugger, const char *text, struct timeline_stop *stop, struct error *error);
/* "1532", "1532.87", "start", "end", "50%", a bookmark. */
int position_from_text(
    struct debugger *debugger, const char *text, struct position *position, struct error *error);
/* "0x100320 <guest_main+12>" */
void print_address(struct debugger *debugger, uint64_t address);
/* "LBA[,COUNT][@DISK]" */
int place_parse_sectors(struct debugger *debugger, const char *text, uint64_t *sector,
    uint64_t *count, uint64_t *disk, struct error *error);
/* The position, the instructions executed so far and the virtual time, as `when` tells them. */
void print_position(struct debugger *debugger);

#endif
