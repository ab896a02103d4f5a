/*
 * Array members in memory for the tests, with failures, power cuts and a volatile cache.
 *
 * Power: all members of a set share a `struct power`. When `writes_left` runs out, the write under
 * way reaches the store in part (each sector or not, at random) and from then on everything fails.
 * With `cached`, what was not flushed is lost at power_on(), sector by sector, at random.
 */
#ifndef TESTS_MEMORY_MEMBER_H
#define TESTS_MEMORY_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block.h"

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

enum { BAD_UNTIL_WRITTEN = 1, BAD_FOR_GOOD = 2 };

struct power {
    uint64_t writes_left; /* UINT64_MAX: no cut is planned */
    uint64_t writes;      /* done so far */
    bool off;
    bool cached;
    uint64_t seed;
};

struct memory_member {
    uint8_t *data;   /* what reads give */
    uint8_t *stable; /* what has been flushed */
    uint64_t sectors;
    struct power *power;
    bool broken;             /* everything fails */
    uint64_t breaks_at;      /* so many writes of the set until it is broken; 0: never */
    uint64_t bad_lba;        /* accesses that touch it fail; UINT64_MAX: none */
    uint8_t *bad;            /* by sector: BAD_UNTIL_WRITTEN, BAD_FOR_GOOD; 0: good */
    uint64_t reads, written; /* calls, for counting what an operation touches */
    struct raid_member member;
};

static inline bool memory_fails(const struct memory_member *m, uint64_t lba, uint32_t count)
{
    if (lba > m->sectors || count > m->sectors - lba) {
        fprintf(stderr, "access beyond the member: %llu + %u\n", (unsigned long long)lba, count);
        abort();
    }
    if (m->breaks_at && m->power->writes >= m->breaks_at)
        return true;
    return m->broken || m->power->off || (m->bad_lba >= lba && m->bad_lba - lba < count);
}

static inline bool memory_bad(
    const struct memory_member *m, uint64_t lba, uint32_t count, uint8_t least)
{
    for (uint32_t i = 0; i < count; i++) {
        if (m->bad[lba + i] >= least)
            return true;
    }
    return false;
}

static inline int memory_read(void *object, uint64_t lba, uint32_t count, uint8_t *data)
{
    struct memory_member *m = object;
    m->reads++;
    if (memory_fails(m, lba, count) || memory_bad(m, lba, count, BAD_UNTIL_WRITTEN))
        return -1;
    memcpy(data, m->data + lba * 512, (size_t)count * 512);
    return 0;
}

static inline int memory_store(
    struct memory_member *m, uint64_t lba, uint32_t count, const uint8_t *data)
{
    struct power *power = m->power;
    static const uint8_t zero[512];
    m->written++;
    if (memory_fails(m, lba, count) || memory_bad(m, lba, count, BAD_FOR_GOOD))
        return -1;
    power->writes++;
    bool cut = power->writes_left == 0;
    if (power->writes_left != UINT64_MAX)
        power->writes_left--;
    for (uint32_t i = 0; i < count; i++) {
        if (cut && !(random_next(&power->seed) & 1))
            continue;
        memcpy(m->data + (lba + i) * 512, data ? data + (size_t)i * 512 : zero, 512);
        m->bad[lba + i] = 0;
    }
    if (cut)
        power->off = true;
    return cut ? -1 : 0;
}

static inline int memory_write(void *object, uint64_t lba, uint32_t count, const uint8_t *data)
{
    return memory_store(object, lba, count, data);
}

static inline int memory_zero(void *object, uint64_t lba, uint32_t count)
{
    return memory_store(object, lba, count, NULL);
}

static inline int memory_flush(void *object)
{
    struct memory_member *m = object;
    if (memory_fails(m, 0, 0))
        return -1;
    if (m->power->cached)
        memcpy(m->stable, m->data, m->sectors * 512);
    return 0;
}

static inline uint64_t memory_size(const void *object)
{
    return ((const struct memory_member *)object)->sectors;
}

static const struct raid_member_ops memory_ops = {
    .read = memory_read,
    .write = memory_write,
    .zero = memory_zero,
    .flush = memory_flush,
    .size = memory_size,
};

static inline void memory_member_init(
    struct memory_member *m, struct power *power, uint64_t sectors)
{
    *m = (struct memory_member){.sectors = sectors, .power = power, .bad_lba = UINT64_MAX};
    m->data = calloc(sectors, 512);
    m->stable = calloc(sectors, 512);
    m->bad = calloc(sectors, 1);
    if (!m->data || !m->stable || !m->bad)
        abort();
    m->member = (struct raid_member){.ops = &memory_ops, .object = m};
}

static inline void memory_member_free(struct memory_member *m)
{
    free(m->data);
    free(m->stable);
    free(m->bad);
}

static inline void power_on(struct power *power, struct memory_member *members, unsigned count)
{
    for (unsigned i = 0; i < count && power->cached; i++) {
        struct memory_member *m = &members[i];
        for (uint64_t s = 0; s < m->sectors; s++) {
            if (memcmp(m->data + s * 512, m->stable + s * 512, 512) != 0 &&
                random_next(&power->seed) & 1)
                memcpy(m->data + s * 512, m->stable + s * 512, 512);
        }
        memcpy(m->stable, m->data, m->sectors * 512);
    }
    power->off = false;
    power->writes_left = UINT64_MAX;
}

/* A sector that says which write and which sector it is. Version 0 is all zeroes. */
static inline void fill_sector(uint8_t *data, uint64_t sector, uint64_t version)
{
    uint64_t words[64] = {version, sector};
    uint64_t state = version * 1000003 + sector;
    for (unsigned i = 2; i < 64 && version; i++)
        words[i] = random_next(&state);
    if (!version)
        words[1] = 0;
    memcpy(data, words, 512);
}

/* The version of a sector's content; UINT64_MAX when it is not one that was ever written there. */
static inline uint64_t sector_version(const uint8_t *data, uint64_t sector)
{
    uint8_t expected[512];
    uint64_t version;
    memcpy(&version, data, sizeof version);
    fill_sector(expected, sector, version);
    return memcmp(expected, data, 512) == 0 ? version : UINT64_MAX;
}

#endif
