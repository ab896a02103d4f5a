/* The virtio block device. */
#include "devices/virtio_blk.h"

#include <stdlib.h>
#include <string.h>

#include "devices/virtio_legacy.h"

enum {
    HEADER = 16,
    CONFIG_SIZE = 60,
    PIECE = 2048,         /* sectors moved at once when a request is scattered */
    RANGE = 16,           /* bytes of a discard or write-zeroes range */
    MAX_RANGES = 32,      /* in a request */
    MAX_RANGE = 1u << 22, /* sectors in a range */
    FLAG_UNMAP = 1,
};

struct virtio_blk {
    struct virtio virtio;
    struct block_device *disk;
    const char *name;
    uint8_t *piece; /* PIECE sectors */
};

static uint32_t load32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t load64(const uint8_t *bytes)
{
    return load32(bytes) | (uint64_t)load32(bytes + 4) << 32;
}

static bool inside(const struct virtio_blk *blk, uint64_t sector, uint64_t count)
{
    return sector <= blk->disk->sectors && count <= blk->disk->sectors - sector;
}

/* Where `bytes` bytes, `skip` into the readable or writable part, lie in one piece; else NULL. */
static const struct virtio_segment *contiguous(
    const struct virtio_segment *segments, unsigned count, uint64_t *skip, uint64_t bytes)
{
    for (unsigned i = 0; i < count; i++) {
        if (*skip < segments[i].length)
            return segments[i].length - *skip >= bytes ? &segments[i] : NULL;
        *skip -= segments[i].length;
    }
    return NULL;
}

static uint8_t read_sectors(
    struct virtio_blk *blk, const struct virtio_chain *chain, uint64_t sector, uint64_t bytes)
{
    const struct block_device *disk = blk->disk;
    uint64_t skip = 0;
    const struct virtio_segment *whole =
        contiguous(chain->segment + chain->readable, chain->writable, &skip, bytes);
    if (whole) {
        enum block_status status = disk->ops->read(
            disk->object, sector, (uint32_t)(bytes / BLOCK_SECTOR), whole->data + skip);
        guest_memory_wrote(&blk->virtio.rings.memory, whole->gpa + skip, bytes);
        return status ? VIRTIO_BLK_IOERR : VIRTIO_BLK_OK;
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t part = bytes - done < PIECE * BLOCK_SECTOR ? bytes - done : PIECE * BLOCK_SECTOR;
        if (disk->ops->read(disk->object, sector + done / BLOCK_SECTOR,
                (uint32_t)(part / BLOCK_SECTOR), blk->piece))
            return VIRTIO_BLK_IOERR;
        virtio_chain_write(&blk->virtio.rings.memory, chain, done, blk->piece, part);
        done += part;
    }
    return VIRTIO_BLK_OK;
}

static uint8_t write_sectors(
    struct virtio_blk *blk, const struct virtio_chain *chain, uint64_t sector, uint64_t bytes)
{
    const struct block_device *disk = blk->disk;
    uint64_t skip = HEADER;
    const struct virtio_segment *whole = contiguous(chain->segment, chain->readable, &skip, bytes);
    if (whole) {
        if (disk->ops->write(
                disk->object, sector, (uint32_t)(bytes / BLOCK_SECTOR), whole->data + skip))
            return VIRTIO_BLK_IOERR;
        bytes = 0;
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t part = bytes - done < PIECE * BLOCK_SECTOR ? bytes - done : PIECE * BLOCK_SECTOR;
        virtio_chain_read(chain, HEADER + done, blk->piece, part);
        if (disk->ops->write(disk->object, sector + done / BLOCK_SECTOR,
                (uint32_t)(part / BLOCK_SECTOR), blk->piece))
            return VIRTIO_BLK_IOERR;
        done += part;
    }
    if (!virtio_has(&blk->virtio, VIRTIO_BLK_F_FLUSH) && disk->ops->flush(disk->object))
        return VIRTIO_BLK_IOERR;
    return VIRTIO_BLK_OK;
}

