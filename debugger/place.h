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

/* "function", "file.c:12", "12", "*EXPRESSION": addresses to break at; how many in *count. */
int place_parse(struct debugger *debugger, const char *text, uint64_t *addresses, unsigned max,
    unsigned *count, struct error *error);
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
