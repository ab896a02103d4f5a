#include "vmm/machine/platform.h"

#include <string.h>
#include <sys/random.h>

#include "devices/acpi_pm.h"
#include "devices/apic.h"
#include "devices/apic_bus.h"
#include "devices/debug_console.h"
#include "devices/debug_exit.h"
#include "devices/fw_cfg.h"
#include "devices/i8042.h"
#include "devices/pci.h"
#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/post.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "devices/virtio_rng.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/map.h"
#include "vmm/machine/nic.h"
#include "vmm/machine/panic.h"
#include "vmm/machine/vcpus.h"

enum { IRQ_PIT = 0, IRQ_KEYBOARD = 1, IRQ_UART = 4, IRQ_RTC = 8, UART_BASE = 0x3f8 };

static void add_device(
    struct machine *machine, struct device device, void *object, void (*destroy)(void *object))
{
    struct machine_device *slot = &machine->devices[machine->device_count++];
    *slot = (struct machine_device){device, object, destroy};
}

/* Device destroy functions take their own type; this gives them the machine's. */
#define DESTROYER(type)                      \
    static void destroy_##type(void *object) \
    {                                        \
        type##_destroy(object);              \
    }
DESTROYER(pic)
DESTROYER(apic)
DESTROYER(ioapic)
DESTROYER(acpi_pm)
DESTROYER(panic_watch)
DESTROYER(virtio_rng)
DESTROYER(nic)
DESTROYER(pit)
DESTROYER(rtc)
DESTROYER(uart)
DESTROYER(i8042)
DESTROYER(debug_exit)
DESTROYER(fw_cfg)
DESTROYER(debug_console)
DESTROYER(post)
DESTROYER(port92)

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

static void stop_for_panic(void *context)
{
    struct machine *machine = context;
    machine_stop(machine, STOP_PANIC);
}

static int create_pic(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct pic_config config = {0};
    machine->pic = pic_create(&config, error);
    if (!machine->pic)
        return -1;
    add_device(machine, pic_device(machine->pic), machine->pic, destroy_pic);
    return pic_attach(machine->pic, &machine->ports, error);
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
    add_device(machine, apic_device(apic), apic, destroy_apic);
    return 0;
}

static int create_apics(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct apic_bus_config config = {.signal = vcpus_signal, .machine = machine};
    machine->apic_bus = apic_bus_create(&config, error);
    if (!machine->apic_bus)
        return -1;
    for (unsigned i = 0; i < options->config->cpus; i++) {
        if (create_apic(machine, i, error) < 0)
            return -1;
    }
    machine->apic = machine->vcpu[0].apic;
    return apic_bus_attach(machine->apic_bus, &machine->mmio, error);
}

static bool send_to_apics(void *bus, const struct apic_message *message)
{
    return apic_bus_send(bus, message, NULL, APIC_TO_DESTINATION);
}

static int create_ioapic(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct ioapic_config config = {.send = send_to_apics, .target = machine->apic_bus};
    machine->ioapic = ioapic_create(&config, error);
    if (!machine->ioapic)
        return -1;
    add_device(machine, ioapic_device(machine->ioapic), machine->ioapic, destroy_ioapic);
    return ioapic_attach(machine->ioapic, &machine->mmio, error);
}

static int create_acpi_pm(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct acpi_pm_config config = {
        .clock = &machine->clock,
        .irq = isa_line(machine, ACPI_SCI_IRQ),
        .power_off = stop_for_power_off,
        .machine = machine,
    };
    struct acpi_pm *pm = acpi_pm_create(&config, error);
    if (!pm)
        return -1;
    add_device(machine, acpi_pm_device(pm), pm, destroy_acpi_pm);
    return acpi_pm_attach(pm, &machine->ports, error);
}

static int create_panic_watch(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    if (!options->config->panic_exit)
        return 0;
    const struct panic_watch_config config = {
        .next = options->console, .panicked = stop_for_panic, .machine = machine};
    machine->panic = panic_watch_create(&config, error);
    if (!machine->panic)
        return -1;
    add_device(machine, panic_watch_device(machine->panic), machine->panic, destroy_panic_watch);
    return 0;
}

