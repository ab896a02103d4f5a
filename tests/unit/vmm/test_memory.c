/* Guest memory and its backends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/arch/memory.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static void create(struct memory *memory, const struct memory_backend *backends, unsigned count)
{
    struct error error;
    if (memory_create(memory, backends, count, &error) < 0)
        fail_msg("%s", error.text);
}

static char *scratch_path(const char *name)
{
    static char path[2][256];
    static unsigned turn;
    char *out = path[turn++ & 1];
    const char *folder = getenv("TMPDIR");
    snprintf(out, sizeof path[0], "%s/hindsight-%d-%s", folder ? folder : "/tmp", getpid(), name);
    return out;
}

static void backends_join_end_to_end(void **state)
{
    (void)state;
    char *path = scratch_path("joined");
    const struct memory_backend backends[] = {{MIB, NULL}, {2 * MIB, path}, {PAGE_SIZE, NULL}};
    struct memory memory;
    create(&memory, backends, 3);
    assert_int_equal(memory.size, 3 * MIB + PAGE_SIZE);
    assert_false(memory.anonymous);
    /* A copy across all three seams is contiguous in the host, too. */
    assert_true(memory_write(&memory, MIB - 2, "abcd", 4));
    assert_true(memory_write(&memory, 3 * MIB - 2, "efgh", 4));
    assert_memory_equal(memory.host + MIB - 2, "abcd", 4);
    int file = open(path, O_RDONLY);
    char bytes[2];
    assert_int_equal(pread(file, bytes, 2, 0), 2);
    assert_memory_equal(bytes, "cd", 2);
    assert_int_equal(pread(file, bytes, 2, 2 * MIB - 2), 2);
    assert_memory_equal(bytes, "ef", 2);
    close(file);
    memory_destroy(&memory);
    assert_null(memory.host);
    unlink(path);
}

static void ram_above_the_hole_goes_on_at_4_gib(void **state)
{
    (void)state;
    const struct memory_backend backend = {3 * GIB + MIB, NULL};
    struct memory memory;
    create(&memory, &backend, 1);
    assert_non_null(memory_at(&memory, MEMORY_HOLE - 1, 1));
    assert_null(memory_at(&memory, MEMORY_HOLE - 1, 2));
    assert_null(memory_at(&memory, MEMORY_HOLE, 1));
    assert_null(memory_at(&memory, MEMORY_ABOVE - 1, 1));
    assert_non_null(memory_at(&memory, MEMORY_ABOVE, MIB));
    assert_null(memory_at(&memory, MEMORY_ABOVE, MIB + 1));
    assert_null(memory_at(&memory, UINT64_MAX, 1));
    assert_null(memory_at(&memory, 1, UINT64_MAX));
    char bytes[8] = "unchang";
    assert_false(memory_read(&memory, MEMORY_HOLE - 4, bytes, 8));
    assert_string_equal(bytes, "unchang");
    assert_false(memory_write(&memory, MEMORY_ABOVE + MIB - 4, bytes, 8));
    assert_int_equal(*memory_at(&memory, MEMORY_ABOVE + MIB - 1, 1), 0);
    memory_destroy(&memory);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    static const struct {
        struct memory_backend backends[2];
        unsigned count;
        const char *why;
    } cases[] = {
        {{{MIB, NULL}}, 0, "give 1 to 16"},
        {{{0, NULL}}, 1, "multiple of 4096"},
        {{{MIB + 1, NULL}}, 1, "multiple of 4096"},
        {{{MIB - PAGE_SIZE, NULL}}, 1, "at least 1 MiB"},
        {{{MEMORY_MAXIMUM, NULL}, {PAGE_SIZE, NULL}}, 2, "64 GiB"},
        {{{UINT64_MAX & ~0xfffull, NULL}, {PAGE_SIZE, NULL}}, 2, "64 GiB"},
        {{{MIB, "/nonexistent/ram"}}, 1, "/nonexistent/ram"},
        {{{MIB, "/dev/null"}}, 1, "not a regular file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct memory memory;
        struct error error = {""};
        assert_int_equal(memory_create(&memory, cases[i].backends, cases[i].count, &error), -1);
        assert_non_null(strstr(error.text, cases[i].why));
        assert_null(memory.host);
    }
}

static void one_file_cannot_back_two_ranges(void **state)
{
    (void)state;
    char *path = scratch_path("twice");
    FILE *file = fopen(path, "w");
    fputs("keep", file);
    fclose(file);
    const struct memory_backend backends[] = {{MIB, path}, {MIB, path}};
    struct memory memory;
    struct error error;
    assert_int_equal(memory_create(&memory, backends, 2, &error), -1);
    assert_non_null(strstr(error.text, "two ranges"));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4); /* refused before anything was truncated */
    unlink(path);
}

static void old_contents_of_a_file_are_discarded(void **state)
{
    (void)state;
    char *path = scratch_path("old");
    FILE *file = fopen(path, "w");
    fputs("old contents", file);
    fclose(file);
    const struct memory_backend backend = {MIB, path};
    struct memory memory;
    create(&memory, &backend, 1);
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(memory.host[i], 0);
    memory_destroy(&memory);
    unlink(path);
}

static void the_digest_is_of_contents_alone(void **state)
{
    (void)state;
    char *path = scratch_path("digest");
    const struct memory_backend anonymous = {4 * MIB, NULL}, backed = {4 * MIB, path};
    struct memory a, b;
    create(&a, &anonymous, 1);
    create(&b, &backed, 1);
    uint64_t empty = memory_digest(&a);
    assert_true(memory_digest(&b) == empty);
    a.host[MIB] = 1; /* touched and zero again: as if never touched */
    assert_true(memory_digest(&a) != empty);
    a.host[MIB] = 0;
    assert_true(memory_digest(&a) == empty);
    a.host[5 * PAGE_SIZE + 4095] = 7;
    b.host[5 * PAGE_SIZE + 4095] = 7;
    assert_true(memory_digest(&a) == memory_digest(&b));
    assert_true(memory_digest(&a) != empty);
    uint64_t there = memory_digest(&a);
    a.host[5 * PAGE_SIZE + 4095] = 0;
    a.host[6 * PAGE_SIZE + 4095] = 7; /* the same page elsewhere */
    assert_true(memory_digest(&a) != there);
    memory_destroy(&a);
    memory_destroy(&b);
    unlink(path);
}

static void the_digest_touches_no_page(void **state)
{
    (void)state;
    const struct memory_backend backend = {64 * MIB, NULL};
    struct memory memory;
    create(&memory, &backend, 1);
    memory.host[10 * MIB] = 1;
    if (access("/proc/self/pagemap", R_OK) != 0)
        skip();
    memory_digest(&memory);
    static unsigned char resident[64 * MIB / PAGE_SIZE];
    assert_int_equal(mincore(memory.host, memory.size, resident), 0);
    unsigned count = 0;
    for (size_t i = 0; i < sizeof resident; i++)
        count += resident[i] & 1;
    assert_true(count >= 1 && count <= 512); /* one page, or the huge page around it */
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_join_end_to_end),
        cmocka_unit_test(ram_above_the_hole_goes_on_at_4_gib),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(one_file_cannot_back_two_ranges),
        cmocka_unit_test(old_contents_of_a_file_are_discarded),
        cmocka_unit_test(the_digest_is_of_contents_alone),
        cmocka_unit_test(the_digest_touches_no_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
