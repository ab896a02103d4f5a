/* Follows calls of functions and their returns. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/query_calls.h"
#include "debugger/variables.h"

/* ---- Functions ------------------------------------------------------------------------------- */

int calls_check_name(const struct debugger *debugger, const char *name, struct error *error)
{
    const struct symbols *symbols = &debugger->symbols;
    const struct symbol *symbol = symbols_find(symbols, name);
    bool is_code = symbol && symbol->is_code;
    for (unsigned i = 0; i < symbols->module_count && !symbol; i++) {
        symbol = module_find(symbols->modules[i], name);
        is_code = symbol && symbol->is_code;
    }
    uint64_t entry;
    if (is_code || place_functions((struct debugger *)debugger, name, &entry, 1))
        return 0;
    if (symbol)
        return error_set(error, "'%.60s' is data, not a function", name);
    if (symbols_count(symbols) == 0)
        return error_set(error, "no symbols are loaded (see 'help add-symbol-file')");
    return error_set(error, "no function '%.60s' in the symbol files", name);
}

void calls_forget_functions(struct calls *calls)
{
    calls->function_count = 0;
}

/* The integer registers of the System V ABI, x86-64, 3.2.3, by DWARF's numbers. */
static const unsigned abi_registers[] = {DWARF_RDI, DWARF_RSI, DWARF_RDX, DWARF_RCX, 8, 9};
enum { ABI_REGISTERS = sizeof abi_registers / sizeof abi_registers[0] };

struct collecting {
    struct called_function *function;
    unsigned integers; /* parameters so far that the ABI passes as integers */
    bool lost;         /* one of another kind came: what follows is not known by counting */
};

static bool is_integer(const struct type *type)
{
    enum type_kind kind = type_kind(type);
    return type_is_integer(type) || kind == TYPE_POINTER || kind == TYPE_REFERENCE;
}

/* Code without optimisation has a parameter's later place on the stack, where it is not yet. */
static void place_by_abi(struct collecting *collecting, struct call_parameter *parameter)
{
    unsigned number = collecting->integers;
    bool is_clone = strchr(collecting->function->name, '.') != NULL;
    if (collecting->lost || is_clone)
        return;
    parameter->where = number < ABI_REGISTERS ? PARAMETER_REGISTER : PARAMETER_STACK;
    parameter->number = number < ABI_REGISTERS ? abi_registers[number] : number - ABI_REGISTERS;
}

static void add_parameter(
    void *context, const char *name, const struct type *type, const struct location *location)
{
    struct collecting *collecting = context;
    struct called_function *function = collecting->function;
    if (function->parameter_count == CALLS_MAX_PARAMETERS)
        return;
    struct call_parameter *parameter = &function->parameters[function->parameter_count++];
    *parameter = (struct call_parameter){.type = *type};
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
    if (!is_integer(type)) {
        collecting->lost |= type_kind(type) != TYPE_FLOAT;
        return;
    }
    if (location->kind == LOCATION_REGISTER && location->value <= 15) {
        parameter->where = PARAMETER_REGISTER;
        parameter->number = (unsigned)location->value;
    } else {
        place_by_abi(collecting, parameter);
    }
    collecting->integers++;
}

/* Without types the first registers are shown. */
static void add_registers(struct called_function *function)
{
    for (unsigned i = 0; i < 4; i++) {
        struct call_parameter *parameter = &function->parameters[function->parameter_count++];
        *parameter = (struct call_parameter){.type = type_builtin(TYPE_POINTER, 8),
            .where = PARAMETER_REGISTER,
            .number = abi_registers[i]};
        snprintf(
            parameter->name, sizeof parameter->name, "%s", unwind_register_name(abi_registers[i]));
    }
}

static bool has_entry(const struct calls *calls, uint64_t entry)
{
    for (unsigned i = 0; i < calls->function_count; i++) {
        if (calls->functions[i].entry == entry)
            return true;
    }
    return false;
}

void calls_add_functions(struct calls *calls, const char *name)
{
    struct debugger *debugger = calls->query->debugger;
    uint64_t entries[CALLS_MAX_FUNCTIONS];
    unsigned count = place_functions(debugger, name, entries, CALLS_MAX_FUNCTIONS);
    for (unsigned i = 0; i < count && calls->function_count < CALLS_MAX_FUNCTIONS; i++) {
        struct called_function *function = &calls->functions[calls->function_count];
        const struct symbol *symbol = symbols_at(&debugger->symbols, entries[i]);
        if (has_entry(calls, entries[i]))
            continue;
        *function = (struct called_function){.entry = entries[i]};
        snprintf(function->name, sizeof function->name, "%s", symbol ? symbol->name : name);
        struct collecting collecting = {.function = function};
        function->has_types = variables_parameters(&debugger->symbols, &debugger->view, entries[i],
            &function->result, add_parameter, &collecting);
        if (!function->has_types)
            add_registers(function);
        calls->function_count++;
    }
}

/* ---- Calls that have not returned ------------------------------------------------------------ */

static uint64_t hash(uint64_t slot, uint64_t caller)
{
    uint64_t value = (slot ^ caller << 17) * 0x9e3779b97f4a7c15;
    return value ^ value >> 32;
}

/* Where the call is in the table, or the empty place where it would be. */
static struct call *find_open(
    const struct calls *calls, uint64_t slot, uint64_t caller, uint64_t space)
{
    uint64_t at = hash(slot, caller) & (calls->open_size - 1);
    for (;; at = (at + 1) & (calls->open_size - 1)) {
        struct call *call = &calls->open[at];
        if (!call->caller || (call->slot == slot && call->caller == caller && call->space == space))
            return call;
    }
}

