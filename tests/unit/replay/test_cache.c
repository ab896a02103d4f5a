/*
 * Checkpoints in a file: a warm session finds the same machine everywhere, and what is not right in
 * the file is left out.
 */
#include "tests/unit/replay/recorded.h"

#include "replay/cache.h"

static char cache_path[80];

static struct timeline *open_warm(const char *path)
{
    struct error error = {""};
    bool damaged;
    const struct timeline_options options = {.cache_path = path};
    struct timeline *timeline = timeline_open(trace_path, &options, &damaged, &error);
    if (!timeline)
        fail_msg("%s", error.text);
    return timeline;
}

static unsigned count_of(const struct timeline *timeline)
{
    unsigned count;
    uint64_t bytes;
    timeline_cache(timeline, &count, &bytes);
    return count;
}

/* Leaves a file with many checkpoints; returns the instructions in the trace. */
static uint64_t make_cache(unsigned *count)
{
    struct error error = {""};
    record("clock", "ticks=60", UINT64_MAX);
    snprintf(cache_path, sizeof cache_path, "%s.cache", trace_path);
    unlink(cache_path);
    struct timeline *timeline = open_warm(cache_path);
    assert_string_equal(timeline_cache_message(timeline), "");
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    uint64_t total = timeline_retired(timeline);
    for (unsigned i = 1; i < 20; i++) {
        assert_int_equal(timeline_seek_retired(timeline, total * i / 20, NULL, &error), 0);
        assert_int_equal(timeline_checkpoint(timeline, &error), 0);
    }
    *count = count_of(timeline);
    assert_true(*count >= 20);
    timeline_close(timeline);
    return total;
}

static void walk_in(struct timeline *timeline, uint64_t total, uint64_t seed)
{
    struct error error = {""};
    printf("walk: seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(
            timeline_seek_retired(timeline, next_random(&seed) % total, NULL, &error), 0);
        check_here(timeline);
        assert_int_equal(timeline_step(timeline, BACKWARD, 1, NULL, &error), 0);
        check_here(timeline);
    }
}

static void a_warm_session_is_as_a_cold_one(void **state)
{
    (void)state;
    struct error error = {""};
    unsigned count;
    size_t cold_size, warm_size;
    uint64_t total = make_cache(&count);
    struct timeline *cold = open_trace(0), *warm = open_warm(cache_path);
    assert_string_equal(timeline_cache_message(warm), "");
    assert_int_equal(count_of(warm), count);
    walk_in(warm, total, 11);
    assert_int_equal(timeline_seek(cold, POSITION_END, NULL, &error), 0);
    assert_int_equal(timeline_seek(warm, POSITION_END, NULL, &error), 0);
    const uint8_t *text = timeline_console(cold, &cold_size);
    const uint8_t *same = timeline_console(warm, &warm_size);
    assert_true(cold_size > 100 && warm_size == cold_size);
    assert_memory_equal(text, same, cold_size);
    const struct timeline_condition tick = {.kind = CONDITION_CONSOLE, .text = "tick 50"};
    struct timeline_stop stop;
    assert_int_equal(timeline_run(warm, BACKWARD, &tick, 1, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    timeline_close(warm);
    timeline_close(cold);
    unlink(cache_path);
}

static void another_traces_file_is_left_out(void **state)
{
    (void)state;
    unsigned count;
    make_cache(&count);
    record("clock", "ticks=61", UINT64_MAX);
    struct timeline *timeline = open_warm(cache_path);
    assert_non_null(strstr(timeline_cache_message(timeline), "another trace"));
    assert_int_equal(count_of(timeline), 1);
    check_here(timeline);
    timeline_close(timeline);
    unlink(cache_path);
}

static size_t read_all(const char *path, uint8_t **data)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    *data = malloc(size);
    assert_non_null(*data);
    assert_int_equal(fread(*data, 1, size, file), size);
    fclose(file);
    return size;
}

static void write_all(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

/* A changed byte or a cut: told, and what is used is right. */
static void a_damaged_file_gives_no_wrong_machine(void **state)
{
    (void)state;
    unsigned count;
    uint64_t seed = 5, total = make_cache(&count);
    uint8_t *data;
    size_t size = read_all(cache_path, &data);
    for (unsigned i = 0; i < 12; i++) {
        size_t at = next_random(&seed) % size;
        uint8_t mask = (uint8_t)(1u << next_random(&seed) % 8);
        size_t left = i % 3 == 2 ? at : size;
        if (left == size)
            data[at] ^= mask;
        write_all(cache_path, data, left);
        if (left == size)
            data[at] ^= mask;
        struct timeline *timeline = open_warm(cache_path);
        if (count_of(timeline) == count || !*timeline_cache_message(timeline))
            fail_msg("damage at %zu of %zu was not seen", at, size);
        walk_in(timeline, total, i);
        timeline_close(timeline);
    }
    free(data);
    unlink(cache_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warm_session_is_as_a_cold_one),
        cmocka_unit_test(another_traces_file_is_left_out),
        cmocka_unit_test(a_damaged_file_gives_no_wrong_machine),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
