/*
 * A tight loop of port accesses, for measuring the cost of an exit. Options: count=100000 accesses
 * of port=0x80 in ring=0 or 3, in=0 (writes) or 1 (reads).
 */
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/port.h"
#include "lib/user.h"

struct loop {
    uint64_t count;
    uint16_t port;
};

static uint64_t write_loop(void *argument)
{
    const struct loop *loop = argument;
    for (uint64_t i = loop->count; i; i--)
        port_out8(loop->port, (uint8_t)i);
    return 0;
}

static uint64_t read_loop(void *argument)
{
    const struct loop *loop = argument;
    uint64_t sum = 0;
    for (uint64_t i = loop->count; i; i--)
        sum += port_in8(loop->port);
    return sum;
}

void guest_main(const struct boot_info *boot)
{
    static struct loop loop;
    loop.count = boot_option(boot, "count", 100000);
    loop.port = (uint16_t)boot_option(boot, "port", 0x80);
    uint64_t (*function)(void *) = boot_option(boot, "in", 0) ? read_loop : write_loop;
    uint64_t sum;
    if (boot_option(boot, "ring", 0) == 3)
        sum = user_run(function, &loop);
    else
        sum = function(&loop);
    console_printf("pio: %lu accesses, sum %lu\n", loop.count, sum);
}
