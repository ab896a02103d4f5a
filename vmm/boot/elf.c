/* ELF kernels: segments, and which way in the file offers. */
#include "vmm/boot/internal.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "vmm/boot/multiboot_header.h"

enum { NOTE_PHYS32_ENTRY = 18 }; /* XEN_ELFNOTE_PHYS32_ENTRY */

static int load_segment(struct memory *memory, const struct boot_image *kernel,
    const GElf_Phdr *segment, struct boot_layout *layout, struct error *error)
{
    if (segment->p_filesz > segment->p_memsz || segment->p_offset > kernel->size ||
        segment->p_filesz > kernel->size - segment->p_offset)
        return error_set(
            error, "%s: a segment reaches past the end of the file: it is truncated", kernel->name);
    if (segment->p_memsz == 0)
        return 0;
    uint8_t *target = memory_at(memory, segment->p_paddr, segment->p_memsz);
    if (!target)
        return error_set(error,
            "%s: a segment of %llu bytes at %#llx does not fit in the guest's memory; give more "
            "with --memory",
            kernel->name, (unsigned long long)segment->p_memsz,
            (unsigned long long)segment->p_paddr);
    memcpy(target, kernel->data + segment->p_offset, segment->p_filesz);
    if (layout->kernel_end == 0 || segment->p_paddr < layout->kernel_start)
        layout->kernel_start = segment->p_paddr;
    if (segment->p_paddr + segment->p_memsz > layout->kernel_end)
        layout->kernel_end = segment->p_paddr + segment->p_memsz;
    return 0;
}

/* The PVH entry from the notes of one segment. */
static bool note_entry(Elf *elf, const GElf_Phdr *segment, uint64_t *entry)
{
    Elf_Data *data =
        elf_getdata_rawchunk(elf, (int64_t)segment->p_offset, segment->p_filesz, ELF_T_NHDR);
    if (!data)
        return false;
    size_t offset = 0, name, descriptor;
    GElf_Nhdr note;
    while ((offset = gelf_getnote(data, offset, &note, &name, &descriptor)) > 0) {
        const char *bytes = data->d_buf;
        if (note.n_type != NOTE_PHYS32_ENTRY || note.n_namesz != 4 || note.n_descsz < 4 ||
            memcmp(bytes + name, "Xen", 4) != 0)
            continue;
        uint32_t value;
        memcpy(&value, bytes + descriptor, sizeof value);
        *entry = value;
        return true;
    }
    return false;
}

struct entries {
    bool offered[BOOT_PROTOCOL_COUNT];
    uint64_t entry[BOOT_PROTOCOL_COUNT];
    const char *why_not_multiboot2;
};

static int choose(const struct boot_image *kernel, const struct entries *entries,
    struct boot_choice *choice, uint64_t *entry, struct error *error)
{
    static const struct boot_choice order[] = {
        {BOOT_MULTIBOOT, "the file has a Multiboot header"},
        {BOOT_MULTIBOOT2, "the file has a Multiboot 2 header"},
        {BOOT_PVH, "the file has a PVH note"},
        {BOOT_ELF64, "its 64-bit entry is linked at its physical address"},
    };
    for (size_t i = 0; choice->protocol == BOOT_AUTO && i < sizeof order / sizeof order[0]; i++) {
        if (entries->offered[order[i].protocol])
            *choice = order[i];
    }
    if (choice->protocol == BOOT_AUTO)
        return error_set(error,
            "%s: no way to start it: neither a Multiboot header, nor a PVH note, nor a 64-bit "
            "entry "
            "linked at its physical address",
            kernel->name);
    if (choice->protocol == BOOT_MULTIBOOT2 && !entries->offered[BOOT_MULTIBOOT2])
        return error_set(error, "%s: %s", kernel->name, entries->why_not_multiboot2);
    if (!entries->offered[choice->protocol])
        return error_set(error, "%s: the file has no %s entry", kernel->name,
            boot_protocol_name(choice->protocol));
    *entry = entries->entry[choice->protocol];
    return 0;
}

static bool overlaps(const GElf_Phdr *segment, uint64_t start, uint64_t end)
{
    return segment->p_type == PT_LOAD && segment->p_memsz && segment->p_paddr < end &&
           (segment->p_paddr >= start || segment->p_memsz > start - segment->p_paddr);
}

