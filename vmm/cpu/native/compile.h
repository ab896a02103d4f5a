/*
 * What the translators of the instruction groups share: the state of one translation, where guest
 * registers are, how memory is reached, what is known about the flags.
 */
#ifndef VMM_CPU_NATIVE_COMPILE_H
#define VMM_CPU_NATIVE_COMPILE_H

#include "vmm/cpu/forms.h"
#include "vmm/cpu/native/emit.h"
#include "vmm/cpu/native/native.h"
#include "vmm/cpu/operand.h"
#include "vmm/cpu/vendor.h"

/* Short displacements reach the most from here. */
enum { CPU_BIAS = 128 };

/*
 * Guest registers live in the host register of this table; HOST_NONE: in struct cpu. RAX, RCX and
 * R15 are for translation: values that an instruction needs on its way; RBP is the struct cpu, RSP
 * the host's stack.
 */
enum { HOST_NONE = 0xff };
extern const uint8_t host_of_guest[16];

/* A jump to what the instruction does in the infrequent case. */
struct escape {
    uint8_t *displacement;
    uint8_t number; /* of the op */
};

enum { OPS_MAX = BLOCK_MAX_OPS + 1, ESCAPES_MAX = 6 * OPS_MAX };

/* What the flags still lack of AMD's shifts: OF and AF follow from the others, again and again. */
enum pending { PENDING_NONE, PENDING_LEFT, PENDING_RIGHT, PENDING_ONE };

struct compile {
    struct emitter e;
    struct cpu *cpu;
    struct native *native;
    struct block *block;
    const struct op *op; /* under way */
    const struct insn *insn;
    const struct translation_form *form;
    unsigned number;      /* of `op` in the block */
    bool sse_checked;     /* cpu->sse_ready was looked at */
    bool rax_busy;        /* memory_at_linear() uses it */
    bool flags_in_cpu;    /* cpu->flags is what the guest's flags are, as far as they matter */
    bool flags_in_host;   /* ... the host's RFLAGS are */
    bool flags_settled;   /* the op under way has put its flags where it says, whatever its form */
    enum pending pending; /* to be settled before anybody sees the flags */
    enum pending pending_at[OPS_MAX]; /* ... where the op escapes */
    uint16_t live[OPS_MAX + 1];       /* arithmetic flags that matter after each op */
    /* Routines with RCX = block and RAX = offset into its ops. */
    const uint8_t *step, *last, *match, *link;
    bool linked[2]; /* block->native_links is there */
    struct escape escapes[ESCAPES_MAX];
    unsigned escape_count;
    uint8_t *resume[OPS_MAX];   /* where an escaped instruction goes on; NULL: nowhere */
    bool resume_flags[OPS_MAX]; /* ... with the host's flags loaded */
};

/* For `possible`. */
static inline bool insn_is_8_bytes(const struct insn *insn)
{
    return insn->operand_size == 8;
}

static inline bool insn_is_4_or_8_bytes(const struct insn *insn)
{
    return insn->operand_size >= 4;
}

static inline bool insn_has_registers_only(const struct insn *insn)
{
    return !(insn->flags & INSN_MEMORY);
}

/* The forms of one instruction, for its row in decode_table.c: the first that is possible. One
 * without `emit` ends them. */
#define NATIVE(name, ...) \
    const struct translation_form native_##name[] = {__VA_ARGS__, {.emit = NULL}};
#define ALWAYS .possible = NULL

/* The comparison of the register that tells (match.c); escapes when it has the wanted value. */
void native_emit_match(struct compile *c);
/* Compares the register that tells now. */
void native_match_tell(const struct cpu *cpu, struct block *block);
/* What op needs; NULL: its handler is called. */
const struct translation_form *native_form(const struct insn *insn);

/* ---- Places ---------------------------------------------------------------------------------- */

static inline struct place cpu_place(size_t offset)
{
    return place_base(HOST_RBP, (int32_t)offset - CPU_BIAS);
}

#define CPU_PLACE(member) cpu_place(offsetof(struct cpu, member))

static inline struct place guest_slot(unsigned number)
{
    return cpu_place(offsetof(struct cpu, s.gpr) + 8 * number);
}

/* Where guest register `number` is. */
struct place guest_place(unsigned number);
/* The same for an operand of `size` bytes; AH to BH are in struct cpu, to where their registers are
 * stored first; after a write guest_written() brings them back. */
