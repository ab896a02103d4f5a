/* Aims memory operands of random instructions at the test memory. */
#include <string.h>

#include "tests/differential/generate.h"

uint64_t aim_segment_base(const struct test_case *test, const struct scan *scan)
{
    if (test->compatibility)
        return 0;
    return scan->segment == 0x64 ? FS_BASE : scan->segment == 0x65 ? GS_BASE : 0;
}

/* Which registers form the address; -1 where absent. */
struct form {
    int base, index;
    unsigned scale; /* factor */
    unsigned bytes; /* address size */
    bool rip;
};

static struct form address_form(const struct test_case *test, const struct scan *scan)
{
    struct form form = {-1, -1, 1, 8, false};
    unsigned mod = scan->modrm >> 6, rm = scan->modrm & 7;
    form.bytes = test->compatibility      ? scan->address_override ? 2 : 4
                 : scan->address_override ? 4
                                          : 8;
    if (form.bytes == 2) {
        static const int bases[] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
        static const int indexes[] = {RSI, RDI, RSI, RDI, -1, -1, -1, -1};
        form.base = mod == 0 && rm == 6 ? -1 : bases[rm];
        form.index = indexes[rm];
        return form;
    }
    int high_base = (scan->rex & 1) << 3, high_index = (scan->rex & 2) << 2;
    if (!scan->has_sib) {
        if (mod == 0 && rm == 5)
            form.rip = !test->compatibility;
        else
            form.base = (int)rm | high_base;
        return form;
    }
    int index = (scan->sib >> 3 & 7) | high_index;
    if (index != RSP) {
        form.index = index;
        form.scale = 1u << (scan->sib >> 6);
    }
    if (mod != 0 || (scan->sib & 7) != 5)
        form.base = (scan->sib & 7) | high_base;
    return form;
}

static uint64_t truncate_to(uint64_t value, unsigned bytes)
{
    return bytes == 8 ? value : value & ((1ull << (8 * bytes)) - 1);
}

bool aim_address(
    const struct test_case *test, const struct scan *scan, uint64_t rip, uint64_t *address)
{
    if (!scan->has_modrm || scan->modrm >> 6 == 3)
        return false;
    struct form form = address_form(test, scan);
    uint64_t sum = (uint64_t)(int64_t)scan->displacement;
    if (form.base >= 0)
        sum += test->gpr[form.base];
    if (form.index >= 0)
        sum += test->gpr[form.index] * form.scale;
    if (form.rip)
        sum += rip + scan->length;
    *address = truncate_to(sum, form.bytes) + aim_segment_base(test, scan);
    return true;
}

void aim_at(struct test_case *test, const struct scan *scan, struct random *random, uint64_t target)
{
    if (!scan->has_modrm || scan->modrm >> 6 == 3)
        return;
    struct form form = address_form(test, scan);
    uint64_t offset = target - aim_segment_base(test, scan) - (uint64_t)(int64_t)scan->displacement;
    if (form.index >= 0 && form.index != form.base) {
        uint64_t any = random_next(random);
        test->gpr[form.index] = form.bytes == 8 && any & 1 ? random_integer(random) : any & 0x3ff;
        if (form.bytes == 8 && (any & 6) == 6)
            test->gpr[form.index] = any;
        if (form.bytes != 8)
            test->gpr[form.index] &= 0xffff;
        offset -= test->gpr[form.index] * form.scale;
    }
    uint64_t value = offset;
    int reg = form.base;
    if (form.base >= 0 && form.base == form.index)
        value = offset / (form.scale + 1);
    if (form.base < 0) /* displacement alone, or a scaled index that must reach it */
        return;
    if (form.bytes == 2)
        test->gpr[reg] = (test->gpr[reg] & ~0xffffull) | (value & 0xffff);
    else if (form.bytes == 4 && !test->compatibility)
        test->gpr[reg] = (random_next(random) << 32) | (value & 0xffffffff);
    else
        test->gpr[reg] = truncate_to(value, form.bytes);
}

const uint8_t *aim_memory(const uint8_t *memory, uint64_t address, unsigned size)
{
    if (address >= DATA_BASE && address - DATA_BASE + size <= DATA_SIZE)
        return memory + (address - DATA_BASE);
    if (address >= LOW_BASE && address - LOW_BASE + size <= PAGE)
        return memory + LOW_OFFSET + (address - LOW_BASE);
    if (address >= DATA_BASE + DATA_SIZE && address - DATA_BASE - DATA_SIZE + size <= PAGE)
        return memory + READ_ONLY_OFFSET + (address - DATA_BASE - DATA_SIZE);
    return NULL;
}

static uint64_t stack_address(struct random *random, const struct test_case *test)
{
    uint64_t address = random_address(random, test->block);
    return random_percent(random, 85) ? address & ~7ull : address;
}

