/* The target description for gdb, and registers in its order. */
#include "debugger/target_xml.h"

#include <stddef.h>
#include <string.h>

enum special { PLAIN, TAG_WORD, ZERO };

struct gdb_register {
    const char *feature; /* starts a new one when not NULL */
    const char *name;
    const char *type;
    unsigned bits;
    size_t offset; /* in struct vcpu_state */
    unsigned size; /* bytes there; the rest is zero */
    enum special special;
};

#define STATE(field) offsetof(struct vcpu_state, field)
#define GPR(name, number)                                            \
    {                                                                \
        NULL, name, "int64", 64, STATE(gpr) + 8 * (number), 8, PLAIN \
    }
#define SELECTOR(name, number)                                   \
    {                                                            \
        NULL, name, "int32", 32,                                 \
            STATE(segment) + sizeof(struct segment) * (number) + \
                offsetof(struct segment, selector),              \
            2, PLAIN                                             \
    }
#define BASE(feature, name, number)                                                              \
    {                                                                                            \
        feature, name, "int", 64,                                                                \
            STATE(segment) + sizeof(struct segment) * (number) + offsetof(struct segment, base), \
            8, PLAIN                                                                             \
    }
#define ST(number)                                                                   \
    {                                                                                \
        NULL, "st" #number, "i387_ext", 80, STATE(fpu.st) + 16 * (number), 10, PLAIN \
    }
#define XMM(number)                                                                   \
    {                                                                                 \
        NULL, "xmm" #number, "vec128", 128, STATE(fpu.xmm) + 16 * (number), 16, PLAIN \
    }
#define SYSTEM(name, field)                           \
    {                                                 \
        NULL, name, "int", 64, STATE(field), 8, PLAIN \
    }

static const struct gdb_register registers[] = {
    {"org.gnu.gdb.i386.core", "rax", "int64", 64, STATE(gpr) + 8 * RAX, 8, PLAIN},
    GPR("rbx", RBX),
    GPR("rcx", RCX),
    GPR("rdx", RDX),
    GPR("rsi", RSI),
    GPR("rdi", RDI),
    {NULL, "rbp", "data_ptr", 64, STATE(gpr) + 8 * RBP, 8, PLAIN},
    {NULL, "rsp", "data_ptr", 64, STATE(gpr) + 8 * RSP, 8, PLAIN},
    GPR("r8", R8),
    GPR("r9", R9),
    GPR("r10", R10),
    GPR("r11", R11),
    GPR("r12", R12),
    GPR("r13", R13),
    GPR("r14", R14),
    GPR("r15", R15),
    {NULL, "rip", "code_ptr", 64, STATE(rip), 8, PLAIN},
    {NULL, "eflags", "i386_eflags", 32, STATE(rflags), 4, PLAIN},
    SELECTOR("cs", SEG_CS),
    SELECTOR("ss", SEG_SS),
    SELECTOR("ds", SEG_DS),
    SELECTOR("es", SEG_ES),
    SELECTOR("fs", SEG_FS),
    SELECTOR("gs", SEG_GS),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    {NULL, "fctrl", "int", 32, STATE(fpu.control), 2, PLAIN},
    {NULL, "fstat", "int", 32, STATE(fpu.status), 2, PLAIN},
    {NULL, "ftag", "int", 32, 0, 0, TAG_WORD},
    {NULL, "fiseg", "int", 32, 0, 0, ZERO},
    {NULL, "fioff", "int", 32, STATE(fpu.instruction), 4, PLAIN},
    {NULL, "foseg", "int", 32, 0, 0, ZERO},
    {NULL, "fooff", "int", 32, STATE(fpu.data), 4, PLAIN},
    {NULL, "fop", "int", 32, STATE(fpu.opcode), 2, PLAIN},
    {"org.gnu.gdb.i386.sse", "xmm0", "vec128", 128, STATE(fpu.xmm), 16, PLAIN},
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    {NULL, "mxcsr", "i386_mxcsr", 32, STATE(fpu.mxcsr), 4, PLAIN},
    BASE("org.gnu.gdb.i386.segments", "fs_base", SEG_FS),
    BASE(NULL, "gs_base", SEG_GS),
    {"org.hindsight.system", "k_gs_base", "int", 64, STATE(kernel_gs_base), 8, PLAIN},
    SYSTEM("cr0", cr0),
    SYSTEM("cr2", cr2),
    SYSTEM("cr3", cr3),
    SYSTEM("cr4", cr4),
    SYSTEM("cr8", cr8),
    SYSTEM("efer", efer),
};

