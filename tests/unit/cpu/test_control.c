/* Fast system calls, control registers, MSRs, ports and changes of mode of the software CPU;
 * expectations from APM volumes 2 and 3. */
#include "tests/unit/cpu/guest32.h"

#include "vmm/arch/cpuid.h"

/* ---- Fast system calls ----------------------------------------------------------------------- */

static void sysenter_and_sysexit(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x34};
    guest_start(&guest, 3, code, sizeof code);
    guest.state.sysenter_cs = CODE0;
    guest.state.sysenter_eip = GUEST_GATE;
    guest.state.sysenter_esp = GUEST_STACK0;
    guest.state.rflags |= FLAG_IF;
    guest_put(&guest, GUEST_GATE, 0x350ff4, 3); /* HLT; SYSEXIT */
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_GATE + 1);
    assert_int_equal(vcpu_cpl(&guest.state), 0);
    assert_int_equal(guest.state.gpr[RSP], GUEST_STACK0);
    assert_int_equal(guest.state.segment[SEG_CS].selector, CODE0);
    assert_int_equal(guest.state.segment[SEG_SS].selector, CODE0 + 8);
    assert_int_equal(guest.state.rflags & FLAG_IF, 0);
    guest.state.gpr[RDX] = GUEST_OTHER;
    guest.state.gpr[RCX] = 0x28000;
    guest_continue(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 4), (CODE0 + 16) | 3);
    assert_int_equal(guest_stack(&guest, 12), 0x28000);
    expect("SYSENTER without a selector", code, sizeof code, 3, GP, 0);
    static const uint8_t sysexit[] = {0x0f, 0x35};
    guest_start(&guest, 3, sysexit, sizeof sysexit);
    guest.state.sysenter_cs = CODE0;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GP);
}

static void legacy_syscall_and_sysret(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x05, 0xcd, ARRIVED};
    expect("SYSCALL without EFER.SCE", code, sizeof code, 3, UD, 0);
    guest_start(&guest, 3, code, sizeof code);
    guest.state.efer = EFER_SCE;
    guest.state.star = (uint64_t)(CODE3 | 3) << 48 | (uint64_t)CODE0 << 32 | GUEST_GATE;
    guest_put(&guest, GUEST_GATE, 0x070ff4, 3); /* HLT; SYSRET */
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_GATE + 1);
    assert_int_equal(guest.state.gpr[RCX], GUEST_CODE + 2);
    assert_int_equal(vcpu_cpl(&guest.state), 0);
    guest_continue(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest_stack(&guest, 4), CODE3 | 3);
    assert_int_equal(guest_stack(&guest, 8) & FLAG_IF, FLAG_IF);
    assert_int_equal(guest_stack(&guest, 16), DATA3 | 3);
}

/* ---- Control state --------------------------------------------------------------------------- */

