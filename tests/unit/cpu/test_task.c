/* Hardware task switches of the software CPU; expectations from the AMD64 APM volume 2, chapter 12,
 * and the Intel SDM volume 3, chapter 7 (tables 7-1 and 7-2). */
#include "tests/unit/cpu/guest32.h"

enum {
    TSS2 = 0xa8, /* its task gate has DPL 3, the descriptor DPL 0 */
    GATE2 = 0xb0,
    TSS16 = 0xb8,
    TSS2_AT = 0x5000,
    TASK2_CODE = 0x10400,
    TASK2_STACK = 0x28000,
    TASK2_STACK0 = 0x29000,
};

/* Offsets in a TSS. */
enum {
    LINK = 0,
    ESP0 = 4,
    SS0 = 8,
    CR3 = 0x1c,
    EIP = 0x20,
    EFLAGS = 0x24,
    GPR = 0x28,
    ES = 0x48,
    CS = 0x4c,
    SS_ = 0x50,
    LDT = 0x60,
    TRAP = 0x64
};

static void put2(unsigned offset, uint32_t value)
{
    guest_put(&guest, TSS2_AT + offset, value, 4);
}

/* `code` in ring `cpl`; a second task in ring 3 that would execute INT 30h. */
static void start(unsigned cpl, const void *code, size_t size)
{
    static const uint8_t arrive[] = {0xcd, ARRIVED};
    guest_start(&guest, cpl, code, size);
    guest_put(&guest, GUEST_GDT + TSS_SELECTOR + 5, 0x8b, 1);
    guest_put(&guest, GUEST_GDT + TSS2, make_descriptor(TSS2_AT, 0x67, 0x089), 8);
    guest_put(&guest, GUEST_GDT + GATE2, make_gate(TSS2, 0, 0xe5, 0), 8);
    guest_put(&guest, GUEST_GDT + TSS16, make_descriptor(TSS2_AT, 0x2b, 0x081), 8);
    memcpy(guest.memory.host + TASK2_CODE, arrive, sizeof arrive);
    put2(ESP0, TASK2_STACK0);
    put2(SS0, DATA0);
    put2(EIP, TASK2_CODE);
    put2(EFLAGS, 0x202);
    for (unsigned i = 0; i < 8; i++)
        put2(GPR + 4 * i, i == RSP ? TASK2_STACK : 0x1000 + i);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        put2(ES + 4 * i, i == SEG_CS ? CODE3 | 3 : DATA3 | 3);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        if (i != RSP)
            guest.state.gpr[i] = 0x2000 + i;
    }
}

static unsigned busy(unsigned selector)
{
    return guest_get32(&guest, GUEST_GDT + selector + 4) >> 9 & 1;
}

static void expect_vector(const char *name, int vector)
{
    guest_import(&guest);
    struct vcpu_exit exit = guest_run(&guest);
    if (exit.kind != EXIT_HLT || guest_vector(&guest) != vector)
        fail_msg("%s: exit %d at %llx, vector %d instead of %d", name, exit.kind,
            (unsigned long long)guest.state.rip, guest_vector(&guest), vector);
}

static void expect_stop(const char *text)
{
    struct vcpu_exit exit;
    guest_import(&guest);
    assert_int_equal(guest_try_run(&guest, 10, &exit), -1);
    if (!strstr(guest.error.text, text))
        fail_msg("'%s' is not in '%s'", text, guest.error.text);
}

static void a_jump_saves_one_task_and_loads_another(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xea, 0xff, 0xff, 0xff, 0xff, TSS2, 0, 0xcd, ARRIVED};
    start(0, code, sizeof code);
    guest.state.dr7 = 0x7ff;
    guest.state.rflags |= FLAG_CF | FLAG_NT;
    guest.state.gpr[R8] = 0;
    /* Back again: JMP to the first TSS. */
    static const uint8_t back[] = {0xf4, 0xea, 0, 0, 0, 0, TSS_SELECTOR, 0};
    memcpy(guest.memory.host + TASK2_CODE, back, sizeof back);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        put2(ES + 4 * i, i == SEG_CS ? CODE0 : DATA0);
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);

    assert_int_equal(guest.state.rip, TASK2_CODE + 1);
    assert_int_equal(guest.state.rflags, 0x202);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(guest.state.gpr[i], i == RSP ? TASK2_STACK : 0x1000 + i);
    assert_int_equal(guest.state.segment[SEG_CS].selector, CODE0);
    assert_int_equal(guest.state.segment[SEG_SS].limit, 0xffffffff);
    assert_int_equal(guest.state.tr.selector, TSS2);
    assert_int_equal(guest.state.tr.base, TSS2_AT);
    assert_true(guest.state.cr0 & CR0_TS);
    assert_int_equal(guest.state.dr7, 0x7ff & ~0x155);
    assert_int_equal(busy(TSS2), 1);
    assert_int_equal(busy(TSS_SELECTOR), 0);
    assert_int_equal(guest_get32(&guest, TSS2_AT + LINK), 0);

    assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), GUEST_CODE + 7);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EFLAGS), FLAG_ONE | FLAG_CF | FLAG_NT);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + GPR), 0x2000);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + GPR + 4 * RSP), GUEST_STACK0);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + CS), CODE0);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + ESP0), GUEST_STACK0);

    guest_continue(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 8) & (FLAG_NT | FLAG_CF), FLAG_NT | FLAG_CF);
    assert_int_equal(guest.state.gpr[RDI], 0x2000 + RDI);
    assert_int_equal(busy(TSS2), 0);
    assert_int_equal(busy(TSS_SELECTOR), 1);
}

