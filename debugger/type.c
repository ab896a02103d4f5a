/* Types of C and of DWARF: looked up, resolved, printed. */
#include "debugger/type.h"

#include <ctype.h>
#include <dwarf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/names.h"

struct type type_builtin(enum type_kind kind, unsigned size)
{
    return (struct type){.builtin = kind, .size = size};
}

struct type type_from_die(const Dwarf_Die *type)
{
    return (struct type){.has_die = true, .die = *type};
}

struct type type_of(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Die type;
    if (!dwarf_attr_integrate(die, DW_AT_type, &attribute) || !dwarf_formref_die(&attribute, &type))
        return type_builtin(TYPE_VOID, 0);
    return type_from_die(&type);
}

bool type_peel(const struct type *type, Dwarf_Die *die)
{
    Dwarf_Die start = type->die;
    return type->has_die && dwarf_peel_type(&start, die) == 0;
}

static unsigned encoding(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr(die, DW_AT_encoding, &attribute))
        dwarf_formudata(&attribute, &value);
    return (unsigned)value;
}

static enum type_kind base_kind(Dwarf_Die *die)
{
    switch (encoding(die)) {
    case DW_ATE_signed:
        return TYPE_SIGNED;
    case DW_ATE_unsigned:
    case DW_ATE_address:
        return TYPE_UNSIGNED;
    case DW_ATE_signed_char:
    case DW_ATE_unsigned_char:
    case DW_ATE_UTF:
        return TYPE_CHAR;
    case DW_ATE_boolean:
        return TYPE_BOOL;
    case DW_ATE_float:
        return TYPE_FLOAT;
    default:
        return TYPE_UNKNOWN;
    }
}

enum type_kind type_kind(const struct type *type)
{
    Dwarf_Die die;
    if (type->repeat)
        return TYPE_ARRAY;
    if (type->pointers)
        return TYPE_POINTER;
    if (!type->has_die)
        return type->builtin;
    if (!type_peel(type, &die))
        return TYPE_VOID;
    switch (dwarf_tag(&die)) {
    case DW_TAG_base_type:
        return base_kind(&die);
    case DW_TAG_pointer_type:
        return TYPE_POINTER;
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        return TYPE_REFERENCE;
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_class_type:
        return TYPE_STRUCT;
    case DW_TAG_array_type:
        return TYPE_ARRAY;
    case DW_TAG_enumeration_type:
        return TYPE_ENUM;
    case DW_TAG_subroutine_type:
    case DW_TAG_subprogram:
        return TYPE_FUNCTION;
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
        return TYPE_VOID;
    default:
        return TYPE_UNKNOWN;
    }
}

bool type_is_integer(const struct type *type)
{
    enum type_kind kind = type_kind(type);
    return kind == TYPE_SIGNED || kind == TYPE_UNSIGNED || kind == TYPE_CHAR || kind == TYPE_BOOL ||
           kind == TYPE_ENUM;
}

bool type_is_signed(const struct type *type)
{
    Dwarf_Die die;
    enum type_kind kind = type_kind(type);
    if (kind == TYPE_SIGNED)
        return true;
    if (kind != TYPE_CHAR)
        return false;
    if (!type->has_die)
        return !type->is_unsigned_char;
    return type_peel(type, &die) && encoding(&die) == DW_ATE_signed_char;
}

uint64_t type_size(const struct type *type)
{
    Dwarf_Die die;
    Dwarf_Word size;
    struct type element = *type;
    if (type->repeat) {
        element.repeat = 0;
        return type->repeat * type_size(&element);
    }
    if (type->pointers)
        return 8;
    if (!type->has_die)
        return type->size;
    if (!type_peel(type, &die) || dwarf_tag(&die) == DW_TAG_subroutine_type ||
        dwarf_tag(&die) == DW_TAG_subprogram || dwarf_aggregate_size(&die, &size) < 0)
        return 0;
    return size;
}

void type_complete(const struct symbols *symbols, struct type *type)
{
    Dwarf_Die die, definition;
    const struct module *module;
    const char *name;
    if (type->pointers || !type_peel(type, &die) || !dwarf_hasattr(&die, DW_AT_declaration) ||
        !(name = dwarf_diename(&die)))
        return;
    const int tag = dwarf_tag(&die);
    if (symbols_find_die(symbols, name, &tag, 1, &module, &definition) &&
        !dwarf_hasattr(&definition, DW_AT_declaration)) {
        type->has_die = true;
        type->die = definition;
    }
}

