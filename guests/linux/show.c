/* Reads the beginning of a file onto its stack and shows it. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) static void shown(const char *text)
{
    __asm__ volatile("" : : "r"(text) : "memory");
}

int main(int argc, char **argv)
{
    char text[256];
    int file = open(argv[argc > 1], O_RDONLY);
    ssize_t size = read(file, text, sizeof text - 1);
    if (size < 0)
        return 1;
    text[size] = '\0';
    shown(text);
    puts(text);
    return 0;
}
