/* The input source that asks the host. */
#include "vmm/machine/live.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "devices/uart.h"
#include "vmm/machine/choices.h"
#include "vmm/machine/interrupts.h"
#include "vmm/machine/nic.h"
#include "vmm/machine/schedule.h"
#include "vmm/machine/vcpus.h"

#define MS_IN_NS 1000000ull

/* How long a due timer or a waiting byte may wait for the guest to exit by itself. */
#define GRACE_NS MS_IN_NS
#define NEVER    UINT64_MAX

enum { WAIT_SLICE_MS = 100 };

struct live {
    struct input_source source; /* first */
    struct live_console console;
    enum pace pace;
    struct machine *machine;
    struct schedule schedule;
    struct chooser chooser;
    uint64_t start;   /* host ns at virtual time 0 */
    uint64_t skipped; /* virtual ns that PACE_FAST jumped over, less those that it left out */

    uint64_t entropy; /* the generators' states, of a machine with a seed */
    uint64_t chaos;
    struct {
        uint64_t deadline, at; /* virtual ns: a deadline, and when it comes instead */
    } early;

    pthread_t thread;
    bool thread_runs;
    int wake; /* eventfd: the thread looks at its variables again */
    atomic_bool quit;
    atomic_bool input_ready;      /* the console has bytes that nobody has taken */
    atomic_bool input_fits;       /* the serial port has room for one */
    atomic_bool look;             /* the vCPU's thread is to look through input that has to wait */
    atomic_uint_fast64_t kick_at; /* host ns; NEVER */
};

static uint64_t host_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void wake_thread(struct live *live)
{
    uint64_t one = 1;
    ssize_t written = write(live->wake, &one, sizeof one);
    (void)written; /* full means that it will wake anyway */
}

/* ---- The helper thread ---- */

static bool has_input(const struct live *live)
{
    return live->console.read != NULL;
}

static int console_fd(const struct live *live)
{
    return has_input(live) ? live->console.fd(live->console.context) : -1;
}

/* Milliseconds until `at`, rounded up, at most a slice. */
static int timeout_until(uint64_t at)
{
    uint64_t now = host_ns();
    if (at <= now)
        return 0;
    uint64_t ms = (at - now + MS_IN_NS - 1) / MS_IN_NS;
    return ms > WAIT_SLICE_MS ? WAIT_SLICE_MS : (int)ms;
}

static void *watch(void *context)
{
    struct live *live = context;
    uint64_t input_since = NEVER, looked_at = 0;
    while (!atomic_load(&live->quit)) {
        bool ready = atomic_load(&live->input_ready);
        if (!ready)
            input_since = NEVER;
        uint64_t kick_at = atomic_load(&live->kick_at);
        bool fits = atomic_load(&live->input_fits);
        uint64_t next = ready && fits && input_since != NEVER ? input_since + GRACE_NS : NEVER;
        if (kick_at < next)
            next = kick_at;
        struct pollfd fds[2] = {{.fd = live->wake, .events = POLLIN},
            {.fd = ready ? -1 : console_fd(live), .events = POLLIN}};
        poll(fds, 2, next == NEVER ? WAIT_SLICE_MS : timeout_until(next));
        if (fds[0].revents & POLLIN) {
            uint64_t count;
            ssize_t got = read(live->wake, &count, sizeof count);
            (void)got;
        }
        if (fds[1].revents) {
            atomic_store(&live->input_ready, true);
            input_since = host_ns();
        }
        uint64_t now = host_ns();
        kick_at = atomic_load(&live->kick_at);
        bool input_late = atomic_load(&live->input_ready) && atomic_load(&live->input_fits) &&
                          input_since != NEVER && now >= input_since + GRACE_NS;
        /* Input that the guest does not take may hold the command to quit. */
        bool look = ready && !fits && now >= looked_at + WAIT_SLICE_MS * MS_IN_NS;
        if (look) {
            looked_at = now;
            atomic_store(&live->look, true);
        }
        if (now >= kick_at || input_late || look) {
            engine_kick(live->machine->home);
            if (now >= kick_at)
                atomic_compare_exchange_strong(&live->kick_at, &kick_at, now + GRACE_NS);
            if (input_late)
                input_since = now;
        }
    }
    return NULL;
}

/* ---- The source ---- */

/*
 * A host that is late with a timer by more than a kick takes has let the guest wait. Where idle
 * time is skipped anyway, that time does not count: else timer after timer would be due at once,
 * while the guest executes next to nothing. (Linux looks for ticks during a time of the time stamp
 * counter.)
 */
