/* What the inputs were that brought a byte: names of sectors, packets, key presses, files. */
#include "debugger/origin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "devices/uart.h"
#include "vmm/arch/translate.h"
#include "vmm/boot/boot.h"
#include "vmm/host/net/note.h"
#include "vmm/storage/disk.h"

enum { NET_HEADER = 12 }; /* struct virtio_net_hdr, before each frame */

/* ---- Inputs of the trace ----------------------------------------------------------------------
 */

/* Calls `visit` for each input of a kind that was delivered up to an event, until it returns true;
 * `data` is without the device's number. */
static void each_input(struct timeline *timeline, enum input_kind kind, uint64_t event,
    bool (*visit)(void *context, uint64_t event, unsigned device, struct reader *data),
    void *context)
{
    struct trace_input input;
    struct error error;
    struct trace_inputs *inputs = trace_inputs_open(timeline_trace(timeline), &error);
    while (inputs && trace_inputs_next(inputs, &input, &error) == 1) {
        struct reader data;
        if (!input.has_position || input.kind != kind)
            continue;
        if (input.position.event >= event)
            break;
        reader_init(&data, input.payload, input.size);
        unsigned device = (unsigned)reader_get_varint(&data);
        if (!data.failed && visit(context, input.position.event + 1, device, &data))
            break;
    }
    trace_inputs_close(inputs);
}

struct typed {
    uint64_t wanted; /* the number of the byte, from 1; 0: only count */
    uint64_t count;
    uint64_t event;
    uint8_t byte;
};

static bool count_typed(void *context, uint64_t event, unsigned device, struct reader *data)
{
    struct typed *typed = context;
    while (device == 0 && reader_left(data)) {
        uint8_t byte = reader_get_u8(data);
        typed->count++;
        if (typed->count != typed->wanted)
            continue;
        typed->event = event;
        typed->byte = byte;
        return true;
    }
    return false;
}

static bool count_packets(void *context, uint64_t event, unsigned device, struct reader *data)
{
    uint64_t(*counts)[2] = context;
    (void)event;
    (void)data;
    (*counts)[1] += device == (*counts)[0];
    return false;
}

static bool is_at(void *context, uint64_t event, unsigned device, struct reader *data)
{
    uint64_t *wanted = context;
    (void)device;
    (void)data;
    if (event != wanted[0])
        return false;
    wanted[1] = 1;
    return true;
}

/* ---- Ports and registers -----------------------------------------------------------------------
 */

static bool describe_typed(struct timeline *timeline, char text[ORIGIN_TEXT])
{
    const uint64_t event = timeline_position(timeline).event + 1;
    unsigned waiting = uart_waiting(timeline_machine(timeline)->uart);
    struct typed typed = {0};
    if (waiting == 0)
        return false;
    each_input(timeline, INPUT_CONSOLE, event, count_typed, &typed);
    if (typed.count < waiting)
        return false;
    typed.wanted = typed.count - waiting + 1;
    typed.count = 0;
    each_input(timeline, INPUT_CONSOLE, event, count_typed, &typed);
    char shown[8];
    snprintf(shown, sizeof shown, typed.byte >= ' ' && typed.byte < 0x7f ? "'%c'" : "0x%02x",
        typed.byte);
    snprintf(text, ORIGIN_TEXT,
        "typed byte %" PRIu64 " of the console, %s, which came with event %" PRIu64, typed.wanted,
        shown, typed.event);
    return true;
}

