/*
 * Hostile kernels and modules: any file under any protocol. Loading fails with a line that says
 * why, or leaves a state that the software CPU takes; RAM around it is not touched.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 8 << 20, GUEST_MAX = 4 << 20 };

static uint8_t *guest; /* one that loads, for inputs that change it in places */
static size_t guest_size;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void read_guest(void)
{
    FILE *file = fopen(TEST_GUESTS "/hello.elf", "rb");
    guest = malloc(GUEST_MAX);
    require(guest != NULL);
    if (file) {
        guest_size = fread(guest, 1, GUEST_MAX, file);
        fclose(file);
    }
}

/* Loads what lies in an allocation of its own, so that a sanitizer sees every read past its end. */
static void load(
    struct memory *memory, enum boot_protocol protocol, const uint8_t *kernel, size_t size)
{
    static const uint8_t module[] = {1, 2, 3};
    const struct boot_image modules[] = {
        {.name = "module argument", .data = module, .size = sizeof module}};
    struct vcpu_state state;
    struct boot_choice choice;
    struct error error = {""};
    uint8_t *copy = malloc(size ? size : 1);
    require(copy != NULL);
    memcpy(copy, kernel, size);
    const struct boot_request request = {.protocol = protocol,
        .kernel = {.name = "kernel", .data = copy, .size = size},
        .modules = modules,
        .module_count = 1,
        .command_line = "console=ttyS0"};
    memset(memory->host, 0, RAM);
    vcpu_reset(&state);
    if (boot_load(memory, &request, &state, &choice, &error) < 0)
        require(error.text[0] != '\0');
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory memory;
    const struct memory_backend backend = {.size = RAM};
    struct error error;
    if (!guest) {
        require(memory_create(&memory, &backend, 1, &error) == 0);
        read_guest();
    }
    if (size < 2)
        return 0;
    enum boot_protocol protocol = data[0] % BOOT_PROTOCOL_COUNT;
    bool whole = data[1] & 1 || !guest_size;
    data += 2;
    size -= 2;
    if (whole) {
        load(&memory, protocol, data, size);
        return 0;
    }
    /* Changes of three bytes at places of the first pages, where the headers are. */
    uint8_t *changed = malloc(guest_size);
    require(changed != NULL);
    memcpy(changed, guest, guest_size);
    for (size_t i = 0; i + 3 <= size && i < 96; i += 3)
        changed[((size_t)data[i] << 8 | data[i + 1]) % 8192 % guest_size] = data[i + 2];
    load(&memory, protocol, changed, guest_size);
    free(changed);
    return 0;
}
