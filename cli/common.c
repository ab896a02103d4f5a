/* What the subcommands share: messages, exit statuses, confinement, names of folders. */
#include "cli/cli.h"

#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/visible.h"
#include "replay/replay.h"
#include "vmm/host/confine.h"

void cli_say(const char *format, ...)
{
    struct error shown;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shown.text, sizeof shown.text, format, arguments);
    va_end(arguments);
    cli_fail(STATUS_OK, &shown);
}

int cli_fail(int status, const struct error *error)
{
    struct error shown = *error;
    text_make_visible(shown.text, sizeof shown.text);
    fprintf(stderr, "hindsight: %s\n", shown.text);
    return status;
}

static bool needs_another_build(const char *path)
{
    struct trace_reader *reader;
    if (trace_reader_open(&reader, path, NULL) < 0)
        return false;
    bool other = !replay_follows(reader);
    trace_reader_close(reader);
    return other;
}

/* Is a boot file of the trace not in the store, or not what its name says? */
static bool lacks_boot_files(const char *path, const char *folder)
{
    struct trace_reader *reader;
    struct trace_info info;
    struct trace_blob blob;
    if (trace_reader_open(&reader, path, NULL) < 0)
        return false;
    trace_reader_info(reader, &info);
    struct trace_store *store = folder ? trace_store_open(folder, false, NULL) : NULL;
    bool lacks = false;
    for (size_t i = 0; info.stored && trace_reader_blob_at(reader, i, &blob); i++)
        lacks = lacks || !store || !trace_store_has(store, blob.hash, blob.size);
    trace_store_close(store);
    trace_reader_close(reader);
    return lacks;
}

int cli_fail_open(
    const char *path, const char *store, bool any_version, bool damaged, const struct error *error)
{
    if (damaged)
        return cli_fail(STATUS_DAMAGED, error);
    if (lacks_boot_files(path, store))
        return cli_fail(STATUS_MISSING, error);
    bool refused = !any_version && needs_another_build(path);
    return cli_fail(refused ? STATUS_VERSION : STATUS_ERROR, error);
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "hindsight %s: ", command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (see 'hindsight %s --help')\n", command);
    va_end(arguments);
    return STATUS_USAGE;
}

int cli_help(const char *text)
{
    fputs(text, stdout);
    return STATUS_OK;
}

bool cli_wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

bool cli_print(const struct buffer *text)
{
    if (text->failed) {
        fprintf(stderr, "hindsight: out of memory\n");
        return false;
    }
    struct buffer shown = {0};
    buffer_put_visible(&shown, text->data, text->size);
    bool printed = cli_print_shown(&shown);
    buffer_free(&shown);
    return printed;
}

bool cli_print_shown(const struct buffer *text)
{
    if (text->failed) {
        fprintf(stderr, "hindsight: out of memory\n");
        return false;
    }
    if (text->size)
        fwrite(text->data, 1, text->size, stdout);
    if (fflush(stdout) == 0)
        return true;
    perror("hindsight: standard output");
    return false;
}

const char *cli_store_path(const char *given, char *room)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length;
    if (given)
        return given;
    if (data && *data == '/')
        length = snprintf(room, PATH_MAX, "%s/hindsight", data);
    else if (home && *home == '/')
        length = snprintf(room, PATH_MAX, "%s/.local/share/hindsight", home);
    else
        return NULL;
    return length < PATH_MAX ? room : NULL;
}

void cli_confine(const struct confine *confine)
{
    struct error error;
    if (confine_process(confine, &error) < 0)
        fprintf(stderr, "hindsight: not confined: %s\n", error.text);
}

char *cli_folder_of(const char *path, char *folder)
{
    char *real = realpath(path, NULL);
    const char *name = real ? real : path;
    bool fits = strlen(name) < PATH_MAX;
    if (fits)
        strcpy(folder, name);
    free(real);
    return fits ? dirname(folder) : NULL;
}

void cli_confine_to(const char *trace, const char *output)
{
    char folder[PATH_MAX];
    struct confine confine = {.readable = {trace}};
    if (output && (confine.writable[0] = cli_folder_of(output, folder)))
        confine.writable_count = 1;
    cli_confine(&confine);
}
