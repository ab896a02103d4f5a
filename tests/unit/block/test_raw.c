/* Raw files as members: what reaches the file, what stays a hole, what fails, and snapshots. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/raid/raid.h"
#include "vmm/host/block/raw.h"

enum { SECTORS = 4096 };

static char directory[64];

static const char *path(const char *name)
{
    static char text[4][128];
    static unsigned next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "%s/%s", directory, name);
    return out;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/hindsight-raw-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

static struct raw_file *open_image(const char *name, struct raw_options options)
{
    struct error error;
    struct raw_file *file = raw_open(path(name), &options, &error);
    if (!file)
        fail_msg("%s", error.text);
    return file;
}

static uint64_t allocated(const char *name)
{
    struct stat status;
    assert_int_equal(stat(path(name), &status), 0);
    return (uint64_t)status.st_blocks;
}

static void data_goes_to_the_file(void **state)
{
    (void)state;
    uint8_t data[3 * 512], back[3 * 512];
    memset(data, 0x5a, sizeof data);
    assert_int_equal(raw_make(path("a"), SECTORS, false, NULL), 0);
    assert_int_equal(raw_make(path("a"), SECTORS, false, NULL), -1);
    struct raw_file *file = open_image("a", (struct raw_options){0});
    struct raid_member member = raw_member(file);
    assert_int_equal(member.ops->size(file), SECTORS);
    assert_int_equal(member.ops->write(file, 100, 3, data), 0);
    assert_int_equal(member.ops->flush(file), 0);
    int descriptor = open(path("a"), O_RDONLY);
    assert_int_equal(pread(descriptor, back, sizeof back, 100 * 512), sizeof back);
    assert_memory_equal(back, data, sizeof data);
    close(descriptor);
    assert_int_equal(member.ops->read(file, 100, 3, back), 0);
    assert_memory_equal(back, data, sizeof data);
    raw_close(file);
}

static void sparse_stays_sparse(void **state)
{
    (void)state;
    static uint8_t data[128 * 512];
    assert_int_equal(raw_make(path("sparse"), SECTORS, false, NULL), 0);
    struct raw_file *file = open_image("sparse", (struct raw_options){0});
    struct raid_member member = raw_member(file);
    uint64_t before = allocated("sparse");
    for (unsigned i = 0; i < SECTORS / 128; i++)
        assert_int_equal(member.ops->write(file, i * 128, 128, data), 0);
    assert_int_equal(allocated("sparse"), before);
    memset(data, 1, sizeof data);
    assert_int_equal(member.ops->write(file, 1024, 128, data), 0);
    assert_int_equal(member.ops->flush(file), 0);
    uint64_t full = allocated("sparse");
    assert_true(full >= before + 128);
    /* Zeroes over data are zeroes; zeroing gives the room back. */
    memset(data, 0, sizeof data);
    assert_int_equal(member.ops->write(file, 1024, 1, data), 0);
    assert_int_equal(member.ops->read(file, 1024, 128, data), 0);
    assert_int_equal(data[0], 0);
    assert_int_equal(data[512], 1);
    assert_int_equal(member.ops->zero(file, 1024, 128), 0);
    assert_true(allocated("sparse") < full);
    assert_int_equal(member.ops->read(file, 1024, 128, data), 0);
    assert_int_equal(data[512], 0);
    raw_close(file);
}

static void a_file_cut_short_fails(void **state)
{
    (void)state;
    uint8_t data[512] = {1};
    assert_int_equal(raw_make(path("short"), SECTORS, false, NULL), 0);
    struct raw_file *file = open_image("short", (struct raw_options){0});
    struct raid_member member = raw_member(file);
    assert_int_equal(truncate(path("short"), 1000 * 512), 0);
    assert_int_equal(member.ops->read(file, 999, 1, data), 0);
    assert_int_equal(member.ops->read(file, 1000, 1, data), -1);
    assert_non_null(strstr(raw_error(file), "cut short"));
    assert_int_equal(member.ops->write(file, 2000, 1, data), -1);
    assert_int_equal(member.ops->zero(file, 2000, 1), -1);
    struct stat status;
    assert_int_equal(stat(path("short"), &status), 0);
    assert_int_equal(status.st_size, 1000 * 512);
    raw_close(file);
}

