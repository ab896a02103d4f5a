/* The DWARF half of symbols.h: units, lines, functions, top-level names. */
#include "debugger/symbols.h"

#include <dwarf.h>
#include <gelf.h>
#include <string.h>

#include "debugger/index.h"

bool symbols_unit(
    const struct symbols *symbols, uint64_t address, const struct module **module, Dwarf_Die *unit)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *candidate = symbols->modules[i];
        if (candidate->away || !candidate->dwarf || !module_covers(candidate, address) ||
            !index_unit(candidate, address - candidate->bias, unit))
            continue;
        *module = candidate;
        return true;
    }
    return false;
}

/* The row of the line table that covers `address` (of the file), by number; -1 when none does. */
static ptrdiff_t find_row(Dwarf_Lines *lines, size_t count, Dwarf_Addr address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        Dwarf_Addr start;
        if (dwarf_lineaddr(dwarf_onesrcline(lines, middle), &start) < 0)
            return -1;
        if (start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    bool sequence_ended = true;
    if (low == 0 || dwarf_lineendsequence(dwarf_onesrcline(lines, low - 1), &sequence_ended) < 0 ||
        sequence_ended)
        return -1;
    return (ptrdiff_t)low - 1;
}

static bool describe_row(
    Dwarf_Lines *lines, size_t count, size_t row, uint64_t bias, struct source_line *out)
{
    Dwarf_Line *line = dwarf_onesrcline(lines, row);
    Dwarf_Addr start, end;
    if (!line || dwarf_lineaddr(line, &start) < 0 || dwarf_lineno(line, &out->line) < 0)
        return false;
    end = start + 1;
    if (row + 1 < count)
        dwarf_lineaddr(dwarf_onesrcline(lines, row + 1), &end);
    out->file = dwarf_linesrc(line, NULL, NULL);
    out->start = start + bias;
    out->end = end + bias;
    out->statement = false;
    dwarf_linebeginstatement(line, &out->statement);
    return out->file != NULL;
}

/* Of several rows at one address the last that begins a statement counts, as far as there is one.
 */
static bool describe_best_row(
    Dwarf_Lines *lines, size_t count, size_t row, uint64_t bias, struct source_line *out)
{
    struct source_line earlier;
    if (!describe_row(lines, count, row, bias, out))
        return false;
    while (!out->statement && row-- > 0 && describe_row(lines, count, row, bias, &earlier) &&
           earlier.start == out->start) {
        bool end = true;
        dwarf_lineendsequence(dwarf_onesrcline(lines, row), &end);
        if (end)
            break;
        if (!earlier.statement || !earlier.line)
            continue;
        earlier.end = out->end;
        *out = earlier;
    }
    return true;
}

bool symbols_line(const struct symbols *symbols, uint64_t address, struct source_line *line)
{
    const struct module *module;
    Dwarf_Die unit;
    Dwarf_Lines *lines;
    size_t count;
    if (!symbols_unit(symbols, address, &module, &unit) ||
        dwarf_getsrclines(&unit, &lines, &count) < 0)
        return false;
    ptrdiff_t row = find_row(lines, count, address - module->bias);
    return row >= 0 && describe_best_row(lines, count, (size_t)row, module->bias, line) &&
           line->line;
}

static bool path_ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return tail <= length && strcmp(path + length - tail, end) == 0 &&
           (tail == length || end[0] == '/' || path[length - tail - 1] == '/');
}

/* Asks for every row of every unit whose file fits; `own_only`: of units that are that file's. */
static void each_row(const struct symbols *symbols, const char *file, bool own_only,
    void (*visit)(void *context, const struct source_line *line), void *context)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *module = symbols->modules[i];
        Dwarf_CU *cu = NULL;
        Dwarf_Die unit;
        uint8_t type;
        while (module->dwarf && !module->away &&
               dwarf_get_units(module->dwarf, cu, &cu, NULL, &type, &unit, NULL) == 0) {
            Dwarf_Lines *lines;
            size_t count;
            struct source_line line;
            const char *name = dwarf_diename(&unit);
            if (type != DW_UT_compile || (own_only && (!name || !path_ends_with(name, file))) ||
                dwarf_getsrclines(&unit, &lines, &count) < 0)
                continue;
            for (size_t row = 0; row < count; row++) {
                bool end = true;
                dwarf_lineendsequence(dwarf_onesrcline(lines, row), &end);
                if (!end && describe_row(lines, count, row, module->bias, &line) &&
                    (!file || path_ends_with(line.file, file)))
                    visit(context, &line);
            }
        }
    }
}

struct line_search {
    int wanted, best; /* the lowest line with code that is at or after the wanted one; 0: none */
    bool inside;      /* the row before belongs to a piece that is listed */
    uint64_t *addresses;
    unsigned count, max;
};

static void find_best(void *context, const struct source_line *line)
{
    struct line_search *search = context;
    if (line->statement && line->line >= search->wanted &&
        (!search->best || line->line < search->best))
        search->best = line->line;
}

static void collect(void *context, const struct source_line *line)
{
    struct line_search *search = context;
    if (line->line != search->best) {
        /* A row without code does not end a piece. */
        search->inside &= line->start == line->end;
        return;
    }
    if (search->inside || !line->statement)
        return;
    search->inside = true;
    for (unsigned i = 0; i < search->count && i < search->max; i++) {
        if (search->addresses[i] == line->start)
            return;
    }
    if (search->count < search->max)
        search->addresses[search->count] = line->start;
    search->count++;
}

