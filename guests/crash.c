/*
 * A guest with a planted bug: the main loop takes nodes off the free list without turning
 * interrupts off, and the timer handler uses the same list. When a tick lands between the load of
 * the list's head and the store of the new one, a node ends up in two hands. Nothing happens at
 * that moment; a later check of the lists notices and panics with debug-exit value 0x2a (status
 * 85). Whether and when depends on interrupt timing alone.
 *
 * The window is about one in 300 of the loop's port accesses, so a tick hits it with that
 * probability wherever the engine delivers interrupts. Options: ticks=400 at hz=1000.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/port.h"
#include "lib/timers.h"

enum { NODES = 32, CHECK_EVERY = 8, EXIT_CORRUPT = 0x2a };

enum owner { FREE, SAMPLES, EVENTS };

struct node {
    struct node *next;
    enum owner owner;
    uint64_t value;
};

struct list {
    struct node *head;
    enum owner owner;
    const char *name;
};

static struct node nodes[NODES];
static struct list free_list = {.owner = FREE, .name = "free"};
static struct list samples = {.owner = SAMPLES, .name = "samples"};
static struct list events = {.owner = EVENTS, .name = "events"};
static volatile uint64_t ticks;

static void list_push(struct list *list, struct node *node)
{
    node->owner = list->owner;
    node->next = list->head;
    list->head = node;
}

static struct node *list_pop(struct list *list)
{
    struct node *node = list->head;
    if (node)
        list->head = node->next;
    return node;
}

/* Each tick is noted as an event, in a node of the free list. */
static void handle_pit(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    struct node *node = list_pop(&free_list);
    if (node) {
        node->value = ticks;
        list_push(&events, node);
    }
    pic_end(IRQ_PIT);
}

/* The bug: interrupts are on from the load of the head to the store of its successor. */
static struct node *take_free_node(void)
{
    struct node *node = *(struct node *volatile *)&free_list.head;
    if (!node)
        return NULL;
    struct node *next = node->next;
    port_out8(DEBUG_CONSOLE, 'a'); /* debug trace: "allocating" */
    *(struct node *volatile *)&free_list.head = next;
    return node;
}

/* The PIT's count, many times over: slow work between allocations. */
static uint64_t sample(unsigned readings)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < readings; i++)
        sum += pit_count(0);
    return sum;
}

/* Gives all nodes of a list back. */
static uint64_t drain(struct list *list)
{
    uint64_t count = 0;
    interrupts_off();
    for (struct node *node; count < NODES && (node = list_pop(list)); count++)
        list_push(&free_list, node);
    interrupts_on();
    return count;
}

static unsigned check_list(const struct list *list)
{
    unsigned count = 0;
    for (const struct node *node = list->head; node; node = node->next) {
        if (node->owner != list->owner)
            guest_panic(EXIT_CORRUPT, "list %s: node %u is owned by list %u", list->name,
                (unsigned)(node - nodes), node->owner);
        if (++count > NODES)
            guest_panic(EXIT_CORRUPT, "list %s does not end", list->name);
    }
    return count;
}

static void check_lists(uint64_t round)
{
    interrupts_off();
    unsigned count = check_list(&free_list) + check_list(&samples) + check_list(&events);
    if (count != NODES)
        guest_panic(
            EXIT_CORRUPT, "round %lu: the lists hold %u nodes, not %u", round, count, NODES);
    interrupts_on();
}

void guest_main(const struct boot_info *boot)
{
    uint64_t wanted = boot_option(boot, "ticks", 400);
    unsigned hz = (unsigned)boot_option(boot, "hz", 1000);
    struct rtc_time now;
    rtc_read_time(&now);
    uint32_t random = (uint32_t)(now.minutes << 8 | now.seconds);
    console_printf("crash: %lu ticks at %u Hz\n", wanted, hz);

    for (unsigned i = 0; i < NODES; i++)
        list_push(&free_list, &nodes[i]);
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    pit_start(hz);
    pic_unmask(IRQ_PIT);
    interrupts_on();

    uint64_t seen = 0;
    for (uint64_t round = 1; ticks < wanted; round++) {
        /* Ticks that came during the checks land here, so that they do not crowd the window. */
        port_out8(DEBUG_CONSOLE, 'r');
        random = random * 1664525 + 1013904223;
#ifdef FIXED /* crash_fixed.elf */
        interrupts_off();
#endif
        struct node *node = take_free_node();
#ifdef FIXED
        interrupts_on();
#endif
        if (node) {
            node->value = sample(64 + (random >> 26));
            interrupts_off();
            list_push(&samples, node);
            interrupts_on();
        }
        seen += drain(&events);
        if (round % CHECK_EVERY == 0) {
            check_lists(round);
            drain(&samples);
        }
    }
    interrupts_off();
    check_lists(0);
    interrupts_off();
    console_printf("crash: survived %lu ticks, %lu events\n", (uint64_t)ticks, seen);
}
