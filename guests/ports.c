/*
 * Touches every device's registers and what nobody claims, in every access size, and checks what
 * the data sheets promise. Ends with a checksum of all values read (some depend on the time).
 * A broken promise is debug-exit value 4.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/pic.h"
#include "lib/port.h"
#include "lib/timers.h"

enum { POST = 0x80, PORT_B = 0x61, UNCLAIMED = 0x2f0, I8042_DATA = 0x60, I8042_COMMAND = 0x64 };

static uint64_t checksum = 0xcbf29ce484222325; /* FNV-1a, 64 bits */

static void note(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        checksum ^= value >> (8 * i) & 0xff;
        checksum *= 0x100000001b3;
    }
}

static void expect(const char *what, uint64_t value, uint64_t wanted)
{
    note(value);
    if (value != wanted)
        guest_panic(4, "%s is %lx, not %lx", what, value, wanted);
}

/* Nothing is printed while in loopback or with the divisor latch open. */
static void uart(void)
{
    for (unsigned i = 0; i < 8; i++)
        note(port_in8((uint16_t)(COM1 + i)));
    port_out8(COM1 + UART_SCRATCH, 0x5a);
    expect("UART scratch", port_in8(COM1 + UART_SCRATCH), 0x5a);

    while (!(port_in8(COM1 + UART_LSR) & 0x40)) /* TEMT: what was printed is out */
        ;
    port_out8(COM1 + UART_LCR, 0x83);
    uint8_t divisor = port_in8(COM1 + UART_DATA);
    port_out8(COM1 + UART_DATA, 0x0c);
    uint8_t changed = port_in8(COM1 + UART_DATA);
    port_out8(COM1 + UART_DATA, divisor);
    port_out8(COM1 + UART_LCR, 0x03);
    expect("UART divisor latch", changed, 0x0c);

    port_out8(COM1 + UART_MCR, 0x1a); /* loopback, OUT2, RTS */
    uint8_t modem = port_in8(COM1 + UART_MSR);
    port_out8(COM1 + UART_DATA, 0xa5);
    while (!(port_in8(COM1 + UART_LSR) & 1))
        ;
    uint8_t looped = port_in8(COM1 + UART_DATA);
    port_out8(COM1 + UART_MCR, 0x0b);
    expect("UART modem status in loopback", modem >> 4, 0x9); /* DCD from OUT2, CTS from RTS */
    expect("UART loopback byte", looped, 0xa5);
    console_printf("uart ok\n");
}

static void pics(void)
{
    static const uint16_t bases[] = {PIC_MASTER, PIC_SLAVE};
    for (unsigned i = 0; i < 2; i++) {
        uint16_t base = bases[i];
        port_out8(base + 1, 0xfb);
        expect("PIC mask", port_in8(base + 1), 0xfb);
        port_out8(base + 1, 0xff);
        port_out8(base, 0x0a); /* OCW3: read IRR */
        note(port_in8(base));
        port_out8(base, 0x0b); /* OCW3: read ISR */
        expect("PIC in-service register", port_in8(base), 0);
        port_out8(base, 0x20);
        port_out8(base, 0xc7); /* OCW2: set priority, lowest is 7 */
    }
    console_printf("pic ok\n");
}

static void pit(void)
{
    port_out8(PIT_CONTROL, 0x34);
    port_out8(PIT_CHANNEL0, 0xff);
    port_out8(PIT_CHANNEL0, 0xff);
    note(pit_count(0));
    port_out8(PIT_CONTROL, 0xe2); /* read back: status of channel 0 */
    expect("PIT channel 0 status", port_in8(PIT_CHANNEL0) & 0x3f, 0x34);

    uint8_t port_b = port_in8(PORT_B);
    port_out8(PORT_B, (uint8_t)((port_b & ~2) | 1)); /* gate 2 on, speaker off */
    port_out8(PIT_CONTROL, 0xb0);                    /* channel 2, mode 0 */
    port_out8(PIT_CHANNEL0 + 2, 0x40);
    port_out8(PIT_CHANNEL0 + 2, 0x00);
    while (!(port_in8(PORT_B) & 0x20)) /* OUT2 rises at terminal count */
        ;
    note(pit_count(2));
    port_out8(PORT_B, (uint8_t)(port_b & 3));
    port_out8(PIT_CONTROL, 0x54); /* channel 1, low byte, mode 2: refresh on old PCs */
    port_out8(PIT_CHANNEL0 + 1, 18);
    note(port_in8(PIT_CHANNEL0 + 1));
    note(port_in8(PIT_CONTROL));
    console_printf("pit ok\n");
}

static void rtc(void)
{
    struct rtc_time now;
    rtc_read_time(&now);
    expect("RTC BCD digits",
        (now.seconds & 15) < 10 && (now.minutes & 15) < 10 && (now.hours & 15) < 10, 1);
    for (uint8_t i = 0; i < 128; i++)
        note(rtc_read(i));
    expect("RTC valid RAM and time", rtc_read(RTC_D) & 0x80, 0x80);
    uint8_t old = rtc_read(0x50);
    rtc_write(0x50, 0x3c);
    expect("CMOS byte 0x50", rtc_read(0x50), 0x3c);
    rtc_write(0x50, old);
    note(port_in8(RTC_INDEX));
    console_printf("rtc ok\n");
}

