/* Follows bytes backward. */
#include "debugger/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Instructions kept at a time: after a write that was found by running, and most of those that are
 * looked through for the last write of a register. */
enum { STRETCH_SHORT = 1 << 14, STRETCH_LONG = 1 << 21 };

struct origin {
    struct timeline *timeline;
    const struct origin_asked *asked;
    struct flow_decoder *decoder;
    struct stretch stretch;
    struct timeline_stop stop;
    struct origin_byte bytes[ORIGIN_BYTES];
    uint32_t live;   /* those that are still followed */
    uint64_t length; /* of the next stretch, when a register is looked for */
    unsigned steps;
    /* What happened before: instructions below `insn`, and of the last one, if `access` is not at
     * its beginning, the accesses below that. */
    uint32_t insn, access;
    bool within; /* a part of the instruction `insn` - 1 was looked at already */
    bool interrupted;
    /* A pop that is not told yet: its push may lead back to where it began. */
    bool is_held;
    struct origin_step held;
    struct origin_byte held_from; /* where its first byte was */
    unsigned folded;
};

/* What a struct stretch_code has as `decoded`. */
struct code {
    cs_insn *insn; /* NULL: it is none */
    uint64_t written;
};

static void forget(void *decoded)
{
    struct code *code = decoded;
    if (code && code->insn)
        cs_free(code->insn, 1);
    free(code);
}

static bool is_live(const struct origin *origin, unsigned i)
{
    return origin->live >> i & 1;
}

/* ---- Decoded instructions, kept in the stretch ---------------------------------------------- */

static const struct code *decoded(struct origin *origin, const struct stretch_insn *insn)
{
    static const struct code none;
    struct stretch_code *code = &origin->stretch.codes[insn->code];
    struct code *made = code->decoded;
    if (made)
        return made;
    made = calloc(1, sizeof *made);
    if (!made)
        return &none;
    made->insn = flow_decode(origin->decoder, code->bytes, code->bits, insn->linear);
    if (made->insn)
        made->written = flow_written(origin->decoder, made->insn);
    code->decoded = made;
    return made;
}

/* ---- Looking through the stretch ------------------------------------------------------------- */

enum found { FOUND_NOTHING, FOUND_INSTRUCTION, FOUND_ACCESS };

static bool touches(const struct origin *origin, const struct stretch_access *access)
{
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct flow_place *place = &origin->bytes[i].place;
        if (is_live(origin, i) && place->in_memory && place->gpa - access->gpa < access->size)
            return true;
    }
    return false;
}

/* The registers that are followed on a vCPU, by bit. */
static uint64_t followed(const struct origin *origin, unsigned vcpu)
{
    uint64_t registers = 0;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct origin_byte *byte = &origin->bytes[i];
        if (is_live(origin, i) && !byte->place.in_memory && byte->vcpu == vcpu)
            registers |= 1ull << byte->place.reg;
    }
    return registers;
}

static bool writes_followed(struct origin *origin, uint32_t index, uint64_t registers)
{
    const struct stretch_insn *insn = &origin->stretch.insns[index];
    if (!registers || !stretch_finished(&origin->stretch, index))
        return false;
    return decoded(origin, insn)->written & registers;
}

/* The last thing before origin->insn and origin->access that may have written what is followed;
 * they then are past it. *access: which, where it is no instruction's own. */
static enum found look_back(struct origin *origin, uint32_t *access)
{
    const struct stretch *stretch = &origin->stretch;
    while (origin->insn) {
        const struct stretch_insn *insn = &stretch->insns[origin->insn - 1];
        bool stores = false;
        while (origin->access > insn->access && !stores) {
            const struct stretch_access *last = &stretch->accesses[origin->access - 1];
            bool hit = last->kind >= STRETCH_STORE && last->kind != STRETCH_IMPLICIT_LOAD &&
                       touches(origin, last);
            if (hit && last->kind != STRETCH_STORE) {
                *access = --origin->access;
                return FOUND_ACCESS;
            }
            stores = hit;
            origin->access -= !hit;
        }
        if (stores || (!origin->within && insn->code != STRETCH_NO_CODE &&
                          writes_followed(origin, origin->insn - 1, followed(origin, insn->vcpu))))
            return FOUND_INSTRUCTION;
        origin->insn--;
        origin->access = insn->access;
        origin->within = false;
    }
    return FOUND_NOTHING;
}

