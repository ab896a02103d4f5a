/*
 * gdb's side of the stub, packet by packet, on one recording: interrupts that come while nothing
 * runs, signs of life, conditions that are evaluated here, physical memory. Source: GDB manual,
 * appendix E.
 */
#include "tests/unit/replay/recorded.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/socket.h>

#include "debugger/debugger.h"
#include "debugger/gdbstub.h"
#include "debugger/packet.h"

static struct debugger *debugger;
static struct gdbstub *stub;
static uint64_t ticks, handler;

static uint64_t address_of(const char *name)
{
    char line[64];
    struct error error = {""};
    struct buffer *out = debugger_output(debugger);
    snprintf(line, sizeof line, "print/x (long)&%s", name);
    buffer_clear(out);
    if (debugger_execute(debugger, line, &error) < 0)
        fail_msg("%s", error.text);
    buffer_put_u8(out, 0);
    const char *value = strstr((const char *)out->data, "= 0x");
    assert_non_null(value);
    uint64_t address = strtoull(value + 2, NULL, 16);
    buffer_clear(out);
    return address;
}

static int set_up(void **state)
{
    struct error error = {""};
    bool damaged;
    const struct debugger_options options = {0};
    (void)state;
    snprintf(trace_path, sizeof trace_path, "/tmp/hindsight-stub-%d.hst", getpid());
    record("crash", "ticks=60 hz=1000", UINT64_MAX);
    debugger = debugger_open(trace_path, &options, &damaged, &error);
    if (!debugger)
        fail_msg("%s", error.text);
    stub = gdbstub_create(debugger, &error);
    assert_non_null(stub);
    ticks = address_of("ticks");
    handler = address_of("handle_pit");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gdbstub_destroy(stub);
    debugger_close(debugger);
    return unlink(trace_path);
}

/* gdb's end of a connection: what was answered, without frames, a line each. */
struct listener {
    int fd;
    char answers[1 << 16];
    size_t used;
};

/* A slow host makes as many signs of life as it likes: one stands for those in a row. */
static void note_answer(struct listener *listener, const char *answer)
{
    char *answers = listener->answers;
    bool again = strcmp(answer, "O") == 0 && listener->used >= 2 &&
                 memcmp(answers + listener->used - 2, "O\n", 2) == 0;
    if (!again && listener->used + strlen(answer) + 2 < sizeof listener->answers)
        listener->used += (size_t)sprintf(answers + listener->used, "%s\n", answer);
}

/* On a thread of its own: a stub whose answers nobody takes gives the connection up. */
static void *listen_to_answers(void *context)
{
    struct listener *listener = context;
    struct packet_reader reader = {0};
    uint8_t byte;
    while (recv(listener->fd, &byte, 1, 0) == 1) {
        if (packet_feed(&reader, byte) == PACKET_READY)
            note_answer(listener, reader.data);
    }
    return NULL;
}

/*
 * One connection: `packets`, each sent framed, "^C" as the interrupt byte, then a detach. All is
 * there before the stub looks. The answers are in a static buffer.
 */
static const char *converse(const char *const *packets)
{
    static struct listener listener;
    struct buffer bytes = {0};
    struct error error = {""};
    pthread_t thread;
    int ends[2];
    packet_frame("QStartNoAckMode", 15, &bytes);
    for (; *packets; packets++) {
        if (strcmp(*packets, "^C") == 0)
            buffer_put_u8(&bytes, 0x03);
        else
            packet_frame(*packets, strlen(*packets), &bytes);
    }
    packet_frame("D", 1, &bytes);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(send(ends[1], bytes.data, bytes.size, 0), bytes.size);
    buffer_free(&bytes);
    listener = (struct listener){.fd = ends[1]};
    assert_int_equal(pthread_create(&thread, NULL, listen_to_answers, &listener), 0);
    int served = gdbstub_serve(stub, ends[0], -1, &error);
    shutdown(ends[0], SHUT_WR);
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
    if (served < 0)
        fail_msg("%s", error.text);
    assert_true(strncmp(listener.answers, "OK\n", 3) == 0);
    return listener.answers + 3;
}

#define SAYS(expected, ...) \
    assert_string_equal(converse((const char *const[]){__VA_ARGS__, NULL}), expected)

static uint64_t now(void)
{
    return timeline_retired(debugger_timeline(debugger));
}

/* "Interrupts received while the program is stopped are queued and the program will be interrupted
 * when it is resumed next time." */
