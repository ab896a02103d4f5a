/* Serves gdb: answers its packets from the timeline. */
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

#include "base/visible.h"
#include "debugger/gdbpoints.h"
#include "debugger/packet.h"
#include "debugger/request.h"
#include "debugger/target_xml.h"
#include "debugger/tasks.h"
#include "debugger/threads.h"
#include "debugger/view.h"
#include "vmm/arch/translate.h"

/* How long silence is tolerated while somebody else waits, and how long a send may take. */
enum { FIRST_PACKET_MS = 2000, NEXT_PACKET_MS = 60000, SEND_SECONDS = 10 };
enum { NAG_MS = 50, MAX_OUTPUT = 6000, KEEP_ALIVE_MS = 10000 };

/* A task's thread has its PID beyond this, out of the way of the vCPUs'. */
enum { TASK_THREADS = 0x10000, MAX_THREADS_TEXT = PACKET_MAX / 2 };

struct gdbstub {
    struct debugger *debugger;
    struct timeline *timeline;
    struct gdbpoints points;
    struct buffer last_stop; /* the answer to '?' */
    struct buffer reply;     /* to the request at hand */
    struct buffer sent;      /* framed, for sending again */
    struct buffer xml;
    struct packet_reader reader;
    unsigned thread;       /* whose registers and memory gdb asks for */
    bool with_tasks;       /* tasks of a Linux guest are threads, too */
    struct buffer threads; /* their numbers, as gdb asked for them */
    size_t threads_at;     /* how much of it gdb has */
    bool is_physical;      /* addresses of memory are */
    bool no_ack, closing;
    bool must_stop; /* gdb interrupted while nothing ran: what runs next stops at once */
    int keep_alive_ms;
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
    stub->keep_alive_ms = KEEP_ALIVE_MS;
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
    gdbpoints_clear(&stub->points);
    buffer_free(&stub->threads);
    buffer_free(&stub->last_stop);
    buffer_free(&stub->reply);
    buffer_free(&stub->sent);
    buffer_free(&stub->xml);
    buffer_free(&stub->early);
    free(stub);
}

