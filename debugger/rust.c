/* Rust's values, printed as gdb prints them. */
#include "debugger/rust.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/names.h"

enum { MAX_TEXT = 200, MAX_SLICE = 200 };

/* ---- Variants ---- */

static bool find_child(Dwarf_Die *parent, int tag, Dwarf_Die *found)
{
    if (dwarf_child(parent, found) != 0)
        return false;
    do {
        if (dwarf_tag(found) == tag)
            return true;
    } while (dwarf_siblingof(found, found) == 0);
    return false;
}

static bool find_part(const struct type *type, Dwarf_Die *part)
{
    Dwarf_Die die;
    return !type->pointers && !type->repeat && type_peel(type, &die) &&
           find_child(&die, DW_TAG_variant_part, part);
}

bool rust_is_enum(const struct type *type)
{
    Dwarf_Die part;
    return find_part(type, &part);
}

/* Of an enumeration with one variant there is no discriminant. */
static bool read_discriminant(const struct view *view, const struct value *value, Dwarf_Die *part,
    uint64_t *number, uint64_t *mask)
{
    Dwarf_Attribute attribute;
    Dwarf_Die die;
    struct member member;
    struct error ignored;
    *number = 0;
    *mask = UINT64_MAX;
    if (!dwarf_attr(part, DW_AT_discr, &attribute))
        return true;
    if (!dwarf_formref_die(&attribute, &die))
        return false;
    type_read_member(&die, &member);
    struct value place = value_member(value, &member);
    uint64_t size = type_size(&member.type);
    if (size < 8)
        *mask = (1ull << (8 * size)) - 1;
    return value_scalar(view, &place, number, &ignored) == 0;
}

static bool has_value(Dwarf_Die *variant, uint64_t *value)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    Dwarf_Sword wide;
    if (!dwarf_attr(variant, DW_AT_discr_value, &attribute))
        return false;
    if (dwarf_formudata(&attribute, &number) == 0)
        *value = number;
    else if (dwarf_formsdata(&attribute, &wide) == 0)
        *value = (uint64_t)wide;
    return true;
}

bool rust_find_variant(
    const struct view *view, const struct value *value, struct value *variant, const char **name)
{
    Dwarf_Die part, child, best, field;
    uint64_t wanted, mask, number = 0;
    bool found = false;
    if (!find_part(&value->type, &part) || !read_discriminant(view, value, &part, &wanted, &mask) ||
        dwarf_child(&part, &child) != 0)
        return false;
    do {
        if (dwarf_tag(&child) != DW_TAG_variant)
            continue;
        bool is_default = !has_value(&child, &number);
        if (is_default ? found : ((number ^ wanted) & mask) != 0)
            continue;
        best = child;
        found = true;
        if (!is_default)
            break;
    } while (dwarf_siblingof(&child, &child) == 0);
    if (!found || !find_child(&best, DW_TAG_member, &field))
        return false;
    struct member member;
    type_read_member(&field, &member);
    *variant = value_member(value, &member);
    *name = member.name;
    return true;
}

/* ---- Members ---- */

/* "__0": of a tuple, or of a struct like one. */
static bool is_numbered(const char *name)
{
    return name && name[0] == '_' && name[1] == '_' && name[2] >= '0' && name[2] <= '9';
}

struct shape {
    unsigned members;
    bool numbered;
};

static bool look_at_member(void *context, const struct member *member)
{
    struct shape *shape = context;
    shape->numbered =
        shape->members ? shape->numbered && is_numbered(member->name) : is_numbered(member->name);
    shape->members++;
    return false;
}

static bool print_field(void *context, const struct member *member)
{
    struct printer *printer = context;
    const struct value *of = printer->of;
    struct value value = value_member(of, member);
    printer_separate(printer);
    if (member->name && !is_numbered(member->name)) {
        printer_put(printer, member->name);
        printer_put(printer, ": ");
    }
    printer->failed = printer_value(printer, &value) < 0;
    printer->of = of;
    printer->first = false;
    return printer->failed;
}

