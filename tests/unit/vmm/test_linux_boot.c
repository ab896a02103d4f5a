/* Expectations from Linux: Documentation/arch/x86/boot.rst; ACPI Specification 6.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/boot/acpi.h"
#include "vmm/boot/boot.h"
#include "vmm/machine/panic.h"

enum { SECTORS = 3, KERNEL_BYTES = 0x4000, IMAGE = (SECTORS + 1) * 512 + KERNEL_BYTES };

struct fixture {
    struct memory memory;
    uint8_t image[IMAGE];
    uint8_t initrd[100];
    struct boot_image module;
    struct boot_choice choice;
    struct boot_request request;
    struct vcpu_state state;
    struct error error;
};

static void put(uint8_t *image, size_t offset, unsigned size, uint64_t value)
{
    memcpy(image + offset, &value, size);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const struct memory_backend ram = {.size = 64 << 20};
    assert_int_equal(memory_create(&f->memory, &ram, 1, &f->error), 0);
    uint8_t *image = f->image;
    put(image, 0x1f1, 1, SECTORS);
    put(image, 0x1f4, 4, KERNEL_BYTES / 16);
    put(image, 0x1fe, 2, 0xaa55);
    put(image, 0x200, 2, 0x6aeb); /* jmp over the header: it ends at 0x26c */
    memcpy(image + 0x202, "HdrS", 4);
    put(image, 0x206, 2, 0x20f);
    put(image, 0x211, 1, 1);
    put(image, 0x22c, 4, 0x7fffffff);
    put(image, 0x236, 2, 1);
    put(image, 0x238, 4, 2047);
    put(image, 0x258, 8, 0x1000000);
    put(image, 0x260, 4, 0x800000);
    memcpy(image + (SECTORS + 1) * 512, "start", 5);
    memset(f->initrd, 'i', sizeof f->initrd);
    f->module = (struct boot_image){"initrd", f->initrd, sizeof f->initrd};
    f->request = (struct boot_request){.kernel = {"bzImage", image, IMAGE},
        .modules = &f->module,
        .module_count = 1,
        .command_line = "console=ttyS0"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memory_destroy(&f->memory);
    free(f);
    return 0;
}

static int load(struct fixture *f)
{
    return boot_load(&f->memory, &f->request, &f->state, &f->choice, &f->error);
}

static uint64_t word(struct fixture *f, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    assert_true(memory_read(&f->memory, gpa, &value, size));
    return value;
}

static void the_64_bit_entry_is_taken(void **state)
{
    struct fixture *f = *state;
    if (load(f) < 0)
        fail_msg("%s", f->error.text);
    assert_true(f->state.rip == 0x1000000 + 0x200);
    assert_memory_equal(memory_at(&f->memory, 0x1000000, 5), "start", 5);
    assert_true(vcpu_in_64bit_mode(&f->state));
    assert_int_equal(f->state.segment[SEG_CS].selector, 0x10);
    assert_int_equal(f->state.segment[SEG_DS].selector, 0x18);
    assert_false(f->state.rflags & FLAG_IF);
    uint64_t params = f->state.gpr[RSI];
    assert_int_equal(word(f, params + 0x202, 4), 0x53726448);
    assert_int_equal(word(f, params + 0x210, 1), 0xff);
    uint64_t initrd = word(f, params + 0x218, 4);
    assert_int_equal(word(f, params + 0x21c, 4), sizeof f->initrd);
    assert_true(initrd >= 0x1800000 && initrd % 4096 == 0);
    assert_memory_equal(memory_at(&f->memory, initrd, 100), f->initrd, 100);
    const char *line = (const char *)memory_at(&f->memory, word(f, params + 0x228, 4), 14);
    assert_string_equal(line, "console=ttyS0");
    assert_true(word(f, params + 0x70, 8) == 0xf0000);
    /* E820: RAM to the EBDA, that and the ROM reserved, a hole between them, RAM to the end. */
    static const uint64_t map[][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xf0000, 0x10000, 2}, {0x100000, 63 << 20, 1}};
    assert_int_equal(word(f, params + 0x1e8, 1), 4);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entry = params + 0x2d0 + i * 20;
        assert_true(word(f, entry, 8) == map[i][0]);
        assert_true(word(f, entry + 8, 8) == map[i][1]);
        assert_int_equal(word(f, entry + 16, 4), map[i][2]);
    }
    assert_int_equal(f->choice.protocol, BOOT_LINUX);
    assert_non_null(strstr(f->choice.reason, "64-bit entry"));
}

