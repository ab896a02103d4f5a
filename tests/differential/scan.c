/* Finds the parts of an instruction. */
#include "tests/differential/scan.h"

#include <stdio.h>
#include <string.h>

/*
 * Operand bytes after the opcode:
 *   .  none          m  ModRM           b  ModRM, imm8       z  ModRM, imm16/32
 *   1  imm8          2  imm16           Z  imm16/32          v  imm16/32/64
 *   o  moffs         e  imm16, imm8     J  rel8              j  rel16/32
 *   f  ModRM and, for reg 0 and 1, an immediate (F6, F7)
 *   p  prefix or escape                 u  no instruction    x  left out
 */
static const char primary_forms[] = "mmmm1Zuummmm1Zup"
                                    "mmmm1Zuummmm1Zuu"
                                    "mmmm1Zpummmm1Zpu"
                                    "mmmm1Zpummmm1Zpu"
                                    "pppppppppppppppp"
                                    "................"
                                    "uuxmppppZz1b...."
                                    "JJJJJJJJJJJJJJJJ"
                                    "bzubmmmmmmmmmmxm"
                                    "..........u....."
                                    "oooo....1Z......"
                                    "11111111vvvvvvvv"
                                    "bb2.xxbze.xx.xux"
                                    "mmmmuuu.mmmmmmmm"
                                    "JJJJ1111jjuJ...."
                                    "pxpp..ff......mm";

static const char forms_0f[] = "mmxxux....u.umub"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmuuuummmmmmmm"
                               ".x..xxuupupuuuuu"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "bbbbmmm.mmuummmm"
                               "jjjjjjjjjjjjjjjj"
                               "mmmmmmmmmmmmmmmm"
                               ".xxmbmuu.x.mbmmm"
                               "mmxmxxmmmmbmmmmm"
                               "mmbmbbbm........"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm"
                               "mmmmmmmmmmmmmmmm";

static char compatibility_form(uint8_t opcode)
{
    switch (opcode) {
    case 0x06:
    case 0x0e:
    case 0x16:
    case 0x1e:
    case 0x27:
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0x60:
    case 0x61:
    case 0xce:
    case 0xd6:
        return '.';
    case 0x07:
    case 0x17:
    case 0x1f:
    case 0x9a:
    case 0xea:
        return 'x';
    case 0x62:
        return 'm';
    case 0x82:
        return 'b';
    case 0xd4:
    case 0xd5:
        return '1';
    default:
        return opcode >= 0x40 && opcode < 0x50 ? '.' : primary_forms[opcode];
    }
}

char scan_form(enum scan_map map, uint8_t opcode, bool compatibility)
{
    switch (map) {
    case SCAN_PRIMARY:
        return compatibility ? compatibility_form(opcode) : primary_forms[opcode];
    case SCAN_0F:
        return forms_0f[opcode];
    case SCAN_0F38:
        return 'm';
    default:
        return 'b';
    }
}

static bool take_prefix(struct scan *s, uint8_t byte, bool compatibility)
{
    switch (byte) {
    case 0x66:
        s->operand16 = true;
        break;
    case 0x67:
        s->address_override = true;
        break;
    case 0xf0:
        s->lock = true;
        break;
    case 0xf2:
        s->repne = true;
        s->prefix = SCAN_F2;
        break;
    case 0xf3:
        s->rep = true;
        s->prefix = SCAN_F3;
        break;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        if (compatibility) /* in 64-bit mode they are nothing, and an FS or GS before them stays */
            s->segment = byte;
        break;
    case 0x64:
    case 0x65:
        s->segment = byte;
        break;
    default:
        return false;
    }
    return true;
}

