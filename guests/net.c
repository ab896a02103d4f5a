/*
 * Exchanges numbered frames with another instance of itself at the other end of a wire that may
 * lose, repeat and reorder them: each side sends `count` and receives as many. Frames are IPv4 UDP
 * datagrams of several flows; every one carries a pattern of its sender and number, an
 * acknowledgement of all before it, and which of the next 64 came. What is not acknowledged in time
 * is sent again.
 *
 * Options: count=1000, id=1 (differs from the other's), size=256 (of most payloads at most, 64 to
 * 1400; every 64th has 1400 bytes), patience=60 (seconds without progress before giving up),
 * work=0 (times round a loop for every frame that comes), fail=0 (gives up at so many received).
 * Failures: debug-exit value 3 wrong data, 4 no NIC, 5 the device broke its rules, 6 the other side
 * is not there any more, 7 as many were received as fail= says.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/timers.h"
#include "lib/virtio_net.h"

enum { WRONG_DATA = 3, NO_NIC = 4, NO_PEER = 6, ENOUGH = 7 };
enum { HZ = 100, WINDOW = 48, TIMEOUT = HZ / 10, OVERTAKEN = 24, LINGER = HZ / 5, GONE = 3 * HZ };
enum { ETHERNET = 14, IPV4 = 20, UDP = 8, LONGEST = 1400, FLOWS = 16, MAGIC = 0x74656e68 };
enum { FLAG_DATA = 1, FLAG_DONE = 2 };

struct message {
    uint32_t magic, id;
    uint32_t number; /* of the data, from 0 */
    uint32_t flags;
    uint32_t expected; /* all before it have come */
    uint32_t size;     /* of the data, which follows */
    uint64_t came;     /* bit i: expected + 1 + i has come */
};

enum { OVERHEAD = ETHERNET + IPV4 + UDP + (int)sizeof(struct message) };

static volatile unsigned ticks;
static uint8_t own_mac[6], peer_mac[6];
static uint32_t id, count, usual_size, work, fail;

/* Sending: numbers from `base` to `next` are under way. */
static uint32_t base, next;
static struct {
    unsigned sent_at;
    bool acknowledged, hurried;
} window[WINDOW];

/* Receiving. */
static uint32_t expected;
static uint64_t came;
static bool owes_answer, peer_done;
static unsigned heard_at, progress_at;
static unsigned resent, duplicates, overtaking, answers;

static void tick(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    pic_end(IRQ_PIT);
}

static uint64_t pattern(uint32_t sender, uint32_t number, uint32_t word)
{
    return (((uint64_t)sender << 32 | number) * 1024 + word) * 0x9e3779b97f4a7c15ul;
}

