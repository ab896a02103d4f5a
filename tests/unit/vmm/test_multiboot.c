/* Expectations from the Multiboot 0.6.96 and Multiboot2 2.0 specifications. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/boot/acpi.h"
#include "vmm/boot/boot.h"

enum { CODE = 0x1000, IMAGE = 0x2000, ENTRY = 0x100020 };

/* A kernel of one 32-bit segment; a header may be put into its first page. */
struct fixture {
    struct memory memory;
    _Alignas(8) uint8_t image[IMAGE];
    struct boot_image modules[2];
    struct boot_request request;
    struct boot_choice choice;
    struct vcpu_state state;
    struct error error;
};

static void set_segment(struct fixture *f, uint32_t address, uint32_t size)
{
    Elf32_Phdr segment = {.p_type = PT_LOAD,
        .p_offset = CODE,
        .p_vaddr = address,
        .p_paddr = address,
        .p_filesz = size < IMAGE - CODE ? size : IMAGE - CODE,
        .p_memsz = size};
    memcpy(f->image + sizeof(Elf32_Ehdr), &segment, sizeof segment);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const struct memory_backend ram = {.size = 64 << 20};
    assert_int_equal(memory_create(&f->memory, &ram, 1, &f->error), 0);
    Elf32_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = ENTRY,
        .e_phoff = sizeof header,
        .e_ehsize = sizeof header,
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 1};
    memcpy(f->image, &header, sizeof header);
    set_segment(f, 0x100000, 0x1000);
    memcpy(f->image + CODE, "code", 4);
    f->modules[0] = (struct boot_image){"dir.d/first one=1", (const uint8_t *)"FIRST", 5};
    f->modules[1] = (struct boot_image){"second", (const uint8_t *)"SECOND", 6};
    f->request = (struct boot_request){
        .kernel = {"/somewhere/kernel.elf", f->image, IMAGE}, .command_line = "a b=1"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memory_destroy(&f->memory);
    free(f);
    return 0;
}

static void put_header1(struct fixture *f)
{
    const uint32_t header[] = {0x1badb002, 3, (uint32_t) - (0x1badb002 + 3)};
    memcpy(f->image + 0x200, header, sizeof header);
}

static void put_header2(struct fixture *f, const uint16_t *tag, uint32_t tag_size)
{
    uint32_t size = 16 + ((tag_size + 7) & ~7u) + 8;
    const uint32_t header[] = {0xe85250d6, 0, size, 0u - 0xe85250d6u - size};
    const uint32_t end[] = {0, 8};
    memcpy(f->image + 0x300, header, sizeof header);
    if (tag_size)
        memcpy(f->image + 0x310, tag, tag_size);
    memcpy(f->image + 0x300 + size - 8, end, sizeof end);
}

static void load(struct fixture *f)
{
    if (boot_load(&f->memory, &f->request, &f->state, &f->choice, &f->error) < 0)
        fail_msg("%s", f->error.text);
}

static void refused(struct fixture *f, const char *text)
{
    assert_int_equal(boot_load(&f->memory, &f->request, &f->state, &f->choice, &f->error), -1);
    if (!strstr(f->error.text, text))
        fail_msg("'%s' does not say '%s'", f->error.text, text);
}

static uint64_t word(const struct fixture *f, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    assert_true(memory_read(&f->memory, gpa, &value, size));
    return value;
}

static const char *string(struct fixture *f, uint64_t gpa)
{
    return (const char *)memory_at(&f->memory, gpa, 1);
}

static void the_first_word_of_the_command_line_is_the_kernel(void **state)
{
    struct fixture *f = *state;
    put_header1(f);
    load(f);
    assert_int_equal(f->choice.protocol, BOOT_MULTIBOOT);
    assert_int_equal(f->state.gpr[RAX], 0x2badb002);
    assert_int_equal(f->state.rip, ENTRY);
    uint64_t info = f->state.gpr[RBX];
    assert_string_equal(string(f, word(f, info + 16, 4)), "kernel.elf a b=1");
    f->request.command_line = "";
    load(f);
    assert_string_equal(string(f, word(f, info + 16, 4)), "kernel.elf");
}

