/* The kernel's modules: its own list of them, their files, and the command that shows both. */
#include "debugger/follow.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "debugger/command.h"
#include "debugger/kernel.h"
#include "debugger/session.h"

enum {
    MAX_LOADED = 512,
    MAX_SECTIONS = 128,
    MAX_DEPTH = 16,
    MAX_FILES = 20000,
    STATE_LIVE = 0,
    STATE_UNFORMED = 3,
};

/* A module in the kernel's list. */
struct loaded {
    uint64_t address;  /* of its struct module */
    uint64_t sections; /* its struct module_sect_attrs */
    uint64_t state;
    char name[64];
};

/* ---- The kernel's list ---- */

static bool find_layout(struct module *kernel, struct module_layout *layout)
{
    uint64_t bits;
    if (layout->of == kernel)
        return layout->is_known;
    *layout = (struct module_layout){.of = kernel};
    layout->is_known = kernel_member(kernel, "module", "list", &layout->list, NULL) &&
                       kernel_member(kernel, "module", "name", &layout->name, NULL) &&
                       kernel_member(kernel, "module", "state", &layout->state, NULL) &&
                       kernel_member(kernel, "module", "sect_attrs", &layout->sections, NULL);
    if (!kernel_member(kernel, "module", "percpu", &layout->percpu, &bits))
        layout->percpu = UINT64_MAX;
    /* Each section: its name, and its address (in `private` from 6.14 on). */
    if (kernel_member(kernel, "module_sect_attr", "address", &layout->section_address, NULL)) {
        layout->is_known &=
            kernel_member(kernel, "module_sect_attr", "", &bits, &layout->section_size) &&
            kernel_member(
                kernel, "module_sect_attr", "battr.attr.name", &layout->section_name, NULL);
    } else {
        layout->is_known &=
            kernel_member(kernel, "bin_attribute", "private", &layout->section_address, NULL) &&
            kernel_member(kernel, "bin_attribute", "", &bits, &layout->section_size) &&
            kernel_member(kernel, "bin_attribute", "attr.name", &layout->section_name, NULL);
    }
    layout->is_known &=
        kernel_member(kernel, "module_sect_attrs", "attrs", &layout->section_list, NULL);
    if (!kernel_member(kernel, "module_sect_attrs", "nsections", &layout->section_count, NULL))
        layout->section_count = UINT64_MAX;
    return layout->is_known;
}

/* The modules in memory; how many. What is being made or taken apart has no sections yet or more.
 */
static unsigned read_list(
    struct debugger *debugger, struct module *kernel, struct loaded *list, unsigned max)
{
    const struct view *view = &debugger->view;
    struct module_layout *layout = &debugger->follow.layout;
    uint64_t head, at;
    unsigned count = 0;
    if (kernel->away || !find_layout(kernel, layout) ||
        !kernel_variable(kernel, view, "modules", &head) || !view_read_number(view, head, 8, &at))
        return 0;
    for (unsigned i = 0; at != head && i < max && count < max; i++) {
        struct loaded *loaded = &list[count];
        loaded->address = at - layout->list;
        if (!view_read_number(view, at, 8, &at))
            break;
        if (!view_read_number(view, loaded->address + layout->state, 4, &loaded->state) ||
            !view_read_number(view, loaded->address + layout->sections, 8, &loaded->sections) ||
            !view_read_string(
                view, loaded->address + layout->name, loaded->name, sizeof loaded->name))
            break;
        count += loaded->sections && loaded->state < STATE_UNFORMED;
    }
    return count;
}

static unsigned read_sections(struct debugger *debugger, const struct loaded *loaded,
    struct placed_section *sections, unsigned max)
{
    const struct view *view = &debugger->view;
    const struct module_layout *layout = &debugger->follow.layout;
    uint64_t wanted = max - 1, name;
    unsigned count = 0;
    if (layout->section_count != UINT64_MAX)
        view_read_number(view, loaded->sections + layout->section_count, 4, &wanted);
    uint64_t at = loaded->sections + layout->section_list;
    for (; count < wanted && count + 1 < max; count++, at += layout->section_size) {
        struct placed_section *section = &sections[count];
        if (!view_read_number(view, at + layout->section_name, 8, &name) || !name ||
            !view_read_string(view, name, section->name, sizeof section->name) ||
            !view_read_number(view, at + layout->section_address, 8, &section->address))
            break;
    }
    /* Each CPU has its own copy: what counts is the offset, as the kernel's own pointers have it.
     */
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(sections[i].name, ".data..percpu") == 0)
            sections[i] = sections[--count];
    }
    if (layout->percpu != UINT64_MAX &&
        view_read_number(view, loaded->address + layout->percpu, 8, &sections[count].address) &&
        sections[count].address)
        strcpy(sections[count++].name, ".data..percpu");
    return count;
}