static int create_pit(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct pit_config config = {.clock = &machine->clock, .irq = isa_line(machine, IRQ_PIT)};
    machine->pit = pit_create(&config, error);
    if (!machine->pit)
        return -1;
    add_device(machine, pit_device(machine->pit), machine->pit, destroy_pit);
    return pit_attach(machine->pit, &machine->ports, error);
}

static int create_rtc(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct rtc_config config = {
        .clock = &machine->clock,
        .irq = isa_line(machine, IRQ_RTC),
        .start_seconds = options->config->start_time,
        .memory_below_4g = machine->memory.region[0].size,
        .memory_above_4g = machine->memory.region[1].size,
    };
    machine->rtc = rtc_create(&config, error);
    if (!machine->rtc)
        return -1;
    add_device(machine, rtc_device(machine->rtc), machine->rtc, destroy_rtc);
    return rtc_attach(machine->rtc, &machine->ports, error);
}

static int create_uart(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct uart_config config = {
        .name = "uart0",
        .clock = &machine->clock,
        .irq = isa_line(machine, IRQ_UART),
        .output = machine->panic ? panic_watch_sink(machine->panic) : options->console,
        .line_changed = options->line_changed,
        .target = options->line_target,
    };
    machine->uart = uart_create(&config, error);
    if (!machine->uart)
        return -1;
    add_device(machine, uart_device(machine->uart), machine->uart, destroy_uart);
    return uart_attach(machine->uart, &machine->ports, UART_BASE, error);
}

static int create_keyboard(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct i8042_config config = {
        .irq = isa_line(machine, IRQ_KEYBOARD),
        .reset_request = reset_requested,
        .machine = machine,
    };
    machine->keyboard = i8042_create(&config, error);
    if (!machine->keyboard)
        return -1;
    add_device(machine, i8042_device(machine->keyboard), machine->keyboard, destroy_i8042);
    return i8042_attach(machine->keyboard, &machine->ports, error);
}

static int create_debug_exit(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct debug_exit_config config = {.exit = stop_with_status, .machine = machine};
    struct debug_exit *debug_exit = debug_exit_create(&config, error);
    if (!debug_exit)
        return -1;
    add_device(machine, debug_exit_device(debug_exit), debug_exit, destroy_debug_exit);
    return debug_exit_attach(debug_exit, &machine->ports, DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE, error);
}

static int create_debug_console(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    struct debug_console *console = debug_console_create(&options->debug_console, error);
    if (!console)
        return -1;
    add_device(machine, debug_console_device(console), console, destroy_debug_console);
    return debug_console_attach(console, &machine->ports, error);
}

static int create_fw_cfg(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    struct fw_cfg_config config = {.ram_size = machine->memory.size, .cpus = options->config->cpus};
    struct boot_memory_range ranges[BOOT_MAP_MAX];
    config.range_count = boot_memory_map(&machine->memory, ranges);
    for (unsigned i = 0; i < config.range_count; i++)
        config.ranges[i] = (struct fw_cfg_range){ranges[i].start, ranges[i].size, ranges[i].type};
    struct fw_cfg *fw_cfg = fw_cfg_create(&config, error);
    if (!fw_cfg)
        return -1;
    add_device(machine, fw_cfg_device(fw_cfg), fw_cfg, destroy_fw_cfg);
    return fw_cfg_attach(fw_cfg, &machine->ports, error);
}

static int create_post(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    struct post *post = post_create(error);
    if (!post)
        return -1;
    add_device(machine, post_device(post), post, destroy_post);
    return post_attach(post, &machine->ports, error);
}

static int create_port92(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct port92_config config = {.reset_request = reset_requested, .machine = machine};
    struct port92 *port92 = port92_create(&config, error);
    if (!port92)
        return -1;
    add_device(machine, port92_device(port92), port92, destroy_port92);
    return port92_attach(port92, &machine->ports, error);
}

static void destroy_pci_host(void *object)
{
    pci_destroy(object);
}

static void take_message(void *context, uint64_t address, uint32_t data)
{
    struct machine *machine = context;
    apic_bus_send_msi(machine->apic_bus, address, data);
}

