/*
 * The registers as gdb sees them: the target description and the values in its order.
 * Source: GDB manual, appendix G, "i386 Features".
 */
#ifndef DEBUGGER_TARGET_XML_H
#define DEBUGGER_TARGET_XML_H

#include "base/buffer.h"
#include "vmm/arch/vcpu.h"

/* The whole target.xml. */
void target_xml(struct buffer *out);
/* The bytes of register `number`, little-endian; false past the last. */
bool target_register(const struct vcpu_state *state, unsigned number, struct buffer *out);

#endif
