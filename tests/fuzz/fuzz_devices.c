/*
 * All PC devices under any sequence of accesses, jumps of time, received bytes, keys, interrupt
 * acknowledges and restores of damaged state. Whatever a restore accepts must save back unchanged.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/devices/pc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Restores one device from its own state with some bytes replaced. */
static void damage(struct pc *pc, struct reader *in)
{
    const struct device *device = &pc->devices[pc_byte(in) % PC_DEVICES];
    struct buffer saved = {0};
    device->ops->save(device->object, &saved);
    unsigned changes = pc_byte(in) % 4;
    for (unsigned i = 0; i < changes && saved.size > 0; i++) {
        size_t at = pc_byte(in) % saved.size;
        saved.data[at] = pc_byte(in);
    }
    struct reader from;
    reader_init(&from, saved.data, saved.size);
    device->ops->restore(device->object, &from);
    if (changes == 0 && from.failed)
        abort();
    buffer_free(&saved);
}

static void restore_raw(struct pc *pc, struct reader *in)
{
    const struct device *device = &pc->devices[pc_byte(in) % PC_DEVICES];
    device->ops->restore(device->object, in);
    in->failed = false;
}

/* What has been restored, however odd, is a state: it survives a round trip. */
static void round_trip(struct pc *pc)
{
    struct buffer before = {0}, after = {0};
    pc_save(pc, &before);
    struct reader from;
    reader_init(&from, before.data, before.size);
    pc_restore(pc, &from);
    pc_save(pc, &after);
    if (from.failed || before.size != after.size ||
        memcmp(before.data, after.data, before.size) != 0)
        abort();
    buffer_free(&before);
    buffer_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc pc;
    if (!pc_open(&pc))
        abort();
    struct reader in;
    reader_init(&in, data, size);
    struct buffer text = {0};
    for (unsigned step = 0; reader_left(&in); step++) {
        uint8_t what = pc_byte(&in);
        if (what < 4)
            damage(&pc, &in);
        else if (what < 6)
            restore_raw(&pc, &in);
        else if (what < 8)
            pc.devices[what % PC_DEVICES].ops->reset(pc.devices[what % PC_DEVICES].object);
        else
            pc_step(&pc, &in);
        if (step % 64 == 63)
            round_trip(&pc);
    }
    for (unsigned i = 0; i < PC_DEVICES; i++)
        pc.devices[i].ops->describe(pc.devices[i].object, &text);
    round_trip(&pc);
    buffer_free(&text);
    pc_close(&pc);
    return 0;
}
