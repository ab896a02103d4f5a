/* The vCPU's state: at power-on, canonical, saved, restored, compared and digested. */
#include "vmm/arch/vcpu.h"

#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include "vmm/arch/cpuid.h"
#include "vmm/arch/msr.h"

#define RFLAGS_DEFINED                                                                         \
    (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_OF | \
        FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID)
#define CR0_DEFINED                                                                            \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
        CR0_PG)
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

enum {
    DR6_CHANGES = 0xe00f, /* B0-B3, BD, BS, BT */
    FOP_DEFINED = 0x7ff,
    FCW_DEFINED = 0x1f3f,
    FCW_ONE = 0x40,
    FSW_ERRORS = 0x3f,
    FSW_ES = 0x80,
    FSW_BUSY = 0x8000,
    MXCSR_DEFINED = 0xffff,
};
#define DR6_ONES    0xffff0ff0ull
#define DR7_CHANGES 0xffff23ffull
#define DR7_ONES    0x400ull

/* ---- The fields, in the order of the saved form ---------------------------------------------- */

/* Core fields first: the core digest is over a prefix of the saved form. */
struct field {
    const char *name;
    uint16_t offset;
    uint8_t size; /* 1, 2, 4 or 8 */
    bool is_bool;
};

#define FIELD(label, member)                                                                  \
    {                                                                                         \
        label, offsetof(struct vcpu_state, member), sizeof(((struct vcpu_state *)0)->member), \
            false                                                                             \
    }
#define BOOL_FIELD(label, member)                           \
    {                                                       \
        label, offsetof(struct vcpu_state, member), 1, true \
    }
#define SEGMENT_FIELDS(label, member)                                             \
    FIELD(label, member.selector), FIELD(label ".attributes", member.attributes), \
        FIELD(label ".limit", member.limit), FIELD(label ".base", member.base)

static const struct field core_fields[] = {
    FIELD("rax", gpr[RAX]),
    FIELD("rcx", gpr[RCX]),
    FIELD("rdx", gpr[RDX]),
    FIELD("rbx", gpr[RBX]),
    FIELD("rsp", gpr[RSP]),
    FIELD("rbp", gpr[RBP]),
    FIELD("rsi", gpr[RSI]),
    FIELD("rdi", gpr[RDI]),
    FIELD("r8", gpr[R8]),
    FIELD("r9", gpr[R9]),
    FIELD("r10", gpr[R10]),
    FIELD("r11", gpr[R11]),
    FIELD("r12", gpr[R12]),
    FIELD("r13", gpr[R13]),
    FIELD("r14", gpr[R14]),
    FIELD("r15", gpr[R15]),
    FIELD("rip", rip),
    FIELD("rflags", rflags),
    SEGMENT_FIELDS("es", segment[SEG_ES]),
    SEGMENT_FIELDS("cs", segment[SEG_CS]),
    SEGMENT_FIELDS("ss", segment[SEG_SS]),
    SEGMENT_FIELDS("ds", segment[SEG_DS]),
    SEGMENT_FIELDS("fs", segment[SEG_FS]),
    SEGMENT_FIELDS("gs", segment[SEG_GS]),
    SEGMENT_FIELDS("ldtr", ldt),
    SEGMENT_FIELDS("tr", tr),
    FIELD("gdtr.base", gdt.base),
    FIELD("gdtr.limit", gdt.limit),
    FIELD("idtr.base", idt.base),
    FIELD("idtr.limit", idt.limit),
    FIELD("cr0", cr0),
    FIELD("cr2", cr2),
    FIELD("cr3", cr3),
    FIELD("cr4", cr4),
    FIELD("cr8", cr8),
    FIELD("efer", efer),
    FIELD("apic_base", apic_base),
    BOOL_FIELD("exception_pending", exception_pending),
    BOOL_FIELD("exception_has_error", exception_has_error),
    FIELD("exception_vector", exception_vector),
    FIELD("exception_error", exception_error),
    BOOL_FIELD("sti_shadow", sti_shadow),
    BOOL_FIELD("mov_ss_shadow", mov_ss_shadow),
    BOOL_FIELD("nmi_blocked", nmi_blocked),
    BOOL_FIELD("halted", halted),
};

