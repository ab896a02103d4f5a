/* Faults put into members on purpose. */
#include "devices/raid/fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"fail", "eio", "corrupt", "unreadable"};

static bool skip(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool digit(char character)
{
    return character >= '0' && character <= '9';
}

static bool number(const char **at, uint64_t *value)
{
    if (!digit(**at))
        return false;
    for (*value = 0; digit(**at); (*at)++) {
        uint64_t next = (uint64_t)(**at - '0');
        if (*value > (UINT64_MAX - next) / 10)
            return false;
        *value = *value * 10 + next;
    }
    return true;
}

/* Decimal seconds with a unit, exact to the nanosecond. */
static bool duration(const char **at, uint64_t *ns)
{
    static const struct {
        const char *name;
        uint64_t scale;
    } units[] = {{"ms", 1000000}, {"us", 1000}, {"ns", 1}, {"s", 1000000000}, {"", 1000000000}};
    uint64_t whole, fraction = 0, place = 1;
    if (!number(at, &whole))
        return false;
    if (**at == '.') {
        for ((*at)++; digit(**at); (*at)++) {
            if (place > 100000000)
                return false;
            fraction = fraction * 10 + (uint64_t)(**at - '0');
            place *= 10;
        }
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!skip(at, units[i].name))
            continue;
        if (whole > UINT64_MAX / units[i].scale - 1)
            return false;
        *ns = whole * units[i].scale + fraction * units[i].scale / place;
        return true;
    }
    return false;
}

static bool conditions(const char **at, struct fault *fault, bool *has_lba)
{
    do {
        if (skip(at, "lba=")) {
            if (!number(at, &fault->lba))
                return false;
            *has_lba = true;
        } else if (!skip(at, "t=") || !duration(at, &fault->time)) {
            return false;
        }
    } while (skip(at, ","));
    return true;
}

int fault_parse(const char *text, struct fault *fault, struct error *error)
{
    const char *at = text;
    uint64_t disk, member = 0;
    bool has_lba = false;
    *fault = (struct fault){0};
    if (!skip(&at, "disk") || !number(&at, &disk) || disk > 255 || !skip(&at, ":"))
        goto bad;
    if (skip(&at, "member") && (!number(&at, &member) || member > 254 || !skip(&at, ":")))
        goto bad;
    fault->disk = (unsigned)disk;
    fault->member = (unsigned)member;
    for (unsigned i = 0;; i++) {
        if (i == sizeof names / sizeof names[0])
            goto bad;
        if (skip(&at, names[i])) {
            fault->kind = (enum fault_kind)i;
            break;
        }
    }
    if (skip(&at, "@") && !conditions(&at, fault, &has_lba))
        goto bad;
    if (*at)
        goto bad;
    if (has_lba != (fault->kind != FAULT_FAIL))
        return error_set(error, "fault '%s': %s", text,
            has_lba ? "fail takes no lba" : "say which sector with @lba=N");
    return 0;
bad:
    return error_set(error,
        "fault '%s' is not understood near '%.20s': write e.g. disk0:member1:fail@t=2.5s, "
        "disk0:member1:eio@lba=4096 or disk0:member1:corrupt@lba=4096",
        text, at);
}

void fault_print(const struct fault *fault, struct buffer *out)
{
    buffer_printf(out, "disk%u:member%u:%s", fault->disk, fault->member, names[fault->kind]);
    if (fault->kind != FAULT_FAIL)
        buffer_printf(out, "@lba=%" PRIu64, fault->lba);
    if (fault->time)
        buffer_printf(out, "%st=%" PRIu64 "ns", fault->kind == FAULT_FAIL ? "@" : ",", fault->time);
}

static bool unreadable(const struct fault_layer *layer, uint64_t lba, uint32_t count)
{
    for (unsigned i = 0; i < layer->count; i++) {
        if (layer->fault[i].kind == FAULT_UNREADABLE && !layer->fault[i].mended &&
            layer->fault[i].lba >= lba && layer->fault[i].lba - lba < count)
            return true;
    }
    return false;
}

static bool fails(const struct fault_layer *layer, uint64_t lba, uint32_t count)
{
    for (unsigned i = 0; i < layer->count; i++) {
        if (layer->fault[i].kind == FAULT_EIO && layer->fault[i].lba >= lba &&
            layer->fault[i].lba - lba < count)
            return true;
    }
    return layer->failed;
}

