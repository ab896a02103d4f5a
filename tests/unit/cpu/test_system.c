/* Segmentation, far transfers, gates and interrupts of the software CPU outside 64-bit mode,
 * instruction by instruction; expectations from APM volumes 2 and 3. */
#include "tests/unit/cpu/guest32.h"

/* ---- Segment registers ----------------------------------------------------------------------- */

static void loading_data_segments(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl;
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, 0, ARRIVED, 0},
        {0, 3, ARRIVED, 0},
        {0, DATA0, ARRIVED, 0},
        {0, DATA0 | 3, GP, DATA0}, /* RPL above DPL */
        {0, DATA3, ARRIVED, 0},
        {0, CODE0, ARRIVED, 0}, /* readable code */
        {0, CODE_EXECUTE_ONLY, GP, CODE_EXECUTE_ONLY},
        {0, DATA_ABSENT, NP, DATA_ABSENT},
        {0, TSS_SELECTOR, GP, TSS_SELECTOR},
        {0, CALL_GATE, GP, CALL_GATE},
        {0, GUEST_GDT_LIMIT + 1, GP, GUEST_GDT_LIMIT + 1},
        {0, 8 | 4, GP, 8 | 4}, /* no LDT */
        {3, DATA3 | 3, ARRIVED, 0},
        {3, DATA3, ARRIVED, 0},
        {3, DATA0, GP, DATA0},
        {3, CODE0 | 3, GP, CODE0},
        {3, CONFORMING | 3, ARRIVED, 0},
        {3, DATA_READ_ONLY, GP, DATA_READ_ONLY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* MOV AX, imm; MOV DS, AX; INT 30h */
        uint8_t code[] = {0x66, 0xb8, (uint8_t)cases[i].selector, (uint8_t)(cases[i].selector >> 8),
            0x8e, 0xd8, 0xcd, ARRIVED};
        expect("MOV DS", code, sizeof code, cases[i].cpl, cases[i].vector, cases[i].error);
        if (cases[i].vector != ARRIVED)
            continue;
        assert_int_equal(guest.state.segment[SEG_DS].selector, cases[i].selector);
        bool null = cases[i].selector < 4;
        assert_int_equal((guest.state.segment[SEG_DS].attributes & SEG_P) != 0, !null);
        if (!null) /* the accessed bit is set in the table */
            assert_int_equal(
                guest_get32(&guest, GUEST_GDT + (cases[i].selector & ~7) + 4) >> 8 & 1, 1);
    }
}

static void loading_the_stack_segment(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl;
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, DATA0, ARRIVED, 0},
        {0, 0, GP, 0},
        {0, DATA0 | 3, GP, DATA0},
        {0, DATA3 | 3, GP, DATA3},
        {0, DATA_READ_ONLY, GP, DATA_READ_ONLY},
        {0, DATA_ABSENT, SS, DATA_ABSENT},
        {0, CODE0, GP, CODE0},
        {3, DATA3 | 3, ARRIVED, 0},
        {3, DATA3, GP, DATA3},
        {3, DATA0 | 3, GP, DATA0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {0x66, 0xb8, (uint8_t)cases[i].selector, 0, 0x8e, 0xd0, 0xcd, ARRIVED};
        expect("MOV SS", code, sizeof code, cases[i].cpl, cases[i].vector, cases[i].error);
    }
    static const uint8_t cs[] = {0x8e, 0xc8};
    expect("MOV CS", cs, sizeof cs, 0, UD, 0);
    static const uint8_t none[] = {0x8e, 0xf0};
    expect("MOV to segment 6", none, sizeof none, 0, UD, 0);
}

