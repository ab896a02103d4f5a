/* Interrupts, breaks and changes from outside: made by a fork, carried out live and in its replay.
 */
#include "vmm/machine/inject.h"

#include <inttypes.h>
#include <string.h>

#include "devices/uart.h"
#include "vmm/machine/vcpus.h"

enum { NUMBER_RIP = GPR_COUNT, NUMBER_RFLAGS, REGISTERS };

/* CF PF AF ZF SF TF IF DF OF */
#define CHANGEABLE_FLAGS 0xfd5ull

const char *inject_register_name(unsigned number)
{
    static const char *const names[REGISTERS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
        "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
    return number < REGISTERS ? names[number] : NULL;
}

static void begin(struct delivery *delivery, enum input_kind kind, unsigned device)
{
    delivery->kind = kind;
    delivery->device = device;
    delivery->size = 0;
}

static void put(struct delivery *delivery, const void *bytes, size_t size)
{
    memcpy(delivery->data + delivery->size, bytes, size);
    delivery->size += size;
}

void inject_nmi(struct delivery *delivery, unsigned vcpu)
{
    begin(delivery, INPUT_NMI, vcpu);
}

void inject_break(struct delivery *delivery)
{
    begin(delivery, INPUT_BREAK, 0);
}

void inject_register(struct delivery *delivery, unsigned number, uint64_t value)
{
    begin(delivery, INPUT_REGISTER, number);
    put(delivery, &value, sizeof value);
}

void inject_memory(struct delivery *delivery, uint64_t gpa, const uint8_t *bytes, size_t size)
{
    begin(delivery, INPUT_MEMORY, 0);
    put(delivery, &gpa, sizeof gpa);
    put(delivery, bytes, size);
}

/* ---- Carrying out ---- */

static int deliver_nmi(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    if (delivery->device >= machine->config->cpus)
        return error_set(error, "an NMI is sent to vCPU %u, which is not there", delivery->device);
    struct machine_vcpu *vcpu = &machine->vcpu[delivery->device];
    vcpu->nmi = !vcpu->waiting;
    *event = (struct machine_event){.kind = EVENT_NMI_SENT, .value = delivery->device};
    return 0;
}

static int deliver_break(struct machine *machine, struct machine_event *event, struct error *error)
{
    if (uart_receive_room(machine->uart) == 0)
        return error_set(error, "a break is delivered to a serial port that has no room for it");
    uart_receive_error(machine->uart, 0, UART_LSR_BI | UART_LSR_FE);
    *event = (struct machine_event){.kind = EVENT_BREAK};
    return 0;
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

int inject_check_register(
    const struct vcpu_state *state, unsigned number, uint64_t value, struct error *error)
{
    bool fits = vcpu_in_64bit_mode(state) ? is_canonical(value) : value >> 32 == 0;
    if (number >= REGISTERS)
        return error_set(error, "register %u cannot be changed", number);
    if (number == NUMBER_RIP && !fits)
        return error_set(error, "0x%" PRIx64 " is no address of code in this mode", value);
    return 0;
}

static void change(struct vcpu_state *state, unsigned number, uint64_t value)
{
    if (number < GPR_COUNT)
        state->gpr[number] = value;
    else if (number == NUMBER_RFLAGS)
        state->rflags = (state->rflags & ~CHANGEABLE_FLAGS) | (value & CHANGEABLE_FLAGS);
    else
        state->rip = value;
}

static int deliver_register(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    struct vcpu_state state;
    uint64_t value;
    if (delivery->size != sizeof value)
        return error_set(error, "a register's new value has %zu bytes", delivery->size);
    memcpy(&value, delivery->data, sizeof value);
    if (engine_export_state(machine->engine, &state, error) < 0 ||
        inject_check_register(&state, delivery->device, value, error) < 0)
        return -1;
    change(&state, delivery->device, value);
    if (engine_import_state(machine->engine, &state, error) < 0)
        return -1;
    *event = (struct machine_event){
        .kind = EVENT_REGISTER, .size = sizeof value, .address = delivery->device, .value = value};
    return 0;
}

static int deliver_memory(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    uint64_t gpa;
    const uint8_t *bytes = delivery->data + sizeof gpa;
    if (delivery->size <= sizeof gpa || delivery->size > sizeof gpa + INJECT_BYTES)
        return error_set(error, "a change of memory has %zu bytes", delivery->size);
    memcpy(&gpa, delivery->data, sizeof gpa);
    uint64_t size = delivery->size - sizeof gpa;
    uint8_t *place = memory_at(&machine->memory, gpa, size);
    if (!place)
        return error_set(error, "there is no memory at 0x%" PRIx64, gpa);
    memcpy(place, bytes, size);
    engine_memory_changed(machine->engine, gpa, size);
    *event = (struct machine_event){
        .kind = EVENT_MEMORY, .size = size < 8 ? (uint8_t)size : 8, .address = gpa};
    memcpy(&event->value, bytes, event->size);
    return 0;
}

int inject_deliver(struct machine *machine, const struct delivery *delivery,
    struct machine_event *event, struct error *error)
{
    switch (delivery->kind) {
    case INPUT_NMI:
        return deliver_nmi(machine, delivery, event, error);
    case INPUT_BREAK:
        return deliver_break(machine, event, error);
    case INPUT_REGISTER:
        return deliver_register(machine, delivery, event, error);
    default:
        return deliver_memory(machine, delivery, event, error);
    }
}