static void control_registers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t opcode, modrm; /* 0F xx with EAX */
        unsigned cpl;
        uint32_t value;
        int vector;
    } cases[] = {
        {"CR0 as it is", 0x22, 0xc0, 0, CR0_PE | CR0_ET, ARRIVED},
        {"CR0.PG without PE", 0x22, 0xc0, 0, 0x80000000, GP},
        {"CR0.NW without CD", 0x22, 0xc0, 0, CR0_PE | CR0_NW, GP},
        {"CR0.NW and CD", 0x22, 0xc0, 0, CR0_PE | CR0_NW | CR0_CD, ARRIVED},
        {"CR0 in ring 3", 0x22, 0xc0, 3, CR0_PE, GP},
        {"CR1", 0x22, 0xc8, 0, 0, UD},
        {"CR2", 0x22, 0xd0, 0, 0x12345678, ARRIVED},
        {"CR3", 0x22, 0xd8, 0, 0xfffff018, ARRIVED},
        {"CR4.VME", 0x22, 0xe0, 0, CR4_VME, GP},
        {"CR4.MCE", 0x22, 0xe0, 0, CR4_MCE, GP},
        {"CR4.SMEP", 0x22, 0xe0, 0, CR4_SMEP, GP},
        {"CR4 bit 31", 0x22, 0xe0, 0, 0x80000000, GP},
        {"CR4 allowed", 0x22, 0xe0, 0, (uint32_t)CPUID_CR4_ALLOWED, ARRIVED},
        {"CR5", 0x22, 0xe8, 0, 0, UD},
        {"from CR4 in ring 3", 0x20, 0xe0, 3, 0, GP},
        {"DR7 in ring 3", 0x23, 0xf8, 3, 0, GP},
        {"DR4 without DE", 0x23, 0xe0, 0, 0, ARRIVED},
        {"WBINVD in ring 3", 0x09, 0x90, 3, 0, GP},
        {"CLTS in ring 3", 0x06, 0x90, 3, 0, GP},
        {"RDPMC in ring 3", 0x33, 0x90, 3, 0, GP},
        {"RDMSR in ring 3", 0x32, 0x90, 3, 0, GP},
        {"LMSW in ring 3", 0x01, 0xf0, 3, 0, GP},
        {"SMSW in ring 3", 0x01, 0xe0, 3, 0, ARRIVED},
        {"LGDT in ring 3", 0x01, 0x10, 3, GUEST_CODE, GP},
        {"SGDT in ring 3", 0x01, 0x00, 3, 0x38000, ARRIVED},
        {"INVLPG in ring 3", 0x01, 0x38, 3, 0, GP},
        {"SWAPGS outside 64-bit mode", 0x01, 0xf8, 0, 0, UD},
        {"MONITOR", 0x01, 0xc8, 0, 0, UD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {0xb8, 0, 0, 0, 0, 0x0f, cases[i].opcode, cases[i].modrm, 0xcd, ARRIVED};
        memcpy(code + 1, &cases[i].value, 4);
        expect(cases[i].name, code, sizeof code, cases[i].cpl, cases[i].vector, 0);
    }
}

static void model_specific_registers(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t value;
        int vector;
        uint64_t reads; /* then */
    } cases[] = {
        {MSR_PAT, 0x0007040600070406, ARRIVED, 0x0007040600070406},
        {MSR_PAT, 2, GP, 0},
        {MSR_PAT, 0x0800000000000000, GP, 0},
        {MSR_EFER, EFER_SCE | EFER_NXE | EFER_LME, ARRIVED, EFER_SCE | EFER_NXE | EFER_LME},
        {MSR_EFER, 1 << 12, GP, 0},       /* SVME */
        {MSR_EFER, EFER_LMA, ARRIVED, 0}, /* not written */
        {MSR_LSTAR, 0x7fffffffffff, ARRIVED, 0x7fffffffffff},
        {MSR_LSTAR, 0x800000000000, GP, 0},
        {MSR_CSTAR, 0x800000000000, GP, 0},
        {MSR_FS_BASE, 0xffff800000000000, ARRIVED, 0xffff800000000000},
        {MSR_FS_BASE, 0xffff700000000000, GP, 0},
        {MSR_KERNEL_GS_BASE, 1ull << 63, GP, 0},
        {MSR_STAR, UINT64_MAX, ARRIVED, UINT64_MAX},
        {MSR_TSC_AUX, 0x100000005, ARRIVED, 5},
        {MSR_SYSENTER_EIP, 0x800000000000, GP, 0},
        {MSR_APIC_BASE, 0xfee00900, ARRIVED, 0xfee00900},
        {MSR_APIC_BASE, 0xfee00d00, GP, 0}, /* x2APIC */
        {MSR_APIC_BASE, 1ull << 40, GP, 0},
        {0x8b, 0, ARRIVED, 0x05000029}, /* the rest of the kind: test_msr.c */
        {0xc0010004, 0xabcd, ARRIVED, 0xabcd},
        {0x179, 0, GP, 0},
        {0xc0010008, 0, GP, 0},
        {0xc0000084 + 0x10, 0, GP, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint8_t code[] = {0x0f, 0x30, 0x0f, 0x32, 0xcd, ARRIVED};
        guest_start(&guest, 0, code, sizeof code);
        guest.state.gpr[RCX] = cases[i].index;
        guest.state.gpr[RAX] = cases[i].value & UINT32_MAX;
        guest.state.gpr[RDX] = cases[i].value >> 32;
        guest_import(&guest);
        guest_run(&guest);
        if (guest_vector(&guest) != cases[i].vector)
            fail_msg("WRMSR %x of %llx: vector %d", cases[i].index,
                (unsigned long long)cases[i].value, guest_vector(&guest));
        if (cases[i].vector == ARRIVED)
            assert_true((guest.state.gpr[RDX] << 32 | guest.state.gpr[RAX]) == cases[i].reads);
    }
}

