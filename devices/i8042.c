/* The i8042 keyboard controller and its keyboard. */
#include "devices/i8042.h"

#include <stdlib.h>
#include <string.h>

enum {
    STATUS_OBF = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08, /* the last write was to the command port */
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
    STATUS_TIMEOUT = 0x40,
};
enum { BYTE_INTERRUPT = 1, BYTE_SYSTEM = 4, BYTE_DISABLE = 0x10, BYTE_TRANSLATE = 0x40 };
enum { OUT_NOT_RESET = 1, OUT_A20 = 2, OUT_KEYBOARD_FULL = 0x10, OUT_AUX_FULL = 0x20 };
enum { POWER_ON_BYTE = 0x65, POWER_ON_OUT = 0xcf, OUT_KEPT = 0xcf };
enum { INPUT_PORT = 0xa0, RAM_SIZE = 32 };
enum { KEY_BUFFER = 16, QUEUE_SIZE = 24, ACK = 0xfa, RESEND = 0xfe, BREAK_PREFIX = 0xf0 };

/* What the guest's next write to the data port is for. */
enum data_use {
    FOR_KEYBOARD,
    FOR_RAM, /* 0 to 31 follow */
    FOR_OUTPUT_PORT = FOR_RAM + RAM_SIZE,
    FOR_KEYBOARD_BUFFER,
    FOR_AUX_BUFFER,
    FOR_AUX,
    DATA_USES,
};

struct i8042 {
    struct i8042_config config;
    /* Controller. ram[0] is the command byte. */
    uint8_t ram[RAM_SIZE];
    uint8_t output_port;         /* without the buffer-full bits */
    uint8_t data;                /* the output buffer */
    uint8_t data_status;         /* STATUS_OBF, _AUX and _TIMEOUT that go with it */
    uint8_t reply, reply_status; /* an answer that waits for the output buffer; status 0 = none */
    uint8_t data_use;            /* enum data_use */
    bool wrote_command;
    bool self_tested;
    bool break_seen; /* translation: the last byte was the break prefix */
    /* Keyboard */
    uint8_t queue[QUEUE_SIZE]; /* oldest first, zeros after `count` */
    uint8_t count;
    uint8_t command; /* one that waits for its parameter, or 0 */
    uint8_t last;    /* the last byte sent, for the resend command */
    uint8_t leds, scan_set, typematic;
    bool scanning;
};

/* Set 2 to set 1, as the controller's firmware has it (IBM, "Keyboard Controller" table). */
static const uint8_t translation[0x85] = {0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64,
    0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66,
    0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68,
    0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a,
    0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c,
    0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a,
    0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
    0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57,
    0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54};

static uint8_t translate(uint8_t code)
{
    return code < sizeof translation ? translation[code] : code;
}

/* ---- From the keyboard to the output buffer ------------------------------------------------- */

static void fill(struct i8042 *i8042, uint8_t byte, uint8_t status)
{
    i8042->data = byte;
    i8042->data_status = status;
}

static uint8_t take_queue(struct i8042 *i8042)
{
    uint8_t byte = i8042->queue[0];
    i8042->count--;
    memmove(i8042->queue, i8042->queue + 1, QUEUE_SIZE - 1);
    i8042->queue[QUEUE_SIZE - 1] = 0;
    i8042->last = byte;
    return byte;
}

/* Moves what waits into an empty output buffer, and drives the interrupt line. */
static void update(struct i8042 *i8042)
{
    if (!i8042->data_status && i8042->reply_status) {
        fill(i8042, i8042->reply, i8042->reply_status);
        i8042->reply = i8042->reply_status = 0;
    }
    bool translates = i8042->ram[0] & BYTE_TRANSLATE;
    while (!i8042->data_status && i8042->count > 0 && !(i8042->ram[0] & BYTE_DISABLE)) {
        uint8_t byte = take_queue(i8042);
        if (translates && byte == BREAK_PREFIX) {
            i8042->break_seen = true;
            continue;
        }
        if (translates) {
            byte = (uint8_t)(translate(byte) | (i8042->break_seen ? 0x80 : 0));
            i8042->break_seen = false;
        }
        fill(i8042, byte, STATUS_OBF);
    }
    bool keyboard_full = i8042->data_status && !(i8042->data_status & STATUS_AUX);
    irq_set(&i8042->config.irq, keyboard_full && (i8042->ram[0] & BYTE_INTERRUPT));
}

