/*
 * Which of the symbol files are in the guest's memory at the position, and where: a kernel moves
 * itself (KASLR), is started again or replaced (reboot, kexec); its modules come and go; programs
 * are executed and end. Found from guest memory alone, and checked against the files' own bytes.
 *
 * Sources: Linux 5.10 to 6.12, kernel/module, include/linux/module.h, arch/x86/kernel/head64.c.
 */
#ifndef DEBUGGER_FOLLOW_H
#define DEBUGGER_FOLLOW_H

#include "debugger/symbols.h"
#include "debugger/view.h"

struct debugger;

enum { MAX_DIRECTORIES = 16 };

/* A module's file under one of the directories. */
struct module_file {
    char *name; /* as the kernel calls it: '_' for '-' */
    char *path;
    bool refused; /* it is not what runs, as was said */
};

/* Offsets in the kernel's structures, looked up once. */
struct module_layout {
    const struct module *of; /* the kernel they are of */
    bool is_known;
    uint64_t list, name, state, sections, percpu; /* struct module */
    uint64_t section_list, section_count;         /* struct module_sect_attrs */
    uint64_t section_size, section_name, section_address;
};

struct follow {
    char *directories[MAX_DIRECTORIES];
    unsigned directory_count;
    struct module_file *files;
    size_t file_count;
    bool files_known, is_found; /* looked for; the places where they usually are, too */
    struct module_layout layout;
    struct loaded *loaded; /* the kernel's list at the position */
    unsigned loaded_count;
    /* Of what is in memory, where: changes when any of it does. */
    uint64_t kernel_signature, signature;
};

void follow_free(struct follow *follow);

/* Brings the symbols up to date with the view. */
void follow(struct debugger *debugger);
/* As kernel_signature would be there; touches nothing. 0: no kernel that is known. */
uint64_t follow_look(const struct debugger *debugger, const struct view *view);

/* The kernel that is in memory; else any kernel's file that there is, away; NULL: none. */
struct module *follow_kernel(const struct debugger *debugger);
/* Is it a Linux kernel's file, which moves? */
bool follow_is_kernel(const struct module *module);
/* How far the module's code differs from memory, over a few samples of each: false where none of
 * it is mapped. */
bool follow_fits(const struct module *module, const struct view *view, uint64_t bias);

/* Looks for files of the kernel's modules in a directory, and below it. */
int follow_add_directory(struct debugger *debugger, const char *directory, struct error *error);

/* Takes a module's file in by itself: loaded where the guest has it, now or later. */
int follow_add_file(struct debugger *debugger, const char *path, struct error *error);
/* ... and out again. */
void follow_forget_file(struct debugger *debugger, const char *name);

/* ---- modules.c ---- */

/* Loads, moves and leaves out modules' files; adds to *signature. */
void modules_follow(struct debugger *debugger, struct module *kernel, uint64_t *signature);
/* Scans the directories for files. */
void modules_find_files(struct follow *follow, const struct debugger *debugger);

#endif
