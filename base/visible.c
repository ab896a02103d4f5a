/* Makes control characters in text that others made visible. */
#include "base/visible.h"

#include <string.h>

/* Bytes of the character at `text` that may be shown; 0 when it may not. */
static size_t shown(const uint8_t *text, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text[0];
    if (first < 0x80)
        return (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t';
    size_t length = first >= 0xf0 && first <= 0xf4   ? 4
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xc2 && first <= 0xdf ? 2
                                                     : 0;
    if (!length || length > size)
        return 0;
    uint32_t code = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    bool control = code < 0xa0 || code == 0x2028 || code == 0x2029 ||
                   (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[length] || code > 0x10ffff || control || surrogate ? 0 : length;
}

void buffer_put_visible(struct buffer *out, const void *text, size_t size)
{
    const uint8_t *bytes = text;
    for (size_t i = 0; i < size;) {
        size_t length = shown(bytes + i, size - i);
        if (length)
            buffer_put(out, bytes + i, length);
        else
            buffer_printf(out, "\\x%02x", bytes[i]);
        i += length ? length : 1;
    }
}

void text_make_visible(char *text, size_t size)
{
    struct buffer out = {0};
    size_t length = strlen(text);
    buffer_put_visible(&out, text, length);
    if (!out.failed && out.size != length && size) {
        length = out.size < size ? out.size : size - 1;
        memcpy(text, out.data, length);
        text[length] = '\0';
    } else if (out.failed) {
        for (char *at = text; *at; at++)
            if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f)
                *at = '?';
    }
    buffer_free(&out);
}
