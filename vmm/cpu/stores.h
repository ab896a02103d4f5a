/*
 * Store buffers: where the stores of a vCPU wait before other vCPUs see them, as x86 memory order
 * allows (total store order: AMD64 APM volume 2, 7.2; Intel SDM volume 3, 9.2). Without them turns
 * alone make memory sequentially consistent, and a missing fence never shows.
 *
 * - Each vCPU has a buffer of STORES_MAX pieces of at most 8 bytes, oldest first. Its own loads and
 *   page walks see them; others, devices and the debugger see memory.
 * - The oldest pieces go to memory: as many as a generator says when a piece is added and, in every
 *   buffer, when a turn ends; one when there is no room; all before and after locked instructions,
 *   before fences, serializing and privileged instructions, port and memory-mapped accesses,
 *   deliveries, HLT, and before code is fetched from where one goes.
 * - What happens when depends on the instructions executed and the generator alone, never on a TLB
 *   or on decoded code, which a restored checkpoint does not have. Its state is part of
 * checkpoints.
 */
#ifndef VMM_CPU_STORES_H
#define VMM_CPU_STORES_H

#include "vmm/cpu/cpu.h"

enum { STORES_MAX = 8, STORES_VCPUS = 16 };

struct stores;

struct stores *stores_create(void); /* NULL: no memory */
void stores_destroy(struct stores *stores);
void stores_seed(struct stores *stores, uint64_t seed);

/* A store to RAM inside one page. */
void stores_put(struct cpu *cpu, uint64_t gpa, const uint8_t *data, unsigned size);
/* What a load of these bytes sees: `data` is what memory has. */
void stores_forward(const struct cpu *cpu, uint64_t gpa, uint8_t *data, unsigned size);
/* All of the running vCPU's go to memory. */
void stores_drain(struct cpu *cpu);
/* ... if any goes into the page that code is fetched from. */
void stores_before_fetch(struct cpu *cpu, uint64_t gpa);
/* Must this instruction find the buffer empty, and leave it so? */
bool stores_are_ordered_by(const struct insn *insn);
/* The running vCPU's turn ends. */
void stores_end_turn(struct cpu *cpu);

void stores_save(const struct stores *stores, struct buffer *out);
void stores_restore(struct stores *stores, struct reader *in);

#endif
