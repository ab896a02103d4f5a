/* Every device class: makes a whole device on the buses it is given, or nothing at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "devices/acpi_pm.h"
#include "devices/debug_console.h"
#include "devices/debug_exit.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/post.h"
#include "devices/rtc.h"
#include "devices/test_device.h"
#include "devices/uart.h"
#include "devices/virtio_rng.h"

static const struct device_class *const classes[] = {&pic_class, &ioapic_class, &hpet_class,
    &acpi_pm_class, &pit_class, &rtc_class, &uart_class, &i8042_class, &debug_exit_class,
    &debug_console_class, &fw_cfg_class, &test_device_class, &post_class, &port92_class,
    &pci_class};
enum { CLASSES = sizeof classes / sizeof *classes };

static uint64_t no_time(void *source)
{
    (void)source;
    return 0;
}

static void ignore_line(void *controller, unsigned input, bool level)
{
    (void)controller, (void)input, (void)level;
}

static uint8_t *no_memory(void *context, uint64_t gpa, uint64_t size)
{
    (void)context, (void)gpa, (void)size;
    return NULL;
}

struct board {
    struct clock clock;
    struct bus ports, mmio;
    struct guest_memory memory;
    struct fw_cfg_config fw_cfg;
    struct device_wiring wiring;
};

static void board_open(struct board *board)
{
    *board = (struct board){.memory = {.at = no_memory}, .fw_cfg = {.cpus = 1}};
    clock_init(&board->clock, no_time, NULL);
    bus_init(&board->ports, 65536);
    bus_init(&board->mmio, UINT64_MAX);
    board->wiring = (struct device_wiring){
        .clock = &board->clock,
        .ports = &board->ports,
        .mmio = &board->mmio,
        .any = {.set = ignore_line, .controller = board},
        .memory = &board->memory,
        .fw_cfg = &board->fw_cfg,
        .machine = board,
    };
}

static void expect_whole(const struct device *device)
{
    const struct device_ops *ops = device->ops;
    struct buffer saved = {0}, again = {0};
    struct reader in;
    assert_true(device->name && *device->name);
    assert_true(ops->reset && ops->save && ops->restore && ops->describe && ops->destroy);
    ops->save(device->object, &saved);
    reader_init(&in, saved.data, saved.size);
    ops->restore(device->object, &in);
    assert_false(in.failed);
    assert_int_equal(reader_left(&in), 0);
    ops->save(device->object, &again);
    assert_int_equal(again.size, saved.size);
    if (saved.size)
        assert_memory_equal(again.data, saved.data, saved.size);
    buffer_free(&saved);
    buffer_free(&again);
}

/* They share a machine: no two have a name or an address in common. */
static void test_all_on_one_board(void **context)
{
    static struct board board;
    struct device made[CLASSES + 1];
    struct error error;
    (void)context;
    board_open(&board);
    for (unsigned i = 0; i < CLASSES; i++) {
        if (classes[i]->create(&board.wiring, &made[i], &error) < 0)
            fail_msg("class %u: %s", i, error.text);
        expect_whole(&made[i]);
        for (unsigned other = 0; other < i; other++)
            assert_string_not_equal(made[i].name, made[other].name);
    }
    board.wiring.pci = made[CLASSES - 1].object;
    assert_int_equal(virtio_rng_class.create(&board.wiring, &made[CLASSES], &error), 0);
    expect_whole(&made[CLASSES]);
    for (unsigned i = CLASSES + 1; i-- > 0;)
        made[i].ops->destroy(made[i].object);
}

/* One whose addresses are taken: the address sanitizer tells when it is not destroyed. */
static void test_a_taken_address(void **context)
{
    (void)context;
    for (unsigned i = 0; i < CLASSES; i++) {
        static struct board board;
        struct device first, second;
        struct error error = {0};
        board_open(&board);
        assert_int_equal(classes[i]->create(&board.wiring, &first, &error), 0);
        unsigned ports = board.ports.count, mmio = board.mmio.count;
        assert_true(ports + mmio > 0);
        assert_int_equal(classes[i]->create(&board.wiring, &second, &error), -1);
        assert_true(error.text[0]);
        assert_int_equal(board.ports.count, ports);
        assert_int_equal(board.mmio.count, mmio);
        first.ops->destroy(first.object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_on_one_board),
        cmocka_unit_test(test_a_taken_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
