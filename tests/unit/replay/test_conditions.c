/*
 * What a run stops at: the same hits forward and backward, and none missed. What is expected comes
 * from the guests' sources, the architecture, and from looking after each single instruction.
 */
#include "tests/unit/replay/recorded.h"

#include "vmm/host/block/raw.h"
#include "vmm/storage/disk.h"

static struct timeline_stop run(
    struct timeline *timeline, enum direction direction, const struct timeline_condition *condition)
{
    struct error error = {""};
    struct timeline_stop stop;
    if (timeline_run(timeline, direction, condition, 1, &stop, &error) != 0)
        fail_msg("%s", error.text);
    return stop;
}

static struct vcpu_state state_of(struct timeline *timeline)
{
    struct error error;
    struct vcpu_state state;
    struct engine *engine = timeline_machine(timeline)->engine;
    assert_int_equal(engine_export_state(engine, &state, &error), 0);
    return state;
}

static void seek_retired(struct timeline *timeline, uint64_t retired)
{
    struct error error = {""};
    assert_int_equal(timeline_seek_retired(timeline, retired, NULL, &error), 0);
}

/* ---- Exceptions ---- */

static const struct timeline_condition any_exception = {.kind = CONDITION_EXCEPTION};

static void exceptions_are_hit_both_ways(void **state)
{
    (void)state;
    record("cpu_faults", "", UINT64_MAX);
    compare_directions(&any_exception, 30);
    record("cpu_gates", "", UINT64_MAX);
    compare_directions(&any_exception, 10);
    record("cpu_step", "", UINT64_MAX); /* traps */
    compare_directions(&any_exception, 10);
}

/* The gate of the vector, as the guest's IDT has it. */
static uint64_t handler_of(
    struct timeline *timeline, const struct vcpu_state *vcpu, unsigned vector)
{
    uint64_t gate[2];
    assert_true(memory_read(&timeline_machine(timeline)->memory, vcpu->idt.base + 16 * vector, gate,
        sizeof gate)); /* the guests map RAM one to one */
    return (gate[0] & 0xffff) | (gate[0] >> 48) << 16 | gate[1] << 32;
}

static void a_fault_stops_at_its_handler_and_before_its_instruction(void **state)
{
    (void)state;
    record("cpu_paging", "", UINT64_MAX);
    struct timeline *timeline = open_trace(0);
    const struct timeline_condition page_fault = {
        .kind = CONDITION_EXCEPTION, .address = 14, .match_address = true};
    struct timeline_stop stop = run(timeline, FORWARD, &page_fault);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    assert_int_equal(stop.vector, 14);
    struct vcpu_state vcpu = state_of(timeline);
    assert_int_equal(timeline_delivered(timeline), 1);
    assert_true(vcpu.rip == handler_of(timeline, &vcpu, 14));
    /* The frame: error code, RIP. */
    uint64_t frame[2];
    assert_true(
        memory_read(&timeline_machine(timeline)->memory, vcpu.gpr[RSP], frame, sizeof frame));
    assert_true(frame[0] == stop.error);
    assert_true(frame[1] == stop.rip);
    struct position position = timeline_position(timeline);
    uint64_t retired = timeline_retired(timeline);

    struct error error;
    struct timeline_stop back;
    assert_int_equal(timeline_step(timeline, BACKWARD, 1, &back, &error), 0);
    vcpu = state_of(timeline);
    assert_true(vcpu.rip == stop.rip);
    assert_int_equal(timeline_delivered(timeline), 0);
    assert_true(timeline_retired(timeline) == retired);
    assert_int_equal(position_compare(timeline_position(timeline), position), 0);
    check_here(timeline);

    seek_retired(timeline, retired + 5);
    back = run(timeline, BACKWARD, &page_fault);
    assert_int_equal(back.why, TIMELINE_CONDITION);
    assert_true(back.rip == stop.rip && back.vector == 14 && back.error == stop.error);
    vcpu = state_of(timeline);
    assert_true(vcpu.rip == stop.rip);
    timeline_close(timeline);
}