static void loading_system_registers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t modrm; /* 0F 00 */
        unsigned cpl;
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {"LLDT", 0xd0, 0, LDT_SELECTOR, ARRIVED, 0},
        {"LLDT", 0xd0, 0, 0, ARRIVED, 0},
        {"LLDT", 0xd0, 0, TSS_SELECTOR, GP, TSS_SELECTOR},
        {"LLDT", 0xd0, 0, LDT_SELECTOR | 4, GP, LDT_SELECTOR | 4},
        {"LLDT", 0xd0, 3, LDT_SELECTOR, GP, 0},
        {"LTR", 0xd8, 0, TSS_SELECTOR, ARRIVED, 0},
        {"LTR", 0xd8, 0, 0, GP, 0},
        {"LTR", 0xd8, 0, LDT_SELECTOR, GP, LDT_SELECTOR},
        {"LTR", 0xd8, 3, TSS_SELECTOR, GP, 0},
        {"STR", 0xc8, 3, 0, ARRIVED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {
            0x66, 0xb8, (uint8_t)cases[i].selector, 0, 0x0f, 0x00, cases[i].modrm, 0xcd, ARRIVED};
        expect(cases[i].name, code, sizeof code, cases[i].cpl, cases[i].vector, cases[i].error);
    }
    /* A second LTR finds the TSS busy. */
    static const uint8_t twice[] = {
        0x66, 0xb8, TSS_SELECTOR, 0, 0x0f, 0x00, 0xd8, 0x0f, 0x00, 0xd8};
    expect("LTR twice", twice, sizeof twice, 0, GP, TSS_SELECTOR);
    /* LLDT, then a segment from it. */
    static const uint8_t ldt[] = {0x66, 0xb8, LDT_SELECTOR, 0, 0x0f, 0x00, 0xd0, 0x66, 0xb8, 8 | 7,
        0, 0x8e, 0xd8, 0xcd, ARRIVED};
    expect("segment of the LDT", ldt, sizeof ldt, 0, ARRIVED, 0);
    assert_int_equal(guest.state.segment[SEG_DS].selector, 8 | 7);
}

static void looking_at_descriptors(void **state)
{
    (void)state;
    enum { LAR = 0x02, LSL = 0x03, VERR = 0xe0, VERW = 0xe8 };
    static const struct {
        unsigned operation, cpl;
        uint16_t selector;
        bool zf;
        uint32_t value;
    } cases[] = {
        {LAR, 0, DATA0, true, 0xcf9200},
        {LAR, 0, CODE0, true, 0xcf9a00},
        {LAR, 0, TSS_SELECTOR, true, 0x008900},
        {LAR, 0, CALL_GATE, true, 0x01ec00}, /* with a bit of its offset */
        {LAR, 0, TASK_GATE, true, 0x00e500},
        {LAR, 0, 0, false, 0},
        {LAR, 0, GUEST_GDT_LIMIT + 1, false, 0},
        {LAR, 3, DATA0, false, 0},
        {LAR, 3, DATA3 | 3, true, 0xcff200},
        {LAR, 3, CONFORMING | 3, true, 0xcf9e00},
        {LAR, 0, DATA0 | 3, false, 0},
        {LSL, 0, DATA0, true, 0xffffffff},
        {LSL, 0, DATA_SMALL, true, 0xfff},
        {LSL, 0, TSS_SELECTOR, true, 0x88},
        {LSL, 0, CALL_GATE, false, 0},
        {VERR, 0, CODE0, true, 0},
        {VERR, 0, CODE_EXECUTE_ONLY, false, 0},
        {VERR, 0, TSS_SELECTOR, false, 0},
        {VERR, 3, DATA0, false, 0},
        {VERR, 3, DATA3, true, 0},
        {VERW, 0, DATA0, true, 0},
        {VERW, 0, DATA_READ_ONLY, false, 0},
        {VERW, 0, CODE0, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool verify = cases[i].operation >= VERR;
        /* MOV AX, selector; LAR/LSL EBX, EAX or VERR/VERW AX; INT 30h */
        uint8_t code[] = {0x66, 0xb8, (uint8_t)cases[i].selector, 0, 0x0f,
            verify ? 0x00 : (uint8_t)cases[i].operation,
            verify ? (uint8_t)cases[i].operation : 0xd8, 0xcd, ARRIVED};
        guest_start(&guest, cases[i].cpl, code, sizeof code);
        guest.state.gpr[RBX] = 0x77777777;
        guest_import(&guest);
        guest_run(&guest);
        assert_int_equal(guest_vector(&guest), ARRIVED);
        if (((guest.state.rflags & FLAG_ZF) != 0) != cases[i].zf)
            fail_msg("%x of %x: ZF is not %d", cases[i].operation, cases[i].selector, cases[i].zf);
        if (!verify)
            assert_int_equal(guest.state.gpr[RBX], cases[i].zf ? cases[i].value : 0x77777777);
    }
}

/* ---- Stacks of 16 bits ----------------------------------------------------------------------- */

/* ENTER with operands of 32 bits: the frame pointer is all of ESP (SDM volume 2, ENTER). */
static void enter_on_a_narrow_stack(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xc8, 8, 0, 2, 0xf4}; /* ENTER 8, 2; HLT */
    guest_start(&guest, 0, code, sizeof code);
    guest.state.segment[SEG_SS] =
        (struct segment){.base = 0x20000, .limit = 0xffff, .selector = DATA0, .attributes = 0x93};
    guest.state.gpr[RSP] = 0x10000;
    guest.state.gpr[RBP] = 0x5fff0;
    guest_put(&guest, 0x2ffec, 0x12345678, 4);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.gpr[RBP], 0x1fffc);
    assert_int_equal(guest.state.gpr[RSP], 0x1ffec);
    assert_int_equal(guest_get32(&guest, 0x2fffc), 0x5fff0);
    assert_int_equal(guest_get32(&guest, 0x2fff8), 0x12345678);
    assert_int_equal(guest_get32(&guest, 0x2fff4), 0x1fffc);
}