static void answer(struct i8042 *i8042, uint8_t byte, uint8_t status)
{
    i8042->reply = byte;
    i8042->reply_status = status;
}

/* ---- The keyboard --------------------------------------------------------------------------- */

static void send(struct i8042 *i8042, uint8_t byte)
{
    if (i8042->count < QUEUE_SIZE)
        i8042->queue[i8042->count++] = byte;
}

static void clear_queue(struct i8042 *i8042)
{
    memset(i8042->queue, 0, sizeof i8042->queue);
    i8042->count = 0;
}

/* A key's bytes go in whole or not at all: half a sequence would be another key. */
static void send_key(struct i8042 *i8042, const uint8_t *bytes, unsigned count)
{
    if (i8042->count + count <= KEY_BUFFER) {
        for (unsigned i = 0; i < count; i++)
            send(i8042, bytes[i]);
    } else {
        uint8_t overrun = i8042->scan_set == 1 ? 0xff : 0x00;
        if (i8042->count == 0 || i8042->queue[i8042->count - 1] != overrun)
            send(i8042, overrun);
    }
}

static unsigned put_code(
    const struct i8042 *i8042, uint8_t *bytes, bool extended, uint8_t code, bool make)
{
    unsigned count = 0;
    if (extended)
        bytes[count++] = 0xe0;
    if (i8042->scan_set == 1) {
        bytes[count++] = (uint8_t)(translate(code) | (make ? 0 : 0x80));
        return count;
    }
    if (!make)
        bytes[count++] = BREAK_PREFIX;
    bytes[count++] = code;
    return count;
}

void i8042_key(struct i8042 *i8042, uint16_t key, bool make)
{
    static const uint8_t pause1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const uint8_t pause2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    if (!i8042->scanning)
        return;
    uint8_t bytes[8];
    unsigned count = 0;
    if (key == I8042_PAUSE) {
        if (!make)
            return; /* all of it goes out on make */
        if (i8042->scan_set == 1)
            send_key(i8042, pause1, sizeof pause1);
        else
            send_key(i8042, pause2, sizeof pause2);
    } else if (key == I8042_PRINT_SCREEN) {
        /* Make and break come with a faked left shift, in opposite order. */
        count = put_code(i8042, bytes, true, make ? 0x12 : 0x7c, make);
        count += put_code(i8042, bytes + count, true, make ? 0x7c : 0x12, make);
        send_key(i8042, bytes, count);
    } else {
        bool extended = (key & 0xff00) == I8042_EXTENDED;
        count = put_code(i8042, bytes, extended, (uint8_t)key, make);
        send_key(i8042, bytes, count);
    }
    update(i8042);
}

static void keyboard_defaults(struct i8042 *i8042)
{
    i8042->typematic = 0x2b; /* 10.9 per second after 500 ms */
    i8042->scan_set = 2;
    clear_queue(i8042);
}

static void keyboard_command(struct i8042 *i8042, uint8_t value)
{
    switch (value) {
    case 0xed: /* indicators */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate */
        i8042->command = value;
        send(i8042, ACK);
        break;
    case 0xee: /* echo */
        send(i8042, 0xee);
        break;
    case 0xf2: /* identify */
        send(i8042, ACK);
        send(i8042, 0xab);
        send(i8042, 0x83);
        break;
    case 0xf4: /* enable */
        clear_queue(i8042);
        i8042->scanning = true;
        send(i8042, ACK);
        break;
    case 0xf5: /* defaults, disable */
    case 0xf6: /* defaults */
        keyboard_defaults(i8042);
        if (value == 0xf5)
            i8042->scanning = false;
        send(i8042, ACK);
        break;
    case 0xf7 ... 0xfa: /* key types, of scan code set 3 only: accepted without effect */
        send(i8042, ACK);
        break;
    case 0xfe:
        send(i8042, i8042->last);
        break;
    case 0xff: /* reset and basic assurance test */
        keyboard_defaults(i8042);
        i8042->leds = 0;
        i8042->scanning = true;
        send(i8042, ACK);
        send(i8042, 0xaa);
        break;
    default:
        send(i8042, RESEND);
    }
}

