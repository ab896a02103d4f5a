/*
 * The question `allocs ADDRESS`: the life of the Linux kernel's slab objects around an address. A
 * first pass follows the allocator's functions, a second one the accesses to what is free.
 *
 * Sources: Linux 5.10 to 6.12, include/linux/slab.h, mm/slub.c, mm/slab_common.c.
 */
#include "debugger/query.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/kernel.h"
#include "debugger/query_calls.h"
#include "replay/accesses.h"

enum { KIND = QUERY_OWN_COLUMNS, OBJECT, BYTES, BY };

static const struct column columns[] = {{"kind", COLUMN_TEXT}, {"object", COLUMN_ADDRESS},
    {"bytes", COLUMN_NUMBER}, {"by", COLUMN_TEXT}};

enum { MAX_STAGES = 4096, MAX_USES = 50, MAX_CALLERS = 12, MAX_OBJECT = 1 << 22 };

/* One moment of an object's life. */
struct stage {
    enum { STAGE_ALLOCATED, STAGE_FREED, STAGE_GONE } kind; /* GONE: its pages were given back */
    uint64_t retired, object, size;
};

struct life {
    struct query *query;
    uint64_t address;
    struct calls calls;
    struct stage stages[MAX_STAGES];
    unsigned count;
    /* Of the second pass. */
    unsigned next, uses;
    struct position first_free;
};

/* ---- The allocator --------------------------------------------------------------------------- */

enum role {
    ALLOC_SIZE,  /* (size, ...): an object */
    ALLOC_CACHE, /* (cache, ...): an object */
    FREE_OBJECT, /* (object) */
    FREE_CACHE,  /* (cache, object) */
    FREE_PAGES,  /* (page, order) */
};

static const struct allocator {
    const char *name;
    enum role role;
} allocators[] = {
    {"__kmalloc", ALLOC_SIZE},
    {"__kmalloc_node", ALLOC_SIZE},
    {"__kmalloc_track_caller", ALLOC_SIZE},
    {"__kmalloc_node_track_caller", ALLOC_SIZE},
    {"__kmalloc_noprof", ALLOC_SIZE},
    {"__kmalloc_node_noprof", ALLOC_SIZE},
    {"__kmalloc_node_track_caller_noprof", ALLOC_SIZE},
    {"kmem_cache_alloc", ALLOC_CACHE},
    {"kmem_cache_alloc_lru", ALLOC_CACHE},
    {"kmem_cache_alloc_node", ALLOC_CACHE},
    {"kmem_cache_alloc_trace", ALLOC_CACHE},
    {"kmem_cache_alloc_node_trace", ALLOC_CACHE},
    {"kmalloc_trace", ALLOC_CACHE},
    {"kmalloc_node_trace", ALLOC_CACHE},
    {"kmem_cache_alloc_noprof", ALLOC_CACHE},
    {"kmem_cache_alloc_lru_noprof", ALLOC_CACHE},
    {"kmem_cache_alloc_node_noprof", ALLOC_CACHE},
    {"__kmalloc_cache_noprof", ALLOC_CACHE},
    {"__kmalloc_cache_node_noprof", ALLOC_CACHE},
    {"kfree", FREE_OBJECT},
    {"kmem_cache_free", FREE_CACHE},
    {"__free_pages", FREE_PAGES},
};

enum { ALLOCATORS = sizeof allocators / sizeof allocators[0] };

static const struct allocator *allocator_of(const struct called_function *function)
{
    size_t length = strcspn(function->name, ".");
    for (unsigned i = 0; i < ALLOCATORS; i++) {
        if (strlen(allocators[i].name) == length &&
            strncmp(allocators[i].name, function->name, length) == 0)
            return &allocators[i];
    }
    return NULL;
}

/* What kmalloc gives for so much. */
static uint64_t bucket(uint64_t size)
{
    uint64_t rounded = 8;
    if (size > 64 && size <= 96)
        return 96;
    if (size > 128 && size <= 192)
        return 192;
    while (rounded < size && rounded < MAX_OBJECT)
        rounded *= 2;
    return rounded;
}

static uint64_t cache_size(const struct life *life, const struct view *view, uint64_t cache)
{
    struct module *kernel = follow_kernel(life->query->debugger);
    uint64_t size;
    if (!kernel || !kernel_read(kernel, view, cache, "kmem_cache", "size", &size))
        return 0;
    return (uint32_t)size;
}

/* ---- The first pass -------------------------------------------------------------------------- */