static void a_breakpoint_on_a_handler_is_hit_both_ways(void **state)
{
    (void)state;
    record("cpu_faults", "", UINT64_MAX);
    struct timeline *timeline = open_trace(0);
    run(timeline, FORWARD, &any_exception);
    struct timeline_stop stop = run(timeline, FORWARD, &any_exception);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    struct vcpu_state vcpu = state_of(timeline);
    const struct timeline_condition handler = {
        .kind = CONDITION_EXECUTE, .address = handler_of(timeline, &vcpu, stop.vector)};
    timeline_close(timeline);
    compare_directions(&handler, 2);

    timeline = open_trace(0);
    run(timeline, FORWARD, &handler);
    assert_int_equal(timeline_delivered(timeline), 1);
    vcpu = state_of(timeline);
    assert_true(vcpu.rip == handler.address);
    seek_retired(timeline, timeline_retired(timeline) + 3);
    run(timeline, BACKWARD, &handler);
    assert_int_equal(timeline_delivered(timeline), 1);
    vcpu = state_of(timeline);
    assert_true(vcpu.rip == handler.address);
    timeline_close(timeline);
}

static void an_interrupt_is_chosen_by_its_vector(void **state)
{
    (void)state;
    record("clock", "ticks=150", UINT64_MAX);
    const struct timeline_condition both = {
        .kind = CONDITION_EVENT, .event_kinds = 1u << EVENT_INTERRUPT};
    struct timeline_condition one = both;
    one.match_value = true;
    one.value = 0x28; /* the RTC's, IRQ 8; see guests/lib/pic.h */
    unsigned rtc = compare_directions(&one, 1);
    one.value = 0x20;
    unsigned timer = compare_directions(&one, 50);
    struct timeline *timeline = open_trace(0);
    assert_int_equal(run(timeline, FORWARD, &one).event.value, 0x20);
    timeline_close(timeline);
    assert_true(rtc < 10 && timer > rtc);
    compare_directions(&both, 50);
}

/* ---- Modes ---- */

static unsigned mode_of(struct timeline *timeline)
{
    struct vcpu_state s = state_of(timeline);
    return (unsigned)vcpu_cpl(&s) | vcpu_in_64bit_mode(&s) << 2 | !!(s.cr0 & CR0_PE) << 3 |
           !!(s.cr0 & CR0_PG) << 4 | !!(s.efer & EFER_LMA) << 5;
}

static void mode_changes_are_hit_both_ways(void **state)
{
    (void)state;
    const struct timeline_condition mode = {.kind = CONDITION_MODE};
    record("cpu_gates", "", UINT64_MAX);
    compare_directions(&mode, 20);
    /* None is missed, and none is another: between two hits the mode is the same. */
    struct timeline *timeline = open_trace(0);
    uint64_t seed = 3;
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = mode_of(timeline);
        uint64_t from = timeline_retired(timeline);
        struct timeline_stop stop = run(timeline, FORWARD, &mode);
        assert_int_equal(stop.why, TIMELINE_CONDITION);
        assert_int_not_equal(mode_of(timeline), before);
        uint64_t to = timeline_retired(timeline);
        for (unsigned j = 0; j < 3 && to > from + 1; j++) {
            seek_retired(timeline, from + 1 + next_random(&seed) % (to - from - 1));
            assert_int_equal(mode_of(timeline), before);
        }
        stop = run(timeline, FORWARD, &mode);
        assert_int_equal(stop.why, TIMELINE_CONDITION);
    }
    timeline_close(timeline);
}

