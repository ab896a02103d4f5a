/* Virtual-8086 mode of the software CPU; expectations from the SDM volume 3, chapter 21, and the
 * APM volume 2, section 2.9. */
#include "tests/unit/cpu/guest32.h"

enum { CODE_SEGMENT = 0x1040, AT = 0x10400, STACK_SEGMENT = 0x2800, POINTER = 0x100 };

#define IOPL3 (3u << 12)

/* Level 0 returns by IRET to `code` in virtual-8086 mode. */
static void enter(uint32_t eflags, const uint8_t *code, size_t size)
{
    static const uint8_t iret[] = {0xcf};
    static const uint32_t segments[] = {STACK_SEGMENT, 0x2001, 0x2002, 0x2003, 0x2004};
    guest_start(&guest, 0, iret, sizeof iret);
    uint32_t frame[9] = {0, CODE_SEGMENT, eflags | FLAG_VM | FLAG_ONE, POINTER};
    memcpy(frame + 4, segments, sizeof segments);
    guest.state.gpr[RSP] = GUEST_STACK0 - sizeof frame;
    memcpy(guest.memory.host + GUEST_STACK0 - sizeof frame, frame, sizeof frame);
    memcpy(guest.memory.host + AT, code, size);
    guest_import(&guest);
}

static void expect_vector(
    const char *name, uint32_t eflags, const uint8_t *code, size_t size, int vector)
{
    enter(eflags, code, size);
    guest_run(&guest);
    if (guest_vector(&guest) != vector)
        fail_msg("%s: vector %d, not %d", name, guest_vector(&guest), vector);
}

static void iret_enters_with_segments_as_in_real_mode(void **state)
{
    (void)state;
    struct vcpu_exit exit;
    static const uint8_t nop[] = {0x90};
    enter(IOPL3 | FLAG_IF, nop, sizeof nop);
    assert_int_equal(guest_try_run(&guest, 1, &exit), 0);
    assert_int_equal(guest.state.rip, 0);
    assert_int_equal(guest.state.gpr[RSP], POINTER);
    assert_true(guest.state.rflags == (IOPL3 | FLAG_IF | FLAG_VM | FLAG_ONE));
    assert_int_equal(vcpu_cpl(&guest.state), 3);
    static const uint16_t selectors[SEG_COUNT] = {
        0x2001, CODE_SEGMENT, STACK_SEGMENT, 0x2002, 0x2003, 0x2004};
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const struct segment *segment = &guest.state.segment[i];
        assert_int_equal(segment->selector, selectors[i]);
        assert_int_equal(segment->base, selectors[i] * 16);
        assert_int_equal(segment->limit, 0xffff);
        assert_int_equal(segment->attributes, 0xf3);
    }
}

static void segments_are_loaded_and_limited_as_in_real_mode(void **state)
{
    (void)state;
    /* MOV AX, 2345h; MOV DS, AX; MOV BYTE [10h], 77h; CALL FAR 1041:0010; ... INT 30h there */
    static const uint8_t code[0x12] = {
        0xb8, 0x45, 0x23, 0x8e, 0xd8, 0xc6, 0x06, 0x10, 0, 0x77, 0x9a, 0x02, 0, 0x41, 0x10};
    enter(IOPL3, code, sizeof code);
    guest.memory.host[AT + 0x12] = 0xcd;
    guest.memory.host[AT + 0x13] = ARRIVED;
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest.memory.host[0x23460], 0x77);
    assert_int_equal(
        guest_get32(&guest, STACK_SEGMENT * 16 + POINTER - 4), CODE_SEGMENT << 16 | 15);
    static const uint8_t beyond[] = {0xa1, 0xff, 0xff}; /* MOV AX, [FFFFh] */
    expect_vector("beyond the limit", IOPL3, beyond, sizeof beyond, GP);
}

static void interrupts_leave_to_level_0_with_all_segments(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xcd, ARRIVED};
    enter(IOPL3 | FLAG_IF, code, sizeof code);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    static const uint32_t frame[] = {
        2, CODE_SEGMENT, 0, POINTER, STACK_SEGMENT, 0x2001, 0x2002, 0x2003, 0x2004};
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - sizeof frame);
    for (unsigned i = 0; i < 9; i++) {
        if (i != 2 && guest_stack(&guest, 4 * i) != frame[i])
            fail_msg("word %u of the frame is %x", i, guest_stack(&guest, 4 * i));
    }
    assert_int_equal(guest_stack(&guest, 8), IOPL3 | FLAG_IF | FLAG_VM | FLAG_ONE);
    assert_false(guest.state.rflags & FLAG_VM);
    assert_int_equal(guest.state.segment[SEG_CS].selector, CODE0);
    assert_int_equal(guest.state.segment[SEG_DS].selector, 0);
    assert_int_equal(guest.state.segment[SEG_GS].selector, 0);
    /* A fault's frame has its error code below. */
    static const uint8_t halt[] = {0xf4};
    expect_vector("HLT", IOPL3, halt, sizeof halt, GP);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - sizeof frame - 4);
    assert_int_equal(guest_stack(&guest, 0), 0);
    /* A handler that is not of level 0 is a fault. */
    guest_start(&guest, 0, halt, sizeof halt);
    enter(IOPL3, code, sizeof code);
    guest_put(&guest, GUEST_IDT + 8 * ARRIVED, make_gate(CONFORMING, GUEST_HANDLERS, 0xee, 0), 8);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GP);
    assert_int_equal(guest_stack(&guest, 0), CONFORMING);
}

