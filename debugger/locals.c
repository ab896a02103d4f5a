/* What `info locals`, `info args` and `backtrace full` show. */
#include "debugger/locals.h"

#include <string.h>

#include "debugger/session.h"
#include "debugger/variables.h"

struct lines {
    struct debugger *debugger;
    const char *indent;
    unsigned count;
};

/* A pointer's type is told by print, but not in a list of variables: as gdb does. */
static void drop_type(const struct value *value, struct buffer *text)
{
    struct buffer type = {0};
    buffer_put_u8(&type, '(');
    type_describe(&value->type, &type);
    buffer_printf(&type, ") ");
    if (!type.failed && text->size > type.size && memcmp(text->data, type.data, type.size) == 0) {
        text->size -= type.size;
        memmove(text->data, text->data + type.size, text->size);
    }
    buffer_free(&type);
}

static void print_variable(void *context, const char *name, const struct value *value)
{
    struct lines *lines = context;
    struct debugger *debugger = lines->debugger;
    struct buffer text = {0};
    struct error error;
    lines->count++;
    print(debugger, "%s%s = ", lines->indent, name);
    if (!value) {
        print(debugger, "<optimized out>");
    } else if (session_format(debugger, value, 0, &text, &error) < 0) {
        print(debugger, "<%s>", error.text);
    } else {
        drop_type(value, &text);
        print_text(debugger, &text);
    }
    print(debugger, "\n");
    buffer_free(&text);
}

void print_locals(
    struct debugger *debugger, const struct frame *frame, bool parameters, const char *indent)
{
    struct lines lines = {debugger, indent, 0};
    variables_each(&debugger->symbols, &debugger->view, frame, parameters, print_variable, &lines);
    if (lines.count == 0)
        print(debugger, "%s%s", indent, parameters ? "No arguments.\n" : "No locals.\n");
}