static uint64_t live_clock(struct input_source *source, struct machine *machine)
{
    struct live *live = (struct live *)source;
    if (machine->counts_time)
        return machine_time(machine);
    uint64_t now = host_ns() - live->start + live->skipped;
    const uint64_t deadline = clock_next_deadline(&machine->clock);
    if (live->pace == PACE_FAST && deadline < NEVER - GRACE_NS && now > deadline + GRACE_NS) {
        live->skipped -= now - (deadline + GRACE_NS);
        now = deadline + GRACE_NS;
    }
    return now;
}

/* What nobody looks for yet would be lost when the guest sets the port up. It waits outside. */
static size_t input_room(const struct machine *machine)
{
    return uart_listens(machine->uart) ? uart_receive_room(machine->uart) : 0;
}

static void look_through_input(struct live *live)
{
    uint8_t none;
    live->console.read(live->console.context, &none, 0);
}

/* Takes typed bytes that the serial port has room for. */
static int take_input(struct live *live, struct machine *machine, struct delivery *delivery)
{
    if (!atomic_load_explicit(&live->input_ready, memory_order_relaxed))
        return 0;
    size_t room = input_room(machine);
    if (room == 0) {
        if (atomic_exchange(&live->look, false))
            look_through_input(live);
        return 0;
    }
    ssize_t got = live->console.read(live->console.context, delivery->data, room);
    if (got <= 0) {
        atomic_store(&live->input_ready, false);
        wake_thread(live);
        return 0;
    }
    delivery->kind = INPUT_CONSOLE;
    delivery->device = 0;
    delivery->size = (size_t)got;
    return 1;
}

static bool packet_is_due(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->config->net_count; i++) {
        if (nic_is_due(machine->nic[i]))
            return true;
    }
    return false;
}

static bool has_network(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->config->net_count; i++) {
        if (nic_network(machine->nic[i]))
            return true;
    }
    return false;
}

static int take_packet(struct machine *machine, struct delivery *delivery)
{
    for (unsigned i = 0; i < machine->config->net_count; i++) {
        if (nic_take(machine->nic[i], delivery))
            return 1;
    }
    return 0;
}

/* On the network's thread: a guest that computes should hear of the frame soon. */
static void packet_arrived(void *context)
{
    struct machine *machine = context;
    engine_kick(machine->home);
}

static void listen_to_networks(struct machine *machine, void (*arrived)(void *context))
{
    for (unsigned i = 0; i < machine->config->net_count; i++) {
        if (nic_network(machine->nic[i]))
            network_listen(nic_network(machine->nic[i]), arrived, machine);
    }
}

static void set_time_delivery(struct delivery *delivery, bool at_deadline, uint64_t time)
{
    delivery->kind = INPUT_TIME;
    delivery->at_deadline = at_deadline;
    delivery->time = time;
    delivery->size = 0;
}

static int take_turn(struct live *live, struct machine *machine, struct delivery *delivery)
{
    unsigned index;
    struct chooser *chooser = &live->chooser;
    if (machine->config->cpus == 1)
        return 0;
    bool busy = vcpus_can_run(machine, machine->current) || vcpus_is_waking(machine);
    if (chooser->follow ? !chooser_turns(chooser, machine, &index)
                        : !schedule_next(&live->schedule, machine, &index))
        return 0;
    /* With two vCPUs nothing is chosen where the one that runs cannot go on. */
    if (!chooser->follow && ((busy && !chooser->waits) || machine->config->cpus > 2))
        chooser_note(chooser, machine, CHOICE_TURN, index);
    chooser_turned(chooser, machine);
    delivery->kind = INPUT_TURN;
    delivery->device = index;
    delivery->size = 0;
    return 1;
}

/*
 * When a timer that is due at the deadline fires. With chaos it does after a drawn share of the
 * instructions that would lead there, as on a processor that is slower just then: so an interrupt
 * may come anywhere.
 */
static uint64_t due_at(struct live *live, const struct machine *machine, uint64_t deadline)
{
    if (!machine->config->chaos || !machine->counts_time || deadline == TIMER_IDLE ||
        live->chooser.follow)
        return deadline;
    if (deadline != live->early.deadline) {
        uint64_t now = machine_time(machine);
        uint64_t span = deadline > now ? deadline - now : 0;
        live->early.deadline = deadline;
        live->early.at = span ? now + 1 + random_draw(&live->chaos) % span : deadline;
    }
    return live->early.at;
}

static int live_poll(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct live *live = (struct live *)source;
    (void)error;
    uint64_t deadline = clock_next_deadline(&machine->clock);
    chooser_poll(&live->chooser, machine);
    if (chooser_fires(&live->chooser, machine)) {
        set_time_delivery(delivery, true, deadline);
        return 1;
    }
    uint64_t now = live_clock(source, machine);
    if (deadline != TIMER_IDLE && now >= due_at(live, machine, deadline)) {
        if (now < deadline)
            chooser_note(&live->chooser, machine, CHOICE_TIMER, 0);
        set_time_delivery(delivery, true, deadline);
        return 1;
    }
    return take_input(live, machine, delivery) || take_packet(machine, delivery) ||
           take_turn(live, machine, delivery);
}

