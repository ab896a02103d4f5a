/* Writes what a BIOS leaves in the first mebibyte. */
#include "vmm/boot/bios.h"

#include <string.h>

/* Offsets in the BDA (Phoenix, "System BIOS for IBM PCs, Compatibles", appendix). */
enum {
    BDA_COM1 = 0x00,
    BDA_EBDA_SEGMENT = 0x0e,
    BDA_EQUIPMENT = 0x10,
    BDA_MEMORY_KIB = 0x13,
    BDA_KEYBOARD_HEAD = 0x1a,
    BDA_KEYBOARD_TAIL = 0x1c,
    BDA_TICKS = 0x6c,
    BDA_SERIAL_TIMEOUT = 0x7c,
    BDA_KEYBOARD_START = 0x80,
    BDA_KEYBOARD_END = 0x82,
    BDA_KEYBOARD_MODE = 0x96,
    BDA_SIZE = 0x100,
    EQUIPMENT_FPU = 1 << 1,
    EQUIPMENT_ONE_SERIAL = 1 << 9,
    KEYBOARD_BUFFER = 0x1e,
    KEYBOARD_BUFFER_END = 0x3e,
    KEYBOARD_101_KEYS = 0x10,
};

enum { VECTORS = 256, ROM_SEGMENT = 0xf000, ROM_SIZE = 0x10000, MODEL_AT = 0xfc };

/* PUSH BP; MOV BP, SP; OR BYTE [BP+6], 1; POP BP; MOV AH, 86h; IRET */
static const uint8_t unsupported[] = {
    0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, 0xb4, 0x86, 0xcf};
/* PUSH AX; MOV AL, 20h; OUT 20h, AL; POP AX; IRET */
static const uint8_t acknowledge[] = {0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf};
/* ... with OUT A0h, AL before it */
static const uint8_t acknowledge_slave[] = {0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf};
/* MOV AL, FEh; OUT 64h, AL; HLT; JMP $-1: the keyboard controller pulls the reset line */
static const uint8_t reset[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};

enum {
    CODE_OFFSET = (int)(BIOS_CODE - BIOS_ROM),
    UNSUPPORTED = CODE_OFFSET,
    ACKNOWLEDGE = CODE_OFFSET + 0x10,
    ACKNOWLEDGE_SLAVE = CODE_OFFSET + 0x20,
    RESET = CODE_OFFSET + 0x30,
    ENTRY = 0xfff0,
    DATE = 0xfff5,
    MODEL = 0xfffe,
};

static void put(uint8_t *area, size_t offset, unsigned size, uint64_t value)
{
    memcpy(area + offset, &value, size);
}

static void write_code(struct memory *memory)
{
    static const uint8_t jump[] = {
        0xea, RESET & 0xff, RESET >> 8, ROM_SEGMENT & 0xff, ROM_SEGMENT >> 8};
    static const uint8_t model = MODEL_AT;
    memory_write(memory, BIOS_ROM + UNSUPPORTED, unsupported, sizeof unsupported);
    memory_write(memory, BIOS_ROM + ACKNOWLEDGE, acknowledge, sizeof acknowledge);
    memory_write(memory, BIOS_ROM + ACKNOWLEDGE_SLAVE, acknowledge_slave, sizeof acknowledge_slave);
    memory_write(memory, BIOS_ROM + RESET, reset, sizeof reset);
    memory_write(memory, BIOS_ROM + ENTRY, jump, sizeof jump);
    memory_write(memory, BIOS_ROM + DATE, "01/01/26", 8);
    memory_write(memory, BIOS_ROM + MODEL, &model, sizeof model);
}

static void write_vectors(struct memory *memory)
{
    uint32_t vectors[VECTORS];
    for (unsigned i = 0; i < VECTORS; i++) {
        bool master = i >= 0x08 && i < 0x10, slave = i >= 0x70 && i < 0x78;
        uint32_t offset = master ? ACKNOWLEDGE : slave ? ACKNOWLEDGE_SLAVE : UNSUPPORTED;
        vectors[i] = (uint32_t)ROM_SEGMENT << 16 | offset;
    }
    memory_write(memory, 0, vectors, sizeof vectors);
}

/* The BIOS counts the PIT's full periods since midnight. */
static uint32_t ticks_today(int64_t time)
{
    enum { DAY = 86400, PIT_HZ = 1193182, PERIOD = 65536 };
    int64_t seconds = (time % DAY + DAY) % DAY;
    return (uint32_t)(seconds * PIT_HZ / PERIOD);
}

void bios_write(struct memory *memory, const struct bios_options *options)
{
    uint8_t bda[BDA_SIZE] = {0};
    static const uint8_t ebda_kib = 1;
    put(bda, BDA_COM1, 2, 0x3f8);
    put(bda, BDA_EBDA_SEGMENT, 2, BIOS_EBDA >> 4);
    put(bda, BDA_EQUIPMENT, 2, EQUIPMENT_FPU | EQUIPMENT_ONE_SERIAL);
    put(bda, BDA_MEMORY_KIB, 2, BIOS_EBDA >> 10);
    put(bda, BDA_KEYBOARD_HEAD, 2, KEYBOARD_BUFFER);
    put(bda, BDA_KEYBOARD_TAIL, 2, KEYBOARD_BUFFER);
    put(bda, BDA_TICKS, 4, ticks_today(options->time));
    put(bda, BDA_SERIAL_TIMEOUT, 1, 1);
    put(bda, BDA_KEYBOARD_START, 2, KEYBOARD_BUFFER);
    put(bda, BDA_KEYBOARD_END, 2, KEYBOARD_BUFFER_END);
    put(bda, BDA_KEYBOARD_MODE, 1, KEYBOARD_101_KEYS);
    write_vectors(memory);
    memory_write(memory, BIOS_DATA, bda, sizeof bda);
    memory_write(memory, BIOS_EBDA, &ebda_kib, sizeof ebda_kib);
    write_code(memory);
}