/* What KVM hands over only when asked. The FPU image follows these. */
static const struct field other_fields[] = {
    FIELD("dr0", dr[0]),
    FIELD("dr1", dr[1]),
    FIELD("dr2", dr[2]),
    FIELD("dr3", dr[3]),
    FIELD("dr6", dr6),
    FIELD("dr7", dr7),
    FIELD("sysenter_cs", sysenter_cs),
    FIELD("sysenter_esp", sysenter_esp),
    FIELD("sysenter_eip", sysenter_eip),
    FIELD("pat", pat),
    FIELD("star", star),
    FIELD("lstar", lstar),
    FIELD("cstar", cstar),
    FIELD("sfmask", sfmask),
    FIELD("kernel_gs_base", kernel_gs_base),
    FIELD("tsc_aux", tsc_aux),
    FIELD("tsc_offset", tsc_offset),
    FIELD("misc_enable", kept_msr[MSR_KEPT_MISC_ENABLE]),
    FIELD("perf_ctl0", kept_msr[MSR_KEPT_PERF_CTL]),
    FIELD("perf_ctl1", kept_msr[MSR_KEPT_PERF_CTL + 1]),
    FIELD("perf_ctl2", kept_msr[MSR_KEPT_PERF_CTL + 2]),
    FIELD("perf_ctl3", kept_msr[MSR_KEPT_PERF_CTL + 3]),
    FIELD("perf_ctr0", kept_msr[MSR_KEPT_PERF_CTR]),
    FIELD("perf_ctr1", kept_msr[MSR_KEPT_PERF_CTR + 1]),
    FIELD("perf_ctr2", kept_msr[MSR_KEPT_PERF_CTR + 2]),
    FIELD("perf_ctr3", kept_msr[MSR_KEPT_PERF_CTR + 3]),
    FIELD("sys_cfg", kept_msr[MSR_KEPT_SYS_CFG]),
    FIELD("hwcr", kept_msr[MSR_KEPT_HWCR]),
    FIELD("ls_cfg", kept_msr[MSR_KEPT_LS_CFG]),
    FIELD("ic_cfg", kept_msr[MSR_KEPT_IC_CFG]),
    FIELD("dc_cfg", kept_msr[MSR_KEPT_DC_CFG]),
    FIELD("bu_cfg", kept_msr[MSR_KEPT_BU_CFG]),
    FIELD("de_cfg", kept_msr[MSR_KEPT_DE_CFG]),
};

enum {
    CORE_COUNT = sizeof core_fields / sizeof core_fields[0],
    OTHER_COUNT = sizeof other_fields / sizeof other_fields[0],
    PACKED_MAXIMUM = 8 * (CORE_COUNT + OTHER_COUNT) + sizeof(struct fpu_state),
};

/* x86 hosts only: host byte order is the saved form's. Each exit that is recorded packs the core:
 * unrolled, the tables become the instructions that copy. */
static inline __attribute__((always_inline)) uint8_t *pack(
    uint8_t *out, const struct vcpu_state *state, const struct field *fields, unsigned count)
{
    const uint8_t *base = (const uint8_t *)state;
#pragma GCC unroll 128
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *from = base + fields[i].offset;
        switch (fields[i].size) {
        case 8:
            memcpy(out, from, 8);
            break;
        case 4:
            memcpy(out, from, 4);
            break;
        case 2:
            memcpy(out, from, 2);
            break;
        default:
            *out = *from;
        }
        out += fields[i].size;
    }
    return out;
}

static uint8_t *pack_all(uint8_t *out, const struct vcpu_state *state)
{
    out = pack(out, state, core_fields, CORE_COUNT);
    out = pack(out, state, other_fields, OTHER_COUNT);
    memcpy(out, &state->fpu, sizeof state->fpu);
    return out + sizeof state->fpu;
}

uint64_t vcpu_digest_core(const struct vcpu_state *state)
{
    uint8_t packed[PACKED_MAXIMUM];
    const uint8_t *end = pack(packed, state, core_fields, CORE_COUNT);
    return XXH3_64bits(packed, (size_t)(end - packed));
}

uint64_t vcpu_digest_full(const struct vcpu_state *state)
{
    uint8_t packed[PACKED_MAXIMUM];
    const uint8_t *end = pack_all(packed, state);
    return XXH3_64bits(packed, (size_t)(end - packed));
}

void vcpu_save(const struct vcpu_state *state, struct buffer *out)
{
    uint8_t packed[PACKED_MAXIMUM];
    const uint8_t *end = pack_all(packed, state);
    buffer_put(out, packed, (size_t)(end - packed));
}

/* ---- Power-on and the canonical form --------------------------------------------------------- */

static struct segment real_mode_segment(uint16_t selector, uint64_t base, unsigned type)
{
    return (struct segment){.base = base,
        .limit = 0xffff,
        .selector = selector,
        .attributes = (uint16_t)(SEG_P | SEG_S | type)};
}