/* ---- Far transfers --------------------------------------------------------------------------- */

static void far_jumps(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl;
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, CODE0, ARRIVED, 0},
        {0, CODE0 | 3, GP, CODE0},
        {0, CODE3, GP, CODE3},
        {0, CONFORMING | 3, ARRIVED, 0},
        {0, DATA0, GP, DATA0},
        {0, 0, GP, 0},
        {0, CODE16, GP, 0}, /* beyond its limit */
        {0, CODE_ABSENT, NP, CODE_ABSENT},
        {0, LDT_SELECTOR, GP, LDT_SELECTOR},
        {0, CALL_GATE_ABSENT, NP, CALL_GATE_ABSENT},
        {3, CODE3 | 3, ARRIVED, 0},
        {3, CODE0, GP, CODE0},
        {3, CONFORMING, ARRIVED, 0},
        {3, CALL_GATE, GP, CODE0}, /* a jump cannot go inward */
        {3, CALL_GATE_DPL0 | 3, GP, CALL_GATE_DPL0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {0xea, (uint8_t)GUEST_OTHER, GUEST_OTHER >> 8 & 0xff, GUEST_OTHER >> 16, 0,
            (uint8_t)cases[i].selector, 0};
        expect("JMP far", code, sizeof code, cases[i].cpl, cases[i].vector, cases[i].error);
        if (cases[i].vector == ARRIVED) /* CS as pushed by INT: RPL is the CPL */
            assert_int_equal(guest_stack(&guest, 4), (cases[i].selector & ~3u) | cases[i].cpl);
    }
    uint8_t gate[] = {0xea, 0, 0, 0, 0, CALL_GATE, 0};
    guest_start(&guest, 0, gate, sizeof gate);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_GATE + 1); /* the gate's offset counts */
}

static void call_gate_to_an_inner_level(void **state)
{
    (void)state;
    /* PUSH 11h; PUSH 22h; CALL far gate; INT 30h */
    static const uint8_t code[] = {
        0x6a, 0x11, 0x6a, 0x22, 0x9a, 0, 0, 0, 0, CALL_GATE | 3, 0, 0xcd, ARRIVED};
    guest_start(&guest, 3, code, sizeof code);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_GATE + 1);
    assert_int_equal(vcpu_cpl(&guest.state), 0);
    assert_int_equal(guest.state.segment[SEG_CS].selector, CODE0);
    assert_int_equal(guest.state.segment[SEG_SS].selector, DATA0);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - 24);
    static const uint32_t frame[] = {
        GUEST_CODE + 11, CODE3 | 3, 0x22, 0x11, GUEST_STACK3 - 8, DATA3 | 3};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(guest_stack(&guest, 4 * i), frame[i]);
    guest.state.segment[SEG_ES] = flat_segment(DATA0, 0xc93); /* not for ring 3 */
    guest_continue(&guest);                                   /* RETF 8 */
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 4), CODE3 | 3);
    assert_int_equal(guest_stack(&guest, 12), GUEST_STACK3); /* both stacks' parameters are gone */
    assert_int_equal(guest.state.segment[SEG_ES].attributes, 0);
    assert_int_equal(guest.state.segment[SEG_DS].selector, DATA3 | 3);
}