static unsigned take_modrm(struct scan *s, const uint8_t *bytes, unsigned at, bool compatibility)
{
    s->has_modrm = true;
    s->modrm_at = (uint8_t)at;
    s->modrm = bytes[at++];
    unsigned mod = s->modrm >> 6, rm = s->modrm & 7;
    bool control = s->map == SCAN_0F && (s->opcode & 0xfc) == 0x20; /* CR and DR: mod is ignored */
    if (mod == 3 || control)
        return at;
    if (compatibility && s->address_override) {
        s->displacement_size = (uint8_t)(mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
    } else {
        bool disp32 = mod == 2 || (mod == 0 && rm == 5);
        if (rm == 4) {
            s->has_sib = true;
            s->sib = bytes[at++];
            disp32 |= mod == 0 && (s->sib & 7) == 5;
        }
        s->displacement_size = (uint8_t)(mod == 1 ? 1 : disp32 ? 4 : 0);
    }
    s->displacement_at = (uint8_t)at;
    if (s->displacement_size == 1)
        s->displacement = (int8_t)bytes[at];
    else if (s->displacement_size == 2)
        s->displacement = (int16_t)(bytes[at] | bytes[at + 1] << 8);
    else if (s->displacement_size == 4)
        memcpy(&s->displacement, bytes + at, 4);
    return at + s->displacement_size;
}

static unsigned immediate_size(const struct scan *s, char form, bool compatibility)
{
    bool wide = s->rex & 8;
    unsigned z = s->operand16 && !wide ? 2 : 4;
    switch (form) {
    case 'b':
    case '1':
    case 'J':
        return 1;
    case '2':
        return 2;
    case 'e':
        return 3;
    case 'z':
    case 'Z':
    case 'j':
        return z;
    case 'v':
        return wide ? 8 : z;
    case 'o':
        if (compatibility)
            return s->address_override ? 2 : 4;
        return s->address_override ? 4 : 8;
    case 'f':
        if ((s->modrm >> 3 & 7) > 1)
            return 0;
        return s->opcode == 0xf6 ? 1 : z;
    default:
        return 0;
    }
}

void scan(struct scan *s, const uint8_t *given, size_t size, bool compatibility)
{
    uint8_t bytes[32] = {0};
    memcpy(bytes, given, size < sizeof bytes ? size : sizeof bytes);
    *s = (struct scan){0};
    unsigned at = 0;
    while (at < 15) {
        uint8_t byte = bytes[at];
        if (take_prefix(s, byte, compatibility)) {
            s->rex = 0;
        } else if (!compatibility && (byte & 0xf0) == 0x40) {
            s->rex = byte;
        } else {
            break;
        }
        at++;
    }
    if (s->prefix == SCAN_NONE && s->operand16)
        s->prefix = SCAN_66;
    s->opcode_at = (uint8_t)at;
    s->opcode = bytes[at++];
    if (s->opcode == 0x0f) {
        s->map = SCAN_0F;
        s->opcode = bytes[at++];
        if (s->opcode == 0x38 || s->opcode == 0x3a) {
            s->map = s->opcode == 0x38 ? SCAN_0F38 : SCAN_0F3A;
            s->opcode = bytes[at++];
        }
    }
    char form = scan_form(s->map, s->opcode, compatibility);
    if (strchr("mbzf", form))
        at = take_modrm(s, bytes, at, compatibility);
    s->immediate_at = (uint8_t)at;
    s->immediate_size = (uint8_t)immediate_size(s, form, compatibility);
    at += s->immediate_size;
    s->length = (uint8_t)(at <= 15 && at <= size ? at : 0);
}

/* Bits 1 << enum scan_prefix; the mod restriction in bits 4 (memory only) and 5 (register only). */
enum { N = 1, P = 2, F3 = 4, F2 = 8, M = 16, R = 32 };

static unsigned prefixes_0f(uint8_t opcode)
{
    switch (opcode) {
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x2a:
    case 0x2c:
    case 0x2d:
    case 0x51:
    case 0x58:
    case 0x59:
    case 0x5a:
    case 0x5c:
    case 0x5d:
    case 0x5e:
    case 0x5f:
    case 0x70:
    case 0xc2:
        return N | P | F3 | F2;
    case 0x16:
    case 0x5b:
    case 0x6f:
    case 0x7e:
    case 0x7f:
        return N | P | F3;
    case 0x13:
    case 0x17:
    case 0x2b:
    case 0xe7:
        return N | P | M;
    case 0x50:
    case 0xc5:
    case 0xd7:
    case 0xf7:
        return N | P | R;
    case 0x52:
    case 0x53:
        return N | F3;
    case 0x6c:
    case 0x6d:
        return P;
    case 0x77:
        return N;
    case 0x7c:
    case 0x7d:
    case 0xd0:
        return P | F2;
    case 0xd6:
        return P | F3 | F2;
    case 0xe6:
        return P | F3 | F2;
    case 0xf0:
        return F2 | M;
    default:
        return N | P;
    }
}

unsigned scan_vector_prefixes(enum scan_map map, uint8_t opcode)
{
    if (map == SCAN_0F)
        return prefixes_0f(opcode);
    if (map == SCAN_0F38)
        return opcode < 0x0c || (opcode >= 0x1c && opcode < 0x1f) ? N | P : P;
    return opcode == 0x0f ? N | P : P;
}

static const char newer[] =
    "both: an extension that hs64-v1 lacks and hosts have (VEX, EVEX, XOP, AES, PCLMULQDQ, SHA, "
    "GFNI, MOVBE, ADX, SSE4a, LZCNT, TZCNT, RDRAND, RDPID, XSAVE, CLWB, FSGSBASE, CET, ...): the "
    "host executes it; #UD: test_decode";
static const char leaves[] = "both: leaves the sandbox: SYSCALL, SYSENTER, SYSEXIT, INT n, INT1, "
                             "far transfers; see cpu_gates, test_calls, test_control";
static const char segment_load[] = "both: loads or tests a segment descriptor: the answer depends "
                                   "on the host kernel's GDT; see test_system";
static const char varies[] =
    "both: the host decides the value: RDTSC, RDTSCP, CPUID, XGETBV; see test_cpuid, test_control";
static const char umip[] = "both: SGDT, SIDT, SLDT, STR, SMSW: Linux enables UMIP and emulates "
                           "them, hs64-v1 has no UMIP; see test_control";
static const char branch16[] =
    "Intel: E8, E9 and 0F 80-8F with 66 in 64-bit mode: AMD reads 16 bits of displacement, as the "
    "tester's tables have it, Intel 32; see the golden vectors branch66";
static const char vendor[] = "both: MOV of CR or DR numbers that do not exist or with LOCK, which "
                             "is CR8 on AMD and #UD on Intel: in ring 3, where the tester is, the "
                             "makers' #UD and #GP differ; see test_control, in ring 0";
static const char hypercall[] = "both: 0F 01 with register operand: hypercalls and extensions of "
                                "the vendors, except SWAPGS, LMSW; nothing looks at them";
static const char rep_io[] =
    "both: INS and OUTS with REP: whether RCX=0 precedes the permission check; see test_control";

void scan_print_exclusions(void)
{
    const char *reasons[] = {
        newer, leaves, segment_load, varies, umip, branch16, vendor, hypercall, rep_io};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        printf("  %s\n", reasons[i]);
}

static const char *excluded_primary(const struct scan *s, bool compatibility)
{
    unsigned reg = s->modrm >> 3 & 7, mod = s->modrm >> 6;
    bool near16 = s->operand16 && !(s->rex & 8) && !compatibility;
    switch (s->opcode) {
    case 0x62:
        return !compatibility || mod == 3 ? newer : NULL;
    case 0xc4:
    case 0xc5:
        return compatibility ? segment_load : newer;
    case 0x8f:
        return reg ? newer : NULL;
    case 0x07:
    case 0x17:
    case 0x1f:
        return compatibility ? segment_load : NULL;
    case 0x8e:
        return segment_load;
    case 0x9a:
    case 0xea:
        return compatibility ? leaves : NULL;
    case 0xca:
    case 0xcb:
    case 0xcd:
    case 0xcf:
    case 0xf1:
        return leaves;
    case 0xff:
        return reg == 3 || reg == 5 ? leaves : NULL;
    case 0x6c:
    case 0x6d:
    case 0x6e:
    case 0x6f:
        return s->rep || s->repne ? rep_io : NULL;
    case 0xe8:
    case 0xe9:
        return near16 ? branch16 : NULL;
    default:
        return NULL;
    }
}

static const char *excluded_ae(const struct scan *s)
{
    unsigned reg = s->modrm >> 3 & 7;
    if (s->prefix != SCAN_NONE || s->operand16)
        return newer;
    return s->modrm >> 6 != 3 && reg >= 4 && reg <= 6 ? newer : NULL;
}

static const char *excluded_01(const struct scan *s)
{
    unsigned reg = s->modrm >> 3 & 7;
    if (reg == 4)
        return umip;
    if (s->modrm >> 6 == 3)
        return s->modrm == 0xf8 || reg == 6 ? NULL : hypercall;
    return reg < 2 ? umip : reg == 5 ? newer : NULL;
}

static const char *excluded_0f(const struct scan *s, bool compatibility)
{
    unsigned reg = s->modrm >> 3 & 7;
    switch (s->opcode) {
    case 0x00:
        return reg < 2 ? umip : reg == 4 || reg == 5 ? segment_load : NULL;
    case 0x01:
        return excluded_01(s);
    case 0x02:
    case 0x03:
    case 0xa1:
    case 0xa9:
    case 0xb2:
    case 0xb4:
    case 0xb5:
        return segment_load;
    case 0x05:
    case 0x34:
    case 0x35:
        return leaves;
    case 0x31:
    case 0xa2:
        return varies;
    case 0x20:
    case 0x22: {
        unsigned number = reg | (s->rex & 4) << 1;
        bool exists = number <= 4 ? number != 1 : number == 8;
        return s->lock || !exists ? vendor : NULL;
    }
    case 0x21:
    case 0x23:
        return s->lock || s->rex & 4 ? vendor : NULL;
    case 0x2b:
        return s->prefix == SCAN_F2 || s->prefix == SCAN_F3 ? newer : NULL;
    case 0x78: /* the length, too, differs: EXTRQ and INSERTQ have immediates */
    case 0x79:
        return newer;
    case 0xae:
        return excluded_ae(s);
    case 0xbc:
    case 0xbd:
        return s->rep ? newer : NULL;
    case 0xc7:
        return reg == 1 ? NULL : newer;
    default:
        return s->operand16 && !(s->rex & 8) && !compatibility && (s->opcode & 0xf0) == 0x80
                   ? branch16
                   : NULL;
    }
}

bool scan_is_transcendental(const struct scan *scan)
{
    static const uint16_t functions = 0xc000 | 0x0a00 | 0x000f; /* of D9 F0 to D9 FF */
    return scan->map == SCAN_PRIMARY && scan->opcode == 0xd9 && scan->modrm >= 0xf0 &&
           functions >> (scan->modrm & 15) & 1;
}

const char *scan_excluded(const struct scan *s, bool compatibility)
{
    switch (s->map) {
    case SCAN_PRIMARY:
        return excluded_primary(s, compatibility);
    case SCAN_0F:
        return excluded_0f(s, compatibility);
    case SCAN_0F38:
        if (s->opcode == 0xf0 || s->opcode == 0xf1)
            return s->prefix == SCAN_F2 && !s->rep ? NULL : newer;
        return s->opcode >= 0x80 ? newer : NULL;
    default:
        return s->opcode == 0x44 || s->opcode >= 0x80 ? newer : NULL;
    }
}
