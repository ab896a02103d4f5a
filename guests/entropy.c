/*
 * Reads random bytes from a virtio-rng device (virtio 1.2, section 5.4) in pieces of several sizes,
 * and prints them. Two runs print different bytes; a replay prints those of its recording.
 *
 * Options: rounds=8. Failures: debug-exit value 3 the bytes are not random, 4 no device, 5 the
 * device broke its rules.
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/virtio.h"

enum { DEVICE_ID = 4, NOT_RANDOM = 3, NO_DEVICE = 4, MOST = 64 };

static struct virtio_ring ring = {.asks = true};
static struct virtio device;
static uint8_t bytes[MOST];

static uint32_t get_bytes(uint32_t wanted)
{
    unsigned slot;
    uint32_t length;
    for (unsigned i = 0; i < MOST; i++)
        bytes[i] = 0;
    virtio_submit(&device, 0, 0, bytes, wanted, true);
    virtio_notify(&device, 0);
    while (!virtio_take(&device, 0, &slot, &length))
        interrupts_wait();
    if (length == 0 || length > wanted)
        guest_panic(VIRTIO_BROKEN, "%u bytes of entropy for %u", length, wanted);
    for (unsigned i = length; i < MOST; i++) {
        if (bytes[i])
            guest_panic(VIRTIO_BROKEN, "a byte was written after the %u given", length);
    }
    return length;
}

void guest_main(const struct boot_info *boot)
{
    struct virtio_ring *const rings[] = {&ring};
    uint64_t rounds = boot_option(boot, "rounds", 8);
    unsigned ones = 0, total = 0;
    if (!virtio_open(&device, DEVICE_ID, 0, 0, rings, 1))
        guest_panic(NO_DEVICE, "no virtio-rng device on the PCI bus");
    for (uint64_t round = 0; round < rounds; round++) {
        uint32_t length = get_bytes(1 + (uint32_t)(round * 23 % MOST));
        for (uint32_t i = 0; i < length; i++) {
            console_printf("%02x", bytes[i]);
            for (unsigned bit = 0; bit < 8; bit++)
                ones += bytes[i] >> bit & 1;
        }
        console_printf("\n");
        total += 8 * length;
    }
    /* Eight standard deviations of a fair coin: sqrt(total) / 2 each. */
    unsigned off = 2 * ones > total ? 2 * ones - total : total - 2 * ones;
    if ((uint64_t)off * off > 64ul * total)
        guest_panic(NOT_RANDOM, "%u of %u bits are set", ones, total);
    console_printf("entropy: %u bits, %u of them set\n", total, ones);
}
