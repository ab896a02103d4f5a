/* Where a value came from, in words. */
#include "debugger/command.h"
#include "debugger/origins.h"
#include "debugger/processes.h"
#include "debugger/session.h"
#include "debugger/table.h"
#include "debugger/threads.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/translate.h"

enum { DEFAULT_LIMIT = 200 };

/* ---- What to follow ---------------------------------------------------------------------------
 */

static int add_memory(struct debugger *debugger, struct origin_value *value, uint64_t address,
    uint64_t size, bool physical, struct error *error)
{
    const struct view *view = &debugger->view;
    for (uint64_t i = 0; i < size && value->count < ORIGIN_BYTES; i++) {
        struct translation translation = {.gpa = address + i};
        if (!physical && !translate(view->memory, &view->state, address + i, &translation))
            return error_set(error, "0x%" PRIx64 " is not mapped here", address + i);
        if (!memory_at(view->memory, translation.gpa, 1))
            return error_set(error, "0x%" PRIx64 " is not RAM", address + i);
        value->bytes[value->count++].place =
            (struct flow_place){.in_memory = true, .gpa = translation.gpa};
    }
    return 0;
}

static void add_register(const struct debugger *debugger, struct origin_value *value,
    const struct flow_place *first, unsigned size)
{
    for (unsigned i = 0; i < size && value->count < ORIGIN_BYTES; i++) {
        struct origin_byte *byte = &value->bytes[value->count++];
        byte->place = *first;
        byte->place.offset = (uint8_t)(first->offset + i);
        byte->vcpu = (uint8_t)(debugger->thread ? debugger->thread - 1 : 0);
    }
}

static int add_physical(
    struct debugger *debugger, const char *text, struct origin_value *value, struct error *error)
{
    struct expression_scope scope;
    struct value address;
    uint64_t gpa, size = 1;
    session_scope(debugger, &scope);
    if (expression_evaluate_part(&scope, &text, &address, error) < 0 ||
        value_scalar(&debugger->view, &address, &gpa, error) < 0)
        return -1;
    text = skip_spaces(text);
    if (*text == ',' && session_number(debugger, skip_spaces(text + 1), &size, error) < 0)
        return -1;
    if (*text && *text != ',')
        return error_set(error, "origin: '%.40s' is not understood", text);
    return add_memory(debugger, value, gpa, size, true, error);
}

/* A variable, or "*ADDRESS"; a plain number is taken as the address of a word. */
static int add_expression(
    struct debugger *debugger, const char *text, struct origin_value *value, struct error *error)
{
    struct value what;
    uint64_t address;
    if (session_evaluate(debugger, text, &what, error) < 0)
        return -1;
    if (what.in_register && debugger->level == 0) {
        const struct flow_place first = {.reg = (uint8_t)(what.in_register - 1)};
        uint64_t size = type_size(&what.type);
        add_register(debugger, value, &first, size && size < 8 ? (unsigned)size : 8);
        return 0;
    }
    if (what.in_memory)
        return add_memory(debugger, value, what.address,
            type_size(&what.type) ? type_size(&what.type) : 8, false, error);
    if (what.in_register)
        return error_set(error,
            "origin: '%.60s' is in a register of an outer frame: give a register in frame 0, or "
            "where it was saved",
            text);
    if (value_scalar(&debugger->view, &what, &address, error) < 0)
        return -1;
    return add_memory(debugger, value, address, 8, false, error);
}

static int understand(
    struct debugger *debugger, const char *text, struct origin_value *value, struct error *error)
{
    struct flow_place first;
    unsigned size;
    const char *name = *text == '$' ? text + 1 : text;
    *value = (struct origin_value){.position = timeline_position(debugger->timeline),
        .delivered = timeline_delivered(debugger->timeline)};
    if (flow_register_find(name, &first, &size)) {
        if (debugger->level)
            return error_set(error,
                "origin: registers are those of frame 0; what an outer frame had in %s was saved "
                "on the stack",
                name);
        add_register(debugger, value, &first, size);
        return 0;
    }
    if (strncmp(text, "phys:", 5) == 0)
        return add_physical(debugger, text + 5, value, error);
    return add_expression(debugger, text, value, error);
}

