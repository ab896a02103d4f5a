/* Core files: where memory is said to be comes from what Linux left for kdump, no symbols are
 * needed. */
#include "debugger/core.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

#include "debugger/threads.h"
#include "vmm/arch/memory.h"
#include "vmm/arch/translate.h"

enum {
    MAX_SEGMENTS = 4, /* the kernel's own mapping, RAM below and above the hole, notes */
    INFO_BYTES = 4096,
    NOTE_ALIGN = 4,
    MAX_KERNEL = 1 << 30,
};

#define KERNEL_MAP   0xffffffff80000000ull /* __START_KERNEL_map */
#define KERNEL_HALF  0xffff800000000000ull
#define GIB          (1ull << 30)
#define LARGE_PAGE   (2ull << 20)
#define PROBED_PLACE (1ull << 20) /* RAM on every PC */

struct core {
    FILE *file;
    struct timeline *timeline;
    const struct memory *memory;
    struct view view; /* of the vCPU that runs, with the kernel's page tables */
    char info[INFO_BYTES + 1];
    size_t info_size; /* 0: not Linux */
    Elf64_Phdr segment[MAX_SEGMENTS];
    unsigned count;
    struct buffer notes;
    uint64_t bytes;
};

/* ---- What Linux says of itself ---- */

/* "KEY=value" of VMCOREINFO. */
static const char *info_value(const struct core *core, const char *key)
{
    size_t length = strlen(key);
    const char *line = core->info;
    while (line && *line) {
        if (strncmp(line, key, length) == 0 && line[length] == '=')
            return line + length + 1;
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return NULL;
}

/* The kernel writes it into a page of its own. */
static void find_info(struct core *core)
{
    static const char start[] = "OSRELEASE=";
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &core->memory->region[i];
        for (uint64_t at = 0; at + INFO_BYTES <= region->size; at += INFO_BYTES) {
            const char *page = (const char *)region->host + at;
            if (memcmp(page, start, sizeof start - 1) != 0)
                continue;
            memcpy(core->info, page, INFO_BYTES);
            core->info_size = strnlen(core->info, INFO_BYTES);
            if (info_value(core, "SYMBOL(swapper_pg_dir)"))
                return;
        }
    }
    core->info_size = 0;
}

/* From an address of the kernel's image to physical memory: phys_base is how far it was moved. */
static uint64_t kernel_physical(const struct core *core, uint64_t address)
{
    const char *base = info_value(core, "NUMBER(phys_base)");
    return address - KERNEL_MAP + (base ? (uint64_t)strtoll(base, NULL, 10) : 0);
}

/* In user mode another page table may be in use. */
static void take_kernel_tables(struct core *core)
{
    const char *tables = info_value(core, "SYMBOL(swapper_pg_dir)");
    core->view.state.cr3 = kernel_physical(core, strtoull(tables, NULL, 16));
}

static bool is_mapped_to(const struct core *core, uint64_t address, uint64_t physical)
{
    struct translation translation;
    return translate(core->memory, &core->view.state, address, &translation) &&
           translation.gpa == physical;
}

/* Where Linux maps all of physical memory: somewhere in the kernel's half, at a whole GiB. */
static bool find_direct_map(const struct core *core, uint64_t *start)
{
    for (uint64_t at = KERNEL_HALF; at < KERNEL_MAP; at += GIB) {
        if (!is_mapped_to(core, at + PROBED_PLACE, PROBED_PLACE))
            continue;
        *start = at;
        return true;
    }
    return false;
}

/* ---- Segments ---- */

/* crash tells kdump's files by segments without an alignment. */
static void add_segment(struct core *core, uint64_t linear, uint64_t physical, uint64_t size)
{
    core->segment[core->count++] = (Elf64_Phdr){.p_type = PT_LOAD,
        .p_flags = PF_R | PF_W | PF_X,
        .p_vaddr = linear,
        .p_paddr = physical,
        .p_filesz = size,
        .p_memsz = size};
}

/* The image, as far as it is mapped in one piece. */
static void add_kernel(struct core *core)
{
    const char *offset = info_value(core, "KERNELOFFSET"),
               *text = info_value(core, "SYMBOL(_stext)");
    uint64_t start = text ? strtoull(text, NULL, 16) & ~(LARGE_PAGE - 1)
                          : KERNEL_MAP + (offset ? strtoull(offset, NULL, 16) : 0);
    uint64_t size = 0, physical = kernel_physical(core, start);
    while (size < MAX_KERNEL && memory_at(core->memory, physical + size, LARGE_PAGE) &&
           is_mapped_to(core, start + size, physical + size))
        size += LARGE_PAGE;
    if (size)
        add_segment(core, start, physical, size);
}

/* A guest that is not Linux is taken to see memory where it is. */
static void plan_segments(struct core *core)
{
    uint64_t direct = 0;
    core->segment[core->count++] = (Elf64_Phdr){.p_type = PT_NOTE};
    if (core->info_size) {
        take_kernel_tables(core);
        add_kernel(core);
        if (!find_direct_map(core, &direct))
            direct = 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct memory_region *region = &core->memory->region[i];
        if (region->size)
            add_segment(core, direct + region->gpa, region->gpa, region->size);
    }
}

/* ---- Notes ---- */

static void put_padded(struct buffer *out, const void *data, size_t size)
{
    buffer_put(out, data, size);
    while (out->size % NOTE_ALIGN)
        buffer_put_u8(out, 0);
}

