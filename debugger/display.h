/* Expressions that are shown at every stop. */
#ifndef DEBUGGER_DISPLAY_H
#define DEBUGGER_DISPLAY_H

struct debugger;
struct error;

enum { MAX_DISPLAYS = 32 };

struct display {
    unsigned number;
    char *text; /* "x/i $pc" or an expression */
    char format;
};

/* Shows all; one that cannot be told here is shown with the reason. */
int display_all(struct debugger *debugger, struct error *error);
/* Stops showing the one whose number the expression `which` gives; all where it is empty. */
int display_remove(struct debugger *debugger, const char *which, struct error *error);

#endif
