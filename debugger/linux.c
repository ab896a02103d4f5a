/* Linux guests: finding the kernel, its tasks and its log, and the commands that show them. */
#include "debugger/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/session.h"

enum {
    MAX_TASKS = 4096,
    MAX_LOG = 1 << 20,
    NO_MEMORY_MAP = 0,
};

/* ---- Looking into the kernel ---- */

/* The expression's value under a name that later expressions use: its symbols are searched once. */
static int name_value(
    struct debugger *debugger, const char *name, const char *expression, struct error *error)
{
    struct value value;
    uint64_t bits;
    if (session_evaluate(debugger, expression, &value, error) < 0)
        return -1;
    if (type_kind(&value.type) == TYPE_POINTER) {
        if (value_scalar(&debugger->view, &value, &bits, error) < 0)
            return -1;
        value = value_number(bits, &value.type);
    }
    return session_set_variable(debugger, name, &value, error);
}

static int need_linux(struct debugger *debugger, const char *symbol, struct error *error)
{
    if (session_look(debugger, error) < 0)
        return -1;
    const struct module *kernel = follow_kernel(debugger);
    if (kernel && kernel->away)
        return error_set(error, "the kernel of %s is not in memory at this position", kernel->name);
    if (!symbols_find(&debugger->symbols, symbol))
        return error_set(error,
            "no symbol '%s': add the symbols of this guest's Linux kernel, "
            "vmlinux with debugging information (see 'help add-symbol-file')",
            symbol);
    for (unsigned i = 0; i < debugger->symbols.module_count; i++) {
        if (debugger->symbols.modules[i]->dwarf)
            return 0;
    }
    return error_set(error, "the kernel's types are not known: no symbol file has debugging "
                            "information (vmlinux with DWARF has)");
}

