/* The list of devices, and how each is wired. */
#include "vmm/machine/platform.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "devices/acpi_pm.h"
#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "devices/debug_console.h"
#include "devices/debug_exit.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i8042.h"
#include "devices/pci.h"
#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/post.h"
#include "devices/rtc.h"
#include "devices/test_device.h"
#include "devices/uart.h"
#include "devices/virtio_rng.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/map.h"
#include "vmm/machine/nic.h"
#include "vmm/machine/hang.h"
#include "vmm/machine/panic.h"
#include "vmm/machine/vcpus.h"

enum { IRQ_PIT = 0, IRQ_RTC = 8 };

/* What the create functions are given. */
struct plan {
    struct machine *machine;
    const struct machine_options *options;
    struct error *error;
};

static void add_device(struct machine *machine, struct device device)
{
    machine->devices[machine->device_count++] = device;
}

/* An ISA interrupt line reaches the 8259As and the I/O APIC. */
static void set_isa_line(void *context, unsigned irq, bool level)
{
    struct machine *machine = context;
    pic_set_line(machine->pic, irq, level);
    ioapic_set_line(machine->ioapic, irq == IRQ_PIT ? ACPI_PIT_INPUT : irq, level);
}

static struct irq_line isa_line(struct machine *machine, unsigned irq)
{
    return (struct irq_line){.set = set_isa_line, .controller = machine, .input = irq};
}

static void stop_with_status(void *context, uint32_t status)
{
    struct machine *machine = context;
    machine_exit(machine, status);
}

/* A kernel that resets the machine after a panic has panicked all the same. */
static void reset_requested(void *context)
{
    struct machine *machine = context;
    if (machine->panic && panic_watch_text(machine->panic)[0])
        machine_stop(machine, STOP_PANIC);
    else if (machine->config->reboot)
        machine->run.reset_requested = true;
    else
        machine_stop(machine, STOP_RESET);
}

static void stop_for_power_off(void *context)
{
    struct machine *machine = context;
    machine_stop(machine, STOP_POWER_OFF);
}

static void stop_for_hang(void *context)
{
    struct machine *machine = context;
    machine_stop(machine, STOP_HANG);
}

static void stop_for_panic(void *context)
{
    struct machine *machine = context;
    machine_stop(machine, STOP_PANIC);
}

static void note_priority(void *context)
{
    struct machine *machine = context;
    machine->run.priority_written = true;
}

/* The I/O APIC is made after the APIC that it talks to. */
static void interrupt_ended(void *context, uint8_t vector)
{
    struct machine *machine = context;
    ioapic_ended(machine->ioapic, vector);
}

static int create_apic(struct machine *machine, unsigned number, struct error *error)
{
    const struct apic_config config = {
        .clock = &machine->clock,
        .id = (uint8_t)number,
        .bus = machine->apic_bus,
        .can_be_absent = config_has_apic_enable(machine->config),
        .has_extensions = config_has_apic_extensions(machine->config),
        .ended = interrupt_ended,
        .ended_target = machine,
        .priority_written = note_priority,
        .machine = machine,
    };
    struct apic *apic = apic_create(&config, error);
    if (!apic)
        return -1;
    machine->vcpu[number].apic = apic;
    apic_bus_add(machine->apic_bus, apic);
    add_device(machine, apic_device(apic));
    return 0;
}

static int create_apics(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct apic_bus_config config = {.signal = vcpus_signal, .machine = machine};
    machine->apic_bus = apic_bus_create(&config, plan->error);
    if (!machine->apic_bus)
        return -1;
    for (unsigned i = 0; i < plan->options->config->cpus; i++) {
        if (create_apic(machine, i, plan->error) < 0)
            return -1;
    }
    machine->apic = machine->vcpu[0].apic;
    return apic_bus_attach(machine->apic_bus, &machine->mmio, plan->error);
}

static bool send_to_apics(void *context, const struct apic_message *message)
{
    const struct machine *machine = context;
    return apic_bus_send(machine->apic_bus, message, NULL, APIC_TO_DESTINATION);
}

static int create_hang_watch(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    if (!plan->options->config->hang)
        return 0;
    const struct hang_watch_config config = {
        .clock = &machine->clock,
        .limit = plan->options->config->hang,
        .next = plan->options->console,
        .hung = stop_for_hang,
        .machine = machine,
    };
    machine->hang = hang_watch_create(&config, plan->error);
    if (!machine->hang)
        return -1;
    add_device(machine, hang_watch_device(machine->hang));
    return 0;
}

