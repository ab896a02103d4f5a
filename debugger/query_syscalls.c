/*
 * The question `syscalls`: found by the CPU's change of privilege alone, at the address in LSTAR,
 * so that no symbols are needed; whose they are is known with the kernel's. Source: AMD64
 * Architecture Programmer's Manual volume 2, 6.1.1 (SYSCALL); Linux's calling convention,
 * syscall(2).
 */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/syscall_names.h"
#include "debugger/value.h"

enum { NAME = QUERY_OWN_COLUMNS, ARGUMENTS, RESULT, DURATION, FROM };

static const struct column columns[] = {{"syscall", COLUMN_TEXT}, {"arguments", COLUMN_TEXT},
    {"result", COLUMN_TEXT}, {"duration", COLUMN_TIME}, {"from", COLUMN_PLACE}};

enum { MAX_OPEN = 1 << 16, MAX_STRING = 64, EXECVE = 59, EXECVEAT = 322, MAX_ERROR = 4095 };

/* One that has not returned. */
struct open_call {
    uint64_t who; /* its task, or else the address space and the stack pointer: 0: none */
    uint64_t rip, rsp, number, row, time;
};

struct syscalls {
    struct query *query;
    const char *wanted; /* a name, or "" */
    struct open_call *open;
    unsigned open_count;
    bool failed;
};

/* ---- Who called ------------------------------------------------------------------------------ */

static uint64_t caller_of(struct query *query, const struct view *view)
{
    uint64_t task;
    if (query_current_task(query, view, &task))
        return task;
    /* Without symbols. Page-table isolation has two tables for a process, side by side. */
    return (view->state.cr3 >> 13 << 24) ^ view->state.gpr[RSP];
}

static struct open_call *find_open(struct syscalls *syscalls, uint64_t who)
{
    for (unsigned i = 0; i < syscalls->open_count; i++) {
        if (syscalls->open[i].who == who)
            return &syscalls->open[i];
    }
    return NULL;
}

/* A task that did not come back from the one before has none open any more. */
static void open_call(struct syscalls *syscalls, const struct open_call *call)
{
    struct open_call *place = find_open(syscalls, call->who);
    if (!place && syscalls->open_count == MAX_OPEN) {
        syscalls->failed = true;
        return;
    }
    *(place ? place : &syscalls->open[syscalls->open_count++]) = *call;
}

static void close_call(struct syscalls *syscalls, struct open_call *call)
{
    *call = syscalls->open[--syscalls->open_count];
}

/* ---- How they look --------------------------------------------------------------------------- */

static void put_string(const struct view *view, uint64_t address, struct buffer *out)
{
    char text[MAX_STRING];
    if (!address || !view_read_string(view, address, text, sizeof text)) {
        buffer_printf(out, address ? "0x%" PRIx64 : "NULL", address);
        return;
    }
    value_quote(text, strlen(text), out);
    if (strlen(text) + 1 == sizeof text)
        buffer_printf(out, "...");
}

static void put_argument(const struct view *view, char kind, uint64_t value, struct buffer *out)
{
    if (kind == 'd')
        buffer_printf(out, "%" PRId32, (int32_t)value);
    else if (kind == 'u')
        buffer_printf(out, "%" PRIu64, value);
    else if (kind == 'o')
        buffer_printf(out, "0%" PRIo64, value);
    else if (kind == 's')
        put_string(view, value, out);
    else
        buffer_printf(out, "0x%" PRIx64, value);
}

static void put_arguments(const struct view *view, const char *kinds, struct buffer *out)
{
    static const unsigned registers[] = {RDI, RSI, RDX, R10, R8, R9};
    for (unsigned i = 0; i < 6 && kinds[i]; i++) {
        if (i)
            buffer_printf(out, ", ");
        put_argument(view, kinds[i], view->state.gpr[registers[i]], out);
    }
    buffer_put_u8(out, 0);
}

/* errno(3)'s names of x86-64 that are met often. */
static const char *error_name(int64_t number)
{
    static const char *const names[] = {[1] = "EPERM",
        [2] = "ENOENT",
        [3] = "ESRCH",
        [4] = "EINTR",
        [5] = "EIO",
        [6] = "ENXIO",
        [7] = "E2BIG",
        [8] = "ENOEXEC",
        [9] = "EBADF",
        [10] = "ECHILD",
        [11] = "EAGAIN",
        [12] = "ENOMEM",
        [13] = "EACCES",
        [14] = "EFAULT",
        [16] = "EBUSY",
        [17] = "EEXIST",
        [18] = "EXDEV",
        [19] = "ENODEV",
        [20] = "ENOTDIR",
        [21] = "EISDIR",
        [22] = "EINVAL",
        [23] = "ENFILE",
        [24] = "EMFILE",
        [25] = "ENOTTY",
        [27] = "EFBIG",
        [28] = "ENOSPC",
        [29] = "ESPIPE",
        [30] = "EROFS",
        [32] = "EPIPE",
        [34] = "ERANGE",
        [36] = "ENAMETOOLONG",
        [38] = "ENOSYS",
        [39] = "ENOTEMPTY",
        [40] = "ELOOP",
        [95] = "EOPNOTSUPP",
        [110] = "ETIMEDOUT",
        [111] = "ECONNREFUSED"};
    return number < (int64_t)(sizeof names / sizeof names[0]) ? names[number] : NULL;
}

