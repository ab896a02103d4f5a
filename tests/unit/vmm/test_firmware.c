/*
 * What a kernel finds in the first mebibyte, field by field: BIOS data area and EBDA, MP table
 * (Intel MultiProcessor Specification 1.4, chapter 4), SMBIOS (DSP0134 2.8, section 7), the memory
 * map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/boot/bios.h"
#include "vmm/boot/map.h"
#include "vmm/boot/mptable.h"
#include "vmm/boot/smbios.h"

enum { CPUS = 3 };

struct fixture {
    struct memory memory;
    struct error error;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const struct memory_backend ram = {.size = 64 << 20};
    assert_int_equal(memory_create(&f->memory, &ram, 1, &f->error), 0);
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

static uint64_t word(const struct fixture *f, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    assert_true(memory_read(&f->memory, gpa, &value, size));
    return value;
}

static unsigned sum(const struct fixture *f, uint64_t gpa, uint64_t size)
{
    unsigned total = 0;
    for (uint64_t i = 0; i < size; i++)
        total += (unsigned)word(f, gpa + i, 1);
    return total & 0xff;
}

static bool text_at(const struct fixture *f, uint64_t gpa, const char *text)
{
    uint8_t bytes[64];
    size_t size = strlen(text);
    assert_true(memory_read(&f->memory, gpa, bytes, size));
    return memcmp(bytes, text, size) == 0;
}

/* ---- BIOS ------------------------------------------------------------------------------------ */

static void the_bios_data_area_says_what_there_is(void **state)
{
    struct fixture *f = *state;
    const struct bios_options options = {.time = 86400 * 20000ll + 3600};
    bios_write(&f->memory, &options);
    static const struct {
        unsigned offset, size;
        uint64_t value;
    } fields[] = {
        {0x00, 2, 0x3f8},  /* COM1 */
        {0x02, 2, 0},      /* no COM2 */
        {0x08, 2, 0},      /* no printer */
        {0x0e, 2, 0x9fc0}, /* the EBDA's segment */
        {0x10, 2, 0x0202}, /* a floating-point unit, one serial port, no floppy, no display */
        {0x13, 2, 639},    /* KiB below the EBDA */
        {0x1a, 2, 0x1e},   /* the keyboard's buffer is empty ... */
        {0x1c, 2, 0x1e}, {0x6c, 4, 3600ull * 1193182 / 65536}, {0x72, 2, 0}, /* not a warm start */
        {0x75, 1, 0},                     /* no hard disk that a BIOS could read */
        {0x80, 2, 0x1e},                  /* ... and from here to there */
        {0x82, 2, 0x3e}, {0x96, 1, 0x10}, /* 101 keys */
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (word(f, 0x400 + fields[i].offset, fields[i].size) != fields[i].value)
            fail_msg("40:%x is not %llx", fields[i].offset, (unsigned long long)fields[i].value);
    }
    assert_int_equal(word(f, 0x9fc00, 1), 1); /* KiB */
}

static void vectors_and_rom_lead_to_code(void **state)
{
    struct fixture *f = *state;
    const struct bios_options options = {0};
    bios_write(&f->memory, &options);
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = word(f, 4 * i + 2, 2) * 16 + word(f, 4 * i, 2);
        assert_true(at >= 0xffe00 && at < 0xffff0);
        bool is_irq = (i >= 8 && i < 16) || (i >= 0x70 && i < 0x78);
        assert_int_equal(word(f, at, 1), is_irq ? 0x50 : 0x55); /* PUSH AX or PUSH BP */
    }
    assert_int_not_equal(word(f, 4 * 0x70, 4), word(f, 4 * 8, 4));
    assert_int_equal(word(f, 0xffff0, 1), 0xea);
    uint64_t entry = word(f, 0xffff3, 2) * 16 + word(f, 0xffff1, 2);
    assert_int_equal(word(f, entry, 4), 0x64e6feb0); /* MOV AL, FEh; OUT 64h, AL */
    assert_int_equal(word(f, 0xffffe, 1), 0xfc);     /* an AT */
}

