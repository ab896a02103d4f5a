/* Buffers and readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buffer.h"

static void integers_round_trip(void **state)
{
    (void)state;
    static const uint64_t values[] = {
        0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    struct buffer buffer = {0};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buffer_put_varint(&buffer, values[i]);
        buffer_put_signed_varint(&buffer, (int64_t)values[i]);
        buffer_put_u64(&buffer, values[i]);
        buffer_put_u16(&buffer, (uint16_t)values[i]);
    }
    assert_false(buffer.failed);
    struct reader reader;
    reader_init(&reader, buffer.data, buffer.size);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_true(reader_get_varint(&reader) == values[i]);
        assert_true(reader_get_signed_varint(&reader) == (int64_t)values[i]);
        assert_true(reader_get_u64(&reader) == values[i]);
        assert_int_equal(reader_get_u16(&reader), (uint16_t)values[i]);
    }
    assert_int_equal(reader_left(&reader), 0);
    assert_false(reader.failed);
    buffer_free(&buffer);
}

static void reading_past_the_end_sticks(void **state)
{
    (void)state;
    struct reader reader;
    reader_init(&reader, "abc", 3);
    assert_int_equal(reader_get_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(reader_get_u8(&reader), 0);
    assert_int_equal(reader_left(&reader), 0);
}

static void an_overlong_varint_fails(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct reader reader;
    reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(reader_get_varint(&reader), 0);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_round_trip),
        cmocka_unit_test(reading_past_the_end_sticks),
        cmocka_unit_test(an_overlong_varint_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