static void put_result(struct query *query, uint64_t row, uint64_t result)
{
    int64_t value = (int64_t)result;
    const char *name = value < 0 && value >= -MAX_ERROR ? error_name(-value) : NULL;
    if (name)
        query_text(query, row, RESULT, "%" PRId64 " %s", value, name);
    else if (value >= -MAX_ERROR && value < 1ll << 32)
        query_text(query, row, RESULT, "%" PRId64, value);
    else
        query_text(query, row, RESULT, "0x%" PRIx64, result);
}

/* ---- In and out ------------------------------------------------------------------------------ */

static void begin_call(struct syscalls *syscalls, const struct view *view)
{
    struct query *query = syscalls->query;
    struct open_call call = {.who = caller_of(query, view),
        .rip = view->state.gpr[RCX],
        .rsp = view->state.gpr[RSP],
        .number = view->state.gpr[RAX],
        .time = timeline_time(query->debugger->timeline)};
    const struct syscall_name *name = syscall_find(call.number);
    struct buffer text = {0};
    if (*syscalls->wanted && (!name || strcmp(name->name, syscalls->wanted) != 0))
        return;
    call.row = query_row(query, view);
    if (call.row == UINT64_MAX)
        return;
    if (name)
        query_text(query, call.row, NAME, "%s", name->name);
    else
        query_text(query, call.row, NAME, "%" PRIu64, call.number);
    put_arguments(view, name ? name->arguments : "xxxxxx", &text);
    if (!text.failed)
        table_set_text(&query->table, call.row, ARGUMENTS, (const char *)text.data);
    buffer_free(&text);
    query_place(query, call.row, FROM, call.rip);
    open_call(syscalls, &call);
}

/* Back in the program: after the call; at it again, to be made once more; or at a signal's handler,
 * which comes between. */
static void end_call(struct syscalls *syscalls, const struct view *view)
{
    enum { SYSCALL_LENGTH = 2 };
    struct query *query = syscalls->query;
    struct open_call *open = find_open(syscalls, caller_of(query, view));
    if (!open)
        return;
    bool executes = open->number == EXECVE || open->number == EXECVEAT;
    bool again = view->state.rip == open->rip - SYSCALL_LENGTH;
    if (!executes && !again && view->state.rip != open->rip)
        return;
    if (again)
        query_text(query, open->row, RESULT, "made again");
    else
        put_result(query, open->row, view->state.gpr[RAX]);
    table_set_number(
        &query->table, open->row, DURATION, timeline_time(query->debugger->timeline) - open->time);
    close_call(syscalls, open);
}

static bool on_mode(void *context, struct timeline *timeline)
{
    struct syscalls *syscalls = context;
    struct query *query = syscalls->query;
    struct view view;
    (void)timeline;
    if (!query_view(query, &view))
        return false;
    if (vcpu_cpl(&view.state) == 3)
        end_call(syscalls, &view);
    else if (view.state.lstar && view.state.rip == view.state.lstar)
        begin_call(syscalls, &view);
    return query_is_over(query) || syscalls->failed;
}

static int arm(void *context, struct timeline_condition *conditions, struct error *error)
{
    (void)error;
    conditions[0] =
        (struct timeline_condition){.kind = CONDITION_MODE, .accept = on_mode, .context = context};
    return 1;
}

static int check_name(const char *text, struct error *error)
{
    enum { MOST = 1024 };
    for (uint64_t number = 0; number < MOST && *text; number++) {
        const struct syscall_name *name = syscall_find(number);
        if (name && strcmp(name->name, text) == 0)
            return 0;
    }
    return *text ? error_set(error, "'%.40s' is no system call", text) : 0;
}

QUESTION(syscalls)
{
    struct syscalls syscalls = {.query = query, .wanted = text};
    const struct query_plan plan = {.arm = arm, .context = &syscalls, .follows = true};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    if (check_name(text, error) < 0)
        return -1;
    syscalls.open = calloc(MAX_OPEN, sizeof *syscalls.open);
    if (!syscalls.open)
        return error_set(error, "out of memory");
    int status = query_run(query, &plan, error);
    if (status == 0 && syscalls.failed)
        buffer_printf(&query->notes, "More than %d calls had not returned: the rest is not told.\n",
            MAX_OPEN);
    free(syscalls.open);
    return status;
}
