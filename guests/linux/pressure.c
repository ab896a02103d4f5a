/*
 * Forks under memory pressure: children share more memory with their parent than the machine can
 * keep when each has its own, so the kernel copies, reclaims and swaps by the accessed bits that it
 * finds. Each child reads some of its pages often and others seldom, and the parent tells what the
 * accessed bits say of it itself (Referenced in smaps, after clear_refs).
 *
 * usage: pressure MEGABYTES CHILDREN
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, ROUNDS = 6 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t word_of(uint64_t page, uint64_t round)
{
    return (page + 1) * 0x9e3779b97f4a7c15 ^ round * 0xd6e8feb86659fd93;
}

static void write_page(uint64_t *memory, uint64_t page, uint64_t round)
{
    for (unsigned i = 0; i < WORDS; i += 8)
        memory[page * WORDS + i] = word_of(page, round) + i;
}

static uint64_t read_page(const uint64_t *memory, uint64_t page)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WORDS; i += 8)
        sum = sum * 31 + memory[page * WORDS + i];
    return sum;
}

static uint64_t sum_of(uint64_t page, uint64_t round)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WORDS; i += 8)
        sum = sum * 31 + word_of(page, round) + i;
    return sum;
}

/* A quarter of the pages is read all the time, each child's own share is written. 0: all were as
 * they had to be. */
static int work(uint64_t *memory, uint64_t pages, unsigned number, unsigned children)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned again = 0; again < 4; again++)
            for (uint64_t page = 0; page < pages / 4; page++)
                if (page % children != number && read_page(memory, page) != sum_of(page, 0))
                    return 2;
        for (uint64_t page = number; page < pages; page += children) {
            if (read_page(memory, page) != sum_of(page, round - 1))
                return 3;
            write_page(memory, page, round);
        }
    }
    return 0;
}

/* Kilobytes that the accessed bits call referenced, over all mappings. */
static unsigned long referenced(void)
{
    char line[256];
    unsigned long sum = 0, kilobytes;
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (!maps)
        fail("/proc/self/smaps");
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "Referenced: %lu kB", &kilobytes) == 1)
            sum += kilobytes;
    fclose(maps);
    return sum;
}

static void forget_references(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0 || write(file, "1", 1) != 1)
        fail("/proc/self/clear_refs");
    close(file);
}

static void show_vmstat(void)
{
    char name[64];
    unsigned long value;
    FILE *stat = fopen("/proc/vmstat", "r");
    if (!stat)
        fail("/proc/vmstat");
    while (fscanf(stat, "%63s %lu", name, &value) == 2)
        if (!strncmp(name, "pgscan_", 7) || !strncmp(name, "pgsteal_", 8) ||
            !strcmp(name, "pgactivate") || !strcmp(name, "pgdeactivate") ||
            !strcmp(name, "pswpin") || !strcmp(name, "pswpout"))
            printf("pressure: %s %lu\n", name, value);
    fclose(stat);
}

int main(int argc, char **argv)
{
    const uint64_t pages = (argc > 1 ? strtoul(argv[1], NULL, 0) : 16) * 256;
    const unsigned children = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 4;
    uint64_t *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status, failed = 0;
    if (memory == MAP_FAILED)
        fail("mmap");
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    for (uint64_t page = 0; page < pages; page++)
        write_page(memory, page, 0);
    for (unsigned i = 0; i < children; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0)
            _exit(work(memory, pages, i, children));
    }
    uint64_t seen = 0;
    for (unsigned round = 0; round < 20; round++) {
        forget_references();
        for (uint64_t page = round; page < pages; page += 7 + round)
            seen = seen * 31 + read_page(memory, page);
        printf("pressure: referenced %lu kB\n", referenced());
        usleep(3000);
    }
    while (wait(&status) > 0)
        failed += status != 0;
    show_vmstat();
    printf("pressure: %u children, %d failed, fold %016llx\n", children, failed,
        (unsigned long long)seen);
    return failed != 0;
}
