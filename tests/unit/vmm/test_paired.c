/*
 * Ring 3 on KVM with ring 0 on the software CPU (vmm/kvm/paired.c), by each way out of ring 3:
 * however ring 3 is left, and whatever ring 0 did in between, the result is the software CPU's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/engine.h"
#include "vmm/machine/probe.h"
#include "vmm/machine/engines.h"

enum {
    RAM = 8 << 20,
    GDT = 0x500,
    TABLES = 0x1000,
    IDT = 0x8000,
    TSS = 0x9000,
    STACK = 0x30000,   /* ring 3's */
    STACK_0 = 0x40000, /* ring 0's */
    CODE = 0x20000,
    HANDLER = 0x28000,
    PORT = 0x80,
};

struct kicker {
    struct engine *engine;
    atomic_bool stop;
};

static struct error error;
static unsigned different;

/* out PORT, al */
static const uint8_t stop[] = {0xe6, PORT};

static struct segment segment(uint16_t selector, unsigned type, unsigned ring)
{
    return (struct segment){.limit = UINT32_MAX,
        .selector = selector,
        .attributes = (uint16_t)(type | SEG_ACCESSED | SEG_WRITABLE | SEG_S | SEG_P | SEG_G |
                                 ring << SEG_DPL_SHIFT)};
}

static void put(struct memory *memory, uint64_t gpa, const void *data, size_t size)
{
    assert_true(memory_write(memory, gpa, data, size));
}

static void put64(struct memory *memory, uint64_t gpa, uint64_t value)
{
    put(memory, gpa, &value, sizeof value);
}

static void fill_memory(struct memory *memory, const uint8_t *handler, size_t size)
{
    static const uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0,
        0x00cff3000000ffff, 0x00affb000000ffff, TSS << 16 | 0x8b0000000067, 0};
    put(memory, GDT, gdt, sizeof gdt);
    put64(memory, TABLES, (TABLES + 0x1000) | 0x27);
    put64(memory, TABLES + 0x1000, (TABLES + 0x2000) | 0x27);
    for (uint64_t i = 0; i < RAM >> 21; i++)
        put64(memory, TABLES + 0x2000 + 8 * i, i << 21 | 0x87);
    /* Code is in small pages. */
    put64(memory, TABLES + 0x2000, (TABLES + 0x3000) | 0x27);
    for (uint64_t i = 0; i < 512; i++)
        put64(memory, TABLES + 0x3000 + 8 * i, i << 12 | 7);
    /* The GDT's was accessed, by LGDT or a segment load: without that the monitor does not begin.
     */
    put64(memory, TABLES + 0x3000 + 8 * (GDT / PAGE_SIZE), (GDT & ~(PAGE_SIZE - 1)) | 0x27);
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t dpl = i == 3 || i == 4 || i == 0x80 ? 3 : 0;
        put64(memory, IDT + 16 * i,
            (HANDLER & 0xffff) | 8 << 16 | (0x8e | dpl << 5) << 40 |
                (uint64_t)(HANDLER >> 16) << 48);
        put64(memory, IDT + 16 * i + 8, 0);
    }
    put64(memory, TSS + 4, STACK_0);
    put(memory, HANDLER, handler, size);
}

static void fill_state(struct vcpu_state *state)
{
    vcpu_reset(state);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        state->segment[i] = (struct segment){0};
    state->segment[SEG_SS] = segment(0x2b, SEG_DB, 3);
    state->segment[SEG_CS] = segment(0x33, SEG_CODE | SEG_L, 3);
    state->tr = (struct segment){.selector = 0x38, .base = TSS, .limit = 0x67, .attributes = 0x8b};
    state->ldt = (struct segment){0};
    state->gdt = (struct descriptor_table){GDT, 9 * 8 - 1};
    state->idt = (struct descriptor_table){IDT, 0xfff};
    state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    state->cr3 = TABLES;
    state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    state->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    state->sysenter_cs = 8;
    state->sysenter_esp = 0xfffffe0000003000;
    state->sysenter_eip = 0xffffffff95c017b0;
    state->lstar = HANDLER;
    state->star = 0x23ull << 48 | 8ull << 32;
    state->sfmask = FLAG_IF | FLAG_TF;
    state->rflags = FLAG_ONE | FLAG_IF;
    state->rip = CODE;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        state->gpr[i] = 0x600000 + 0x1111 * i;
    state->gpr[RAX] = 0x40000000;
    state->gpr[RSP] = STACK;
}