static void string_roles(struct test_case *test, const struct scan *scan, struct random *random)
{
    uint64_t base = aim_segment_base(test, scan);
    test->gpr[RSI] = random_address(random, test->block) - base;
    test->gpr[RDI] = random_address(random, test->block);
    if (random_percent(random, 20)) /* overlapping */
        test->gpr[RDI] = test->gpr[RSI] + base + random_below(random, 32) - 16;
    if (scan->address_override) {
        uint64_t high = test->compatibility ? ~0xffffull : ~0xffffffffull;
        test->gpr[RSI] = (test->gpr[RSI] & ~high) | (random_next(random) & high);
        test->gpr[RDI] = (test->gpr[RDI] & ~high) | (random_next(random) & high);
    }
    if (random_percent(random, test->block ? 100 : 90))
        test->gpr[RCX] = random_below(random, 9);
}

static void primary_roles(struct test_case *test, const struct scan *scan, struct random *random)
{
    uint8_t opcode = scan->opcode;
    unsigned reg = scan->modrm >> 3 & 7;
    if ((opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf) ||
        (opcode >= 0x6c && opcode <= 0x6f)) {
        string_roles(test, scan, random);
    } else if (opcode == 0xd7) {
        test->gpr[RBX] =
            random_address(random, false) - aim_segment_base(test, scan) - (test->gpr[RAX] & 0xff);
    } else if (opcode == 0xc9 || opcode == 0xc8) {
        test->gpr[RBP] = stack_address(random, test);
    } else if (opcode >= 0xe0 && opcode <= 0xe3) {
        if (random_percent(random, 60))
            test->gpr[RCX] = (random_next(random) << 32) | random_below(random, 3);
    } else if (opcode == 0xff && (reg == 2 || reg == 4) && scan->modrm >> 6 == 3) {
        if (random_percent(random, 70))
            test->gpr[(scan->modrm & 7) | (scan->rex & 1) << 3] = random_next(random) >> 18;
    } else if ((opcode == 0xf6 || opcode == 0xf7) && reg >= 6 && random_percent(random, 70)) {
        /* a quotient that fits, more often than chance would have it */
        unsigned kind = random_below(random, 3);
        test->gpr[RDX] = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : random_below(random, 16);
        if (kind == 0 && reg == 7)
            test->gpr[RAX] &= 0x7fffffffffffffff;
        if (opcode == 0xf6)
            test->gpr[RAX] = (test->gpr[RAX] & ~0xff00ull) | (test->gpr[RDX] & 0xff) << 8;
    }
}

static void roles_0f(
    struct test_case *test, const struct scan *scan, struct random *random, const uint8_t *memory)
{
    unsigned reg = scan->modrm >> 3 & 7, mod = scan->modrm >> 6;
    uint64_t address;
    const uint8_t *contents;
    switch (scan->opcode) {
    case 0xf7:
        test->gpr[RDI] = random_address(random, false) - aim_segment_base(test, scan);
        break;
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xbb:
        if (mod != 3 && random_percent(random, 85))
            test->gpr[reg | (scan->rex & 4) << 1] =
                (random_next(random) << 32) * (random_next(random) & 1) +
                (uint64_t)((int64_t)random_below(random, 65536) - 32768);
        break;
    case 0xae:
        if (mod != 3 && random_percent(random, 75)) {
            uint64_t image = DATA_BASE + IMAGES_OFFSET + 512 * random_below(random, IMAGES);
            aim_at(test, scan, random, image + (reg == 2 ? 24 : 0));
        }
        break;
    case 0xb0:
    case 0xb1:
    case 0xc7: /* the comparison succeeds half of the time */
        if (!aim_address(test, scan, test->rip, &address) || random_percent(random, 50))
            break;
        contents = aim_memory(memory, address, 16);
        if (!contents)
            break;
        memcpy(&test->gpr[RAX], contents, 8);
        if (scan->opcode == 0xc7) {
            memcpy(&test->gpr[RDX], contents + (scan->rex & 8 ? 8 : 4), scan->rex & 8 ? 8 : 4);
            if (!(scan->rex & 8))
                test->gpr[RAX] &= 0xffffffff;
        }
        break;
    default:
        break;
    }
}

void aim_roles(
    struct test_case *test, const struct scan *scan, struct random *random, const uint8_t *memory)
{
    test->gpr[RSP] = stack_address(random, test);
    if (scan->map == SCAN_PRIMARY)
        primary_roles(test, scan, random);
    if (random_percent(random, 97))
        aim_at(test, scan, random, random_address(random, test->block));
    if (scan->map == SCAN_0F)
        roles_0f(test, scan, random, memory);
}
