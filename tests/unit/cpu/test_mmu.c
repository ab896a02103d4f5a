/* Paging, TLB and memory access of the software CPU, on page tables built by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/cpu/access.h"
#include "vmm/cpu/tables.h"
#include "vmm/machine/engines.h"

enum {
    P = 1,
    RW = 2,
    US = 4,
    A = 1 << 5,
    D = 1 << 6,
    PS = 1 << 7,
    G = 1 << 8,
};
#define NX   (1ull << 63)
#define FULL (P | RW | US)

/* Where the tables and pages of these tests are. */
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, PAGE = 0x10000, OTHER = 0x11000 };
#define LINEAR      0x8000ull /* index 8 of the page table */
#define MEMORY_SIZE (5ull << 30)

static struct memory memory;
static struct cpu *cpu;

static int set_up(void **state)
{
    (void)state;
    struct error error;
    const struct memory_backend backend = {MEMORY_SIZE, NULL};
    if (memory_create(&memory, &backend, 1, &error) < 0)
        return -1;
    cpu = (struct cpu *)engines_soft(&memory, &error);
    return cpu ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cpu->engine.ops->destroy(&cpu->engine);
    memory_destroy(&memory);
    return 0;
}

static void put(uint64_t gpa, uint64_t value, unsigned size)
{
    assert_true(memory_write(&memory, gpa, &value, size));
}

static uint64_t get(uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    assert_true(memory_read(&memory, gpa, &value, size));
    return value;
}

static void set_cpl(unsigned cpl)
{
    cpu->s.segment[SEG_SS].attributes =
        (uint16_t)((cpu->s.segment[SEG_SS].attributes & ~0x60) | cpl << SEG_DPL_SHIFT);
    cpu_mode_changed(cpu);
}

static void start(uint64_t cr0, uint64_t cr4, uint64_t efer, bool code64)
{
    vcpu_reset(&cpu->s);
    cpu->s.cr0 = CR0_PE | CR0_ET | cr0;
    cpu->s.cr3 = PML4;
    cpu->s.cr4 = cr4;
    cpu->s.efer = efer;
    cpu->s.segment[SEG_CS].attributes = code64 ? 0xa9b : 0xc9b;
    cpu->read_count = cpu->read_next = cpu->write_count = cpu->write_next = 0;
    tlb_flush_all(cpu);
    cpu_mode_changed(cpu);
    memset(memory.host, 0, 0x20000);
}

/* 64-bit mode, one page of everything. */
static void start_long(void)
{
    start(CR0_PG | CR0_WP, CR4_PAE | CR4_PGE, EFER_LME | EFER_LMA | EFER_NXE, true);
    put(PML4, PDPT | FULL, 8);
    put(PDPT, PD | FULL, 8);
    put(PD, PT | FULL, 8);
    put(PT + 8 * 8, PAGE | FULL, 8);
    put(PT + 8 * 9, OTHER | FULL, 8);
    put(PAGE, 0x1122334455667788, 8);
}

struct outcome {
    int jump; /* 0: no escape */
    unsigned vector;
    uint32_t error;
    uint64_t address;
    uint64_t value;
};

enum what { LOAD, STORE, FETCH, PROBE };

static struct outcome attempt(enum what what, uint64_t linear, unsigned size, uint64_t value)
{
    jmp_buf escape;
    volatile uint64_t result = 0;
    cpu->escape = &escape;
    int jump = setjmp(escape);
    if (jump)
        return (struct outcome){jump, cpu->fault_vector, cpu->fault_error, cpu->fault_address, 0};
    switch (what) {
    case LOAD:
        result = cpu_load(cpu, linear, size);
        break;
    case STORE:
        cpu_store(cpu, linear, size, value);
        break;
    case FETCH:
        result = cpu_fetch_page(cpu, linear);
        break;
    case PROBE:
        cpu_probe_write(cpu, linear, size);
        break;
    }
    return (struct outcome){.value = result};
}

static void expect_fault(struct outcome got, uint32_t error, uint64_t address)
{
    assert_int_equal(got.jump, CPU_JUMP_FAULT);
    assert_int_equal(got.vector, VECTOR_PF);
    assert_int_equal(got.error, error);
    assert_true(got.address == address);
}

/* ---- Permissions ----------------------------------------------------------------------------- */

struct permission_case {
    unsigned leaf, directory; /* bits: 0 P, 1 RW, 2 US, 3 NX */
    bool wp, nxe, smep, smap, ac, user;
    enum what what;
};

