#include "debugger/gdbstub.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "debugger/packet.h"
#include "debugger/request.h"
#include "debugger/target_xml.h"
#include "debugger/threads.h"
#include "debugger/view.h"
#include "vmm/arch/translate.h"

/* How long silence is tolerated while somebody else waits, and how long a send may take. */
enum { FIRST_PACKET_MS = 2000, NEXT_PACKET_MS = 60000, SEND_SECONDS = 10 };
enum { MAX_BREAKPOINTS = TIMELINE_MAX_CONDITIONS, NAG_MS = 50, MAX_OUTPUT = 6000 };

/* gdb's numbers of breakpoint types. */
enum { TYPE_SOFTWARE, TYPE_HARDWARE, TYPE_WRITE, TYPE_READ, TYPE_ACCESS };

struct gdb_breakpoint {
    unsigned type;
    uint64_t address, length;
};

struct gdbstub {
    struct debugger *debugger;
    struct timeline *timeline;
    struct gdb_breakpoint breakpoints[MAX_BREAKPOINTS];
    unsigned count;
    struct buffer last_stop; /* the answer to '?' */
    struct buffer reply;     /* to the request at hand */
    struct buffer sent;      /* framed, for sending again */
    struct buffer xml;
    struct packet_reader reader;
    unsigned thread; /* whose registers and memory gdb asks for */
    bool no_ack, closing;
    bool spoken;       /* a packet of this connection was good */
    uint64_t heard_at; /* host ms of the last one, or of the beginning */
    int fd;
    atomic_bool stopping;

    /* Between this thread and the one that listens while the guest runs. */
    int wake[2];
    struct buffer early; /* bytes that came meanwhile, except the interrupt */
    bool interrupted, hung_up;
    struct error refusal; /* why a connection was not served; empty: no reason */
};

struct gdbstub *gdbstub_create(struct debugger *debugger, struct error *error)
{
    struct gdbstub *stub = calloc(1, sizeof *stub);
    if (!stub) {
        error_set(error, "out of memory");
        return NULL;
    }
    stub->debugger = debugger;
    stub->timeline = debugger_timeline(debugger);
    stub->fd = stub->wake[0] = stub->wake[1] = -1;
    if (pipe(stub->wake) < 0) {
        error_set_errno(error, "a pipe for the gdb stub");
        gdbstub_destroy(stub);
        return NULL;
    }
    target_xml(&stub->xml);
    stub->thread = threads_running(stub->timeline);
    buffer_printf(&stub->last_stop, "T05thread:%x;", stub->thread);
    return stub;
}

void gdbstub_destroy(struct gdbstub *stub)
{
    if (!stub)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (stub->wake[i] >= 0)
            close(stub->wake[i]);
    }
    buffer_free(&stub->last_stop);
    buffer_free(&stub->reply);
    buffer_free(&stub->sent);
    buffer_free(&stub->xml);
    buffer_free(&stub->early);
    free(stub);
}

void gdbstub_stop(struct gdbstub *stub)
{
    atomic_store(&stub->stopping, true);
    timeline_interrupt(stub->timeline);
}

/* ---- Sending ---- */

