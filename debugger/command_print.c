/* Looking at data: print, ptype, x, display. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "/3xw" at *text: count, format and size letters; each stays as it was when it is not given. */
static int parse_format(
    const char **text, uint64_t *count, char *format, char *size, struct error *error)
{
    const char *at = *text;
    if (*at != '/')
        return 0;
    at++;
    if (isdigit((unsigned char)*at)) {
        char *end;
        *count = strtoull(at, &end, 10);
        at = end;
    }
    for (; *at && !isspace((unsigned char)*at); at++) {
        if (strchr("bhwg", *at) && size)
            *size = *at;
        else if (strchr("xduotcafsiz", *at) || (*at == 'r' && !size))
            *format = *at;
        else
            return error_set(
                error, "'%c' is not a format: x d u o t c a f s i, or a size b h w g", *at);
    }
    *text = skip_spaces(at);
    return 0;
}

COMMAND(print)
{
    uint64_t count = 1;
    char format = 0;
    struct value value;
    struct buffer text = {0};
    if (parse_format(&arguments, &count, &format, NULL, error) < 0)
        return -1;
    if (!*arguments)
        arguments = "$";
    if (session_evaluate(debugger, arguments, &value, error) < 0)
        return -1;
    if (session_format(debugger, &value, format, &text, error) < 0) {
        buffer_free(&text);
        return -1;
    }
    print(debugger, "$%u = ", session_remember(debugger, &value));
    print_text(debugger, &text);
    print(debugger, "\n");
    buffer_free(&text);
    return 0;
}

COMMAND(assert)
{
    uint64_t bits;
    struct value value;
    if (!*arguments)
        return error_set(error, "assert: give an expression");
    if (session_evaluate(debugger, arguments, &value, error) < 0 ||
        value_scalar(&debugger->view, &value, &bits, error) < 0)
        return -1;
    return bits ? 0 : error_set(error, "assertion failed: %s", arguments);
}

COMMAND(ptype)
{
    struct type type;
    struct value value;
    struct buffer text = {0};
    const char *at = arguments;
    if (!*arguments)
        return error_set(error, "ptype: give a type or an expression");
    if (session_look(debugger, error) < 0)
        return -1;
    if (!type_parse(&debugger->symbols, &at, &type) || *at) {
        if (session_evaluate(debugger, arguments, &value, error) < 0)
            return -1;
        type = value.type;
    }
    type_define(&type, &text);
    print(debugger, "type = ");
    print_text(debugger, &text);
    print(debugger, "\n");
    buffer_free(&text);
    return 0;
}

/* ---- x ---- */

static unsigned unit_size(char size)
{
    return size == 'b' ? 1 : size == 'h' ? 2 : size == 'g' ? 8 : 4;
}

static int unmapped(uint64_t address, struct error *error)
{
    return error_set(error, "cannot read memory at 0x%" PRIx64 ": not mapped", address);
}

static int examine_instructions(
    struct debugger *debugger, uint64_t *address, uint64_t count, struct error *error)
{
    uint64_t pc = view_pc(&debugger->view);
    for (uint64_t i = 0; i < count; i++) {
        struct instruction instruction;
        uint8_t byte;
        if (!view_read(&debugger->view, *address, &byte, 1))
            return unmapped(*address, error);
        bool good = disassemble(
            &debugger->view, &debugger->symbols, debugger->syntax, *address, &instruction);
        print(debugger, "%s ", *address == pc ? "=>" : "  ");
        print_address(debugger, *address);
        print(debugger, ":\t%s\n", good ? instruction.text : "(bad)");
        debugger->lost |= instruction.cut;
        *address += good ? instruction.size : 1;
    }
    return 0;
}

static int examine_strings(
    struct debugger *debugger, uint64_t *address, uint64_t count, struct error *error)
{
    for (uint64_t i = 0; i < count; i++) {
        char bytes[256];
        struct buffer text = {0};
        if (!view_read_string(&debugger->view, *address, bytes, sizeof bytes))
            return unmapped(*address, error);
        value_quote(bytes, strlen(bytes), &text);
        print_address(debugger, *address);
        print(debugger, ":\t");
        print_text(debugger, &text);
        print(debugger, "\n");
        buffer_free(&text);
        *address += strlen(bytes) + 1;
    }
    return 0;
}

static int examine_numbers(struct debugger *debugger, uint64_t *address, uint64_t count,
    char format, unsigned size, struct error *error)
{
    unsigned per_line = format == 'a' || size == 8 ? 2 : size == 4 ? 4 : 8;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number;
        struct buffer text = {0};
        if (!view_read_number(&debugger->view, *address, size, &number)) {
            print(debugger, "\n");
            return unmapped(*address, error);
        }
        if (i % per_line == 0) {
            print(debugger, "%s", i ? "\n" : "");
            print_address(debugger, *address);
            print(debugger, ":");
        }
        value_format_number(&debugger->symbols, number, size, format == 'x' ? 'z' : format, &text);
        print(debugger, "\t");
        print_text(debugger, &text);
        buffer_free(&text);
        *address += size;
    }
    print(debugger, "\n");
    return 0;
}

