/*
 * gdb's remote protocol: framing, requests and registers. Expected bytes are worked out from the
 * GDB manual, appendix E: checksums are the sum of the bytes between '$' and '#' modulo 256.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "debugger/packet.h"
#include "debugger/request.h"
#include "debugger/target_xml.h"

static enum packet_event feed(struct packet_reader *reader, const char *bytes)
{
    enum packet_event event = PACKET_NOTHING;
    for (; *bytes; bytes++) {
        event = packet_feed(reader, (uint8_t)*bytes);
        if (event != PACKET_NOTHING)
            return event;
    }
    return event;
}

static void test_framing(void **state)
{
    (void)state;
    struct packet_reader reader = {0};
    assert_int_equal(feed(&reader, "+$?#3f"), PACKET_READY); /* '?' is 0x3f */
    assert_string_equal(reader.data, "?");
    assert_int_equal(feed(&reader, "$g#67"), PACKET_READY);
    assert_int_equal(feed(&reader, "$g#68"), PACKET_BAD);
    assert_int_equal(feed(&reader, "$g#zz"), PACKET_BAD);
    assert_int_equal(feed(&reader, "$m0,$g#67"), PACKET_READY); /* a packet cut off */
    assert_string_equal(reader.data, "g");
    assert_int_equal(feed(&reader, "\003"), PACKET_INTERRUPT);
    assert_int_equal(feed(&reader, "-"), PACKET_REFUSED);
    /* 'X' 0x58 + '}' 0x7d + 0x03 = 0xd8; 0x03 ^ 0x20 is '#'. */
    assert_int_equal(feed(&reader, "$X}\003#d8"), PACKET_READY);
    assert_int_equal(reader.size, 2);
    assert_memory_equal(reader.data, "X#", 3);
}

/* A browser, a shell, a port scanner: nothing between packets is anybody else's. */
static void test_foreign(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct packet_reader reader = {0};
        enum packet_event event = packet_feed(&reader, (uint8_t)byte);
        bool known = byte == '$' || byte == '+' || byte == '-' || byte == 0x03;
        assert_int_equal(event == PACKET_FOREIGN, !known);
    }
}

static void test_longest(void **state)
{
    (void)state;
    static struct packet_reader reader;
    static char bytes[PACKET_MAX + 1];
    struct buffer framed = {0};
    for (size_t size = PACKET_MAX; size <= PACKET_MAX + 1; size++) {
        memset(bytes, 'a', size);
        buffer_clear(&framed);
        packet_frame(bytes, size, &framed);
        buffer_put_u8(&framed, 0);
        assert_int_equal(feed(&reader, (const char *)framed.data),
            size <= PACKET_MAX ? PACKET_READY : PACKET_BAD);
    }
    buffer_free(&framed);
}

static void test_frame_escapes(void **state)
{
    (void)state;
    struct buffer out = {0};
    packet_frame("a#$}*b", 6, &out);
    /* 61 7d 03 7d 04 7d 5d 7d 0a 62: the sum is 0x325 */
    static const char expected[] = "$a}\003}\004}\x5d}\nb#25";
    assert_int_equal(out.size, sizeof expected - 1);
    assert_memory_equal(out.data, expected, out.size);
    buffer_free(&out);
}

static struct request parse(const char *text)
{
    struct request request;
    request_parse(text, strlen(text), &request);
    return request;
}

static void test_requests(void **state)
{
    (void)state;
    struct request request = parse("mffffffff81000000,10");
    assert_int_equal(request.kind, REQUEST_MEMORY);
    assert_int_equal(request.address, 0xffffffff81000000);
    assert_int_equal(request.length, 16);
    request = parse("Z2,1000,8");
    assert_int_equal(request.kind, REQUEST_INSERT);
    assert_int_equal(request.type, 2);
    assert_int_equal(request.address, 0x1000);
    assert_int_equal(request.length, 8);
    assert_null(request.text);
    request = parse("Z0,1000,1;X3,220127X1,27");
    assert_int_equal(request.kind, REQUEST_INSERT);
    assert_int_equal(request.length, 1);
    assert_string_equal(request.text, "X3,220127X1,27");
    assert_int_equal(request.text_size, 14);
    assert_int_equal(parse("Qqemu.PhyMemMode:1").kind, REQUEST_SET_PHYSICAL);
    assert_int_equal(parse("Qqemu.PhyMemMode:1").number, 1);
    assert_int_equal(parse("Qqemu.PhyMemMode:").kind, REQUEST_MALFORMED);
    assert_int_equal(parse("qqemu.PhyMemMode").kind, REQUEST_IS_PHYSICAL);
    assert_int_equal(parse("z0,1000,1").kind, REQUEST_REMOVE);
    assert_int_equal(parse("p1f").number, 0x1f);
    assert_int_equal(parse("bs").kind, REQUEST_REVERSE_STEP);
    assert_int_equal(parse("bc").kind, REQUEST_REVERSE_CONTINUE);
    assert_int_equal(parse("vCont;s:1;c").kind, REQUEST_STEP);
    assert_int_equal(parse("vCont;c").kind, REQUEST_CONTINUE);
    assert_int_equal(parse("vCont?").kind, REQUEST_VCONT_QUERY);
    assert_int_equal(parse("M0,1:00").kind, REQUEST_WRITE);
    request = parse("qXfer:features:read:target.xml:40,100");
    assert_int_equal(request.kind, REQUEST_FEATURES);
    assert_int_equal(request.text_size, 10);
    assert_int_equal(request.address, 0x40);
    assert_int_equal(request.length, 0x100);
    request = parse("qRcmd,7768656e");
    char command[8] = "";
    assert_int_equal(request.kind, REQUEST_MONITOR);
    assert_int_equal(packet_get_hex(request.text, command, sizeof command), 4);
    assert_string_equal(command, "when");
}