static void a_call_nests_and_iret_returns(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x9a, 0xff, 0xff, 0xff, 0xff, GATE2 | 3, 0, 0xcd, ARRIVED};
    static const uint8_t task[] = {0xf4, 0xcf, 0xcd, GATE_TRAP}; /* HLT; IRET; INT 32h */
    start(3, code, sizeof code);
    memcpy(guest.memory.host + TASK2_CODE, task, sizeof task);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        put2(ES + 4 * i, i == SEG_CS ? CODE0 : DATA0);
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);
    assert_int_equal(guest.state.rip, TASK2_CODE + 1);
    assert_int_equal(vcpu_cpl(&guest.state), 0);
    assert_int_equal(guest.state.rflags, 0x202 | FLAG_NT);
    assert_int_equal(guest_get32(&guest, TSS2_AT + LINK), TSS_SELECTOR);
    assert_int_equal(busy(TSS2), 1);
    assert_int_equal(busy(TSS_SELECTOR), 1);
    guest_continue(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 0), GUEST_CODE + 9);
    assert_int_equal(guest_stack(&guest, 4), CODE3 | 3);
    assert_int_equal(guest.state.tr.selector, TSS_SELECTOR);
    assert_int_equal(busy(TSS2), 0);
    assert_int_equal(busy(TSS_SELECTOR), 1);
    /* The second task goes on after its IRET, without NT. */
    assert_int_equal(guest_get32(&guest, TSS2_AT + EIP), TASK2_CODE + 2);
    assert_int_equal(guest_get32(&guest, TSS2_AT + EFLAGS), 0x202);
}

static void an_exception_can_be_a_task(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x90, 0x66, 0xb8, DATA0, 0, 0x8e, 0xd8}; /* MOV DS, AX */
    start(3, code, sizeof code);
    guest_put(&guest, GUEST_IDT + 8 * GP, make_gate(TSS2, 0, 0x85, 0), 8);
    expect_vector("#GP through a task gate", ARRIVED);
    assert_int_equal(guest_stack(&guest, 12), TASK2_STACK - 4); /* ESP of ring 3 */
    assert_int_equal(guest_get32(&guest, TASK2_STACK - 4), DATA0);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), GUEST_CODE + 5);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EFLAGS), FLAG_ONE | FLAG_RF);
    assert_int_equal(guest_get32(&guest, TSS2_AT + LINK), TSS_SELECTOR);
    assert_int_equal(guest_stack(&guest, 8), 0x202 | FLAG_NT);

    static const uint8_t interrupt[] = {0xcd, ARRIVED + 16};
    start(3, interrupt, sizeof interrupt);
    guest.state.idt.limit = 8 * (ARRIVED + 17) - 1;
    guest_put(&guest, GUEST_IDT + 8 * (ARRIVED + 16), make_gate(TSS2, 0, 0xe5, 0), 8);
    expect_vector("INT through a task gate", ARRIVED);
    assert_int_equal(guest_stack(&guest, 12), TASK2_STACK);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), GUEST_CODE + 2);
}

static void an_external_interrupt_can_be_a_task(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x90};
    start(0, code, sizeof code);
    guest.state.rflags |= FLAG_IF;
    guest_put(&guest, GUEST_IDT + 8 * 0x20, make_gate(TSS2, 0, 0x85, 0), 8);
    guest_import(&guest);
    assert_int_equal(engine_interrupt(guest.engine, 0x20, &guest.error), 0);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), GUEST_CODE);
    assert_int_equal(guest_get32(&guest, GUEST_TSS + EFLAGS), FLAG_ONE | FLAG_IF);
}

