/* The x87's registers and the vector registers, laid out as gdb does it. Sources: SDM volume 1,
 * sections 8.1 (x87 state), 4.2.2 (encodings) and 10.2.3 (MXCSR). */
#include "debugger/info_float.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debugger/floats.h"
#include "debugger/session.h"

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };
enum { EXPONENT_MAX = 0x7fff };

struct extended {
    uint64_t mantissa;
    unsigned exponent;
    bool negative;
};

static struct extended read_extended(const uint8_t *bytes)
{
    struct extended number;
    uint16_t top;
    memcpy(&number.mantissa, bytes, sizeof number.mantissa);
    memcpy(&top, bytes + sizeof number.mantissa, sizeof top);
    number.exponent = top & EXPONENT_MAX;
    number.negative = top >> 15;
    return number;
}

/* The full tag, which the CPU makes of the contents: FXSAVE keeps only empty or not. */
static unsigned tag_of(const struct fpu_state *fpu, unsigned physical, struct extended number)
{
    bool normal = number.mantissa >> 63;
    if (!(fpu->tag >> physical & 1))
        return TAG_EMPTY;
    if (number.exponent == 0 && number.mantissa == 0)
        return TAG_ZERO;
    return normal && number.exponent != 0 && number.exponent != EXPONENT_MAX ? TAG_VALID
                                                                             : TAG_SPECIAL;
}

static void print_extended(struct debugger *debugger, struct extended number, const uint8_t *bytes)
{
    static const uint64_t integer = 1ull << 63, quiet = 1ull << 62;
    char sign = number.negative ? '-' : '+';
    if (number.exponent == EXPONENT_MAX && number.mantissa == integer) {
        print(debugger, " %cInf", sign);
    } else if (number.exponent == EXPONENT_MAX && number.mantissa & integer) {
        bool indefinite = number.negative && number.mantissa == (integer | quiet);
        print(debugger, "%s",
            indefinite                ? " Real Indefinite (QNaN)"
            : number.mantissa & quiet ? " QNaN"
                                      : " SNaN");
    } else if (number.exponent < EXPONENT_MAX && number.mantissa & integer) {
        long double value = 0;
        memcpy(&value, bytes, 10);
        print(debugger, " %-+27.19Lg", value);
    } else if (number.exponent == 0 && number.mantissa == 0) {
        print(debugger, " %c0", sign);
    } else {
        print(debugger, "%s", number.exponent == 0 ? " Denormal" : " Unsupported");
    }
}

struct flag {
    unsigned bit;
    const char *name;
};

static void print_flags(
    struct debugger *debugger, unsigned word, const struct flag *flags, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        print(debugger, " %s", word >> flags[i].bit & 1 ? flags[i].name : "  ");
}

static void print_status(struct debugger *debugger, unsigned status)
{
    static const struct flag exceptions[] = {
        {0, "IE"}, {1, "DE"}, {2, "ZE"}, {3, "OE"}, {4, "UE"}, {5, "PE"}};
    static const struct flag summary[] = {{7, "ES"}}, stack[] = {{6, "SF"}};
    static const struct flag conditions[] = {{8, "C0"}, {9, "C1"}, {10, "C2"}, {14, "C3"}};
    print(debugger, "Status Word:         0x%04x  ", status);
    print_flags(debugger, status, exceptions, 6);
    print(debugger, "  ");
    print_flags(debugger, status, summary, 1);
    print(debugger, "  ");
    print_flags(debugger, status, stack, 1);
    print(debugger, "  ");
    print_flags(debugger, status, conditions, 4);
    print(debugger, "\n                       TOP: %u\n", status >> 11 & 7);
}

static void print_control(struct debugger *debugger, unsigned control)
{
    static const struct flag masks[] = {
        {0, "IM"}, {1, "DM"}, {2, "ZM"}, {3, "OM"}, {4, "UM"}, {5, "PM"}};
    static const char *const precisions[] = {"Single Precision (24-bits)", "Reserved",
        "Double Precision (53-bits)", "Extended Precision (64-bits)"};
    static const char *const roundings[] = {
        "Round to nearest", "Round down", "Round up", "Round toward zero"};
    print(debugger, "Control Word:        0x%04x  ", control);
    print_flags(debugger, control, masks, 6);
    print(debugger, "\n                       PC: %s\n", precisions[control >> 8 & 3]);
    print(debugger, "                       RC: %s\n", roundings[control >> 10 & 3]);
}

int info_float(struct debugger *debugger, const char *arguments, struct error *error)
{
    static const char *const tags[] = {"Valid   ", "Zero    ", "Special ", "Empty   "};
    const struct fpu_state *fpu = &debugger->view.state.fpu;
    unsigned top = fpu->status >> 11 & 7, word = 0;
    (void)arguments;
    (void)error;
    for (unsigned i = 8; i-- > 0;) {
        const uint8_t *bytes = fpu->st[(i - top) & 7];
        struct extended number = read_extended(bytes);
        unsigned tag = tag_of(fpu, i, number);
        word |= tag << (2 * i);
        print(debugger, "%sR%u: %s0x", i == top ? "=>" : "  ", i, tags[tag]);
        for (unsigned j = 10; j-- > 0;)
            print(debugger, "%02x", bytes[j]);
        if (tag != TAG_EMPTY)
            print_extended(debugger, number, bytes);
        print(debugger, "\n");
    }
    print(debugger, "\n");
    print_status(debugger, fpu->status);
    print_control(debugger, fpu->control);
    print(debugger, "Tag Word:            0x%04x\n", word);
    print(debugger, "Instruction Pointer: 0x%02x:0x%08" PRIx64 "\n", fpu->code_selector,
        fpu->instruction);
    print(debugger, "Operand Pointer:     0x%02x:0x%08" PRIx64 "\n", fpu->data_selector, fpu->data);
    print(debugger, "Opcode:              0x%04x\n", fpu->opcode ? fpu->opcode | 0xd800u : 0);
    return 0;
}

/* "[ IM DM ZM OM UM PM ]" */
static void print_mxcsr(struct debugger *debugger, uint32_t mxcsr)
{
    static const struct flag flags[] = {{0, "IE"}, {1, "DE"}, {2, "ZE"}, {3, "OE"}, {4, "UE"},
        {5, "PE"}, {6, "DAZ"}, {7, "IM"}, {8, "DM"}, {9, "ZM"}, {10, "OM"}, {11, "UM"}, {12, "PM"},
        {15, "FZ"}};
    print(debugger, "%-14s 0x%-18" PRIx32 " [", "mxcsr", mxcsr);
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (mxcsr >> flags[i].bit & 1)
            print(debugger, " %s", flags[i].name);
    }
    print(debugger, " ]\n");
}

int info_vector(struct debugger *debugger, const char *arguments, struct error *error)
{
    (void)arguments;
    for (unsigned i = 0; i < 16; i++) {
        struct value value;
        struct buffer text = {0};
        char name[8];
        snprintf(name, sizeof name, "xmm%u", i);
        if (!floats_register(&debugger->view, name, &value) ||
            session_format(debugger, &value, 'x', &text, error) < 0) {
            buffer_free(&text);
            return -1;
        }
        print(debugger, "%-14s ", name);
        print_text(debugger, &text);
        print(debugger, "\n");
        buffer_free(&text);
    }
    print_mxcsr(debugger, debugger->view.state.fpu.mxcsr);
    return 0;
}
