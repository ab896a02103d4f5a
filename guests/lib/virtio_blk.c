/* A driver for one virtio disk. */
#include "lib/virtio_blk.h"

#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pci.h"
#include "lib/pic.h"
#include "lib/port.h"

enum { QUEUE = 128, INDIRECT = 128, NEXT = 1, WRITE = 2, USE_INDIRECT = 4, BROKEN = 5 };
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_ID = 8, TYPE_DISCARD = 11, TYPE_ZERO = 13 };

#define FEATURE_FLUSH    (1ul << 9)
#define FEATURE_DISCARD  (1ul << 13)
#define FEATURE_ZEROES   (1ul << 14)
#define FEATURE_INDIRECT (1ul << 28)
#define FEATURE_EVENT    (1ul << 29)
#define FEATURE_VERSION  (1ul << 32)

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static struct descriptor table[QUEUE] __attribute__((aligned(4096)));
static struct descriptor indirect[INDIRECT] __attribute__((aligned(16)));
static volatile struct {
    uint16_t flags, index, ring[QUEUE], used_event;
} available __attribute__((aligned(4096)));
static volatile struct {
    uint16_t flags, index;
    struct {
        uint32_t id, length;
    } ring[QUEUE];
    uint16_t available_event;
} used __attribute__((aligned(4096)));

static struct {
    uint32_t type, reserved;
    uint64_t sector;
} header;
static volatile uint8_t status;

static unsigned irq;
static volatile uint8_t *common, *isr, *device_config, *notify;
static uint16_t submitted;
static volatile unsigned interrupts;

static uint32_t get32(volatile uint8_t *at)
{
    return *(volatile uint32_t *)at;
}

static void put32(volatile uint8_t *at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}

static void put16(volatile uint8_t *at, uint16_t value)
{
    *(volatile uint16_t *)at = value;
}

static void put_address(volatile uint8_t *at, volatile void *address)
{
    put32(at, (uint32_t)(uintptr_t)address);
    put32(at + 4, (uint32_t)((uintptr_t)address >> 32));
}

static void handle(struct interrupt_frame *frame)
{
    (void)frame;
    uint8_t reason = *isr; /* reading acknowledges */
    if (reason & 2)
        guest_panic(BROKEN, "the disk needs a reset");
    interrupts += reason & 1;
    pic_end(irq);
}

static void find_registers(unsigned slot)
{
    for (unsigned at = pci_read(slot, 0x34, 1); at; at = pci_read(slot, at + 1, 1)) {
        if (pci_read(slot, at, 1) != 9)
            continue;
        unsigned bar = 0x10 + 4 * pci_read(slot, at + 4, 1);
        volatile uint8_t *base = (volatile uint8_t *)(uintptr_t)((pci_read(slot, bar, 4) & ~15u) +
                                                                 pci_read(slot, at + 8, 4));
        switch (pci_read(slot, at + 3, 1)) {
        case 1:
            common = base;
            break;
        case 2: /* queue 0 is at the start whatever the multiplier */
            notify = base;
            break;
        case 3:
            isr = base;
            break;
        case 4:
            device_config = base;
            break;
        default:
            break;
        }
    }
}

static void negotiate(void)
{
    const uint64_t wanted = FEATURE_FLUSH | FEATURE_DISCARD | FEATURE_ZEROES | FEATURE_INDIRECT |
                            FEATURE_EVENT | FEATURE_VERSION;
    common[0x14] = 0;
    common[0x14] = 1;
    common[0x14] = 3;
    for (unsigned half = 0; half < 2; half++) {
        put32(common, half);
        uint32_t offered = get32(common + 4), want = (uint32_t)(wanted >> (32 * half));
        if ((offered & want) != want)
            guest_panic(BROKEN, "the disk offers features %x of %x", offered, want);
        put32(common + 8, half);
        put32(common + 12, want);
    }
    common[0x14] = 11;
    if (common[0x14] != 11)
        guest_panic(BROKEN, "the disk does not accept its own features");
}

