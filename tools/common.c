/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/common.h"
#include "tools/props.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

/* --- memory ------------------------------------------------------------------------------- */

static _Noreturn void no_memory(void)
{
    fputs("kaja: out of memory\n", stderr);
    exit(KJ_EXIT_FAILURE);
}

void *kj_xmalloc(size_t bytes)
{
    void *p = malloc(bytes == 0 ? 1 : bytes);
    if (p == NULL)
        no_memory();
    return p;
}

void *kj_xrealloc(void *p, size_t bytes)
{
    void *q = realloc(p, bytes == 0 ? 1 : bytes);
    if (q == NULL)
        no_memory();
    return q;
}

char *kj_xstrndup(const char *text, size_t bytes)
{
    char *copy = kj_xmalloc(bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *kj_xstrdup(const char *text)
{
    return kj_xstrndup(text, strlen(text));
}

char *kj_xprintf(const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int n = vasprintf(&text, format, list);
    va_end(list);
    if (n < 0)
        no_memory();
    return text;
}

/* --- output ------------------------------------------------------------------------------- */

/* One write for one line: lines of several threads and processes do not mix. */
__attribute__((format(printf, 1, 0))) static void put_line(const char *format, va_list list)
{
    char text[4096];
    int n = vsnprintf(text, sizeof text - 1, format, list);
    size_t bytes = n < 0 ? 0 : (size_t)n < sizeof text - 1 ? (size_t)n : sizeof text - 2;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\t')
            text[i] = ' ';
    text[bytes++] = '\n';
    fwrite(text, 1, bytes, stderr);
}

void kj_complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    put_line(format, list);
    va_end(list);
}

const char *kj_reason(int error)
{
    const char *detail = kaja_error_detail();
    return detail[0] != '\0' ? detail : kaja_error_text(error);
}

void kj_complain_err(int error, const char *format, ...)
{
    char *reason = kj_xstrdup(kj_reason(error));
    char *what = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&what, format, list) < 0)
        no_memory();
    va_end(list);
    kj_complain("%s: %s (%s)", what, reason, kaja_error_name(error));
    free(what);
    free(reason);
}

bool kj_stdout_broken(void)
{
    return ferror(stdout) != 0;
}

int kj_finish(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    int why = errno;
    /* An earlier write may have failed and its errno be gone: ask whether the reader is. */
    struct pollfd end = {.fd = STDOUT_FILENO};
    if (why == EPIPE || (poll(&end, 1, 0) == 1 && (end.revents & POLLERR) != 0))
        return status;
    kj_complain("kaja: cannot write to standard output: %s", strerror(why != 0 ? why : EIO));
    return status != 0 ? status : KJ_EXIT_FAILURE;
}

/* --- properties --------------------------------------------------------------------------- */

static const char *property_at(size_t i, const void *arg)
{
    (void)arg;
    const struct kaja_conf_info *info = kaja_conf_table(i);
    return info != NULL ? info->name : NULL;
}

static bool is_property(const char *name)
{
    const char *at;
    for (size_t i = 0; (at = property_at(i, NULL)) != NULL; i++)
        if (strcmp(at, name) == 0)
            return true;
    return false;
}

/* A bad value or name is wrong usage, a feature that is not built yet a failure. */
static void set_or_exit(const struct kj_args *args, struct kaja_conf *conf, const char *name,
                        const char *value)
{
    int err = kaja_conf_set(conf, name, value);
    if (err == 0)
        return;
    if (err == KAJA_ERR_INVALID_CONFIG)
        kj_usage(args, "%s", kj_reason(err));
    kj_complain_err(err, "kaja %s", args->command->name);
    exit(KJ_EXIT_FAILURE);
}

struct file_load {
    const struct kj_args *args;
    struct kaja_conf *conf;
    const char *path;
};

/* A client's file is written for brokers too: what we do not know is passed over, but not in
 * silence, since it may be a typo. */
static void load_property(void *arg, const char *name, const char *value)
{
    struct file_load *load = arg;
    if (is_property(name))
        set_or_exit(load->args, load->conf, name, value);
    else
        kj_complain("kaja: %s: unknown property '%s' is ignored", load->path, name);
}

struct kaja_conf *kj_conf_from_args(const struct kj_args *args)
{
    struct kaja_conf *conf;
    int err = kaja_conf_new(&conf);
    if (err != 0)
        no_memory();
    const char *path = kj_args_get(args, "command-config");
    if (path != NULL) {
        struct file_load load = {args, conf, path};
        kj_props_read_file(args, path, load_property, &load);
    }
    const char *pair;
    for (size_t i = 0; (pair = kj_args_nth(args, "command-property", i)) != NULL; i++) {
        struct kj_pair split = kj_pair_split(args, "command-property", pair);
        set_or_exit(args, conf, split.name, split.value);
        free(split.name);
    }
    return conf;
}

void kj_conf_set_option(const struct kj_args *args, struct kaja_conf *conf, const char *name,
                        const char *value)
{
    set_or_exit(args, conf, name, value);
}

/* --- the store ---------------------------------------------------------------------------- */

const char *kj_dir(const struct kj_args *args)
{
    const char *dir = kj_args_get(args, "dir");
    if (dir != NULL && dir[0] == '\0')
        kj_usage(args, "The directory's name is empty");
    return dir != NULL ? dir : "./kaja-data";
}

