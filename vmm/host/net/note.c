/* Notes about networks in the trace. */
#include "vmm/host/net/note.h"

#include <inttypes.h>

#include "vmm/host/net/bond.h"

void note_net_frame_encode(const struct note_net_frame *note, struct buffer *out)
{
    buffer_put_varint(out, note->net);
    buffer_put_u8(out, (uint8_t)note->link);
    buffer_put_varint(out, (uint64_t)note->size << 1 | note->dropped);
    buffer_put_u64(out, note->digest);
}

bool note_net_frame_decode(struct note_net_frame *note, const uint8_t *data, size_t size)
{
    struct reader in;
    reader_init(&in, data, size);
    note->net = (unsigned)reader_get_varint(&in);
    note->link = reader_get_u8(&in);
    uint64_t packed = reader_get_varint(&in);
    note->size = (uint32_t)(packed >> 1);
    note->dropped = packed & 1;
    note->digest = reader_get_u64(&in);
    return !in.failed && reader_left(&in) == 0;
}

void note_net_links_encode(const struct note_net_links *note, struct buffer *out)
{
    buffer_put_varint(out, note->net);
    buffer_put_u8(out, (uint8_t)note->links);
    buffer_put_u8(out, note->live);
    buffer_put_u8(out, note->down);
    buffer_put_varint(out, note->time);
}

bool note_net_links_decode(struct note_net_links *note, const uint8_t *data, size_t size)
{
    struct reader in;
    reader_init(&in, data, size);
    note->net = (unsigned)reader_get_varint(&in);
    note->links = reader_get_u8(&in);
    note->live = reader_get_u8(&in);
    note->down = reader_get_u8(&in);
    note->time = reader_get_varint(&in);
    return !in.failed && reader_left(&in) == 0 && note->links <= BOND_MAX_LINKS;
}

/* ---- For people and programs ---- */

static const char *link_state(const struct note_net_links *note, unsigned link)
{
    if (note->down >> link & 1)
        return "down";
    return note->live >> link & 1 ? "live" : "dead";
}

static void frame_text(const struct note_net_frame *note, bool sent, struct buffer *out)
{
    buffer_printf(out, "net%u %s ", note->net, sent ? "sent" : "received");
    if (note->link == NOTE_NO_LINK)
        buffer_printf(out, "by no link: LOST");
    else
        buffer_printf(out, "by link%u", note->link);
    buffer_printf(out, " %u bytes xxh3 %016" PRIx64 "%s\n", note->size, note->digest,
        note->dropped ? " DROPPED" : "");
}

void net_note_print_text(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out)
{
    struct note_net_frame frame;
    struct note_net_links links;
    bool is_frame = kind == NOTE_NET_SENT || kind == NOTE_NET_RECEIVED;
    if (is_frame && note_net_frame_decode(&frame, data, size)) {
        buffer_printf(out, "%" PRIu64 " ", event);
        frame_text(&frame, kind == NOTE_NET_SENT, out);
    } else if (kind == NOTE_NET_LINKS && note_net_links_decode(&links, data, size)) {
        buffer_printf(out, "%" PRIu64 " net%u", event, links.net);
        for (unsigned i = 0; i < links.links; i++)
            buffer_printf(out, " link%u %s", i, link_state(&links, i));
        buffer_printf(out, " t=%" PRIu64 "ns\n", links.time);
    }
}

void net_note_print_json(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out)
{
    struct note_net_frame frame;
    struct note_net_links links;
    bool is_frame = kind == NOTE_NET_SENT || kind == NOTE_NET_RECEIVED;
    if (is_frame && note_net_frame_decode(&frame, data, size)) {
        buffer_printf(out,
            "{\"event\": %" PRIu64 ", \"note\": \"%s\", \"net\": %u, \"link\": ", event,
            kind == NOTE_NET_SENT ? "sent" : "received", frame.net);
        if (frame.link == NOTE_NO_LINK)
            buffer_printf(out, "null");
        else
            buffer_printf(out, "%u", frame.link);
        buffer_printf(out, ", \"size\": %u, \"dropped\": %s, \"xxh3\": \"%016" PRIx64 "\"}\n",
            frame.size, frame.dropped ? "true" : "false", frame.digest);
    } else if (kind == NOTE_NET_LINKS && note_net_links_decode(&links, data, size)) {
        buffer_printf(out,
            "{\"event\": %" PRIu64 ", \"note\": \"links\", \"net\": %u, \"links\": [", event,
            links.net);
        for (unsigned i = 0; i < links.links; i++)
            buffer_printf(out, "%s\"%s\"", i ? ", " : "", link_state(&links, i));
        buffer_printf(out, "], \"virtual_ns\": %" PRIu64 "}\n", links.time);
    }
}
