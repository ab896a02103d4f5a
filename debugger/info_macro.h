/* What `info` tells about macros. */
#ifndef DEBUGGER_INFO_MACRO_H
#define DEBUGGER_INFO_MACRO_H

struct debugger;
struct error;

int info_macro(struct debugger *debugger, const char *arguments, struct error *error);
int info_macros(struct debugger *debugger, const char *arguments, struct error *error);

#endif
