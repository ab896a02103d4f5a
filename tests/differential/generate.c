/* Makes cases from a seed and an index. */
#include "tests/differential/generate.h"

#include <string.h>

static const char *const names[GROUP_COUNT] = {"alu", "mov", "stack", "string", "shift", "muldiv",
    "bit", "branch", "flags", "bcd", "atomic", "system", "x87", "sse", "sse38", "sse3a", "fxstate",
    "undefined", "bytes", "block", "fixed"};

/* How often each is taken when all are. */
static const uint8_t weights[GROUP_COUNT] = {
    10, 7, 6, 6, 7, 6, 6, 6, 4, 2, 5, 2, 14, 18, 8, 6, 3, 1, 5, 16, 0};

const char *group_name(unsigned group)
{
    return names[group];
}

unsigned group_find(const char *name)
{
    unsigned group = 0;
    while (group < GROUP_COUNT && strcmp(name, names[group]))
        group++;
    return group;
}

static enum group classify_primary(uint8_t opcode, bool compatibility)
{
    if (scan_form(SCAN_PRIMARY, opcode, compatibility) == 'u')
        return GROUP_UNDEFINED;
    switch (opcode) {
    case 0x06:
    case 0x0e:
    case 0x16:
    case 0x1e:
    case 0x8f:
    case 0xc8:
    case 0xc9:
        return GROUP_STACK;
    case 0x27:
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0xd4:
    case 0xd5:
        return GROUP_BCD;
    case 0x62:
    case 0x63:
    case 0xd6:
    case 0xd7:
        return compatibility && opcode != 0xd7 ? GROUP_BCD : GROUP_MOV;
    case 0x69:
    case 0x6b:
    case 0xf6:
    case 0xf7:
        return GROUP_MULDIV;
    case 0x9b:
        return GROUP_X87;
    case 0x9c:
    case 0x9d:
    case 0x9e:
    case 0x9f:
    case 0xf5:
    case 0xf8:
    case 0xf9:
    case 0xfc:
    case 0xfd:
        return GROUP_FLAGS;
    case 0xa8:
    case 0xa9:
    case 0xfe:
    case 0xff:
        return GROUP_ALU;
    case 0xc2:
    case 0xc3:
    case 0xcc:
    case 0xce:
    case 0xe8:
    case 0xe9:
    case 0xeb:
        return GROUP_BRANCH;
    case 0xf4:
    case 0xfa:
    case 0xfb:
        return GROUP_SYSTEM;
    default:
        break;
    }
    if (opcode < 0x50)
        return GROUP_ALU;
    if (opcode < 0x62 || opcode == 0x68 || opcode == 0x6a)
        return GROUP_STACK;
    if (opcode < 0x70)
        return GROUP_SYSTEM;
    if (opcode < 0x80)
        return GROUP_BRANCH;
    if (opcode < 0x86)
        return GROUP_ALU;
    if (opcode < 0xa4)
        return GROUP_MOV;
    if (opcode < 0xb0)
        return GROUP_STRING;
    if (opcode == 0xc0 || opcode == 0xc1 || (opcode >= 0xd0 && opcode <= 0xd3))
        return GROUP_SHIFT;
    if (opcode < 0xd0)
        return GROUP_MOV;
    if (opcode < 0xe0)
        return GROUP_X87;
    return opcode < 0xe4 ? GROUP_BRANCH : GROUP_SYSTEM;
}

