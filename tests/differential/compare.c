/* Compares and prints what both sides made of a case. */
#include "tests/differential/compare.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <string.h>

#include "tests/differential/generate.h"
#include "tests/differential/scan.h"

#define USER_END 0x7ffffffff000ull

void compare_print_exclusions(void)
{
    static const char *const lines[] = {"AMD: FOP, FIP, FDP, also where FXSAVE, FNSAVE, FNSTENV "
                                        "store them: lost at a switch of tasks; "
                                        "see golden vectors, test_x87_pointers",
        "AMD: MXCSR_MASK, also where FXSAVE stores it; bytes 464-511 of its image: not written; "
        "see "
        "test_x87_pointers",
        "AMD: results with MXCSR bit 17 (MM, misaligned SSE): an extension hs64-v1 lacks; nothing "
        "looks at it",
        "both: which byte of the operand CR2 names for FXSAVE, FXRSTOR and x87 environments; "
        "golden "
        "vectors: it is within the image",
        "AMD: x87 operands of 10 bytes and more and masked stores across the end of the address "
        "space: "
        "accessed in parts, #PF of one or #GP of another; nothing looks at them",
        "AMD: memory after a PUSHA, registers after a POPA that faults: a part is done; nothing "
        "looks at "
        "them",
        "AMD: FS or GS with a non-canonical offset whose sum with the base is canonical: #GP; see "
        "the "
        "golden vectors canonical of Intel",
        "AMD: which operand's fault CMPS raises when neither can be read: it depends on the model; "
        "see "
        "the golden vectors repeat of Zen 4",
        "both: FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: the next number and C1; "
        "see "
        "test_transcendental",
        "both: RFLAGS.TF, and RF after an instruction that completes: by the single step; see "
        "test_system, test_landing",
        "both: the present bit of a page fault's error above the user half: Linux always sets it; "
        "see "
        "cpu_paging"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        printf("  %s\n", lines[i]);
}

static const char *vector_name(unsigned vector, char text[16])
{
    static const char *const vectors[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
        "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF", "#AC", "#MC", "#XM"};
    if (vector < sizeof vectors / sizeof *vectors)
        return vectors[vector];
    snprintf(text, 16, "vector %u", vector);
    return vector == COMPLETED ? "completed"
           : vector == HUNG    ? "hung"
           : vector == FAILED  ? "failed"
                               : text;
}

static bool differ(FILE *out, const char *name, uint64_t native, uint64_t soft)
{
    if (native == soft)
        return false;
    if (out)
        fprintf(out, "    %-8s native %016" PRIx64 "  soft %016" PRIx64 "\n", name, native, soft);
    return true;
}

static bool differ_flags(FILE *out, uint64_t native, uint64_t soft, uint64_t mask)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } bits[] = {{FLAG_CF, "CF"}, {FLAG_PF, "PF"}, {FLAG_AF, "AF"}, {FLAG_ZF, "ZF"}, {FLAG_SF, "SF"},
        {FLAG_DF, "DF"}, {FLAG_OF, "OF"}, {FLAG_NT, "NT"}, {FLAG_RF, "RF"}, {FLAG_AC, "AC"},
        {FLAG_ID, "ID"}, {FLAG_IF, "IF"}, {FLAG_TF, "TF"}};
    if (!differ(out, "rflags", native & mask, soft & mask))
        return false;
    if (out) {
        fprintf(out, "             ");
        for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
            if ((native ^ soft) & mask & bits[i].bit)
                fprintf(out, "%s %d/%d  ", bits[i].name, !!(native & bits[i].bit),
                    !!(soft & bits[i].bit));
        }
        fprintf(out, "\n");
    }
    return true;
}

static bool differ_bytes(
    FILE *out, const char *name, const uint8_t *native, const uint8_t *soft, size_t size)
{
    if (!memcmp(native, soft, size))
        return false;
    if (!out)
        return true;
    fprintf(out, "    %-8s native ", name);
    for (size_t i = size; i-- > 0;)
        fprintf(out, "%02x", native[i]);
    fprintf(out, "  soft ");
    for (size_t i = size; i-- > 0;)
        fprintf(out, "%02x", soft[i]);
    fprintf(out, "\n");
    return true;
}