/* ---- Telling ----------------------------------------------------------------------------------
 */

static int go_to(
    struct origin *origin, struct position position, uint64_t delivered, struct error *error)
{
    if (timeline_seek_delivered(origin->timeline, position, delivered, &origin->stop, error) < 0)
        return -1;
    origin->interrupted |= origin->stop.why == TIMELINE_INTERRUPTED;
    return 0;
}

static int tell_one(struct origin *origin, struct origin_step *step, struct error *error)
{
    if (step->what != ORIGIN_START &&
        (go_to(origin, step->position, step->delivered, error) < 0 || origin->interrupted))
        return origin->interrupted ? 0 : -1;
    step->folded = origin->folded;
    origin->folded = 0;
    origin->steps++;
    origin->asked->step(origin->asked->context, step);
    return 0;
}

static int tell_held(struct origin *origin, struct error *error)
{
    if (!origin->is_held)
        return 0;
    origin->is_held = false;
    return tell_one(origin, &origin->held, error);
}

static bool is_same(const struct origin_byte *a, const struct origin_byte *b)
{
    if (a->place.in_memory || b->place.in_memory)
        return a->place.in_memory && b->place.in_memory && a->place.gpa == b->place.gpa;
    return a->vcpu == b->vcpu && a->place.reg == b->place.reg && a->place.offset == b->place.offset;
}

/* Tells a step. `before` is where what is followed was, each byte. */
static int tell(struct origin *origin, struct origin_step *step, const struct origin_byte *before,
    struct error *error)
{
    const struct origin_group *group = &step->groups[0];
    const unsigned first = (unsigned)__builtin_ctz(group->bytes);
    bool whole = step->on_stack && step->group_count == 1 && group->end == ORIGIN_GOES_ON &&
                 group->bytes == origin->live;
    if (whole && origin->is_held && is_same(&group->from, &origin->held_from)) {
        origin->is_held = false;
        origin->folded++;
        return 0;
    }
    if (tell_held(origin, error) < 0)
        return -1;
    if (!whole || !group->from.place.in_memory)
        return tell_one(origin, step, error);
    origin->held = *step;
    origin->held_from = before[first];
    origin->is_held = true;
    return 0;
}

/* Do the bytes go on as neighbours, or end alike? */
static bool belongs(const struct origin *origin, const struct origin_group *group,
    const struct origin_group *next, unsigned number)
{
    if (group->end != next->end || strcmp(group->text, next->text) != 0)
        return false;
    if (group->end != ORIGIN_GOES_ON)
        return true;
    unsigned first = (unsigned)__builtin_ctz(group->bytes);
    const struct origin_byte *a = &group->from, *b = &next->from;
    (void)origin;
    if (a->place.in_memory)
        return b->place.in_memory && b->place.gpa == a->place.gpa + (number - first);
    return !b->place.in_memory && a->vcpu == b->vcpu && a->place.reg == b->place.reg &&
           b->place.offset == a->place.offset + (number - first);
}

static void add_byte(struct origin *origin, struct origin_step *step, unsigned number,
    const struct origin_group *byte)
{
    for (unsigned i = 0; i < step->group_count; i++) {
        if (!belongs(origin, &step->groups[i], byte, number))
            continue;
        step->groups[i].bytes |= 1u << number;
        return;
    }
    step->groups[step->group_count] = *byte;
    step->groups[step->group_count++].bytes = 1u << number;
}

/* The byte is followed from there, or no longer. */
static void pass(struct origin *origin, unsigned number, const struct origin_group *group)
{
    if (group->end == ORIGIN_GOES_ON)
        origin->bytes[number] = group->from;
    else
        origin->live &= ~(1u << number);
}

/* ---- Instructions ------------------------------------------------------------------------------
 */

/* Before the instruction whose part was looked at: later iterations may have stored what earlier
 * ones loaded. */
