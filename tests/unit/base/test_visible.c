/* What others' text may do to a terminal: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/visible.h"

static void expect(const char *text, const char *shown)
{
    struct buffer out = {0};
    buffer_put_visible(&out, text, strlen(text));
    buffer_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, shown);
    buffer_free(&out);
}

static void letters_of_any_language_stay(void **state)
{
    (void)state;
    expect("", "");
    expect("a line\n\tand another\n", "a line\n\tand another\n");
    expect("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f");
}

static void control_characters_become_visible(void **state)
{
    (void)state;
    expect("\x1b[2J\x07\r\x7f", "\\x1b[2J\\x07\\x0d\\x7f");
    expect("\x9b"
           "2J",
        "\\x9b2J");                                              /* CSI as one byte */
    expect("\xc2\x9b", "\\xc2\\x9b");                            /* and in UTF-8 */
    expect("\xe2\x80\xae", "\\xe2\\x80\\xae");                   /* right-to-left override */
    expect("\xc0\x8a\xe0\x80\x8a", "\\xc0\\x8a\\xe0\\x80\\x8a"); /* overlong line ends */
    expect("\xed\xa0\x80\xf4\x90\x80\x80\xff\xe2\x82",
        "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xff\\xe2\\x82");
}

static void messages_keep_their_room(void **state)
{
    (void)state;
    char text[12] = "ab\x1b"
                    "cd";
    text_make_visible(text, sizeof text);
    assert_string_equal(text, "ab\\x1bcd");
    char full[8] = "\x01\x02\x03\x04";
    text_make_visible(full, sizeof full);
    assert_string_equal(full, "\\x01\\x0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_any_language_stay),
        cmocka_unit_test(control_characters_become_visible),
        cmocka_unit_test(messages_keep_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