/* What the devices that tell time are called. */
static bool is_clock(const char *name)
{
    static const char *const names[] = {"pit", "rtc", "hpet", "acpi_pm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static void describe_register(struct timeline *timeline, const struct bus *bus, const char *space,
    uint64_t address, char text[ORIGIN_TEXT])
{
    const struct bus_range *range = bus_find(bus, address);
    if (bus == &timeline_machine(timeline)->ports && address == UART_PORT &&
        describe_typed(timeline, text))
        return;
    if (!range)
        snprintf(text, ORIGIN_TEXT, "%s 0x%" PRIx64 ", where no device answers", space, address);
    else
        snprintf(text, ORIGIN_TEXT, "%sthe device %s, read from %s 0x%" PRIx64,
            is_clock(range->name) ? "the clock: " : "", range->name, space, address);
}

static uint64_t register_of(const struct flow_step *step, x86_reg reg)
{
    struct flow_place first;
    unsigned size;
    const char *name = reg == X86_REG_INVALID ? NULL : cs_reg_name(flow_handle(step->decoder), reg);
    if (!name || !flow_register_find(name, &first, &size) || first.reg >= GPR_COUNT)
        return 0;
    uint64_t value = step->before->gpr[first.reg] >> 8 * first.offset;
    return size < 8 ? value & ((1ull << 8 * size) - 1) : value;
}

static bool memory_address(const struct flow_step *step, uint64_t *gpa)
{
    const cs_x86 *x86 = &step->insn->detail->x86;
    struct translation translation;
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type != X86_OP_MEM)
            continue;
        const struct segment *segments = step->before->segment;
        uint64_t linear = (uint64_t)operand->mem.disp +
                          register_of(step, operand->mem.index) * (uint64_t)operand->mem.scale;
        if (operand->mem.base == X86_REG_RIP)
            linear += step->insn->address + step->insn->size;
        else
            linear += register_of(step, operand->mem.base);
        if (operand->mem.segment == X86_REG_FS)
            linear += segments[SEG_FS].base;
        else if (operand->mem.segment == X86_REG_GS)
            linear += segments[SEG_GS].base;
        if (!translate(step->memory, step->before, linear, &translation))
            return false;
        *gpa = translation.gpa;
        return true;
    }
    return false;
}

void origin_describe_port(
    struct timeline *timeline, const struct flow_step *step, char text[ORIGIN_TEXT])
{
    const cs_x86 *x86 = &step->insn->detail->x86;
    const struct machine *machine = timeline_machine(timeline);
    uint64_t gpa;
    bool port = step->insn->id == X86_INS_IN || step->insn->id == X86_INS_INSB ||
                step->insn->id == X86_INS_INSW || step->insn->id == X86_INS_INSD;
    if (port) {
        uint64_t number = x86->op_count == 2 && x86->operands[1].type == X86_OP_IMM
                              ? (uint64_t)x86->operands[1].imm & 0xff
                              : step->before->gpr[RDX] & 0xffff;
        describe_register(timeline, &machine->ports, "port", number, text);
    } else if (memory_address(step, &gpa)) {
        describe_register(timeline, &machine->mmio, "address", gpa, text);
    } else {
        snprintf(text, ORIGIN_TEXT, "a register of a device");
    }
}

/* ---- Devices that write memory ------------------------------------------------------------------
 */

/* Bytes that devices wrote in the event from access `first` to `index`. */
static uint64_t written_before(
    const struct stretch *stretch, uint64_t event, uint32_t first, uint32_t index)
{
    uint64_t bytes = 0;
    for (uint32_t i = first; i < index; i++) {
        const struct stretch_access *access = &stretch->accesses[i];
        if (access->kind == STRETCH_DEVICE && stretch->origins[access->origin].event == event)
            bytes += access->size;
    }
    return bytes;
}

/* The last note of a kind in the event before an access, or after it if `after`. */
static const struct stretch_note *find_note(
    const struct stretch *stretch, uint64_t event, uint8_t kind, uint32_t index, bool after)
{
    for (uint32_t i = stretch->note_count; i-- > 0;) {
        const struct stretch_note *note = &stretch->notes[i];
        if (note->event == event && note->kind == kind && (after || note->access <= index))
            return note;
    }
    return NULL;
}

