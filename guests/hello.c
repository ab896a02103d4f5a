/* The smallest guest: one line on the serial port. */
#include "lib/boot.h"
#include "lib/console.h"

static const char *const protocols[] = {
    [BOOT_ELF64] = "ELF64",
    [BOOT_PVH] = "PVH",
    [BOOT_MULTIBOOT] = "Multiboot",
};

void guest_main(const struct boot_info *boot)
{
    console_printf("hello, world\n");
    console_printf("booted by %s, command line \"%s\", initrd %lu bytes\n",
        protocols[boot->protocol], boot->command_line, boot->initrd_size);
}