static void refusals(void **state)
{
    (void)state;
    struct raw_options plain = {0}, snapshot = {.snapshot = true};
    struct error error;
    assert_null(raw_open(path("none"), &plain, &error));
    assert_non_null(strstr(error.text, "No such file"));
    assert_null(raw_open(directory, &snapshot, &error));
    assert_null(raw_open("/dev/null", &plain, &error));
    assert_non_null(strstr(error.text, "neither"));
    assert_int_equal(raw_make(path("locked"), SECTORS, false, NULL), 0);
    struct raw_file *file = open_image("locked", plain);
    assert_null(raw_open(path("locked"), &plain, &error));
    assert_non_null(strstr(error.text, "in use"));
    assert_null(raw_open(path("locked"), &snapshot, &error));
    raw_close(file);
    /* Two snapshots may share what neither changes. */
    file = open_image("locked", snapshot);
    raw_close(open_image("locked", snapshot));
    assert_null(raw_open(path("locked"), &plain, &error));
    raw_close(file);
    assert_int_equal(chmod(path("locked"), 0444), 0);
    if (geteuid() != 0) {
        assert_null(raw_open(path("locked"), &plain, &error));
        assert_non_null(strstr(error.text, "snapshot=on"));
    }
    file = open_image("locked", (struct raw_options){.read_only = true});
    struct raid_member member = raw_member(file);
    uint8_t data[512] = {1};
    assert_int_equal(member.ops->write(file, 0, 1, data), -1);
    raw_close(file);
}

static void a_snapshot_changes_nothing(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static uint8_t model[SECTORS * 512], back[COUNT * 512], data[COUNT * 512];
    assert_int_equal(raw_make(path("base"), SECTORS, false, NULL), 0);
    for (size_t i = 0; i < sizeof model; i++)
        model[i] = (uint8_t)(i * 7 + i / 512);
    int descriptor = open(path("base"), O_RDWR);
    assert_int_equal(pwrite(descriptor, model, sizeof model, 0), sizeof model);
    struct raw_file *file = open_image("base", (struct raw_options){.snapshot = true});
    struct raid_member member = raw_member(file);
    uint64_t random = 12345;
    for (unsigned i = 0; i < 2000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t count = (uint32_t)(random >> 40) % COUNT + 1;
        uint64_t lba = (random >> 20) % (SECTORS - count);
        if (random >> 62 == 0) {
            assert_int_equal(member.ops->zero(file, lba, count), 0);
            memset(model + lba * 512, 0, count * 512);
        } else if (random >> 62 == 1) {
            memset(data, (int)i, sizeof data);
            assert_int_equal(member.ops->write(file, lba, count, data), 0);
            memcpy(model + lba * 512, data, count * 512);
        } else {
            assert_int_equal(member.ops->read(file, lba, count, back), 0);
            assert_memory_equal(back, model + lba * 512, count * 512);
        }
    }
    raw_close(file);
    for (size_t i = 0; i < SECTORS; i++) {
        assert_int_equal(pread(descriptor, back, 512, (off_t)(i * 512)), 512);
        for (size_t j = 0; j < 512; j++)
            assert_int_equal(back[j], (uint8_t)((i * 512 + j) * 7 + i));
    }
    close(descriptor);
}

/* A member file cut short while the array runs: the member goes, the data stays. */
static void an_array_survives_a_file_cut_short(void **state)
{
    (void)state;
    static uint8_t data[1024 * 512], back[1024 * 512];
    static const char *const names[] = {"m0", "m1", "m2"};
    struct raw_file *file[3];
    struct raid_member members[3];
    struct error error;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(raw_make(path(names[i]), SECTORS, false, NULL), 0);
        file[i] = open_image(names[i], (struct raw_options){0});
        members[i] = raw_member(file[i]);
    }
    struct raid_create create = {.level = RAID_5, .chunk = 65536, .uuid = {1}};
    assert_int_equal(raid_create(&create, members, 3, &error), 0);
    struct raid_array *array = raid_assemble(members, 3, &(struct raid_options){0}, &error);
    assert_non_null(array);
    struct block_device *disk = raid_block_device(array);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i / 7);
    assert_int_equal(disk->ops->write(disk->object, 0, 1024, data), BLOCK_OK);
    assert_int_equal(truncate(path("m1"), 4096), 0);
    assert_int_equal(disk->ops->read(disk->object, 0, 1024, back), BLOCK_OK);
    assert_memory_equal(back, data, sizeof data);
    assert_int_equal(raid_status(array)->member[1].state, RAID_MEMBER_FAILED);
    assert_int_equal(disk->ops->write(disk->object, 512, 512, data), BLOCK_OK);
    assert_int_equal(disk->ops->flush(disk->object), BLOCK_OK);
    raid_free(array);
    for (unsigned i = 0; i < 3; i++)
        raw_close(file[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_goes_to_the_file),
        cmocka_unit_test(sparse_stays_sparse),
        cmocka_unit_test(a_file_cut_short_fails),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_snapshot_changes_nothing),
        cmocka_unit_test(an_array_survives_a_file_cut_short),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
