/* Notes about disks: how they are written into the trace, and read back. */
#include "vmm/storage/disk.h"

#include <inttypes.h>

void note_disk_request_encode(const struct note_disk_request *note, struct buffer *out)
{
    buffer_put_varint(out, note->disk);
    buffer_put_u8(out, (uint8_t)note->kind);
    buffer_put_varint(out, note->sector);
    buffer_put_varint(out, note->count);
    buffer_put_varint(out, note->time);
}

bool note_disk_request_decode(struct note_disk_request *note, const uint8_t *data, size_t size)
{
    struct reader in;
    reader_init(&in, data, size);
    note->disk = (unsigned)reader_get_varint(&in);
    note->kind = (enum block_request)reader_get_u8(&in);
    note->sector = reader_get_varint(&in);
    note->count = (uint32_t)reader_get_varint(&in);
    note->time = reader_get_varint(&in);
    return !in.failed && reader_left(&in) == 0 && note->kind <= BLOCK_ZERO;
}

void note_member_io_encode(const struct note_member_io *note, struct buffer *out)
{
    buffer_put_varint(out, note->disk);
    buffer_put_u8(out, (uint8_t)note->member);
    buffer_put_u8(out, (uint8_t)note->parity);
    buffer_put_u8(
        out, (uint8_t)((unsigned)note->kind | (unsigned)note->role << 3 | note->failed << 7));
    buffer_put_varint(out, note->lba);
    buffer_put_varint(out, note->count);
    buffer_put_varint(out, note->stripe);
    if (note->kind == RAID_IO_READ || note->kind == RAID_IO_WRITE)
        buffer_put_u64(out, note->digest);
}

bool note_member_io_decode(struct note_member_io *note, const uint8_t *data, size_t size)
{
    struct reader in;
    reader_init(&in, data, size);
    note->disk = (unsigned)reader_get_varint(&in);
    note->member = reader_get_u8(&in);
    note->parity = reader_get_u8(&in);
    unsigned packed = reader_get_u8(&in);
    note->kind = (enum raid_io)(packed & 7);
    note->role = (enum raid_role)(packed >> 3 & 15);
    note->failed = packed >> 7;
    note->lba = reader_get_varint(&in);
    note->count = (uint32_t)reader_get_varint(&in);
    note->stripe = reader_get_varint(&in);
    note->digest = 0;
    if (note->kind == RAID_IO_READ || note->kind == RAID_IO_WRITE)
        note->digest = reader_get_u64(&in);
    return !in.failed && reader_left(&in) == 0 && note->kind <= RAID_IO_FLUSH &&
           note->role <= RAID_ROLE_BAD_SECTORS;
}

void note_array_change_encode(const struct note_array_change *note, struct buffer *out)
{
    buffer_put_varint(out, note->disk);
    buffer_put_u8(out, (uint8_t)note->member);
    buffer_put_u8(out, (uint8_t)note->change);
    buffer_put_varint(out, note->time);
}

bool note_array_change_decode(struct note_array_change *note, const uint8_t *data, size_t size)
{
    struct reader in;
    reader_init(&in, data, size);
    note->disk = (unsigned)reader_get_varint(&in);
    note->member = reader_get_u8(&in);
    note->change = (enum raid_change)reader_get_u8(&in);
    note->time = reader_get_varint(&in);
    return !in.failed && reader_left(&in) == 0 && note->change <= RAID_CHANGE_BAD_SECTOR;
}

/* ---- For people and programs ---- */

static const char *request_name(enum block_request kind)
{
    static const char *const names[] = {[BLOCK_READ] = "read",
        [BLOCK_WRITE] = "write",
        [BLOCK_FLUSH] = "flush",
        [BLOCK_DISCARD] = "discard",
        [BLOCK_ZERO] = "zero"};
    return kind <= BLOCK_ZERO ? names[kind] : "?";
}

static const char *io_name(enum raid_io kind)
{
    static const char *const names[] = {[RAID_IO_READ] = "read",
        [RAID_IO_WRITE] = "write",
        [RAID_IO_ZERO] = "zero",
        [RAID_IO_FLUSH] = "flush"};
    return kind <= RAID_IO_FLUSH ? names[kind] : "?";
}

static const char *role_name(enum raid_role role)
{
    static const char *const names[] = {[RAID_ROLE_DATA] = "data",
        [RAID_ROLE_PARITY] = "parity",
        [RAID_ROLE_SUPERBLOCK] = "superblock",
        [RAID_ROLE_BITMAP] = "bitmap",
        [RAID_ROLE_JOURNAL] = "journal",
        [RAID_ROLE_NONE] = "none",
        [RAID_ROLE_BAD_SECTORS] = "bad-sectors"};
    return role <= RAID_ROLE_BAD_SECTORS ? names[role] : "?";
}

