/* Memory accesses of the software CPU, through its TLB. */
#include <string.h>

#include "vmm/cpu/access.h"
#include "vmm/cpu/paging.h"
#include "vmm/cpu/stores.h"
#include "vmm/cpu/tables.h"

/* tlb_entry.flags */
enum {
    ENTRY_LOGGED = 1 << 0, /* named in tlb_log */
    ENTRY_GLOBAL = 1 << 1,
    ENTRY_LARGE = 1 << 2,
    ENTRY_GIGANTIC = 1 << 3,
    ENTRY_WATCHED = 1 << 4,
    ENTRY_RAM = 1 << 5,
    ENTRY_STORABLE = 1 << 6, /* of a read: stores are allowed, and D is set */
};

#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define ENTRY_NONE 1ull
/* Covers 2 MiB and 4 MiB pages. */
enum { LARGE_SHIFT = 22, GIGANTIC_SHIFT = 30 };

/* ---- The TLB --------------------------------------------------------------------------------- */

static struct tlb_entry *entry_number(struct cpu *cpu, unsigned number)
{
    return &cpu->tlb_banks[0][0][0] + number;
}

void tlb_init(struct cpu *cpu)
{
    for (unsigned i = 0; i < TLB_BANKS * ACCESS_KINDS * TLB_ENTRIES; i++)
        *entry_number(cpu, i) = (struct tlb_entry){.page = ENTRY_NONE};
    memset(&cpu->tlb_log, 0, sizeof cpu->tlb_log);
    cpu->tlb = cpu->tlb_banks[0];
}

void tlb_flush_all(struct cpu *cpu)
{
    struct tlb_log *log = &cpu->tlb_log;
    for (unsigned i = 0; i < log->count; i++)
        *entry_number(cpu, log->filled[i]) = (struct tlb_entry){.page = ENTRY_NONE};
    log->count = 0;
    memset(log->large, 0, sizeof log->large);
    tables_flushed(&cpu->tables, true);
}

void tlb_flush_non_global(struct cpu *cpu)
{
    struct tlb_log *log = &cpu->tlb_log;
    unsigned kept = 0;
    for (unsigned i = 0; i < log->count; i++) {
        struct tlb_entry *entry = entry_number(cpu, log->filled[i]);
        if ((entry->flags & ENTRY_GLOBAL) && entry->page != ENTRY_NONE)
            log->filled[kept++] = log->filled[i];
        else
            *entry = (struct tlb_entry){.page = ENTRY_NONE};
    }
    log->count = kept;
    tables_flushed(&cpu->tables, false);
}

void tlb_flush_writes(struct cpu *cpu)
{
    const struct tlb_log *log = &cpu->tlb_log;
    for (unsigned i = 0; i < log->count; i++)
        if (log->filled[i] / TLB_ENTRIES % ACCESS_KINDS == ACCESS_WRITE)
            entry_number(cpu, log->filled[i])->page = ENTRY_NONE;
}

void tlb_slow_writes(struct cpu *cpu, uint64_t gpa)
{
    const struct tlb_log *log = &cpu->tlb_log;
    for (unsigned i = 0; i < log->count; i++) {
        struct tlb_entry *entry = entry_number(cpu, log->filled[i]);
        if (log->filled[i] / TLB_ENTRIES % ACCESS_KINDS == ACCESS_WRITE &&
            entry->page != ENTRY_NONE && entry->gpa == (gpa & PAGE_MASK))
            entry->page |= TLB_SLOW;
    }
}

static unsigned large_mark(uint64_t linear, bool gigantic)
{
    return (unsigned)(linear >> (gigantic ? GIGANTIC_SHIFT : LARGE_SHIFT)) % TLB_LARGE_MARKS;
}

static bool large_marked(const struct cpu *cpu, uint64_t linear, bool gigantic)
{
    unsigned mark = large_mark(linear, gigantic);
    return cpu->tlb_log.large[gigantic][mark / 64] >> (mark % 64) & 1;
}

/* INVLPG drops the whole page, of which any part may be in the TLB. */
static void flush_large(struct cpu *cpu, uint64_t linear)
{
    const struct tlb_log *log = &cpu->tlb_log;
    for (unsigned i = 0; i < log->count; i++) {
        struct tlb_entry *entry = entry_number(cpu, log->filled[i]);
        unsigned shift = entry->flags & ENTRY_GIGANTIC ? GIGANTIC_SHIFT : LARGE_SHIFT;
        if ((entry->flags & ENTRY_LARGE) && !((entry->page ^ linear) >> shift))
            entry->page = ENTRY_NONE;
    }
}

