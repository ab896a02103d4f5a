/* Reading boot files that are in a store. Inside traces/ only. */
#ifndef TRACES_STORE_H
#define TRACES_STORE_H

#include "traces/config.h"

/* Reads the file that trace_reader_use_store() opened; TRACE_MISSING when it has not, or when it is
 * not what its hash says. `data` has room for its size. */
int store_read(const struct trace_stored_blob *blob, void *data, struct error *error);

#endif
