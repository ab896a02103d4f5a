/* Boot files in a store: traces that name them, and the way back into one file. */
#include "tests/unit/traces/sample.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder with the sample as a file, what is made of it, and a store. */
struct place {
    char folder[64], whole[96], small[96], again[96], store[96];
    struct memory_sink sink;
    struct content content;
};

static void write_bytes(const char *path, const struct buffer *bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->data, 1, bytes->size, file), bytes->size);
    fclose(file);
}

static void read_bytes(const char *path, struct buffer *bytes)
{
    FILE *file = fopen(path, "rb");
    char piece[4096];
    size_t count;
    assert_non_null(file);
    while ((count = fread(piece, 1, sizeof piece, file)) > 0)
        buffer_put(bytes, piece, count);
    fclose(file);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    struct error error;
    assert_non_null(place);
    strcpy(place->folder, "/tmp/hindsight-store-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->whole, sizeof place->whole, "%s/whole.hst", place->folder);
    snprintf(place->small, sizeof place->small, "%s/small.hst", place->folder);
    snprintf(place->again, sizeof place->again, "%s/again.hst", place->folder);
    snprintf(place->store, sizeof place->store, "%s/deep/er", place->folder);
    assert_int_equal(write_sample(&place->sink, true, true, &error), 0);
    assert_int_equal(
        content_read(place->sink.bytes.data, place->sink.bytes.size, &place->content, &error), 0);
    write_bytes(place->whole, &place->sink.bytes);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    assert_int_equal(system(command), 0);
    content_free(&place->content);
    buffer_free(&place->sink.bytes);
    free(place);
    return 0;
}

static struct trace_store *open_store(const struct place *place, bool create)
{
    struct error error;
    struct trace_store *store = trace_store_open(place->store, create, &error);
    assert_non_null(store);
    return store;
}

static void copy(
    const struct place *place, const char *in, const char *out, enum trace_boot_files boot_files)
{
    struct error error;
    struct trace_store *store = open_store(place, boot_files == TRACE_UNPACK_BOOT_FILES);
    const struct trace_copy_options options = {
        .packed = true, .boot_files = boot_files, .store = store};
    if (trace_copy(in, out, &options, &error))
        fail_msg("%s", error.text);
    trace_store_close(store);
}

/* Opens a trace with the store; `result` of that. */
static struct trace_reader *open_trace(
    const struct place *place, const char *path, int expected, struct error *error)
{
    struct trace_reader *reader;
    struct trace_store *store = open_store(place, false);
    assert_int_equal(trace_reader_open(&reader, path, error), 0);
    assert_int_equal(trace_reader_use_store(reader, store, error), expected);
    trace_store_close(store);
    return reader;
}

/* The path in the store of the sample's kernel. */
static void kernel_path(const struct place *place, char path[192])
{
    struct error error;
    struct trace_reader *reader;
    struct trace_blob blob;
    char name[2 * TRACE_HASH_SIZE + 1];
    assert_int_equal(trace_reader_open(&reader, place->small, &error), 0);
    assert_true(trace_reader_blob_at(reader, 0, &blob));
    assert_true(blob.stored);
    trace_hash_text(blob.hash, name);
    snprintf(path, 192, "%s/%s", place->store, name);
    trace_reader_close(reader);
}

static void there_and_back(void **state)
{
    struct place *place = *state;
    struct error error;
    struct buffer machine = {0}, bytes = {0};
    struct content content;
    copy(place, place->whole, place->small, TRACE_UNPACK_BOOT_FILES);
    struct trace_reader *reader = open_trace(place, place->small, TRACE_OK, &error);
    struct trace_info info;
    trace_reader_info(reader, &info);
    assert_true(info.stored && info.packed && info.has_checks && info.complete);
    assert_int_equal(content_machine(reader, &machine, &error), 0);
    assert_true(buffer_equal(&machine, &place->content.machine));
    trace_reader_close(reader);
    assert_int_equal(trace_verify(place->small, NULL, NULL, &error), 0);
    copy(place, place->small, place->again, TRACE_PACK_BOOT_FILES);
    read_bytes(place->again, &bytes);
    assert_int_equal(content_read(bytes.data, bytes.size, &content, &error), 0);
    assert_true(content_equal(&content, &place->content));
    assert_true(!content.info.stored && content.info.packed);
    assert_int_equal(trace_verify(place->again, NULL, NULL, &error), 0);
    content_free(&content);
    buffer_free(&bytes);
    buffer_free(&machine);
}

/* SHA-256 of the abc, as the standard (FIPS 180-2) gives it. */
static void names_are_sha256(void **state)
{
    struct place *place = *state;
    struct error error;
    struct trace_store *store = open_store(place, true);
    uint8_t hash[TRACE_HASH_SIZE];
    char name[2 * TRACE_HASH_SIZE + 1];
    assert_int_equal(trace_store_put(store, "abc", 3, hash, &error), 0);
    trace_hash_text(hash, name);
    assert_string_equal(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(trace_store_has(store, hash, 3));
    assert_false(trace_store_has(store, hash, 4));
    /* Nothing is left beside it. */
    assert_int_equal(trace_store_put(store, "abc", 3, hash, &error), 0);
    trace_store_close(store);
    DIR *folder = opendir(place->store);
    unsigned files = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        files += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    assert_int_equal(files, 1);
}

static void missing_files_are_told(void **state)
{
    struct place *place = *state;
    struct error error;
    char path[192], data[64];
    copy(place, place->whole, place->small, TRACE_UNPACK_BOOT_FILES);
    kernel_path(place, path);
    /* No store was given. */
    struct trace_reader *reader;
    assert_int_equal(trace_reader_open(&reader, place->small, &error), 0);
    assert_int_equal(trace_reader_blob(reader, 0, data, &error), TRACE_MISSING);
    assert_non_null(strstr(error.text, "in a store"));
    trace_reader_close(reader);
    assert_int_equal(unlink(path), 0);
    reader = open_trace(place, place->small, TRACE_MISSING, &error);
    assert_non_null(strstr(error.text, "kernel"));
    assert_non_null(strstr(error.text, strrchr(path, '/') + 1));
    trace_reader_close(reader);
    /* A link is not the file, wherever it leads. */
    assert_int_equal(symlink(place->whole, path), 0);
    reader = open_trace(place, place->small, TRACE_MISSING, &error);
    trace_reader_close(reader);
    struct trace_store *store = open_store(place, false);
    const struct trace_copy_options pack = {.boot_files = TRACE_PACK_BOOT_FILES, .store = store};
    assert_int_equal(trace_copy(place->small, place->again, &pack, &error), TRACE_MISSING);
    assert_int_equal(access(place->again, F_OK), -1);
    trace_store_close(store);
}

/* The right size and other bytes: found when it is read, put right when it is put in again. */
static void damaged_files_are_found(void **state)
{
    struct place *place = *state;
    struct error error;
    char path[192], data[64];
    copy(place, place->whole, place->small, TRACE_UNPACK_BOOT_FILES);
    kernel_path(place, path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 7), 1);
    close(fd);
    struct trace_reader *reader = open_trace(place, place->small, TRACE_OK, &error);
    assert_int_equal(trace_reader_blob(reader, 0, data, &error), TRACE_MISSING);
    assert_non_null(strstr(error.text, "damaged"));
    trace_reader_close(reader);
    copy(place, place->whole, place->small, TRACE_UNPACK_BOOT_FILES);
    reader = open_trace(place, place->small, TRACE_OK, &error);
    assert_int_equal(trace_reader_blob(reader, 0, data, &error), 0);
    trace_reader_close(reader);
}

/* As for traces of other kinds: no changed byte gives other content. */
static void expect_every_change_found(const char *path)
{
    struct buffer bytes = {0};
    struct error error;
    struct content whole, content;
    read_bytes(path, &bytes);
    int stored = content_read(bytes.data, bytes.size, &whole, &error);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= (uint8_t)(1u << i % 8);
        int result = content_read(bytes.data, bytes.size, &content, &error);
        if (result == TRACE_OK) {
            assert_int_equal(stored, TRACE_OK);
            assert_true(buffer_equal(&content.machine, &whole.machine));
            assert_true(buffer_is_prefix(&content.inputs, &whole.inputs));
            assert_true(buffer_is_prefix(&content.checks, &whole.checks));
        }
        content_free(&content);
        bytes.data[i] ^= (uint8_t)(1u << i % 8);
    }
    content_free(&whole);
    buffer_free(&bytes);
}

