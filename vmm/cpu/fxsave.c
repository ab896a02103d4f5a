/* 0F AE: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, CLFLUSH, LFENCE, MFENCE, SFENCE */
#include <stddef.h>

#include "vmm/cpu/simd.h"

enum { MXCSR_VALID = 0xffff };
/* In the image: registers 8-15 exist only in 64-bit mode. */
enum { IMAGE_XMM = 160, IMAGE_ALL = 512, IMAGE_WRITTEN_64 = 416, IMAGE_WRITTEN_32 = 288 };

static uint64_t image_address(struct cpu *cpu, const struct insn *insn, enum access_kind kind)
{
    if (cpu->s.cr0 & (CR0_EM | CR0_TS))
        cpu_raise(cpu, VECTOR_NM);
    uint64_t offset = insn_offset(cpu, insn);
    /* The order of these checks is AMD's. */
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, 4, ACCESS_READ);
    check_alignment(cpu, linear, 4);
    if (linear & 15)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    linear = cpu_linear_checked(cpu, insn->segment, offset, IMAGE_ALL, kind);
    simd_touch(cpu, linear + IMAGE_ALL - 1, 1, kind); /* AMD's reach for the end first */
    return linear;
}

/* Without REX.W the upper halves of FIP and FDP have FCS and FDS in their place, which are 0. */
static void cut_pointers(struct fpu_state *image, const struct insn *insn)
{
    if (insn->rex & 8)
        return;
    image->instruction = (uint32_t)image->instruction;
    image->data = (uint32_t)image->data;
}

/* AMD's processors keep 57 bits of a pointer and extend the highest of them. */
static void keep_pointers(const struct cpu *cpu, struct fpu_state *image)
{
    if (cpu_is_intel(cpu))
        return;
    image->instruction = (uint64_t)((int64_t)(image->instruction << 7) >> 7);
    image->data = (uint64_t)((int64_t)(image->data << 7) >> 7);
}

/* The last 96 bytes of the image belong to software and are not written. */
static void fxsave(struct cpu *cpu, const struct insn *insn)
{
    uint64_t linear = image_address(cpu, insn, ACCESS_WRITE);
    simd_leave(cpu);
    struct fpu_state image = cpu->s.fpu;
    fpu_to_image(&image);
    fpu_put_aside(&image, cpu->personality);
    cut_pointers(&image, insn);
    cpu_store_bytes(cpu, linear, &image, cpu->code64 ? IMAGE_WRITTEN_64 : IMAGE_WRITTEN_32);
}

static void fxrstor(struct cpu *cpu, const struct insn *insn)
{
    struct fpu_state image;
    uint64_t linear = image_address(cpu, insn, ACCESS_READ);
    cpu_load_bytes(cpu, linear, &image, IMAGE_ALL);
    if (image.mxcsr & ~(uint32_t)MXCSR_VALID)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    image.reserved0 = 0;
    image.opcode &= X87_OPCODE;
    cut_pointers(&image, insn);
    keep_pointers(cpu, &image);
    image.mxcsr_mask = MXCSR_VALID;
    x87_set_control(&image, image.control);
    for (unsigned i = 0; i < 8; i++)
        memset(image.st[i] + 10, 0, 6);
    memset(image.reserved1, 0, sizeof image.reserved1);
    if (!cpu->code64)
        memcpy(image.xmm[8], cpu->s.fpu.xmm[8], 8 * 16);
    fpu_from_image(&image);
    simd_leave(cpu);
    cpu->s.fpu = image;
}

static void ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
    uint8_t buffer[4];
    uint32_t value;
    sse_check(cpu);
    memcpy(&value, simd_load(cpu, insn, 4, false, buffer), 4);
    if (value & ~(uint32_t)MXCSR_VALID)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    simd_leave(cpu);
    cpu->s.fpu.mxcsr = value;
}

static void stmxcsr(struct cpu *cpu, const struct insn *insn)
{
    sse_check(cpu);
    simd_leave(cpu);
    simd_store(cpu, insn, &cpu->s.fpu.mxcsr, 4, false);
}

/* Checked like a load of one byte; there is no cache to flush. */
static void clflush(struct cpu *cpu, const struct insn *insn)
{
    uint8_t byte;
    simd_load(cpu, insn, 1, false, &byte);
}

/* One vCPU, executed in program order. */
static void fence(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu;
    (void)insn;
}

insn_handler fxsave_handler(const struct insn *insn)
{
    static const insn_handler memory[8] = {
        fxsave, fxrstor, ldmxcsr, stmxcsr, NULL, NULL, NULL, clflush};
    if (insn->prefix != PREFIX_NONE)
        return NULL;
    unsigned reg = modrm_mmx_reg(insn);
    if (insn->flags & INSN_MEMORY)
        return memory[reg];
    return reg >= 5 ? fence : NULL;
}
