/*
 * What ring 3 has around it under a monitor (monitor.h): a piece of memory of its own with IDT,
 * TSS, stubs and a stack, copies of the guest's GDT and LDT, and page tables that map all of it for
 * ring 0 alone. Plain memory: nothing here knows of KVM.
 *
 * Every gate of the IDT is for ring 0 and leads to a stub of its own, which writes to the port with
 * the vector's number. No port is allowed to ring 3 itself. The GDT and LDT are the guest's, byte
 * for byte, so that loading a segment, LAR, LSL, VERR and VERW do in ring 3 what they do there;
 * the monitor's own code segment follows after the end of the guest's, where ring 3 cannot tell it
 * from no segment. They are mapped read-only: a load that would set an accessed bit faults.
 */
#ifndef VMM_KVM_MONITOR_IMAGE_H
#define VMM_KVM_MONITOR_IMAGE_H

#include "vmm/arch/memory.h"
#include "vmm/arch/vcpu.h"

/* Pages of the image. */
enum {
    MONITOR_GDT = 0,
    MONITOR_LDT = 16,
    MONITOR_IDT = 32,
    MONITOR_TSS,
    MONITOR_CODE,
    MONITOR_STACK,
    MONITOR_MAPPED, /* up to here */
    MONITOR_TABLES = MONITOR_MAPPED,
    MONITOR_PAGES = MONITOR_TABLES + 3,
};

struct monitor_image {
    uint8_t *host;     /* MONITOR_PAGES pages */
    uint64_t gpa;      /* of them */
    uint64_t base;     /* linear */
    uint16_t selector; /* of the monitor's code; 0: not known yet */
};

/* What an exception pushed. */
struct monitor_frame {
    uint64_t error; /* 0 where there is none */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Fills all but the copies; `index` is an entry of the top table, of the upper half. */
void monitor_image_place(struct monitor_image *image, unsigned index);
/* What belongs into that entry. */
uint64_t monitor_image_entry(const struct monitor_image *image);

/* Copies the guest's tables. False: they cannot be had, or hold a way into ring 0 (a call gate). */
bool monitor_image_take_tables(
    struct monitor_image *image, const struct memory *memory, const struct vcpu_state *guest);
/* What loading a selector of ring 3 gives by the copies; false: nothing that CS or SS could be. */
bool monitor_image_segment(
    const struct monitor_image *image, uint16_t selector, struct segment *segment);

/* Puts the image's tables and its TSS in the place of the guest's. */
void monitor_image_install(const struct monitor_image *image, struct vcpu_state *state);
/* The state of ring 0 in which the TLB is emptied, up to the OUT to `MONITOR_FLUSHED`. */
enum { MONITOR_FLUSHED = 0x20 };
void monitor_image_flusher(const struct monitor_image *image, struct vcpu_state *state);

/* The frame that is on the stack when a stub has RSP; false: there is none. */
bool monitor_image_frame(
    const struct monitor_image *image, uint64_t rsp, struct monitor_frame *frame);

#endif
