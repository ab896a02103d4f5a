/* The two 8259A interrupt controllers. */
#include "devices/pic.h"

#include <stdlib.h>

enum {
    CASCADE_INPUT = 2,
    ICW1_SELECT = 0x10,
    ICW1_LTIM = 0x08,
    ICW1_SNGL = 0x02,
    ICW1_IC4 = 0x01,
    ICW4_SFNM = 0x10,
    ICW4_AEOI = 0x02,
    OCW3_SELECT = 0x08,
};

/* Which initialization word the data port expects; READY takes OCW1. */
enum init_step { UNINITIALIZED, WANT_ICW2, WANT_ICW3, WANT_ICW4, READY };

struct chip {
    uint8_t lines;  /* levels of the inputs, kept across initialization: others drive them */
    uint8_t edges;  /* edge sense latches, set by a rising line, cleared by acknowledge */
    uint8_t isr;    /* in-service register */
    uint8_t imr;    /* interrupt mask register */
    uint8_t elcr;   /* 1: level triggered */
    uint8_t icw[4]; /* as last written */
    uint8_t lowest; /* input of lowest priority */
    uint8_t step;   /* enum init_step */
    bool read_isr;  /* OCW3: reads of the command port give ISR rather than IRR */
    bool poll;      /* OCW3: the next read is a poll */
    bool special_mask;
    bool rotate_in_aeoi;
};

struct pic {
    struct pic_config config;
    struct chip master, slave;
    bool output;
};

static uint8_t level_inputs(const struct chip *chip)
{
    return chip->icw[0] & ICW1_LTIM ? 0xff : chip->elcr;
}

static uint8_t chip_irr(const struct chip *chip)
{
    const uint8_t level = level_inputs(chip);
    return (uint8_t)((chip->lines & level) | (chip->edges & ~level));
}

/* 0 is the highest priority. */
static unsigned priority_of(const struct chip *chip, unsigned input)
{
    return (input - chip->lowest - 1) & 7;
}

/* The input of highest priority among `inputs`, or -1 when there is none. */
static int highest(const struct chip *chip, uint8_t inputs)
{
    for (unsigned i = 1; i <= 8; i++) {
        unsigned input = (chip->lowest + i) & 7;
        if (inputs & 1u << input)
            return (int)input;
    }
    return -1;
}

