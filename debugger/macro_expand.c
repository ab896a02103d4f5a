/* Expands macros in a text as C's preprocessor does. */
#include "debugger/macros.h"

#include <ctype.h>
#include <string.h>

enum { MAX_TEXT = 1 << 16, MAX_NESTING = 200, MAX_ARGUMENTS = 32, MAX_CALLS = 1 << 14 };

/* One expansion of a whole text. What the file's macros may ask for is bounded in all. */
struct expander {
    const struct macros *macros;
    unsigned calls, nesting;
    bool exhausted;
};

struct span {
    const char *at;
    size_t size;
};

/* A macro that is being expanded is not expanded in its own text. */
struct active {
    const struct macro *macro;
    const struct active *outer;
};

struct call {
    const struct macro *macro;
    bool takes_arguments, is_variadic;
    struct span parameters[MAX_ARGUMENTS], arguments[MAX_ARGUMENTS];
    unsigned parameter_count, argument_count;
    struct span body;
};

static void expand(struct expander *expander, struct span text, const struct active *active,
    struct buffer *out, struct expanded *record);

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A word, a number, a string or character in its quotes, blanks, or one other character. */
static struct span next_token(struct span *text)
{
    const char *at = text->at, *end = at + text->size;
    struct span token = {at, 1};
    if (is_word(*at) || (*at == '.' && text->size > 1 && isdigit((unsigned char)at[1]))) {
        bool number = !is_letter(*at);
        for (at++; at < end && (is_word(*at) || (number && *at == '.')); at++)
            ;
    } else if (*at == '"' || *at == '\'') {
        for (at++; at < end && *at != *token.at; at++)
            at += *at == '\\' && at + 1 < end;
        at += at < end;
    } else if (isspace((unsigned char)*at)) {
        while (at < end && isspace((unsigned char)*at))
            at++;
    } else {
        at++;
    }
    token.size = (size_t)(at - token.at);
    text->at += token.size;
    text->size -= token.size;
    return token;
}

static bool is_blank(struct span token)
{
    return token.size && isspace((unsigned char)*token.at);
}

static struct span skip_blanks(struct span text)
{
    while (is_blank(text)) {
        text.at++;
        text.size--;
    }
    return text;
}

static struct span trim(struct span text)
{
    text = skip_blanks(text);
    while (text.size && isspace((unsigned char)text.at[text.size - 1]))
        text.size--;
    return text;
}

static bool is_same(struct span token, const char *text)
{
    return token.size == strlen(text) && memcmp(token.at, text, token.size) == 0;
}

static char last_of(const struct buffer *out)
{
    return out->size ? (char)out->data[out->size - 1] : ' ';
}

static struct span whole(const struct buffer *buffer)
{
    return (struct span){buffer->size ? (const char *)buffer->data : "", buffer->size};
}

/* What was two tokens stays two. */
static void put_apart(struct buffer *out, struct span text)
{
    char last = last_of(out);
    if (text.size &&
        ((is_word(last) && is_word(*text.at)) || (last == *text.at && strchr("+-&|<>=:", last))))
        buffer_put_u8(out, ' ');
    buffer_put(out, text.at, text.size);
}

/* ---- Calls ---- */

static void read_parameters(struct call *call, struct span *text)
{
    struct span token = {text->at, 0};
    while (text->size && !is_same(token, ")")) {
        token = next_token(text);
        if (is_letter(*token.at) && call->parameter_count < MAX_ARGUMENTS) {
            call->parameters[call->parameter_count++] = token;
        } else if (is_same(token, ".") && !call->is_variadic) {
            /* "args..." names what "..." alone calls __VA_ARGS__. */
            static const char name[] = "__VA_ARGS__";
            if (!is_word(token.at[-1]) && call->parameter_count < MAX_ARGUMENTS)
                call->parameters[call->parameter_count++] = (struct span){name, sizeof name - 1};
            call->is_variadic = true;
        }
    }
}

static void read_macro(struct call *call, const struct macro *macro)
{
    struct span rest = {macro->text + macro->length, strlen(macro->text + macro->length)};
    *call = (struct call){.macro = macro, .takes_arguments = rest.size && *rest.at == '('};
    if (call->takes_arguments)
        read_parameters(call, &rest);
    call->body = trim(rest);
}

