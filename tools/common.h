/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/common.h - what all commands share: memory, complaints, the store, signals.
 */
#ifndef KJ_TOOLS_COMMON_H
#define KJ_TOOLS_COMMON_H

#include "tools/args.h"

#include <kaja.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- memory: never NULL; without memory the program ends with a line and exit 1 --- */
void *kj_xmalloc(size_t bytes);
void *kj_xrealloc(void *p, size_t bytes);
char *kj_xstrdup(const char *text);
char *kj_xstrndup(const char *text, size_t bytes);
char *kj_xprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- output --- */
/* One line on stderr. Line breaks and other control characters inside become spaces. */
void kj_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `what: cause and remedy` of a failed call of the library, as one line. */
void kj_complain_err(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The library's story of the last failure, or the code's text if it told none. */
const char *kj_reason(int error);
/* Flushes stdout. A reader that went away is no failure; a full disk is. Returns the exit status.
 */
int kj_finish(int status);
/* 1 once nobody reads stdout any more, or it cannot be written. */
bool kj_stdout_broken(void);

/* --- properties and the store; all of these end the program on failure --- */
/* --command-config and --command-property as a bag. */
struct kaja_conf *kj_conf_from_args(const struct kj_args *args);
/* Sets a property that an option stands for. */
void kj_conf_set_option(const struct kj_args *args, struct kaja_conf *conf, const char *name,
                        const char *value);

enum kj_open_mode {
    KJ_OPEN_READ_ONLY, /* changes nothing, waits for nobody */
    KJ_OPEN_EXISTING,
    KJ_OPEN_CREATE /* makes the directory if there is none */
};
/* conf gets what the mode needs added; NULL: kj_conf_from_args() is used. */
struct kaja_store *kj_tool_open(const struct kj_args *args, struct kaja_conf *conf,
                                enum kj_open_mode mode);
/* Returns status, or 1 with a complaint if closing failed. */
int kj_tool_close(struct kaja_store *store, int status);
const char *kj_dir(const struct kj_args *args);

/* Makes sure that a topic exists that is to be produced to or consumed: makes it, with a line on
 * stderr, unless auto.create.topics.enable=false. 0, or the exit status after a complaint. */
int kj_topic_ensure(struct kaja_store *store, const char *topic, bool may_create);
/* 1 for true, 0 for false in the directory's own properties. */
bool kj_store_flag(struct kaja_store *store, const char *name, bool fallback);

/* --- signals of the commands that run long --- */
/* From now on SIGINT and SIGTERM only raise a flag and wake the consumer (may be NULL) and
 * kj_wait_readable(). A second signal of the kind ends the program at once. */
void kj_signals_catch(struct kaja_consumer *consumer);
void kj_signals_forget_consumer(void);
/* 0, or 128 + the number of the signal that came. */
int kj_signal_status(void);
/* Waits until fd can be read (1), the time is over (0) or a signal came (-1). */
int kj_wait_readable(int fd, int timeout_ms);

/* --- time --- */
int64_t kj_now_ns(void); /* monotonic */
int64_t kj_wall_ms(void);

#endif