static void performance_counters_are_read_by_number(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x33, 0xcd, ARRIVED}; /* RDPMC */
    static const struct {
        unsigned cpl;
        uint64_t cr4, counter;
        int vector;
    } cases[] = {{0, 0, 2, ARRIVED}, {0, 0, 4, GP}, {3, 0, 2, GP}, {3, CR4_PCE, 2, ARRIVED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        guest_start(&guest, cases[i].cpl, code, sizeof code);
        guest.state.cr4 = cases[i].cr4;
        guest.state.gpr[RCX] = cases[i].counter;
        guest.state.kept_msr[MSR_KEPT_PERF_CTR + 2] = 0x123456789abc;
        guest_import(&guest);
        guest_run(&guest);
        assert_int_equal(guest_vector(&guest), cases[i].vector);
        if (cases[i].vector == ARRIVED) {
            assert_int_equal(guest.state.gpr[RAX], 0x56789abc);
            assert_int_equal(guest.state.gpr[RDX], 0x1234);
        }
    }
}

static void the_local_apic_can_be_disabled_and_moved(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x30, 0x0f, 0xa2, 0xcd, ARRIVED}; /* WRMSR; CPUID */
    for (unsigned enabled = 0; enabled < 2; enabled++) {
        guest_start(&guest, 0, code, sizeof code);
        guest.state.gpr[RCX] = MSR_APIC_BASE;
        guest.state.gpr[RAX] = enabled ? 0xfee00900 : 0xfee00100;
        guest_import(&guest);
        guest_run(&guest);
        guest.state.gpr[RAX] = 1; /* of a second run, for CPUID */
        guest.state.rip = GUEST_CODE + 2;
        guest.state.halted = false;
        guest_import(&guest);
        guest_run(&guest);
        assert_int_equal(guest.state.gpr[RDX] >> 9 & 1, enabled);
    }
    guest_start(&guest, 0, code, sizeof code);
    guest.state.gpr[RCX] = MSR_APIC_BASE;
    guest.state.gpr[RAX] = 0xfed40900;
    guest_import(&guest);
    guest_run(&guest);
    assert_true(guest.state.apic_base == 0xfed40900);
    guest_start(&guest, 0, code, sizeof code);
    guest.state.gpr[RCX] = MSR_APIC_BASE;
    guest.state.gpr[RAX] = 0x100900;
    guest_import(&guest);
    struct vcpu_exit exit;
    assert_int_equal(guest_try_run(&guest, 10, &exit), -1);
    assert_non_null(
        strstr(guest.error.text, "not implemented: moving the local APIC over RAM: 0f 30"));
}

static void the_time_stamp_counter_counts_instructions(void **state)
{
    (void)state;
    /* RDTSC; MOV EBX, EAX; NOP; RDTSC; INT 30h */
    static const uint8_t code[] = {0x0f, 0x31, 0x89, 0xc3, 0x90, 0x0f, 0x31, 0xcd, ARRIVED};
    guest_start(&guest, 3, code, sizeof code);
    guest.engine->time_base = 5000;
    guest.engine->retired_base = guest.engine->retired;
    guest.state.tsc_offset = 100;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.gpr[RBX], 5000 * VCPU_TSC_PER_NS + 100);
    assert_int_equal(guest.state.gpr[RAX], 5003 * VCPU_TSC_PER_NS + 100);
    guest_start(&guest, 3, code, sizeof code);
    guest.state.cr4 = CR4_TSD;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GP);
    /* WRMSR sets it as of that instruction. */
    static const uint8_t write[] = {0x0f, 0x30, 0x0f, 0x31, 0xcd, ARRIVED};
    guest_start(&guest, 0, write, sizeof write);
    guest.state.gpr[RCX] = MSR_TSC;
    guest.state.gpr[RAX] = 1000;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.gpr[RAX], 1000 + VCPU_TSC_PER_NS);
}