static int number_of(struct debugger *debugger, uint64_t *number, struct error *error,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

static int number_of(
    struct debugger *debugger, uint64_t *number, struct error *error, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return session_number(debugger, text, number, error);
}

/* ---- Tasks ---- */

/* The address of the running task, a per-CPU variable. */
static int current_task(struct debugger *debugger, uint64_t *task, struct error *error)
{
    struct value value;
    if (session_evaluate(debugger, "current_task", &value, error) < 0)
        return -1;
    if (!value.in_memory || !view_read_number(&debugger->view, value.address, 8, task) ||
        *task >> 63 == 0)
        return error_set(error, "the current task is not set up at this position");
    return 0;
}

/* What was on the command line, from the task's own memory. */
static void print_command_line(struct debugger *debugger, uint64_t map_offset)
{
    uint64_t mm, start, end, pgd;
    char text[256];
    struct view view = debugger->view;
    if (number_of(debugger, &mm, NULL, "$_task->mm") < 0 || mm == NO_MEMORY_MAP ||
        number_of(debugger, &start, NULL, "$_task->mm->arg_start") < 0 ||
        number_of(debugger, &end, NULL, "$_task->mm->arg_end") < 0 ||
        number_of(debugger, &pgd, NULL, "$_task->mm->pgd") < 0)
        return;
    view.state.cr3 = pgd - map_offset;
    size_t size = end > start && end - start < sizeof text ? end - start : sizeof text - 1;
    if (end <= start || !view_read(&view, start, text, size))
        return;
    print(debugger, "  ");
    for (size_t i = 0; i < size && (text[i] || i + 1 < size); i++)
        print(debugger, "%c",
            text[i] == '\0'                     ? ' '
            : text[i] < 0x20 || text[i] == 0x7f ? '?'
                                                : text[i]);
}

static int print_task(struct debugger *debugger, uint64_t address, bool is_current,
    uint64_t map_offset, struct error *error)
{
    struct value task;
    uint64_t pid, parent, state;
    char name[17] = "";
    if (session_evaluate(debugger, "$_init", &task, error) < 0)
        return -1;
    task = value_number(address, &task.type);
    if (session_set_variable(debugger, "_task", &task, error) < 0 ||
        number_of(debugger, &pid, error, "$_task->pid") < 0 ||
        number_of(debugger, &parent, error, "$_task->real_parent->pid") < 0 ||
        number_of(debugger, &state, error, "$_task->__state") < 0)
        return -1;
    uint64_t name_address;
    if (number_of(debugger, &name_address, error, "&$_task->comm[0]") == 0)
        view_read(&debugger->view, name_address, name, sizeof name - 1);
    for (char *at = name; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    print(debugger, "%c %5" PRId64 " %5" PRId64 " %c  0x%016" PRIx64 "  %-16s",
        is_current ? '*' : ' ', (int64_t)pid, (int64_t)parent,
        state == 0                 ? 'R'
        : (state & 0x402) == 0x402 ? 'I'
        : state & 1                ? 'S'
        : state & 2                ? 'D'
        : state & 12               ? 'T'
                                   : '?',
        address, name);
    print_command_line(debugger, map_offset);
    print(debugger, "\n");
    return 0;
}

COMMAND(ps)
{
    uint64_t first, address, tasks, map_offset = 0, current = 0;
    struct error ignored;
    (void)arguments;
    if (need_linux(debugger, "init_task", error) < 0 ||
        name_value(debugger, "_init", "&init_task", error) < 0 ||
        number_of(debugger, &first, error, "$_init") < 0 ||
        number_of(debugger, &tasks, error, "(long)&$_init->tasks - (long)$_init") < 0)
        return -1;
    current_task(debugger, &current, &ignored);
    session_number(debugger, "page_offset_base", &map_offset, &ignored);
    print(debugger, "    PID  PPID S  task                NAME              COMMAND LINE\n");
    address = first;
    for (unsigned i = 0; i < MAX_TASKS; i++) {
        uint64_t next;
        if (print_task(debugger, address, address == current, map_offset, error) < 0)
            return -1;
        if (!view_read_number(&debugger->view, address + tasks, 8, &next))
            return error_set(error, "the list of tasks is broken after task 0x%" PRIx64, address);
        address = next - tasks;
        if (address == first)
            return 0;
    }
    return error_set(error, "the list of tasks does not end");
}

COMMAND(current)
{
    uint64_t task, map_offset = 0;
    struct error ignored;
    (void)arguments;
    if (need_linux(debugger, "init_task", error) < 0 ||
        name_value(debugger, "_init", "&init_task", error) < 0 ||
        current_task(debugger, &task, error) < 0)
        return -1;
    session_number(debugger, "page_offset_base", &map_offset, &ignored);
    return print_task(debugger, task, true, map_offset, error);
}

/* ---- The log: kernel/printk/printk_ringbuffer.h of Linux 5.10 and later ---- */

struct log {
    uint64_t descriptors, descriptor_size, state, begin, next;
    uint64_t infos, info_size, time, length;
    uint64_t data, size;
    uint64_t count, first, last;
};

static int open_log(struct debugger *debugger, struct log *log, struct error *error)
{
    uint64_t count_bits, size_bits;
    const struct {
        uint64_t *number;
        const char *expression;
    } wanted[] = {
        {&log->descriptors, "(long)$_ring->desc_ring.descs"},
        {&log->descriptor_size, "sizeof(*$_ring->desc_ring.descs)"},
        {&log->state, "(long)&$_ring->desc_ring.descs->state_var - (long)$_ring->desc_ring.descs"},
        {&log->begin,
            "(long)&$_ring->desc_ring.descs->text_blk_lpos.begin - (long)$_ring->desc_ring.descs"},
        {&log->next,
            "(long)&$_ring->desc_ring.descs->text_blk_lpos.next - (long)$_ring->desc_ring.descs"},
        {&log->infos, "(long)$_ring->desc_ring.infos"},
        {&log->info_size, "sizeof(*$_ring->desc_ring.infos)"},
        {&log->time, "(long)&$_ring->desc_ring.infos->ts_nsec - (long)$_ring->desc_ring.infos"},
        {&log->length, "(long)&$_ring->desc_ring.infos->text_len - (long)$_ring->desc_ring.infos"},
        {&log->data, "(long)$_ring->text_data_ring.data"},
        {&size_bits, "$_ring->text_data_ring.size_bits"},
        {&count_bits, "$_ring->desc_ring.count_bits"},
        {&log->first, "$_ring->desc_ring.tail_id.counter"},
        {&log->last, "$_ring->desc_ring.head_id.counter"},
    };
    if (name_value(debugger, "_ring", "prb", error) < 0)
        return -1;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (session_number(debugger, wanted[i].expression, wanted[i].number, error) < 0)
            return -1;
    }
    if (size_bits > 30 || count_bits > 24)
        return error_set(error, "the kernel's log is not set up at this position");
    log->size = 1ull << size_bits;
    log->count = 1ull << count_bits;
    return 0;
}

static void print_record(struct debugger *debugger, const struct log *log, uint64_t id)
{
    const struct view *view = &debugger->view;
    uint64_t slot = id % log->count, state, begin, next, time, length;
    uint64_t descriptor = log->descriptors + slot * log->descriptor_size;
    uint64_t info = log->infos + slot * log->info_size;
    if (!view_read_number(view, descriptor + log->state, 8, &state) ||
        !view_read_number(view, descriptor + log->begin, 8, &begin) ||
        !view_read_number(view, descriptor + log->next, 8, &next) ||
        !view_read_number(view, info + log->time, 8, &time) ||
        !view_read_number(view, info + log->length, 2, &length))
        return;
    /* The two top bits: 1 committed, 2 finalized; the rest is the id, if it is still this record.
     */
    uint64_t kind = state >> 62;
    if ((kind != 1 && kind != 2) || ((state ^ id) << 2) != 0 || (begin & 1))
        return;
    /* A record that would cross the end begins at the start instead; its id comes first. */
    uint64_t offset = begin / log->size == next / log->size ? begin % log->size : 0;
    if (length > log->size - offset - 8)
        return;
    struct buffer text = {0};
    print(debugger, "[%5" PRIu64 ".%06" PRIu64 "] ", time / 1000000000, time / 1000 % 1000000);
    for (uint64_t i = 0; i < length; i++) {
        char byte;
        if (!view_read(view, log->data + offset + 8 + i, &byte, 1))
            break;
        buffer_put_u8(&text, (uint8_t)byte);
    }
    print_text(debugger, &text);
    buffer_free(&text);
    print(debugger, "\n");
}

COMMAND(dmesg)
{
    struct log log;
    uint64_t lines = UINT64_MAX;
    if (need_linux(debugger, "prb", error) < 0)
        return -1;
    if (*arguments && session_number(debugger, arguments, &lines, error) < 0)
        return -1;
    if (open_log(debugger, &log, error) < 0)
        return -1;
    uint64_t total = (log.last - log.first) << 2 >> 2;
    if (total >= log.count || total > MAX_LOG)
        total = log.count - 1;
    uint64_t skip = total + 1 > lines ? total + 1 - lines : 0;
    for (uint64_t i = skip; i <= total; i++)
        print_record(debugger, &log, (log.first + i) << 2 >> 2);
    return 0;
}

const struct command linux_commands[] = {
    {"Linux guests", "ps", "tasks", command_ps, "",
        "The tasks at this position, with their command lines; '*' marks the running one. Needs "
        "vmlinux with debugging information.",
        "ps", COMPLETE_NONE, false},
    {"Linux guests", "current", "", command_current, "", "The task that runs.", "current",
        COMPLETE_NONE, false},
    {"Linux guests", "dmesg", "", command_dmesg, "[LINES]",
        "The kernel's log as it stands in memory; the last LINES records.", "dmesg 5",
        COMPLETE_NONE, false},
    {0},
};
