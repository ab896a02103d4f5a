/* Applies the relocations of a kernel module's file. */
#include "debugger/relocate.h"

#include <elf.h>
#include <string.h>

/* What is being linked. Everything in it comes from a file: each offset is checked. */
struct link {
    uint8_t *image;
    size_t size;
    Elf64_Ehdr *header;
    Elf64_Shdr *sections;
    const char *names;
    uint64_t names_size;
    struct error *error;
};

static bool inside(const struct link *link, uint64_t offset, uint64_t size)
{
    return offset <= link->size && size <= link->size - offset;
}

/* What is written must not be the headers that tell how far the file goes. */
static bool may_be_written(const struct link *link, uint64_t offset, uint64_t size)
{
    uint64_t table = link->header->e_shoff,
             end = table + (uint64_t)link->header->e_shnum * sizeof(Elf64_Shdr);
    return inside(link, offset, size) && offset >= sizeof(Elf64_Ehdr) &&
           (offset >= end || offset + size <= table);
}

static Elf64_Shdr *section_at(const struct link *link, uint64_t index)
{
    return index && index < link->header->e_shnum ? &link->sections[index] : NULL;
}

static const char *section_name(const struct link *link, const Elf64_Shdr *section)
{
    uint64_t at = section->sh_name;
    return at < link->names_size && memchr(link->names + at, '\0', link->names_size - at)
               ? link->names + at
               : "";
}

static int open_link(struct link *link)
{
    link->header = (Elf64_Ehdr *)link->image;
    if (link->size < sizeof *link->header || link->header->e_ident[EI_CLASS] != ELFCLASS64 ||
        link->header->e_machine != EM_X86_64 || link->header->e_shentsize != sizeof(Elf64_Shdr) ||
        link->header->e_shoff % 8 ||
        !inside(link, link->header->e_shoff, (uint64_t)link->header->e_shnum * sizeof(Elf64_Shdr)))
        return error_set(link->error, "not a relocatable file for x86-64");
    link->sections = (Elf64_Shdr *)(void *)(link->image + link->header->e_shoff);
    const Elf64_Shdr *names = section_at(link, link->header->e_shstrndx);
    if (!names || !inside(link, names->sh_offset, names->sh_size))
        return error_set(link->error, "its sections have no names");
    link->names = (const char *)link->image + names->sh_offset;
    link->names_size = names->sh_size;
    return 0;
}

static unsigned place_sections(
    struct link *link, const struct placed_section *sections, unsigned count)
{
    unsigned placed = 0;
    for (uint64_t i = 1; i < link->header->e_shnum; i++) {
        Elf64_Shdr *section = &link->sections[i];
        section->sh_addr = 0;
        for (unsigned j = 0; j < count && (section->sh_flags & SHF_ALLOC); j++) {
            if (strcmp(section_name(link, section), sections[j].name) != 0)
                continue;
            section->sh_addr = sections[j].address;
            placed++;
        }
    }
    return placed;
}

static Elf64_Sym *symbols_of(const struct link *link, const Elf64_Shdr *table, uint64_t *count)
{
    if (!table || table->sh_type != SHT_SYMTAB || table->sh_offset % 8 ||
        !may_be_written(link, table->sh_offset, table->sh_size))
        return NULL;
    *count = table->sh_size / sizeof(Elf64_Sym);
    return (Elf64_Sym *)(void *)(link->image + table->sh_offset);
}

/* Symbols of sections that are nowhere become undefined. */
static void place_symbols(struct link *link)
{
    for (uint64_t i = 1; i < link->header->e_shnum; i++) {
        uint64_t count;
        Elf64_Sym *symbols = symbols_of(link, &link->sections[i], &count);
        for (uint64_t j = 0; symbols && j < count; j++) {
            const Elf64_Shdr *section = section_at(link, symbols[j].st_shndx);
            if (!section)
                continue;
            /* Those of debugging sections stand for offsets in them. */
            bool nowhere = (section->sh_flags & SHF_ALLOC) && !section->sh_addr &&
                           strcmp(section_name(link, section), ".data..percpu") != 0;
            if (nowhere)
                symbols[j].st_shndx = SHN_UNDEF;
            symbols[j].st_value = nowhere ? 0 : symbols[j].st_value + section->sh_addr;
        }
    }
}

