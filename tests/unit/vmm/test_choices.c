/* The list of a run's choices as text: what is written is read, and what is no choice refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "vmm/machine/choices.h"

static int parse(struct choices *choices, const char *text)
{
    struct error error;
    char *copy = strdup(text);
    assert_non_null(copy);
    int result = choices_parse(choices, copy, &error);
    free(copy);
    return result;
}

static void there_and_back(void **state)
{
    (void)state;
    static const char text[] = "timer 0 6447 0 108\nturn 15 18446744073709551615 3 9 1\n";
    struct choices choices = {0};
    struct buffer out = {0};
    assert_int_equal(parse(&choices, text), 0);
    assert_int_equal(choices.count, 2);
    assert_int_equal(choices.list[0].kind, CHOICE_TIMER);
    assert_int_equal(choices.list[1].vcpu, 15);
    assert_int_equal(choices.list[1].insns, UINT64_MAX);
    assert_int_equal(choices.list[1].to, 1);
    choices_write(&choices, &out);
    assert_int_equal(out.size, strlen(text));
    assert_memory_equal(out.data, text, out.size);
    buffer_free(&out);
    choices_free(&choices);
    assert_int_equal(parse(&choices, "\n\n"), 0);
    assert_int_equal(choices.count, 0);
}

static void what_is_no_choice(void **state)
{
    (void)state;
    static const char *const texts[] = {"timer", "timer 0 1 2", "timer 0 1 2 3 4", "turn 0 1 2 3",
        "turn 0 1 2 3 16", "timer 16 1 2 3", "turn 0 1 2 3 1 1", "nothing 0 1 2 3", "timer x 1 2 3",
        "a-very-long-word 0 1 2 3"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct choices choices = {0};
        assert_int_equal(parse(&choices, texts[i]), -1);
        choices_free(&choices);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(what_is_no_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
