/* Linux's system calls, for a program without a C library. Results below zero are -errno. */
#ifndef HELPER_SYSTEM_H
#define HELPER_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* Of <linux/errno.h>, <linux/fcntl.h>, <linux/mount.h>, <linux/module.h>. */
enum { ENOENT = 2, EINTR = 4, EEXIST = 17, ENOTDIR = 20 };
enum { O_RDONLY = 0, O_RDWR = 2, O_NOCTTY = 0400 };
enum { MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_REMOUNT = 32, MS_MOVE = 8192 };
enum { MODULE_INIT_COMPRESSED_FILE = 4 };

long system_open(const char *path, int flags);
long system_close(int fd);
long system_read(int fd, void *data, size_t size);
long system_write(int fd, const void *data, size_t size);
long system_dup2(int from, int to);
long system_mkdir(const char *path, unsigned mode);
long system_symlink(const char *target, const char *path);
long system_mount(const char *source, const char *target, const char *type, unsigned long flags,
    const char *data);
long system_chdir(const char *path);
long system_chroot(const char *path);
long system_finit_module(int fd, const char *parameters, unsigned flags);
long system_sethostname(const char *name, size_t size);
long system_getpid(void);
long system_setsid(void);
long system_fork(void);
long system_execve(const char *path, char **arguments, char **environment);
/* For any child. */
long system_wait(int *status);
long system_kill_all(void);
void system_sync(void);
void system_sleep(long nanoseconds);
long system_power_off(void);
/* The right to write to the port. */
long system_take_port(unsigned port);
__attribute__((noreturn)) void system_exit(int status);

/* A terminal's line: bytes as they are; all written; the controlling one of this session. */
void system_make_raw(int fd);
void system_drain(int fd);
void system_take_terminal(int fd);
void system_raise_loopback(void);

static inline void port_write(unsigned short port, unsigned char value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

size_t length(const char *text);
bool same(const char *a, const char *b);
void copy(char *to, const char *from, size_t size);

#endif
