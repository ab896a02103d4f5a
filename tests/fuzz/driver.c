/*
 * Runs a libFuzzer entry point without libFuzzer: the files named after COUNT and the seed, and
 * COUNT random inputs, every second of them one of the files with some bytes changed. The seed is
 * printed so that a failure can be had again.
 */
#include <stdbool.h>
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

enum { FILE_MAX = 1 << 20, RANDOM_MAX = 4096, CHANGES = 8 };

static bool read_file(const char *path, uint8_t *data, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    *size = fread(data, 1, FILE_MAX, file);
    fclose(file);
    return true;
}

static int run_file(const char *path)
{
    static uint8_t data[FILE_MAX];
    size_t size;
    if (!read_file(path, data, &size))
        return 1;
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

static size_t make_random(uint8_t *data, uint64_t *seed)
{
    size_t size = next_random(seed) % RANDOM_MAX;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)next_random(seed);
    return size;
}

static size_t change(uint8_t *data, size_t size, uint64_t *seed)
{
    for (uint64_t n = 1 + next_random(seed) % CHANGES; size && n > 0; n--) {
        uint8_t *at = &data[next_random(seed) % size];
        uint64_t kind = next_random(seed);
        unsigned flipped = *at ^ 1u << (kind >> 1 & 7);
        *at = (uint8_t)(kind & 1 ? flipped : kind >> 8);
    }
    return next_random(seed) % 8 ? size : next_random(seed) % (size + 1);
}

int main(int argc, char **argv)
{
    static uint8_t data[FILE_MAX];
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned files = argc > 3 ? (unsigned)argc - 3 : 0;
    printf("%s: %llu inputs, seed %llu\n", argv[0], (unsigned long long)count,
        (unsigned long long)seed);
    for (unsigned i = 0; i < files; i++) {
        if (run_file(argv[3 + i]))
            return 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        size_t size = 0;
        if (files && i % 2 && read_file(argv[3 + next_random(&seed) % files], data, &size))
            size = change(data, size, &seed);
        else
            size = make_random(data, &seed);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%s: done\n", argv[0]);
    return 0;
}
