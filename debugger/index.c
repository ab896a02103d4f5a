/* The index over a module's debugging information. */
#include "debugger/index.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/names.h"

enum { MAX_DEPTH = 64, MAX_LOOKED = 64 };

struct range {
    uint64_t start, end;
    Dwarf_Off die;
};

struct ranges {
    struct range *list; /* ascending by start */
    size_t count, capacity;
};

struct entry {
    const char *name;
    uint64_t place; /* the DIE's offset; of DW_TAG_inlined_subroutine the address of its code */
    uint32_t next;  /* 1 + the next one in the same slot; 0: none */
    uint32_t hash;  /* of the name */
    uint16_t tag;
    bool is_weak; /* a declaration, or a function of which this has no code */
};

struct index {
    struct ranges units, functions;
    Dwarf_CU *last; /* of the units, the last whose names are here */
    bool has_names; /* all of them */
    /* Until then functions are looked for in the unit that covers an address. */
    struct ranges some_functions;
    Dwarf_Off looked[MAX_LOOKED]; /* in these units */
    unsigned looked_count;
    struct entry *entries;
    size_t count, capacity;
    uint32_t *slots;
    size_t slot_count; /* a power of two */
    bool failed;       /* out of memory: what is there is not all */
    char **kept;       /* names that are not DWARF's own: qualified ones */
    size_t kept_count, kept_capacity;
    struct buffer path; /* while names are collected: "geo::Shape::" */
};

void index_free(struct index *index)
{
    if (!index)
        return;
    free(index->units.list);
    free(index->functions.list);
    free(index->some_functions.list);
    free(index->entries);
    free(index->slots);
    for (size_t i = 0; i < index->kept_count; i++)
        free(index->kept[i]);
    free(index->kept);
    buffer_free(&index->path);
    free(index);
}

/* ---- By address ---- */

static bool add_range(struct ranges *ranges, uint64_t start, uint64_t end, Dwarf_Off die)
{
    if (start >= end)
        return true;
    if (ranges->count == ranges->capacity) {
        size_t capacity = ranges->capacity ? ranges->capacity * 2 : 256;
        struct range *list = realloc(ranges->list, capacity * sizeof *list);
        if (!list)
            return false;
        ranges->list = list;
        ranges->capacity = capacity;
    }
    ranges->list[ranges->count++] = (struct range){start, end, die};
    return true;
}

static void add_ranges(struct index *index, struct ranges *ranges, Dwarf_Die *die)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t offset = 0;
    while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0)
        index->failed |= !add_range(ranges, start, end, dwarf_dieoffset(die));
}

static int by_start(const void *a, const void *b)
{
    const struct range *left = a, *right = b;
    return (left->start > right->start) - (left->start < right->start);
}

static void sort(struct ranges *ranges)
{
    if (ranges->count)
        qsort(ranges->list, ranges->count, sizeof *ranges->list, by_start);
}

static bool find(
    struct module *module, const struct ranges *ranges, uint64_t address, Dwarf_Die *die)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges->list[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Ranges of different ones may overlap a little: of the nearest, the one that covers. */
    for (size_t back = 0; back < 8 && back < low; back++) {
        const struct range *range = &ranges->list[low - 1 - back];
        if (address < range->end)
            return dwarf_offdie(module->dwarf, range->die, die) != NULL;
    }
    return false;
}

static void make_units(struct index *index, Dwarf *dwarf)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit;
    uint8_t type;
    while (dwarf_get_units(dwarf, cu, &cu, NULL, &type, &unit, NULL) == 0) {
        if (type == DW_UT_compile || type == DW_UT_partial)
            add_ranges(index, &index->units, &unit);
    }
    sort(&index->units);
}

static struct index *index_of(struct module *module)
{
    if (module->index || !module->dwarf)
        return module->index;
    module->index = calloc(1, sizeof *module->index);
    module->unindexed |= !module->index;
    if (module->index)
        make_units(module->index, module->dwarf);
    return module->index;
}

bool index_was_cut(struct module *module)
{
    bool cut = module->unindexed || (module->index && module->index->failed);
    if (cut) {
        index_free(module->index);
        module->index = NULL;
    }
    module->unindexed = false;
    return cut;
}

bool index_unit(struct module *module, uint64_t address, Dwarf_Die *unit)
{
    const struct index *index = index_of(module);
    return index && find(module, &index->units, address, unit);
}

/* ---- Names ---- */

/* Where code was inlined has slots of its own: of some names there are ten thousand. */
static uint32_t hash(const char *name, int tag)
{
    uint64_t value = 0xcbf29ce484222325 ^ (tag == DW_TAG_inlined_subroutine);
    for (; *name; name++)
        value = (value ^ (uint8_t)*name) * 0x100000001b3;
    return (uint32_t)(value ^ value >> 32);
}

