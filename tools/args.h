/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/args.h - a command's options: `--name value`, `--name=value`, no abbreviations.
 *
 * Wrong usage ends the program at once: one line that names the error, one with a hint, exit 2.
 * Commands read all their options before they open anything, so that this leaves nothing behind.
 */
#ifndef KJ_TOOLS_ARGS_H
#define KJ_TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KJ_EXIT_OK = 0, KJ_EXIT_FAILURE = 1, KJ_EXIT_USAGE = 2 };

enum kj_option_kind {
    KJ_OPT_FLAG,     /* no value */
    KJ_OPT_ONE,      /* a value, given once */
    KJ_OPT_MANY,     /* a value, given any number of times */
    KJ_OPT_OPTIONAL, /* a value that may be left out */
    KJ_OPT_REST      /* values up to the next option; of two lists the last counts */
};

struct kj_option {
    const char *name;  /* without the dashes; NULL ends a table */
    const char *alias; /* the other spelling, NULL if there is none */
    enum kj_option_kind kind;
    const char *value; /* what --help calls the value */
    const char *text;  /* for --help; NULL: accepted without effect */
};

struct kj_args;

struct kj_command {
    const char *name;
    const char *alias;   /* short name, NULL if none */
    const char *summary; /* one line */
    const char *notes;   /* lines below the options in --help, NULL if none */
    const struct kj_option *options;
    int (*run)(const struct kj_args *args); /* returns the exit status */
};

struct kj_arg {
    const struct kj_option *option;
    const char *value; /* NULL: none given */
};

struct kj_args {
    const struct kj_command *command;
    struct kj_arg *items;
    size_t count;
};

/* Splits the words behind the command's name; serves --help and --version and exits. */
void kj_args_parse(const struct kj_command *command, int word_count, char *const *words,
                   struct kj_args *ret_args);
void kj_args_free(struct kj_args *args);

bool kj_args_has(const struct kj_args *args, const char *name);
/* The value given last; NULL if there is none. */
const char *kj_args_get(const struct kj_args *args, const char *name);
/* Value number i (from 0) of a repeatable option, NULL behind the last. */
const char *kj_args_nth(const struct kj_args *args, const char *name, size_t i);
/* A whole number between min and max; fallback if it was not given. */
int64_t kj_args_int(const struct kj_args *args, const char *name, int64_t fallback, int64_t min,
                    int64_t max);
/* As kj_args_get(), but it must be there. */
const char *kj_args_required(const struct kj_args *args, const char *name);
/* Two options that exclude each other. */
void kj_args_exclude(const struct kj_args *args, const char *one, const char *other);

_Noreturn void kj_usage(const struct kj_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void kj_help(const struct kj_command *command);

/* The whole text as a decimal number. */
bool kj_parse_int(const char *text, int64_t *ret_value);

/* The word of a list that is nearest to text by edits, NULL if none is near. next(i) gives word i,
 * NULL behind the last. */
const char *kj_nearest(const char *text, const char *(*next)(size_t i, const void *arg),
                       const void *arg);

#endif