static uint64_t entry_bits(unsigned bits)
{
    return (bits & 7) | (bits & 8 ? NX : 0);
}

/* APM volume 2, sections 5.6 and 8.4.2, written down once more. -1: no fault. */
static int64_t expected_error(const struct permission_case *c)
{
    bool present = c->leaf & c->directory & 1;
    int64_t error = (c->what == STORE ? 2 : 0) | (c->user ? 4 : 0) |
                    (c->what == FETCH && (c->nxe || c->smep) ? 16 : 0);
    if (!(c->directory & 1))
        return error;
    if ((c->directory & 8) && !c->nxe)
        return error | 1 | 8;
    if (!present)
        return error;
    if ((c->leaf & 8) && !c->nxe)
        return error | 1 | 8;
    bool user_page = c->leaf & c->directory & 4, writable = c->leaf & c->directory & 2;
    bool no_execute = (c->leaf | c->directory) & 8;
    bool denied = (c->user && !user_page) ||
                  (c->what == STORE && !writable && (c->user || c->wp)) ||
                  (c->what == FETCH && no_execute) ||
                  (!c->user && user_page && c->what == FETCH && c->smep) ||
                  (!c->user && user_page && c->what != FETCH && c->smap && !c->ac);
    return denied ? (error | 1) : -1;
}

static void check_permission(const struct permission_case *c)
{
    cpu->s.cr0 = CR0_PE | CR0_PG | (c->wp ? CR0_WP : 0);
    cpu->s.cr4 = CR4_PAE | (c->smep ? CR4_SMEP : 0) | (c->smap ? CR4_SMAP : 0);
    cpu->s.efer = EFER_LME | EFER_LMA | (c->nxe ? EFER_NXE : 0);
    cpu->s.rflags = FLAG_ONE | (c->ac ? FLAG_AC : 0);
    put(PD, PT | entry_bits(c->directory), 8);
    put(PT + 8 * 8, PAGE | entry_bits(c->leaf), 8);
    tlb_flush_all(cpu);
    set_cpl(c->user ? 3 : 0);
    int64_t expected = expected_error(c);
    for (unsigned again = 0; again < 2; again++) { /* the second time from the TLB */
        struct outcome got = attempt(c->what, LINEAR, 4, 1);
        int64_t error = got.jump ? (int64_t)got.error : -1;
        if (error != expected)
            fail_msg("leaf %x directory %x wp %d nxe %d smep %d smap %d ac %d user %d access %d: "
                     "%lld instead of %lld",
                c->leaf, c->directory, c->wp, c->nxe, c->smep, c->smap, c->ac, c->user, c->what,
                (long long)error, (long long)expected);
        uint64_t accessed = get(PT + 8 * 8, 8) & (A | D);
        assert_int_equal(accessed, expected >= 0 ? 0 : c->what == STORE ? A | D : A);
    }
}

static void every_combination_of_permissions(void **state)
{
    (void)state;
    start_long();
    for (unsigned n = 0; n < 1u << 14; n++) {
        struct permission_case c = {
            .leaf = n & 15,
            .directory = n >> 4 & 15,
            .wp = n >> 8 & 1,
            .nxe = n >> 9 & 1,
            .smep = n >> 10 & 1,
            .smap = n >> 11 & 1,
            .ac = n >> 12 & 1,
            .user = n >> 13 & 1,
        };
        for (c.what = LOAD; c.what <= FETCH; c.what++)
            check_permission(&c);
    }
}

static void reserved_bits(void **state)
{
    (void)state;
    static const struct {
        uint64_t at, entry;
        bool faults;
    } cases[] = {
        {PML4, PDPT | FULL | PS, true}, {PML4, PDPT | FULL | 1ull << 40, true},
        {PML4, PDPT | FULL | 1ull << 51, true},
        {PML4, PDPT | FULL | 1ull << 52 | 1ull << 62 | 7 << 9, false},           /* available */
        {PDPT, PD | FULL | 1ull << 45, true}, {PDPT, FULL | PS | 1 << 13, true}, /* 1 GiB page */
        {PDPT, FULL | PS | 1 << 29, true}, {PDPT, FULL | PS | 1 << 12, false},   /* its PAT bit */
        {PD, FULL | PS | 1 << 13, true},                                         /* 2 MiB page */
        {PD, FULL | PS | 1 << 20, true}, {PD, FULL | PS | 1 << 12, false},
        {PT + 8 * 8, PAGE | FULL | 1ull << 40, true},
        {PT + 8 * 8, PAGE | FULL | PS | G | 1ull << 58, false}, /* PAT, G, available */
        {PT + 8 * 8, 1ull << 51 | US, false},                   /* not present: no check */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start_long();
        put(cases[i].at, cases[i].entry, 8);
        struct outcome got = attempt(LOAD, LINEAR, 4, 0);
        if (cases[i].faults)
            expect_fault(got, PF_PRESENT | PF_RESERVED, LINEAR);
        else if (!(cases[i].entry & P))
            expect_fault(got, 0, LINEAR);
        else
            assert_int_equal(got.jump, 0);
    }
}