static void flags_and_privilege(void **state)
{
    (void)state;
    static const uint8_t cli[] = {0xfa, 0xcd, ARRIVED}, sti[] = {0xfb, 0xcd, ARRIVED};
    static const uint8_t hlt[] = {0xf4};
    expect("CLI in ring 0", cli, sizeof cli, 0, ARRIVED, 0);
    expect("CLI in ring 3", cli, sizeof cli, 3, GP, 0);
    expect("STI in ring 3", sti, sizeof sti, 3, GP, 0);
    expect("HLT in ring 3", hlt, sizeof hlt, 3, GP, 0);
    /* PUSH imm; POPF; INT 30h */
    static const uint8_t popf[] = {0x68, 0xff, 0xff, 0xff, 0x7f, 0x9d, 0xcd, ARRIVED};
    guest_start(&guest, 0, popf, sizeof popf);
    guest.memory.host[GUEST_CODE + 2] = 0xfe; /* without TF */
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_stack(&guest, 8), 0x247ed7);
    guest_start(&guest, 3, popf, sizeof popf);
    guest.memory.host[GUEST_CODE + 2] = 0xfe;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_stack(&guest, 8), 0x244cd7); /* neither IF nor IOPL */
}

/* ---- Ports ----------------------------------------------------------------------------------- */

static void port_permissions(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode; /* E4 IN AL, E5 IN EAX, with 66: AX */
        bool word;
        uint8_t port;
        unsigned cpl, iopl;
        bool allowed;
    } cases[] = {
        {0xe4, false, 0x80, 0, 0, true},  /* the map is not looked at */
        {0xe4, false, 0x80, 3, 0, false}, /* its bit is set */
        {0xe4, false, 0x80, 3, 3, true},
        {0xe4, false, 0x10, 3, 0, true},
        {0xe5, true, 0x7e, 3, 0, true},
        {0xe5, true, 0x7f, 3, 0, false}, /* straddles */
        {0xe5, false, 0x7d, 3, 0, false},
        {0xe5, false, 0x7c, 3, 0, true},
        {0xe4, false, 0xff, 3, 0, true},
        {0xe5, true, 0xff, 3, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t code[] = {0x66, cases[i].opcode, cases[i].port, 0xcd, ARRIVED};
        if (!cases[i].word)
            code[0] = 0x90;
        guest_start(&guest, cases[i].cpl, code, sizeof code);
        guest_put(&guest, GUEST_TSS + 0x68 + 0x80 / 8, 1, 1);
        guest.state.rflags |= (uint64_t)cases[i].iopl << 12;
        guest.state.tr.limit = 0x68 + 0x21;
        guest.state.gpr[RAX] = 0x11223344;
        guest_import(&guest);
        struct vcpu_exit exit = guest_run(&guest);
        if (!cases[i].allowed) {
            assert_int_equal(guest_vector(&guest), GP);
            assert_int_equal(guest_stack(&guest, 0), 0);
            continue;
        }
        unsigned size = cases[i].opcode == 0xe4 ? 1 : cases[i].word ? 2 : 4;
        assert_int_equal(exit.kind, EXIT_PIO_IN);
        assert_int_equal(exit.address, cases[i].port);
        assert_int_equal(exit.size, size);
        assert_int_equal(engine_complete(guest.engine, 0xaabbccdd, &guest.error), ENGINE_DONE);
        guest_run(&guest);
        uint64_t mask = UINT64_MAX >> (64 - 8 * size);
        assert_int_equal(guest.state.gpr[RAX], (0x11223344 & ~mask) | (0xaabbccdd & mask));
    }
    /* Beyond the TSS's limit every port is refused. */
    static const uint8_t code[] = {0xe4, 0x10};
    guest_start(&guest, 3, code, sizeof code);
    guest.state.tr.limit = 0x68 + 2;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), GP);
}

