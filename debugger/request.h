/*
 * What a packet of gdb asks for, taken apart. Source: GDB manual, appendix E, "Packets",
 * "General Query Packets".
 */
#ifndef DEBUGGER_REQUEST_H
#define DEBUGGER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_kind {
    REQUEST_UNKNOWN, /* answered by an empty packet */
    REQUEST_MALFORMED,
    REQUEST_WHY,       /* ? */
    REQUEST_OK,        /* Hc, qSymbol: nothing to do */
    REQUEST_SELECT,    /* Hg: thread `number`; 0: any */
    REQUEST_ALIVE,     /* T: thread `number` */
    REQUEST_REGISTERS, /* g */
    REQUEST_REGISTER,  /* p: `number` */
    REQUEST_WRITE,     /* G, P, M, X */
    REQUEST_MEMORY,    /* m: `address`, `length` */
    REQUEST_INSERT,    /* Z: `type` 0 to 4, `address`, `length`; `text`: its conditions */
    REQUEST_REMOVE,    /* z */
    REQUEST_CONTINUE,
    REQUEST_STEP, /* of thread `number`; 0: the one that runs */
    REQUEST_REVERSE_CONTINUE,
    REQUEST_REVERSE_STEP,
    REQUEST_VCONT_QUERY,
    REQUEST_SUPPORTED, /* `text`: what gdb supports */
    REQUEST_NO_ACK,
    REQUEST_FEATURES, /* qXfer:features:read: `text` annex, `address` offset, `length` */
    REQUEST_MONITOR,  /* `text`: hexadecimal */
    REQUEST_THREADS_FIRST,
    REQUEST_THREADS_NEXT,
    REQUEST_THREAD,
    REQUEST_THREAD_NAME, /* qThreadExtraInfo: of thread `number` */
    REQUEST_ATTACHED,
    REQUEST_SET_PHYSICAL, /* Qqemu.PhyMemMode, as QEMU has it: `number` */
    REQUEST_IS_PHYSICAL,  /* qqemu.PhyMemMode */
    REQUEST_DETACH,
    REQUEST_KILL,  /* k: no answer */
    REQUEST_VKILL, /* vKill: answered */
};

struct request {
    enum request_kind kind;
    unsigned type;
    uint64_t number, address, length;
    const char *text; /* points into the packet */
    size_t text_size;
};

/* `packet` is terminated; its `size` may include zero bytes. */
void request_parse(const char *packet, size_t size, struct request *request);

#endif
