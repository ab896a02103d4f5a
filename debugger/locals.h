/* Arguments and local variables of a frame, a line each. */
#ifndef DEBUGGER_LOCALS_H
#define DEBUGGER_LOCALS_H

#include <stdbool.h>

struct debugger;
struct frame;

/* Every line begins with `indent`; "No locals." where there is none. */
void print_locals(
    struct debugger *debugger, const struct frame *frame, bool parameters, const char *indent);

#endif
