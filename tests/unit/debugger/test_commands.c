/* Commands over a recording of a guest with a disk: what they write, and what they refuse. */
#include "tests/unit/debugger/session.h"

#include "debugger/session.h"

enum { SECTORS = 256 };

static int record_disk(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    FILE *image = fopen("disk.img", "w");
    assert_non_null(image);
    assert_int_equal(ftruncate(fileno(image), SECTORS * 512), 0);
    fclose(image);
    snprintf(trace_path, sizeof trace_path, "guest.hst");
    snprintf(disk_option, sizeof disk_option, "file=disk.img");
    record("disk", "passes=1 random=20", UINT64_MAX);
    *disk_option = '\0';
    return 0;
}

static int remove_disk(void **state)
{
    unlink("disk.img");
    unlink("written");
    return remove_recording(state);
}

/* The file's bytes; *size receives how many. */
static char *contents(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void the_machines_files_are_extracted(void **state)
{
    const struct boot_image guest = load_guest("disk");
    size_t size, whole;
    (void)state;
    prints("extract kernel written", "written: ");
    char *data = contents("written", &size);
    assert_int_equal(size, guest.size);
    assert_memory_equal(data, guest.data, size);
    free(data);
    refuses("extract initrd written", "was started without one");
    refuses("extract kernel", "and a file to write");
    refuses("extract nothing written", "kernel, initrd or disk, not 'nothing'");
    refuses("extract kernel /nowhere/at/all", "/nowhere/at/all");
    refuses("extract disk7 written", "no disk 7");
    refuses("extract disk0.3 written", "an image 3");
    refuses("extract disk0x written", "disk0.2 for the third image");
    /* The image at the end is what the guest left of it. */
    run("seek end");
    prints("extract disk written", "256 of 256 sectors are known");
    data = contents("written", &size);
    char *image = contents("disk.img", &whole);
    assert_int_equal(size, whole);
    assert_memory_equal(data, image, size);
    free(data);
    free(image);
    run("seek start");
    prints("extract disk0.0 written", "written: 0 of 256 sectors are known");
}

static void a_core_file_says_that_no_kernel_runs(void **state)
{
    (void)state;
    prints("core vmcore", "No Linux kernel has left its VMCOREINFO");
    refuses("core", "give a file to write");
    refuses("core /nowhere/at/all", "/nowhere/at/all");
}

static void a_sectors_last_write_is_found_from_after_it(void **state)
{
    (void)state;
    run("seek end");
    prints("last-write sector:3", "Written from sector ");
    struct position written = here();
    prints("last-write sector:3", "The guest has not written there since the start");
    is_at((struct position){0, 0});
    refuses("last-write sector:3@7", "has no disk 7: it has 1");
    refuses("last-write", "give a variable");
    run("watch sector:3");
    prints("continue", "write of sector:3");
    /* Forward it stops after what it stopped before, backward. */
    assert_true(position_compare(here(), written) > 0);
    run("delete");
    prints("disk", "queue0 size 128 enabled 1");
}

static void a_places_last_write_is_found_by_any_of_its_names(void **state)
{
    static const char *const names[] = {
        "random_state", "&random_state", "*&random_state", "*(long *)&random_state", NULL};
    char line[128];
    (void)state;
    run("seek end");
    run("last-write random_state");
    const struct position wanted = here();
    for (unsigned i = 1; names[i]; i++) {
        run("seek end");
        snprintf(line, sizeof line, "last-write %s", names[i]);
        prints(line, "About to be written at 0x");
        is_at(wanted);
    }
    run("seek end");
    const char *text = run("print/x (long)&random_state");
    const char *address = strstr(text, "0x");
    assert_non_null(address);
    /* The guest maps memory where it is. */
    snprintf(line, sizeof line, "last-write phys:%.18s", address);
    line[strcspn(line, "\n")] = '\0';
    prints(line, "About to be written at 0x");
    is_at(wanted);
    refuses("last-write *(long *)0xffff800000000000", "is not mapped here");
    refuses("last-write phys:nothing", "nothing");
}

static void bytes_are_found_where_they_are(void **state)
{
    (void)state;
    run("seek end");
    prints("find 7f 45 4c 46 in &writes, 8", "0 matches");
    prints("find 00 in &writes + 8, 4096", "matches");
}

static void what_is_sought_wrongly_is_refused(void **state)
{
    (void)state;
    run("break guest_main");
    run("continue");
    refuses("find", "give bytes or a text");
    refuses("find \"", "a text in quotes of");
    refuses("find \"\"", "a text in quotes of");
    refuses("find xy", "is not a hexadecimal byte");
    refuses("find 00 in", "is not a hexadecimal byte");
    refuses("find 00 in nothing, 8", "nothing");
    refuses("find 00 in &writes, nothing", "nothing");
    refuses("find 00 in 0, 0x10000000000", "at most 1 GiB");
    refuses("find 00 in 0xffff800000000000, 8", "not all mapped");
    refuses("diff", "give one or two positions");
    refuses("diff nowhere", "is not a position");
    refuses("diff start nowhere", "is not a position");
}

static void positions_differ_in_what_was_written_between_them(void **state)
{
    (void)state;
    run("seek 50%");
    const struct position before = here();
    prints("diff start", "registers differ");
    is_at(before);
    prints("diff start end", "bytes of memory differ");
    is_at(before);
    prints("diff 10% 10%", "0 registers differ");
}

static void symbol_files_are_checked_against_memory(void **state)
{
    (void)state;
    refuses("add-symbol-file", "give an ELF file");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf -s .data", "-s SECTION ADDRESS");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf -o", "-o OFFSET");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf -process", "-process NAME or PID");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf 0", "nothing is at address 0");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf nothing", "nothing");
    refuses("add-symbol-file /nowhere/at/all", "/nowhere/at/all");
    refuses("add-symbol-file guest.hst", "guest.hst");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf", "not what runs in this trace");
    prints("add-symbol-file " TEST_GUESTS "/crash.elf -f", "symbols from ");
    prints("remove-symbol-file crash.elf", "is no longer used");
    prints("add-symbol-file " TEST_GUESTS "/crash.elf -o 0x40000000", "Its code is not mapped");
    prints("print (long)&nodes > 0x40000000", "= 1");
    refuses("remove-symbol-file", "give a file");
    refuses("remove-symbol-file nothing", "no symbol file 'nothing'");
    refuses("remove-symbol-file -a nothing", "nothing");
    prints("remove-symbol-file -a &handle_pit", "crash.elf is no longer used");
    refuses("print nodes", "no symbol");
    refuses("add-symbol-file " TEST_GUESTS "/crash.elf -process init", "processes cannot be read");
}

