/*
 * Code that could show ring 3 the host instead of the CPU model, where nothing makes it fault.
 */
#ifndef VMM_KVM_SHOWS_HOST_H
#define VMM_KVM_SHOWS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Do these bytes hold, at any offset, CPUID, XGETBV, RDPKRU, RDPRU, RDRAND, RDSEED, RDPID, TZCNT,
 * LZCNT, LAR, LSL, FXSAVE or an FSGSBASE instruction, or the beginning of one at their end? Some
 * bytes that are none of these read as one. LAR and LSL of [RAX] are left out: their bytes are in
 * many a jump.
 */
bool code_shows_host(const uint8_t *code, size_t size);

#endif
