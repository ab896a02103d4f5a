/* Shadow page tables (vmm/kvm/shadow.h): they allow what the guest's allow without a bit being set
 * in those, now and after each change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vmm/arch/translate.h"
#include "vmm/kvm/shadow.h"

enum {
    RAM = 8 << 20,
    TOP = 0x1000,
    TABLE3 = 0x2000,
    TABLE2 = 0x3000,
    TABLE1 = 0x4000,
    OTHER = 0x5000
};
enum {
    P = SHADOW_PRESENT,
    W = SHADOW_WRITABLE,
    U = SHADOW_USER,
    A = SHADOW_ACCESSED,
    D = SHADOW_DIRTY
};
enum { ROOM = 8, LINK = P | W | U | A, PAGE = LINK | D };
#define SHADOW_GPA 0x2000000000ull
#define NX         SHADOW_NX

static struct memory memory;
static struct shadow shadow;
static struct vcpu_state vcpu;
static uint64_t (*entries)[SHADOW_ENTRIES];
static struct error error;

static void put(uint64_t table, unsigned index, uint64_t entry)
{
    assert_true(memory_write(&memory, table + 8ull * index, &entry, sizeof entry));
}

static uint64_t get(uint64_t table, unsigned index)
{
    uint64_t entry;
    assert_true(memory_read(&memory, table + 8ull * index, &entry, sizeof entry));
    return entry;
}

static int set_up(void **state)
{
    (void)state;
    const struct memory_backend backend = {.size = RAM};
    entries = aligned_alloc(PAGE_SIZE, ROOM * PAGE_SIZE);
    vcpu_reset(&vcpu);
    vcpu.cr0 = CR0_PE | CR0_PG | CR0_WP;
    vcpu.cr3 = TOP;
    vcpu.cr4 = CR4_PAE;
    vcpu.efer = EFER_LME | EFER_LMA | EFER_NXE;
    if (!entries || memory_create(&memory, &backend, 1, &error) < 0 ||
        shadow_create(&shadow, &memory, entries, SHADOW_GPA, ROOM, &error) < 0)
        return -1;
    put(TOP, 0, TABLE3 | LINK);
    put(TABLE3, 0, TABLE2 | LINK);
    put(TABLE2, 0, TABLE1 | LINK);
    put(TABLE1, 5, 0x100000 | PAGE);
    shadow_follow(&shadow, &vcpu);
    shadow.stale = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shadow_destroy(&shadow);
    memory_destroy(&memory);
    free(entries);
    return 0;
}

/* What a processor finds; 0: a fault. */
static uint64_t walk(uint64_t linear)
{
    unsigned number = 0;
    for (unsigned level = 4;; level--) {
        uint64_t entry = entries[number][linear >> (12 + 9 * (level - 1)) & 511];
        if (!(entry & P) || !(entry & U))
            return 0;
        if (level == 1 || (entry & SHADOW_LARGE))
            return entry;
        uint64_t gpa = entry & SHADOW_ADDRESS;
        assert_in_range(gpa, SHADOW_GPA, SHADOW_GPA + (ROOM - 1) * PAGE_SIZE);
        number = (unsigned)((gpa - SHADOW_GPA) / PAGE_SIZE);
    }
}

static bool allows(unsigned access)
{
    shadow_follow(&shadow, &vcpu);
    return shadow_map(&shadow, 0x5000, access);
}

static void a_page_is_mapped_as_the_guest_maps_it(void **state)
{
    (void)state;
    assert_true(allows(0));
    assert_int_equal(walk(0x5000), 0x100000 | PAGE);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_true(allows(SHADOW_ACCESS_EXECUTE));
    assert_false(shadow_map(&shadow, 0x6000, 0));
    assert_false(shadow_map(&shadow, 0x5000 | 1ull << 47, 0));
}

static void nothing_is_mapped_whose_accessed_bit_is_to_be_set(void **state)
{
    static const struct {
        uint64_t table;
        unsigned index;
    } places[] = {{TOP, 0}, {TABLE3, 0}, {TABLE2, 0}, {TABLE1, 5}};
    (void)state;
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint64_t entry = get(places[i].table, places[i].index);
        put(places[i].table, places[i].index, entry & ~(uint64_t)A);
        assert_false(allows(0));
        assert_int_equal(walk(0x5000), 0);
        put(places[i].table, places[i].index, entry);
        assert_true(allows(0));
    }
}

