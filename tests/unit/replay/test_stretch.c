/* Stretches of a run that are kept: every instruction, whatever checkpoints there are, and what
 * single steps say of them. */
#include "tests/unit/replay/recorded.h"

#include "replay/stretch.h"

enum { FROM = 200000, LENGTH = 3000 };

static struct timeline *timeline;
static struct stretch stretch;

static int begin(void **state)
{
    if (make_path(state) < 0)
        return -1;
    record("crash", "ticks=60 hz=1000", UINT64_MAX);
    timeline = open_trace(0);
    return 0;
}

static int end(void **state)
{
    stretch_clear(&stretch);
    timeline_close(timeline);
    return remove_path(state);
}

static struct position at(uint64_t retired)
{
    struct error error = {""};
    assert_int_equal(timeline_seek_retired(timeline, retired, NULL, &error), 0);
    return timeline_position(timeline);
}

static void fill(uint64_t from, struct position to)
{
    struct error error = {""};
    struct timeline_stop stop;
    stretch_clear(&stretch);
    assert_int_equal(stretch_fill(&stretch, timeline, from, to, 0, &stop, &error), 0);
    assert_int_equal(stop.why, TIMELINE_DONE);
}

static void a_stretch_has_every_instruction(void **state)
{
    struct error error = {""};
    (void)state;
    fill(FROM, at(FROM + LENGTH));
    assert_true(stretch.insn_count > LENGTH);
    assert_int_equal(stretch.insns[0].code, STRETCH_NO_CODE);
    assert_int_equal(timeline_seek_retired(timeline, FROM, NULL, &error), 0);
    for (uint32_t i = 1; i < stretch.insn_count; i++) {
        const struct stretch_insn *insn = &stretch.insns[i];
        const struct stretch_code *code = &stretch.codes[insn->code];
        struct vcpu_state now;
        assert_int_equal(
            timeline_seek_delivered(timeline, insn->position, insn->delivered, NULL, &error), 0);
        assert_int_equal(engine_export_state(timeline_machine(timeline)->engine, &now, &error), 0);
        assert_true(now.rip == insn->linear);
        assert_true(timeline_retired(timeline) == insn->retired);
        assert_int_equal(code->bits, 64);
        assert_memory_equal(
            memory_at(&timeline_machine(timeline)->memory, code->gpa, 1), code->bytes, 1);
        assert_true(insn->access <= stretch_access_end(&stretch, i));
    }
}

static void checkpoints_on_the_way_hide_nothing(void **state)
{
    struct error error = {""};
    (void)state;
    struct position to = at(FROM + LENGTH);
    fill(FROM, to);
    uint32_t insns = stretch.insn_count, accesses = stretch.access_count;
    at(FROM + LENGTH / 2);
    assert_int_equal(timeline_checkpoint(timeline, &error), 0);
    fill(FROM, to);
    assert_int_equal(stretch.insn_count, insns);
    assert_int_equal(stretch.access_count, accesses);
    for (uint32_t i = 0; i < stretch.access_count; i++)
        assert_int_not_equal(stretch.accesses[i].kind, STRETCH_DEVICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stretch_has_every_instruction),
        cmocka_unit_test(checkpoints_on_the_way_hide_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