static uint32_t size_of(uint32_t number)
{
    if (number % 64 == 63)
        return LONGEST;
    return 8 + (uint32_t)(pattern(0, number, 0) >> 40) % (usual_size - 7) / 8 * 8;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint16_t header_sum(const uint8_t *header)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < IPV4; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Ethernet, IPv4 and UDP headers (without UDP's optional checksum). */
static void put_headers(uint8_t *frame, unsigned payload, unsigned flow)
{
    for (unsigned i = 0; i < 6; i++) {
        frame[i] = peer_mac[i];
        frame[6 + i] = own_mac[i];
    }
    put16(frame + 12, 0x0800);
    uint8_t *ip = frame + ETHERNET;
    for (unsigned i = 0; i < IPV4; i++)
        ip[i] = 0;
    ip[0] = 0x45;
    put16(ip + 2, IPV4 + UDP + payload);
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = 64;
    ip[9] = 17;
    put16(ip + 12, 0x0a00);
    put16(ip + 14, id & 0xffff);
    put16(ip + 16, 0x0aff);
    put16(ip + 18, 0xffff);
    put16(ip + 10, header_sum(ip));
    uint8_t *udp = ip + IPV4;
    put16(udp, 40000 + flow);
    put16(udp + 2, 7);
    put16(udp + 4, UDP + payload);
    put16(udp + 6, 0);
}

static bool done(void)
{
    return base == count && expected == count;
}

/* Data `number`, or an answer without data when it is `count`. False: no buffer. */
static bool send(uint32_t number)
{
    uint8_t *frame = net_prepare();
    if (!frame)
        return false;
    bool has_data = number < count;
    uint32_t size = has_data ? size_of(number) : 0;
    put_headers(frame, (unsigned)sizeof(struct message) + size, number % FLOWS);
    struct message message = {
        .magic = MAGIC,
        .id = id,
        .number = number,
        .flags = (has_data ? FLAG_DATA : 0u) | (done() ? FLAG_DONE : 0u),
        .expected = expected,
        .size = size,
        .came = came,
    };
    __builtin_memcpy(frame + OVERHEAD - sizeof message, &message, sizeof message);
    for (uint32_t i = 0; i < size / 8; i++) {
        uint64_t word = pattern(id, number, i);
        __builtin_memcpy(frame + OVERHEAD + 8 * i, &word, 8);
    }
    net_send(OVERHEAD + size);
    owes_answer = false;
    return true;
}

static void acknowledge(uint32_t number)
{
    if (number >= base && number < next && !window[number % WINDOW].acknowledged) {
        window[number % WINDOW].acknowledged = true;
        progress_at = ticks;
    }
}

static void take_acknowledgements(const struct message *message)
{
    if (message->expected > next)
        guest_panic(WRONG_DATA, "frame %u is acknowledged before it is sent", message->expected);
    for (uint32_t number = base; number < message->expected; number++)
        acknowledge(number);
    unsigned later = 0;
    for (int i = 63; i >= 0; i--) {
        uint32_t number = message->expected + 1 + (uint32_t)i;
        if (message->came >> i & 1) {
            acknowledge(number);
            later++;
        } else if (later >= OVERTAKEN && number >= base && number < next) {
            window[number % WINDOW].hurried = true;
        }
    }
    if (later >= OVERTAKEN && message->expected >= base && message->expected < next)
        window[message->expected % WINDOW].hurried = true;
    while (base < next && window[base % WINDOW].acknowledged)
        base++;
}

static void check_data(const uint8_t *data, const struct message *message)
{
    if (message->size != size_of(message->number))
        guest_panic(WRONG_DATA, "frame %u has %u bytes", message->number, message->size);
    for (uint32_t i = 0; i < message->size / 8; i++) {
        uint64_t word;
        __builtin_memcpy(&word, data + 8 * i, 8);
        if (word != pattern(message->id, message->number, i))
            guest_panic(WRONG_DATA, "frame %u word %u is %lx", message->number, i, word);
    }
}

static void take_data(const uint8_t *data, const struct message *message)
{
    uint32_t number = message->number;
    owes_answer = true;
    if (number >= count || number > expected + 64)
        guest_panic(WRONG_DATA, "frame %u where %u is expected", number, expected);
    check_data(data, message);
    if (number < expected || (number > expected && came >> (number - expected - 1) & 1)) {
        duplicates++;
        return;
    }
    progress_at = ticks;
    if (number > expected) {
        came |= 1ul << (number - expected - 1);
        overtaking++;
        return;
    }
    bool more;
    do {
        more = came & 1;
        came >>= 1;
        expected++;
    } while (more);
}

static void take_frame(const uint8_t *frame, size_t size)
{
    struct message message;
    if (size < OVERHEAD)
        return; /* somebody else's */
    __builtin_memcpy(&message, frame + OVERHEAD - sizeof message, sizeof message);
    if (message.magic != MAGIC || message.id == id)
        return;
    if (header_sum(frame + ETHERNET) != 0)
        guest_panic(WRONG_DATA, "a frame's IPv4 header is damaged");
    if (size != OVERHEAD + message.size)
        guest_panic(WRONG_DATA, "a frame has %lu bytes, not %u", size, OVERHEAD + message.size);
    for (unsigned i = 0; i < 6; i++)
        peer_mac[i] = frame[6 + i];
    heard_at = ticks;
    if (message.flags & FLAG_DONE)
        peer_done = true;
    take_acknowledgements(&message);
    if (message.flags & FLAG_DATA)
        take_data(frame + OVERHEAD, &message);
}

static void receive_all(void)
{
    size_t size;
    const uint8_t *frame;
    while ((frame = net_receive(&size))) {
        take_frame(frame, size);
        net_release();
        for (volatile uint32_t i = 0; i < work; i++)
            ;
        if (fail && expected >= fail)
            guest_panic(ENOUGH, "%u frames are enough", expected);
    }
}

static void send_all(void)
{
    unsigned now = ticks;
    for (uint32_t number = base; number < next; number++) {
        bool late = now - window[number % WINDOW].sent_at >= TIMEOUT;
        if (window[number % WINDOW].acknowledged || (!late && !window[number % WINDOW].hurried))
            continue;
        /* In a hurry once only: the next time it waits for its turn. */
        if (!late && now == window[number % WINDOW].sent_at)
            continue;
        if (!send(number))
            break;
        window[number % WINDOW].sent_at = now;
        window[number % WINDOW].hurried = false;
        resent++;
    }
    while (next < count && next < base + WINDOW && send(next)) {
        window[next % WINDOW].sent_at = now;
        window[next % WINDOW].acknowledged = window[next % WINDOW].hurried = false;
        next++;
    }
    if (owes_answer && send(count))
        answers++;
    net_flush();
}

static void exchange(unsigned patience)
{
    unsigned shown = 0, said_at = 0;
    while (!done()) {
        receive_all();
        send_all();
        if (ticks - progress_at > patience)
            guest_panic(NO_PEER, "no progress after %u sent and %u received", base, expected);
        if (expected >= (shown + 1) * (count / 4) && shown < 4)
            console_printf("net: %u received, %u acknowledged\n", expected, base), shown++;
        if (!done())
            interrupts_wait();
    }
    /* The other side may still miss the last answers. */
    unsigned since = ticks;
    said_at = ticks - LINGER;
    while (!(peer_done && ticks - since > LINGER) && ticks - heard_at < GONE &&
           ticks - since < 10 * GONE) {
        uint32_t heard = heard_at;
        receive_all();
        if ((owes_answer || heard != heard_at || ticks - said_at >= LINGER / 4) && send(count)) {
            net_flush();
            said_at = ticks;
        }
        interrupts_wait();
    }
}

void guest_main(const struct boot_info *boot)
{
    count = (uint32_t)boot_option(boot, "count", 1000);
    id = (uint32_t)boot_option(boot, "id", 1);
    work = (uint32_t)boot_option(boot, "work", 0);
    fail = (uint32_t)boot_option(boot, "fail", 0);
    usual_size = (uint32_t)boot_option(boot, "size", 256);
    if (usual_size < 64 || usual_size > LONGEST)
        usual_size = 256;
    if (!net_open(0, own_mac))
        guest_panic(NO_NIC, "no virtio-net NIC on the PCI bus");
    for (unsigned i = 0; i < 6; i++)
        peer_mac[i] = 0xff;
    console_printf("net: %02x:%02x:%02x:%02x:%02x:%02x, %u frames to exchange\n", own_mac[0],
        own_mac[1], own_mac[2], own_mac[3], own_mac[4], own_mac[5], count);
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, tick);
    pit_start(HZ);
    pic_unmask(IRQ_PIT);
    exchange((unsigned)boot_option(boot, "patience", 60) * HZ);
    console_printf("net: all %u frames sent and received\n", count);
    console_printf("net: %u sent again, %u came twice, %u overtaking, %u answers, %u interrupts\n",
        resent, duplicates, overtaking, answers, net_interrupts());
}
