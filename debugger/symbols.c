#include "debugger/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 1 << 30, COMPARE_BYTES = 4096 };

static void module_free(struct module *module)
{
    if (!module)
        return;
    if (module->eh_frame)
        dwarf_cfi_end(module->eh_frame);
    if (module->dwarf)
        dwarf_end(module->dwarf);
    if (module->elf)
        elf_end(module->elf);
    free(module->image);
    free(module->name);
    free(module);
}

void symbols_free(struct symbols *symbols)
{
    for (unsigned i = 0; i < symbols->module_count; i++)
        module_free(symbols->modules[i]);
    free(symbols->list);
    *symbols = (struct symbols){0};
}

static int append(struct symbols *symbols, const struct symbol *symbol, struct error *error)
{
    if (symbols->count == symbols->capacity) {
        size_t capacity = symbols->capacity ? symbols->capacity * 2 : 1024;
        struct symbol *list = realloc(symbols->list, capacity * sizeof *list);
        if (!list)
            return error_set(error, "out of memory for symbols");
        symbols->list = list;
        symbols->capacity = capacity;
    }
    symbols->list[symbols->count++] = *symbol;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;
    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return strcmp(left->name, right->name);
}

static void sort(struct symbols *symbols)
{
    if (symbols->count)
        qsort(symbols->list, symbols->count, sizeof *symbols->list, by_address);
}

/* ---- ELF ---- */

static uint64_t section_end(Elf *elf, size_t index)
{
    GElf_Shdr header;
    Elf_Scn *section = elf_getscn(elf, index);
    return section && gelf_getshdr(section, &header) ? header.sh_addr + header.sh_size : 0;
}

static int add_table(
    struct symbols *symbols, struct module *module, Elf_Scn *section, struct error *error)
{
    GElf_Shdr header;
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || !gelf_getshdr(section, &header) || header.sh_entsize == 0)
        return 0;
    size_t count = data->d_size / header.sh_entsize;
    for (size_t i = 0; i < count && i < INT32_MAX; i++) {
        GElf_Sym entry;
        if (!gelf_getsym(data, (int)i, &entry))
            break;
        const char *name = elf_strptr(module->elf, header.sh_link, entry.st_name);
        unsigned type = GELF_ST_TYPE(entry.st_info);
        if (!name || !*name || entry.st_shndx == SHN_UNDEF || entry.st_shndx == SHN_ABS ||
            type == STT_FILE || type == STT_SECTION || type == STT_TLS)
            continue;
        const struct symbol symbol = {
            .address = entry.st_value + module->bias,
            .size = entry.st_size,
            .limit = section_end(module->elf, entry.st_shndx) + module->bias,
            .name = name,
            .kind = type == STT_FUNC     ? SYMBOL_FUNCTION
                    : type == STT_OBJECT ? SYMBOL_OBJECT
                                         : SYMBOL_OTHER,
            .global = GELF_ST_BIND(entry.st_info) != STB_LOCAL,
        };
        if (append(symbols, &symbol, error) < 0)
            return -1;
    }
    return 0;
}

static int add_elf_symbols(struct symbols *symbols, struct module *module, struct error *error)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB &&
            add_table(symbols, module, section, error) < 0)
            return -1;
    }
    return 0;
}

static int open_elf(struct module *module, struct error *error)
{
    elf_version(EV_CURRENT);
    module->elf = elf_memory(module->image, module->size);
    GElf_Ehdr header;
    if (!module->elf || elf_kind(module->elf) != ELF_K_ELF || !gelf_getehdr(module->elf, &header))
        return error_set(error, "%s: not an ELF file", module->name);
    if (header.e_machine != EM_X86_64 && header.e_machine != EM_386)
        return error_set(error, "%s: an ELF file of another machine (%u), not x86", module->name,
            header.e_machine);
    module->dwarf = dwarf_begin_elf(module->elf, DWARF_C_READ, NULL);
    if (module->dwarf)
        module->debug_frame = dwarf_getcfi(module->dwarf);
    module->eh_frame = dwarf_getcfi_elf(module->elf);
    return 0;
}

