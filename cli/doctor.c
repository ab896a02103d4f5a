/* hindsight doctor: what this host can do. */
#include "cli/cli.h"

#include <getopt.h>
#include <string.h>

#include "cli/line_editor.h"
#include "debugger/demangle.h"
#include "debugger/python/python.h"
#include "vmm/host/confine.h"
#include "vmm/arch/personality.h"
#include "vmm/machine/probe.h"
#include "vmm/storage/ext4.h"

static const char help[] =
    "Usage: hindsight doctor [--json]\n"
    "Probe this host's KVM by running small guests, and say which engine 'auto' takes.\n";

static const char *yes(bool value)
{
    return value ? "yes" : "no";
}

static const char *choice(const struct probe *probe)
{
    return probe->usable && probe->ring0_mips >= PROBE_SLOW_MIPS ? "kvm" : "soft";
}

static void print_instructions(const struct probe *probe, struct buffer *out)
{
    buffer_printf(out, "recorded on kvm        ring 0    ring 3\n");
    for (enum probe_instruction i = 0; i < PROBE_INSTRUCTIONS; i++)
        buffer_printf(out, "  %-21s%-10s%s\n", probe_instruction_title(i),
            fidelity_name(probe->fidelity[i][0]), fidelity_name(probe->fidelity[i][1]));
}

/* Libraries that may be absent when it is built, and what it then cannot do. */
static void print_absent(struct buffer *out)
{
    const struct {
        bool present;
        const char *text;
    } libraries[] = {
        {demangle_available(), "libiberty: names of C++ and Rust are shown as the linker has them"},
        {line_editor_available(), "readline: no editing at the debugger's prompt"},
        {ext4_available(), "libext2fs: no --root, no --share, no cat"},
        {python_available(), "libpython3: no Python in the debugger"},
    };
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        if (!libraries[i].present)
            buffer_printf(out, "built without          %s\n", libraries[i].text);
    }
}

static void print_text(
    const struct probe *probe, const char *host, const char *rules, struct buffer *out)
{
    buffer_printf(out, "host CPU               %s\n", host);
    char confinement[64];
    confine_describe(confinement);
    buffer_printf(out, "CPU rules on kvm       %s\n", rules);
    buffer_printf(out, "confinement            %s\n", confinement);
    if (!probe->usable) {
        buffer_printf(out, "kvm                    not usable: %s\n", probe->why.text);
    } else {
        buffer_printf(out, "kvm                    usable\n");
        buffer_printf(out, "ring 0 speed           %.1f million instructions/s%s\n",
            probe->ring0_mips,
            probe->sse_ring0 ? "" : " (KVM alone: interpreted by the host's kernel)");
        buffer_printf(
            out, "ring 3 speed           %.1f million instructions/s\n", probe->ring3_mips);
        buffer_printf(out, "port exit round trip   %.1f us\n", probe->exit_us);
        buffer_printf(out, "registers with exits   %s\n", yes(probe->sync_regs));
        buffer_printf(out, "MSR filter             %s\n", yes(probe->msr_filter));
        buffer_printf(out, "dirty page log         %s\n", yes(probe->dirty_log));
        buffer_printf(out, "interrupt at an exit   %s\n",
            probe->interrupt_at_exit ? "precise" : "not precise: recordings will not replay");
        buffer_printf(out, "kick while computing   %s\n",
            probe->kick_lands ? "lands" : "no: a guest that never exits cannot be interrupted");
        buffer_printf(out, "SSE in ring 0          %s\n",
            probe->sse_ring0 ? "yes" : "no: KVM emulates ring 0, so the software CPU runs it");
        if (probe->sse_ring0)
            buffer_printf(out, "ring 3 alone on kvm    %s\n",
                probe->monitor ? "works: the software CPU runs ring 0, unless --ring0 native"
                               : "does not work: KVM runs ring 0, and RDTSC there is not replayed");
        print_instructions(probe, out);
    }
    buffer_printf(out, "software CPU           always usable\n");
    buffer_printf(out, "--engine auto          %s\n", choice(probe));
    print_absent(out);
}

static void print_json(
    const struct probe *probe, const char *host, const char *rules, struct buffer *out)
{
    buffer_printf(out, "{\"host\": ");
    json_string(out, host);
    buffer_printf(out, ", \"cpu_rules\": ");
    json_string(out, rules);
    buffer_printf(out, ", \"kvm\": {\"usable\": %s", probe->usable ? "true" : "false");
    if (!probe->usable) {
        buffer_printf(out, ", \"why\": ");
        json_string(out, probe->why.text);
    } else {
        const struct {
            const char *name;
            bool value;
        } facts[] = {{"sync_regs", probe->sync_regs}, {"msr_filter", probe->msr_filter},
            {"dirty_log", probe->dirty_log}, {"interrupt_at_exit", probe->interrupt_at_exit},
            {"kick_lands", probe->kick_lands}, {"sse_ring0", probe->sse_ring0},
            {"monitor", probe->monitor}};
        buffer_printf(out, ", \"ring0_mips\": %.2f, \"ring3_mips\": %.2f, \"exit_us\": %.2f",
            probe->ring0_mips, probe->ring3_mips, probe->exit_us);
        for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
            buffer_printf(out, ", \"%s\": %s", facts[i].name, facts[i].value ? "true" : "false");
        buffer_printf(out, ", \"instructions\": {");
        for (enum probe_instruction i = 0; i < PROBE_INSTRUCTIONS; i++)
            buffer_printf(out, "%s\"%s\": [\"%s\", \"%s\"]", i ? ", " : "",
                probe_instruction_name(i), fidelity_name(probe->fidelity[i][0]),
                fidelity_name(probe->fidelity[i][1]));
        buffer_printf(out, "}");
    }
    buffer_printf(out, "}, \"auto\": \"%s\"}\n", choice(probe));
}

int cli_doctor(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (cli_wants_help(argc, argv))
        return cli_help(help);
    if (argc > 1 && !json)
        return cli_usage("doctor", "'%s' is not understood", argv[1]);
    struct probe probe;
    probe_kvm(&probe);
    struct buffer out = {0};
    struct host_cpu host;
    char name[HOST_CPU_TEXT_MAX], rules[PERSONALITY_TEXT_MAX];
    host_cpu_identify(&host);
    host_cpu_format(&host, name);
    const struct personality personality = host_cpu_personality(&host);
    personality_format(&personality, rules);
    if (json)
        print_json(&probe, name, rules, &out);
    else
        print_text(&probe, name, rules, &out);
    bool printed = cli_print(&out);
    buffer_free(&out);
    return printed ? STATUS_OK : STATUS_ERROR;
}
