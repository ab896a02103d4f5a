/* What the guest had printed on its serial port by each event. Internal to replay/. */
#ifndef REPLAY_PRINTED_H
#define REPLAY_PRINTED_H

#include "base/buffer.h"

struct printed {
    struct buffer bytes;     /* of struct printed_byte, up to the furthest event reached */
    struct buffer text;      /* what printed_text() returned last */
    uint64_t furthest_event; /* the bytes of further ones are not known yet */
};

struct printed_byte {
    uint64_t event;
    uint8_t byte;
};

void printed_free(struct printed *printed);
/* During event `event`; those not beyond the furthest are known already. */
void printed_add(struct printed *printed, uint64_t event, const uint8_t *bytes, size_t count);
/* All of it when `event` was over; valid until the next call. */
const uint8_t *printed_text(struct printed *printed, uint64_t event, size_t *size);
/* Was the last byte of `text` printed by this very event? */
bool printed_ends_with(const struct printed *printed, uint64_t event, const char *text);

#endif
