/*
 * A program that changes what its segments and addresses are, all the time: entries of its LDT,
 * which data and 32-bit code are reached by, bases of FS and GS, and pages all over its address
 * space; and that executes FXSAVE in a large page. Prints how often it found something else than it
 * had put there, and what FXSAVE says of MXCSR, which the processor's own may say otherwise.
 */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DATA_ENTRY = 3, CODE_ENTRY = 5, LDT_OF_RING_3 = 7, CELLS = 64 };
enum {
    TOP_LEVEL = 39,
    TOP_ENTRIES = 256,
    LOW = 0x10000000,
    LOW_SIZE = 0x10000,
    CODE = 0x100,
    CALLER = 0x800
};

static unsigned wrong;

static void expect(uint64_t found, uint64_t wanted)
{
    if (found != wanted)
        wrong++;
}

static uint16_t selector_of(unsigned entry)
{
    return (uint16_t)(entry << 3 | LDT_OF_RING_3);
}

static void set_entry(unsigned entry, uint32_t base, int is_code)
{
    struct user_desc desc = {.entry_number = entry,
        .base_addr = base,
        .limit = LOW_SIZE - 1,
        .seg_32bit = 1,
        .contents = is_code ? MODIFY_LDT_CONTENTS_CODE : MODIFY_LDT_CONTENTS_DATA,
        .useable = 1};
    if (syscall(SYS_modify_ldt, 1, &desc, sizeof desc) != 0) {
        perror("modify_ldt");
        exit(1);
    }
}

/* Through FS by the LDT, whose entry moves on each time. */
static void data_by_the_ldt(uint32_t *cells, unsigned round)
{
    const unsigned cell = round % CELLS;
    uint32_t found;
    set_entry(DATA_ENTRY, LOW + cell * sizeof *cells, 0);
    cells[cell] = round * 2654435761u;
    __asm__ volatile("mov %1, %%fs; movl %%fs:0, %0; mov %2, %%fs"
                     : "=&r"(found)
                     : "r"(selector_of(DATA_ENTRY)), "r"(0));
    expect(found, cells[cell]);
}

/*
 * Calls 32-bit code at a base that is not zero, which adds in a loop and returns. A far call by
 * 64-bit code pushes 32 bits each of CS and RIP, which 32-bit code's far return takes: so what
 * makes the call is copied below 4 GiB, and the stack is there, too.
 */
static void code_by_the_ldt(unsigned round)
{
    /* 0: add %edx, %eax; dec %ecx; jnz 0b; lret */
    static const uint8_t code[] = {0x01, 0xd0, 0x49, 0x75, 0xfb, 0xcb};
    /* lcall *(%rsi); mov %rbx, %rsp; ret */
    static const uint8_t caller[] = {0xff, 0x1e, 0x48, 0x89, 0xdc, 0xc3};
    uint8_t *const low = (uint8_t *)LOW;
    const uint32_t offset = CODE + 16 * (round % 8);
    const struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } target = {.selector = selector_of(CODE_ENTRY)};
    uint32_t sum = 7, count = 1000 + round;
    set_entry(CODE_ENTRY, LOW + offset, 1);
    memcpy(low + offset, code, sizeof code);
    memcpy(low, &target, sizeof target);
    memcpy(low + CALLER, caller, sizeof caller);
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "mov %[stack], %%rsp\n\t"
                     "push %%rbx\n\t"
                     "lea -8(%%rsp), %%rbx\n\t"
                     "call *%[caller]\n\t"
                     "pop %%rsp\n\t"
                     : "+a"(sum), "+c"(count)
                     : [stack] "r"(low + LOW_SIZE), [caller] "r"(low + CALLER), "d"(round), "S"(low)
                     : "rbx", "memory", "cc");
    expect(sum, 7 + (1000 + round) * round);
    expect(count, 0);
}

/* A base of 64 bits, and one page in another entry of the top page table each time. */
static void pages_everywhere(unsigned round)
{
    const uint64_t top = 1 + round % (TOP_ENTRIES - 2);
    uint64_t *const wanted = (uint64_t *)(top << TOP_LEVEL | (uint64_t)round << 12);
    uint64_t found;
    uint64_t *page = mmap(wanted, 4096, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED)
        return; /* something else is there */
    page[1] = round;
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, page) != 0) {
        perror("arch_prctl");
        exit(1);
    }
    __asm__ volatile("mov %%gs:8, %0" : "=r"(found));
    expect(found, round);
    if (round % 3)
        munmap(page, 4096);
}

/* A loop, and FXSAVE, where the kernel has given a page of 2 MiB if it does so at all. */
static uint32_t code_in_a_large_page(void)
{
    enum { LARGE = 2 << 20, MXCSR_MASK = 28 };
    /* 0: dec %ecx; jnz 0b; fxsave (%rdi); ret */
    static const uint8_t code[] = {0xff, 0xc9, 0x75, 0xfc, 0x0f, 0xae, 0x07, 0xc3};
    static uint8_t saved[512] __attribute__((aligned(16)));
    uint8_t *room = mmap(
        NULL, 2 * LARGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    uint8_t *const page = (uint8_t *)(((uintptr_t)room + LARGE - 1) & ~(uintptr_t)(LARGE - 1));
    uint32_t mask, count = 100000;
    madvise(page, LARGE, MADV_HUGEPAGE);
    memcpy(page + 0x1230, code, sizeof code);
    __asm__ volatile("call *%[code]"
                     : "+c"(count)
                     : [code] "r"(page + 0x1230), "D"(saved)
                     : "memory", "cc");
    memcpy(&mask, saved + MXCSR_MASK, sizeof mask);
    return mask;
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 400;
    uint32_t *cells = mmap((void *)LOW, LOW_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (cells == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (unsigned round = 0; round < rounds; round++) {
        code_by_the_ldt(round);
        pages_everywhere(round);
    }
    /* FS is the C library's own: it is put back by its base, without the library. */
    uint64_t fs;
    syscall(SYS_arch_prctl, ARCH_GET_FS, &fs);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t call = SYS_arch_prctl;
        data_by_the_ldt(cells, round);
        __asm__ volatile("syscall"
                         : "+a"(call)
                         : "D"(ARCH_SET_FS), "S"(fs)
                         : "rcx", "r11", "memory");
    }
    printf("segments: MXCSR mask %#x\n", code_in_a_large_page());
    printf("segments: %u rounds, wrong %u\n", rounds, wrong);
    return wrong != 0;
}
