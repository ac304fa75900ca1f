/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/java_text.h - texts as Java reads and writes them: UTF-8, UUIDs, escaped bytes.
 */
#ifndef KJ_TOOLS_JAVA_TEXT_H
#define KJ_TOOLS_JAVA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes at p (left of them, at least 1) that Java's decoder of UTF-8 takes for one character; or,
 * with *ret_good false, those that it replaces by one U+FFFD. */
size_t kj_java_utf8(const uint8_t *p, size_t left, bool *ret_good);

/* new String(bytes, UTF_8).getBytes(UTF_8); to has room for 3 * count. Returns how many there are.
 * */
size_t kj_java_string(const uint8_t *bytes, size_t count, char *to);

/* Kafka's Bytes.toString(); to has room for 4 * count. Returns how many there are. */
size_t kj_java_escape(const uint8_t *bytes, size_t count, char *to);

/* UUID.fromString(): five hexadecimal numbers, each cut to its width; and toString() of it. (Digits
 * of other scripts, which Java takes too, are none here.) */
bool kj_java_uuid(const uint8_t *bytes, size_t count, char text[37]);

#endif
