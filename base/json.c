/* JSON text. */
#include "base/json.h"

void json_string(struct buffer *out, const char *text)
{
    buffer_put_u8(out, '"');
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\')
            buffer_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            buffer_printf(out, "\\u%04x", byte);
        else
            buffer_put_u8(out, byte);
    }
    buffer_put_u8(out, '"');
}
