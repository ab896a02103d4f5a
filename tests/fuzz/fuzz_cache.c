/*
 * Hostile files of checkpoints. The input becomes a file whose head and checksums are right, so that
 * what is behind them is reached; the machine is then put back to what was read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "replay/cache.h"
#include "vmm/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A machine that never runs, and the inputs of a trace of ten events that has none. */
static int no_inputs_poll(
    struct input_source *source, struct machine *machine, struct delivery *out, struct error *error)
{
    (void)source;
    (void)machine;
    (void)out;
    (void)error;
    return 0;
}