static void keyboard_parameter(struct i8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->command;
    i8042->command = 0;
    if (command == 0xf0 && value == 0) {
        send(i8042, ACK);
        send(i8042, i8042->scan_set);
    } else if (command == 0xf0 && value > 2) {
        send(i8042, RESEND);
    } else {
        send(i8042, ACK);
        if (command == 0xed)
            i8042->leds = value & 7;
        else if (command == 0xf0)
            i8042->scan_set = value;
        else
            i8042->typematic = value & 0x7f;
    }
}

static void to_keyboard(struct i8042 *i8042, uint8_t value)
{
    i8042->ram[0] &= (uint8_t)~BYTE_DISABLE; /* sending opens the interface */
    /* A command in place of a parameter ends the command before it. */
    if (i8042->command && value < 0xed) {
        keyboard_parameter(i8042, value);
    } else {
        i8042->command = 0;
        keyboard_command(i8042, value);
    }
}

/* ---- The controller ------------------------------------------------------------------------- */

static void request_reset(struct i8042 *i8042)
{
    if (i8042->config.reset_request)
        i8042->config.reset_request(i8042->config.machine);
}

static void set_output_port(struct i8042 *i8042, uint8_t value)
{
    uint8_t changed = i8042->output_port ^ value;
    i8042->output_port = value & OUT_KEPT;
    if ((changed & OUT_A20) && i8042->config.a20)
        i8042->config.a20(i8042->config.machine, value & OUT_A20);
}

static uint8_t read_output_port(const struct i8042 *i8042)
{
    uint8_t full = 0;
    if (i8042->data_status)
        full = i8042->data_status & STATUS_AUX ? OUT_AUX_FULL : OUT_KEYBOARD_FULL;
    return i8042->output_port | full;
}

static void controller_command(struct i8042 *i8042, uint8_t value)
{
    i8042->data_use = FOR_KEYBOARD;
    switch (value) {
    case 0x20 ... 0x3f:
        answer(i8042, i8042->ram[value & 31], STATUS_OBF);
        break;
    case 0x60 ... 0x7f:
        i8042->data_use = (uint8_t)(FOR_RAM + (value & 31));
        break;
    case 0xa7: /* auxiliary interface off, on */
        i8042->ram[0] |= 0x20;
        break;
    case 0xa8:
        i8042->ram[0] &= (uint8_t)~0x20;
        break;
    case 0xa9: /* auxiliary interface test: clock line stuck high */
        answer(i8042, 0x02, STATUS_OBF);
        break;
    case 0xaa: /* self-test */
        i8042->self_tested = true;
        answer(i8042, 0x55, STATUS_OBF);
        break;
    case 0xab: /* keyboard interface test */
        answer(i8042, 0x00, STATUS_OBF);
        break;
    case 0xad:
        i8042->ram[0] |= BYTE_DISABLE;
        break;
    case 0xae:
        i8042->ram[0] &= (uint8_t)~BYTE_DISABLE;
        break;
    case 0xc0:
        answer(i8042, INPUT_PORT, STATUS_OBF);
        break;
    case 0xd0:
        answer(i8042, read_output_port(i8042), STATUS_OBF);
        break;
    case 0xd1:
        i8042->data_use = FOR_OUTPUT_PORT;
        break;
    case 0xd2:
        i8042->data_use = FOR_KEYBOARD_BUFFER;
        break;
    case 0xd3:
        i8042->data_use = FOR_AUX_BUFFER;
        break;
    case 0xd4:
        i8042->data_use = FOR_AUX;
        break;
    case 0xe0: /* test inputs: keyboard clock high unless disabled, data high */
        answer(i8042, i8042->ram[0] & BYTE_DISABLE ? 0x02 : 0x03, STATUS_OBF);
        break;
    case 0xf0 ... 0xff: /* pulses the output port bits that are 0 here */
        if (!(value & OUT_NOT_RESET))
            request_reset(i8042);
        break;
    default:
        break; /* the firmware ignores what it does not know */
    }
}

