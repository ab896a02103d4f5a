/*
 * The timeline against straight replays: wherever a random walk stops, the machine is the one that
 * a replay from the start has there.
 */
#include "tests/unit/replay/recorded.h"
#include "vmm/kvm/kvm.h"

static void random_move(struct timeline *timeline, uint64_t total, uint64_t *seed)
{
    struct error error = {""};
    struct timeline_stop stop;
    uint64_t last = timeline_last_event(timeline);
    int result;
    switch (next_random(seed) % 5) {
    case 0: {
        struct position position = {.event = next_random(seed) % (last + 1)};
        result = timeline_seek(timeline, position, &stop, &error);
        break;
    }
    case 1:
        result = timeline_seek_retired(timeline, next_random(seed) % total, &stop, &error);
        break;
    case 2:
        result = timeline_step(timeline, FORWARD, next_random(seed) % 50, &stop, &error);
        break;
    default:
        result = timeline_step(timeline, BACKWARD, next_random(seed) % 50, &stop, &error);
        break;
    }
    if (result != 0)
        fail_msg("%s", error.text);
}

static void walk(uint64_t cache, unsigned moves, uint64_t seed)
{
    struct error error = {""};
    struct timeline *timeline = open_trace(cache);
    printf("walk: seed %llu, %u moves\n", (unsigned long long)seed, moves);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    assert_true(timeline_at_end(timeline));
    uint64_t total = timeline_retired(timeline);
    for (unsigned i = 0; i < moves; i++) {
        random_move(timeline, total, &seed);
        check_here(timeline);
        unsigned count;
        uint64_t bytes;
        timeline_cache(timeline, &count, &bytes);
        if (cache && bytes > cache)
            fail_msg("%u checkpoints take %llu bytes of %llu", count, (unsigned long long)bytes,
                (unsigned long long)cache);
    }
    timeline_close(timeline);
}

static void a_random_walk_finds_the_machine_of_a_straight_replay(void **state)
{
    (void)state;
    record("clock", "", 300000000);
    walk(0, 60, 1);
}

static void a_small_cache_changes_nothing(void **state)
{
    (void)state;
    record("clock", "", 300000000);
    walk(300000, 40, 2);
}

/* The next event of a kind, forward; false at the end. */
static bool next_of_kind(struct timeline *timeline, enum event_kind kind)
{
    struct error error = {""};
    struct timeline_stop stop;
    const struct timeline_condition condition = {
        .kind = CONDITION_EVENT, .event_kinds = 1u << kind};
    assert_int_equal(timeline_run(timeline, FORWARD, &condition, 1, &stop, &error), 0);
    return stop.why == TIMELINE_CONDITION;
}

static bool kvm_is_usable(void)
{
    const struct memory_backend backend = {.size = 16 << 20};
    struct error error;
    struct memory memory;
    assert_int_equal(memory_create(&memory, &backend, 1, &error), 0);
    struct engine *kvm = kvm_create(&memory, PERSONALITY_OF_MODEL, &error);
    if (kvm)
        engine_destroy(kvm);
    memory_destroy(&memory);
    return kvm != NULL;
}

/* Records ring 3 computation on KVM until landings in it are in the trace. */
static unsigned record_landings(void)
{
    unsigned landings = 0;
    for (unsigned attempt = 0; attempt < 10 && landings < 2; attempt++) {
        record_on("kvm", "spin", "loops=5000000 passes=200000 hz=1000", UINT64_MAX);
        struct timeline *timeline = open_trace(0);
        for (landings = 0; next_of_kind(timeline, EVENT_LANDING);)
            landings++;
        timeline_close(timeline);
    }
    return landings;
}

static uint64_t rip_of(struct timeline *timeline)
{
    struct error error = {""};
    struct vcpu_state vcpu;
    struct engine *engine = timeline_machine(timeline)->engine;
    assert_int_equal(engine_export_state(engine, &vcpu, &error), 0);
    return vcpu.rip;
}

/*
 * A breakpoint on an instruction of the loop that a landing lies in: hit as often as single steps
 * come by, then the landing is reached. Afresh: the timeline has not been there yet. False where
 * the loop had only just begun or been returned to.
 */
