/* Notes about networks in the trace's checks: every frame sent and received, and what became of the
 * links. Their kinds follow those of disks (vmm/storage/disk.h). */
#ifndef VMM_NET_NOTE_H
#define VMM_NET_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum net_note_kind {
    NOTE_NET_SENT = 16,
    NOTE_NET_RECEIVED = 17,
    NOTE_NET_LINKS = 18, /* which links live changed */
};

enum { NOTE_NO_LINK = 0xff };

struct note_net_frame {
    unsigned net;
    unsigned link;   /* NOTE_NO_LINK: sent while no link lived */
    bool dropped;    /* received: the guest had no room for it */
    uint32_t size;   /* bytes of the frame */
    uint64_t digest; /* XXH3-64 of the frame */
};

struct note_net_links {
    unsigned net, links;
    uint8_t live;  /* a bit for each link */
    uint8_t down;  /* by a fault on purpose */
    uint64_t time; /* virtual ns, of the last time the machine looked at the clock */
};

void note_net_frame_encode(const struct note_net_frame *note, struct buffer *out);
void note_net_links_encode(const struct note_net_links *note, struct buffer *out);
/* False when the bytes are not such a note. */
bool note_net_frame_decode(struct note_net_frame *note, const uint8_t *data, size_t size);
bool note_net_links_decode(struct note_net_links *note, const uint8_t *data, size_t size);

/* One line of text, or one JSON object and a newline; nothing for other kinds of notes. */
void net_note_print_text(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out);
void net_note_print_json(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out);

#endif
