/* The debugger's inside: what the command files share. */
#ifndef DEBUGGER_SESSION_H
#define DEBUGGER_SESSION_H

#include <stdatomic.h>

#include "debugger/debugger.h"
#include "debugger/disassemble.h"
#include "debugger/expression.h"
#include "debugger/symbols.h"
#include "debugger/unwind.h"
#include "debugger/value.h"
#include "replay/timeline.h"

enum {
    MAX_POINTS = 48,
    MAX_POINT_ADDRESSES = 16,
    MAX_DISPLAYS = 32,
    MAX_HISTORY = 1000,
    MAX_CONVENIENCE = 64,
    MAX_BOOKMARKS = 64,
    MAX_FRAMES = 256,
    MAX_LINE = 4096,
    MAX_SOURCE_DEPTH = 16,
};

enum point_kind {
    POINT_BREAK,
    POINT_WATCH,
    POINT_RWATCH,
    POINT_AWATCH,
    POINT_EVENT,
    POINT_CONSOLE,
    POINT_EXCEPTION, /* vector event_value if match_value */
    POINT_MODE,
    POINT_DISK, /* `length` sectors from addresses[0] on, of disk event_value */
};

/* A breakpoint, watchpoint or catchpoint. Strings are owned. */
struct point {
    unsigned number;
    enum point_kind kind;
    bool enabled, temporary, physical;
    char *text;           /* as it was asked for */
    char *condition;      /* an expression, or NULL */
    struct buffer script; /* lines of `commands`, each with its terminator */
    uint64_t hits, ignore;
    uint64_t addresses[MAX_POINT_ADDRESSES]; /* linear; for a watch one */
    unsigned address_count;
    uint64_t length;  /* watched bytes */
    struct type type; /* watched */
    uint64_t old;     /* the watched value when it was last looked at */
    bool old_known;
    uint32_t event_kinds; /* POINT_EVENT */
    bool match_address, match_value;
    uint64_t event_address, event_value;
};

struct display {
    unsigned number;
    char *text; /* "x/i $pc" or an expression */
    char format;
};

struct bookmark {
    char name[64];
    struct position position;
};

struct debugger {
    struct timeline *timeline;
    struct symbols symbols;
    unsigned unplaced; /* 1 + the module whose bias is not known yet (KASLR); 0: none */
    struct buffer out;
    void (*flush)(void *context, struct buffer *output);
    void *flush_context;
    bool color, finished;
    atomic_bool interrupted;

    /* Of where the timeline stands; valid when view_known. */
    bool view_known;
    struct view view;
    struct frame frame; /* the selected one */
    unsigned level;

    struct point points[MAX_POINTS];
    unsigned point_count, next_point;
    struct point *collecting; /* lines go to this point's script */
    struct error condition_error;
    struct display displays[MAX_DISPLAYS];
    unsigned display_count, next_display;
    struct value history[MAX_HISTORY];
    unsigned history_count;
    struct convenience variables[MAX_CONVENIENCE];
    unsigned variable_count;
    struct bookmark bookmarks[MAX_BOOKMARKS];
    unsigned bookmark_count;

    enum disassemble_syntax syntax;
    char *directory; /* where sources are looked for, too */
    const char *list_file;
    int list_line;         /* the first line that `list` shows next */
    uint64_t next_address; /* of `x` without an argument */
    uint64_t next_insn;    /* of `disassemble`'s continuation */
    char x_format, x_size;
    unsigned source_depth;
    bool in_script; /* commands of a breakpoint */
};

/* ---- session.c ---- */