/* "#N": what an earlier answer named. */
static int recall(const struct debugger *debugger, const char *text, struct origin_value *value,
    struct error *error)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end || number == 0 || number > debugger->origins.count)
        return error_set(
            error, "origin: there is no #%.20s: numbers stand in earlier answers", text);
    *value = debugger->origins.list[number - 1];
    return 0;
}

/* Remembers something to follow; its number, 0 when there is no room. */
static unsigned remember(struct debugger *debugger, const struct origin_value *value)
{
    struct origins *origins = &debugger->origins;
    if (!origins->list)
        origins->list = calloc(MAX_ORIGINS, sizeof *origins->list);
    if (!origins->list || origins->count == MAX_ORIGINS)
        return 0;
    origins->list[origins->count++] = *value;
    return origins->count;
}

/* ---- For programs ------------------------------------------------------------------------------
 */

enum {
    COLUMN_STEP,
    COLUMN_AT,
    COLUMN_WHAT,
    COLUMN_INSTRUCTION,
    COLUMN_CODE,
    COLUMN_WHO,
    COLUMN_CPU,
    COLUMN_BYTES,
    COLUMN_END,
    COLUMN_FROM,
    COLUMN_FOLLOW,
    COLUMN_FOLDED,
    COLUMNS
};

static const struct column columns[COLUMNS] = {
    {"step", COLUMN_NUMBER}, {"position", COLUMN_POSITION}, {"what", COLUMN_TEXT},
    {"instruction", COLUMN_TEXT}, {"code", COLUMN_PLACE}, {"process", COLUMN_TEXT},
    {"vcpu", COLUMN_NUMBER}, {"bytes", COLUMN_TEXT},                        /* of the value */
    {"end", COLUMN_TEXT}, {"from", COLUMN_TEXT}, {"follow", COLUMN_NUMBER}, /* `origin #N` */
    {"folded", COLUMN_NUMBER}, /* pushes and pops before this step that are left out */
};

/* ---- Words -------------------------------------------------------------------------------------
 */

struct telling {
    struct debugger *debugger;
    struct table *table; /* NULL: text */
    unsigned number;
    uint32_t all; /* the bytes of the value */
};

static unsigned last_byte(uint32_t bytes)
{
    return 31 - (unsigned)__builtin_clz(bytes);
}

static void describe_place(const struct flow_place *place, unsigned size, char *text, size_t room)
{
    char name[16];
    if (place->in_memory) {
        snprintf(text, room, "phys:0x%" PRIx64, place->gpa);
        return;
    }
    flow_register_name(place->reg, place->offset, size, name);
    if (place->reg >= FLOW_XMM && size < 16)
        snprintf(text, room, "%s[%u]", name, place->offset);
    else
        snprintf(text, room, "%s", name);
}

static void describe_group(const struct origin_group *group, char *text, size_t room)
{
    char place[64];
    switch (group->end) {
    case ORIGIN_GOES_ON:
        describe_place(&group->from.place,
            last_byte(group->bytes) - (unsigned)__builtin_ctz(group->bytes) + 1, place,
            sizeof place);
        snprintf(text, room, "from %s", place);
        break;
    case ORIGIN_CONSTANT:
        snprintf(text, room, "a constant of the instruction");
        break;
    case ORIGIN_COMPUTED:
        snprintf(text, room, "%s", *group->text ? group->text : "computed here");
        break;
    default:
        snprintf(text, room, "%s", group->text);
        break;
    }
}

/* Which of the value's bytes, where it is not all of them. */
static void describe_bytes(const struct telling *telling, uint32_t bytes, char text[32])
{
    unsigned first = (unsigned)__builtin_ctz(bytes), last = last_byte(bytes);
    *text = '\0';
    if (bytes == telling->all)
        return;
    bool row = bytes == ((2u << last) - (1u << first));
    snprintf(text, 32,
        row && first != last ? "byte %u-%u: "
        : row                ? "byte %u: "
                             : "bytes %u..%u: ",
        first, last);
}