static bool grow(struct index *index)
{
    if (index->count < index->capacity)
        return true;
    size_t capacity = index->capacity ? index->capacity * 2 : 1024;
    struct entry *entries = realloc(index->entries, capacity * sizeof *entries);
    if (entries)
        index->entries = entries;
    uint32_t *slots = calloc(capacity, sizeof *slots);
    if (!entries || !slots || capacity > UINT32_MAX) {
        free(slots);
        index->failed = true;
        return false;
    }
    free(index->slots);
    index->slots = slots;
    index->slot_count = index->capacity = capacity;
    for (size_t i = 0; i < index->count; i++) {
        size_t slot = entries[i].hash & (capacity - 1);
        entries[i].next = slots[slot];
        slots[slot] = (uint32_t)i + 1;
    }
    return true;
}

static struct entry *first_of(const struct index *index, uint32_t hash)
{
    uint32_t at = index->slot_count ? index->slots[hash & (index->slot_count - 1)] : 0;
    return at ? &index->entries[at - 1] : NULL;
}

static struct entry *next_of(const struct index *index, const struct entry *entry)
{
    return entry->next ? &index->entries[entry->next - 1] : NULL;
}

static bool is_one(const struct entry *entry, uint32_t hash, const char *name, int tag)
{
    return entry->hash == hash && entry->tag == tag &&
           (entry->name == name || strcmp(entry->name, name) == 0);
}

/* Of a type one definition is enough, and a declaration only where there is nothing else. */
static void add(struct index *index, const char *name, uint64_t place, int tag, bool is_weak)
{
    bool every = !is_weak && (tag == DW_TAG_variable || tag == DW_TAG_subprogram ||
                                 tag == DW_TAG_inlined_subroutine);
    const uint32_t own = hash(name, tag);
    struct entry *entry = tag == DW_TAG_inlined_subroutine ? NULL : first_of(index, own);
    for (; entry; entry = next_of(index, entry)) {
        if (!is_one(entry, own, name, tag) || (every && !entry->is_weak))
            continue;
        if (entry->is_weak && !is_weak) {
            entry->place = place;
            entry->is_weak = false;
            return;
        }
        if (!every)
            return;
    }
    if (!grow(index))
        return;
    size_t slot = own & (index->slot_count - 1);
    index->entries[index->count++] = (struct entry){.name = name,
        .place = place,
        .next = index->slots[slot],
        .hash = own,
        .tag = (uint16_t)tag,
        .is_weak = is_weak};
    index->slots[slot] = (uint32_t)index->count;
}

/* ---- Qualified names ---- */

static const char *keep(struct index *index, const char *text, size_t size)
{
    if (index->kept_count == index->kept_capacity) {
        size_t capacity = index->kept_capacity ? index->kept_capacity * 2 : 256;
        char **kept = realloc(index->kept, capacity * sizeof *kept);
        index->failed |= !kept;
        if (!kept)
            return NULL;
        index->kept = kept;
        index->kept_capacity = capacity;
    }
    char *copy = strndup(text, size);
    index->failed |= !copy;
    if (copy)
        index->kept[index->kept_count++] = copy;
    return copy;
}

/* With what is around it; the bare name finds it too, where nothing else has that. */
static void add_qualified(
    struct index *index, const char *name, uint64_t place, int tag, bool is_weak)
{
    if (index->path.size == 0) {
        add(index, name, place, tag, is_weak);
        return;
    }
    size_t before = index->path.size;
    buffer_put(&index->path, name, strlen(name));
    index->failed |= index->path.failed;
    const char *whole =
        index->path.failed ? NULL : keep(index, (const char *)index->path.data, index->path.size);
    index->path.size = before;
    if (whole)
        add(index, whole, place, tag, is_weak);
    add(index, name, place, tag, true);
}

/* The name of what was inlined, and all of it where it has more than one part. */
static void add_inlined_name(struct index *index, Dwarf_Die *die, uint64_t address, bool has_scopes)
{
    const int tag = DW_TAG_inlined_subroutine;
    struct buffer whole = {0};
    const char *name = dwarf_diename(die), *kept;
    if (!name)
        return;
    add(index, name, address, tag, false);
    if (!has_scopes)
        return;
    names_put_function(die, &whole);
    index->failed |= whole.failed;
    if (whole.size > strlen(name) && (kept = keep(index, (const char *)whole.data, whole.size)))
        add(index, kept, address, tag, false);
    buffer_free(&whole);
}