static enum group classify_0f(uint8_t opcode)
{
    if (scan_form(SCAN_0F, opcode, false) == 'u')
        return GROUP_UNDEFINED;
    switch (opcode) {
    case 0x00:
    case 0x01:
    case 0x06:
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x30:
    case 0x32:
    case 0x33:
    case 0xaa:
        return GROUP_SYSTEM;
    case 0x0b:
    case 0x0f:
    case 0xb9:
    case 0xff:
        return GROUP_UNDEFINED;
    case 0xa0:
    case 0xa8:
        return GROUP_STACK;
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xb8:
    case 0xba:
    case 0xbb:
    case 0xbc:
    case 0xbd:
        return GROUP_BIT;
    case 0xa4:
    case 0xa5:
    case 0xac:
    case 0xad:
        return GROUP_SHIFT;
    case 0xae:
        return GROUP_FXSTATE;
    case 0xaf:
        return GROUP_MULDIV;
    case 0xb0:
    case 0xb1:
    case 0xc0:
    case 0xc1:
    case 0xc7:
        return GROUP_ATOMIC;
    case 0x0d:
    case 0xb6:
    case 0xb7:
    case 0xbe:
    case 0xbf:
    case 0xc3:
        return GROUP_MOV;
    default:
        break;
    }
    if (opcode >= 0x20 && opcode < 0x24)
        return GROUP_SYSTEM;
    if ((opcode >= 0x18 && opcode < 0x20) || (opcode & 0xf0) == 0x40 || (opcode & 0xf8) == 0xc8)
        return GROUP_MOV;
    if ((opcode & 0xf0) == 0x80)
        return GROUP_BRANCH;
    return (opcode & 0xf0) == 0x90 ? GROUP_FLAGS : GROUP_SSE;
}

static enum group classify(enum scan_map map, uint8_t opcode, bool compatibility)
{
    switch (map) {
    case SCAN_PRIMARY:
        return classify_primary(opcode, compatibility);
    case SCAN_0F:
        return classify_0f(opcode);
    case SCAN_0F38:
        if (opcode >= 0xf0)
            return opcode < 0xf2 ? GROUP_BIT : GROUP_UNDEFINED;
        return opcode < 0x0c || opcode == 0x10 || opcode == 0x14 || opcode == 0x15 ||
                       opcode == 0x17 || (opcode >= 0x1c && opcode < 0x1f) ||
                       (opcode >= 0x20 && opcode < 0x42 && (opcode & 0xf) < 12 &&
                           (opcode & 7) != 6 && opcode != 0x27) ||
                       (opcode >= 0x3c && opcode < 0x40)
                   ? GROUP_SSE38
                   : GROUP_UNDEFINED;
    default:
        return (opcode >= 0x08 && opcode < 0x10) || (opcode >= 0x14 && opcode < 0x18) ||
                       (opcode >= 0x20 && opcode < 0x23) || (opcode >= 0x40 && opcode < 0x43) ||
                       (opcode >= 0x60 && opcode < 0x64)
                   ? GROUP_SSE3A
                   : GROUP_UNDEFINED;
    }
}

struct choice {
    enum scan_map map;
    uint8_t opcode;
};

static struct choice choose(struct random *random, enum group group, bool compatibility)
{
    struct choice choice;
    char form;
    do {
        uint64_t any = random_next(random);
        uint32_t map = any >> 8 & 7;
        choice.opcode = (uint8_t)any;
        choice.map = group == GROUP_SSE38                 ? SCAN_0F38
                     : group == GROUP_SSE3A               ? SCAN_0F3A
                     : map < 4                            ? SCAN_PRIMARY
                     : map < 7 || group == GROUP_SSE      ? SCAN_0F
                     : any >> 16 & 1 || group < GROUP_SSE ? SCAN_0F38
                                                          : SCAN_0F3A;
        form = scan_form(choice.map, choice.opcode, compatibility);
        if (form == 'x' || form == 'p')
            continue;
        if (classify(choice.map, choice.opcode, compatibility) == group)
            break;
    } while (true);
    return choice;
}

struct writer {
    uint8_t *bytes;
    unsigned size;
};

static void put(struct writer *writer, uint8_t byte)
{
    writer->bytes[writer->size++] = byte;
}

/* In a block these hold addresses; instructions avoid to write them. */
static bool reserved_register(unsigned number)
{
    return number == RBX || number == RSP || number == RBP || number >= R12;
}