void gdbstub_set_keep_alive(struct gdbstub *stub, unsigned ms)
{
    stub->keep_alive_ms = (int)ms;
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

/* The task that a thread's number means; false: it is a vCPU's. */
static bool find_task(struct gdbstub *stub, uint64_t thread, struct task *task)
{
    return stub->with_tasks && thread > TASK_THREADS && thread <= UINT32_MAX &&
           tasks_find(stub->debugger, (unsigned)(thread - TASK_THREADS), task);
}

static int look(struct gdbstub *stub, struct view *view, bool *is_task, struct error *error)
{
    struct task task;
    *is_task = stub->thread > threads_count(stub->timeline);
    if (!*is_task)
        return threads_view(view, stub->timeline, stub->thread, error);
    if (find_task(stub, stub->thread, &task) && tasks_view(stub->debugger, &task, view))
        return 0;
    return error_set(error, "this task has no registers here");
}

/* In the order of the target description. */
static bool is_kept_by_switch(unsigned number)
{
    enum { GDB_RBX = 1, GDB_RBP = 6, GDB_RSP = 7, GDB_R12 = 12, GDB_RIP = 16 };
    return number == GDB_RBX || number == GDB_RBP || number == GDB_RSP ||
           (number >= GDB_R12 && number <= GDB_RIP);
}

/* Digits; 'x' where a register is not known. */
static bool put_register(
    struct gdbstub *stub, const struct view *view, bool is_task, unsigned number)
{
    struct buffer bytes = {0};
    bool is = target_register(&view->state, number, &bytes);
    if (is_task && !is_kept_by_switch(number)) {
        for (size_t i = 0; i < bytes.size; i++)
            buffer_printf(&stub->reply, "xx");
    } else {
        packet_put_hex(bytes.data, bytes.size, &stub->reply);
    }
    buffer_free(&bytes);
    return is;
}

static void read_registers(struct gdbstub *stub, bool all, uint64_t number)
{
    struct view view;
    struct error error;
    bool is_task;
    if (look(stub, &view, &is_task, &error) < 0)
        return fail(stub, error.text);
    if (all) {
        for (unsigned i = 0; put_register(stub, &view, is_task, i); i++)
            ;
    } else if (number > UINT32_MAX || !put_register(stub, &view, is_task, (unsigned)number)) {
        fail(stub, "no such register");
    }
}

/* As many as there are from the address on. */
static uint64_t read_physical(
    const struct memory *memory, uint64_t address, uint8_t *bytes, uint64_t length)
{
    uint64_t got = 0;
    while (got < length) {
        uint64_t size = PAGE_SIZE - (address + got) % PAGE_SIZE;
        size = size < length - got ? size : length - got;
        if (!memory_read(memory, address + got, bytes + got, size))
            break;
        got += size;
    }
    return got;
}

static void read_memory(struct gdbstub *stub, uint64_t address, uint64_t length)
{
    uint8_t bytes[PACKET_MAX / 2];
    struct view view;
    struct error error;
    bool is_task;
    if (length > sizeof bytes)
        length = sizeof bytes;
    if (look(stub, &view, &is_task, &error) < 0)
        return fail(stub, error.text);
    uint64_t got = stub->is_physical
                       ? read_physical(view.memory, address, bytes, length)
                       : translate_read(view.memory, &view.state, address, bytes, length);
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
    struct error error;
    if (gdbpoints_insert(&stub->points, request, &error) < 0)
        return fail(stub, error.text);
    buffer_printf(&stub->reply, "OK");
}

static void take_out(struct gdbstub *stub, const struct request *request)
{
    gdbpoints_remove(&stub->points, request);
    buffer_printf(&stub->reply, "OK");
}

/* ---- Running ---- */

/* Output without text: gdb sees that we live, we see whether gdb does. */
static int send_sign_of_life(struct gdbstub *stub)
{
    static const uint8_t packet[] = "$O#4f";
    return send_all(stub, packet, sizeof packet - 1);
}

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
            debugger_interrupt(stub->debugger);
        int ready = poll(polled, 2, stop ? NAG_MS : stub->keep_alive_ms);
        if (ready < 0 && errno != EINTR)
            return NULL;
        if (ready <= 0) {
            if (ready == 0 && !stop)
                stop = stub->hung_up = send_sign_of_life(stub) < 0;
            continue;
        }
        if (polled[0].revents)
            return NULL;
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

static bool start_listening(struct gdbstub *stub, pthread_t *listener)
{
    stub->interrupted = stub->hung_up = false;
    return pthread_create(listener, NULL, listen_to_gdb, stub) == 0;
}

static void end_listening(struct gdbstub *stub, pthread_t listener)
{
    uint8_t byte = 0;
    while (write(stub->wake[1], &byte, 1) < 0 && errno == EINTR)
        ;
    pthread_join(listener, NULL);
    while (read(stub->wake[0], &byte, 1) < 0 && errno == EINTR)
        ;
}

static void describe_stop(struct gdbstub *stub, const struct timeline_stop *stop)
{
    struct buffer *out = &stub->last_stop;
    buffer_clear(out);
    buffer_printf(out, stub->interrupted || stop->why == TIMELINE_INTERRUPTED ? "T02" : "T05");
    if (stop->why == TIMELINE_START || stop->why == TIMELINE_END)
        buffer_printf(out, "replaylog:%s;", stop->why == TIMELINE_START ? "begin" : "end");
    if (stop->why == TIMELINE_CONDITION)
        gdbpoints_describe(&stub->points, stop, out);
    stub->thread = threads_running(stub->timeline);
    buffer_printf(out, "thread:%x;", stub->thread);
}

static int move(struct gdbstub *stub, enum request_kind kind, unsigned thread,
    struct timeline_stop *stop, struct error *error)
{
    struct timeline_condition conditions[TIMELINE_MAX_CONDITIONS];
    enum direction direction =
        kind == REQUEST_REVERSE_CONTINUE || kind == REQUEST_REVERSE_STEP ? BACKWARD : FORWARD;
    if (kind == REQUEST_STEP || kind == REQUEST_REVERSE_STEP)
        return threads_step(stub->timeline, direction, thread, stop, error);
    gdbpoints_arm(&stub->points, conditions);
    return timeline_run(stub->timeline, direction, conditions, stub->points.count, stop, error);
}

/* Which thread a move is about: by its number, the one selected, or the one that runs. */
static unsigned thread_of(const struct gdbstub *stub, const struct request *request)
{
    const unsigned count = threads_count(stub->timeline);
    return request->number && request->number <= count ? (unsigned)request->number
           : stub->thread <= count                     ? stub->thread
                                                       : threads_running(stub->timeline);
}

/* Stands still: an interrupt that came while nothing ran stops what was to run. */
static void stay(struct gdbstub *stub)
{
    const struct timeline_stop stop = {.why = TIMELINE_INTERRUPTED};
    stub->must_stop = false;
    describe_stop(stub, &stop);
    buffer_put(&stub->reply, stub->last_stop.data, stub->last_stop.size);
}

static void run(struct gdbstub *stub, enum request_kind kind, unsigned thread)
{
    struct timeline_stop stop = {0};
    struct error error = {""};
    pthread_t listener;
    bool long_run = kind == REQUEST_CONTINUE || kind == REQUEST_REVERSE_CONTINUE;
    if (stub->must_stop)
        return stay(stub);
    stub->interrupted = stub->hung_up = false;
    bool listening = long_run && start_listening(stub, &listener);
    int result = move(stub, kind, thread, &stop, &error);
    debugger_moved(stub->debugger);
    if (listening)
        end_listening(stub, listener);
    stub->closing |= stub->hung_up;
    if (result < 0) {
        struct buffer text = {0};
        buffer_printf(&text, "hindsight: %s\n", error.text);
        if (send_console(stub, &text) < 0)
            stub->closing = true;
        buffer_free(&text);
        stop.why = TIMELINE_INTERRUPTED;
    }
    describe_stop(stub, &stop);
    buffer_put(&stub->reply, stub->last_stop.data, stub->last_stop.size);
}

/* "tasks on" and "tasks off" are about this connection. */
static bool set_tasks(struct gdbstub *stub, const char *line, struct buffer *output)
{
    const bool on = strcmp(line, "tasks on") == 0;
    struct task task;
    if (!on && strcmp(line, "tasks off") != 0)
        return false;
    stub->with_tasks = on && tasks_current(stub->debugger, &task);
    if (on && !stub->with_tasks)
        buffer_printf(output, "The tasks of this guest are not known here: give the kernel's "
                              "symbols, as in 'hindsight gdb -ex \"add-symbol-file vmlinux\"'.\n");
    else
        buffer_printf(output, "Tasks that do not run are %sthreads: see 'info threads'.\n",
            on ? "" : "no longer ");
    if (!on && stub->thread > threads_count(stub->timeline))
        stub->thread = threads_running(stub->timeline);
    return true;
}

static void execute_command(struct gdbstub *stub, const char *line, struct buffer *output)
{
    struct error error = {""};
    pthread_t listener;
    bool listening = start_listening(stub, &listener);
    if (debugger_execute_remote(stub->debugger, line, &error) < 0)
        buffer_printf(output, "%s\n", error.text);
    if (listening)
        end_listening(stub, listener);
    /* Who said no more may still want to hear the answer. */
    stub->hung_up = false;
}

/* `monitor`: a command of the debugger. */
static void monitor(struct gdbstub *stub, const struct request *request)
{
    char line[PACKET_MAX / 2 + 1];
    size_t size = packet_get_hex(request->text, line, sizeof line - 1);
    line[size] = '\0';
    struct buffer *output = debugger_output(stub->debugger);
    if (!set_tasks(stub, line, output))
        execute_command(stub, line, output);
    if (output->failed)
        buffer_printf(output, "out of memory\n");
    if (send_console(stub, output) < 0)
        stub->closing = true;
    buffer_clear(output);
    buffer_printf(&stub->reply, "OK");
}

/* ---- Threads ---- */

static bool exists(struct gdbstub *stub, uint64_t thread)
{
    struct task task;
    return thread <= threads_count(stub->timeline) || find_task(stub, thread, &task);
}

static void select_thread(struct gdbstub *stub, const struct request *request)
{
    if (!exists(stub, request->number)) {
        buffer_printf(&stub->reply, "E01");
        return;
    }
    if (request->number)
        stub->thread = (unsigned)request->number;
    buffer_printf(&stub->reply, "OK");
}

static void describe_thread(struct gdbstub *stub, uint64_t thread, struct buffer *text)
{
    struct task task;
    if (find_task(stub, thread, &task)) {
        buffer_printf(text, "%s (task %u)", task.name, task.pid);
        return;
    }
    if (thread == 0 || thread > threads_count(stub->timeline))
        thread = threads_running(stub->timeline);
    threads_describe(stub->timeline, (unsigned)thread, text);
    if (stub->with_tasks && thread == threads_running(stub->timeline) &&
        tasks_current(stub->debugger, &task))
        buffer_printf(text, " %s (task %u)", task.name, task.pid);
}

static void name_thread(struct gdbstub *stub, const struct request *request)
{
    struct buffer text = {0}, name = {0};
    describe_thread(stub, request->number, &text);
    /* A task chooses its name. */
    buffer_put_visible(&name, text.data, text.size);
    packet_put_hex(name.data, name.size, &stub->reply);
    buffer_free(&text);
    buffer_free(&name);
}

static bool list_task(void *context, const struct task *task)
{
    struct gdbstub *stub = context;
    if (!task->on_cpu)
        buffer_printf(&stub->threads, ",%x", TASK_THREADS + task->pid);
    return false;
}

/* The next numbers that fit a packet. */
static void list_more(struct gdbstub *stub)
{
    const struct buffer *list = &stub->threads;
    size_t end = list->size;
    if (stub->threads_at >= end) {
        buffer_printf(&stub->reply, "l");
        return;
    }
    if (end - stub->threads_at > MAX_THREADS_TEXT) {
        end = stub->threads_at + MAX_THREADS_TEXT;
        while (list->data[end] != ',')
            end--;
    }
    /* Each begins with a comma, for which the packet's letter stands. */
    buffer_put_u8(&stub->reply, 'm');
    buffer_put(&stub->reply, list->data + stub->threads_at + 1, end - stub->threads_at - 1);
    stub->threads_at = end;
}

static void list_threads(struct gdbstub *stub)
{
    buffer_clear(&stub->threads);
    stub->threads_at = 0;
    for (unsigned i = 1; i <= threads_count(stub->timeline); i++)
        buffer_printf(&stub->threads, ",%x", i);
    if (stub->with_tasks)
        tasks_each(stub->debugger, list_task, stub);
    list_more(stub);
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
            "swbreak+;hwbreak+;vContSupported+;ConditionalBreakpoints+",
            PACKET_MAX);
    case REQUEST_FEATURES:
        return read_features(stub, request);
    case REQUEST_MONITOR:
        return monitor(stub, request);
    case REQUEST_SELECT:
        return select_thread(stub, request);
    case REQUEST_ALIVE:
        return buffer_printf(reply, exists(stub, request->number) ? "OK" : "E01");
    case REQUEST_THREADS_FIRST:
        return list_threads(stub);
    case REQUEST_THREADS_NEXT:
        return list_more(stub);
    case REQUEST_SET_PHYSICAL:
        stub->is_physical = request->number != 0;
        return buffer_printf(reply, "OK");
    case REQUEST_IS_PHYSICAL:
        return buffer_printf(reply, stub->is_physical ? "1" : "0");
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
    case PACKET_INTERRUPT:
        /* "Interrupts received while the program is stopped are queued." */
        stub->must_stop = true;
        return 0;
    default:
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
    stub->must_stop = stub->with_tasks = stub->is_physical = false;
    gdbpoints_clear(&stub->points);
    if (stub->thread > threads_count(stub->timeline))
        stub->thread = threads_running(stub->timeline);
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
