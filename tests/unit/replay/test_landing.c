/*
 * Landings that only state can name, searched in the replay of a run where they are known: a loop
 * whose passes have equal registers, told apart by memory alone, and repeated string instructions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder/recorder.h"
#include "replay/checkpoint.h"
#include "replay/replay.h"
#include "replay/timeline.h"
#include "vmm/machine/landing.h"
#include "vmm/machine/live.h"

static char trace_path[64];

static struct boot_image load_guest(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.elf", TEST_GUESTS, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static uint8_t data[1 << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    return (struct boot_image){.name = name, .data = data, .size = size};
}

/* Records a guest on the software CPU into trace_path. */
static void record(const char *guest, const char *command_line)
{
    struct error error = {""};
    struct machine_config config;
    config_defaults(&config);
    config.memory[0].size = 16 << 20;
    config.pace = PACE_FAST;
    config.start_time = 1000000000;
    strcpy(config.command_line, command_line);
    struct boot_image kernel = load_guest(guest);
    struct live *live = live_create(NULL, PACE_FAST, &error);
    assert_non_null(live);
    const struct recorder_options options = {.path = trace_path,
        .config = &config,
        .engine = "soft",
        .kernel = &kernel,
        .live = live_source(live),
        .include_checks = true,
        .counts = true};
    struct recorder *recorder = recorder_create(&options, &error);
    assert_non_null(recorder);
    const struct machine_options machine_options = {.config = &config,
        .engine = "soft",
        .kernel = &kernel,
        .source = recorder_source(recorder)};
    struct machine *machine = machine_create(&machine_options, &error);
    assert_non_null(machine);
    assert_int_equal(recorder_attach(recorder, machine, &error), 0);
    assert_int_equal(live_attach(live, machine, &error), 0);
    assert_int_equal(machine_run(machine, POSITION_END, &error), 0);
    live_detach(live);
    assert_int_equal(recorder_finish(recorder, machine, outcome_of(machine, 0), NULL, &error), 0);
    machine_destroy(machine);
    live_destroy(live);
}

/* The replay's own source, but for one landing by state after one event. */
struct detour {
    struct input_source source; /* first */
    struct input_source *inner;
    uint64_t event;
    struct landing landing;
    unsigned landed;
    uint64_t insns;
};

static uint64_t detour_clock(struct input_source *source, struct machine *machine)
{
    struct detour *detour = (struct detour *)source;
    return detour->inner->ops->clock(detour->inner, machine);
}

static int detour_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct detour *detour = (struct detour *)source;
    return detour->inner->ops->poll(detour->inner, machine, delivery, error);
}

static int detour_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct detour *detour = (struct detour *)source;
    if (machine->position.event == detour->event) {
        plan->landing = &detour->landing;
        return 0;
    }
    return detour->inner->ops->plan(detour->inner, machine, plan, error);
}

static int detour_landed(struct input_source *source, struct machine *machine,
    const struct landing *landing, uint64_t insns, struct error *error)
{
    struct detour *detour = (struct detour *)source;
    (void)machine;
    (void)landing;
    (void)error;
    detour->landed++;
    detour->insns = insns;
    return 0;
}

static const struct input_source_ops detour_ops = {
    .name = "detour",
    .replays = true,
    .clock = detour_clock,
    .poll = detour_poll,
    .plan = detour_plan,
    .landed = detour_landed,
};

static struct replay *replay_to(struct position position)
{
    struct error error = {""};
    bool damaged;
    enum replay_outcome outcome;
    const struct replay_options options = {.engine = "soft"};
    struct replay *replay = replay_open(trace_path, &options, &damaged, &error);
    assert_non_null(replay);
    if (replay_run(replay, position, &outcome, &damaged, &error) != 0)
        fail_msg("%s", error.text);
    struct position here = machine_position(replay_machine(replay));
    assert_int_equal(position_compare(here, position), 0);
    return replay;
}

static void state_at(struct position position, struct vcpu_state *state)
{
    struct error error;
    struct replay *replay = replay_to(position);
    struct engine *engine = replay_machine(replay)->engine;
    assert_int_equal(engine_export_state(engine, state, &error), 0);
    replay_close(replay);
}