static struct byte_sink console_or_hang_watch(const struct plan *plan)
{
    struct hang_watch *watch = plan->machine->hang;
    return watch ? hang_watch_sink(watch) : plan->options->console;
}

static int create_panic_watch(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    if (!plan->options->config->panic_exit)
        return 0;
    const struct panic_watch_config config = {
        .next = console_or_hang_watch(plan), .panicked = stop_for_panic, .machine = machine};
    machine->panic = panic_watch_create(&config, plan->error);
    if (!machine->panic)
        return -1;
    add_device(machine, panic_watch_device(machine->panic));
    return 0;
}

/* A number beyond the ISA's lines is an input of the I/O APIC alone. */
static void set_any_line(void *context, unsigned line, bool level)
{
    struct machine *machine = context;
    if (line < PIC_INPUTS)
        set_isa_line(machine, line, level);
    else
        ioapic_set_line(machine->ioapic, line, level);
}

static void take_message(void *context, uint64_t address, uint32_t data)
{
    struct machine *machine = context;
    apic_bus_send_msi(machine->apic_bus, address, data);
}

/* Disks and NICs find the bus by the services. */
static int serve_pci(const struct plan *plan)
{
    plan->machine->services.pci = plan->machine->pci;
    return 0;
}

static int create_disks(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct machine_config *config = plan->options->config;
    for (unsigned i = 0; i < config->disk_count; i++) {
        if (machine->device_count + 2 > MACHINE_MAX_DEVICES)
            return error_set(plan->error, "the machine has no room for another disk");
        struct disk *disk = disk_create(&machine->services, i, &config->disk[i],
            config_keeps_parity(config), config->fault, config->fault_count, plan->error);
        if (!disk)
            return -1;
        machine->disk[i] = disk;
        add_device(machine, disk_storage_device(disk));
        add_device(machine, disk_controller_device(disk));
    }
    for (unsigned i = 0; i < config->fault_count; i++) {
        if (config->fault[i].disk >= config->disk_count)
            return error_set(plan->error, "--fault: there is no disk%u", config->fault[i].disk);
    }
    return 0;
}

static int produce_entropy(void *context, void *data, size_t capacity, size_t *size)
{
    const size_t *wanted = context;
    if (*wanted > capacity)
        return -1;
    *size = *wanted;
    return getrandom(data, *wanted, 0) == (ssize_t)*wanted ? 0 : -1;
}

static void give_entropy(void *context, uint8_t *data, size_t size)
{
    struct machine *machine = context;
    struct error error;
    const struct input_question question = {INPUT_ENTROPY, produce_entropy, &size};
    struct input_answer answer = {.data = data, .capacity = size};
    memset(data, 0, size);
    if (services_ask(&machine->services, &question, &answer, &error) < 0)
        machine_fail(machine, &error);
}

static int create_nics(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct machine_config *config = plan->options->config;
    for (unsigned i = 0; i < config->net_count; i++) {
        if (machine->device_count + 2 > MACHINE_MAX_DEVICES)
            return error_set(plan->error, "the machine has no room for another NIC");
        struct nic *nic = nic_create(
            machine, i, &config->net[i], config->net_fault, config->net_fault_count, plan->error);
        if (!nic)
            return -1;
        machine->nic[i] = nic;
        add_device(machine, nic_links_device(nic));
        add_device(machine, nic_device(nic));
    }
    for (unsigned i = 0; i < config->net_fault_count; i++) {
        if (config->net_fault[i].net >= config->net_count)
            return error_set(plan->error, "--fault: there is no net%u", config->net_fault[i].net);
    }
    return 0;
}

/* What firmware does once all functions are on the bus. */
static int set_up_pci(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    pci_setup(machine->pci);
    return 0;
}

/* What firmware tells of the machine by fw_cfg. */
static struct fw_cfg_config firmware(const struct plan *plan)
{
    const struct machine *machine = plan->machine;
    struct fw_cfg_config config = {
        .ram_size = machine->memory.size, .cpus = plan->options->config->cpus};
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    config.range_count = boot_memory_map(&machine->memory, ranges);
    for (unsigned i = 0; i < config.range_count; i++)
        config.ranges[i] = (struct fw_cfg_range){ranges[i].start, ranges[i].size, ranges[i].type};
    return config;
}

