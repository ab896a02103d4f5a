/* JSON text, as it is printed. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buffer.h"

/* Appends a JSON string with its quotes. */
void json_string(struct buffer *out, const char *text);

#endif
