/*
 * Where the parts of an instruction are, from tables of which opcodes have ModRM and immediates
 * (APM volume 3, appendix A), and which instructions the tester leaves out and why.
 */
#ifndef TESTS_DIFFERENTIAL_SCAN_H
#define TESTS_DIFFERENTIAL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scan_map { SCAN_PRIMARY, SCAN_0F, SCAN_0F38, SCAN_0F3A };
enum scan_prefix { SCAN_NONE, SCAN_66, SCAN_F3, SCAN_F2 };

struct scan {
    uint8_t length; /* 0: longer than what was given, or than 15 bytes */
    enum scan_map map;
    uint8_t opcode;
    uint8_t rex;
    bool operand16, address_override, lock, rep, repne;
    enum scan_prefix prefix; /* the last of F2 and F3, else 66 */
    uint8_t segment;         /* the last override byte, or 0 */
    bool has_modrm, has_sib;
    uint8_t modrm, sib;
    uint8_t opcode_at, modrm_at, displacement_at, displacement_size;
    uint8_t immediate_at, immediate_size;
    int32_t displacement;
};

/* Form letters: see scan.c. */
char scan_form(enum scan_map map, uint8_t opcode, bool compatibility);
/* The mandatory prefixes with which an SSE or MMX opcode exists: bits 1 << enum scan_prefix, and
 * whether only with a memory or only with a register operand. */
enum { SCAN_MEMORY_ONLY = 16, SCAN_REGISTER_ONLY = 32 };
unsigned scan_vector_prefixes(enum scan_map map, uint8_t opcode);
void scan(struct scan *scan, const uint8_t *bytes, size_t size, bool compatibility);
/* FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1 */
bool scan_is_transcendental(const struct scan *scan);
/* Why the instruction is left out of the comparison, or NULL when it is in. */
const char *scan_excluded(const struct scan *scan, bool compatibility);
/* All reasons, one a line, for --exclusions. */
void scan_print_exclusions(void);

#endif
