/*
 * cpu_differential: the software CPU against the host's CPU on random instructions.
 */
#include <capstone/capstone.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/differential/approximations.h"
#include "tests/differential/compare.h"
#include "tests/differential/generate.h"
#include "tests/differential/native.h"
#include "tests/differential/soft_side.h"

struct options {
    struct generator generator;
    uint64_t cases, first;
    unsigned threads, limit;
    bool native_only, interpreter, statistics;
    bool rules_given;
    struct personality personality;
    const char *regressions;
    uint8_t fixed[16];
};

/* Shared by the worker processes. */
struct totals {
    _Atomic uint64_t cases, differences, left_out, errors;
    _Atomic uint64_t groups[GROUP_COUNT], completed[GROUP_COUNT];
    _Atomic uint64_t vectors[FAILED + 1];
};

struct worker {
    const struct options *options;
    struct totals *totals;
    struct native *native, *second; /* second: --native, in place of soft */
    struct soft_side *soft;
    struct soft_side *interpreter; /* --interpreter: in place of native */
    struct outcome outcome, first_outcome;
    uint8_t memory[MEMORY_SIZE]; /* the batch's */
};

static const struct option long_options[] = {{"cases", required_argument, NULL, 'n'},
    {"seed", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
    {"group", required_argument, NULL, 'g'}, {"mode", required_argument, NULL, 'm'},
    {"threads", required_argument, NULL, 't'}, {"limit", required_argument, NULL, 'l'},
    {"repro", required_argument, NULL, 'r'}, {"hex", required_argument, NULL, 'x'},
    {"regressions", required_argument, NULL, 'R'}, {"native", no_argument, NULL, 'N'},
    {"interpreter", no_argument, NULL, 'I'}, {"rules", required_argument, NULL, 'P'},
    {"lengths", no_argument, NULL, 'L'}, {"approximations", no_argument, NULL, 'A'},
    {"statistics", no_argument, NULL, 'S'}, {"exclusions", no_argument, NULL, 'E'},
    {"help", no_argument, NULL, 'h'}, {0}};

static void usage(FILE *out)
{
    fputs(
        "usage: cpu_differential [--cases N] [--seed S] [--first INDEX] [--group G]\n"
        "           [--mode 64|32] [--threads N] [--limit DIFFERENCES] [--statistics]\n"
        "       cpu_differential --repro SEED:INDEX [--group G] [--mode M]\n"
        "       cpu_differential --hex BYTES [--mode M] [--cases N]   one given instruction\n"
        "       cpu_differential --regressions FILE\n"
        "       cpu_differential --native ...     the host against itself: checks the tester\n"
        "       cpu_differential --interpreter ...  the software CPU without native code against\n"
        "           itself with it, whatever the host\n"
        "       ... --rules amd|intel             whose rules; by default those of the host's "
        "maker\n"
        "       cpu_differential --lengths ...    instruction lengths against capstone\n"
        "       cpu_differential --approximations [--cases N]   RCPPS and RSQRTPS of N inputs,\n"
        "           4294967296 for all, against the host's\n"
        "       cpu_differential --exclusions\n"
        "Exit status: 0 no difference, 1 differences, 2 usage, 3 cannot run.\n",
        out);
}

/* The side that is right: the host's CPU, or the interpreter. */
static int run_first(struct worker *worker, const struct test_case *test, struct error *error)
{
    if (worker->interpreter) {
        struct outcome *outcome = &worker->first_outcome;
        soft_side_run(worker->interpreter, test, outcome, error);
        return 0;
    }
    *native_cases(worker->native) = *test;
    if (native_submit(worker->native, 1, error) || native_wait(worker->native, error))
        return -1;
    worker->first_outcome = *native_outcomes(worker->native);
    return 0;
}

static int run_second(struct worker *worker, const struct test_case *test, struct error *error)
{
    if (worker->soft) {
        soft_side_run(worker->soft, test, &worker->outcome, error);
        return 0;
    }
    *native_cases(worker->second) = *test;
    if (native_submit(worker->second, 1, error) || native_wait(worker->second, error))
        return -1;
    worker->outcome = *native_outcomes(worker->second);
    return 0;
}

/* Code that the host's kernel runs for no process, or flags that it loses. */
static bool beyond_host(
    const struct worker *worker, const struct test_case *test, const struct outcome *soft)
{
    if (!worker->native)
        return false;
    const struct native_limits *limits = native_limits(worker->native);
    return (limits->no_compatibility && test->compatibility) ||
           (limits->no_nested_task && soft->rflags & FLAG_NT);
}

/* Runs one case by itself on both sides; 1: different. Uses slot 0 of the native sides. */
static int run_alone(struct worker *worker, const struct test_case *test, FILE *out)
{
    struct error error = {0};
    if (run_first(worker, test, &error) || run_second(worker, test, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(3);
    }
    if (beyond_host(worker, test, &worker->outcome))
        return 0;
    enum verdict verdict =
        compare(test, worker->memory, &worker->first_outcome, &worker->outcome, out);
    if (out && error.text[0])
        fprintf(out, "    soft: %s\n", error.text);
    return verdict == DIFFERENT;
}

/* The shortest beginning of a block that differs. */
static void shorten(struct worker *worker, const struct test_case *test, FILE *out)
{
    for (unsigned count = 1; count < test->insn_count; count++) {
        struct test_case part = *test;
        part.insn_count = (uint8_t)count;
        part.code_size = test->insn_start[count];
        part.code[part.code_size] = FILLER;
        if (!run_alone(worker, &part, NULL))
            continue;
        fprintf(out, "  first differs after instruction %u:\n", count);
        run_alone(worker, &part, out);
        return;
    }
}

static void report(struct worker *worker, uint64_t index, const struct test_case *original)
{
    const struct generator *generator = &worker->options->generator;
    struct test_case test = *original; /* slot 0 is used below */
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    fprintf(out, "difference: --repro %" PRIu64 ":%" PRIu64, generator->seed, index);
    if (generator->group != GROUP_COUNT && generator->group != GROUP_FIXED)
        fprintf(out, " --group %s", group_name((unsigned)generator->group));
    if (generator->mode)
        fprintf(out, " --mode %d", generator->mode);
    fprintf(out, "\n");
    compare_describe(&test, out);
    if (!run_alone(worker, &test, out))
        fprintf(out, "    (the same when run alone)\n");
    if (test.block)
        shorten(worker, &test, out);
    fclose(out);
    fwrite(text, 1, size, stdout);
    fflush(stdout);
    free(text);
}

static void count_outcome(
    struct totals *totals, const struct test_case *test, const struct outcome *outcome)
{
    atomic_fetch_add_explicit(&totals->groups[test->group], 1, memory_order_relaxed);
    if (outcome->vector == COMPLETED || (test->block && outcome->vector == 3))
        atomic_fetch_add_explicit(&totals->completed[test->group], 1, memory_order_relaxed);
    if (outcome->vector <= FAILED)
        atomic_fetch_add_explicit(&totals->vectors[outcome->vector], 1, memory_order_relaxed);
}

/* Native code runs where a block may end by itself: single instructions then run as blocks. */
static void make_block(struct test_case *test)
{
    if (test->code_offset + test->code_size + 1u > CODE_SIZE)
        return;
    test->block = true;
    test->trap = false;
}

static void soft_batch(
    struct soft_side *side, const struct test_case *cases, unsigned count, struct outcome *outcomes)
{
    struct error error; /* the outcome tells */
    for (unsigned i = 0; i < count; i++)
        soft_side_run(side, &cases[i], &outcomes[i], &error);
}

static int native_batch(struct worker *worker, struct native *native, const struct test_case *cases,
    unsigned count, struct error *error)
{
    memcpy(native_memory(native), worker->memory, MEMORY_SIZE);
    memcpy(native_cases(native), cases, count * sizeof *cases);
    return native_submit(native, count, error);
}

/* Both sides' outcomes of the cases; the host's works while the software CPU does. */
static int run_sides(struct worker *worker, const struct test_case *cases, unsigned count,
    struct outcome *first, struct outcome *second, struct error *error)
{
    if (worker->interpreter)
        soft_batch(worker->interpreter, cases, count, first);
    else if (native_batch(worker, worker->native, cases, count, error))
        return -1;
    if (worker->soft)
        soft_batch(worker->soft, cases, count, second);
    else if (native_batch(worker, worker->second, cases, count, error) ||
             native_wait(worker->second, error))
        return -1;
    if (worker->second)
        memcpy(second, native_outcomes(worker->second), count * sizeof *second);
    if (worker->interpreter)
        return 0;
    if (native_wait(worker->native, error))
        return -1;
    memcpy(first, native_outcomes(worker->native), count * sizeof *first);
    return 0;
}

static void begin_batch(struct worker *worker, uint64_t batch)
{
    generate_memory(&worker->options->generator, batch, worker->memory);
    if (worker->soft)
        soft_side_memory(worker->soft, worker->memory);
    if (worker->interpreter)
        soft_side_memory(worker->interpreter, worker->memory);
    if (worker->native)
        memcpy(native_memory(worker->native), worker->memory, MEMORY_SIZE);
    if (worker->second)
        memcpy(native_memory(worker->second), worker->memory, MEMORY_SIZE);
}

static void make_case(struct worker *worker, uint64_t index, struct test_case *test)
{
    generate_case(&worker->options->generator, index, worker->memory, test);
    if (worker->interpreter) {
        make_block(test);
        return;
    }
    const struct native_limits *limits = native_limits(worker->native);
    if (limits->no_nested_task)
        test->rflags &= ~FLAG_NT;
    if (limits->no_wild_stack)
        test->gpr[RSP] &= UINT64_MAX >> 17;
}

static enum verdict judge(struct worker *worker, const struct test_case *test,
    const struct outcome *first, const struct outcome *second)
{
    if (beyond_host(worker, test, second))
        return LEFT_OUT;
    /* A loop without end, which the interpreter does not get out of either. */
    if (worker->interpreter && first->vector == FAILED && second->vector == FAILED)
        return LEFT_OUT;
    return compare(test, worker->memory, first, second, NULL);
}

static int run_batch(struct worker *worker, uint64_t batch, uint64_t from, uint64_t to)
{
    const struct options *options = worker->options;
    struct totals *totals = worker->totals;
    static struct test_case cases[BATCH];
    static struct outcome first[BATCH], second[BATCH];
    struct error error = {0};
    unsigned count = (unsigned)(to - from);
    begin_batch(worker, batch);
    for (unsigned i = 0; i < count; i++)
        make_case(worker, from + i, &cases[i]);
    if (run_sides(worker, cases, count, first, second, &error)) {
        fprintf(stderr, "%s\n", error.text);
        atomic_fetch_add(&totals->errors, 1);
        return -1;
    }
    for (unsigned i = 0; i < count; i++) {
        enum verdict verdict = judge(worker, &cases[i], &first[i], &second[i]);
        count_outcome(totals, &cases[i], &first[i]);
        if (verdict == LEFT_OUT)
            atomic_fetch_add(&totals->left_out, 1);
        if (verdict == DIFFERENT && atomic_fetch_add(&totals->differences, 1) < options->limit)
            report(worker, from + i, &cases[i]);
    }
    atomic_fetch_add(&totals->cases, count);
    return 0;
}

static struct soft_side *create_soft(
    const struct options *options, const char *native, struct error *error)
{
    if (native)
        setenv("HINDSIGHT_NATIVE", native, 1);
    struct soft_side *side = soft_side_create(error);
    if (side)
        soft_side_rules(side, options->personality);
    return side;
}

static int worker_create(struct worker *worker)
{
    const struct options *options = worker->options;
    struct error error = {0};
    if (options->interpreter) {
        worker->interpreter = create_soft(options, "off", &error);
        if (worker->interpreter)
            worker->soft = create_soft(options, "eager", &error);
    } else {
        worker->native = native_side_create(&error);
        if (worker->native && options->native_only)
            worker->second = native_side_create(&error);
        else if (worker->native)
            worker->soft = create_soft(options, NULL, &error);
    }
    if (worker->soft || worker->second)
        return 0;
    fprintf(stderr, "%s\n", error.text);
    atomic_fetch_add(&worker->totals->errors, 1);
    return -1;
}

static void worker_destroy(struct worker *worker)
{
    native_side_destroy(worker->native);
    native_side_destroy(worker->second);
    soft_side_destroy(worker->soft);
    soft_side_destroy(worker->interpreter);
}

/* Every `step`th batch from the `number`th on. */
static void work(const struct options *options, struct totals *totals, unsigned number)
{
    static struct worker worker;
    worker = (struct worker){.options = options, .totals = totals};
    if (worker_create(&worker)) {
        worker_destroy(&worker);
        return;
    }
    if (worker.native && number == 0)
        native_print_limits(worker.native, stdout);
    uint64_t end = options->first + options->cases;
    for (uint64_t batch = options->first / BATCH + number; batch * BATCH < end;
         batch += options->threads) {
        uint64_t from = batch * BATCH, to = from + BATCH;
        from = from < options->first ? options->first : from;
        to = to > end ? end : to;
        if (atomic_load(&totals->differences) >= options->limit ||
            run_batch(&worker, batch, from, to))
            break;
    }
    worker_destroy(&worker);
}

static void print_statistics(const struct totals *totals)
{
    printf("%-10s %12s %12s\n", "group", "cases", "no fault");
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        if (totals->groups[i])
            printf("%-10s %12" PRIu64 " %11.1f%%\n", group_name(i), totals->groups[i],
                100.0 * (double)totals->completed[i] / (double)totals->groups[i]);
    }
    for (unsigned i = 0; i <= FAILED; i++) {
        if (totals->vectors[i])
            printf("vector %-3u %12" PRIu64 "\n", i, totals->vectors[i]);
    }
}

static struct totals *create_totals(void)
{
    struct totals *totals =
        mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (totals == MAP_FAILED) {
        perror("cpu_differential: mmap");
        exit(3);
    }
    return totals;
}

static int run_all(const struct options *options)
{
    struct totals *totals = create_totals();
    struct timespec begin, end;
    printf("cpu_differential: %" PRIu64 " cases from %" PRIu64 ", seed %" PRIu64 "\n",
        options->cases, options->first, options->generator.seed);
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 1; i < options->threads; i++) {
        if (fork() == 0) {
            work(options, totals, i);
            _exit(0);
        }
    }
    work(options, totals, 0);
    int status;
    while (wait(&status) > 0) {
        if (!WIFEXITED(status))
            atomic_fetch_add(&totals->errors, 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    if (options->statistics)
        print_statistics(totals);
    printf("cpu_differential: %" PRIu64 " cases, %" PRIu64 " differences, %" PRIu64
           " left out, %.0f cases/s\n",
        totals->cases, totals->differences, totals->left_out, (double)totals->cases / seconds);
    if (totals->errors || (totals->cases < options->cases && !totals->differences))
        return 3;
    return totals->differences ? 1 : 0;
}

static int run_repro(const struct options *options)
{
    struct totals *totals = create_totals();
    static struct worker worker;
    worker = (struct worker){.options = options, .totals = totals};
    if (worker_create(&worker))
        return 3;
    struct test_case test;
    begin_batch(&worker, options->first / BATCH);
    make_case(&worker, options->first, &test);
    compare_describe(&test, stdout);
    int different = run_alone(&worker, &test, stdout);
    printf("%s\n", different ? "different" : "no difference");
    if (different && test.block)
        shorten(&worker, &test, stdout);
    worker_destroy(&worker);
    return different;
}

/* The tables against another decoder, on what the generator writes. */
static int run_lengths(const struct options *options)
{
    uint8_t memory[MEMORY_SIZE];
    csh handles[2];
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handles[0]) ||
        cs_open(CS_ARCH_X86, CS_MODE_32, &handles[1]))
        return 3;
    uint64_t known = 0, wrong = 0;
    generate_memory(&options->generator, 0, memory);
    for (uint64_t i = 0; i < options->cases && wrong < options->limit; i++) {
        struct test_case test;
        generate_case(&options->generator, options->first + i, memory, &test);
        for (unsigned j = 0; j < test.insn_count; j++) {
            struct scan s;
            const uint8_t *code = test.code + test.insn_start[j];
            scan(&s, code, 15, test.compatibility);
            cs_insn *insn;
            if (!cs_disasm(handles[test.compatibility], code, 15, test.rip, 1, &insn))
                continue;
            known++;
            if (insn->size != s.length && s.length) {
                wrong++;
                printf("scan %u, capstone %u: %s %s\n", s.length, insn->size, insn->mnemonic,
                    insn->op_str);
                compare_describe(&test, stdout);
            }
            cs_free(insn, 1);
        }
    }
    cs_close(&handles[0]);
    cs_close(&handles[1]);
    printf("cpu_differential: %" PRIu64 " instructions known to capstone, %" PRIu64
           " lengths differ\n",
        known, wrong);
    return wrong ? 1 : 0;
}

