/*
 * The machine's NICs: the virtio-net function that the guest sees, over a network of the host, or
 * over the trace when replaying.
 *
 * Inputs: INPUT_PACKET (async) is a byte, the link that a frame came by, and the frame. INPUT_LINK
 * (sync) says for a sent frame the link it left by, NIC_NO_LINK when no link lived; a second byte
 * follows when the set of links that live has changed: a bit for each. All that a NIC counts
 * follows from them, so a replay comes to the same numbers.
 */
#ifndef VMM_NIC_H
#define VMM_NIC_H

#include "devices/device.h"
#include "vmm/machine/inputs.h"
#include "vmm/host/net/fault.h"
#include "vmm/host/net/network.h"

struct machine;
struct nic;

enum { NIC_NO_LINK = 0xff };

/*
 * Opens the links (unless replaying, or where the trace that config is from has none) and adds the
 * PCI function "netN" to machine->pci. Faults of `faults` whose network is `number` are armed.
 */
struct nic *nic_create(struct machine *machine, unsigned number, const struct net_config *config,
    const struct net_fault *faults, unsigned fault_count, struct error *error);
void nic_destroy(struct nic *nic); /* NULL is fine */

/* The NIC as two devices of the machine: its links, and the controller that the guest sees. */
struct device nic_links_device(struct nic *nic);
struct device nic_device(struct nic *nic);

/* The host's side; NULL when there is none. */
struct network *nic_network(struct nic *nic);
/* Has the guest room for a frame? */
bool nic_can_receive(const struct nic *nic);
/* Is a frame waiting that the guest has room for? */
bool nic_is_due(const struct nic *nic);
/* Readable when one is; -1 while the guest has no room. */
int nic_fd(const struct nic *nic);
/* Fills in a delivery with the oldest frame; false when none is due. */
bool nic_take(struct nic *nic, struct delivery *delivery);
/* Gives the guest a delivered frame. */
int nic_deliver(struct nic *nic, const struct delivery *delivery, struct error *error);

#endif
