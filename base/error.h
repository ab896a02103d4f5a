/*
 * How a function says what went wrong.
 *
 * A function that can fail returns 0 on success and -1 on failure, or a pointer that is NULL on
 * failure, and takes a `struct error *` last. On failure it leaves there one line for a person:
 * what, where, what to do. The caller passes it up or adds to it; only cli/ prints it and exits.
 * `error` may be NULL where the caller does not want the text.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
    char text[512]; /* one line, no newline, always terminated; empty when nothing failed */
};

/* Formats the message. Always returns -1, so that `return error_set(e, ...)` reads well. */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As error_set, with ": " and the text of errno (as it was on entry) appended. Returns -1. */
int error_set_errno(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the text that is there. Returns -1. */
int error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* So that the compiler knows the result, too. */
static inline int error_result(int ignored)
{
    (void)ignored;
    return -1;
}
#define error_set(...)       error_result(error_set(__VA_ARGS__))
#define error_set_errno(...) error_result(error_set_errno(__VA_ARGS__))
#define error_prefix(...)    error_result(error_prefix(__VA_ARGS__))

#endif
