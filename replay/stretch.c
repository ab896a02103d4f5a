/* Keeps what was executed in a stretch of the run. */
#include "replay/stretch.h"

#include <stdlib.h>
#include <string.h>

#include "replay/accesses.h"
#include "vmm/arch/translate.h"

/* Makes room for one more; false when there is none. */
static bool grow(struct stretch *stretch, void *list, uint32_t count, uint32_t *room, size_t size)
{
    void *old;
    if (count < *room)
        return true;
    uint32_t wanted = *room ? *room * 2 : 4096;
    memcpy(&old, list, sizeof old);
    void *grown = wanted > *room ? realloc(old, wanted * size) : NULL;
    if (!grown) {
        stretch->failed = true;
        return false;
    }
    memcpy(list, &grown, sizeof grown);
    *room = wanted;
    return true;
}

/* ---- Code ------------------------------------------------------------------------------------ */

static uint32_t hash(uint64_t gpa)
{
    return (uint32_t)((gpa * 0x9e3779b97f4a7c15u) >> 32);
}

static bool rehash(struct stretch *stretch)
{
    uint32_t count = stretch->slot_count ? stretch->slot_count * 2 : 8192;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) {
        stretch->failed = true;
        return false;
    }
    for (uint32_t i = 0; i < stretch->code_count; i++) {
        uint32_t at = hash(stretch->codes[i].gpa) & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = i + 1;
    }
    free(stretch->slots);
    stretch->slots = slots;
    stretch->slot_count = count;
    return true;
}

/* Its bytes: those on the next page are where the linear address has them. */
static void read_code(
    const struct stretch *stretch, const struct timeline_instruction *told, uint8_t *bytes)
{
    unsigned room = (unsigned)(PAGE_SIZE - told->gpa % PAGE_SIZE);
    struct vcpu_state state;
    memset(bytes, 0, STRETCH_CODE_BYTES);
    if (room >= STRETCH_CODE_BYTES) {
        memory_read(stretch->memory, told->gpa, bytes, STRETCH_CODE_BYTES);
        return;
    }
    memory_read(stretch->memory, told->gpa, bytes, room);
    if (engine_export_core(timeline_machine(stretch->timeline)->engine, &state, NULL) == 0)
        translate_read(
            stretch->memory, &state, told->linear + room, bytes + room, STRETCH_CODE_BYTES - room);
}

/* The index of the instruction's code. */
static bool find_code(
    struct stretch *stretch, const struct timeline_instruction *told, uint32_t *index)
{
    uint8_t bytes[STRETCH_CODE_BYTES];
    read_code(stretch, told, bytes);
    if (2 * stretch->code_count >= stretch->slot_count && !rehash(stretch))
        return false;
    uint32_t at = hash(told->gpa) & (stretch->slot_count - 1);
    for (; stretch->slots[at]; at = (at + 1) & (stretch->slot_count - 1)) {
        const struct stretch_code *code = &stretch->codes[stretch->slots[at] - 1];
        *index = stretch->slots[at] - 1;
        if (code->gpa == told->gpa && code->bits == told->bits &&
            memcmp(code->bytes, bytes, sizeof bytes) == 0)
            return true;
    }
    if (!grow(stretch, &stretch->codes, stretch->code_count, &stretch->code_room,
            sizeof *stretch->codes))
        return false;
    *index = stretch->code_count++;
    stretch->slots[at] = *index + 1;
    stretch->codes[*index] = (struct stretch_code){.gpa = told->gpa, .bits = (uint8_t)told->bits};
    memcpy(stretch->codes[*index].bytes, bytes, sizeof bytes);
    return true;
}

/* ---- What happens ---------------------------------------------------------------------------- */

static void on_instruction(void *context, const struct timeline_instruction *told)
{
    struct stretch *stretch = context;
    uint32_t code;
    if (stretch->failed || !find_code(stretch, told, &code) ||
        !grow(stretch, &stretch->insns, stretch->insn_count, &stretch->insn_room,
            sizeof *stretch->insns))
        return;
    stretch->insns[stretch->insn_count++] = (struct stretch_insn){.position = told->position,
        .retired = told->retired,
        .linear = told->linear,
        .delivered = (uint32_t)told->delivered,
        .code = code,
        .access = stretch->access_count,
        .vcpu = (uint8_t)told->vcpu};
}

static void add_access(struct stretch *stretch, const struct stretch_access *access)
{
    if (stretch->failed || !grow(stretch, &stretch->accesses, stretch->access_count,
                               &stretch->access_room, sizeof *stretch->accesses))
        return;
    stretch->accesses[stretch->access_count] = *access;
    stretch->accesses[stretch->access_count++].insn = stretch->insn_count - 1;
}

static void on_access(void *context, const struct timeline_access *told)
{
    const struct memory_access *memory = &told->memory;
    const struct stretch_access access = {.gpa = memory->gpa,
        .size = memory->size,
        .vcpu = (uint8_t)told->vcpu,
        .kind = memory->is_implicit ? memory->is_write ? STRETCH_DELIVERED : STRETCH_IMPLICIT_LOAD
                : memory->is_write  ? STRETCH_STORE
                                    : STRETCH_LOAD};
    add_access(context, &access);
}

