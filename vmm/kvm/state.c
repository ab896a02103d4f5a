/* Registers between struct vcpu_state and KVM. */
#include "vmm/kvm/kvm.h"

#include <string.h>
#include <sys/ioctl.h>

static void segment_from_kvm(struct segment *to, const struct kvm_segment *from)
{
    to->base = from->base;
    to->limit = from->limit;
    to->selector = from->selector;
    to->attributes = 0;
    if (from->unusable || !from->present) {
        to->attributes = (uint16_t)((from->dpl & 3) << SEG_DPL_SHIFT); /* a null SS holds the CPL */
        return;
    }
    to->attributes =
        (uint16_t)((from->type & SEG_TYPE) | (from->s ? SEG_S : 0) |
                   (from->dpl & 3) << SEG_DPL_SHIFT | SEG_P | (from->avl ? SEG_AVL : 0) |
                   (from->l ? SEG_L : 0) | (from->db ? SEG_DB : 0) | (from->g ? SEG_G : 0));
}

static void segment_to_kvm(struct kvm_segment *to, const struct segment *from)
{
    uint16_t a = from->attributes;
    *to = (struct kvm_segment){
        .base = from->base,
        .limit = from->limit,
        .selector = from->selector,
        .type = a & SEG_TYPE,
        .s = (a & SEG_S) != 0,
        .dpl = (a >> SEG_DPL_SHIFT) & 3,
        .present = (a & SEG_P) != 0,
        .avl = (a & SEG_AVL) != 0,
        .l = (a & SEG_L) != 0,
        .db = (a & SEG_DB) != 0,
        .g = (a & SEG_G) != 0,
        .unusable = !(a & SEG_P),
    };
}

static const unsigned segment_count = SEG_COUNT;

/* Field of struct kvm_sregs for a SEG_ number. */
static struct kvm_segment *sregs_segment(struct kvm_sregs *sregs, unsigned index)
{
    struct kvm_segment *const list[SEG_COUNT] = {[SEG_ES] = &sregs->es,
        [SEG_CS] = &sregs->cs,
        [SEG_SS] = &sregs->ss,
        [SEG_DS] = &sregs->ds,
        [SEG_FS] = &sregs->fs,
        [SEG_GS] = &sregs->gs};
    return list[index];
}

static void regs_from_kvm(struct vcpu_state *state, const struct kvm_regs *regs)
{
    const uint64_t gpr[GPR_COUNT] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp,
        regs->rbp, regs->rsi, regs->rdi, regs->r8, regs->r9, regs->r10, regs->r11, regs->r12,
        regs->r13, regs->r14, regs->r15};
    memcpy(state->gpr, gpr, sizeof gpr);
    state->rip = regs->rip;
    state->rflags = regs->rflags;
}

static void regs_to_kvm(struct kvm_regs *regs, const struct vcpu_state *state)
{
    const uint64_t *gpr = state->gpr;
    *regs = (struct kvm_regs){.rax = gpr[RAX],
        .rcx = gpr[RCX],
        .rdx = gpr[RDX],
        .rbx = gpr[RBX],
        .rsp = gpr[RSP],
        .rbp = gpr[RBP],
        .rsi = gpr[RSI],
        .rdi = gpr[RDI],
        .r8 = gpr[R8],
        .r9 = gpr[R9],
        .r10 = gpr[R10],
        .r11 = gpr[R11],
        .r12 = gpr[R12],
        .r13 = gpr[R13],
        .r14 = gpr[R14],
        .r15 = gpr[R15],
        .rip = state->rip,
        .rflags = state->rflags};
}

static void sregs_from_kvm(struct vcpu_state *state, struct kvm_sregs *sregs)
{
    for (unsigned i = 0; i < segment_count; i++)
        segment_from_kvm(&state->segment[i], sregs_segment(sregs, i));
    segment_from_kvm(&state->ldt, &sregs->ldt);
    segment_from_kvm(&state->tr, &sregs->tr);
    state->gdt = (struct descriptor_table){sregs->gdt.base, sregs->gdt.limit};
    state->idt = (struct descriptor_table){sregs->idt.base, sregs->idt.limit};
    state->cr0 = sregs->cr0;
    state->cr2 = sregs->cr2;
    state->cr3 = sregs->cr3;
    state->cr4 = sregs->cr4;
    state->cr8 = sregs->cr8;
    state->efer = sregs->efer;
    state->apic_base = sregs->apic_base;
}