static bool break_before(struct timeline *timeline, uint64_t landing, bool afresh)
{
    enum { DISTANCE = 90 };
    struct error error = {""};
    struct timeline_stop stop;
    unsigned passes = 0, hits = 0;
    uint64_t start = landing - DISTANCE;
    assert_int_equal(timeline_seek_retired(timeline, start, NULL, &error), 0);
    const struct timeline_condition both[] = {
        {.kind = CONDITION_EXECUTE, .address = rip_of(timeline)},
        {.kind = CONDITION_EVENT, .event_kinds = 1u << EVENT_LANDING},
    };
    if (!afresh) {
        for (uint64_t at = start + 1; at < landing; at++) {
            assert_int_equal(timeline_step(timeline, FORWARD, 1, NULL, &error), 0);
            assert_true(timeline_retired(timeline) == at);
            passes += rip_of(timeline) == both[0].address;
        }
        if (passes == 0)
            return false;
        assert_int_equal(timeline_seek_retired(timeline, start, NULL, &error), 0);
    }
    do {
        assert_int_equal(timeline_run(timeline, FORWARD, both, 2, &stop, &error), 0);
        assert_int_equal(stop.why, TIMELINE_CONDITION);
        hits += stop.condition == 0;
    } while (stop.condition == 0 && hits < DISTANCE);
    assert_int_equal(stop.condition, 1);
    assert_true(timeline_retired(timeline) == landing);
    assert_true(afresh ? hits > 0 : hits == passes);
    return true;
}

/*
 * Landings of KVM, which have to be searched: they are at the same counts of instructions whether
 * found by searching, by count after a restore, or with breakpoints on the way.
 */
static void landings_of_kvm_stay_where_they_are(void **state)
{
    (void)state;
    struct error error = {""};
    enum { MOST = 64 };
    uint64_t found[MOST];
    unsigned count = 0;
    if (!kvm_is_usable() || record_landings() < 2)
        skip();
    struct timeline *timeline = open_trace(0);
    while (count < MOST && next_of_kind(timeline, EVENT_LANDING))
        found[count++] = timeline_retired(timeline);
    printf("%u landings\n", count);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    uint64_t total = timeline_retired(timeline);

    /* By count: back to before each, then on through it. */
    for (unsigned i = count; i-- > 0;) {
        assert_int_equal(timeline_seek_retired(timeline, found[i] - 3, NULL, &error), 0);
        check_here(timeline);
        assert_true(next_of_kind(timeline, EVENT_LANDING));
        assert_true(timeline_retired(timeline) == found[i]);
        check_here(timeline);
    }

    unsigned in_loop = 0;
    for (unsigned i = 0; i < count; i++) {
        if (break_before(timeline, found[i], false))
            found[in_loop++] = found[i];
    }
    timeline_close(timeline);
    assert_true(in_loop > 0);
    /* The same while the landings are still to be searched. */
    for (unsigned i = 0; i < in_loop && i < 4; i++) {
        timeline = open_trace(0);
        break_before(timeline, found[i], true);
        assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
        assert_true(timeline_retired(timeline) == total);
        timeline_close(timeline);
    }
    walk(0, 25, 3);
}

static void stepping_back_undoes_stepping(void **state)
{
    (void)state;
    struct error error = {""};
    record("clock", "", 200000000);
    struct timeline *timeline = open_trace(0);
    uint64_t digests[200];
    struct position positions[200];
    assert_int_equal(timeline_seek(timeline, (struct position){100, 0}, NULL, &error), 0);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(timeline_step(timeline, FORWARD, 1, NULL, &error), 0);
        positions[i] = timeline_position(timeline);
        assert_int_equal(timeline_digest(timeline, &digests[i], &error), 0);
    }
    for (unsigned i = 199; i-- > 0;) {
        uint64_t digest;
        assert_int_equal(timeline_step(timeline, BACKWARD, 1, NULL, &error), 0);
        assert_int_equal(position_compare(timeline_position(timeline), positions[i]), 0);
        assert_int_equal(timeline_digest(timeline, &digest, &error), 0);
        assert_true(digest == digests[i]);
    }
    timeline_close(timeline);
}