static void write_data(struct i8042 *i8042, uint8_t value)
{
    unsigned use = i8042->data_use;
    i8042->data_use = FOR_KEYBOARD;
    switch (use) {
    case FOR_KEYBOARD:
        to_keyboard(i8042, value);
        break;
    case FOR_OUTPUT_PORT:
        set_output_port(i8042, value | OUT_NOT_RESET);
        if (!(value & OUT_NOT_RESET))
            request_reset(i8042);
        break;
    case FOR_KEYBOARD_BUFFER:
    case FOR_AUX_BUFFER:
        answer(i8042, value, STATUS_OBF);
        break;
    case FOR_AUX:
        answer(i8042, 0xfe, STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT);
        break;
    default:
        i8042->ram[use - FOR_RAM] = value;
    }
}

static uint8_t read_status(const struct i8042 *i8042)
{
    bool system = (i8042->ram[0] & BYTE_SYSTEM) || i8042->self_tested;
    return (uint8_t)(i8042->data_status | (system ? STATUS_SYSTEM : 0) |
                     (i8042->wrote_command ? STATUS_COMMAND : 0) | STATUS_UNLOCKED);
}

static uint8_t read_data(struct i8042 *i8042)
{
    uint8_t byte = i8042->data;
    if (i8042->data_status) {
        i8042->data_status = 0;
        irq_set(&i8042->config.irq, false);
        update(i8042);
    }
    return byte;
}

static uint64_t data_read(void *device, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    return read_data(device);
}

static void data_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct i8042 *i8042 = device;
    i8042->wrote_command = false;
    write_data(i8042, (uint8_t)value);
    update(i8042);
}

static uint64_t command_read(void *device, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    return read_status(device);
}

static void command_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    (void)address, (void)size;
    struct i8042 *i8042 = device;
    i8042->wrote_command = true;
    controller_command(i8042, (uint8_t)value);
    update(i8042);
}

bool i8042_a20(const struct i8042 *i8042)
{
    return i8042->output_port & OUT_A20;
}

uint8_t i8042_leds(const struct i8042 *i8042)
{
    return i8042->leds;
}

/* ---- The device ----------------------------------------------------------------------------- */

static void i8042_reset(void *device)
{
    struct i8042 *i8042 = device;
    uint8_t output_port = i8042->output_port;
    *i8042 = (struct i8042){
        .config = i8042->config, .output_port = output_port, .scanning = true, .self_tested = true};
    i8042->ram[0] = POWER_ON_BYTE;
    keyboard_defaults(i8042);
    set_output_port(i8042, POWER_ON_OUT);
    update(i8042);
}

static void i8042_save(const void *device, struct buffer *out)
{
    const struct i8042 *i8042 = device;
    buffer_put(out, i8042->ram, sizeof i8042->ram);
    const uint8_t bytes[] = {i8042->output_port, i8042->data, i8042->data_status, i8042->reply,
        i8042->reply_status, i8042->data_use, i8042->count, i8042->command, i8042->last,
        i8042->leds, i8042->scan_set, i8042->typematic,
        (uint8_t)(i8042->wrote_command | i8042->self_tested << 1 | i8042->break_seen << 2 |
                  i8042->scanning << 3)};
    buffer_put(out, bytes, sizeof bytes);
    buffer_put(out, i8042->queue, sizeof i8042->queue);
}