static bool covers(const struct life *life, uint64_t object, uint64_t size)
{
    return life->address - object < size;
}

static void add_row(
    struct life *life, const struct view *view, const char *kind, uint64_t object, uint64_t size)
{
    struct query *query = life->query;
    struct buffer stack = {0};
    uint64_t row = query_row(query, view);
    query_text(query, row, KIND, "%s", kind);
    table_set_number(&query->table, row, OBJECT, object);
    if (size)
        table_set_number(&query->table, row, BYTES, size);
    query_stack(query, MAX_CALLERS, &stack);
    buffer_put_u8(&stack, 0);
    if (!stack.failed)
        table_set_text(&query->table, row, BY, (const char *)stack.data);
    buffer_free(&stack);
}

static void add_stage(struct life *life, const struct stage *stage)
{
    const struct timeline *timeline = life->query->debugger->timeline;
    if (life->count == MAX_STAGES) {
        life->query->limited = true;
        return;
    }
    life->stages[life->count] = *stage;
    life->stages[life->count++].retired = timeline_retired(timeline);
    if (stage->kind == STAGE_FREED && life->first_free.event == UINT64_MAX)
        life->first_free = timeline_position(timeline);
}

/* The object as it was last allocated; NULL: it never was. */
static const struct stage *last_of(const struct life *life, uint64_t object)
{
    for (unsigned i = life->count; i-- > 0;) {
        if (life->stages[i].object == object)
            return &life->stages[i];
    }
    return NULL;
}

static void see_free(struct life *life, const struct view *view, uint64_t object, uint64_t size)
{
    const struct stage *last = last_of(life, object);
    if (!size)
        size = last ? last->size : 1;
    if (!object || !covers(life, object, size))
        return;
    add_row(life, view, last && last->kind == STAGE_FREED ? "freed again" : "freed", object,
        last ? last->size : 0);
    add_stage(life, &(struct stage){.kind = STAGE_FREED, .object = object, .size = size});
}

/* Pages that hold the address, given back: what is done there later is no business of the object's.
 * A page is known by its struct page, 64 bytes each from vmemmap on. */
static void see_pages(struct life *life, const struct view *view, const struct call *call)
{
    struct debugger *debugger = life->query->debugger;
    const struct module *kernel = follow_kernel(debugger);
    uint64_t variable, vmemmap = 0xffffea0000000000, direct = 0xffff888000000000;
    if (!life->count || life->stages[life->count - 1].kind == STAGE_GONE || !kernel)
        return;
    if (kernel_variable(kernel, view, "vmemmap_base", &variable))
        view_read_number(view, variable, 8, &vmemmap);
    if (kernel_variable(kernel, view, "page_offset_base", &variable))
        view_read_number(view, variable, 8, &direct);
    uint64_t first = (call->argument[0] - vmemmap) / 64;
    if ((life->address - direct) / PAGE_SIZE - first >= 1ull << (call->argument[1] & 31))
        return;
    struct stage stage = life->stages[life->count - 1];
    stage.kind = STAGE_GONE;
    add_row(life, view, "pages given back", stage.object, 0);
    add_stage(life, &stage);
}

static uint64_t on_enter(void *context, const struct call *call, const struct view *view)
{
    struct life *life = context;
    const struct allocator *allocator = allocator_of(call->function);
    if (!allocator)
        return UINT64_MAX;
    switch (allocator->role) {
    case FREE_OBJECT:
        see_free(life, view, call->argument[0], 0);
        return UINT64_MAX;
    case FREE_CACHE:
        see_free(life, view, call->argument[1], cache_size(life, view, call->argument[0]));
        return UINT64_MAX;
    case FREE_PAGES:
        see_pages(life, view, call);
        return UINT64_MAX;
    default:
        return 0;
    }
}

static void on_leave(void *context, const struct call *call, const struct view *view)
{
    struct life *life = context;
    uint64_t object = view->state.gpr[RAX];
    /* Most are far off: the sizes are looked up for those that are not. */
    if (!object || !covers(life, object, MAX_OBJECT))
        return;
    uint64_t size = allocator_of(call->function)->role == ALLOC_SIZE
                        ? bucket(call->argument[0])
                        : cache_size(life, view, call->argument[0]);
    if (!covers(life, object, size))
        return;
    /* One function may be another's beginning: both return the object. */
    const struct stage *last = last_of(life, object);
    if (last && last->kind == STAGE_ALLOCATED)
        return;
    add_row(life, view, "allocated", object, size);
    add_stage(life, &(struct stage){.kind = STAGE_ALLOCATED, .object = object, .size = size});
}