static bool entry_address(Dwarf_Die *die, Dwarf_Addr *address)
{
    Dwarf_Addr base, end;
    return dwarf_entrypc(die, address) == 0 || dwarf_ranges(die, 0, &base, address, &end) > 0;
}

static void add_inlined(struct index *index, Dwarf_Die *parent, unsigned depth, bool has_scopes)
{
    Dwarf_Die child;
    if (depth > MAX_DEPTH || dwarf_child(parent, &child) != 0)
        return;
    do {
        int tag = dwarf_tag(&child);
        Dwarf_Addr address;
        if (tag == DW_TAG_inlined_subroutine && entry_address(&child, &address))
            add_inlined_name(index, &child, address, has_scopes);
        if (tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block)
            add_inlined(index, &child, depth + 1, has_scopes);
    } while (dwarf_siblingof(&child, &child) == 0);
}

static void add_enumerators(struct index *index, Dwarf_Die *type)
{
    Dwarf_Die child;
    if (dwarf_child(type, &child) != 0)
        return;
    do {
        const char *name = dwarf_diename(&child);
        if (name && dwarf_tag(&child) == DW_TAG_enumerator)
            add_qualified(index, name, dwarf_dieoffset(type), DW_TAG_enumerator, false);
    } while (dwarf_siblingof(&child, &child) == 0);
}

static void add_children(struct index *index, Dwarf_Die *parent, bool has_scopes, unsigned depth);

/* What is inside a namespace or class, under its name. */
static void add_scope(struct index *index, Dwarf_Die *die, unsigned depth)
{
    size_t before = index->path.size;
    const char *name = dwarf_diename(die);
    if (!name)
        name = "(anonymous namespace)";
    buffer_put(&index->path, name, strlen(name));
    buffer_put(&index->path, "::", 2);
    index->failed |= index->path.failed;
    if (!index->path.failed && depth < MAX_DEPTH)
        add_children(index, die, true, depth + 1);
    index->path.size = before;
}

static void add_enumeration(struct index *index, Dwarf_Die *die, bool has_scopes)
{
    size_t before = index->path.size;
    const char *name = dwarf_diename(die);
    if (has_scopes && name && dwarf_hasattr(die, DW_AT_enum_class)) {
        buffer_put(&index->path, name, strlen(name));
        buffer_put(&index->path, "::", 2);
        index->failed |= index->path.failed;
    }
    add_enumerators(index, die);
    index->path.size = before;
}

static void add_die(struct index *index, Dwarf_Die *die, bool has_scopes, unsigned depth)
{
    int tag = dwarf_tag(die);
    Dwarf_Addr address;
    bool is_weak = dwarf_hasattr(die, DW_AT_declaration);
    switch (tag) {
    case DW_TAG_subprogram:
        add_inlined(index, die, 0, has_scopes);
        add_ranges(index, &index->functions, die);
        is_weak |= !entry_address(die, &address);
        break;
    case DW_TAG_enumeration_type:
        add_enumeration(index, die, has_scopes);
        break;
    case DW_TAG_namespace:
        if (has_scopes)
            add_scope(index, die, depth);
        return;
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
        if (has_scopes && !is_weak && dwarf_diename(die))
            add_scope(index, die, depth);
        break;
    case DW_TAG_variable:
    case DW_TAG_typedef:
    case DW_TAG_base_type:
        break;
    default:
        return;
    }
    const char *name = dwarf_diename(die);
    if (name && dwarf_hasattr(die, DW_AT_specification))
        add(index, name, dwarf_dieoffset(die), tag, is_weak);
    else if (name)
        add_qualified(index, name, dwarf_dieoffset(die), tag, is_weak);
}

static void add_children(struct index *index, Dwarf_Die *parent, bool has_scopes, unsigned depth)
{
    Dwarf_Die child;
    if (dwarf_child(parent, &child) != 0)
        return;
    do {
        add_die(index, &child, has_scopes, depth);
    } while (dwarf_siblingof(&child, &child) == 0);
}

/* The names of one more unit; false: there is none. */
static bool add_unit(struct module *module, struct index *index)
{
    Dwarf_Die unit;
    if (index->has_names)
        return false;
    if (dwarf_get_units(module->dwarf, index->last, &index->last, NULL, NULL, &unit, NULL) == 0) {
        add_children(index, &unit, names_language(&unit) != LANGUAGE_C, 0);
        return true;
    }
    index->has_names = true;
    buffer_free(&index->path);
    sort(&index->functions);
    return false;
}

static const struct index *names_of(struct module *module)
{
    struct index *index = index_of(module);
    while (index && add_unit(module, index))
        ;
    return index;
}

/* ---- Functions by address -------------------------------------------------------------------- */

