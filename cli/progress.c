/* The progress bar on standard error. */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 40 };

void progress_show(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    if (!isatty(STDERR_FILENO) || total == 0)
        return;
    unsigned percent = (unsigned)((double)done * 100 / (double)total);
    if (progress->shown && percent == progress->percent)
        return;
    char bar[WIDTH + 1];
    unsigned filled = percent * WIDTH / 100;
    memset(bar, ' ', WIDTH);
    memset(bar, '#', filled < WIDTH ? filled : WIDTH);
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%s [%s] %3u%%", progress->label, bar, percent);
    fflush(stderr);
    progress->shown = true;
    progress->percent = percent;
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}
