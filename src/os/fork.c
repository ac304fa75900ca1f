/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/fork.h"

#include "base/lock.h"

#include <stddef.h>

/* The lock is held across fork(), so that the child sees a whole list and can use it. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct kj_lock lock;
static struct kj_fork_node *nodes;
static int once_err;

static void before_fork(void)
{
    kj_lock_acquire(&lock);
}

static void after_in_parent(void)
{
    kj_lock_release(&lock);
}

static void after_in_child(void)
{
    while (nodes != NULL) {
        struct kj_fork_node *node = nodes;
        nodes = node->next;
        node->linked = false;
        node->child(node);
    }
    kj_lock_release(&lock);
}

static void init(void)
{
    kj_lock_init(&lock, KJ_RANK_LEAF);
    once_err = pthread_atfork(before_fork, after_in_parent, after_in_child);
}

void kj_fork_hold(void)
{
    pthread_once(&once, init);
    kj_lock_acquire(&lock);
}

void kj_fork_allow(void)
{
    kj_lock_release(&lock);
}

int kj_fork_watch(struct kj_fork_node *node, void (*child)(struct kj_fork_node *node))
{
    pthread_once(&once, init);
    if (once_err != 0)
        return once_err;
    kj_fork_hold();
    *node = (struct kj_fork_node){.next = nodes, .child = child, .linked = true};
    if (nodes != NULL)
        nodes->prev = node;
    nodes = node;
    kj_fork_allow();
    return 0;
}

void kj_fork_unwatch(struct kj_fork_node *node)
{
    kj_fork_hold();
    if (node->linked) {
        if (node->prev != NULL)
            node->prev->next = node->next;
        else
            nodes = node->next;
        if (node->next != NULL)
            node->next->prev = node->prev;
        node->linked = false;
    }
    kj_fork_allow();
}
