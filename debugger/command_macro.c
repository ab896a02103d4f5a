/* macro expand, info macro and info macros, in gdb's words. */
#include "debugger/info_macro.h"

#include <string.h>

#include "debugger/command.h"
#include "debugger/macros.h"
#include "debugger/scopes.h"
#include "debugger/session.h"

static const struct macros *macros_here(struct debugger *debugger, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return NULL;
    const struct macros *macros = macros_at(&debugger->symbols, &debugger->frame);
    if (!macros)
        error_set(error, "no preprocessor macro information for that code: gcc -g3 writes it");
    return macros;
}

static void put(struct buffer *out, const char *text, size_t size)
{
    buffer_put(out, text, size);
}

/* "#define SQUARE(x) ((x) * (x))"; "-DDEBUG=1" of what no line of a file defines. */
static void print_definition(struct debugger *debugger, const struct macro *macro)
{
    struct buffer out = {0};
    const char *rest = macro->text + macro->length;
    const char *head = macro->line ? "#define " : "-D";
    put(&out, head, strlen(head));
    put(&out, macro->text, macro->length);
    for (; *rest == '(' || (out.size && out.data[out.size - 1] != ')' && *rest && *rest != ' ');
         rest++) {
        put(&out, rest, 1);
        if (*rest == ',')
            put(&out, " ", 1);
    }
    put(&out, macro->line ? " " : "=", 1);
    rest += *rest == ' ';
    put(&out, rest, strlen(rest));
    print_text(debugger, &out);
    print(debugger, "\n");
    debugger->lost |= out.failed;
    buffer_free(&out);
}

static void print_place(struct debugger *debugger, const struct macro *macro)
{
    const struct macro_file *file = macro->in;
    print(debugger, "Defined at %s:%d\n", file ? file->name : "<the compiler's options>",
        macro->line);
    for (; file && file->outer; file = file->outer)
        print(debugger, "  included at %s:%d\n", file->outer->name, file->line);
}

int info_macro(struct debugger *debugger, const char *arguments, struct error *error)
{
    struct source_line line;
    const struct macros *macros = macros_here(debugger, error);
    if (!*arguments)
        return error_set(error, "info macro: give a macro's name");
    if (!macros)
        return -1;
    const struct macro *macro = macros_find(macros, arguments, strlen(arguments));
    if (macro) {
        print_place(debugger, macro);
        print_definition(debugger, macro);
        return 0;
    }
    print(debugger, "The symbol `%s' has no definition as a C/C++ preprocessor macro\n", arguments);
    if (frame_line(&debugger->symbols, &debugger->frame, &line))
        print(debugger, "at %s:%d\n", line.file, line.line);
    return 0;
}

static void print_one(void *context, const struct macro *macro)
{
    print_place(context, macro);
    print_definition(context, macro);
}

int info_macros(struct debugger *debugger, const char *arguments, struct error *error)
{
    const struct macros *macros = macros_here(debugger, error);
    (void)arguments;
    if (!macros)
        return -1;
    macros_each(macros, print_one, debugger);
    return 0;
}

COMMAND(macro)
{
    char word[32];
    struct expanded expanded;
    if (!next_word(&arguments, word, sizeof word) || strncmp(word, "expand", strlen(word)) != 0 ||
        !*arguments)
        return error_set(error, "macro: as in 'macro expand EXPRESSION'");
    const struct macros *macros = macros_here(debugger, error);
    if (!macros)
        return -1;
    int result = macros_expand(macros, arguments, &expanded, error);
    if (result == 0) {
        expanded.text.size--;
        print(debugger, "expands to: ");
        print_text(debugger, &expanded.text);
        print(debugger, "\n");
    }
    buffer_free(&expanded.text);
    return result;
}

const struct command macro_commands[] = {
    {"Looking", "macro", "", command_macro, "expand EXPRESSION",
        "Shows an expression with its macros expanded, as they are defined where the selected "
        "frame stands. Needs what gcc -g3 writes; print and all else expand them, too.",
        "macro expand BOOT_PVH + 1", COMPLETE_SYMBOL, false},
    {0},
};