static void changes_are_found(void **state)
{
    struct place *place = *state;
    copy(place, place->whole, place->small, TRACE_UNPACK_BOOT_FILES);
    expect_every_change_found(place->small);
    copy(place, place->whole, place->again, TRACE_PACK_BOOT_FILES);
    expect_every_change_found(place->again);
}

static void recorded_into_a_store(void **state)
{
    struct place *place = *state;
    struct error error;
    struct buffer machine = {0};
    struct trace_store *store = open_store(place, true);
    struct trace_config config = {0};
    sample_config(&config);
    const struct trace_writer_options options = {
        .path = place->small, .config = &config, .store = store};
    struct trace_writer *writer = trace_writer_create(&options, &error);
    assert_non_null(writer);
    trace_config_free(&config);
    trace_store_close(store);
    trace_writer_input(writer, 2, NULL, "x", 1);
    struct trace_end end = sample_end(1);
    assert_int_equal(trace_writer_finish(writer, &end, &error), 0);
    struct trace_reader *reader = open_trace(place, place->small, TRACE_OK, &error);
    assert_int_equal(content_machine(reader, &machine, &error), 0);
    assert_true(buffer_equal(&machine, &place->content.machine));
    trace_reader_close(reader);
    buffer_free(&machine);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(there_and_back),
        TEST(names_are_sha256),
        TEST(missing_files_are_told),
        TEST(damaged_files_are_found),
        TEST(changes_are_found),
        TEST(recorded_into_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