/* ---- Files ---- */

/* "virtio-rng.ko" is the kernel's virtio_rng. */
static bool module_name(const char *file, char *name, size_t size)
{
    const char *end = strstr(file, ".ko");
    if (!end || end == file || (end[3] && end[3] != '.') || (size_t)(end - file) >= size)
        return false;
    for (const char *at = file; at < end; at++)
        *name++ = *at == '-' ? '_' : *at;
    *name = '\0';
    return true;
}

static struct module_file *find_file(const struct follow *follow, const char *name)
{
    for (size_t i = 0; i < follow->file_count; i++) {
        if (strcmp(follow->files[i].name, name) == 0)
            return &follow->files[i];
    }
    return NULL;
}

static void add_file(struct follow *follow, const char *name, const char *path)
{
    if (follow->file_count == MAX_FILES || find_file(follow, name))
        return;
    struct module_file *files =
        realloc(follow->files, (follow->file_count + 1) * sizeof *follow->files);
    if (!files)
        return;
    follow->files = files;
    struct module_file file = {.name = strdup(name), .path = strdup(path)};
    if (file.name && file.path) {
        files[follow->file_count++] = file;
        return;
    }
    free(file.name);
    free(file.path);
}

static void scan(struct follow *follow, const char *directory, unsigned depth)
{
    char path[4096], name[64];
    struct stat status;
    DIR *folder = depth < MAX_DEPTH ? opendir(directory) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= (int)sizeof path)
            continue;
        /* Links are not followed: a tree of modules has some that lead out of it. */
        if (lstat(path, &status) < 0)
            continue;
        if (S_ISDIR(status.st_mode))
            scan(follow, path, depth + 1);
        else if (S_ISREG(status.st_mode) && module_name(entry->d_name, name, sizeof name))
            add_file(follow, name, path);
    }
    if (folder)
        closedir(folder);
}

/* Where distributions keep them, by the release the guest's kernel tells. */
static void scan_usual(struct follow *follow, const struct debugger *debugger)
{
    char release[65], path[512];
    uint64_t names, offset;
    struct module *kernel = follow_kernel(debugger);
    if (!kernel || kernel->away)
        return;
    follow->is_found = true;
    const char *slash = strrchr(kernel->name, '/');
    snprintf(path, sizeof path, "%.*smodules", slash ? (int)(slash + 1 - kernel->name) : 0,
        kernel->name);
    scan(follow, path, 0);
    if (!kernel_variable(kernel, &debugger->view, "init_uts_ns", &names) ||
        !kernel_member(kernel, "uts_namespace", "name.release", &offset, NULL) ||
        !view_read_string(&debugger->view, names + offset, release, sizeof release) || !*release ||
        strchr(release, '/'))
        return;
    snprintf(path, sizeof path, "/usr/lib/debug/lib/modules/%s", release);
    scan(follow, path, 0);
    snprintf(path, sizeof path, "/lib/modules/%s", release);
    scan(follow, path, 0);
}

void modules_find_files(struct follow *follow, const struct debugger *debugger)
{
    if (!follow->files_known) {
        follow->files_known = true;
        for (unsigned i = 0; i < follow->directory_count; i++)
            scan(follow, follow->directories[i], 0);
    }
    if (!follow->is_found)
        scan_usual(follow, debugger);
}

int follow_add_directory(struct debugger *debugger, const char *directory, struct error *error)
{
    struct follow *follow = &debugger->follow;
    struct stat status;
    if (stat(directory, &status) < 0)
        return error_set_errno(error, "%s", directory);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, "%s: not a directory", directory);
    if (follow->directory_count == MAX_DIRECTORIES)
        return error_set(error, "at most %d directories of modules", MAX_DIRECTORIES);
    char *own = strdup(directory);
    if (!own)
        return error_set(error, "out of memory");
    follow->directories[follow->directory_count++] = own;
    /* What is asked for comes before what is usual. */
    for (size_t i = 0; i < follow->file_count; i++) {
        free(follow->files[i].name);
        free(follow->files[i].path);
    }
    follow->file_count = 0;
    follow->files_known = follow->is_found = false;
    for (unsigned i = debugger->symbols.module_count; i-- > 0;) {
        if (debugger->symbols.modules[i]->kind == MODULE_LOADED)
            symbols_remove(&debugger->symbols, i);
    }
    debugger_moved(debugger);
    return 0;
}

