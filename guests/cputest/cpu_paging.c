/*
 * 4-level paging: page-fault error codes and CR2, WP, NX, reserved bits, large pages, accessed and
 * dirty bits, INVLPG, global pages. Expectations from the AMD64 APM volume 2, chapters 5 and 8.4.2.
 */
#include "lib/attempt.h"
#include "lib/boot.h"

enum { PF = 14 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, G = 0x100 };
#define NX      (1ull << 63)
#define CR0_WP  (1ull << 16)
#define CR4_PGE (1ull << 7)

/* Error code bits. */
enum { E_PRESENT = 1, E_WRITE = 2, E_USER = 4, E_RESERVED = 8, E_FETCH = 16 };

#define WINDOW 0x40000000ull /* 1 GiB: its first 2 MiB get 4 KiB pages here */

static uint64_t table[512] __attribute__((aligned(4096)));
static uint8_t page_a[4096] __attribute__((aligned(4096)));
static uint8_t page_b[4096] __attribute__((aligned(4096)));
static uint64_t *directory; /* level 2 of the window's GiB */

static void invlpg(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void reload_cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(value) : : "memory");
}

static uint64_t read8(void *address)
{
    return *(volatile uint8_t *)address;
}
static uint64_t write8(void *address)
{
    *(volatile uint8_t *)address = 0x5a;
    return 0;
}
static uint64_t read_across(void *address)
{
    return *(volatile uint64_t *)address;
}
static uint64_t execute(void *address)
{
    return ((uint64_t(*)(void))(uintptr_t)address)();
}

/* Maps page 1 of the window and makes it known. */
static uint64_t *map(uint64_t entry)
{
    table[1] = entry;
    invlpg(WINDOW + 4096);
    return &table[1];
}

static void expect_fault(const char *name, struct attempt got, uint64_t error, uint64_t address)
{
    check_fault(name, &got, PF, error);
    check("  its CR2", got.cr2, address);
}

static void expect_none(const char *name, struct attempt got)
{
    check_fault(name, &got, NO_VECTOR, 0);
}

static void error_codes(uint64_t cr0)
{
    const uint64_t at = WINDOW + 4096 + 0x123, a = (uintptr_t)page_a;
    void *address = (void *)(uintptr_t)at;
    map(0);
    expect_fault("read, not present", attempt(read8, address), 0, at);
    expect_fault("write, not present", attempt(write8, address), E_WRITE, at);
    expect_fault("user read, not present", attempt_user(read8, address), E_USER, at);
    expect_fault("user write, not present", attempt_user(write8, address), E_USER | E_WRITE, at);
    map(a | P | W);
    expect_none("supervisor page, read", attempt(read8, address));
    expect_fault(
        "supervisor page, user read", attempt_user(read8, address), E_PRESENT | E_USER, at);
    expect_fault("supervisor page, user write", attempt_user(write8, address),
        E_PRESENT | E_USER | E_WRITE, at);
    map(a | P | U);
    expect_none("read-only page, user read", attempt_user(read8, address));
    expect_fault("read-only page, user write", attempt_user(write8, address),
        E_PRESENT | E_USER | E_WRITE, at);
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | CR0_WP));
    expect_fault(
        "read-only page, write with WP", attempt(write8, address), E_PRESENT | E_WRITE, at);
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~CR0_WP));
    expect_none("read-only page, write without WP", attempt(write8, address));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | CR0_WP));
    map(a | P | W | U | 1ull << 51);
    expect_fault("reserved address bit", attempt(read8, address), E_PRESENT | E_RESERVED, at);
    /* The second page of an access decides, and CR2 is its start. */
    map(a | P | W | U);
    table[2] = 0;
    invlpg(WINDOW + 8192);
    expect_fault("read across into not present",
        attempt(read_across, (void *)(uintptr_t)(WINDOW + 8192 - 3)), 0, WINDOW + 8192);
}

static void no_execute(void)
{
    const uint64_t at = WINDOW + 4096, a = (uintptr_t)page_a;
    void *address = (void *)(uintptr_t)at;
    static const uint8_t code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* MOV EAX, 42; RET */
    for (unsigned i = 0; i < sizeof code; i++)
        page_a[i] = code[i];
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000080));
    map(a | P | W | U | NX);
    __asm__ volatile("wrmsr" : : "a"(low & ~0x800u), "d"(high), "c"(0xc0000080));
    reload_cr3();
    expect_fault(
        "NX is reserved without EFER.NXE", attempt(read8, address), E_PRESENT | E_RESERVED, at);
    __asm__ volatile("wrmsr" : : "a"(low | 0x800), "d"(high), "c"(0xc0000080));
    reload_cr3();
    expect_none("NX page, read", attempt(read8, address));
    expect_fault("NX page, execute", attempt(execute, address), E_PRESENT | E_FETCH, at);
    expect_fault(
        "NX page, user execute", attempt_user(execute, address), E_PRESENT | E_USER | E_FETCH, at);
    map(0);
    expect_fault("execute, not present", attempt(execute, address), E_FETCH, at);
    map(a | P | U);
    struct attempt got = attempt_user(execute, address);
    expect_none("execute", got);
    check("  its result", got.result, 42);
}

