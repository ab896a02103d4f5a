/*
 * ACPI machine language, as far as a description of fixed devices needs it (ACPI Specification 6.4,
 * chapter 20), and the resource descriptors of section 6.4. Everything appends to a buffer.
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include "base/buffer.h"

/* What has a length in front: begin, the contents, end with what begin returned. */
size_t aml_begin_scope(struct buffer *out, const char *name);
size_t aml_begin_device(struct buffer *out, const char *name);
size_t aml_begin_package(struct buffer *out, uint8_t elements);
void aml_end(struct buffer *out, size_t start);

/* Names are four characters, "\\" in front of one at the root. */
void aml_name(struct buffer *out, const char *name); /* its value follows */
void aml_integer(struct buffer *out, uint64_t value);
void aml_eisa_id(struct buffer *out, const char *id); /* "PNP0A03" */

/* A resource template: begin, descriptors, end. */
size_t aml_begin_resources(struct buffer *out);
void aml_end_resources(struct buffer *out, size_t start);
void aml_io(struct buffer *out, uint16_t base, uint8_t size);
void aml_irq(struct buffer *out, unsigned irq); /* edge, active high, exclusive */
void aml_bus_range(struct buffer *out, uint16_t first, uint16_t last);
void aml_io_window(struct buffer *out, uint16_t first, uint16_t last);
void aml_memory(struct buffer *out, uint32_t base, uint32_t size); /* read and write */
void aml_memory_window(struct buffer *out, uint32_t first, uint32_t last);

#endif