static void pass_instruction(struct origin *origin, const struct stretch_insn *insn)
{
    const struct stretch *stretch = &origin->stretch;
    uint32_t load = origin->access;
    bool again = false;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct flow_place *place = &origin->bytes[i].place;
        uint32_t last = UINT32_MAX;
        for (uint32_t j = insn->access; j < origin->access && is_live(origin, i); j++) {
            const struct stretch_access *access = &stretch->accesses[j];
            if (!place->in_memory || place->gpa - access->gpa >= access->size)
                continue;
            if (access->kind == STRETCH_LOAD)
                last = j;
            again |= access->kind == STRETCH_STORE && last == UINT32_MAX;
        }
        if (last < load)
            load = last;
    }
    if (again && load > insn->access && load < origin->access) {
        origin->access = load;
        origin->within = true;
        return;
    }
    origin->insn--;
    origin->access = insn->access;
    origin->within = false;
}

static bool needs_state(const cs_insn *insn)
{
    return insn->id == X86_INS_CMPXCHG || insn->id == X86_INS_CMPXCHG8B ||
           insn->id == X86_INS_CMPXCHG16B ||
           (insn->id >= X86_INS_CMOVA && insn->id <= X86_INS_CMOVS);
}

static struct origin_group group_of(struct origin *origin, const struct flow_step *flow,
    const struct flow_source *source, unsigned vcpu)
{
    static const enum origin_end ends[] = {[FLOW_COPIED] = ORIGIN_GOES_ON,
        [FLOW_CONSTANT] = ORIGIN_CONSTANT,
        [FLOW_PORT] = ORIGIN_INPUT,
        [FLOW_CLOCK] = ORIGIN_INPUT,
        [FLOW_COMPUTED] = ORIGIN_COMPUTED};
    struct origin_group group = {.end = ends[source->kind], .from = {source->place, (uint8_t)vcpu}};
    if (source->kind == FLOW_PORT)
        origin_describe_port(origin->timeline, flow, group.text);
    else if (source->kind == FLOW_CLOCK)
        strcpy(group.text, "the clock: the time stamp counter");
    return group;
}

/* What the instruction did with each byte that is followed; false: it wrote none of them. */
static bool find_sources(struct origin *origin, const struct flow_step *flow, unsigned vcpu,
    struct flow_source sources[ORIGIN_BYTES])
{
    bool any = false;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct origin_byte *byte = &origin->bytes[i];
        sources[i].kind = FLOW_KEPT;
        if (!is_live(origin, i) ||
            (!byte->place.in_memory && (byte->vcpu != vcpu || origin->within)))
            continue;
        sources[i] = flow_find(flow, &byte->place);
        any |= sources[i].kind != FLOW_KEPT;
    }
    return any;
}

/* The step that the instruction is, and what it read is followed now. */
static int step_over(struct origin *origin, const struct stretch_insn *insn,
    const struct flow_step *flow, struct error *error)
{
    struct flow_source sources[ORIGIN_BYTES];
    struct origin_byte before[ORIGIN_BYTES];
    struct origin_step step = {.what = ORIGIN_INSTRUCTION,
        .position = insn->position,
        .delivered = insn->delivered,
        .linear = insn->linear,
        .vcpu = insn->vcpu,
        .on_stack = flow->insn->id == X86_INS_PUSH || flow->insn->id == X86_INS_POP};
    memcpy(before, origin->bytes, sizeof before);
    if (!find_sources(origin, flow, insn->vcpu, sources))
        return 0;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        if (sources[i].kind == FLOW_KEPT)
            continue;
        struct origin_group group = group_of(origin, flow, &sources[i], insn->vcpu);
        add_byte(origin, &step, i, &group);
        if (group.end == ORIGIN_COMPUTED && step.operand_count == 0)
            step.operand_count = flow_operands(flow, step.operands);
        pass(origin, i, &group);
    }
    return tell(origin, &step, before, error);
}

static int take_instruction(struct origin *origin, struct error *error)
{
    const struct stretch *stretch = &origin->stretch;
    const struct stretch_insn *insn = &stretch->insns[origin->insn - 1];
    struct flow_source sources[ORIGIN_BYTES];
    struct vcpu_state state = {0};
    uint32_t end = origin->within ? origin->access : stretch_access_end(stretch, origin->insn - 1);
    const cs_insn *what = decoded(origin, insn)->insn;
    if (!what)
        return error_set(
            error, "the instruction at 0x%llx cannot be decoded", (unsigned long long)insn->linear);
    const struct flow_step flow = {.decoder = origin->decoder,
        .insn = what,
        .before = &state,
        .memory = &timeline_machine(origin->timeline)->memory,
        .accesses = stretch->accesses + insn->access,
        .access_count = end - insn->access};
    if (needs_state(what) || find_sources(origin, &flow, insn->vcpu, sources)) {
        if (go_to(origin, insn->position, insn->delivered, error) < 0)
            return -1;
        if (origin->interrupted)
            return 0;
        if (engine_export_state(timeline_machine(origin->timeline)->engine, &state, error) < 0 ||
            step_over(origin, insn, &flow, error) < 0)
            return -1;
    }
    pass_instruction(origin, insn);
    return 0;
}

