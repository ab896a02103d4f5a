/* Port accesses, single and by string. */
#ifndef GUEST_PORT_H
#define GUEST_PORT_H

#include <stddef.h>
#include <stdint.h>

static inline uint8_t port_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t port_in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t port_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void port_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* REP INS and REP OUTS; `count` is in elements. */
static inline void port_in8_string(uint16_t port, void *data, size_t count)
{
    __asm__ volatile("rep insb" : "+D"(data), "+c"(count) : "d"(port) : "memory");
}

static inline void port_in16_string(uint16_t port, void *data, size_t count)
{
    __asm__ volatile("rep insw" : "+D"(data), "+c"(count) : "d"(port) : "memory");
}

static inline void port_in32_string(uint16_t port, void *data, size_t count)
{
    __asm__ volatile("rep insl" : "+D"(data), "+c"(count) : "d"(port) : "memory");
}

static inline void port_out8_string(uint16_t port, const void *data, size_t count)
{
    __asm__ volatile("rep outsb" : "+S"(data), "+c"(count) : "d"(port) : "memory");
}

static inline void port_out16_string(uint16_t port, const void *data, size_t count)
{
    __asm__ volatile("rep outsw" : "+S"(data), "+c"(count) : "d"(port) : "memory");
}

static inline void port_out32_string(uint16_t port, const void *data, size_t count)
{
    __asm__ volatile("rep outsl" : "+S"(data), "+c"(count) : "d"(port) : "memory");
}

#endif