static void call_gate_of_16_bits(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x66, 0x6a, 0x11, 0x9a, 0, 0, 0, 0, CALL_GATE16 | 3, 0};
    guest_start(&guest, 3, code, sizeof code);
    guest.memory.host[0x200] = 0xf4;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, 0x201);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - 10);
    static const uint16_t frame[] = {
        (GUEST_CODE + 10) & 0xffff, CODE3 | 3, 0x11, (GUEST_STACK3 - 2) & 0xffff, DATA3 | 3};
    assert_memory_equal(guest.memory.host + GUEST_STACK0 - 10, frame, sizeof frame);
}

static void far_returns_that_fault(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl;
        uint16_t cs, ss;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, CODE0, 0, ARRIVED, 0}, {0, CODE3 | 3, DATA3 | 3, ARRIVED, 0},
        {0, CODE3 | 3, DATA3, GP, DATA3}, /* RPL is not the level returned to */
        {0, CODE3 | 3, DATA0 | 3, GP, DATA0}, {0, CODE3 | 3, 0, GP, 0},
        {0, CODE3, DATA3, GP, CODE3}, /* DPL is not RPL */
        {0, 0, 0, GP, 0}, {0, DATA0, 0, GP, DATA0}, {0, CODE_ABSENT, 0, NP, CODE_ABSENT},
        {3, CODE0, 0, GP, CODE0}, /* inward */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* PUSH SS; PUSH ESP; PUSH CS; PUSH EIP; RETF */
        uint8_t code[] = {0x6a, (uint8_t)cases[i].ss, 0x68, (uint8_t)GUEST_STACK3,
            GUEST_STACK3 >> 8 & 0xff, GUEST_STACK3 >> 16, 0, 0x68, (uint8_t)cases[i].cs, 0, 0, 0,
            0x68, (uint8_t)GUEST_OTHER, GUEST_OTHER >> 8 & 0xff, GUEST_OTHER >> 16, 0, 0xcb};
        expect("RETF", code, sizeof code, cases[i].cpl, cases[i].vector, cases[i].error);
    }
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

static void software_interrupts(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl;
        uint8_t vector;
        int taken;
        uint32_t error;
    } cases[] = {
        {3, ARRIVED, ARRIVED, 0}, {3, GATE_DPL0, GP, GATE_DPL0 * 8 + 2},
        {0, GATE_DPL0, GATE_DPL0, 0},
        {3, GATE_BAD, GP, GATE_BAD * 8 + 2}, /* a call gate in the IDT */
        {3, GATE_ABSENT, NP, GATE_ABSENT * 8 + 2},
        {0, 0x80, GP, 0x80 * 8 + 2}, /* beyond the limit */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {0xcd, cases[i].vector};
        expect("INT", code, sizeof code, cases[i].cpl, cases[i].taken, cases[i].error);
        unsigned skip = cases[i].taken == GP || cases[i].taken == NP ? 4 : 0;
        /* A fault points at the INT, the interrupt after it. */
        assert_int_equal(guest_stack(&guest, skip), GUEST_CODE + (skip ? 0 : 2));
    }
}

static void interrupt_frames(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xcd, GATE_TRAP, 0xcd, ARRIVED};
    guest_start(&guest, 3, code, sizeof code);
    guest.state.rflags = FLAG_ONE | FLAG_IF | FLAG_NT | FLAG_CF;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GATE_TRAP);
    static const uint32_t frame[] = {GUEST_CODE + 2, CODE3 | 3, 0x4203, GUEST_STACK3, DATA3 | 3};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(guest_stack(&guest, 4 * i), frame[i]);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - 20);
    assert_int_equal(guest.state.rflags, FLAG_ONE | FLAG_IF | FLAG_CF); /* a trap gate keeps IF */
    guest_continue(&guest); /* IRET, then an interrupt gate */
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 8), 0x4203);
    assert_int_equal(guest.state.rflags, FLAG_ONE | FLAG_CF);
    /* A 16-bit gate pushes words. Its handler lies below 64 KiB. */
    static const uint8_t narrow[] = {0xcd, GATE_16};
    guest_start(&guest, 3, narrow, sizeof narrow);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GATE_16);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0 - 10);
}

