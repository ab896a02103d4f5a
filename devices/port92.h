/*
 * System control port A, 0x92 (IBM PS/2 Hardware Interface Technical Reference): bit 1 is the
 * alternate gate A20, bit 0 the alternate hot reset, which acts when it changes from 0 to 1. The
 * other bits have no hardware here and read as zero. After create and after reset the
 * gate is open (A20 passes), as firmware leaves it.
 *
 * The gate as the processor sees it is open when this port or the keyboard controller opens it:
 * combining the two is the machine's, which hears of changes through `a20`.
 */
#ifndef DEVICES_PORT92_H
#define DEVICES_PORT92_H

#include "devices/device.h"

struct port92;

enum { PORT92_PORT = 0x92 };

struct port92_config {
    void (*reset_request)(void *machine);  /* may be NULL */
    void (*a20)(void *machine, bool open); /* on a change of bit 1; may be NULL */
    void *machine;
};

struct port92 *port92_create(const struct port92_config *config, struct error *error);
void port92_destroy(struct port92 *port92); /* NULL is fine */
int port92_attach(struct port92 *port92, struct bus *ports, struct error *error);
struct device port92_device(struct port92 *port92);
bool port92_a20(const struct port92 *port92); /* the state of bit 1 */
extern const struct device_class port92_class;

#endif
