/* A block device over one member alone, without redundancy. */
#include "devices/block.h"

#include <stddef.h>

static const uint8_t zeroes[64 * 1024];

static enum block_status plain_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct raid_member *member = object;
    return member->ops->read(member->object, lba, count, data) ? BLOCK_EIO : BLOCK_OK;
}

static enum block_status plain_write(
    void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct raid_member *member = object;
    return member->ops->write(member->object, lba, count, data) ? BLOCK_EIO : BLOCK_OK;
}

static enum block_status plain_flush(void *object)
{
    struct raid_member *member = object;
    return member->ops->flush(member->object) ? BLOCK_EIO : BLOCK_OK;
}

static enum block_status plain_zero(void *object, uint64_t lba, uint32_t count, bool unmap)
{
    struct raid_member *member = object;
    (void)unmap;
    if (member->ops->zero)
        return member->ops->zero(member->object, lba, count) ? BLOCK_EIO : BLOCK_OK;
    while (count) {
        uint32_t part = (uint32_t)(sizeof zeroes / BLOCK_SECTOR);
        if (part > count)
            part = count;
        if (member->ops->write(member->object, lba, part, zeroes))
            return BLOCK_EIO;
        lba += part;
        count -= part;
    }
    return BLOCK_OK;
}

static enum block_status plain_discard(void *object, uint64_t lba, uint32_t count)
{
    return plain_zero(object, lba, count, true);
}

static const struct block_device_ops plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .flush = plain_flush,
    .discard = plain_discard,
    .write_zeroes = plain_zero,
};

void block_device_from_member(struct block_device *device, struct raid_member *member)
{
    *device = (struct block_device){
        .ops = &plain_ops,
        .object = member,
        .sectors = member->ops->size(member->object),
        .identity = "hindsight-disk",
        .block_size = BLOCK_SECTOR,
    };
}
