/*
 * gdb's agent expressions from whoever says to be gdb, and the packets that carry them: they end,
 * with a value or a reason, and the same again; what a list of conditions takes it gives back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "debugger/agent.h"
#include "debugger/gdbpoints.h"
#include "debugger/packet.h"
#include "vmm/arch/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memory memory;
static struct view view;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void set_up(void)
{
    const struct memory_backend backend = {.size = 1 << 20};
    struct error error;
    require(memory_create(&memory, &backend, 1, &error) == 0);
    view = (struct view){.memory = &memory};
    vcpu_reset(&view.state);
}

/* An own allocation of the exact size, so that a sanitizer sees every read past the end. */
static void evaluate(const uint8_t *data, size_t size)
{
    uint8_t *code = malloc(size ? size : 1);
    struct error error = {""};
    uint64_t first = 1, second = 2;
    require(code);
    if (size)
        memcpy(code, data, size);
    int result = agent_evaluate(code, size, &view, &first, &error);
    require(result == 0 || error.text[0]);
    require(agent_evaluate(code, size, &view, &second, &error) == result && first == second);
    free(code);
}

/* As the conditions of a breakpoint: well made, and as the bytes are. */
static void insert(const uint8_t *data, size_t size)
{
    struct gdbpoints points = {0};
    struct buffer packet = {0};
    struct request request;
    struct error error = {""};
    size_t first = size / 2;
    buffer_printf(&packet, "Z0,1000,1;X%zx,", first);
    packet_put_hex(data, first, &packet);
    buffer_printf(&packet, "X%zx,", size - first);
    packet_put_hex(data + first, size - first, &packet);
    buffer_put_u8(&packet, 0);
    request_parse((const char *)packet.data, packet.size - 1, &request);
    require(request.kind == REQUEST_INSERT);
    bool fits = first && size - first <= AGENT_MAX_SIZE;
    require((gdbpoints_insert(&points, &request, &error) == 0) == fits);
    require(!fits || points.list[0].conditions.size == size + 4);
    buffer_clear(&packet);
    buffer_printf(&packet, "Z1,1000,1;");
    buffer_put(&packet, data, size);
    buffer_put_u8(&packet, 0);
    request_parse((const char *)packet.data, packet.size - 1, &request);
    if (request.kind == REQUEST_INSERT && gdbpoints_insert(&points, &request, &error) == 0)
        gdbpoints_remove(&points, &request);
    require(points.count == fits);
    gdbpoints_clear(&points);
    buffer_free(&packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!memory.size)
        set_up();
    evaluate(data, size);
    /* Most bytes are no operation: the same with as many as possible that are. */
    static uint8_t code[1 << 16];
    for (size_t i = 0; i < size && i < sizeof code; i++)
        code[i] = data[i] % 0x36;
    evaluate(code, size < sizeof code ? size : sizeof code);
    insert(data, size);
    return 0;
}
