/* Writes test vectors. */
#include "tests/differential/vectors/vector.h"

#include <inttypes.h>
#include <string.h>

#include "tests/differential/generate.h"

/* Members of an object, which is opened when there is a first one. */
struct list {
    FILE *out;
    const char *name;
    bool open;
};

static void begin_item(struct list *list, const char *name)
{
    if (list->open)
        fprintf(list->out, ",\"%s\":", name);
    else
        fprintf(list->out, ",\"%s\":{\"%s\":", list->name, name);
    list->open = true;
}

static void end_list(const struct list *list)
{
    if (list->open)
        fputc('}', list->out);
}

static void put_number(struct list *list, const char *name, uint64_t value, uint64_t base)
{
    if (value == base)
        return;
    begin_item(list, name);
    fprintf(list->out, "\"%" PRIx64 "\"", value);
}

static void put_register(
    struct list *list, const char *name, unsigned number, const uint8_t *value, const uint8_t *base)
{
    char full[8];
    unsigned size = 16;
    if (!memcmp(value, base, size))
        return;
    snprintf(full, sizeof full, "%s%u", name, number);
    begin_item(list, full);
    while (size > 1 && !value[size - 1])
        size--;
    fputc('"', list->out);
    while (size-- > 0)
        fprintf(list->out, "%02x", value[size]);
    fputc('"', list->out);
}

static void put_gprs(FILE *out, const uint64_t *value, const uint64_t *base)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
        "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    struct list list = {out, "r", false};
    for (unsigned i = 0; i < GPR_COUNT; i++)
        put_number(&list, names[i], value[i], base[i]);
    end_list(&list);
}

static void put_fpu(FILE *out, const struct fpu_state *value, const struct fpu_state *base)
{
    struct list list = {out, "x", false};
    put_number(&list, "fcw", value->control, base->control);
    put_number(&list, "fsw", value->status, base->status);
    put_number(&list, "ftw", value->tag, base->tag);
    put_number(&list, "fop", value->opcode, base->opcode);
    put_number(&list, "fip", value->instruction, base->instruction);
    put_number(&list, "fdp", value->data, base->data);
    put_number(&list, "mxcsr", value->mxcsr, base->mxcsr);
    for (unsigned i = 0; i < 8; i++)
        put_register(&list, "st", i, value->st[i], base->st[i]);
    for (unsigned i = 0; i < 16; i++)
        put_register(&list, "xmm", i, value->xmm[i], base->xmm[i]);
    end_list(&list);
}

static uint64_t address_of(unsigned offset)
{
    if (offset < LOW_OFFSET)
        return DATA_BASE + offset;
    return offset < WRITABLE_SIZE ? LOW_BASE + offset - LOW_OFFSET
                                  : DATA_BASE + DATA_SIZE + offset - READ_ONLY_OFFSET;
}

/* Runs of pieces of `unit` bytes that differ from `base`. */
static void put_memory(
    FILE *out, const uint8_t *value, const uint8_t *base, unsigned size, unsigned unit)
{
    struct list list = {out, "mem", false};
    bool running = false;
    for (unsigned i = 0; i < size; i += unit) {
        bool differs = memcmp(value + i, base + i, unit);
        if (running && (!differs || i % PAGE == 0)) {
            fputc('"', out);
            running = false;
        }
        if (!differs)
            continue;
        if (!running) {
            char name[24];
            snprintf(name, sizeof name, "%" PRIx64, address_of(i));
            begin_item(&list, name);
            fputc('"', out);
            running = true;
        }
        for (unsigned j = 0; j < unit; j++)
            fprintf(out, "%02x", value[i + j]);
    }
    if (running)
        fputc('"', out);
    end_list(&list);
}

static void put_outcome(
    FILE *out, const char *name, const struct vector *vector, const struct outcome *outcome)
{
    const struct test_case *test = &vector->test;
    static uint8_t after[MEMORY_SIZE];
    if (outcome->vector == COMPLETED)
        fprintf(out, ",\"%s\":{\"v\":\"ok\"", name);
    else
        fprintf(out, ",\"%s\":{\"v\":%u", name, outcome->vector);
    if (outcome->vector != COMPLETED && outcome->error)
        fprintf(out, ",\"err\":\"%x\"", outcome->error);
    if (outcome->vector == 14)
        fprintf(out, ",\"cr2\":\"%" PRIx64 "\"", outcome->cr2);
    fprintf(out, ",\"rip\":\"%" PRIx64 "\",\"f\":\"%" PRIx64 "\"", outcome->rip, outcome->rflags);
    put_gprs(out, outcome->gpr, test->gpr);
    put_fpu(out, &outcome->fpu, &test->fpu);
    memcpy(after, vector->memory, MEMORY_SIZE);
    for (unsigned i = 0; i < outcome->line_count && i < LINES_KEPT; i++)
        memcpy(after + outcome->lines[i].line * LINE_BYTES, outcome->lines[i].bytes, LINE_BYTES);
    put_memory(out, after, vector->memory, WRITABLE_SIZE, 1);
    fputc('}', out);
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
    return a->vector == b->vector && a->rip == b->rip && a->rflags == b->rflags &&
           a->error == b->error && a->cr2 == b->cr2 && a->line_count == b->line_count &&
           a->line_digest == b->line_digest && !memcmp(a->gpr, b->gpr, sizeof a->gpr) &&
           !memcmp(&a->fpu, &b->fpu, sizeof a->fpu);
}

void vector_write(const struct vector *vector, FILE *out)
{
    static const uint64_t no_gpr[GPR_COUNT];
    static const uint8_t no_memory[MEMORY_SIZE];
    static const struct fpu_state no_fpu = {.control = 0x37f, .mxcsr = 0x1f80};
    const struct test_case *test = &vector->test;
    fprintf(out, "{\"id\":\"%s\",\"g\":\"%s\",\"m\":%u,\"c\":\"", vector->id,
        group_name(test->group), test->compatibility ? 32u : 64u);
    for (unsigned i = 0; i < test->code_size; i++)
        fprintf(out, "%02x", test->code[i]);
    fprintf(out, "\",\"d\":\"%s\"%s,\"rip\":\"%" PRIx64 "\",\"f\":\"%" PRIx64 "\"", vector->text,
        test->block ? ",\"run\":1" : "", test->rip, test->rflags);
    put_gprs(out, test->gpr, no_gpr);
    put_fpu(out, &test->fpu, &no_fpu);
    put_memory(out, vector->memory, no_memory, MEMORY_SIZE, 16);
    const struct outcome *amd = &vector->outcome[MAKER_AMD], *intel = &vector->outcome[MAKER_INTEL];
    if (vector->known[MAKER_AMD] && vector->known[MAKER_INTEL] && same_outcome(amd, intel)) {
        put_outcome(out, "o", vector, amd);
    } else {
        if (vector->known[MAKER_AMD])
            put_outcome(out, "amd", vector, amd);
        if (vector->known[MAKER_INTEL])
            put_outcome(out, "intel", vector, intel);
    }
    fputs("}\n", out);
}