static void faults_push_rf_and_the_rip_of_the_instruction(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x90, 0x0f, 0x0b}; /* NOP; UD2 */
    expect("UD2", code, sizeof code, 3, UD, 0);
    assert_int_equal(guest_stack(&guest, 0), GUEST_CODE + 1);
    assert_int_equal(guest_stack(&guest, 8), FLAG_ONE | FLAG_RF);
    static const uint8_t step[] = {0x90, 0x90};
    guest_start(&guest, 3, step, sizeof step);
    guest.state.rflags |= FLAG_TF;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), DB);
    assert_int_equal(guest_stack(&guest, 0), GUEST_CODE + 1);
    assert_int_equal(guest_stack(&guest, 8), FLAG_ONE | FLAG_TF); /* a trap: no RF */
    assert_true(guest.state.dr6 == 0xffff4ff0);
}

static void bad_stacks_for_the_handler(void **state)
{
    (void)state;
    static const struct {
        uint32_t tss_ss, tss_limit;
        int vector;
        uint32_t error;
    } cases[] = {
        {DATA0, 0x88, ARRIVED, 0},
        {0, 0x88, TS, 0},
        {DATA3 | 3, 0x88, TS, DATA3},
        {DATA_READ_ONLY, 0x88, TS, DATA_READ_ONLY},
        {DATA_ABSENT, 0x88, SS, DATA_ABSENT},
        {GUEST_GDT_LIMIT + 1, 0x88, TS, GUEST_GDT_LIMIT + 1},
        {DATA0, 8, TS, TSS_SELECTOR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint8_t code[] = {0xcd, ARRIVED};
        guest_start(&guest, 3, code, sizeof code);
        /* Handlers that need no stack of the TSS: conforming code runs in ring 3. */
        for (unsigned vector = TS; vector <= GP; vector++)
            guest_put(&guest, GUEST_IDT + 8 * vector,
                make_gate(CONFORMING, 0x10300 + 16 * vector, 0x8e, 0), 8);
        for (unsigned vector = TS; vector <= GP; vector++)
            guest_put(&guest, 0x10300 + 16 * vector, 0xe4, 2); /* IN AL, 0 */
        guest_put(&guest, GUEST_TSS + 8, cases[i].tss_ss, 4);
        guest.state.tr.limit = cases[i].tss_limit;
        guest.state.rflags |= FLAG_IOPL;
        guest_import(&guest);
        struct vcpu_exit exit = guest_run(&guest);
        if (cases[i].vector == ARRIVED) {
            assert_int_equal(guest_vector(&guest), ARRIVED);
            continue;
        }
        assert_int_equal(exit.kind, EXIT_PIO_IN);
        assert_int_equal(guest.state.rip, 0x10300 + 16 * cases[i].vector);
        assert_int_equal(guest_stack(&guest, 0), cases[i].error);
        assert_int_equal(guest_stack(&guest, 4), GUEST_CODE); /* the INT itself */
        assert_int_equal(guest.state.gpr[RSP], GUEST_STACK3 - 16);
    }
}

static void faults_while_delivering(void **state)
{
    (void)state;
    static const uint8_t ud[] = {0x0f, 0x0b}, gp[] = {0x66, 0xb8, 0x10, 0, 0x8e, 0xd8};
    /* #UD is benign: its gate's #NP is delivered instead, with IDT and EXT in the error code. */
    guest_start(&guest, 3, ud, sizeof ud);
    guest_put(&guest, GUEST_IDT + 8 * UD + 5, 0x0e, 1);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), NP);
    assert_int_equal(guest_stack(&guest, 0), UD * 8 + 3);
    /* #GP, then #NP: both contributory. */
    guest_start(&guest, 3, gp, sizeof gp);
    guest_put(&guest, GUEST_IDT + 8 * GP + 5, 0x0e, 1);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), DF);
    assert_int_equal(guest_stack(&guest, 0), 0);
    assert_int_equal(guest_stack(&guest, 4), GUEST_CODE + 4);
    /* ... and no double fault handler. */
    guest_start(&guest, 3, gp, sizeof gp);
    guest_put(&guest, GUEST_IDT + 8 * GP + 5, 0x0e, 1);
    guest_put(&guest, GUEST_IDT + 8 * DF + 5, 0x0e, 1);
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_SHUTDOWN);
    guest_start(&guest, 0, ud, sizeof ud);
    guest.state.idt.limit = 0;
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_SHUTDOWN);
}