/* Those that add_children() comes to. */
static void add_functions(struct index *index, Dwarf_Die *parent, bool has_scopes, unsigned depth)
{
    Dwarf_Die child;
    if (depth > MAX_DEPTH || dwarf_child(parent, &child) != 0)
        return;
    do {
        int tag = dwarf_tag(&child);
        bool is_class =
            tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
        if (tag == DW_TAG_subprogram)
            add_ranges(index, &index->some_functions, &child);
        else if (has_scopes && (tag == DW_TAG_namespace || is_class))
            add_functions(index, &child, true, depth + 1);
    } while (dwarf_siblingof(&child, &child) == 0);
}

/* Has the unit that covers the address, and those before it, been looked at? False where there is
 * none, and where there were so many that all are as cheap. */
static bool look_at_unit(struct module *module, struct index *index, uint64_t address)
{
    Dwarf_Die unit;
    if (!find(module, &index->units, address, &unit))
        return false;
    const Dwarf_Off offset = dwarf_dieoffset(&unit);
    for (unsigned i = 0; i < index->looked_count; i++) {
        if (index->looked[i] == offset)
            return true;
    }
    if (index->looked_count == MAX_LOOKED)
        return false;
    index->looked[index->looked_count++] = offset;
    add_functions(index, &unit, names_language(&unit) != LANGUAGE_C, 0);
    sort(&index->some_functions);
    return true;
}

bool index_function(struct module *module, uint64_t address, Dwarf_Die *function)
{
    struct index *index = index_of(module);
    if (index && !index->has_names && look_at_unit(module, index, address))
        return find(module, &index->some_functions, address, function);
    const struct index *whole = names_of(module);
    return whole && find(module, &whole->functions, address, function);
}

/* ---- By name --------------------------------------------------------------------------------- */

static const struct entry *find_entry(
    const struct index *index, const char *name, const int *tags, unsigned tag_count)
{
    const uint32_t own = hash(name, 0);
    const struct entry *best = NULL, *entry = first_of(index, own);
    for (; entry; entry = next_of(index, entry)) {
        for (unsigned i = 0; i < tag_count; i++) {
            if (is_one(entry, own, name, tags[i]) && (!best || (best->is_weak && !entry->is_weak)))
                best = entry;
        }
    }
    return best;
}

bool index_find_type(
    struct module *module, const char *name, const int *tags, unsigned tag_count, Dwarf_Die *die)
{
    struct index *index = index_of(module);
    const struct entry *entry = NULL;
    if (!index)
        return false;
    do
        entry = find_entry(index, name, tags, tag_count);
    while ((!entry || entry->is_weak) && add_unit(module, index));
    return entry && dwarf_offdie(module->dwarf, entry->place, die);
}

bool index_find(
    struct module *module, const char *name, const int *tags, unsigned tag_count, Dwarf_Die *die)
{
    const struct index *index = names_of(module);
    const struct entry *best = index ? find_entry(index, name, tags, tag_count) : NULL;
    return best && dwarf_offdie(module->dwarf, best->place, die);
}

bool index_each(struct module *module, const char *name, int tag,
    bool (*visit)(void *context, Dwarf_Die *die), void *context)
{
    const struct index *index = names_of(module);
    Dwarf_Die die;
    if (!index)
        return false;
    const uint32_t own = hash(name, tag);
    const struct entry *entry = first_of(index, own);
    for (; entry; entry = next_of(index, entry)) {
        if (is_one(entry, own, name, tag) && dwarf_offdie(module->dwarf, entry->place, &die) &&
            visit(context, &die))
            return true;
    }
    return false;
}

bool index_names(struct module *module,
    bool (*visit)(void *context, const char *name, int tag, Dwarf_Die *die), void *context)
{
    const struct index *index = names_of(module);
    Dwarf_Die die;
    for (size_t i = 0; index && i < index->count; i++) {
        const struct entry *entry = &index->entries[i];
        if (entry->tag != DW_TAG_inlined_subroutine && !entry->is_weak &&
            dwarf_offdie(module->dwarf, entry->place, &die) &&
            visit(context, entry->name, entry->tag, &die))
            return true;
    }
    return false;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

unsigned index_inlined(struct module *module, const char *name, uint64_t *addresses, unsigned max)
{
    const struct index *index = names_of(module);
    unsigned count = 0;
    if (!index)
        return 0;
    const uint32_t own = hash(name, DW_TAG_inlined_subroutine);
    const struct entry *entry = first_of(index, own);
    for (; entry; entry = next_of(index, entry)) {
        if (!is_one(entry, own, name, DW_TAG_inlined_subroutine))
            continue;
        if (count < max)
            addresses[count] = entry->place;
        count++;
    }
    qsort(addresses, count < max ? count : max, sizeof *addresses, by_number);
    return count;
}