int follow_add_file(struct debugger *debugger, const char *path, struct error *error)
{
    struct follow *follow = &debugger->follow;
    char name[64];
    const char *slash = strrchr(path, '/');
    if (!module_name(slash ? slash + 1 : path, name, sizeof name))
        return error_set(error, "%s: not named as a kernel module's file, NAME.ko", path);
    struct module_file *old = find_file(follow, name);
    if (old) {
        char *copy = strdup(path);
        if (!copy)
            return error_set(error, "out of memory");
        free(old->path);
        old->path = copy;
        old->refused = false;
    } else {
        add_file(follow, name, path);
    }
    for (unsigned i = debugger->symbols.module_count; i-- > 0;) {
        const struct module *module = debugger->symbols.modules[i];
        if (module->kind == MODULE_LOADED && strcmp(module->owner, name) == 0)
            symbols_remove(&debugger->symbols, i);
    }
    debugger_moved(debugger);
    if (session_look(debugger, error) < 0)
        return -1;
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        if (module->kind != MODULE_LOADED || module->away || strcmp(module->owner, name) != 0)
            continue;
        print(debugger, "%zu symbols from %s%s, placed as the kernel's module %s\n", module->count,
            path, module->dwarf ? ", with debugging information" : "", name);
        return points_resolve(debugger, error);
    }
    const struct module_file *file = find_file(follow, name);
    if (file && file->refused)
        return error_set(error, "%s: not what runs as module %s", path, name);
    print(debugger, "No module %s is loaded at this position: %s will be used where it is.\n", name,
        path);
    return 0;
}

void follow_forget_file(struct debugger *debugger, const char *name)
{
    struct module_file *file = find_file(&debugger->follow, name);
    if (file)
        file->refused = true;
}

/* ---- Following ---- */

static struct module *find_module(const struct symbols *symbols, const struct loaded *loaded)
{
    for (unsigned i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        if (module->kind == MODULE_LOADED && module->identity == loaded->address &&
            strcmp(module->owner, loaded->name) == 0)
            return module;
    }
    return NULL;
}

/* Is the file the one that runs? By its build ID, else by its code. */
static bool is_same(const struct module *module, const struct view *view, const char **why)
{
    uint64_t address, size;
    const void *bytes;
    uint8_t there[256];
    if (module_section(module, ".note.gnu.build-id", &address, &bytes, &size) && bytes && address &&
        size <= sizeof there && view_read(view, address, there, size)) {
        *why = "its build ID is another one than that in memory";
        return memcmp(there, bytes, size) == 0;
    }
    *why = "its code is not that in memory";
    uint64_t compared, different;
    symbols_compare(module, view, &compared, &different);
    /* Not linked in the file: addresses in the code differ in any case. */
    return compared && different <= compared / 2;
}

static void load(struct debugger *debugger, const struct loaded *loaded, struct module_file *file)
{
    struct symbols *symbols = &debugger->symbols;
    struct placed_section sections[MAX_SECTIONS];
    struct error error = {""};
    const char *why = NULL;
    unsigned count = read_sections(debugger, loaded, sections, MAX_SECTIONS);
    if (symbols_add_placed(symbols, file->path, sections, count, &error) < 0) {
        why = error.text;
    } else {
        struct module *module = symbols->modules[symbols->module_count - 1];
        module->kind = MODULE_LOADED;
        module->identity = loaded->address;
        module->owner = strdup(loaded->name);
        bool same = is_same(module, &debugger->view, &why);
        if (same && module->owner)
            return;
        symbols_remove(symbols, symbols->module_count - 1);
        why = same ? "out of memory" : why;
    }
    file->refused = true;
    print(debugger, "Module %s: %s is not used: %s.\n", loaded->name, file->path, why);
}

void modules_follow(struct debugger *debugger, struct module *kernel, uint64_t *signature)
{
    struct symbols *symbols = &debugger->symbols;
    struct loaded *list = debugger->follow.loaded;
    for (unsigned i = 0; i < symbols->module_count; i++)
        symbols->modules[i]->away |= symbols->modules[i]->kind == MODULE_LOADED;
    if (!list && !(list = debugger->follow.loaded = calloc(MAX_LOADED, sizeof *list)))
        return;
    unsigned count = debugger->follow.loaded_count = read_list(debugger, kernel, list, MAX_LOADED);
    if (count)
        modules_find_files(&debugger->follow, debugger);
    for (unsigned i = 0; i < count; i++) {
        *signature = *signature * 31 + list[i].address + list[i].sections;
        struct module *module = find_module(symbols, &list[i]);
        struct module_file *file = module ? NULL : find_file(&debugger->follow, list[i].name);
        if (file && !file->refused) {
            load(debugger, &list[i], file);
            module = find_module(symbols, &list[i]);
        }
        if (module) {
            module->away = false;
            module->init_gone = list[i].state == STATE_LIVE;
        }
    }
}