static void test_malformed_requests(void **state)
{
    (void)state;
    static const char *const malformed[] = {"m", "m1000", "m1000,", "mzz,1", "m1,1x",
        "m11112222333344445,1", "Z", "Z5,0,1", "Z0", "Z0,1", "Z0,,1", "p", "pxyz", "vCont",
        "vCont;x", "qXfer:features:read:", "qXfer:features:read:target.xml:0"};
    static const char *const unknown[] = {"", "!", "vMustReplyEmpty", "qNothing", "b", "bx", "R00"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        assert_int_equal(parse(malformed[i]).kind, REQUEST_MALFORMED);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(parse(unknown[i]).kind, REQUEST_UNKNOWN);
}

static unsigned count(const char *text, const char *what)
{
    unsigned found = 0;
    while ((text = strstr(text, what))) {
        found++;
        text++;
    }
    return found;
}

/* The description and the values agree, and the order is gdb's own for amd64. */
static void test_registers(void **state)
{
    (void)state;
    struct vcpu_state vcpu;
    struct buffer xml = {0}, bytes = {0};
    vcpu_reset(&vcpu);
    vcpu.gpr[RBX] = 0x1122334455667788;
    vcpu.segment[SEG_FS].base = 0xabcd;
    vcpu.cr8 = 7;
    target_xml(&xml);
    buffer_put_u8(&xml, 0);
    const char *text = (const char *)xml.data;
    unsigned registers = 0;
    while (target_register(&vcpu, registers, &bytes))
        registers++;
    assert_int_equal(count(text, "<reg "), registers);
    assert_int_equal(count(text, "<feature "), count(text, "</feature>"));
    /* 24 core + 8 x87 + 8 x87 control + 16 XMM + MXCSR + 2 bases + 7 system */
    assert_int_equal(registers, 66);
    assert_int_equal(bytes.size, 17 * 8 + 7 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 9 * 8);
    assert_non_null(strstr(text, "name=\"rip\" bitsize=\"64\" type=\"code_ptr\" regnum=\"16\""));
    buffer_clear(&bytes);
    assert_true(target_register(&vcpu, 1, &bytes));
    static const uint8_t rbx[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    assert_memory_equal(bytes.data, rbx, sizeof rbx);
    buffer_free(&bytes);
    buffer_free(&xml);
}

/* Intel SDM volume 1, section 8.1.7: 0 valid, 1 zero, 2 special, 3 empty, by physical register. */
static void test_tag_word(void **state)
{
    (void)state;
    struct vcpu_state vcpu;
    struct buffer bytes = {0};
    vcpu_reset(&vcpu);
    memset(vcpu.fpu.st, 0, sizeof vcpu.fpu.st);
    vcpu.fpu.status = 5 << 11; /* TOP = 5: ST(0) is R5, ST(1) R6, ST(2) R7, ST(3) R0 */
    vcpu.fpu.tag = 1 << 5 | 1 << 6 | 1 << 7;
    vcpu.fpu.st[0][7] = 0x80; /* 1.0 */
    vcpu.fpu.st[0][8] = 0xff;
    vcpu.fpu.st[0][9] = 0x3f;
    vcpu.fpu.st[2][7] = 0x80; /* infinity */
    vcpu.fpu.st[2][8] = 0xff;
    vcpu.fpu.st[2][9] = 0x7f;
    assert_true(target_register(&vcpu, 34, &bytes));
    /* R5 valid, R6 zero, R7 special, the others empty: 10 01 00 11 11 11 11 11 */
    assert_int_equal(bytes.data[0] | bytes.data[1] << 8, 0x93ff);
    buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_frame_escapes),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_malformed_requests),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_tag_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
