/* The symbol files, and names for addresses from their tables. */
#include "debugger/symbols.h"
#include "debugger/hostfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "debugger/demangle.h"
#include "debugger/index.h"
#include "debugger/macros.h"
#include "debugger/names.h"
#include "debugger/relocate.h"

enum { MAX_LIST = 1 << 28, COMPARE_BYTES = 4096 };

static void module_free(struct module *module)
{
    if (!module)
        return;
    index_free(module->index);
    macros_free(module->macros);
    if (module->eh_frame)
        dwarf_cfi_end(module->eh_frame);
    if (module->dwarf)
        dwarf_end(module->dwarf);
    if (module->elf)
        elf_end(module->elf);
    if (module->mapped)
        munmap(module->image, module->size);
    else
        free(module->image);
    for (size_t i = 0; i < module->count; i++) {
        if (module->list[i].linkage)
            free((char *)module->list[i].name);
    }
    free(module->list);
    free(module->slots);
    free(module->owner);
    free(module->name);
    free(module);
}

void symbols_free(struct symbols *symbols)
{
    for (unsigned i = 0; i < symbols->module_count; i++)
        module_free(symbols->modules[i]);
    *symbols = (struct symbols){0};
}

static int append(struct module *module, const struct symbol *symbol, struct error *error)
{
    if (module->count == module->capacity) {
        size_t capacity = module->capacity ? module->capacity * 2 : 1024;
        struct symbol *list = realloc(module->list, capacity * sizeof *list);
        if (!list)
            return error_set(error, "out of memory for symbols");
        module->list = list;
        module->capacity = capacity;
    }
    module->list[module->count++] = *symbol;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;
    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* ---- Names ---- */

static size_t hash(const char *name)
{
    uint64_t value = 0xcbf29ce484222325;
    for (; *name; name++)
        value = (value ^ (uint8_t)*name) * 0x100000001b3;
    return (size_t)(value ^ value >> 32);
}

/* Sorts the list, and makes the table that finds its names. */
static int arrange(struct module *module, struct error *error)
{
    if (module->count == 0)
        return 0;
    qsort(module->list, module->count, sizeof *module->list, by_address);
    module->slot_count = 1024;
    while (module->slot_count < module->count * 2)
        module->slot_count *= 2;
    module->slots = calloc(module->slot_count, sizeof *module->slots);
    if (!module->slots || module->count > UINT32_MAX - 1)
        return error_set(error, "out of memory for symbols");
    for (size_t i = 0; i < module->count; i++) {
        size_t slot = hash(module->list[i].name) & (module->slot_count - 1);
        while (module->slots[slot])
            slot = (slot + 1) & (module->slot_count - 1);
        module->slots[slot] = (uint32_t)i + 1;
    }
    return 0;
}

static unsigned rank(const struct symbol *symbol)
{
    return (symbol->kind == SYMBOL_FUNCTION    ? 4
               : symbol->kind == SYMBOL_OBJECT ? 2
                                               : 0) +
           symbol->global;
}

const struct symbol *module_find(const struct module *module, const char *name)
{
    const struct symbol *best = NULL;
    if (!module->slots)
        return NULL;
    for (size_t slot = hash(name) & (module->slot_count - 1); module->slots[slot];
         slot = (slot + 1) & (module->slot_count - 1)) {
        const struct symbol *symbol = &module->list[module->slots[slot] - 1];
        if (strcmp(symbol->name, name) == 0 && (!best || rank(symbol) > rank(best)))
            best = symbol;
    }
    return best;
}

/* ---- ELF ---- */

static bool section_header(Elf *elf, size_t index, GElf_Shdr *header)
{
    Elf_Scn *section = elf_getscn(elf, index);
    return section && gelf_getshdr(section, header);
}

static int add_table(struct module *module, Elf_Scn *section, struct error *error)
{
    GElf_Shdr header, own;
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
            type == STT_FILE || type == STT_SECTION || type == STT_TLS ||
            !section_header(module->elf, entry.st_shndx, &own))
            continue;
        char *plain = demangle(name, false);
        const struct symbol symbol = {
            .address = entry.st_value + module->bias,
            .size = entry.st_size,
            .limit = own.sh_addr + own.sh_size + module->bias,
            .name = plain ? plain : name,
            .linkage = plain ? name : NULL,
            .kind = type == STT_FUNC     ? SYMBOL_FUNCTION
                    : type == STT_OBJECT ? SYMBOL_OBJECT
                                         : SYMBOL_OTHER,
            .global = GELF_ST_BIND(entry.st_info) != STB_LOCAL,
            .is_code =
                type == STT_FUNC || (type != STT_OBJECT && (own.sh_flags & SHF_EXECINSTR) != 0),
        };
        module->has_mangled |= plain != NULL;
        if (append(module, &symbol, error) < 0) {
            free(plain);
            return -1;
        }
    }
    return 0;
}