/* The event after which the guest computes longest without another, and for how long. */
static struct position longest_stretch(void)
{
    struct error error = {""};
    bool damaged;
    struct timeline_stop stop;
    const struct timeline_options options = {0};
    struct timeline *timeline = timeline_open(trace_path, &options, &damaged, &error);
    const struct timeline_condition any = {.kind = CONDITION_EVENT, .event_kinds = UINT32_MAX};
    struct position longest = {0};
    uint64_t last = 0;
    assert_non_null(timeline);
    for (;;) {
        assert_int_equal(timeline_run(timeline, FORWARD, &any, 1, &stop, &error), 0);
        if (stop.why != TIMELINE_CONDITION)
            break;
        uint64_t insns = timeline_retired(timeline) - last;
        last = timeline_retired(timeline);
        if (insns > longest.insn)
            longest = (struct position){stop.event.ordinal - 1, insns};
    }
    timeline_close(timeline);
    return longest;
}

/* An interrupt at the landing pushes the landing's flags. The stack's memory is mapped one to one.
 */
static void take_interrupt(struct machine *machine, const struct landing *landing)
{
    enum { VECTOR = 32, RIP = 0, RFLAGS = 16 };
    struct error error = {""};
    struct vcpu_state state;
    uint64_t rip, rflags;
    struct engine *engine = machine->engine;
    assert_true(engine_interruptible(engine));
    assert_int_equal(engine_interrupt(engine, VECTOR, &error), 0);
    assert_int_equal(engine_export_state(engine, &state, &error), 0);
    assert_true(memory_read(&machine->memory, state.gpr[RSP] + RIP, &rip, sizeof rip));
    assert_true(memory_read(&machine->memory, state.gpr[RSP] + RFLAGS, &rflags, sizeof rflags));
    assert_true(rip == landing->state.rip);
    assert_true(rflags == landing->state.rflags);
}