static void accessed_dirty(void)
{
    const uint64_t a = (uintptr_t)page_a;
    void *address = (void *)(uintptr_t)(WINDOW + 4096);
    uint64_t *entry = map(a | P | W | U);
    attempt(read8, address);
    check("A after a read", *(volatile uint64_t *)entry, a | P | W | U | A);
    attempt(write8, address);
    check("A and D after a write", *(volatile uint64_t *)entry, a | P | W | U | A | D);
    entry = map(a | P | U);
    attempt_user(write8, address);
    check("no D after a faulting write", *(volatile uint64_t *)entry & D, 0);
}

static void invalidation(void)
{
    volatile uint8_t *window = (volatile uint8_t *)(uintptr_t)(WINDOW + 4096);
    page_a[9] = 0xaa;
    page_b[9] = 0xbb;
    map((uintptr_t)page_a | P | W);
    check("first mapping", window[9], 0xaa);
    map((uintptr_t)page_b | P | W);
    check("new mapping after INVLPG", window[9], 0xbb);
    table[1] = (uintptr_t)page_a | P | W;
    reload_cr3();
    check("new mapping after MOV CR3", window[9], 0xaa);
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_PGE));
    map((uintptr_t)page_a | P | W | G);
    check("global mapping", window[9], 0xaa);
    table[1] = (uintptr_t)page_b | P | W | G;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 & ~CR4_PGE) : "memory");
    check("new global mapping after CR4.PGE changed", window[9], 0xbb);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

static void large_pages(uint64_t small)
{
    volatile uint8_t *window = (volatile uint8_t *)(uintptr_t)WINDOW;
    uint64_t offset = (uintptr_t)page_b & 0x1fffff, base = (uintptr_t)page_b - offset;
    page_b[17] = 0x77;
    directory[0] = base | P | W | LARGE;
    reload_cr3();
    check("2 MiB page", window[offset + 17], 0x77);
    check("  A in its entry", *(volatile uint64_t *)directory & (A | D), A);
    window[offset + 17] = 0x78;
    check("  write through it", *(volatile uint8_t *)&page_b[17], 0x78);
    check("  D in its entry", *(volatile uint64_t *)directory & (A | D), A | D);
    directory[0] = (base + 0x2000) | P | W | LARGE;
    reload_cr3();
    struct attempt got = attempt(read8, (void *)(uintptr_t)WINDOW);
    check_fault("2 MiB page with a reserved bit", &got, PF, E_PRESENT | E_RESERVED);
    directory[0] = small & ~(uint64_t)U;
    table[0] = (uintptr_t)page_a | P | W | U;
    reload_cr3();
    got = attempt_user(read8, (void *)(uintptr_t)WINDOW);
    check_fault("U must be set at every level", &got, PF, E_PRESENT | E_USER);
    directory[0] = small & ~(uint64_t)W;
    reload_cr3();
    got = attempt(write8, (void *)(uintptr_t)WINDOW);
    check_fault("W must be set at every level", &got, PF, E_PRESENT | E_WRITE);
    directory[0] = small | NX;
    reload_cr3();
    got = attempt(execute, (void *)(uintptr_t)WINDOW);
    check_fault("NX at any level counts", &got, PF, E_PRESENT | E_FETCH);
    directory[0] = 0;
    reload_cr3();
    got = attempt(read8, (void *)(uintptr_t)WINDOW);
    check_fault("directory entry not present", &got, PF, 0);
    directory[0] = small;
    reload_cr3();
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    uint64_t cr0, level4;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr3, %0" : "=r"(level4));
    uint64_t *level = (uint64_t *)(uintptr_t)(level4 & ~0xfffull);
    level = (uint64_t *)(uintptr_t)(level[0] & 0x000ffffffffff000);
    directory = (uint64_t *)(uintptr_t)(level[WINDOW >> 30] & 0x000ffffffffff000);
    uint64_t small = (uintptr_t)table | P | W | U | A;
    directory[0] = small;
    reload_cr3();
    error_codes(cr0);
    no_execute();
    accessed_dirty();
    invalidation();
    large_pages(small);
    check_end();
}
