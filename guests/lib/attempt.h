/*
 * Calls code that may raise an exception and tells which; and checks with one line of output each.
 */
#ifndef GUEST_ATTEMPT_H
#define GUEST_ATTEMPT_H

#include <stdint.h>

enum { NO_VECTOR = 256 };

struct attempt {
    uint64_t vector; /* NO_VECTOR: returned normally, with `result` */
    uint64_t error, cr2;
    uint64_t rip, cs, rflags, rsp, ss; /* as pushed */
    uint64_t frame;                    /* address of what was pushed last by the CPU */
    uint64_t result;
};

/* Vectors 0 to 31 end the call. Not reentrant. */
struct attempt attempt(uint64_t (*function)(void *argument), void *argument);
/* The same in ring 3, with interrupts on. */
struct attempt attempt_user(uint64_t (*function)(void *argument), void *argument);

/* Prints "ok NAME", or what differs. */
void check(const char *name, uint64_t actual, uint64_t expected);
/* The vector and, where it has one, the error code. */
void check_fault(const char *name, const struct attempt *attempt, uint64_t vector, uint64_t error);
/* Fails the guest with value 1 if any check failed; else prints how many passed. */
void check_end(void);

#endif
