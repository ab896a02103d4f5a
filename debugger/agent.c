/* Evaluates gdb's agent expressions. */
#include "debugger/agent.h"

#include "debugger/target_xml.h"

enum { STACK_SIZE = 100, MAX_STEPS = 10000 };

/* The manual's names and numbers; floating point and what is about tracepoints has no place here.
 */
enum operation {
    AGENT_ADD = 0x02,
    AGENT_SUB,
    AGENT_MUL,
    AGENT_DIV_SIGNED,
    AGENT_DIV_UNSIGNED,
    AGENT_REM_SIGNED,
    AGENT_REM_UNSIGNED,
    AGENT_LSH,
    AGENT_RSH_SIGNED,
    AGENT_RSH_UNSIGNED,
    AGENT_LOG_NOT = 0x0e,
    AGENT_BIT_AND,
    AGENT_BIT_OR,
    AGENT_BIT_XOR,
    AGENT_BIT_NOT,
    AGENT_EQUAL,
    AGENT_LESS_SIGNED,
    AGENT_LESS_UNSIGNED,
    AGENT_EXT,
    AGENT_REF8,
    AGENT_REF16,
    AGENT_REF32,
    AGENT_REF64,
    AGENT_IF_GOTO = 0x20,
    AGENT_GOTO,
    AGENT_CONST8,
    AGENT_CONST16,
    AGENT_CONST32,
    AGENT_CONST64,
    AGENT_REG,
    AGENT_END,
    AGENT_DUP,
    AGENT_POP,
    AGENT_ZERO_EXT,
    AGENT_SWAP,
    AGENT_PICK = 0x32,
    AGENT_ROT,
};

struct agent {
    const uint8_t *code;
    size_t size, at;
    const struct view *view;
    uint64_t stack[STACK_SIZE];
    unsigned depth;
    const char *failure; /* NULL: none so far */
};

static void fail(struct agent *agent, const char *why)
{
    if (!agent->failure)
        agent->failure = why;
}

static void push(struct agent *agent, uint64_t value)
{
    if (agent->depth == STACK_SIZE)
        fail(agent, "its stack overflows");
    else
        agent->stack[agent->depth++] = value;
}

static uint64_t pop(struct agent *agent)
{
    if (agent->depth == 0) {
        fail(agent, "its stack is empty");
        return 0;
    }
    return agent->stack[--agent->depth];
}