/* "copy_page+12, process 31 sh" */
static void print_where(struct debugger *debugger, const struct origin_step *step)
{
    struct buffer name = {0};
    struct process process;
    symbols_describe(&debugger->symbols, step->linear, &name);
    buffer_put_u8(&name, 0);
    if (!name.failed && name.data[0])
        print(debugger, "  %s", (const char *)name.data);
    else
        print(debugger, "  0x%" PRIx64, step->linear);
    buffer_free(&name);
    if (processes_current(debugger, &process))
        print(debugger, "  process %u %s", process.pid, process.name);
    if (threads_count(debugger->timeline) > 1)
        print(debugger, "  vCPU %u", step->vcpu);
}

static void print_instruction(struct debugger *debugger, const struct origin_step *step)
{
    struct instruction instruction;
    if (session_look(debugger, NULL) == 0 &&
        disassemble(&debugger->view, NULL, debugger->syntax, step->linear, &instruction))
        print(debugger, "%-36s", instruction.text);
    print_where(debugger, step);
}

static unsigned remember_operand(
    struct debugger *debugger, const struct origin_step *step, const struct flow_operand *operand)
{
    struct origin_value value = {.position = step->position, .delivered = step->delivered};
    for (; value.count < operand->size && value.count < ORIGIN_BYTES; value.count++) {
        struct origin_byte *byte = &value.bytes[value.count];
        *byte = (struct origin_byte){operand->first, (uint8_t)step->vcpu};
        byte->place.gpa += operand->first.in_memory ? value.count : 0;
        byte->place.offset = (uint8_t)(byte->place.offset + value.count);
    }
    return remember(debugger, &value);
}

static void print_operands(struct debugger *debugger, const struct origin_step *step)
{
    char place[64];
    for (unsigned i = 0; i < step->operand_count; i++) {
        const struct flow_operand *operand = &step->operands[i];
        describe_place(&operand->first, operand->size, place, sizeof place);
        print(debugger, "     #%u: %s%s\n", remember_operand(debugger, step, operand), place,
            operand->is_address ? ", part of an address" : "");
    }
}

/* Where it goes on stands in the instruction's line, if all goes on alike. */
static void print_groups(const struct telling *telling, const struct origin_step *step)
{
    char text[ORIGIN_TEXT + 64], bytes[32];
    bool in_line = step->group_count == 1 && step->groups[0].end == ORIGIN_GOES_ON;
    for (unsigned i = 0; i < step->group_count; i++) {
        const struct origin_group *group = &step->groups[i];
        describe_group(group, text, sizeof text);
        describe_bytes(telling, group->bytes, bytes);
        print(telling->debugger, "%s%s%s\n",
            in_line  ? "  "
            : i == 0 ? "\n     "
                     : "     ",
            bytes, text);
    }
}

/* A row with what a step is; the caller adds where a part of it goes on or ends. */
static uint64_t add_row(const struct telling *telling, const struct origin_step *step)
{
    static const char *const names[] = {[ORIGIN_INSTRUCTION] = "instruction",
        [ORIGIN_DELIVERY] = "delivery",
        [ORIGIN_DEVICE] = "device",
        [ORIGIN_START] = "start"};
    struct debugger *debugger = telling->debugger;
    struct table *table = telling->table;
    const uint64_t row = table_add(table);
    struct instruction instruction;
    struct buffer name = {0};
    struct process process;
    char text[64];
    table_set_number(table, row, COLUMN_STEP, telling->number);
    table_set_text(table, row, COLUMN_WHAT, names[step->what]);
    if (step->folded)
        table_set_number(table, row, COLUMN_FOLDED, step->folded);
    if (step->what == ORIGIN_START)
        return row;
    table_set_position(table, row, COLUMN_AT, step->position);
    table_set_number(table, row, COLUMN_CPU, step->vcpu);
    if (processes_current(debugger, &process)) {
        snprintf(text, sizeof text, "%u %s", process.pid, process.name);
        table_set_text(table, row, COLUMN_WHO, text);
    }
    if (step->what != ORIGIN_INSTRUCTION || session_look(debugger, NULL) < 0)
        return row;
    if (disassemble(&debugger->view, NULL, debugger->syntax, step->linear, &instruction))
        table_set_text(table, row, COLUMN_INSTRUCTION, instruction.text);
    symbols_describe(&debugger->symbols, step->linear, &name);
    buffer_put_u8(&name, 0);
    table_set_place(table, row, COLUMN_CODE, step->linear,
        name.failed || !name.data[0] ? NULL : (const char *)name.data);
    buffer_free(&name);
    return row;
}