/*
 * Until there is input that the guest has room for, a stop is requested, or `ns` of real time have
 * passed.
 */
static void wait_host(struct live *live, struct machine *machine, uint64_t ns)
{
    uint64_t until = ns == NEVER ? NEVER : host_ns() + ns;
    bool fits = input_room(machine) > 0;
    while (!atomic_load(&machine->run.stop_requested)) {
        bool ready = atomic_load(&live->input_ready);
        if (ready && fits)
            return;
        if (ready)
            look_through_input(live);
        uint64_t now = host_ns();
        if (now >= until)
            return;
        uint64_t left = until - now;
        if (left > WAIT_SLICE_MS * MS_IN_NS)
            left = WAIT_SLICE_MS * MS_IN_NS;
        struct timespec timeout = {.tv_nsec = (long)left};
        struct pollfd fds[CONFIG_MAX_NICS + 1] = {
            {.fd = ready ? -1 : console_fd(live), .events = POLLIN}};
        unsigned count = 1;
        for (unsigned i = 0; i < machine->config->net_count; i++)
            fds[count++] = (struct pollfd){.fd = nic_fd(machine->nic[i]), .events = POLLIN};
        ppoll(fds, count, &timeout, NULL);
        if (fds[0].revents)
            atomic_store(&live->input_ready, true);
        if (packet_is_due(machine))
            return;
        if (until == NEVER && !has_network(machine) &&
            (!has_input(live) || live->console.ended(live->console.context)))
            return;
    }
}

static int live_wait(struct input_source *source, struct machine *machine,
    struct delivery *delivery, struct error *error)
{
    struct live *live = (struct live *)source;
    (void)error;
    while (!atomic_load(&machine->run.stop_requested)) {
        if (take_input(live, machine, delivery) || take_packet(machine, delivery))
            return 1;
        uint64_t deadline = clock_next_deadline(&machine->clock);
        /* A byte that the port has no room for cannot wake the guest. */
        if (deadline == TIMER_IDLE && !has_network(machine) &&
            (!has_input(live) || input_room(machine) == 0 ||
                live->console.ended(live->console.context)))
            return 0;
        uint64_t now = live_clock(source, machine);
        uint64_t left = deadline == TIMER_IDLE ? NEVER : deadline > now ? deadline - now : 0;
        if (left == 0 || (live->pace == PACE_FAST && left != NEVER)) {
            live->skipped += left;
            set_time_delivery(delivery, true, deadline);
            return 1;
        }
        uint64_t before = host_ns();
        wait_host(live, machine, left);
        if (!machine->counts_time)
            continue;
        /* An engine that counts stood still meanwhile: its time takes up the real time waited. */
        uint64_t passed = host_ns() - before;
        if (passed >= left)
            set_time_delivery(delivery, true, deadline);
        else
            set_time_delivery(delivery, false, now + passed);
        return 1;
    }
    return 0;
}

static void schedule_kick(struct live *live, uint64_t at)
{
    uint64_t old = atomic_exchange_explicit(&live->kick_at, at, memory_order_relaxed);
    if (at < old)
        wake_thread(live);
}

/* A turn ends after its number of instructions, or when the vCPU waits in a loop for another. */
static void plan_turn(struct live *live, const struct machine *machine, struct run_plan *plan)
{
    struct chooser *chooser = &live->chooser;
    if (machine->config->cpus == 1 && !chooser->follow)
        return;
    uint64_t left =
        chooser->follow ? chooser_left(chooser, machine) : schedule_left(&live->schedule, machine);
    if (left == BUDGET_UNLIMITED)
        return;
    plan->stop_at_wait = machine->config->cpus > 1;
    if (left < plan->budget)
        plan->budget = left;
}

static int live_plan(struct input_source *source, struct machine *machine, struct run_plan *plan,
    struct error *error)
{
    struct live *live = (struct live *)source;
    (void)error;
    plan->stop_for_nmi = machine->vcpu[machine->current].nmi;
    uint64_t deadline = clock_next_deadline(&machine->clock);
    atomic_store_explicit(&live->input_fits, input_room(machine) > 0, memory_order_relaxed);
    if (machine->counts_time) {
        uint64_t now = machine_time(machine);
        plan->stop_when_interruptible = interrupts_request(machine);
        plan->stop_below_cr8 = interrupts_priority(machine);
        plan->budget =
            deadline == TIMER_IDLE ? BUDGET_UNLIMITED : due_at(live, machine, deadline) - now;
        plan_turn(live, machine, plan);
        return 0;
    }
    uint64_t at = NEVER;
    plan->stop_below_cr8 = interrupts_priority(machine);
    if (interrupts_request(machine))
        at = host_ns() + GRACE_NS;
    else if (deadline != TIMER_IDLE)
        at = live->start + deadline - live->skipped + GRACE_NS;
    if (at != atomic_load_explicit(&live->kick_at, memory_order_relaxed))
        schedule_kick(live, at);
    return 0;
}