static void another_address_space_is_hit_both_ways(void **state)
{
    (void)state;
    const struct timeline_condition space = {.kind = CONDITION_SPACE};
    record("clock", "ticks=3", UINT64_MAX);
    compare_directions(&space, 1);
    struct timeline *timeline = open_trace(0);
    uint64_t first = state_of(timeline).cr3;
    assert_int_equal(run(timeline, FORWARD, &space).why, TIMELINE_CONDITION);
    uint64_t second = state_of(timeline).cr3;
    assert_true(second != first);
    assert_int_equal(run(timeline, BACKWARD, &space).why, TIMELINE_CONDITION);
    assert_true(state_of(timeline).cr3 == first);
    timeline_close(timeline);
}

/* ---- Writes ---- */

/* Looks at `length` bytes after each of `count` instructions: every change is at a hit. */
static unsigned changes_are_hits(
    const struct timeline_condition *watch, uint64_t from, uint64_t count)
{
    enum { MOST = 4096 };
    static uint64_t hits[MOST];
    unsigned hit_count = 0, changes = 0;
    struct error error = {""};
    struct timeline *timeline = open_trace(0);
    seek_retired(timeline, from);
    for (;;) {
        struct timeline_stop stop = run(timeline, FORWARD, watch);
        if (stop.why != TIMELINE_CONDITION || timeline_retired(timeline) > from + count)
            break;
        assert_true(hit_count < MOST);
        hits[hit_count++] = timeline_retired(timeline);
    }
    seek_retired(timeline, from);
    const struct memory *memory = &timeline_machine(timeline)->memory;
    uint8_t old[64], new[64];
    assert_true(watch->length <= sizeof old);
    assert_true(memory_read(memory, watch->address, old, watch->length));
    for (uint64_t i = 0; i < count && !timeline_at_end(timeline); i++) {
        assert_int_equal(timeline_step(timeline, FORWARD, 1, NULL, &error), 0);
        assert_true(memory_read(memory, watch->address, new, watch->length));
        if (memcmp(old, new, watch->length) == 0)
            continue;
        /* What is delivered between two instructions is seen after the second. */
        uint64_t now = timeline_retired(timeline);
        bool hit = false;
        for (unsigned j = 0; j < hit_count; j++)
            hit |= hits[j] == now || hits[j] + 1 == now;
        if (!hit)
            fail_msg("a change at %llu instructions is no hit", (unsigned long long)now);
        memcpy(old, new, watch->length);
        changes++;
    }
    timeline_close(timeline);
    return changes;
}

/* RSP at the first delivery of a timer interrupt: the frame is above it. */
static uint64_t interrupt_frame(uint64_t *retired)
{
    const struct timeline_condition timer = {.kind = CONDITION_EVENT,
        .event_kinds = 1u << EVENT_INTERRUPT,
        .match_value = true,
        .value = 0x20};
    struct timeline *timeline = open_trace(0);
    run(timeline, FORWARD, &timer);
    struct vcpu_state vcpu = state_of(timeline);
    *retired = timeline_retired(timeline);
    timeline_close(timeline);
    return vcpu.gpr[RSP];
}

static void a_pushed_interrupt_frame_is_a_write(void **state)
{
    (void)state;
    uint64_t retired;
    record("clock", "ticks=30", UINT64_MAX);
    for (unsigned slot = 0; slot < 5; slot++) {
        const struct timeline_condition watch = {.kind = CONDITION_WRITE,
            .physical = slot % 2,
            .address = interrupt_frame(&retired) + 8 * slot,
            .length = 8};
        compare_directions(&watch, 30);
        changes_are_hits(&watch, retired - 5, 300);
    }
    /* At the first one the hit is the delivery itself: the handler has not begun. */
    const struct timeline_condition pushed_rip = {
        .kind = CONDITION_WRITE, .address = interrupt_frame(&retired), .length = 8};
    struct timeline *timeline = open_trace(0);
    seek_retired(timeline, retired);
    struct timeline_stop stop = run(timeline, FORWARD, &pushed_rip);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    assert_true(timeline_retired(timeline) == retired);
    assert_true(timeline_position(timeline).insn == 0);
    struct vcpu_state vcpu = state_of(timeline);
    assert_true(vcpu.gpr[RSP] == pushed_rip.address);
    assert_true(vcpu.rip == handler_of(timeline, &vcpu, 0x20));
    timeline_close(timeline);
}