unsigned symbols_line_addresses(const struct symbols *symbols, const char *file, int line,
    uint64_t *addresses, unsigned max, int *found)
{
    struct line_search search = {.wanted = line, .addresses = addresses, .max = max};
    /* Reading all lines of a kernel takes seconds; most files are a unit's own. */
    bool own_only = file != NULL;
    if (own_only)
        each_row(symbols, file, true, find_best, &search);
    if (!search.best) {
        own_only = false;
        each_row(symbols, file, false, find_best, &search);
    }
    if (search.best)
        each_row(symbols, file, own_only, collect, &search);
    *found = search.best;
    return search.count;
}

/* Up to `size` bytes of code as the file has them, at one of its addresses; how many there were. */
static size_t read_code(Elf *elf, uint64_t address, uint8_t *bytes, size_t size)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        Elf_Data *data;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_PROGBITS ||
            address < header.sh_addr || address - header.sh_addr >= header.sh_size ||
            !(header.sh_flags & SHF_ALLOC) || !(data = elf_rawdata(section, NULL)) || !data->d_buf)
            continue;
        uint64_t offset = address - header.sh_addr;
        size_t left = offset < data->d_size ? data->d_size - offset : 0;
        size = left < size ? left : size;
        memcpy(bytes, (const uint8_t *)data->d_buf + offset, size);
        return size;
    }
    return 0;
}

/* Bytes of "push %rbp; mov %rsp, %rbp", perhaps after ENDBR64; 0 for a function without. */
static unsigned frame_setup_size(const struct module *module, uint64_t function)
{
    static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
    static const uint8_t setup[] = {0x55, 0x48, 0x89, 0xe5};
    uint8_t code[sizeof endbr + sizeof setup];
    size_t size = read_code(module->elf, function - module->bias, code, sizeof code);
    unsigned at = size >= sizeof endbr && memcmp(code, endbr, sizeof endbr) == 0 ? sizeof endbr : 0;
    bool has = size >= at + sizeof setup && memcmp(code + at, setup, sizeof setup) == 0;
    return has ? at + (unsigned)sizeof setup : 0;
}

static bool is_of_llvm(Dwarf_Die *unit)
{
    Dwarf_Attribute attribute;
    const char *producer =
        dwarf_attr(unit, DW_AT_producer, &attribute) ? dwarf_formstring(&attribute) : NULL;
    return producer && strncmp(producer, "clang ", 6) == 0;
}

/* LLVM marks the row where a body begins; its arguments are in their places from there on. */
static uint64_t marked_body(
    const struct module *module, Dwarf_Die *unit, uint64_t function, uint64_t end)
{
    Dwarf_Lines *lines;
    size_t count;
    if (dwarf_getsrclines(unit, &lines, &count) < 0)
        return function;
    ptrdiff_t row = find_row(lines, count, function - module->bias);
    for (; row >= 0 && (size_t)row < count; row++) {
        Dwarf_Line *line = dwarf_onesrcline(lines, (size_t)row);
        Dwarf_Addr address;
        bool marked = false;
        if (dwarf_lineaddr(line, &address) < 0 || address + module->bias >= end)
            break;
        if (dwarf_lineprologueend(line, &marked) == 0 && marked &&
            address + module->bias >= function)
            return address + module->bias;
    }
    return function;
}

uint64_t symbols_after_prologue(const struct symbols *symbols, uint64_t function)
{
    const struct module *module;
    Dwarf_Die unit;
    struct source_line line;
    const struct symbol *symbol = symbols_at(symbols, function);
    uint64_t end = symbol && symbol->size ? symbol->address + symbol->size : function + 64;
    if (!symbols_unit(symbols, function, &module, &unit))
        return function;
    if (is_of_llvm(&unit))
        return marked_body(module, &unit, function, end);
    /* Without a frame to set up, arguments are where they belong from the first instruction on. */
    unsigned setup = frame_setup_size(module, function);
    if (setup == 0 || !symbols_line(symbols, function + setup, &line))
        return function;
    bool inside_line = line.start != function + setup;
    return inside_line && line.end < end ? line.end : function + setup;
}

bool symbols_function(const struct symbols *symbols, uint64_t address, const struct module **module,
    Dwarf_Die *function)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *candidate = symbols->modules[i];
        if (candidate->away || !candidate->dwarf || !module_covers(candidate, address) ||
            !index_function(candidate, address - candidate->bias, function))
            continue;
        *module = candidate;
        return true;
    }
    return false;
}

bool symbols_find_die(const struct symbols *symbols, const char *name, const int *tags,
    unsigned tag_count, const struct module **module, Dwarf_Die *die)
{
    bool found = false;
    for (int i = -1; i < (int)symbols->module_count; i++) {
        struct module *candidate = i < 0 ? (struct module *)symbols->first : symbols->modules[i];
        Dwarf_Die own;
        if (!candidate || candidate->away || !candidate->dwarf ||
            !index_find(candidate, name, tags, tag_count, &own))
            continue;
        bool is_definition = !dwarf_hasattr(&own, DW_AT_declaration);
        if (found && !is_definition)
            continue;
        *die = own;
        *module = candidate;
        found = true;
        if (is_definition)
            return true;
    }
    return found;
}