/* Nothing has changed when these are raised. */
static void faults_in_the_old_task(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned cpl;
        uint16_t selector, at; /* of the byte changed */
        uint8_t value;
        int vector;
        uint32_t error;
    } cases[] = {
        {"TSS of DPL 0", 3, TSS2 | 3, 0, 0, GP, TSS2},
        {"TSS with RPL 3", 0, TSS2 | 3, 0, 0, GP, TSS2},
        {"busy TSS", 0, TSS2, TSS2 + 5, 0x8b, GP, TSS2},
        {"absent TSS", 0, TSS2, TSS2 + 5, 0x09, NP, TSS2},
        {"small TSS", 0, TSS2, TSS2, 0x66, TS, TSS2},
        {"gate of DPL 0", 3, GATE2 | 3, GATE2 + 5, 0x85, GP, GATE2},
        {"absent gate", 3, GATE2 | 3, GATE2 + 5, 0x65, NP, GATE2},
        {"gate to a busy TSS", 3, GATE2 | 3, TSS2 + 5, 0x8b, GP, TSS2},
        {"gate to an absent TSS", 3, GATE2 | 3, TSS2 + 5, 0x09, NP, TSS2},
        {"gate to a data segment", 3, GATE2 | 3, GATE2 + 2, DATA0, GP, DATA0},
        {"gate to the LDT", 3, GATE2 | 3, GATE2 + 2, TSS2 | 4, GP, TSS2 | 4},
        {"gate to nothing", 3, GATE2 | 3, GATE2 + 2, 0, GP, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned call = 0; call < 2; call++) {
            uint8_t code[] = {call ? 0x9a : 0xea, 0, 0, 0, 0, (uint8_t)cases[i].selector, 0};
            start(cases[i].cpl, code, sizeof code);
            if (cases[i].at)
                guest_put(&guest, GUEST_GDT + cases[i].at, cases[i].value, 1);
            expect_vector(cases[i].name, cases[i].vector);
            if (guest_stack(&guest, 0) != cases[i].error)
                fail_msg("%s: error %x instead of %x", cases[i].name, guest_stack(&guest, 0),
                    cases[i].error);
            assert_int_equal(guest_stack(&guest, 4), GUEST_CODE);
            assert_int_equal(guest.state.tr.selector, TSS_SELECTOR);
            assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), 0);
            assert_int_equal(busy(TSS_SELECTOR), 1);
        }
    }
}

