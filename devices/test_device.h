/*
 * The device that test suites of others expect beside them, by QEMU's name pc-testdev
 * (hw/misc/pc-testdev.c): at ports E0h to E3h and at FF000000h memory that keeps what is written,
 * at 2000h and on a port for each interrupt line of the PC, whose written value is the line's
 * level. A write to E4h asks for a page to be forgotten by caches that are not here.
 *
 * What is kept is saved only when it was written, so that a machine whose guest never does pays
 * nothing.
 */
#ifndef DEVICES_TEST_DEVICE_H
#define DEVICES_TEST_DEVICE_H

#include "devices/device.h"

struct test_device;

enum {
    TEST_DEVICE_PORT = 0xe0,
    TEST_DEVICE_PORTS = 8,
    TEST_DEVICE_LINES = 0x2000,
    TEST_DEVICE_LINE_COUNT = 24,
    TEST_DEVICE_MEMORY_SIZE = 0x10000,
};
#define TEST_DEVICE_MEMORY 0xff000000ull

struct test_device_config {
    /* A line's level was written. */
    void (*set_line)(void *machine, unsigned line, bool level);
    void *machine;
};

struct test_device *test_device_create(
    const struct test_device_config *config, struct error *error);
void test_device_destroy(struct test_device *device); /* NULL is fine */
int test_device_attach(
    struct test_device *device, struct bus *ports, struct bus *mmio, struct error *error);
struct device test_device_device(struct test_device *device);
extern const struct device_class test_device_class;

#endif
