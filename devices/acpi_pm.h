/*
 * The fixed hardware of ACPI (Advanced Configuration and Power Interface Specification 6.4, section
 * 4.8): the PM1a event block (status and enable), the PM1a control block, and the power management
 * timer, 24 bits at 3.579545 MHz.
 *
 * - The machine is always in ACPI mode: SCI_EN reads as one, and there is no SMI command port.
 * - A write to PM1a control with SLP_EN powers the machine off when SLP_TYP is ACPI_PM_SLEEP_OFF;
 *   other sleep types do nothing.
 * - TMR_STS is set when the timer's highest bit changes and drives the SCI with TMR_EN.
 */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include "devices/device.h"

struct acpi_pm;

enum {
    ACPI_PM_PORT = 0x600, /* PM1a status and enable */
    ACPI_PM_CONTROL_PORT = ACPI_PM_PORT + 4,
    ACPI_PM_TIMER_PORT = ACPI_PM_PORT + 8,
    ACPI_PM_SIZE = 12,
    ACPI_PM_TIMER_HZ = 3579545,
    ACPI_PM_SLEEP_OFF = 5, /* SLP_TYP of S5 */
};

struct acpi_pm_config {
    struct clock *clock;
    struct irq_line irq; /* the SCI, level-triggered */
    void (*power_off)(void *machine);
    void *machine;
};

struct acpi_pm *acpi_pm_create(const struct acpi_pm_config *config, struct error *error);
void acpi_pm_destroy(struct acpi_pm *pm); /* NULL is fine */
int acpi_pm_attach(struct acpi_pm *pm, struct bus *ports, struct error *error);
struct device acpi_pm_device(struct acpi_pm *pm);
extern const struct device_class acpi_pm_class;

#endif