struct place operand_place(struct compile *c, unsigned number, unsigned size);
void operand_written(struct compile *c, unsigned number, unsigned size);
/* The host register that holds the operand: RCX if it has none. */
unsigned operand_in_register(struct compile *c, unsigned number, unsigned size);
/* Operand = `reg`, which is not RCX unless the operand has a register; zero-extended from 4 bytes.
 * RCX is used. */
void operand_set(struct compile *c, unsigned number, unsigned size, unsigned reg);
/* The host register that holds a guest register, after loading it into `scratch` if need be. */
unsigned guest_in_register(struct compile *c, unsigned number, unsigned scratch);
/* Guest register `number` = `reg`, all 64 bits. */
void guest_set(struct compile *c, unsigned number, unsigned reg);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Of the bank of TLB entries for execution in cpu->tlb. */
enum { CODE_ENTRIES = ACCESS_EXECUTE * TLB_ENTRIES * sizeof(struct tlb_entry) };

/* The register with the memory operand's offset or, if `linear`, its linear address: RAX, or the
 * one of a guest register, which must stay as it is. RCX is used. */
unsigned effective_address(struct compile *c, bool linear);
/*
 * `size` bytes at the linear address in `linear`: a place that is good until that register or R15
 * changes; RCX is free afterwards. Escapes on everything but a direct TLB entry. Takes the flags
 * from the host.
 */
struct place memory_at_linear(
    struct compile *c, unsigned linear, unsigned size, enum access_kind kind);
/* The instruction's memory operand. */
struct place memory_operand(struct compile *c, unsigned size, enum access_kind kind);
/* R15 + CODE_ENTRIES is the TLB entry for executing at the linear address in RAX, whose page is in
 * RCX. Returns the jump taken if there is none. */
uint8_t *emit_code_entry(struct emitter *e);

/* Leaves the straight path under `condition` (as in Jcc). */
void escape_if(struct compile *c, unsigned condition);
void escape_at(struct compile *c, uint8_t *displacement);

/* Goes on at op->delta[which]; the flags are saved. */
void emit_branch_to(struct compile *c, unsigned which);

/* ---- Flags ----------------------------------------------------------------------------------- */

#define FLAGS_ALL ((uint16_t)FLAGS_ARITHMETIC)

/* cpu->flags are the guest's; the host's may still be, too. */
void flags_save(struct compile *c);
/* Before anything that changes the host's flags, or shows the guest's to somebody. */
void flags_leave_host(struct compile *c);
/* Makes the host's flags the guest's. */
void flags_enter_host(struct compile *c);
/* As far as CF goes. */
void flags_enter_carry(struct compile *c);
/* Just before the instruction that changes flags: what it may keep must be there. */
void flags_prepare(struct compile *c);
/* It has left the guest's flags in the host's. */
void flags_are_in_host(struct compile *c);

/* ---- Undefined flags (undefined.c) -----------------------------------------------------------
 *
 * For instructions that leave flags undefined of which some are live (flags_matter): right after
 * one of them on the host these put what vendor.h says into cpu->flags. Flags that are kept have to
 * be there before (flags_save).
 */

bool flags_matter(const struct compile *c, uint16_t mask);
void flags_are_in_cpu(struct compile *c);
/* SHL, SHR, SAR by a constant that is not 0; with Intel RCX is the value before. */
void settle_shift(struct compile *c, unsigned operation, unsigned size, unsigned count);
/* Settles what is pending, in cpu->flags. */
void settle_pending(struct compile *c);
/* The same with the flags in cpu->flags, for the path of an escape. */
void emit_pending(struct compile *c, enum pending pending);
/* With AMD: by CL, whose register RCX holds. */
void settle_shift_cl(struct compile *c, unsigned operation, unsigned size);
/* With AMD: SHLD, SHRD by a constant that is not 0; SHRD: RCX is the result. */
void settle_double_shift(struct compile *c, bool left, unsigned size, unsigned count);
/* With AMD: ROL, ROR by a constant that is not 0; RCX is the result. */
void settle_rotate(struct compile *c, bool left, unsigned size);
/* CF is new, the others are kept. */
void settle_carry(struct compile *c);
/* MUL, IMUL; `low` is the register with the lower half. `in_ax`: flags that are kept are in AH,
 * after flags_into_ax(). */
void settle_multiply(struct compile *c, unsigned size, unsigned low, bool in_ax);
void flags_into_ax(struct compile *c);
void settle_divide(struct compile *c);

/* Has the op under way done by its handler. */
void emit_handler(struct compile *c);

/* ---- Routines (routines.c) ------------------------------------------------------------------- */

void native_emit_routines(struct native *native);

#endif
