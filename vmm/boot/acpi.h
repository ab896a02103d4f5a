/*
 * The ACPI tables that describe the machine to an operating system (ACPI Specification 6.4): RSDP,
 * XSDT, RSDT, FADT, FACS, MADT, HPET and a DSDT with the sleep state S5, the legacy devices and,
 * where there is one, the PCI host bridge with its interrupt routing.
 *
 * They lie in the firmware space at ACPI_RSDP, where a search for the RSDP finds them too.
 */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include <stdbool.h>

#include "base/error.h"
#include "vmm/arch/memory.h"

#define ACPI_RSDP 0xf0000ull

enum {
    ACPI_SCI_IRQ = 7,   /* one that neither an ISA device nor a PIRQ has */
    ACPI_PIT_INPUT = 2, /* where the I/O APIC has the PIT; the other ISA lines are one to one */
};

struct acpi_options {
    bool has_pci;
    bool has_hpet;
    unsigned cpus; /* processors, with the APIC IDs from 0 on */
};

int acpi_write_tables(
    struct memory *memory, const struct acpi_options *options, struct error *error);

#endif
