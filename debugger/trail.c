/* As a browser's history: a move from a place that was gone back to forgets those after it. */
#include "debugger/trail.h"

#include <string.h>

void trail_note(struct trail *trail, struct position position)
{
    if (position_compare(trail->places[trail->at], position) == 0)
        return;
    if (trail->at + 1 == MAX_TRAIL) {
        memmove(trail->places, trail->places + 1, (MAX_TRAIL - 1) * sizeof trail->places[0]);
        trail->at--;
    }
    trail->places[++trail->at] = position;
    trail->last = trail->at;
}

bool trail_step(struct trail *trail, bool back, struct position *position)
{
    if (back ? trail->at == 0 : trail->at == trail->last)
        return false;
    trail->at = back ? trail->at - 1 : trail->at + 1;
    *position = trail->places[trail->at];
    return true;
}
