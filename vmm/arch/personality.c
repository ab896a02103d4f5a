/* Personalities by name and number, and the processor of the host. */
#include "vmm/arch/personality.h"

#include <cpuid.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"amd", "intel"};

void personality_format(const struct personality *personality, char text[PERSONALITY_TEXT_MAX])
{
    snprintf(text, PERSONALITY_TEXT_MAX, "%s %u", names[personality->maker == MAKER_INTEL],
        personality->revision);
}

bool personality_named(const char *name, struct personality *personality)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *personality = (struct personality){(enum cpu_maker)i, PERSONALITY_REVISION};
        return true;
    }
    return false;
}

bool personality_parse(const char *text, struct personality *personality)
{
    char name[8], written[PERSONALITY_TEXT_MAX];
    unsigned revision;
    if (sscanf(text, "%7[a-z] %9u", name, &revision) != 2 || !personality_named(name, personality))
        return false;
    personality->revision = revision;
    personality_format(personality, written);
    return strcmp(text, written) == 0;
}

int personality_check(const struct personality *personality, struct error *error)
{
    if (personality->revision >= 1 && personality->revision <= PERSONALITY_REVISION)
        return 0;
    char text[PERSONALITY_TEXT_MAX];
    personality_format(personality, text);
    return error_set(error,
        "it follows the CPU rules '%s', and this build knows revisions 1 to %d of them: replay it "
        "with the build that recorded it",
        text, PERSONALITY_REVISION);
}

void host_cpu_identify(struct host_cpu *host)
{
    unsigned eax, ebx, ecx, edx;
    *host = (struct host_cpu){0};
    if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
        return;
    memcpy(host->vendor, &ebx, 4);
    memcpy(host->vendor + 4, &edx, 4);
    memcpy(host->vendor + 8, &ecx, 4);
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return;
    host->stepping = eax & 15;
    host->family = eax >> 8 & 15;
    host->model = eax >> 4 & 15;
    /* The extended fields count where the manuals of both makers say so. */
    if (host->family == 15 || host->family == 6)
        host->model |= eax >> 12 & 0xf0;
    if (host->family == 15)
        host->family += eax >> 20 & 0xff;
}

void host_cpu_format(const struct host_cpu *host, char text[HOST_CPU_TEXT_MAX])
{
    char vendor[13];
    size_t i = 0;
    for (; host->vendor[i]; i++)
        vendor[i] = isgraph((unsigned char)host->vendor[i]) ? host->vendor[i] : '.';
    vendor[i] = '\0';
    snprintf(text, HOST_CPU_TEXT_MAX, "%s family %u model %u stepping %u", i ? vendor : "unknown",
        host->family, host->model, host->stepping);
}

bool host_cpu_parse(const char *text, struct host_cpu *host)
{
    char written[HOST_CPU_TEXT_MAX];
    *host = (struct host_cpu){0};
    if (sscanf(text, "%12s family %4u model %4u stepping %4u", host->vendor, &host->family,
            &host->model, &host->stepping) != 4)
        return false;
    host_cpu_format(host, written);
    return strcmp(text, written) == 0;
}

bool host_cpu_same_model(const struct host_cpu *a, const struct host_cpu *b)
{
    return strcmp(a->vendor, b->vendor) == 0 && a->family == b->family && a->model == b->model;
}

enum cpu_maker host_cpu_maker(const struct host_cpu *host)
{
    /* Hygon's processors are AMD's design. */
    if (strcmp(host->vendor, "AuthenticAMD") == 0 || strcmp(host->vendor, "HygonGenuine") == 0)
        return MAKER_AMD;
    return strcmp(host->vendor, "GenuineIntel") == 0 ? MAKER_INTEL : MAKER_OTHER;
}

struct personality host_cpu_personality(const struct host_cpu *host)
{
    if (host_cpu_maker(host) == MAKER_INTEL)
        return (struct personality){MAKER_INTEL, PERSONALITY_REVISION};
    return PERSONALITY_OF_MODEL;
}
