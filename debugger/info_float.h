/* What `info` tells about the x87 and the vector registers. */
#ifndef DEBUGGER_INFO_FLOAT_H
#define DEBUGGER_INFO_FLOAT_H

struct debugger;
struct error;

int info_float(struct debugger *debugger, const char *arguments, struct error *error);
int info_vector(struct debugger *debugger, const char *arguments, struct error *error);

#endif
