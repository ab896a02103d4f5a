/*
 * cpu_vectors: the software CPU against golden vectors, on any host; and new vectors from this one.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/compare.h"
#include "tests/differential/generate.h"
#include "tests/differential/native.h"
#include "tests/differential/soft_side.h"
#include "tests/differential/vectors/lines.h"
#include "tests/differential/vectors/vector.h"

enum { FAMILIES_MAX = 256 };

struct run {
    struct personality personality;
    struct soft_side *soft;
    struct native *native; /* record alone */
    bool host_only, totals;
    unsigned limit;
    uint64_t cases, mismatches, left_out, unknown, families;
    struct {
        char name[32];
        uint64_t cases, mismatches;
    } family[FAMILIES_MAX];
};

static void usage(FILE *out)
{
    fputs("usage: cpu_vectors --rules amd|intel [--limit N] [--totals] FILE...\n"
          "           the software CPU against the vectors of one maker\n"
          "       cpu_vectors --record [--host-only] FILE... >NEW\n"
          "           the same cases with what this host's CPU makes of them for its maker;\n"
          "           --host-only: without the other maker's\n"
          "FILE: one JSON object a line, as it is or as an LZ4 frame; -: standard input.\n"
          "Exit status: 0 no mismatch, 1 mismatches, 2 usage, 3 cannot run.\n",
        out);
}

static int complain(const char *id, const struct error *error)
{
    fprintf(stderr, "cpu_vectors: %s: %s\n", id, error->text);
    return 3;
}

static void count_family(struct run *run, const char *id, bool mismatch)
{
    size_t length = strcspn(id, "/"), i = 0;
    while (i < run->families &&
           (strncmp(run->family[i].name, id, length) || run->family[i].name[length]))
        i++;
    if (i == FAMILIES_MAX || length >= sizeof run->family[i].name)
        return;
    if (i == run->families) {
        memcpy(run->family[i].name, id, length);
        run->families++;
    }
    run->family[i].cases++;
    run->family[i].mismatches += mismatch;
}

static int check(struct run *run, const struct vector *vector)
{
    static struct outcome outcome;
    struct error error = {""};
    enum cpu_maker maker = run->personality.maker;
    run->cases++;
    if (!vector->known[maker]) {
        run->unknown++;
        return 0;
    }
    soft_side_memory(run->soft, vector->memory);
    soft_side_run(run->soft, &vector->test, &outcome, &error);
    const struct outcome *golden = &vector->outcome[maker];
    enum verdict verdict = compare(&vector->test, vector->memory, golden, &outcome, NULL);
    run->left_out += verdict == LEFT_OUT;
    run->mismatches += verdict == DIFFERENT;
    count_family(run, vector->id, verdict == DIFFERENT);
    if (verdict != DIFFERENT || run->mismatches > run->limit)
        return 0;
    printf("mismatch: %s  %s\n", vector->id, vector->text);
    compare_describe(&vector->test, stdout);
    compare(&vector->test, vector->memory, golden, &outcome, stdout);
    if (error.text[0])
        printf("    soft: %s\n", error.text);
    return 0;
}

/* Would this host's kernel make another case of it? */
static bool beyond_host(const struct run *run, const struct vector *vector)
{
    const struct native_limits *limits = native_limits(run->native);
    const struct test_case *test = &vector->test;
    const int64_t stack = (int64_t)test->gpr[RSP];
    bool sets_nested_task = test->rflags & FLAG_NT;
    for (unsigned i = 0; i < MAKERS; i++)
        sets_nested_task |= vector->known[i] && vector->outcome[i].rflags & FLAG_NT;
    return (limits->no_compatibility && test->compatibility) ||
           (limits->no_nested_task && sets_nested_task) ||
           (limits->no_wild_stack && stack != stack << 16 >> 16);
}