void print(struct debugger *debugger, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void print_text(struct debugger *debugger, const struct buffer *text);
/* Hands what was printed so far to the front end. */
void session_flush(struct debugger *debugger);
/* Brings view and frame up to date. */
int session_look(struct debugger *debugger, struct error *error);
/* Frame number `level`, 0 is the innermost. */
int session_frame(
    struct debugger *debugger, unsigned level, struct frame *frame, struct error *error);
void session_scope(const struct debugger *debugger, struct expression_scope *scope);
int session_evaluate(
    struct debugger *debugger, const char *text, struct value *value, struct error *error);
int session_number(
    struct debugger *debugger, const char *text, uint64_t *number, struct error *error);
/* Remembers as $N; returns N. */
unsigned session_remember(struct debugger *debugger, const struct value *value);
int session_set_variable(
    struct debugger *debugger, const char *name, const struct value *value, struct error *error);
const char *skip_spaces(const char *text);
/* Copies the next word of *text (up to white space) and moves *text past it and the space after. */
bool next_word(const char **text, char *word, size_t size);

/* ---- place.c: places in code and in time ---- */

/* "function", "file.c:12", "12", "*EXPRESSION": addresses to break at; how many in *count. */
int place_parse(struct debugger *debugger, const char *text, uint64_t *addresses, unsigned max,
    unsigned *count, struct error *error);
/* "1532", "1532.87", "start", "end", "50%", a bookmark. */
int position_from_text(
    struct debugger *debugger, const char *text, struct position *position, struct error *error);
/* "0x100320 <guest_main+12>" */
void print_address(struct debugger *debugger, uint64_t address);

/* ---- source.c ---- */

/* "#0  0x100320 in function (a=1) at file.c:12" without the number; `brief` leaves out the
 * address at the beginning of a line. */
void print_frame(struct debugger *debugger, const struct frame *frame, bool brief);
/* Lines [first, last] of a file with numbers; false when the file cannot be read. */
bool print_source(struct debugger *debugger, const char *file, int first, int last, int current);
/* Where the timeline stands: frame, source line or instruction, displays. */
int print_stop(struct debugger *debugger, struct error *error);
const char *base_name(const char *path);

/* ---- running.c ---- */

struct run_result {
    enum timeline_why why;
    struct point *point; /* what stopped it, or NULL */
    bool extra;          /* one of the caller's own conditions did */
    unsigned which;      /* ... its index */
    struct timeline_stop stop;
};

/* Runs to a breakpoint or watchpoint of the user, or to one of `extras`. */
int run_go(struct debugger *debugger, enum direction direction,
    const struct timeline_condition *extras, unsigned extra_count, struct run_result *result,
    struct error *error);
/* Says why it stopped, where it stands, and executes a breakpoint's commands. */
int run_report(struct debugger *debugger, const struct run_result *result, struct error *error);
/* `Old value`, `New value`... are taken from here on: call after moving by other means. */
void points_look(struct debugger *debugger);
void point_free(struct point *point);
void points_describe(struct debugger *debugger);
/* "LBA[,COUNT][@DISK]" */
int parse_sectors(struct debugger *debugger, const char *text, uint64_t *sector, uint64_t *count,
    uint64_t *disk, struct error *error);
int display_all(struct debugger *debugger, struct error *error);

/* ---- commands.c ---- */

struct command {
    const char *group;
    const char *name;
    const char *aliases; /* words, separated by spaces */
    int (*run)(struct debugger *debugger, const char *arguments, struct error *error);
    const char *arguments; /* "[COUNT]" */
    const char *help;      /* sentences */
    const char *example;   /* a line to type */
    enum completion { COMPLETE_NONE, COMPLETE_SYMBOL, COMPLETE_FILE, COMPLETE_COMMAND } completion;
    bool repeats;
};

/* NULL past the last. */
const struct command *commands_at(unsigned number);
/* By name, alias or unambiguous prefix. */
const struct command *commands_find(const char *word, struct error *error);

#define COMMAND(name) \
    int command_##name(struct debugger *debugger, const char *arguments, struct error *error)

COMMAND(add_symbol_file);
COMMAND(advance);
COMMAND(awatch);
COMMAND(backtrace);
COMMAND(bookmark);
COMMAND(break);
COMMAND(catch);
COMMAND(checkpoint);
COMMAND(commands);
COMMAND(condition);
COMMAND(console);
COMMAND(continue);
COMMAND(cr);
COMMAND(current);
COMMAND(delete);
COMMAND(devices);
COMMAND(diff);
COMMAND(directory);
COMMAND(disable);
COMMAND(disassemble);
COMMAND(disk);
COMMAND(display);
COMMAND(down);
COMMAND(dmesg);
COMMAND(echo);
COMMAND(enable);
COMMAND(events);
COMMAND(exits);
COMMAND(find);
COMMAND(finish);
COMMAND(frame);
COMMAND(gdt);
COMMAND(help);
COMMAND(idt);
COMMAND(ignore);
COMMAND(info);
COMMAND(irqs);
COMMAND(last_write);
COMMAND(list);
COMMAND(msr);
COMMAND(next);
COMMAND(nexti);
COMMAND(pagetable);
COMMAND(print);
COMMAND(ps);
COMMAND(ptype);
COMMAND(quit);
COMMAND(reverse_continue);
COMMAND(reverse_finish);
COMMAND(reverse_next);
COMMAND(reverse_nexti);
COMMAND(reverse_step);
COMMAND(reverse_stepi);
COMMAND(rwatch);
COMMAND(save);
COMMAND(seek);
COMMAND(set);
COMMAND(source);
COMMAND(step);
COMMAND(stepi);
COMMAND(tbreak);
COMMAND(undisplay);
COMMAND(until);
COMMAND(up);
COMMAND(watch);
COMMAND(when);
COMMAND(x);

#endif