/* "(a, (b, c))" at the beginning of *text; false when there is no such list. */
static bool read_arguments(struct call *call, struct span *text)
{
    struct span rest = skip_blanks(*text);
    unsigned depth = 0;
    bool last = false;
    if (!rest.size || *rest.at != '(')
        return false;
    next_token(&rest);
    struct span argument = {rest.at, 0};
    while (rest.size && !last) {
        struct span token = next_token(&rest);
        last = is_same(token, ")") && depth == 0;
        bool more = is_same(token, ",") && depth == 0 &&
                    !(call->is_variadic && call->argument_count + 1 == call->parameter_count);
        depth += is_same(token, "(");
        depth -= is_same(token, ")") && !last;
        if (!last && !more)
            continue;
        argument.size = (size_t)(token.at - argument.at);
        if (call->argument_count == MAX_ARGUMENTS)
            return false;
        call->arguments[call->argument_count++] = trim(argument);
        argument.at = rest.at;
    }
    if (!last)
        return false;
    if (call->parameter_count == 0 && call->argument_count == 1 && !call->arguments[0].size)
        call->argument_count = 0;
    bool fits = call->argument_count == call->parameter_count ||
                (call->is_variadic && call->argument_count + 1 == call->parameter_count);
    if (fits)
        *text = rest;
    return fits;
}

/* ---- Substitution ---- */

/* The argument that stands for a parameter; NULL when the token is none. */
static const struct span *find_argument(const struct call *call, struct span token)
{
    static const struct span nothing = {"", 0};
    for (unsigned i = 0; i < call->parameter_count; i++) {
        const struct span *name = &call->parameters[i];
        if (name->size == token.size && memcmp(name->at, token.at, token.size) == 0)
            return i < call->argument_count ? &call->arguments[i] : &nothing;
    }
    return NULL;
}

static void put_as_string(struct buffer *out, struct span text)
{
    buffer_put_u8(out, '"');
    while (text.size) {
        struct span token = next_token(&text);
        bool quoted = *token.at == '"' || *token.at == '\'';
        for (size_t i = 0; i < token.size; i++) {
            if (token.at[i] == '"' || (quoted && token.at[i] == '\\'))
                buffer_put_u8(out, '\\');
            buffer_put_u8(out, (uint8_t)token.at[i]);
        }
    }
    buffer_put_u8(out, '"');
}

static bool takes_paste(struct span rest)
{
    rest = skip_blanks(rest);
    return rest.size >= 2 && rest.at[0] == '#' && rest.at[1] == '#';
}

/* "##": what is on both sides becomes one token; a comma before no arguments goes, as with gcc. */
static void paste(const struct call *call, struct span *rest, struct buffer *out)
{
    *rest = skip_blanks(*rest);
    if (!rest->size)
        return;
    struct span token = next_token(rest);
    const struct span *argument = find_argument(call, token);
    while (out->size && isspace((unsigned char)last_of(out)))
        out->size--;
    if (argument && !argument->size && last_of(out) == ',' && call->is_variadic)
        out->size--;
    if (argument)
        buffer_put(out, argument->at, argument->size);
    else
        buffer_put(out, token.at, token.size);
}

static void put_argument(struct expander *expander, struct span argument,
    const struct active *active, struct buffer *out)
{
    struct buffer full = {0};
    expand(expander, argument, active, &full, NULL);
    put_apart(out, whole(&full));
    out->failed |= full.failed;
    buffer_free(&full);
}

static void substitute(struct expander *expander, const struct call *call,
    const struct active *active, struct buffer *out)
{
    struct span rest = call->body;
    bool apart = false;
    while (rest.size && !out->failed && out->size < MAX_TEXT) {
        struct span token = next_token(&rest);
        const struct span *argument = find_argument(call, token);
        if (*token.at == '#' && rest.size && *rest.at == '#') {
            next_token(&rest);
            paste(call, &rest, out);
        } else if (*token.at == '#' && call->takes_arguments) {
            rest = skip_blanks(rest);
            struct span name = rest.size ? next_token(&rest) : rest;
            if ((argument = find_argument(call, name)))
                put_as_string(out, *argument);
        } else if (argument && takes_paste(rest)) {
            put_apart(out, *argument);
        } else if (argument) {
            put_argument(expander, *argument, active, out);
        } else if (apart) {
            put_apart(out, token);
        } else {
            buffer_put(out, token.at, token.size);
        }
        apart = argument != NULL;
    }
}