/* Is it worth making this stop a landing? */
static int live_landing(struct input_source *source, struct machine *machine,
    const struct vcpu_exit *exit, struct error *error)
{
    struct live *live = (struct live *)source;
    (void)error;
    if (atomic_exchange(&live->look, false))
        look_through_input(live);
    bool input =
        (atomic_load(&live->input_ready) && input_room(machine) > 0) || packet_is_due(machine);
    if (exit->kind == EXIT_WATCHPOINT && live->chooser.follow)
        return 0;
    if (exit->kind == EXIT_WATCHPOINT && !schedule_accessed(&live->schedule, machine))
        return 0;
    if (exit->kind == EXIT_WAIT) {
        schedule_yield(&live->schedule, machine);
        live->chooser.waits = true;
    }
    if (machine->counts_time)
        return exit->kind != EXIT_KICK || input;
    if (interrupts_request(machine) && !interrupts_output(machine) &&
        interrupts_read_cr8(machine, error) < 0)
        return -1;
    struct engine *engine = machine->engine;
    bool due = live_clock(source, machine) >= clock_next_deadline(&machine->clock);
    return engine_interruptible(engine) && (due || input || interrupts_output(machine));
}

/* As much as was asked for: `capacity` is what there is room for, produce() says how much it was.
 */
static void fill_from_seed(struct live *live, struct input_answer *answer)
{
    uint8_t *data = answer->data;
    for (size_t i = 0; i < answer->size; i++)
        data[i] = (uint8_t)(random_draw(&live->entropy) >> 32);
}

static int live_value(struct input_source *source, struct machine *machine,
    const struct input_question *question, struct input_answer *answer, struct error *error)
{
    if (question->produce(question->context, answer->data, answer->capacity, &answer->size) < 0)
        return error_set(
            error, "the host could not provide an input of kind %u", (unsigned)question->kind);
    if (question->kind == INPUT_ENTROPY && machine->config->seeded)
        fill_from_seed((struct live *)source, answer);
    return 0;
}

static bool live_member_failed(
    struct input_source *source, struct machine *machine, uint64_t operation, bool failed)
{
    (void)source;
    (void)machine;
    (void)operation;
    return failed;
}

static const struct input_source_ops live_ops = {
    .name = "live",
    .replays = false,
    .clock = live_clock,
    .poll = live_poll,
    .wait = live_wait,
    .plan = live_plan,
    .landing = live_landing,
    .value = live_value,
    .member_failed = live_member_failed,
};

struct live *live_create(const struct live_console *console, enum pace pace, struct error *error)
{
    struct live *live = calloc(1, sizeof *live);
    if (!live) {
        error_set(error, "out of memory");
        return NULL;
    }
    live->source.ops = &live_ops;
    if (console)
        live->console = *console;
    live->pace = pace;
    atomic_store(&live->kick_at, NEVER);
    live->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (live->wake < 0) {
        error_set_errno(error, "cannot create an eventfd");
        free(live);
        return NULL;
    }
    return live;
}

void live_destroy(struct live *live)
{
    if (!live)
        return;
    live_detach(live);
    close(live->wake);
    free(live);
}

struct input_source *live_source(struct live *live)
{
    return &live->source;
}

void live_choose(struct live *live, struct choices *note, const struct choices *follow)
{
    live->chooser.note = note;
    live->chooser.follow = follow;
}

int live_attach(struct live *live, struct machine *machine, struct error *error)
{
    live->machine = machine;
    if (schedule_begin(&live->schedule, machine, error) < 0)
        return -1;
    live->entropy = machine->config->seed ^ 1;
    live->chaos = machine->config->seed ^ 2;
    live->start = host_ns();
    int failed = pthread_create(&live->thread, NULL, watch, live);
    if (failed) {
        errno = failed;
        return error_set_errno(error, "cannot start the input thread");
    }
    live->thread_runs = true;
    listen_to_networks(machine, packet_arrived);
    return 0;
}

void live_detach(struct live *live)
{
    if (!live->thread_runs)
        return;
    listen_to_networks(live->machine, NULL);
    atomic_store(&live->quit, true);
    wake_thread(live);
    pthread_join(live->thread, NULL);
    live->thread_runs = false;
}
