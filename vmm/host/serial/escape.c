/* Ctrl-A commands of the stdio back end, as QEMU users know them. */
#include "vmm/host/serial/internal.h"

enum { CTRL_A = 1 };

enum escape_command escape_filter(
    struct escape *escape, uint8_t *data, size_t size, size_t *kept, size_t *consumed)
{
    enum escape_command command = ESCAPE_NONE;
    size_t out = 0, in = 0;
    while (in < size && command == ESCAPE_NONE) {
        uint8_t byte = data[in++];
        if (!escape->pending) {
            if (byte == CTRL_A)
                escape->pending = true;
            else
                data[out++] = byte;
            continue;
        }
        escape->pending = false;
        switch (byte) {
        case CTRL_A:
        case 'a':
            data[out++] = CTRL_A;
            break;
        case 'x':
            command = ESCAPE_QUIT;
            break;
        case 'h':
        case '?':
            command = ESCAPE_HELP;
            break;
        default: /* not a command: swallowed */
            break;
        }
    }
    *kept = out;
    *consumed = in;
    return command;
}