static unsigned width_of(uint64_t type)
{
    switch (type) {
    case R_X86_64_64:
    case R_X86_64_PC64:
        return 8;
    case R_X86_64_32:
    case R_X86_64_32S:
    case R_X86_64_PC32:
        return 4;
    case R_X86_64_16:
        return 2;
    case R_X86_64_8:
        return 1;
    default:
        return 0;
    }
}

static int apply(struct link *link, const Elf64_Shdr *target, const Elf64_Rela *relocation,
    const Elf64_Sym *symbols, uint64_t count)
{
    uint64_t type = ELF64_R_TYPE(relocation->r_info), number = ELF64_R_SYM(relocation->r_info);
    unsigned width = width_of(type);
    if (type == R_X86_64_NONE)
        return 0;
    if (width == 0)
        return error_set(link->error, "relocation %llu in %s is not known",
            (unsigned long long)type, section_name(link, target));
    if (number >= count || relocation->r_offset > target->sh_size ||
        width > target->sh_size - relocation->r_offset)
        return error_set(
            link->error, "a relocation of %s is out of range", section_name(link, target));
    uint64_t value = symbols[number].st_value + (uint64_t)relocation->r_addend;
    if (type == R_X86_64_PC32 || type == R_X86_64_PC64)
        value -= target->sh_addr + relocation->r_offset;
    memcpy(link->image + target->sh_offset + relocation->r_offset, &value, width);
    return 0;
}

static int relocate_section(struct link *link, const Elf64_Shdr *list)
{
    uint64_t count = 0;
    const Elf64_Shdr *target = section_at(link, list->sh_info);
    const Elf64_Sym *symbols = symbols_of(link, section_at(link, list->sh_link), &count);
    if (!target || (target->sh_flags & SHF_ALLOC) || target->sh_type == SHT_NOBITS)
        return 0;
    if (target->sh_flags & SHF_COMPRESSED)
        return error_set(link->error,
            "%s is compressed: 'objcopy --decompress-debug-sections' "
            "makes a file that can be used",
            section_name(link, target));
    if (!symbols || list->sh_offset % 8 || !inside(link, list->sh_offset, list->sh_size) ||
        !may_be_written(link, target->sh_offset, target->sh_size))
        return error_set(
            link->error, "the relocations of %s are out of range", section_name(link, target));
    const Elf64_Rela *relocations =
        (const Elf64_Rela *)(const void *)(link->image + list->sh_offset);
    for (uint64_t i = 0; i < list->sh_size / sizeof *relocations; i++) {
        if (apply(link, target, &relocations[i], symbols, count) < 0)
            return -1;
    }
    return 0;
}

int relocate(void *image, size_t size, const struct placed_section *sections, unsigned count,
    struct error *error)
{
    struct link link = {.image = image, .size = size, .error = error};
    if (open_link(&link) < 0)
        return -1;
    if (place_sections(&link, sections, count) == 0)
        return error_set(error, "none of its sections has an address");
    place_symbols(&link);
    for (uint64_t i = 1; i < link.header->e_shnum; i++) {
        if (link.sections[i].sh_type == SHT_RELA && relocate_section(&link, &link.sections[i]) < 0)
            return -1;
    }
    /* Done: nobody else is to do it again. */
    for (uint64_t i = 1; i < link.header->e_shnum; i++) {
        if (link.sections[i].sh_type == SHT_RELA)
            link.sections[i].sh_type = SHT_NULL;
    }
    link.header->e_type = ET_DYN;
    return 0;
}