static void iret_to_what_is_no_task(void **state)
{
    (void)state;
    static const struct {
        uint16_t link;
        uint8_t access; /* of the second TSS */
        int vector;
        uint32_t error;
    } cases[] = {
        {TSS2, 0x8b, ARRIVED, 0},
        {TSS2, 0x89, TS, TSS2}, /* not busy */
        {TSS2, 0x0b, NP, TSS2},
        {TSS2 | 4, 0x8b, TS, TSS2 | 4},
        {DATA0, 0x8b, TS, DATA0},
        {0, 0x8b, TS, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint8_t code[] = {0xcf};
        start(0, code, sizeof code);
        guest.state.rflags |= FLAG_NT;
        guest_put(&guest, GUEST_TSS + LINK, cases[i].link, 2);
        guest_put(&guest, GUEST_GDT + TSS2 + 5, cases[i].access, 1);
        expect_vector("IRET with NT", cases[i].vector);
        if (cases[i].vector != ARRIVED)
            assert_int_equal(guest_stack(&guest, 0), cases[i].error);
        else
            assert_int_equal(guest_get32(&guest, GUEST_TSS + EFLAGS), FLAG_ONE); /* no NT */
    }
}

/* The switch is done; the new task finds a segment that it cannot have. */
static void faults_in_the_new_task(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {LDT, LDT_SELECTOR, ARRIVED, 0},
        {LDT, DATA0, TS, DATA0},
        {LDT, LDT_SELECTOR | 4, TS, LDT_SELECTOR | 4},
        {CS, CONFORMING | 3, ARRIVED, 0},
        {CS, CODE0 | 3, TS, CODE0},
        {CS, DATA3 | 3, TS, DATA3},
        {CS, 3, TS, 0},
        {SS_, DATA3, TS, DATA3},
        {SS_, DATA0 | 3, TS, DATA0},
        {SS_, 3, TS, 0},
        {ES, 0, ARRIVED, 0},
        {ES, DATA0, TS, DATA0},
        {ES, CODE_EXECUTE_ONLY, TS, CODE_EXECUTE_ONLY},
        {ES, GUEST_GDT_LIMIT + 1, TS, GUEST_GDT_LIMIT + 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint8_t code[] = {0xea, 0, 0, 0, 0, TSS2, 0};
        start(0, code, sizeof code);
        put2(cases[i].offset, cases[i].selector);
        expect_vector("segment of a task", cases[i].vector);
        unsigned error = cases[i].vector == ARRIVED ? 0 : 4;
        if (error)
            assert_int_equal(guest_stack(&guest, 0), cases[i].error);
        assert_int_equal(guest_stack(&guest, error), TASK2_CODE + (error ? 0 : 2));
        assert_int_equal(guest.state.tr.selector, TSS2);
        assert_int_equal(guest.state.gpr[RSP], TASK2_STACK0 - 20 - error);
        assert_int_equal(guest_get32(&guest, GUEST_TSS + EIP), GUEST_CODE + 7);
    }
}

static void a_task_has_its_own_page_tables(void **state)
{
    (void)state;
    enum { DIRECTORY = 0x50000, OTHER = 0x51000, LARGE_PAGE = 0x87 };
    static const uint8_t code[] = {0xea, 0, 0, 0, 0, TSS2, 0};
    for (unsigned paging = 0; paging < 2; paging++) {
        start(0, code, sizeof code);
        guest_put(&guest, DIRECTORY, LARGE_PAGE, 4);
        guest_put(&guest, OTHER, LARGE_PAGE, 4);
        guest.state.cr3 = DIRECTORY;
        guest.state.cr4 = CR4_PSE;
        guest.state.cr0 |= paging ? CR0_PG : 0;
        put2(CR3, OTHER);
        expect_vector("a switch of CR3", ARRIVED);
        assert_int_equal(guest.state.cr3, paging ? OTHER : DIRECTORY);
    }
    /* A TSS that cannot be written: nothing is done. */
    start(0, code, sizeof code);
    guest_put(&guest, DIRECTORY, DIRECTORY + 0x2000 + 7, 4);
    for (unsigned page = 0; page < 1024; page++)
        guest_put(&guest, DIRECTORY + 0x2000 + 4 * page,
            page << 12 | (page == GUEST_TSS >> 12 ? 5 : 7), 4);
    guest.state.cr3 = DIRECTORY;
    guest.state.cr0 |= CR0_PG | CR0_WP;
    expect_vector("a write-protected TSS", 14);
    assert_int_equal(guest_stack(&guest, 0), 3);
    assert_int_equal(guest_stack(&guest, 4), GUEST_CODE);
    assert_int_equal(guest.state.cr2, GUEST_TSS + EIP);
    assert_int_equal(guest.state.tr.selector, TSS_SELECTOR);
}

static void the_trap_bit_raises_a_debug_exception(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xea, 0, 0, 0, 0, TSS2, 0};
    start(0, code, sizeof code);
    put2(TRAP, 1);
    expect_vector("the trap bit", DB);
    assert_int_equal(guest_stack(&guest, 0), TASK2_CODE);
    assert_int_equal(guest.state.dr6, 0xffff8ff0);
    static const uint8_t ud[] = {0x0f, 0x0b};
    start(0, ud, sizeof ud);
    put2(TRAP, 1);
    guest_put(&guest, GUEST_IDT + 8 * UD, make_gate(TSS2, 0, 0x85, 0), 8);
    expect_vector("the trap bit of a handler", DB);
    assert_int_equal(guest_stack(&guest, 0), TASK2_CODE);
    assert_int_equal(guest.state.dr6, 0xffff8ff0);
}

/* Offsets in a 16-bit TSS. */
enum { IP16 = 0x0e, FLAGS16 = 0x10, GPR16 = 0x12, ES16 = 0x22, LDT16 = 0x2a };