/* The input that the chip would have acknowledged now, or -1. `cascade`: inputs with a slave. */
static int chip_request(const struct chip *chip, uint8_t cascade)
{
    if (chip->step != READY)
        return -1;
    int request = highest(chip, chip_irr(chip) & ~chip->imr);
    int service = highest(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
    if (request < 0 || service < 0)
        return request;
    /* Special fully nested: a slave in service may interrupt again, for its own priorities. */
    if (request == service && (chip->icw[3] & ICW4_SFNM) && (cascade & 1u << request))
        return request;
    unsigned wanted = priority_of(chip, (unsigned)request);
    return wanted < priority_of(chip, (unsigned)service) ? request : -1;
}

static uint8_t cascade_inputs(const struct chip *master)
{
    return master->icw[0] & ICW1_SNGL ? 0 : master->icw[2];
}

static void set_input(struct chip *chip, unsigned input, bool level)
{
    uint8_t bit = (uint8_t)(1u << input);
    if (!level) {
        chip->lines &= ~bit;
    } else if (!(chip->lines & bit)) {
        chip->lines |= bit;
        chip->edges |= bit;
    }
}

/* Carries the slave's INT to the master, and the master's to the processor. */
static void update(struct pic *pic)
{
    uint8_t bit = 1u << CASCADE_INPUT;
    if (chip_request(&pic->slave, 0) >= 0) {
        pic->master.lines |= bit;
        pic->master.edges |= bit;
    } else {
        pic->master.lines &= ~bit;
        pic->master.edges &= ~bit;
    }
    bool output = chip_request(&pic->master, cascade_inputs(&pic->master)) >= 0;
    if (output == pic->output)
        return;
    pic->output = output;
    if (pic->config.output_changed)
        pic->config.output_changed(pic->config.machine, output);
}

void pic_set_line(void *controller, unsigned input, bool level)
{
    struct pic *pic = controller;
    if (input == CASCADE_INPUT || input >= PIC_INPUTS)
        return;
    set_input(input < 8 ? &pic->master : &pic->slave, input & 7, level);
    update(pic);
}

struct irq_line pic_line(struct pic *pic, unsigned input)
{
    return (struct irq_line){.set = pic_set_line, .controller = pic, .input = input};
}

bool pic_output(const struct pic *pic)
{
    return pic->output;
}

/* ---- Acknowledge, end of interrupt ---------------------------------------------------------- */

static void end_interrupt(struct chip *chip, unsigned input, bool rotate)
{
    chip->isr &= (uint8_t) ~(1u << input);
    if (rotate)
        chip->lowest = (uint8_t)input;
}

/* Puts the highest request in service and returns its input; -1 when no request stands. */
static int serve(struct chip *chip, uint8_t cascade)
{
    int input = chip_request(chip, cascade);
    if (input < 0)
        return -1;
    chip->edges &= (uint8_t) ~(1u << input);
    chip->isr |= (uint8_t)(1u << input);
    return input;
}

static void automatic_eoi(struct chip *chip, int input)
{
    if (input >= 0 && (chip->icw[3] & ICW4_AEOI))
        end_interrupt(chip, (unsigned)input, chip->rotate_in_aeoi);
}

static uint8_t vector_of(const struct chip *chip, int input)
{
    return (uint8_t)((chip->icw[1] & 0xf8) | (input < 0 ? 7 : input));
}

uint8_t pic_acknowledge(struct pic *pic)
{
    uint8_t cascade = cascade_inputs(&pic->master);
    int input = serve(&pic->master, cascade);
    uint8_t vector = vector_of(&pic->master, input);
    if (input >= 0 && (cascade & 1u << input)) {
        bool answers = input == CASCADE_INPUT && (pic->slave.icw[2] & 7) == CASCADE_INPUT &&
                       !(pic->slave.icw[0] & ICW1_SNGL);
        vector = 0xff;
        if (answers) {
            int slave_input = serve(&pic->slave, 0);
            vector = vector_of(&pic->slave, slave_input);
            automatic_eoi(&pic->slave, slave_input);
        }
    }
    automatic_eoi(&pic->master, input);
    update(pic);
    return vector;
}

/* ---- Registers ------------------------------------------------------------------------------ */

static void write_icw1(struct chip *chip, uint8_t value)
{
    chip->icw[0] = value;
    chip->icw[3] = 0;
    chip->edges = 0;
    chip->isr = 0;
    chip->imr = 0;
    chip->lowest = 7;
    chip->read_isr = false;
    chip->poll = false;
    chip->special_mask = false;
    chip->rotate_in_aeoi = false;
    chip->step = WANT_ICW2;
}

static void write_ocw2(struct chip *chip, uint8_t value)
{
    unsigned level = value & 7;
    bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
    if (eoi && specific) {
        end_interrupt(chip, level, rotate);
    } else if (eoi) {
        int input = highest(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
        if (input >= 0)
            end_interrupt(chip, (unsigned)input, rotate);
    } else if (specific) {
        if (rotate)
            chip->lowest = (uint8_t)level;
    } else {
        chip->rotate_in_aeoi = rotate;
    }
}

static void write_ocw3(struct chip *chip, uint8_t value)
{
    if (value & 0x40)
        chip->special_mask = value & 0x20;
    if (value & 0x02)
        chip->read_isr = value & 0x01;
    chip->poll = value & 0x04;
}

static void write_data(struct chip *chip, uint8_t value)
{
    switch (chip->step) {
    case WANT_ICW2:
        chip->icw[1] = value;
        chip->step =
            chip->icw[0] & ICW1_SNGL ? chip->icw[0] & ICW1_IC4 ? WANT_ICW4 : READY : WANT_ICW3;
        break;
    case WANT_ICW3:
        chip->icw[2] = value;
        chip->step = chip->icw[0] & ICW1_IC4 ? WANT_ICW4 : READY;
        break;
    case WANT_ICW4:
        chip->icw[3] = value;
        chip->step = READY;
        break;
    default:
        chip->imr = value;
    }
}

static void chip_write(struct pic *pic, struct chip *chip, uint64_t address, uint8_t value)
{
    if (address & 1)
        write_data(chip, value);
    else if (value & ICW1_SELECT)
        write_icw1(chip, value);
    else if (value & OCW3_SELECT)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    update(pic);
}

/* A poll read is an acknowledge cycle of this chip alone: bit 7 says whether there was a request.
 */
static uint8_t poll(struct pic *pic, struct chip *chip)
{
    chip->poll = false;
    int input = serve(chip, chip == &pic->master ? cascade_inputs(chip) : 0);
    automatic_eoi(chip, input);
    update(pic);
    return input < 0 ? 7 : (uint8_t)(0x80 | input);
}

static uint8_t chip_read(struct pic *pic, struct chip *chip, uint64_t address)
{
    if (chip->poll)
        return poll(pic, chip);
    if (address & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip_irr(chip);
}

static uint64_t master_read(void *device, uint64_t address, unsigned size)
{
    struct pic *pic = device;
    if (size > 1)
        return bus_read_bytes(master_read, device, address, size);
    return chip_read(pic, &pic->master, address);
}

static void master_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct pic *pic = device;
    if (size > 1)
        bus_write_bytes(master_write, device, address, size, value);
    else
        chip_write(pic, &pic->master, address, (uint8_t)value);
}

static uint64_t slave_read(void *device, uint64_t address, unsigned size)
{
    struct pic *pic = device;
    if (size > 1)
        return bus_read_bytes(slave_read, device, address, size);
    return chip_read(pic, &pic->slave, address);
}

static void slave_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct pic *pic = device;
    if (size > 1)
        bus_write_bytes(slave_write, device, address, size, value);
    else
        chip_write(pic, &pic->slave, address, (uint8_t)value);
}

static uint64_t elcr_read(void *device, uint64_t address, unsigned size)
{
    struct pic *pic = device;
    if (size > 1)
        return bus_read_bytes(elcr_read, device, address, size);
    return address ? pic->slave.elcr : pic->master.elcr;
}

/* Inputs 0, 1, 2, 8 and 13 belong to the board and stay edge triggered. */
enum { MASTER_ELCR_BITS = 0xf8, SLAVE_ELCR_BITS = 0xde };

static void elcr_write(void *device, uint64_t address, unsigned size, uint64_t value)
{
    struct pic *pic = device;
    if (size > 1) {
        bus_write_bytes(elcr_write, device, address, size, value);
        return;
    }
    if (address)
        pic->slave.elcr = value & SLAVE_ELCR_BITS;
    else
        pic->master.elcr = value & MASTER_ELCR_BITS;
    update(pic);
}

/* ---- The device ----------------------------------------------------------------------------- */

static void chip_power_on(struct chip *chip)
{
    *chip = (struct chip){.lines = chip->lines, .lowest = 7};
}

static void pic_reset(void *device)
{
    struct pic *pic = device;
    chip_power_on(&pic->master);
    chip_power_on(&pic->slave);
    update(pic);
}

static void save_chip(const struct chip *chip, struct buffer *out)
{
    buffer_put_u8(out, chip->lines);
    buffer_put_u8(out, chip->edges);
    buffer_put_u8(out, chip->isr);
    buffer_put_u8(out, chip->imr);
    buffer_put_u8(out, chip->elcr);
    buffer_put(out, chip->icw, sizeof chip->icw);
    buffer_put_u8(out, chip->lowest);
    buffer_put_u8(out, chip->step);
    buffer_put_u8(out, (uint8_t)(chip->read_isr | chip->poll << 1 | chip->special_mask << 2 |
                                 chip->rotate_in_aeoi << 3));
}

static void restore_chip(struct chip *chip, struct reader *in, uint8_t elcr_bits)
{
    chip->lines = reader_get_u8(in);
    chip->edges = reader_get_u8(in);
    chip->isr = reader_get_u8(in);
    chip->imr = reader_get_u8(in);
    chip->elcr = reader_get_u8(in);
    reader_get(in, chip->icw, sizeof chip->icw);
    chip->lowest = reader_get_u8(in);
    chip->step = reader_get_u8(in);
    uint8_t flags = reader_get_u8(in);
    if (chip->lowest > 7 || chip->step > READY || flags > 15 || (chip->elcr & ~elcr_bits))
        in->failed = true;
    chip->read_isr = flags & 1;
    chip->poll = flags & 2;
    chip->special_mask = flags & 4;
    chip->rotate_in_aeoi = flags & 8;
}

static void pic_save(const void *device, struct buffer *out)
{
    const struct pic *pic = device;
    save_chip(&pic->master, out);
    save_chip(&pic->slave, out);
}

static void pic_restore(void *device, struct reader *in)
{
    struct pic *pic = device;
    struct chip master, slave;
    restore_chip(&master, in, MASTER_ELCR_BITS);
    restore_chip(&slave, in, SLAVE_ELCR_BITS);
    if (in->failed)
        return;
    pic->master = master;
    pic->slave = slave;
    update(pic);
}

static void describe_chip(const struct chip *chip, const char *name, struct buffer *out)
{
    buffer_printf(out, "%s.irr %#04x\n%s.isr %#04x\n%s.imr %#04x\n%s.lines %#04x\n", name,
        chip_irr(chip), name, chip->isr, name, chip->imr, name, chip->lines);
    buffer_printf(out,
        "%s.icw1 %#04x\n%s.icw2 %#04x\n%s.icw3 %#04x\n%s.icw4 %#04x\n%s.elcr %#04x\n"
        "%s.lowest %u\n%s.initialized %d\n",
        name, chip->icw[0], name, chip->icw[1], name, chip->icw[2], name, chip->icw[3], name,
        chip->elcr, name, chip->lowest, name, chip->step == READY);
}

static void pic_describe(const void *device, struct buffer *out)
{
    const struct pic *pic = device;
    describe_chip(&pic->master, "master", out);
    describe_chip(&pic->slave, "slave", out);
    buffer_printf(out, "intr %d\n", pic->output);
}

struct pic *pic_create(const struct pic_config *config, struct error *error)
{
    struct pic *pic = calloc(1, sizeof *pic);
    if (!pic) {
        error_set(error, "pic: out of memory");
        return NULL;
    }
    pic->config = *config;
    chip_power_on(&pic->master);
    chip_power_on(&pic->slave);
    return pic;
}

void pic_destroy(struct pic *pic)
{
    free(pic);
}

int pic_attach(struct pic *pic, struct bus *ports, struct error *error)
{
    const struct bus_range ranges[] = {
        {PIC_MASTER_PORT, 2, "pic-master", pic, master_read, master_write},
        {PIC_SLAVE_PORT, 2, "pic-slave", pic, slave_read, slave_write},
        {PIC_ELCR_PORT, 2, "pic-elcr", pic, elcr_read, elcr_write},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (bus_register(ports, &ranges[i], error))
            return -1;
    }
    return 0;
}

static void pic_free(void *device)
{
    pic_destroy(device);
}

struct device pic_device(struct pic *pic)
{
    static const struct device_ops ops = {
        .destroy = pic_free,
        .reset = pic_reset,
        .save = pic_save,
        .restore = pic_restore,
        .describe = pic_describe,
    };
    return (struct device){.name = "pic", .ops = &ops, .object = pic};
}

static int create(const struct device_wiring *wiring, struct device *device, struct error *error)
{
    const struct pic_config config = {0};
    struct pic *pic = pic_create(&config, error);
    if (!pic)
        return -1;
    *device = pic_device(pic);
    return device_attached(device, pic_attach(pic, wiring->ports, error));
}

const struct device_class pic_class = {.create = create};