static int send_all(struct gdbstub *stub, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t sent = send(stub->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int send_packet(struct gdbstub *stub, const struct buffer *data)
{
    buffer_clear(&stub->sent);
    packet_frame(data->data, data->size, &stub->sent);
    return stub->sent.failed ? -1 : send_all(stub, stub->sent.data, stub->sent.size);
}

/* Text for gdb's console, in pieces that fit a packet. */
static int send_console(struct gdbstub *stub, const struct buffer *text)
{
    for (size_t at = 0; at < text->size; at += MAX_OUTPUT) {
        size_t size = text->size - at < MAX_OUTPUT ? text->size - at : MAX_OUTPUT;
        struct buffer piece = {0};
        buffer_put_u8(&piece, 'O');
        packet_put_hex(text->data + at, size, &piece);
        int result = piece.failed ? -1 : send_packet(stub, &piece);
        buffer_free(&piece);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* ---- Looking ---- */

static void fail(struct gdbstub *stub, const char *why)
{
    buffer_clear(&stub->reply);
    buffer_printf(&stub->reply, "E.%s", why);
}

static void read_registers(struct gdbstub *stub, bool all, uint64_t number)
{
    struct view view;
    struct buffer bytes = {0};
    struct error error;
    if (threads_view(&view, stub->timeline, stub->thread, &error) < 0)
        return fail(stub, error.text);
    if (all) {
        for (unsigned i = 0; target_register(&view.state, i, &bytes); i++)
            ;
    } else if (number > UINT32_MAX || !target_register(&view.state, (unsigned)number, &bytes)) {
        fail(stub, "no such register");
    }
    packet_put_hex(bytes.data, bytes.size, &stub->reply);
    buffer_free(&bytes);
}

static void read_memory(struct gdbstub *stub, uint64_t address, uint64_t length)
{
    uint8_t bytes[PACKET_MAX / 2];
    struct view view;
    struct error error;
    if (length > sizeof bytes)
        length = sizeof bytes;
    if (threads_view(&view, stub->timeline, stub->thread, &error) < 0)
        return fail(stub, error.text);
    uint64_t got = translate_read(view.memory, &view.state, address, bytes, length);
    if (got == 0 && length)
        buffer_printf(&stub->reply, "E14"); /* EFAULT */
    packet_put_hex(bytes, got, &stub->reply);
}

static void read_features(struct gdbstub *stub, const struct request *request)
{
    static const char name[] = "target.xml";
    if (request->text_size != strlen(name) ||
        strncmp(request->text, name, request->text_size) != 0) {
        buffer_printf(&stub->reply, "E00");
        return;
    }
    uint64_t offset = request->address, length = request->length;
    if (offset >= stub->xml.size) {
        buffer_printf(&stub->reply, "l");
        return;
    }
    uint64_t left = stub->xml.size - offset;
    if (length > PACKET_MAX / 2)
        length = PACKET_MAX / 2;
    buffer_printf(&stub->reply, length < left ? "m" : "l");
    buffer_put(&stub->reply, stub->xml.data + offset, length < left ? length : left);
}

/* ---- Breakpoints ---- */

static void insert(struct gdbstub *stub, const struct request *request)
{
    const struct gdb_breakpoint breakpoint = {request->type, request->address, request->length};
    bool watch = request->type >= TYPE_WRITE;
    if (watch && (request->length == 0 || request->length > PAGE_SIZE))
        return fail(stub, "1 to 4096 bytes can be watched");
    for (unsigned i = 0; i < stub->count; i++) {
        const struct gdb_breakpoint *old = &stub->breakpoints[i];
        if (old->type == breakpoint.type && old->address == breakpoint.address &&
            old->length == breakpoint.length) {
            buffer_printf(&stub->reply, "OK");
            return;
        }
    }
    if (stub->count == MAX_BREAKPOINTS)
        return fail(stub, "too many breakpoints");
    stub->breakpoints[stub->count++] = breakpoint;
    buffer_printf(&stub->reply, "OK");
}

static void take_out(struct gdbstub *stub, const struct request *request)
{
    for (unsigned i = 0; i < stub->count; i++) {
        const struct gdb_breakpoint *breakpoint = &stub->breakpoints[i];
        if (breakpoint->type == request->type && breakpoint->address == request->address &&
            breakpoint->length == request->length) {
            stub->breakpoints[i] = stub->breakpoints[--stub->count];
            break;
        }
    }
    buffer_printf(&stub->reply, "OK");
}

static void fill_condition(
    const struct gdb_breakpoint *breakpoint, struct timeline_condition *condition)
{
    static const enum condition_kind kinds[] = {[TYPE_SOFTWARE] = CONDITION_EXECUTE,
        [TYPE_HARDWARE] = CONDITION_EXECUTE,
        [TYPE_WRITE] = CONDITION_WRITE,
        [TYPE_READ] = CONDITION_READ,
        [TYPE_ACCESS] = CONDITION_ACCESS};
    *condition = (struct timeline_condition){.kind = kinds[breakpoint->type],
        .address = breakpoint->address,
        .length = breakpoint->type >= TYPE_WRITE ? breakpoint->length : 1};
}

/* ---- Running ---- */

/* While the guest runs: gdb's interrupt byte, or its going away, stops it. */
static void *listen_to_gdb(void *context)
{
    struct gdbstub *stub = context;
    bool stop = false;
    for (;;) {
        struct pollfd polled[] = {{.fd = stub->wake[0], .events = POLLIN},
            {.fd = stub->hung_up ? -1 : stub->fd, .events = POLLIN}};
        uint8_t byte;
        /* Again and again, because a request that comes before the run begins is forgotten. */
        if (stop)
            timeline_interrupt(stub->timeline);
        if (poll(polled, 2, stop ? NAG_MS : -1) < 0 && errno != EINTR)
            return NULL;
        if (polled[0].revents)
            return NULL;
        if (!polled[1].revents)
            continue;
        ssize_t got = recv(stub->fd, &byte, 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got == 1 && byte != 0x03) {
            if (stub->early.size < PACKET_MAX)
                buffer_put_u8(&stub->early, byte);
            continue;
        }
        stub->hung_up = got != 1;
        stub->interrupted = stop = true;
    }
}

static void describe_stop(struct gdbstub *stub, const struct timeline_stop *stop)
{
    static const char *const names[] = {[TYPE_SOFTWARE] = "swbreak",
        [TYPE_HARDWARE] = "hwbreak",
        [TYPE_WRITE] = "watch",
        [TYPE_READ] = "rwatch",
        [TYPE_ACCESS] = "awatch"};
    struct buffer *out = &stub->last_stop;
    buffer_clear(out);
    buffer_printf(out, stub->interrupted || stop->why == TIMELINE_INTERRUPTED ? "T02" : "T05");
    if (stop->why == TIMELINE_START || stop->why == TIMELINE_END)
        buffer_printf(out, "replaylog:%s;", stop->why == TIMELINE_START ? "begin" : "end");
    if (stop->why == TIMELINE_CONDITION) {
        const struct gdb_breakpoint *breakpoint = &stub->breakpoints[stop->condition];
        buffer_printf(out, "%s:", names[breakpoint->type]);
        /* An access may begin before what is watched. */
        if (breakpoint->type >= TYPE_WRITE)
            buffer_printf(out, "%" PRIx64,
                stop->address > breakpoint->address ? stop->address : breakpoint->address);
        buffer_printf(out, ";");
    }
    stub->thread = threads_running(stub->timeline);
    buffer_printf(out, "thread:%x;", stub->thread);
}

static int move(struct gdbstub *stub, enum request_kind kind, unsigned thread,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_condition conditions[MAX_BREAKPOINTS];
    enum direction direction =
        kind == REQUEST_REVERSE_CONTINUE || kind == REQUEST_REVERSE_STEP ? BACKWARD : FORWARD;
    if (kind == REQUEST_STEP || kind == REQUEST_REVERSE_STEP)
        return threads_step(stub->timeline, direction, thread, stop, error);
    for (unsigned i = 0; i < stub->count; i++)
        fill_condition(&stub->breakpoints[i], &conditions[i]);
    return timeline_run(stub->timeline, direction, conditions, stub->count, stop, error);
}

/* Which thread a request is about: by its number, or the one selected. */
static unsigned thread_of(const struct gdbstub *stub, const struct request *request)
{
    bool is_known = request->number && request->number <= threads_count(stub->timeline);
    return is_known ? (unsigned)request->number : stub->thread;
}

static void run(struct gdbstub *stub, enum request_kind kind, unsigned thread)
{
    struct timeline_stop stop = {0};
    struct error error = {""};
    pthread_t listener;
    bool long_run = kind == REQUEST_CONTINUE || kind == REQUEST_REVERSE_CONTINUE;
    stub->interrupted = stub->hung_up = false;
    bool listening = long_run && pthread_create(&listener, NULL, listen_to_gdb, stub) == 0;
    int result = move(stub, kind, thread, &stop, &error);
    debugger_moved(stub->debugger);
    if (listening) {
        uint8_t byte = 0;
        while (write(stub->wake[1], &byte, 1) < 0 && errno == EINTR)
            ;
        pthread_join(listener, NULL);
        while (read(stub->wake[0], &byte, 1) < 0 && errno == EINTR)
            ;
    }
    if (result < 0) {
        struct buffer text = {0};
        buffer_printf(&text, "hindsight: %s\n", error.text);
        if (send_console(stub, &text) < 0)
            stub->closing = true;
        buffer_free(&text);
        stop.why = TIMELINE_INTERRUPTED;
    }
    describe_stop(stub, &stop);
    stub->closing |= stub->hung_up;
    buffer_put(&stub->reply, stub->last_stop.data, stub->last_stop.size);
}

/* `monitor`: a command of the debugger. */
static void monitor(struct gdbstub *stub, const struct request *request)
{
    char line[PACKET_MAX / 2 + 1];
    struct error error = {""};
    size_t size = packet_get_hex(request->text, line, sizeof line - 1);
    line[size] = '\0';
    int result = debugger_execute_remote(stub->debugger, line, &error);
    struct buffer *output = debugger_output(stub->debugger);
    if (result < 0)
        buffer_printf(output, "%s\n", error.text);
    if (output->failed)
        buffer_printf(output, "out of memory\n");
    if (send_console(stub, output) < 0)
        stub->closing = true;
    buffer_clear(output);
    buffer_printf(&stub->reply, "OK");
}

/* ---- Threads ---- */

static void select_thread(struct gdbstub *stub, const struct request *request)
{
    if (request->number > threads_count(stub->timeline)) {
        buffer_printf(&stub->reply, "E01");
        return;
    }
    stub->thread = thread_of(stub, request);
    buffer_printf(&stub->reply, "OK");
}

static void name_thread(struct gdbstub *stub, const struct request *request)
{
    struct buffer name = {0};
    threads_describe(stub->timeline, thread_of(stub, request), &name);
    packet_put_hex(name.data, name.size, &stub->reply);
    buffer_free(&name);
}

/* ---- Requests ---- */

static void answer(struct gdbstub *stub, const struct request *request)
{
    struct buffer *reply = &stub->reply;
    switch (request->kind) {
    case REQUEST_UNKNOWN:
    case REQUEST_KILL:
        return;
    case REQUEST_MALFORMED:
        return buffer_printf(reply, "E01");
    case REQUEST_WHY:
        return buffer_put(reply, stub->last_stop.data, stub->last_stop.size);
    case REQUEST_OK:
    case REQUEST_NO_ACK:
    case REQUEST_DETACH:
    case REQUEST_VKILL:
        return buffer_printf(reply, "OK");
    case REQUEST_REGISTERS:
        return read_registers(stub, true, 0);
    case REQUEST_REGISTER:
        return read_registers(stub, false, request->number);
    case REQUEST_WRITE:
        return fail(stub, "the past cannot be changed");
    case REQUEST_MEMORY:
        return read_memory(stub, request->address, request->length);
    case REQUEST_INSERT:
        return insert(stub, request);
    case REQUEST_REMOVE:
        return take_out(stub, request);
    case REQUEST_CONTINUE:
    case REQUEST_STEP:
    case REQUEST_REVERSE_CONTINUE:
    case REQUEST_REVERSE_STEP:
        return run(stub, request->kind, thread_of(stub, request));
    case REQUEST_VCONT_QUERY:
        return buffer_printf(reply, "vCont;c;C;s;S");
    case REQUEST_SUPPORTED:
        return buffer_printf(reply,
            "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;ReverseStep+;ReverseContinue+;"
            "swbreak+;hwbreak+;vContSupported+",
            PACKET_MAX);
    case REQUEST_FEATURES:
        return read_features(stub, request);
    case REQUEST_MONITOR:
        return monitor(stub, request);
    case REQUEST_SELECT:
        return select_thread(stub, request);
    case REQUEST_ALIVE:
        return buffer_printf(
            reply, request->number <= threads_count(stub->timeline) ? "OK" : "E01");
    case REQUEST_THREADS_FIRST:
        for (unsigned i = 1; i <= threads_count(stub->timeline); i++)
            buffer_printf(reply, "%c%x", i == 1 ? 'm' : ',', i);
        return;
    case REQUEST_THREADS_NEXT:
        return buffer_printf(reply, "l");
    case REQUEST_THREAD:
        return buffer_printf(reply, "QC%x", stub->thread);
    case REQUEST_THREAD_NAME:
        return name_thread(stub, request);
    case REQUEST_ATTACHED:
        return buffer_printf(reply, "1");
    }
}

static int handle(struct gdbstub *stub)
{
    struct request request;
    request_parse(stub->reader.data, stub->reader.size, &request);
    buffer_clear(&stub->reply);
    answer(stub, &request);
    stub->closing |= request.kind == REQUEST_DETACH || request.kind == REQUEST_KILL ||
                     request.kind == REQUEST_VKILL;
    if (request.kind == REQUEST_KILL || stub->hung_up)
        return 0;
    int result = send_packet(stub, &stub->reply);
    /* Acknowledgements end with the one for this packet. */
    stub->no_ack |= request.kind == REQUEST_NO_ACK;
    return result;
}

static int take_byte(struct gdbstub *stub, uint8_t byte)
{
    switch (packet_feed(&stub->reader, byte)) {
    case PACKET_READY:
        stub->spoken = true;
        if (!stub->no_ack && send_all(stub, (const uint8_t *)"+", 1) < 0)
            return -1;
        return handle(stub);
    case PACKET_BAD:
        return stub->no_ack ? 0 : send_all(stub, (const uint8_t *)"-", 1);
    case PACKET_REFUSED:
        return stub->no_ack ? 0 : send_all(stub, stub->sent.data, stub->sent.size);
    case PACKET_FOREIGN:
        error_set(&stub->refusal, "a connection was closed: what came is not gdb's protocol");
        return -1;
    default: /* an interrupt finds nothing that runs */
        return 0;
    }
}

static int take_bytes(struct gdbstub *stub, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size && !stub->closing; i++) {
        if (take_byte(stub, bytes[i]) < 0)
            return -1;
    }
    return 0;
}

/* What came while the guest ran. */
static int take_early(struct gdbstub *stub)
{
    struct buffer early = stub->early;
    stub->early = (struct buffer){0};
    int result = take_bytes(stub, early.data, early.size);
    buffer_free(&early);
    return result;
}

static uint64_t host_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Until the client says something: true. Silent for too long while another one waits: false. */
static bool wait_for_client(struct gdbstub *stub, int listener)
{
    while (!atomic_load(&stub->stopping)) {
        uint64_t silent = host_ms() - stub->heard_at;
        uint64_t most = stub->spoken ? NEXT_PACKET_MS : FIRST_PACKET_MS;
        bool patient = silent < most;
        struct pollfd polled[] = {
            {.fd = stub->fd, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
        /* Someone who waits is of interest only when the patience is over. */
        int count = poll(polled, patient ? 1 : 2, patient ? (int)(most - silent) : -1);
        if (count > 0 && polled[0].revents)
            return true;
        if (count > 0 && !patient && polled[1].revents) {
            error_set(&stub->refusal, "a silent connection was closed for the next one");
            return false;
        }
    }
    return false;
}

int gdbstub_serve(struct gdbstub *stub, int fd, int listener, struct error *error)
{
    const struct timeval limit = {.tv_sec = SEND_SECONDS};
    uint8_t bytes[4096];
    int result = 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    stub->spoken = false;
    stub->heard_at = host_ms();
    stub->refusal.text[0] = '\0';
    stub->fd = fd;
    stub->reader = (struct packet_reader){0};
    stub->no_ack = stub->closing = stub->hung_up = false;
    stub->count = 0;
    buffer_clear(&stub->sent);
    buffer_clear(&stub->early);
    while (result == 0 && !stub->closing && !atomic_load(&stub->stopping)) {
        if (!wait_for_client(stub, listener))
            break;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != ECONNRESET)
            result = error_set_errno(error, "the connection to gdb");
        if (got <= 0)
            break;
        result = take_bytes(stub, bytes, (size_t)got);
        stub->heard_at = host_ms();
        while (result == 0 && stub->early.size && !stub->closing)
            result = take_early(stub);
        if (result < 0) {
            /* Sending failed: gdb has gone away. */
            result = 0;
            break;
        }
    }
    stub->fd = -1;
    if (result == 0 && stub->refusal.text[0])
        result = error_set(error, "%s", stub->refusal.text);
    return result;
}