static void a_clean_page_is_read_only_until_it_is_dirty(void **state)
{
    (void)state;
    put(TABLE1, 5, 0x100000 | LINK);
    assert_true(allows(0));
    assert_false(allows(SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(0x5000) & W, 0);
    put(TABLE1, 5, 0x100000 | PAGE);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(0x5000) & W, W);
}

static void rights_of_upper_tables_count(void **state)
{
    (void)state;
    put(TABLE3, 0, TABLE2 | P | U | A);
    assert_true(allows(0));
    assert_false(allows(SHADOW_ACCESS_WRITE));
    put(TABLE3, 0, TABLE2 | LINK | NX);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_false(allows(SHADOW_ACCESS_EXECUTE));
    put(TABLE3, 0, TABLE2 | P | W | A);
    assert_false(allows(0));
}

static void what_is_not_ram_or_reserved_is_not_mapped(void **state)
{
    static const uint64_t bad[] = {
        RAM | PAGE, 0xfee00000 | PAGE, SHADOW_GPA | PAGE, 1ull << 45 | PAGE};
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(TABLE1, 5, bad[i]);
        assert_false(allows(0));
        put(TABLE1, 5, 0x100000 | PAGE);
        put(TABLE2, 0, bad[i]);
        assert_false(allows(0));
        put(TABLE2, 0, TABLE1 | LINK);
    }
    put(TABLE1, 5, 0x100000 | PAGE | NX);
    assert_true(allows(0));
    vcpu.efer &= ~EFER_NXE;
    assert_false(allows(0));
}

static void large_pages_are_mapped_as_such(void **state)
{
    (void)state;
    put(TABLE2, 0, 0x200000 | PAGE | SHADOW_LARGE);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(0x5000), 0x200000 | PAGE | SHADOW_LARGE);
    put(TABLE2, 0, 0x202000 | PAGE | SHADOW_LARGE); /* a reserved bit */
    assert_false(allows(0));
    put(TABLE2, 0, RAM | PAGE | SHADOW_LARGE);
    assert_false(allows(0));
    put(TABLE3, 0, 0 | PAGE | SHADOW_LARGE); /* 1 GiB, of which not all is RAM */
    assert_false(allows(0));
}

static void a_mapping_that_is_gone_may_be_in_a_tlb(void **state)
{
    (void)state;
    assert_true(allows(0));
    put(TABLE1, 6, 0x101000 | PAGE);
    shadow_follow(&shadow, &vcpu);
    assert_false(shadow.stale);
    put(TABLE1, 5, 0x102000 | PAGE);
    shadow_follow(&shadow, &vcpu);
    assert_true(shadow.stale);
    assert_int_equal(walk(0x5000), 0x102000 | PAGE);
    shadow.stale = false;
    put(OTHER, 5, 0x103000 | PAGE);
    put(TABLE2, 0, OTHER | LINK);
    assert_true(allows(0));
    assert_true(shadow.stale);
    assert_int_equal(walk(0x5000), 0x103000 | PAGE);
}

static void another_top_is_another_shadow(void **state)
{
    enum { SECOND = 0x6000 };
    (void)state;
    assert_true(allows(0));
    vcpu.cr3 = SECOND;
    assert_false(allows(0));
    assert_int_equal(walk(0x5000), 0);
    vcpu.cr3 = TOP;
    assert_true(allows(0));
    vcpu.cr3 = RAM;
    assert_false(allows(0));
}

static void room_that_runs_out_is_found_again(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 20; i++)
        put(TABLE2, i, TABLE1 | LINK);
    shadow_follow(&shadow, &vcpu);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 20; i++) {
            assert_true(shadow_map(&shadow, i << 21 | 0x5000, SHADOW_ACCESS_WRITE));
            assert_int_equal(walk(i << 21 | 0x5000), 0x100000 | PAGE);
        }
    }
}

/* The top table maps itself: every level is the same page. */
static void tables_that_lead_to_themselves_end(void **state)
{
    (void)state;
    put(TOP, 1, TOP | PAGE);
    shadow_follow(&shadow, &vcpu);
    assert_true(shadow_map(&shadow, 0x8040201000, 0));
    assert_int_equal(walk(0x8040201000), TOP | PAGE);
}

