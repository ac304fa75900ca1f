/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/sim/sim_io.h - a disk in memory that forgets. It gives exactly what os/io.h promises and no
 * more: several kj_io ("processes") work on one disk, and a power cut leaves what was synced, and
 * of the rest whatever the seed says.
 *
 * How it forgets
 *   bytes  Each file has what was last synced and a list of writes and size changes since. A cut
 *          keeps, drops or tears each write in pieces of 512 bytes; the size is any of those the
 * file had since the last sync, whatever became of the bytes (zeros where none were kept). names
 * Each directory has the names that were last synced; the changes since are a list in order, of
 * which a cut keeps the beginning. Syncing a directory keeps its changes, and older ones elsewhere
 * only as far as they concern the same names and files. a failed sync  Each piece that was to be
 * written either reached the disk or never will: the cache still shows it, the next sync succeeds,
 * a cut or a KJ_IO_DIRECT read shows the old bytes.
 *
 * Everything follows from the seeds. Memory shortage in here ends the test. Threads: any.
 */
#ifndef SIM_IO_H
#define SIM_IO_H

#include "os/clock.h"
#include "os/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kj_sim;

/* seed: for what failed syncs and failed writes leave. */
struct kj_sim *kj_sim_new(uint64_t seed);
/* Every kj_io of it must be destroyed. */
void kj_sim_free(struct kj_sim *sim);

/* One process's access to the disk; kj_io_destroy() ends it. */
struct kj_io *kj_sim_open(struct kj_sim *sim, bool read_only, kj_io_step *step, void *step_arg);

enum kj_sim_crash_mode {
    KJ_SIM_CRASH_DROP,   /* only what was synced */
    KJ_SIM_CRASH_KEEP,   /* everything, as if synced */
    KJ_SIM_CRASH_PREFIX, /* everything up to a moment, the write at that moment torn */
    KJ_SIM_CRASH_RANDOM, /* each piece of 512 bytes by itself; some torn inside */
    KJ_SIM_CRASH_SIZES,  /* newest sizes, no bytes: zeros */
    KJ_SIM_CRASH_TORN,   /* all but a part of each file's last write */
    KJ_SIM_CRASH_MODES
};

/* The power cut: what was open before gives EIO from now on (it may be closed, unmapped,
 * destroyed), maps keep showing the old bytes; new kj_io see what is left. */
void kj_sim_crash(struct kj_sim *sim, uint64_t seed, enum kj_sim_crash_mode cut);
/* The same on a copy, for trying many cuts at one moment; free it with kj_sim_free(). */
struct kj_sim *kj_sim_crash_copy(struct kj_sim *sim, uint64_t seed, enum kj_sim_crash_mode cut);
/* All that was done is on the disk, as after a long while. Not what a failed sync lost. */
void kj_sim_settle(struct kj_sim *sim);

/* The nth operation from now (1: the next) of this name (as told to kj_io_step; NULL: any) fails
 * with err, and with sticky all after it. A failing pwrite may have written a part. 0: no more. */
void kj_sim_fail(struct kj_sim *sim, const char *op, uint64_t nth, int err, bool sticky);
/* How many operations of this name (NULL: all) there were. */
uint64_t kj_sim_count(struct kj_sim *sim, const char *op);

/* Bytes of the disk (ENOSPC) and of a file made later (EFBIG; 64 MiB if never set). 0: as it is. */
void kj_sim_limit(struct kj_sim *sim, int64_t disk_bytes, int64_t file_bytes);
/* For times of files; without one they are 0. */
void kj_sim_clock(struct kj_sim *sim, const struct kj_clock *clock);

/* Bit rot: changes the bytes of a file on the disk and in the cache, behind everybody's back. False
 * if the file is not there or shorter. */
bool kj_sim_rot(struct kj_sim *sim, const char *path, int64_t pos, const void *bytes, size_t len);

#endif
