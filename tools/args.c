/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/args.h"
#include "tools/common.h"

#include <kaja.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Understood by every command, behind its own options. Rows without text name what a broker's tool
 * needs to reach its broker: there is none, so they are taken and forgotten. */
static const struct kj_option common_options[] = {
    {"dir", NULL, KJ_OPT_ONE, "DIR", "the directory of topics (default ./kaja-data)"},
    {"command-config", NULL, KJ_OPT_ONE, "FILE",
     "properties file; names it does not know are skipped"},
    {"command-property", NULL, KJ_OPT_MANY, "NAME=VALUE", "a property; wins over the file"},
    {"help", NULL, KJ_OPT_FLAG, NULL, "this text"},
    {"version", NULL, KJ_OPT_FLAG, NULL, "the version"},
    {"bootstrap-server", NULL, KJ_OPT_MANY, "HOST:PORT", NULL},
    {"bootstrap-controller", NULL, KJ_OPT_MANY, "HOST:PORT", NULL},
    {"broker-list", NULL, KJ_OPT_MANY, "HOST:PORT", NULL},
    {"socket-buffer-size", NULL, KJ_OPT_ONE, "N", NULL},
    {"metadata-expiry-ms", NULL, KJ_OPT_ONE, "N", NULL},
    {"request-timeout-ms", NULL, KJ_OPT_ONE, "N", NULL},
    {"replication-factor", NULL, KJ_OPT_ONE, "1", NULL},
    {"partition-size-limit-per-response", NULL, KJ_OPT_ONE, "N", NULL},
    {NULL, NULL, KJ_OPT_FLAG, NULL, NULL},
};

_Noreturn void kj_usage(const struct kj_args *args, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fflush(stdout);
    kj_complain("kaja %s: %s", args->command->name, text);
    fprintf(stderr, "Try 'kaja %s --help'.\n", args->command->name);
    exit(KJ_EXIT_USAGE);
}

/* --- finding options ---------------------------------------------------------------------- */

static bool is_word(const char *word, const char *text, size_t bytes)
{
    return word != NULL && strlen(word) == bytes && memcmp(word, text, bytes) == 0;
}

static const struct kj_option *find_in(const struct kj_option *table, const char *text,
                                       size_t bytes)
{
    for (; table->name != NULL; table++)
        if (is_word(table->name, text, bytes) || is_word(table->alias, text, bytes))
            return table;
    return NULL;
}

static const struct kj_option *find_option(const struct kj_command *command, const char *text,
                                           size_t bytes)
{
    const struct kj_option *option = find_in(command->options, text, bytes);
    return option != NULL ? option : find_in(common_options, text, bytes);
}

/* A word that is an option and so cannot be the value of the one before it. */
static bool is_option(const struct kj_command *command, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return false;
    size_t bytes = strcspn(word + 2, "=");
    return find_option(command, word + 2, bytes) != NULL;
}

static const char *option_name_at(size_t i, const void *arg)
{
    const struct kj_command *command = arg;
    size_t at = 0;
    for (int t = 0; t < 2; t++) {
        const struct kj_option *table = t == 0 ? command->options : common_options;
        for (; table->name != NULL; table++) {
            if (table->text == NULL)
                continue;
            if (at++ == i)
                return table->name;
        }
    }
    return NULL;
}

enum { NEAR_WORD_MAX = 64 };

/* Levenshtein distance with a neighbour swap counted as one. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[3][NEAR_WORD_MAX + 1];
    size_t a_bytes = strlen(a), b_bytes = strlen(b);
    if (a_bytes > NEAR_WORD_MAX || b_bytes > NEAR_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_bytes; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[a_bytes % 3][b_bytes];
}

const char *kj_nearest(const char *text, const char *(*next)(size_t i, const void *arg),
                       const void *arg)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 2; /* further away is another word */
    for (size_t i = 0;; i++) {
        const char *word = next(i, arg);
        if (word == NULL)
            return best;
        size_t distance = edit_distance(text, word);
        if (distance < best_distance) {
            best_distance = distance;
            best = word;
        }
    }
}

/* --- parsing ------------------------------------------------------------------------------ */

static void add(struct kj_args *args, const struct kj_option *option, const char *value)
{
    args->items = kj_xrealloc(args->items, (args->count + 1) * sizeof *args->items);
    args->items[args->count++] = (struct kj_arg){option, value};
}

static void check_repeated(const struct kj_args *args, const struct kj_option *option)
{
    if (option->kind != KJ_OPT_ONE && option->kind != KJ_OPT_OPTIONAL)
        return;
    for (size_t i = 0; i < args->count; i++)
        if (args->items[i].option == option)
            kj_usage(args, "Found multiple arguments for option %s, but only one is allowed",
                     option->name);
}

static void drop_list(struct kj_args *args, const struct kj_option *option)
{
    size_t kept = 0;
    for (size_t i = 0; i < args->count; i++)
        if (args->items[i].option != option)
            args->items[kept++] = args->items[i];
    args->count = kept;
}

static _Noreturn void unknown_option(const struct kj_args *args, const char *word)
{
    size_t bytes = strcspn(word, "=");
    char *name = kj_xstrndup(word, bytes);
    const char *near = kj_nearest(name, option_name_at, args->command);
    if (near != NULL)
        kj_usage(args, "%s is not a recognized option; did you mean --%s?", name, near);
    kj_usage(args, "%s is not a recognized option", name);
}

