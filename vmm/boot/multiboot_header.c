/* Finds and reads the Multiboot headers of a kernel. */
#include "vmm/boot/multiboot_header.h"

#include <string.h>

enum { MULTIBOOT_MAGIC = 0x1badb002, MULTIBOOT_SEARCH = 8192 };
enum { MULTIBOOT2_SEARCH = 32768, MULTIBOOT2_I386 = 0 };
#define MULTIBOOT2_MAGIC 0xe85250d6u

bool multiboot_header_find(
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

/* The tags that ask for something; what only describes the console or hints is passed over. */
static bool read_tags(const uint8_t *tags, size_t size, uint64_t *entry, const char **why)
{
    enum { END = 0, ADDRESS = 2, ENTRY = 3, FRAMEBUFFER = 5, EFI_SERVICES = 7, OPTIONAL = 1 };
    enum { TAG_HEADER = 8, ENTRY_TAG_SIZE = 12 };
    size_t i = 0;
    while (i + TAG_HEADER <= size) {
        uint16_t type, flags;
        uint32_t length, value;
        memcpy(&type, tags + i, sizeof type);
        memcpy(&flags, tags + i + 2, sizeof flags);
        memcpy(&length, tags + i + 4, sizeof length);
        if (type == END)
            return true;
        if (length < TAG_HEADER || length > size - i)
            break;
        bool is_missing = type == ADDRESS || type == FRAMEBUFFER || type == EFI_SERVICES;
        if (is_missing && !(flags & OPTIONAL)) {
            *why = type == ADDRESS       ? "it is to be loaded by its address tag, not as ELF"
                   : type == FRAMEBUFFER ? "it needs a frame buffer"
                                         : "it needs EFI boot services";
            return false;
        }
        if (type == ENTRY && length >= ENTRY_TAG_SIZE) {
            memcpy(&value, tags + i + TAG_HEADER, sizeof value);
            *entry = value;
        }
        i += ((size_t)length + 7) & ~(size_t)7;
    }
    *why = "its Multiboot 2 header is damaged";
    return false;
}

bool multiboot2_header_find(
    const struct boot_image *kernel, uint64_t elf_entry, uint64_t *entry, const char **why)
{
    enum { HEADER_SIZE = 16 };
    const char *unused;
    if (!why)
        why = &unused;
    for (size_t i = 0; i + HEADER_SIZE <= kernel->size && i + HEADER_SIZE <= MULTIBOOT2_SEARCH;
         i += 8) {
        uint32_t words[4];
        memcpy(words, kernel->data + i, sizeof words);
        if (words[0] != MULTIBOOT2_MAGIC || words[0] + words[1] + words[2] + words[3] != 0)
            continue;
        if (words[1] != MULTIBOOT2_I386 || words[2] < HEADER_SIZE || words[2] > kernel->size - i) {
            *why = "its Multiboot 2 header is for another architecture, or damaged";
            return false;
        }
        *entry = elf_entry;
        return read_tags(kernel->data + i + HEADER_SIZE, words[2] - HEADER_SIZE, entry, why);
    }
    *why = "it has no Multiboot 2 header";
    return false;
}
