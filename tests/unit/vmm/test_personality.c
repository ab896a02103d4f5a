/* The names of personalities and hosts, as traces and the command line write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/machine/config.h"

static void a_personality_is_written_as_it_is_read(void **state)
{
    (void)state;
    static const char *const good[] = {"amd 1", "intel 1", "intel 12"};
    static const char *const bad[] = {"", "amd", "amd ", "amd  1", "amd 1 ", "amd 01", "amd -1",
        "AMD 1", "via 1", "amd 12345678901", "amd1", "intelligence 1"};
    struct personality personality;
    char text[PERSONALITY_TEXT_MAX];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(personality_parse(good[i], &personality));
        personality_format(&personality, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(personality_parse(bad[i], &personality));
}

static void a_host_is_written_as_it_is_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        "AuthenticAMD family 25 model 17 stepping 1", "GenuineIntel family 6 model 207 stepping 2"};
    static const char *const bad[] = {"", "AuthenticAMD", "AuthenticAMD family 25 model 17",
        "AuthenticAMDx family 25 model 17 stepping 1", "A family 25 model 17 stepping 1x"};
    struct host_cpu host;
    char text[HOST_CPU_TEXT_MAX];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(host_cpu_parse(good[i], &host));
        host_cpu_format(&host, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(host_cpu_maker(&host), i);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(host_cpu_parse(bad[i], &host));
    host_cpu_identify(&host);
    host_cpu_format(&host, text);
    assert_true(host_cpu_parse(text, &host));
}

static void a_configuration_keeps_both(void **state)
{
    (void)state;
    struct machine_config config, again;
    struct error error;
    struct buffer text = {0};
    config_defaults(&config);
    assert_int_equal(config.personality.maker, MAKER_AMD);
    assert_true(personality_named("intel", &config.personality));
    assert_true(host_cpu_parse("GenuineIntel family 6 model 207 stepping 2", &config.host));
    config_write(&config, &text);
    assert_int_equal(config_parse(&again, (char *)text.data, text.size, &error), 0);
    assert_int_equal(again.personality.maker, MAKER_INTEL);
    assert_int_equal(again.personality.revision, PERSONALITY_REVISION);
    assert_int_equal(again.host.model, 207);
    buffer_free(&text);
    for (unsigned revision = 0; revision <= PERSONALITY_REVISION + 1; revision++) {
        bool known = revision >= 1 && revision <= PERSONALITY_REVISION;
        config.personality.revision = revision;
        assert_int_equal(personality_check(&config.personality, &error), known ? 0 : -1);
    }
    assert_non_null(strstr(error.text, "intel"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_personality_is_written_as_it_is_read),
        cmocka_unit_test(a_host_is_written_as_it_is_read),
        cmocka_unit_test(a_configuration_keeps_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
