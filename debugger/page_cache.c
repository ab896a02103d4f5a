/* Linux's page cache at the position. */
#include "debugger/page_cache.h"

#include <string.h>

#include "debugger/kernel.h"
#include "debugger/session.h"

enum { MAX_SUPERS = 1024, MAX_INODES = 1 << 22, MAX_LEVELS = 12, SLOTS = 64, SLOT_BITS = 6 };

/* Without CONFIG_RANDOMIZE_MEMORY. */
#define DIRECT_MAP  0xffff888000000000ull
#define PAGE_STRUCT 0xffffea0000000000ull

static struct module *kernel_of(struct debugger *debugger)
{
    struct error ignored;
    if (session_look(debugger, &ignored) < 0)
        return NULL;
    struct module *kernel = follow_kernel(debugger);
    return kernel && !kernel->away && kernel->dwarf ? kernel : NULL;
}

static bool get(struct debugger *debugger, uint64_t address, const char *structure,
    const char *path, uint64_t *value)
{
    return kernel_read(follow_kernel(debugger), &debugger->view, address, structure, path, value);
}

static uint64_t offset_of(struct debugger *debugger, const char *structure, const char *path)
{
    uint64_t offset = 0;
    kernel_member(follow_kernel(debugger), structure, path, &offset, NULL);
    return offset;
}

static uint64_t variable(struct debugger *debugger, const char *name, uint64_t otherwise)
{
    uint64_t address, value;
    if (kernel_variable(follow_kernel(debugger), &debugger->view, name, &address) &&
        view_read_number(&debugger->view, address, 8, &value))
        return value;
    return otherwise;
}

static bool is_on(struct debugger *debugger, uint64_t super, const char *disk)
{
    char name[32];
    uint64_t offset = offset_of(debugger, "super_block", "s_id");
    return view_read_string(&debugger->view, super + offset, name, sizeof name) &&
           strcmp(name, disk) == 0;
}

static bool find_super(struct debugger *debugger, const char *disk, uint64_t *super)
{
    uint64_t head, at, device, offset = offset_of(debugger, "super_block", "s_list");
    if (!kernel_variable(follow_kernel(debugger), &debugger->view, "super_blocks", &head))
        return false;
    at = head;
    for (unsigned i = 0; i < MAX_SUPERS; i++) {
        if (!view_read_number(&debugger->view, at, 8, &at) || at == head)
            return false;
        *super = at - offset;
        if (get(debugger, *super, "super_block", "s_bdev", &device) && device &&
            is_on(debugger, *super, disk))
            return true;
    }
    return false;
}

bool page_cache_of_disk(struct debugger *debugger, const char *disk, struct page_cache *cache)
{
    uint64_t device, inode;
    *cache = (struct page_cache){.debugger = debugger};
    if (!kernel_of(debugger) || !find_super(debugger, disk, &cache->super) ||
        !get(debugger, cache->super, "super_block", "s_bdev", &device))
        return false;
    /* Linux 6.9 has the mapping in the device itself. */
    if (get(debugger, device, "block_device", "bd_mapping", &cache->mapping))
        return true;
    return get(debugger, device, "block_device", "bd_inode", &inode) &&
           get(debugger, inode, "inode", "i_mapping", &cache->mapping);
}

bool page_cache_of_file(const struct page_cache *disk, uint64_t inode, struct page_cache *cache)
{
    struct debugger *debugger = disk->debugger;
    uint64_t head, at, number, offset = offset_of(debugger, "inode", "i_sb_list");
    *cache = *disk;
    head = disk->super + offset_of(debugger, "super_block", "s_inodes");
    at = head;
    for (unsigned i = 0; i < MAX_INODES; i++) {
        if (!view_read_number(&debugger->view, at, 8, &at) || at == head)
            return false;
        uint64_t candidate = at - offset;
        if (get(debugger, candidate, "inode", "i_ino", &number) && number == inode)
            return get(debugger, candidate, "inode", "i_mapping", &cache->mapping) &&
                   get(debugger, candidate, "inode", "i_size", &cache->size);
    }
    return false;
}