/* ---- Lists: "ffffffff81000000 T startup_64" ---- */

static int add_line(
    struct symbols *symbols, const struct module *module, char *line, struct error *error)
{
    char *end, *name;
    errno = 0;
    uint64_t address = strtoull(line, &end, 16);
    if (errno || end == line || *end != ' ' || !isalpha((unsigned char)end[1]) || end[2] != ' ' ||
        !end[3])
        return error_set(error, "%s: neither ELF nor lines of 'ADDRESS TYPE NAME'", module->name);
    char type = end[1];
    name = end + 3;
    name[strcspn(name, " \t\r")] = '\0';
    const struct symbol symbol = {
        .address = address + module->bias,
        .limit = UINT64_MAX,
        .name = name,
        .kind = strchr("tTwW", type)       ? SYMBOL_FUNCTION
                : strchr("dDbBrRvV", type) ? SYMBOL_OBJECT
                                           : SYMBOL_OTHER,
        .global = isupper((unsigned char)type),
    };
    return append(symbols, &symbol, error);
}

static int add_list(struct symbols *symbols, struct module *module, struct error *error)
{
    char *text = module->image, *end = text + module->size;
    while (text < end) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        char *stop = newline ? newline : end;
        if (memchr(text, '\0', (size_t)(stop - text)))
            return error_set(
                error, "%s: neither ELF nor lines of 'ADDRESS TYPE NAME'", module->name);
        *stop = '\0'; /* the image has a byte to spare */
        if (*text && add_line(symbols, module, text, error) < 0)
            return -1;
        text = stop + 1;
    }
    return 0;
}

/* ---- Modules ---- */

static int add_module(struct symbols *symbols, struct module *module, struct error *error)
{
    size_t before = symbols->count;
    bool is_elf = module->size >= 4 && memcmp(module->image, "\177ELF", 4) == 0;
    if (symbols->module_count == SYMBOLS_MAX_MODULES) {
        error_set(error, "at most %d symbol files", SYMBOLS_MAX_MODULES);
    } else if (module->size == 0) {
        error_set(error, "%s: empty", module->name);
    } else if (is_elf ? open_elf(module, error) == 0 && add_elf_symbols(symbols, module, error) == 0
                      : add_list(symbols, module, error) == 0) {
        symbols->modules[symbols->module_count++] = module;
        sort(symbols);
        return 0;
    }
    symbols->count = before;
    module_free(module);
    return -1;
}

int symbols_add_image(struct symbols *symbols, const char *name, void *image, size_t size,
    uint64_t bias, struct error *error)
{
    struct module *module = calloc(1, sizeof *module);
    if (module)
        module->name = strdup(name);
    if (!module || !module->name) {
        free(module);
        free(image);
        return error_set(error, "out of memory for symbols");
    }
    module->image = image;
    module->size = size;
    module->bias = bias;
    return add_module(symbols, module, error);
}

int symbols_add_file(struct symbols *symbols, const char *path, uint64_t bias, struct error *error)
{
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (!file)
        return error_set_errno(error, "%s", path);
    if (fstat(fileno(file), &status) < 0 || !S_ISREG(status.st_mode)) {
        fclose(file);
        return error_set(error, "%s: not a regular file", path);
    }
    struct buffer bytes = {0};
    uint8_t *space;
    size_t got;
    do {
        space = buffer_extend(&bytes, 1 << 16);
        got = space ? fread(space, 1, 1 << 16, file) : 0;
        if (space)
            bytes.size -= (1 << 16) - got;
    } while (got && bytes.size <= MAX_FILE);
    bool failed = ferror(file);
    fclose(file);
    size_t size = bytes.size;
    buffer_put_u8(&bytes, 0);
    if (failed || bytes.failed || size > MAX_FILE) {
        buffer_free(&bytes);
        return error_set(error, "%s: cannot be read%s", path, failed ? "" : ", too large");
    }
    return symbols_add_image(symbols, path, bytes.data, size, bias, error);
}