void vcpu_reset(struct vcpu_state *state)
{
    memset(state, 0, sizeof *state);
    state->rip = 0xfff0;
    state->rflags = FLAG_ONE;
    msr_reset(state->kept_msr);
    unsigned data = SEG_WRITABLE | SEG_ACCESSED;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] = real_mode_segment(0, 0, data);
    state->segment[SEG_CS] = real_mode_segment(0xf000, 0xffff0000, SEG_CODE | data);
    state->ldt = (struct segment){.limit = 0xffff, .attributes = SEG_P | 2};
    state->tr = (struct segment){.limit = 0xffff, .attributes = SEG_P | 11};
    state->gdt.limit = 0xffff;
    state->idt.limit = 0xffff;
    state->cr0 = CR0_ET | CR0_NW | CR0_CD;
    state->dr6 = DR6_ONES;
    state->dr7 = DR7_ONES;
    state->apic_base = 0xfee00900; /* enabled, bootstrap processor */
    state->pat = 0x0007040600070406;
    state->fpu.control = 0x40;
    state->fpu.tag = 0xff; /* reset leaves +0.0 in every register, marked as held */
    state->fpu.mxcsr = 0x1f80;
    vcpu_canonicalize(state);
}

static void canonicalize_segment(struct vcpu_state *state, unsigned index)
{
    struct segment *segment = &state->segment[index];
    if (segment->attributes & SEG_P) {
        segment->attributes &= 0xfff;
        segment->attributes |= SEG_ACCESSED;
        if (index != SEG_FS && index != SEG_GS)
            segment->base = (uint32_t)segment->base;
        return;
    }
    /* The DPL of a null SS is the CPL; the bases of FS and GS can be read even when null. */
    segment->attributes = index == SEG_SS ? segment->attributes & (3 << SEG_DPL_SHIFT) : 0;
    segment->limit = 0;
    if (index != SEG_FS && index != SEG_GS)
        segment->base = 0;
}

static void canonicalize_system_segment(struct segment *segment)
{
    if (segment->attributes & SEG_P) {
        segment->attributes &= 0xfff;
        return;
    }
    segment->attributes = 0;
    segment->limit = 0;
    segment->base = 0;
}

void fpu_put_aside(struct fpu_state *fpu, struct personality personality)
{
    fpu->code_selector = 0; /* the image is that of FXSAVE64 */
    fpu->data_selector = 0;
    if (personality.maker == MAKER_INTEL || (fpu->status & FSW_ES))
        return;
    fpu->opcode = 0;
    fpu->instruction = 0;
    fpu->data = 0;
}

static void canonicalize_fpu(struct fpu_state *fpu)
{
    fpu->control = (fpu->control & FCW_DEFINED) | FCW_ONE;
    fpu->status &= (uint16_t) ~(FSW_ES | FSW_BUSY);
    if (fpu->status & ~fpu->control & FSW_ERRORS)
        fpu->status |= FSW_ES | FSW_BUSY;
    fpu->reserved0 = 0;
    fpu->opcode &= FOP_DEFINED;
    fpu->mxcsr &= MXCSR_DEFINED;
    fpu->mxcsr_mask = MXCSR_DEFINED;
    for (unsigned i = 0; i < 8; i++)
        memset(&fpu->st[i][10], 0, 6);
    memset(fpu->reserved1, 0, sizeof fpu->reserved1);
    memset(fpu->reserved2, 0, sizeof fpu->reserved2);
}

void vcpu_canonicalize_core(struct vcpu_state *state)
{
    state->rflags = (state->rflags & RFLAGS_DEFINED) | FLAG_ONE;
    state->cr0 = (state->cr0 & CR0_DEFINED) | CR0_ET;
    state->cr8 &= 0xf;
    state->efer &= EFER_DEFINED;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        canonicalize_segment(state, i);
    canonicalize_system_segment(&state->ldt);
    canonicalize_system_segment(&state->tr);
    if (state->tr.attributes & SEG_P)
        state->tr.attributes |= 2; /* a loaded TSS is busy */
    if (!vcpu_in_64bit_mode(state))
        state->rip = (uint32_t)state->rip;
    if (!state->exception_pending) {
        state->exception_has_error = false;
        state->exception_vector = 0;
    }
    if (!state->exception_has_error)
        state->exception_error = 0;
}