static void string_ports(void **state)
{
    (void)state;
    static const uint8_t insb[] = {0xf3, 0x6d, 0xf4}; /* REP INSD */
    guest_start(&guest, 0, insb, sizeof insb);
    guest.state.gpr[RDX] = 0x1f0;
    guest.state.gpr[RDI] = 0x38000;
    guest.state.gpr[RCX] = 3;
    guest_import(&guest);
    uint64_t retired = guest.engine->retired;
    for (uint32_t i = 0; i < 3; i++) {
        struct vcpu_exit exit = guest_run(&guest);
        assert_int_equal(exit.kind, EXIT_PIO_IN);
        assert_int_equal(exit.size, 4);
        assert_int_equal(guest.state.gpr[RCX], 3 - i);
        assert_int_equal(engine_complete(guest.engine, 0x100 + i, &guest.error), ENGINE_DONE);
        assert_int_equal(guest.engine->retired, retired + i + 1);
    }
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);
    assert_int_equal(guest.state.gpr[RDI], 0x3800c);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(guest_get32(&guest, 0x38000 + 4 * i), 0x100 + i);
    static const uint8_t outsb[] = {0xfd, 0xf3, 0x6e, 0xf4}; /* STD; REP OUTSB */
    guest_start(&guest, 0, outsb, sizeof outsb);
    memcpy(guest.memory.host + 0x38000, "xyz", 3);
    guest.state.gpr[RDX] = 0x3f8;
    guest.state.gpr[RSI] = 0x38002;
    guest.state.gpr[RCX] = 3;
    guest_import(&guest);
    for (unsigned i = 0; i < 3; i++) {
        struct vcpu_exit exit = guest_run(&guest);
        assert_int_equal(exit.kind, EXIT_PIO_OUT);
        assert_int_equal(exit.value, "zyx"[i]);
        engine_complete(guest.engine, 0, &guest.error);
    }
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);
    assert_int_equal(guest.state.gpr[RSI], 0x37fff);
}

/* ---- Modes ----------------------------------------------------------------------------------- */

static void real_mode_start(const uint8_t *code, size_t size)
{
    guest_start(&guest, 0, code, size);
    vcpu_reset(&guest.state);
    memcpy(guest.memory.host + 0x7000, code, size);
    guest.state.segment[SEG_CS].selector = 0x700;
    guest.state.segment[SEG_CS].base = 0x7000;
    guest.state.rip = 0;
    guest.state.gpr[RSP] = 0x12340100;
    guest.state.segment[SEG_SS].selector = 0x500;
    guest.state.segment[SEG_SS].base = 0x5000;
}

static void real_mode_interrupt(void **state)
{
    (void)state;
    /* INT 21h; HLT. The handler at 0600:0010: HLT; IRET. */
    static const uint8_t code[] = {0xcd, 0x21, 0xf4};
    real_mode_start(code, sizeof code);
    guest_put(&guest, 0x21 * 4, 0x06000010, 4);
    guest_put(&guest, 0x6010, 0xcff4, 2);
    guest.state.rflags |= FLAG_IF | FLAG_CF;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.segment[SEG_CS].base + guest.state.rip, 0x6011);
    assert_int_equal(guest.state.rflags & FLAG_IF, 0);
    assert_int_equal(guest.state.gpr[RSP], 0x123400fa); /* only SP */
    static const uint16_t frame[] = {2, 0x700, 0x203};
    assert_memory_equal(guest.memory.host + 0x50fa, frame, sizeof frame);
    guest_continue(&guest);
    assert_int_equal(guest.state.segment[SEG_CS].base + guest.state.rip, 0x7003);
    assert_int_equal(guest.state.rflags, FLAG_ONE | FLAG_IF | FLAG_CF);
    assert_int_equal(guest.state.gpr[RSP], 0x12340100);
}

/* LGDT, LMSW-like MOV CR0, far jump to 32-bit code, as every boot loader does. */
static void from_real_mode_to_protected_mode(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x2e, 0x66, 0x0f, 0x01, 0x16, 0x20,
        0x00,                             /* LGDT CS:[20h], 32-bit base */
        0x0f, 0x20, 0xc0,                 /* MOV EAX, CR0 */
        0x0c, 0x01,                       /* OR AL, 1 */
        0x0f, 0x22, 0xc0,                 /* MOV CR0, EAX */
        0x66, 0xea, 0, 1, 1, 0, CODE0, 0, /* JMP far CODE0:10100h */
        0, 0, 0, 0, 0, 0, 0, 0, 0,        /* to 20h: */
        GUEST_GDT_LIMIT, 0, 0x00, 0x10, 0, 0};
    real_mode_start(code, sizeof code);
    guest_put(&guest, GUEST_OTHER, 0xf4, 1);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_OTHER + 1);
    assert_int_equal(guest.state.gdt.base, GUEST_GDT);
    assert_int_equal(guest.state.gdt.limit, GUEST_GDT_LIMIT);
    assert_int_equal(guest.state.segment[SEG_CS].attributes, 0xc9b);
    assert_int_equal(guest.state.segment[SEG_SS].base, 0x5000); /* not reloaded yet */
}

