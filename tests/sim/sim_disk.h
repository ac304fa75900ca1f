/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/sim/sim_disk.h - private to the simulated disk: sim_file.c (bytes), sim_names.c (names),
 * sim_cut.c (power cuts), sim_io.c (the table of operations, faults).
 *
 * Everything is under sim->mutex.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/sim_io.h"

#include <pthread.h>

enum { SIM_SECTOR = 512, SIM_PAGE = 4096 };

/* A change of a file since its last sync. data NULL: only the size changes. */
struct sim_change {
    uint64_t seq; /* order among all changes of the disk, names too */
    int64_t pos;
    size_t len;
    uint8_t *data;
    int64_t size_after;
};

struct sim_entry {
    char *name;
    struct sim_node *node;
};

struct sim_entries {
    struct sim_entry *items;
    size_t count, capacity;
};

/* A file or a directory. Held by names (seen and synced), pending name changes, open files and
 * maps. */
struct sim_node {
    struct kj_sim *sim;
    struct sim_node *next, *prev; /* all nodes of the disk */
    uint64_t ino;
    unsigned refs;
    bool dir;
    int64_t mtime_ms;
    /* a file: what everybody sees. The bytes never move, for maps. */
    uint8_t *bytes;
    int64_t size, capacity;
    /* a file: what is on the disk, and what is not yet */
    uint8_t *synced;
    int64_t synced_size, synced_capacity;
    struct sim_change *changes;
    size_t change_count, change_capacity;
    uint8_t *lost; /* a byte a sector: seen, but never written by a failed sync; NULL: none */
    /* a directory */
    struct sim_entries names, synced_names, cut_names;
};

/* One or two names that change together. */
struct sim_rename {
    uint64_t seq;
    size_t count;
    struct {
        struct sim_node *dir;
        char *name;
        struct sim_node *node; /* NULL: the name goes */
    } part[2];
};

struct sim_count {
    const char *op;
    uint64_t count;
};

struct kj_sim {
    pthread_mutex_t mutex;
    uint64_t random;
    uint64_t seq, next_ino;
    unsigned power_cuts; /* a kj_io of an older time is dead */
    struct sim_node *root;
    struct sim_node *nodes;
    struct sim_rename *renames; /* not yet synced, in order */
    size_t rename_count, rename_capacity;
    int64_t used_bytes, disk_bytes, file_bytes;
    const struct kj_clock *clock;
    /* faults */
    const char *fail_op;
    uint64_t fail_in; /* 0: none */
    int fail_errno;
    bool fail_sticky, fail_now;
    struct sim_count counts[24];
};

/* sim_io.c */
void *sim_alloc(size_t bytes); /* zeroed; ends the test when there is none */
void sim_grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes);
uint64_t sim_random(uint64_t *state);

/* sim_file.c */
struct sim_node *sim_node_new(struct kj_sim *sim, bool dir);
void sim_node_hold(struct sim_node *node);
void sim_node_release(struct sim_node *node);
/* ENOSPC, EFBIG; what fits is written. */
int sim_file_write(struct sim_node *node, const uint8_t *from, size_t len, int64_t pos);
int sim_file_resize(struct sim_node *node, int64_t size);
size_t sim_file_read(const struct sim_node *node, uint8_t *to, size_t len, int64_t pos,
                     bool direct);
void sim_file_sync(struct sim_node *node);
void sim_file_sync_failed(struct sim_node *node);
/* The bytes on the disk take a change, or a part [from, to) of its data. */
void sim_synced_size(struct sim_node *node, int64_t size);
void sim_synced_write(struct sim_node *node, const struct sim_change *change, size_t from,
                      size_t to);
void sim_changes_clear(struct sim_node *node);

/* sim_names.c */
struct sim_node *sim_entries_get(const struct sim_entries *entries, const char *name);
/* node NULL removes. Holds and releases. */
void sim_entries_set(struct sim_entries *entries, const char *name, struct sim_node *node);
void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from);
void sim_entries_clear(struct sim_entries *entries);
/* The node under a path ("" is the root): ENOENT, ENOTDIR. */
int sim_find(struct kj_sim *sim, const char *path, struct sim_node **ret_node);
/* The directory of a path's last component. */
int sim_find_parent(struct kj_sim *sim, const char *path, struct sim_node **ret_dir,
                    const char **ret_leaf);
/* Changes names as everybody sees them and notes it for the next sync. dir2 NULL: one change. */
void sim_names_change(struct kj_sim *sim, struct sim_node *dir, const char *name,
                      struct sim_node *node, struct sim_node *dir2, const char *name2,
                      struct sim_node *node2);
void sim_names_sync(struct kj_sim *sim, struct sim_node *dir); /* NULL: all */
void sim_renames_clear(struct kj_sim *sim);

#endif
