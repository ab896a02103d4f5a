/* Reads test vectors. */
#include "tests/differential/vectors/vector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/generate.h"

enum { NAME_MAX_SIZE = 24 };

struct scanner {
    struct vector *vector;
    const char *at;
    bool failed;
    uint8_t after[MAKERS][WRITABLE_SIZE]; /* memory, as each maker leaves it */
};

/* Where a value belongs: the case (both NULL), or the outcomes of one maker or of both. */
struct target {
    bool outcome, maker[MAKERS];
};

static void expect(struct scanner *scanner, char wanted)
{
    if (*scanner->at == wanted)
        scanner->at++;
    else
        scanner->failed = true;
}

/* A string without escapes; `to` may be NULL, and then its place is returned. */
static const char *take_string(struct scanner *scanner, char *to, size_t size)
{
    expect(scanner, '"');
    const char *start = scanner->at;
    size_t length = strcspn(start, "\"");
    if (!start[length])
        scanner->failed = true;
    if (to && length >= size)
        scanner->failed = true;
    if (to && !scanner->failed) {
        memcpy(to, start, length);
        to[length] = '\0';
    }
    scanner->at += length;
    expect(scanner, '"');
    return start;
}

static unsigned hex_digit(struct scanner *scanner, char digit)
{
    if (!isxdigit((unsigned char)digit)) {
        scanner->failed = true;
        return 0;
    }
    return isdigit((unsigned char)digit) ? (unsigned)(digit - '0')
                                         : (unsigned)(tolower(digit) - 'a') + 10;
}

/* The bytes of a string in hexadecimal, first byte first. */
static unsigned take_bytes(struct scanner *scanner, uint8_t *to, size_t limit)
{
    const char *text = take_string(scanner, NULL, 0);
    size_t digits = scanner->failed ? 0 : (size_t)(scanner->at - text - 1), size = digits / 2;
    if (digits % 2 || size > limit) {
        scanner->failed = true;
        return 0;
    }
    for (size_t i = 0; i < size; i++)
        to[i] =
            (uint8_t)(hex_digit(scanner, text[2 * i]) << 4 | hex_digit(scanner, text[2 * i + 1]));
    return (unsigned)size;
}

static uint64_t take_number(struct scanner *scanner)
{
    char text[NAME_MAX_SIZE], *end;
    take_string(scanner, text, sizeof text);
    if (scanner->failed)
        return 0;
    uint64_t value = strtoull(text, &end, 16);
    scanner->failed = !*text || *end;
    return value;
}

/* Most significant byte first; leading bytes of zero are absent. */
static void take_register(struct scanner *scanner, uint8_t to[16])
{
    uint8_t bytes[16] = {0};
    unsigned size = take_bytes(scanner, bytes, sizeof bytes);
    memset(to, 0, 16);
    for (unsigned i = 0; i < size; i++)
        to[i] = bytes[size - 1 - i];
}

static void take_fpu(struct scanner *scanner, const char *name, struct fpu_state *fpu)
{
    unsigned number = (unsigned)strtoul(name + strcspn(name, "0123456789"), NULL, 10);
    if (strncmp(name, "st", 2) == 0 && number < 8)
        take_register(scanner, fpu->st[number]);
    else if (strncmp(name, "xmm", 3) == 0 && number < 16)
        take_register(scanner, fpu->xmm[number]);
    else if (strcmp(name, "fcw") == 0)
        fpu->control = (uint16_t)take_number(scanner);
    else if (strcmp(name, "fsw") == 0)
        fpu->status = (uint16_t)take_number(scanner);
    else if (strcmp(name, "ftw") == 0)
        fpu->tag = (uint8_t)take_number(scanner);
    else if (strcmp(name, "fop") == 0)
        fpu->opcode = (uint16_t)take_number(scanner);
    else if (strcmp(name, "fip") == 0)
        fpu->instruction = take_number(scanner);
    else if (strcmp(name, "fdp") == 0)
        fpu->data = take_number(scanner);
    else if (strcmp(name, "mxcsr") == 0)
        fpu->mxcsr = (uint32_t)take_number(scanner);
    else
        scanner->failed = true;
}