static void a_kernel_without_the_64_bit_entry_starts_in_protected_mode(void **state)
{
    struct fixture *f = *state;
    put(f->image, 0x236, 2, 0);
    f->request.protocol = BOOT_AUTO;
    if (load(f) < 0)
        fail_msg("%s", f->error.text);
    assert_true(f->state.rip == 0x1000000);
    assert_true(f->state.cr0 == (CR0_PE | CR0_ET));
    assert_int_equal(f->state.efer, 0);
    assert_int_equal(f->state.segment[SEG_CS].selector, 0x10);
    assert_true(f->state.segment[SEG_CS].attributes & SEG_DB);
    assert_true(f->state.segment[SEG_CS].limit == UINT32_MAX);
    assert_int_equal(f->state.segment[SEG_SS].selector, 0x18);
    assert_int_equal(f->state.gpr[RBX], 0);
    assert_int_equal(f->state.gpr[RBP], 0);
    assert_int_equal(f->state.gpr[RDI], 0);
    assert_int_equal(word(f, f->state.gpr[RSI] + 0x202, 4), 0x53726448);
    assert_non_null(strstr(f->choice.reason, "32-bit entry"));
    /* Before version 2.10 it is loaded where its header has the 32-bit entry. */
    put(f->image, 0x206, 2, 0x209);
    put(f->image, 0x214, 4, 0x100000);
    if (load(f) < 0)
        fail_msg("%s", f->error.text);
    assert_true(f->state.rip == 0x100000);
}

static void refused(struct fixture *f, const char *text)
{
    assert_int_equal(load(f), -1);
    if (!strstr(f->error.text, text))
        fail_msg("'%s' does not say '%s'", f->error.text, text);
}

static void what_cannot_boot_is_refused(void **state)
{
    struct fixture *f = *state;
    f->request.kernel.size = IMAGE - 100;
    refused(f, "truncated");
    f->request.kernel.size = 0x210;
    refused(f, "truncated");
    f->request.kernel.size = IMAGE;
    put(f->image, 0x206, 2, 0x207);
    refused(f, "16-bit entry is needed, whose BIOS calls are not there");
    put(f->image, 0x206, 2, 0x20f);
    put(f->image, 0x211, 1, 0);
    refused(f, "zImage");
    put(f->image, 0x211, 1, 1);
    f->request.module_count = 2;
    refused(f, "one initrd");
    f->request.module_count = 1;
    put(f->image, 0x238, 4, 10);
    refused(f, "this kernel takes 10");
    put(f->image, 0x238, 4, 2047);
    put(f->image, 0x260, 4, 49 << 20);
    refused(f, "at least 65 MiB");
    put(f->image, 0x260, 4, 0x800000);
    f->module.size = 64 << 20;
    f->module.data = memory_at(&f->memory, 0, 64 << 20);
    refused(f, "does not fit");
    f->request.module_count = 0;
    put(f->image, 0x258, 8, 0x100);
    refused(f, "not memory");
    f->image[0x203] = 0;
    f->request.protocol = BOOT_LINUX;
    refused(f, "not a Linux kernel image");
}

static unsigned sum(struct fixture *f, uint64_t gpa, uint64_t size)
{
    unsigned total = 0;
    for (uint64_t i = 0; i < size; i++)
        total += (unsigned)word(f, gpa + i, 1);
    return total & 0xff;
}

static void tables_are_found_from_the_rsdp(void **state)
{
    struct fixture *f = *state;
    const struct acpi_options options = {.has_pci = true};
    assert_int_equal(acpi_write_tables(&f->memory, &options, &f->error), 0);
    assert_memory_equal(memory_at(&f->memory, 0xf0000, 8), "RSD PTR ", 8);
    assert_int_equal(sum(f, 0xf0000, 20), 0);
    assert_int_equal(sum(f, 0xf0000, 36), 0);
    uint64_t xsdt = word(f, 0xf0000 + 24, 8);
    assert_memory_equal(memory_at(&f->memory, xsdt, 4), "XSDT", 4);
    uint64_t count = (word(f, xsdt + 4, 4) - 36) / 8;
    assert_int_equal(count, 2);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t table = word(f, xsdt + 36 + 8 * i, 8);
        assert_int_equal(sum(f, table, word(f, table + 4, 4)), 0);
    }
    uint64_t fadt = word(f, xsdt + 36, 8);
    assert_memory_equal(memory_at(&f->memory, fadt, 4), "FACP", 4);
    assert_int_equal(word(f, fadt + 4, 4), 244);
    assert_int_equal(word(f, fadt + 56, 4), 0x600);     /* PM1a_EVT_BLK */
    assert_int_equal(word(f, fadt + 64, 4), 0x604);     /* PM1a_CNT_BLK */
    assert_int_equal(word(f, fadt + 76, 4), 0x608);     /* PM_TMR_BLK */
    assert_int_equal(word(f, fadt + 91, 1), 4);         /* PM_TMR_LEN */
    assert_int_equal(word(f, fadt + 108, 1), 0x32);     /* CENTURY */
    assert_int_equal(word(f, fadt + 116 + 4, 8), 0x64); /* RESET_REG */
    assert_int_equal(word(f, fadt + 128, 1), 0xfe);
    assert_int_equal(word(f, fadt + 36, 4) % 64, 0); /* FACS */
    uint64_t dsdt = word(f, fadt + 140, 8);
    assert_true(dsdt == word(f, fadt + 40, 4));
    assert_int_equal(sum(f, dsdt, word(f, dsdt + 4, 4)), 0);
    /* Name (\_S5, Package (4) {5, 5, 0, 0}) */
    static const uint8_t s5[] = {
        0x08, '\\', '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 5, 0x0a, 5, 0, 0};
    assert_memory_equal(memory_at(&f->memory, dsdt + 36, sizeof s5), s5, sizeof s5);
}

