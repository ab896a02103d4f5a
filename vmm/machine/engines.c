/* Chooses an engine; reads the environment. */
#include "vmm/machine/engines.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/soft.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/monitor.h"
#include "vmm/kvm/paired.h"
#include "vmm/machine/probe.h"

/* Is one of the words of a variable, which commas part, this one? */
static bool environment_has(const char *name, const char *value)
{
    const char *found = getenv(name);
    const size_t length = strlen(value);
    while (found && *found) {
        const size_t word = strcspn(found, ",");
        if (word == length && memcmp(found, value, length) == 0)
            return true;
        found += found[word] ? word + 1 : word;
    }
    return false;
}

static struct engine_options options(void)
{
    struct engine_options options = {.eager_kvm = environment_has("HINDSIGHT_KVM", "eager")};
    if (environment_has("HINDSIGHT_NATIVE", "eager"))
        options.native = NATIVE_EAGER;
    else if (environment_has("HINDSIGHT_NATIVE", "off"))
        options.native = NATIVE_NEVER;
    return options;
}

struct engine *engines_soft(struct memory *memory, struct error *error)
{
    return engines_soft_buffered(memory, false, 0, error);
}

struct engine *engines_soft_buffered(
    struct memory *memory, bool store_buffers, uint64_t seed, struct error *error)
{
    struct engine_options wanted = options();
    wanted.store_buffers = store_buffers;
    wanted.seed = seed;
    return soft_create(memory, &wanted, error);
}

/* How this host's KVM can run ring 3 with the software CPU for ring 0. */
enum pairing { PAIRING_NONE, PAIRING_NULL_IDT, PAIRING_MONITOR };

static enum pairing pairing_of_host(void)
{
    struct error error;
    bool hides_tables;
    if (environment_has("HINDSIGHT_KVM", "alone"))
        return PAIRING_NONE;
    if (!environment_has("HINDSIGHT_KVM", "monitor") && !probe_ring0_exact())
        return PAIRING_NULL_IDT;
    return monitor_works(&hides_tables, &error) ? PAIRING_MONITOR : PAIRING_NONE;
}

static struct engine *create_paired(struct memory *memory, struct personality personality,
    enum pairing pairing, struct error *error)
{
    struct engine_options wanted = options();
    wanted.monitor = pairing == PAIRING_MONITOR;
    return paired_create(memory, personality, &wanted, error);
}

struct engine *engines_paired(struct memory *memory, struct error *error)
{
    return create_paired(memory, PERSONALITY_OF_MODEL, pairing_of_host(), error);
}

bool engines_kvm_sees_tsc(void)
{
    return pairing_of_host() != PAIRING_NONE;
}

struct engine *engines_kvm(struct memory *memory, const struct personality *personality,
    bool tsc_is_input, bool apic_extensions, struct error *error)
{
    struct host_cpu host;
    host_cpu_identify(&host);
    if (host_cpu_personality(&host).maker != personality->maker) {
        char text[PERSONALITY_TEXT_MAX];
        personality_format(personality, text);
        error_set(error,
            "kvm: the machine follows the CPU rules '%s', and this host's CPU is of another "
            "maker (%s): use --engine soft",
            text, host.vendor);
        return NULL;
    }
    /* KVM's own ring 0 is the faster one where it is exact; but the time stamp counter is not. */
    const enum pairing pairing = pairing_of_host();
    const bool alone = pairing == PAIRING_NONE || (pairing == PAIRING_MONITOR && !tsc_is_input);
    if (alone && tsc_is_input) {
        error_set(error, "kvm: the guest reads the time stamp counter as an input, which this "
                         "host's KVM cannot stop it at: use --engine soft");
        return NULL;
    }
    struct engine *engine = alone ? kvm_create(memory, *personality, error)
                                  : create_paired(memory, *personality, pairing, error);
    if (!engine)
        return NULL;
    engine_set_personality(engine, *personality);
    int result = 0;
    if (apic_extensions)
        result = alone ? kvm_extend_apic(engine, *personality, error)
                       : paired_extend_apic(engine, *personality, error);
    if (result == 0)
        return engine;
    engine_destroy(engine);
    return NULL;
}