/* ---- Modes ----------------------------------------------------------------------------------- */

static void no_paging(void **state)
{
    (void)state;
    start(0, 0, 0, false);
    put(0x12345, 0xabcd, 2);
    assert_int_equal(attempt(LOAD, 0x12345, 2, 0).value, 0xabcd);
    set_cpl(3); /* no protection by pages */
    assert_int_equal(attempt(LOAD, 0x12345, 2, 0).value, 0xabcd);
    uint64_t gpa;
    assert_true(cpu_translate_quiet(cpu, 0x98765432, &gpa));
    assert_true(gpa == 0x98765432);
}

static void legacy_paging(void **state)
{
    (void)state;
    start(CR0_PG, 0, 0, false);
    put(PML4 + 4 * 0x301, PT | FULL, 4); /* 0xc0400000 */
    put(PT + 4 * 0x3ff, PAGE | FULL, 4);
    put(PAGE + 0xffc, 0xfeedface, 4);
    assert_int_equal(attempt(LOAD, 0xc07ffffc, 4, 0).value, 0xfeedface);
    assert_int_equal(get(PML4 + 4 * 0x301, 4), PT | FULL | A);
    assert_int_equal(get(PT + 4 * 0x3ff, 4), PAGE | FULL | A);
    assert_int_equal(attempt(STORE, 0xc07ffff8, 4, 5).jump, 0);
    assert_int_equal(get(PT + 4 * 0x3ff, 4), PAGE | FULL | A | D);
    expect_fault(attempt(STORE, 0xc0400000, 4, 5), PF_WRITE, 0xc0400000);
    /* Without CR4.PSE the PS bit means nothing. */
    put(PML4 + 4 * 0x301, PT | FULL | PS, 4);
    tlb_flush_all(cpu);
    assert_int_equal(attempt(LOAD, 0xc07ffffc, 4, 0).value, 0xfeedface);
}

static void pages_of_4_mib(void **state)
{
    (void)state;
    start(CR0_PG, CR4_PSE, 0, false);
    put(PML4 + 4, 0x00c00000 | FULL | PS, 4);
    put(0x00c12344, 0x600dcafe, 4);
    assert_int_equal(attempt(LOAD, 0x412344, 4, 0).value, 0x600dcafe);
    assert_int_equal(attempt(STORE, 0x412344, 4, 1).jump, 0);
    assert_int_equal(get(PML4 + 4, 4), 0x00c00000 | FULL | PS | A | D);
    /* Bits 13 to 20 are address bits 32 to 39 (PSE-36). */
    put(PML4 + 4, 0x00c00000 | FULL | PS | 1 << 13, 4);
    put(0x100c12344, 0x36363636, 4);
    tlb_flush_page(cpu, 0x7ff000); /* any address in the page */
    assert_int_equal(attempt(LOAD, 0x412344, 4, 0).value, 0x36363636);
    put(PML4 + 4, FULL | PS | 1 << 21, 4);
    tlb_flush_all(cpu);
    expect_fault(attempt(LOAD, 0x412344, 4, 0), PF_PRESENT | PF_RESERVED, 0x412344);
}