static enum scan_prefix choose_prefix(
    struct random *random, const struct choice *choice, enum group group, bool block)
{
    uint32_t any = random_below(random, 100);
    switch (group) {
    case GROUP_SSE:
    case GROUP_SSE38:
    case GROUP_SSE3A:
        if (!block && any < 8)
            return (enum scan_prefix)(any & 3);
        do
            any = (uint32_t)random_next(random) & 3;
        while (!(scan_vector_prefixes(choice->map, choice->opcode) >> any & 1));
        return (enum scan_prefix)any;
    case GROUP_STRING:
        return any < 30 ? SCAN_NONE : any < 45 ? SCAN_66 : any < 75 ? SCAN_F3 : SCAN_F2;
    case GROUP_BIT:
        if (choice->map == SCAN_0F38)
            return any < 97 ? SCAN_F2 : SCAN_NONE;
        if (choice->opcode == 0xb8)
            return any < 95 ? SCAN_F3 : SCAN_NONE;
        break;
    default:
        break;
    }
    return any < 74 ? SCAN_NONE : any < 92 ? SCAN_66 : any < 96 ? SCAN_F3 : SCAN_F2;
}

static bool lockable(const struct choice *choice)
{
    if (choice->map == SCAN_PRIMARY)
        return (choice->opcode < 0x40 && (choice->opcode & 7) < 2) ||
               (choice->opcode >= 0x80 && choice->opcode < 0x88) || choice->opcode >= 0xf6;
    return choice->map == SCAN_0F && (choice->opcode & 0xe0) == 0xa0;
}

/* Says whether an address-size prefix is among them. */
static bool write_prefixes(struct random *random, struct writer *writer,
    const struct choice *choice, enum group group, const struct test_case *test)
{
    bool address_override = false;
    uint8_t list[6];
    unsigned count = 0;
    enum scan_prefix prefix = choose_prefix(random, choice, group, test->block);
    uint64_t any = random_next(random);
    if (prefix == SCAN_66 || (prefix >= SCAN_F3 && (any & 7) == 0) ||
        (group == GROUP_BIT && any & 0x100))
        list[count++] = 0x66;
    if (prefix == SCAN_F3)
        list[count++] = 0xf3;
    if (prefix == SCAN_F2)
        list[count++] = 0xf2;
    uint32_t pick = any >> 16 & 0xff;
    bool lock = group == GROUP_ATOMIC || lockable(choice);
    if (pick < (lock ? test->block ? 12u : 60u : test->block ? 0u : 6u))
        list[count++] = 0xf0;
    pick = any >> 24 & 0xff;
    if (pick < (test->block ? 1 : 26))
        list[count++] = pick & 1 ? 0x64 : 0x65;
    else if (pick < 36)
        list[count++] = (uint8_t)(0x26 | (pick & 3) << 3);
    if ((any >> 32 & 0xff) < (test->compatibility ? 20u : 13u))
        list[count++] = 0x67;
    if (count && !test->block && (any >> 40 & 0xff) < 4) { /* one of them twice */
        list[count] = list[random_below(random, count)];
        count++;
    }
    if (any >> 48 & 1 && count > 1) { /* another order */
        unsigned i = random_below(random, count), j = random_below(random, count);
        uint8_t swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
    for (unsigned i = 0; i < count; i++) {
        put(writer, list[i]);
        address_override |= list[i] == 0x67;
    }
    return address_override;
}

/* ModRM, SIB and displacement. `bits16`: 16-bit addressing; `rex_at`: after the REX byte, or 0. */
static void write_modrm(struct random *random, struct writer *writer, struct test_case *test,
    const struct choice *choice, unsigned rex_at, bool bits16, bool vector)
{
    uint64_t any = random_next(random);
    uint8_t modrm = (uint8_t)any;
    bool vector_move = choice->map == SCAN_0F && choice->opcode >= 0x71 && choice->opcode <= 0x73;
    bool control = choice->map == SCAN_0F && (choice->opcode & 0xfc) == 0x20;
    if (any >> 8 & 1 || vector_move)
        modrm |= 0xc0;
    if (vector && any >> 9 & 7) {
        unsigned prefixes = scan_vector_prefixes(choice->map, choice->opcode);
        if (prefixes & SCAN_REGISTER_ONLY)
            modrm |= 0xc0;
        else if (prefixes & SCAN_MEMORY_ONLY && modrm >= 0xc0)
            modrm &= 0xbf;
    }
    uint8_t *rex = rex_at ? &writer->bytes[rex_at - 1] : NULL;
    if (control && rex)
        *rex &= (uint8_t)~4;
    if (choice->map == SCAN_PRIMARY &&
        (choice->opcode == 0x8f || choice->opcode == 0xc6 || choice->opcode == 0xc7) &&
        random_percent(random, 97))
        modrm &= (uint8_t)~0x38;
    if (test->block) {
        unsigned high_reg = rex ? (*rex & 4u) << 1 : 0, high_rm = rex ? (*rex & 1u) << 3 : 0;
        while (reserved_register((modrm >> 3 & 7) | high_reg) && choice->map == SCAN_PRIMARY &&
               !strchr("bzf", scan_form(choice->map, choice->opcode, false)) &&
               (choice->opcode & 0xf8) != 0xd8)
            modrm ^= (uint8_t)(random_next(random) & 0x38);
        while (modrm >> 6 == 3 && reserved_register((modrm & 7) | high_rm))
            modrm ^= (uint8_t)(random_next(random) & 7);
        if (modrm >> 6 != 3) { /* a reserved register and a small displacement */
            static const uint8_t low[] = {RBX, RBP, RBX, RBP};
            static const uint8_t high[] = {R13 & 7, R14 & 7, R15 & 7, R13 & 7};
            modrm = (uint8_t)((modrm & 0x38) | 0x40 | (high_rm ? high : low)[any >> 16 & 3]);
        }
    }
    put(writer, modrm);
    unsigned mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3)
        return;
    uint8_t sib = (uint8_t)(any >> 24);
    uint64_t displacement = any >> 32;
    if (test->block && choice->map != SCAN_PRIMARY)
        displacement &= ~15ull; /* else most SSE operands fault */
    if (bits16) {
        if (mod == 1) {
            put(writer, (uint8_t)displacement);
        } else if (mod == 2 || rm == 6) {
            uint16_t near = (uint16_t)(mod == 0 ? LOW_BASE + (displacement & 0xfff) : displacement);
            put(writer, (uint8_t)near);
            put(writer, (uint8_t)(near >> 8));
        }
        return;
    }
    bool absolute = mod == 0 && rm == 5;
    if (rm == 4) {
        put(writer, sib);
        absolute = mod == 0 && (sib & 7) == 5;
    }
    if (mod == 1)
        put(writer, (uint8_t)displacement);
    if (absolute) {
        displacement = random_address(random, false);
        if (rm == 5 && !test->compatibility)
            displacement -= test->rip + 8;
    } else if (mod == 2 && any >> 31 & 1) {
        displacement = (uint64_t)(int64_t)(int16_t)displacement;
    }
    for (unsigned i = 0; i < 4 && (mod == 2 || absolute); i++)
        put(writer, (uint8_t)(displacement >> (8 * i)));
}