/* ---- The text ---- */

static bool is_active(const struct active *active, const struct macro *macro)
{
    for (; active; active = active->outer) {
        if (active->macro == macro)
            return true;
    }
    return false;
}

/* What the debugger itself knows better than the kernel's macros of these names. */
static bool is_own(struct span token)
{
    return is_same(token, "container_of") || is_same(token, "sizeof");
}

/* The macro that a word calls, and its arguments taken off *rest. */
static bool find_call(const struct macros *macros, struct span token, char before,
    const struct active *active, struct span *rest, struct call *call)
{
    if (!is_letter(*token.at) || before == '$' || is_own(token))
        return false;
    const struct macro *macro = macros_find(macros, token.at, token.size);
    if (!macro || is_active(active, macro))
        return false;
    read_macro(call, macro);
    return !call->takes_arguments || read_arguments(call, rest);
}

/* Its text with the arguments in it, and what that expands to. */
static void put_call(struct expander *expander, const struct call *call,
    const struct active *active, struct buffer *out)
{
    const struct active inner = {call->macro, active};
    struct buffer body = {0}, full = {0};
    substitute(expander, call, active, &body);
    expand(expander, whole(&body), &inner, &full, NULL);
    put_apart(out, whole(&full));
    out->failed |= body.failed || full.failed;
    expander->exhausted |= body.size >= MAX_TEXT || full.size >= MAX_TEXT;
    buffer_free(&body);
    buffer_free(&full);
}

static void note(struct expanded *record, size_t begin, size_t end, size_t source)
{
    if (record->count < MAX_EXPANSIONS)
        record->list[record->count] = (struct expansion){begin, end, source};
    record->count++;
}

static void expand(struct expander *expander, struct span text, const struct active *active,
    struct buffer *out, struct expanded *record)
{
    const char *start = text.at;
    bool apart = false;
    expander->exhausted |= expander->nesting == MAX_NESTING;
    expander->nesting++;
    while (text.size && !out->failed && !expander->exhausted && out->size < MAX_TEXT) {
        char before = text.at > start ? text.at[-1] : ' ';
        struct span token = next_token(&text);
        struct call call;
        size_t begin = out->size;
        bool is_call = find_call(expander->macros, token, before, active, &text, &call);
        if (is_call) {
            expander->exhausted |= ++expander->calls == MAX_CALLS;
            put_call(expander, &call, active, out);
        } else if (apart) {
            put_apart(out, token);
            if (record && record->count <= MAX_EXPANSIONS)
                record->list[record->count - 1].end = out->size - token.size;
        } else {
            buffer_put(out, token.at, token.size);
        }
        apart = is_call;
        if (is_call && record)
            note(record, begin, out->size, (size_t)(text.at - start));
    }
    expander->nesting--;
}

int macros_expand(
    const struct macros *macros, const char *text, struct expanded *expanded, struct error *error)
{
    struct expander expander = {.macros = macros};
    *expanded = (struct expanded){.count = 0};
    expand(&expander, (struct span){text, strlen(text)}, NULL, &expanded->text, expanded);
    bool too_long =
        expander.exhausted || expanded->text.size >= MAX_TEXT || expanded->count > MAX_EXPANSIONS;
    buffer_put_u8(&expanded->text, 0);
    if (expanded->text.failed)
        return error_set(error, "out of memory");
    return too_long ? error_set(error, "the macros in '%.40s' expand to too much", text) : 0;
}

size_t expanded_source(const struct expanded *expanded, size_t at)
{
    size_t end = 0, source = 0;
    for (unsigned i = 0; i < expanded->count && expanded->list[i].begin < at; i++) {
        end = expanded->list[i].end;
        source = expanded->list[i].source;
    }
    return at > end ? source + (at - end) : source;
}