bool disk_open(unsigned number)
{
    unsigned slot;
    if (!pci_find_virtio(2, number, &slot))
        return false;
    pci_write(slot, 4, 2, 6); /* memory, bus master */
    find_registers(slot);
    if (!common || !isr || !device_config || !notify)
        guest_panic(BROKEN, "the disk lacks a capability");
    irq = pci_read(slot, 0x3c, 1);
    if (irq < 3 || irq > 15)
        guest_panic(BROKEN, "the disk has interrupt line %u", irq);
    interrupts_handle(VECTOR_IRQ0 + irq, handle);
    pic_unmask(irq);
    negotiate();
    put16(common + 0x16, 0);
    put16(common + 0x18, QUEUE);
    put_address(common + 0x20, table);
    put_address(common + 0x28, &available);
    put_address(common + 0x30, &used);
    put16(common + 0x1c, 1);
    common[0x14] = 15;
    return true;
}

uint64_t disk_sectors(void)
{
    return get32(device_config) | (uint64_t)get32(device_config + 4) << 32;
}

unsigned disk_interrupts(void)
{
    return interrupts;
}

static void describe(struct descriptor *descriptor, volatile const void *data, uint32_t length,
    unsigned flags, unsigned next)
{
    descriptor->address = (uintptr_t)data;
    descriptor->length = length;
    descriptor->flags = (uint16_t)flags;
    descriptor->next = (uint16_t)next;
}

/* Hands descriptor 0 to the device and sleeps until it is done. */
static void submit(void)
{
    interrupts_off();
    available.ring[submitted % QUEUE] = 0;
    available.used_event = submitted; /* tell me about this one */
    __asm__ volatile("" : : : "memory");
    available.index = ++submitted;
    __asm__ volatile("mfence" : : : "memory");
    unsigned before = interrupts;
    put16(notify, 0);
    while (interrupts == before)
        interrupts_wait();
    if (used.index != submitted || used.ring[(submitted - 1) % QUEUE].id != 0)
        guest_panic(BROKEN, "the disk finished request %u as %u", submitted, used.index);
}

static enum disk_status request(uint32_t type, uint64_t sector, const void *data, uint32_t bytes,
    unsigned pieces, unsigned data_flags)
{
    bool use_indirect = pieces > 3;
    struct descriptor *chain = use_indirect ? indirect : table;
    unsigned count = 0;
    header.type = type;
    header.reserved = 0;
    header.sector = sector;
    status = 0xff;
    describe(&chain[count], &header, sizeof header, NEXT, count + 1);
    count++;
    for (unsigned i = 0; i < pieces && bytes; i++) {
        uint32_t part = i + 1 == pieces ? bytes : bytes / (pieces - i);
        describe(&chain[count], data, part, NEXT | data_flags, count + 1);
        count++;
        data = (const uint8_t *)data + part;
        bytes -= part;
    }
    describe(&chain[count], &status, 1, WRITE, 0);
    count++;
    if (use_indirect)
        describe(&table[0], indirect, count * (uint32_t)sizeof indirect[0], USE_INDIRECT, 0);
    submit();
    if (status > DISK_UNSUPPORTED)
        guest_panic(BROKEN, "the disk gave status %x", status);
    return (enum disk_status)status;
}

enum disk_status disk_read(uint64_t sector, void *data, uint32_t bytes, unsigned pieces)
{
    return request(TYPE_IN, sector, data, bytes, pieces, WRITE);
}

enum disk_status disk_write(uint64_t sector, const void *data, uint32_t bytes, unsigned pieces)
{
    return request(TYPE_OUT, sector, data, bytes, pieces, 0);
}

enum disk_status disk_flush(void)
{
    return request(TYPE_FLUSH, 0, NULL, 0, 0, 0);
}

static enum disk_status clear(uint32_t type, uint64_t sector, uint32_t count)
{
    struct {
        uint64_t sector;
        uint32_t count, flags;
    } range = {sector, count, 0};
    return request(type, 0, &range, sizeof range, 1, 0);
}

enum disk_status disk_discard(uint64_t sector, uint32_t count)
{
    return clear(TYPE_DISCARD, sector, count);
}

enum disk_status disk_write_zeroes(uint64_t sector, uint32_t count)
{
    return clear(TYPE_ZERO, sector, count);
}

enum disk_status disk_identity(char identity[21])
{
    identity[20] = 0;
    return request(TYPE_ID, 0, identity, 20, 1, WRITE);
}
