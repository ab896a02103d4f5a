/* Stops a run where what is in memory changes. */
#include "debugger/changes.h"

#include "debugger/session.h"

static uint64_t look_at_kernel(const struct changes *changes, struct timeline *timeline)
{
    struct view view;
    return view_take(&view, timeline, NULL) == 0 ? follow_look(changes->debugger, &view) : 0;
}

static void begin_looking(void *context, struct timeline *timeline)
{
    struct changes *changes = context;
    changes->seen = look_at_kernel(changes, timeline);
}

/* The page tables were exchanged, or the machine is reset: is it another kernel now? */
static bool is_other_kernel(void *context, struct timeline *timeline)
{
    struct changes *changes = context;
    uint64_t now = look_at_kernel(changes, timeline), before = changes->seen;
    bool resets = timeline_machine(timeline)->run.reset_requested;
    changes->seen = resets ? 0 : now;
    return resets ? now != 0 : now != before;
}

/* Modules were loaded or are about to be unloaded, a program began or is about to end. */
static bool is_other_content(void *context, struct timeline *timeline)
{
    struct changes *changes = context;
    struct debugger *debugger = changes->debugger;
    (void)timeline;
    debugger_moved(debugger);
    bool changed =
        session_look(debugger, NULL) == 0 && debugger->follow.signature != changes->signature;
    debugger_moved(debugger);
    return changed;
}

/* Only what can bring places that were not there before: forward what comes, backward what goes. */
unsigned changes_arm(struct changes *changes, struct debugger *debugger, enum direction direction,
    struct timeline_condition *conditions)
{
    static const char *const forward[] = {"do_init_module", "finalize_exec", NULL};
    static const char *const backward[] = {"free_module", "begin_new_exec", "do_exit", NULL};
    const char *const *names = direction == FORWARD ? forward : backward;
    const struct module *kernel = follow_kernel(debugger);
    unsigned count = 0;
    if (!kernel)
        return 0;
    *changes =
        (struct changes){debugger, debugger->follow.kernel_signature, debugger->follow.signature};
    conditions[count++] = (struct timeline_condition){.kind = CONDITION_SPACE,
        .accept = is_other_kernel,
        .begin = begin_looking,
        .context = changes};
    for (; *names && !kernel->away; names++) {
        const struct symbol *symbol = module_find(kernel, *names);
        if (!symbol)
            continue;
        conditions[count++] = (struct timeline_condition){.kind = CONDITION_EXECUTE,
            .address = symbol->address,
            .length = 1,
            .accept = is_other_content,
            .context = changes};
    }
    return count;
}