void vcpu_canonicalize(struct vcpu_state *state)
{
    vcpu_canonicalize_core(state);
    state->dr6 = (state->dr6 & DR6_CHANGES) | DR6_ONES;
    state->dr7 = (state->dr7 & DR7_CHANGES) | DR7_ONES;
    canonicalize_fpu(&state->fpu);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static bool canonical_address(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static bool control_registers_make_sense(const struct vcpu_state *state)
{
    bool paging = state->cr0 & CR0_PG;
    bool long_active = state->efer & EFER_LMA;
    if (paging && !(state->cr0 & CR0_PE))
        return false;
    if ((state->cr0 & CR0_NW) && !(state->cr0 & CR0_CD))
        return false;
    if (long_active != (paging && (state->efer & EFER_LME)))
        return false;
    if (long_active && (!(state->cr4 & CR4_PAE) || (state->rflags & FLAG_VM)))
        return false;
    return !(state->cr4 & ~(uint64_t)CPUID_CR4_ALLOWED) && !(state->cr3 >> CPUID_PHYSICAL_BITS) &&
           !((state->dr6 | state->dr7) >> 32);
}

static bool addresses_make_sense(const struct vcpu_state *state)
{
    if (vcpu_in_64bit_mode(state) && (state->segment[SEG_CS].attributes & SEG_DB))
        return false;
    return canonical_address(state->rip) && canonical_address(state->segment[SEG_FS].base) &&
           canonical_address(state->segment[SEG_GS].base) && canonical_address(state->ldt.base) &&
           canonical_address(state->tr.base) && canonical_address(state->gdt.base) &&
           canonical_address(state->idt.base) && canonical_address(state->lstar) &&
           canonical_address(state->cstar) && canonical_address(state->kernel_gs_base);
}

static void unpack(
    struct vcpu_state *state, struct reader *in, const struct field *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t *to = (uint8_t *)state + fields[i].offset;
        if (fields[i].is_bool) {
            uint8_t value = reader_get_u8(in);
            if (value > 1)
                in->failed = true;
            *to = value == 1;
        } else {
            reader_get(in, to, fields[i].size);
        }
    }
}

void vcpu_restore(struct vcpu_state *state, struct reader *in)
{
    memset(state, 0, sizeof *state);
    unpack(state, in, core_fields, CORE_COUNT);
    unpack(state, in, other_fields, OTHER_COUNT);
    reader_get(in, &state->fpu, sizeof state->fpu);
    struct vcpu_state canonical = *state;
    vcpu_canonicalize(&canonical);
    uint8_t packed[2][PACKED_MAXIMUM];
    size_t size = (size_t)(pack_all(packed[0], state) - packed[0]);
    pack_all(packed[1], &canonical);
    if (memcmp(packed[0], packed[1], size) != 0 || !control_registers_make_sense(state) ||
        !addresses_make_sense(state))
        in->failed = true;
    if (in->failed)
        vcpu_reset(state);
}

/* ---- For people ------------------------------------------------------------------------------ */

static uint64_t field_value(const struct vcpu_state *state, const struct field *field)
{
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)state + field->offset, field->size);
    return value;
}

static void describe_flags(uint64_t rflags, struct buffer *out)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } names[] = {{FLAG_ID, "ID"}, {FLAG_VIP, "VIP"}, {FLAG_VIF, "VIF"}, {FLAG_AC, "AC"},
        {FLAG_VM, "VM"}, {FLAG_RF, "RF"}, {FLAG_NT, "NT"}, {FLAG_OF, "OF"}, {FLAG_DF, "DF"},
        {FLAG_IF, "IF"}, {FLAG_TF, "TF"}, {FLAG_SF, "SF"}, {FLAG_ZF, "ZF"}, {FLAG_AF, "AF"},
        {FLAG_PF, "PF"}, {FLAG_CF, "CF"}};
    buffer_printf(out, "%-15s0x%-18llx[", "eflags", (unsigned long long)rflags);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (rflags & names[i].bit)
            buffer_printf(out, " %s", names[i].name);
    buffer_printf(out, " ]\n");
}

static void describe_segment(const char *name, const struct segment *segment, struct buffer *out)
{
    buffer_printf(out, "%-15s0x%-18xbase 0x%llx limit 0x%x attributes 0x%x\n", name,
        segment->selector, (unsigned long long)segment->base, segment->limit, segment->attributes);
}