static void the_hpet_has_a_table_and_a_device(void **state)
{
    struct fixture *f = *state;
    const struct acpi_options options = {.has_hpet = true};
    assert_int_equal(acpi_write_tables(&f->memory, &options, &f->error), 0);
    uint64_t rsdt = word(f, 0xf0000 + 16, 4), xsdt = word(f, 0xf0000 + 24, 8);
    assert_int_equal(word(f, rsdt + 4, 4), 36 + 3 * 4);
    assert_int_equal(word(f, xsdt + 4, 4), 36 + 3 * 8);
    uint64_t hpet = word(f, xsdt + 36 + 16, 8);
    assert_true(hpet == word(f, rsdt + 36 + 8, 4));
    assert_memory_equal(memory_at(&f->memory, hpet, 4), "HPET", 4);
    assert_int_equal(word(f, hpet + 4, 4), 56);
    assert_int_equal(sum(f, hpet, 56), 0);
    assert_int_equal(word(f, hpet + 36, 4), 0x1022a201); /* as its capabilities say */
    assert_int_equal(word(f, hpet + 40, 1), 0);          /* in memory */
    assert_int_equal(word(f, hpet + 41, 1), 64);
    assert_int_equal(word(f, hpet + 44, 8), 0xfed00000);
    assert_int_equal(word(f, hpet + 52, 1), 0);   /* its number */
    assert_int_equal(word(f, hpet + 53, 2), 100); /* ticks of the shortest period */
    uint64_t dsdt = word(f, word(f, xsdt + 36, 8) + 140, 8), size = word(f, dsdt + 4, 4);
    assert_int_equal(sum(f, dsdt, size), 0);
    /* _HID PNP0103, Memory32Fixed (ReadWrite, 0xfed00000, 0x400) */
    static const uint8_t id[] = {0x0c, 0x41, 0xd0, 0x01, 0x03};
    static const uint8_t range[] = {0x86, 9, 0, 1, 0, 0, 0xd0, 0xfe, 0, 4, 0, 0};
    const uint8_t *bytes = memory_at(&f->memory, dsdt, size);
    assert_non_null(memmem(bytes, size, id, sizeof id));
    assert_non_null(memmem(bytes, size, range, sizeof range));
}

static unsigned panics;
static size_t passed_on, typed;

static void panicked(void *machine)
{
    (void)machine;
    panics++;
}

static void pass_on(void *target, const uint8_t *bytes, size_t count)
{
    (void)target;
    (void)bytes;
    passed_on += count;
}

static void type(struct panic_watch *watch, const char *text)
{
    struct byte_sink sink = panic_watch_sink(watch);
    typed += strlen(text);
    for (const char *at = text; *at; at++)
        sink_put(&sink, (const uint8_t *)at, 1);
}

static void a_panic_is_noticed_when_it_is_complete(void **state)
{
    (void)state;
    const struct panic_watch_config config = {.next = {pass_on, NULL}, .panicked = panicked};
    struct panic_watch *watch = panic_watch_create(&config, NULL);
    assert_non_null(watch);
    panics = 0;
    type(watch, "all is well\r\n[    1.5] Kernel panic - not syncing: Attempted to kill init!\r\n");
    assert_int_equal(panics, 0);
    assert_string_equal(
        panic_watch_text(watch), "Kernel panic - not syncing: Attempted to kill init!");
    /* A restored watch goes on in the middle of a line. */
    type(watch, "[ 2.0] ---[ end Ker");
    struct device device = panic_watch_device(watch);
    struct buffer saved = {0};
    device.ops->save(watch, &saved);
    device.ops->reset(watch);
    assert_string_equal(panic_watch_text(watch), "");
    struct reader in;
    reader_init(&in, saved.data, saved.size);
    device.ops->restore(watch, &in);
    assert_false(in.failed);
    type(watch, "nel panic - not syncing: Attempted to kill init! ]---\r");
    assert_int_equal(panics, 1);
    assert_string_equal(
        panic_watch_text(watch), "Kernel panic - not syncing: Attempted to kill init!");
    assert_int_equal(passed_on, typed);
    buffer_free(&saved);
    panic_watch_destroy(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_64_bit_entry_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_kernel_without_the_64_bit_entry_starts_in_protected_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_boot_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_are_found_from_the_rsdp, setup, teardown),
        cmocka_unit_test_setup_teardown(the_hpet_has_a_table_and_a_device, setup, teardown),
        cmocka_unit_test(a_panic_is_noticed_when_it_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
