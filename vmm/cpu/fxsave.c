/* 0F AE: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, CLFLUSH, LFENCE, MFENCE, SFENCE */
#include <stddef.h>

#include "vmm/cpu/simd.h"

enum { MXCSR_VALID = 0xffff };
/* In the image: registers 8-15 exist only in 64-bit mode. */
enum { IMAGE_XMM = 160, IMAGE_ALL = 512, IMAGE_WRITTEN_64 = 416, IMAGE_WRITTEN_32 = 288 };

/* Where an image is. */
struct place {
    uint64_t linear;
    uint64_t rest;  /* of what lies beyond the end of 32-bit addresses */
    unsigned first; /* bytes at `linear` */
};

/* An image goes around the end of 32-bit addresses, piece by piece. */
static struct place image_place(
    struct cpu *cpu, const struct insn *insn, uint64_t offset, enum access_kind kind)
{
    const uint64_t end = 1ull << 32;
    struct place place = {.first = IMAGE_ALL};
    bool around =
        cpu->personality.revision >= 2 && insn->address_size == 4 && offset + IMAGE_ALL > end;
    if (around)
        place.first = (unsigned)(end - offset);
    unsigned rest = IMAGE_ALL - place.first;
    if (around) {
        place.rest = cpu_linear_checked(cpu, insn->segment, 0, rest, kind);
        simd_touch(cpu, place.rest + rest - 1, 1, kind);
    }
    place.linear = cpu_linear_checked(cpu, insn->segment, offset, place.first, kind);
    if (!around) /* the makers' reach for the end first */
        simd_touch(cpu, place.linear + IMAGE_ALL - 1, 1, kind);
    return place;
}

static struct place image_address(struct cpu *cpu, const struct insn *insn, enum access_kind kind)
{
    if (cpu->s.cr0 & (CR0_EM | CR0_TS))
        cpu_raise(cpu, VECTOR_NM);
    uint64_t offset = insn_offset(cpu, insn);
    /* What is checked first decides between #SS and #GP of an image across the end of an address
     * space. */
    unsigned first = personality_has(cpu->personality, MAKER_INTEL, 2) ? 1 : 4;
    uint64_t linear = cpu_linear_checked(cpu, insn->segment, offset, first, ACCESS_READ);
    check_alignment(cpu, linear, 4);
    if (linear & 15)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    return image_place(cpu, insn, offset, kind);
}

/* Without REX.W the upper halves of FIP and FDP have FCS and FDS in their place. */
static void join_pointers(struct fpu_state *image, const struct insn *insn)
{
    if (!(insn->rex & 8)) {
        image->instruction = (uint32_t)image->instruction | (uint64_t)image->code_selector << 32;
        image->data = (uint32_t)image->data | (uint64_t)image->data_selector << 32;
    }
    image->code_selector = 0;
    image->data_selector = 0;
}

static void part_pointers(const struct cpu *cpu, struct fpu_state *image, const struct insn *insn)
{
    bool wide = insn->rex & 8, selectors = !wide && cpu_has_fpu_selectors(cpu);
    image->code_selector = selectors ? (uint16_t)(image->instruction >> 32) : 0;
    image->data_selector = selectors ? (uint16_t)(image->data >> 32) : 0;
    if (wide)
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
    const struct place place = image_address(cpu, insn, ACCESS_WRITE);
    const unsigned size = cpu->code64 ? IMAGE_WRITTEN_64 : IMAGE_WRITTEN_32;
    const unsigned first = place.first < size ? place.first : size;
    simd_leave(cpu);
    struct fpu_state image = cpu->s.fpu;
    fpu_to_image(&image);
    if (!(image.status & X87_SUMMARY)) /* as when the state leaves the processor */
        fpu_put_aside(&image, cpu->personality);
    join_pointers(&image, insn);
    cpu_store_bytes(cpu, place.linear, &image, first);
    if (first < size)
        cpu_store_bytes(cpu, place.rest, (const uint8_t *)&image + first, size - first);
}

static void fxrstor(struct cpu *cpu, const struct insn *insn)
{
    struct fpu_state image;
    const struct place place = image_address(cpu, insn, ACCESS_READ);
    cpu_load_bytes(cpu, place.linear, &image, place.first);
    if (place.first < IMAGE_ALL)
        cpu_load_bytes(cpu, place.rest, (uint8_t *)&image + place.first, IMAGE_ALL - place.first);
    if (image.mxcsr & ~(uint32_t)MXCSR_VALID)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    image.reserved0 = 0;
    image.opcode &= X87_OPCODE;
    part_pointers(cpu, &image, insn);
    keep_pointers(cpu, &image);
    image.mxcsr_mask = MXCSR_VALID;
    x87_set_control(&image, image.control);
    for (unsigned i = 0; i < 8; i++)
        memset(image.st[i] + 10, 0, 6);
    memset(image.reserved1, 0, sizeof image.reserved1);
    memset(image.reserved2, 0, sizeof image.reserved2);
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