enum { REGISTERS = sizeof registers / sizeof registers[0] };

struct flag {
    const char *name;
    unsigned bit;
};

static void put_flags(struct buffer *out, const char *id, const struct flag *flags, size_t count)
{
    buffer_printf(out, "<flags id=\"%s\" size=\"4\">", id);
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name,
            flags[i].bit, flags[i].bit);
    buffer_printf(out, "</flags>");
}

static void put_core_types(struct buffer *out)
{
    static const struct flag eflags[] = {{"CF", 0}, {"PF", 2}, {"AF", 4}, {"ZF", 6}, {"SF", 7},
        {"TF", 8}, {"IF", 9}, {"DF", 10}, {"OF", 11}, {"NT", 14}, {"RF", 16}, {"VM", 17},
        {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
    put_flags(out, "i386_eflags", eflags, sizeof eflags / sizeof eflags[0]);
}

static void put_sse_types(struct buffer *out)
{
    static const struct {
        const char *id, *element, *field;
        unsigned count;
    } vectors[] = {{"v4f", "ieee_single", "v4_float", 4}, {"v2d", "ieee_double", "v2_double", 2},
        {"v16i8", "int8", "v16_int8", 16}, {"v8i16", "int16", "v8_int16", 8},
        {"v4i32", "int32", "v4_int32", 4}, {"v2i64", "int64", "v2_int64", 2}};
    static const struct flag mxcsr[] = {{"IE", 0}, {"DE", 1}, {"ZE", 2}, {"OE", 3}, {"UE", 4},
        {"PE", 5}, {"DAZ", 6}, {"IM", 7}, {"DM", 8}, {"ZM", 9}, {"OM", 10}, {"UM", 11}, {"PM", 12},
        {"FZ", 15}};
    enum { VECTORS = sizeof vectors / sizeof vectors[0] };
    for (size_t i = 0; i < VECTORS; i++)
        buffer_printf(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>", vectors[i].id,
            vectors[i].element, vectors[i].count);
    buffer_printf(out, "<union id=\"vec128\">");
    for (size_t i = 0; i < VECTORS; i++)
        buffer_printf(out, "<field name=\"%s\" type=\"%s\"/>", vectors[i].field, vectors[i].id);
    buffer_printf(out, "<field name=\"uint128\" type=\"uint128\"/></union>");
    put_flags(out, "i386_mxcsr", mxcsr, sizeof mxcsr / sizeof mxcsr[0]);
}

void target_xml(struct buffer *out)
{
    buffer_printf(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
                       "<target version=\"1.0\"><architecture>i386:x86-64</architecture>");
    for (unsigned i = 0; i < REGISTERS; i++) {
        const struct gdb_register *reg = &registers[i];
        if (reg->feature) {
            buffer_printf(out, "%s<feature name=\"%s\">", i ? "</feature>" : "", reg->feature);
            if (i == 0)
                put_core_types(out);
            else if (strcmp(reg->name, "xmm0") == 0)
                put_sse_types(out);
        }
        buffer_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", reg->name,
            reg->bits, reg->type, i);
    }
    buffer_printf(out, "</feature></target>");
}

/* The 16-bit tag word from the abridged one: 0 valid, 1 zero, 2 special, 3 empty. */
static uint16_t tag_word(const struct fpu_state *fpu)
{
    unsigned top = fpu->status >> 11 & 7;
    uint16_t word = 0;
    for (unsigned physical = 0; physical < 8; physical++) {
        const uint8_t *bytes = fpu->st[(physical - top) & 7];
        uint64_t significand;
        uint16_t exponent;
        memcpy(&significand, bytes, sizeof significand);
        memcpy(&exponent, bytes + 8, sizeof exponent);
        exponent &= 0x7fff;
        unsigned tag = 3;
        if (fpu->tag >> physical & 1)
            tag = exponent == 0 && significand == 0                     ? 1
                  : exponent && exponent != 0x7fff && significand >> 63 ? 0
                                                                        : 2;
        word = (uint16_t)(word | tag << (2 * physical));
    }
    return word;
}

bool target_register(const struct vcpu_state *state, unsigned number, struct buffer *out)
{
    uint8_t bytes[16] = {0};
    if (number >= REGISTERS)
        return false;
    const struct gdb_register *reg = &registers[number];
    if (reg->special == TAG_WORD) {
        uint16_t word = tag_word(&state->fpu);
        memcpy(bytes, &word, sizeof word);
    } else {
        memcpy(bytes, (const uint8_t *)state + reg->offset, reg->size);
    }
    buffer_put(out, bytes, reg->bits / 8);
    return true;
}