static bool is_transcendental(const struct test_case *test)
{
    struct scan s;
    scan(&s, test->code, test->code_size, test->compatibility);
    return !test->block && scan_is_transcendental(&s);
}

/* Where a number of the x87 stands among all: neighbours differ by 1. */
static uint64_t place(const uint8_t *value)
{
    uint64_t significand;
    uint16_t exponent;
    memcpy(&significand, value, 8);
    memcpy(&exponent, value + 8, 2);
    uint64_t magnitude = (uint64_t)(exponent & 0x7fff) << 63;
    magnitude += significand & (UINT64_MAX >> 1);
    return exponent & 0x8000 ? -magnitude : magnitude;
}

/*
 * The software CPU rounds the transcendental functions correctly, which processors do for most
 * operands: a result may be the number beside the host's, C1 the other way round, and a result at
 * the edge of the denormals raises no underflow on Intel's processors.
 */
static void excuse_rounding(
    struct fpu_state *native, const struct fpu_state *soft, unsigned results)
{
    uint16_t excused = 0x0200;
    for (unsigned i = 0; i < results; i++) {
        if (place(native->st[i]) - place(soft->st[i]) + 1 <= 2)
            memcpy(native->st[i], soft->st[i], 10);
        if ((soft->st[i][9] & 0x7f) == 0 && soft->st[i][8] <= 1)
            excused |= 0x0010;
    }
    native->status = (uint16_t)((native->status & ~excused) | (soft->status & excused));
}

static bool differ_fpu(FILE *out, const struct fpu_state *native, const struct fpu_state *soft)
{
    if (!memcmp(native, soft, sizeof *native))
        return false;
    bool any = differ(out, "fcw", native->control, soft->control);
    any |= differ(out, "fsw", native->status, soft->status);
    any |= differ(out, "ftw", native->tag, soft->tag);
    any |= differ(out, "mxcsr", native->mxcsr, soft->mxcsr);
    char name[8];
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "st%d", i);
        any |= differ_bytes(out, name, native->st[i], soft->st[i], 10);
    }
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "xmm%d", i);
        any |= differ_bytes(out, name, native->xmm[i], soft->xmm[i], 16);
    }
    return any;
}

/* `size` bytes of the writable memory; NULL where they are not all of it. */
static uint8_t *writable_at(
    const struct test_case *test, uint64_t address, unsigned size, uint8_t *memory)
{
    if (test->compatibility)
        address &= 0xffffffff;
    if (address - DATA_BASE <= DATA_SIZE - size)
        return memory + (address - DATA_BASE);
    return address - LOW_BASE <= PAGE - size ? memory + LOW_OFFSET + (address - LOW_BASE) : NULL;
}

/* A rounded result that a later instruction stored: its neighbour is as good, and so is C1. */
static void excuse_stored(const struct test_case *test, uint64_t status, uint64_t registers,
    unsigned stride, uint8_t *native, uint8_t *soft)
{
    uint8_t *left = writable_at(test, status, 2, native);
    uint8_t *right = writable_at(test, status, 2, soft);
    if (left)
        left[1] = (uint8_t)((left[1] & ~0x02) | (right[1] & 0x02));
    for (unsigned i = 0; stride && i < 8; i++) {
        left = writable_at(test, registers + i * stride, 10, native);
        right = writable_at(test, registers + i * stride, 10, soft);
        if (left && place(left) - place(right) + 1 <= 2)
            memcpy(left, right, 10);
    }
}

/* What FXSAVE, FNSTENV or FNSAVE stored, where it is not for comparison. */
static void excuse_image(const struct test_case *test, const struct scan *s, uint64_t address,
    bool rounded, uint8_t *native, uint8_t *soft)
{
    if (s->map == SCAN_0F) { /* MXCSR_MASK is the model's, not the host's */
        uint8_t *left = writable_at(test, address + 28, 4, native);
        uint8_t *right = writable_at(test, address + 28, 4, soft);
        if (left)
            memcpy(left, right, 4);
        if (rounded)
            excuse_stored(test, address + 2, address + 32, 16, native, soft);
    } else if (rounded) {
        unsigned word = s->operand16 ? 2 : 4;
        excuse_stored(
            test, address + word, address + 7 * word, s->opcode == 0xdd ? 10 : 0, native, soft);
    }
}