/* Goes on from the landing's event until it is found, or the next event comes. */
static void look_for(struct detour *detour)
{
    struct error error = {""};
    struct replay *replay = replay_to((struct position){detour->event, 0});
    struct machine *machine = replay_machine(replay);
    detour->inner = machine->source;
    machine->source = &detour->source;
    machine->observer_count = 0;
    if (machine_run(machine, (struct position){detour->event + 1, 0}, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(machine_stopped(machine), STOP_UNTIL);
    if (detour->landed && detour->landing.state.rflags & FLAG_IF)
        take_interrupt(machine, &detour->landing);
    machine->source = detour->inner;
    replay_close(replay);
}

/*
 * Makes a landing of where the replay is at the position, with `flags` changed, and searches it in
 * a second replay. Is it found?
 */
static bool finds(struct position position, uint64_t flags)
{
    struct error error = {""};
    struct detour detour = {.source.ops = &detour_ops, .event = position.event};
    struct replay *replay = replay_to(position);
    assert_int_equal(landing_capture(replay_machine(replay), &detour.landing, &error), 0);
    assert_true(detour.landing.page_count > 0);
    detour.landing.state.rflags ^= flags;
    replay_close(replay);
    look_for(&detour);
    if (detour.landed) {
        assert_int_equal(detour.landed, 1);
        assert_true(detour.insns == position.insn);
    }
    landing_free(&detour.landing);
    return detour.landed;
}

static void search(struct position position)
{
    assert_true(finds(position, 0));
}

static bool same_registers(const struct vcpu_state *a, const struct vcpu_state *b)
{
    return a->rip == b->rip && a->rflags == b->rflags && memcmp(a->gpr, b->gpr, sizeof a->gpr) == 0;
}

/* The loop is XOR, SUB, JNZ: what SUB leaves in the flags recurs after 256 passes. */
static void memory_tells_passes_with_equal_registers_apart(void **state)
{
    (void)state;
    enum { PASS = 3, PERIOD = 256 };
    record("spin", "loops=1000 passes=100000");
    struct position stretch = longest_stretch();
    assert_true(stretch.insn > PASS * 100000);
    for (unsigned i = 0; i < 7; i++) {
        struct position position = {stretch.event, stretch.insn - 50000 - 13 * i};
        struct position earlier = {position.event, position.insn - PASS * PERIOD};
        struct vcpu_state here, before;
        state_at(position, &here);
        state_at(earlier, &before);
        assert_true(same_registers(&here, &before));
        search(position);
    }
}

static void places_in_other_computation_are_found(void **state)
{
    (void)state;
    uint64_t seed = 1;
    record("spin", "loops=20000");
    struct position stretch = longest_stretch();
    assert_true(stretch.insn > 100000);
    printf("places from seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < 20; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        search((struct position){stretch.event, 1 + (seed >> 33) % (stretch.insn - 1)});
    }
}

static void between_iterations_rf_may_be_the_recording_cpus(void **state)
{
    (void)state;
    record("repeat", "rounds=1 user=1 count=500 hz=19");
    struct position stretch = longest_stretch();
    unsigned inside = 0, outside = 0;
    assert_true(stretch.insn > 3000);
    for (uint64_t insn = 7; insn < stretch.insn; insn += 61) {
        struct position position = {stretch.event, insn};
        struct vcpu_state here;
        state_at(position, &here);
        bool between = here.rflags & FLAG_RF; /* no IRET sets it in this stretch */
        inside += between;
        outside += !between;
        assert_true(finds(position, 0));
        assert_true(finds(position, FLAG_RF) == between);
        assert_false(finds(position, FLAG_NT));
    }
    assert_true(inside > 10);
    /* In front of a first iteration, after a last one, in front of something else. */
    static const int around[] = {-1, 0, 1, 2};
    uint64_t first = 1;
    struct vcpu_state here;
    do
        state_at((struct position){stretch.event, ++first}, &here);
    while (!(here.rflags & FLAG_RF));
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        struct position position = {stretch.event, first + (uint64_t)around[i]};
        assert_true(finds(position, 0));
        assert_true(finds(position, FLAG_RF) == (around[i] >= 0));
    }
    printf("%u places inside repetitions, %u elsewhere\n", inside, outside);
}

/* Of a repeated SCAS, with the flags of the last iteration or from before the instruction: both are
 * found, others are not. */
static void between_iterations_flags_may_be_those_from_before(void **state)
{
    (void)state;
    enum { STEP = 797, REPNE = 0xf2, OPCODE_AT = 2, SCAS = 0xaf };
    const uint64_t arithmetic = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;
    struct error error = {""};
    record("repeat", "rounds=1 user=0 count=3000 hz=19");
    struct position stretch = longest_stretch();
    unsigned differing = 0;
    for (uint64_t insn = 1; insn < stretch.insn; insn += STEP) {
        struct position position = {stretch.event, insn};
        struct vcpu_state here;
        uint8_t code[3];
        uint64_t other;
        struct replay *replay = replay_to((struct position){stretch.event, insn - 1});
        struct machine *machine = replay_machine(replay);
        /* Over a boundary of the same run: an import forgets what was before. */
        assert_int_equal(machine_run(machine, position, &error), 0);
        struct engine *engine = machine->engine;
        assert_int_equal(engine_export_state(engine, &here, &error), 0);
        bool known = engine->ops->other_flags(engine, &other);
        assert_true(memory_read(&machine->memory, here.rip, code, sizeof code));
        replay_close(replay);
        if (code[OPCODE_AT] != SCAS || !(here.rflags & FLAG_RF))
            continue;
        assert_true(known);
        differing += other != (here.rflags & arithmetic);
        assert_true(finds(position, (here.rflags & arithmetic) ^ other));
        assert_false(finds(position, (here.rflags & arithmetic) ^ other ^ FLAG_SF));
    }
    printf("%u places with two kinds of flags\n", differing);
    assert_true(differing > 2);
}

static bool describes(const struct landing *landing, const char *text)
{
    struct buffer out = {0};
    landing_describe_nearest(landing, &out);
    buffer_put_u8(&out, 0);
    assert_false(out.failed);
    bool found = strstr((const char *)out.data, text) != NULL;
    buffer_free(&out);
    return found;
}

static void a_search_that_fails_says_how_near_it_came(void **state)
{
    (void)state;
    struct error error = {""};
    record("spin", "loops=20000");
    struct position stretch = longest_stretch(), position = {stretch.event, stretch.insn / 2};
    for (unsigned wrong = 0; wrong < 4; wrong++) {
        struct detour detour = {.source.ops = &detour_ops, .event = position.event};
        struct replay *replay = replay_to(position);
        assert_int_equal(landing_capture(replay_machine(replay), &detour.landing, &error), 0);
        replay_close(replay);
        struct landing *landing = &detour.landing;
        landing->state.rflags ^= wrong == 0 ? FLAG_NT : wrong == 1 ? FLAG_SF : 0;
        landing->pages[0].digest ^= wrong == 2;
        landing->state.gpr[RBP] ^= wrong == 3;
        look_for(&detour);
        assert_int_equal(detour.landed, 0);
        if (wrong == 3) {
            assert_int_equal(landing->nearest, NEAREST_NONE);
            assert_true(describes(landing, "nowhere"));
        } else {
            assert_true(landing->nearest_insns == position.insn);
            assert_int_equal(landing->nearest, wrong == 2 ? NEAREST_REGISTERS : NEAREST_PAGES);
            assert_true(describes(landing, wrong == 2 ? "the memory at" : "rflags"));
        }
        landing_free(landing);
    }
}

/* Its count of instructions is that of the place before, where a second search would end. */
static void behind_a_delivery_no_count_is_given(void **state)
{
    (void)state;
    enum { FAULTS = 12 };
    const struct breakpoint any = {.kind = BREAK_EXCEPTION, .length = 32};
    struct error error = {""};
    record("cpu_faults", "");
    struct replay *replay = replay_to((struct position){0, 0});
    struct machine *machine = replay_machine(replay);
    assert_int_equal(machine_set_breakpoints(machine, &any, 1, &error), 0);
    unsigned faults = 0;
    while (faults < FAULTS) {
        if (machine_run(machine, POSITION_END, &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(machine_stopped(machine), STOP_BREAKPOINT);
        if (!engine_delivered(machine->engine))
            continue; /* a trap belongs to its instruction */
        struct detour detour = {.source.ops = &detour_ops, .event = machine->position.event};
        assert_int_equal(landing_capture(machine, &detour.landing, &error), 0);
        look_for(&detour);
        assert_int_equal(detour.landed, 1);
        assert_true(detour.insns == 0);
        landing_free(&detour.landing);
        faults++;
    }
    replay_close(replay);
}

/* Where a landing was found once, a restored replay goes by count; a landing damaged in between is
 * refused. */
static void a_wrong_state_where_a_landing_was_found_is_an_error(void **state)
{
    (void)state;
    struct error error = {""};
    record("spin", "loops=20000");
    struct position stretch = longest_stretch(), position = {stretch.event, stretch.insn / 2};
    struct detour detour = {.source.ops = &detour_ops, .event = position.event};
    struct replay *replay = replay_to(position);
    assert_int_equal(landing_capture(replay_machine(replay), &detour.landing, &error), 0);
    replay_close(replay);
    detour.landing.found = true;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        replay = replay_to((struct position){position.event, 0});
        struct machine *machine = replay_machine(replay);
        detour.inner = machine->source;
        detour.landing.insns = position.insn + wrong;
        machine->source = &detour.source;
        machine->observer_count = 0;
        int result = machine_run(machine, (struct position){position.event + 1, 0}, &error);
        assert_int_equal(result, wrong ? -1 : 0);
        assert_int_equal(detour.landed, 1);
        machine->source = detour.inner;
        replay_close(replay);
    }
    landing_free(&detour.landing);
}

static int make_path(void **state)
{
    (void)state;
    strcpy(trace_path, "/tmp/hindsight-landing-XXXXXX");
    int fd = mkstemp(trace_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(trace_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_tells_passes_with_equal_registers_apart),
        cmocka_unit_test(places_in_other_computation_are_found),
        cmocka_unit_test(between_iterations_rf_may_be_the_recording_cpus),
        cmocka_unit_test(between_iterations_flags_may_be_those_from_before),
        cmocka_unit_test(a_search_that_fails_says_how_near_it_came),
        cmocka_unit_test(behind_a_delivery_no_count_is_given),
        cmocka_unit_test(a_wrong_state_where_a_landing_was_found_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