static void the_callers_entry_is_out_of_the_guests_reach(void **state)
{
    (void)state;
    const uint64_t own = 0x123000 | P | W | A;
    unsigned index = shadow_unused(&shadow, &vcpu);
    assert_int_equal(index, 511);
    shadow_set_own(&shadow, index, own);
    assert_true(allows(0));
    assert_int_equal(entries[0][index], own);
    put(TOP, index, TABLE3 | P | W | A); /* a kernel's */
    assert_int_equal(shadow_unused(&shadow, &vcpu), index);
    shadow_follow(&shadow, &vcpu);
    assert_int_equal(entries[0][index], own);
    assert_false(shadow_map(&shadow, 0xffffff8000005000, 0));
    put(TOP, index, TABLE3 | LINK);
    assert_int_equal(shadow_unused(&shadow, &vcpu), 510);
    for (unsigned i = 256; i < 512; i++)
        put(TOP, i, TABLE3 | LINK);
    assert_int_equal(shadow_unused(&shadow, &vcpu), 0);
}

/* May ring 3 do it by the guest's tables, with no bit to be set? */
static bool expected(uint64_t linear, unsigned access, uint64_t *gpa)
{
    struct translation found;
    if (!translate(&memory, &vcpu, linear, &found) || !found.user)
        return false;
    for (unsigned i = 0; i < found.levels; i++)
        if (!(found.entry[i] & A))
            return false;
    /* What translate() does not look at: reserved bits. */
    if ((found.entry[0] & SHADOW_LARGE) ||
        (found.page_size == 2 << 20 && (found.entry[found.levels - 1] & 0x1fe000)))
        return false;
    if ((access & SHADOW_ACCESS_WRITE) && (!found.writable || !(found.entry[found.levels - 1] & D)))
        return false;
    if ((access & SHADOW_ACCESS_EXECUTE) && !found.executable)
        return false;
    *gpa = found.gpa;
    return memory_at(&memory, found.gpa & ~(found.page_size - 1), found.page_size) != NULL;
}

static bool begins_with_nop(const uint8_t *code, size_t size)
{
    return size >= 1 && code[0] == 0x90;
}

/* From now on, in tables made anew. */
static void look_at_code(void)
{
    shadow.may_execute = begins_with_nop;
    vcpu.cr3 = OTHER;
    shadow_follow(&shadow, &vcpu);
    vcpu.cr3 = TOP;
    shadow_follow(&shadow, &vcpu);
    shadow.stale = false;
}

