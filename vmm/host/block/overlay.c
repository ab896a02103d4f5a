/* Sectors kept in memory over an image that must not change. */
#include "vmm/host/block/overlay.h"

#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, PIECE = 8, PIECES = 1024 }; /* sectors of a piece, pieces of a table */

struct piece {
    uint8_t written; /* bit per sector */
    uint8_t data[PIECE * SECTOR];
};

struct table {
    struct piece *piece[PIECES];
};

struct overlay {
    uint64_t tables;
    struct table **table;
};

struct overlay *overlay_create(uint64_t sectors)
{
    struct overlay *overlay = calloc(1, sizeof *overlay);
    if (!overlay)
        return NULL;
    overlay->tables = sectors / (PIECE * PIECES) + 1;
    overlay->table = calloc(overlay->tables, sizeof(struct table *));
    if (!overlay->table) {
        free(overlay);
        return NULL;
    }
    return overlay;
}

void overlay_clear(struct overlay *overlay)
{
    for (uint64_t i = 0; i < overlay->tables; i++) {
        struct table *table = overlay->table[i];
        for (unsigned j = 0; table && j < PIECES; j++)
            free(table->piece[j]);
        free(table);
        overlay->table[i] = NULL;
    }
}

void overlay_destroy(struct overlay *overlay)
{
    if (!overlay)
        return;
    overlay_clear(overlay);
    free(overlay->table);
    free(overlay);
}

static struct piece *find(const struct overlay *overlay, uint64_t lba)
{
    const struct table *table = overlay->table[lba / (PIECE * PIECES)];
    return table ? table->piece[lba / PIECE % PIECES] : NULL;
}

static struct piece *make(struct overlay *overlay, uint64_t lba)
{
    struct table **table = &overlay->table[lba / (PIECE * PIECES)];
    if (!*table)
        *table = calloc(1, sizeof **table);
    if (!*table)
        return NULL;
    struct piece **piece = &(*table)->piece[lba / PIECE % PIECES];
    if (!*piece)
        *piece = calloc(1, sizeof **piece);
    return *piece;
}

bool overlay_covers(const struct overlay *overlay, uint64_t lba, uint32_t count)
{
    for (uint64_t sector = lba; sector < lba + count; sector++) {
        const struct piece *piece = find(overlay, sector);
        if (!piece || !(piece->written >> (sector % PIECE) & 1))
            return false;
    }
    return true;
}

void overlay_read(const struct overlay *overlay, uint64_t lba, uint32_t count, uint8_t *data)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sector = lba + i;
        const struct piece *piece = find(overlay, sector);
        if (piece && piece->written >> (sector % PIECE) & 1)
            memcpy(data + (size_t)i * SECTOR, piece->data + sector % PIECE * SECTOR, SECTOR);
    }
}

int overlay_write(
    struct overlay *overlay, uint64_t lba, uint32_t count, const uint8_t *data, struct error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sector = lba + i;
        struct piece *piece = make(overlay, sector);
        if (!piece)
            return error_set(error, "out of memory for a snapshot's writes");
        uint8_t *target = piece->data + sector % PIECE * SECTOR;
        if (data)
            memcpy(target, data + (size_t)i * SECTOR, SECTOR);
        else
            memset(target, 0, SECTOR);
        piece->written |= (uint8_t)(1u << sector % PIECE);
    }
    return 0;
}