/* ---- Deliveries and devices ---------------------------------------------------------------------
 */

/* Which of the words that one delivery pushed. */
static unsigned pushed_number(const struct stretch *stretch, uint32_t access, uint32_t first)
{
    unsigned number = 0;
    while (access > first && stretch->accesses[access - 1].kind == STRETCH_DELIVERED &&
           stretch->accesses[access - 1].gpa == stretch->accesses[access].gpa + 8) {
        access--;
        number++;
    }
    return number;
}

static struct origin_group pushed_group(
    const struct origin *origin, uint32_t index, const struct flow_place *place)
{
    static const char *const words[] = {"SS", "RSP", "the flags", "CS",
        "the address of the interrupted instruction", "an error code"};
    const struct stretch *stretch = &origin->stretch;
    const struct stretch_access *access = &stretch->accesses[index];
    unsigned number = access->size == 8
                          ? pushed_number(stretch, index, stretch->insns[origin->insn - 1].access)
                          : 6;
    struct origin_group group = {.end = ORIGIN_COMPUTED};
    if (number == 1) {
        group.end = ORIGIN_GOES_ON;
        group.from = (struct origin_byte){
            {.reg = RSP, .offset = (uint8_t)(place->gpa - access->gpa)}, access->vcpu};
    } else {
        snprintf(group.text, sizeof group.text, "%s, pushed by the delivery",
            number < 6 ? words[number] : "a word");
    }
    return group;
}

static int take_access(struct origin *origin, uint32_t index, struct error *error)
{
    const struct stretch *stretch = &origin->stretch;
    const struct stretch_access *access = &stretch->accesses[index];
    const struct stretch_insn *insn = &stretch->insns[origin->insn - 1];
    bool device = access->kind == STRETCH_DEVICE;
    struct origin_step step = {.what = device ? ORIGIN_DEVICE : ORIGIN_DELIVERY,
        .position = insn->position,
        .delivered = insn->delivered,
        .linear = insn->linear,
        .vcpu = access->vcpu};
    /* It came with an event, or after the instruction: that is where one can go. */
    if (go_to(origin, insn->position, insn->delivered, error) < 0 || origin->interrupted)
        return origin->interrupted ? 0 : -1;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct flow_place place = origin->bytes[i].place;
        if (!is_live(origin, i) || !place.in_memory || place.gpa - access->gpa >= access->size)
            continue;
        struct origin_group group = {.end = ORIGIN_INPUT};
        if (device)
            origin_describe_device(origin->timeline, stretch, index, place.gpa, group.text);
        else
            group = pushed_group(origin, index, &place);
        add_byte(origin, &step, i, &group);
        pass(origin, i, &group);
    }
    return tell(origin, &step, origin->bytes, error);
}

/* ---- Further back ------------------------------------------------------------------------------
 */

static bool follows_registers(const struct origin *origin)
{
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        if (is_live(origin, i) && !origin->bytes[i].place.in_memory)
            return true;
    }
    return false;
}

/* Keeps what is before a position. */
static int fill(struct origin *origin, uint64_t from, struct position to, uint64_t delivered,
    struct error *error)
{
    stretch_clear(&origin->stretch);
    if (stretch_fill(
            &origin->stretch, origin->timeline, from, to, delivered, &origin->stop, error) < 0)
        return -1;
    origin->interrupted |= origin->stop.why == TIMELINE_INTERRUPTED;
    origin->insn = origin->stretch.insn_count;
    origin->access = origin->stretch.access_count;
    origin->within = false;
    return 0;
}