static void pae_paging(void **state)
{
    (void)state;
    start(CR0_PG, CR4_PAE, EFER_NXE, false);
    cpu->s.cr3 = PML4 + 0x20; /* 32-byte aligned */
    put(PML4 + 0x20 + 8 * 3, PD | P, 8);
    put(PD + 8 * 5, PT | FULL, 8);
    put(PT + 8 * 6, 0x100000000 | FULL, 8);
    put(0x100000010, 0x50ae, 4);
    uint64_t linear = 3ull << 30 | 5 << 21 | 6 << 12 | 0x10;
    assert_int_equal(attempt(LOAD, linear, 4, 0).value, 0x50ae);
    assert_int_equal(get(PML4 + 0x20 + 8 * 3, 8), PD | P); /* a PDPTE has no A */
    expect_fault(attempt(LOAD, 0x10, 4, 0), 0, 0x10);
    put(PT + 8 * 6, 0x100000000 | FULL | NX, 8);
    tlb_flush_all(cpu);
    expect_fault(attempt(FETCH, linear, 1, 0), PF_PRESENT | PF_FETCH, linear);
    put(PT + 8 * 6, 0x100000000 | FULL | 1ull << 52, 8);
    expect_fault(attempt(LOAD, linear, 4, 0), PF_PRESENT | PF_RESERVED, linear);
    put(PD + 8 * 5, 0x100000000 | FULL | PS, 8); /* 2 MiB page */
    put(0x100006010, 0x2222, 4);
    assert_int_equal(attempt(LOAD, linear, 4, 0).value, 0x2222);
    assert_true(paging_pdptes_valid(cpu, PML4 + 0x20));
    put(PML4 + 0x20, PD | P | RW, 8);
    assert_false(paging_pdptes_valid(cpu, PML4 + 0x20));
    put(PML4 + 0x20, RW, 8); /* not present */
    assert_true(paging_pdptes_valid(cpu, PML4 + 0x20));
}

static void large_pages_of_long_mode(void **state)
{
    (void)state;
    start_long();
    put(PD + 8, 0x600000 | FULL | PS, 8); /* linear 2 MiB */
    put(0x7ffff8, 0x2020, 4);
    assert_int_equal(attempt(LOAD, 0x3ffff8, 4, 0).value, 0x2020);
    assert_int_equal(attempt(STORE, 0x3ffff0, 4, 0).jump, 0);
    assert_int_equal(get(PD + 8, 8), 0x600000 | FULL | PS | A | D);
    put(PDPT + 8, 0x100000000 | FULL | PS, 8); /* linear 1 GiB */
    put(0x13fff0ff8, 0x1010, 4);
    assert_int_equal(attempt(LOAD, 0x7fff0ff8, 4, 0).value, 0x1010);
    /* INVLPG anywhere in a large page drops what is cached of all of it. */
    put(PDPT + 8, 0, 8);
    put(PD + 8, 0, 8);
    assert_int_equal(attempt(LOAD, 0x7fff0ff8, 4, 0).value, 0x1010);
    tlb_flush_page(cpu, 0x40000000);
    expect_fault(attempt(LOAD, 0x7fff0ff8, 4, 0), 0, 0x7fff0ff8);
    assert_int_equal(attempt(LOAD, 0x3ffff8, 4, 0).value, 0x2020);
    tlb_flush_page(cpu, 0x200000);
    expect_fault(attempt(LOAD, 0x3ffff8, 4, 0), 0, 0x3ffff8);
}

static void tables_outside_ram_read_as_ones(void **state)
{
    (void)state;
    start_long();
    put(PML4, 0xd0000000 | FULL, 8); /* in the hole */
    expect_fault(attempt(LOAD, LINEAR, 4, 0), PF_PRESENT | PF_RESERVED, LINEAR);
}

/* ---- The TLB --------------------------------------------------------------------------------- */

static void the_tlb_keeps_what_is_not_invalidated(void **state)
{
    (void)state;
    start_long();
    put(OTHER, 0x99, 8);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    put(PT + 8 * 8, OTHER | FULL, 8);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    tlb_flush_page(cpu, LINEAR + 0x123);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x99);
    /* Global entries survive a load of CR3, and not INVLPG. */
    put(PT + 8 * 8, PAGE | FULL | G, 8);
    tlb_flush_non_global(cpu);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    put(PT + 8 * 8, OTHER | FULL | G, 8);
    tlb_flush_non_global(cpu);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    tlb_flush_page(cpu, LINEAR);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x99);
    /* Without CR4.PGE there are none. */
    cpu->s.cr4 &= ~CR4_PGE;
    tlb_flush_all(cpu);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x99);
    put(PT + 8 * 8, PAGE | FULL | G, 8);
    tlb_flush_non_global(cpu);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
}

