/* Frames and source lines as they are shown. */
#ifndef DEBUGGER_SOURCE_H
#define DEBUGGER_SOURCE_H

#include <stdbool.h>

struct debugger;
struct error;
struct frame;

/* "#0  0x100320 in function (a=1) at file.c:12" without the number; `brief` leaves out the
 * address at the beginning of a line. */
void print_frame(struct debugger *debugger, const struct frame *frame, bool brief);
/* Lines [first, last] of a file with numbers; false when the file cannot be read. */
bool print_source(struct debugger *debugger, const char *file, int first, int last, int current);
/* Where the timeline stands: frame, source line or instruction, displays. */
int print_stop(struct debugger *debugger, struct error *error);
const char *base_name(const char *path);

#endif
