/*
 * Leaves in /share what a hostile guest might: links out, devices, and, by writing to the disk
 * under the mounted file system, entries named "..", entries with slashes, a folder within itself.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DISK_MAX = 64 << 20, NAME_LENGTH = 6, INODE = 0 }; /* struct ext4_dir_entry_2 */

static void check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static unsigned char *disk;
static size_t size;

/* The entry of that name, in the disk's bytes; this program has its name as well. */
static unsigned char *find_entry(const char *name)
{
    unsigned char *at = disk, *end = disk + size;
    while ((at = memmem(at, (size_t)(end - at), name, strlen(name))) && at[-2] != strlen(name))
        at++;
    check(at ? 0 : -1, name);
    return at - 8;
}

static void write_back(int fd, const unsigned char *entry)
{
    check(pwrite(fd, entry, 64, entry - disk) == 64 ? 0 : -1, "the disk");
}

int main(void)
{
    struct stat share;
    int fd;
    check(chdir("/share"), "/share");
    check(mkdir("good", 0755), "good");
    FILE *file = fopen("good/result", "w");
    check(fprintf(file, "a result\n"), "good/result");
    check(fclose(file), "good/result");
    check(symlink("/etc", "link"), "link");
    check(symlink("../../victim", "good/link"), "good/link");
    check(mknod("null", S_IFCHR | 0666, makedev(1, 3)), "null");
    check(mkfifo("pipe", 0666), "pipe");
    check(mkdir("new\nline", 0777), "a line end");
    check(mkdir("evil_dots", 0777), "evil_dots");
    check(mkdir("evil_loop", 0777), "evil_loop");
    check(open("evil_slash", O_CREAT | O_WRONLY, 04777), "evil_slash");
    check(open("setuid", O_CREAT | O_WRONLY, 0777), "setuid");
    check(chmod("setuid", 04755), "setuid");
    fd = open("sparse", O_CREAT | O_WRONLY, 0644);
    check(ftruncate(fd, 3L << 40), "sparse");
    check(ftruncate(fd, 3L << 20), "sparse");
    check(stat(".", &share), "/share");
    sync();

    fd = open("/dev/vda", O_RDWR);
    check(fd, "/dev/vda");
    disk = malloc(DISK_MAX);
    for (ssize_t got; size < DISK_MAX && (got = read(fd, disk + size, 1 << 20)) > 0;)
        size += (size_t)got;
    unsigned char *entry = find_entry("evil_slash");
    memcpy(entry + 8, "../escaped", 10);
    write_back(fd, entry);
    entry = find_entry("evil_dots");
    memcpy(entry + 8, "..", 2);
    entry[NAME_LENGTH] = 2;
    write_back(fd, entry);
    entry = find_entry("evil_loop");
    unsigned inode = (unsigned)share.st_ino;
    memcpy(entry + INODE, &inode, sizeof inode);
    write_back(fd, entry);
    return 0;
}