static void put_note(
    struct core *core, const char *name, uint32_t type, const void *data, size_t size)
{
    const Elf64_Nhdr header = {
        .n_namesz = (Elf64_Word)strlen(name) + 1, .n_descsz = (Elf64_Word)size, .n_type = type};
    buffer_put(&core->notes, &header, sizeof header);
    put_padded(&core->notes, name, header.n_namesz);
    put_padded(&core->notes, data, size);
}

static void put_registers(const struct vcpu_state *state, struct elf_prstatus *status)
{
    static const uint8_t order[] = {
        R15, R14, R13, R12, RBP, RBX, R11, R10, R9, R8, RAX, RCX, RDX, RSI, RDI};
    enum { ORIG_RAX = 15, RIP_, CS_, EFLAGS_, RSP_, SS_, FS_BASE_, GS_BASE_, DS_, ES_, FS_, GS_ };
    unsigned long long *reg = (unsigned long long *)status->pr_reg;
    for (unsigned i = 0; i < sizeof order; i++)
        reg[i] = state->gpr[order[i]];
    reg[ORIG_RAX] = UINT64_MAX;
    reg[RIP_] = state->rip;
    reg[CS_] = state->segment[SEG_CS].selector;
    reg[EFLAGS_] = state->rflags;
    reg[RSP_] = state->gpr[RSP];
    reg[SS_] = state->segment[SEG_SS].selector;
    reg[FS_BASE_] = state->segment[SEG_FS].base;
    reg[GS_BASE_] = state->segment[SEG_GS].base;
    reg[DS_] = state->segment[SEG_DS].selector;
    reg[ES_] = state->segment[SEG_ES].selector;
    reg[FS_] = state->segment[SEG_FS].selector;
    reg[GS_] = state->segment[SEG_GS].selector;
}

static int put_notes(struct core *core, struct error *error)
{
    struct view view;
    for (unsigned thread = 1; thread <= threads_count(core->timeline); thread++) {
        struct elf_prstatus status = {.pr_pid = (pid_t)thread};
        if (threads_view(&view, core->timeline, thread, error) < 0)
            return -1;
        put_registers(&view.state, &status);
        put_note(core, "CORE", NT_PRSTATUS, &status, sizeof status);
    }
    if (core->info_size)
        put_note(core, "VMCOREINFO", 0, core->info, core->info_size);
    return core->notes.failed ? error_set(error, "out of memory") : 0;
}

/* ---- The file ---- */

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

static int write_memory(struct core *core, const Elf64_Phdr *segment, struct error *error)
{
    for (uint64_t at = 0; at < segment->p_filesz; at += PAGE_SIZE) {
        const uint8_t *page = memory_at(core->memory, segment->p_paddr + at, PAGE_SIZE);
        if (!page || is_zero(page))
            continue;
        core->bytes += PAGE_SIZE;
        if (fseeko(core->file, (off_t)(segment->p_offset + at), SEEK_SET) < 0 ||
            fwrite(page, PAGE_SIZE, 1, core->file) != 1)
            return error_set_errno(error, "writing the core file");
    }
    return 0;
}

static void place_segments(struct core *core)
{
    uint64_t at = sizeof(Elf64_Ehdr) + core->count * sizeof(Elf64_Phdr);
    core->segment[0].p_offset = at;
    core->segment[0].p_filesz = core->notes.size;
    at = (at + core->notes.size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    for (unsigned i = 1; i < core->count; i++) {
        core->segment[i].p_offset = at;
        at += core->segment[i].p_filesz;
    }
}

static int write_headers(struct core *core, struct error *error)
{
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof header,
        .e_ehsize = sizeof header,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)core->count};
    if (fwrite(&header, sizeof header, 1, core->file) != 1 ||
        fwrite(core->segment, sizeof(Elf64_Phdr), core->count, core->file) != core->count ||
        fwrite(core->notes.data, 1, core->notes.size, core->file) != core->notes.size)
        return error_set_errno(error, "writing the core file");
    return 0;
}

/* The end may be a hole: the last byte makes the file as long as its headers say. */
static int write_end(struct core *core, struct error *error)
{
    const Elf64_Phdr *last = &core->segment[core->count - 1];
    const uint8_t *byte = memory_at(core->memory, last->p_paddr + last->p_filesz - 1, 1);
    if (!byte || fseeko(core->file, (off_t)(last->p_offset + last->p_filesz - 1), SEEK_SET) < 0 ||
        fwrite(byte, 1, 1, core->file) != 1)
        return error_set_errno(error, "writing the core file");
    return 0;
}

static int write_all(struct core *core, struct error *error)
{
    if (write_headers(core, error) < 0)
        return -1;
    for (unsigned i = 1; i < core->count; i++) {
        if (write_memory(core, &core->segment[i], error) < 0)
            return -1;
    }
    return write_end(core, error);
}

int core_write(FILE *file, struct timeline *timeline, struct core_info *info, struct error *error)
{
    struct core *core = calloc(1, sizeof *core);
    if (!core)
        return error_set(error, "out of memory");
    core->file = file;
    core->timeline = timeline;
    core->memory = &timeline_machine(timeline)->memory;
    int result = view_take(&core->view, timeline, error);
    if (result == 0) {
        find_info(core);
        plan_segments(core);
        result = put_notes(core, error);
    }
    if (result == 0) {
        place_segments(core);
        result = write_all(core, error);
    }
    *info = (struct core_info){
        .is_linux = core->info_size != 0, .bytes = core->bytes, .memory_size = core->memory->size};
    buffer_free(&core->notes);
    free(core);
    return result;
}