static int layer_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct fault_layer *layer = object;
    if (fails(layer, lba, count) || unreadable(layer, lba, count) ||
        layer->below.ops->read(layer->below.object, lba, count, data))
        return -1;
    for (unsigned i = 0; i < layer->count; i++) {
        uint64_t bad = layer->fault[i].lba;
        if (layer->fault[i].kind == FAULT_CORRUPT && !layer->fault[i].mended && bad >= lba &&
            bad - lba < count)
            data[(bad - lba) * BLOCK_SECTOR + bad % BLOCK_SECTOR] ^= 0x10;
    }
    return 0;
}

static void mend(struct fault_layer *layer, uint64_t lba, uint32_t count)
{
    for (unsigned i = 0; i < layer->count; i++) {
        if (layer->fault[i].lba >= lba && layer->fault[i].lba - lba < count)
            layer->fault[i].mended = true;
    }
}

static int layer_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct fault_layer *layer = object;
    if (fails(layer, lba, count))
        return -1;
    mend(layer, lba, count);
    return layer->below.ops->write(layer->below.object, lba, count, data);
}

static int layer_zero(void *object, uint64_t lba, uint32_t count)
{
    static const uint8_t zeroes[16 * BLOCK_SECTOR];
    struct fault_layer *layer = object;
    const struct raid_member *below = &layer->below;
    if (fails(layer, lba, count))
        return -1;
    mend(layer, lba, count);
    if (below->ops->zero)
        return below->ops->zero(below->object, lba, count);
    while (count) {
        uint32_t part = count < 16 ? count : 16;
        if (below->ops->write(below->object, lba, part, zeroes))
            return -1;
        lba += part;
        count -= part;
    }
    return 0;
}

static int layer_flush(void *object)
{
    struct fault_layer *layer = object;
    return layer->failed ? -1 : layer->below.ops->flush(layer->below.object);
}

static uint64_t layer_size(const void *object)
{
    const struct fault_layer *layer = object;
    return layer->below.ops->size(layer->below.object);
}

static const struct raid_member_ops layer_ops = {
    .read = layer_read,
    .write = layer_write,
    .zero = layer_zero,
    .flush = layer_flush,
    .size = layer_size,
};

struct raid_member fault_member(struct fault_layer *layer)
{
    return (struct raid_member){.ops = &layer_ops, .object = layer};
}

int fault_inject(struct fault_layer *layer, const struct fault *fault, struct error *error)
{
    if (fault->kind == FAULT_FAIL) {
        layer->failed = true;
        return 0;
    }
    if (layer->count == FAULT_MAX)
        return error_set(error, "a member can have %d faults at most", FAULT_MAX);
    if (fault->lba >= layer_size(layer))
        return error_set(error, "fault at sector %" PRIu64 " of member %u, which has only %" PRIu64,
            fault->lba, fault->member, layer_size(layer));
    layer->fault[layer->count].kind = fault->kind;
    layer->fault[layer->count].lba = fault->lba;
    layer->fault[layer->count++].mended = false;
    return 0;
}

void fault_save(const struct fault_layer *layer, struct buffer *out)
{
    buffer_put_u8(out, layer->failed);
    buffer_put_u8(out, (uint8_t)layer->count);
    for (unsigned i = 0; i < layer->count; i++) {
        buffer_put_u8(out, (uint8_t)layer->fault[i].kind);
        buffer_put_u64(out, layer->fault[i].lba);
        buffer_put_u8(out, layer->fault[i].mended);
    }
}

void fault_restore(struct fault_layer *layer, struct reader *in)
{
    layer->failed = reader_get_u8(in) & 1;
    layer->count = reader_get_u8(in);
    if (layer->count > FAULT_MAX) {
        layer->count = 0;
        in->failed = true;
    }
    for (unsigned i = 0; i < layer->count; i++) {
        uint8_t kind = reader_get_u8(in);
        if (kind <= FAULT_FAIL || kind > FAULT_UNREADABLE)
            in->failed = true;
        else
            layer->fault[i].kind = (enum fault_kind)kind;
        layer->fault[i].lba = reader_get_u64(in);
        layer->fault[i].mended = reader_get_u8(in) & 1;
    }
}
