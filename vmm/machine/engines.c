/* Chooses an engine; reads the environment. */
#include "vmm/machine/engines.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/soft.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/paired.h"
#include "vmm/machine/probe.h"

static bool environment_has(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found && strcmp(found, value) == 0;
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

static struct engine *create_paired(
    struct memory *memory, struct personality personality, struct error *error)
{
    const struct engine_options wanted = options();
    return paired_create(memory, personality, &wanted, error);
}

struct engine *engines_paired(struct memory *memory, struct error *error)
{
    return create_paired(memory, PERSONALITY_OF_MODEL, error);
}

static bool kvm_is_alone(void)
{
    return environment_has("HINDSIGHT_KVM", "alone") || probe_ring0_exact();
}

bool engines_kvm_sees_tsc(void)
{
    return !kvm_is_alone();
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
    const bool alone = kvm_is_alone();
    if (alone && tsc_is_input) {
        error_set(error, "kvm: the guest reads the time stamp counter as an input, which this "
                         "host's KVM cannot stop it at: use --engine soft");
        return NULL;
    }
    struct engine *engine = alone ? kvm_create(memory, *personality, error)
                                  : create_paired(memory, *personality, error);
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