static void levels_do_not_share_entries(void **state)
{
    (void)state;
    start_long();
    put(PT + 8 * 8, PAGE | P | RW, 8);
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    set_cpl(3);
    expect_fault(attempt(LOAD, LINEAR, 1, 0), PF_PRESENT | PF_USER, LINEAR);
    set_cpl(0);
    put(PT + 8 * 8, 0, 8); /* still cached */
    assert_int_equal(attempt(LOAD, LINEAR, 1, 0).value, 0x88);
    set_cpl(3); /* system accesses are the supervisor's */
    assert_int_equal(cpu_load_system(cpu, LINEAR, 1), 0x88);
}

/* More pages than the TLB holds, twice, in an order that makes them collide. */
static void many_pages(void **state)
{
    (void)state;
    start_long();
    enum { PAGES = 3 * TLB_ENTRIES, TABLES = 0x100000 };
    for (unsigned i = 0; i < PAGES; i++)
        put(TABLES + 8 * i, (0x1000000 + i * PAGE_SIZE) | FULL, 8);
    for (unsigned i = 0; i < PAGES / 512; i++)
        put(PD + 8 * (1 + i), (TABLES + i * PAGE_SIZE) | FULL, 8);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PAGES; i++) {
            unsigned page = i * 1024 % PAGES + i * 1024 / PAGES;
            uint64_t linear = 0x200000 + page * PAGE_SIZE;
            if (round == 0)
                assert_int_equal(attempt(STORE, linear, 4, page * 7).jump, 0);
            else
                assert_int_equal(attempt(LOAD, linear, 4, 0).value, page * 7);
        }
        tlb_flush_non_global(cpu);
        assert_int_equal(cpu->tlb_log.count, 0);
    }
}

/* ---- Accesses -------------------------------------------------------------------------------- */

static void accesses_across_pages(void **state)
{
    (void)state;
    start_long();
    for (unsigned size = 2; size <= 8; size *= 2) {
        for (unsigned before = 1; before < size; before++) {
            uint64_t linear = LINEAR + PAGE_SIZE - before;
            uint64_t value = 0x8877665544332211 >> (64 - 8 * size);
            assert_int_equal(attempt(STORE, linear, size, value).jump, 0);
            assert_true(attempt(LOAD, linear, size, 0).value == value);
            assert_int_equal(get(PAGE + PAGE_SIZE - before, 1), value & 0xff);
            assert_int_equal(get(OTHER + size - before - 1, 1), value >> (8 * size - 8));
        }
    }
    /* The second page faults: nothing is written, CR2 is its first byte. */
    put(PT + 8 * 9, OTHER | P, 8);
    put(PAGE + 0xff8, 0, 8);
    tlb_flush_all(cpu);
    uint64_t linear = LINEAR + PAGE_SIZE - 3;
    expect_fault(attempt(STORE, linear, 8, UINT64_MAX), PF_PRESENT | PF_WRITE, LINEAR + PAGE_SIZE);
    assert_int_equal(get(PAGE + 0xff8, 8), 0);
    expect_fault(attempt(PROBE, linear, 8, 0), PF_PRESENT | PF_WRITE, LINEAR + PAGE_SIZE);
    assert_int_equal(attempt(LOAD, linear, 8, 0).jump, 0);
    /* Both fault: the first is reported. */
    put(PT + 8 * 8, 0, 8);
    tlb_flush_all(cpu);
    expect_fault(attempt(STORE, linear, 8, 0), PF_WRITE, linear);
}

static void addresses_wrap_at_4_gib_outside_64_bit_mode(void **state)
{
    (void)state;
    start(CR0_PG, CR4_PSE, 0, false);
    put(PML4, FULL | PS, 4);
    put(PML4 + 4 * 0x3ff, 0x00c00000 | FULL | PS, 4);
    assert_int_equal(attempt(STORE, 0xfffffffe, 4, 0x44332211).jump, 0);
    assert_int_equal(get(0x00fffffe, 2), 0x2211);
    assert_int_equal(get(0, 2), 0x4433);
}

static void blocks_of_bytes(void **state)
{
    (void)state;
    start_long();
    uint8_t out[512], back[512];
    for (unsigned i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7);
    cpu_store_bytes(cpu, LINEAR + PAGE_SIZE - 100, out, sizeof out);
    cpu_load_bytes(cpu, LINEAR + PAGE_SIZE - 100, back, sizeof back);
    assert_memory_equal(out, back, sizeof out);
    assert_memory_equal(memory.host + OTHER, out + 100, 412);
}

