/* What ring 3 has around it under a monitor (vmm/kvm/monitor_image.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vmm/kvm/monitor_image.h"

enum { RAM = 2 << 20, TABLES = 0x1000, GDT = 0x8000, LDT = 0x20000, INDEX = 500 };
#define IMAGE_GPA 0x2000000000ull
#define BASE      0xfffffa0000000000ull
#define CODE      0x00affb000000ffffull /* of ring 3 */
#define DATA      0x00cff3000000ffffull
#define CALL_GATE 0x0000ec0000080000ull /* that ring 3 may call */

static struct memory memory;
static struct vcpu_state guest;
static struct monitor_image image;
static struct error error;

static void put(uint64_t gpa, uint64_t value)
{
    assert_true(memory_write(&memory, gpa, &value, sizeof value));
}

static int set_up(void **state)
{
    static const uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, DATA, CODE};
    const struct memory_backend backend = {.size = RAM};
    (void)state;
    if (memory_create(&memory, &backend, 1, &error) < 0)
        return -1;
    put(TABLES, (TABLES + 0x1000) | 0x67);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 0x67);
    put(TABLES + 0x2000, 0xe7);
    assert_true(memory_write(&memory, GDT, gdt, sizeof gdt));
    vcpu_reset(&guest);
    guest.cr0 = CR0_PE | CR0_PG;
    guest.cr3 = TABLES;
    guest.cr4 = CR4_PAE;
    guest.efer = EFER_LME | EFER_LMA;
    guest.gdt = (struct descriptor_table){GDT, sizeof gdt - 1};
    guest.ldt = (struct segment){0};
    image = (struct monitor_image){.host = calloc(MONITOR_PAGES, PAGE_SIZE), .gpa = IMAGE_GPA};
    if (!image.host)
        return -1;
    monitor_image_place(&image, INDEX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(image.host);
    memory_destroy(&memory);
    return 0;
}

static uint64_t word(unsigned page, unsigned offset)
{
    uint64_t value;
    memcpy(&value, image.host + page * PAGE_SIZE + offset, sizeof value);
    return value;
}

static bool take(void)
{
    return monitor_image_take_tables(&image, &memory, &guest);
}

static void every_gate_is_for_ring_0_and_leads_to_its_own_port(void **state)
{
    (void)state;
    assert_true(take());
    assert_int_equal(image.base, BASE);
    for (unsigned i = 0; i < 256; i++) {
        const uint64_t low = word(MONITOR_IDT, 16 * i);
        const uint64_t stub =
            (low & 0xffff) | (low >> 48) << 16 | word(MONITOR_IDT, 16 * i + 8) << 32;
        assert_int_equal(low >> 40 & 0xff, 0x8e);
        assert_int_equal(low >> 32 & 7, 0);
        assert_int_equal(low >> 16 & 0xffff, image.selector);
        const uint64_t offset = stub - (BASE + MONITOR_CODE * PAGE_SIZE);
        assert_in_range(offset, 0, PAGE_SIZE - 4);
        const uint8_t *code = image.host + MONITOR_CODE * PAGE_SIZE + offset;
        assert_int_equal(code[0], 0xe6);
        assert_int_equal(code[1], i);
        assert_int_equal(code[2], 0xf4);
    }
}

static void it_is_mapped_for_ring_0_alone_and_mostly_read_only(void **state)
{
    (void)state;
    const uint64_t entry = monitor_image_entry(&image);
    const uint64_t tables = IMAGE_GPA + MONITOR_TABLES * PAGE_SIZE;
    assert_int_equal(entry & ~0xfffull, tables);
    assert_int_equal(word(MONITOR_TABLES, 0) & ~0xfffull, tables + PAGE_SIZE);
    assert_int_equal(word(MONITOR_TABLES + 1, 0) & ~0xfffull, tables + 2 * PAGE_SIZE);
    for (unsigned i = 0; i < 512; i++) {
        const uint64_t page = word(MONITOR_TABLES + 2, 8 * i);
        assert_int_equal(page & 1, i < MONITOR_MAPPED);
        assert_int_equal(page & 4, 0);
        if (i >= MONITOR_MAPPED)
            continue;
        assert_int_equal(page & 0xffffffffff000, IMAGE_GPA + i * PAGE_SIZE);
        assert_int_equal(page >> 1 & 1, i == MONITOR_STACK);
        assert_int_equal(page >> 63, i != MONITOR_CODE);
    }
}

