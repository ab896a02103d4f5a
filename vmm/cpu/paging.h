/*
 * The page-table walk, apart from the TLB: what a linear address maps to, by the tables in RAM and
 * the control registers (APM volume 2, chapter 5).
 */
#ifndef VMM_CPU_PAGING_H
#define VMM_CPU_PAGING_H

#include "vmm/cpu/cpu.h"

/* Bits of a paging structure's entry. */
enum {
    PTE_P = 1 << 0,
    PTE_RW = 1 << 1,
    PTE_US = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
};

/* Error code of a page fault. */
enum {
    PF_PRESENT = 1 << 0,
    PF_WRITE = 1 << 1,
    PF_USER = 1 << 2,
    PF_RESERVED = 1 << 3,
    PF_FETCH = 1 << 4,
};

struct translation {
    uint64_t gpa;       /* of the 4 KiB page */
    bool user;          /* U/S allows user accesses */
    bool writable;      /* R/W, whatever CR0.WP says */
    bool no_execute;    /* NX */
    bool global;        /* G with CR4.PGE */
    bool large;         /* mapped by a page larger than 4 KiB */
    bool gigantic;      /* mapped by a 1 GiB page */
    bool accessed;      /* A is set in all entries used */
    bool dirty;         /* D is set in the last one */
    unsigned count;     /* of table entries used, the last one maps the page */
    uint64_t entry[4];  /* their addresses */
    uint8_t entry_size; /* 4 or 8 bytes */
};

/* Reads the tables only. Returns 0, or PF_... bits (PF_PRESENT, PF_RESERVED) that say why there is
 * no translation, with `translation` then undefined; -1 for not present. */
int paging_walk(const struct cpu *cpu, uint64_t linear, struct translation *translation);

/* The error code if such an access to the page faults, else 0. */
uint32_t paging_check(const struct cpu *cpu, const struct translation *translation,
    enum access_kind kind, bool user, bool implicit);

/* Sets A in all entries used and, for a write, D in the last. */
void paging_set_accessed(struct cpu *cpu, const struct translation *translation, bool dirty);

/* Do the four PDPTEs at CR3 pass the checks of a move to CR3 in PAE mode? */
bool paging_pdptes_valid(const struct cpu *cpu, uint64_t cr3);

#endif