static int create_pci(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    struct pci_config config = {
        .ports = &machine->ports,
        .mmio = &machine->mmio,
        .reset_requested = reset_requested,
        .message = take_message,
        .machine = machine,
    };
    for (unsigned i = 0; i < sizeof config.irq / sizeof config.irq[0]; i++)
        config.irq[i] = isa_line(machine, i);
    machine->pci = pci_create(&config, error);
    if (!machine->pci)
        return -1;
    machine->services.pci = machine->pci;
    add_device(machine, pci_device(machine->pci), machine->pci, destroy_pci_host);
    return pci_attach(machine->pci, error);
}

static void destroy_disk(void *object)
{
    disk_destroy(object);
}

static void destroy_nothing(void *object)
{
    (void)object;
}

static int create_disks(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct machine_config *config = options->config;
    for (unsigned i = 0; i < config->disk_count; i++) {
        if (machine->device_count + 2 > MACHINE_MAX_DEVICES)
            return error_set(error, "the machine has no room for another disk");
        struct disk *disk = disk_create(
            &machine->services, i, &config->disk[i], config->fault, config->fault_count, error);
        if (!disk)
            return -1;
        machine->disk[i] = disk;
        add_device(machine, disk_storage_device(disk), disk, destroy_disk);
        add_device(machine, disk_controller_device(disk), disk, destroy_nothing);
    }
    for (unsigned i = 0; i < config->fault_count; i++) {
        if (config->fault[i].disk >= config->disk_count)
            return error_set(error, "--fault: there is no disk%u", config->fault[i].disk);
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

static int create_rng(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    const struct virtio_rng_config config = {
        .memory = machine->services.memory,
        .entropy = give_entropy,
        .machine = machine,
    };
    struct virtio_rng *rng = virtio_rng_create(&config, error);
    if (!rng)
        return -1;
    add_device(machine, virtio_rng_device(rng), rng, destroy_virtio_rng);
    return pci_add(machine->pci, virtio_rng_function(rng), error);
}

static int create_nics(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    const struct machine_config *config = options->config;
    for (unsigned i = 0; i < config->net_count; i++) {
        if (machine->device_count + 2 > MACHINE_MAX_DEVICES)
            return error_set(error, "the machine has no room for another NIC");
        struct nic *nic = nic_create(
            machine, i, &config->net[i], config->net_fault, config->net_fault_count, error);
        if (!nic)
            return -1;
        machine->nic[i] = nic;
        add_device(machine, nic_links_device(nic), nic, destroy_nic);
        add_device(machine, nic_device(nic), nic, destroy_nothing);
    }
    for (unsigned i = 0; i < config->net_fault_count; i++) {
        if (config->net_fault[i].net >= config->net_count)
            return error_set(error, "--fault: there is no net%u", config->net_fault[i].net);
    }
    return 0;
}

/* What firmware does once all functions are on the bus. */
static int set_up_pci(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    (void)options;
    (void)error;
    pci_setup(machine->pci);
    return 0;
}

typedef int (*create_function)(
    struct machine *machine, const struct machine_options *options, struct error *error);

/* The interrupt controllers first: the others hold their lines; the watch before the UART. */
static const create_function table[] = {
    create_pic,
    create_apics,
    create_ioapic,
    create_acpi_pm,
    create_panic_watch,
    create_pit,
    create_rtc,
    create_uart,
    create_keyboard,
    create_debug_exit,
    create_debug_console,
    create_fw_cfg,
    create_post,
    create_port92,
    create_pci,
    create_disks,
    create_rng,
    create_nics,
    set_up_pci,
};

int platform_create(
    struct machine *machine, const struct machine_options *options, struct error *error)
{
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (machine->device_count == MACHINE_MAX_DEVICES)
            return error_set(error, "the machine has no room for another device");
        if (table[i](machine, options, error) < 0)
            return -1;
    }
    return 0;
}

void platform_destroy(struct machine *machine)
{
    while (machine->device_count) {
        struct machine_device *slot = &machine->devices[--machine->device_count];
        slot->destroy(slot->object);
    }
    apic_bus_destroy(machine->apic_bus);
    machine->apic_bus = NULL;
}
