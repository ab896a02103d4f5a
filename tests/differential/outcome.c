/*
 * Runs in the parent and, inside a signal handler with a foreign FS base, in the native child: no
 * library calls here.
 */
#include "tests/differential/case.h"

static bool line_differs(const uint8_t *a, const uint8_t *b)
{
    const uint64_t *left = (const uint64_t *)(const void *)a;
    const uint64_t *right = (const uint64_t *)(const void *)b;
    uint64_t difference = 0;
    for (int i = 0; i < LINE_BYTES / 8; i++)
        difference |= left[i] ^ right[i];
    return difference;
}

void outcome_memory(struct outcome *outcome, uint8_t *memory, const uint8_t *initial)
{
    outcome->line_count = 0;
    outcome->line_digest = 0;
    for (unsigned line = 0; line < LINES; line++) {
        uint64_t *now = (uint64_t *)(void *)(memory + line * LINE_BYTES);
        const uint64_t *old = (const uint64_t *)(const void *)(initial + line * LINE_BYTES);
        if (!line_differs(memory + line * LINE_BYTES, initial + line * LINE_BYTES))
            continue;
        struct changed_line *kept =
            outcome->line_count < LINES_KEPT ? &outcome->lines[outcome->line_count] : 0;
        outcome->line_count++;
        if (kept)
            kept->line = (uint16_t)line;
        for (int i = 0; i < LINE_BYTES / 8; i++) {
            uint64_t word = now[i];
            outcome->line_digest = (outcome->line_digest ^ word ^ line) * 0x9e3779b97f4a7c15u;
            outcome->line_digest ^= outcome->line_digest >> 29;
            for (int j = 0; kept && j < 8; j++)
                kept->bytes[i * 8 + j] = (uint8_t)(word >> (8 * j));
            now[i] = old[i];
        }
    }
}

void outcome_fpu(struct fpu_state *fpu)
{
    fpu->reserved0 = 0;
    fpu->mxcsr_mask = 0;
    for (int i = 0; i < 8; i++) {
        for (int j = 10; j < 16; j++)
            fpu->st[i][j] = 0;
    }
    fpu->code_selector = 0; /* the host's kernel has something else there */
    fpu->data_selector = 0;
    for (unsigned i = 0; i < sizeof fpu->reserved1; i++)
        fpu->reserved1[i] = 0;
    for (unsigned i = 0; i < sizeof fpu->reserved2; i++)
        fpu->reserved2[i] = 0;
}
