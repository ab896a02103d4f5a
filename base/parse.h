/* Sizes and times as people write them; -1 and the error for what is not one. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdint.h>

#include "base/error.h"

/* "64M", "1G", "4096", "1.5G": bytes. Units K, M, G, T are powers of 1024. */
int parse_size(const char *text, uint64_t *size, struct error *error);
/* "2.5s", "10ms", "300us", "5m", "1.5" (seconds): virtual nanoseconds. */
int parse_time(const char *text, uint64_t *ns, struct error *error);

#endif