static void exceptions_without_end(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x0b};
    guest_start(&guest, 0, code, sizeof code);
    guest_put(&guest, GUEST_HANDLERS + 16 * UD, 0x0b0f, 2); /* the handler is UD2, too */
    guest.state.gpr[RSP] = GUEST_RAM; /* far from what the pushes must not overwrite */
    guest_import(&guest);
    struct vcpu_exit exit;
    assert_int_equal(guest_try_run(&guest, 10, &exit), -1);
    assert_int_equal(exit.kind, EXIT_ERROR);
    assert_non_null(strstr(guest.error.text, "the guest raises exceptions endlessly"));
    guest_start(&guest, 0, code, sizeof code); /* the engine itself is not */
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), UD);
}

static void iret_and_flags(void **state)
{
    (void)state;
    static const struct {
        unsigned cpl, iopl;
        uint32_t popped, expected;
    } cases[] = {
        {0, 0, 0x3202, 0x3202},                               /* IOPL and IF */
        {3, 0, 0x3202, 0x0002},                               /* neither */
        {3, 3, 0x0202, 0x3202},                               /* IF, and IOPL stays */
        {3, 0, 0x240cd7, 0x240cd7 & ~0x8u},                   /* ID, AC, arithmetic */
        {0, 0, 0xffdc8028 & ~0x10000u, 0x00180002 | 0x40000}, /* VIF, VIP and AC; no reserved bit */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned cs = cases[i].cpl ? CODE3 | 3 : CODE0;
        uint8_t code[] = {0x68, 0, 0, 0, 0, 0x6a, (uint8_t)cs, 0x68, (uint8_t)GUEST_OTHER,
            GUEST_OTHER >> 8 & 0xff, GUEST_OTHER >> 16, 0, 0xcf};
        memcpy(code + 1, &cases[i].popped, 4);
        guest_start(&guest, cases[i].cpl, code, sizeof code);
        guest.state.rflags |= (uint64_t)cases[i].iopl << 12;
        guest_import(&guest);
        guest_run(&guest);
        assert_int_equal(guest_vector(&guest), ARRIVED);
        assert_int_equal(guest_stack(&guest, 8), cases[i].expected);
    }
}

/* PUSH flags, CS, GUEST_CODE + 15; IRET; NOP, NOP: four instructions up to the place after the
 * IRET. */
static void start_iret_with_rf(bool guest_breakpoint)
{
    static const uint8_t code[] = {0x68, 0x02, 0x02, 0x01, 0x00, 0x6a, CODE0, 0x68,
        (GUEST_CODE + 15) & 0xff, GUEST_CODE >> 8 & 0xff, GUEST_CODE >> 16, 0, 0xcf, 0xf4, 0xf4,
        0x90, 0x90, 0xf4};
    struct vcpu_exit exit;
    guest_start(&guest, 0, code, sizeof code);
    if (guest_breakpoint) { /* on the instruction that the IRET goes to */
        guest.state.dr[0] = GUEST_CODE + 15;
        guest.state.dr7 |= 1;
    }
    guest_import(&guest);
    assert_int_equal(guest_try_run(&guest, 4, &exit), 0);
    assert_int_equal(exit.kind, EXIT_BUDGET);
    assert_int_equal(guest.state.rip, GUEST_CODE + 15);
    assert_true(guest.state.rflags & FLAG_RF);
}

