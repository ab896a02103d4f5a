/* Reads a file, or what an LZ4 frame holds, line by line. */
#include "tests/differential/vectors/lines.h"

#include <string.h>

static bool refill(struct lines *lines)
{
    if (lines->input_at < lines->input_size)
        return true;
    lines->input_at = 0;
    lines->input_size = fread(lines->input, 1, sizeof lines->input, lines->file);
    return lines->input_size > 0;
}

int lines_open(struct lines *lines, const char *path, struct error *error)
{
    static const uint8_t magic[4] = {0x04, 0x22, 0x4d, 0x18};
    *lines = (struct lines){0};
    lines->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!lines->file)
        return error_set_errno(error, "cannot be opened");
    if (refill(lines) && lines->input_size >= sizeof magic &&
        !memcmp(lines->input, magic, sizeof magic) &&
        LZ4F_isError(LZ4F_createDecompressionContext(&lines->lz4, LZ4F_VERSION)))
        return error_set(error, "no memory to decompress");
    return 0;
}

/* Adds a piece of text; false at the end. */
static bool more_text(struct lines *lines)
{
    enum { PIECE = 1 << 18 };
    if (!refill(lines)) {
        lines->failed |= lines->lz4 && !lines->finished;
        return false;
    }
    uint8_t *to = buffer_extend(&lines->text, PIECE);
    if (!to) {
        lines->failed = true;
        return false;
    }
    size_t got = PIECE, taken = lines->input_size - lines->input_at;
    const uint8_t *from = lines->input + lines->input_at;
    if (lines->lz4) {
        size_t left = LZ4F_decompress(lines->lz4, to, &got, from, &taken, NULL);
        lines->finished = left == 0;
        lines->failed |= LZ4F_isError(left);
    } else {
        got = taken < PIECE ? taken : PIECE;
        taken = got;
        memcpy(to, from, got);
    }
    lines->input_at += taken;
    lines->text.size -= PIECE - got;
    return !lines->failed;
}

char *lines_next(struct lines *lines)
{
    for (;;) {
        char *start = (char *)lines->text.data + lines->line, *end = NULL;
        size_t left = lines->text.size - lines->line;
        if (left)
            end = memchr(start, '\n', left);
        if (end) {
            *end = '\0';
            lines->line += (size_t)(end - start) + 1;
            return start;
        }
        if (left && lines->line)
            memmove(lines->text.data, start, left);
        lines->text.size = left;
        lines->line = 0;
        if (!more_text(lines)) {
            lines->failed |= lines->text.size > 0; /* the last line has an end, too */
            return NULL;
        }
    }
}

bool lines_failed(const struct lines *lines, struct error *error)
{
    if (lines->failed)
        error_set(error, "the file is damaged or cut off");
    return lines->failed;
}

void lines_close(struct lines *lines)
{
    LZ4F_freeDecompressionContext(lines->lz4);
    if (lines->file && lines->file != stdin)
        fclose(lines->file);
    buffer_free(&lines->text);
}