/* The event under way: an access that ends the run of the engine, or something from outside. */
static struct stretch_origin find_origin(const struct stretch *stretch)
{
    const struct machine *machine = timeline_machine(stretch->timeline);
    const struct vcpu_exit *exit = &machine->position.exit;
    const struct bus_range *range = NULL;
    if (exit->kind == EXIT_PIO_OUT || exit->kind == EXIT_PIO_IN)
        range = bus_find(&machine->ports, exit->address);
    else if (exit->kind == EXIT_MMIO_WRITE || exit->kind == EXIT_MMIO_READ)
        range = bus_find(&machine->mmio, exit->address);
    return (struct stretch_origin){machine->position.event + 1, range ? range->name : NULL};
}

static void on_device_write(void *context, uint64_t gpa, uint64_t size)
{
    struct stretch *stretch = context;
    const struct stretch_origin origin = find_origin(stretch);
    const struct stretch_origin *last =
        stretch->origin_count ? &stretch->origins[stretch->origin_count - 1] : NULL;
    if (!last || last->event != origin.event || last->device != origin.device) {
        if (stretch->failed || !grow(stretch, &stretch->origins, stretch->origin_count,
                                   &stretch->origin_room, sizeof *stretch->origins))
            return;
        stretch->origins[stretch->origin_count++] = origin;
    }
    const struct stretch_access access = {.gpa = gpa,
        .origin = stretch->origin_count - 1,
        .size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
        .kind = STRETCH_DEVICE};
    add_access(stretch, &access);
}

static void on_note(void *context, uint8_t kind, const uint8_t *data, size_t size)
{
    struct stretch *stretch = context;
    if (stretch->failed || size > STRETCH_NOTE_BYTES ||
        !grow(stretch, &stretch->notes, stretch->note_count, &stretch->note_room,
            sizeof *stretch->notes))
        return;
    struct stretch_note *note = &stretch->notes[stretch->note_count++];
    *note = (struct stretch_note){.event = timeline_position(stretch->timeline).event + 1,
        .access = stretch->access_count,
        .kind = kind,
        .size = (uint8_t)size};
    memcpy(note->data, data, size);
}

/* Interrupts may be delivered before the first instruction. */
static void add_begin(struct stretch *stretch)
{
    if (!grow(stretch, &stretch->insns, stretch->insn_count, &stretch->insn_room,
            sizeof *stretch->insns))
        return;
    stretch->insns[stretch->insn_count++] = (struct stretch_insn){
        .position = stretch->begin, .retired = stretch->from, .code = STRETCH_NO_CODE};
}

/* The run went to the end of the position: what came after the deliveries wanted is left out. */
static void cut(struct stretch *stretch, struct position to, uint64_t delivered)
{
    while (stretch->insn_count > 1) {
        const struct stretch_insn *last = &stretch->insns[stretch->insn_count - 1];
        int order = position_compare(last->position, to);
        if (order < 0 || (order == 0 && last->delivered < delivered))
            return;
        stretch->insn_count--;
        stretch->access_count = last->access;
    }
}

int stretch_fill(struct stretch *stretch, struct timeline *timeline, uint64_t from,
    struct position to, uint64_t delivered, struct timeline_stop *stop, struct error *error)
{
    const struct accesses_watcher watcher = {.access = on_access,
        .instruction = on_instruction,
        .device_write = on_device_write,
        .note = on_note,
        .context = stretch};
    struct position until = to;
    bool began;
    until.insn += delivered != 0;
    stretch->timeline = timeline;
    stretch->memory = &timeline_machine(timeline)->memory;
    if (timeline_seek_retired(timeline, from, stop, error) < 0)
        return -1;
    if (stop->why == TIMELINE_INTERRUPTED)
        return 0;
    stretch->from = timeline_retired(timeline);
    stretch->begin = timeline_position(timeline);
    add_begin(stretch);
    if (timeline_checkpoint(timeline, error) < 0 ||
        accesses_watch(
            timeline, timeline_position(timeline), until, &watcher, &began, stop, error) < 0)
        return -1;
    if (stretch->failed)
        return error_set(error, "out of memory for %u instructions", stretch->insn_count);
    stretch->to = timeline_retired(timeline);
    if (delivered) {
        stretch->to--;
        cut(stretch, to, delivered);
    }
    return 0;
}

/* ---- Looking --------------------------------------------------------------------------------- */

bool stretch_finished(const struct stretch *stretch, uint32_t insn)
{
    uint64_t next = insn + 1 < stretch->insn_count ? stretch->insns[insn + 1].retired : stretch->to;
    return next > stretch->insns[insn].retired;
}

uint32_t stretch_access_end(const struct stretch *stretch, uint32_t insn)
{
    return insn + 1 < stretch->insn_count ? stretch->insns[insn + 1].access : stretch->access_count;
}

void stretch_clear(struct stretch *stretch)
{
    for (uint32_t i = 0; i < stretch->code_count && stretch->forget; i++)
        stretch->forget(stretch->codes[i].decoded);
    free(stretch->insns);
    free(stretch->accesses);
    free(stretch->codes);
    free(stretch->notes);
    free(stretch->origins);
    free(stretch->slots);
    *stretch = (struct stretch){.forget = stretch->forget};
}