/* One instruction of the group at `bytes`; returns its length. */
static unsigned write_instruction(
    struct random *random, uint8_t *bytes, enum group group, struct test_case *test)
{
    struct writer writer = {bytes, 0};
    struct choice choice = choose(random, group, test->compatibility);
    bool address_override = write_prefixes(random, &writer, &choice, group, test);
    unsigned rex_at = 0;
    if (!test->compatibility && random_percent(random, 60)) {
        uint8_t rex = (uint8_t)(0x40 | (random_next(random) & 15));
        if (random_percent(random, 1)) /* ignored: it is not the last prefix */
            put(&writer, 0x48), put(&writer, 0x2e);
        put(&writer, rex);
        rex_at = writer.size;
    }
    if (choice.map != SCAN_PRIMARY)
        put(&writer, 0x0f);
    if (choice.map == SCAN_0F38)
        put(&writer, 0x38);
    if (choice.map == SCAN_0F3A)
        put(&writer, 0x3a);
    put(&writer, choice.opcode);
    char form = scan_form(choice.map, choice.opcode, test->compatibility);
    if (strchr("mbzf", form))
        write_modrm(random, &writer, test, &choice, rex_at, test->compatibility && address_override,
            group >= GROUP_SSE && group <= GROUP_SSE3A);
    /* Immediates: more bytes than needed, the scan says how many count. */
    uint64_t immediate = random_integer(random);
    if (form == 'o')
        immediate = random_address(random, false);
    if (form == 'e')
        immediate = (random_next(random) & 0xfff) | (immediate & 31 & (random_next(random))) << 16;
    if (form == 'J' || form == 'j')
        immediate &= random_percent(random, 50) ? 0xff : UINT64_MAX;
    memcpy(bytes + writer.size, &immediate, 8);
    struct scan s;
    scan(&s, bytes, writer.size + 8, test->compatibility);
    return s.length;
}

