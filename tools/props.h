/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/props.h - lists of name=value, from the command line and from files.
 */
#ifndef KJ_TOOLS_PROPS_H
#define KJ_TOOLS_PROPS_H

#include "tools/args.h"

#include <kaja.h>

#include <stdbool.h>
#include <stddef.h>

/* One allocation: name owns both. */
struct kj_pair {
    char *name;
    char *value;
};

/* Splits at the first `=`; without one the value is empty. An empty name is wrong usage. */
struct kj_pair kj_pair_split(const struct kj_args *args, const char *option, const char *text);

typedef void kj_props_callback(void *arg, const char *name, const char *value);

/* Reads a Java properties file (# and ! comments, \-escapes, continuation lines, `=`, `:` or blank
 * between name and value; UTF-8). Ends the program if it cannot be read. */
void kj_props_read_file(const struct kj_args *args, const char *path, kj_props_callback *callback,
                        void *arg);

/* What a reader or formatter was told: pairs of a file, then of the command line, which win. */
struct kj_props {
    struct kj_pair *pairs;
    size_t count;
};

void kj_props_load(const struct kj_args *args, const char *file_option, const char *pair_option,
                   struct kj_props *ret_props);
void kj_props_free(struct kj_props *props);
const char *kj_props_get(const struct kj_props *props, const char *name, const char *fallback);
bool kj_props_flag(const struct kj_props *props, const char *name, bool fallback);
/* A name that is not in the NULL-ended list of known ones is wrong usage. */
void kj_props_check(const struct kj_args *args, const struct kj_props *props,
                    const char *const *known, const char *what);

/* Splits at commas outside of [brackets], which are taken off: k1=v1,k2=[a,b]. Each must be
 * name=value; wrong usage otherwise. Calls callback for each. */
void kj_props_each_config(const struct kj_args *args, const char *text, kj_props_callback *callback,
                          void *arg);

#endif