/* ---- The tree of pages ---- */

static bool is_node(uint64_t entry)
{
    return (entry & 3) == 2 && entry > 4096;
}

/* The page's struct page, or struct folio: they are one. */
static bool find_page(const struct page_cache *cache, uint64_t index, uint64_t *page)
{
    struct debugger *debugger = cache->debugger;
    uint64_t entry, shift, slots = offset_of(debugger, "xa_node", "slots");
    if (!get(debugger, cache->mapping, "address_space", "i_pages.xa_head", &entry))
        return false;
    if (!is_node(entry) && index != 0)
        return false;
    for (unsigned level = 0; is_node(entry) && level < MAX_LEVELS; level++) {
        uint64_t node = entry - 2;
        if (!get(debugger, node, "xa_node", "shift", &shift) || shift > 60)
            return false;
        if (level == 0 && shift + SLOT_BITS < 64 && index >> (shift + SLOT_BITS))
            return false;
        uint64_t slot = index >> shift & (SLOTS - 1);
        if (!view_read_number(&debugger->view, node + slots + slot * 8, 8, &entry))
            return false;
        /* Another slot of the same folio: 2 | slot << 2. */
        if ((entry & 3) == 2 && entry < SLOTS << 2 &&
            !view_read_number(&debugger->view, node + slots + (entry >> 2) * 8, 8, &entry))
            return false;
    }
    *page = entry;
    return entry && (entry & 3) == 0;
}

static unsigned flag_bit(struct debugger *debugger, const char *name, unsigned otherwise)
{
    struct error ignored;
    uint64_t bit;
    return session_number(debugger, name, &bit, &ignored) == 0 && bit < 64 ? (unsigned)bit
                                                                           : otherwise;
}

/* A page whose blocks were read one by one is known to be read by its buffers alone. */
static bool buffers_are_read(struct debugger *debugger, uint64_t page, bool *dirty)
{
    enum { UPTODATE = 1, DIRTY = 2, BUFFERS_MAX = 8 };
    uint64_t first, at, state;
    if (!get(debugger, page, "page", "private", &first) || !first)
        return false;
    at = first;
    for (unsigned i = 0; i < BUFFERS_MAX; i++) {
        if (!get(debugger, at, "buffer_head", "b_state", &state) || !(state & UPTODATE))
            return false;
        *dirty |= (state & DIRTY) != 0;
        if (!get(debugger, at, "buffer_head", "b_this_page", &at))
            return false;
        if (at == first)
            return true;
    }
    return false;
}

static bool is_read(struct debugger *debugger, uint64_t page, bool *dirty)
{
    uint64_t flags;
    if (!get(debugger, page, "page", "flags", &flags))
        return false;
    *dirty = (flags >> flag_bit(debugger, "PG_dirty", 3) & 1) ||
             (flags >> flag_bit(debugger, "PG_writeback", 15) & 1);
    if (flags >> flag_bit(debugger, "PG_uptodate", 2) & 1)
        return true;
    return (flags >> flag_bit(debugger, "PG_private", 13) & 1) &&
           buffers_are_read(debugger, page, dirty);
}

bool page_cache_read(
    const struct page_cache *cache, uint64_t index, uint8_t data[PAGE_CACHE_BYTES], bool *dirty)
{
    enum { PAGE_SIZE_OF_STRUCT = 64 };
    struct debugger *debugger = cache->debugger;
    uint64_t folio, first = index;
    if (!find_page(cache, index, &folio) || !is_read(debugger, folio, dirty))
        return false;
    if (get(debugger, folio, "page", "index", &first) && first > index)
        return false;
    uint64_t frame =
        (folio - variable(debugger, "vmemmap_base", PAGE_STRUCT)) / PAGE_SIZE_OF_STRUCT +
        (index - first);
    uint64_t map = variable(debugger, "page_offset_base", DIRECT_MAP);
    return view_read(&debugger->view, map + frame * PAGE_CACHE_BYTES, data, PAGE_CACHE_BYTES);
}
