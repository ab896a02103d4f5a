/*
 * The machine at a position as an ELF core file: what kdump writes of a crashed Linux, and gdb,
 * crash and drgn open. Memory as PT_LOAD segments, each vCPU's registers as NT_PRSTATUS, and
 * Linux's VMCOREINFO when it is in memory.
 *
 * Sources: System V ABI (ELF), Linux's Documentation/admin-guide/kdump/vmcoreinfo.rst, struct
 * elf_prstatus of <sys/procfs.h>.
 */
#ifndef DEBUGGER_CORE_H
#define DEBUGGER_CORE_H

#include <stdio.h>

#include "debugger/view.h"

struct core_info {
    bool is_linux;        /* VMCOREINFO was found: kernel addresses are in the segments */
    uint64_t bytes;       /* of memory that is not all zeros */
    uint64_t memory_size; /* of the machine */
};

/* Writes to a new file; pages of zeros become holes. */
int core_write(FILE *file, struct timeline *timeline, struct core_info *info, struct error *error);

#endif
