/*
 * What the KVM engine adds to a port exit: the loop over KVM_RUN that any program would have, and
 * the engine's run and completion with the registers exported after each, as a recording has it.
 * Both in turn, on one guest; medians in microseconds of processor time, and the median of the
 * rounds' ratios.
 *
 * usage: bench_exit [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "vmm/kvm/kvm.h"
#include "vmm/kvm/trial.h"

enum { EXITS = 2000, MOST_ROUNDS = 101 };

_Noreturn static void fail(const struct error *error)
{
    fprintf(stderr, "bench_exit: %s\n", error->text);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double by_hand(struct trial *trial)
{
    const struct kvm_engine *kvm = (const struct kvm_engine *)trial->engine;
    const double start = now_us();
    kvm->run->immediate_exit = 0;
    for (unsigned i = 0; i < EXITS; i++)
        if (ioctl(kvm->vcpu, KVM_RUN, 0) < 0 || kvm->run->exit_reason != KVM_EXIT_IO)
            fail(&(struct error){"KVM_RUN does not end with a port exit"});
    return (now_us() - start) / EXITS;
}

static double by_engine(struct trial *trial)
{
    struct error error = {""};
    struct vcpu_exit exit;
    struct vcpu_state state;
    const double start = now_us();
    for (unsigned i = 0; i < EXITS; i++)
        if (trial_run(trial, &exit, &error) < 0 || exit.kind != EXIT_PIO_OUT ||
            engine_complete(trial->engine, 0, &error) < 0 ||
            trial->engine->ops->export_core(trial->engine, &state, &error) < 0)
            fail(&error);
    return (now_us() - start) / EXITS;
}

/* out TRIAL_PORT, al; jmp -4 */
static void load(struct trial *trial, unsigned ring)
{
    static const uint8_t code[] = {0xe6, TRIAL_PORT, 0xeb, 0xfc};
    struct error error = {""};
    if (!trial_open(trial, &error) || trial_load(trial, code, sizeof code, ring, 0, &error) < 0)
        fail(&error);
}

static int ascending(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, ascending);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    const long asked = argc > 1 ? atol(argv[1]) : 15;
    const unsigned rounds = asked < 1 ? 1 : asked > MOST_ROUNDS ? MOST_ROUNDS : (unsigned)asked;
    double hand[MOST_ROUNDS], engine[MOST_ROUNDS], ratio[MOST_ROUNDS];
    for (unsigned ring = 0; ring <= 3; ring += 3) {
        struct trial plain, used;
        load(&plain, ring);
        load(&used, ring);
        for (unsigned i = 0; i < rounds; i++) {
            hand[i] = by_hand(&plain);
            engine[i] = by_engine(&used);
            ratio[i] = engine[i] / hand[i];
        }
        const double middle = median(ratio, rounds);
        printf("ring %u: KVM_RUN %.2f us, engine %.2f us, ratio %.3f (%.3f to %.3f)\n", ring,
            median(hand, rounds), median(engine, rounds), middle, ratio[0], ratio[rounds - 1]);
        trial_close(&plain);
        trial_close(&used);
    }
    return 0;
}