void vcpu_describe(const struct vcpu_state *state, struct buffer *out)
{
    static const char *const segments[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    for (unsigned i = 0; i <= GPR_COUNT; i++) {
        uint64_t value = field_value(state, &core_fields[i]);
        buffer_printf(out, "%-15s0x%-18llx%lld\n", core_fields[i].name, (unsigned long long)value,
            (long long)value);
    }
    describe_flags(state->rflags, out);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        describe_segment(segments[i], &state->segment[i], out);
    describe_segment("ldtr", &state->ldt, out);
    describe_segment("tr", &state->tr, out);
    buffer_printf(out, "%-15sbase 0x%llx limit 0x%x\n", "gdtr", (unsigned long long)state->gdt.base,
        state->gdt.limit);
    buffer_printf(out, "%-15sbase 0x%llx limit 0x%x\n", "idtr", (unsigned long long)state->idt.base,
        state->idt.limit);
    buffer_printf(out, "cr0 0x%llx  cr2 0x%llx  cr3 0x%llx  cr4 0x%llx  cr8 0x%llx  efer 0x%llx\n",
        (unsigned long long)state->cr0, (unsigned long long)state->cr2,
        (unsigned long long)state->cr3, (unsigned long long)state->cr4,
        (unsigned long long)state->cr8, (unsigned long long)state->efer);
    buffer_printf(out, "dr0 0x%llx  dr1 0x%llx  dr2 0x%llx  dr3 0x%llx  dr6 0x%llx  dr7 0x%llx\n",
        (unsigned long long)state->dr[0], (unsigned long long)state->dr[1],
        (unsigned long long)state->dr[2], (unsigned long long)state->dr[3],
        (unsigned long long)state->dr6, (unsigned long long)state->dr7);
    buffer_printf(out, "cpl %u%s%s%s%s\n", vcpu_cpl(state), state->halted ? ", halted" : "",
        state->sti_shadow ? ", STI shadow" : "", state->mov_ss_shadow ? ", MOV SS shadow" : "",
        state->nmi_blocked ? ", NMI blocked" : "");
}

static unsigned compare_fields(const struct vcpu_state *a, const struct vcpu_state *b,
    const struct field *fields, unsigned count, struct buffer *out)
{
    unsigned differences = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t left = field_value(a, &fields[i]);
        uint64_t right = field_value(b, &fields[i]);
        if (left == right)
            continue;
        differences++;
        buffer_printf(out, "%s  0x%llx  0x%llx\n", fields[i].name, (unsigned long long)left,
            (unsigned long long)right);
    }
    return differences;
}

static unsigned compare_number(const char *name, uint64_t left, uint64_t right, struct buffer *out)
{
    if (left == right)
        return 0;
    buffer_printf(
        out, "%s  0x%llx  0x%llx\n", name, (unsigned long long)left, (unsigned long long)right);
    return 1;
}

static unsigned compare_wide(const char *name, unsigned index, const uint8_t left[16],
    const uint8_t right[16], struct buffer *out)
{
    if (memcmp(left, right, 16) == 0)
        return 0;
    uint64_t words[4];
    memcpy(words, left, 16);
    memcpy(words + 2, right, 16);
    buffer_printf(out, "%s%u  0x%016llx%016llx  0x%016llx%016llx\n", name, index,
        (unsigned long long)words[1], (unsigned long long)words[0], (unsigned long long)words[3],
        (unsigned long long)words[2]);
    return 1;
}

static unsigned compare_fpu(
    const struct fpu_state *a, const struct fpu_state *b, struct buffer *out)
{
    unsigned differences = compare_number("fcw", a->control, b->control, out);
    differences += compare_number("fsw", a->status, b->status, out);
    differences += compare_number("ftw", a->tag, b->tag, out);
    differences += compare_number("fop", a->opcode, b->opcode, out);
    differences += compare_number("fip", a->instruction, b->instruction, out);
    differences += compare_number("fdp", a->data, b->data, out);
    differences += compare_number("fcs", a->code_selector, b->code_selector, out);
    differences += compare_number("fds", a->data_selector, b->data_selector, out);
    differences += compare_number("mxcsr", a->mxcsr, b->mxcsr, out);
    differences += compare_number("mxcsr_mask", a->mxcsr_mask, b->mxcsr_mask, out);
    for (unsigned i = 0; i < 8; i++)
        differences += compare_wide("st", i, a->st[i], b->st[i], out);
    for (unsigned i = 0; i < 16; i++)
        differences += compare_wide("xmm", i, a->xmm[i], b->xmm[i], out);
    return differences;
}

unsigned vcpu_compare(const struct vcpu_state *a, const struct vcpu_state *b, struct buffer *out)
{
    return compare_fields(a, b, core_fields, CORE_COUNT, out) +
           compare_fields(a, b, other_fields, OTHER_COUNT, out) +
           compare_fpu(&a->fpu, &b->fpu, out);
}
