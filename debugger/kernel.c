/* Reads a Linux kernel's structures by the types of its debugging information. */
#include "debugger/kernel.h"

#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "debugger/index.h"
#include "debugger/type.h"

bool kernel_member(struct module *kernel, const char *structure, const char *path, uint64_t *offset,
    uint64_t *size)
{
    static const int tags[] = {DW_TAG_structure_type, DW_TAG_union_type, DW_TAG_typedef};
    Dwarf_Die die;
    struct member member;
    char name[64];
    if (!kernel->dwarf || !index_find_type(kernel, structure, tags, 3, &die))
        return false;
    struct type type = type_from_die(&die);
    *offset = 0;
    while (*path) {
        size_t length = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, path);
        if (!type_find_member(&type, name, &member))
            return false;
        *offset += member.offset;
        type = member.type;
        path += length + (path[length] == '.');
    }
    if (size)
        *size = type_size(&type);
    return true;
}

bool kernel_read(struct module *kernel, const struct view *view, uint64_t address,
    const char *structure, const char *path, uint64_t *value)
{
    uint64_t offset, size;
    return kernel_member(kernel, structure, path, &offset, &size) && size <= 8 &&
           view_read_number(view, address + offset, (unsigned)size, value);
}

bool kernel_variable(
    const struct module *kernel, const struct view *view, const char *name, uint64_t *address)
{
    const struct symbol *symbol = kernel->away ? NULL : module_find(kernel, name);
    if (!symbol)
        return false;
    *address = symbol->address + (symbol->is_percpu ? view_percpu_base(view) : 0);
    return true;
}
