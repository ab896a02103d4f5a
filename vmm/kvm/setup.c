/* What a KVM virtual machine needs before its first run: memory, CPUID, MSR filter, dirty log. */
#include "vmm/kvm/kvm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/cpuid.h"

static int set_slot(struct kvm_engine *kvm, unsigned number, const struct memory_region *region,
    bool mapped, struct error *error)
{
    const bool logged = mapped && region != &kvm->monitor;
    struct kvm_userspace_memory_region slot = {
        .slot = number,
        .flags = logged ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = region->gpa,
        .memory_size = mapped ? region->size : 0,
        .userspace_addr = (uintptr_t)region->host,
    };
    if (region->size && ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        return error_set_errno(error,
            "kvm: cannot %s %llu bytes of guest memory at %#llx (--engine soft needs no KVM)",
            mapped ? "map" : "unmap", (unsigned long long)region->size,
            (unsigned long long)region->gpa);
    return 0;
}

enum { MONITOR_SLOT = 2 };

int kvm_map_memory(struct kvm_engine *kvm, struct error *error)
{
    for (unsigned i = 0; i < MONITOR_SLOT; i++)
        if (set_slot(kvm, i, &kvm->memory->region[i], true, error) < 0)
            return -1;
    return set_slot(kvm, MONITOR_SLOT, &kvm->monitor, true, error);
}

/* The tables are in the monitor's slot: what was derived from them goes with it. */
int kvm_forget_shadows(struct kvm_engine *kvm, struct error *error)
{
    if (set_slot(kvm, MONITOR_SLOT, &kvm->monitor, false, error) < 0)
        return -1;
    return set_slot(kvm, MONITOR_SLOT, &kvm->monitor, true, error);
}

enum { LEAF_FEATURES = 7, ECX_UMIP = 1 << 2 };

int kvm_set_cpuid(struct kvm_engine *kvm, struct personality personality, struct error *error)
{
    unsigned count;
    const struct cpuid_vcpu vcpu = {
        .count = 1, .personality = personality, .apic_extensions = kvm->engine.apic_extensions};
    const struct cpuid_leaf *leaves = cpuid_leaves(&count);
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + count * sizeof cpuid->entries[0]);
    if (!cpuid)
        return error_set(error, "kvm: out of memory");
    cpuid->nent = count;
    for (unsigned i = 0; i < count; i++) {
        const struct cpuid_leaf *leaf = &leaves[i];
        uint32_t out[4];
        cpuid_query_vcpu(leaf->function, leaf->index, &vcpu, out);
        if (leaf->function == LEAF_FEATURES && kvm->has_umip)
            out[2] |= ECX_UMIP;
        bool indexed = i + 1 < count && leaves[i + 1].function == leaf->function;
        indexed |= i > 0 && leaves[i - 1].function == leaf->function;
        cpuid->entries[i] = (struct kvm_cpuid_entry2){
            .function = leaf->function,
            .index = leaf->index,
            .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = out[0],
            .ebx = out[1],
            .ecx = out[2],
            .edx = out[3],
        };
    }
    int result = ioctl(kvm->vcpu, KVM_SET_CPUID2, cpuid);
    free(cpuid);
    if (result < 0)
        return error_set_errno(error, "kvm: the host refuses the CPU model " CPUID_MODEL);
    return 0;
}

static bool host_has_umip(const struct kvm_engine *kvm)
{
    enum { LEAVES_AT_MOST = 256 };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + LEAVES_AT_MOST * sizeof cpuid->entries[0]);
    bool found = false;
    if (!cpuid)
        return false;
    cpuid->nent = LEAVES_AT_MOST;
    if (ioctl(kvm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0)
        for (unsigned i = 0; i < cpuid->nent; i++)
            if (cpuid->entries[i].function == LEAF_FEATURES && cpuid->entries[i].index == 0)
                found = cpuid->entries[i].ecx & ECX_UMIP;
    free(cpuid);
    return found;
}

/*
 * KVM can be told to fault CPUID outside ring 0, on all processors: by an MSR of Intel's that
 * another one says to be there. KVM takes CR4.UMIP only from a CPU that has it by CPUID, which ring
 * 3 must not be told then.
 */
int kvm_hide_host(
    struct kvm_engine *kvm, struct personality personality, uint64_t *cr4, struct error *error)
{
    enum { MSR_PLATFORM_INFO = 0xce, MSR_MISC_FEATURES_ENABLES = 0x140, CPUID_FAULT = 1 };
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[2];
    } msrs = {.header.nmsrs = 2,
        .entries = {{.index = MSR_PLATFORM_INFO, .data = 1u << 31},
            {.index = MSR_MISC_FEATURES_ENABLES, .data = CPUID_FAULT}}};
    if (ioctl(kvm->vcpu, KVM_SET_MSRS, &msrs) != 2 || !host_has_umip(kvm))
        return 0;
    kvm->has_umip = true;
    *cr4 |= CR4_UMIP;
    return kvm_set_cpuid(kvm, personality, error);
}

