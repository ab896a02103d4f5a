/* What `origin` named that can be followed further, by number, as long as the session lasts. */
#ifndef DEBUGGER_ORIGINS_H
#define DEBUGGER_ORIGINS_H

#include "debugger/origin.h"

enum { MAX_ORIGINS = 256 };

struct origins {
    struct origin_value *list; /* number N is list[N - 1]; owned */
    unsigned count;
};

#endif
