/* What the guest had printed by each event. */
#include "replay/printed.h"

#include <string.h>

static const struct printed_byte *list_of(const struct printed *printed)
{
    return (const struct printed_byte *)(const void *)printed->bytes.data;
}

void printed_free(struct printed *printed)
{
    buffer_free(&printed->bytes);
    buffer_free(&printed->text);
}

void printed_add(struct printed *printed, uint64_t event, const uint8_t *bytes, size_t count)
{
    if (event <= printed->furthest_event)
        return;
    for (size_t i = 0; i < count; i++) {
        struct printed_byte byte;
        memset(&byte, 0, sizeof byte);
        byte.event = event;
        byte.byte = bytes[i];
        buffer_put(&printed->bytes, &byte, sizeof byte);
    }
}

/* How many bytes had been printed when `event` was over. */
static size_t count_by(const struct printed *printed, uint64_t event)
{
    const struct printed_byte *list = list_of(printed);
    size_t low = 0, high = printed->bytes.size / sizeof *list;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].event <= event)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const uint8_t *printed_text(struct printed *printed, uint64_t event, size_t *size)
{
    *size = count_by(printed, event);
    buffer_clear(&printed->text);
    for (size_t i = 0; i < *size; i++)
        buffer_put_u8(&printed->text, list_of(printed)[i].byte);
    if (printed->text.failed)
        *size = 0;
    return printed->text.data;
}

bool printed_ends_with(const struct printed *printed, uint64_t event, const char *text)
{
    const struct printed_byte *list = list_of(printed);
    size_t length = strlen(text), size = count_by(printed, event);
    if (length == 0 || size < length || list[size - 1].event != event)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (list[size - length + i].byte != (uint8_t)text[i])
            return false;
    }
    return true;
}
