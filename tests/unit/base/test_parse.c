/* Sizes and times as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parse.h"

struct row {
    const char *text;
    uint64_t value;
};

static void times_without_a_unit_are_seconds(void **state)
{
    static const struct row rows[] = {{"5", 5000000000}, {"0", 0}, {"1.5", 1500000000},
        {"2.5s", 2500000000}, {"10ms", 10000000}, {"300us", 300000}, {"7ns", 7},
        {"2m", 120000000000}, {"1h", 3600000000000}, {"0.000000001", 1},
        {"18446744073", 18446744073000000000u}};
    static const char *const bad[] = {
        "", "soon", "5 s", "-1", "0x10", "5d", "18446744074", "1e400"};
    struct error error;
    uint64_t ns;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse_time(rows[i].text, &ns, &error), 0);
        assert_int_equal(ns, rows[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse_time(bad[i], &ns, &error), -1);
}

static void sizes_without_a_unit_are_bytes(void **state)
{
    static const struct row rows[] = {{"4096", 4096}, {"64K", 65536}, {"1.5G", 1610612736},
        {"2MiB", 2097152}, {"1T", 1099511627776}};
    struct error error;
    uint64_t size;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse_size(rows[i].text, &size, &error), 0);
        assert_int_equal(size, rows[i].value);
    }
    assert_int_equal(parse_size("many", &size, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_without_a_unit_are_seconds),
        cmocka_unit_test(sizes_without_a_unit_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
