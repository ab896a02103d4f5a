/* The list of devices, and how each is wired. */
#include "vmm/machine/platform.h"

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

enum { IRQ_PIT = 0, IRQ_KEYBOARD = 1, IRQ_UART = 4, IRQ_RTC = 8, UART_BASE = 0x3f8 };

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

static int create_pic(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct pic_config config = {0};
    machine->pic = pic_create(&config, plan->error);
    if (!machine->pic)
        return -1;
    add_device(machine, pic_device(machine->pic));
    return pic_attach(machine->pic, &machine->ports, plan->error);
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

static bool send_to_apics(void *bus, const struct apic_message *message)
{
    return apic_bus_send(bus, message, NULL, APIC_TO_DESTINATION);
}

static int create_ioapic(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct ioapic_config config = {.send = send_to_apics, .target = machine->apic_bus};
    machine->ioapic = ioapic_create(&config, plan->error);
    if (!machine->ioapic)
        return -1;
    add_device(machine, ioapic_device(machine->ioapic));
    return ioapic_attach(machine->ioapic, &machine->mmio, plan->error);
}

static int create_hpet(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    if (!config_has_hpet(plan->options->config))
        return 0;
    const struct hpet_config config = {
        .clock = &machine->clock,
        .route = {.set = ioapic_set_line, .controller = machine->ioapic},
        .legacy = {isa_line(machine, IRQ_PIT), isa_line(machine, IRQ_RTC)},
    };
    machine->hpet = hpet_create(&config, plan->error);
    if (!machine->hpet)
        return -1;
    add_device(machine, hpet_device(machine->hpet));
    return hpet_attach(machine->hpet, &machine->mmio, plan->error);
}

/* The HPET may take the place of the PIT and the RTC. */
static struct irq_line pit_line(struct machine *machine)
{
    return machine->hpet ? hpet_legacy_line(machine->hpet, 0) : isa_line(machine, IRQ_PIT);
}

static struct irq_line rtc_line(struct machine *machine)
{
    return machine->hpet ? hpet_legacy_line(machine->hpet, 1) : isa_line(machine, IRQ_RTC);
}

static int create_acpi_pm(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct acpi_pm_config config = {
        .clock = &machine->clock,
        .irq = isa_line(machine, ACPI_SCI_IRQ),
        .power_off = stop_for_power_off,
        .machine = machine,
    };
    struct acpi_pm *pm = acpi_pm_create(&config, plan->error);
    if (!pm)
        return -1;
    add_device(machine, acpi_pm_device(pm));
    return acpi_pm_attach(pm, &machine->ports, plan->error);
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

static int create_pit(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct pit_config config = {.clock = &machine->clock, .irq = pit_line(machine)};
    machine->pit = pit_create(&config, plan->error);
    if (!machine->pit)
        return -1;
    add_device(machine, pit_device(machine->pit));
    return pit_attach(machine->pit, &machine->ports, plan->error);
}

static int create_rtc(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct rtc_config config = {
        .clock = &machine->clock,
        .irq = rtc_line(machine),
        .start_seconds = plan->options->config->start_time,
        .memory_below_4g = machine->memory.region[0].size,
        .memory_above_4g = machine->memory.region[1].size,
    };
    machine->rtc = rtc_create(&config, plan->error);
    if (!machine->rtc)
        return -1;
    add_device(machine, rtc_device(machine->rtc));
    return rtc_attach(machine->rtc, &machine->ports, plan->error);
}

static int create_uart(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct uart_config config = {
        .name = "uart0",
        .clock = &machine->clock,
        .irq = isa_line(machine, IRQ_UART),
        .output = machine->panic ? panic_watch_sink(machine->panic) : console_or_hang_watch(plan),
        .line_changed = plan->options->line_changed,
        .target = plan->options->line_target,
    };
    machine->uart = uart_create(&config, plan->error);
    if (!machine->uart)
        return -1;
    add_device(machine, uart_device(machine->uart));
    return uart_attach(machine->uart, &machine->ports, UART_BASE, plan->error);
}

static int create_keyboard(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct i8042_config config = {
        .irq = isa_line(machine, IRQ_KEYBOARD),
        .reset_request = reset_requested,
        .machine = machine,
    };
    machine->keyboard = i8042_create(&config, plan->error);
    if (!machine->keyboard)
        return -1;
    add_device(machine, i8042_device(machine->keyboard));
    return i8042_attach(machine->keyboard, &machine->ports, plan->error);
}

static int create_debug_exit(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct debug_exit_config config = {.exit = stop_with_status, .machine = machine};
    struct debug_exit *debug_exit = debug_exit_create(&config, plan->error);
    if (!debug_exit)
        return -1;
    add_device(machine, debug_exit_device(debug_exit));
    return debug_exit_attach(
        debug_exit, &machine->ports, DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE, plan->error);
}

static int create_debug_console(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    struct debug_console *console =
        debug_console_create(&plan->options->debug_console, plan->error);
    if (!console)
        return -1;
    add_device(machine, debug_console_device(console));
    return debug_console_attach(console, &machine->ports, plan->error);
}

static int create_fw_cfg(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    struct fw_cfg_config config = {
        .ram_size = machine->memory.size, .cpus = plan->options->config->cpus};
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    config.range_count = boot_memory_map(&machine->memory, ranges);
    for (unsigned i = 0; i < config.range_count; i++)
        config.ranges[i] = (struct fw_cfg_range){ranges[i].start, ranges[i].size, ranges[i].type};
    struct fw_cfg *fw_cfg = fw_cfg_create(&config, plan->error);
    if (!fw_cfg)
        return -1;
    add_device(machine, fw_cfg_device(fw_cfg));
    return fw_cfg_attach(fw_cfg, &machine->ports, plan->error);
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

static int create_test_device(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct test_device_config config = {.set_line = set_any_line, .machine = machine};
    struct test_device *device = test_device_create(&config, plan->error);
    if (!device)
        return -1;
    add_device(machine, test_device_device(device));
    return test_device_attach(device, &machine->ports, &machine->mmio, plan->error);
}

static int create_port92(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct port92_config config = {.reset_request = reset_requested, .machine = machine};
    struct port92 *port92 = port92_create(&config, plan->error);
    if (!port92)
        return -1;
    add_device(machine, port92_device(port92));
    return port92_attach(port92, &machine->ports, plan->error);
}

static void take_message(void *context, uint64_t address, uint32_t data)
{
    struct machine *machine = context;
    apic_bus_send_msi(machine->apic_bus, address, data);
}

static int create_pci(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    struct pci_config config = {
        .ports = &machine->ports,
        .mmio = &machine->mmio,
        .reset_requested = reset_requested,
        .message = take_message,
        .machine = machine,
    };
    for (unsigned i = 0; i < sizeof config.irq / sizeof config.irq[0]; i++)
        config.irq[i] = isa_line(machine, i);
    machine->pci = pci_create(&config, plan->error);
    if (!machine->pci)
        return -1;
    machine->services.pci = machine->pci;
    add_device(machine, pci_device(machine->pci));
    return pci_attach(machine->pci, plan->error);
}

static int create_disks(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct machine_config *config = plan->options->config;
    for (unsigned i = 0; i < config->disk_count; i++) {
        if (machine->device_count + 2 > MACHINE_MAX_DEVICES)
            return error_set(plan->error, "the machine has no room for another disk");
        struct disk *disk = disk_create(&machine->services, i, &config->disk[i], config->fault,
            config->fault_count, plan->error);
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

static int create_rng(const struct plan *plan)
{
    struct machine *machine = plan->machine;
    const struct virtio_rng_config config = {
        .memory = machine->services.memory,
        .entropy = give_entropy,
        .machine = machine,
    };
    struct virtio_rng *rng = virtio_rng_create(&config, plan->error);
    if (!rng)
        return -1;
    add_device(machine, virtio_rng_device(rng));
    return pci_add(machine->pci, virtio_rng_function(rng), plan->error);
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

/* One line a device: its class, or a function here where it needs more than wires. */
struct row {
    const struct device_class *class;
    int (*create)(const struct plan *plan);
};

/* The interrupt controllers first: the others hold their lines; the watch before the UART. */
static const struct row table[] = {
    {.create = create_pic},
    {.create = create_apics},
    {.create = create_ioapic},
    {.create = create_hpet},
    {.create = create_acpi_pm},
    {.create = create_hang_watch},
    {.create = create_panic_watch},
    {.create = create_pit},
    {.create = create_rtc},
    {.create = create_uart},
    {.create = create_keyboard},
    {.create = create_debug_exit},
    {.create = create_debug_console},
    {.create = create_fw_cfg},
    {.create = create_test_device},
    {.class = &post_class},
    {.create = create_port92},
    {.create = create_pci},
    {.create = create_disks},
    {.create = create_rng},
    {.create = create_nics},
    {.create = set_up_pci},
};

static int create_class(const struct device_class *class, const struct plan *plan)
{
    struct machine *machine = plan->machine;
    struct device device;
    struct device_wiring wiring = {
        .clock = &machine->clock,
        .ports = &machine->ports,
        .mmio = &machine->mmio,
        .pci = machine->pci,
    };
    for (unsigned i = 0; i < DEVICE_ISA_LINES; i++)
        wiring.isa[i] = isa_line(machine, i);
    if (class->create(&wiring, &device, plan->error) < 0)
        return -1;
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
        if ((row->class ? create_class(row->class, &plan) : row->create(&plan)) < 0)
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