/* ---- Outside RAM ----------------------------------------------------------------------------- */

static void reads_outside_ram_are_asked_for_in_pieces(void **state)
{
    (void)state;
    start_long();
    put(PT + 8 * 8, 0xd0000000 | FULL, 8);
    /* 8 bytes across the page: 3 from the hole (2 and 1), then 5 of RAM. */
    put(OTHER, 0x8877665544, 8);
    uint64_t linear = LINEAR + PAGE_SIZE - 3;
    static const struct {
        uint64_t address;
        unsigned size;
        uint64_t answer;
    } pieces[] = {{0xd0000ffd, 2, 0x2211}, {0xd0000fff, 1, 0x33}};
    for (unsigned i = 0; i < 2; i++) {
        cpu->read_next = 0;
        assert_int_equal(attempt(LOAD, linear, 8, 0).jump, CPU_JUMP_MMIO_READ);
        assert_int_equal(cpu->read_count, i + 1);
        assert_true(cpu->reads[i].address == pieces[i].address);
        assert_int_equal(cpu->reads[i].size, pieces[i].size);
        assert_int_equal(cpu->reads[i].to, ACCESS_TO_MEMORY);
        cpu->reads[i].value = pieces[i].answer;
    }
    cpu->read_next = 0;
    assert_true(attempt(LOAD, linear, 8, 0).value == 0x8877665544332211);
    assert_int_equal(cpu->read_next, 2);
}

static void writes_outside_ram_wait(void **state)
{
    (void)state;
    start_long();
    put(PT + 8 * 8, 0xd0000000 | FULL, 8);
    assert_int_equal(attempt(STORE, LINEAR + 8, 8, 0x1234567890).jump, 0);
    uint8_t bytes[16] = {1, 0, 0, 0, 0, 0, 0, 0, 2};
    cpu_store_bytes(cpu, LINEAR + 0x10, bytes, sizeof bytes);
    assert_int_equal(attempt(STORE, LINEAR + 1, 1, 0xfff).jump, 0);
    static const struct {
        uint64_t address, value;
        unsigned size;
    } expected[] = {{0xd0000008, 0x1234567890, 8}, {0xd0000010, 1, 8}, {0xd0000018, 2, 8},
        {0xd0000001, 0xff, 1}};
    assert_int_equal(cpu->write_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(cpu->writes[i].address == expected[i].address);
        assert_true(cpu->writes[i].value == expected[i].value);
        assert_int_equal(cpu->writes[i].size, expected[i].size);
    }
    assert_int_equal(get(PT + 8 * 8, 8) & (A | D), A | D);
}

/* ---- Segments -------------------------------------------------------------------------------- */

static struct outcome attempt_segment(
    unsigned segment, uint64_t offset, unsigned size, enum access_kind kind)
{
    jmp_buf escape;
    cpu->escape = &escape;
    int jump = setjmp(escape);
    if (jump)
        return (struct outcome){jump, cpu->fault_vector, cpu->fault_error, 0, 0};
    return (struct outcome){.value = cpu_linear_checked(cpu, segment, offset, size, kind)};
}