/* MSRs of hs64-v1 in the two ranges that a bitmap can cover cheaply. */
static const uint32_t allowed_low[] = {
    MSR_TSC, MSR_APIC_BASE, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT};
static const uint32_t allowed_high[] = {MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
    MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX};

static void allow(uint8_t *bitmap, uint32_t base, const uint32_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bitmap[(list[i] - base) / 8] |= (uint8_t)(1u << ((list[i] - base) % 8));
}

/*
 * Everything else exits to us and is answered by the model's table or with #GP, so that a guest
 * finds the same MSRs on every host.
 */
int kvm_filter_msrs(struct kvm_engine *kvm, struct error *error)
{
    if (ioctl(kvm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) <= 0 ||
        ioctl(kvm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) <= 0)
        return error_set(
            error, "kvm: the host has no MSR filter: use Linux 5.10 or newer, or --engine soft");
    struct kvm_enable_cap enable = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args[0] =
            KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER};
    if (ioctl(kvm->vm, KVM_ENABLE_CAP, &enable) < 0)
        return error_set_errno(error, "kvm: cannot have MSR accesses reported");
    enum { RANGE = 0x400 };
    uint8_t low[RANGE / 8] = {0}, high[RANGE / 8] = {0}, low_write[RANGE / 8];
    allow(low, 0, allowed_low, sizeof allowed_low / sizeof allowed_low[0]);
    /* What is written to APIC_BASE concerns the local APIC, which is not KVM's. */
    memcpy(low_write, low, sizeof low);
    low_write[MSR_APIC_BASE / 8] &= (uint8_t) ~(1u << (MSR_APIC_BASE % 8));
    allow(high, 0xc0000000u, allowed_high, sizeof allowed_high / sizeof allowed_high[0]);
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY,
        .ranges = {
            {.flags = KVM_MSR_FILTER_READ, .nmsrs = RANGE, .base = 0, .bitmap = low},
            {.flags = KVM_MSR_FILTER_WRITE, .nmsrs = RANGE, .base = 0, .bitmap = low_write},
            {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                .nmsrs = RANGE,
                .base = 0xc0000000u,
                .bitmap = high},
        }};
    if (ioctl(kvm->vm, KVM_X86_SET_MSR_FILTER, &filter) < 0)
        return error_set_errno(error, "kvm: cannot set the MSR filter");
    return 0;
}

/* Adds the pages of a bitmap to a list. */
static int list_bits(const struct memory_region *region, const uint64_t *bitmap, size_t words,
    uint64_t **pages, unsigned *count, struct error *error)
{
    unsigned more = 0;
    for (size_t word = 0; word < words; word++)
        for (uint64_t bits = bitmap[word]; bits; bits &= bits - 1)
            more++;
    if (!more)
        return 0;
    uint64_t *list = realloc(*pages, (*count + more) * sizeof *list);
    if (!list)
        return error_set(error, "kvm: out of memory for the dirty page log");
    *pages = list;
    for (size_t word = 0; word < words; word++) {
        for (uint64_t bits = bitmap[word]; bits; bits &= bits - 1)
            list[(*count)++] =
                region->gpa + (word * 64 + (unsigned)__builtin_ctzll(bits)) * PAGE_SIZE;
    }
    return 0;
}

/* KVM writes the whole bitmap of a region. */
static int list_region(
    struct kvm_engine *kvm, unsigned slot, uint64_t **pages, unsigned *count, struct error *error)
{
    const struct memory_region *region = &kvm->memory->region[slot];
    const size_t words = (region->size / PAGE_SIZE + 63) / 64;
    if (!kvm->dirty_bitmap[slot])
        kvm->dirty_bitmap[slot] = calloc(words, sizeof *kvm->dirty_bitmap[slot]);
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = kvm->dirty_bitmap[slot]};
    if (!log.dirty_bitmap || ioctl(kvm->vm, KVM_GET_DIRTY_LOG, &log) < 0)
        return error_set_errno(error, "kvm: cannot read the dirty page log");
    return list_bits(region, kvm->dirty_bitmap[slot], words, pages, count, error);
}

int kvm_take_dirty_pages(
    struct engine *engine, uint64_t **pages, unsigned *count, struct error *error)
{
    struct kvm_engine *kvm = (struct kvm_engine *)engine;
    *pages = NULL;
    *count = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (!kvm->memory->region[i].size || list_region(kvm, i, pages, count, error) == 0)
            continue;
        free(*pages);
        *pages = NULL;
        return -1;
    }
    return 0;
}