static void random_registers(struct random *random, struct test_case *test)
{
    for (int i = 0; i < GPR_COUNT; i++)
        test->gpr[i] = random_integer(random);
    uint64_t any = random_next(random);
    test->rflags =
        FLAG_ONE | FLAG_IF | (any & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF));
    if ((any >> 32 & 3) == 0)
        test->rflags |= FLAG_DF;
    if ((any >> 34 & 15) == 0)
        test->rflags |= FLAG_ID;
    if ((any >> 38 & 15) == 0)
        test->rflags |= FLAG_NT;
    if ((any >> 42 & 31) == 0 && !test->block)
        test->rflags |= FLAG_AC;
    random_fpu(random, &test->fpu, test->block);
}

/* Where the code goes: mostly in the middle, sometimes across pages or cut off by the end. */
static void place(struct random *random, struct test_case *test)
{
    uint32_t pick = random_below(random, 100);
    uint32_t offset;
    if (pick < 80)
        offset = random_below(random, CODE_SIZE - CODE_BYTES);
    else if (pick < 92) /* across the two pages */
        offset = PAGE - random_below(random, 16);
    else if (pick < 97) /* ends with the last page */
        offset = (uint32_t)(CODE_SIZE - test->code_size);
    else /* continues where nothing is mapped */
        offset = CODE_SIZE - 1 - random_below(random, 14);
    if (test->block && offset > CODE_SIZE - CODE_BYTES)
        offset = random_below(random, CODE_SIZE - CODE_BYTES);
    test->code_offset = (uint16_t)offset;
    test->rip = CODE_BASE + offset;
}

static bool is_locked(const struct scan *s)
{
    bool exchange = s->map == SCAN_PRIMARY && (s->opcode & 0xfe) == 0x86;
    return s->lock || (exchange && s->modrm < 0xc0);
}

/* Near branches whose target AMD cuts to 16 bits, in 64-bit mode. */
static bool leaves_by_66(const struct scan *s)
{
    return (s->opcode & 0xf0) == 0x70 || (s->opcode & 0xfc) == 0xe0 || s->opcode == 0xeb ||
           (s->opcode & 0xfe) == 0xc2 || s->opcode == 0xff;
}

/* In a block: no way out but forward, and nothing whose stored value is not compared. */
static bool fits_block(const struct scan *s, struct random *random)
{
    unsigned reg = s->modrm >> 3 & 7, mod = s->modrm >> 6;
    if (is_locked(s)) /* keep_in_line() knows no addresses here */
        return false;
    if (s->map == SCAN_PRIMARY && s->operand16 && !(s->rex & 8) && leaves_by_66(s))
        return false;
    if (s->map == SCAN_0F) {
        if ((s->opcode == 0xba && reg < 4) || (s->opcode == 0xc3 && (mod == 3 || s->prefix)))
            return false;
        return s->opcode != 0xae || mod == 3 || (reg != 0 && reg != 1);
    }
    if (s->map != SCAN_PRIMARY)
        return true;
    switch (s->opcode) {
    case 0xc2:
    case 0xc3: /* returns from a forward call, if there was one */
        return random_percent(random, 20);
    case 0xcc:
    case 0xce:
    case 0xc9:
    case 0x5c: /* POP RSP */
        return false;
    case 0x8c:
        return reg < 6;
    case 0x8d:
        return mod != 3;
    case 0xfe:
        return reg < 2;
    case 0x9d: /* these fault often */
        return random_percent(random, 30);
    case 0xf6:
    case 0xf7:
        return reg < 6 || random_percent(random, 15);
    case 0xff:
        return reg < 2 || reg == 6;
    case 0x8f:
        return mod != 3;
    case 0xd9: /* what comes after would work on the host's rounding */
        return mod == 3 ? !scan_is_transcendental(s) : reg != 4 && reg != 6;
    case 0xdd:
        return mod == 3 || (reg != 4 && reg != 6);
    default:
        return true;
    }
}