static void code_is_looked_at_before_it_is_executed(void **state)
{
    (void)state;
    const uint64_t linear = 0x5000;
    const uint8_t nop = 0x90, other = 0x0f;
    look_at_code();
    assert_true(memory_write(&memory, 0x100000, &nop, 1));
    assert_true(shadow_map(&shadow, linear, SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(linear), 0x100000 | PAGE | NX);
    /* Executable, and not writable: who has the other in a TLB must forget it. */
    assert_true(shadow_map(&shadow, linear, SHADOW_ACCESS_EXECUTE));
    assert_int_equal(walk(linear), (0x100000 | PAGE) & ~W);
    assert_true(shadow.stale);
    shadow.stale = false;
    assert_true(shadow_map(&shadow, linear, 0));
    assert_false(shadow.stale);
    assert_true(shadow_map(&shadow, linear, SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(linear), 0x100000 | PAGE | NX);
    assert_true(shadow.stale);
    assert_true(memory_write(&memory, 0x100000, &other, 1));
    assert_false(shadow_map(&shadow, linear, SHADOW_ACCESS_EXECUTE));
    assert_int_equal(walk(linear), 0x100000 | PAGE | NX);
    /* What the guest does not let is not asked for. */
    assert_true(memory_write(&memory, 0x100000, &nop, 1));
    put(TABLE1, 5, 0x100000 | PAGE | NX);
    shadow_follow(&shadow, &vcpu);
    assert_false(shadow_map(&shadow, linear, SHADOW_ACCESS_EXECUTE));
}

static void large_pages_of_code_are_mapped_in_small_ones(void **state)
{
    (void)state;
    const uint64_t first = 0x200000, linear = 0x5000;
    const uint8_t nop = 0x90;
    put(TABLE2, 0, first | PAGE | SHADOW_LARGE);
    look_at_code();
    assert_true(memory_write(&memory, first + linear, &nop, 1));
    assert_true(allows(SHADOW_ACCESS_EXECUTE));
    assert_int_equal(walk(linear), (first + linear) | (PAGE & ~W));
    assert_false(shadow_map(&shadow, linear + PAGE_SIZE, SHADOW_ACCESS_EXECUTE));
    assert_true(shadow_map(&shadow, linear + PAGE_SIZE, SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(linear + PAGE_SIZE), (first + linear + PAGE_SIZE) | PAGE | NX);
    assert_int_equal(walk(linear), (first + linear) | (PAGE & ~W));
    shadow.stale = false;
    shadow_follow(&shadow, &vcpu);
    assert_false(shadow.stale);
    /* Another one, one that is clean, one of data, a table: nothing of the first is left. */
    put(TABLE2, 0, 0x400000 | PAGE | SHADOW_LARGE);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_true(shadow.stale);
    assert_int_equal(walk(linear), (0x400000 + linear) | PAGE | NX);
    put(TABLE2, 0, (0x400000 | PAGE | SHADOW_LARGE) & ~D);
    assert_false(allows(SHADOW_ACCESS_WRITE));
    put(TABLE2, 0, 0x400000 | PAGE | SHADOW_LARGE | NX);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(linear), 0x400000 | PAGE | SHADOW_LARGE | NX);
    put(TABLE2, 0, first | PAGE | SHADOW_LARGE);
    assert_true(allows(SHADOW_ACCESS_EXECUTE));
    put(TABLE2, 0, TABLE1 | LINK);
    assert_true(allows(SHADOW_ACCESS_WRITE));
    assert_int_equal(walk(linear), 0x100000 | PAGE | NX);
    put(TABLE2, 0, 0x202000 | PAGE | SHADOW_LARGE); /* a reserved bit */
    assert_false(allows(0));
}

/* Changes of tables at random, of which shadow and guest have to say the same. */
static void check_every_access(void)
{
    enum { ROUNDS = 20000, TABLES = 6, PLACES = 3 };
    static const unsigned kinds[] = {0, SHADOW_ACCESS_WRITE, SHADOW_ACCESS_EXECUTE};
    unsigned seed = 7, allowed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint64_t table = TOP + PAGE_SIZE * ((unsigned)rand_r(&seed) % TABLES);
        uint64_t entry = PAGE | PAGE_SIZE * (1 + (unsigned)rand_r(&seed) % TABLES);
        if (rand_r(&seed) % 4 == 0)
            entry ^= 1ull << (unsigned)rand_r(&seed) % 8;
        if (rand_r(&seed) % 8 == 0)
            entry |= NX;
        put(table, (unsigned)rand_r(&seed) % PLACES, entry);
        if (rand_r(&seed) % 50 == 0)
            vcpu.cr3 = TOP + PAGE_SIZE * ((unsigned)rand_r(&seed) % 2);
        shadow_follow(&shadow, &vcpu);
        for (unsigned i = 0; i < 4; i++) {
            uint64_t linear = 0, gpa = 0;
            for (unsigned level = 0; level < 4; level++)
                linear = linear << 9 | (unsigned)rand_r(&seed) % PLACES;
            linear <<= 12;
            const unsigned access = kinds[rand_r(&seed) % 3];
            const bool wanted = expected(linear, access, &gpa);
            assert_int_equal(shadow_map(&shadow, linear, access), wanted);
            if (!wanted)
                continue;
            const uint64_t found = walk(linear);
            const uint64_t inside = found & SHADOW_LARGE ? linear & ((2 << 20) - 1) : 0;
            assert_int_equal((found & SHADOW_ADDRESS) + inside, gpa);
            allowed++;
        }
    }
    assert_true(allowed > ROUNDS / 10);
}

static void every_access_is_as_by_the_guests_tables(void **state)
{
    (void)state;
    check_every_access();
}

static bool any(const uint8_t *code, size_t size)
{
    (void)code;
    (void)size;
    return true;
}

static void so_it_is_where_all_code_may_be_executed(void **state)
{
    (void)state;
    shadow.may_execute = any;
    check_every_access();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_page_is_mapped_as_the_guest_maps_it),
        TEST(nothing_is_mapped_whose_accessed_bit_is_to_be_set),
        TEST(a_clean_page_is_read_only_until_it_is_dirty),
        TEST(rights_of_upper_tables_count),
        TEST(what_is_not_ram_or_reserved_is_not_mapped),
        TEST(large_pages_are_mapped_as_such),
        TEST(a_mapping_that_is_gone_may_be_in_a_tlb),
        TEST(another_top_is_another_shadow),
        TEST(room_that_runs_out_is_found_again),
        TEST(tables_that_lead_to_themselves_end),
        TEST(the_callers_entry_is_out_of_the_guests_reach),
        TEST(code_is_looked_at_before_it_is_executed),
        TEST(large_pages_of_code_are_mapped_in_small_ones),
        TEST(every_access_is_as_by_the_guests_tables),
        TEST(so_it_is_where_all_code_may_be_executed),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
