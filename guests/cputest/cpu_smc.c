/*
 * Self-modifying code: patched operands, opcodes, the very next instruction, the block being
 * executed, code that crosses pages, through another mapping, by string instructions. Stores to
 * code take effect for what executes next (APM volume 2, section 7.6.1).
 */
#include "lib/attempt.h"
#include "lib/boot.h"

enum { P = 1, W = 2, U = 4 };
#define WINDOW 0x40000000ull

static uint8_t code[8192] __attribute__((aligned(4096)));

static uint64_t call(const void *at, uint64_t argument)
{
    return ((uint64_t(*)(uint64_t))(uintptr_t)at)(argument);
}

static void put(uint8_t *at, const void *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        at[i] = ((const uint8_t *)bytes)[i];
}

/* MOV EAX, imm32; RET */
static void operand_patched(void)
{
    uint8_t bytes[] = {0xb8, 0, 0, 0, 0, 0xc3};
    put(code, bytes, sizeof bytes);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        *(volatile uint32_t *)(void *)(code + 1) = i;
        sum += call(code, 0);
    }
    check("operand patched a thousand times", sum, 499500);
}

/* LEA RAX, [RDI + 1] and [RDI - 1] in turn */
static void opcode_patched(void)
{
    static const uint8_t up[] = {0x48, 0x8d, 0x47, 0x01, 0xc3}, down[] = {0x48, 0x8d, 0x47, 0xff};
    put(code + 64, up, sizeof up);
    uint64_t value = 1000;
    for (unsigned i = 0; i < 100; i++) {
        put(code + 64, i % 3 ? up : down, 4);
        value = call(code + 64, value);
    }
    check("instruction replaced", value, 1000 + 66 - 34);
}

/*
 * MOV BYTE [RIP + 1], 0x2a ; the next instruction's operand:
 * MOV AL, 0 ; RET
 */
static void next_patched(void)
{
    static const uint8_t bytes[] = {0x31, 0xc0, 0xc6, 0x05, 0x01, 0, 0, 0, 0x2a, 0xb0, 0x00, 0xc3};
    put(code + 128, bytes, sizeof bytes);
    check("the next instruction, patched before it executes", call(code + 128, 0), 0x2a);
    code[128 + 10] = 0;
    code[128 + 8] = 0x17;
    check("  and again", call(code + 128, 0), 0x17);
}

/*
 * A loop that increments its own operand: 1: ADD EAX, imm8 (0); INC BYTE [RIP - 7 + ...]; DEC EDI;
 * JNZ 1b; RET. Adds 0 + 1 + ... + n-1.
 */
static void loop_patched(void)
{
    static const uint8_t bytes[] = {0x31, 0xc0, /* XOR EAX, EAX */
        0x83, 0xc0, 0x00,                       /* ADD EAX, 0 */
        0xfe, 0x05, 0xf9, 0xff, 0xff, 0xff,     /* INC BYTE [RIP - 7] */
        0xff, 0xcf,                             /* DEC EDI */
        0x75, 0xf3,                             /* JNZ -13 */
        0xc3};
    put(code + 192, bytes, sizeof bytes);
    check("a loop that patches itself", call(code + 192, 100), 4950);
}

static void across_pages(void)
{
    uint8_t bytes[] = {0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3};
    uint8_t *at = code + 4096 - 3;
    put(at, bytes, sizeof bytes);
    check("an instruction across two pages", call(at, 0), 0x44332211);
    at[4] = 0x55;
    check("  its part in the second page patched", call(at, 0), 0x55332211);
    at[1] = 0x66;
    check("  its part in the first page patched", call(at, 0), 0x55332266);
}

/* Stores through another linear address of the same page, and remapping of the code's address. */
static void other_mapping(void)
{
    static uint64_t table[512] __attribute__((aligned(4096)));
    static uint8_t other[4096] __attribute__((aligned(4096)));
    uint64_t level4;
    __asm__ volatile("mov %%cr3, %0" : "=r"(level4));
    uint64_t *level = (uint64_t *)(uintptr_t)(level4 & ~0xfffull);
    level = (uint64_t *)(uintptr_t)(level[0] & 0x000ffffffffff000);
    level = (uint64_t *)(uintptr_t)(level[WINDOW >> 30] & 0x000ffffffffff000);
    table[0] = (uintptr_t)code | P | W | U;
    level[0] = (uintptr_t)table | P | W | U;
    __asm__ volatile("mov %0, %%cr3" : : "r"(level4) : "memory");
    uint8_t bytes[] = {0xb8, 1, 0, 0, 0, 0xc3};
    put(code + 512, bytes, sizeof bytes);
    check("before", call(code + 512, 0), 1);
    *(volatile uint8_t *)(uintptr_t)(WINDOW + 513) = 2;
    check("patched through another mapping", call(code + 512, 0), 2);
    check("executed through it", call((const void *)(uintptr_t)(WINDOW + 512), 0), 2);
    bytes[1] = 3;
    put(other + 512, bytes, sizeof bytes);
    table[0] = (uintptr_t)other | P | W | U;
    __asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
    check("other code at the same address", call((const void *)(uintptr_t)(WINDOW + 512), 0), 3);
}

static void by_string(void)
{
    uint8_t from[] = {0xb8, 7, 0, 0, 0, 0xc3};
    for (unsigned i = 0; i < 3; i++) {
        const void *source = from;
        void *to = code + 600;
        uint64_t size = sizeof from;
        from[1] = (uint8_t)(7 + i);
        __asm__ volatile("rep movsb" : "+S"(source), "+D"(to), "+c"(size) : : "memory");
        check("code written by REP MOVSB", call(code + 600, 0), 7 + i);
    }
}

void guest_main(const struct boot_info *boot)
{
    (void)boot;
    operand_patched();
    opcode_patched();
    next_patched();
    loop_patched();
    across_pages();
    other_mapping();
    by_string();
    check_end();
}
