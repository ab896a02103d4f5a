/*
 * One debugging session: where it looks, what the person set, and what evaluates expressions
 * there. What it stops at is in points.h, what runs to it in running.h, what is shown at each stop
 * in display.h, how code looks in source.h, names of places in place.h.
 */
#ifndef DEBUGGER_SESSION_H
#define DEBUGGER_SESSION_H

#include <stdatomic.h>

#include "debugger/debugger.h"
#include "debugger/disassemble.h"
#include "debugger/display.h"
#include "debugger/expression.h"
#include "debugger/follow.h"
#include "debugger/origins.h"
#include "debugger/place.h"
#include "debugger/points.h"
#include "debugger/symbols.h"
#include "debugger/trail.h"
#include "debugger/unwind.h"
#include "debugger/value.h"
#include "replay/timeline.h"

enum {
    MAX_HISTORY = 1000,
    MAX_CONVENIENCE = 64,
    MAX_FRAMES = 256,
    MAX_LINE = 4096,
    MAX_SOURCE_DEPTH = 16,
};

struct debugger {
    struct timeline *timeline;
    struct symbols symbols;
    struct follow follow;
    struct buffer out;
    bool lost;   /* some of the output is missing: there was no memory for it */
    bool remote; /* the command at hand came over gdb's protocol */
    void (*flush)(void *context, struct buffer *output);
    void *flush_context;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
    bool color, finished;
    atomic_bool interrupted;

    bool pretty; /* "set print pretty" */
    struct page {
        bool off;                   /* "set pagination off" */
        bool has_height, has_width; /* set, and not the terminal's */
        unsigned height, width;     /* 0: without end */
    } page;
    struct trail trail;
    bool machine_steps; /* steps are the machine's, not those of the thread looked at */
    unsigned thread;    /* the one looked at (threads.h); 0: the one that runs */
    unsigned shown;     /* the one that a stop was last shown of */
    /* Of where the timeline stands; valid when view_known. */
    bool view_known;
    struct view view;
    struct frame frame; /* the selected one */
    unsigned level;

    struct point points[MAX_POINTS];
    unsigned point_count, next_point;
    struct point *collecting; /* lines go to this point's script */
    bool in_python;           /* ... or to `python`; `end` ends that, too */
    struct buffer python;     /* the lines of a block */
    uint64_t python_session;  /* tells sessions apart for scripts; 0: none was executed */
    unsigned asking;          /* scripts under way that were asked something, and may only look */
    struct error condition_error;
    struct display displays[MAX_DISPLAYS];
    unsigned display_count, next_display;
    struct value history[MAX_HISTORY];
    unsigned history_count;
    struct convenience variables[MAX_CONVENIENCE];
    unsigned variable_count;
    struct bookmark bookmarks[MAX_BOOKMARKS];
    unsigned bookmark_count;
    struct origins origins;

    enum disassemble_syntax syntax;
    uint64_t instructions; /* of the whole run; 0: not known yet */
    char *directory;       /* where sources are looked for, too */
    const char *list_file;
    int list_line;         /* the first line that `list` shows next */
    uint64_t next_address; /* of `x` without an argument */
    uint64_t next_insn;    /* of `disassemble`'s continuation */
    char x_format, x_size;
    unsigned source_depth;
    /* Commands of breakpoints: those of the last stop that are still to be executed. */
    struct buffer script;
    bool in_script, has_moved;
};

void print(struct debugger *debugger, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void print_text(struct debugger *debugger, const struct buffer *text);
/* What the debugger itself says to the terminal: colors. All else is made visible. */
void print_raw(struct debugger *debugger, const char *text);
/* Hands what was printed so far to the front end. */
void session_flush(struct debugger *debugger);
/* Brings view and frame up to date. */
int session_look(struct debugger *debugger, struct error *error);
/* Looks at another thread until the next move. */
int session_select_thread(struct debugger *debugger, unsigned thread, struct error *error);
/* Frame number `level`, 0 is the innermost. */
int session_frame(
    struct debugger *debugger, unsigned level, struct frame *frame, struct error *error);
void session_scope(const struct debugger *debugger, struct expression_scope *scope);
int session_evaluate(
    struct debugger *debugger, const char *text, struct value *value, struct error *error);
int session_number(
    struct debugger *debugger, const char *text, uint64_t *number, struct error *error);
/* As value_format(), in the way that is set, and as scripts want it; with 'r' as it is. */
int session_format(struct debugger *debugger, const struct value *value, char format,
    struct buffer *out, struct error *error);
/* As a script shows values of its type, without its parts. 0: no script does; 1; or -1. */
int session_summary(
    struct debugger *debugger, const struct value *value, struct buffer *out, struct error *error);
/* Remembers as $N; returns N. */
unsigned session_remember(struct debugger *debugger, const struct value *value);
int session_set_variable(
    struct debugger *debugger, const char *name, const struct value *value, struct error *error);
const char *skip_spaces(const char *text);
/* Copies the next word of *text (up to white space) and moves *text past it and the space after. */
bool next_word(const char **text, char *word, size_t size);

#endif
