/*
 * Loads of one kind each, for bench/linux_kvm.py: computation in a tight loop, a bytecode
 * interpreter with values on the heap, system calls.
 *
 * usage: loads compute|interpret|calls COUNT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CELLS = 1024 };
enum opcode { ADD_INDEX, STORE, MIX, SCALE, BOX, HALVE, LOAD };

/* In pages of their own: the C library's startup code, which has CPUID in it, may be in main()'s,
 * and such pages may be kept from KVM. */
#define APART __attribute__((noinline, aligned(4096)))

static APART uint64_t compute(long count)
{
    uint64_t random = 1, sum = 0;
    for (long i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        sum += random % 1000003;
    }
    return sum;
}

static uint64_t boxed(uint64_t value)
{
    uint64_t *box = malloc(3 * sizeof *box);
    if (!box)
        exit(1);
    box[0] = value;
    value = box[0] + 1;
    free(box);
    return value;
}

static APART uint64_t interpret(long count)
{
    static const uint8_t code[] = {ADD_INDEX, STORE, MIX, SCALE, BOX, STORE, HALVE, MIX, LOAD};
    static uint64_t cell[CELLS];
    uint64_t value = 0;
    for (long i = 0; i < count; i++) {
        for (unsigned at = 0; at < sizeof code; at++) {
            switch ((enum opcode)code[at]) {
            case ADD_INDEX:
                value += (uint64_t)i;
                break;
            case STORE:
                cell[value % CELLS] += value;
                break;
            case MIX:
                value ^= cell[i % CELLS];
                break;
            case SCALE:
                value = value * 31 + 7;
                break;
            case BOX:
                value = boxed(value);
                break;
            case HALVE:
                value >>= 1;
                break;
            case LOAD:
                value += cell[(value >> 5) % CELLS];
                break;
            }
        }
    }
    return value;
}

static APART uint64_t calls(long count)
{
    uint64_t sum = 0;
    for (long i = 0; i < count; i++)
        sum += (uint64_t)syscall(SYS_getppid);
    return sum;
}

APART int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const long count = atol(argv[2]);
    uint64_t result = !strcmp(argv[1], "compute")     ? compute(count)
                      : !strcmp(argv[1], "interpret") ? interpret(count)
                                                      : calls(count);
    printf("%s: %016llx\n", argv[1], (unsigned long long)result);
    return 0;
}