static void add_rows(const struct telling *telling, const struct origin_step *step)
{
    static const char *const ends[] = {[ORIGIN_GOES_ON] = "goes on",
        [ORIGIN_CONSTANT] = "constant",
        [ORIGIN_COMPUTED] = "computed",
        [ORIGIN_INPUT] = "input",
        [ORIGIN_BOOT] = "start"};
    struct table *table = telling->table;
    char text[ORIGIN_TEXT + 64];
    for (unsigned i = 0; i < step->group_count; i++) {
        const struct origin_group *group = &step->groups[i];
        const uint64_t row = add_row(telling, step);
        describe_group(group, text, sizeof text);
        table_set_text(table, row, COLUMN_FROM, strncmp(text, "from ", 5) == 0 ? text + 5 : text);
        table_set_text(table, row, COLUMN_END, ends[group->end]);
        snprintf(text, sizeof text, "%d-%u", __builtin_ctz(group->bytes), last_byte(group->bytes));
        table_set_text(table, row, COLUMN_BYTES, text);
    }
    for (unsigned i = 0; i < step->operand_count; i++) {
        const uint64_t row = add_row(telling, step);
        describe_place(&step->operands[i].first, step->operands[i].size, text, sizeof text);
        table_set_text(table, row, COLUMN_FROM, text);
        table_set_text(
            table, row, COLUMN_END, step->operands[i].is_address ? "address" : "operand");
        table_set_number(table, row, COLUMN_FOLLOW,
            remember_operand(telling->debugger, step, &step->operands[i]));
    }
}

static void on_step(void *context, const struct origin_step *step)
{
    struct telling *telling = context;
    struct debugger *debugger = telling->debugger;
    debugger_moved(debugger);
    telling->number++;
    if (telling->table) {
        add_rows(telling, step);
        return;
    }
    if (step->folded)
        print(debugger, "     (%u time%s pushed and popped again)\n", step->folded,
            step->folded == 1 ? "" : "s");
    print(debugger, "%3u ", telling->number);
    if (step->what != ORIGIN_START)
        print(debugger, "%8" PRIu64 ".%-9" PRIu64 " ", step->position.event, step->position.insn);
    if (step->what == ORIGIN_INSTRUCTION)
        print_instruction(debugger, step);
    else if (step->what == ORIGIN_DELIVERY)
        print(debugger, "an interrupt or exception is delivered");
    else
        print(debugger, step->what == ORIGIN_DEVICE ? "a device writes" : "the start of the run");
    print_groups(telling, step);
    print_operands(debugger, step);
    session_flush(debugger);
}

static void print_value(struct debugger *debugger, const struct origin_value *value)
{
    char place[64];
    describe_place(&value->bytes[0].place, value->count, place, sizeof place);
    print(debugger, "%u byte%s of %s:", value->count, value->count == 1 ? "" : "s", place);
    for (unsigned i = 0; i < value->count; i++) {
        const struct flow_place *at = &value->bytes[i].place;
        uint8_t byte = 0;
        if (at->in_memory)
            memory_read(debugger->view.memory, at->gpa, &byte, 1);
        else if (at->reg < GPR_COUNT)
            byte = (uint8_t)(debugger->view.state.gpr[at->reg] >> 8 * at->offset);
        else
            return print(debugger, "\n");
        print(debugger, " %02x", byte);
        if (value->count == 1 && isprint(byte))
            print(debugger, " '%c'", byte);
    }
    print(debugger, "\n");
}

