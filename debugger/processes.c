/*
 * Programs in a Linux guest: their memory maps and open files, and where symbol files of theirs
 * belong. Read from the kernel's structures at the position.
 *
 * Sources: Linux include/linux/sched.h, mm_types.h, maple_tree.h, fdtable.h, fs/mount.h.
 */
#include "debugger/processes.h"

#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/kernel.h"
#include "debugger/session.h"
#include "debugger/source.h"

enum {
    MAX_TASKS = 32768,
    MAX_MAPS = 65536,
    MAX_DEPTH = 64,
    MAX_OPEN = 4096,
    NAME_SIZE = 16, /* of task_struct.comm */
    PAGE_BYTES = 4096,
};

/* Without CONFIG_RANDOMIZE_MEMORY. */
#define DIRECT_MAP 0xffff888000000000ull

/* ---- Tasks ---- */

struct tree {
    struct debugger *debugger;
    struct module *kernel;
};

static bool get(const struct tree *tree, uint64_t address, const char *structure, const char *path,
    uint64_t *value)
{
    return kernel_read(tree->kernel, &tree->debugger->view, address, structure, path, value);
}

static bool open_tree(struct debugger *debugger, struct tree *tree)
{
    *tree = (struct tree){debugger, follow_kernel(debugger)};
    return tree->kernel && !tree->kernel->away && tree->kernel->dwarf;
}

static bool current_task(const struct tree *tree, uint64_t *task)
{
    uint64_t address;
    const struct view *view = &tree->debugger->view;
    /* Linux 6.2 moved it into pcpu_hot. */
    if (!kernel_variable(tree->kernel, view, "current_task", &address) &&
        !kernel_variable(tree->kernel, view, "pcpu_hot", &address))
        return false;
    return view_read_number(view, address, 8, task) && *task >> 63;
}

static bool describe_task(const struct tree *tree, uint64_t task, struct process *process)
{
    uint64_t offset, pid;
    *process = (struct process){.task = task};
    if (!get(tree, task, "task_struct", "tgid", &pid) ||
        !get(tree, task, "task_struct", "mm", &process->space) ||
        !kernel_member(tree->kernel, "task_struct", "comm", &offset, NULL) ||
        !view_read(&tree->debugger->view, task + offset, process->name, NAME_SIZE))
        return false;
    process->name[NAME_SIZE - 1] = '\0';
    process->pid = (uint32_t)pid;
    return true;
}

static bool is_wanted(const struct process *process, const char *selector)
{
    char *end;
    unsigned long pid = strtoul(selector, &end, 10);
    if (*selector && !*end)
        return process->pid == pid;
    return strncmp(process->name, base_name(selector), NAME_SIZE - 1) == 0;
}

bool processes_current(struct debugger *debugger, struct process *process)
{
    struct tree tree;
    uint64_t task;
    return open_tree(debugger, &tree) && current_task(&tree, &task) &&
           describe_task(&tree, task, process);
}

bool processes_find(struct debugger *debugger, const char *selector, struct process *process)
{
    struct tree tree;
    uint64_t first, at, tasks;
    if (processes_current(debugger, process) && process->space && is_wanted(process, selector))
        return true;
    if (!open_tree(debugger, &tree) ||
        !kernel_variable(tree.kernel, &debugger->view, "init_task", &first) ||
        !kernel_member(tree.kernel, "task_struct", "tasks", &tasks, NULL))
        return false;
    at = first;
    for (unsigned i = 0; i < MAX_TASKS; i++) {
        if (!view_read_number(&debugger->view, at + tasks, 8, &at))
            return false;
        at -= tasks;
        if (at == first || !describe_task(&tree, at, process))
            return false;
        if (process->space && is_wanted(process, selector))
            return true;
    }
    return false;
}

uint64_t processes_space(struct debugger *debugger)
{
    struct process process;
    return processes_current(debugger, &process) ? process.space : 0;
}

bool processes_view(struct debugger *debugger, uint64_t space, struct view *view)
{
    struct tree tree;
    uint64_t pgd, base, address;
    *view = debugger->view;
    if (!open_tree(debugger, &tree) || !get(&tree, space, "mm_struct", "pgd", &pgd))
        return false;
    if (!kernel_variable(tree.kernel, view, "page_offset_base", &address) ||
        !view_read_number(view, address, 8, &base))
        base = DIRECT_MAP;
    view->state.cr3 = pgd - base;
    return true;
}

/* ---- Names of files ---- */

/* A component in front of those there are; *start moves towards the buffer's beginning. */
static bool prepend(const struct tree *tree, uint64_t dentry, char *path, size_t *start)
{
    char name[256];
    uint64_t address;
    if (!get(tree, dentry, "dentry", "d_name.name", &address) ||
        !view_read_string(&tree->debugger->view, address, name, sizeof name))
        return false;
    size_t length = strlen(name);
    if (length + 1 > *start)
        return false;
    *start -= length;
    memcpy(path + *start, name, length);
    path[--*start] = '/';
    return true;
}