/*
 * A block of x87 instructions and what stores their state, as the golden vectors have them: it
 * leaves the registers of its addresses alone. Says whether a function that rounds was among them.
 * `native` and `soft`: memory after it, or NULL.
 */
static bool excuse_x87_block(const struct test_case *test, uint8_t *native, uint8_t *soft)
{
    bool rounded = false;
    for (unsigned at = 0; at < test->code_size;) {
        struct scan s;
        uint64_t address = 0;
        scan(&s, test->code + at, test->code_size - at, test->compatibility);
        unsigned reg = s.modrm >> 3 & 7;
        bool fxsave = s.map == SCAN_0F && s.opcode == 0xae && reg < 2;
        bool x87 = s.map == SCAN_PRIMARY && ((s.opcode & 0xf8) == 0xd8 || s.opcode == 0x9b);
        if (!s.length || (!fxsave && !x87))
            break;
        rounded |= scan_is_transcendental(&s);
        bool stores = fxsave ? reg == 0 : reg == 6 && (s.opcode == 0xd9 || s.opcode == 0xdd);
        if (native && stores && aim_address(test, &s, test->rip + at, &address))
            excuse_image(test, &s, address, rounded, native, soft);
        at += s.length;
    }
    return rounded;
}

/* Bytes of the memory operand that hold FOP, FIP, FDP or are not written by the instruction. */
static void blank_pointers(const struct test_case *test, uint8_t *memory)
{
    struct scan s;
    scan(&s, test->code, test->code_size, test->compatibility);
    uint64_t address;
    if (test->block || !aim_address(test, &s, test->rip, &address))
        return;
    unsigned reg = s.modrm >> 3 & 7;
    bool fxsave = s.map == SCAN_0F && s.opcode == 0xae && reg == 0;
    bool environment = s.map == SCAN_PRIMARY && reg == 6 && (s.opcode == 0xd9 || s.opcode == 0xdd);
    for (unsigned i = 0; i < 512; i++) {
        bool blank = false;
        if (fxsave)
            blank = (i >= 5 && i < 24) || (i >= 28 && i < 32) || i >= 464;
        else if (environment)
            blank = s.operand16 ? i >= 6 && i < 14 : i >= 12 && i < 28;
        uint64_t at = address + i;
        if (test->compatibility)
            at &= 0xffffffff;
        if (!blank)
            continue;
        if (at - DATA_BASE < DATA_SIZE)
            memory[at - DATA_BASE] = 0;
        else if (at - LOW_BASE < PAGE)
            memory[LOW_OFFSET + at - LOW_BASE] = 0;
    }
}

static void apply_lines(uint8_t *memory, const uint8_t *initial, const struct outcome *outcome)
{
    memcpy(memory, initial, WRITABLE_SIZE);
    for (unsigned i = 0; i < outcome->line_count && i < LINES_KEPT; i++)
        memcpy(memory + outcome->lines[i].line * LINE_BYTES, outcome->lines[i].bytes, LINE_BYTES);
}

static uint64_t linear_of(unsigned offset)
{
    return offset < LOW_OFFSET ? DATA_BASE + offset : LOW_BASE + offset - LOW_OFFSET;
}