static int arm(void *context, struct timeline_condition *conditions, struct error *error)
{
    struct life *life = context;
    calls_forget_functions(&life->calls);
    for (unsigned i = 0; i < ALLOCATORS; i++)
        calls_add_functions(&life->calls, allocators[i].name);
    return calls_arm(&life->calls, conditions, error);
}

/* ---- The second pass ------------------------------------------------------------------------- */

/* The allocator's own work on a free object: its list, and clearing. */
static bool is_allocator(const struct life *life, uint64_t rip)
{
    static const char *const parts[] = {"slab", "kmem_cache", "kmalloc", "kfree", "memset",
        "freelist", "free_to_partial", "init_object", "setup_object"};
    const struct symbol *symbol = symbols_at(&life->query->debugger->symbols, rip);
    for (unsigned i = 0; symbol && i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(symbol->name, parts[i]))
            return true;
    }
    return false;
}

static void put_use(struct life *life, const struct memory_access *memory,
    const struct stage *stage, const struct view *view)
{
    struct query *query = life->query;
    struct buffer place = {0};
    uint64_t row = query_row(query, view);
    query_text(query, row, KIND, memory->is_write ? "written after that" : "read after that");
    table_set_number(&query->table, row, OBJECT, stage->object);
    table_set_number(&query->table, row, BYTES, memory->size);
    buffer_printf(&place, "0x%" PRIx64 " ", memory->rip);
    symbols_describe(&query->debugger->symbols, memory->rip, &place);
    buffer_printf(&place, ", offset %" PRIu64, memory->linear - stage->object);
    buffer_put_u8(&place, 0);
    if (!place.failed)
        table_set_text(&query->table, row, BY, (const char *)place.data);
    buffer_free(&place);
}

static void on_access(void *context, const struct timeline_access *access)
{
    struct life *life = context;
    uint64_t retired = timeline_retired(life->query->debugger->timeline);
    struct view view;
    while (life->next < life->count && life->stages[life->next].retired <= retired) {
        life->next++;
        life->uses = 0;
    }
    const struct stage *stage = life->next ? &life->stages[life->next - 1] : NULL;
    if (!stage || stage->kind != STAGE_FREED || life->uses >= MAX_USES ||
        access->memory.linear - stage->object >= stage->size ||
        is_allocator(life, access->memory.rip) || query_is_over(life->query) ||
        !query_view(life->query, &view))
        return;
    life->uses++;
    put_use(life, &access->memory, stage, &view);
}

static struct access_range around(const struct life *life)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (unsigned i = 0; i < life->count; i++) {
        const struct stage *stage = &life->stages[i];
        low = stage->object < low ? stage->object : low;
        high = stage->object + stage->size > high ? stage->object + stage->size : high;
    }
    return (struct access_range){.address = low, .length = high - low};
}

static int find_uses(struct life *life, struct error *error)
{
    struct query *query = life->query;
    const struct access_range range = around(life);
    const struct accesses_watcher watcher = {
        .access = on_access, .ranges = &range, .range_count = 1, .context = life};
    if (life->first_free.event == UINT64_MAX || query_is_over(query))
        return 0;
    int status = query_watch(query, life->first_free, &watcher, error);
    table_sort(&query->table, QUERY_POSITION);
    return status;
}

QUESTION(allocs)
{
    uint64_t address;
    if (!*text)
        return error_set(error, "allocs: give an address");
    if (!follow_kernel(query->debugger))
        return error_set(error, "allocs needs the symbols of this guest's Linux kernel, vmlinux "
                                "with debugging information (see 'help add-symbol-file')");
    if (calls_check_name(query->debugger, "kfree", error) < 0 ||
        session_number(query->debugger, text, &address, error) < 0)
        return -1;
    struct life *life = calloc(1, sizeof *life);
    if (!life)
        return error_set(error, "out of memory");
    *life = (struct life){.query = query, .address = address, .first_free = POSITION_END};
    life->calls =
        (struct calls){.query = query, .enter = on_enter, .leave = on_leave, .context = life};
    const struct query_plan plan = {.arm = arm, .context = life, .follows = true};
    query_columns(query, columns, sizeof columns / sizeof columns[0]);
    int status = query_run(query, &plan, error);
    if (status == 0)
        status = find_uses(life, error);
    calls_free(&life->calls);
    free(life);
    return status;
}