static void a_pushed_exception_frame_is_a_write(void **state)
{
    (void)state;
    record("cpu_faults", "", UINT64_MAX);
    struct timeline *timeline = open_trace(0);
    struct timeline_stop stop = run(timeline, FORWARD, &any_exception);
    struct vcpu_state vcpu = state_of(timeline);
    uint64_t retired = timeline_retired(timeline);
    timeline_close(timeline);
    const struct timeline_condition watch = {
        .kind = CONDITION_WRITE, .address = vcpu.gpr[RSP], .length = 16};
    compare_directions(&watch, 10);
    assert_true(changes_are_hits(&watch, retired - 10, 2000) >= 2);
    /* Delivery is where it is hit. */
    timeline = open_trace(0);
    seek_retired(timeline, retired);
    struct timeline_stop hit = run(timeline, FORWARD, &watch);
    assert_int_equal(hit.why, TIMELINE_CONDITION);
    assert_true(timeline_delivered(timeline) == 1 && timeline_retired(timeline) == retired);
    vcpu = state_of(timeline);
    assert_true(vcpu.rip == handler_of(timeline, &vcpu, stop.vector));
    timeline_close(timeline);
}

static uint64_t entry_at(struct timeline *timeline, uint64_t table, unsigned index)
{
    uint64_t entry;
    assert_true(memory_read(
        &timeline_machine(timeline)->memory, (table & ~0xfffull) + 8 * index, &entry, 8));
    return entry;
}

/* cpu_paging maps page 1 of its window again and again and touches it, by reads and by writes. */
static void a_bit_in_a_page_table_is_a_write(void **state)
{
    (void)state;
    struct error error;
    record("cpu_paging", "", UINT64_MAX);
    struct timeline *timeline = open_trace(0);
    assert_int_equal(timeline_seek(timeline, POSITION_END, NULL, &error), 0);
    uint64_t total = timeline_retired(timeline);
    uint64_t table = state_of(timeline).cr3; /* of 0x40001000: entries 0, 1, 0, 1 */
    table = entry_at(timeline, table, 0);
    table = entry_at(timeline, table, 1);
    table = entry_at(timeline, table, 0);
    const struct timeline_condition entry = {.kind = CONDITION_WRITE,
        .physical = true,
        .address = (table & 0xffffff000) + 8,
        .length = 8};
    timeline_close(timeline);
    compare_directions(&entry, 10);
    assert_true(changes_are_hits(&entry, 0, total < 50000 ? total : 50000) >= 10);

    /* Some hits are the translation's: A comes on by itself. */
    timeline = open_trace(0);
    unsigned accessed = 0, dirty = 0;
    while (run(timeline, FORWARD, &entry).why == TIMELINE_CONDITION) {
        uint64_t now = entry_at(timeline, table, 1), before;
        uint64_t retired = timeline_retired(timeline);
        seek_retired(timeline, retired - 1);
        before = entry_at(timeline, table, 1);
        accessed += (before ^ now) == 0x20;
        dirty += (before ^ now) == 0x40 || (before ^ now) == 0x60;
        seek_retired(timeline, retired + 1);
    }
    assert_true(accessed >= 1 && dirty >= 1);
    timeline_close(timeline);
}

/* ---- Disks ---- */

static char disk_path[3][64];

enum { DISK_SECTORS = 512, MEMBERS = 3, MEMBER_SECTORS = 8192 };

static void make_disk(void)
{
    strcpy(disk_path[0], "/tmp/hindsight-disk-XXXXXX");
    int fd = mkstemp(disk_path[0]);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_SECTORS * 512), 0);
    close(fd);
    sprintf(disk_option, "file=%s,snapshot=on", disk_path[0]);
}