/* DEC DWORD [counter]; JNZ back to some instruction. */
static unsigned write_loop(struct random *random, struct test_case *test, unsigned size)
{
    uint32_t counter = LOW_BASE + COUNTERS_OFFSET + 4 * random_below(random, COUNTERS);
    uint8_t *at = test->code + size;
    unsigned length = 0, target = test->insn_start[random_below(random, test->insn_count)];
    test->insn_start[test->insn_count++] = (uint16_t)size;
    at[length++] = 0xff;
    at[length++] = test->compatibility ? 0x0d : 0x0c;
    if (!test->compatibility)
        at[length++] = 0x25;
    memcpy(at + length, &counter, 4);
    length += 4;
    test->insn_start[test->insn_count++] = (uint16_t)(size + length);
    int32_t distance = (int32_t)target - (int32_t)(size + length + 6);
    at[length++] = 0x0f;
    at[length++] = 0x85;
    memcpy(at + length, &distance, 4);
    return size + length + 4;
}

static void write_block(struct random *random, struct test_case *test)
{
    unsigned count = 2 + random_below(random, BLOCK_INSNS - 3); /* and the loop's two */
    unsigned size = 0;
    struct scan scans[BLOCK_INSNS];
    uint8_t focus = (uint8_t)random_below(random, GROUP_SYSTEM);
    uint8_t fp_focus = (uint8_t)(GROUP_X87 + random_below(random, 4));
    for (unsigned i = 0; i < count; i++) {
        enum group group;
        struct scan *s = &scans[i];
        do {
            uint32_t pick = random_below(random, 100);
            group = pick < 30   ? focus
                    : pick < 50 ? fp_focus
                    : pick < 80 ? (enum group)random_below(random, GROUP_BCD)
                                : GROUP_ALU;
            if (group == GROUP_BCD && !test->compatibility)
                group = GROUP_ALU;
            memset(test->code + size, 0, 16);
            write_instruction(random, test->code + size, group, test);
            scan(s, test->code + size, 15, test->compatibility);
        } while (!s->length || scan_excluded(s, test->compatibility) || !fits_block(s, random));
        test->insn_start[i] = (uint16_t)size;
        size += s->length;
    }
    test->insn_count = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) { /* branches go forward, to an instruction's start */
        char form = scan_form(scans[i].map, scans[i].opcode, test->compatibility);
        if (form != 'J' && form != 'j')
            continue;
        unsigned to = i + 1 + random_below(random, 3);
        unsigned target = to < count ? test->insn_start[to] : size;
        uint32_t distance = target - test->insn_start[i] - scans[i].length;
        memcpy(test->code + test->insn_start[i] + scans[i].immediate_at, &distance,
            scans[i].immediate_size);
    }
    if (random_percent(random, 35))
        size = write_loop(random, test, size);
    test->code_size = (uint16_t)size;
    test->code[size] = FILLER;
}

static void block_registers(struct random *random, struct test_case *test)
{
    static const uint8_t pointers[] = {RBX, RSP, RBP, RSI, RDI, R12, R13, R14, R15};
    for (unsigned i = 0; i < sizeof pointers; i++) {
        uint64_t address = DATA_BASE + 128 + random_below(random, DATA_SIZE - 512);
        test->gpr[pointers[i]] = random_percent(random, 90) ? address & ~15ull : address;
    }
    if (random_percent(random, 70))
        test->gpr[RCX] = random_below(random, 40);
}