static int record(struct run *run, struct vector *vector)
{
    if (beyond_host(run, vector)) {
        run->left_out++;
        return 0;
    }
    struct error error;
    enum cpu_maker maker = run->personality.maker;
    memcpy(native_memory(run->native), vector->memory, MEMORY_SIZE);
    *native_cases(run->native) = vector->test;
    if (native_submit(run->native, 1, &error) || native_wait(run->native, &error))
        return complain(vector->id, &error);
    struct outcome *outcome = &vector->outcome[maker];
    *outcome = *native_outcomes(run->native);
    if (outcome->vector == HUNG || outcome->vector == FAILED || outcome->line_count > LINES_KEPT) {
        run->left_out++;
        return 0;
    }
    vector->known[maker] = true;
    if (run->host_only)
        vector->known[!maker] = false;
    /* By the single step and the INT3. */
    outcome->rflags &= ~FLAG_TF;
    if (outcome->vector == COMPLETED || outcome->vector == 3 || outcome->vector == 1)
        outcome->rflags &= ~FLAG_RF;
    run->cases++;
    vector_write(vector, stdout);
    return 0;
}

static int run_file(struct run *run, const char *path)
{
    static struct vector vector;
    struct error error;
    struct lines lines;
    char *line;
    if (lines_open(&lines, path, &error))
        return complain(path, &error);
    int status = 0;
    while (status == 0 && (line = lines_next(&lines))) {
        if (!vector_read(&vector, line)) {
            fprintf(stderr, "cpu_vectors: %s: no record: %.80s\n", path, line);
            status = 3;
        } else {
            status = run->native ? record(run, &vector) : check(run, &vector);
        }
    }
    if (status == 0 && lines_failed(&lines, &error))
        status = complain(path, &error);
    lines_close(&lines);
    return status;
}

static int prepare(struct run *run, bool recording)
{
    struct error error;
    struct host_cpu host;
    host_cpu_identify(&host);
    if (recording) {
        run->personality = host_cpu_personality(&host);
        run->personality.maker = host_cpu_maker(&host);
        if (run->personality.maker == MAKER_OTHER) {
            error_set(&error, "no rules for this maker's CPU");
            return complain(host.vendor, &error);
        }
        run->native = native_side_create(&error);
        if (run->native)
            native_print_limits(run->native, stderr);
    } else {
        run->soft = soft_side_create(&error);
        if (run->soft)
            soft_side_rules(run->soft, run->personality);
    }
    return run->native || run->soft ? 0 : complain("start", &error);
}

static void print_result(const struct run *run)
{
    char rules[PERSONALITY_TEXT_MAX];
    personality_format(&run->personality, rules);
    for (unsigned i = 0; run->totals && i < run->families; i++)
        printf("%-24s %8" PRIu64 " cases %8" PRIu64 " mismatches\n", run->family[i].name,
            run->family[i].cases, run->family[i].mismatches);
    FILE *out = run->native ? stderr : stdout;
    fprintf(out,
        "cpu_vectors: %s: %" PRIu64 " cases, %" PRIu64 " mismatches, %" PRIu64 " left out, %" PRIu64
        " without this maker's outcome\n",
        rules, run->cases, run->mismatches, run->left_out, run->unknown);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rules", required_argument, NULL, 'r'},
        {"record", no_argument, NULL, 'R'}, {"host-only", no_argument, NULL, 'o'},
        {"limit", required_argument, NULL, 'l'}, {"totals", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'}, {0}};
    static struct run run = {.limit = 10};
    bool recording = false, named = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            named = personality_named(optarg, &run.personality);
            break;
        case 'R':
            recording = true;
            break;
        case 'o':
            run.host_only = true;
            break;
        case 'l':
            run.limit = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 't':
            run.totals = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (named == recording || optind == argc) {
        usage(stderr);
        return 2;
    }
    int status = prepare(&run, recording);
    for (; status == 0 && optind < argc; optind++)
        status = run_file(&run, argv[optind]);
    if (status == 0)
        print_result(&run);
    if (status == 0 && !recording && run.cases == run.unknown)
        status = 3; /* nothing was compared */
    native_side_destroy(run.native);
    soft_side_destroy(run.soft);
    return status ? status : run.mismatches != 0;
}
