/* What is taken for code that shows the host (vmm/kvm/shows_host.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/kvm/shows_host.h"

struct bytes {
    const char *code;
    size_t size;
};
#define BYTES(text)           \
    {                         \
        text, sizeof text - 1 \
    }

static const struct bytes shown[] = {
    BYTES("\x0f\xa2"),             /* cpuid */
    BYTES("\x0f\x01\xd0"),         /* xgetbv */
    BYTES("\x0f\x01\xee"),         /* rdpkru */
    BYTES("\x0f\x01\xfd"),         /* rdpru */
    BYTES("\x0f\xc7\xf3"),         /* rdrand ebx */
    BYTES("\x0f\xc7\xf8"),         /* rdseed, rdpid */
    BYTES("\x0f\xae\xc1"),         /* rdfsbase */
    BYTES("\x0f\xae\xdf"),         /* wrgsbase */
    BYTES("\xf3\x0f\xbc\xc0"),     /* tzcnt */
    BYTES("\xf3\x48\x0f\xbd\xc0"), /* lzcnt */
    BYTES("\x0f\xae\x04"),         /* fxsave with a SIB byte */
    BYTES("\x0f\x02\xc8"),         /* lar */
    BYTES("\x0f\x03\x05"),         /* lsl from memory */
    BYTES("\x0f\x0f\xa2"),         /* an escape behind another */
};

static const struct bytes plain[] = {
    BYTES("\x90"),               /* nop */
    BYTES("\x0f\x05"),           /* syscall */
    BYTES("\x0f\x31"),           /* rdtsc, which faults */
    BYTES("\x0f\x01\xf9"),       /* rdtscp, likewise */
    BYTES("\x0f\x84\xa2\0\0\0"), /* a jump */
    BYTES("\x0f\xae\xe8"),       /* lfence */
    BYTES("\x0f\xae\x10"),       /* ldmxcsr [rax] */
    BYTES("\x0f\xc7\x09"),       /* cmpxchg8b [rcx] */
    BYTES("\x0f\xb6\xc0"),       /* movzx */
};

enum { PAGE = 4096 };

/* In a page of NOPs, at each offset. */
static void instructions_are_found_wherever_they_are(void **state)
{
    uint8_t page[PAGE];
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        for (size_t at = 0; at + shown[i].size <= PAGE; at++) {
            memset(page, 0x90, PAGE);
            memcpy(page + at, shown[i].code, shown[i].size);
            assert_true(code_shows_host(page, PAGE));
        }
    }
}

static void other_code_shows_nothing(void **state)
{
    uint8_t page[PAGE];
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        for (size_t at = 0; at + plain[i].size <= PAGE; at++) {
            memset(page, 0x90, PAGE);
            memcpy(page + at, plain[i].code, plain[i].size);
            assert_false(code_shows_host(page, PAGE));
        }
    }
    assert_false(code_shows_host(page, 0));
}

/* The rest may be on the next page. */
static void what_begins_at_the_end_counts(void **state)
{
    uint8_t page[PAGE];
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if ((uint8_t)shown[i].code[0] != 0x0f)
            continue; /* a prefix: what follows it counts on the next page */
        for (size_t part = 1; part < shown[i].size; part++) {
            memset(page, 0x90, PAGE);
            memcpy(page + PAGE - part, shown[i].code, part);
            assert_true(code_shows_host(page, PAGE));
        }
    }
    memset(page, 0x90, PAGE);
    memcpy(page + PAGE - 2, "\x0f\x84", 2);
    assert_false(code_shows_host(page, PAGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instructions_are_found_wherever_they_are),
        cmocka_unit_test(other_code_shows_nothing),
        cmocka_unit_test(what_begins_at_the_end_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