static void sregs_to_kvm(struct kvm_sregs *sregs, const struct vcpu_state *state)
{
    *sregs = (struct kvm_sregs){0};
    for (unsigned i = 0; i < segment_count; i++)
        segment_to_kvm(sregs_segment(sregs, i), &state->segment[i]);
    segment_to_kvm(&sregs->ldt, &state->ldt);
    segment_to_kvm(&sregs->tr, &state->tr);
    sregs->gdt = (struct kvm_dtable){.base = state->gdt.base, .limit = state->gdt.limit};
    sregs->idt = (struct kvm_dtable){.base = state->idt.base, .limit = state->idt.limit};
    sregs->cr0 = state->cr0;
    sregs->cr2 = state->cr2;
    sregs->cr3 = state->cr3;
    sregs->cr4 = state->cr4;
    sregs->cr8 = state->cr8;
    sregs->efer = state->efer;
    sregs->apic_base = state->apic_base;
}

static void events_from_kvm(struct vcpu_state *state, const struct kvm_vcpu_events *events)
{
    state->exception_pending = events->exception.injected || events->exception.pending;
    state->exception_has_error = state->exception_pending && events->exception.has_error_code;
    state->exception_vector = state->exception_pending ? events->exception.nr : 0;
    state->exception_error = state->exception_has_error ? events->exception.error_code : 0;
    state->sti_shadow = (events->interrupt.shadow & KVM_X86_SHADOW_INT_STI) != 0;
    state->mov_ss_shadow = (events->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0;
    state->nmi_blocked = events->nmi.masked != 0;
}

static void events_to_kvm(struct kvm_vcpu_events *events, const struct vcpu_state *state)
{
    *events = (struct kvm_vcpu_events){
        .flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING,
        .exception.injected = state->exception_pending,
        .exception.nr = state->exception_vector,
        .exception.has_error_code = state->exception_has_error,
        .exception.error_code = state->exception_error,
        .interrupt.shadow = (uint8_t)((state->sti_shadow ? KVM_X86_SHADOW_INT_STI : 0) |
                                      (state->mov_ss_shadow ? KVM_X86_SHADOW_INT_MOV_SS : 0)),
        .nmi.masked = state->nmi_blocked,
    };
}

/*
 * Through the XSAVE area, whose first 512 bytes are an FXSAVE image: KVM_GET_FPU leaves MXCSR out.
 * XSTATE_BV follows at byte 512 (APM volume 4, section on XSAVE).
 */
enum { XSTATE_BV = 512, XSTATE_X87_SSE = 3 };

static void fpu_from_kvm(struct fpu_state *to, const struct kvm_xsave *from)
{
    memcpy(to, from->region, sizeof *to);
    to->code_selector = 0; /* lost in the 64-bit form */
    to->data_selector = 0;
}

static void fpu_to_kvm(struct kvm_xsave *to, const struct fpu_state *from)
{
    const uint64_t present = XSTATE_X87_SSE;
    memset(to, 0, sizeof *to);
    struct fpu_state image = *from;
    image.code_selector = 0;
    image.data_selector = 0;
    memcpy(to->region, &image, sizeof image);
    memcpy((uint8_t *)to->region + XSTATE_BV, &present, sizeof present);
}

/* The MSRs that are in struct vcpu_state and not in kvm_sregs. */
enum { MSR_LIST_COUNT = 10 };

struct msr_list {
    struct kvm_msrs header;
    struct kvm_msr_entry entries[MSR_LIST_COUNT];
};

static void msr_list_from_state(struct msr_list *list, const struct vcpu_state *state)
{
    *list = (struct msr_list){.header.nmsrs = MSR_LIST_COUNT,
        .entries = {
            {.index = MSR_SYSENTER_CS, .data = state->sysenter_cs},
            {.index = MSR_SYSENTER_ESP, .data = state->sysenter_esp},
            {.index = MSR_SYSENTER_EIP, .data = state->sysenter_eip},
            {.index = MSR_PAT, .data = state->pat},
            {.index = MSR_STAR, .data = state->star},
            {.index = MSR_LSTAR, .data = state->lstar},
            {.index = MSR_CSTAR, .data = state->cstar},
            {.index = MSR_SFMASK, .data = state->sfmask},
            {.index = MSR_KERNEL_GS_BASE, .data = state->kernel_gs_base},
            {.index = MSR_TSC_AUX, .data = state->tsc_aux},
        }};
}

static void msr_list_to_state(struct vcpu_state *state, const struct msr_list *list)
{
    uint64_t *const fields[MSR_LIST_COUNT] = {&state->sysenter_cs, &state->sysenter_esp,
        &state->sysenter_eip, &state->pat, &state->star, &state->lstar, &state->cstar,
        &state->sfmask, &state->kernel_gs_base, &state->tsc_aux};
    for (unsigned i = 0; i < MSR_LIST_COUNT; i++)
        *fields[i] = list->entries[i].data;
}

static int export_core(struct kvm_engine *kvm, struct vcpu_state *state, struct error *error)
{
    if (kvm->sync_regs) {
        regs_from_kvm(state, &kvm->run->s.regs.regs);
        sregs_from_kvm(state, &kvm->run->s.regs.sregs);
        events_from_kvm(state, &kvm->run->s.regs.events);
        return 0;
    }
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    if (ioctl(kvm->vcpu, KVM_GET_REGS, &regs) < 0 || ioctl(kvm->vcpu, KVM_GET_SREGS, &sregs) < 0 ||
        ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, &events) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's registers");
    regs_from_kvm(state, &regs);
    sregs_from_kvm(state, &sregs);
    events_from_kvm(state, &events);
    return 0;
}

int kvm_state_export(
    struct kvm_engine *kvm, struct vcpu_state *state, bool full, struct error *error)
{
    if (export_core(kvm, state, error) < 0)
        return -1;
    state->halted = kvm->halted;
    if (full) {
        struct kvm_xsave fpu;
        struct kvm_debugregs debug;
        struct msr_list msrs;
        msr_list_from_state(&msrs, state);
        if (ioctl(kvm->vcpu, KVM_GET_XSAVE, &fpu) < 0 ||
            ioctl(kvm->vcpu, KVM_GET_DEBUGREGS, &debug) < 0 ||
            ioctl(kvm->vcpu, KVM_GET_MSRS, &msrs) != MSR_LIST_COUNT)
            return error_set_errno(
                error, "kvm: cannot read the vCPU's FPU, debug registers or MSRs");
        fpu_from_kvm(&state->fpu, &fpu);
        kvm->held.fpu = state->fpu;
        kvm->holds_fpu = true;
        msr_list_to_state(state, &msrs);
        memcpy(state->dr, debug.db, sizeof state->dr);
        state->dr6 = debug.dr6;
        state->dr7 = debug.dr7;
        state->tsc_offset = 0;
        memcpy(state->kept_msr, kvm->kept_msr, sizeof state->kept_msr);
    }
    vcpu_canonicalize(state);
    return 0;
}

int kvm_export_fpu(struct kvm_engine *kvm, struct fpu_state *fpu, struct error *error)
{
    struct kvm_xsave image;
    if (kvm->holds_fpu) {
        *fpu = kvm->held.fpu;
        return 0;
    }
    if (ioctl(kvm->vcpu, KVM_GET_XSAVE, &image) < 0)
        return error_set_errno(error, "kvm: cannot read the vCPU's FPU");
    fpu_from_kvm(fpu, &image);
    kvm->held.fpu = *fpu;
    kvm->holds_fpu = true;
    return 0;
}

/* What goes with the registers of a core, whichever way those go. */
static void note_core(struct kvm_engine *kvm, const struct vcpu_state *state)
{
    kvm->halted = state->halted;
    kvm->interrupted = false;
    kvm->run->cr8 = state->cr8; /* taken over by every KVM_RUN */
}

int kvm_state_import_core(
    struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    regs_to_kvm(&regs, state);
    sregs_to_kvm(&sregs, state);
    events_to_kvm(&events, state);
    if (ioctl(kvm->vcpu, KVM_SET_SREGS, &sregs) < 0)
        return error_set_errno(error, "kvm: the host refuses the segment and control registers");
    if (ioctl(kvm->vcpu, KVM_SET_REGS, &regs) < 0)
        return error_set_errno(error, "kvm: the host refuses the vCPU's registers");
    if (ioctl(kvm->vcpu, KVM_SET_VCPU_EVENTS, &events) < 0)
        return error_set_errno(error, "kvm: the host refuses the vCPU's pending events");
    note_core(kvm, state);
    if (kvm->sync_regs) {
        kvm->run->s.regs.regs = regs;
        kvm->run->s.regs.sregs = sregs;
        kvm->run->s.regs.events = events;
        kvm->run->kvm_dirty_regs = 0;
    }
    return 0;
}

static int set_fpu(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    struct kvm_xsave fpu;
    fpu_to_kvm(&fpu, &state->fpu);
    if (ioctl(kvm->vcpu, KVM_SET_XSAVE, &fpu) < 0)
        return error_set_errno(error, "kvm: the host refuses the FPU");
    return 0;
}

static int set_debug(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    struct kvm_debugregs debug = {.dr6 = state->dr6, .dr7 = state->dr7};
    memcpy(debug.db, state->dr, sizeof state->dr);
    if (ioctl(kvm->vcpu, KVM_SET_DEBUGREGS, &debug) < 0)
        return error_set_errno(error, "kvm: the host refuses the debug registers");
    return 0;
}

static int set_msrs(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    struct msr_list msrs;
    msr_list_from_state(&msrs, state);
    if (ioctl(kvm->vcpu, KVM_SET_MSRS, &msrs) != MSR_LIST_COUNT)
        return error_set_errno(error, "kvm: the host refuses the vCPU's MSRs");
    memcpy(kvm->kept_msr, state->kept_msr, sizeof kvm->kept_msr);
    return 0;
}

int kvm_state_import(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    kvm->holds_fpu = kvm->holds_rest = false;
    if (kvm_state_import_core(kvm, state, error) < 0 || set_fpu(kvm, state, error) < 0 ||
        set_debug(kvm, state, error) < 0)
        return -1;
    return set_msrs(kvm, state, error);
}

/* ---- With as few calls as can be ---------------------------------------------------------------
 */

int kvm_state_load_core(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    if (!kvm->sync_regs)
        return kvm_state_import_core(kvm, state, error);
    regs_to_kvm(&kvm->run->s.regs.regs, state);
    sregs_to_kvm(&kvm->run->s.regs.sregs, state);
    events_to_kvm(&kvm->run->s.regs.events, state);
    kvm->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    note_core(kvm, state);
    return 0;
}

static bool holds_fpu(const struct kvm_engine *kvm, const struct vcpu_state *state)
{
    struct vcpu_state wanted = *state, held = *state;
    held.fpu = kvm->held.fpu;
    vcpu_canonicalize(&held);
    vcpu_canonicalize(&wanted);
    return kvm->holds_fpu && memcmp(&held.fpu, &wanted.fpu, sizeof held.fpu) == 0;
}

static bool holds_debug(const struct kvm_engine *kvm, const struct vcpu_state *state)
{
    const struct vcpu_state *held = &kvm->held;
    return kvm->holds_rest && memcmp(held->dr, state->dr, sizeof held->dr) == 0 &&
           held->dr6 == state->dr6 && held->dr7 == state->dr7;
}

static bool holds_msrs(const struct kvm_engine *kvm, const struct vcpu_state *state)
{
    struct msr_list held, wanted;
    msr_list_from_state(&held, &kvm->held);
    msr_list_from_state(&wanted, state);
    return kvm->holds_rest && memcmp(held.entries, wanted.entries, sizeof held.entries) == 0 &&
           memcmp(kvm->held.kept_msr, state->kept_msr, sizeof state->kept_msr) == 0;
}

int kvm_state_load(struct kvm_engine *kvm, const struct vcpu_state *state, struct error *error)
{
    if (kvm_state_load_core(kvm, state, error) < 0 ||
        (!holds_fpu(kvm, state) && set_fpu(kvm, state, error) < 0) ||
        (!holds_debug(kvm, state) && set_debug(kvm, state, error) < 0) ||
        (!holds_msrs(kvm, state) && set_msrs(kvm, state, error) < 0))
        return -1;
    kvm->held = *state;
    kvm->holds_fpu = kvm->holds_rest = true;
    return 0;
}