/* An object file, whose sections have no addresses of their own. */
static void object_files_need_addresses(void **state)
{
    (void)state;
    int made = system("printf 'int made_up = 5; int twice(int n) { return 2 * n; }' | "
                      "cc -g -xc -c -o object.o - 2>object.err");
    if (made != 0) {
        print_message("no compiler here: no object file is added\n");
        return;
    }
    refuses("add-symbol-file object.o", "its sections have no addresses");
    prints("add-symbol-file object.o 0x40000000 -s .data 0x40100000", "with debugging information");
    prints("print/x (long)&twice", "0x40000000");
    prints("print/x (long)&made_up", "0x40100000");
    prints("ptype made_up", "int");
    run("remove-symbol-file object.o");
    unlink("object.o");
    unlink("object.err");
}

static void bookmarks_have_names_of_their_own(void **state)
{
    (void)state;
    prints("bookmark", "No bookmarks");
    refuses("bookmark start", "means a position already");
    refuses("bookmark here nowhere", "is not a position");
    run("bookmark here 10%");
    run("bookmark here 20%");
    run("seek here");
    const struct position twenty = here();
    run("seek 20%");
    is_at(twenty);
    refuses("seek", "give a position");
    for (unsigned i = 0; i < MAX_BOOKMARKS - 1; i++) {
        char line[32];
        snprintf(line, sizeof line, "bookmark b%u start", i);
        run(line);
    }
    refuses("bookmark another end", "at most");
}