/* The lowest place for the loader's area that no segment touches. */
static int place_area(const struct boot_image *kernel, Elf *elf, size_t count,
    struct boot_layout *layout, struct error *error)
{
    enum { LAST = 0x80000 };
    for (layout->area = 0; layout->area <= LAST; layout->area += BOOT_AREA_STEP) {
        bool is_free = true;
        for (size_t i = 0; is_free && i < count; i++) {
            GElf_Phdr segment;
            is_free =
                !gelf_getphdr(elf, (int)i, &segment) ||
                !overlaps(&segment, layout->area + BOOT_AREA_START, layout->area + BOOT_AREA_END);
        }
        if (is_free)
            return 0;
    }
    return error_set(error,
        "%s: its segments take all of the first 640 KiB: no room for the command line and tables",
        kernel->name);
}

/* The segments, and where the entry point is physically. */
static int load_segments(struct memory *memory, Elf *elf, const struct boot_image *kernel,
    size_t count, struct entries *entries, struct boot_layout *layout, struct error *error)
{
    GElf_Ehdr header;
    gelf_getehdr(elf, &header);
    bool is64 = gelf_getclass(elf) == ELFCLASS64;
    entries->entry[BOOT_ELF64] = header.e_entry;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment))
            return error_set(error, "%s: its program headers are damaged", kernel->name);
        if (segment.p_type == PT_NOTE && !entries->offered[BOOT_PVH])
            entries->offered[BOOT_PVH] = note_entry(elf, &segment, &entries->entry[BOOT_PVH]);
        if (segment.p_type != PT_LOAD)
            continue;
        if (load_segment(memory, kernel, &segment, layout, error) < 0)
            return -1;
        if (header.e_entry >= segment.p_vaddr &&
            header.e_entry - segment.p_vaddr < segment.p_memsz) {
            entries->entry[BOOT_ELF64] = header.e_entry - segment.p_vaddr + segment.p_paddr;
            entries->offered[BOOT_ELF64] = is64 && segment.p_vaddr == segment.p_paddr;
        }
    }
    if (layout->kernel_end == 0)
        return error_set(error, "%s: the ELF file has nothing to load", kernel->name);
    return 0;
}

static int load(struct memory *memory, Elf *elf, const struct boot_request *request,
    struct boot_choice *choice, struct boot_layout *layout, struct error *error)
{
    const struct boot_image *kernel = &request->kernel;
    GElf_Ehdr header;
    size_t count;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return error_set(
            error, "%s: not an ELF file, and no other kind of kernel that is known", kernel->name);
    if (header.e_machine != EM_X86_64 && header.e_machine != EM_386)
        return error_set(error, "%s: an ELF file for another machine (%u), not x86", kernel->name,
            header.e_machine);
    if (header.e_type != ET_EXEC)
        return error_set(
            error, "%s: not an executable with fixed addresses (ET_EXEC)", kernel->name);
    if (elf_getphdrnum(elf, &count) < 0 || count == 0)
        return error_set(error, "%s: the ELF file has no program headers", kernel->name);
    struct entries entries = {0};
    if (place_area(kernel, elf, count, layout, error) < 0 ||
        load_segments(memory, elf, kernel, count, &entries, layout, error) < 0)
        return -1;
    uint64_t elf_entry = entries.entry[BOOT_ELF64];
    entries.offered[BOOT_MULTIBOOT] = multiboot_header_find(
        kernel, gelf_getclass(elf) == ELFCLASS64, elf_entry, &entries.entry[BOOT_MULTIBOOT]);
    entries.offered[BOOT_MULTIBOOT2] = multiboot2_header_find(
        kernel, elf_entry, &entries.entry[BOOT_MULTIBOOT2], &entries.why_not_multiboot2);
    return choose(kernel, &entries, choice, &layout->entry, error);
}

int boot_load_elf(struct memory *memory, const struct boot_request *request,
    struct boot_choice *choice, struct boot_layout *layout, struct error *error)
{
    if (elf_version(EV_CURRENT) == EV_NONE)
        return error_set(error, "libelf is too old: %s", elf_errmsg(-1));
    /* elf_memory does not write to the image; its parameter is not const for historical reasons. */
    union {
        const uint8_t *in;
        char *out;
    } image = {.in = request->kernel.data};
    Elf *elf = elf_memory(image.out, request->kernel.size);
    if (!elf)
        return error_set(error, "%s: %s", request->kernel.name, elf_errmsg(-1));
    int result = load(memory, elf, request, choice, layout, error);
    elf_end(elf);
    return result;
}