static void a_16_bit_tss_has_half_of_the_registers(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x9a, 0, 0, 0, 0, TSS16, 0, 0xcd, ARRIVED};
    static const uint8_t task[] = {0xf4, 0xcf}; /* HLT; IRET */
    start(0, code, sizeof code);
    memset(guest.memory.host + TSS2_AT, 0, 0x100);
    memcpy(guest.memory.host + 0x300, task, sizeof task);
    guest_put(&guest, TSS2_AT + IP16, 0x300, 2);
    guest_put(&guest, TSS2_AT + FLAGS16, 0x203, 2);
    for (unsigned i = 0; i < 8; i++)
        guest_put(&guest, TSS2_AT + GPR16 + 2 * i, 0x9000 + i, 2);
    for (unsigned i = 0; i < 4; i++)
        guest_put(&guest, TSS2_AT + ES16 + 2 * i, i == SEG_CS ? CODE16 : DATA0, 2);
    guest_put(&guest, TSS2_AT + LDT16, LDT_SELECTOR, 2);
    guest.state.gpr[RBX] = 0x12345678;
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);
    assert_int_equal(guest.state.rip, 0x301);
    assert_int_equal(guest.state.rflags, 0x203 | FLAG_NT);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(guest.state.gpr[i], 0x9000 + i);
    assert_int_equal(guest.state.segment[SEG_CS].selector, CODE16);
    assert_int_equal(guest.state.segment[SEG_GS].selector, DATA0); /* of the old task */
    assert_int_equal(guest.state.ldt.base, GUEST_LDT);
    assert_int_equal(guest.state.tr.selector, TSS16);
    assert_int_equal(guest_get32(&guest, TSS2_AT + LINK), TSS_SELECTOR);
    assert_int_equal(busy(TSS16), 1);
    guest.state.gpr[RCX] = 0x12345678;
    guest_continue(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest.state.gpr[RBX], 0x12345678);
    assert_int_equal(guest_get32(&guest, TSS2_AT + IP16), 0x302 | 0x203 << 16);
    assert_int_equal(guest_get32(&guest, TSS2_AT + GPR16), 0x9000 | 0x5678 << 16);
    assert_int_equal(guest_get32(&guest, TSS2_AT + LDT16) & 0xffff, LDT_SELECTOR);
    assert_int_equal(busy(TSS16), 0);
    /* An error code is pushed in its size; one byte less of TSS is too few. */
    static const uint8_t fault[] = {0x66, 0xb8, DATA_ABSENT, 0, 0x8e, 0xd8}; /* MOV DS, AX */
    for (unsigned small = 0; small < 2; small++) {
        start(0, fault, sizeof fault);
        guest_put(&guest, GUEST_GDT + TSS16, make_descriptor(TSS2_AT, 0x2b - small, 0x081), 8);
        guest_put(&guest, GUEST_IDT + 8 * NP, make_gate(TSS16, 0, 0x85, 0), 8);
        guest_put(&guest, TSS2_AT + IP16, 0x300, 2);
        guest_put(&guest, TSS2_AT + FLAGS16, 2, 2);
        guest_put(&guest, TSS2_AT + GPR16 + 2 * RSP, 0x700, 2);
        for (unsigned i = 0; i < 4; i++)
            guest_put(&guest, TSS2_AT + ES16 + 2 * i, i == SEG_CS ? CODE16 : DATA0, 2);
        guest_put(&guest, TSS2_AT + LDT16, 0, 2);
        guest.memory.host[0x300] = 0xf4;
        guest_import(&guest);
        guest_run(&guest);
        assert_int_equal(guest_vector(&guest), small ? DF : -1);
        if (!small) {
            assert_int_equal(guest.state.gpr[RSP], 0x6fe);
            assert_int_equal(guest_get32(&guest, 0x6fe) & 0xffff, DATA_ABSENT);
        }
    }
}

static void what_is_not_implemented_stops(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x9a, 0, 0, 0, 0, TSS2, 0};
    start(0, code, sizeof code);
    guest_put(&guest, 0x50000, 0x87, 4);
    guest_put(&guest, 0x51000, 0x51001, 8);
    guest_put(&guest, 0x52000, 0xffff, 8);
    for (unsigned page = 0; page < 2; page++)
        guest_put(&guest, 0x51000 + 8 * page, page << 21 | 0x87, 8);
    guest_put(&guest, 0x50000, 0x51001, 8);
    guest.state.cr3 = 0x50000;
    guest.state.cr4 = CR4_PAE;
    guest.state.cr0 |= CR0_PG;
    put2(CR3, 0x52000);
    expect_stop("not implemented: task switch to a bad page-directory pointer table: 9a "
                "00 00 00 00 a8 00 at 0x10000 in 32-bit protected mode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jump_saves_one_task_and_loads_another),
        cmocka_unit_test(a_call_nests_and_iret_returns),
        cmocka_unit_test(an_exception_can_be_a_task),
        cmocka_unit_test(an_external_interrupt_can_be_a_task),
        cmocka_unit_test(faults_in_the_old_task),
        cmocka_unit_test(iret_to_what_is_no_task),
        cmocka_unit_test(faults_in_the_new_task),
        cmocka_unit_test(a_task_has_its_own_page_tables),
        cmocka_unit_test(the_trap_bit_raises_a_debug_exception),
        cmocka_unit_test(a_16_bit_tss_has_half_of_the_registers),
        cmocka_unit_test(what_is_not_implemented_stops),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
