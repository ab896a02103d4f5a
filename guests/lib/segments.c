/* The GDT and the task-state segment. */
#include "lib/segments.h"

#include <stdint.h>

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_offset;
    uint8_t io_map[65536 / 8 + 1]; /* all zero but the last: ring 3 may access every port */
} __attribute__((packed));

_Static_assert(__builtin_offsetof(struct tss, io_map) == 104, "the 64-bit TSS is 104 bytes");
_Static_assert(__builtin_offsetof(struct tss, rsp) == TSS_RSP0, "RSP0 is where user.S writes it");

extern struct tss tss; /* written by user.S */
struct tss tss = {.io_map_offset = __builtin_offsetof(struct tss, io_map)};

extern uint64_t gdt[]; /* start.S */

void segments_init(void)
{
    uint64_t base = (uintptr_t)&tss;
    uint64_t limit = sizeof tss - 1;
    tss.io_map[sizeof tss.io_map - 1] = 0xff; /* the byte after the map, required */
    /* Type 9 (available 64-bit TSS), present. */
    gdt[SELECTOR_TSS / 8] =
        (limit & 0xffff) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS) : "memory");
    /* EFER.SCE, as kernels have it. */
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000080));
    __asm__ volatile("wrmsr" : : "a"(low | 1), "d"(high), "c"(0xc0000080));
}