static void segment_limits_and_types(void **state)
{
    (void)state;
    start(0, 0, 0, false);
    static const struct {
        struct segment segment;
        uint64_t offset;
        unsigned size;
        enum access_kind kind;
        bool allowed;
    } cases[] = {
        {{0x1000, 0xfff, 8, 0x93}, 0xffc, 4, ACCESS_READ, true},
        {{0x1000, 0xfff, 8, 0x93}, 0xffd, 4, ACCESS_READ, false},
        {{0x1000, 0xfff, 8, 0x93}, 0xffffffff, 2, ACCESS_READ, false},
        {{0x1000, 0xffffffff, 8, 0xc93}, 0xffffffff, 1, ACCESS_WRITE, true},
        {{0x1000, 0xfff, 8, 0x91}, 0, 4, ACCESS_WRITE, false}, /* read-only */
        {{0x1000, 0xfff, 8, 0x91}, 0, 4, ACCESS_READ, true},
        {{0x1000, 0xfff, 8, 0x9b}, 0, 4, ACCESS_READ, true}, /* readable code */
        {{0x1000, 0xfff, 8, 0x9b}, 0, 4, ACCESS_WRITE, false},
        {{0x1000, 0xfff, 8, 0x99}, 0, 4, ACCESS_READ, false}, /* execute-only */
        {{0, 0, 0, 0}, 0, 1, ACCESS_READ, false},             /* null */
        {{0, 0xfff, 8, 0x97}, 0xfff, 1, ACCESS_READ, false},  /* expand-down */
        {{0, 0xfff, 8, 0x97}, 0x1000, 1, ACCESS_READ, true},
        {{0, 0xfff, 8, 0x97}, 0xffff, 1, ACCESS_READ, true},
        {{0, 0xfff, 8, 0x97}, 0xffff, 2, ACCESS_READ, false},
        {{0, 0xfff, 8, 0x497}, 0xffff, 2, ACCESS_READ, true}, /* ... to 4 GiB */
        {{0, 0xfff, 8, 0x497}, 0xffffffff, 2, ACCESS_READ, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned segment = SEG_SS; segment <= SEG_DS; segment++) {
            struct segment kept = cpu->s.segment[segment];
            cpu->s.segment[segment] = cases[i].segment;
            struct outcome got =
                attempt_segment(segment, cases[i].offset, cases[i].size, cases[i].kind);
            cpu->s.segment[segment] = kept;
            if (cases[i].allowed) {
                assert_int_equal(got.jump, 0);
                assert_true(got.value == (uint32_t)(cases[i].segment.base + cases[i].offset));
                continue;
            }
            assert_int_equal(got.jump, CPU_JUMP_FAULT);
            assert_int_equal(got.vector, segment == SEG_SS ? VECTOR_SS : VECTOR_GP);
            assert_int_equal(got.error, 0);
        }
    }
}

static void canonical_addresses(void **state)
{
    (void)state;
    start_long();
    cpu->s.segment[SEG_DS].base = 0x1000; /* ignored */
    cpu->s.segment[SEG_DS].limit = 0;
    assert_int_equal(attempt_segment(SEG_DS, 0x5000, 8, ACCESS_READ).value, 0x5000);
    cpu->s.segment[SEG_GS].base = 0xffff800000000000;
    assert_true(attempt_segment(SEG_GS, 8, 8, ACCESS_READ).value == 0xffff800000000008);
    assert_int_equal(attempt_segment(SEG_DS, 0x7ffffffffff8, 8, ACCESS_READ).jump, 0);
    assert_int_equal(attempt_segment(SEG_DS, 0x7ffffffffff9, 8, ACCESS_READ).vector, VECTOR_GP);
    assert_int_equal(attempt_segment(SEG_SS, 0x800000000000, 8, ACCESS_READ).vector, VECTOR_SS);
    assert_int_equal(attempt_segment(SEG_GS, UINT64_MAX, 8, ACCESS_READ).vector, VECTOR_GP);
}

/* ---- Bits that the guest clears --------------------------------------------------------------
 */

/* LINEAR is used, its entry written through a mapping of the tables with A and D clear, and used
 * again. Returns the bits that are set then. */
static uint64_t bits_after_clearing(uint64_t mapped, bool emptied, enum what again)
{
    const uint64_t table = 0xa000, entry = PAGE | FULL;
    start_long();
    put(PT + 8 * 10, mapped, 8);
    /* The mapping is there first, as a direct one. */
    assert_int_equal(attempt(STORE, table + 0x800, 8, 0).jump, 0);
    assert_int_equal(attempt(STORE, LINEAR, 4, 1).jump, 0);
    assert_int_equal(attempt(FETCH, LINEAR, 1, 0).jump, 0);
    assert_int_equal(attempt(LOAD, LINEAR, 4, 0).jump, 0);
    assert_int_equal(get(PT + 8 * 8, 8), entry | A | D);
    assert_int_equal(attempt(STORE, table + 8 * 8, 8, entry).jump, 0);
    assert_int_equal(get(PT + 8 * 8, 8), entry);
    if (emptied)
        tlb_flush_all(cpu);
    assert_int_equal(attempt(again, LINEAR, 4, 1).jump, 0);
    return get(PT + 8 * 8, 8) & (A | D);
}