static void the_information_has_memory_modules_and_loader(void **state)
{
    struct fixture *f = *state;
    put_header1(f);
    f->request.modules = f->modules;
    f->request.module_count = 2;
    load(f);
    uint64_t info = f->state.gpr[RBX];
    assert_int_equal(word(f, info, 4), 1 | 4 | 8 | 64 | 512);
    assert_int_equal(word(f, info + 4, 4), 639);
    assert_int_equal(word(f, info + 8, 4), 63 << 10);
    assert_int_equal(word(f, info + 20, 4), 2);
    uint64_t list = word(f, info + 24, 4);
    static const char *const strings[] = {"first one=1", "second"};
    static const char *const contents[] = {"FIRST", "SECOND"};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t start = word(f, list + 16 * i, 4), end = word(f, list + 16 * i + 4, 4);
        assert_int_equal(start % 4096, 0);
        assert_int_equal(end - start, strlen(contents[i]));
        assert_memory_equal(string(f, start), contents[i], end - start);
        assert_string_equal(string(f, word(f, list + 16 * i + 8, 4)), strings[i]);
    }
    uint64_t map = word(f, info + 48, 4);
    assert_int_equal(word(f, info + 44, 4), 4 * 24);
    assert_int_equal(word(f, map, 4), 20);
    assert_int_equal(word(f, map + 2 * 24 + 4, 8), 0xf0000);
    assert_int_equal(word(f, map + 2 * 24 + 12, 8), 0x10000);
    assert_int_equal(word(f, map + 2 * 24 + 20, 4), 2);
    assert_string_equal(string(f, word(f, info + 64, 4)), "hindsight");
}

/* The tag of that type, the n-th, or 0. */
static uint64_t find_tag(const struct fixture *f, uint64_t info, unsigned type, unsigned n)
{
    uint64_t end = info + word(f, info, 4);
    for (uint64_t at = info + 8; at < end; at += (word(f, at + 4, 4) + 7) & ~7ull) {
        if (word(f, at, 4) == type && n-- == 0)
            return at;
    }
    return 0;
}

static void multiboot_2_gives_tags(void **state)
{
    struct fixture *f = *state;
    const struct acpi_options acpi = {.cpus = 1};
    assert_int_equal(acpi_write_tables(&f->memory, &acpi, &f->error), 0);
    put_header2(f, NULL, 0);
    f->request.modules = f->modules;
    f->request.module_count = 2;
    load(f);
    assert_int_equal(f->choice.protocol, BOOT_MULTIBOOT2);
    assert_int_equal(f->state.gpr[RAX], 0x36d76289);
    assert_int_equal(f->state.rip, ENTRY);
    assert_true(f->state.cr0 == (CR0_PE | CR0_ET));
    uint64_t info = f->state.gpr[RBX];
    assert_int_equal(info % 8, 0);
    assert_string_equal(string(f, find_tag(f, info, 1, 0) + 8), "kernel.elf a b=1");
    assert_string_equal(string(f, find_tag(f, info, 2, 0) + 8), "hindsight");
    uint64_t module = find_tag(f, info, 3, 0);
    assert_int_equal(word(f, module + 12, 4) - word(f, module + 8, 4), 5);
    assert_memory_equal(string(f, word(f, module + 8, 4)), "FIRST", 5);
    assert_string_equal(string(f, module + 16), "first one=1");
    assert_string_equal(string(f, find_tag(f, info, 3, 1) + 16), "second");
    uint64_t memory = find_tag(f, info, 4, 0);
    assert_int_equal(word(f, memory + 8, 4), 639);
    assert_int_equal(word(f, memory + 12, 4), 63 << 10);
    uint64_t map = find_tag(f, info, 6, 0);
    assert_int_equal(word(f, map + 8, 4), 24);
    assert_int_equal(word(f, map + 4, 4), 16 + 4 * 24);
    assert_int_equal(word(f, map + 16 + 3 * 24, 8), 0x100000);
    assert_int_equal(word(f, map + 16 + 3 * 24 + 16, 4), 1);
    assert_memory_equal(string(f, find_tag(f, info, 14, 0) + 8), "RSD PTR ", 8);
    assert_int_equal(word(f, find_tag(f, info, 15, 0) + 4, 4), 8 + 36);
    uint64_t end = find_tag(f, info, 0, 0);
    assert_true(end + 8 == info + word(f, info, 4));
}