/* Operands in the code have their most significant byte first. */
static uint64_t operand(struct agent *agent, unsigned bytes)
{
    uint64_t value = 0;
    if (agent->size - agent->at < bytes) {
        fail(agent, "it is cut off");
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | agent->code[agent->at++];
    return value;
}

/* ---- Operations ---- */

static uint64_t divide(struct agent *agent, enum operation operation, uint64_t a, uint64_t b)
{
    if (b == 0) {
        fail(agent, "a division by zero");
        return 0;
    }
    const bool is_quotient = operation == AGENT_DIV_SIGNED || operation == AGENT_DIV_UNSIGNED;
    if (operation == AGENT_DIV_UNSIGNED || operation == AGENT_REM_UNSIGNED)
        return is_quotient ? a / b : a % b;
    /* The smallest number has no opposite: it wraps around. */
    if (b == UINT64_MAX)
        return is_quotient ? 0 - a : 0;
    return (uint64_t)(is_quotient ? (int64_t)a / (int64_t)b : (int64_t)a % (int64_t)b);
}

static uint64_t shift(enum operation operation, uint64_t a, uint64_t b)
{
    if (operation == AGENT_LSH)
        return b < 64 ? a << b : 0;
    if (operation == AGENT_RSH_UNSIGNED)
        return b < 64 ? a >> b : 0;
    return (uint64_t)((int64_t)a >> (b < 64 ? b : 63));
}

static uint64_t binary(struct agent *agent, enum operation operation, uint64_t a, uint64_t b)
{
    switch (operation) {
    case AGENT_ADD:
        return a + b;
    case AGENT_SUB:
        return a - b;
    case AGENT_MUL:
        return a * b;
    case AGENT_DIV_SIGNED:
    case AGENT_DIV_UNSIGNED:
    case AGENT_REM_SIGNED:
    case AGENT_REM_UNSIGNED:
        return divide(agent, operation, a, b);
    case AGENT_LSH:
    case AGENT_RSH_SIGNED:
    case AGENT_RSH_UNSIGNED:
        return shift(operation, a, b);
    case AGENT_BIT_AND:
        return a & b;
    case AGENT_BIT_OR:
        return a | b;
    case AGENT_BIT_XOR:
        return a ^ b;
    case AGENT_EQUAL:
        return a == b;
    case AGENT_LESS_SIGNED:
        return (int64_t)a < (int64_t)b;
    default:
        return a < b;
    }
}

static bool is_binary(enum operation operation)
{
    return (operation >= AGENT_ADD && operation <= AGENT_RSH_UNSIGNED) ||
           (operation >= AGENT_BIT_AND && operation <= AGENT_BIT_XOR) ||
           (operation >= AGENT_EQUAL && operation <= AGENT_LESS_UNSIGNED);
}

static void extend(struct agent *agent, bool is_signed)
{
    uint64_t bits = operand(agent, 1), value = pop(agent);
    if (bits == 0 || bits > 64)
        return fail(agent, "an extension of no or more than 64 bits");
    const unsigned up = 64 - (unsigned)bits;
    push(agent, is_signed ? (uint64_t)((int64_t)(value << up) >> up) : value << up >> up);
}

static void read_memory(struct agent *agent, unsigned bytes)
{
    uint64_t value = 0;
    if (!view_read_number(agent->view, pop(agent), bytes, &value))
        fail(agent, "memory that is not mapped");
    push(agent, value);
}

/* Of a register wider than 64 bits its low ones. */
static void read_register(struct agent *agent)
{
    struct buffer bytes = {0};
    uint64_t value = 0;
    if (!target_register(&agent->view->state, (unsigned)operand(agent, 2), &bytes) || bytes.failed)
        fail(agent, "a register that there is not");
    for (size_t i = 0; i < bytes.size && i < 8; i++)
        value |= (uint64_t)bytes.data[i] << (8 * i);
    buffer_free(&bytes);
    push(agent, value);
}

static void branch(struct agent *agent, bool is_conditional)
{
    uint64_t target = operand(agent, 2);
    if (is_conditional && pop(agent) == 0)
        return;
    if (target >= agent->size)
        return fail(agent, "a jump out of it");
    agent->at = target;
}

static void swap(struct agent *agent)
{
    uint64_t b = pop(agent), a = pop(agent);
    push(agent, b);
    push(agent, a);
}

/* The top becomes the third. */
static void rotate(struct agent *agent)
{
    uint64_t c = pop(agent), b = pop(agent), a = pop(agent);
    push(agent, c);
    push(agent, a);
    push(agent, b);
}

static void pick(struct agent *agent)
{
    uint64_t index = operand(agent, 1);
    if (index >= agent->depth)
        return fail(agent, "its stack is empty");
    push(agent, agent->stack[agent->depth - 1 - index]);
}

static void duplicate(struct agent *agent)
{
    uint64_t value = pop(agent);
    push(agent, value);
    push(agent, value);
}

static void execute(struct agent *agent, enum operation operation)
{
    uint64_t value;
    if (is_binary(operation)) {
        uint64_t b = pop(agent), a = pop(agent);
        return push(agent, binary(agent, operation, a, b));
    }
    switch (operation) {
    case AGENT_LOG_NOT:
        value = pop(agent);
        return push(agent, !value);
    case AGENT_BIT_NOT:
        value = pop(agent);
        return push(agent, ~value);
    case AGENT_EXT:
    case AGENT_ZERO_EXT:
        return extend(agent, operation == AGENT_EXT);
    case AGENT_REF8:
    case AGENT_REF16:
    case AGENT_REF32:
    case AGENT_REF64:
        return read_memory(agent, 1u << (operation - AGENT_REF8));
    case AGENT_IF_GOTO:
    case AGENT_GOTO:
        return branch(agent, operation == AGENT_IF_GOTO);
    case AGENT_CONST8:
    case AGENT_CONST16:
    case AGENT_CONST32:
    case AGENT_CONST64:
        return push(agent, operand(agent, 1u << (operation - AGENT_CONST8)));
    case AGENT_REG:
        return read_register(agent);
    case AGENT_DUP:
        return duplicate(agent);
    case AGENT_POP:
        pop(agent);
        return;
    case AGENT_SWAP:
        return swap(agent);
    case AGENT_PICK:
        return pick(agent);
    case AGENT_ROT:
        return rotate(agent);
    default:
        return fail(agent, "an operation that is not for conditions");
    }
}

int agent_evaluate(const uint8_t *code, size_t size, const struct view *view, uint64_t *result,
    struct error *error)
{
    struct agent agent = {.code = code, .size = size, .view = view};
    *result = 0;
    for (unsigned steps = 0; !agent.failure; steps++) {
        enum operation operation = (enum operation)operand(&agent, 1);
        if (steps == MAX_STEPS)
            fail(&agent, "it does not end");
        if (agent.failure || operation == AGENT_END)
            break;
        execute(&agent, operation);
    }
    if (!agent.failure)
        *result = pop(&agent);
    return agent.failure
               ? error_set(error, "an agent expression cannot be evaluated: %s", agent.failure)
               : 0;
}