void tlb_flush_page(struct cpu *cpu, uint64_t linear)
{
    unsigned index = (unsigned)(linear / PAGE_SIZE % TLB_ENTRIES);
    for (unsigned bank = 0; bank < TLB_BANKS; bank++) {
        for (unsigned kind = 0; kind < ACCESS_KINDS; kind++) {
            struct tlb_entry *entry = &cpu->tlb_banks[bank][kind][index];
            if ((entry->page & ~TLB_SLOW) == (linear & PAGE_MASK))
                entry->page = ENTRY_NONE;
        }
    }
    if (large_marked(cpu, linear, false) || large_marked(cpu, linear, true))
        flush_large(cpu, linear);
}

static void log_entry(struct cpu *cpu, const struct tlb_entry *entry, uint64_t linear)
{
    struct tlb_log *log = &cpu->tlb_log;
    if (!(entry->flags & ENTRY_LOGGED))
        log->filled[log->count++] = (uint16_t)(entry - &cpu->tlb_banks[0][0][0]);
    if (entry->flags & ENTRY_LARGE) {
        bool gigantic = entry->flags & ENTRY_GIGANTIC;
        unsigned mark = large_mark(linear, gigantic);
        log->large[gigantic][mark / 64] |= 1ull << (mark % 64);
    }
}

static uint32_t fault_code(const struct cpu *cpu, uint32_t reason, enum access_kind kind, bool user)
{
    uint32_t code = reason;
    if (kind == ACCESS_WRITE)
        code |= PF_WRITE;
    if (user)
        code |= PF_USER;
    bool no_execute = (cpu->s.cr4 & CR4_PAE) && (cpu->s.efer & EFER_NXE);
    if (kind == ACCESS_EXECUTE && (no_execute || (cpu->s.cr4 & CR4_SMEP)))
        code |= PF_FETCH;
    return code;
}

/* Walks the tables for one access, or raises its page fault; sets A and D. Returns flags. */
static uint64_t walk(struct cpu *cpu, uint64_t linear, enum access_kind kind, bool user,
    bool implicit, struct translation *translation)
{
    int reason = paging_walk(cpu, linear, translation);
    uint32_t denied = reason > 0 ? (uint32_t)reason : 0;
    if (reason == 0)
        denied = paging_check(cpu, translation, kind, user, implicit);
    if (reason != 0 || denied)
        cpu_raise_page_fault(cpu, linear, fault_code(cpu, denied, kind, user));
    paging_set_accessed(cpu, translation, kind == ACCESS_WRITE);
    tables_walked(cpu, translation);
    bool storable = kind == ACCESS_READ && translation->dirty &&
                    !paging_check(cpu, translation, ACCESS_WRITE, user, implicit);
    return (translation->global ? ENTRY_GLOBAL : 0) | (translation->large ? ENTRY_LARGE : 0) |
           (translation->gigantic ? ENTRY_GIGANTIC : 0) | (storable ? ENTRY_STORABLE : 0);
}

/* Translates for one access, or raises its page fault; sets A and D; fills the entry. */
static __attribute__((noinline)) const struct tlb_entry *fill(
    struct cpu *cpu, uint64_t linear, enum access_kind kind, bool user, bool implicit)
{
    const unsigned number = linear / PAGE_SIZE % TLB_ENTRIES;
    struct tlb_entry *entry = &cpu->tlb_banks[user][kind][number];
    const struct tlb_entry *read = &cpu->tlb_banks[user][ACCESS_READ][number];
    struct translation translation = {0};
    uint64_t page = linear & PAGE_MASK, flags;

