/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 10_shutdown - commits without waiting while it runs, and with waiting when it is told to stop.
 *
 *     10_shutdown DIRECTORY
 *
 * An asynchronous commit costs the reading no flush of the disk. Should one fail, the next, which
 * says more, makes up for it; only behind the last there is no next, so that one is waited for.
 * After SIGINT or SIGTERM the next run begins exactly where this one ended. A kill -9 or a power
 * cut is as in 07_at_least_once: what was done since the last commit is done again.
 */
#include <kaja.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct kaja_consumer *consumer;

static void must(const char *what, int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    exit(1);
}

/* One of the few calls that are allowed in a signal handler. */
static void stop(int signal_number)
{
    (void)signal_number;
    kaja_consumer_wakeup(consumer);
}

/* Runs inside a later poll or commit, in this thread. */
static void committed(void *arg, int error)
{
    (void)arg;
    if (error != 0)
        fprintf(stderr, "commit: %s\n", kaja_error_name(error));
}

/* The last moment before partitions go to another member. It waits too: of commits that are still
 * on their way the other would not know yet. */
static void revoked(void *arg, struct kaja_consumer *from,
                    const struct kaja_topic_partition *partitions, size_t count)
{
    (void)arg;
    (void)partitions;
    (void)count;
    committed(NULL, kaja_consumer_commit(from, NULL, 0, 10000));
}

static void work(const struct kaja_record_view *record)
{
    printf("%lld: %.*s\n", (long long)record->offset, (int)record->value_bytes,
           (const char *)record->value);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const topic = "lines";
    struct kaja_rebalance_listener listener = KAJA_REBALANCE_LISTENER_INIT;
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    struct kaja_conf *conf;
    struct kaja_store *store;
    int error;

    if (argc != 2)
        return 2;
    must("properties", kaja_conf_new(&conf));
    must("properties", kaja_conf_set(conf, "group.id", "shutdown"));
    must("properties", kaja_conf_set(conf, "auto.offset.reset", "earliest"));
    must("properties", kaja_conf_set(conf, "enable.auto.commit", "false"));
    must(argv[1], kaja_store_open(argv[1], NULL, &store));
    must("consumer", kaja_consumer_open(store, conf, &consumer));
    kaja_conf_free(conf);
    listener.revoked = revoked;
    must("subscribe", kaja_consumer_subscribe(consumer, &topic, 1, &listener));
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    for (;;) {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        error = kaja_consumer_poll(consumer, 1000, &batch);
        if (error == KAJA_ERR_INTERRUPTED)
            break; /* stop() */
        if (error == KAJA_ERR_UNKNOWN_MEMBER_ID)
            continue; /* was away for too long; the next poll joins the group anew */
        must("poll", error);
        size_t count = kaja_batch_count(batch);
        while (kaja_batch_next(batch, &record))
            work(&record);
        kaja_batch_release(batch);
        if (count > 0)
            must("commit", kaja_consumer_commit_async(consumer, NULL, 0, committed, NULL));
    }

    /* Everything that a poll returned was worked on. */
    committed(NULL, error = kaja_consumer_commit(consumer, NULL, 0, 10000));
    must("close", kaja_consumer_close(consumer, 10000));
    must("close", kaja_store_close(store));
    return error != 0;
}
