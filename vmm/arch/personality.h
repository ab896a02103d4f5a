/*
 * Whose rules the guest's CPU works by, where the makers of processors differ: flags and results
 * that the manuals leave undefined, approximations, what some prefixes do. A run has one
 * personality, which its trace names, and the software CPU follows it on every host.
 */
#ifndef VMM_PERSONALITY_H
#define VMM_PERSONALITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum cpu_maker { MAKER_AMD, MAKER_INTEL, MAKER_OTHER };

/*
 * `maker` is AMD or Intel. The revision rises with every correction of what a maker's processors
 * are taken to do; this build follows all of them, so that older traces replay.
 *
 * Revision 1: AMD as family 25 (Zen 4), Intel as family 6 model 207 (Emerald Rapids).
 * Revision 2: AMD has FCS and FDS, and CPUID says so; Intel has SYSENTER and SYSEXIT in long mode,
 * and its SYSRET faults before it leaves ring 0. On both the image of FXSAVE and FXRSTOR goes
 * around the end of 32-bit addresses.
 */
struct personality {
    enum cpu_maker maker;
    unsigned revision;
};

enum { PERSONALITY_REVISION = 2 };

/* Does it follow what `revision` of the maker's rules brought? */
static inline bool personality_has(
    struct personality personality, enum cpu_maker maker, unsigned revision)
{
    return personality.maker == maker && personality.revision >= revision;
}

/* Of the CPU model that every guest sees (vmm/arch/cpuid.h): what `soft` records under. */
#define PERSONALITY_OF_MODEL ((struct personality){MAKER_AMD, PERSONALITY_REVISION})

enum { PERSONALITY_TEXT_MAX = 32 };

/* "amd 1", "intel 1". */
void personality_format(const struct personality *personality, char text[PERSONALITY_TEXT_MAX]);
/* The same text; false when it is not of that form. Any revision is taken. */
bool personality_parse(const char *text, struct personality *personality);
/* "amd" or "intel", this build's revision. */
bool personality_named(const char *name, struct personality *personality);
/* Can this build follow it? The error says what can be done if not. */
int personality_check(const struct personality *personality, struct error *error);

/* The processor that a program runs on, as CPUID 0 and 1 tell. */
struct host_cpu {
    char vendor[13]; /* "GenuineIntel"; empty: not known */
    unsigned family, model, stepping;
};

enum { HOST_CPU_TEXT_MAX = 64 };

void host_cpu_identify(struct host_cpu *host);
/* "AuthenticAMD family 25 model 17 stepping 1". */
void host_cpu_format(const struct host_cpu *host, char text[HOST_CPU_TEXT_MAX]);
bool host_cpu_parse(const char *text, struct host_cpu *host);
/* Of one maker, family and model: processors that compute even approximations alike. */
bool host_cpu_same_model(const struct host_cpu *a, const struct host_cpu *b);
enum cpu_maker host_cpu_maker(const struct host_cpu *host);
/* What `kvm` records under: the maker's rules; those of the model for a maker without rules. */
struct personality host_cpu_personality(const struct host_cpu *host);

#endif
