/*
 * Preloaded into hindsight: makes one call of a kind fail, or all from one on, to see what becomes
 * of it.
 *
 *   FAIL_KIND   malloc (also calloc, realloc, aligned ones), write, pwrite, fsync or mmap
 *   FAIL_AT     which call of that kind, from 1; 0 or unset: none
 *   FAIL_ON     set: all later ones fail as well
 *   FAIL_COUNT  a file for the number of calls, and the number of blocks still allocated at exit
 *   FAIL_SAY    set: the one that fails is told with its callers, on standard error
 *
 * Calls from within libdw, libelf, libcapstone and libreadline do not fail: without memory these
 * libraries crash, end the process themselves, or go on with less and say nothing. regcomp() is one
 * call that fails as a whole: on its way out of memory it leaks.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <regex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { CALLERS = 32 };
enum kind { NONE, MALLOC, WRITE, PWRITE, FSYNC, MMAP };

static long at, calls, blocks;
static bool on, says;
static int count_fd = -1;
static enum kind chosen;

/* Code whose calls do not fail. */
static struct range {
    uintptr_t start, end;
} excepted[16];
static __thread bool looking; /* the unwinder allocates, too */
static unsigned exceptions;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
int posix_memalign(void **block, size_t alignment, size_t size);
void free(void *block);

static int except(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    static const char *const libraries[] = {"/libdw", "/libelf", "/libcapstone", "/libreadline"};
    unsigned found = 0;
    while (found < 4 && !strstr(info->dlpi_name, libraries[found]))
        found++;
    if (found == 4)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t at_address = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && header->p_flags & PF_X && exceptions < 16)
            excepted[exceptions++] = (struct range){at_address, at_address + header->p_memsz};
    }
    return 0;
}

__attribute__((constructor)) static void start(void)
{
    dl_iterate_phdr(except, NULL);
    static const char *const names[] = {"none", "malloc", "write", "pwrite", "fsync", "mmap"};
    const char *kind = getenv("FAIL_KIND"), *number = getenv("FAIL_AT");
    for (unsigned i = 0; kind && i < sizeof names / sizeof *names; i++)
        if (strcmp(kind, names[i]) == 0)
            chosen = (enum kind)i;
    /* Opened now: a confined process could not later. */
    const char *path = getenv("FAIL_COUNT");
    count_fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    on = getenv("FAIL_ON") != NULL;
    says = getenv("FAIL_SAY") != NULL;
    backtrace(&(void *){0}, 1); /* loads the unwinder, while files can be opened */
    at = number ? atol(number) : 0;
    calls = 0;
}

__attribute__((destructor)) static void end(void)
{
    long count = calls, left = blocks;
    chosen = NONE;
    if (count_fd >= 0)
        dprintf(count_fd, "%ld %ld\n", count, left);
}

static bool is_excepted(void *const *callers, int count)
{
    for (int i = 0; i < count; i++)
        for (unsigned j = 0; j < exceptions; j++)
            if ((uintptr_t)callers[i] - excepted[j].start < excepted[j].end - excepted[j].start)
                return true;
    return false;
}

static bool fails(enum kind kind, int number)
{
    void *callers[CALLERS];
    if (kind != chosen || looking)
        return false;
    looking = true;
    int count = backtrace(callers, CALLERS);
    bool failing = false;
    if (!is_excepted(callers, count)) {
        long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
        failing = at && (on ? n >= at : n == at);
    }
    if (failing && says)
        backtrace_symbols_fd(callers, count, STDERR_FILENO);
    looking = false;
    if (failing)
        errno = number;
    return failing;
}

static void *counted(void *block)
{
    if (block)
        __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
    return block;
}

void *malloc(size_t size)
{
    return fails(MALLOC, ENOMEM) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails(MALLOC, ENOMEM) ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (fails(MALLOC, ENOMEM))
        return NULL;
    void *moved = __libc_realloc(block, size);
    return block ? moved : counted(moved);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(MALLOC, ENOMEM) ? NULL : counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fails(MALLOC, ENOMEM))
        return ENOMEM;
    *block = counted(__libc_memalign(alignment, size));
    return *block ? 0 : ENOMEM;
}

void free(void *block)
{
    if (block)
        __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
    __libc_free(block);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int regcomp(regex_t *regex, const char *pattern, int flags)
{
    int (*real)(regex_t *, const char *, int) = next("regcomp");
    if (fails(MALLOC, ENOMEM))
        return REG_ESPACE;
    looking = true;
    int result = real(regex, pattern, flags);
    looking = false;
    return result;
}

/* Messages are let through: they are what is looked at. */
ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = next("write");
    return fd > 2 && fails(WRITE, EIO) ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = next("pwrite64");
    return fails(PWRITE, EIO) ? -1 : real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite(fd, data, size, offset);
}

int fsync(int fd)
{
    int (*real)(int) = next("fsync");
    return fails(FSYNC, EIO) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = next("fdatasync");
    return fails(FSYNC, EIO) ? -1 : real(fd);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = next("mmap64");
    return fails(MMAP, ENOMEM) ? MAP_FAILED : real(address, size, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap(address, size, protection, flags, fd, offset);
}