static void multiboot_2_tags_can_move_the_entry_or_refuse(void **state)
{
    struct fixture *f = *state;
    const uint16_t entry[] = {3, 0, 12, 0, 0x40, 0x10};
    put_header2(f, entry, sizeof entry);
    load(f);
    assert_int_equal(f->state.rip, 0x100040);
    const uint16_t screen[] = {5, 0, 20, 0, 0, 0, 0, 0, 0, 0};
    f->request.protocol = BOOT_MULTIBOOT2;
    put_header2(f, screen, sizeof screen);
    refused(f, "needs a frame buffer");
    const uint16_t optional[] = {5, 1, 20, 0, 0, 0, 0, 0, 0, 0};
    put_header2(f, optional, sizeof optional);
    load(f);
    const uint16_t broken[] = {3, 0, 4000, 0, 0, 0};
    put_header2(f, broken, sizeof broken);
    refused(f, "damaged");
    memset(f->image + 0x300, 0, 16);
    refused(f, "no Multiboot 2 header");
}

static void auto_takes_the_first_header_and_says_which(void **state)
{
    struct fixture *f = *state;
    refused(f, "no way to start it");
    put_header2(f, NULL, 0);
    load(f);
    assert_non_null(strstr(f->choice.reason, "Multiboot 2 header"));
    put_header1(f);
    load(f);
    assert_int_equal(f->choice.protocol, BOOT_MULTIBOOT);
    assert_non_null(strstr(f->choice.reason, "a Multiboot header"));
    f->request.protocol = BOOT_MULTIBOOT2;
    load(f);
    assert_int_equal(f->choice.protocol, BOOT_MULTIBOOT2);
}

static void the_loader_moves_out_of_the_kernels_way(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t address, size;
        uint64_t area;
    } cases[] = {
        {0x100000, 0x1000, 0},
        {0x0, 0x500, 0},     /* over the vectors and the BIOS's data */
        {0xf000, 0x1000, 0}, /* after all of it */
        {0x8000, 0x1000, 0x10000},
        {0x0, 0x10600, 0x20000},
        {0x4000, 0x7c000, 0x80000},
    };
    put_header1(f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_segment(f, cases[i].address, cases[i].size);
        load(f);
        assert_true(f->state.gdt.base == cases[i].area + 0x500);
        assert_true((f->state.gpr[RBX] & ~0xffffull) == cases[i].area);
        assert_memory_equal(string(f, cases[i].address), "code", 4);
        assert_string_equal(string(f, word(f, f->state.gpr[RBX] + 16, 4)), "kernel.elf a b=1");
    }
    set_segment(f, 0, 0x9f000);
    refused(f, "no room for the command line");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_first_word_of_the_command_line_is_the_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_information_has_memory_modules_and_loader, setup, teardown),
        cmocka_unit_test_setup_teardown(multiboot_2_gives_tags, setup, teardown),
        cmocka_unit_test_setup_teardown(
            multiboot_2_tags_can_move_the_entry_or_refuse, setup, teardown),
        cmocka_unit_test_setup_teardown(
            auto_takes_the_first_header_and_says_which, setup, teardown),
        cmocka_unit_test_setup_teardown(the_loader_moves_out_of_the_kernels_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