/* Was the sector read from that member, and not made of the others? */
static const struct stretch_note *find_member(const struct stretch *stretch,
    const struct stretch_note *request, unsigned disk, const struct raid_location *location,
    bool any, struct note_member_io *io)
{
    for (uint32_t i = (uint32_t)(request - stretch->notes) + 1; i < stretch->note_count; i++) {
        const struct stretch_note *note = &stretch->notes[i];
        if (note->event != request->event || note->kind == NOTE_DISK_REQUEST)
            break;
        if (note->kind == NOTE_MEMBER_IO && note_member_io_decode(io, note->data, note->size) &&
            io->disk == disk && io->kind == RAID_IO_READ && io->role == RAID_ROLE_DATA &&
            !io->failed && location->lba - io->lba < io->count &&
            (any || io->member == location->member))
            return note;
    }
    return NULL;
}

static void describe_sector(struct timeline *timeline, const struct stretch *stretch,
    const struct stretch_note *note, const struct note_disk_request *request, uint64_t offset,
    char text[ORIGIN_TEXT])
{
    const struct machine *machine = timeline_machine(timeline);
    uint64_t sector = request->sector + offset / BLOCK_SECTOR;
    unsigned byte = (unsigned)(offset % BLOCK_SECTOR);
    struct raid_array *array = disk_array(machine->disk[request->disk]);
    struct raid_location location;
    struct note_member_io io;
    if (!array) {
        snprintf(
            text, ORIGIN_TEXT, "disk%u, sector %" PRIu64 ", byte %u", request->disk, sector, byte);
        return;
    }
    const struct raid_geometry *geometry = &raid_status(array)->geometry;
    raid_locate(geometry, sector, &location);
    if (find_member(stretch, note, request->disk, &location, geometry->level == RAID_1, &io))
        snprintf(text, ORIGIN_TEXT,
            "disk%u (RAID %d), sector %" PRIu64 ": member%u, LBA %" PRIu64 ", stripe %" PRIu64
            ", byte %u",
            request->disk, (int)geometry->level, sector, io.member, location.lba, location.stripe,
            byte);
    else
        snprintf(text, ORIGIN_TEXT,
            "disk%u (RAID %d), sector %" PRIu64 ": of member%u, LBA %" PRIu64 ", stripe %" PRIu64
            ", byte %u, made of the other members",
            request->disk, (int)geometry->level, sector, location.member, location.lba,
            location.stripe, byte);
}

static bool describe_disk(struct timeline *timeline, const struct stretch *stretch, uint32_t index,
    uint64_t gpa, char text[ORIGIN_TEXT])
{
    const struct stretch_access *access = &stretch->accesses[index];
    const uint64_t event = stretch->origins[access->origin].event;
    const struct stretch_note *note = find_note(stretch, event, NOTE_DISK_REQUEST, index, false);
    struct note_disk_request request;
    if (!note || !note_disk_request_decode(&request, note->data, note->size) ||
        request.kind != BLOCK_READ ||
        request.disk >= timeline_machine(timeline)->config->disk_count)
        return false;
    uint64_t offset = written_before(stretch, event, note->access, index) + (gpa - access->gpa);
    if (offset >= (uint64_t)request.count * BLOCK_SECTOR)
        return false;
    describe_sector(timeline, stretch, note, &request, offset, text);
    return true;
}

/* The first of the writes that one event made in a row. */
static uint32_t find_first(const struct stretch *stretch, uint32_t index)
{
    const uint64_t event = stretch->origins[stretch->accesses[index].origin].event;
    while (index > 0 && stretch->accesses[index - 1].kind == STRETCH_DEVICE &&
           stretch->origins[stretch->accesses[index - 1].origin].event == event)
        index--;
    return index;
}

