/*
 * The debugger's commands and expressions, and gdb's protocol with `monitor` over a connection,
 * on a small trace: whatever is typed or sent, the session goes on, and no file is touched.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "debugger/gdbstub.h"
#include "debugger/packet.h"
#include "recorder/recorder.h"
#include "vmm/machine/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KERNEL_MAX = 4 << 20, LINE = 200 };

static struct debugger *debugger;
static struct gdbstub *stub;
static char trace[] = "/tmp/fuzz_debugger.XXXXXX";

static void require(bool condition, const struct error *error)
{
    if (condition)
        return;
    if (error)
        fprintf(stderr, "%s\n", error->text);
    abort();
}

static void record_guest(void)
{
    static uint8_t kernel[KERNEL_MAX];
    static struct machine_config config;
    struct error error = {""};
    FILE *file = fopen(TEST_GUESTS "/hello.elf", "rb");
    require(file != NULL, NULL);
    const struct boot_image image = {
        .name = "hello", .data = kernel, .size = fread(kernel, 1, sizeof kernel, file)};
    fclose(file);
    config_defaults(&config);
    config.memory[0].size = 4 << 20;
    config.pace = PACE_FAST;
    config.start_time = 1000000000;
    struct live *live = live_create(NULL, PACE_FAST, &error);
    require(live, &error);
    const struct recorder_options options = {.path = trace,
        .config = &config,
        .engine = "soft",
        .kernel = &image,
        .live = live_source(live),
        .include_checks = true,
        .counts = true};
    struct recorder *recorder = recorder_create(&options, &error);
    require(recorder, &error);
    const struct machine_options parts = {
        .config = &config, .engine = "soft", .kernel = &image, .source = recorder_source(recorder)};
    struct machine *machine = machine_create(&parts, &error);
    require(machine && recorder_attach(recorder, machine, &error) == 0, &error);
    require(live_attach(live, machine, &error) == 0, &error);
    require(machine_run(machine, POSITION_END, &error) == 0, &error);
    live_detach(live);
    require(recorder_finish(recorder, machine, outcome_of(machine, 0), NULL, &error) == 0, &error);
    machine_destroy(machine);
    live_destroy(live);
}

static void remove_trace(void)
{
    unlink(trace);
}

static void start(void)
{
    struct error error = {""};
    const struct debugger_options options = {.cache_bytes = 16 << 20};
    bool damaged;
    int fd = mkstemp(trace);
    require(fd >= 0, NULL);
    close(fd);
    atexit(remove_trace);
    record_guest();
    debugger = debugger_open(trace, &options, &damaged, &error);
    require(debugger, &error);
    stub = gdbstub_create(debugger, &error);
    require(stub, &error);
}

/* A line made of words that mean something, and of what the input says between them. */
static size_t make_line(const uint8_t *data, size_t size, char line[LINE])
{
    static const char *const words[] = {"print ", "x/4i ", "info ", "break ", "watch ", "seek ",
        "stepi ", "reverse-stepi ", "find ", "display ", "ptype ", "set $a = ", "bt ", "finish ",
        "catch ", "list ", "up ", "delete ", "dump ", "when ", "commands ", "end ", "tbreak ",
        "$rip", "$rsp ", "*(int*)", "guest_main", "->", ".", "[", "]", "(", ")", "&", "@", "+",
        "0x100000 ", "50% ", "if ", "\"text\" ", "sizeof ", "/x ", "1 ", "save ", "source "};
    size_t at = 0;
    for (size_t i = 0; i < size && at + 24 < LINE; i++) {
        if (data[i] & 0x80)
            at += (size_t)snprintf(line + at, LINE - at, "%s",
                words[(data[i] & 0x7f) % (sizeof words / sizeof *words)]);
        else if (data[i] && data[i] != '\n')
            line[at++] = (char)data[i];
    }
    line[at] = '\0';
    return at;
}

static void type(const uint8_t *data, size_t size)
{
    char line[LINE];
    struct error error = {""};
    make_line(data, size, line);
    /* Over the protocol's way in: the words about files are refused there. */
    if (debugger_execute_remote(debugger, line, &error) < 0)
        require(error.text[0] != '\0', NULL);
    buffer_clear(debugger_output(debugger));
}

struct client {
    int fd;
    struct buffer bytes;
};

static void *talk(void *context)
{
    struct client *client = context;
    uint8_t answer[4096];
    if (send(client->fd, client->bytes.data, client->bytes.size, MSG_NOSIGNAL) >= 0)
        shutdown(client->fd, SHUT_WR);
    while (recv(client->fd, answer, sizeof answer, 0) > 0)
        ;
    return NULL;
}

/* Packets of the input, every third as `monitor`. */
static void converse(const uint8_t *data, size_t size)
{
    struct client client = {0};
    struct error error;
    pthread_t thread;
    int ends[2];
    for (unsigned number = 0; size && number < 8; number++) {
        size_t length = data[0] % 40 + 1u < size ? data[0] % 40 + 1u : size;
        struct buffer packet = {0};
        if (number % 3 == 2) {
            char line[LINE];
            size_t count = make_line(data, length, line);
            buffer_printf(&packet, "qRcmd,");
            packet_put_hex(line, count, &packet);
        } else {
            buffer_put(&packet, data + 1, length - 1);
        }
        packet_frame(packet.data, packet.size, &client.bytes);
        buffer_free(&packet);
        data += length;
        size -= length;
    }
    buffer_put(&client.bytes, data, size);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, NULL);
    client.fd = ends[1];
    require(pthread_create(&thread, NULL, talk, &client) == 0, NULL);
    gdbstub_serve(stub, ends[0], -1, &error);
    shutdown(ends[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
    buffer_free(&client.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!debugger)
        start();
    if (size < 2)
        return 0;
    if (size > 400)
        size = 400;
    if (data[0] & 1)
        converse(data + 1, size - 1);
    else
        type(data + 1, size - 1);
    return 0;
}