static int examine(struct debugger *debugger, uint64_t count, char format, char size,
    uint64_t *address, struct error *error)
{
    if (count == 0 || count > 65536)
        return error_set(error, "x: a count from 1 to 65536");
    if (format == 'i')
        return examine_instructions(debugger, address, count, error);
    if (format == 's')
        return examine_strings(debugger, address, count, error);
    unsigned bytes = format == 'a' ? 8 : format == 'c' ? 1 : unit_size(size);
    return examine_numbers(debugger, address, count, format, bytes, error);
}

COMMAND(x)
{
    uint64_t count = 1;
    if (parse_format(&arguments, &count, &debugger->x_format, &debugger->x_size, error) < 0 ||
        session_look(debugger, error) < 0)
        return -1;
    if (*arguments && session_number(debugger, arguments, &debugger->next_address, error) < 0)
        return -1;
    return examine(
        debugger, count, debugger->x_format, debugger->x_size, &debugger->next_address, error);
}

/* ---- display ---- */

static int show(struct debugger *debugger, const struct display *display, struct error *error)
{
    const char *at = display->text;
    uint64_t count = 1, address;
    char format = 0, size = 'w';
    struct value value;
    struct buffer text = {0};
    if (parse_format(&at, &count, &format, &size, error) < 0)
        return -1;
    if (format == 'i' || format == 's') {
        print(debugger, "%u: x%s\n", display->number, display->text);
        return session_number(debugger, at, &address, error) < 0
                   ? -1
                   : examine(debugger, count, format, size, &address, error);
    }
    int status = session_evaluate(debugger, at, &value, error);
    if (status == 0)
        status = session_format(debugger, &value, format, &text, error);
    if (status == 0) {
        print(debugger, "%u: %s = ", display->number, at);
        print_text(debugger, &text);
        print(debugger, "\n");
    }
    buffer_free(&text);
    return status;
}

int display_all(struct debugger *debugger, struct error *error)
{
    (void)error;
    for (unsigned i = 0; i < debugger->display_count; i++) {
        struct error why = {""};
        if (show(debugger, &debugger->displays[i], &why) < 0)
            print(debugger, "%u: %s: <%s>\n", debugger->displays[i].number,
                debugger->displays[i].text, why.text);
    }
    return 0;
}

COMMAND(display)
{
    if (!*arguments)
        return display_all(debugger, error);
    if (debugger->display_count == MAX_DISPLAYS)
        return error_set(error, "at most %d displays", MAX_DISPLAYS);
    struct display *display = &debugger->displays[debugger->display_count];
    *display = (struct display){.number = debugger->next_display, .text = strdup(arguments)};
    if (!display->text)
        return error_set(error, "out of memory");
    if (show(debugger, display, error) < 0) {
        free(display->text);
        return -1;
    }
    debugger->next_display++;
    debugger->display_count++;
    return 0;
}

int display_remove(struct debugger *debugger, const char *which, struct error *error)
{
    uint64_t number = 0;
    unsigned kept = 0, before = debugger->display_count;
    if (*which && session_number(debugger, which, &number, error) < 0)
        return -1;
    for (unsigned i = 0; i < before; i++) {
        if (*which && debugger->displays[i].number != number)
            debugger->displays[kept++] = debugger->displays[i];
        else
            free(debugger->displays[i].text);
    }
    debugger->display_count = kept;
    if (*which && kept == before)
        return error_set(error, "no display number %" PRIu64, number);
    return 0;
}

COMMAND(undisplay)
{
    return display_remove(debugger, arguments, error);
}

const struct command print_commands[] = {
    {"Looking", "print", "p inspect", command_print, "[/FORMAT] [EXPRESSION]",
        "Prints a value: C expressions over registers ($rax), variables, casts, members, elements, "
        "and "
        "'@' for arrays. Formats x d u t o c a s f; r: not as scripts show it.",
        "print/x *free_list.head", COMPLETE_SYMBOL, false},
    {"Looking", "assert", "", command_assert, "EXPRESSION",
        "Fails when the expression is 0 here: with --batch the exit status is then 1.",
        "assert $rsp != 0", COMPLETE_SYMBOL, false},
    {"Looking", "x", "", command_x, "[/COUNT FORMAT SIZE] [ADDRESS]",
        "Examines memory: formats x d u t o c a s i, sizes b h w g.", "x/8gx $rsp", COMPLETE_SYMBOL,
        true},
    {"Looking", "ptype", "whatis", command_ptype, "TYPE|EXPRESSION",
        "Prints a type, with members and offsets.", "ptype struct node", COMPLETE_SYMBOL, false},
    {"Looking", "display", "disp", command_display, "[/FORMAT] [EXPRESSION]",
        "Prints the expression at every stop; with /i disassembles. Without arguments displays "
        "now.",
        "display/i $pc", COMPLETE_SYMBOL, false},
    {"Looking", "undisplay", "", command_undisplay, "[NUMBER]", "Stops displaying.", "undisplay 1",
        COMPLETE_NONE, false},
    {0},
};