static bool describe_packet(struct timeline *timeline, const struct stretch *stretch,
    uint32_t index, uint64_t gpa, char text[ORIGIN_TEXT])
{
    const struct stretch_access *access = &stretch->accesses[index];
    const uint64_t event = stretch->origins[access->origin].event;
    const struct stretch_note *note = find_note(stretch, event, NOTE_NET_RECEIVED, index, true);
    struct note_net_frame frame;
    if (!note || !note_net_frame_decode(&frame, note->data, note->size))
        return false;
    uint64_t offset =
        written_before(stretch, event, find_first(stretch, index), index) + (gpa - access->gpa);
    uint64_t counts[2] = {frame.net, 0};
    if (offset - NET_HEADER >= frame.size)
        return false;
    each_input(timeline, INPUT_PACKET, event, count_packets, &counts);
    snprintf(text, ORIGIN_TEXT,
        "packet %" PRIu64 " of net%u, byte %" PRIu64 " of %u, which came with event %" PRIu64,
        counts[1], frame.net, offset - NET_HEADER, frame.size, event);
    return true;
}

void origin_describe_device(struct timeline *timeline, const struct stretch *stretch,
    uint32_t index, uint64_t gpa, char text[ORIGIN_TEXT])
{
    const struct stretch_access *access = &stretch->accesses[index];
    const struct stretch_origin *origin = &stretch->origins[access->origin];
    uint64_t injected[2] = {origin->event, 0};
    if (describe_disk(timeline, stretch, index, gpa, text) ||
        describe_packet(timeline, stretch, index, gpa, text))
        return;
    each_input(timeline, INPUT_MEMORY, origin->event + 1, is_at, injected);
    if (injected[1])
        snprintf(text, ORIGIN_TEXT, "written from outside by event %" PRIu64, origin->event);
    else if (access->size >= timeline_machine(timeline)->memory.region[0].size)
        snprintf(text, ORIGIN_TEXT, "the machine was reset in event %" PRIu64, origin->event);
    else if (origin->device && strcmp(origin->device, "rng") == 0 &&
             find_first(stretch, index) == index)
        snprintf(text, ORIGIN_TEXT, "entropy: byte %" PRIu64 " of what event %" PRIu64 " asked for",
            gpa - access->gpa, origin->event);
    else
        snprintf(text, ORIGIN_TEXT, "the device %s, which answered in event %" PRIu64,
            origin->device ? origin->device : "that received something", origin->event);
}

/* ---- What was there from the start -------------------------------------------------------------
 */

/* Where in memory a module lies as a whole; it begins with a page. */
static bool module_at(
    const struct memory *memory, const struct boot_image *image, uint64_t gpa, uint64_t *offset)
{
    for (uint64_t start = gpa & ~(PAGE_SIZE - 1);; start -= PAGE_SIZE) {
        const uint8_t *host =
            gpa - start < image->size ? memory_at(memory, start, image->size) : NULL;
        if (gpa - start >= image->size)
            return false;
        if (host && memcmp(host, image->data, image->size) == 0) {
            *offset = gpa - start;
            return true;
        }
        if (start == 0)
            return false;
    }
}

void origin_describe_boot(struct timeline *timeline, uint64_t gpa, char text[ORIGIN_TEXT])
{
    const struct machine *machine = timeline_machine(timeline);
    struct error ignored;
    uint64_t offset;
    uint8_t byte = 0;
    if (timeline_seek(timeline, (struct position){0, 0}, NULL, &ignored) < 0) {
        snprintf(text, ORIGIN_TEXT, "what was there when the machine started");
        return;
    }
    for (unsigned i = 0; i < machine->module_count; i++) {
        if (!module_at(&machine->memory, &machine->modules[i], gpa, &offset))
            continue;
        snprintf(
            text, ORIGIN_TEXT, "the boot file %s, offset 0x%" PRIx64, boot_module_label(i), offset);
        return;
    }
    memory_read(&machine->memory, gpa, &byte, 1);
    if (boot_where(&machine->kernel, gpa, &offset) && machine->kernel.data[offset] == byte)
        snprintf(text, ORIGIN_TEXT, "the boot file kernel, offset 0x%" PRIx64, offset);
    else if (byte == 0)
        snprintf(text, ORIGIN_TEXT, "memory that nobody has written: zero since the start");
    else
        snprintf(text, ORIGIN_TEXT,
            "what firmware and boot loader wrote at 0x%" PRIx64 " before the start", gpa);
}
