/*
 * Landings that only the guest's state can name: a kick stopped KVM at an arbitrary instruction,
 * the recorder keeps registers and digests of the pages written, and replay recognises the place.
 * Equal state has equal futures, so the first match is sound even when it is an earlier pass of the
 * same loop.
 *
 * The accessed and dirty bits of paging structures are left out of the digests: the MMU sets them
 * at moments of its own choosing.
 */
#ifndef VMM_LANDING_H
#define VMM_LANDING_H

#include "vmm/machine/machine.h"

/* Fills in where the machine stands; free with landing_free. */
int landing_capture(struct machine *machine, struct landing *landing, struct error *error);
void landing_free(struct landing *landing);

/*
 * Does the machine, on the software CPU, stand at the landing? 1, 0, or -1.
 *
 * Everything is compared, but at one kind of place: between two iterations of a repeated string
 * instruction RFLAGS.RF is set here, as the manuals say (SDM volume 3, 17.3.1.1), while AMD's
 * processors leave it clear there; and the arithmetic flags of CMPS and SCAS are those of the last
 * iteration or those from before the instruction (engine_ops.other_flags). The recording may have
 * either. A caller that goes on from a match imports the landing's state: an interrupt pushes it.
 */
int landing_matches(struct machine *machine, struct landing *landing, struct error *error);
/* For the report of a search that failed: how near the calls of landing_matches() came, and what
 * differed there, in lines. */
void landing_describe_nearest(const struct landing *landing, struct buffer *out);

/* Fixed layout, for the trace. */
void landing_save(const struct landing *landing, struct buffer *out);
int landing_restore(struct landing *landing, struct reader *in, struct error *error);

#endif