static bool parse_hex(struct options *options, const char *text)
{
    unsigned size = 0;
    while (*text && *text != '#') {
        if (*text == ' ' || *text == '\t' || *text == '\n') {
            text++;
            continue;
        }
        unsigned byte;
        int used;
        if (size == 15 || sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
            return false;
        options->fixed[size++] = (uint8_t)byte;
        text += 2;
    }
    options->generator.fixed = options->fixed;
    options->generator.fixed_size = size;
    options->generator.group = GROUP_FIXED;
    return size;
}

/* Lines "MODE BYTES # what once was wrong". */
static int run_regressions(struct options *options)
{
    FILE *file = fopen(options->regressions, "r");
    if (!file) {
        perror(options->regressions);
        return 2;
    }
    char line[512];
    int result = 0;
    while (fgets(line, sizeof line, file) && result <= 1) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        char *rest;
        options->generator.mode = (int)strtol(line, &rest, 10);
        if ((options->generator.mode != 64 && options->generator.mode != 32) ||
            !parse_hex(options, rest)) {
            fprintf(stderr, "%s: not \"64|32 BYTES # text\": %s", options->regressions, line);
            result = 2;
            break;
        }
        printf("%s", line);
        int one = run_all(options);
        result = one > result ? one : result;
    }
    fclose(file);
    return result;
}

