/* The lines of a file, which may be an LZ4 frame. */
#ifndef TESTS_DIFFERENTIAL_LINES_H
#define TESTS_DIFFERENTIAL_LINES_H

#include <lz4frame.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/error.h"

struct lines {
    FILE *file;
    LZ4F_dctx *lz4; /* NULL: as it is */
    uint8_t input[65536];
    size_t input_at, input_size;
    struct buffer text;
    size_t line; /* where in `text` the next one begins */
    bool finished, failed;
};

/* "-" is standard input. */
int lines_open(struct lines *lines, const char *path, struct error *error);
/* Without its end, good until the next call; NULL: no more. */
char *lines_next(struct lines *lines);
/* Did it end too early? Then the error says so. */
bool lines_failed(const struct lines *lines, struct error *error);
void lines_close(struct lines *lines);

#endif