/* A limit loaded in protected mode stays in real mode. */
static void big_real_mode(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, /* CR0.PE := 1 */
        0xb8, DATA0, 0x00, 0x8e, 0xd8,                  /* MOV AX, DATA0; MOV DS, AX */
        0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, /* CR0.PE := 0 */
        0x31, 0xc0, 0x8e, 0xd8,                         /* XOR AX, AX; MOV DS, AX */
        0x67, 0xc6, 0x05, 0x00, 0x00, 0x20, 0x00, 0x5a, /* MOV byte [200000h], 5Ah */
        0xf4};
    real_mode_start(code, sizeof code);
    guest.state.gdt = (struct descriptor_table){GUEST_GDT, GUEST_GDT_LIMIT};
    guest_import(&guest);
    guest_run(&guest);
    assert_true(guest.state.halted);
    assert_int_equal(guest.memory.host[0x200000], 0x5a);
    assert_int_equal(guest.state.segment[SEG_DS].limit, 0xffffffff);
    /* With the limit of power-on it is a #GP, through the real-mode table, without error code. */
    static const uint8_t beyond[] = {0x67, 0xc6, 0x05, 0x00, 0x00, 0x20, 0x00, 0x5a};
    real_mode_start(beyond, sizeof beyond);
    guest_put(&guest, GP * 4, 0x06000010, 4);
    guest_put(&guest, 0x6010, 0xf4, 1);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.segment[SEG_CS].base + guest.state.rip, 0x6011);
    assert_int_equal(guest.state.gpr[RSP], 0x123400fa);
}

/* NOPs from 0:FF00 up to the limit of CS, and after it a block that was executed, and so decoded,
 * as 1000:0000 before. */
static void falling_through_the_limit_of_cs(void **state)
{
    (void)state;
    static const uint8_t beyond[] = {0xe6, 0x80, 0xea, 0x00, 0xff, 0, 0}; /* OUT; JMP 0:FF00 */
    real_mode_start(beyond, sizeof beyond);
    memset(guest.memory.host + 0xff00, 0x90, 0x100);
    memcpy(guest.memory.host + 0x10000, beyond, sizeof beyond);
    guest_put(&guest, GP * 4, 0x06000010, 4);
    guest_put(&guest, 0x6010, 0xf4, 1);
    guest.state.segment[SEG_CS].selector = 0x1000;
    guest.state.segment[SEG_CS].base = 0x10000;
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).kind, EXIT_PIO_OUT);
    assert_int_equal(engine_complete(guest.engine, 0, &guest.error), 0);
    assert_int_equal(guest_run(&guest).kind, EXIT_HLT);
    assert_int_equal(guest.state.segment[SEG_CS].base + guest.state.rip, 0x6011);
    static const uint16_t frame[] = {0, 0, 2}; /* at IP 10000h, of which 16 bits are pushed */
    assert_memory_equal(guest.memory.host + 0x50fa, frame, sizeof frame);
}

/* A long block at 0700:8000 goes on at 0700:8040, not at 0000:8040, where other code of its page
 * was decoded. */
static void falling_through_where_cs_has_a_base(void **state)
{
    (void)state;
    static const uint8_t other[] = {0xe6, 0x80, 0xea, 0x00, 0x80, 0x00, 0x07}; /* JMP 700:8000 */
    static const uint8_t wanted[] = {0xe6, 0x81, 0xf4};
    real_mode_start(other, sizeof other);
    memset(guest.memory.host + 0xf000, 0x90, 0x40);
    memcpy(guest.memory.host + 0xf040, wanted, sizeof wanted);
    memcpy(guest.memory.host + 0x8040, other, sizeof other);
    guest.state.segment[SEG_CS].selector = 0;
    guest.state.segment[SEG_CS].base = 0;
    guest.state.rip = 0x8040;
    guest_import(&guest);
    assert_int_equal(guest_run(&guest).address, 0x80);
    assert_int_equal(engine_complete(guest.engine, 0, &guest.error), 0);
    assert_int_equal(guest_run(&guest).address, 0x81);
}