static void tell_event(void *arg, const struct kaja_event *event)
{
    (void)arg;
    if (event->topic != NULL && event->partition >= 0)
        kj_complain("kaja: %s-%d: %s", event->topic, (int)event->partition, event->text);
    else
        kj_complain("kaja: %s", event->text);
}

static void check_replication_factor(const struct kj_args *args)
{
    int64_t factor = kj_args_int(args, "replication-factor", 1, INT64_MIN, INT64_MAX);
    if (factor == 1 || factor == -1)
        return;
    kj_complain("Unable to replicate the partition %lld time(s): The target replication factor of "
                "%lld cannot be reached because only 1 broker(s) are registered.",
                (long long)factor, (long long)factor);
    exit(KJ_EXIT_FAILURE);
}

struct kaja_store *kj_tool_open(const struct kj_args *args, struct kaja_conf *conf,
                                enum kj_open_mode mode)
{
    const char *dir = kj_dir(args);
    check_replication_factor(args);
    struct kaja_conf *own = conf == NULL ? kj_conf_from_args(args) : NULL;
    conf = conf == NULL ? own : conf;
    if (mode == KJ_OPEN_READ_ONLY)
        set_or_exit(args, conf, "kaja.read.only", "true");
    if (mode != KJ_OPEN_CREATE)
        set_or_exit(args, conf, "kaja.create", "false");
    const char *create = kaja_conf_get(conf, "kaja.create");
    bool made = create != NULL && strcmp(create, "true") == 0; /* or the error says why not */
    struct kaja_store *store;
    int err = kaja_store_open(dir, conf, &store);
    kaja_conf_free(own);
    if (err == KAJA_ERR_NO_DIRECTORY && !made) {
        kj_complain("no kaja directory at %s (--dir names another; kaja topics --create, kaja "
                    "produce and kaja demo make one)",
                    dir);
        exit(KJ_EXIT_FAILURE);
    }
    if (err != 0) {
        kj_complain_err(err, "kaja: cannot open %s", dir);
        exit(KJ_EXIT_FAILURE);
    }
    kaja_store_on_event(store, tell_event, NULL);
    return store;
}

int kj_tool_close(struct kaja_store *store, int status)
{
    int err = kaja_store_close(store);
    if (err == 0)
        return status;
    kj_complain_err(err, "kaja: closing the directory failed");
    return status != 0 ? status : KJ_EXIT_FAILURE;
}

bool kj_store_flag(struct kaja_store *store, const char *name, bool fallback)
{
    struct kaja_config_list *list;
    if (kaja_admin_configs(store, NULL, &list) != 0)
        return fallback;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->entries[i].name, name) == 0 && list->entries[i].value != NULL)
            fallback = strcasecmp(list->entries[i].value, "true") == 0;
    kaja_config_list_free(list);
    return fallback;
}

int kj_topic_ensure(struct kaja_store *store, const char *topic, bool may_create)
{
    struct kaja_topic_list *list;
    int err = kaja_admin_topic(store, topic, &list);
    if (err == 0) {
        kaja_topic_list_free(list);
        return 0;
    }
    if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION) {
        if (!may_create || !kj_store_flag(store, "auto.create.topics.enable", true)) {
            kj_complain(
                "Topic '%s' does not exist (UNKNOWN_TOPIC_OR_PARTITION); make it with: kaja "
                "topics --create --topic %s",
                topic, topic);
            return KJ_EXIT_FAILURE;
        }
        err = kaja_admin_create_topic(store, topic, -1, NULL);
        if (err == 0) {
            kj_complain(
                "WARN topic '%s' did not exist (UNKNOWN_TOPIC_OR_PARTITION) and was created",
                topic);
            return 0;
        }
        if (err == KAJA_ERR_TOPIC_ALREADY_EXISTS)
            return 0; /* another process was faster */
    }
    kj_complain_err(err, "kaja: topic '%s'", topic);
    return KJ_EXIT_FAILURE;
}

/* --- signals ------------------------------------------------------------------------------ */

/* Written by the handler, in whichever thread the signal meets, and read by all. */
static _Atomic int caught_signal;
static struct kaja_consumer *_Atomic woken_consumer;
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int saved = errno;
    caught_signal = number;
    struct kaja_consumer *consumer = woken_consumer;
    if (consumer != NULL)
        kaja_consumer_wakeup(consumer);
    /* A full pipe is readable already, so a failed write loses nothing. */
    ssize_t n = write(signal_pipe[1], "", 1);
    (void)n;
    errno = saved;
}

void kj_signals_catch(struct kaja_consumer *consumer)
{
    woken_consumer = consumer;
    if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        kj_complain("kaja: cannot make a pipe: %s", strerror(errno));
        exit(KJ_EXIT_FAILURE);
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        /* What the parent made us ignore (nohup, a background job) stays ignored. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

void kj_signals_forget_consumer(void)
{
    woken_consumer = NULL;
}

int kj_signal_status(void)
{
    int number = caught_signal;
    return number != 0 ? 128 + number : 0;
}

int kj_wait_readable(int fd, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = signal_pipe[0], .events = POLLIN}};
    if (caught_signal != 0)
        return -1;
    int n = poll(fds, signal_pipe[0] >= 0 ? 2 : 1, timeout_ms);
    if (caught_signal != 0)
        return -1;
    if (n <= 0)
        return 0;
    return fds[0].revents != 0;
}

/* --- time --------------------------------------------------------------------------------- */

int64_t kj_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t kj_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