static void the_tables_are_the_guests_and_one_segment_more(void **state)
{
    (void)state;
    struct vcpu_state shown = guest;
    assert_true(take());
    assert_int_equal(image.selector, 6 * 8);
    assert_int_equal(word(MONITOR_GDT, 5 * 8), CODE);
    assert_int_equal(word(MONITOR_GDT, 6 * 8), 0x00af9b000000ffff);
    monitor_image_install(&image, &shown);
    assert_int_equal(shown.gdt.base, BASE);
    assert_int_equal(shown.gdt.limit, 7 * 8 - 1);
    assert_int_equal(shown.idt.base, BASE + MONITOR_IDT * PAGE_SIZE);
    assert_int_equal(shown.tr.base, BASE + MONITOR_TSS * PAGE_SIZE);
    assert_false(shown.ldt.attributes & SEG_P);
    /* Half a descriptor at the end is none. */
    guest.gdt.limit = 5 * 8 + 3;
    assert_true(take());
    assert_int_equal(image.selector, 6 * 8);
    assert_int_equal(word(MONITOR_GDT, 5 * 8), CODE & UINT32_MAX);
}

static void an_ldt_is_copied_too(void **state)
{
    struct segment segment;
    (void)state;
    put(LDT + 8, CODE);
    guest.ldt =
        (struct segment){.base = LDT, .limit = 15, .selector = 0x30, .attributes = 2 | SEG_P};
    struct vcpu_state shown = guest;
    assert_true(take());
    monitor_image_install(&image, &shown);
    assert_int_equal(shown.ldt.base, BASE + MONITOR_LDT * PAGE_SIZE);
    assert_int_equal(shown.ldt.selector, 0x30);
    assert_true(monitor_image_segment(&image, 0x0f, &segment));
    assert_int_equal(segment.attributes, 0xafb);
    guest.ldt.limit = 0x10000;
    assert_false(take());
}

static void tables_that_cannot_be_copied_exactly_are_refused(void **state)
{
    (void)state;
    assert_true(take());
    guest.gdt.base = RAM;
    assert_false(take());
    guest.gdt.base = GDT;
    guest.gdt.limit = UINT16_MAX; /* no room for one more */
    assert_false(take());
    guest.gdt.limit = 6 * 8 - 1;
    put(GDT + 3 * 8, CALL_GATE);
    assert_false(take());
    put(GDT + 3 * 8, CALL_GATE & ~(3ull << 45)); /* for ring 0 */
    assert_true(take());
    put(TABLES + 0x2000, 0xe7 & ~0x20); /* reading it would set its accessed bit */
    assert_false(take());
}

static void a_segment_is_what_its_descriptor_says(void **state)
{
    struct segment segment;
    (void)state;
    put(GDT + 3 * 8, 0x1240f23456781234); /* limit in bytes */
    assert_true(take());
    assert_true(monitor_image_segment(&image, 5 * 8 | 3, &segment));
    assert_int_equal(segment.selector, 5 * 8 | 3);
    assert_int_equal(segment.base, 0);
    assert_int_equal(segment.limit, UINT32_MAX);
    assert_int_equal(segment.attributes, 0xafb);
    assert_true(monitor_image_segment(&image, 3 * 8 | 3, &segment));
    assert_int_equal(segment.base, 0x12345678);
    assert_int_equal(segment.limit, 0x01234);
    assert_false(monitor_image_segment(&image, 1 * 8 | 3, &segment)); /* ring 0's */
    assert_false(monitor_image_segment(&image, 3, &segment));
}

static void frames_come_with_and_without_an_error_code(void **state)
{
    struct monitor_frame frame;
    const uint64_t pushed[] = {2, 0x401000, 0x33, 0x10202, 0x7fff0000, 0x2b};
    const uint64_t top = BASE + (MONITOR_STACK + 1) * PAGE_SIZE;
    (void)state;
    assert_int_equal(word(MONITOR_TSS, 4), top);
    memcpy(image.host + (MONITOR_STACK + 1) * PAGE_SIZE - sizeof pushed, pushed, sizeof pushed);
    assert_true(monitor_image_frame(&image, top - 48, &frame));
    assert_memory_equal(&frame, pushed, sizeof pushed);
    assert_true(monitor_image_frame(&image, top - 40, &frame));
    assert_int_equal(frame.error, 0);
    assert_int_equal(frame.ss, 0x2b);
    assert_false(monitor_image_frame(&image, top, &frame));
    assert_false(monitor_image_frame(&image, 0x7fff0000, &frame));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_gate_is_for_ring_0_and_leads_to_its_own_port),
        TEST(it_is_mapped_for_ring_0_alone_and_mostly_read_only),
        TEST(the_tables_are_the_guests_and_one_segment_more),
        TEST(an_ldt_is_copied_too),
        TEST(tables_that_cannot_be_copied_exactly_are_refused),
        TEST(a_segment_is_what_its_descriptor_says),
        TEST(frames_come_with_and_without_an_error_code),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
