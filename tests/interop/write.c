/* SPDX-License-Identifier: BSD-2-Clause
 *
 * write DIR: topics that show what a writer can do, for Apache Kafka to look at:
 *
 *     none gzip snappy lz4 zstd   each codec; headers, null keys, null values, many small segments
 *     append-time                 LogAppendTime
 *     shared                      batches of three processes, one after the other killed
 *     shortened                   records deleted up to an offset, and old segments by size
 *     compacted                   by a round or more, tombstones among the records; every codec
 *
 * Random from KJ_SEED. The directory is closed cleanly at the end.
 */
#include "crash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t seed;
static const char *dir;

/* As draw() of Peer.java, in spirit: keys that come again, nulls, headers, now and then a long value. */
static void send_some(struct kaja_producer *producer, const char *topic, int32_t partitions, int count,
                      struct rng *rng)
{
    static char value[8000];
    for (int i = 0; i < count; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        struct kaja_header headers[3] = {{"h", 1, "v", 1}, {"null", 4, NULL, 0}, {"h", 1, "", 0}};
        char key[24];
        record.topic = topic;
        record.partition = (int32_t)rng_below(rng, (uint32_t)partitions);
        record.timestamp = INT64_C(1700000000000) + i * 7 - rng_below(rng, 20);
        if (rng_below(rng, 5) > 0) {
            record.key = key;
            record.key_bytes = (size_t)snprintf(key, sizeof key, "key-%u", rng_below(rng, 40));
        }
        if (rng_below(rng, 12) > 0 || record.key == NULL) {
            record.value = value;
            record.value_bytes = rng_below(rng, rng_below(rng, 20) == 0 ? sizeof value : 120);
            for (size_t j = 0; j < record.value_bytes; j++)
                value[j] = (char)(rng_below(rng, 4) == 0 ? rng_below(rng, 256) : 'a' + j % 26);
        }
        if (rng_below(rng, 10) == 0) {
            record.headers = headers;
            record.header_count = 1 + rng_below(rng, 3);
        }
        MUST(kaja_producer_produce(producer, &record, NULL, NULL));
    }
}

static void fill(struct kaja_store *store, const char *topic, const char *codec, int count,
                 struct kaja_conf *topic_conf)
{
    struct rng rng = {seed + (uint64_t)topic[0]};
    make_topic(store, topic, 3, topic_conf);
    struct kaja_producer *producer =
        open_producer(store, conf("compression.type", codec, "batch.size", "3000", NULL));
    send_some(producer, topic, 3, count, &rng);
    MUST(kaja_producer_flush(producer, -1));
    MUST(kaja_producer_close(producer, -1));
}

static uint64_t metric_of(struct kaja_store *store, const char *name)
{
    struct kaja_metric metrics[64];
    size_t count = kaja_metrics(store, metrics, 64);
    for (size_t i = 0; i < count; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return (uint64_t)metrics[i].value;
    CHECK(false, "no metric %s", name);
    return 0;
}

/* Every record has a key. Waits until each of the three partitions is compacted, twice: the second
 * time small segments become larger ones. */
static void fill_compacted(struct kaja_store *store, const char *const *codecs, size_t codec_count)
{
    struct rng rng = {seed + 77};
    make_topic(store, "compacted", 3,
               conf("cleanup.policy", "compact", "segment.bytes", "20000",
                    "min.cleanable.dirty.ratio",
                    "0.01", NULL));
    for (size_t part = 0; part < 2; part++) {
        for (size_t c = 0; c < codec_count; c++) {
            struct kaja_producer *producer = open_producer(
                store, conf("compression.type", codecs[c], "batch.size", "2000", NULL));
            for (int i = 0; i < 1500; i++) {
                struct kaja_record record = KAJA_RECORD_INIT;
                char key[24], value[64];
                record.topic = "compacted";
                record.partition = i % 3;
                record.timestamp = INT64_C(1700000000000) + i;
                record.key = key;
                record.key_bytes = (size_t)snprintf(key, sizeof key, "key-%u", rng_below(&rng, 60));
                if (rng_below(&rng, 8) > 0) {
                    record.value = value;
                    record.value_bytes = (size_t)snprintf(value, sizeof value, "%s %d of part %zu",
                                                          codecs[c], i, part);
                }
                MUST(kaja_producer_produce(producer, &record, NULL, NULL));
            }
            MUST(kaja_producer_close(producer, -1));
        }
        for (int i = 0; metric_of(store, "compactions") < 3 * (part + 1); i++) {
            CHECK(i < 3000, "nothing was compacted");
            nap_us(10000);
        }
    }
}

static void write_and_die(void *arg)
{
    struct rng rng = {seed + (uint64_t) *(int *)arg};
    struct kaja_store *store = open_store(dir, NULL);
    struct kaja_producer *producer =
        open_producer(store, conf("acks", "1", "compression.type", random_codec(&rng), NULL));
    for (;;) {
        send_some(producer, "shared", 3, 20, &rng);
        MUST(kaja_producer_flush(producer, -1));
        nap_us(2000);
    }
}

int main(int argc, char **argv)
{
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    if (argc != 2)
        die("write DIR");
    dir = argv[1];
    seed = begin(120);
    struct kaja_store *store = open_store(dir, conf("log.cleaner.backoff.ms", "100", NULL));
    fill_compacted(store, codecs, sizeof codecs / sizeof codecs[0]);
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        fill(store, codecs[i], codecs[i], 3000, conf("segment.bytes", "30000", "retention.ms", "-1", NULL));
    fill(store, "append-time", "none", 500,
         conf("message.timestamp.type", "LogAppendTime", "segment.bytes", "10000", NULL));
    fill(store, "shortened", "none", 2000,
         conf("segment.bytes", "10000", "retention.ms", "-1", "retention.bytes", "100000", NULL));
    int64_t low;
    MUST(kaja_admin_delete_records(store, "shortened", 1, 400, &low));
    make_topic(store, "shared", 3, conf("segment.bytes", "30000", "retention.ms", "-1", NULL));
    MUST(kaja_store_close(store));

    /* The last one dies with nobody left: the directory is recovered by the next opening. */
    pid_t children[3];
    int numbers[3] = {1, 2, 3};
    for (int i = 0; i < 3; i++)
        children[i] = child_start(write_and_die, &numbers[i]);
    for (int i = 0; i < 3; i++) {
        nap_us(300000);
        child_kill(children[i]);
    }
    store = open_store(dir, NULL);
    struct kaja_partition_info info;
    MUST(kaja_admin_partition(store, "shared", 0, &info));
    CHECK(info.end_offset > 0, "nothing was written by the three");
    MUST(kaja_admin_partition(store, "shortened", 1, &info));
    CHECK(info.log_start_offset >= 400, "nothing was deleted");
    MUST(kaja_store_close(store));
    return 0;
}
