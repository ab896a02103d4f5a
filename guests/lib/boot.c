/* Reads what the loader passed, and options of the command line. */
#include "lib/boot.h"

#include <stddef.h>

#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/segments.h"

#define HVM_START_MAGIC 0x336ec578u

struct hvm_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t modules;
    uint64_t module_list;
    uint64_t command_line;
    uint64_t rsdp;
};

struct hvm_module {
    uint64_t address;
    uint64_t size;
    uint64_t command_line;
    uint64_t reserved;
};

enum { MULTIBOOT_HAS_COMMAND_LINE = 1 << 2, MULTIBOOT_HAS_MODULES = 1 << 3 };

struct multiboot_info {
    uint32_t flags;
    uint32_t memory_lower, memory_upper;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t modules;
    uint32_t module_list;
};

struct multiboot_module {
    uint32_t start, end;
    uint32_t string;
    uint32_t reserved;
};

static const void *at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

static void read_start_info(struct boot_info *boot, const struct hvm_start_info *info)
{
    if (info->magic != HVM_START_MAGIC)
        guest_panic(1, "start info at %p has magic %x", (const void *)info, info->magic);
    if (info->command_line)
        boot->command_line = at(info->command_line);
    if (info->modules) {
        const struct hvm_module *module = at(info->module_list);
        boot->initrd = module->address;
        boot->initrd_size = module->size;
    }
}

static void read_multiboot(struct boot_info *boot, const struct multiboot_info *info)
{
    if (info->flags & MULTIBOOT_HAS_COMMAND_LINE)
        boot->command_line = at(info->command_line);
    if ((info->flags & MULTIBOOT_HAS_MODULES) && info->modules) {
        const struct multiboot_module *module = at(info->module_list);
        boot->initrd = module->start;
        boot->initrd_size = module->end - module->start;
    }
}

void boot_main(unsigned protocol, const void *info)
{
    struct boot_info boot = {.protocol = protocol, .command_line = ""};
    console_init();
    segments_init();
    interrupts_init();
    pic_init();
    if (protocol == BOOT_MULTIBOOT)
        read_multiboot(&boot, info);
    else
        read_start_info(&boot, info);
    guest_main(&boot);
    guest_succeed();
}

/* The text after "name=" at the start of a word, or NULL. */
static const char *find_option(const char *line, const char *name)
{
    for (const char *word = line; *word;) {
        size_t i = 0;
        while (name[i] && word[i] == name[i])
            i++;
        if (!name[i] && word[i] == '=')
            return word + i + 1;
        while (*word && *word != ' ')
            word++;
        while (*word == ' ')
            word++;
    }
    return NULL;
}

uint64_t boot_option(const struct boot_info *boot, const char *name, uint64_t fallback)
{
    const char *text = find_option(boot->command_line, name);
    if (!text)
        return fallback;
    unsigned base = 10;
    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    uint64_t value = 0;
    for (;; text++) {
        unsigned digit;
        if (*text >= '0' && *text <= '9')
            digit = (unsigned)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            digit = (unsigned)(*text - 'a') + 10;
        else
            break;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    return value;
}