/* ---- modules ---- */

static uint64_t section_address(
    const struct placed_section *sections, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(sections[i].name, name) == 0)
            return sections[i].address;
    }
    return 0;
}

/* A line for gdb, which places sections by name. */
static void print_for_gdb(struct debugger *debugger, const struct module *module,
    const struct placed_section *sections, unsigned count)
{
    print(debugger, "add-symbol-file %s 0x%" PRIx64, module->name,
        section_address(sections, count, ".text"));
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(sections[i].name, ".text") != 0 && sections[i].name[0] == '.' &&
            strncmp(sections[i].name, ".note", 5) != 0 &&
            strcmp(sections[i].name, ".symtab") != 0 && strcmp(sections[i].name, ".strtab") != 0 &&
            strcmp(sections[i].name, ".data..percpu") != 0)
            print(debugger, " -s %s 0x%" PRIx64, sections[i].name, sections[i].address);
    }
    print(debugger, "\n");
}

static void print_loaded(struct debugger *debugger, const struct loaded *loaded)
{
    static const char *const states[] = {"live", "coming", "going"};
    struct placed_section sections[MAX_SECTIONS];
    unsigned count = read_sections(debugger, loaded, sections, MAX_SECTIONS);
    const struct module *module = find_module(&debugger->symbols, loaded);
    const struct module_file *file = find_file(&debugger->follow, loaded->name);
    print(debugger, "0x%016" PRIx64 "  %-24s %-7s ", section_address(sections, count, ".text"),
        loaded->name, loaded->state < 3 ? states[loaded->state] : "?");
    if (module)
        print(debugger, "%s%s\n", module->name, module->dwarf ? "" : " (no debugging information)");
    else
        print(debugger, "%s\n", file ? "(its file is not what runs)" : "(no file)");
}

COMMAND(modules)
{
    struct placed_section sections[MAX_SECTIONS];
    bool for_gdb = strcmp(arguments, "-gdb") == 0;
    if (*arguments && !for_gdb && debugger->remote)
        return error_set(error,
            "modules DIRECTORY reads files of the host: it is not to be had over "
            "gdb's protocol");
    if (*arguments && !for_gdb && follow_add_directory(debugger, arguments, error) < 0)
        return -1;
    if (session_look(debugger, error) < 0)
        return -1;
    const struct follow *follow = &debugger->follow;
    struct module *kernel = follow_kernel(debugger);
    if (!kernel)
        return error_set(error, "the kernel's list of modules cannot be read without its symbols: "
                                "'add-symbol-file vmlinux'");
    if (kernel->away) {
        print(debugger, "The kernel is not in memory at this position; its modules will be found "
                        "when it is.\n");
        return 0;
    }
    if (for_gdb && kernel->elf)
        print(debugger,
            "# The kernel runs 0x%" PRIx64 " from where it was linked.\n"
            "add-symbol-file %s -o 0x%" PRIx64 "\n",
            kernel->bias, kernel->name, kernel->bias);
    if (!follow->layout.is_known)
        return error_set(error,
            "%s: no debugging information about modules, or a kernel that keeps "
            "no list of their sections",
            kernel->name);
    if (!for_gdb && follow->loaded_count == 0)
        print(debugger, "No modules are loaded.\n");
    else if (!for_gdb)
        print(debugger, "Code                Name                     State   Symbols\n");
    for (unsigned i = 0; i < follow->loaded_count; i++) {
        const struct loaded *loaded = &follow->loaded[i];
        const struct module *module = find_module(&debugger->symbols, loaded);
        if (!for_gdb)
            print_loaded(debugger, loaded);
        else if (module)
            print_for_gdb(debugger, module, sections,
                read_sections(debugger, loaded, sections, MAX_SECTIONS));
    }
    return 0;
}

const struct command modules_commands[] = {
    {"The session", "modules", "", command_modules, "[DIRECTORY|-gdb]",
        "Lists the kernel's modules at this position. With DIRECTORY looks for their files there "
        "and "
        "below: each is loaded where the guest has it, and comes and goes with the position. With "
        "-gdb prints the lines that tell gdb the same.",
        "modules /usr/lib/debug/lib/modules", COMPLETE_FOLDER, false},
    {0},
};
