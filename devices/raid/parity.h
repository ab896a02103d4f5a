/* XOR of sectors: the arithmetic of RAID 5. */
#ifndef DEVICES_RAID_PARITY_H
#define DEVICES_RAID_PARITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* target ^= source. `bytes` is a multiple of 64; the two do not overlap. */
void parity_xor(uint8_t *target, const uint8_t *source, size_t bytes);
/* target = XOR of `count` (1 or more) sources, each read once. Same rules. */
void parity_compute(uint8_t *target, const uint8_t *const *sources, unsigned count, size_t bytes);

#endif
