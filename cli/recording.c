/* One run of a machine, recorded or not. */
#include "cli/recording.h"

#include <string.h>

#include "cli/cli.h"
#include "recorder/recorder.h"

static struct recorder *open_recorder(
    const struct recording *recording, const struct cli_machine *setup, struct error *error)
{
    struct trace_store *store =
        recording->store ? trace_store_open(recording->store, true, error) : NULL;
    if (recording->store && !store)
        return NULL;
    const struct recorder_options options = {
        .path = recording->path,
        .config = &setup->config,
        .engine = setup->engine,
        .kernel = &setup->kernel,
        .modules = setup->modules,
        .module_count = setup->module_count,
        .live = recording->source,
        .store = store,
        .include_checks = recording->include_checks,
        .max_size = setup->max_size,
        .counts = strcmp(setup->engine, "soft") == 0,
    };
    struct recorder *recorder = recorder_create(&options, error);
    trace_store_close(store);
    return recorder;
}

/* What became of it, and the text for the trace: NULL is the recorder's own. */
static const char *note_outcome(struct recording *recording, struct cli_machine *setup,
    const struct recorder *recorder, int signal_number)
{
    bool full = recorder && recorder_is_full(recorder);
    bool late = recording->late && *recording->late && signal_number == 0;
    recording->outcome = cli_machine_outcome(setup, signal_number, full || late);
    recording->text = late && !full ? "the time for it was over"
                                    : cli_machine_end(setup, recording->outcome, full);
    return late && !full ? recording->text : cli_machine_outcome_text(setup, recording->outcome);
}

/* `run`: what running it gave, with `failure` where that failed. */
static int finish(struct recording *recording, struct cli_machine *setup, struct recorder *recorder,
    int run, int signal_number, struct error *failure)
{
    struct error error;
    const char *text = note_outcome(recording, setup, recorder, signal_number);
    int shared = run < 0 ? 0 : cli_machine_share(setup, &error), written = 0;
    if (shared < 0)
        cli_fail(STATUS_HOST, &error);
    if (recorder)
        written = recorder_finish(
            recorder, setup->machine, recording->outcome, run < 0 ? failure->text : text, &error);
    if (run < 0 || machine_stopped(setup->machine) == STOP_SHUTDOWN)
        cli_describe_failure(setup->machine);
    if (run < 0)
        cli_fail(STATUS_HOST, failure);
    else if (written < 0)
        cli_fail(STATUS_HOST, &error);
    return run < 0 || written < 0 ? -1 : 0;
}

int recording_run(struct recording *recording, struct cli_machine *setup)
{
    struct error error;
    struct recorder *recorder = NULL;
    if (recording->path && !(recorder = open_recorder(recording, setup, &error))) {
        cli_fail(STATUS_HOST, &error);
        return -1;
    }
    struct input_source *source = recorder ? recorder_source(recorder) : recording->source;
    if (cli_machine_create(setup, source, &error) < 0 ||
        (recorder && recorder_attach(recorder, setup->machine, &error) < 0)) {
        recorder_abandon(recorder);
        cli_fail(STATUS_HOST, &error);
        return -1;
    }
    int signal_number;
    int run = cli_machine_run(setup, &signal_number, &error);
    return finish(recording, setup, recorder, run, signal_number, &error);
}