static void widen(uint64_t *low, uint64_t *high, uint64_t start, uint64_t end)
{
    *low = start < *low ? start : *low;
    *high = end > *high ? end : *high;
}

/* What the file's sections cover. */
static void measure(struct module *module)
{
    Elf_Scn *section = NULL;
    size_t names;
    module->low = module->init_low = UINT64_MAX;
    if (elf_getshdrstrndx(module->elf, &names) < 0)
        return;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        const char *name;
        if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_ALLOC) ||
            header.sh_size == 0 || !(name = elf_strptr(module->elf, names, header.sh_name)))
            continue;
        uint64_t end = header.sh_addr + header.sh_size;
        if (strcmp(name, ".data..percpu") == 0) {
            module->percpu_low = header.sh_addr;
            module->percpu_high = end;
        } else if (header.sh_addr && end > header.sh_addr && strncmp(name, ".init.", 6) == 0) {
            widen(&module->init_low, &module->init_high, header.sh_addr, end);
        } else if (header.sh_addr && end > header.sh_addr) {
            widen(&module->low, &module->high, header.sh_addr, end);
        }
    }
}

/* Per-CPU variables are offsets, and no place in the module: they do not move with it. */
static void mark_percpu(struct module *module)
{
    for (size_t i = 0; i < module->count; i++) {
        struct symbol *symbol = &module->list[i];
        uint64_t address = symbol->address - module->bias;
        if (address < module->percpu_low || address >= module->percpu_high)
            continue;
        symbol->is_percpu = true;
        symbol->address = address;
    }
}

static int add_elf_symbols(struct module *module, struct error *error)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB &&
            add_table(module, section, error) < 0)
            return -1;
    }
    measure(module);
    mark_percpu(module);
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
    if (header.e_type == ET_REL)
        return error_set(error,
            "%s: relocatable, its sections have no addresses of their own: 'modules DIRECTORY' "
            "finds a kernel module's in the guest",
            module->name);
    module->dwarf = dwarf_begin_elf(module->elf, DWARF_C_READ, NULL);
    if (module->dwarf)
        module->debug_frame = dwarf_getcfi(module->dwarf);
    module->eh_frame = dwarf_getcfi_elf(module->elf);
    return 0;
}

/* ---- Lists: "ffffffff81000000 T startup_64" ---- */

static int add_line(struct module *module, char *line, struct error *error)
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
        .is_code = strchr("tTwW", type) != NULL,
    };
    return append(module, &symbol, error);
}

static int add_list(struct module *module, struct error *error)
{
    char *text = module->image, *end = text + module->size;
    while (text < end) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        char *stop = newline ? newline : end;
        if (memchr(text, '\0', (size_t)(stop - text)))
            return error_set(
                error, "%s: neither ELF nor lines of 'ADDRESS TYPE NAME'", module->name);
        *stop = '\0'; /* the image has a byte to spare */
        if (*text && add_line(module, text, error) < 0)
            return -1;
        text = stop + 1;
    }
    return 0;
}

/* ---- Modules ---- */

static bool is_elf(const void *image, size_t size)
{
    return size >= 4 && memcmp(image, "\177ELF", 4) == 0;
}

static int read_names(struct module *module, struct error *error)
{
    if (module->size == 0)
        return error_set(error, "%s: empty", module->name);
    int result = is_elf(module->image, module->size)
                     ? (open_elf(module, error) < 0 ? -1 : add_elf_symbols(module, error))
                     : add_list(module, error);
    return result < 0 ? -1 : arrange(module, error);
}

/* Takes over the image in any case. */
static int add_module(struct symbols *symbols, const char *name, void *image, size_t size,
    bool mapped, uint64_t bias, struct error *error)
{
    struct module *module = calloc(1, sizeof *module);
    if (!module || !(module->name = strdup(name))) {
        free(module);
        if (mapped)
            munmap(image, size);
        else
            free(image);
        return error_set(error, "out of memory for symbols");
    }
    module->image = image;
    module->size = size;
    module->mapped = mapped;
    module->bias = bias;
    if (symbols->module_count == SYMBOLS_MAX_MODULES)
        error_set(error, "at most %d symbol files", SYMBOLS_MAX_MODULES);
    else if (read_names(module, error) == 0) {
        symbols->modules[symbols->module_count++] = module;
        return 0;
    }
    module_free(module);
    return -1;
}

int symbols_add_image(struct symbols *symbols, const char *name, void *image, size_t size,
    uint64_t bias, struct error *error)
{
    return add_module(symbols, name, image, size, false, bias, error);
}