static bool grow(struct calls *calls)
{
    struct call *old = calls->open;
    uint64_t size = calls->open_size;
    struct call *open = calloc(size ? size * 2 : 1024, sizeof *open);
    if (!open)
        return false;
    calls->open = open;
    calls->open_size = size ? size * 2 : 1024;
    for (uint64_t i = 0; i < size; i++) {
        if (old[i].caller)
            *find_open(calls, old[i].slot, old[i].caller, old[i].space) = old[i];
    }
    free(old);
    return true;
}

/* One that never came back from the same place is forgotten. */
static void open_call(struct calls *calls, const struct call *call)
{
    if ((calls->open_count + 1) * 2 > calls->open_size && !grow(calls)) {
        calls->failed = true;
        return;
    }
    struct call *place = find_open(calls, call->slot, call->caller, call->space);
    calls->open_count += !place->caller;
    *place = *call;
}

/* Takes it out; those after it that it stood in the way of move up. */
static void close_call(struct calls *calls, struct call *call)
{
    uint64_t mask = calls->open_size - 1, hole = (uint64_t)(call - calls->open), at = hole;
    calls->open_count--;
    for (;;) {
        calls->open[hole].caller = 0;
        do {
            at = (at + 1) & mask;
            if (!calls->open[at].caller)
                return;
        } while (((at - hash(calls->open[at].slot, calls->open[at].caller)) & mask) <
                 ((at - hole) & mask));
        calls->open[hole] = calls->open[at];
        hole = at;
    }
}

/* ---- What is hit ----------------------------------------------------------------------------- */

static unsigned word_size(const struct view *view)
{
    return vcpu_in_64bit_mode(&view->state) ? 8 : 4;
}

static uint64_t space_of(const struct view *view, uint64_t slot)
{
    return slot >> 63 ? 0 : view->state.cr3 & ~(uint64_t)0xfff;
}

/* Where it has no return address yet it gets one: what is armed grows. */
static void learn_return(struct calls *calls, uint64_t caller)
{
    unsigned low = 0, high = calls->return_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (calls->returns[middle] < caller)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < calls->return_count && calls->returns[low] == caller)
        return;
    uint64_t *returns = calloc(calls->return_count + 1, sizeof *returns);
    if (!returns) {
        calls->failed = true;
        return;
    }
    for (unsigned i = 0; i < calls->return_count; i++)
        returns[i + (i >= low)] = calls->returns[i];
    returns[low] = caller;
    uint64_t *old = calls->returns;
    calls->returns = returns;
    calls->return_count++;
    struct timeline_condition conditions[CALLS_CONDITIONS];
    calls_arm(calls, conditions, NULL);
    query_rearm(calls->query, conditions, CALLS_CONDITIONS);
    free(old);
}

static const struct called_function *function_at(const struct calls *calls, uint64_t pc)
{
    for (unsigned i = 0; i < calls->function_count; i++) {
        if (calls->functions[i].entry == pc)
            return &calls->functions[i];
    }
    return NULL;
}

static void begin_call(struct calls *calls, struct view *view)
{
    struct timeline *timeline = calls->query->debugger->timeline;
    struct call call = {.function = function_at(calls, view_pc(view)),
        .slot = view->state.gpr[RSP],
        .retired = timeline_retired(timeline),
        .time = timeline_time(timeline),
        .argument = {view->state.gpr[RDI], view->state.gpr[RSI]}};
    if (!call.function)
        return;
    bool has_caller = view_read_number(view, call.slot, word_size(view), &call.caller);
    call.space = space_of(view, call.slot);
    call.row = calls->enter(calls->context, &call, view);
    if (call.row == UINT64_MAX || !has_caller || !call.caller)
        return;
    open_call(calls, &call);
    learn_return(calls, call.caller);
}

static bool on_entry(void *context, struct timeline *timeline)
{
    struct calls *calls = context;
    struct view view;
    (void)timeline;
    if (query_view(calls->query, &view))
        begin_call(calls, &view);
    return query_is_over(calls->query) || calls->failed;
}

static bool on_return(void *context, struct timeline *timeline)
{
    struct calls *calls = context;
    struct view view;
    (void)timeline;
    if (!calls->open_count || !query_view(calls->query, &view))
        return false;
    uint64_t slot = view.state.gpr[RSP] - word_size(&view);
    struct call *open = find_open(calls, slot, view_pc(&view), space_of(&view, slot));
    if (open->caller) {
        struct call call = *open;
        close_call(calls, open);
        calls->leave(calls->context, &call, &view);
    }
    return query_is_over(calls->query) || calls->failed;
}

static int by_address(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

int calls_arm(struct calls *calls, struct timeline_condition *conditions, struct error *error)
{
    /* Where no code is: there are always two conditions, whose places change. */
    static const uint64_t nowhere[] = {UINT64_MAX};
    if (calls->failed)
        return error_set(error, "out of memory");
    for (unsigned i = 0; i < calls->function_count; i++)
        calls->entries[i] = calls->functions[i].entry;
    qsort(calls->entries, calls->function_count, sizeof calls->entries[0], by_address);
    conditions[0] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
        .places = calls->function_count ? calls->entries : nowhere,
        .place_count = calls->function_count ? calls->function_count : 1,
        .accept = on_entry,
        .context = calls};
    conditions[1] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
        .places = calls->return_count ? calls->returns : nowhere,
        .place_count = calls->return_count ? calls->return_count : 1,
        .accept = on_return,
        .context = calls};
    return CALLS_CONDITIONS;
}

void calls_free(struct calls *calls)
{
    free(calls->returns);
    free(calls->open);
}
