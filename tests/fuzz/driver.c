/*
 * Runs a libFuzzer entry point without libFuzzer: COUNT seeded random inputs, and any files named
 * after them. The seed is printed so that a failure can be had again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    printf("%s: %llu inputs, seed %llu\n", argv[0], (unsigned long long)count,
        (unsigned long long)seed);
    for (int i = 3; i < argc; i++) {
        if (run_file(argv[i]))
            return 1;
    }
    uint8_t data[4096];
    for (uint64_t i = 0; i < count; i++) {
        size_t size = next_random(&seed) % sizeof data;
        for (size_t j = 0; j < size; j++)
            data[j] = (uint8_t)next_random(&seed);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%s: done\n", argv[0]);
    return 0;
}
