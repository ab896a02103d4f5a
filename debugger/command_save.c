/* save: the session, or its breakpoints alone, as commands that `source` executes. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Breakpoints ---- */

static void write_place(const struct point *point, FILE *file)
{
    static const char *const names[] = {[POINT_BREAK] = "break",
        [POINT_WATCH] = "watch",
        [POINT_RWATCH] = "rwatch",
        [POINT_AWATCH] = "awatch",
        [POINT_EVENT] = "catch",
        [POINT_EXCEPTION] = "catch",
        [POINT_MODE] = "catch",
        [POINT_DISK] = "watch"};
    if (point->kind == POINT_CONSOLE)
        fprintf(file, "watch console:\"%s\"", point->text);
    else if (strcmp(point->text, "here") == 0)
        fprintf(file, "%s *0x%" PRIx64, point->temporary ? "tbreak" : "break", point->addresses[0]);
    else
        fprintf(file, "%s %s", point->temporary ? "tbreak" : names[point->kind], point->text);
    if (point->thread)
        fprintf(file, " thread %u", point->thread);
    fputc('\n', file);
}

/* Their numbers are new ones when they are read: $bpnum is the last one's. */
static void write_point(const struct point *point, FILE *file)
{
    write_place(point, file);
    if (point->condition)
        fprintf(file, "  condition $bpnum %s\n", point->condition);
    if (point->ignore)
        fprintf(file, "  ignore $bpnum %" PRIu64 "\n", point->ignore);
    if (point->script.size) {
        fprintf(file, "  commands\n");
        for (size_t at = 0; at < point->script.size;) {
            const char *line = (const char *)point->script.data + at;
            fprintf(file, "    %s\n", line);
            at += strlen(line) + 1;
        }
        fprintf(file, "  end\n");
    }
    if (!point->enabled)
        fprintf(file, "disable $bpnum\n");
}

/* ---- The rest ---- */

/* What was added by hand; what follows the guest is found again. */
static void write_symbol_files(const struct debugger *debugger, FILE *file)
{
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        const struct module *module = debugger->symbols.modules[i];
        if (module->kind == MODULE_KERNEL)
            fprintf(file, "add-symbol-file %s\n", module->name);
        else if (module->kind == MODULE_PROCESS)
            fprintf(file, "add-symbol-file %s -process %s\n", module->name, module->owner);
        else if (module->kind == MODULE_FIXED && i > 0)
            fprintf(file, "add-symbol-file %s -o 0x%" PRIx64 "\n", module->name, module->bias);
    }
    for (unsigned i = 0; i < debugger->follow.directory_count; i++)
        fprintf(file, "modules %s\n", debugger->follow.directories[i]);
}

static void write_session(const struct debugger *debugger, FILE *file)
{
    struct position at = timeline_position(debugger->timeline);
    fprintf(file, "seek %" PRIu64 ".%" PRIu64 "\n", at.event, at.insn);
    if (debugger->directory)
        fprintf(file, "directory %s\n", debugger->directory);
    write_symbol_files(debugger, file);
    for (unsigned i = 0; i < debugger->display_count; i++)
        fprintf(file, "display%s%s\n", *debugger->displays[i].text == '/' ? "" : " ",
            debugger->displays[i].text);
    for (unsigned i = 0; i < debugger->bookmark_count; i++)
        fprintf(file, "bookmark %s %" PRIu64 ".%" PRIu64 "\n", debugger->bookmarks[i].name,
            debugger->bookmarks[i].position.event, debugger->bookmarks[i].position.insn);
}

COMMAND(save)
{
    char word[32];
    const char *path = arguments;
    next_word(&path, word, sizeof word);
    const bool points_only = strcmp(word, "breakpoints") == 0 && *path;
    if (!points_only)
        path = arguments;
    if (!*path)
        return error_set(error, "save: give a file to write");
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set_errno(error, "%s", path);
    if (!points_only)
        write_session(debugger, file);
    for (unsigned i = 0; i < debugger->point_count; i++)
        write_point(&debugger->points[i], file);
    const bool incomplete = ferror(file) != 0;
    if (fclose(file) != 0)
        return error_set_errno(error, "%s", path);
    if (incomplete)
        return error_set(error, "%s: not all of it could be written", path);
    print(debugger, "Saved; 'source %s' brings it back.\n", path);
    return 0;
}

const struct command save_commands[] = {
    {"The session", "save", "", command_save, "[breakpoints] FILE",
        "Writes position, symbol files, displays, bookmarks and breakpoints as commands for "
        "source; "
        "with the word breakpoints these alone.",
        "save session.hs", COMPLETE_FILE, false},
    {0},
};
