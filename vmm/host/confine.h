/*
 * A process that has opened what it needs gives up what it does not: no_new_privs, the capabilities
 * of root, a filter of system calls (seccomp), and, where the kernel has it, access to files by
 * path (Landlock). A hostile guest, trace or gdb client that takes over the process is then left
 * with what is open already.
 *
 * What stays possible: computing, threads of the process itself, memory that is not writable and
 * executable at once, and reading, writing and waiting on open descriptors. No program is started,
 * no socket made, nobody else signalled or traced; no characters are pushed into a terminal.
 */
#ifndef VMM_HOST_CONFINE_H
#define VMM_HOST_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum { CONFINE_MAX_FOLDERS = 8, CONFINE_MAX_READABLE = 2 };

struct confine {
    bool read_everything; /* files may be opened for reading: a debugger's user names some */
    /* Files or folders that may be opened for reading; the first NULL ends them. */
    const char *readable[CONFINE_MAX_READABLE];
    /* Folders where files may be made, replaced and removed. */
    const char *writable[CONFINE_MAX_FOLDERS];
    unsigned writable_count;
    bool makes_folders;  /* and folders in those */
    const char *removes; /* folder of a socket that is removed at the end; or NULL */
    bool reopens; /* a serial device or socket may be opened again: any file may be, no new kind */
    bool child;   /* a command of the machine's is to be ended at last */
};

/* What this host has: "seccomp, Landlock ABI 4". `text` has room for 64. */
void confine_describe(char text[64]);

/*
 * Once and for good. The filter of system calls holds for all threads; capabilities and paths for
 * this one and those it starts from now on. -1: the kernel lets no filter be set; then only the
 * rest holds. Under the sanitizers and in a coverage build, which need more, only no_new_privs is
 * set.
 */
int confine_process(const struct confine *confine, struct error *error);

#endif
