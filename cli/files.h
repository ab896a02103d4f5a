/* Files of the host that subcommands make and take away. */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include "base/buffer.h"
#include "base/error.h"

/* Removes the folder with all that is in it; what cannot be removed stays. */
void files_remove_tree(const char *path);
/* The whole of a file. */
int files_read(const char *path, struct buffer *content, struct error *error);
/* A new file. */
int files_write(const char *path, const void *data, size_t size, struct error *error);

#endif