static bool differ_memory(FILE *out, const struct test_case *test, const uint8_t *initial,
    const struct outcome *native, const struct outcome *soft)
{
    if (native->line_count == soft->line_count && native->line_digest == soft->line_digest)
        return false;
    uint8_t left[WRITABLE_SIZE], right[WRITABLE_SIZE];
    apply_lines(left, initial, native);
    apply_lines(right, initial, soft);
    blank_pointers(test, left);
    blank_pointers(test, right);
    if (test->block)
        excuse_x87_block(test, left, right);
    unsigned shown = 0;
    for (unsigned i = 0; i < WRITABLE_SIZE; i += 8) {
        if (!memcmp(left + i, right + i, 8))
            continue;
        char name[24];
        snprintf(name, sizeof name, "%08" PRIx64, linear_of(i));
        if (shown++ < 16)
            differ_bytes(out, name, left + i, right + i, 8);
    }
    if (!shown && (native->line_count > LINES_KEPT || soft->line_count > LINES_KEPT)) {
        if (out)
            fprintf(
                out, "    memory   %u lines and %u lines\n", native->line_count, soft->line_count);
        return true;
    }
    return shown;
}

/* What the instruction at `rip` is, where `rip` is the start of one. */
static bool scan_at(const struct test_case *test, uint64_t rip, struct scan *s)
{
    for (unsigned i = 0; i < test->insn_count; i++) {
        if (test->rip + test->insn_start[i] == rip) {
            scan(s, test->code + test->insn_start[i], 15, test->compatibility);
            return true;
        }
    }
    return false;
}

/* What about the fault of the native side is not compared, by the instruction it was raised in. */
struct lenience {
    bool cr2, memory, registers, fault, all;
};

/* Does [address, address + size) leave the address space at its end? */
static bool straddles(const struct test_case *test, uint64_t address, uint64_t size)
{
    uint64_t end = test->compatibility ? 1ull << 32 : 1ull << 47;
    return address < end && address + size > end;
}

static bool is_of_access(unsigned vector)
{
    enum { SS = 12, GP, PF, AC = 17 };
    return vector == SS || vector == GP || vector == PF || vector == AC;
}

/* Did the two sides fault in accesses to different places? One place has one kind of fault. */
static bool are_of_two_accesses(const struct outcome *native, const struct outcome *soft)
{
    if (!is_of_access(native->vector) || !is_of_access(soft->vector))
        return false;
    return native->vector != soft->vector || native->cr2 != soft->cr2;
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Is the offset in FS or GS not canonical, but its sum with the base? */
static bool offset_is_wild(const struct test_case *test, const struct scan *s)
{
    uint64_t address, base = aim_segment_base(test, s);
    return !test->compatibility && base && aim_address(test, s, test->rip, &address) &&
           canonical(address) && !canonical(address - base);
}

static struct lenience find_lenience(
    const struct test_case *test, const struct outcome *native, const struct outcome *soft)
{
    struct lenience lenience = {0};
    struct scan s;
    uint64_t address = 0;
    if (native->vector >= COMPLETED || !scan_at(test, native->rip, &s))
        return lenience;
    unsigned reg = s.modrm >> 3 & 7;
    bool primary = s.map == SCAN_PRIMARY;
    lenience.memory = test->compatibility && primary && s.opcode == 0x60;
    lenience.registers = test->compatibility && primary && s.opcode == 0x61;
    bool environment = primary && (s.opcode == 0xd9 || s.opcode == 0xdd) &&
                       (reg == 4 || reg == 6) && aim_address(test, &s, test->rip, &address);
    lenience.cr2 = environment || (s.map == SCAN_0F && s.opcode == 0xae && reg < 2);
    if (primary && (s.opcode & 0xf8) == 0xd8 && aim_address(test, &s, test->rip, &address))
        lenience.all = straddles(test, address, environment ? 108 : 10);
    /* Which operand CMPS reads first differs between generations; it matters if neither is there.
     */
    lenience.fault = primary && (s.opcode & 0xfe) == 0xa6 && are_of_two_accesses(native, soft);
    /* The sum with the base is canonical, but in the other half. */
    bool other_half = soft->vector == 14 && soft->cr2 >> 63;
    lenience.all |= aim_segment_base(test, &s) && native->vector == 13 &&
                    (other_half || (soft->vector == 17 && offset_is_wild(test, &s)));
    if (s.map == SCAN_0F && s.opcode == 0xf7 && !test->block)
        lenience.all |= straddles(test, test->gpr[RDI] + aim_segment_base(test, &s), 16);
    return lenience;
}

enum verdict compare(const struct test_case *test, const uint8_t *initial,
    const struct outcome *native, const struct outcome *soft, FILE *out)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
        "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    if (native->fpu.mxcsr & 1u << 17)
        return LEFT_OUT;
    const struct lenience lenience = find_lenience(test, native, soft);
    if (lenience.all || (native->vector == HUNG && soft->vector == FAILED))
        return LEFT_OUT; /* the latter: a loop without end */
    bool any = !lenience.fault && (native->vector != soft->vector || native->vector >= HUNG);
    if (any && out) {
        char text[2][16];
        fprintf(out, "    outcome  native %s  soft %s\n", vector_name(native->vector, text[0]),
            vector_name(soft->vector, text[1]));
    }
    for (int i = 0; i < GPR_COUNT; i++) {
        if (!lenience.registers || i == RSP)
            any |= differ(out, names[i], native->gpr[i], soft->gpr[i]);
    }
    any |= differ(out, "rip", native->rip, soft->rip);
    any |= differ(out, "cs", native->cs, soft->cs);
    uint64_t flags_mask = ~FLAG_TF;
    if (native->vector == COMPLETED || native->vector == 1)
        flags_mask &= ~FLAG_RF;
    any |= differ_flags(out, native->rflags, soft->rflags, flags_mask);
    if (lenience.fault) {
        /* the same instruction, at least */
    } else if (native->vector == 14) {
        bool near = lenience.cr2 && native->cr2 - soft->cr2 < 512;
        any |= !near && differ(out, "cr2", native->cr2, soft->cr2);
        uint32_t mask = native->cr2 >= USER_END ? ~1u : ~0u;
        any |= differ(out, "error", native->error & mask, soft->error & mask);
    } else {
        any |= differ(out, "error", native->error, soft->error);
    }
    struct fpu_state fpu = native->fpu;
    if (is_transcendental(test))
        excuse_rounding(&fpu, &soft->fpu, 2);
    else if (test->block && excuse_x87_block(test, NULL, NULL))
        excuse_rounding(&fpu, &soft->fpu, 8); /* wherever the stack has them by then */
    any |= differ_fpu(out, &fpu, &soft->fpu);
    any |= !lenience.memory && differ_memory(out, test, initial, native, soft);
    return any ? DIFFERENT : SAME;
}

