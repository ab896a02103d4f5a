/* Types as their languages write them: "int (*)(char, long)", "geo::Box<int, 4>", for ptype whole.
 */
#include "debugger/type.h"

#include <dwarf.h>
#include <inttypes.h>
#include <string.h>

#include "debugger/names.h"

enum { MAX_NESTING = 32, MAX_FLAGS = 64 };

/* ---- Enumerations ---- */

struct enumerators {
    uint64_t wanted, mask;
    bool found, flags; /* all are single bits, or sets of what is no other's */
    Dwarf_Die die;     /* when found */
    uint64_t rest;     /* of `wanted`: bits that no enumerator has */
};

static bool enumerator_value(Dwarf_Die *die, uint64_t *value)
{
    Dwarf_Attribute attribute;
    Dwarf_Sword number;
    if (dwarf_tag(die) != DW_TAG_enumerator || !dwarf_attr(die, DW_AT_const_value, &attribute) ||
        dwarf_formsdata(&attribute, &number) != 0)
        return false;
    *value = (uint64_t)number;
    return true;
}

static void look_at_enumerators(Dwarf_Die *type, struct enumerators *all)
{
    Dwarf_Die child;
    uint64_t value, seen = 0;
    all->flags = true;
    all->rest = all->wanted;
    if (dwarf_child(type, &child) != 0)
        return;
    do {
        if (!enumerator_value(&child, &value))
            continue;
        value &= all->mask;
        if (!all->found && value == all->wanted) {
            all->found = true;
            all->die = child;
        }
        all->flags &= (value & (value - 1)) == 0;
        seen |= value;
        if ((value & all->wanted) == value)
            all->rest &= ~value;
    } while (dwarf_siblingof(&child, &child) == 0);
    all->flags &= seen != 0;
}