/* Discard and write zeroes: each range is checked before any is touched. */
static uint8_t clear_ranges(
    struct virtio_blk *blk, const struct virtio_chain *chain, bool discard, uint64_t bytes)
{
    const struct block_device *disk = blk->disk;
    uint8_t ranges[MAX_RANGES * RANGE];
    if (disk->read_only || bytes == 0 || bytes % RANGE || bytes > sizeof ranges)
        return VIRTIO_BLK_IOERR;
    virtio_chain_read(chain, HEADER, ranges, bytes);
    for (uint64_t at = 0; at < bytes; at += RANGE) {
        uint32_t count = load32(ranges + at + 8), flags = load32(ranges + at + 12);
        if (flags & ~(discard ? 0u : FLAG_UNMAP))
            return VIRTIO_BLK_UNSUPP;
        if (count > MAX_RANGE || !inside(blk, load64(ranges + at), count))
            return VIRTIO_BLK_IOERR;
    }
    for (uint64_t at = 0; at < bytes; at += RANGE) {
        uint64_t sector = load64(ranges + at);
        uint32_t count = load32(ranges + at + 8);
        bool unmap = load32(ranges + at + 12) & FLAG_UNMAP;
        if (count == 0)
            continue;
        if (discard ? disk->ops->discard(disk->object, sector, count)
                    : disk->ops->write_zeroes(disk->object, sector, count, unmap))
            return VIRTIO_BLK_IOERR;
    }
    if (!virtio_has(&blk->virtio, VIRTIO_BLK_F_FLUSH) && disk->ops->flush(disk->object))
        return VIRTIO_BLK_IOERR;
    return VIRTIO_BLK_OK;
}

/* `in` and `out` are the bytes of data, header and status aside. *given receives those of `in`
 * that were filled. */
static uint8_t perform(struct virtio_blk *blk, const struct virtio_chain *chain,
    const uint8_t *header, uint64_t in, uint64_t out, uint64_t *given)
{
    const struct block_device *disk = blk->disk;
    uint64_t sector = load64(header + 8), bytes;
    switch (load32(header)) {
    case VIRTIO_BLK_IN:
    case VIRTIO_BLK_OUT:
        bytes = load32(header) == VIRTIO_BLK_IN ? in : out;
        if (bytes % BLOCK_SECTOR || bytes / BLOCK_SECTOR > UINT32_MAX ||
            !inside(blk, sector, bytes / BLOCK_SECTOR))
            return VIRTIO_BLK_IOERR;
        if (load32(header) == VIRTIO_BLK_OUT && disk->read_only)
            return VIRTIO_BLK_IOERR;
        if (bytes == 0)
            return VIRTIO_BLK_OK;
        if (load32(header) == VIRTIO_BLK_OUT)
            return write_sectors(blk, chain, sector, bytes);
        *given = bytes;
        return read_sectors(blk, chain, sector, bytes);
    case VIRTIO_BLK_FLUSH:
        return !disk->read_only && disk->ops->flush(disk->object) ? VIRTIO_BLK_IOERR
                                                                  : VIRTIO_BLK_OK;
    case VIRTIO_BLK_GET_ID:
        *given = in < sizeof disk->identity ? in : sizeof disk->identity;
        virtio_chain_write(&blk->virtio.rings.memory, chain, 0, disk->identity, *given);
        return VIRTIO_BLK_OK;
    case VIRTIO_BLK_DISCARD:
        return clear_ranges(blk, chain, true, out);
    case VIRTIO_BLK_WRITE_ZEROES:
        return clear_ranges(blk, chain, false, out);
    default:
        return VIRTIO_BLK_UNSUPP;
    }
}

static uint32_t blk_request(void *device, unsigned queue, const struct virtio_chain *chain)
{
    struct virtio_blk *blk = device;
    uint8_t header[HEADER];
    uint64_t given = 0;
    (void)queue;
    if (chain->writable_bytes < 1 || virtio_chain_read(chain, 0, header, HEADER) < HEADER) {
        virtio_broken(&blk->virtio);
        return 0;
    }
    uint64_t in = chain->writable_bytes - 1, out = chain->readable_bytes - HEADER;
    uint8_t status = perform(blk, chain, header, in, out, &given);
    if (status != VIRTIO_BLK_OK)
        given = 0;
    virtio_chain_write(&blk->virtio.rings.memory, chain, in, &status, 1);
    /* Without the whole length written there is no telling where the status is: the count covers
     * only what was filled from the start. */
    return given == in ? (uint32_t)(in + 1) : (uint32_t)given;
}

