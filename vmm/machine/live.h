/*
 * The live input source: asks the host. Virtual time comes from the host's monotonic clock on an
 * engine that does not count, from retired instructions on one that does; a halted guest waits for
 * its next timer in real time or, with PACE_FAST, jumps there.
 *
 * A machine with a seed gets its entropy from there. With config->chaos, and an engine that counts,
 * the seed also varies when timers fire: what the guest does between two interrupts is another in
 * every run, and the same in every run with the same seed.
 *
 * A helper thread watches the console and the timers and kicks the engine when a guest that does
 * not exit by itself keeps something waiting.
 */
#ifndef VMM_LIVE_H
#define VMM_LIVE_H

#include <sys/types.h>

#include "vmm/machine/machine.h"

/* Where typed bytes come from. */
struct live_console {
    int (*fd)(void *context); /* readable when there are some; -1: none for now or ever */
    /* As read(2) without blocking: bytes, 0 at the end of input, -1 with EAGAIN when there are
     * none. Called with size 0 now and then while the guest takes nothing, so that a command to
     * quit among what was typed is seen. */
    ssize_t (*read)(void *context, uint8_t *data, size_t size);
    bool (*ended)(void *context); /* nothing can come any more */
    void *context;
};

struct live;

/* `console` is copied; a NULL `read` means no input at all. */
struct live *live_create(const struct live_console *console, enum pace pace, struct error *error);
void live_destroy(struct live *live);
struct input_source *live_source(struct live *live);
struct choices;
/*
 * Before live_attach(), of an engine that counts: notes what the seed chooses, or follows what an
 * earlier run noted (vmm/machine/choices.h). Each is borrowed, and may be NULL.
 */
void live_choose(struct live *live, struct choices *note, const struct choices *follow);
/* Starts the helper thread; call once, after machine_create and before machine_run. Virtual time
 * begins. */
int live_attach(struct live *live, struct machine *machine, struct error *error);
/* Ends the helper thread; before machine_destroy. */
void live_detach(struct live *live);

#endif
