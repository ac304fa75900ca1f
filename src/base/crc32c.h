/* SPDX-License-Identifier: BSD-2-Clause
 *
 * base/crc32c.h - CRC-32C (Castagnoli), the checksum inside Kafka's formats and nowhere else:
 * reflected polynomial 0x82F63B78, start and final xor ~0.
 *
 * Which code computes it is chosen at the first call: folding with 512-bit carry-less
 * multiplication, three interleaved streams of the CPU's crc32 instruction, or tables.
 */
#ifndef KJ_BASE_CRC32C_H
#define KJ_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or the result for the bytes before p. */
uint32_t kj_crc32c(uint32_t crc, const void *p, size_t n);

/* --- inside: crc32c.c, and the crc32c_{x86,arm,none}.c of this CPU ------- */

/* state: the raw register, that is ~crc. */
typedef uint32_t kj_crc32c_fn(uint32_t state, const uint8_t *p, size_t n);

/* What this CPU can do, best first, NULL at the end; name for bench and tests. */
struct kj_crc32c_way {
    const char *name;
    kj_crc32c_fn *fn;
};
enum { KJ_CRC32C_WAYS_MAX = 4 };
void kj_crc32c_cpu_ways(struct kj_crc32c_way ret_ways[KJ_CRC32C_WAYS_MAX]);
uint32_t kj_crc32c_tables(uint32_t state, const uint8_t *p, size_t n);

#endif