/* Maps a file; lists and relocatable files are copied, because they are changed in memory. */
static int map_file(
    const char *path, void **image, size_t *size, bool *is_copy, struct error *error)
{
    struct stat status;
    FILE *file = hostfile_open(path, error);
    if (!file)
        return -1;
    *size = fstat(fileno(file), &status) < 0 ? 0 : (size_t)status.st_size;
    void *map = *size ? mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file), 0)
                      : MAP_FAILED;
    fclose(file);
    if (map == MAP_FAILED)
        return error_set(error, "%s: %s", path, *size ? "cannot be mapped" : "empty");
    const Elf64_Ehdr *header = map;
    bool elf = is_elf(map, *size);
    *image = map;
    *is_copy = !elf || (*size > sizeof *header && header->e_type == ET_REL);
    if (!*is_copy)
        return 0;
    uint8_t *copy = !elf && *size > MAX_LIST ? NULL : malloc(*size + 1);
    if (copy) {
        memcpy(copy, map, *size);
        copy[*size] = '\0';
    }
    munmap(map, *size);
    *image = copy;
    return copy ? 0 : error_set(error, "%s: too large", path);
}

int symbols_add_file(struct symbols *symbols, const char *path, uint64_t bias, struct error *error)
{
    void *image;
    size_t size;
    bool is_copy;
    if (map_file(path, &image, &size, &is_copy, error) < 0)
        return -1;
    return add_module(symbols, path, image, size, !is_copy, bias, error);
}

bool symbols_is_relocatable(const char *path)
{
    Elf64_Ehdr header;
    FILE *file = hostfile_open(path, NULL);
    bool is = file && fread(&header, sizeof header, 1, file) == 1 &&
              is_elf(&header, sizeof header) && header.e_type == ET_REL;
    if (file)
        fclose(file);
    return is;
}

int symbols_add_placed(struct symbols *symbols, const char *path,
    const struct placed_section *sections, unsigned count, struct error *error)
{
    void *image;
    size_t size;
    bool is_copy;
    if (map_file(path, &image, &size, &is_copy, error) < 0)
        return -1;
    if (!is_copy || !is_elf(image, size)) {
        if (is_copy)
            free(image);
        else
            munmap(image, size);
        return error_set(error, "%s: not a relocatable ELF file", path);
    }
    if (relocate(image, size, sections, count, error) < 0) {
        free(image);
        return error_prefix(error, "%s", path);
    }
    return add_module(symbols, path, image, size, false, 0, error);
}

void symbols_remove(struct symbols *symbols, unsigned module)
{
    if (symbols->first == symbols->modules[module])
        symbols->first = NULL;
    module_free(symbols->modules[module]);
    symbols->module_count--;
    symbols->removals++;
    memmove(&symbols->modules[module], &symbols->modules[module + 1],
        (symbols->module_count - module) * sizeof symbols->modules[0]);
}

void symbols_move(struct module *module, uint64_t bias)
{
    for (size_t i = 0; i < module->count; i++) {
        if (module->list[i].is_percpu)
            continue;
        module->list[i].address += bias - module->bias;
        if (module->elf)
            module->list[i].limit += bias - module->bias;
    }
    module->bias = bias;
}

size_t symbols_count(const struct symbols *symbols)
{
    size_t count = 0;
    for (unsigned i = 0; i < symbols->module_count; i++)
        count += symbols->modules[i]->count;
    return count;
}

bool module_covers(const struct module *module, uint64_t address)
{
    address -= module->bias;
    return !module->elf || (address >= module->low && address < module->high) ||
           (!module->init_gone && address >= module->init_low && address < module->init_high);
}

bool module_section(const struct module *module, const char *name, uint64_t *address,
    const void **bytes, uint64_t *size)
{
    Elf_Scn *section = NULL;
    size_t names;
    if (!module->elf || elf_getshdrstrndx(module->elf, &names) < 0)
        return false;
    while ((section = elf_nextscn(module->elf, section))) {
        GElf_Shdr header;
        const char *own;
        if (!gelf_getshdr(section, &header) ||
            !(own = elf_strptr(module->elf, names, header.sh_name)) || strcmp(own, name) != 0)
            continue;
        Elf_Data *data = header.sh_type == SHT_NOBITS ? NULL : elf_rawdata(section, NULL);
        *address = header.sh_addr;
        *size = header.sh_size;
        *bytes = data ? data->d_buf : NULL;
        return true;
    }
    return false;
}

unsigned module_build_id(const struct module *module, uint8_t *id, unsigned max)
{
    const void *found = NULL;
    ssize_t size = module->elf ? dwelf_elf_gnu_build_id(module->elf, &found) : 0;
    if (size <= 0 || (size_t)size > max || !found)
        return 0;
    memcpy(id, found, (size_t)size);
    return (unsigned)size;
}