static void the_memory_map_leaves_a_hole_for_adapters(void **state)
{
    struct fixture *f = *state;
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    static const struct boot_memory_range expected[] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x400, 2}, {0xf0000, 0x10000, 2}, {0x100000, 63 << 20, 1}};
    assert_int_equal(boot_memory_map(&f->memory, ranges), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(ranges[i].start == expected[i].start);
        assert_true(ranges[i].size == expected[i].size);
        assert_int_equal(ranges[i].type, expected[i].type);
    }
    assert_int_equal(boot_upper_kib(&f->memory), 63 << 10);
}

/* ---- MP table -------------------------------------------------------------------------------- */

struct counts {
    unsigned processors, buses, io_apics, interrupts, local;
};

static void check_processor(const struct fixture *f, uint64_t at, unsigned number)
{
    assert_int_equal(word(f, at + 1, 1), number);              /* local APIC ID */
    assert_int_equal(word(f, at + 2, 1), 0x14);                /* ... version */
    assert_int_equal(word(f, at + 3, 1), number == 0 ? 3 : 1); /* enabled, boots */
    assert_int_equal(word(f, at + 4, 4), 0x00500f10);          /* signature */
    assert_int_equal(word(f, at + 8, 4) & (1 << 9), 1 << 9);   /* feature flags: APIC */
}

static void check_interrupt(const struct fixture *f, uint64_t at)
{
    unsigned bus = (unsigned)word(f, at + 4, 1), source = (unsigned)word(f, at + 5, 1);
    unsigned input = (unsigned)word(f, at + 7, 1), flags = (unsigned)word(f, at + 2, 2);
    assert_int_equal(word(f, at + 1, 1), 0); /* INT */
    if (bus == 1) {
        assert_int_equal(input, source == 0 ? 2 : source);
        assert_int_equal(flags, source == 7 ? 0xf : 0); /* the SCI is level-triggered, low */
    } else {
        assert_int_equal(flags, 0xf);
        assert_true(input == 5 || input == 9 || input == 10 || input == 11);
    }
}

static void count_entries(const struct fixture *f, uint64_t table, struct counts *counts)
{
    uint64_t at = table + 44;
    for (uint64_t i = word(f, table + 34, 2); i > 0; i--) {
        unsigned type = (unsigned)word(f, at, 1);
        switch (type) {
        case 0:
            check_processor(f, at, counts->processors++);
            break;
        case 1:
            assert_true(text_at(f, at + 2, counts->buses++ ? "ISA   " : "PCI   "));
            break;
        case 2:
            counts->io_apics++;
            assert_int_equal(word(f, at + 3, 1), 1);
            assert_int_equal(word(f, at + 4, 4), 0xfec00000);
            break;
        case 3:
            counts->interrupts++;
            check_interrupt(f, at);
            break;
        default:
            assert_int_equal(type, 4);
            assert_int_equal(word(f, at + 1, 1), counts->local == 0 ? 3 : 1); /* ExtINT, NMI */
            assert_int_equal(word(f, at + 6, 1), 0xff);
            assert_int_equal(word(f, at + 7, 1), counts->local++);
        }
        at += type == 0 ? 20 : 8;
    }
    assert_true(at == table + word(f, table + 4, 2));
}

static void the_mp_table_names_processors_and_interrupts(void **state)
{
    struct fixture *f = *state;
    const struct mptable_options options = {.has_pci = true, .cpus = CPUS};
    struct counts counts = {0};
    assert_int_equal(mptable_write(&f->memory, &options, &f->error), 0);
    /* Found by a search of the ROM in steps of 16. */
    uint64_t pointer = 0xf0000;
    while (pointer < 0x100000 && !text_at(f, pointer, "_MP_"))
        pointer += 16;
    assert_true(pointer < 0x100000);
    assert_int_equal(sum(f, pointer, 16), 0);
    assert_int_equal(word(f, pointer + 8, 1), 1);
    assert_int_equal(word(f, pointer + 9, 1), 4);  /* version 1.4 */
    assert_int_equal(word(f, pointer + 11, 1), 0); /* a table, not a default configuration */
    uint64_t table = word(f, pointer + 4, 4);
    assert_true(text_at(f, table, "PCMP"));
    assert_int_equal(word(f, table + 6, 1), 4);
    assert_int_equal(word(f, table + 36, 4), 0xfee00000);
    assert_int_equal(sum(f, table, word(f, table + 4, 2)), 0);
    count_entries(f, table, &counts);
    assert_int_equal(counts.processors, CPUS);
    assert_int_equal(counts.buses, 2);
    assert_int_equal(counts.io_apics, 1);
    assert_int_equal(counts.interrupts, 15 + 32 * 4);
    assert_int_equal(counts.local, 2);
}

