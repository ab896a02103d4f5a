/* The Ctrl-A commands, byte by byte and all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/host/serial/internal.h"

static void plain_bytes_pass(void **state)
{
    (void)state;
    struct escape escape = {0};
    uint8_t data[] = {'x', 3, 0, 0xff, 'h', 'a'};
    uint8_t copy[sizeof data];
    size_t kept, consumed;
    memcpy(copy, data, sizeof data);
    assert_int_equal(escape_filter(&escape, data, sizeof data, &kept, &consumed), ESCAPE_NONE);
    assert_int_equal(kept, sizeof data);
    assert_int_equal(consumed, sizeof data);
    assert_memory_equal(data, copy, sizeof data);
}

static void quit_stops_there(void **state)
{
    (void)state;
    struct escape escape = {0};
    uint8_t data[] = {'a', 'b', 1, 'x', 'c'};
    size_t kept, consumed;
    assert_int_equal(escape_filter(&escape, data, sizeof data, &kept, &consumed), ESCAPE_QUIT);
    assert_int_equal(kept, 2);
    assert_int_equal(consumed, 4);
    assert_memory_equal(data, "ab", 2);
}

/* Ctrl-A a and Ctrl-A Ctrl-A give one Ctrl-A; other letters are swallowed; reads may split pairs.
 */
static void pairs_split_over_reads(void **state)
{
    (void)state;
    static const uint8_t typed[] = {'1', 1, 'a', '2', 1, 1, '3', 1, 'z', '4', 1, '?', '5'};
    struct escape escape = {0};
    uint8_t got[sizeof typed];
    size_t total = 0;
    unsigned helps = 0;
    for (size_t i = 0; i < sizeof typed; i++) {
        uint8_t byte = typed[i];
        size_t kept, consumed;
        enum escape_command command = escape_filter(&escape, &byte, 1, &kept, &consumed);
        helps += command == ESCAPE_HELP;
        assert_int_not_equal(command, ESCAPE_QUIT);
        if (kept)
            got[total++] = byte;
    }
    static const uint8_t expected[] = {'1', 1, '2', 1, '3', '4', '5'};
    assert_int_equal(total, sizeof expected);
    assert_memory_equal(got, expected, sizeof expected);
    assert_int_equal(helps, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_bytes_pass),
        cmocka_unit_test(quit_stops_there),
        cmocka_unit_test(pairs_split_over_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
