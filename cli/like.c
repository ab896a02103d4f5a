/* A machine set up as a trace has it. */
#include "cli/like.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "replay/replay.h"
#include "vmm/machine/choices.h"

static int copy_image(
    struct boot_image *to, const struct boot_image *from, const char *name, struct error *error)
{
    uint8_t *data = malloc(from->size + 1);
    if (!data)
        return error_set(error, "out of memory for the trace's boot files");
    memcpy(data, from->data, from->size);
    *to = (struct boot_image){.name = name, .data = data, .size = from->size};
    return 0;
}

/* What the trace does not hold, and whose place others have to take. */
static void forget_host(struct cli_machine *setup)
{
    struct machine_config *config = &setup->config;
    setup->like_disks = config->disk_count;
    setup->like_nets = config->net_count;
    config->disk_count = config->fault_count = 0;
    if (!setup->like_keeps_nets)
        config->net_count = config->net_fault_count = 0;
}

static int take_images(struct cli_machine *setup, const struct replay *replay, struct error *error)
{
    const struct boot_image *kernel = replay_kernel(replay), *modules = replay_modules(replay);
    setup->like_name = strdup(kernel->name);
    if (!setup->like_name)
        return error_set(error, "out of memory");
    if (copy_image(&setup->kernel, kernel, setup->like_name, error) < 0)
        return -1;
    for (unsigned i = 0; i < replay_module_count(replay); i++) {
        /* What a module is called is its command line: it lives where its path would. */
        setup->module_paths[i] = strdup(modules[i].name);
        setup->module_names[i] = setup->module_paths[i];
        if (!setup->module_paths[i] ||
            copy_image(&setup->modules[i], &modules[i], setup->module_paths[i], error) < 0)
            return error_set(error, "out of memory for the trace's boot files");
        setup->module_count++;
    }
    setup->like_modules = setup->module_count;
    return 0;
}

int cli_machine_like(struct cli_machine *setup, const char *trace, const char *store)
{
    struct error error;
    bool damaged;
    const struct replay_options options = {.engine = "soft", .store = store};
    struct replay *replay = replay_open(trace, &options, &damaged, &error);
    if (!replay)
        return cli_fail_open(trace, store, false, damaged, &error);
    setup->config = *replay_config(replay);
    setup->config.pace = PACE_FAST;
    setup->engine = "soft";
    setup->pace_given = setup->rules_given = setup->start_given = true;
    forget_host(setup);
    int result = take_images(setup, replay, &error);
    replay_close(replay);
    return result < 0 ? cli_fail(STATUS_HOST, &error) : STATUS_OK;
}

int cli_machine_like_check(const struct cli_machine *setup, struct error *error)
{
    if (setup->like_keeps_nets && setup->config.net_count != setup->like_nets)
        return error_set(error, "--net: the networks are those of the trace, without a host");
    if (setup->like_nets && !setup->like_keeps_nets)
        return error_set(error, "the trace's machine has a network, whose other end is not in it: "
                                "its run cannot be recorded anew");
    if (setup->like_disks > setup->config.disk_count + (setup->rootfs.root != NULL))
        return error_set(error,
            "the trace's machine has %u disks, whose contents are not all in it: give each with "
            "--disk (snapshot=on leaves it as it is), a command's with --root",
            setup->like_disks);
    return 0;
}

int cli_read_choices(const char *path, struct choices *choices, struct error *error)
{
    struct buffer text = {0};
    int result = files_read(path, &text, error);
    buffer_put_u8(&text, 0);
    if (result == 0)
        result = text.failed ? error_set(error, "out of memory for %s", path)
                             : choices_parse(choices, (char *)text.data, error);
    buffer_free(&text);
    return result;
}
