/*
 * Saved CPU states with bytes changed: what vcpu_restore() accepts must be canonical, save to the
 * same bytes, and be a state that the software CPU can go on from.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/engines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memory memory;
static struct engine *engine;

static void set_up(void)
{
    const struct memory_backend backend = {.size = 2 << 20};
    struct error error;
    if (memory_create(&memory, &backend, 1, &error) < 0)
        abort();
    engine = engines_soft(&memory, &error);
    if (!engine)
        abort();
}

static void start_state(struct vcpu_state *state, unsigned kind)
{
    vcpu_reset(state);
    if (kind == 0)
        return;
    state->cr0 = CR0_PE | CR0_ET | (kind > 1 ? CR0_PG : 0);
    if (kind > 1) {
        state->cr4 = CR4_PAE;
        state->efer = EFER_LME | EFER_LMA;
        state->cr3 = 0x10000;
    }
    unsigned dpl = kind == 3 ? 0x60 : 0;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] = (struct segment){.limit = 0xffffffff,
            .selector = 16,
            .attributes = (uint16_t)((i == SEG_CS ? kind > 1 ? 0xa9b : 0xc9b : 0xc93) | dpl)};
    state->rip = 0x8000;
    vcpu_canonicalize(state);
}

static void fill_memory(const uint8_t *data, size_t size)
{
    memset(memory.host, 0, 0x20000);
    memcpy(memory.host + 0x10000, "\x03\x10\x01", 3);
    memcpy(memory.host + 0x11000, "\x03\x20\x01", 3);
    memcpy(memory.host + 0x12000, "\x87", 1);
    memcpy(memory.host + 0x8000, data, size < 4096 ? size : 4096);
    engine_memory_changed(engine, 0, 0x20000);
}

static void go_on(const struct vcpu_state *state)
{
    struct error error;
    struct vcpu_exit exit;
    const struct run_request request = {.budget = 100};
    if (engine_import_state(engine, state, &error) < 0)
        return;
    struct vcpu_state back;
    if (engine_export_state(engine, &back, &error) < 0)
        abort();
    if (vcpu_digest_full(&back) != vcpu_digest_full(state))
        abort();
    if (engine_run(engine, &request, &exit, &error) == 0)
        engine_complete(engine, 0, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vcpu_state state;
    struct buffer saved = {0}, again = {0};
    struct reader in;
    if (!engine)
        set_up();
    if (size < 1)
        return 0;
    start_state(&state, data[0] & 3);
    vcpu_save(&state, &saved);
    if (saved.failed)
        return 0;
    size_t at = 1;
    for (unsigned changes = data[0] >> 2 & 7; changes && at + 3 <= size; changes--, at += 3)
        saved.data[(data[at] | (size_t)data[at + 1] << 8) % saved.size] = data[at + 2];
    reader_init(&in, saved.data, saved.size);
    vcpu_restore(&state, &in);
    if (!in.failed) {
        struct vcpu_state canonical = state;
        vcpu_canonicalize(&canonical);
        vcpu_save(&canonical, &again);
        if (again.size != saved.size || memcmp(again.data, saved.data, saved.size) != 0)
            abort();
        fill_memory(data + at, size - at);
        go_on(&state);
    }
    buffer_free(&saved);
    buffer_free(&again);
    return 0;
}
