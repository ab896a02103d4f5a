/* MSI-X: the table of a PCI function, and its messages. */
#include "devices/pci_msix.h"

#include "devices/pci.h"

enum {
    CAPABILITY_MSIX = 0x11,
    CAPABILITY_SIZE = 12,
    CONTROL = 2,
    CONTROL_MASK_ALL = 1 << 14,
    CONTROL_ENABLE = 1 << 15,
    TABLE = 4,
    PENDING = 8,
    ENTRY_SIZE = 16,
    ENTRY_MASKED = 1 << 0,
};

static unsigned control(const struct pci_msix *msix)
{
    return pci_config_get(msix->function, msix->capability + CONTROL, 2);
}

bool pci_msix_init(
    struct pci_msix *msix, struct pci_function *function, unsigned bar, unsigned vectors)
{
    unsigned at = pci_add_capability(function, CAPABILITY_MSIX, CAPABILITY_SIZE);
    if (!at || vectors == 0 || vectors > PCI_MSIX_MOST)
        return false;
    *msix = (struct pci_msix){.function = function, .capability = at, .vectors = vectors};
    pci_config_set(function, at + CONTROL, 2, vectors - 1);
    function->writable[at + CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK_ALL) >> 8;
    pci_config_set(function, at + TABLE, 4, bar);
    pci_config_set(function, at + PENDING, 4, PCI_MSIX_PENDING | bar);
    pci_msix_reset(msix);
    return true;
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
    return control(msix) & CONTROL_ENABLE;
}

/* Sends what waits and may go. */
static void send_pending(struct pci_msix *msix)
{
    unsigned state = control(msix);
    if (!(state & CONTROL_ENABLE) || state & CONTROL_MASK_ALL)
        return;
    for (unsigned i = 0; i < msix->vectors; i++) {
        if (!(msix->pending >> i & 1) || msix->entry[i].control & ENTRY_MASKED)
            continue;
        msix->pending &= ~(1u << i);
        pci_send_message(msix->function, msix->entry[i].address, msix->entry[i].data);
    }
}

void pci_msix_notify(struct pci_msix *msix, unsigned vector)
{
    if (vector >= msix->vectors)
        return;
    msix->pending |= 1u << vector;
    send_pending(msix);
}

void pci_msix_config_written(struct pci_msix *msix, unsigned offset, unsigned size)
{
    if (offset < msix->capability + TABLE && offset + size > msix->capability + CONTROL)
        send_pending(msix);
}

static uint32_t get_word(const struct pci_msix *msix, uint64_t address)
{
    uint64_t vector = address / ENTRY_SIZE;
    if (address == PCI_MSIX_PENDING)
        return msix->pending;
    if (vector >= msix->vectors)
        return 0;
    switch (address % ENTRY_SIZE) {
    case 0:
        return (uint32_t)msix->entry[vector].address;
    case 4:
        return (uint32_t)(msix->entry[vector].address >> 32);
    case 8:
        return msix->entry[vector].data;
    default:
        return msix->entry[vector].control;
    }
}

static void set_word(struct pci_msix *msix, uint64_t address, uint32_t value)
{
    uint64_t vector = address / ENTRY_SIZE;
    if (vector >= msix->vectors)
        return;
    uint64_t *target = &msix->entry[vector].address;
    switch (address % ENTRY_SIZE) {
    case 0:
        *target = (*target & ~(uint64_t)UINT32_MAX) | (value & ~3u);
        break;
    case 4:
        *target = (*target & UINT32_MAX) | (uint64_t)value << 32;
        break;
    case 8:
        msix->entry[vector].data = value;
        break;
    default:
        msix->entry[vector].control = value & ENTRY_MASKED;
        break;
    }
}

/* Whole doublewords and quadwords, as the specification has it; other sizes read as parts of them
 * and write nothing. */
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t address, unsigned size)
{
    if (size == 8)
        return get_word(msix, address & ~3ull) | (uint64_t)get_word(msix, (address & ~3ull) + 4)
                                                     << 32;
    return get_word(msix, address & ~3ull) >> (8 * (address & 3));
}

void pci_msix_write(struct pci_msix *msix, uint64_t address, unsigned size, uint64_t value)
{
    if (address & 3 || size < 4)
        return;
    set_word(msix, address, (uint32_t)value);
    if (size == 8)
        set_word(msix, address + 4, (uint32_t)(value >> 32));
    send_pending(msix);
}

void pci_msix_reset(struct pci_msix *msix)
{
    msix->pending = 0;
    for (unsigned i = 0; i < msix->vectors; i++) {
        msix->entry[i].address = msix->entry[i].data = 0;
        msix->entry[i].control = ENTRY_MASKED;
    }
    unsigned enabled = CONTROL_ENABLE | CONTROL_MASK_ALL;
    pci_config_set(msix->function, msix->capability + CONTROL, 2, control(msix) & ~enabled);
}

void pci_msix_save(const struct pci_msix *msix, struct buffer *out)
{
    for (unsigned i = 0; i < msix->vectors; i++) {
        buffer_put_u64(out, msix->entry[i].address);
        buffer_put_u32(out, msix->entry[i].data);
        buffer_put_u32(out, msix->entry[i].control);
    }
    buffer_put_u32(out, msix->pending);
}

void pci_msix_restore(struct pci_msix *msix, struct reader *in)
{
    for (unsigned i = 0; i < msix->vectors; i++) {
        msix->entry[i].address = reader_get_u64(in) & ~3ull;
        msix->entry[i].data = reader_get_u32(in);
        msix->entry[i].control = reader_get_u32(in) & ENTRY_MASKED;
    }
    msix->pending = reader_get_u32(in) & ((1u << msix->vectors) - 1);
}
