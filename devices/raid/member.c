/* Access to one member, with faults, failures and observers. */
#include "devices/raid/array.h"

#include <stddef.h>

const uint8_t raid_zeroes[64 * 1024];

static void tell(struct raid_array *array, unsigned member, enum raid_io kind, enum raid_role role,
    uint64_t lba, uint32_t count, const uint8_t *data, int result)
{
    if (!array->observer.member_io)
        return;
    bool striped = role == RAID_ROLE_DATA || role == RAID_ROLE_PARITY;
    uint64_t stripe = striped ? lba / array->super.geometry.chunk : 0;
    struct raid_member_io io = {
        .member = member,
        .kind = kind,
        .role = role,
        .lba = lba,
        .count = count,
        .stripe = stripe,
        .parity = striped ? raid_parity_member(&array->super.geometry, stripe) : RAID_NO_MEMBER,
        .data = data,
        .failed = result != 0,
    };
    array->observer.member_io(array->observer.context, &io);
}

int raid_member_read(struct raid_array *array, unsigned member, uint64_t lba, uint32_t count,
    uint8_t *data, enum raid_role role)
{
    struct raid_member *io = &array->io[member];
    int result = io->ops->read(io->object, lba, count, data) ? -1 : 0;
    tell(array, member, RAID_IO_READ, role, lba, count, data, result);
    return result;
}

int raid_member_write(struct raid_array *array, unsigned member, uint64_t lba, uint32_t count,
    const uint8_t *data, enum raid_role role)
{
    struct raid_member *io = &array->io[member];
    int result = io->ops->write(io->object, lba, count, data) ? -1 : 0;
    tell(array, member, RAID_IO_WRITE, role, lba, count, data, result);
    return result;
}

int raid_member_zero(
    struct raid_array *array, unsigned member, uint64_t lba, uint32_t count, enum raid_role role)
{
    struct raid_member *io = &array->io[member];
    if (io->ops->zero) {
        int result = io->ops->zero(io->object, lba, count) ? -1 : 0;
        tell(array, member, RAID_IO_ZERO, role, lba, count, NULL, result);
        return result;
    }
    while (count) {
        uint32_t part = (uint32_t)(sizeof raid_zeroes / BLOCK_SECTOR);
        if (part > count)
            part = count;
        if (raid_member_write(array, member, lba, part, raid_zeroes, role))
            return -1;
        lba += part;
        count -= part;
    }
    return 0;
}

int raid_member_flush(struct raid_array *array, unsigned member)
{
    struct raid_member *io = &array->io[member];
    int result = io->ops->flush(io->object) ? -1 : 0;
    tell(array, member, RAID_IO_FLUSH, RAID_ROLE_NONE, 0, 0, NULL, result);
    return result;
}

bool raid_usable(const struct raid_array *array, unsigned member)
{
    return array->super.member[member].state != RAID_MEMBER_FAILED;
}

bool raid_in_sync(const struct raid_array *array, unsigned member, uint64_t row)
{
    switch (array->super.member[member].state) {
    case RAID_MEMBER_ACTIVE:
        return true;
    case RAID_MEMBER_REBUILDING:
        return row < array->rebuilt;
    case RAID_MEMBER_FAILED:
        break;
    }
    return false;
}

bool raid_has(const struct raid_array *array, unsigned member, uint64_t row, uint32_t count)
{
    return raid_in_sync(array, member, row + count - 1) &&
           !raid_bad_within(array, member, row, count);
}

bool raid_can_lose(const struct raid_array *array, unsigned member)
{
    if (array->super.member[member].state != RAID_MEMBER_ACTIVE)
        return true;
    if (array->super.geometry.level == RAID_0)
        return false;
    unsigned others = 0;
    for (unsigned i = 0; i < array->super.geometry.members; i++)
        others += i != member && array->super.member[i].state == RAID_MEMBER_ACTIVE;
    return array->super.geometry.level == RAID_1 ? others > 0
                                                 : others == array->super.geometry.members - 1;
}

void raid_take_out(struct raid_array *array, unsigned member)
{
    bool lost = !raid_can_lose(array, member);
    if (array->super.member[member].state == RAID_MEMBER_REBUILDING)
        array->rebuilt = 0;
    array->super.member[member].state = RAID_MEMBER_FAILED;
    if (array->observer.change)
        array->observer.change(array->observer.context, RAID_CHANGE_FAILED, member);
    if (!lost) {
        array->unsettled = true;
        return;
    }
    /* The remaining superblocks stay as they are: should this member come back as it was, the
     * array can still be assembled with what they say. */
    array->failed = true;
    if (array->observer.change)
        array->observer.change(array->observer.context, RAID_CHANGE_ARRAY_FAILED, member);
}

bool raid_write_failed(struct raid_array *array, unsigned member)
{
    bool losable = raid_can_lose(array, member);
    /* Without redundancy the guest is told and decides. RAID 5 is different: a stripe written in
     * part no longer gives the content of the member that is missing already. */
    if (losable || array->super.geometry.level == RAID_5)
        raid_take_out(array, member);
    return losable;
}