static void make_array(void)
{
    struct error error = {""};
    struct raw_file *file[MEMBERS];
    struct raid_member members[MEMBERS];
    strcpy(disk_option, "raid=5,chunk=64K,snapshot=on");
    for (unsigned i = 0; i < MEMBERS; i++) {
        strcpy(disk_path[i], "/tmp/hindsight-member-XXXXXX");
        int fd = mkstemp(disk_path[i]);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, MEMBER_SECTORS * 512), 0);
        close(fd);
        file[i] = raw_open(disk_path[i], &(struct raw_options){0}, &error);
        assert_non_null(file[i]);
        members[i] = raw_member(file[i]);
        sprintf(disk_option + strlen(disk_option), ",file=%s", disk_path[i]);
    }
    const struct raid_create create = {.level = RAID_5, .chunk = 65536, .uuid = {1}};
    if (raid_create(&create, members, MEMBERS, &error) != 0)
        fail_msg("%s", error.text);
    for (unsigned i = 0; i < MEMBERS; i++)
        raw_close(file[i]);
}

static void remove_disk(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (*disk_path[i])
            unlink(disk_path[i]);
        *disk_path[i] = '\0';
    }
    *disk_option = '\0';
}

/* Accesses by the guest's requests that touch [lba, lba + count), straight from the trace. */
struct tally {
    uint64_t lba, count;
    unsigned reads, writes;
};

static int count_request(void *context, struct machine *machine, uint8_t kind, const uint8_t *data,
    size_t size, struct error *error)
{
    struct tally *tally = context;
    struct note_disk_request note;
    (void)machine;
    (void)error;
    if (kind != NOTE_DISK_REQUEST)
        return 0;
    assert_true(note_disk_request_decode(&note, data, size));
    if (note.sector >= tally->lba + tally->count || tally->lba >= note.sector + note.count)
        return 0;
    tally->reads += note.kind == BLOCK_READ;
    tally->writes += note.kind == BLOCK_WRITE || note.kind == BLOCK_ZERO;
    return 0;
}

static int ignore_event(
    void *context, struct machine *machine, const struct machine_event *event, struct error *error)
{
    (void)context;
    (void)machine;
    (void)event;
    (void)error;
    return 0;
}

static struct tally tally_of(uint64_t lba, uint64_t count)
{
    struct error error = {""};
    bool damaged;
    enum replay_outcome outcome;
    struct tally tally = {.lba = lba, .count = count};
    const struct replay_options options = {.engine = "soft"};
    struct replay *replay = replay_open(trace_path, &options, &damaged, &error);
    assert_non_null(replay);
    const struct machine_observer observer = {
        .event = ignore_event, .note = count_request, .context = &tally};
    assert_int_equal(machine_observe(replay_machine(replay), &observer, &error), 0);
    assert_int_equal(replay_run(replay, POSITION_END, &outcome, &damaged, &error), 0);
    replay_close(replay);
    return tally;
}

static void accesses_of_sectors_are_hit_both_ways(void **state)
{
    (void)state;
    make_disk();
    record("disk", "passes=1 random=60", UINT64_MAX);
    struct timeline_condition condition = {
        .kind = CONDITION_DISK, .member = TIMELINE_WHOLE_DISK, .address = 300, .length = 2};
    struct tally tally = tally_of(300, 2);
    assert_true(tally.reads >= 2 && tally.writes >= 1);
    condition.disk_access = TIMELINE_DISK_READ;
    assert_int_equal(compare_directions(&condition, 1), tally.reads);
    condition.disk_access = TIMELINE_DISK_WRITE;
    assert_int_equal(compare_directions(&condition, 1), tally.writes);
    condition.disk_access = TIMELINE_DISK_ANY;
    assert_int_equal(compare_directions(&condition, 1), tally.reads + tally.writes);
    condition.disk = 1;
    assert_int_equal(compare_directions(&condition, 0), 0);
    remove_disk();
}