static void keyboard_wait(void)
{
    while (port_in8(I8042_COMMAND) & 2) /* input buffer full */
        ;
}

static uint8_t keyboard_answer(void)
{
    while (!(port_in8(I8042_COMMAND) & 1)) /* output buffer full */
        ;
    return port_in8(I8042_DATA);
}

static void keyboard(void)
{
    while (port_in8(I8042_COMMAND) & 1)
        note(port_in8(I8042_DATA));
    keyboard_wait();
    port_out8(I8042_COMMAND, 0xaa); /* controller self-test */
    expect("i8042 self-test", keyboard_answer(), 0x55);
    keyboard_wait();
    port_out8(I8042_COMMAND, 0x20); /* read command byte */
    uint8_t command = keyboard_answer();
    note(command);
    keyboard_wait();
    port_out8(I8042_COMMAND, 0x60); /* write command byte */
    keyboard_wait();
    port_out8(I8042_DATA, command & 0xfc); /* no interrupts */
    keyboard_wait();
    port_out8(I8042_DATA, 0xee); /* keyboard: echo */
    expect("keyboard echo", keyboard_answer(), 0xee);
    console_printf("i8042 ok\n");
}

static void debug_ports(void)
{
    static const char text[] = "debug console\n";
    note(port_in8(DEBUG_CONSOLE));
    port_out8(DEBUG_CONSOLE, '>');
    port_out8_string(DEBUG_CONSOLE, text, sizeof text - 1);
    for (unsigned code = 0; code < 256; code += 17)
        port_out8(POST, (uint8_t)code);
    note(port_in8(POST));
    console_printf("debug ports ok\n");
}

static void unclaimed_ports(void)
{
    static uint8_t buffer[32];
    static const uint32_t pattern[4] = {0x01020304, 0x05060708, 0x090a0b0c, 0x0d0e0f10};
    expect("unclaimed port, 1 byte", port_in8(UNCLAIMED), 0xff);
    expect("unclaimed port, 2 bytes", port_in16(UNCLAIMED), 0xffff);
    expect("unclaimed port, 4 bytes", port_in32(UNCLAIMED), 0xffffffff);
    port_out8(UNCLAIMED, 1);
    port_out16(UNCLAIMED, 2);
    port_out32(UNCLAIMED, 4);
    port_in8_string(UNCLAIMED, buffer, 5);
    port_in16_string(UNCLAIMED, buffer + 6, 5);
    port_in32_string(UNCLAIMED, buffer + 16, 3);
    for (unsigned i = 0; i < sizeof buffer; i++)
        expect("byte of string input", buffer[i], (i == 5 || i >= 28) ? 0 : 0xff);
    port_out8_string(UNCLAIMED, pattern, 5);
    port_out16_string(UNCLAIMED, pattern, 5);
    port_out32_string(UNCLAIMED, pattern, 3);
    port_out16(POST, 0x1234);  /* wider than the device */
    note(port_in32(COM1 + 4)); /* four registers at once */
    note(port_in16(RTC_INDEX));
    console_printf("port sizes ok\n");
}

/* Nothing answers at 0xd0000000: sizes, an access across pages, string and read-modify-write. */
static void unclaimed_memory(void)
{
    volatile uint8_t *base = (volatile uint8_t *)(uintptr_t)0xd0000000;
    note(*base);
    note(*(volatile uint16_t *)(base + 2));
    note(*(volatile uint32_t *)(base + 4));
    note(*(volatile uint64_t *)(base + 8));
    uint64_t crossing;
    __asm__ volatile("movq 0xffc(%1), %0" : "=r"(crossing) : "r"(base) : "memory");
    note(crossing);
    *base = 1;
    *(volatile uint16_t *)(base + 2) = 2;
    *(volatile uint32_t *)(base + 4) = 4;
    *(volatile uint64_t *)(base + 8) = 8;
    __asm__ volatile("addl $1, 16(%0)" : : "r"(base) : "memory", "cc");
    __asm__ volatile("orb $0x10, 20(%0)" : : "r"(base) : "memory", "cc");
    uint32_t swapped = 0x55aa;
    __asm__ volatile("xchgl %0, 24(%1)" : "+r"(swapped) : "r"(base) : "memory");
    note(swapped);

    static uint8_t copy[16];
    void *target = copy;
    const void *source = (const void *)(uintptr_t)(0xd0000000 + 0x20);
    size_t count = sizeof copy;
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(count) : : "memory");
    for (unsigned i = 0; i < sizeof copy; i++)
        note(copy[i]);
    target = (void *)(uintptr_t)(0xd0000000 + 0x40);
    count = 4;
    __asm__ volatile("rep stosl" : "+D"(target), "+c"(count) : "a"(0x11223344) : "memory");
    console_printf("unclaimed memory reads %016lx\n", crossing);
}

void guest_main(const struct boot_info *boot)
{
    console_printf("ports: every device's registers\n");
    for (uint64_t rounds = boot_option(boot, "rounds", 1); rounds > 0; rounds--) {
        uart();
        pics();
        pit();
        rtc();
        keyboard();
        debug_ports();
        unclaimed_ports();
        unclaimed_memory();
    }
    console_printf("ports: checksum %016lx\n", checksum);
}
