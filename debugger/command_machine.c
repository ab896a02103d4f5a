/* The machine's own state: devices, page tables, descriptor tables, MSRs, control registers. */
#include "debugger/command.h"
#include "debugger/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/msr.h"
#include "vmm/arch/translate.h"

COMMAND(devices)
{
    struct machine *machine = timeline_machine(debugger->timeline);
    bool found = false;
    for (unsigned i = 0; i < machine->device_count; i++) {
        const struct device *device = &machine->devices[i];
        struct buffer text = {0};
        if (*arguments && strcmp(arguments, device->name) != 0)
            continue;
        found = true;
        print(debugger, "%s:\n", device->name);
        device->ops->describe(device->object, &text);
        print_text(debugger, &text);
        buffer_free(&text);
    }
    return found
               ? 0
               : error_set(error, "no device '%s': 'devices' without a name shows all", arguments);
}

static void print_entry_bits(struct debugger *debugger, uint64_t entry)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } bits[] = {{0, "P"}, {1, "W"}, {2, "U"}, {3, "PWT"}, {4, "PCD"}, {5, "A"}, {6, "D"},
        {7, "PS/PAT"}, {8, "G"}, {63, "NX"}};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        if (entry >> bits[i].bit & 1)
            print(debugger, " %s", bits[i].name);
    }
}

COMMAND(pagetable)
{
    static const char *const names[] = {"PML4", "PDPT", "PD", "PT"};
    struct translation translation;
    uint64_t address;
    if (!*arguments)
        return error_set(error, "pagetable: give a linear address");
    if (session_number(debugger, arguments, &address, error) < 0)
        return -1;
    const struct vcpu_state *state = &debugger->view.state;
    bool mapped = translate(debugger->view.memory, state, address, &translation);
    bool four = state->efer & EFER_LMA;
    unsigned top = four ? 0 : state->cr4 & CR4_PAE ? 1 : 2;
    print(debugger, "CR3 0x%" PRIx64 "\n", state->cr3);
    for (unsigned i = 0; i < translation.levels; i++) {
        print(debugger, "%-4s entry at 0x%09" PRIx64 ": 0x%016" PRIx64,
            top + i < 4 ? names[top + i] : "?", translation.entry_gpa[i], translation.entry[i]);
        print_entry_bits(debugger, translation.entry[i]);
        print(debugger, "\n");
    }
    if (!mapped)
        return error_set(error, "0x%" PRIx64 " is not mapped", address);
    print(debugger, "0x%" PRIx64 " is physical 0x%" PRIx64 ", page of %" PRIu64 " KiB,%s%s%s\n",
        address, translation.gpa, translation.page_size / 1024,
        translation.writable ? " writable" : " read-only", translation.user ? ", user" : ", kernel",
        translation.executable ? ", executable" : "");
    return 0;
}

/* ---- Descriptor tables ---- */

static void print_segment_descriptor(struct debugger *debugger, unsigned index, uint64_t low)
{
    static const char *const data[] = {"data", "data expand-down"};
    uint64_t base = (low >> 16 & 0xffffff) | (low >> 56) << 24;
    uint64_t limit = (low & 0xffff) | (low >> 48 & 0xf) << 16;
    unsigned type = low >> 40 & 0xf;
    bool code = type & 8;
    if (low >> 55 & 1)
        limit = limit << 12 | 0xfff;
    print(debugger, "0x%02x  %s%s DPL %u base 0x%" PRIx64 " limit 0x%" PRIx64 "%s\n", index * 8,
        code ? "code" : data[type >> 2 & 1],
        code ? (low >> 53 & 1      ? " 64-bit"
                   : low >> 54 & 1 ? " 32-bit"
                                   : " 16-bit")
             : (type & 2 ? " writable" : " read-only"),
        (unsigned)(low >> 45 & 3), base, limit, low >> 47 & 1 ? "" : " not present");
}

