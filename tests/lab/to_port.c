/*
 * to_port PORT: writes standard input to an I/O port, byte by byte. What leaves an emulated machine
 * that has no disk: files by the emulator's debugging port, a status, a request to end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    unsigned char bytes[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: to_port PORT <FILE\n");
        return 2;
    }
    const unsigned short port = (unsigned short)strtoul(argv[1], NULL, 0);
    if (iopl(3) < 0) {
        perror("to_port: iopl");
        return 1;
    }
    for (ssize_t count; (count = read(STDIN_FILENO, bytes, sizeof bytes)) != 0;) {
        if (count < 0) {
            perror("to_port: read");
            return 1;
        }
        outsb(port, bytes, (unsigned long)count);
    }
    return 0;
}