/* The state after the first OUT of ring 0, and what is on both stacks. */
static void run_on(struct engine *(*create)(struct memory *memory, struct error *error),
    const uint8_t *code, size_t size, const uint8_t *handler, size_t handler_size,
    struct vcpu_state *state, uint64_t stacks[32])
{
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    const struct memory_backend backend = {.size = RAM};
    struct memory memory;
    struct vcpu_exit exit;
    assert_int_equal(memory_create(&memory, &backend, 1, &error), 0);
    struct engine *engine = create(&memory, &error);
    assert_non_null(engine);
    fill_memory(&memory, handler, handler_size);
    put(&memory, CODE, "\x90\x90\x90\x90", 4);
    put(&memory, CODE + 4, code, size);
    fill_state(state);
    assert_int_equal(engine_import_state(engine, state, &error), 0);
    if (engine_run(engine, &request, &exit, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(exit.kind, EXIT_PIO_OUT);
    assert_int_equal(engine_complete(engine, 0, &error), ENGINE_DONE);
    assert_int_equal(engine_export_state(engine, state, &error), 0);
    assert_true(memory_read(&memory, STACK - 128, stacks, 128));
    assert_true(memory_read(&memory, STACK_0 - 128, stacks + 16, 128));
    engine_destroy(engine);
    memory_destroy(&memory);
}

static void runs_alike(
    const char *name, const uint8_t *code, size_t size, const uint8_t *handler, size_t handler_size)
{
    struct vcpu_state soft, paired;
    uint64_t soft_stacks[32], paired_stacks[32];
    struct buffer text = {0};
    run_on(engines_soft, code, size, handler, handler_size, &soft, soft_stacks);
    run_on(engines_paired, code, size, handler, handler_size, &paired, paired_stacks);
    if (vcpu_compare(&soft, &paired, &text)) {
        printf("%s: software CPU, KVM:\n%.*s", name, (int)text.size, (const char *)text.data);
        different++;
    }
    buffer_free(&text);
    if (memcmp(soft_stacks, paired_stacks, sizeof soft_stacks) != 0) {
        printf("%s: other values on a stack\n", name);
        different++;
    }
}

static void every_way_out_of_ring_3(void **state)
{
    static const struct {
        const char *name;
        uint8_t size, code[16];
    } ways[] = {
        {"ud2", 2, {0x0f, 0x0b}},
        {"int3", 1, {0xcc}},
        {"int3 with a prefix", 2, {0xf3, 0xcc}},
        {"int 3 of two bytes", 2, {0xcd, 3}},
        {"int 4", 2, {0xcd, 4}},
        {"int 0x80", 2, {0xcd, 0x80}},
        {"int 0x20, not allowed", 2, {0xcd, 0x20}},
        {"int1", 1, {0xf1}},
        {"int1, twice", 2, {0xf1, 0xf1}},
        {"int1 with a prefix", 2, {0x66, 0xf1}},
        {"syscall", 2, {0x0f, 0x05}},
        {"jump to an address not mapped", 9, {0x48, 0xc7, 0xc0, 0, 0xf0, 0xff, 0xff, 0xff, 0xe0}},
        {"popf sets TF", 11, {0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90}},
        {"hlt", 1, {0xf4}},
        {"cli", 1, {0xfa}},
        {"out", 2, {0xe6, PORT}},
        {"in", 1, {0xec}},
        {"rep outsb", 2, {0xf3, 0x6e}},
        {"mov rax, cr0", 3, {0x0f, 0x20, 0xc0}},
        {"a load from no page", 3, {0x48, 0x8b, 0x08}},
        {"a store past 2^47", 13, {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x48, 0x89, 0x08}},
        {"division by zero", 5, {0x31, 0xc9, 0x48, 0xf7, 0xf1}},
        {"sidt", 12, {0x0f, 0x01, 0x4c, 0x24, 0xc0, 0x48, 0x8b, 0x4c, 0x24, 0xc0, 0x0f, 0x0b}},
        {"sgdt", 12, {0x0f, 0x01, 0x44, 0x24, 0xc0, 0x48, 0x8b, 0x4c, 0x24, 0xc0, 0x0f, 0x0b}},
        {"str, sldt, smsw", 11, {0x0f, 0x00, 0xc8, 0x0f, 0x00, 0xc1, 0x0f, 0x01, 0xe2, 0x0f, 0x0b}},
        {"pushf", 4, {0x9c, 0x59, 0x0f, 0x0b}},
        {"selectors of code and stack", 8, {0x66, 0x8c, 0xc9, 0x66, 0x8c, 0xd2, 0x0f, 0x0b}},
    };
    (void)state;
    different = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        runs_alike(ways[i].name, ways[i].code, ways[i].size, stop, sizeof stop);
    assert_int_equal(different, 0);
}

/* Where KVM runs ring 3 in the host's own, nothing makes these fault. */
static void what_shows_the_host_is_left_to_the_software_cpu(void **state)
{
    static const struct {
        const char *name;
        uint8_t size, code[16];
    } ways[] = {
        {"cpuid", 8, {0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2, 0x0f, 0x0b}},
        {"xgetbv", 7, {0x31, 0xc9, 0x0f, 0x01, 0xd0, 0x0f, 0x0b}},
        {"rdrand", 5, {0x0f, 0xc7, 0xf0, 0x0f, 0x0b}},
        {"rdseed", 5, {0x0f, 0xc7, 0xf8, 0x0f, 0x0b}},
        {"rdpid", 6, {0xf3, 0x0f, 0xc7, 0xf9, 0x0f, 0x0b}},
        {"rdfsbase", 7, {0xf3, 0x48, 0x0f, 0xae, 0xc0, 0x0f, 0x0b}},
        {"wrgsbase", 7, {0xf3, 0x48, 0x0f, 0xae, 0xd8, 0x0f, 0x0b}},
        {"fxsave, MXCSR_MASK", 11,
            {0x0f, 0xae, 0x44, 0x24, 0x80, 0x8b, 0x4c, 0x24, 0x9c, 0x0f, 0x0b}},
        {"lar", 11, {0x66, 0xb8, 0x7b, 0, 0x31, 0xc9, 0x0f, 0x02, 0xc8, 0x0f, 0x0b}},
        {"lsl", 11, {0x66, 0xb8, 0x7b, 0, 0x31, 0xc9, 0x0f, 0x03, 0xc8, 0x0f, 0x0b}},
    };
    (void)state;
    different = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        runs_alike(ways[i].name, ways[i].code, ways[i].size, stop, sizeof stop);
    assert_int_equal(different, 0);
}

/* Ring 3 writes CPUID into code that it has executed before. */
static void code_that_ring_3_writes_is_looked_at(void **state)
{
    static const uint8_t code[] = {
        0x31, 0xc0, 0x31, 0xc9,                         /* xor eax, eax; xor ecx, ecx */
        0x66, 0xc7, 0x05, 2, 0, 0, 0, 0x0f, 0xa2, 0x90, /* mov word [rip + 4], cpuid */
        0x90, 0x90, 0x90, 0x90, 0x0f, 0x0b,             /* what it writes to; ud2 */
    };
    (void)state;
    different = 0;
    runs_alike("cpuid written", code, sizeof code, stop, sizeof stop);
    assert_int_equal(different, 0);
}

/* A mapping goes while ring 3 stays: what it has in XMM0 stays, too. */
static void the_fpu_stays_when_a_mapping_goes(void **state)
{
    static const uint8_t code[] = {
        0xc6, 0x05, 0, 0, 0, 0, 0x90, /* mov byte [rip], 0x90: the page gets dirty */
        0x90,                         /* what it writes to */
        0x66, 0x48, 0x0f, 0x6e, 0xc4, /* movq xmm0, rsp */
        0xc6, 0x05, 0, 0, 0, 0, 0x90, /* mov byte [rip], 0x90 */
        0x90,                         /* what it writes to */
        0x66, 0x48, 0x0f, 0x7e, 0xc1, /* movq rcx, xmm0 */
        0x0f, 0x0b,                   /* ud2 */
    };
    (void)state;
    different = 0;
    runs_alike("a page written that was executed", code, sizeof code, stop, sizeof stop);
    assert_int_equal(different, 0);
}

/* Ring 3 loads from 2 MiB, leaves by UD2, and ring 0 maps 4 MiB there before it goes back. */
static void page_tables_that_ring_0_changed(void **state)
{
    static const uint8_t code[] = {
        0xc7, 0x04, 0x25, 0, 0, 0x20, 0, 1, 0, 0, 0,             /* mov dword [0x200000], 1 */
        0xc7, 0x04, 0x25, 0, 0, 0x40, 0, 2, 0, 0, 0,             /* mov dword [0x400000], 2 */
        0x8b, 0x0c, 0x25, 0, 0, 0x20, 0,                         /* mov ecx, [0x200000] */
        0x0f, 0x0b,                                              /* ud2 */
        0x90, 0x90, 0x90, 0x90, 0x8b, 0x14, 0x25, 0, 0, 0x20, 0, /* mov edx, [0x200000] */
        0xcd, 0x80,                                              /* int 0x80, which ends it */
    };
    static const uint8_t handler[] = {
        0x80, 0x3c, 0x25, 0x0a, 0x30, 0, 0, 0x40, /* cmp byte [TABLES + 0x2008 + 2], 0x40 */
        0x74, 0x17,                               /* je: the second time */
        0xc6, 0x04, 0x25, 0x0a, 0x30, 0, 0, 0x40, /* mov byte [...], 0x40 */
        0x0f, 0x01, 0x3c, 0x25, 0, 0, 0x20, 0,    /* invlpg [0x200000] */
        0x48, 0x83, 0x04, 0x24, 2,                /* add qword [rsp], 2 */
        0x48, 0xcf,                               /* iretq */
        0xe6, PORT,                               /* out */
    };
    (void)state;
    different = 0;
    runs_alike("remapped page", code, sizeof code, handler, sizeof handler);
    assert_int_equal(different, 0);
}

static void *kick_on(void *context)
{
    struct kicker *kicker = context;
    for (unsigned seed = 1; !atomic_load(&kicker->stop);) {
        usleep(20 + (unsigned)rand_r(&seed) % 100);
        engine_kick(kicker->engine);
    }
    return NULL;
}

/* Ring 3 makes system calls, whose handler counts in R15, while it is kicked; INT 80h ends it. */
static void kicks_among_system_calls(void **state)
{
    enum { CALLS = 3000, KERNEL = HANDLER + 0x800 };
    static const uint8_t code[] = {0x0f, 0x05, 0xff, 0xcb, 0x75, 0xfa, 0xcd, 0x80};
    static const uint8_t handler[] = {0x49, 0xff, 0xc7, 0x48, 0x0f, 0x07}; /* inc r15; sysretq */
    const struct run_request request = {.budget = BUDGET_UNLIMITED};
    const struct memory_backend backend = {.size = RAM};
    struct kicker kicker = {0};
    struct memory memory;
    struct vcpu_state vcpu;
    struct vcpu_exit exit;
    pthread_t thread;
    unsigned kicks = 0;
    (void)state;
    assert_int_equal(memory_create(&memory, &backend, 1, &error), 0);
    struct engine *engine = kicker.engine = engines_paired(&memory, &error);
    assert_non_null(engine);
    fill_memory(&memory, stop, sizeof stop);
    put(&memory, KERNEL, handler, sizeof handler);
    put(&memory, CODE, code, sizeof code);
    fill_state(&vcpu);
    vcpu.lstar = KERNEL;
    vcpu.star = 0x23ull << 48 | 8ull << 32;
    vcpu.gpr[RBX] = CALLS;
    vcpu.gpr[R15] = 0;
    assert_int_equal(engine_import_state(engine, &vcpu, &error), 0);
    assert_int_equal(pthread_create(&thread, NULL, kick_on, &kicker), 0);
    for (;;) {
        if (engine_run(engine, &request, &exit, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(engine_export_core(engine, &vcpu, &error), 0);
        if (exit.kind != EXIT_KICK)
            break;
        kicks++;
        if (vcpu.rip == HANDLER)
            continue; /* the end */
        bool user = vcpu_cpl(&vcpu) == 3;
        assert_true(vcpu.rip >= (user ? CODE : KERNEL));
        assert_true(vcpu.rip < (user ? CODE + sizeof code : KERNEL + sizeof handler));
        assert_true(engine_interruptible(engine) == user);
    }
    atomic_store(&kicker.stop, true);
    pthread_join(thread, NULL);
    printf("%u kicks among %d system calls\n", kicks, CALLS);
    assert_true(kicks > 0); /* a trip into ring 3 takes longer than the time between kicks */
    assert_int_equal(exit.kind, EXIT_PIO_OUT);
    assert_int_equal(vcpu.gpr[RBX], 0);
    assert_int_equal(vcpu.gpr[R15], CALLS);
    assert_int_equal(engine_complete(engine, 0, &error), ENGINE_DONE);
    engine_destroy(engine);
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_out_of_ring_3),
        cmocka_unit_test(what_shows_the_host_is_left_to_the_software_cpu),
        cmocka_unit_test(code_that_ring_3_writes_is_looked_at),
        cmocka_unit_test(the_fpu_stays_when_a_mapping_goes),
        cmocka_unit_test(page_tables_that_ring_0_changed),
        cmocka_unit_test(kicks_among_system_calls),
    };
    /* The host's own way out of ring 3, and the monitor where that is another one. */
    static const char *const ways[] = {"eager", "eager,monitor"};
    struct probe probe;
    int failed = 0;
    probe_kvm(&probe);
    if (!probe.usable) {
        puts("skipped: no usable /dev/kvm");
        return 77;
    }
    const unsigned count = probe.sse_ring0 ? 1 : 2;
    for (unsigned i = 0; i < count; i++) {
        setenv("HINDSIGHT_KVM", ways[i], 1);
        printf("HINDSIGHT_KVM=%s\n", ways[i]);
        fflush(stdout);
        if (engines_kvm_sees_tsc())
            failed += cmocka_run_group_tests(tests, NULL, NULL);
        else
            puts("not possible on this host");
    }
    return failed;
}