COMMAND(gdt)
{
    static const char *const system[] = {[1] = "TSS 16-bit",
        [2] = "LDT",
        [3] = "TSS 16-bit busy",
        [9] = "TSS",
        [11] = "TSS busy",
        [15] = NULL};
    (void)arguments;
    if (session_look(debugger, error) < 0)
        return -1;
    const struct vcpu_state *state = &debugger->view.state;
    print(debugger, "GDT at 0x%" PRIx64 ", limit 0x%x\n", state->gdt.base, state->gdt.limit);
    for (unsigned i = 0; i * 8 + 7 <= state->gdt.limit; i++) {
        uint64_t low, high;
        if (!view_read_number(&debugger->view, state->gdt.base + i * 8, 8, &low))
            return error_set(error, "the GDT is not mapped at entry %u", i);
        if (low == 0)
            continue;
        if (low >> 44 & 1) {
            print_segment_descriptor(debugger, i, low);
            continue;
        }
        const char *name = system[low >> 40 & 0xf];
        uint64_t base = (low >> 16 & 0xffffff) | (low >> 56) << 24;
        if ((state->efer & EFER_LMA) &&
            view_read_number(&debugger->view, state->gdt.base + i * 8 + 8, 8, &high))
            base |= high << 32;
        print(debugger, "0x%02x  %s base 0x%" PRIx64 "\n", i * 8, name ? name : "system", base);
        i += (state->efer & EFER_LMA) != 0;
    }
    return 0;
}

static int print_gate(struct debugger *debugger, unsigned vector, bool wide, struct error *error)
{
    const struct vcpu_state *state = &debugger->view.state;
    uint64_t low, high = 0;
    unsigned size = wide ? 16 : 8;
    if (!view_read_number(&debugger->view, state->idt.base + vector * size, 8, &low) ||
        (wide && !view_read_number(&debugger->view, state->idt.base + vector * size + 8, 8, &high)))
        return error_set(error, "the IDT is not mapped at vector %u", vector);
    if (!(low >> 47 & 1))
        return 0;
    unsigned type = low >> 40 & 0xf;
    uint64_t target = (low & 0xffff) | (low >> 32 & 0xffff0000) | (high & 0xffffffff) << 32;
    print(debugger, "%3u  %s 0x%02x:", vector,
        type == 14   ? "interrupt"
        : type == 15 ? "trap     "
        : type == 5  ? "task     "
                     : "other    ",
        (unsigned)(low >> 16 & 0xffff));
    print_address(debugger, target);
    print(debugger, " DPL %u", (unsigned)(low >> 45 & 3));
    if (wide && (low >> 32 & 7))
        print(debugger, " IST %u", (unsigned)(low >> 32 & 7));
    print(debugger, "\n");
    return 0;
}

COMMAND(idt)
{
    uint64_t vector;
    if (session_look(debugger, error) < 0)
        return -1;
    const struct vcpu_state *state = &debugger->view.state;
    bool wide = state->efer & EFER_LMA;
    unsigned size = wide ? 16 : 8;
    if (*arguments) {
        if (session_number(debugger, arguments, &vector, error) < 0)
            return -1;
        if (vector * size + size - 1 > state->idt.limit || vector > 255)
            return error_set(error, "vector %" PRIu64 " is past the IDT's limit", vector);
        return print_gate(debugger, (unsigned)vector, wide, error);
    }
    print(debugger, "IDT at 0x%" PRIx64 ", limit 0x%x\n", state->idt.base, state->idt.limit);
    for (unsigned i = 0; i < 256 && i * size + size - 1 <= state->idt.limit; i++) {
        if (print_gate(debugger, i, wide, error) < 0)
            return -1;
    }
    return 0;
}

/* ---- Registers ---- */