static void into_long_mode_and_back(void **state)
{
    (void)state;
    /* CR4.PAE; CR3; EFER.LME; CR0.PG; JMP far CODE64 */
    static const uint8_t code[] = {0xb8, 0x20, 0, 0, 0, 0x0f, 0x22, 0xe0, /* MOV CR4, 20h */
        0xb8, 0, 0, 0x34, 0, 0x0f, 0x22, 0xd8,                            /* MOV CR3, 340000h */
        0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0x80, 0xcc, 1, 0x0f,
        0x30,                                     /* EFER |= 100h, by OR AH, 1 */
        0xb8, 0x11, 0, 0, 0x80, 0x0f, 0x22, 0xc0, /* MOV CR0, 80000011h */
        0xea, 0x00, 0x01, 0x01, 0x00, CODE64, 0};
    guest_start(&guest, 0, code, sizeof code);
    guest_put(&guest, 0x340000, 0x341003, 8);
    guest_put(&guest, 0x341000, 0x342003, 8);
    guest_put(&guest, 0x342000, 0x83, 8);
    guest_put(&guest, 0x342008, 0x200083, 8);
    guest_put(&guest, GUEST_OTHER, 0xf4, 1);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest.state.rip, GUEST_OTHER + 1);
    assert_true(vcpu_in_64bit_mode(&guest.state));
    assert_int_equal(guest.state.efer, EFER_LME | EFER_LMA);
    /* MOV RAX, CR0 with PG clear is refused in 64-bit mode: #GP, whose 64-bit gate is not there:
     * with a 32-bit IDT nothing can be delivered. */
    static const uint8_t clear[] = {0xb8, 0x11, 0, 0, 0, 0x0f, 0x22, 0xc0};
    memcpy(guest.memory.host + GUEST_OTHER + 1, clear, sizeof clear);
    engine_memory_changed(guest.engine, GUEST_OTHER, 16);
    guest.state.idt.limit = 0;
    assert_int_equal(guest_continue(&guest).kind, EXIT_SHUTDOWN);
    /* Back through compatibility mode. */
    guest_start(&guest, 0, clear, sizeof clear);
    guest_put(&guest, GUEST_CODE + 8, 0x30cd, 2);
    guest_put(&guest, 0x340000, 0x341003, 8);
    guest_put(&guest, 0x341000, 0x342003, 8);
    guest_put(&guest, 0x342000, 0x83, 8);
    guest.state.cr0 |= CR0_PG;
    guest.state.cr3 = 0x340000;
    guest.state.cr4 = CR4_PAE;
    guest.state.efer = EFER_LME | EFER_LMA;
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED);
    assert_int_equal(guest.state.efer, EFER_LME);
    static const uint8_t both[] = {0xea, 0, 1, 1, 0, CODE_L_AND_D, 0};
    guest_start(&guest, 0, both, sizeof both);
    guest_import(&guest);
    guest_run(&guest);
    assert_int_equal(guest_vector(&guest), ARRIVED); /* L means nothing without long mode */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sysenter_and_sysexit),
        cmocka_unit_test(legacy_syscall_and_sysret),
        cmocka_unit_test(control_registers),
        cmocka_unit_test(model_specific_registers),
        cmocka_unit_test(performance_counters_are_read_by_number),
        cmocka_unit_test(the_local_apic_can_be_disabled_and_moved),
        cmocka_unit_test(the_time_stamp_counter_counts_instructions),
        cmocka_unit_test(flags_and_privilege),
        cmocka_unit_test(port_permissions),
        cmocka_unit_test(string_ports),
        cmocka_unit_test(real_mode_interrupt),
        cmocka_unit_test(from_real_mode_to_protected_mode),
        cmocka_unit_test(big_real_mode),
        cmocka_unit_test(falling_through_the_limit_of_cs),
        cmocka_unit_test(falling_through_where_cs_has_a_base),
        cmocka_unit_test(into_long_mode_and_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
