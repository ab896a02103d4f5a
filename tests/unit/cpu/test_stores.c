/* Store buffers: what one vCPU and what everybody else sees of its stores, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/cpu/decode.h"
#include "vmm/cpu/stores.h"
#include "vmm/machine/engines.h"

enum { RAM = 1 << 20 };

static struct memory memory;
static struct cpu *cpu;

static int setup(void **state)
{
    struct error error;
    const struct memory_backend backend = {.size = RAM};
    (void)state;
    if (memory_create(&memory, &backend, 1, &error) < 0)
        return -1;
    cpu = (struct cpu *)engines_soft_buffered(&memory, true, 7, &error);
    if (!cpu)
        return -1;
    cpu->engine.vcpu_count = 2;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cpu->engine.ops->destroy(&cpu->engine);
    memory_destroy(&memory);
    return 0;
}

static uint64_t in_memory(uint64_t gpa)
{
    uint64_t value;
    memcpy(&value, memory.host + gpa, sizeof value);
    return value;
}

static uint64_t seen(uint64_t gpa)
{
    uint64_t value = in_memory(gpa);
    stores_forward(cpu, gpa, (uint8_t *)&value, sizeof value);
    return value;
}

static void put(uint64_t gpa, uint64_t value, unsigned size)
{
    stores_put(cpu, gpa, (const uint8_t *)&value, size);
}

static void a_vcpu_sees_its_own_stores_at_once(void **state)
{
    (void)state;
    put(0x1000, 0x1122334455667788, 8);
    put(0x1002, 0xaabb, 2);
    assert_int_equal(seen(0x1000), 0x11223344aabb7788);
    assert_int_equal(seen(0x0ffc) >> 32, 0xaabb7788);
    stores_drain(cpu);
    assert_int_equal(in_memory(0x1000), 0x11223344aabb7788);
}

static void another_vcpu_sees_memory(void **state)
{
    (void)state;
    /* Until one is kept back: one in four lets the oldest go. */
    for (unsigned i = 0; i < 8 && in_memory(0x2000) == 0; i++) {
        stores_drain(cpu);
        memset(memory.host + 0x2000, 0, 8);
        put(0x2000, 5, 8);
        if (in_memory(0x2000) == 0)
            break;
    }
    assert_int_equal(in_memory(0x2000), 0);
    assert_int_equal(seen(0x2000), 5);
    cpu->engine.vcpu = 1;
    assert_int_equal(seen(0x2000), 0);
    put(0x2008, 6, 8);
    cpu->engine.vcpu = 0;
    stores_drain(cpu);
    assert_int_equal(in_memory(0x2000), 5);
    cpu->engine.vcpu = 1;
    stores_drain(cpu);
    assert_int_equal(in_memory(0x2008), 6);
    cpu->engine.vcpu = 0;
}

static void stores_become_visible_in_their_order_and_no_more_than_a_few_wait(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        put(0x3000 + i % 64 * 8, i, 8);
        uint64_t newest = 0;
        for (unsigned j = 0; j < 64; j++) {
            if (in_memory(0x3000 + j * 8) > newest)
                newest = in_memory(0x3000 + j * 8);
        }
        assert_true(newest + STORES_MAX >= i);
        /* All older ones are there, too. */
        for (uint64_t k = newest > 63 ? newest - 63 : 1; k <= newest; k++)
            assert_true(in_memory(0x3000 + k % 64 * 8) >= k);
    }
    stores_drain(cpu);
}

static void the_same_seed_and_stores_give_the_same_memory_also_after_a_restore(void **state)
{
    (void)state;
    struct buffer saved = {0}, again = {0};
    struct reader reader;
    put(0x4000, 1, 8);
    put(0x4008, 2, 4);
    stores_save(cpu->stores, &saved);
    uint8_t before[16], after[2][16];
    memcpy(before, memory.host + 0x4000, sizeof before);
    for (unsigned round = 0; round < 2; round++) {
        memcpy(memory.host + 0x4000, before, sizeof before);
        reader_init(&reader, saved.data, saved.size);
        stores_restore(cpu->stores, &reader);
        assert_false(reader.failed);
        stores_end_turn(cpu);
        put(0x4004, 3, 2);
        stores_end_turn(cpu);
        memcpy(after[round], memory.host + 0x4000, sizeof before);
    }
    assert_memory_equal(after[0], after[1], sizeof after[0]);
    stores_save(cpu->stores, &again);
    reader_init(&reader, again.data, again.size - 1);
    stores_restore(cpu->stores, &reader);
    assert_true(reader.failed || again.size == 8 + STORES_VCPUS);
    buffer_free(&saved);
    buffer_free(&again);
}

static bool ordered(const char *bytes, size_t size)
{
    uint8_t padded[INSN_MAX_LENGTH] = {0};
    struct insn insn;
    memcpy(padded, bytes, size);
    insn_decode(padded, sizeof padded, true, 4, false, &insn);
    return stores_are_ordered_by(&insn);
}
#define ORDERED(bytes) ordered(bytes, sizeof bytes - 1)

static void locks_fences_and_system_instructions_order_stores_and_plain_ones_do_not(void **state)
{
    (void)state;
    assert_true(ORDERED("\xf0\x01\x07"));      /* LOCK ADD */
    assert_true(ORDERED("\x87\x07"));          /* XCHG with memory */
    assert_true(ORDERED("\x0f\xae\xf0"));      /* MFENCE */
    assert_true(ORDERED("\x0f\xae\xf8"));      /* SFENCE */
    assert_true(ORDERED("\x0f\xa2"));          /* CPUID */
    assert_true(ORDERED("\x48\xcf"));          /* IRETQ */
    assert_true(ORDERED("\x0f\x30"));          /* WRMSR */
    assert_true(ORDERED("\x0f\x22\xd8"));      /* MOV to CR3 */
    assert_true(ORDERED("\xe6\x80"));          /* OUT */
    assert_true(ORDERED("\xf4"));              /* HLT */
    assert_false(ORDERED("\x0f\xae\xe8"));     /* LFENCE */
    assert_false(ORDERED("\x87\xc7"));         /* XCHG of registers */
    assert_false(ORDERED("\x48\x89\x07"));     /* MOV */
    assert_false(ORDERED("\x01\x07"));         /* ADD to memory */
    assert_false(ORDERED("\xf3\x90"));         /* PAUSE */
    assert_false(ORDERED("\x0f\x31"));         /* RDTSC */
    assert_false(ORDERED("\xe8\x00\x00\x00")); /* CALL */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vcpu_sees_its_own_stores_at_once),
        cmocka_unit_test(another_vcpu_sees_memory),
        cmocka_unit_test(stores_become_visible_in_their_order_and_no_more_than_a_few_wait),
        cmocka_unit_test(the_same_seed_and_stores_give_the_same_memory_also_after_a_restore),
        cmocka_unit_test(locks_fences_and_system_instructions_order_stores_and_plain_ones_do_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
