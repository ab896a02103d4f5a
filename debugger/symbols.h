/*
 * Names for addresses: ELF symbol tables, DWARF (through libdw), and System.map files. The kernel
 * that the trace embeds is the first module; others are added from files. Nothing here looks at the
 * guest except symbols_compare.
 *
 * Sources: System V ABI (ELF), DWARF 4 and 5.
 */
#ifndef DEBUGGER_SYMBOLS_H
#define DEBUGGER_SYMBOLS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "debugger/view.h"

/* One ELF file or symbol list. Addresses in the guest are those of the file plus `bias`. */
struct module {
    char *name;
    void *image; /* the file's bytes, owned; NULL for a symbol list */
    size_t size;
    Elf *elf;
    Dwarf *dwarf;           /* NULL: no debugging information */
    Dwarf_CFI *debug_frame; /* .debug_frame; may be NULL */
    Dwarf_CFI *eh_frame;    /* .eh_frame; may be NULL */
    uint64_t bias;
};

enum symbol_kind { SYMBOL_FUNCTION, SYMBOL_OBJECT, SYMBOL_OTHER };

struct symbol {
    uint64_t address; /* in the guest */
    uint64_t size;    /* 0: not known */
    uint64_t limit;   /* where what it is in ends: its section */
    const char *name;
    enum symbol_kind kind;
    bool global;
};

enum { SYMBOLS_MAX_MODULES = 64 };

struct symbols {
    struct module *modules[SYMBOLS_MAX_MODULES];
    unsigned module_count;
    struct symbol *list; /* ascending by address */
    size_t count, capacity;
};

/* A zeroed struct symbols is empty. */
void symbols_free(struct symbols *symbols);

/* Adds an ELF image; takes over `image` (malloc'ed) in any case. */
int symbols_add_image(struct symbols *symbols, const char *name, void *image, size_t size,
    uint64_t bias, struct error *error);
/* Adds a file: ELF, or lines "ADDRESS TYPE NAME" as System.map and /proc/kallsyms have. */
int symbols_add_file(struct symbols *symbols, const char *path, uint64_t bias, struct error *error);
/* Moves a module to another bias. */
void symbols_move(struct symbols *symbols, unsigned module, uint64_t bias);

/* The symbol that covers the address, preferring functions, then global names; NULL when none. */
const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address);
/* Functions first, then global names; NULL when there is none of that name. */
const struct symbol *symbols_find(const struct symbols *symbols, const char *name);
/* Appends "<name+0x12>", or nothing when the address has no symbol. */
void symbols_describe(const struct symbols *symbols, uint64_t address, struct buffer *out);

/* A place in source text. `file` lives as long as the module. */
struct source_line {
    const char *file;
    int line;
    uint64_t start, end; /* addresses of the row that covers the address asked for */
    bool statement;
};

/* The module and compilation unit whose code covers the address; false when none has DWARF. */
bool symbols_unit(
    const struct symbols *symbols, uint64_t address, const struct module **module, Dwarf_Die *unit);
/* The source line of the instruction at the address. */
bool symbols_line(const struct symbols *symbols, uint64_t address, struct source_line *line);
/*
 * Addresses where `line` of a file begins as a statement (the lowest of each contiguous piece; the
 * next line with code when that one has none). `file` is the end of a path, or NULL for any.
 * Returns how many there are, `max` of them in `addresses`; *found receives the line used.
 */
unsigned symbols_line_addresses(const struct symbols *symbols, const char *file, int line,
    uint64_t *addresses, unsigned max, int *found);
/* Where a function's body begins: after its frame is set up and that line is over, or its start. */
uint64_t symbols_after_prologue(const struct symbols *symbols, uint64_t function);

/* The DIE of a function whose code covers the address; inlined functions are not told apart. */
bool symbols_function(const struct symbols *symbols, uint64_t address, const struct module **module,
    Dwarf_Die *function);
/* A top-level variable or (kind DW_TAG_...) type by name, definitions preferred. */
bool symbols_find_die(const struct symbols *symbols, const char *name, const int *tags,
    unsigned tag_count, const struct module **module, Dwarf_Die *die);

/*
 * Are the module's code bytes those in the guest's memory? Compares .text, which stays when a
 * kernel gives its initialization code away. *compared and *different receive counts of bytes;
 * pages that are not mapped now do not count.
 */
void symbols_compare(
    const struct module *module, const struct view *view, uint64_t *compared, uint64_t *different);

#endif
