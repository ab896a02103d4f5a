/*
 * A driver for one virtio-blk disk (virtio 1.2): finds it on the PCI bus, negotiates indirect
 * descriptors and the event index, and does one request at a time, waiting for its interrupt with
 * the CPU halted. What the device must not do panics (debug-exit value 5).
 */
#ifndef GUEST_VIRTIO_BLK_H
#define GUEST_VIRTIO_BLK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_status { DISK_OK = 0, DISK_ERROR = 1, DISK_UNSUPPORTED = 2 };

/* The `number`-th disk; false when there is none. Interrupts are off on return. */
bool disk_open(unsigned number);
uint64_t disk_sectors(void);
unsigned disk_interrupts(void); /* how many were taken */
/*
 * `pieces` (1 to 100) is how many descriptors the data is scattered over; more than three go
 * through an indirect table. `bytes` is a multiple of 512.
 */
enum disk_status disk_read(uint64_t sector, void *data, uint32_t bytes, unsigned pieces);
enum disk_status disk_write(uint64_t sector, const void *data, uint32_t bytes, unsigned pieces);
enum disk_status disk_flush(void);
enum disk_status disk_discard(uint64_t sector, uint32_t count);
enum disk_status disk_write_zeroes(uint64_t sector, uint32_t count);
enum disk_status disk_identity(char identity[21]); /* terminated */

#endif
