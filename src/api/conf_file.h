/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_file.h - the format of Java's properties files, as bytes in memory.
 *
 *   natural line  ends with \n, \r or \r\n
 *   comment       first character behind blanks (space, tab, form feed) is # or !
 *   logical line  natural lines joined where the first ends in an odd number of backslashes; blanks
 *                 at the beginning of each are dropped
 *   name          up to the first '=', ':' or blank without a backslash; then blanks, at most
 *                 one '='
 *                 or ':', blanks; the rest is the value
 *   escapes       \t \n \r \f, \uXXXX (UTF-16, written out as UTF-8); any other character
 *                 stands for itself
 *
 * Bytes above 127 stay what they are (Java would read ISO 8859-1; files are UTF-8 today).
 */
#ifndef KJ_API_CONF_FILE_H
#define KJ_API_CONF_FILE_H

#include <stddef.h>

/* line: number of the logical line's first natural one, from 1. Non-zero stops and is returned. */
typedef int kj_conf_file_callback(void *arg, int line, const char *name, const char *value);

/* Calls back for each pair, in order. file names the source in stories. INVALID_CONFIG: a malformed
 * \u escape, a NUL; OUT_OF_MEMORY. */
int kj_conf_file_parse(const char *file, const char *bytes, size_t len,
                       kj_conf_file_callback *callback, void *arg);

#endif
