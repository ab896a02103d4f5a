/* Signs of failure in what a guest prints. */
#include "cli/console_watch.h"

#include <string.h>

/* Each begins a line, after the time stamp and the caller that printk may put there. */
static const char linux_reports[] =
    "^(\\[[^]]*\\] ?)*("
    "BUG: |kernel BUG at |Oops: |general protection fault|invalid opcode: |divide error: |"
    "double fault: |stack segment: |KASAN: |UBSAN: |watchdog: BUG: |"
    "(rcu: )?INFO: rcu_[a-z_]+ (self-)?detected|INFO: task .* blocked for more than )";

int console_watch_add(struct console_watch *watch, const char *regex, struct error *error)
{
    if (watch->count == CONSOLE_WATCH_MAX)
        return error_set(error, "more than %d patterns", CONSOLE_WATCH_MAX);
    regex_t *pattern = &watch->pattern[watch->count];
    int result = regcomp(pattern, regex, REG_EXTENDED | REG_NOSUB);
    if (result != 0) {
        char text[128];
        regerror(result, pattern, text, sizeof text);
        return error_set(error, "'%s': %s", regex, text);
    }
    watch->count++;
    return 0;
}

int console_watch_init(struct console_watch *watch, struct error *error)
{
    watch->count = 0;
    watch->length = 0;
    watch->found[0] = '\0';
    return console_watch_add(watch, linux_reports, error);
}

void console_watch_clear(struct console_watch *watch)
{
    while (watch->count)
        regfree(&watch->pattern[--watch->count]);
}

static bool end_line(struct console_watch *watch)
{
    watch->line[watch->length] = '\0';
    bool empty = watch->length == 0;
    watch->length = 0;
    if (empty || watch->found[0])
        return false;
    for (unsigned i = 0; i < watch->count; i++) {
        if (regexec(&watch->pattern[i], watch->line, 0, NULL, 0) == 0) {
            strcpy(watch->found, watch->line);
            return true;
        }
    }
    return false;
}

bool console_watch_put(struct console_watch *watch, const uint8_t *bytes, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\r' || bytes[i] == '\n' || bytes[i] == '\0')
            found |= end_line(watch);
        else if (watch->length < CONSOLE_LINE_MAX)
            watch->line[watch->length++] = (char)bytes[i];
    }
    return found;
}
