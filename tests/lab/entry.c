/*
 * What a processor does at the entry of a virtual machine, asked through KVM: a guest of a few
 * bytes for each question. For emulators of SVM and VMX; on a processor every answer is "yes".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    RAM = 0x10000,
    TABLE = 0x1000,
    TSS = 0x5000,
    STACK = 0x7000,
    CODE = 0x8000,
    LIMIT = 0x2067 + 1
};
enum { MAP_OFFSET = 102, MAP = 104, RFLAGS_IF = 0x202 };

static int kvm, vm, vcpu;
static struct kvm_run *run;
static uint8_t *ram;

static void *or_end(void *pointer, const char *what)
{
    if (pointer && pointer != MAP_FAILED)
        return pointer;
    perror(what);
    exit(1);
}

static int call(int file, unsigned long request, void *argument, const char *what)
{
    int result = ioctl(file, request, argument);
    if (result >= 0)
        return result;
    perror(what);
    exit(1);
}

static struct kvm_segment segment(unsigned selector, unsigned type, unsigned dpl, unsigned s)
{
    return (struct kvm_segment){.limit = 0xffffffff,
        .selector = (uint16_t)selector,
        .type = (uint8_t)type,
        .dpl = (uint8_t)dpl,
        .s = (uint8_t)s,
        .present = 1,
        .g = 1,
        .l = type == 11 && s};
}

/* Long mode with the first 2 MiB mapped for all, an I/O map that allows every port, no IDT. */
static void make(unsigned cpl, const uint8_t *code, size_t size)
{
    struct kvm_userspace_memory_region region = {
        .memory_size = RAM, .userspace_addr = (uintptr_t)ram};
    struct kvm_sregs sregs;
    memset(ram, 0, RAM);
    memcpy(ram + CODE, code, size);
    *(uint64_t *)(ram + TABLE) = (TABLE + 0x1000) | 7;
    *(uint64_t *)(ram + TABLE + 0x1000) = (TABLE + 0x2000) | 7;
    *(uint64_t *)(ram + TABLE + 0x2000) = 0x87;
    *(uint16_t *)(ram + TSS + MAP_OFFSET) = MAP;
    vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
    call(vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000, "KVM_SET_TSS_ADDR");
    call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
    vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
    int length = call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");
    run = or_end(
        mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0), "the shared page");
    enum { ENTRIES = 100 };
    struct kvm_cpuid2 *cpuid =
        or_end(calloc(1, sizeof *cpuid + ENTRIES * sizeof cpuid->entries[0]), "CPUID's table");
    cpuid->nent = ENTRIES;
    call(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");
    call(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
    free(cpuid);
    call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
    sregs.cs = segment(0x30 | cpl, 11, cpl, 1);
    sregs.ss = segment(0x28 | cpl, 3, cpl, 1);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = (struct kvm_segment){.unusable = 1};
    sregs.tr = (struct kvm_segment){
        .base = TSS, .limit = LIMIT, .selector = 0x40, .type = 11, .present = 1};
    sregs.ldt = (struct kvm_segment){.unusable = 1};
    sregs.idt.limit = 0;
    sregs.cr0 = 0x80000031;
    sregs.cr3 = TABLE;
    sregs.cr4 = 0x20;
    sregs.efer = 0x500;
    call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
    struct kvm_regs regs = {.rip = CODE, .rsp = STACK, .rflags = RFLAGS_IF};
    call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

static uint64_t leave(void)
{
    struct kvm_regs regs;
    if (ioctl(vcpu, KVM_RUN, 0) < 0)
        printf("KVM_RUN: %s; ", strerror(errno));
    call(vcpu, KVM_GET_REGS, &regs, "KVM_GET_REGS");
    return regs.rip;
}

static int failed;

static void answer(const char *question, int yes, uint64_t rip)
{
    printf("%-3s %s (exit %u, RIP +%d)\n", yes ? "yes" : "NO", question, run->exit_reason,
        (int)(rip - CODE));
    failed |= !yes;
    munmap(run, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE"));
    close(vcpu);
    close(vm);
}

static void ignore(int signal)
{
    (void)signal;
}

/* A signal comes after 0.2 s, while ring 3 counts for longer on any processor. */
static void compute(void)
{
    static const uint8_t count[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, 0xe9, 0xf4};
    const struct sigaction action = {.sa_handler = ignore};
    const struct itimerval pause = {.it_value.tv_usec = 200000};
    const uint64_t passes = 2000000000;
    struct kvm_regs regs;
    make(3, count, sizeof count);
    call(vcpu, KVM_GET_REGS, &regs, "KVM_GET_REGS");
    regs.rcx = passes;
    call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &pause, NULL);
    const int result = ioctl(vcpu, KVM_RUN, 0), reason = errno;
    call(vcpu, KVM_GET_REGS, &regs, "KVM_GET_REGS");
    printf("%llu passes; ", (unsigned long long)(passes - regs.rcx));
    answer("a signal ends a run in which the guest computes",
        result < 0 && reason == EINTR && regs.rcx && regs.rcx < passes, regs.rip);
}

int main(void)
{
    static const uint8_t out[] = {0xe6, 0xe9, 0xf4}, nops[] = {0x90, 0x90, 0x90, 0xf4};
    kvm = open("/dev/kvm", O_RDWR);
    if (kvm < 0) {
        perror("/dev/kvm");
        return 2;
    }
    ram = or_end(
        mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "memory");

    make(3, out, sizeof out);
    uint64_t rip = leave();
    answer("ring 3's OUT is allowed by the I/O map of the TSS that was set",
        run->exit_reason == KVM_EXIT_IO, rip);

    /* The window for an interrupt is open after the one instruction in STI's shadow. */
    make(0, nops, sizeof nops);
    struct kvm_vcpu_events events = {
        .flags = KVM_VCPUEVENT_VALID_SHADOW, .interrupt.shadow = KVM_X86_SHADOW_INT_STI};
    call(vcpu, KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS");
    run->request_interrupt_window = 1;
    rip = leave();
    answer("STI's shadow is there after the entry",
        run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN && rip == CODE + 1, rip);

    compute();
    return failed;
}
