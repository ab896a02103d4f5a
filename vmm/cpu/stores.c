/* Store buffers of several vCPUs. */
#include "vmm/cpu/stores.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "vmm/cpu/system.h"
#include "vmm/cpu/tables.h"

struct piece {
    uint64_t gpa;
    uint8_t data[8];
    uint8_t size;
};

struct store_buffer {
    struct piece pieces[STORES_MAX];
    unsigned count;
};

struct stores {
    struct store_buffer of[STORES_VCPUS];
    uint64_t random;
};

/* One in so many added pieces lets the oldest go. */
enum { DRAIN_ODDS = 4 };

struct stores *stores_create(void)
{
    return calloc(1, sizeof(struct stores));
}

void stores_destroy(struct stores *stores)
{
    free(stores);
}

void stores_seed(struct stores *stores, uint64_t seed)
{
    stores->random = seed;
}

static uint64_t draw(struct stores *stores)
{
    return random_draw(&stores->random);
}

/* The `count` oldest of one buffer become visible, in order. */
static void release(struct cpu *cpu, struct store_buffer *buffer, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct piece *piece = &buffer->pieces[i];
        uint8_t *host = memory_at(cpu->memory, piece->gpa, piece->size);
        if (!host)
            continue;
        tables_store(cpu, host, piece->data, piece->size);
        memcpy(host, piece->data, piece->size);
        cpu_mark_written(cpu, host);
        blocks_memory_written(cpu, piece->gpa, piece->size);
    }
    buffer->count -= count;
    memmove(buffer->pieces, &buffer->pieces[count], buffer->count * sizeof buffer->pieces[0]);
}

static struct store_buffer *own(const struct cpu *cpu)
{
    return &cpu->stores->of[cpu->engine.vcpu % STORES_VCPUS];
}

void stores_put(struct cpu *cpu, uint64_t gpa, const uint8_t *data, unsigned size)
{
    struct store_buffer *buffer = own(cpu);
    while (size) {
        struct piece piece = {.gpa = gpa, .size = (uint8_t)(size < 8 ? size : 8)};
        if (buffer->count == STORES_MAX)
            release(cpu, buffer, 1);
        memcpy(piece.data, data, piece.size);
        buffer->pieces[buffer->count++] = piece;
        gpa += piece.size;
        data += piece.size;
        size -= piece.size;
    }
    if (draw(cpu->stores) % DRAIN_ODDS == 0)
        release(cpu, buffer, 1);
}

void stores_forward(const struct cpu *cpu, uint64_t gpa, uint8_t *data, unsigned size)
{
    const struct store_buffer *buffer = own(cpu);
    for (unsigned i = 0; i < buffer->count; i++) {
        const struct piece *piece = &buffer->pieces[i];
        if (piece->gpa >= gpa + size || piece->gpa + piece->size <= gpa)
            continue;
        for (unsigned j = 0; j < piece->size; j++) {
            uint64_t at = piece->gpa + j;
            if (at >= gpa && at < gpa + size)
                data[at - gpa] = piece->data[j];
        }
    }
}

void stores_drain(struct cpu *cpu)
{
    struct store_buffer *buffer = own(cpu);
    if (buffer->count)
        release(cpu, buffer, buffer->count);
}

void stores_before_fetch(struct cpu *cpu, uint64_t gpa)
{
    const struct store_buffer *buffer = own(cpu);
    for (unsigned i = 0; i < buffer->count; i++) {
        if (buffer->pieces[i].gpa / PAGE_SIZE == gpa / PAGE_SIZE) {
            stores_drain(cpu);
            return;
        }
    }
}

void stores_end_turn(struct cpu *cpu)
{
    for (unsigned i = 0; i < STORES_VCPUS; i++) {
        struct store_buffer *buffer = &cpu->stores->of[i];
        if (buffer->count)
            release(cpu, buffer, (unsigned)(draw(cpu->stores) % (buffer->count + 1)));
    }
}

/* ---- What orders ----------------------------------------------------------------------------- */

/* One-byte opcodes: INS to OUTS, far transfers, INT to IRET, IN and OUT, HLT. */
static bool primary_orders(const struct insn *insn)
{
    uint8_t opcode = insn->opcode;
    bool exchanges = (opcode == 0x86 || opcode == 0x87) && (insn->flags & INSN_MEMORY);
    return exchanges || (opcode >= 0x6c && opcode <= 0x6f) || opcode == 0x9a ||
           (opcode >= 0xca && opcode <= 0xcf) || (opcode >= 0xe4 && opcode <= 0xe7) ||
           opcode == 0xea || (opcode >= 0xec && opcode <= 0xf1 && opcode != 0xf0) || opcode == 0xf4;
}

/* 0F: system groups, SYSCALL to WBINVD, moves to control and debug registers, MSRs, SYSENTER,
 * CPUID, RSM, MFENCE and SFENCE. */
static bool extended_orders(const struct insn *insn)
{
    uint8_t opcode = insn->opcode;
    bool fence = opcode == 0xae && !(insn->flags & INSN_MEMORY) && (insn->modrm >> 3 & 7) >= 6;
    return fence || opcode <= 0x01 || (opcode >= 0x05 && opcode <= 0x09) ||
           (opcode >= 0x20 && opcode <= 0x23) || opcode == 0x30 || opcode == 0x34 ||
           opcode == 0x35 || opcode == 0xa2 || opcode == 0xaa;
}

bool stores_are_ordered_by(const struct insn *insn)
{
    if (insn->flags & INSN_LOCK)
        return true;
    if (insn->map == MAP_PRIMARY)
        return primary_orders(insn);
    return insn->map == MAP_0F && extended_orders(insn);
}

/* ---- Checkpoints ------------------------------------------------------------------------------
 */

void stores_save(const struct stores *stores, struct buffer *out)
{
    buffer_put_u64(out, stores->random);
    for (unsigned i = 0; i < STORES_VCPUS; i++) {
        const struct store_buffer *buffer = &stores->of[i];
        buffer_put_u8(out, (uint8_t)buffer->count);
        for (unsigned j = 0; j < buffer->count; j++) {
            buffer_put_u64(out, buffer->pieces[j].gpa);
            buffer_put_u8(out, buffer->pieces[j].size);
            buffer_put(out, buffer->pieces[j].data, sizeof buffer->pieces[j].data);
        }
    }
}

void stores_restore(struct stores *stores, struct reader *in)
{
    stores->random = reader_get_u64(in);
    for (unsigned i = 0; i < STORES_VCPUS; i++) {
        struct store_buffer *buffer = &stores->of[i];
        buffer->count = reader_get_u8(in);
        if (buffer->count > STORES_MAX) {
            buffer->count = 0;
            in->failed = true;
            return;
        }
        for (unsigned j = 0; j < buffer->count; j++) {
            struct piece *piece = &buffer->pieces[j];
            piece->gpa = reader_get_u64(in);
            piece->size = reader_get_u8(in);
            reader_get(in, piece->data, sizeof piece->data);
            if (piece->size == 0 || piece->size > sizeof piece->data)
                in->failed = true;
        }
    }
}