struct type type_pointer_to(const struct type *type)
{
    struct type pointer = *type;
    /* A pointer to a repetition is a pointer to its elements here. */
    pointer.repeat = 0;
    pointer.pointers++;
    return pointer;
}

struct type type_target(const struct type *type)
{
    Dwarf_Die die;
    struct type target = *type;
    if (type->repeat) {
        target.repeat = 0;
        return target;
    }
    if (type->pointers) {
        target.pointers--;
        return target;
    }
    if (!type_peel(type, &die))
        return type_builtin(TYPE_VOID, 0);
    target = type_of(&die);
    if (dwarf_tag(&die) != DW_TAG_array_type)
        return target;
    /* Of several dimensions, the inner ones remain: told as a repetition of the element. */
    uint64_t whole = type_size(type), count = type_elements(type), one = type_size(&target);
    if (count && one && whole / count > one)
        target.repeat = whole / count / one;
    return target;
}

bool type_subrange(Dwarf_Die *die, uint64_t *count)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (dwarf_attr(die, DW_AT_count, &attribute) && dwarf_formudata(&attribute, &value) == 0) {
        *count = value;
        return true;
    }
    if (!dwarf_attr(die, DW_AT_upper_bound, &attribute) || dwarf_formudata(&attribute, &value) != 0)
        return false;
    *count = value + 1;
    return true;
}

uint64_t type_elements(const struct type *type)
{
    Dwarf_Die die, child;
    if (type->repeat)
        return type->repeat;
    if (type->pointers || !type_peel(type, &die) || dwarf_child(&die, &child) != 0)
        return 0;
    do {
        uint64_t count;
        if (dwarf_tag(&child) == DW_TAG_subrange_type)
            return type_subrange(&child, &count) ? count : 0;
    } while (dwarf_siblingof(&child, &child) == 0);
    return 0;
}

/* ---- Enumerations ---- */