static void rf_from_iret_lasts_until_the_next_instruction_is_complete(void **state)
{
    (void)state;
    struct vcpu_exit exit;
    for (unsigned breakpoint = 0; breakpoint < 2; breakpoint++) {
        start_iret_with_rf(breakpoint);
        /* Exported and imported again there, as for a change of engine. */
        guest_import(&guest);
        assert_int_equal(guest_try_run(&guest, 1, &exit), 0);
        assert_int_equal(exit.kind, EXIT_BUDGET);
        assert_int_equal(guest.state.rip, GUEST_CODE + 16); /* the breakpoint was held off */
        assert_false(guest.state.rflags & FLAG_RF);
        /* An interrupt pushes RF as it stands. */
        for (unsigned after = 0; after < 2; after++) {
            start_iret_with_rf(breakpoint);
            if (after)
                assert_int_equal(guest_try_run(&guest, 1, &exit), 0);
            assert_int_equal(engine_interrupt(guest.engine, ARRIVED, &guest.error), 0);
            guest_run(&guest);
            assert_int_equal(guest_vector(&guest), ARRIVED);
            assert_int_equal(guest_stack(&guest, 0), GUEST_CODE + 15 + after);
            assert_int_equal(guest_stack(&guest, 8), FLAG_ONE | FLAG_IF | (after ? 0 : FLAG_RF));
            assert_false(guest.state.rflags & FLAG_RF);
        }
    }
}

static void external_interrupts(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xfb, 0x90, 0x90, 0x90}; /* STI; NOPs */
    guest_start(&guest, 3, code, sizeof code);
    guest.state.rflags |= FLAG_IOPL;
    guest_import(&guest);
    const struct engine_ops *ops = guest.engine->ops;
    assert_false(ops->interruptible(guest.engine));
    assert_int_equal(ops->interrupt(guest.engine, 0x20, &guest.error), -1);
    const struct run_request request = {.budget = 100, .stop_when_interruptible = true};
    struct vcpu_exit exit;
    assert_int_equal(ops->run(guest.engine, &request, &exit, &guest.error), 0);
    assert_int_equal(exit.kind, EXIT_WINDOW);
    ops->export_state(guest.engine, &guest.state, &guest.error);
    assert_int_equal(guest.state.rip, GUEST_CODE + 2); /* one instruction after STI */
    assert_int_equal(ops->interrupt(guest.engine, 0x20, &guest.error), 0);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), 0x20);
    assert_int_equal(guest_stack(&guest, 0), GUEST_CODE + 2);
    assert_int_equal(guest.state.rflags & FLAG_IF, 0);
}

static void an_nmi_needs_no_interrupt_flag_and_waits_for_the_iret_of_another(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x90, 0x90, 0x90, 0xf4};
    guest_start(&guest, 3, code, sizeof code);
    guest.state.rflags &= ~FLAG_IF;
    guest_import(&guest);
    const struct engine_ops *ops = guest.engine->ops;
    assert_int_equal(ops->nmi(guest.engine, &guest.error), 0);
    ops->export_state(guest.engine, &guest.state, &guest.error);
    assert_true(guest.state.nmi_blocked);
    assert_false(vcpu_takes_nmi(&guest.state));
    assert_int_equal(ops->nmi(guest.engine, &guest.error), -1);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), 2);
    assert_int_equal(guest_stack(&guest, 0), GUEST_CODE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_data_segments),
        cmocka_unit_test(loading_the_stack_segment),
        cmocka_unit_test(loading_system_registers),
        cmocka_unit_test(looking_at_descriptors),
        cmocka_unit_test(enter_on_a_narrow_stack),
        cmocka_unit_test(far_jumps),
        cmocka_unit_test(call_gate_to_an_inner_level),
        cmocka_unit_test(call_gate_of_16_bits),
        cmocka_unit_test(far_returns_that_fault),
        cmocka_unit_test(software_interrupts),
        cmocka_unit_test(interrupt_frames),
        cmocka_unit_test(faults_push_rf_and_the_rip_of_the_instruction),
        cmocka_unit_test(bad_stacks_for_the_handler),
        cmocka_unit_test(faults_while_delivering),
        cmocka_unit_test(exceptions_without_end),
        cmocka_unit_test(iret_and_flags),
        cmocka_unit_test(rf_from_iret_lasts_until_the_next_instruction_is_complete),
        cmocka_unit_test(external_interrupts),
        cmocka_unit_test(an_nmi_needs_no_interrupt_flag_and_waits_for_the_iret_of_another),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
