/* The functions that compilers call even in freestanding code. */
#include <stddef.h>

void *memcpy(void *restrict target, const void *restrict source, size_t size);
void *memmove(void *target, const void *source, size_t size);
void *memset(void *target, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void *memcpy(void *restrict target, const void *restrict source, size_t size)
{
    void *start = target;
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
    return start;
}

void *memmove(void *target, const void *source, size_t size)
{
    if ((size_t)((char *)target - (const char *)source) >= size)
        return memcpy(target, source, size);
    char *to = target;
    const char *from = source;
    while (size) {
        size--;
        to[size] = from[size];
        __asm__ volatile("" : : : "memory"); /* must not become a call to memmove */
    }
    return target;
}

void *memset(void *target, int value, size_t size)
{
    void *start = target;
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i])
            return left[i] - right[i];
    }
    return 0;
}