/* Steps back from the end of what was recorded, and forward again. */
static void step_back_from_the_end(void)
{
    struct error error = {""};
    struct timeline_stop stop;
    uint64_t digest, again;
    struct timeline *timeline = open_trace(0);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    struct position end = timeline_position(timeline);
    uint64_t total = timeline_retired(timeline);
    for (unsigned count = 1; count <= 3; count++) {
        assert_int_equal(timeline_step(timeline, BACKWARD, count, &stop, &error), 0);
        assert_int_equal(stop.why, TIMELINE_DONE);
        assert_true(position_compare(timeline_position(timeline), end) < 0);
        /* The end may be a delivery, which retires nothing and is a step of its own. */
        uint64_t undone = total - timeline_retired(timeline);
        assert_true(undone == count || undone == count - 1);
        check_here(timeline);
        if (timeline_seek(timeline, POSITION_END, NULL, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(position_compare(timeline_position(timeline), end), 0);
    }
    /* One by one. */
    assert_int_equal(timeline_step(timeline, BACKWARD, 4, &stop, &error), 0);
    assert_int_equal(timeline_digest(timeline, &digest, &error), 0);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(timeline_step(timeline, BACKWARD, 1, &stop, &error), 0);
        assert_int_equal(stop.why, TIMELINE_DONE);
    }
    assert_int_equal(timeline_digest(timeline, &again, &error), 0);
    assert_true(digest == again);
    timeline_close(timeline);
}

static void the_last_instruction_is_undone_however_the_run_ended(void **state)
{
    (void)state;
    record("hello", "", UINT64_MAX);
    step_back_from_the_end();
    record("hello", "", 1000);
    step_back_from_the_end();
    /* By the port that ends a run with a status: two of its timer ticks find the planted race. */
    record("crash", "ticks=6000 hz=10000", UINT64_MAX);
    step_back_from_the_end();
}

static void breakpoints_are_hit_both_ways(void **state)
{
    (void)state;
    struct error error = {""};
    struct vcpu_state vcpu;
    record("clock", "", 200000000);
    /* Where the guest is when it writes to the PIC for the last time is in its interrupt handler.
     */
    struct timeline *timeline = open_trace(0);
    struct timeline_stop stop;
    const struct timeline_condition eoi = {.kind = CONDITION_EVENT,
        .event_kinds = 1u << EVENT_PIO_OUT,
        .match_address = true,
        .address = 0x20};
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    assert_int_equal(timeline_run(timeline, BACKWARD, &eoi, 1, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    struct machine *machine = timeline_machine(timeline);
    assert_int_equal(engine_export_state(machine->engine, &vcpu, &error), 0);
    timeline_close(timeline);

    const struct timeline_condition here = {.kind = CONDITION_EXECUTE, .address = vcpu.rip};
    compare_directions(&here, 10);
    /* The stack under the handler is written to at every interrupt. */
    const struct timeline_condition stack = {
        .kind = CONDITION_WRITE, .address = vcpu.gpr[RSP], .length = 8};
    compare_directions(&stack, 10);
    compare_directions(&eoi, 10);
}

static void the_console_is_what_had_been_printed(void **state)
{
    (void)state;
    struct error error = {""};
    struct timeline_stop stop;
    size_t size;
    record("hello", "", UINT64_MAX);
    struct timeline *timeline = open_trace(0);
    const struct timeline_condition text = {.kind = CONDITION_CONSOLE, .text = "hello,"};
    assert_int_equal(timeline_run(timeline, FORWARD, &text, 1, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    const uint8_t *printed = timeline_console(timeline, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(printed, "hello,", 6);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    timeline_console(timeline, &size);
    assert_true(size > 12);
    assert_int_equal(timeline_run(timeline, BACKWARD, &text, 1, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    timeline_console(timeline, &size);
    assert_int_equal(size, 5);
    timeline_close(timeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_console_is_what_had_been_printed),
        cmocka_unit_test(stepping_back_undoes_stepping),
        cmocka_unit_test(the_last_instruction_is_undone_however_the_run_ended),
        cmocka_unit_test(breakpoints_are_hit_both_ways),
        cmocka_unit_test(a_random_walk_finds_the_machine_of_a_straight_replay),
        cmocka_unit_test(a_small_cache_changes_nothing),
        cmocka_unit_test(landings_of_kvm_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