static void write_single(
    const struct generator *generator, struct random *random, struct test_case *test)
{
    struct scan s;
    unsigned length;
    do {
        memset(test->code, 0, 32);
        if (test->group == GROUP_FIXED) {
            memcpy(test->code, generator->fixed, generator->fixed_size);
        } else if (test->group == GROUP_BYTES) {
            uint64_t bytes[2] = {random_next(random), random_next(random)};
            memcpy(test->code, bytes, 15);
            if (random_percent(random, 40)) /* shorter prefixes and the 0F map more often */
                test->code[0] = 0x0f;
        } else {
            write_instruction(random, test->code, (enum group)test->group, test);
        }
        scan(&s, test->code, 15, test->compatibility);
        length = s.length;
        if (!length && random_percent(random, 5)) /* longer than 15 bytes: #GP */
            length = 15;
    } while (!length || (s.length && scan_excluded(&s, test->compatibility)));
    if (test->group == GROUP_FIXED)
        length = generator->fixed_size;
    test->code_size = (uint16_t)length;
    test->insn_count = 1;
    test->insn_start[0] = 0;
}

/*
 * Hosts may trap or slow down a locked access that crosses a line: its operand is aligned, or the
 * case is a NOP. BT and the like with a register reach elsewhere, by whole operands.
 */
static void keep_in_line(struct test_case *test, struct random *random, const struct scan *s)
{
    uint64_t address, size = s->map == SCAN_0F && s->opcode == 0xc7 ? 16 : 8;
    bool elsewhere = s->map == SCAN_0F && (s->opcode & 0xc7) == 0x83;
    if (!is_locked(s) || !aim_address(test, s, test->rip, &address))
        return;
    bool crosses = elsewhere ? address % size : address % LINE_BYTES + size > LINE_BYTES;
    if (!crosses)
        return;
    aim_at(test, s, random, random_address(random, true) & ~15ull);
    if (aim_address(test, s, test->rip, &address) && address % 16 == 0)
        return;
    test->code[0] = 0x90;
    test->code[1] = FILLER;
    test->code_size = 1;
}

static enum group choose_group(struct random *random)
{
    unsigned total = 0;
    for (unsigned i = 0; i < GROUP_COUNT; i++)
        total += weights[i];
    unsigned pick = random_below(random, total), group = 0;
    while (pick >= weights[group])
        pick -= weights[group++];
    return (enum group)group;
}

/* So many cases in a row, less one, share a block's code, and so the software CPU's decoded form.
 */
enum { BLOCK_RUNS = 3 };

void generate_memory(const struct generator *generator, uint64_t batch, uint8_t *memory)
{
    struct random random = {generator->seed * 0x9e3779b97f4a7c15u + batch};
    random.state = random_next(&random) ^ 0x6d656d6f7279;
    random_memory(&random, memory);
}

void generate_case(const struct generator *generator, uint64_t index, const uint8_t *memory,
    struct test_case *test)
{
    struct random random = {generator->seed ^ index * 0xd1342543de82ef95u};
    struct random shared = {generator->seed ^ (index | BLOCK_RUNS) * 0xaf251af3b0f025b5u};
    random.state = random_next(&random);
    shared.state = random_next(&shared);
    *test = (struct test_case){0};
    unsigned mode = random_below(&shared, 8);
    test->compatibility = generator->mode == 32 || (!generator->mode && mode == 0);
    test->group = (uint8_t)generator->group;
    if (generator->group == GROUP_COUNT)
        test->group = (uint8_t)choose_group(&shared);
    if (test->group == GROUP_BCD)
        test->compatibility = true;
    test->block = test->group == GROUP_BLOCK;
    test->rip = CODE_BASE;
    if (test->block) {
        write_block(&shared, test);
        place(&shared, test);
    } else {
        write_single(generator, &random, test);
        place(&random, test);
    }
    random_registers(&random, test);
    if (test->block) {
        block_registers(&random, test);
    } else {
        struct scan s;
        scan(&s, test->code, test->code_size, test->compatibility);
        aim_roles(test, &s, &random, memory);
        keep_in_line(test, &random, &s);
        /* PUSHF shows TF, so both sides must have it. */
        test->trap = random_percent(&random, 10) || (s.map == SCAN_PRIMARY && s.opcode == 0x9c);
    }
    if (test->compatibility) {
        for (int i = 0; i < 8; i++)
            test->gpr[i] &= 0xffffffff;
        for (int i = 8; i < 16; i++)
            test->gpr[i] = 0;
    }
}
