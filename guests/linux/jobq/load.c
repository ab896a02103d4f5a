/* Submits jobs to the jobq module from user space. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct request {
    unsigned char prio, late;
    char text[174];
};
struct tally {
    unsigned long sent, cancelled;
    double ratio;
} tally;
static struct request current;

static int submit(int fd, unsigned i)
{
    size_t len = 48;
    current.prio = (unsigned char)(i * 2654435761u >> 24);
    current.late = (unsigned char)(i * 40503u >> 8);
    snprintf(current.text, sizeof current.text, "job %u", i);
    if (i % 3 == 0) {
        memset((char *)&current + 48, 'A' + i % 26, 128);
        len = 176;
    }
    return write(fd, &current, len) == (ssize_t)len;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
    int fd = open("/dev/jobq", O_RDWR);
    if (fd < 0) {
        perror("/dev/jobq");
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        tally.sent += submit(fd, i);
        if (i % 7 == 0 && ioctl(fd, 1, (unsigned long)i) == 0)
            tally.cancelled++;
        if (i % 50 == 0)
            usleep(1000);
    }
    tally.ratio = tally.sent ? (double)tally.cancelled / tally.sent : 0;
    printf("load: %lu sent, %lu cancelled, %f\n", tally.sent, tally.cancelled, tally.ratio);
    return 0;
}