static bool status_valid(uint8_t status)
{
    return status == 0 ||
           ((status & STATUS_OBF) && !(status & ~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT)));
}

static bool state_valid(const struct i8042 *i8042)
{
    for (unsigned i = i8042->count; i < QUEUE_SIZE; i++) {
        if (i8042->queue[i])
            return false;
    }
    return i8042->count <= QUEUE_SIZE && i8042->data_use < DATA_USES &&
           status_valid(i8042->data_status) && status_valid(i8042->reply_status) &&
           !(i8042->output_port & ~OUT_KEPT) && i8042->leds <= 7 && i8042->typematic <= 0x7f &&
           (i8042->scan_set == 1 || i8042->scan_set == 2);
}

static void i8042_restore(void *device, struct reader *in)
{
    struct i8042 *i8042 = device;
    struct i8042 next = {.config = i8042->config};
    reader_get(in, next.ram, sizeof next.ram);
    uint8_t *const bytes[] = {&next.output_port, &next.data, &next.data_status, &next.reply,
        &next.reply_status, &next.data_use, &next.count, &next.command, &next.last, &next.leds,
        &next.scan_set, &next.typematic};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
        *bytes[i] = reader_get_u8(in);
    uint8_t flags = reader_get_u8(in);
    next.wrote_command = flags & 1;
    next.self_tested = flags & 2;
    next.break_seen = flags & 4;
    next.scanning = flags & 8;
    reader_get(in, next.queue, sizeof next.queue);
    if (flags > 15 || !state_valid(&next))
        in->failed = true;
    if (in->failed)
        return;
    uint8_t output_port = next.output_port;
    next.output_port = i8042->output_port;
    *i8042 = next;
    set_output_port(i8042, output_port);
}

static void i8042_describe(const void *device, struct buffer *out)
{
    const struct i8042 *i8042 = device;
    buffer_printf(out, "status %#04x\ncommand_byte %#04x\noutput_port %#04x\ndata %#04x\n",
        read_status(i8042), i8042->ram[0], read_output_port(i8042), i8042->data);
    buffer_printf(out,
        "keyboard.waiting %u\nkeyboard.scanning %d\nkeyboard.set %u\n"
        "keyboard.leds %u\n",
        i8042->count, i8042->scanning, i8042->scan_set, i8042->leds);
}

struct i8042 *i8042_create(const struct i8042_config *config, struct error *error)
{
    struct i8042 *i8042 = calloc(1, sizeof *i8042);
    if (!i8042) {
        error_set(error, "i8042: out of memory");
        return NULL;
    }
    i8042->config = *config;
    i8042->output_port = POWER_ON_OUT;
    i8042_reset(i8042);
    return i8042;
}

void i8042_destroy(struct i8042 *i8042)
{
    free(i8042);
}

int i8042_attach(struct i8042 *i8042, struct bus *ports, struct error *error)
{
    const struct bus_range data = {I8042_DATA_PORT, 1, "i8042-data", i8042, data_read, data_write};
    const struct bus_range command = {
        I8042_COMMAND_PORT, 1, "i8042", i8042, command_read, command_write};
    if (bus_register(ports, &data, error))
        return -1;
    return bus_register(ports, &command, error);
}

static void i8042_free(void *device)
{
    i8042_destroy(device);
}

struct device i8042_device(struct i8042 *i8042)
{
    static const struct device_ops ops = {
        .destroy = i8042_free,
        .reset = i8042_reset,
        .save = i8042_save,
        .restore = i8042_restore,
        .describe = i8042_describe,
    };
    return (struct device){.name = "i8042", .ops = &ops, .object = i8042};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct i8042_config config = {
        .irq = wiring->isa[1],
        .reset_request = wiring->reset,
        .machine = wiring->machine,
    };
    struct i8042 *i8042 = i8042_create(&config, error);
    if (!i8042)
        return -1;
    *device = i8042_device(i8042);
    return device_attached(device, i8042_attach(i8042, wiring->ports, error));
}

const struct device_class i8042_class = {.create = create};
