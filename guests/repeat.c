/*
 * Long repeated string instructions in ring 0 and ring 3 while the PIT asks for interrupts: most
 * are taken between two iterations. The handler folds what was pushed (RIP, RCX, RF) into a number,
 * so that a replay which lands an iteration off, or with another RF, prints another one. Options:
 * rounds=4 count=30000 (of 8 bytes, at most 65536) hz=1000.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/boot.h"
#include "lib/console.h"
#include "lib/exit.h"
#include "lib/interrupts.h"
#include "lib/pic.h"
#include "lib/timers.h"
#include "lib/user.h"

enum { COUNT_MAX = 65536, IN_A_PAGE = 512, WRONG_RESULT = 7 };
#define FLAG_RF (1ull << 16)

struct level {
    uint64_t ticks, between, with_rf;
};

static struct level levels[4];
static uint64_t fold, wrong_rf;
static uint64_t source[COUNT_MAX], target[COUNT_MAX];
static uint64_t count;

/* F3 or F2, REX.W and the opcode are three bytes. */
static bool is_repetition(uint64_t rip)
{
    const uint8_t *code = (const uint8_t *)rip;
    return (code[0] == 0xf3 || code[0] == 0xf2) && code[1] == 0x48;
}

static void handle_pit(struct interrupt_frame *frame)
{
    struct level *level = &levels[frame->cs & 3];
    level->ticks++;
    if (is_repetition(frame->rip) && frame->rcx && frame->rcx < count) {
        level->between++;
        level->with_rf += (frame->rflags & FLAG_RF) != 0;
    } else {
        wrong_rf += (frame->rflags & FLAG_RF) != 0;
    }
    fold = (fold ^ frame->rip) * 0x9e3779b97f4a7c15ull;
    fold = (fold ^ frame->rcx) * 0x9e3779b97f4a7c15ull;
    fold = (fold ^ (frame->rflags & FLAG_RF)) * 0x9e3779b97f4a7c15ull;
    pic_end(IRQ_PIT);
}

static void fill(uint64_t value)
{
    uint64_t *to = source, left = count;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(left) : "a"(value) : "memory");
}

static void copy(void)
{
    uint64_t *to = target, *from = source, left = count;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(left) : : "memory");
}

static void copy_backwards(void)
{
    uint64_t *to = target + count - 1, *from = source + count - 1, left = count;
    __asm__ volatile("std; rep movsq; cld" : "+D"(to), "+S"(from), "+c"(left) : : "memory");
}

static uint64_t load(void)
{
    uint64_t *from = target, left = count, value;
    __asm__ volatile("rep lodsq" : "+S"(from), "+c"(left), "=a"(value) : : "memory");
    return value;
}

/* How many from the start are `value`. */
static uint64_t equal(uint64_t value)
{
    uint64_t *from = target, left = count;
    __asm__ volatile("repe scasq" : "+D"(from), "+c"(left) : "a"(value) : "memory", "cc");
    return count - left - (from[-1] != value);
}

/* How many from the start are not. */
static uint64_t different(uint64_t value)
{
    uint64_t *from = target, left = count;
    __asm__ volatile("repne scasq" : "+D"(from), "+c"(left) : "a"(value) : "memory", "cc");
    return count - left - (from[-1] == value);
}

static void touch_pages(uint64_t value)
{
    for (volatile uint64_t *at = source; at < source + count; at += IN_A_PAGE)
        *at = value;
}

static uint64_t repeat(void *argument)
{
    uint64_t rounds = *(uint64_t *)argument, errors = 0;
    for (uint64_t i = 1; i <= rounds; i++) {
        touch_pages(i);
        fill(i);
        source[count - 1] = ~i;
        copy();
        errors += load() != ~i;
        errors += equal(i) != count - 1;
        target[0] = 0;
        copy_backwards();
        errors += target[0] != i;
        errors += different(~i) != count - 1;
    }
    return errors;
}

static void report(unsigned ring)
{
    const struct level *level = &levels[ring];
    console_printf("repeat: ring %u: %lu ticks, %lu between iterations, %lu with RF\n", ring,
        level->ticks, level->between, level->with_rf);
}

void guest_main(const struct boot_info *boot)
{
    static uint64_t rounds, user;
    rounds = boot_option(boot, "rounds", 4);
    user = boot_option(boot, "user", 1000);
    count = boot_option(boot, "count", 30000);
    if (count < 2 || count > COUNT_MAX)
        guest_panic(1, "count is 2 to %u", (unsigned)COUNT_MAX);
    interrupts_handle(VECTOR_IRQ0 + IRQ_PIT, handle_pit);
    pit_start((unsigned)boot_option(boot, "hz", 1000));
    pic_unmask(IRQ_PIT);
    interrupts_on();
    uint64_t errors = repeat(&rounds);
    interrupts_off();
    errors += user_run(repeat, &user);
    interrupts_off();
    pic_mask(IRQ_PIT);
    report(0);
    report(3);
    if (errors)
        guest_panic(WRONG_RESULT, "%lu results are wrong", errors);
    if (wrong_rf)
        guest_panic(WRONG_RESULT, "%lu interrupts pushed RF after an instruction", wrong_rf);
    console_printf("repeat: done, fold %016lx\n", fold);
}