/* As the machine is by now: devices that are there already take part. */
static struct device_wiring wire(const struct plan *plan, const struct fw_cfg_config *fw_cfg)
{
    struct machine *machine = plan->machine;
    const struct machine_options *options = plan->options;
    struct device_wiring wiring = {
        .clock = &machine->clock,
        .ports = &machine->ports,
        .mmio = &machine->mmio,
        .sci = isa_line(machine, ACPI_SCI_IRQ),
        .any = {.set = set_any_line, .controller = machine},
        .pci = machine->pci,
        .memory = &machine->services.memory,
        .console = machine->panic ? panic_watch_sink(machine->panic) : console_or_hang_watch(plan),
        .debug_console = options->debug_console,
        .line_changed = options->line_changed,
        .line_target = options->line_target,
        .start_seconds = options->config->start_time,
        .memory_below_4g = machine->memory.region[0].size,
        .memory_above_4g = machine->memory.region[1].size,
        .fw_cfg = fw_cfg,
        .transitional_virtio = machine->services.transitional_virtio,
        .machine = machine,
        .reset = reset_requested,
        .power_off = stop_for_power_off,
        .exit = stop_with_status,
        .message = take_message,
        .interrupt = send_to_apics,
        .entropy = give_entropy,
    };
    for (unsigned i = 0; i < DEVICE_ISA_LINES; i++)
        wiring.isa[i] = isa_line(machine, i);
    /* The HPET may take the place of the PIT and the RTC. */
    wiring.pit = machine->hpet ? hpet_legacy_line(machine->hpet, 0) : wiring.isa[IRQ_PIT];
    wiring.rtc = machine->hpet ? hpet_legacy_line(machine->hpet, 1) : wiring.isa[IRQ_RTC];
    return wiring;
}

/* One line a device: its class, or a function here for what there can be several of, or what is no
 * device. */
struct row {
    const struct device_class *class;
    size_t keep; /* offset of the machine's pointer to it; 0: the machine has none */
    bool (*wanted)(const struct machine_config *config); /* NULL: always */
    int (*create)(const struct plan *plan);
};

#define KEEP(member) .keep = offsetof(struct machine, member)

/* The interrupt controllers first: the others hold their lines; the watch before the UART. */
static const struct row table[] = {
    {.class = &pic_class, KEEP(pic)},
    {.create = create_apics},
    {.class = &ioapic_class, KEEP(ioapic)},
    {.class = &hpet_class, KEEP(hpet), .wanted = config_has_hpet},
    {.class = &acpi_pm_class},
    {.create = create_hang_watch},
    {.create = create_panic_watch},
    {.class = &pit_class, KEEP(pit)},
    {.class = &rtc_class, KEEP(rtc)},
    {.class = &uart_class, KEEP(uart)},
    {.class = &i8042_class, KEEP(keyboard)},
    {.class = &debug_exit_class},
    {.class = &debug_console_class},
    {.class = &fw_cfg_class},
    {.class = &test_device_class},
    {.class = &post_class},
    {.class = &port92_class},
    {.class = &pci_class, KEEP(pci)},
    {.create = serve_pci},
    {.create = create_disks},
    {.class = &virtio_rng_class},
    {.create = create_nics},
    {.create = set_up_pci},
};

static int create_class(const struct row *row, const struct plan *plan)
{
    struct machine *machine = plan->machine;
    struct device device;
    const struct fw_cfg_config fw_cfg = firmware(plan);
    const struct device_wiring wiring = wire(plan, &fw_cfg);
    if (row->wanted && !row->wanted(plan->options->config))
        return 0;
    if (row->class->create(&wiring, &device, plan->error) < 0)
        return -1;
    if (row->keep)
        memcpy((char *)machine + row->keep, &device.object, sizeof device.object);
    add_device(machine, device);
    return 0;
}

int platform_create(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct plan plan = {machine, options, error};
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct row *row = &table[i];
        if (machine->device_count == MACHINE_MAX_DEVICES)
            return error_set(error, "the machine has no room for another device");
        if ((row->class ? create_class(row, &plan) : row->create(&plan)) < 0)
            return -1;
    }
    return 0;
}

void platform_destroy(struct machine *machine)
{
    while (machine->device_count) {
        const struct device *device = &machine->devices[--machine->device_count];
        if (device->ops->destroy)
            device->ops->destroy(device->object);
    }
    apic_bus_destroy(machine->apic_bus);
    machine->apic_bus = NULL;
}
