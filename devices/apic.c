/* The local APIC of one processor. */
#include "devices/apic.h"

#include <stdlib.h>
#include <string.h>

#include "devices/apic_bus.h"

enum {
    REGISTER_ID = 0x02,
    REGISTER_VERSION = 0x03,
    REGISTER_TPR = 0x08,
    REGISTER_APR = 0x09,
    REGISTER_PPR = 0x0a,
    REGISTER_EOI = 0x0b,
    REGISTER_LDR = 0x0d,
    REGISTER_DFR = 0x0e,
    REGISTER_SVR = 0x0f,
    REGISTER_ISR = 0x10,
    REGISTER_TMR = 0x18,
    REGISTER_IRR = 0x20,
    REGISTER_ESR = 0x28,
    REGISTER_ICR_LOW = 0x30,
    REGISTER_ICR_HIGH = 0x31,
    REGISTER_LVT = 0x32,
    REGISTER_INITIAL_COUNT = 0x38,
    REGISTER_CURRENT_COUNT = 0x39,
    REGISTER_DIVIDE = 0x3e,
    REGISTER_SELF_IPI = 0x3f,
};

enum { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

enum {
    LVT_MASKED = 1 << 16,
    LVT_PERIODIC = 1 << 17,
    LVT_DEADLINE = 1 << 18,
    LVT_TIMER_MODE = LVT_PERIODIC | LVT_DEADLINE,
    SVR_ENABLED = 1 << 8,
    VERSION = 0x14 | (LVT_COUNT - 1) << 16,
    FIRST_VECTOR = 16,
    ERROR_SEND_VECTOR = 1 << 5,
    ERROR_RECEIVE_VECTOR = 1 << 6,
    ERROR_REGISTER = 1 << 7,
    BROADCAST = 0xff,
    /* Shorter periods would be nothing but interrupts. */
    SHORTEST_PERIOD_NS = 1000,
};

/* What of each local vector is writable. */
static const uint32_t lvt_mask[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff,
    [LVT_THERMAL] = 0x107ff,
    [LVT_PERFORMANCE] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff,
    [LVT_LINT1] = 0x1a7ff,
    [LVT_ERROR] = 0x100ff,
};

struct apic {
    struct apic_config config;
    struct timer timer;
    bool is_absent;   /* switched off in APIC_BASE */
    bool is_extended; /* in x2APIC mode */
    uint8_t id, tpr, divide;
    uint32_t ldr, dfr, svr;
    uint32_t icr[2];
    uint32_t lvt[LVT_COUNT];
    uint32_t errors, esr; /* gathered; as last latched by a write */
    uint64_t isr[4], tmr[4], irr[4];
    uint32_t initial;  /* the initial count register */
    uint32_t count;    /* what the countdown under way began at; 0: stopped */
    uint64_t start;    /* ... and when */
    uint64_t deadline; /* of the TSC; 0: none */
};

/* ---- Vectors -------------------------------------------------------------------------------- */

static void set_bit(uint64_t bits[4], uint8_t vector, bool value)
{
    uint64_t bit = 1ull << (vector & 63);
    bits[vector >> 6] = value ? bits[vector >> 6] | bit : bits[vector >> 6] & ~bit;
}

static bool get_bit(const uint64_t bits[4], uint8_t vector)
{
    return bits[vector >> 6] >> (vector & 63) & 1;
}

/* The highest vector set, or -1. */
static int highest(const uint64_t bits[4])
{
    for (int i = 3; i >= 0; i--) {
        if (bits[i])
            return i * 64 + 63 - __builtin_clzll(bits[i]);
    }
    return -1;
}

static uint8_t processor_priority(const struct apic *apic)
{
    int in_service = highest(apic->isr);
    if (in_service >= 0 && in_service >> 4 > apic->tpr >> 4)
        return (uint8_t)(in_service & 0xf0);
    return apic->tpr;
}

static bool enabled(const struct apic *apic)
{
    return apic->svr & SVR_ENABLED;
}

static void accept(struct apic *apic, uint8_t vector, bool is_level);

static void report_error(struct apic *apic, uint32_t error)
{
    bool is_new = !(apic->errors & error);
    apic->errors |= error;
    uint32_t entry = apic->lvt[LVT_ERROR];
    if (is_new && !(entry & LVT_MASKED) && (entry & 0xff) >= FIRST_VECTOR)
        accept(apic, (uint8_t)entry, false);
}

static void accept(struct apic *apic, uint8_t vector, bool is_level)
{
    if (!enabled(apic))
        return;
    if (vector < FIRST_VECTOR) {
        report_error(apic, ERROR_RECEIVE_VECTOR);
        return;
    }
    set_bit(apic->irr, vector, true);
    set_bit(apic->tmr, vector, is_level);
}

bool apic_has_request(const struct apic *apic)
{
    return enabled(apic) && highest(apic->irr) >> 4 > highest(apic->isr) >> 4;
}

uint8_t apic_request_priority(const struct apic *apic)
{
    int vector = highest(apic->irr);
    return vector < 0 ? 0 : (uint8_t)(vector >> 4);
}

bool apic_output(const struct apic *apic)
{
    return enabled(apic) && highest(apic->irr) >> 4 > processor_priority(apic) >> 4;
}

uint8_t apic_acknowledge(struct apic *apic)
{
    if (!apic_output(apic))
        return (uint8_t)apic->svr;
    uint8_t vector = (uint8_t)highest(apic->irr);
    set_bit(apic->irr, vector, false);
    set_bit(apic->isr, vector, true);
    return vector;
}

static void end_of_interrupt(struct apic *apic)
{
    int vector = highest(apic->isr);
    if (vector < 0)
        return;
    set_bit(apic->isr, (uint8_t)vector, false);
    if (get_bit(apic->tmr, (uint8_t)vector) && apic->config.ended)
        apic->config.ended(apic->config.ended_target, (uint8_t)vector);
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* In x2APIC mode: the cluster of 16 processors, and the one in it. */
static uint32_t logical_id(const struct apic *apic)
{
    if (!apic->is_extended)
        return apic->ldr;
    return (uint32_t)apic->config.id >> 4 << 16 | 1u << (apic->config.id & 15);
}

static bool is_logical_destination(const struct apic *apic, uint32_t destination)
{
    if (apic->is_extended) {
        uint32_t own = logical_id(apic);
        return own >> 16 == destination >> 16 && (own & destination & 0xffff);
    }
    uint8_t own = (uint8_t)(apic->ldr >> 24);
    if (destination > UINT8_MAX)
        return false;
    if (apic->dfr >> 28 == 0xf)
        return own & destination;
    return own >> 4 == destination >> 4 && (own & destination & 0xf);
}

bool apic_is_addressed(const struct apic *apic, const struct apic_message *message)
{
    if (message->destination == (message->is_wide ? UINT32_MAX : BROADCAST))
        return true;
    if (message->is_logical)
        return is_logical_destination(apic, message->destination);
    return message->destination == (apic->is_extended ? apic->config.id : apic->id);
}

bool apic_accept(struct apic *apic, uint8_t vector, bool is_level)
{
    accept(apic, vector, is_level);
    return enabled(apic);
}

unsigned apic_arbitration(const struct apic *apic)
{
    return enabled(apic) ? processor_priority(apic) : 256;
}

bool apic_accepts_external(const struct apic *apic)
{
    uint32_t entry = apic->lvt[LVT_LINT0];
    return apic->is_absent || (!(entry & LVT_MASKED) && (entry >> 8 & 7) == APIC_EXTERNAL);
}

/* The ICR's low half was written. */
static void send(struct apic *apic)
{
    uint32_t low = apic->icr[0];
    const struct apic_message message = {
        .destination = apic->is_extended ? apic->icr[1] : apic->icr[1] >> 24,
        .is_wide = apic->is_extended,
        .is_logical = low & 1 << 11,
        .is_level = low & 1 << 15,
        .is_asserted = low & 1 << 14,
        .mode = low >> 8 & 7,
        .vector = (uint8_t)low,
    };
    bool has_vector = message.mode == APIC_FIXED || message.mode == APIC_LOWEST_PRIORITY;
    if (has_vector && message.vector < FIRST_VECTOR) {
        report_error(apic, ERROR_SEND_VECTOR);
        return;
    }
    apic_bus_send(apic->config.bus, &message, apic, (enum apic_shorthand)(low >> 18 & 3));
}

/* ---- The timer ------------------------------------------------------------------------------ */

static bool is_periodic(const struct apic *apic)
{
    return (apic->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_PERIODIC;
}

static bool has_deadline(const struct apic *apic)
{
    return (apic->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_DEADLINE;
}

/* Nanoseconds a count; the timer's clock has 1 ns. */
static unsigned divisor(const struct apic *apic)
{
    unsigned code = (apic->divide & 3) | (apic->divide >> 1 & 4);
    return 1u << ((code + 1) & 7);
}

static uint64_t period(const struct apic *apic)
{
    uint64_t ns = (uint64_t)apic->initial * divisor(apic);
    return ns < SHORTEST_PERIOD_NS ? SHORTEST_PERIOD_NS : ns;
}

/* In periodic mode moves `start` to the period that holds `now`. */
static void settle(struct apic *apic, uint64_t now)
{
    uint64_t first = apic->start + (uint64_t)apic->count * divisor(apic);
    if (apic->count == 0 || now < first)
        return;
    if (!is_periodic(apic) || apic->initial == 0) {
        apic->count = 0;
        return;
    }
    apic->start = first + (now - first) / period(apic) * period(apic);
    apic->count = apic->initial;
}

static uint32_t current_count(struct apic *apic, uint64_t now)
{
    settle(apic, now);
    uint64_t passed = (now - apic->start) / divisor(apic);
    return apic->count > passed ? apic->count - (uint32_t)passed : 0;
}

/* Arms for the end of the countdown under way, if anybody hears it. */
static void arm(struct apic *apic)
{
    if (has_deadline(apic))
        return;
    if (apic->count == 0 || apic->lvt[LVT_TIMER] & LVT_MASKED || !enabled(apic)) {
        timer_cancel(apic->config.clock, &apic->timer);
        return;
    }
    uint64_t length = (uint64_t)apic->count * divisor(apic);
    if (is_periodic(apic) && length < SHORTEST_PERIOD_NS && apic->count == apic->initial)
        length = SHORTEST_PERIOD_NS;
    uint64_t end = length > TIMER_IDLE - 1 - apic->start ? TIMER_IDLE - 1 : apic->start + length;
    timer_arm(apic->config.clock, &apic->timer, end);
}

static void timer_ends(void *device, uint64_t now)
{
    struct apic *apic = device;
    uint64_t horizon = clock_horizon(apic->config.clock);
    if (!(apic->lvt[LVT_TIMER] & LVT_MASKED))
        accept(apic, (uint8_t)apic->lvt[LVT_TIMER], false);
    apic->deadline = 0;
    settle(apic, is_periodic(apic) && horizon > now ? horizon : now);
    /* A period stretched to the shortest one ends later than its count says. */
    if (is_periodic(apic) && apic->initial && apic->start < now) {
        apic->start = now;
        apic->count = apic->initial;
    }
    arm(apic);
}

static void set_initial_count(struct apic *apic, uint32_t value)
{
    if (has_deadline(apic))
        return;
    apic->initial = apic->count = value;
    if (value)
        apic->start = clock_now(apic->config.clock);
    arm(apic);
}

uint64_t apic_get_deadline(const struct apic *apic)
{
    return apic->deadline;
}

void apic_set_deadline(struct apic *apic, uint64_t deadline, uint64_t time)
{
    if (!has_deadline(apic))
        return;
    apic->deadline = deadline;
    timer_arm(apic->config.clock, &apic->timer, deadline ? time : TIMER_IDLE);
}

/* Another mode than before, to or from the deadline's: what was under way ends. */
static void stop_timer(struct apic *apic)
{
    apic->count = apic->initial = 0;
    apic->deadline = 0;
    timer_cancel(apic->config.clock, &apic->timer);
}

static void set_divide(struct apic *apic, uint32_t value)
{
    if (apic->count) {
        uint64_t now = clock_now(apic->config.clock);
        apic->count = current_count(apic, now);
        apic->start = now;
    }
    apic->divide = value & 0xb;
    arm(apic);
}

static void set_lvt(struct apic *apic, unsigned entry, uint32_t value)
{
    if (entry == LVT_TIMER && apic->count)
        settle(apic, clock_now(apic->config.clock));
    bool had_deadline = has_deadline(apic);
    apic->lvt[entry] = value & lvt_mask[entry];
    if (!apic->config.has_extensions)
        apic->lvt[LVT_TIMER] &= ~(uint32_t)LVT_DEADLINE;
    if (had_deadline != has_deadline(apic))
        stop_timer(apic);
    if (!enabled(apic))
        apic->lvt[entry] |= LVT_MASKED;
    if (entry == LVT_TIMER)
        arm(apic);
}

static void set_spurious(struct apic *apic, uint32_t value)
{
    apic->svr = value & 0x1ff;
    if (!enabled(apic)) {
        for (unsigned i = 0; i < LVT_COUNT; i++)
            apic->lvt[i] |= LVT_MASKED;
    }
    arm(apic);
}

/* ---- Registers ------------------------------------------------------------------------------ */

static uint32_t read_bits(const uint64_t bits[4], unsigned word)
{
    return (uint32_t)(bits[word >> 1] >> (word & 1) * 32);
}

static uint32_t read_register(struct apic *apic, unsigned index)
{
    switch (index) {
    case REGISTER_ID:
        return apic->is_extended ? apic->config.id : (uint32_t)apic->id << 24;
    case REGISTER_VERSION:
        return VERSION;
    case REGISTER_TPR:
        return apic->tpr;
    case REGISTER_APR:
    case REGISTER_PPR:
        return processor_priority(apic);
    case REGISTER_EOI:
        return 0;
    case REGISTER_LDR:
        return logical_id(apic);
    case REGISTER_DFR:
        return apic->dfr;
    case REGISTER_SVR:
        return apic->svr;
    case REGISTER_ESR:
        return apic->esr;
    case REGISTER_ICR_LOW:
    case REGISTER_ICR_HIGH:
        return apic->icr[index - REGISTER_ICR_LOW];
    case REGISTER_INITIAL_COUNT:
        return apic->initial;
    case REGISTER_CURRENT_COUNT:
        return apic->count ? current_count(apic, clock_now(apic->config.clock)) : 0;
    case REGISTER_DIVIDE:
        return apic->divide;
    default:
        break;
    }
    if (index >= REGISTER_ISR && index < REGISTER_TMR)
        return read_bits(apic->isr, index - REGISTER_ISR);
    if (index >= REGISTER_TMR && index < REGISTER_IRR)
        return read_bits(apic->tmr, index - REGISTER_TMR);
    if (index >= REGISTER_IRR && index < REGISTER_ESR)
        return read_bits(apic->irr, index - REGISTER_IRR);
    if (index >= REGISTER_LVT && index < REGISTER_LVT + LVT_COUNT)
        return apic->lvt[index - REGISTER_LVT];
    report_error(apic, ERROR_REGISTER);
    return 0;
}

static void set_priority(struct apic *apic, uint32_t value)
{
    apic->tpr = (uint8_t)value;
    if (apic->config.priority_written)
        apic->config.priority_written(apic->config.machine);
}

static void write_register(struct apic *apic, unsigned index, uint32_t value)
{
    switch (index) {
    case REGISTER_ID:
        apic->id = (uint8_t)(value >> 24);
        break;
    case REGISTER_TPR:
        set_priority(apic, value);
        break;
    case REGISTER_EOI:
        end_of_interrupt(apic);
        break;
    case REGISTER_LDR:
        apic->ldr = value & 0xff000000;
        break;
    case REGISTER_DFR:
        apic->dfr = value | 0x0fffffff;
        break;
    case REGISTER_SVR:
        set_spurious(apic, value);
        break;
    case REGISTER_ESR:
        apic->esr = apic->errors;
        apic->errors = 0;
        break;
    case REGISTER_ICR_LOW:
        apic->icr[0] = value & 0xccfff;
        send(apic);
        break;
    case REGISTER_ICR_HIGH:
        apic->icr[1] = value & 0xff000000;
        break;
    case REGISTER_INITIAL_COUNT:
        set_initial_count(apic, value);
        break;
    case REGISTER_DIVIDE:
        set_divide(apic, value);
        break;
    default:
        if (index >= REGISTER_LVT && index < REGISTER_LVT + LVT_COUNT)
            set_lvt(apic, index - REGISTER_LVT, value);
        else
            report_error(apic, ERROR_REGISTER);
        break;
    }
}

uint64_t apic_read(void *device, uint64_t address, unsigned size)
{
    unsigned offset = address & 15;
    uint64_t word = offset < 4 ? read_register(device, (unsigned)(address >> 4)) : 0;
    word >>= 8 * (offset & 3);
    return size == 8 ? word : word & ((1ull << (8 * size)) - 1);
}

void apic_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    if (size == 4 && (address & 15) == 0)
        write_register(device, (unsigned)(address >> 4), (uint32_t)value);
}

uint64_t apic_read_msr(struct apic *apic, unsigned index)
{
    if (index == REGISTER_ICR_LOW)
        return (uint64_t)apic->icr[1] << 32 | apic->icr[0];
    return read_register(apic, index);
}

/* A message to nobody but itself. */
static void send_to_self(struct apic *apic, uint8_t vector)
{
    const struct apic_message message = {.mode = APIC_FIXED, .vector = vector};
    if (vector < FIRST_VECTOR)
        report_error(apic, ERROR_SEND_VECTOR);
    else
        apic_bus_send(apic->config.bus, &message, apic, APIC_TO_SELF);
}

void apic_write_msr(struct apic *apic, unsigned index, uint64_t value)
{
    if (index == REGISTER_SELF_IPI) {
        send_to_self(apic, (uint8_t)value);
        return;
    }
    if (index == REGISTER_ICR_LOW)
        apic->icr[1] = (uint32_t)(value >> 32);
    write_register(apic, index, (uint32_t)value);
}

uint8_t apic_get_cr8(const struct apic *apic)
{
    return apic->tpr >> 4;
}

void apic_set_cr8(struct apic *apic, uint8_t cr8)
{
    if (cr8 != apic->tpr >> 4)
        apic->tpr = (uint8_t)(cr8 << 4);
}

/* ---- The device ----------------------------------------------------------------------------- */

/* As after power-on, and without what firmware does. */
static void clear(struct apic *apic)
{
    struct apic_config config = apic->config;
    struct timer timer = apic->timer;
    timer_cancel(config.clock, &apic->timer);
    timer.deadline = TIMER_IDLE;
    timer.next = NULL;
    *apic = (struct apic){
        .config = config, .timer = timer, .id = config.id, .dfr = UINT32_MAX, .svr = 0xff};
    for (unsigned i = 0; i < LVT_COUNT; i++)
        apic->lvt[i] = LVT_MASKED;
}

static void apic_reset(void *device)
{
    struct apic *apic = device;
    clear(apic);
    if (apic->config.id != 0)
        return;
    apic->svr |= SVR_ENABLED;
    apic->lvt[LVT_LINT0] = APIC_EXTERNAL << 8;
}

void apic_init(struct apic *apic)
{
    uint8_t id = apic->id;
    bool is_extended = apic->is_extended;
    clear(apic);
    apic->id = id;
    apic->is_extended = is_extended;
}

void apic_set_mode(struct apic *apic, bool is_present, bool is_extended)
{
    uint8_t priority = apic->tpr;
    if (is_present == apic->is_absent) {
        clear(apic);
        apic->tpr = priority;
        apic->is_absent = !is_present;
    }
    apic->is_extended = is_present && is_extended;
}

bool apic_is_present(const struct apic *apic)
{
    return !apic->is_absent;
}

struct apic *apic_create(const struct apic_config *config, struct error *error)
{
    struct apic *apic = calloc(1, sizeof *apic);
    if (!apic) {
        error_set(error, "apic: out of memory");
        return NULL;
    }
    apic->config = *config;
    timer_init(config->clock, &apic->timer, timer_ends, apic);
    apic_reset(apic);
    return apic;
}

void apic_destroy(struct apic *apic)
{
    if (!apic)
        return;
    timer_cancel(apic->config.clock, &apic->timer);
    free(apic);
}

static void apic_save(const void *device, struct buffer *out)
{
    const struct apic *apic = device;
    buffer_put_u8(out, apic->id);
    buffer_put_u8(out, apic->tpr);
    buffer_put_u8(out, apic->divide);
    const uint32_t words[] = {apic->ldr, apic->dfr, apic->svr, apic->icr[0], apic->icr[1],
        apic->errors, apic->esr, apic->initial, apic->count};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        buffer_put_u32(out, words[i]);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        buffer_put_u32(out, apic->lvt[i]);
    for (unsigned i = 0; i < 4; i++) {
        buffer_put_u64(out, apic->isr[i]);
        buffer_put_u64(out, apic->tmr[i]);
        buffer_put_u64(out, apic->irr[i]);
    }
    buffer_put_u64(out, apic->start);
    buffer_put_u64(out, apic->timer.deadline);
    if (apic->config.can_be_absent)
        buffer_put_u8(out, (uint8_t)(apic->is_absent | apic->is_extended << 1));
    if (apic->config.has_extensions)
        buffer_put_u64(out, apic->deadline);
}

static void apic_restore(void *device, struct reader *in)
{
    struct apic *apic = device, new = *apic;
    new.id = reader_get_u8(in);
    new.tpr = reader_get_u8(in);
    new.divide = reader_get_u8(in) & 0xb;
    uint32_t *words[] = {&new.ldr, &new.dfr, &new.svr, &new.icr[0], &new.icr[1], &new.errors,
        &new.esr, &new.initial, &new.count};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        *words[i] = reader_get_u32(in);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        new.lvt[i] = reader_get_u32(in) & lvt_mask[i];
    for (unsigned i = 0; i < 4; i++) {
        new.isr[i] = reader_get_u64(in);
        new.tmr[i] = reader_get_u64(in);
        new.irr[i] = reader_get_u64(in);
    }
    new.start = reader_get_u64(in);
    uint64_t deadline = reader_get_u64(in);
    uint8_t mode = apic->config.can_be_absent ? reader_get_u8(in) : 0;
    new.is_absent = mode & 1;
    new.is_extended = apic->config.has_extensions &&mode & 2;
    new.deadline = apic->config.has_extensions ? reader_get_u64(in) : 0;
    if (new.start > INT64_MAX)
        in->failed = true;
    if (in->failed)
        return;
    timer_cancel(apic->config.clock, &apic->timer);
    new.timer = apic->timer;
    *apic = new;
    if (deadline != TIMER_IDLE)
        timer_arm(apic->config.clock, &apic->timer, deadline);
}

static void describe_vectors(struct buffer *out, const char *name, const uint64_t bits[4])
{
    buffer_printf(out, "%s", name);
    for (unsigned i = 0; i < 256; i++) {
        if (get_bit(bits, (uint8_t)i))
            buffer_printf(out, " %#04x", i);
    }
    buffer_printf(out, "\n");
}

static void apic_describe(const void *device, struct buffer *out)
{
    static const char *const names[LVT_COUNT] = {
        "timer", "thermal", "performance", "lint0", "lint1", "error"};
    const struct apic *apic = device;
    buffer_printf(out, "%s",
        apic->is_absent     ? "switched off in APIC_BASE\n"
        : apic->is_extended ? "x2APIC mode\n"
                            : "");
    buffer_printf(
        out, "ID %u\nTPR %#04x\nPPR %#04x\n", apic->id, apic->tpr, processor_priority(apic));
    buffer_printf(out, "LDR %#010x\nDFR %#010x\nSVR %#05x\nESR %#04x\n", apic->ldr, apic->dfr,
        apic->svr, apic->esr);
    buffer_printf(out, "ICR %#010x:%#010x\n", apic->icr[1], apic->icr[0]);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        buffer_printf(out, "LVT-%s %#07x\n", names[i], apic->lvt[i]);
    describe_vectors(out, "ISR", apic->isr);
    describe_vectors(out, "TMR", apic->tmr);
    describe_vectors(out, "IRR", apic->irr);
    buffer_printf(out, "initial-count %u\ndivide %u\n", apic->initial, divisor(apic));
    if (apic->deadline)
        buffer_printf(out, "TSC-deadline %#llx\n", (unsigned long long)apic->deadline);
}

static void apic_free(void *device)
{
    apic_destroy(device);
}

struct device apic_device(struct apic *apic)
{
    static const struct device_ops ops = {
        .destroy = apic_free,
        .reset = apic_reset,
        .save = apic_save,
        .restore = apic_restore,
        .describe = apic_describe,
    };
    static const char *const names[APIC_BUS_MAX] = {"apic", "apic1", "apic2", "apic3", "apic4",
        "apic5", "apic6", "apic7", "apic8", "apic9", "apic10", "apic11", "apic12", "apic13",
        "apic14", "apic15"};
    return (struct device){
        .name = names[apic->config.id % APIC_BUS_MAX], .ops = &ops, .object = apic};
}
