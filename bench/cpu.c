/*
 * Runs a guest on the software CPU with nothing around it but a serial port that is always ready,
 * until it writes the debug-exit port; prints instructions retired and seconds. For bench/cpu.py.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/boot/boot.h"
#include "vmm/arch/engine.h"
#include "vmm/arch/memory.h"
#include "vmm/machine/engines.h"

enum { PORT_LINE_STATUS = 0x3fd, PORT_TRANSMIT = 0x3f8, PORT_DEBUG_EXIT = 0xf4 };

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    uint8_t *data = NULL;
    if (!fseek(file, 0, SEEK_END)) {
        long length = ftell(file);
        rewind(file);
        if (length > 0)
            data = malloc((size_t)length);
        *size = data ? fread(data, 1, (size_t)length, file) : 0;
    }
    fclose(file);
    return data;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* 0 when the guest ended, -1 on failure. */
static int run(struct engine *engine, struct error *error)
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    for (;;) {
        struct vcpu_exit exit;
        uint64_t value = 0;
        if (engine_run(engine, &request, &exit, error))
            return -1;
        switch (exit.kind) {
        case EXIT_PIO_OUT:
            if (exit.address == PORT_DEBUG_EXIT)
                return 0;
            if (exit.address == PORT_TRANSMIT)
                fputc((int)exit.value, stderr);
            break;
        case EXIT_PIO_IN:
            value = exit.address == PORT_LINE_STATUS ? 0x60 : 0;
            break;
        default:
            return error_set(error, "unexpected exit %d", exit.kind);
        }
        while (engine_complete(engine, value, error) == ENGINE_MORE) {
            if (engine_run(engine, &request, &exit, error))
                return -1;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_cpu GUEST.elf \"load=N rounds=N\"\n");
        return 2;
    }
    struct error error = {0};
    struct memory memory;
    struct boot_choice choice;
    struct vcpu_state state;
    struct memory_backend backend = {.size = 64u << 20};
    struct boot_request request = {.kernel = {.name = argv[1]}, .command_line = argv[2]};
    uint8_t *image = read_file(argv[1], &request.kernel.size);
    if (!image) {
        perror(argv[1]);
        return 1;
    }
    request.kernel.data = image;
    if (memory_create(&memory, &backend, 1, &error)) {
        fprintf(stderr, "bench_cpu: %s\n", error.text);
        free(image);
        return 1;
    }
    int result = 1;
    struct engine *engine = engines_soft(&memory, &error);
    if (engine && !boot_load(&memory, &request, &state, &choice, &error) &&
        !engine_import_state(engine, &state, &error)) {
        double begin = seconds_now();
        result = run(engine, &error) ? 1 : 0;
        if (!result)
            printf("%" PRIu64 " %.6f\n", engine->retired, seconds_now() - begin);
    }
    if (result)
        fprintf(stderr, "bench_cpu: %s\n", error.text);
    if (engine)
        engine_destroy(engine);
    memory_destroy(&memory);
    free(image);
    return result;
}