static bool parse_group(struct options *options, const char *name)
{
    options->generator.group = (int)group_find(name);
    if (options->generator.group < GROUP_FIXED)
        return true;
    fprintf(stderr, "no group %s; there are:", name);
    for (unsigned i = 0; i < GROUP_FIXED; i++)
        fprintf(stderr, " %s", group_name(i));
    fprintf(stderr, "\n");
    return false;
}

int main(int argc, char **argv)
{
    struct options options = {
        .generator = {.seed = 1, .group = GROUP_COUNT}, .cases = 100000, .threads = 1, .limit = 10};
    bool repro = false, lengths = false, approximations = false, cases_given = false;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        char *end = optarg;
        switch (option) {
        case 'n':
            options.cases = strtoull(optarg, &end, 0);
            cases_given = true;
            break;
        case 's':
            options.generator.seed = strtoull(optarg, &end, 0);
            break;
        case 'f':
            options.first = strtoull(optarg, &end, 0);
            break;
        case 'm':
            options.generator.mode = (int)strtol(optarg, &end, 0);
            break;
        case 't':
            options.threads = (unsigned)strtoul(optarg, &end, 0);
            break;
        case 'l':
            options.limit = (unsigned)strtoul(optarg, &end, 0);
            break;
        case 'r':
            repro = true;
            options.generator.seed = strtoull(optarg, &end, 0);
            if (*end == ':')
                options.first = strtoull(end + 1, &end, 0);
            break;
        case 'g':
            if (!parse_group(&options, optarg))
                return 2;
            end = NULL;
            break;
        case 'x':
            if (!parse_hex(&options, optarg)) {
                fprintf(stderr, "not 1 to 15 bytes in hexadecimal: %s\n", optarg);
                return 2;
            }
            end = NULL;
            break;
        case 'R':
            options.regressions = optarg;
            end = NULL;
            break;
        case 'N':
            options.native_only = true;
            break;
        case 'I':
            options.interpreter = true;
            break;
        case 'P':
            options.rules_given = personality_named(optarg, &options.personality);
            if (!options.rules_given) {
                fprintf(stderr, "no rules %s: amd or intel\n", optarg);
                return 2;
            }
            end = NULL;
            break;
        case 'A':
            approximations = true;
            break;
        case 'L':
            lengths = true;
            break;
        case 'S':
            options.statistics = true;
            break;
        case 'E':
            puts("Instructions left out:");
            scan_print_exclusions();
            puts("Not compared:");
            compare_print_exclusions();
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
        if (optarg && end && *end) {
            fprintf(stderr, "not a number: %s\n", optarg);
            return 2;
        }
    }
    if (optind < argc || !options.threads || !options.limit) {
        usage(stderr);
        return 2;
    }
    struct host_cpu host;
    host_cpu_identify(&host);
    if (!options.rules_given)
        options.personality = host_cpu_personality(&host);
    if (approximations)
        return run_approximations(options.cases, options.personality.maker == MAKER_INTEL);
    if (lengths)
        return run_lengths(&options);
    if (repro)
        return run_repro(&options);
    if ((options.regressions || options.generator.group == GROUP_FIXED) && !cases_given)
        options.cases = 512;
    return options.regressions ? run_regressions(&options) : run_all(&options);
}