static void bits_that_a_store_clears_are_set_by_the_next_access(void **state)
{
    (void)state;
    for (cpu->engine.exact_bits = true;; cpu->engine.exact_bits = false) {
        for (unsigned i = 0; i < 4; i++) {
            const uint64_t mapped = PT | FULL | (i & 1 ? G : 0);
            const bool emptied = i & 2 || cpu->engine.exact_bits;
            assert_int_equal(bits_after_clearing(mapped, i & 2, LOAD), emptied ? A : 0);
            assert_int_equal(bits_after_clearing(mapped, i & 2, FETCH), emptied ? A : 0);
            assert_int_equal(bits_after_clearing(mapped, i & 2, STORE), emptied ? A | D : 0);
        }
        if (!cpu->engine.exact_bits)
            return;
    }
}

/* Part of an entry, in any level; bits that are set, and entries that are not present, cost the
 * TLB nothing. */
static void a_byte_of_any_level_is_enough(void **state)
{
    (void)state;
    static const uint64_t levels[] = {PML4, PDPT, PD, PT + 8 * 8};
    cpu->engine.exact_bits = true;
    for (unsigned i = 0; i < 4; i++) {
        start_long();
        put(PT + 8 * 10, (levels[i] & ~0xfffull) | FULL, 8);
        const uint64_t linear = 0xa000 + levels[i] % 0x1000;
        assert_int_equal(attempt(LOAD, LINEAR, 4, 0).jump, 0);
        assert_int_equal(attempt(STORE, linear + 8 * 300, 8, PAGE | FULL | A).jump, 0);
        assert_int_equal(attempt(STORE, linear + 8 * 300, 8, 0).jump, 0);
        assert_int_equal(attempt(STORE, linear + 8 * 301, 8, PAGE | A).jump, 0);
        assert_int_equal(attempt(STORE, linear + 8 * 301, 8, PAGE).jump, 0);
        assert_int_not_equal(cpu->tlb_log.count, 0);
        const uint64_t flushes = cpu->tables.flushes;
        assert_int_equal(attempt(STORE, linear, 1, get(levels[i], 1) & ~A).jump, 0);
        assert_int_equal(cpu->tables.flushes, flushes + 1);
        assert_int_equal(get(levels[i], 8) & A, 0);
        assert_int_equal(attempt(LOAD, LINEAR, 4, 0).jump, 0);
        assert_int_equal(get(levels[i], 8) & A, A);
    }
    cpu->engine.exact_bits = false;
}

/* A page that held tables is data again once no translation comes from it. */
static void stores_are_direct_again_when_a_table_is_none_any_more(void **state)
{
    (void)state;
    cpu->engine.exact_bits = true;
    start_long();
    put(PT + 8 * 10, PT | FULL, 8);
    assert_int_equal(attempt(LOAD, LINEAR, 4, 0).jump, 0);
    assert_true(tables_on_page(cpu, memory.host + PT));
    /* Other tables, in which PT's page is mapped and is none. */
    put(0x5000, PAGE | FULL, 8);
    put(0x5000 + 8 * 10, PT | FULL, 8);
    put(PD, 0x5000 | FULL, 8);
    tlb_flush_non_global(cpu);
    assert_int_equal(attempt(STORE, 0xa000, 8, 1).jump, 0);
    assert_false(tables_on_page(cpu, memory.host + PT));
    assert_int_equal(attempt(STORE, 0xa000, 8, 1).jump, 0);
    assert_int_equal(cpu->tlb_banks[0][ACCESS_WRITE][10].page, 0xa000);
    cpu->engine.exact_bits = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_permissions),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(no_paging),
        cmocka_unit_test(legacy_paging),
        cmocka_unit_test(pages_of_4_mib),
        cmocka_unit_test(pae_paging),
        cmocka_unit_test(large_pages_of_long_mode),
        cmocka_unit_test(tables_outside_ram_read_as_ones),
        cmocka_unit_test(the_tlb_keeps_what_is_not_invalidated),
        cmocka_unit_test(bits_that_a_store_clears_are_set_by_the_next_access),
        cmocka_unit_test(a_byte_of_any_level_is_enough),
        cmocka_unit_test(stores_are_direct_again_when_a_table_is_none_any_more),
        cmocka_unit_test(levels_do_not_share_entries),
        cmocka_unit_test(many_pages),
        cmocka_unit_test(accesses_across_pages),
        cmocka_unit_test(addresses_wrap_at_4_gib_outside_64_bit_mode),
        cmocka_unit_test(blocks_of_bytes),
        cmocka_unit_test(reads_outside_ram_are_asked_for_in_pieces),
        cmocka_unit_test(writes_outside_ram_wait),
        cmocka_unit_test(segment_limits_and_types),
        cmocka_unit_test(canonical_addresses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