static const char *change_name(enum raid_change change)
{
    static const char *const names[] = {[RAID_CHANGE_FAILED] = "failed",
        [RAID_CHANGE_REPLACED] = "replaced",
        [RAID_CHANGE_REBUILT] = "rebuilt",
        [RAID_CHANGE_ARRAY_FAILED] = "array-failed",
        [RAID_CHANGE_BAD_SECTOR] = "bad-sector"};
    return change <= RAID_CHANGE_BAD_SECTOR ? names[change] : "?";
}

static bool in_stripe(const struct note_member_io *io)
{
    return io->role == RAID_ROLE_DATA || io->role == RAID_ROLE_PARITY;
}

static void member_text(const struct note_member_io *io, struct buffer *out)
{
    buffer_printf(
        out, "disk%u member%u %s %s", io->disk, io->member, io_name(io->kind), role_name(io->role));
    if (io->kind != RAID_IO_FLUSH)
        buffer_printf(out, " lba %" PRIu64 "+%u", io->lba, io->count);
    if (in_stripe(io))
        buffer_printf(out, " stripe %" PRIu64, io->stripe);
    if (in_stripe(io) && io->parity != RAID_NO_MEMBER)
        buffer_printf(out, " parity on member%u", io->parity);
    if (io->failed)
        buffer_printf(out, " FAILED");
    else if (io->kind <= RAID_IO_WRITE)
        buffer_printf(out, " xxh3 %016" PRIx64, io->digest);
}

static void member_json(const struct note_member_io *io, struct buffer *out)
{
    buffer_printf(out,
        "\"note\": \"member\", \"disk\": %u, \"member\": %u, \"kind\": \"%s\", \"role\": \"%s\", "
        "\"lba\": %" PRIu64 ", \"count\": %u, \"failed\": %s",
        io->disk, io->member, io_name(io->kind), role_name(io->role), io->lba, io->count,
        io->failed ? "true" : "false");
    if (in_stripe(io))
        buffer_printf(out, ", \"stripe\": %" PRIu64, io->stripe);
    if (in_stripe(io) && io->parity != RAID_NO_MEMBER)
        buffer_printf(out, ", \"parity\": %u", io->parity);
    if (!io->failed && io->kind <= RAID_IO_WRITE)
        buffer_printf(out, ", \"xxh3\": \"%016" PRIx64 "\"", io->digest);
}

void note_print_text(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out)
{
    struct note_disk_request request;
    struct note_member_io io;
    struct note_array_change change;
    if (kind == NOTE_DISK_REQUEST && note_disk_request_decode(&request, data, size)) {
        buffer_printf(
            out, "%" PRIu64 " disk%u %s", event, request.disk, request_name(request.kind));
        if (request.kind != BLOCK_FLUSH)
            buffer_printf(out, " sector %" PRIu64 "+%u", request.sector, request.count);
        buffer_printf(out, " t=%" PRIu64 "ns\n", request.time);
    } else if (kind == NOTE_MEMBER_IO && note_member_io_decode(&io, data, size)) {
        buffer_printf(out, "%" PRIu64 "   ", event);
        member_text(&io, out);
        buffer_printf(out, "\n");
    } else if (kind == NOTE_ARRAY_CHANGE && note_array_change_decode(&change, data, size)) {
        buffer_printf(out, "%" PRIu64 " disk%u member%u %s t=%" PRIu64 "ns\n", event, change.disk,
            change.member, change_name(change.change), change.time);
    }
}

void note_print_json(
    uint64_t event, uint8_t kind, const uint8_t *data, size_t size, struct buffer *out)
{
    struct note_disk_request request;
    struct note_member_io io;
    struct note_array_change change;
    if (kind == NOTE_DISK_REQUEST && note_disk_request_decode(&request, data, size)) {
        buffer_printf(out,
            "{\"event\": %" PRIu64 ", \"note\": \"request\", \"disk\": %u, \"kind\": \"%s\", "
            "\"sector\": %" PRIu64 ", \"count\": %u, \"virtual_ns\": %" PRIu64 "}\n",
            event, request.disk, request_name(request.kind), request.sector, request.count,
            request.time);
    } else if (kind == NOTE_MEMBER_IO && note_member_io_decode(&io, data, size)) {
        buffer_printf(out, "{\"event\": %" PRIu64 ", ", event);
        member_json(&io, out);
        buffer_printf(out, "}\n");
    } else if (kind == NOTE_ARRAY_CHANGE && note_array_change_decode(&change, data, size)) {
        buffer_printf(out,
            "{\"event\": %" PRIu64 ", \"note\": \"change\", \"disk\": %u, \"member\": %u, "
            "\"change\": \"%s\", \"virtual_ns\": %" PRIu64 "}\n",
            event, change.disk, change.member, change_name(change.change), change.time);
    }
}
