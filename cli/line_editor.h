/*
 * Lines that a person types at the debugger's prompt: with readline edited, completed and kept from
 * session to session, without it as the terminal gives them. There is one terminal, and one editor.
 */
#ifndef CLI_LINE_EDITOR_H
#define CLI_LINE_EDITOR_H

#include <limits.h>
#include <stdbool.h>

struct debugger;

/* Built with readline. */
bool line_editor_available(void);
/* The file where lines are kept; false: none are. */
bool line_editor_history(char path[PATH_MAX]);
void line_editor_start(struct debugger *debugger);
/* The caller frees it; NULL: there are no more. */
char *line_editor_read(const char *prompt);
void line_editor_remember(const char *line);
void line_editor_end(void);
/* From a signal handler: what was typed so far is dropped. */
void line_editor_interrupt(void);

#endif
