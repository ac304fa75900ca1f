/* SPDX-License-Identifier: BSD-2-Clause
 *
 * os/fork.h - what must happen in a child of fork() before anything else: descriptors that stand
 * for a living process are closed there, or the child would keep a dead parent's locks.
 */
#ifndef KJ_OS_FORK_H
#define KJ_OS_FORK_H

#include <stdbool.h>

struct kj_fork_node {
    struct kj_fork_node *next;
    struct kj_fork_node *prev;
    void (*child)(struct kj_fork_node *node); /* in the child: async-signal-safe calls only */
    bool linked;
};

/* While held, nobody can fork: for what must not happen between two steps. Nothing else is taken
 * inside. */
void kj_fork_hold(void);
void kj_fork_allow(void);

/* 0 or ENOMEM. */
int kj_fork_watch(struct kj_fork_node *node, void (*child)(struct kj_fork_node *node));
/* Nothing happens in a child, where every node was unlinked after its call. */
void kj_fork_unwatch(struct kj_fork_node *node);

#endif