    /* A store after a load needs no second walk: nothing would be set by it. */
    if (kind == ACCESS_WRITE && (read->page & ~TLB_SLOW) == page &&
        (read->flags & ENTRY_STORABLE)) {
        translation.gpa = read->gpa;
        flags = read->flags & (ENTRY_GLOBAL | ENTRY_LARGE | ENTRY_GIGANTIC);
    } else {
        flags = walk(cpu, linear, kind, user, implicit, &translation);
    }
    flags |= entry->flags & ENTRY_LOGGED;
    const uint8_t *host = memory_at(cpu->memory, translation.gpa, PAGE_SIZE);
    bool slow = !host || (cpu->stores && kind != ACCESS_EXECUTE);
    if (host)
        flags |= ENTRY_RAM;
    if (kind != ACCESS_EXECUTE && (cpu->watching || (cpu->s.dr7 & 0xff)) &&
        watch_page(cpu, page, translation.gpa)) {
        flags |= ENTRY_WATCHED;
        slow = true;
    }
    if (kind == ACCESS_WRITE && host &&
        (blocks_page_has_code(cpu, host) || tables_on_page(cpu, host)))
        slow = true;
    if (kind != ACCESS_EXECUTE && cpu->observer.access &&
        watch_observes_page(cpu, page, translation.gpa))
        slow = true;
    if (kind == ACCESS_WRITE && host)
        cpu_mark_written(cpu, host);
    *entry = (struct tlb_entry){
        .page = page | (slow ? TLB_SLOW : 0),
        .addend = (uintptr_t)host - page,
        .gpa = translation.gpa,
        .flags = flags,
    };
    log_entry(cpu, entry, linear);
    entry->flags |= ENTRY_LOGGED;
    /* With SMAP the answer depends on RFLAGS.AC: good for this access only. */
    if ((cpu->s.cr4 & CR4_SMAP) && !user && translation.user && kind != ACCESS_EXECUTE)
        entry->page = ENTRY_NONE;
    return entry;
}

static const struct tlb_entry *translate(
    struct cpu *cpu, uint64_t linear, enum access_kind kind, bool user, bool implicit)
{
    const struct tlb_entry *entry = &cpu->tlb_banks[user][kind][linear / PAGE_SIZE % TLB_ENTRIES];
    if ((entry->page & ~TLB_SLOW) == (linear & PAGE_MASK))
        return entry;
    return fill(cpu, linear, kind, user, implicit);
}

/* ---- Accesses outside RAM -------------------------------------------------------------------- */