/* struct virtio_blk_config, section 5.2.4. */
static uint8_t blk_config_read(void *device, unsigned offset)
{
    const struct virtio_blk *blk = device;
    uint8_t config[CONFIG_SIZE] = {0};
    struct buffer out = {.data = config, .capacity = sizeof config};
    buffer_put_u64(&out, blk->disk->sectors);
    buffer_put_u32(&out, 0);                     /* size_max */
    buffer_put_u32(&out, VIRTIO_QUEUE_SIZE - 2); /* seg_max: header and status take one each */
    buffer_put_u32(&out, 0);                     /* geometry */
    buffer_put_u32(&out, blk->disk->block_size);
    buffer_put_u16(&out, 0); /* physical_block_exp, alignment_offset */
    buffer_put_u16(&out, (uint16_t)(blk->disk->minimum_io / blk->disk->block_size));
    buffer_put_u32(&out, blk->disk->optimal_io / blk->disk->block_size);
    buffer_put_u32(&out, 0); /* writeback, num_queues */
    buffer_put_u32(&out, MAX_RANGE);
    buffer_put_u32(&out, MAX_RANGES);
    buffer_put_u32(&out, 1); /* discard_sector_alignment */
    buffer_put_u32(&out, MAX_RANGE);
    buffer_put_u32(&out, MAX_RANGES);
    buffer_put_u32(&out, 1); /* write_zeroes_may_unmap */
    return config[offset];
}

static const struct virtio_type blk_type = {
    .id = 2,
    .class_code = 0x018000,
    .features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY |
                VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES,
    .queues = 1,
    .config_size = CONFIG_SIZE,
    .request = blk_request,
    .config_read = blk_config_read,
};

struct virtio_blk *virtio_blk_create(const struct virtio_blk_config *config, struct error *error)
{
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    if (!blk || !(blk->piece = malloc((size_t)PIECE * BLOCK_SECTOR))) {
        error_set(error, "%s: out of memory", config->name);
        virtio_blk_destroy(blk);
        return NULL;
    }
    blk->disk = config->disk;
    blk->name = config->name;
    uint64_t offered = blk_type.features;
    if (blk->disk->read_only)
        offered =
            VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_RO;
    if (virtio_init(&blk->virtio, &blk_type, config->name, blk, offered, &config->memory, error)) {
        virtio_blk_destroy(blk);
        return NULL;
    }
    if (config->is_transitional)
        virtio_legacy_add(&blk->virtio);
    return blk;
}

void virtio_blk_destroy(struct virtio_blk *blk)
{
    if (blk)
        free(blk->piece);
    free(blk);
}

struct pci_function *virtio_blk_function(struct virtio_blk *blk)
{
    return &blk->virtio.function;
}

static void blk_reset(void *device)
{
    virtio_bus_reset(&((struct virtio_blk *)device)->virtio);
}

static void blk_save(const void *device, struct buffer *out)
{
    virtio_save(&((const struct virtio_blk *)device)->virtio, out);
}

static void blk_restore(void *device, struct reader *in)
{
    virtio_restore(&((struct virtio_blk *)device)->virtio, in);
}

static void blk_describe(const void *device, struct buffer *out)
{
    const struct virtio_blk *blk = device;
    buffer_printf(out, "capacity %llu\n", (unsigned long long)blk->disk->sectors);
    virtio_describe(&blk->virtio, out);
}

static const struct device_ops blk_ops = {
    .reset = blk_reset,
    .save = blk_save,
    .restore = blk_restore,
    .describe = blk_describe,
};

struct device virtio_blk_device(struct virtio_blk *blk)
{
    return (struct device){.name = blk->name, .ops = &blk_ops, .object = blk};
}