/* To the last write of what is followed in memory before the stretch; keeps what is around it. */
static int run_back(struct origin *origin, bool *start, struct error *error)
{
    struct timeline_condition conditions[ORIGIN_BYTES];
    const struct position begin = origin->stretch.begin;
    const uint64_t from = origin->stretch.from;
    unsigned count = 0;
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        if (is_live(origin, i))
            conditions[count++] = (struct timeline_condition){.kind = CONDITION_WRITE,
                .physical = true,
                .address = origin->bytes[i].place.gpa,
                .length = 1};
    }
    if (go_to(origin, begin, 0, error) < 0 || origin->interrupted)
        return origin->interrupted ? 0 : -1;
    if (timeline_run(origin->timeline, BACKWARD, conditions, count, &origin->stop, error) < 0)
        return -1;
    origin->interrupted |= origin->stop.why == TIMELINE_INTERRUPTED;
    *start = origin->stop.why == TIMELINE_START;
    if (origin->interrupted || *start)
        return 0;
    /* What wrote is before the count after the next one. */
    const uint64_t hit = timeline_retired(origin->timeline);
    struct position to = begin;
    if (hit + 2 < from) {
        if (timeline_seek_retired(origin->timeline, hit + 2, &origin->stop, error) < 0)
            return -1;
        to = timeline_position(origin->timeline);
    }
    return fill(origin, hit > STRETCH_SHORT ? hit - STRETCH_SHORT : 0, to, 0, error);
}

static int go_further(struct origin *origin, bool *start, struct error *error)
{
    const uint64_t from = origin->stretch.from;
    const struct position begin = origin->stretch.begin;
    *start = from == 0;
    if (*start)
        return 0;
    if (!follows_registers(origin)) {
        origin->length = STRETCH_SHORT;
        return run_back(origin, start, error);
    }
    uint64_t length = origin->length < from ? origin->length : from;
    if (origin->length < STRETCH_LONG)
        origin->length *= 2;
    return fill(origin, from - length, begin, 0, error);
}

static int take_start(struct origin *origin, struct error *error)
{
    struct origin_step step = {.what = ORIGIN_START};
    for (unsigned i = 0; i < ORIGIN_BYTES; i++) {
        const struct flow_place *place = &origin->bytes[i].place;
        struct origin_group group = {.end = ORIGIN_BOOT};
        if (!is_live(origin, i))
            continue;
        if (place->in_memory)
            origin_describe_boot(origin->timeline, place->gpa, group.text);
        else
            strcpy(group.text, "what the register held when the machine started");
        add_byte(origin, &step, i, &group);
        pass(origin, i, &group);
    }
    return tell(origin, &step, origin->bytes, error);
}

static int walk(struct origin *origin, struct error *error)
{
    int status = 0;
    while (status == 0 && origin->live && !origin->interrupted &&
           origin->steps < origin->asked->limit && !atomic_load(origin->asked->interrupted)) {
        uint32_t access;
        bool start = false;
        switch (look_back(origin, &access)) {
        case FOUND_INSTRUCTION:
            status = take_instruction(origin, error);
            break;
        case FOUND_ACCESS:
            status = take_access(origin, access, error);
            break;
        case FOUND_NOTHING:
            status = go_further(origin, &start, error);
            if (status == 0 && start)
                status = take_start(origin, error);
            break;
        }
    }
    return status < 0 ? -1 : tell_held(origin, error);
}

int origin_follow(struct timeline *timeline, const struct origin_value *value,
    const struct origin_asked *asked, enum origin_result *result, struct error *error)
{
    struct origin origin = {.timeline = timeline,
        .asked = asked,
        .decoder = flow_create(),
        .stretch = {.forget = forget},
        .live = value->count < 32 ? (1u << value->count) - 1 : 0,
        .length = STRETCH_SHORT};
    if (!origin.decoder)
        return error_set(error, "out of memory");
    memcpy(origin.bytes, value->bytes, sizeof origin.bytes);
    int status =
        timeline_seek_delivered(timeline, value->position, value->delivered, &origin.stop, error);
    const uint64_t here = timeline_retired(timeline);
    if (status == 0)
        status = fill(&origin, here > STRETCH_SHORT ? here - STRETCH_SHORT : 0, value->position,
            value->delivered, error);
    if (status == 0)
        status = walk(&origin, error);
    origin.interrupted |= atomic_load(asked->interrupted);
    *result = origin.interrupted ? ORIGIN_INTERRUPTED : origin.live ? ORIGIN_LIMITED : ORIGIN_DONE;
    stretch_clear(&origin.stretch);
    flow_destroy(origin.decoder);
    return status;
}