static int print_fields(
    struct printer *printer, const struct value *value, const char *open, const char *close)
{
    printer_put(printer, open);
    printer->of = value;
    printer->first = true;
    if (type_each_member(&value->type, print_field, printer))
        return -1;
    printer_close(printer, close);
    return 0;
}

static void put_name(struct printer *printer, const struct type *type)
{
    Dwarf_Die die;
    if (type_peel(type, &die))
        names_put(&die, printer->out);
}

static int print_variant(struct printer *printer, const struct value *value)
{
    struct value variant;
    const char *name;
    struct shape shape = {0};
    put_name(printer, &value->type);
    if (!rust_find_variant(printer->view, value, &variant, &name)) {
        printer_put(printer, "::<invalid discriminant>");
        return 0;
    }
    type_each_member(&variant.type, look_at_member, &shape);
    printer_put(printer, "::");
    printer_put(printer, name ? name : "?");
    if (shape.members == 0)
        return 0;
    return print_fields(printer, &variant, shape.numbered ? "(" : "{", shape.numbered ? ")" : "}");
}

/* ---- Strings and slices ---- */

static bool read_field(const struct value *of, const char *name, struct value *value)
{
    struct member member;
    if (!type_find_member(&of->type, name, &member))
        return false;
    *value = value_member(of, &member);
    return true;
}

static int print_slice(struct printer *printer, const struct value *value, const char *name)
{
    struct value pointer, length;
    uint64_t address, count;
    if (!read_field(value, "data_ptr", &pointer) || !read_field(value, "length", &length) ||
        value_scalar(printer->view, &pointer, &address, printer->error) < 0 ||
        value_scalar(printer->view, &length, &count, printer->error) < 0)
        return -1;
    if (strstr(name, "str")) {
        char text[MAX_TEXT];
        size_t size = count < sizeof text ? (size_t)count : sizeof text;
        if (size && !view_read(printer->view, address, text, size))
            return error_set(
                printer->error, "cannot read memory at 0x%" PRIx64 ": not mapped", address);
        value_quote(text, size, printer->out);
        printer_put(printer, count > size ? "..." : "");
        return 0;
    }
    struct type element = type_target(&pointer.type);
    printer_put(printer, name);
    printer_put(printer, " ");
    if (count == 0) {
        printer_put(printer, "[]");
        return 0;
    }
    struct value elements = value_at(address, &element);
    elements.type.repeat = count < MAX_SLICE ? count : MAX_SLICE;
    return printer_value(printer, &elements);
}

static bool is_slice(const struct value *value, const char *name)
{
    struct value field;
    return (strncmp(name, "&str", 4) == 0 || strncmp(name, "&mut str", 8) == 0 ||
               strncmp(name, "&[", 2) == 0 || strncmp(name, "&mut [", 6) == 0) &&
           read_field(value, "data_ptr", &field);
}

bool rust_slice(const struct value *value, struct value *pointer)
{
    Dwarf_Die die;
    const char *name = type_kind(&value->type) == TYPE_STRUCT && type_peel(&value->type, &die)
                           ? dwarf_diename(&die)
                           : NULL;
    return name && names_language(&die) == LANGUAGE_RUST && is_slice(value, name) &&
           read_field(value, "data_ptr", pointer);
}

int rust_print_struct(struct printer *printer, const struct value *value)
{
    Dwarf_Die die;
    struct shape shape = {0};
    const char *name = type_peel(&value->type, &die) ? dwarf_diename(&die) : NULL;
    if (rust_is_enum(&value->type))
        return print_variant(printer, value);
    if (name && is_slice(value, name))
        return print_slice(printer, value, name);
    type_each_member(&value->type, look_at_member, &shape);
    bool is_tuple = !name || *name == '(';
    if (shape.members == 0) {
        put_name(printer, &value->type);
        return 0;
    }
    if (!is_tuple) {
        put_name(printer, &value->type);
        printer_put(printer, " ");
    }
    return print_fields(printer, value, is_tuple || shape.numbered ? "(" : "{",
        is_tuple || shape.numbered ? ")" : "}");
}
