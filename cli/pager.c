/* A page at a time on a terminal. */
#include "cli/pager.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pager_start(struct pager *pager, unsigned height, unsigned width)
{
    *pager = (struct pager){.height = height, .width = width};
}

/* The first character of the line that is typed; 'q' at the end of input, or when a signal that
 * `waiting` lets through comes. */
static char read_answer(const sigset_t *waiting)
{
    char first = '\0', byte;
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (ppoll(&input, 1, NULL, waiting) < 0 || read(STDIN_FILENO, &byte, 1) != 1)
            return 'q';
        if (byte == '\n')
            return first ? first : '\n';
        if (!first && byte != ' ')
            first = byte;
    }
}

static void ask(struct pager *pager)
{
    /* Whoever sees the question may type Ctrl-C at once, before anything waits for it. */
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    fputs("--Type <RET> for more, q to quit, c to continue without paging--", stdout);
    fflush(stdout);
    char answer = read_answer(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    pager->quit = answer == 'q' || answer == 'Q';
    if (answer == 'c' || answer == 'C')
        pager->height = 0;
    pager->row = pager->column = 0;
}

/* How many bytes belong to a color and take no room. */
static size_t escape_length(const char *text, size_t size)
{
    size_t length = 1;
    if (size < 2 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (length < size && text[length] != 'm')
        length++;
    return length < size ? length + 1 : size;
}

/* As much as stands in one row of the terminal. */
static size_t take_row(struct pager *pager, const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t escape = escape_length(text + at, size - at);
        if (escape) {
            at += escape;
            continue;
        }
        bool is_end = text[at] == '\n', is_full = pager->width && pager->column == pager->width;
        if (!is_end && !is_full) {
            /* The bytes that continue a character of UTF-8 take no room. */
            pager->column += ((unsigned char)text[at] & 0xc0) != 0x80;
            at++;
            continue;
        }
        pager->row++;
        pager->column = 0;
        return at + is_end;
    }
    return at;
}

bool pager_print(struct pager *pager, const struct buffer *text)
{
    const char *at = (const char *)text->data;
    size_t left = text->size;
    while (left && !pager->quit) {
        if (pager->height > 1 && pager->row + 1 >= pager->height)
            ask(pager);
        size_t size = pager->quit ? 0 : take_row(pager, at, left);
        fwrite(at, 1, size, stdout);
        at += size;
        left -= size;
    }
    fflush(stdout);
    return !pager->quit;
}
