/* Names and arguments of Linux's system calls. */
#ifndef DEBUGGER_SYSCALL_NAMES_H
#define DEBUGGER_SYSCALL_NAMES_H

#include <stdint.h>

struct syscall_name {
    const char *name;
    /* A letter for each argument: d signed, u unsigned, x hexadecimal, o octal, s a string. */
    const char *arguments;
};

/* NULL: none has the number. */
const struct syscall_name *syscall_find(uint64_t number);

#endif