void symbols_move(struct symbols *symbols, unsigned module, uint64_t bias)
{
    struct module *moved = symbols->modules[module];
    const char *start = moved->image, *end = start + moved->size;
    for (size_t i = 0; i < symbols->count; i++) {
        if (symbols->list[i].name >= start && symbols->list[i].name < end) {
            symbols->list[i].address += bias - moved->bias;
            if (moved->elf)
                symbols->list[i].limit += bias - moved->bias;
        }
    }
    moved->bias = bias;
    sort(symbols);
}

/* ---- Lookups ---- */

static unsigned rank(const struct symbol *symbol)
{
    return (symbol->kind == SYMBOL_FUNCTION    ? 4
               : symbol->kind == SYMBOL_OBJECT ? 2
                                               : 0) +
           symbol->global;
}

const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address)
{
    size_t low = 0, high = symbols->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (symbols->list[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct symbol *best = NULL;
    /* Labels inside a function come after it in the list. */
    for (size_t back = 0; back < 64 && back < low; back++) {
        const struct symbol *symbol = &symbols->list[low - 1 - back];
        bool near = address < symbol->limit && address - symbol->address < (1 << 16) &&
                    (!best || best->address == symbol->address);
        bool covers = symbol->size ? address - symbol->address < symbol->size : near;
        if (!covers)
            continue;
        if (best && best->size == 0 && symbol->size)
            best = NULL;
        if (!best || (best->address == symbol->address && rank(symbol) > rank(best)) ||
            (best->kind == SYMBOL_OTHER && symbol->kind != SYMBOL_OTHER))
            best = symbol;
        if (best->size && best->kind != SYMBOL_OTHER && symbol->address != best->address)
            break;
    }
    return best;
}

const struct symbol *symbols_find(const struct symbols *symbols, const char *name)
{
    const struct symbol *best = NULL;
    for (size_t i = 0; i < symbols->count; i++) {
        const struct symbol *symbol = &symbols->list[i];
        if (strcmp(symbol->name, name) == 0 && (!best || rank(symbol) > rank(best)))
            best = symbol;
    }
    return best;
}

void symbols_describe(const struct symbols *symbols, uint64_t address, struct buffer *out)
{
    const struct symbol *symbol = symbols_at(symbols, address);
    if (!symbol)
        return;
    if (symbol->address == address)
        buffer_printf(out, "<%.400s>", symbol->name);
    else
        buffer_printf(out, "<%.400s+%" PRIu64 ">", symbol->name, address - symbol->address);
}

static void compare_section(const struct view *view, uint64_t address, const Elf_Data *data,
    uint64_t *compared, uint64_t *different)
{
    uint8_t bytes[COMPARE_BYTES];
    for (size_t at = 0; at < data->d_size; at += sizeof bytes) {
        const uint8_t *own = (const uint8_t *)data->d_buf + at;
        size_t size = data->d_size - at < sizeof bytes ? data->d_size - at : sizeof bytes;
        if (!view_read(view, address + at, bytes, size))
            continue;
        *compared += size;
        for (size_t i = 0; i < size; i++)
            *different += bytes[i] != own[i];
    }
}

static bool is_code_section(const GElf_Shdr *header)
{
    return header->sh_type == SHT_PROGBITS && (header->sh_flags & SHF_ALLOC) &&
           (header->sh_flags & SHF_EXECINSTR);
}

void symbols_compare(
    const struct module *module, const struct view *view, uint64_t *compared, uint64_t *different)
{
    Elf_Scn *section = NULL;
    size_t names;
    *compared = *different = 0;
    if (!module->elf || elf_getshdrstrndx(module->elf, &names) < 0)
        return;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        Elf_Data *data;
        const char *name;
        if (gelf_getshdr(section, &header) && is_code_section(&header) &&
            (name = elf_strptr(module->elf, names, header.sh_name)) && strcmp(name, ".text") == 0 &&
            (data = elf_rawdata(section, NULL)) && data->d_buf)
            compare_section(view, header.sh_addr + module->bias, data, compared, different);
    }
}
