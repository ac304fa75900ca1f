/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/golden.h - reading the golden files: whole files, lines, hex ("-" is empty).
 */
#ifndef KJ_TESTS_GOLDEN_H
#define KJ_TESTS_GOLDEN_H

#include "kjtest.h"

#include <stdbool.h>

/* The bytes of a file below tests/golden, with a NUL behind. The caller frees. */
static inline uint8_t *golden_read(const char *name, size_t *ret_len)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", KJ_GOLDEN_DIR, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    size_t len = 0, capacity = 65536;
    uint8_t *bytes = malloc(capacity + 1);
    assert_non_null(bytes);
    for (size_t n; (n = fread(bytes + len, 1, capacity - len, f)) > 0;) {
        len += n;
        if (len == capacity) {
            capacity *= 2;
            bytes = realloc(bytes, capacity + 1);
            assert_non_null(bytes);
        }
    }
    (void)fclose(f);
    bytes[len] = 0;
    *ret_len = len;
    return bytes;
}

/* Cuts the next line off *at (which it changes); NULL at the end. Skips comments and empty lines.
 */
static inline char *golden_line(char **at)
{
    while (**at != 0) {
        char *line = *at;
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = 0;
        *at = end != NULL ? end : line + strlen(line);
        if (line[0] != 0 && line[0] != '#')
            return line;
    }
    return NULL;
}

static inline unsigned golden_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    assert_true(c >= 'a' && c <= 'f');
    return (unsigned)(c - 'a') + 10;
}

/* Decodes hex up to a character that is none; returns the bytes written (room: half of strlen). */
static inline size_t golden_hex(const char *hex, uint8_t *ret_bytes)
{
    size_t n = 0;
    if (hex[0] == '-')
        return 0;
    while (strchr("0123456789abcdef", hex[0]) != NULL && hex[0] != 0) {
        ret_bytes[n++] = (uint8_t)(golden_nibble(hex[0]) << 4 | golden_nibble(hex[1]));
        hex += 2;
    }
    return n;
}

/* The seed of a random test: KJ_SEED of the environment or a fixed one; printed. */
static inline uint64_t kjtest_seed(void)
{
    const char *text = getenv("KJ_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240817;
    print_message("KJ_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* SplittableRandom of Java (SplitMix64). */
static inline uint64_t kjtest_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
