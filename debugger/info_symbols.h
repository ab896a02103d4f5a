/* What debugging information has, by regular expressions: info scope, types, variables, functions.
 */
#ifndef DEBUGGER_INFO_SYMBOLS_H
#define DEBUGGER_INFO_SYMBOLS_H

struct debugger;
struct error;

int info_types(struct debugger *debugger, const char *arguments, struct error *error);
int info_variables(struct debugger *debugger, const char *arguments, struct error *error);
int info_functions(struct debugger *debugger, const char *arguments, struct error *error);
/* The variables that can be named at a place in code. */
int info_scope(struct debugger *debugger, const char *arguments, struct error *error);

#endif
