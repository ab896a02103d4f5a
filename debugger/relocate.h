/*
 * Links a relocatable ELF file (a kernel module) in memory, as far as a debugger needs it: sections
 * get the addresses where the loader put them, symbols and the debugging sections' relocations
 * follow. Code and data stay as they are in the file. Source: System V ABI x86-64, chapter 4.4.
 */
#ifndef DEBUGGER_RELOCATE_H
#define DEBUGGER_RELOCATE_H

#include "debugger/symbols.h"

/* Changes the image, which is afterwards a linked file. */
int relocate(void *image, size_t size, const struct placed_section *sections, unsigned count,
    struct error *error);

#endif
