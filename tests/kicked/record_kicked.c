/*
 * record_kicked TRACE.hst KERNEL INITRD COMMAND_LINE [PAUSE]: records a Linux kernel on KVM with a
 * landing at every kick, which come PAUSE nanoseconds (200,000) apart. Prints how many landings
 * there were. Exit status 0 when the guest ended by itself, 77 where the time stamp counter cannot
 * be recorded on this host's KVM.
 */
#include <stdio.h>
#include <stdlib.h>

#include "recorder/recorder.h"
#include "tests/kicked/every_kick.h"
#include "vmm/machine/engines.h"
#include "vmm/machine/live.h"

enum { MEMORY = 256 << 20, START_TIME = 1000000000 };
static const char engine_name[] = "kvm";

_Noreturn static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "record_kicked: %s: %s\n", what, error ? error->text : "failed");
    exit(1);
}

static struct boot_image load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) < 0)
        fail(path, NULL);
    const long size = ftell(file);
    uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
    rewind(file);
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
        fail(path, NULL);
    fclose(file);
    return (struct boot_image){.name = path, .data = data, .size = (size_t)size};
}

static void print(void *target, const uint8_t *bytes, size_t count)
{
    fwrite(bytes, 1, count, target);
}

static struct machine *start(struct recorder *recorder, const struct machine_config *config,
    const struct boot_image images[2])
{
    struct error error = {""};
    const struct machine_options options = {.config = config,
        .engine = engine_name,
        .kernel = &images[0],
        .modules = &images[1],
        .module_count = 1,
        .source = recorder_source(recorder),
        .console = {.put = print, .target = stdout}};
    struct machine *machine = machine_create(&options, &error);
    if (!machine || recorder_attach(recorder, machine, &error) < 0)
        fail("machine", &error);
    return machine;
}

/* Returns whether the guest ended by itself. */
static bool run(struct machine *machine, struct recorder *recorder, struct live *live,
    struct every_kick *every, long pause)
{
    struct error error = {""};
    if (live_attach(live, machine, &error) < 0)
        fail("live inputs", &error);
    if (every_kick_start(every, machine->home, pause) < 0)
        fail("timer", NULL);
    const int result = machine_run(machine, POSITION_END, &error);
    every_kick_stop(every);
    live_detach(live);
    if (result < 0)
        fail("run", &error);
    const struct outcome outcome = outcome_of(machine, 0);
    if (recorder_finish(recorder, machine, outcome, NULL, &error) < 0)
        fail("trace", &error);
    return machine->run.stop == STOP_POWER_OFF;
}

int main(int argc, char **argv)
{
    struct machine_config config;
    struct every_kick every;
    struct error error = {""};
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: record_kicked TRACE.hst KERNEL INITRD COMMAND_LINE [PAUSE]\n");
        return 2;
    }
    if (!engines_kvm_sees_tsc()) {
        printf("skipped: RDTSC in ring 0 cannot be stopped on this host's KVM\n");
        return 77;
    }
    const struct boot_image images[2] = {load(argv[2]), load(argv[3])};
    config_defaults(&config);
    config.memory[0].size = MEMORY;
    config.pace = PACE_FAST;
    config.start_time = START_TIME;
    config.tsc_is_input = true;
    snprintf(config.command_line, sizeof config.command_line, "%s", argv[4]);
    struct live *live = live_create(NULL, config.pace, &error);
    if (!live)
        fail("live inputs", &error);
    const struct recorder_options options = {.path = argv[1],
        .config = &config,
        .engine = engine_name,
        .kernel = &images[0],
        .modules = &images[1],
        .module_count = 1,
        .live = every_kick_around(&every, live_source(live), UINT32_MAX),
        .include_checks = true};
    struct recorder *recorder = recorder_create(&options, &error);
    if (!recorder)
        fail("recorder", &error);
    struct machine *machine = start(recorder, &config, images);
    const bool ended = run(machine, recorder, live, &every, argc == 6 ? atol(argv[5]) : 200000);
    printf("%u landings\n", every.landings);
    machine_destroy(machine);
    live_destroy(live);
    free((void *)(uintptr_t)images[0].data);
    free((void *)(uintptr_t)images[1].data);
    return ended ? 0 : 1;
}