static void breakpoints_that_cannot_be_are_refused(void **state)
{
    (void)state;
    run("break guest_main");
    run("continue");
    run("delete");
    refuses("break nothing", "nothing");
    refuses("break *nothing", "nothing");
    refuses("break guest_main thread 9", "there is no thread 9");
    refuses("break guest_main thread x", "x");
    refuses("watch", "give what to watch");
    refuses("watch sectors + 1", "is not in memory");
    refuses("watch buffer", "cannot be watched");
    refuses("watch *(long *)0xffff800000000000", "not mapped");
    refuses("watch console:\"\"", "give the text to wait for");
    refuses("watch sector:x", "x");
    refuses("watch phys:nothing", "nothing");
    refuses("catch exception nothing", "nothing");
    refuses("catch exception 99", "exceptions have vectors 0 to 31");
    refuses("catch nothing", "exception [VECTOR]");
    refuses("catch pio nothing", "nothing");
    refuses("condition", "give the number");
    refuses("condition 7 1", "no breakpoint number 7");
    refuses("ignore 7 1", "no breakpoint number 7");
    refuses("commands", "there is no breakpoint");
    run("break guest_main");
    refuses("ignore 2", "give how many hits");
    refuses("ignore 2 nothing", "nothing");
    prints("condition 2", "is now unconditional");
    refuses("delete 2 9", "no breakpoint number 9");
    refuses("enable nothing", "nothing");
    refuses("disable 9", "no breakpoint number 9");
    for (unsigned i = 0; i < MAX_POINTS; i++)
        run("catch mode");
    refuses("catch mode", "at most");
    refuses("break guest_main", "at most");
    refuses("watch writes", "at most");
    refuses("catch exception", "at most");
    refuses("catch pio", "at most");
    refuses("watch sector:1", "at most");
    refuses("watch console:\"x\"", "at most");
}

static void questions_say_what_they_do_not_understand(void **state)
{
    (void)state;
    prints("query -limit 5 writes sector:0,64", "The limit of rows was reached");
    prints("query -limit 5 reads sector:0,64", "read");
    refuses("query writes sector:x", "x");
    refuses("query writes", "give what to look at");
    refuses("query writes writes, nothing", "nothing");
    refuses("query writes writes nothing", "is not understood");
    refuses("query writes 0x1000", "is no variable");
    refuses("query writes writes,0", "has no bytes");
    refuses("query -limit", "needs a value");
    refuses("query -limit nothing calls guest_main", "-limit");
    prints("query faults", "0 rows");
    refuses("query faults 14", "takes no argument");
    prints("query executes disk.c:50", "0x");
    prints("query executes *guest_main", "1 row.");
    prints("query -limit 20 executes guest_main", "guest_main");
    prints("query -limit 20 executes guest_main,16", "guest_main");
    refuses("query executes guest_main,nothing", "nothing");
    refuses("query executes nothing.c:1", "nothing.c");
    prints("query when writes == 5", "1 row. ");
    prints("query -limit 3 when writes % 2", " rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_machines_files_are_extracted),
        TEST(a_core_file_says_that_no_kernel_runs),
        TEST(a_sectors_last_write_is_found_from_after_it),
        TEST(a_places_last_write_is_found_by_any_of_its_names),
        TEST(bytes_are_found_where_they_are),
        TEST(what_is_sought_wrongly_is_refused),
        TEST(positions_differ_in_what_was_written_between_them),
        TEST(symbol_files_are_checked_against_memory),
        TEST(object_files_need_addresses),
        TEST(bookmarks_have_names_of_their_own),
        TEST(breakpoints_that_cannot_be_are_refused),
        TEST(questions_say_what_they_do_not_understand),
    };
    return cmocka_run_group_tests(tests, record_disk, remove_disk);
}