static void an_interrupt_between_moves_is_kept_for_the_next(void **state)
{
    (void)state;
    SAYS(
        "T05replaylog:begin;thread:1;\nT02thread:1;\n0\nOK\n", "bc", "^C", "c", "qqemu.PhyMemMode");
    assert_int_equal(now(), 0);
    SAYS("T02thread:1;\nT05thread:1;\nOK\n", "^C", "bc", "s");
    assert_int_equal(now(), 1);
    SAYS("T02thread:1;\nOK\n", "^C", "vCont;s:1");
    assert_int_equal(now(), 1);
    /* Not for the connection after. */
    SAYS("OK\n", "^C");
    SAYS("T05thread:1;\nOK\n", "s");
    assert_int_equal(now(), 2);
}

/* Until one is seen: how long a run takes is the host's business. */
static void gdb_is_told_that_a_long_move_lives(void **state)
{
    (void)state;
    gdbstub_set_keep_alive(stub, 1);
    const char *text;
    do
        text = converse((const char *const[]){"bc", "c", "bc", "c", NULL});
    while (!strstr(text, "O\n"));
    gdbstub_set_keep_alive(stub, 10000);
    assert_non_null(strstr(text, "T05replaylog:end;"));
}

/* const64 ADDRESS; ref64; const8 N; equal; end */
static void make_condition(char *text, size_t size, uint64_t address, unsigned wanted)
{
    snprintf(text, size, "X%x,25%016" PRIx64 "1a22%02x1327", 14, address, wanted);
}

static void conditions_are_evaluated_here(void **state)
{
    char four[64], nine[64], broken[64], packet[256], bare[64], read[64];
    (void)state;
    make_condition(four, sizeof four, ticks, 4);
    make_condition(nine, sizeof nine, ticks, 9);
    make_condition(broken, sizeof broken, 0xffff800000000000, 9);
    snprintf(bare, sizeof bare, "Z0,%" PRIx64 ",1", handler);
    snprintf(read, sizeof read, "m%" PRIx64 ",1", ticks);
    snprintf(packet, sizeof packet, "%s;%s", bare, four);
    SAYS("T05replaylog:begin;thread:1;\nOK\nT05swbreak:;thread:1;\n04\n"
         "T05replaylog:end;thread:1;\nT05swbreak:;thread:1;\n04\n"
         "T05replaylog:begin;thread:1;\nOK\n",
        "bc", packet, "c", read, "c", "bc", read, "bc");
    /* Any of several, and the same place once more has new ones. */
    snprintf(packet, sizeof packet, "%s;%s%s", bare, nine, four);
    SAYS("OK\nT05swbreak:;thread:1;\n04\nT05swbreak:;thread:1;\n09\n"
         "OK\nT05swbreak:;thread:1;\n0a\nOK\n",
        packet, "c", read, "c", read, bare, "c", read);
    /* What cannot be evaluated stops. */
    snprintf(packet, sizeof packet, "%s;%s", bare, broken);
    SAYS("OK\nT05swbreak:;thread:1;\n0b\nOK\n", packet, "c", read);
    static const char *const bad[] = {"X", "Xe", "X0,", "X1,", "X2,27", "X1,27;", "X1,2g",
        "X1001,27", "X1,27Y", "cmds:0,X1,27", "Xffffffffffffffff1,27"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(packet, sizeof packet, "%s;%s", bare, bad[i]);
        SAYS("E.a condition that is not understood\nOK\n", packet);
    }
}

static void physical_memory_is_read_where_asked(void **state)
{
    (void)state;
    SAYS("0\nOK\n1\n00000000000000000000000000000000\nE14\nOK\n0\nOK\n", "qqemu.PhyMemMode",
        "Qqemu.PhyMemMode:1", "qqemu.PhyMemMode", "mfffff0,20", "m1000000,20", "Qqemu.PhyMemMode:0",
        "qqemu.PhyMemMode");
    /* Of the connection alone. */
    SAYS("OK\nOK\n", "Qqemu.PhyMemMode:1");
    SAYS("0\nOK\n", "qqemu.PhyMemMode");
}

static void tasks_need_the_kernels_symbols(void **state)
{
    struct buffer packet = {0};
    (void)state;
    buffer_printf(&packet, "qRcmd,");
    packet_put_hex("tasks on", 8, &packet);
    buffer_put_u8(&packet, 0);
    assert_non_null(converse((const char *const[]){(const char *)packet.data, NULL}));
    SAYS("m1\nl\nE01\nE01\nOK\nOK\n", "qfThreadInfo", "qsThreadInfo", "T10001", "Hg10001", "T1");
    buffer_free(&packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interrupt_between_moves_is_kept_for_the_next),
        cmocka_unit_test(gdb_is_told_that_a_long_move_lives),
        cmocka_unit_test(conditions_are_evaluated_here),
        cmocka_unit_test(physical_memory_is_read_where_asked),
        cmocka_unit_test(tasks_need_the_kernels_symbols),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
