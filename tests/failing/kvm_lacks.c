/*
 * Preloaded into hindsight: /dev/kvm as on a host that lacks something, named by KVM_LACKS:
 *
 *   busy             it cannot be opened
 *   machine          it makes no virtual machine, as while another hypervisor has the processor
 *   api              its interface has another number
 *   dirty_log        it does not note which pages are written
 *   or a number      KVM_CHECK_EXTENSION says no to this capability, enabling it fails
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int is_lacking(const char *what)
{
    const char *lacks = getenv("KVM_LACKS");
    return lacks && strcmp(lacks, what) == 0;
}

static int is_lacking_capability(unsigned long capability)
{
    const char *lacks = getenv("KVM_LACKS");
    char *end;
    return lacks && strtoul(lacks, &end, 10) == capability && end != lacks && !*end;
}

static int fails(int reason)
{
    errno = reason;
    return -1;
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list list;
    va_start(list, flags);
    const mode_t mode = va_arg(list, mode_t);
    va_end(list);
    if (!real)
        real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    if (strcmp(path, "/dev/kvm") == 0 && is_lacking("busy"))
        return fails(EBUSY);
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    if (request == KVM_GET_API_VERSION && is_lacking("api"))
        return KVM_API_VERSION - 1;
    if (request == KVM_CREATE_VM && is_lacking("machine"))
        return fails(EBUSY);
    if (request == KVM_CHECK_EXTENSION && is_lacking_capability((unsigned long)argument))
        return 0;
    if (request == KVM_ENABLE_CAP &&
        is_lacking_capability(((const struct kvm_enable_cap *)argument)->cap))
        return fails(EINVAL);
    if (request == KVM_SET_USER_MEMORY_REGION && is_lacking("dirty_log") &&
        (((const struct kvm_userspace_memory_region *)argument)->flags & KVM_MEM_LOG_DIRTY_PAGES))
        return fails(EINVAL);
    return real(fd, request, argument);
}