/* Takes the option at words[at] with its value or values; returns where the next word stands. */
static int parse_option(struct kj_args *args, int word_count, char *const *words, int at)
{
    const char *word = words[at++] + 2;
    size_t bytes = strcspn(word, "=");
    const struct kj_option *option = find_option(args->command, word, bytes);
    if (option == NULL)
        unknown_option(args, word);
    const char *value = word[bytes] == '=' ? word + bytes + 1 : NULL;
    check_repeated(args, option);

    switch (option->kind) {
    case KJ_OPT_FLAG:
        if (value != NULL)
            kj_usage(args, "Option %s does not take an argument", option->name);
        add(args, option, NULL);
        return at;
    case KJ_OPT_ONE:
    case KJ_OPT_MANY:
        if (value == NULL) {
            if (at == word_count || is_option(args->command, words[at]))
                kj_usage(args, "Option %s requires an argument", option->name);
            value = words[at++];
        }
        add(args, option, value);
        return at;
    case KJ_OPT_OPTIONAL:
        if (value == NULL && at < word_count && words[at][0] != '-')
            value = words[at++];
        add(args, option, value);
        return at;
    case KJ_OPT_REST:
        drop_list(args, option);
        if (value != NULL)
            add(args, option, value);
        while (at < word_count && strncmp(words[at], "--", 2) != 0) {
            value = words[at++];
            add(args, option, value);
        }
        if (value == NULL)
            kj_usage(args, "Option %s requires an argument", option->name);
        return at;
    }
    return at;
}

void kj_args_parse(const struct kj_command *command, int word_count, char *const *words,
                   struct kj_args *ret_args)
{
    struct kj_args args = {.command = command};
    /* Help is given whatever else stands on the line, right or wrong. */
    for (int i = 0; i < word_count; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            kj_help(command);
            exit(kj_finish(KJ_EXIT_OK));
        }
    }
    for (int i = 0; i < word_count;) {
        if (strncmp(words[i], "--", 2) != 0 || words[i][2] == '\0')
            kj_usage(&args, "%s is not an option", words[i][0] == '\0' ? "''" : words[i]);
        i = parse_option(&args, word_count, words, i);
    }
    if (kj_args_has(&args, "version")) {
        puts(kaja_version());
        kj_args_free(&args);
        exit(kj_finish(KJ_EXIT_OK));
    }
    *ret_args = args;
}

void kj_args_free(struct kj_args *args)
{
    free(args->items);
    args->items = NULL;
    args->count = 0;
}

/* --- asking ------------------------------------------------------------------------------- */

bool kj_args_has(const struct kj_args *args, const char *name)
{
    for (size_t i = 0; i < args->count; i++)
        if (strcmp(args->items[i].option->name, name) == 0)
            return true;
    return false;
}

const char *kj_args_get(const struct kj_args *args, const char *name)
{
    for (size_t i = args->count; i-- > 0;)
        if (strcmp(args->items[i].option->name, name) == 0)
            return args->items[i].value;
    return NULL;
}

const char *kj_args_nth(const struct kj_args *args, const char *name, size_t i)
{
    for (size_t at = 0; at < args->count; at++)
        if (strcmp(args->items[at].option->name, name) == 0 && i-- == 0)
            return args->items[at].value;
    return NULL;
}

const char *kj_args_required(const struct kj_args *args, const char *name)
{
    const char *value = kj_args_get(args, name);
    if (value == NULL)
        kj_usage(args, "Missing required argument \"[%s]\"", name);
    return value;
}

void kj_args_exclude(const struct kj_args *args, const char *one, const char *other)
{
    if (kj_args_has(args, one) && kj_args_has(args, other))
        kj_usage(args, "Option \"[%s]\" can't be used with option \"[%s]\"", one, other);
}

bool kj_parse_int(const char *text, int64_t *ret_value)
{
    char *end;
    if (*text != '-' && *text != '+' && (*text < '0' || *text > '9'))
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

int64_t kj_args_int(const struct kj_args *args, const char *name, int64_t fallback, int64_t min,
                    int64_t max)
{
    const char *text = kj_args_get(args, name);
    int64_t value;
    if (text == NULL)
        return fallback;
    if (!kj_parse_int(text, &value))
        kj_usage(args, "Cannot parse argument '%s' of option %s", text, name);
    if (value < min || value > max)
        kj_usage(args, "The value %s of option %s is out of range (%lld to %lld)", text, name,
                 (long long)min, (long long)max);
    return value;
}

/* --- help --------------------------------------------------------------------------------- */

static void print_row(const struct kj_option *option)
{
    char left[96];
    const char *open = option->kind == KJ_OPT_OPTIONAL ? "[" : "";
    const char *close = option->kind == KJ_OPT_OPTIONAL ? "]" : "";
    const char *more = option->kind == KJ_OPT_REST ? " ..." : "";
    snprintf(left, sizeof left, "--%s%s%s%s%s%s", option->name, option->value != NULL ? " " : "",
             open, option->value != NULL ? option->value : "", close, more);
    if (strlen(left) > 30)
        printf("  %s\n  %-30s  ", left, "");
    else
        printf("  %-30s  ", left);
    fputs(option->text, stdout);
    if (option->alias != NULL) {
        bool wraps = strlen(option->text) + strlen(option->alias) > 55;
        printf("%s%*s(also --%s)", wraps ? "\n" : "", wraps ? 34 : 1, "", option->alias);
    }
    putchar('\n');
}

void kj_help(const struct kj_command *command)
{
    printf("usage: kaja %s [options]\n", command->name);
    printf("%s%s%s%s\n\n", command->summary, command->alias != NULL ? " Short: kaja " : "",
           command->alias != NULL ? command->alias : "", command->alias != NULL ? "." : "");
    for (const struct kj_option *o = command->options; o->name != NULL; o++)
        if (o->text != NULL)
            print_row(o);
    for (const struct kj_option *o = common_options; o->name != NULL; o++)
        if (o->text != NULL && find_in(command->options, o->name, strlen(o->name)) == NULL)
            print_row(o);
    if (command->notes != NULL)
        printf("\n%s", command->notes);
}
