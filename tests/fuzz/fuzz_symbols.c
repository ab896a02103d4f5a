/*
 * Hostile symbol files: ELF images, and lists as System.map has them. They are refused, or can be
 * looked things up in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct symbols *symbols)
{
    static const uint64_t addresses[] = {0, 1, 0x100000, 0xffffffff81000000, UINT64_MAX};
    for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const struct symbol *symbol = symbols_at(symbols, addresses[i]);
        struct buffer text = {0};
        if (symbol && !symbols_find(symbols, symbol->name))
            abort();
        symbols_describe(symbols, addresses[i], &text);
        buffer_free(&text);
    }
    symbols_find(symbols, "main");
    symbols_find(symbols, "");
}

static void add(const uint8_t *data, size_t size)
{
    struct symbols symbols = {0};
    struct error error = {""};
    uint8_t *image = malloc(size + 1);
    if (!image)
        abort();
    memcpy(image, data, size);
    image[size] = '\0';
    if (symbols_add_image(&symbols, "fuzz", image, size, 0x1000, &error) == 0) {
        look_up(&symbols);
        symbols_move(symbols.modules[0], 0x2000);
        look_up(&symbols);
    } else if (!error.text[0]) {
        abort();
    }
    symbols_free(&symbols);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0};
    static const char digits[] = "0123456789abcdef \n\tTtDdBbAaWw_x.$[]";
    add(data, size);
    uint8_t *other = malloc(size + sizeof magic);
    if (!other)
        abort();
    memcpy(other, data, size);
    if (size >= sizeof magic) {
        memcpy(other, magic, sizeof magic);
        add(other, size);
    }
    /* The same as a list. */
    for (size_t i = 0; i < size; i++)
        other[i] = (uint8_t)digits[data[i] % (sizeof digits - 1)];
    add(other, size);
    free(other);
    return 0;
}
