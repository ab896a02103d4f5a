/* Faults of host links on purpose. */
#include "vmm/host/net/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

bool net_fault_is(const char *text)
{
    return strncmp(text, "net", 3) == 0;
}

int net_fault_parse(const char *text, struct net_fault *fault, struct error *error)
{
    char action[8];
    int end = 0;
    *fault = (struct net_fault){0};
    bool good =
        sscanf(text, "net%3u:link%3u:%7[a-z]%n", &fault->net, &fault->link, action, &end) == 3;
    fault->up = good && strcmp(action, "up") == 0;
    if (!good || (!fault->up && strcmp(action, "down") != 0) ||
        (text[end] && strncmp(text + end, "@t=", 3) != 0))
        return error_set(error,
            "fault '%s' is not understood: write e.g. net0:link1:down@t=2.5s or net0:link1:up@t=4s",
            text);
    if (text[end] && parse_time(text + end + 3, &fault->time, error) < 0) {
        error_prefix(error, "fault '%s'", text);
        return -1;
    }
    return 0;
}

void net_fault_print(const struct net_fault *fault, struct buffer *out)
{
    buffer_printf(out, "net%u:link%u:%s", fault->net, fault->link, fault->up ? "up" : "down");
    if (fault->time)
        buffer_printf(out, "@t=%" PRIu64 "ns", fault->time);
}
