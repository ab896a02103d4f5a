/* What a confined process can still do, and what it is refused. Each case in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/cpu/soft.h"
#include "vmm/host/confine.h"

/* The checks run in the child, where cmocka cannot report: the line number is the status. */
#define REQUIRE(condition)                                                               \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, strerror(errno)); \
            _exit(1);                                                                    \
        }                                                                                \
    } while (0)

static char folder[] = "/tmp/confine.XXXXXX";
static bool has_landlock;

static void in_child(const struct confine *confine, void (*check)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        if (confine_process(confine, &error) < 0) {
            fprintf(stderr, "%s\n", error.text);
            _exit(77);
        }
        check();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void nothing_dangerous(void)
{
    char *const arguments[] = {(char *)(uintptr_t) "true", NULL};
    REQUIRE(execv("/bin/true", arguments) < 0 && errno == EPERM);
    REQUIRE(fork() < 0);
    REQUIRE(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
    REQUIRE(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    REQUIRE(kill(getppid(), 0) < 0 && errno == EPERM);
    REQUIRE(kill(getpid(), 0) == 0);
    REQUIRE(ioctl(STDIN_FILENO, TIOCSTI, "x") < 0 && errno == EPERM);
    REQUIRE(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED &&
            errno == EPERM);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    REQUIRE(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) < 0 && errno == EPERM);
    REQUIRE(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    REQUIRE(chmod(folder, 0700) < 0 && errno == EPERM);
    REQUIRE(setuid(0) < 0 && errno == EPERM);
    REQUIRE(prctl(PR_SET_DUMPABLE, 0) < 0 && errno == EPERM);
}

static void dangerous_calls_are_refused(void **state)
{
    (void)state;
    in_child(&(struct confine){0}, nothing_dangerous);
}

static void *thread_main(void *context)
{
    *(int *)context = 1;
    return NULL;
}

/* A software CPU with native code is made, runs, and a thread is started. */
static void it_computes(void)
{
    struct memory memory;
    const struct memory_backend backend = {.size = 1 << 20};
    const struct engine_options options = {0};
    struct error error;
    REQUIRE(memory_create(&memory, &backend, 1, &error) == 0);
    struct engine *engine = soft_create(&memory, &options, &error);
    REQUIRE(engine != NULL);
    engine->ops->destroy(engine);
    memory_destroy(&memory);
    pthread_t thread;
    int ran = 0;
    REQUIRE(pthread_create(&thread, NULL, thread_main, &ran) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0 && ran == 1);
    REQUIRE(malloc(1 << 24) != NULL);
    REQUIRE(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
    REQUIRE(prctl(PR_SET_NAME, "confined") == 0);
}

static void computing_goes_on(void **state)
{
    (void)state;
    in_child(&(struct confine){0}, it_computes);
}

static int try_open(const char *name, int flags)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd;
}

static void no_files(void)
{
    REQUIRE(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
    REQUIRE(try_open("file", O_RDONLY) < 0 && errno == EACCES);
    REQUIRE(try_open("new", O_WRONLY | O_CREAT) < 0 && errno == EACCES);
    REQUIRE(open("/proc/self/pagemap", O_RDONLY) >= 0);
}

static void files_to_read(void)
{
    REQUIRE(open("/etc/passwd", O_RDONLY) >= 0);
    REQUIRE(try_open("file", O_RDONLY) >= 0);
    REQUIRE(try_open("file", O_WRONLY) < 0 && errno == EACCES);
    REQUIRE(unlink(folder) < 0);
}

static void a_folder_to_write(void)
{
    char from[100], to[100];
    REQUIRE(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
    REQUIRE(try_open("new", O_WRONLY | O_CREAT) >= 0);
    snprintf(from, sizeof from, "%s/new", folder);
    snprintf(to, sizeof to, "%s/file", folder);
    REQUIRE(rename(from, to) == 0);
    REQUIRE(open("/tmp/outside-of-it", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
}

static void files_are_those_that_were_allowed(void **state)
{
    (void)state;
    if (!has_landlock)
        skip();
    in_child(&(struct confine){0}, no_files);
    in_child(&(struct confine){.read_everything = true}, files_to_read);
    in_child(&(struct confine){.writable = {folder}, .writable_count = 1}, a_folder_to_write);
}

static int make_folder(void **state)
{
    char text[64];
    (void)state;
    confine_describe(text);
    print_message("%s\n", text);
    has_landlock = strstr(text, "Landlock ABI") != NULL;
    return mkdtemp(folder) && try_open("file", O_WRONLY | O_CREAT) >= 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[100];
    snprintf(path, sizeof path, "%s/file", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(HINDSIGHT_COVERAGE)
    return 77; /* not confined: the instrumentation needs more than that */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return 77;
#endif
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dangerous_calls_are_refused),
        cmocka_unit_test(computing_goes_on),
        cmocka_unit_test(files_are_those_that_were_allowed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
