/*
 * The firmware configuration device of QEMU's PCs, as its specification (docs/specs/fw_cfg.rst)
 * describes the I/O port interface: a 16-bit selector at port 510h, written as a whole, and at 511h
 * the bytes of the item selected, one after another. Kernels ask it what the machine has.
 *
 * Items: signature (0), features (1: this interface alone, no DMA), RAM size (3), number of
 * processors (5), most of them (Fh), the directory of files (19h) and its one file, etc/e820. What
 * is not there reads as zeroes, as bytes past an item's end do. Data writes are ignored.
 */
#ifndef DEVICES_FW_CFG_H
#define DEVICES_FW_CFG_H

#include "devices/device.h"

struct fw_cfg;

enum { FW_CFG_PORT = 0x510, FW_CFG_PORTS = 2 };

struct fw_cfg_range {
    uint64_t start, size;
    uint32_t type; /* as in E820 */
};

enum { FW_CFG_MAX_RANGES = 8 };

struct fw_cfg_config {
    uint64_t ram_size; /* bytes */
    unsigned cpus;
    struct fw_cfg_range ranges[FW_CFG_MAX_RANGES]; /* for etc/e820 */
    unsigned range_count;
};

struct fw_cfg *fw_cfg_create(const struct fw_cfg_config *config, struct error *error);
void fw_cfg_destroy(struct fw_cfg *fw_cfg); /* NULL is fine */
int fw_cfg_attach(struct fw_cfg *fw_cfg, struct bus *ports, struct error *error);
struct device fw_cfg_device(struct fw_cfg *fw_cfg);
extern const struct device_class fw_cfg_class;

#endif
