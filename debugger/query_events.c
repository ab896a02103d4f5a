/* The questions about what interrupts: `irqs`, `faults` and `switches`. */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/query_calls.h"

/* ---- irqs ------------------------------------------------------------------------------------ */

enum { IRQ_VECTOR = QUERY_OWN_COLUMNS, IRQ_INTERRUPTED, IRQ_HANDLER };

static const struct column irq_columns[] = {
    {"vector", COLUMN_NUMBER}, {"interrupted", COLUMN_PLACE}, {"handler", COLUMN_PLACE}};

/* The timeline stands at the handler's first instruction, with the frame on the stack. */
static bool on_interrupt(void *context, const struct timeline_stop *stop)
{
    struct query *query = context;
    struct view view;
    uint64_t rip;
    if (!query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    table_set_number(&query->table, row, IRQ_VECTOR,
        stop->event.kind == EVENT_NMI ? 2 : stop->event.value & 0xff);
    if (view_read_number(&view, view.state.gpr[RSP], vcpu_in_64bit_mode(&view.state) ? 8 : 4, &rip))
        query_place(query, row, IRQ_INTERRUPTED, rip);
    query_place(query, row, IRQ_HANDLER, view_pc(&view));
    return false;
}

static int arm_irqs(void *context, struct timeline_condition *conditions, struct error *error)
{
    (void)context;
    (void)error;
    conditions[0] = (struct timeline_condition){
        .kind = CONDITION_EVENT, .event_kinds = 1u << EVENT_INTERRUPT | 1u << EVENT_NMI};
    return 1;
}

static int no_arguments(const char *name, const char *text, struct error *error)
{
    return *text ? error_set(error, "%s takes no argument, '%.40s'", name, text) : 0;
}

QUESTION(irqs)
{
    const struct query_plan plan = {
        .arm = arm_irqs, .stopped = on_interrupt, .context = query, .follows = true};
    query_columns(query, irq_columns, 3);
    return no_arguments("irqs", text, error) < 0 ? -1 : query_run(query, &plan, error);
}

/* ---- faults ---------------------------------------------------------------------------------- */

enum { FAULT_NAME = QUERY_OWN_COLUMNS, FAULT_VECTOR, FAULT_ERROR, FAULT_BY, FAULT_ADDRESS };

static const struct column fault_columns[] = {{"fault", COLUMN_TEXT}, {"vector", COLUMN_NUMBER},
    {"error", COLUMN_ADDRESS}, {"by", COLUMN_PLACE}, {"address", COLUMN_PLACE}};

/* Intel SDM volume 3, table 6-1. */
static const char *fault_name(unsigned vector)
{
    static const char *const names[] = {"divide", "debug", "NMI", "breakpoint", "overflow", "bound",
        "invalid opcode", "no FPU", "double fault", "FPU segment", "invalid TSS",
        "segment not present", "stack", "general protection", "page", "15", "x87", "alignment",
        "machine check", "SIMD", "virtualization", "control protection"};
    return vector < sizeof names / sizeof names[0] ? names[vector] : "?";
}

static bool on_fault(void *context, const struct timeline_stop *stop)
{
    enum { PAGE_FAULT = 14 };
    struct query *query = context;
    struct view view;
    if (!query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    query_text(query, row, FAULT_NAME, "%s", fault_name(stop->vector));
    table_set_number(&query->table, row, FAULT_VECTOR, stop->vector);
    table_set_number(&query->table, row, FAULT_ERROR, stop->error);
    query_place(query, row, FAULT_BY, stop->rip);
    if (stop->vector == PAGE_FAULT)
        query_place(query, row, FAULT_ADDRESS, view.state.cr2);
    return false;
}

static int arm_faults(void *context, struct timeline_condition *conditions, struct error *error)
{
    (void)context;
    (void)error;
    conditions[0] = (struct timeline_condition){.kind = CONDITION_EXCEPTION};
    return 1;
}

QUESTION(faults)
{
    const struct query_plan plan = {
        .arm = arm_faults, .stopped = on_fault, .context = query, .follows = true};
    query_columns(query, fault_columns, 5);
    return no_arguments("faults", text, error) < 0 ? -1 : query_run(query, &plan, error);
}

/* ---- switches -------------------------------------------------------------------------------- */

enum { SWITCH_TO = QUERY_OWN_COLUMNS, SWITCH_SPACE, SWITCH_RAN };

static const struct column switch_columns[] = {
    {"to", COLUMN_TEXT}, {"space", COLUMN_ADDRESS}, {"ran", COLUMN_TIME}};

struct switching {
    struct query *query;
    uint64_t since[CONFIG_MAX_CPUS]; /* virtual time of the last switch of each vCPU */
    bool is_known[CONFIG_MAX_CPUS];
};

static void put_switch(struct switching *switching, uint64_t row)
{
    struct query *query = switching->query;
    struct timeline *timeline = query->debugger->timeline;
    unsigned vcpu = timeline_machine(timeline)->current;
    uint64_t now = timeline_time(timeline);
    if (switching->is_known[vcpu])
        table_set_number(&query->table, row, SWITCH_RAN, now - switching->since[vcpu]);
    switching->since[vcpu] = now;
    switching->is_known[vcpu] = true;
}

/* __switch_to(prev, next) */
static bool on_switch(void *context, struct timeline *timeline)
{
    struct switching *switching = context;
    struct query *query = switching->query;
    struct view view;
    char name[64];
    (void)timeline;
    if (!query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    if (query_task_name(query, &view, view.state.gpr[RDI], name, sizeof name))
        table_set_text(&query->table, row, QUERY_PROCESS, name);
    if (query_task_name(query, &view, view.state.gpr[RSI], name, sizeof name))
        table_set_text(&query->table, row, SWITCH_TO, name);
    put_switch(switching, row);
    return query_is_over(query);
}

static bool on_space(void *context, struct timeline *timeline)
{
    struct switching *switching = context;
    struct query *query = switching->query;
    struct view view;
    if (timeline_machine(timeline)->run.reset_requested || !query_view(query, &view))
        return false;
    uint64_t row = query_row(query, &view);
    table_set_number(&query->table, row, SWITCH_SPACE, view.state.cr3);
    put_switch(switching, row);
    return query_is_over(query);
}

/* Of tasks where the kernel's function is known, else of address spaces. */
static int arm_switches(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct switching *switching = context;
    struct debugger *debugger = switching->query->debugger;
    const struct module *kernel = follow_kernel(debugger);
    uint64_t entry;
    (void)error;
    if (kernel && !place_functions(debugger, "__switch_to", &entry, 1))
        return 0;
    conditions[0] = kernel ? (struct timeline_condition){.kind = CONDITION_EXECUTE,
                                 .address = entry,
                                 .length = 1,
                                 .accept = on_switch,
                                 .context = switching}
                           : (struct timeline_condition){
                                 .kind = CONDITION_SPACE, .accept = on_space, .context = switching};
    return 1;
}

QUESTION(switches)
{
    struct switching switching = {.query = query};
    const struct query_plan plan = {.arm = arm_switches, .context = &switching, .follows = true};
    query_columns(query, switch_columns, 3);
    if (no_arguments("switches", text, error) < 0)
        return -1;
    if (!follow_kernel(query->debugger))
        buffer_printf(&query->notes, "Without symbols of a Linux kernel these are changes of the "
                                     "address space (CR3).\n");
    return query_run(query, &plan, error);
}
