/*
 * Preloaded into hindsight: how many times it entered KVM, on standard error at the end. Under the
 * monitor a guest without ring 3 enters as often as one that does nothing.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_ulong runs;

int ioctl(int file, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == KVM_RUN)
        runs++;
    return (int)syscall(SYS_ioctl, file, request, argument);
}

__attribute__((destructor)) static void tell(void)
{
    char text[32];
    int length = snprintf(text, sizeof text, "KVM_RUN %lu\n", runs);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        return;
}