/* From a file's dentry up, across mount points. */
static void file_path(const struct tree *tree, uint64_t file, char *path, size_t size)
{
    uint64_t dentry, mount, parent, root, next, embedded;
    size_t start = size - 1;
    path[start] = '\0';
    if (get(tree, file, "file", "f_path.dentry", &dentry) &&
        get(tree, file, "file", "f_path.mnt", &mount) &&
        kernel_member(tree->kernel, "mount", "mnt", &embedded, NULL)) {
        for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
            if (!get(tree, dentry, "dentry", "d_parent", &parent) ||
                !get(tree, mount, "vfsmount", "mnt_root", &root))
                break;
            if (dentry != root && dentry != parent) {
                if (!prepend(tree, dentry, path, &start))
                    break;
                dentry = parent;
                continue;
            }
            uint64_t own = mount - embedded;
            if (!get(tree, own, "mount", "mnt_parent", &next) || next == own ||
                !get(tree, own, "mount", "mnt_mountpoint", &dentry))
                break;
            mount = next + embedded;
        }
    }
    if (path[start] == '\0' && get(tree, file, "file", "f_path.dentry", &dentry))
        prepend(tree, dentry, path, &start);
    memmove(path, path + start, size - start);
}

/* ---- Maps ---- */

struct walk {
    struct tree tree;
    bool (*visit)(void *context, const struct process_map *map);
    void *context;
    unsigned count;
};

static bool visit_area(struct walk *walk, uint64_t area)
{
    struct process_map map = {.area = area};
    const struct tree *tree = &walk->tree;
    if (walk->count++ == MAX_MAPS || !get(tree, area, "vm_area_struct", "vm_start", &map.start) ||
        !get(tree, area, "vm_area_struct", "vm_end", &map.end) ||
        !get(tree, area, "vm_area_struct", "vm_flags", &map.flags) ||
        !get(tree, area, "vm_area_struct", "vm_pgoff", &map.offset) ||
        !get(tree, area, "vm_area_struct", "vm_file", &map.file))
        return true;
    map.offset *= PAGE_BYTES;
    if (map.file)
        file_path(tree, map.file, map.path, sizeof map.path);
    return walk->visit(walk->context, &map);
}

/*
 * A node of the maple tree that holds the areas from Linux 6.1 on: 256 bytes, its kind in the
 * pointer's bits 3 to 6; the parent, then pivots, then slots.
 */
enum { NODE_BYTES = 256, KIND_LEAF = 1, KIND_RANGE = 2, KIND_ARANGE = 3 };

static bool walk_node(struct walk *walk, uint64_t pointer, uint64_t max, unsigned depth)
{
    uint64_t node[NODE_BYTES / 8];
    unsigned kind = pointer >> 3 & 15, slots = kind == KIND_ARANGE ? 10 : 16;
    if (depth > 8 || kind < KIND_LEAF || kind > KIND_ARANGE ||
        !view_read(
            &walk->tree.debugger->view, pointer & ~(uint64_t)(NODE_BYTES - 1), node, sizeof node))
        return false;
    const uint64_t *pivots = node + 1, *slot = pivots + slots - 1;
    /* How many are used: told at the end of the node where there is room for it. */
    unsigned end = slots - 1, told = kind == KIND_ARANGE ? 30 : 31;
    if (kind == KIND_ARANGE || pivots[slots - 2] == 0)
        end = node[told] & 0xff;
    else if (pivots[slots - 2] == max)
        end = slots - 2;
    for (unsigned i = 0; i <= end && i < slots; i++) {
        uint64_t limit = i + 1 < slots && i < end ? pivots[i] : max;
        bool stop = slot[i] == 0        ? false
                    : kind == KIND_LEAF ? visit_area(walk, slot[i])
                                        : walk_node(walk, slot[i], limit, depth + 1);
        if (stop)
            return true;
    }
    return false;
}

void processes_each_map(struct debugger *debugger, uint64_t space,
    bool (*visit)(void *context, const struct process_map *map), void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    uint64_t area, root;
    if (!open_tree(debugger, &walk.tree))
        return;
    /* Up to Linux 6.0, a list. */
    if (get(&walk.tree, space, "mm_struct", "mmap", &area)) {
        while (area && !visit_area(&walk, area) &&
               get(&walk.tree, area, "vm_area_struct", "vm_next", &area))
            ;
        return;
    }
    if (!get(&walk.tree, space, "mm_struct", "mm_mt.ma_root", &root) || root == 0)
        return;
    if ((root & 3) == 2)
        walk_node(&walk, root, UINT64_MAX, 0);
    else
        visit_area(&walk, root);
}

/* ---- Open files ---- */

