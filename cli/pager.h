/*
 * Shows long output a page at a time on a terminal, with gdb's words: RET for the next page, q to
 * drop the rest of what the command says, c for all of it.
 */
#ifndef CLI_PAGER_H
#define CLI_PAGER_H

#include <stdbool.h>

#include "base/buffer.h"

struct pager {
    unsigned height, width; /* of the page; 0: no end of it */
    unsigned row, column;
    bool quit;
};

/* At a prompt: a new page. */
void pager_start(struct pager *pager, unsigned height, unsigned width);
/* Writes to standard output; false once the person has had enough, or Ctrl-C came. */
bool pager_print(struct pager *pager, const struct buffer *text);

#endif