/* Of a RAID 5 of three, the data and the parity of a stripe lie on each of its members. */
static void accesses_of_members_are_hit_both_ways(void **state)
{
    (void)state;
    make_array();
    record("disk", "passes=1 random=10 sectors=256", UINT64_MAX);
    for (unsigned member = 0; member < MEMBERS; member++) {
        struct timeline_condition condition = {.kind = CONDITION_DISK,
            .member = member,
            .length = MEMBER_SECTORS,
            .disk_access = TIMELINE_DISK_WRITE};
        compare_directions(&condition, 5);
        condition.disk_access = TIMELINE_DISK_READ;
        condition.length = 1024;
        compare_directions(&condition, 0);
    }
    const struct timeline_condition beyond = {
        .kind = CONDITION_DISK, .address = MEMBER_SECTORS, .length = 100};
    assert_int_equal(compare_directions(&beyond, 0), 0);
    remove_disk();
}

static void what_a_device_writes_is_a_write(void **state)
{
    (void)state;
    make_disk();
    record("disk", "passes=1 random=10 sectors=64", UINT64_MAX);
    /* A virtio-blk queue notification after which RAM differs: the device wrote. */
    const struct timeline_condition read = {.kind = CONDITION_DISK,
        .member = TIMELINE_WHOLE_DISK,
        .length = 64,
        .disk_access = TIMELINE_DISK_READ};
    struct error error;
    struct timeline *timeline = open_trace(0);
    struct timeline_stop stop = run(timeline, FORWARD, &read);
    assert_int_equal(stop.why, TIMELINE_CONDITION);
    struct position after = timeline_position(timeline);
    const struct memory *memory = &timeline_machine(timeline)->memory;
    uint8_t *copy = malloc(memory->size);
    assert_non_null(copy);
    assert_true(memory_read(memory, 0, copy, memory->size));
    run(timeline, BACKWARD, &read);
    uint64_t buffer = 0; /* the first sector that differs as a whole: the data */
    for (uint64_t at = 0; at < memory->size && !buffer; at += 512)
        if (memcmp(memory->host + at, copy + at, 8) != 0 &&
            memcmp(memory->host + at + 496, copy + at + 496, 8) != 0)
            buffer = at;
    assert_true(buffer != 0);
    free(copy);
    for (unsigned physical = 0; physical < 2; physical++) {
        const struct timeline_condition watch = {
            .kind = CONDITION_WRITE, .physical = physical, .address = buffer, .length = 8};
        /* From before the notification the device's write is the next hit, at that event. */
        stop = run(timeline, FORWARD, &watch);
        assert_int_equal(stop.why, TIMELINE_CONDITION);
        assert_true(stop.address == buffer);
        assert_int_equal(position_compare(timeline_position(timeline), after), 0);
        stop = run(timeline, BACKWARD, &watch);
        assert_int_equal(stop.why, TIMELINE_CONDITION);
        assert_int_equal(
            timeline_seek(timeline, (struct position){after.event - 1, 0}, NULL, &error), 0);
        compare_directions(&watch, 2);
        changes_are_hits(&watch, timeline_retired(timeline), 2000);
    }
    timeline_close(timeline);
    remove_disk();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceptions_are_hit_both_ways),
        cmocka_unit_test(a_fault_stops_at_its_handler_and_before_its_instruction),
        cmocka_unit_test(a_breakpoint_on_a_handler_is_hit_both_ways),
        cmocka_unit_test(an_interrupt_is_chosen_by_its_vector),
        cmocka_unit_test(mode_changes_are_hit_both_ways),
        cmocka_unit_test(another_address_space_is_hit_both_ways),
        cmocka_unit_test(a_pushed_interrupt_frame_is_a_write),
        cmocka_unit_test(a_pushed_exception_frame_is_a_write),
        cmocka_unit_test(a_bit_in_a_page_table_is_a_write),
        cmocka_unit_test(accesses_of_sectors_are_hit_both_ways),
        cmocka_unit_test(accesses_of_members_are_hit_both_ways),
        cmocka_unit_test(what_a_device_writes_is_a_write),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