/* ---- SMBIOS ---------------------------------------------------------------------------------- */

/* The structure of that type, the n-th; its strings by number. */
static uint64_t find_structure(const struct fixture *f, unsigned type, unsigned n)
{
    uint64_t at = word(f, 0xfc000 + 0x18, 4), end = at + word(f, 0xfc000 + 0x16, 2);
    while (at < end) {
        if (word(f, at, 1) == type && n-- == 0)
            return at;
        at += word(f, at + 1, 1);
        while (word(f, at, 2))
            at++;
        at += 2;
    }
    return 0;
}

static bool has_string(const struct fixture *f, uint64_t at, uint64_t field, const char *text)
{
    uint64_t number = word(f, at + field, 1);
    uint64_t string = at + word(f, at + 1, 1);
    while (--number > 0) {
        while (word(f, string, 1))
            string++;
        string++;
    }
    return text_at(f, string, text);
}

static void smbios_is_found_and_whole(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(smbios_write(&f->memory, CPUS, &f->error), 0);
    uint64_t entry = 0xfc000;
    assert_true(text_at(f, entry, "_SM_"));
    assert_int_equal(word(f, entry + 5, 1), 0x1f);
    assert_int_equal(sum(f, entry, 0x1f), 0);
    assert_true(text_at(f, entry + 0x10, "_DMI_"));
    assert_int_equal(sum(f, entry + 0x10, 0xf), 0);
    assert_int_equal(word(f, entry + 6, 2), 0x0802); /* 2.8 */
    static const uint8_t lengths[][2] = {{0, 0x18}, {1, 0x1b}, {3, 0x16}, {4, 0x2a}, {16, 0x17},
        {17, 0x28}, {19, 0x1f}, {32, 0x0b}, {127, 0x04}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint64_t at = find_structure(f, lengths[i][0], 0);
        if (!at || word(f, at + 1, 1) != lengths[i][1])
            fail_msg("type %u is missing or has another length", lengths[i][0]);
    }
    assert_int_equal(word(f, entry + 0x1c, 2), 8 + CPUS);
    assert_true(find_structure(f, 4, CPUS - 1) != 0);
    assert_true(find_structure(f, 4, CPUS) == 0);
}

static void smbios_describes_this_machine(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(smbios_write(&f->memory, CPUS, &f->error), 0);
    uint64_t firmware = find_structure(f, 0, 0), system = find_structure(f, 1, 0);
    assert_true(has_string(f, firmware, 4, "hindsight"));
    assert_int_equal(word(f, firmware + 6, 2), 0xf000);
    assert_int_equal(word(f, firmware + 0x13, 1) & 0x10, 0x10); /* a virtual machine */
    assert_true(has_string(f, system, 4, "hindsight"));
    assert_true(has_string(f, system, 5, "hs64-v1"));
    uint64_t processor = find_structure(f, 4, 1);
    assert_true(has_string(f, processor, 4, "CPU 1"));
    assert_int_equal(word(f, processor + 8, 4), 0x00500f10);
    assert_int_equal(word(f, processor + 0x14, 2), 2000); /* MHz */
    assert_int_equal(word(f, processor + 0x18, 1), 0x41);
    uint64_t array = find_structure(f, 16, 0), device = find_structure(f, 17, 0);
    assert_int_equal(word(f, array + 7, 4), 64 << 10); /* KiB */
    assert_int_equal(word(f, device + 0x0c, 2), 64);   /* MiB */
    assert_int_equal(word(f, device + 4, 2), word(f, array + 2, 2));
    uint64_t range = find_structure(f, 19, 0);
    assert_int_equal(word(f, range + 4, 4), UINT32_MAX);
    assert_int_equal(word(f, range + 0x0f, 8), 0);
    assert_int_equal(word(f, range + 0x17, 8), (64 << 20) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bios_data_area_says_what_there_is, setup, teardown),
        cmocka_unit_test_setup_teardown(vectors_and_rom_lead_to_code, setup, teardown),
        cmocka_unit_test_setup_teardown(the_memory_map_leaves_a_hole_for_adapters, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_mp_table_names_processors_and_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(smbios_is_found_and_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(smbios_describes_this_machine, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