static void disassemble(const struct test_case *test, FILE *out)
{
    csh handle;
    if (cs_open(CS_ARCH_X86, test->compatibility ? CS_MODE_32 : CS_MODE_64, &handle))
        return;
    for (unsigned i = 0; i < test->insn_count; i++) {
        unsigned start = test->insn_start[i];
        unsigned end = i + 1u < test->insn_count ? test->insn_start[i + 1] : test->code_size;
        fprintf(out, "    %08" PRIx64 " ", test->rip + start);
        for (unsigned j = start; j < end; j++)
            fprintf(out, " %02x", test->code[j]);
        cs_insn *insn;
        size_t count =
            cs_disasm(handle, test->code + start, end - start, test->rip + start, 1, &insn);
        fprintf(out, "   %s %s\n", count ? insn->mnemonic : "(unknown)", count ? insn->op_str : "");
        if (count)
            cs_free(insn, count);
    }
    cs_close(&handle);
}

void compare_describe(const struct test_case *test, FILE *out)
{
    static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
        "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    fprintf(out, "  group %s%s%s\n", group_name(test->group),
        test->compatibility ? ", compatibility mode" : "", test->trap ? ", TF=1" : "");
    disassemble(test, out);
    for (int i = 0; i < GPR_COUNT; i++)
        fprintf(out, "%s%-4s%016" PRIx64 "%s", i % 4 ? "  " : "    ", names[i], test->gpr[i],
            i % 4 == 3 ? "\n" : "");
    fprintf(out, "    rflags %06" PRIx64 "  fcw %04x  fsw %04x  ftw %02x  mxcsr %04x\n",
        test->rflags, test->fpu.control, test->fpu.status, test->fpu.tag, test->fpu.mxcsr);
}
