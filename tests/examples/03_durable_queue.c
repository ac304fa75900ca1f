/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 03_durable_queue - a queue of jobs that outlives its process: each put is on the disk before it
 * returns; a worker goes on where the one before it stopped.
 *
 *     03_durable_queue DIRECTORY put TEXT
 *     03_durable_queue DIRECTORY work
 *
 * The place of the worker is a topic too: the next offset to work on, after each job. Should the
 * worker die between a job and that note, the job is done again: at least once.
 */
#include <kaja.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(const char *what, int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    exit(1);
}

/* Returns when the text is on the disk, or ends the program. */
static void put(struct kaja_store *store, const char *topic, const char *text)
{
    struct kaja_producer *producer;
    struct kaja_metadata metadata;
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = topic;
    record.value = text;
    record.value_bytes = strlen(text);
    must("producer", kaja_producer_open(store, NULL, &producer));
    must("put", kaja_producer_send(producer, &record, 10000, &metadata));
    must("close", kaja_producer_close(producer, 0));
    printf("%s %lld: %s\n", topic, (long long)metadata.offset, text);
}

/* The last record of the topic "done" says where to go on. */
static int64_t place(struct kaja_store *store, struct kaja_consumer *consumer)
{
    struct kaja_topic_partition done = {.topic = "done", .partition = 0};
    struct kaja_partition_info info;
    struct kaja_batch *batch;
    struct kaja_record_view record;
    char text[24] = "0";
    int error = kaja_admin_partition(store, done.topic, 0, &info);
    if (error == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION || (error == 0 && info.high_watermark == 0))
        return 0; /* the first worker */
    must("done", error);
    must("assign", kaja_consumer_assign(consumer, &done, 1));
    must("seek", kaja_consumer_seek(consumer, done.topic, 0, info.high_watermark - 1));
    must("poll", kaja_consumer_poll(consumer, 1000, &batch));
    if (kaja_batch_next(batch, &record))
        (void)snprintf(text, sizeof text, "%.*s", (int)record.value_bytes,
                       (const char *)record.value);
    kaja_batch_release(batch);
    return strtoll(text, NULL, 10);
}

static void work(struct kaja_store *store)
{
    const struct kaja_topic_partition jobs = {.topic = "jobs", .partition = 0};
    struct kaja_consumer *consumer;
    struct kaja_batch *batch;
    struct kaja_record_view record;
    size_t count;
    must("consumer", kaja_consumer_open(store, NULL, &consumer));
    int64_t offset = place(store, consumer);
    must("assign", kaja_consumer_assign(consumer, &jobs, 1));
    must("seek", kaja_consumer_seek(consumer, jobs.topic, 0, offset));
    do {
        must("poll", kaja_consumer_poll(consumer, 100, &batch));
        count = kaja_batch_count(batch);
        while (kaja_batch_next(batch, &record)) {
            char next[24];
            printf("job %lld: %.*s\n", (long long)record.offset, (int)record.value_bytes,
                   (const char *)record.value);
            (void)snprintf(next, sizeof next, "%lld", (long long)record.offset + 1);
            put(store, "done", next);
        }
        kaja_batch_release(batch);
    } while (count > 0);
    must("close", kaja_consumer_close(consumer, 10000));
}

int main(int argc, char **argv)
{
    struct kaja_store *store;
    if (argc < 3)
        return 2;
    must(argv[1], kaja_store_open(argv[1], NULL, &store));
    if (strcmp(argv[2], "put") == 0 && argc == 4)
        put(store, "jobs", argv[3]);
    else
        work(store);
    must("close", kaja_store_close(store));
    return 0;
}
