/* How values are printed: shared by value.c and the files of languages (rust.c). */
#ifndef DEBUGGER_PRINTER_H
#define DEBUGGER_PRINTER_H

#include "debugger/value.h"

struct printer {
    const struct view *view;
    const struct symbols *symbols;
    struct buffer *out;
    struct error *error;
    struct value_style style;
    unsigned depth;
    bool first;             /* of the members */
    bool past_base;         /* the member before was a base class */
    const struct value *of; /* whose members are printed */
    bool failed;
};

/* -1 and the printer's error where memory cannot be read. */
int printer_value(struct printer *printer, const struct value *value);
/* Text as it is. */
void printer_put(struct printer *printer, const char *text);
/* Before a member: a comma but for the first; when pretty a new line. */
void printer_separate(struct printer *printer);
/* Past the last member: when pretty the bracket has a line of its own. */
void printer_close(struct printer *printer, const char *bracket);

#endif