static void take_gpr(struct scanner *scanner, const char *name, uint64_t *gpr)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
        "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    uint64_t value = take_number(scanner);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            gpr[i] = value;
            return;
        }
    }
    scanner->failed = true;
}

static void take_memory(struct scanner *scanner, const char *name, uint8_t *memory, size_t limit)
{
    uint64_t address = strtoull(name, NULL, 16), offset;
    if (address - DATA_BASE < DATA_SIZE)
        offset = address - DATA_BASE;
    else if (address - LOW_BASE < PAGE)
        offset = LOW_OFFSET + address - LOW_BASE;
    else
        offset = READ_ONLY_OFFSET + address - DATA_BASE - DATA_SIZE;
    if (offset >= limit)
        scanner->failed = true;
    else
        take_bytes(scanner, memory + offset, limit - offset);
}

/* One member of "r", "x" or "mem" for all its targets: each reads the same text. */
static void take_part(
    struct scanner *scanner, const struct target *target, const char *section, const char *name)
{
    struct vector *vector = scanner->vector;
    const char *start = scanner->at;
    for (unsigned i = 0; i < (target->outcome ? MAKERS : 1u); i++) {
        struct outcome *outcome = &vector->outcome[i];
        bool own = target->outcome;
        if (own && !target->maker[i])
            continue;
        scanner->at = start;
        if (*section == 'r')
            take_gpr(scanner, name, own ? outcome->gpr : vector->test.gpr);
        else if (*section == 'x')
            take_fpu(scanner, name, own ? &outcome->fpu : &vector->test.fpu);
        else
            take_memory(scanner, name, own ? scanner->after[i] : vector->memory,
                own ? WRITABLE_SIZE : MEMORY_SIZE);
    }
}

static void take_section(struct scanner *scanner, const struct target *target, const char *section)
{
    char name[NAME_MAX_SIZE];
    expect(scanner, '{');
    while (!scanner->failed) {
        take_string(scanner, name, sizeof name);
        expect(scanner, ':');
        if (!scanner->failed)
            take_part(scanner, target, section, name);
        if (*scanner->at != ',')
            break;
        scanner->at++;
    }
    expect(scanner, '}');
}

static uint16_t take_vector(struct scanner *scanner)
{
    if (strncmp(scanner->at, "\"ok\"", 4) == 0) {
        scanner->at += 4;
        return COMPLETED;
    }
    char *end;
    unsigned long vector = strtoul(scanner->at, &end, 10);
    scanner->failed |= end == scanner->at || vector > 31;
    scanner->at = end;
    return (uint16_t)vector;
}

static void take_outcome(struct scanner *scanner, const struct target *target)
{
    struct outcome plain = {.rflags = 0};
    char name[NAME_MAX_SIZE];
    expect(scanner, '{');
    while (!scanner->failed) {
        take_string(scanner, name, sizeof name);
        expect(scanner, ':');
        if (strcmp(name, "v") == 0)
            plain.vector = take_vector(scanner);
        else if (strcmp(name, "rip") == 0)
            plain.rip = take_number(scanner);
        else if (strcmp(name, "f") == 0)
            plain.rflags = take_number(scanner);
        else if (strcmp(name, "err") == 0)
            plain.error = (uint32_t)take_number(scanner);
        else if (strcmp(name, "cr2") == 0)
            plain.cr2 = take_number(scanner);
        else if (!strcmp(name, "r") || !strcmp(name, "x") || !strcmp(name, "mem"))
            take_section(scanner, target, name);
        else
            scanner->failed = true;
        if (*scanner->at != ',')
            break;
        scanner->at++;
    }
    expect(scanner, '}');
    for (unsigned i = 0; i < MAKERS; i++) {
        struct outcome *outcome = &scanner->vector->outcome[i];
        if (!target->maker[i])
            continue;
        outcome->vector = plain.vector;
        outcome->rip = plain.rip;
        outcome->rflags = plain.rflags;
        outcome->error = plain.error;
        outcome->cr2 = plain.cr2;
    }
}