static void iopl_decides_over_interrupt_flag_and_int(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t code[3];
        int with_iopl; /* then, after it, INT 30h */
    } cases[] = {
        {"CLI", {0xfa, 0x90, 0x90}, ARRIVED},
        {"STI", {0xfb, 0x90, 0x90}, ARRIVED},
        {"PUSHF", {0x9c, 0x90, 0x90}, ARRIVED},
        {"POPF", {0x9d, 0x90, 0x90}, ARRIVED},
        {"INT", {0xcd, ARRIVED, 0x90}, ARRIVED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[5] = {0, 0, 0, 0xcd, ARRIVED};
        memcpy(code, cases[i].code, 3);
        expect_vector(cases[i].name, IOPL3, code, sizeof code, cases[i].with_iopl);
        expect_vector(cases[i].name, 0, code, sizeof code, GP);
    }
    static const uint8_t iret[] = {0xcf};
    expect_vector("IRET", 0, iret, sizeof iret, GP);
    static const uint8_t int3[] = {0xcc}; /* asks the gate alone */
    enter(0, int3, sizeof int3);
    guest_put(&guest, GUEST_IDT + 8 * 3, make_gate(CODE0, GUEST_HANDLERS + 48, 0xee, 0), 8);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), 3);
}

static void iret_inside_keeps_iopl_and_vm(void **state)
{
    (void)state;
    /* PUSH 0 (flags); PUSH 1040h; PUSH 10h; IRET; at 10h: INT 30h */
    static const uint8_t code[0x12] = {
        0x6a, 0, 0x68, 0x40, 0x10, 0x6a, 0x10, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0, 0xcd, ARRIVED};
    expect_vector("IRET", IOPL3 | FLAG_IF, code, sizeof code, ARRIVED);
    assert_int_equal(guest_stack(&guest, 8), IOPL3 | FLAG_VM | FLAG_ONE);
}

static void ports_ask_the_permission_map_alone(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xe6, 0x42}; /* OUT 42h, AL */
    struct vcpu_exit exit;
    enter(0, code, sizeof code);
    assert_int_equal(guest_try_run(&guest, 10, &exit), 0);
    assert_int_equal(exit.kind, EXIT_PIO_OUT);
    engine_complete(guest.engine, 0, &guest.error);
    enter(IOPL3, code, sizeof code);
    guest_put(&guest, GUEST_TSS + 0x68 + 0x42 / 8, 1 << 0x42 % 8, 1);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GP);
}

static void system_instructions_are_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t code[3];
        int vector;
    } cases[] = {
        {"HLT", {0xf4}, GP},
        {"MOV EAX, CR0", {0x0f, 0x20, 0xc0}, GP},
        {"CLTS", {0x0f, 0x06}, GP},
        {"SLDT AX", {0x0f, 0x00, 0xc0}, UD},
        {"STR AX", {0x0f, 0x00, 0xc8}, UD},
        {"LAR AX, AX", {0x0f, 0x02, 0xc0}, UD},
        {"ARPL AX, AX", {0x63, 0xc0}, UD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_vector(cases[i].name, IOPL3, cases[i].code, 3, cases[i].vector);
}

static void a_task_can_be_one_of_virtual_8086_mode(void **state)
{
    (void)state;
    enum { TSS2 = 0xa8, TSS2_AT = 0x5000, EIP = 0x20, EFLAGS = 0x24, ESP_ = 0x38, ES = 0x48 };
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2, 0};
    static const uint8_t arrive[] = {0xcd, ARRIVED};
    guest_start(&guest, 0, jump, sizeof jump);
    guest_put(&guest, GUEST_GDT + TSS_SELECTOR + 5, 0x8b, 1);
    guest_put(&guest, GUEST_GDT + TSS2, make_descriptor(TSS2_AT, 0x67, 0x089), 8);
    guest_put(&guest, TSS2_AT + 4, GUEST_STACK0, 4);
    guest_put(&guest, TSS2_AT + 8, DATA0, 4);
    guest_put(&guest, TSS2_AT + EFLAGS, IOPL3 | FLAG_VM | FLAG_ONE, 4);
    guest_put(&guest, TSS2_AT + ESP_, POINTER, 4);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        guest_put(&guest, TSS2_AT + ES + 4 * i, i == SEG_CS ? CODE_SEGMENT : STACK_SEGMENT, 4);
    memcpy(guest.memory.host + AT, arrive, sizeof arrive);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 0), 2);
    assert_int_equal(guest_stack(&guest, 4), CODE_SEGMENT);
    assert_int_equal(guest_stack(&guest, 16), STACK_SEGMENT);
    assert_int_equal(guest.state.tr.selector, TSS2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iret_enters_with_segments_as_in_real_mode),
        cmocka_unit_test(segments_are_loaded_and_limited_as_in_real_mode),
        cmocka_unit_test(interrupts_leave_to_level_0_with_all_segments),
        cmocka_unit_test(iopl_decides_over_interrupt_flag_and_int),
        cmocka_unit_test(iret_inside_keeps_iopl_and_vm),
        cmocka_unit_test(ports_ask_the_permission_map_alone),
        cmocka_unit_test(system_instructions_are_not_there),
        cmocka_unit_test(a_task_can_be_one_of_virtual_8086_mode),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