/* The largest of 8, 4, 2, 1 bytes that fits in `left`. */
static unsigned piece_size(unsigned left)
{
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/*
 * A read's value comes from outside, so the instruction is abandoned and executed again from its
 * start when the value is known; it then finds this and all earlier values in `reads`.
 */
static uint64_t mmio_read(struct cpu *cpu, uint64_t gpa, unsigned size)
{
    if (cpu->delivering)
        return UINT64_MAX;
    if (cpu->read_next < cpu->read_count)
        return cpu->reads[cpu->read_next++].value;
    if (cpu->read_count == CPU_MAX_ACCESSES) {
        error_set(&cpu->failure, "software CPU: the instruction at 0x%llx reads MMIO too often",
            (unsigned long long)cpu->s.rip);
        longjmp(*cpu->escape, CPU_JUMP_STOP);
    }
    cpu->reads[cpu->read_count++] =
        (struct pending_access){.address = gpa, .size = (uint8_t)size, .to = ACCESS_TO_MEMORY};
    longjmp(*cpu->escape, CPU_JUMP_MMIO_READ);
}

static void mmio_write(struct cpu *cpu, uint64_t gpa, unsigned size, uint64_t value)
{
    if (cpu->delivering)
        return;
    if (cpu->write_count == CPU_MAX_ACCESSES) {
        error_set(&cpu->failure, "software CPU: the instruction at 0x%llx writes MMIO too often",
            (unsigned long long)cpu->s.rip);
        longjmp(*cpu->escape, CPU_JUMP_STOP);
    }
    cpu->writes[cpu->write_count++] = (struct pending_access){
        .address = gpa, .value = value, .size = (uint8_t)size, .to = ACCESS_TO_MEMORY};
}

/* ---- Pieces inside one page ------------------------------------------------------------------ */

/* An access of up to 512 bytes touches at most two pages. */
struct span {
    const struct tlb_entry *first, *second;
    uint64_t second_linear;
    unsigned first_size;
    bool implicit;
};

/* `data`: of a write. */
static void tell(struct cpu *cpu, const struct tlb_entry *entry, uint64_t linear, unsigned size,
    const uint8_t *data, bool implicit)
{
    const struct memory_access access = {.linear = linear,
        .gpa = entry->gpa + linear % PAGE_SIZE,
        .size = size,
        .is_write = data != NULL,
        .is_implicit = implicit,
        .data = data};
    if (cpu->observer.access && (entry->flags & ENTRY_RAM))
        watch_tell(cpu, &access);
}

static void load_piece(struct cpu *cpu, const struct tlb_entry *entry, uint64_t linear,
    uint8_t *data, unsigned size, bool implicit)
{
    uint64_t offset = linear % PAGE_SIZE;
    uint64_t gpa = entry->gpa + offset;
    tell(cpu, entry, linear, size, NULL, implicit);
    if (entry->flags & ENTRY_WATCHED)
        watch_access(cpu, linear, gpa, size, false);
    if (entry->flags & ENTRY_RAM) {
        memcpy(data, (const uint8_t *)(uintptr_t)(linear + entry->addend), size);
        if (cpu->stores)
            stores_forward(cpu, gpa, data, size);
        return;
    }
    if (cpu->stores)
        stores_drain(cpu);
    while (size) {
        unsigned piece = piece_size(size);
        uint64_t value = mmio_read(cpu, gpa, piece);
        memcpy(data, &value, piece);
        data += piece;
        gpa += piece;
        size -= piece;
    }
}

static void store_piece(struct cpu *cpu, const struct tlb_entry *entry, uint64_t linear,
    const uint8_t *data, unsigned size, bool implicit)
{
    uint64_t offset = linear % PAGE_SIZE;
    uint64_t gpa = entry->gpa + offset;
    bool slow = entry->page != (linear & PAGE_MASK);
    tell(cpu, entry, linear, size, data, implicit);
    if (entry->flags & ENTRY_WATCHED)
        watch_access(cpu, linear, gpa, size, true);
    if (cpu->stores && (entry->flags & ENTRY_RAM)) {
        stores_put(cpu, gpa, data, size);
        return;
    }
    if (cpu->stores)
        stores_drain(cpu);
    if (entry->flags & ENTRY_RAM) {
        uint8_t *host = (uint8_t *)(uintptr_t)(linear + entry->addend);
        if (slow)
            tables_store(cpu, host, data, size);
        memcpy(host, data, size);
        if (slow)
            blocks_memory_written(cpu, gpa, size);
        return;
    }
    while (size) {
        unsigned piece = piece_size(size);
        uint64_t value = 0;
        memcpy(&value, data, piece);
        mmio_write(cpu, gpa, piece, value);
        data += piece;
        gpa += piece;
        size -= piece;
    }
}

/* Translates all of it before any byte is touched. Outside long mode addresses wrap at 4 GiB. */
static struct span translate_span(struct cpu *cpu, uint64_t linear, unsigned size,
    enum access_kind kind, bool user, bool implicit)
{
    unsigned room = (unsigned)(PAGE_SIZE - linear % PAGE_SIZE);
    struct span span = {.first_size = size < room ? size : room, .implicit = implicit};
    span.first = translate(cpu, linear, kind, user, implicit);
    if (size > room) {
        span.second_linear = linear + room;
        if (!cpu->code64 && !(implicit && (cpu->s.efer & EFER_LMA)))
            span.second_linear = (uint32_t)span.second_linear;
        span.second = translate(cpu, span.second_linear, kind, user, implicit);
    }
    return span;
}

static void load_span(
    struct cpu *cpu, const struct span *span, uint64_t linear, uint8_t *data, unsigned size)
{
    load_piece(cpu, span->first, linear, data, span->first_size, span->implicit);
    if (span->second)
        load_piece(cpu, span->second, span->second_linear, data + span->first_size,
            size - span->first_size, span->implicit);
}

/*
 * Writing code may flush write entries, the second page's among them; addend, GPA and flags of an
 * entry emptied so still hold.
 */
static void store_span(
    struct cpu *cpu, const struct span *span, uint64_t linear, const uint8_t *data, unsigned size)
{
    store_piece(cpu, span->first, linear, data, span->first_size, span->implicit);
    if (span->second)
        store_piece(cpu, span->second, span->second_linear, data + span->first_size,
            size - span->first_size, span->implicit);
}

/* ---- The interface --------------------------------------------------------------------------- */

/* 1, 2, 4 or 8 bytes */
static inline void copy_small(void *to, const void *from, unsigned size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else if (size == 2)
        memcpy(to, from, 2);
    else
        memcpy(to, from, 1);
}

/* Translates; the host address if the access can be direct after all, as after most misses. */
static inline uint8_t *become_direct(
    struct cpu *cpu, uint64_t linear, unsigned size, enum access_kind kind)
{
    if (linear % PAGE_SIZE > PAGE_SIZE - size)
        return NULL;
    const struct tlb_entry *entry = translate(cpu, linear, kind, cpu->cpl == 3, false);
    if (entry->page != (linear & PAGE_MASK))
        return NULL;
    return (uint8_t *)(uintptr_t)(linear + entry->addend);
}

uint64_t cpu_load_slow(struct cpu *cpu, uint64_t linear, unsigned size)
{
    uint64_t value = 0;
    const uint8_t *host = become_direct(cpu, linear, size, ACCESS_READ);
    if (host) {
        copy_small(&value, host, size);
        return value;
    }
    struct span span = translate_span(cpu, linear, size, ACCESS_READ, cpu->cpl == 3, false);
    load_span(cpu, &span, linear, (uint8_t *)&value, size);
    return value;
}

void cpu_store_slow(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    uint8_t *host = become_direct(cpu, linear, size, ACCESS_WRITE);
    if (host) {
        copy_small(host, &value, size);
        return;
    }
    struct span span = translate_span(cpu, linear, size, ACCESS_WRITE, cpu->cpl == 3, false);
    store_span(cpu, &span, linear, (const uint8_t *)&value, size);
}

void cpu_probe_write(struct cpu *cpu, uint64_t linear, unsigned size)
{
    translate_span(cpu, linear, size, ACCESS_WRITE, cpu->cpl == 3, false);
}

void cpu_load_bytes(struct cpu *cpu, uint64_t linear, void *data, unsigned size)
{
    struct span span = translate_span(cpu, linear, size, ACCESS_READ, cpu->cpl == 3, false);
    load_span(cpu, &span, linear, data, size);
}

void cpu_store_bytes(struct cpu *cpu, uint64_t linear, const void *data, unsigned size)
{
    struct span span = translate_span(cpu, linear, size, ACCESS_WRITE, cpu->cpl == 3, false);
    store_span(cpu, &span, linear, data, size);
}

uint64_t cpu_load_system(struct cpu *cpu, uint64_t linear, unsigned size)
{
    uint64_t value = 0;
    struct span span = translate_span(cpu, linear, size, ACCESS_READ, false, true);
    load_span(cpu, &span, linear, (uint8_t *)&value, size);
    return value;
}

void cpu_store_system(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    struct span span = translate_span(cpu, linear, size, ACCESS_WRITE, false, true);
    store_span(cpu, &span, linear, (const uint8_t *)&value, size);
}

uint64_t cpu_fetch_page(struct cpu *cpu, uint64_t linear)
{
    return translate(cpu, linear, ACCESS_EXECUTE, cpu->cpl == 3, false)->gpa;
}

bool cpu_translate_quiet(const struct cpu *cpu, uint64_t linear, uint64_t *gpa)
{
    struct translation translation;
    if (paging_walk(cpu, linear, &translation) != 0)
        return false;
    *gpa = translation.gpa | linear % PAGE_SIZE;
    return true;
}

/* ---- Segmentation ---------------------------------------------------------------------------- */

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static _Noreturn void raise_segment_fault(struct cpu *cpu, unsigned segment)
{
    cpu_raise_error(cpu, segment == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
}

static bool type_allows(const struct segment *segment, enum access_kind kind)
{
    if (!(segment->attributes & SEG_P))
        return false;
    bool code = segment->attributes & SEG_CODE;
    bool bit1 = segment->attributes & SEG_WRITABLE;
    return kind == ACCESS_WRITE ? !code && bit1 : !code || bit1;
}

static bool inside_limit(const struct segment *segment, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;
    if ((segment->attributes & (SEG_CODE | SEG_EXPAND_DOWN)) != SEG_EXPAND_DOWN)
        return last <= segment->limit;
    uint64_t top = segment->attributes & SEG_DB ? 0xffffffff : 0xffff;
    return offset > segment->limit && last <= top;
}

uint64_t cpu_linear_checked(
    struct cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum access_kind kind)
{
    const struct segment *s = &cpu->s.segment[segment];
    if (cpu->code64) {
        uint64_t linear = offset;
        if (segment == SEG_FS || segment == SEG_GS)
            linear += s->base;
        if (!canonical(linear) || !canonical(linear + size - 1))
            raise_segment_fault(cpu, segment);
        return linear;
    }
    /* In real mode the attributes are whatever was loaded last in protected mode. */
    if ((cpu->s.cr0 & CR0_PE) && !type_allows(s, kind))
        raise_segment_fault(cpu, segment);
    /* With Intel an access may go around the end of a segment of 4 GiB. */
    bool around = cpu_is_intel(cpu) && s->limit == 0xffffffff && size <= 16 &&
                  (s->attributes & (SEG_CODE | SEG_EXPAND_DOWN)) != SEG_EXPAND_DOWN;
    if (!around && !inside_limit(s, offset, size))
        raise_segment_fault(cpu, segment);
    return (uint32_t)(s->base + offset);
}