static void put_flags(Dwarf_Die *type, const struct enumerators *all, struct buffer *out)
{
    Dwarf_Die child;
    uint64_t value;
    const char *between = "";
    buffer_put_u8(out, '(');
    if (dwarf_child(type, &child) == 0) {
        do {
            if (!enumerator_value(&child, &value) || !(value &= all->mask) ||
                (value & all->wanted) != value)
                continue;
            buffer_printf(out, "%s", between);
            names_put(&child, out);
            between = " | ";
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    if (all->rest)
        buffer_printf(out, "%sunknown: 0x%" PRIx64, between, all->rest);
    buffer_put_u8(out, ')');
}

void type_put_enumerator(const struct type *type, uint64_t value, struct buffer *out)
{
    Dwarf_Die die;
    uint64_t size = type_size(type);
    struct enumerators all = {.mask = size < 8 ? (1ull << (8 * size)) - 1 : UINT64_MAX};
    all.wanted = value & all.mask;
    if (size && type_peel(type, &die))
        look_at_enumerators(&die, &all);
    if (all.found)
        names_put(&all.die, out);
    else if (all.flags && all.wanted && all.rest != all.wanted)
        put_flags(&die, &all, out);
    else
        buffer_printf(out, "%" PRId64, (int64_t)value);
}

/* ---- Declarations ---- */

static void put(struct buffer *out, const char *text)
{
    buffer_put(out, text, strlen(text));
}

static void describe_builtin(const struct type *type, struct buffer *out)
{
    static const char *const integers[] = {[1] = "char", [2] = "short", [4] = "int", [8] = "long"};
    const char *name = type->size <= 8 ? integers[type->size] : NULL;
    switch (type->builtin) {
    case TYPE_VOID:
        return put(out, "void");
    case TYPE_BOOL:
        return put(out, "_Bool");
    case TYPE_FLOAT:
        return put(out, type->size == 4 ? "float" : type->size == 8 ? "double" : "long double");
    case TYPE_FUNCTION:
        return put(out, "<function>");
    case TYPE_VECTOR:
        return put(out, "vec128");
    case TYPE_UNKNOWN:
        return put(out, "<data>");
    default:
        break;
    }
    bool is_unsigned =
        type->builtin == TYPE_UNSIGNED || (type->builtin == TYPE_CHAR && type->is_unsigned_char);
    buffer_printf(out, "%s%s", is_unsigned ? "unsigned " : "", name ? name : "int");
}

/* "struct " in C, where that is a part of the name. */
static void put_tagged(Dwarf_Die *die, const char *keyword, struct buffer *out)
{
    if (names_language(die) == LANGUAGE_C)
        put(out, keyword);
    if (dwarf_diename(die))
        names_put(die, out);
    else
        put(out, "{...}");
}

/* C declares inside out: what has a type stands between what comes before and after it. */
struct declarator {
    const struct declarator *inner;
    const char *text; /* '*', "&", "const ": before the inner one */
    Dwarf_Die *die;   /* of an array or function: after it */
};

static void put_type(
    Dwarf_Die die, const struct declarator *around, unsigned depth, struct buffer *out);

static void put_target(
    Dwarf_Die *die, const struct declarator *around, unsigned depth, struct buffer *out)
{
    struct type type = type_of(die);
    if (type.has_die)
        put_type(type.die, around, depth, out);
    else
        put_type((Dwarf_Die){0}, around, depth, out);
}

static void put_parameters(Dwarf_Die *function, unsigned depth, struct buffer *out)
{
    Dwarf_Die child;
    unsigned count = 0;
    put(out, "(");
    if (dwarf_child(function, &child) == 0) {
        do {
            int tag = dwarf_tag(&child);
            if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters)
                continue;
            put(out, count++ ? ", " : "");
            if (tag == DW_TAG_unspecified_parameters)
                put(out, "...");
            else
                put_target(&child, NULL, depth + 1, out);
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    if (count == 0 && dwarf_hasattr_integrate(function, DW_AT_prototyped))
        put(out, "void");
    put(out, ")");
}

static void put_dimension(Dwarf_Die *array, struct buffer *out)
{
    Dwarf_Die child;
    if (dwarf_child(array, &child) != 0)
        return;
    do {
        uint64_t count;
        if (dwarf_tag(&child) != DW_TAG_subrange_type)
            continue;
        if (type_subrange(&child, &count))
            buffer_printf(out, "[%" PRIu64 "]", count);
        else
            put(out, "[]");
    } while (dwarf_siblingof(&child, &child) == 0);
}

/* "(*name)[4]" is a pointer to an array, "name[4]" an array. */
static bool is_pointer(const struct declarator *at)
{
    return at && !at->die && (*at->text == '*' || *at->text == '&');
}

/* What is around, from the outermost pointer to the innermost name's place. */
static void put_declarator(const struct declarator *at, unsigned depth, struct buffer *out)
{
    if (!at)
        return;
    if (!at->die) {
        put(out, at->text);
        return put_declarator(at->inner, depth, out);
    }
    bool grouped = is_pointer(at->inner);
    put(out, grouped ? "(" : "");
    put_declarator(at->inner, depth, out);
    put(out, grouped ? ")" : "");
    if (dwarf_tag(at->die) == DW_TAG_array_type)
        put_dimension(at->die, out);
    else
        put_parameters(at->die, depth, out);
}

/* The short forms of what compilers spell out, as gdb. */
static void put_base_name(Dwarf_Die *die, struct buffer *out)
{
    static const char *const forms[][2] = {{"long int", "long"},
        {"long unsigned int", "unsigned long"}, {"long long int", "long long"},
        {"long long unsigned int", "unsigned long long"}, {"short int", "short"},
        {"short unsigned int", "unsigned short"}};
    const char *name = dwarf_diename(die);
    if (!name)
        name = "<data>";
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(name, forms[i][0]) == 0)
            name = forms[i][1];
    }
    put(out, name);
}

static void put_name_of(Dwarf_Die *die, struct buffer *out)
{
    switch (die->addr ? dwarf_tag(die) : DW_TAG_invalid) {
    case DW_TAG_invalid:
        return put(out, "void");
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
        return put_tagged(die, "struct ", out);
    case DW_TAG_union_type:
        return put_tagged(die, "union ", out);
    case DW_TAG_enumeration_type:
        return put_tagged(die, "enum ", out);
    case DW_TAG_base_type:
        return put_base_name(die, out);
    default:
        return dwarf_diename(die) ? names_put(die, out) : put(out, "<data>");
    }
}

static void put_type(
    Dwarf_Die die, const struct declarator *around, unsigned depth, struct buffer *out)
{
    struct declarator own = {.inner = around};
    int tag = die.addr ? dwarf_tag(&die) : DW_TAG_invalid;
    if (depth > MAX_NESTING)
        return put(out, "...");
    switch (tag) {
    case DW_TAG_const_type:
    case DW_TAG_volatile_type: {
        const char *word = tag == DW_TAG_const_type ? "const" : "volatile";
        struct type inner = type_of(&die);
        int target = inner.has_die ? dwarf_tag(&inner.die) : DW_TAG_invalid;
        if (target != DW_TAG_pointer_type) {
            buffer_printf(out, "%s ", word);
            return put_target(&die, around, depth + 1, out);
        }
        own.text = tag == DW_TAG_const_type ? " const" : " volatile";
        return put_target(&die, &own, depth + 1, out);
    }
    case DW_TAG_restrict_type:
    case DW_TAG_atomic_type:
        return put_target(&die, around, depth + 1, out);
    case DW_TAG_pointer_type:
        if (names_language(&die) == LANGUAGE_RUST && dwarf_diename(&die))
            break;
        own.text = "*";
        return put_target(&die, &own, depth + 1, out);
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        own.text = tag == DW_TAG_reference_type ? "&" : "&&";
        return put_target(&die, &own, depth + 1, out);
    case DW_TAG_array_type:
    case DW_TAG_subroutine_type:
    case DW_TAG_subprogram:
        own.die = &die;
        return put_target(&die, &own, depth + 1, out);
    default:
        break;
    }
    put_name_of(&die, out);
    put(out, around ? " " : "");
    put_declarator(around, depth, out);
}

void type_describe(const struct type *type, struct buffer *out)
{
    struct declarator stars[MAX_NESTING + 1];
    const struct declarator *around = NULL;
    for (unsigned i = 0; i < type->pointers && i < MAX_NESTING; i++) {
        stars[i] = (struct declarator){.inner = around, .text = "*"};
        around = &stars[i];
    }
    if (type->has_die) {
        put_type(type->die, around, 0, out);
    } else {
        describe_builtin(type, out);
        put(out, around ? " " : "");
        put_declarator(around, 0, out);
    }
    if (type->repeat)
        buffer_printf(out, " [%" PRIu64 "]", type->repeat);
}

/* ---- Definitions ---- */

/* "    int (*visit)(struct node *)": the name stands inside. */
void type_declare(const struct type *type, const char *name, struct buffer *out)
{
    const struct declarator declared = {.text = name};
    if (type->has_die && !type->pointers && !type->repeat)
        return put_type(type->die, &declared, 0, out);
    type_describe(type, out);
    buffer_put_u8(out, ' ');
    put(out, name);
}

static bool define_member(void *context, const struct member *member)
{
    struct buffer *out = context;
    if (member->is_base)
        return false;
    put(out, "    ");
    type_declare(&member->type, member->name ? member->name : "", out);
    if (member->bits)
        buffer_printf(out, " : %u", member->bits);
    buffer_printf(out, "; /* offset %" PRIu64 " */\n", member->offset);
    return false;
}

struct bases {
    struct buffer *out;
    unsigned count, access; /* `access`: where nothing is said */
};

static bool define_base(void *context, const struct member *member)
{
    struct bases *bases = context;
    if (!member->is_base)
        return false;
    put(bases->out, bases->count++ ? ", " : " : ");
    unsigned access = member->access ? member->access : bases->access;
    put(bases->out, access == DW_ACCESS_public      ? "public "
                    : access == DW_ACCESS_protected ? "protected "
                                                    : "private ");
    put(bases->out, member->is_virtual ? "virtual " : "");
    type_describe(&member->type, bases->out);
    return false;
}

/* Does a method leave its object as it is: is `this` a pointer to a constant? */
static bool is_const_method(Dwarf_Die *die)
{
    Dwarf_Die this, target;
    Dwarf_Attribute attribute;
    if (dwarf_child(die, &this) != 0 || !dwarf_hasattr(&this, DW_AT_artificial) ||
        !dwarf_attr(&this, DW_AT_type, &attribute) || !dwarf_formref_die(&attribute, &target))
        return false;
    if (dwarf_tag(&target) == DW_TAG_const_type &&
        (!dwarf_attr(&target, DW_AT_type, &attribute) || !dwarf_formref_die(&attribute, &target)))
        return false;
    return dwarf_attr(&target, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, &target) &&
           dwarf_tag(&target) == DW_TAG_const_type;
}

/* The parameters that are written down: not `this`. */
static void put_method(Dwarf_Die *die, struct buffer *out)
{
    Dwarf_Die child;
    unsigned count = 0;
    const char *name = dwarf_diename(die);
    struct type result = type_of(die);
    if (!name || dwarf_hasattr(die, DW_AT_artificial))
        return;
    put(out, dwarf_hasattr(die, DW_AT_virtuality) ? "    virtual " : "    ");
    if (result.has_die) {
        type_describe(&result, out);
        put(out, " ");
    }
    put(out, name);
    put(out, "(");
    if (dwarf_child(die, &child) == 0) {
        do {
            if (dwarf_tag(&child) != DW_TAG_formal_parameter ||
                dwarf_hasattr(&child, DW_AT_artificial))
                continue;
            struct type type = type_of(&child);
            put(out, count++ ? ", " : "");
            type_describe(&type, out);
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    put(out, is_const_method(die) ? ") const;\n" : ");\n");
}

static void define_methods(Dwarf_Die *type, struct buffer *out)
{
    Dwarf_Die child;
    if (names_language(type) != LANGUAGE_CPLUS || dwarf_child(type, &child) != 0)
        return;
    do {
        if (dwarf_tag(&child) == DW_TAG_subprogram)
            put_method(&child, out);
    } while (dwarf_siblingof(&child, &child) == 0);
}

static void define_enumeration(const struct type *type, Dwarf_Die *die, struct buffer *out)
{
    Dwarf_Die child;
    uint64_t value, next = 0;
    bool any = false;
    if (names_language(die) != LANGUAGE_C)
        put(out, dwarf_hasattr(die, DW_AT_enum_class) ? "enum class " : "enum ");
    type_describe(type, out);
    struct type base = type_of(die);
    if (names_language(die) == LANGUAGE_CPLUS && base.has_die &&
        dwarf_hasattr(die, DW_AT_enum_class)) {
        put(out, " : ");
        type_describe(&base, out);
    }
    put(out, " {");
    if (dwarf_child(die, &child) == 0) {
        do {
            if (!enumerator_value(&child, &value))
                continue;
            put(out, any ? ", " : "");
            names_put(&child, out);
            if (value != next)
                buffer_printf(out, " = %" PRId64, (int64_t)value);
            next = value + 1;
            any = true;
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    put(out, "}");
}

void type_define(const struct type *type, struct buffer *out)
{
    Dwarf_Die die;
    struct bases bases = {out, 0, DW_ACCESS_public};
    enum type_kind kind = type_kind(type);
    if ((kind != TYPE_STRUCT && kind != TYPE_ENUM) || !type_peel(type, &die)) {
        /* A typedef of anything else is told by what it stands for. */
        struct type bare = *type;
        if (type->has_die && type_peel(type, &die) && dwarf_tag(&bare.die) == DW_TAG_typedef)
            bare.die = die;
        return type_describe(&bare, out);
    }
    struct type bare = type_from_die(&die);
    if (kind == TYPE_ENUM)
        return define_enumeration(&bare, &die, out);
    if (names_language(&die) == LANGUAGE_CPLUS)
        put(out, dwarf_tag(&die) == DW_TAG_class_type       ? "class "
                 : dwarf_tag(&die) == DW_TAG_structure_type ? "struct "
                                                            : "union ");
    else if (names_language(&die) == LANGUAGE_RUST)
        put(out, "struct ");
    type_describe(&bare, out);
    if (dwarf_tag(&die) == DW_TAG_class_type)
        bases.access = DW_ACCESS_private;
    type_each_member(&bare, define_base, &bases);
    put(out, " {\n");
    type_each_member(&bare, define_member, out);
    define_methods(&die, out);
    buffer_printf(out, "} /* %" PRIu64 " bytes */", type_size(&bare));
}
