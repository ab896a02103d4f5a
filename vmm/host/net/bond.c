/* Several host links as one. */
#include "vmm/host/net/bond.h"

#include <string.h>

enum {
    ETHERTYPE = 12,
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_HELLO = 0x88b5,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
};

static const char *const mode_names[BOND_MODES] = {"rr", "hash", "backup"};

const char *bond_mode_name(enum bond_mode mode)
{
    return mode < BOND_MODES ? mode_names[mode] : "?";
}

bool bond_mode_parse(const char *name, enum bond_mode *mode)
{
    for (unsigned i = 0; i < BOND_MODES; i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (enum bond_mode)i;
            return true;
        }
    }
    return false;
}

void bond_init(struct bond *bond, enum bond_mode mode, unsigned count)
{
    *bond = (struct bond){.mode = mode, .count = count};
}

bool bond_is_live(const struct bond *bond, unsigned index, uint64_t now)
{
    const struct bond_link *link = &bond->link[index];
    if (link->down)
        return false;
    uint64_t heard = link->heard > bond->hello_since ? link->heard : bond->hello_since;
    if (bond->says_hello && now > heard + BOND_DEAD_NS)
        return false;
    return !link->failed || (!bond->says_hello && now >= link->failed_at + BOND_RETRY_NS);
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* FNV-1a */
static uint32_t mix(uint32_t hash, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    return hash;
}

uint32_t bond_flow_hash(const uint8_t *frame, size_t size)
{
    uint32_t hash = mix(2166136261u, frame, size < ETHERTYPE ? size : ETHERTYPE);
    size_t at = ETHERTYPE;
    if (size >= at + 6 && get16(frame + at) == ETHERTYPE_VLAN)
        at += 4;
    if (size < at + 2)
        return hash;
    unsigned type = get16(frame + at);
    at += 2;
    uint8_t protocol = 0;
    if (type == ETHERTYPE_IPV4 && size >= at + 20) {
        /* Fragments after the first have no ports, so those of none count. */
        bool is_fragment = get16(frame + at + 6) & 0x3fff;
        hash = mix(hash, frame + at + 12, 8);
        protocol = is_fragment ? 0 : frame[at + 9];
        at += (size_t)(frame[at] & 15) * 4;
    } else if (type == ETHERTYPE_IPV6 && size >= at + 40) {
        hash = mix(hash, frame + at + 8, 32);
        protocol = frame[at + 6];
        at += 40;
    }
    if ((protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP) && size >= at + 4)
        hash = mix(hash, frame + at, 4);
    return hash ^ hash >> 16;
}

int bond_choose(struct bond *bond, const uint8_t *frame, size_t size, uint64_t now)
{
    unsigned live[BOND_MAX_LINKS], count = 0;
    for (unsigned i = 0; i < bond->count; i++) {
        if (bond_is_live(bond, i, now))
            live[count++] = i;
    }
    if (count == 0)
        return -1;
    switch (bond->mode) {
    case BOND_ROUND_ROBIN:
        while (!bond_is_live(bond, bond->next % bond->count, now))
            bond->next++;
        return (int)(bond->next++ % bond->count);
    case BOND_HASH:
        return (int)live[bond_flow_hash(frame, size) % count];
    default:
        return (int)live[0];
    }
}

void bond_sent(struct bond *bond, unsigned link)
{
    bond->link[link].sent++;
}

void bond_failed(struct bond *bond, unsigned link, uint64_t now)
{
    bond->link[link].failed = true;
    bond->link[link].failed_at = now;
}

bool bond_heard(struct bond *bond, unsigned index, const uint8_t *frame, size_t size, uint64_t now)
{
    struct bond_link *link = &bond->link[index];
    bool is_hello = size >= ETHERTYPE + 2 && get16(frame + ETHERTYPE) == ETHERTYPE_HELLO;
    link->heard = now;
    link->failed = false;
    if (!is_hello)
        link->received++;
    if (is_hello && !bond->says_hello) {
        bond->says_hello = true;
        bond->hello_since = now;
    }
    return is_hello;
}

void bond_was_deaf(struct bond *bond, uint64_t now)
{
    for (unsigned i = 0; i < bond->count; i++)
        bond->link[i].heard = now;
}

void bond_make_hello(uint8_t frame[BOND_HELLO_SIZE])
{
    static const uint8_t source[6] = {0x52, 0x54, 0, 'h', 's', 0};
    memset(frame, 0, BOND_HELLO_SIZE);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, source, sizeof source);
    frame[ETHERTYPE] = ETHERTYPE_HELLO >> 8;
    frame[ETHERTYPE + 1] = ETHERTYPE_HELLO & 0xff;
}
