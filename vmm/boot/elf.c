/* ELF kernels: segments, and which way in the file offers. */
#include "vmm/boot/internal.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

enum { NOTE_PHYS32_ENTRY = 18 }; /* XEN_ELFNOTE_PHYS32_ENTRY */
enum { MULTIBOOT_MAGIC = 0x1badb002, MULTIBOOT_SEARCH = 8192 };

static int load_segment(struct memory *memory, const struct boot_image *kernel,
    const GElf_Phdr *segment, struct boot_layout *layout, struct error *error)
{
    if (segment->p_filesz > segment->p_memsz || segment->p_offset > kernel->size ||
        segment->p_filesz > kernel->size - segment->p_offset)
        return error_set(
            error, "%s: a segment reaches past the end of the file: it is truncated", kernel->name);
    if (segment->p_memsz == 0)
        return 0;
    if (segment->p_paddr < BOOT_LOW_END)
        return error_set(error, "%s: a segment at %#llx lies in the loader's first 64 KiB",
            kernel->name, (unsigned long long)segment->p_paddr);
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

/*
 * The entry point by the Multiboot header: the header's own where its address fields are valid
 * (flag 16), else the ELF file's, which must then be a 32-bit file (sections 3.1.3 and 3.1.1).
 */
static bool multiboot_entry(
    const struct boot_image *kernel, bool is64, uint64_t elf_entry, uint64_t *entry)
{
    enum { HEADER_SIZE = 12, ADDRESSES_SIZE = 32, ENTRY_WORD = 7, HAS_ADDRESSES = 1 << 16 };
    for (size_t i = 0; i + HEADER_SIZE <= kernel->size && i + HEADER_SIZE <= MULTIBOOT_SEARCH;
         i += 4) {
        uint32_t words[8] = {0};
        memcpy(words, kernel->data + i, HEADER_SIZE);
        if (words[0] != MULTIBOOT_MAGIC || words[0] + words[1] + words[2] != 0)
            continue;
        if (!(words[1] & HAS_ADDRESSES)) {
            *entry = elf_entry;
            return !is64;
        }
        if (i + ADDRESSES_SIZE > kernel->size)
            return false;
        memcpy(words, kernel->data + i, ADDRESSES_SIZE);
        *entry = words[ENTRY_WORD];
        return true;
    }
    return false;
}

struct entries {
    bool elf64, pvh, multiboot;
    uint64_t entry; /* e_entry as a physical address */
    uint64_t pvh_entry;
    uint64_t multiboot_entry;
};

static int choose(const struct boot_image *kernel, const struct entries *entries,
    enum boot_protocol *protocol, uint64_t *entry, struct error *error)
{
    const bool offered[BOOT_PROTOCOL_COUNT] = {[BOOT_ELF64] = entries->elf64,
        [BOOT_PVH] = entries->pvh,
        [BOOT_MULTIBOOT] = entries->multiboot};
    for (unsigned i = BOOT_ELF64; *protocol == BOOT_AUTO && i < BOOT_PROTOCOL_COUNT; i++) {
        if (offered[i])
            *protocol = (enum boot_protocol)i;
    }
    if (*protocol == BOOT_AUTO)
        return error_set(error,
            "%s: no way to start it: neither a 64-bit entry linked at its physical address, nor a "
            "PVH note, nor a Multiboot 1 header",
            kernel->name);
    if (!offered[*protocol])
        return error_set(
            error, "%s: the file has no %s entry", kernel->name, boot_protocol_name(*protocol));
    *entry = *protocol == BOOT_PVH         ? entries->pvh_entry
             : *protocol == BOOT_MULTIBOOT ? entries->multiboot_entry
                                           : entries->entry;
    return 0;
}

static int load(struct memory *memory, Elf *elf, const struct boot_request *request,
    enum boot_protocol *protocol, struct boot_layout *layout, struct error *error)
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
    struct entries entries = {.entry = header.e_entry};
    bool is64 = gelf_getclass(elf) == ELFCLASS64;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment))
            return error_set(error, "%s: its program headers are damaged", kernel->name);
        if (segment.p_type == PT_NOTE && !entries.pvh)
            entries.pvh = note_entry(elf, &segment, &entries.pvh_entry);
        if (segment.p_type != PT_LOAD)
            continue;
        if (load_segment(memory, kernel, &segment, layout, error) < 0)
            return -1;
        if (header.e_entry >= segment.p_vaddr &&
            header.e_entry - segment.p_vaddr < segment.p_memsz) {
            entries.entry = header.e_entry - segment.p_vaddr + segment.p_paddr;
            entries.elf64 = is64 && segment.p_vaddr == segment.p_paddr;
        }
    }
    if (layout->kernel_end == 0)
        return error_set(error, "%s: the ELF file has nothing to load", kernel->name);
    entries.multiboot = multiboot_entry(kernel, is64, entries.entry, &entries.multiboot_entry);
    return choose(kernel, &entries, protocol, &layout->entry, error);
}

int boot_load_elf(struct memory *memory, const struct boot_request *request,
    enum boot_protocol *protocol, struct boot_layout *layout, struct error *error)
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
    int result = load(memory, elf, request, protocol, layout, error);
    elf_end(elf);
    return result;
}