void processes_each_file(struct debugger *debugger, uint64_t task,
    void (*visit)(void *context, unsigned number, const char *path), void *context)
{
    struct tree tree;
    uint64_t files, table, count, list, file;
    char path[512];
    if (!open_tree(debugger, &tree) || !get(&tree, task, "task_struct", "files", &files) ||
        !get(&tree, files, "files_struct", "fdt", &table) ||
        !get(&tree, table, "fdtable", "max_fds", &count) ||
        !get(&tree, table, "fdtable", "fd", &list))
        return;
    for (unsigned i = 0; i < count && i < MAX_OPEN; i++) {
        if (!view_read_number(&debugger->view, list + i * 8, 8, &file) || !file)
            continue;
        file_path(&tree, file, path, sizeof path);
        visit(context, i, path);
    }
}

/* ---- Symbol files ---- */

struct placing {
    const char *name; /* the end of the mapped file's path */
    uint64_t file;    /* or this one: the executable */
    bool by_name, found;
    struct process_map map;
};

static bool is_its_map(void *context, const struct process_map *map)
{
    struct placing *placing = context;
    bool is = placing->by_name ? map->file && strcmp(base_name(map->path), placing->name) == 0
                               : map->file && map->file == placing->file;
    if (!is || (placing->found && map->start >= placing->map.start))
        return false;
    placing->found = true;
    placing->map = *map;
    return false;
}

/* From where the segment at this offset of the file is linked to where it is mapped. */
static uint64_t bias_of(const struct module *module, const struct process_map *map)
{
    GElf_Phdr header;
    size_t count = 0;
    uint64_t first = UINT64_MAX, mask = ~(uint64_t)(PAGE_BYTES - 1);
    elf_getphdrnum(module->elf, &count);
    for (size_t i = 0; i < count && i < INT32_MAX; i++) {
        if (!gelf_getphdr(module->elf, (int)i, &header) || header.p_type != PT_LOAD)
            continue;
        if (first == UINT64_MAX)
            first = header.p_vaddr & mask;
        if ((header.p_offset & mask) == map->offset)
            return map->start - (header.p_vaddr & mask);
    }
    return map->start - (first == UINT64_MAX ? 0 : first);
}

enum fit { FITS, FITS_NOT, FIT_UNKNOWN };

/* By build ID, else by code, as far as the process's pages are in memory. */
static enum fit check(
    struct debugger *debugger, const struct module *module, uint64_t space, uint64_t bias)
{
    struct view view;
    uint64_t address, size;
    const void *bytes;
    uint8_t there[256];
    if (!processes_view(debugger, space, &view))
        return FIT_UNKNOWN;
    if (module_section(module, ".note.gnu.build-id", &address, &bytes, &size) && bytes &&
        size <= sizeof there && view_read(&view, address + bias, there, size))
        return memcmp(there, bytes, size) == 0 ? FITS : FITS_NOT;
    uint64_t compared, different;
    struct module moved = *module;
    moved.bias = bias;
    symbols_compare(&moved, &view, &compared, &different);
    return !compared ? FIT_UNKNOWN : different <= compared / 50 ? FITS : FITS_NOT;
}

static enum fit place(struct debugger *debugger, struct module *module, struct process *process)
{
    struct tree tree;
    struct placing placing = {.name = base_name(module->name), .by_name = true};
    if (!open_tree(debugger, &tree) || !module->elf ||
        !processes_find(debugger, module->owner, process))
        return FIT_UNKNOWN;
    processes_each_map(debugger, process->space, is_its_map, &placing);
    if (!placing.found && get(&tree, process->space, "mm_struct", "exe_file", &placing.file)) {
        placing.by_name = false;
        processes_each_map(debugger, process->space, is_its_map, &placing);
    }
    if (!placing.found)
        return FIT_UNKNOWN;
    uint64_t bias = bias_of(module, &placing.map);
    enum fit fit = check(debugger, module, process->space, bias);
    if (fit == FITS_NOT)
        return fit;
    if (bias != module->bias)
        symbols_move(module, bias);
    module->identity = process->space;
    return FITS;
}

void processes_follow(struct debugger *debugger, uint64_t *signature)
{
    struct process process;
    uint64_t space = 0;
    bool known = false;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        struct module *module = debugger->symbols.modules[i];
        if (module->kind != MODULE_PROCESS)
            continue;
        if (!known)
            space = processes_space(debugger);
        known = true;
        module->identity = 0;
        place(debugger, module, &process);
        module->away = !module->identity || module->identity != space;
        *signature = (*signature * 31 + module->identity) * 31 + module->bias;
    }
}

int processes_check(struct debugger *debugger, const struct module *module, struct error *error)
{
    struct process process = {0};
    struct module copy = *module;
    if (!follow_kernel(debugger))
        return error_set(error, "the kernel's processes cannot be read without its symbols: "
                                "'add-symbol-file vmlinux' first");
    if (module->identity)
        return 0;
    if (place(debugger, &copy, &process) == FITS_NOT)
        return error_set(error, "%s: not what process %u, %s, runs: another build", module->name,
            process.pid, process.name);
    print(debugger, "No process %s runs this file here: it will be found where one does.\n",
        module->owner);
    return 0;
}