static bool enumerator_of(Dwarf_Die *type, const char *name, uint64_t *value)
{
    Dwarf_Die child;
    if (dwarf_child(type, &child) != 0)
        return false;
    do {
        const char *own = dwarf_diename(&child);
        Dwarf_Attribute attribute;
        Dwarf_Sword number;
        if (own && strcmp(own, names_last_part(name)) == 0 &&
            dwarf_attr(&child, DW_AT_const_value, &attribute) &&
            dwarf_formsdata(&attribute, &number) == 0) {
            *value = (uint64_t)number;
            return true;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

bool type_find_enumerator(
    const struct symbols *symbols, const char *name, uint64_t *value, struct type *type)
{
    static const int tags[] = {DW_TAG_enumerator};
    const struct module *module;
    Dwarf_Die die;
    if (!symbols_find_die(symbols, name, tags, 1, &module, &die) ||
        !enumerator_of(&die, name, value))
        return false;
    *type = type_from_die(&die);
    return true;
}

/* ---- Members ---- */

static uint64_t number_of(Dwarf_Die *die, unsigned name, bool *present)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    *present = dwarf_attr(die, name, &attribute) && dwarf_formudata(&attribute, &value) == 0;
    return *present ? value : 0;
}

void type_read_member(Dwarf_Die *die, struct member *member)
{
    bool has_bits, has_data_bit, has_old_bit, has_size, has_place;
    *member = (struct member){.name = dwarf_diename(die),
        .type = type_of(die),
        .is_base = dwarf_tag(die) == DW_TAG_inheritance,
        .is_artificial = dwarf_hasattr(die, DW_AT_artificial)};
    member->access = (unsigned)number_of(die, DW_AT_accessibility, &has_place);
    member->offset = number_of(die, DW_AT_data_member_location, &has_place);
    member->is_virtual = !has_place && dwarf_hasattr(die, DW_AT_data_member_location);
    member->bits = (unsigned)number_of(die, DW_AT_bit_size, &has_bits);
    if (!has_bits)
        return;
    uint64_t bit = number_of(die, DW_AT_data_bit_offset, &has_data_bit);
    if (!has_data_bit) {
        /* DWARF 3: counted from the most significant bit of the storage unit. */
        uint64_t old = number_of(die, DW_AT_bit_offset, &has_old_bit);
        uint64_t storage = number_of(die, DW_AT_byte_size, &has_size);
        storage = has_size ? storage : type_size(&member->type);
        bit = member->offset * 8 + (has_old_bit ? storage * 8 - old - member->bits : 0);
    }
    member->offset = bit / 8;
    member->shift = bit % 8;
}

/* A static member is a declaration of a variable elsewhere. */
static bool is_member(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);
    return tag == DW_TAG_inheritance ||
           (tag == DW_TAG_member && !dwarf_hasattr(die, DW_AT_declaration));
}

bool type_each_member(
    const struct type *type, bool (*visit)(void *context, const struct member *), void *context)
{
    Dwarf_Die die, child;
    if (type->pointers || type->repeat || !type_peel(type, &die) || dwarf_child(&die, &child) != 0)
        return false;
    do {
        struct member member;
        if (!is_member(&child))
            continue;
        type_read_member(&child, &member);
        if (visit(context, &member))
            return true;
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

struct member_search {
    const char *name;
    struct member *found;
};

static bool matches(void *context, const struct member *member)
{
    struct member_search *search = context;
    if (!member->name) {
        if (member->is_virtual || !type_find_member(&member->type, search->name, search->found))
            return false;
        search->found->offset += member->offset;
        return true;
    }
    if (strcmp(member->name, search->name) != 0)
        return false;
    *search->found = *member;
    return true;
}

bool type_find_member(const struct type *type, const char *name, struct member *member)
{
    struct member_search search = {name, member};
    return type_each_member(type, matches, &search);
}

/* ---- Parsing ---- */

static const char *skip_space(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* Past the arguments of a template that begin at '<'; where it was when they do not end. */
static const char *skip_arguments(const char *text)
{
    unsigned depth = 0;
    for (const char *at = text; *at; at++) {
        depth += *at == '<';
        if (*at == '>' && --depth == 0)
            return at + 1;
    }
    return text;
}

/* The end of "geo::Box<int, 4>", as far as it goes. */
static const char *end_of_path(const char *text)
{
    for (;;) {
        while (isalnum((unsigned char)*text) || *text == '_')
            text++;
        if (*text == '<')
            text = skip_arguments(text);
        if (text[0] != ':' || text[1] != ':')
            return text;
        text += 2;
    }
}

/* Reads an identifier; returns what follows it and the space after. */
static const char *read_word(const char *text, char *word, size_t size)
{
    size_t length = 0;
    text = skip_space(text);
    if (isdigit((unsigned char)*text)) {
        *word = '\0';
        return text;
    }
    while (isalnum((unsigned char)*text) || *text == '_') {
        if (length + 1 < size)
            word[length++] = *text;
        text++;
    }
    word[length] = '\0';
    return skip_space(text);
}

struct integer_words {
    bool any, is_unsigned, is_signed, is_short, is_char, is_double, is_float, is_bool, is_void;
    unsigned longs;
};

static bool take_integer_word(struct integer_words *words, const char *word)
{
    if (strcmp(word, "unsigned") == 0)
        words->is_unsigned = true;
    else if (strcmp(word, "signed") == 0)
        words->is_signed = true;
    else if (strcmp(word, "short") == 0)
        words->is_short = true;
    else if (strcmp(word, "char") == 0)
        words->is_char = true;
    else if (strcmp(word, "long") == 0)
        words->longs++;
    else if (strcmp(word, "double") == 0)
        words->is_double = true;
    else if (strcmp(word, "float") == 0)
        words->is_float = true;
    else if (strcmp(word, "_Bool") == 0 || strcmp(word, "bool") == 0)
        words->is_bool = true;
    else if (strcmp(word, "void") == 0)
        words->is_void = true;
    else if (strcmp(word, "int") != 0)
        return false;
    words->any = true;
    return true;
}

static struct type from_words(const struct integer_words *words)
{
    if (words->is_void)
        return type_builtin(TYPE_VOID, 0);
    if (words->is_bool)
        return type_builtin(TYPE_BOOL, 1);
    if (words->is_double || words->is_float)
        return type_builtin(TYPE_FLOAT, words->is_double ? 8 : 4);
    if (words->is_char) {
        struct type type = type_builtin(TYPE_CHAR, 1);
        type.is_unsigned_char = words->is_unsigned;
        return type;
    }
    return type_builtin(words->is_unsigned ? TYPE_UNSIGNED : TYPE_SIGNED, words->is_short ? 2
                                                                          : words->longs  ? 8
                                                                                          : 4);
}

/* uint8_t to int64_t and u8 to s64 without DWARF. */
static bool fixed_width(const char *word, struct type *type)
{
    unsigned bits;
    int used = 0;
    bool is_unsigned = word[0] == 'u';
    const char *rest = word + is_unsigned;
    if (sscanf(rest, "int%u_t%n", &bits, &used) != 1 || rest[used] || used == 0) {
        used = 0;
        if ((word[0] != 'u' && word[0] != 's') || sscanf(word + 1, "%u%n", &bits, &used) != 1 ||
            word[1 + used])
            return false;
    }
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
        return false;
    *type = type_builtin(is_unsigned ? TYPE_UNSIGNED : TYPE_SIGNED, bits / 8);
    return true;
}

static bool named_type(
    const struct symbols *symbols, const char *keyword, const char *name, struct type *type)
{
    static const int structures[] = {DW_TAG_structure_type, DW_TAG_class_type};
    static const int unions[] = {DW_TAG_union_type}, enums[] = {DW_TAG_enumeration_type};
    static const int plain[] = {DW_TAG_typedef, DW_TAG_base_type};
    const struct module *module;
    Dwarf_Die die;
    const int *tags = plain;
    unsigned count = 2;
    if (strcmp(keyword, "struct") == 0) {
        tags = structures;
    } else if (*keyword) {
        tags = strcmp(keyword, "union") == 0 ? unions : enums;
        count = 1;
    }
    if (!*name || !symbols_find_die(symbols, name, tags, count, &module, &die))
        return false;
    *type = type_from_die(&die);
    return true;
}

/* A type of C++ or Rust: a path, or a name with arguments. */
static bool named_path(
    const struct symbols *symbols, const char *at, const char **text, struct type *type)
{
    static const int tags[] = {DW_TAG_structure_type, DW_TAG_class_type, DW_TAG_union_type,
        DW_TAG_enumeration_type, DW_TAG_typedef, DW_TAG_base_type};
    char name[512];
    const struct module *module;
    Dwarf_Die die;
    at = skip_space(at);
    const char *end = end_of_path(at);
    if (end == at || isdigit((unsigned char)*at) || (size_t)(end - at) >= sizeof name)
        return false;
    memcpy(name, at, (size_t)(end - at));
    name[end - at] = '\0';
    if (!symbols_find_die(symbols, name, tags, sizeof tags / sizeof tags[0], &module, &die) ||
        names_language(&die) == LANGUAGE_C)
        return false;
    *type = type_from_die(&die);
    *text = skip_space(end);
    return true;
}

static bool parse_base(const struct symbols *symbols, const char **text, struct type *type)
{
    char word[128], name[128];
    struct integer_words words = {0};
    const char *at = *text, *next;
    for (;; at = next) {
        next = read_word(at, word, sizeof word);
        if (strcmp(word, "const") != 0 && strcmp(word, "volatile") != 0 &&
            !take_integer_word(&words, word))
            break;
    }
    if (words.any) {
        *type = from_words(&words);
        *text = at;
        return true;
    }
    if (strcmp(word, "struct") == 0 || strcmp(word, "union") == 0 || strcmp(word, "enum") == 0) {
        *text = read_word(next, name, sizeof name);
        return named_path(symbols, next, text, type) || named_type(symbols, word, name, type);
    }
    *text = next;
    return named_path(symbols, at, text, type) || named_type(symbols, "", word, type) ||
           fixed_width(word, type);
}

bool type_parse(const struct symbols *symbols, const char **text, struct type *type)
{
    const char *start = *text, *at = start;
    char word[128];
    if (!parse_base(symbols, &at, type)) {
        *text = start;
        return false;
    }
    for (;;) {
        const char *next = read_word(at, word, sizeof word);
        if (strcmp(word, "const") == 0 || strcmp(word, "volatile") == 0) {
            at = next;
        } else if (*skip_space(at) == '*') {
            type->pointers++;
            at = skip_space(at) + 1;
        } else {
            break;
        }
    }
    *text = skip_space(at);
    return true;
}