/* ---- Lookups ---- */

/* The better of two symbols that may cover the address. */
static const struct symbol *better(
    const struct symbol *best, const struct symbol *symbol, uint64_t address)
{
    bool near = address < symbol->limit && address - symbol->address < (1 << 16) &&
                (!best || best->address == symbol->address);
    bool covers = symbol->size ? address - symbol->address < symbol->size : near;
    if (symbol->is_percpu || !covers)
        return best;
    if (best && best->size == 0 && symbol->size)
        best = NULL;
    if (!best || (best->address == symbol->address && rank(symbol) > rank(best)) ||
        (best->kind == SYMBOL_OTHER && symbol->kind != SYMBOL_OTHER))
        return symbol;
    return best;
}

static const struct symbol *find_in(const struct module *module, uint64_t address)
{
    size_t low = 0, high = module->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (module->list[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct symbol *best = NULL;
    /* Labels inside a function come after it in the list. */
    for (size_t back = 0; back < 64 && back < low; back++) {
        const struct symbol *symbol = &module->list[low - 1 - back];
        best = better(best, symbol, address);
        if (best && best->size && best->kind != SYMBOL_OTHER && symbol->address != best->address)
            break;
    }
    return best;
}

const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address)
{
    const struct symbol *best = NULL;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *module = symbols->modules[i];
        const struct symbol *found;
        if (module->away || !module_covers(module, address) || !(found = find_in(module, address)))
            continue;
        if (!best || (found->size && !best->size) ||
            (!best->size == !found->size &&
                (found->address > best->address ||
                    (found->address == best->address && rank(found) > rank(best)))))
            best = found;
    }
    return best;
}

const struct symbol *symbols_find(const struct symbols *symbols, const char *name)
{
    const struct symbol *best = NULL;
    if (symbols->first && !symbols->first->away && (best = module_find(symbols->first, name)))
        return best;
    for (unsigned i = 0; i < symbols->module_count; i++) {
        const struct module *module = symbols->modules[i];
        const struct symbol *found = module->away ? NULL : module_find(module, name);
        if (found && (!best || rank(found) > rank(best)))
            best = found;
    }
    return best;
}

/* "area(double) const" of one that has no other parameters. */
static bool has_signature(const struct symbol *symbol, const char *wanted)
{
    char *full = symbol->linkage ? demangle(symbol->linkage, true) : NULL;
    bool is = full && names_match(full, wanted);
    free(full);
    return is;
}

static bool is_meant(const struct symbol *symbol, const char *name)
{
    if (demangle_is_mangled(name))
        return symbol->linkage && strcmp(symbol->linkage, name) == 0;
    if (names_match(symbol->name, name))
        return true;
    /* Parameters are compared where the name is the one in front of them. */
    const char *open = strchr(name, '('), *last = names_last_part(symbol->name);
    return open && strncmp(names_last_part(name), last, strlen(last)) == 0 &&
           has_signature(symbol, name);
}

static unsigned each_function_of(const struct module *module, const char *name,
    void (*visit)(void *context, const struct symbol *symbol), void *context)
{
    unsigned count = 0;
    for (size_t i = 0; module->has_mangled && i < module->count; i++) {
        const struct symbol *symbol = &module->list[i];
        if (symbol->kind != SYMBOL_FUNCTION || !is_meant(symbol, name))
            continue;
        visit(context, symbol);
        count++;
    }
    return count;
}

void symbols_each_function(const struct symbols *symbols, const char *name,
    void (*visit)(void *context, const struct symbol *symbol), void *context)
{
    unsigned count = 0;
    if (symbols->first && !symbols->first->away)
        count = each_function_of(symbols->first, name, visit, context);
    for (unsigned i = 0; i < symbols->module_count && count == 0; i++) {
        if (!symbols->modules[i]->away)
            count = each_function_of(symbols->modules[i], name, visit, context);
    }
    const struct symbol *symbol = symbols_find(symbols, name);
    if (symbol && (count == 0 || !symbol->linkage))
        visit(context, symbol);
}

void symbols_describe(const struct symbols *symbols, uint64_t address, struct buffer *out)
{
    const struct symbol *symbol = symbols_at(symbols, address);
    if (!symbol)
        return;
    char *full = symbol->linkage ? demangle(symbol->linkage, true) : NULL;
    buffer_printf(out, "<%.400s", full ? full : symbol->name);
    if (symbol->address != address)
        buffer_printf(out, "+%" PRIu64, address - symbol->address);
    buffer_put_u8(out, '>');
    free(full);
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