COMMAND(msr)
{
    (void)arguments;
    if (session_look(debugger, error) < 0)
        return -1;
    const struct vcpu_state *state = &debugger->view.state;
    const struct {
        uint32_t index;
        const char *name;
        uint64_t value;
    } list[] = {
        {MSR_TSC, "TSC", vcpu_tsc(state, timeline_time(debugger->timeline))},
        {MSR_APIC_BASE, "APIC_BASE", state->apic_base},
        {MSR_SYSENTER_CS, "SYSENTER_CS", state->sysenter_cs},
        {MSR_SYSENTER_ESP, "SYSENTER_ESP", state->sysenter_esp},
        {MSR_SYSENTER_EIP, "SYSENTER_EIP", state->sysenter_eip},
        {MSR_PAT, "PAT", state->pat},
        {MSR_EFER, "EFER", state->efer},
        {MSR_STAR, "STAR", state->star},
        {MSR_LSTAR, "LSTAR", state->lstar},
        {MSR_CSTAR, "CSTAR", state->cstar},
        {MSR_SFMASK, "SFMASK", state->sfmask},
        {MSR_FS_BASE, "FS_BASE", state->segment[SEG_FS].base},
        {MSR_GS_BASE, "GS_BASE", state->segment[SEG_GS].base},
        {MSR_KERNEL_GS_BASE, "KERNEL_GS_BASE", state->kernel_gs_base},
        {MSR_TSC_AUX, "TSC_AUX", state->tsc_aux},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        print(debugger, "0x%08x %-15s 0x%016" PRIx64 "\n", list[i].index, list[i].name,
            list[i].value);
    for (unsigned i = 0; i < MSR_KEPT_COUNT; i++)
        print(debugger, "0x%08x %-15s 0x%016" PRIx64 "\n", msr_kept_index(i), msr_kept_name(i),
            state->kept_msr[i]);
    return 0;
}

struct bit_name {
    unsigned bit;
    const char *name;
};

static void print_bits(struct debugger *debugger, const char *name, uint64_t value,
    const struct bit_name *bits, size_t count)
{
    print(debugger, "%-5s 0x%016" PRIx64, name, value);
    for (size_t i = 0; i < count; i++) {
        if (value >> bits[i].bit & 1)
            print(debugger, " %s", bits[i].name);
    }
    print(debugger, "\n");
}

COMMAND(cr)
{
    static const struct bit_name cr0[] = {{0, "PE"}, {1, "MP"}, {2, "EM"}, {3, "TS"}, {4, "ET"},
        {5, "NE"}, {16, "WP"}, {18, "AM"}, {29, "NW"}, {30, "CD"}, {31, "PG"}};
    static const struct bit_name cr4[] = {{0, "VME"}, {1, "PVI"}, {2, "TSD"}, {3, "DE"}, {4, "PSE"},
        {5, "PAE"}, {6, "MCE"}, {7, "PGE"}, {8, "PCE"}, {9, "OSFXSR"}, {10, "OSXMMEXCPT"},
        {11, "UMIP"}, {16, "FSGSBASE"}, {17, "PCIDE"}, {20, "SMEP"}, {21, "SMAP"}};
    static const struct bit_name efer[] = {{0, "SCE"}, {8, "LME"}, {10, "LMA"}, {11, "NXE"}};
    (void)arguments;
    if (session_look(debugger, error) < 0)
        return -1;
    const struct vcpu_state *state = &debugger->view.state;
    print_bits(debugger, "CR0", state->cr0, cr0, sizeof cr0 / sizeof cr0[0]);
    print(debugger, "CR2   0x%016" PRIx64 "\nCR3   0x%016" PRIx64 "\n", state->cr2, state->cr3);
    print_bits(debugger, "CR4", state->cr4, cr4, sizeof cr4 / sizeof cr4[0]);
    print(debugger, "CR8   0x%016" PRIx64 "\n", state->cr8);
    print_bits(debugger, "EFER", state->efer, efer, sizeof efer / sizeof efer[0]);
    return 0;
}

const struct command machine_commands[] = {
    {"The machine", "devices", "dev", command_devices, "[NAME]",
        "Registers of the devices, or of one, by their data sheets' names.", "devices pic",
        COMPLETE_NONE, false},
    {"The machine", "pagetable", "pt", command_pagetable, "ADDRESS",
        "Walks the page tables for a linear address.", "pagetable $rip", COMPLETE_SYMBOL, false},
    {"The machine", "gdt", "", command_gdt, "", "The global descriptor table.", "gdt",
        COMPLETE_NONE, false},
    {"The machine", "idt", "", command_idt, "[VECTOR]",
        "The interrupt descriptor table, or one gate.", "idt 32", COMPLETE_NONE, false},
    {"The machine", "msr", "", command_msr, "", "The model-specific registers.", "msr",
        COMPLETE_NONE, false},
    {"The machine", "cr", "", command_cr, "", "The control registers, bit by bit.", "cr",
        COMPLETE_NONE, false},
    {0},
};