/* ---- The command -------------------------------------------------------------------------------
 */

struct options {
    uint64_t limit;
    bool json;
};

static int take_options(
    struct debugger *debugger, const char **arguments, struct options *options, struct error *error)
{
    char word[32];
    *options = (struct options){.limit = DEFAULT_LIMIT};
    while (**arguments == '-' && isalpha((unsigned char)(*arguments)[1])) {
        next_word(arguments, word, sizeof word);
        if (strcmp(word, "-json") == 0)
            options->json = true;
        else if (strcmp(word, "-limit") != 0)
            return error_set(error, "origin: '%s' is no option: -limit N, -json", word);
        else if (!next_word(arguments, word, sizeof word) ||
                 session_number(debugger, word, &options->limit, error) < 0 ||
                 options->limit == 0 || options->limit > UINT32_MAX)
            return error_set(error, "origin: -limit needs a number of steps");
    }
    return 0;
}

static void print_result(struct telling *telling, enum origin_result result)
{
    struct debugger *debugger = telling->debugger;
    struct buffer text = {0};
    if (telling->table) {
        table_print_json(telling->table, &text);
        print_text(debugger, &text);
        buffer_free(&text);
    } else if (result == ORIGIN_LIMITED) {
        print(debugger, "Not at the end after %u steps: -limit allows more.\n", telling->number);
    } else if (result == ORIGIN_INTERRUPTED) {
        print(debugger, "Interrupted.\n");
    }
}

static int follow_value(struct debugger *debugger, const struct origin_value *value,
    const struct options *options, struct error *error)
{
    struct table table;
    struct telling telling = {.debugger = debugger,
        .table = options->json ? &table : NULL,
        .all = (1u << value->count) - 1};
    const struct origin_asked asked = {.step = on_step,
        .context = &telling,
        .limit = (unsigned)options->limit,
        .interrupted = &debugger->interrupted};
    enum origin_result result = ORIGIN_DONE;
    table_begin(&table, columns, COLUMNS);
    if (!options->json)
        print_value(debugger, value);
    int status = origin_follow(debugger->timeline, value, &asked, &result, error);
    if (status == 0 && table.failed)
        status = error_set(error, "out of memory");
    if (status == 0)
        print_result(&telling, result);
    table_free(&table);
    return status;
}

static int go_back(
    struct debugger *debugger, struct position position, uint64_t delivered, struct error *error)
{
    struct timeline_stop stop;
    int status = timeline_seek_delivered(debugger->timeline, position, delivered, &stop, error);
    debugger_moved(debugger);
    return status < 0 ? -1 : session_look(debugger, error);
}

COMMAND(origin)
{
    struct origin_value value;
    struct options options;
    struct error ignored;
    const struct position here = timeline_position(debugger->timeline);
    const uint64_t delivered = timeline_delivered(debugger->timeline);
    if (session_look(debugger, error) < 0 ||
        take_options(debugger, &arguments, &options, error) < 0)
        return -1;
    if (!*arguments)
        return error_set(
            error, "origin: give a variable, a register, *ADDRESS, phys:ADDRESS[,SIZE] or #N");
    if ((*arguments == '#' ? recall(debugger, arguments + 1, &value, error)
                           : understand(debugger, arguments, &value, error)) < 0)
        return -1;
    if (*arguments == '#' && go_back(debugger, value.position, value.delivered, error) < 0)
        return -1;
    int status = follow_value(debugger, &value, &options, error);
    if (go_back(debugger, here, delivered, status < 0 ? &ignored : error) < 0)
        return -1;
    return status;
}

const struct command origin_commands[] = {
    {"The run", "origin", "", command_origin,
        "[-limit N] [-json] VARIABLE|REGISTER|*ADDRESS|phys:ADDRESS[,SIZE]|#N",
        "Tells where a value came from: follows its bytes backward through registers, memory and "
        "devices, a line for each step, until instructions computed them or inputs brought them. "
        "#N follows what an answer named by that number; -json is for programs.",
        "origin free_list.head", COMPLETE_SYMBOL, false},
    {0},
};
