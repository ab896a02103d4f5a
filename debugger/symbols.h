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

struct symbol {
    uint64_t address; /* in the guest; of a per-CPU variable its offset in a CPU's area */
    uint64_t size;    /* 0: not known */
    uint64_t limit;   /* where what it is in ends: its section */
    const char *name; /* demangled, without a function's parameters; owned where `linkage` is set */
    const char *linkage; /* as the linker has it; NULL: the same */
    enum symbol_kind { SYMBOL_FUNCTION, SYMBOL_OBJECT, SYMBOL_OTHER } kind;
    bool global;
    bool is_code; /* a function, or a label in a section of code */
    bool is_percpu;
};

/* One ELF file or symbol list. Addresses in the guest are those of the file plus `bias`. */
struct module {
    char *name;
    void *image; /* the file's bytes, owned */
    size_t size;
    bool mapped;            /* `image` is mapped, not allocated */
    Elf *elf;               /* NULL: a symbol list */
    Dwarf *dwarf;           /* NULL: no debugging information */
    Dwarf_CFI *debug_frame; /* .debug_frame; may be NULL */
    Dwarf_CFI *eh_frame;    /* .eh_frame; may be NULL */
    uint64_t bias;
    bool away; /* nothing of it is in the guest's memory at this position */
    /* What decides where it is: the person who gave an address, or the guest at each position. */
    enum module_kind { MODULE_FIXED, MODULE_KERNEL, MODULE_LOADED, MODULE_PROCESS } kind;
    char *owner;       /* the kernel module's name; the process's name or number */
    uint64_t identity; /* MODULE_LOADED: the address of its struct module */
    /* Of the file: its allocated sections, those for initialization, and the per-CPU variables. */
    uint64_t low, high, init_low, init_high, percpu_low, percpu_high;
    bool init_gone;      /* what initialization needed has been given back; others may be there */
    bool has_mangled;    /* some of its names were mangled */
    struct symbol *list; /* ascending by address */
    size_t count, capacity;
    uint32_t *slots; /* a hash table of names: 1 + index into list; 0: empty */
    size_t slot_count;
    struct index *index;   /* of the debugging information, made when it is first asked for */
    bool unindexed;        /* there was no memory for it */
    struct macros *macros; /* at the place last asked about (macros.h) */
};

enum { SYMBOLS_MAX_MODULES = 256 };

struct symbols {
    struct module *modules[SYMBOLS_MAX_MODULES];
    unsigned module_count;
    unsigned removals; /* how many modules were taken out so far: what referred to them is gone */
    const struct module *first; /* names are looked up in this one first; may be NULL */
};

/* A zeroed struct symbols is empty. */
void symbols_free(struct symbols *symbols);

/*
 * Adds an ELF image; takes over `image` (malloc'ed) in any case. A relocatable one (a kernel
 * module) is refused: symbols_add_placed() adds it.
 */
int symbols_add_image(struct symbols *symbols, const char *name, void *image, size_t size,
    uint64_t bias, struct error *error);
/* Adds a file: ELF, or lines "ADDRESS TYPE NAME" as System.map and /proc/kallsyms have. */
int symbols_add_file(struct symbols *symbols, const char *path, uint64_t bias, struct error *error);

/* Where a loader put a section of a relocatable file. */
struct placed_section {
    char name[64];
    uint64_t address;
};

/* Adds a relocatable file whose sections are where the list says; others are nowhere. */
int symbols_add_placed(struct symbols *symbols, const char *path,
    const struct placed_section *sections, unsigned count, struct error *error);
/* Is the file relocatable: has it to be placed section by section? */
bool symbols_is_relocatable(const char *path);
/* Takes a module out; those after it move down by one. */
void symbols_remove(struct symbols *symbols, unsigned module);
/* Moves a module to another bias. */
void symbols_move(struct module *module, uint64_t bias);

/* All symbols there are. */
size_t symbols_count(const struct symbols *symbols);
/* A name of this module, functions and globals preferred; NULL when it has none. */
const struct symbol *module_find(const struct module *module, const char *name);
/* A section by name: its file address and its bytes in the file, NULL when it has none there. */
bool module_section(const struct module *module, const char *name, uint64_t *address,
    const void **bytes, uint64_t *size);
/* Does the module have code or data at this guest address? */
bool module_covers(const struct module *module, uint64_t address);
/* The build ID's bytes: how many, 0 without one. */
unsigned module_build_id(const struct module *module, uint8_t *id, unsigned max);

/* The symbol that covers the address, preferring functions, then global names; NULL when none. */
const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address);
/* Functions first, then global names; NULL when there is none of that name. */
const struct symbol *symbols_find(const struct symbols *symbols, const char *name);
/*
 * Calls `visit` for each function that a person may mean by the name: of that name, of one that
 * ends so from a "::" on, or with these parameters; for labels where there is no function.
 */
void symbols_each_function(const struct symbols *symbols, const char *name,
    void (*visit)(void *context, const struct symbol *symbol), void *context);
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