/* Outcomes begin as the case, which stands before them. */
static void begin_outcome(struct scanner *scanner, const struct target *target)
{
    struct vector *vector = scanner->vector;
    const struct test_case *test = &vector->test;
    for (unsigned i = 0; i < MAKERS; i++) {
        struct outcome *outcome = &vector->outcome[i];
        if (!target->maker[i])
            continue;
        *outcome = (struct outcome){.fpu = test->fpu};
        memcpy(outcome->gpr, test->gpr, sizeof outcome->gpr);
        outcome->cs = test->compatibility ? SELECTOR_CODE32 : SELECTOR_CODE64;
        memcpy(scanner->after[i], vector->memory, WRITABLE_SIZE);
        vector->known[i] = true;
    }
}

static void take_member(struct scanner *scanner, const char *name)
{
    static const struct target none = {.outcome = false};
    struct vector *vector = scanner->vector;
    struct test_case *test = &vector->test;
    struct target makers = {true,
        {strcmp(name, "intel") != 0 && *name != 'r', strcmp(name, "amd") != 0 && *name != 'r'}};
    char text[16];
    if (strcmp(name, "id") == 0) {
        take_string(scanner, vector->id, sizeof vector->id);
    } else if (strcmp(name, "g") == 0) {
        take_string(scanner, text, sizeof text);
        test->group = (uint8_t)group_find(scanner->failed ? "" : text);
    } else if (strcmp(name, "m") == 0) {
        test->compatibility = strtoul(scanner->at, (char **)(uintptr_t)&scanner->at, 10) == 32;
    } else if (strcmp(name, "c") == 0) {
        test->code_size = (uint16_t)take_bytes(scanner, test->code, CODE_BYTES - 1);
        test->code[test->code_size] = FILLER;
    } else if (strcmp(name, "d") == 0) {
        take_string(scanner, vector->text, sizeof vector->text);
    } else if (strcmp(name, "run") == 0) {
        test->block = *scanner->at == '1';
        expect(scanner, '1');
    } else if (strcmp(name, "rip") == 0) {
        test->rip = take_number(scanner);
    } else if (strcmp(name, "f") == 0) {
        test->rflags = take_number(scanner);
    } else if (!strcmp(name, "r") || !strcmp(name, "x") || !strcmp(name, "mem")) {
        take_section(scanner, &none, name);
    } else if (!strcmp(name, "o") || !strcmp(name, "amd") || !strcmp(name, "intel")) {
        begin_outcome(scanner, &makers);
        take_outcome(scanner, &makers);
    } else {
        scanner->failed = true;
    }
}

bool vector_read(struct vector *vector, const char *line)
{
    static struct scanner scanner;
    char name[NAME_MAX_SIZE];
    scanner.vector = vector;
    scanner.at = line;
    scanner.failed = false;
    *vector = (struct vector){.test.fpu = {.control = 0x37f, .mxcsr = 0x1f80}};
    expect(&scanner, '{');
    while (!scanner.failed) {
        take_string(&scanner, name, sizeof name);
        expect(&scanner, ':');
        if (!scanner.failed)
            take_member(&scanner, name);
        if (*scanner.at != ',')
            break;
        scanner.at++;
    }
    expect(&scanner, '}');
    struct test_case *test = &vector->test;
    if (scanner.failed || test->rip - CODE_BASE >= CODE_SIZE)
        return false;
    test->code_offset = (uint16_t)(test->rip - CODE_BASE);
    test->insn_count = 1;
    /* Single cases were recorded under TF. */
    test->trap = !test->block;
    for (unsigned i = 0; i < MAKERS; i++) {
        if (vector->known[i])
            outcome_memory(&vector->outcome[i], scanner.after[i], vector->memory);
    }
    return true;
}
