/* SPDX-License-Identifier: BSD-2-Clause
 *
 * records [-w] DIR TOPIC read_uncommitted|read_committed [FROM-OFFSET | @FROM-TIMESTAMP]
 * records [-w] DIR TOPIC offsets TIMESTAMP...
 * records keys COUNT          the partition of each key on stdin, in hex, a line each
 * records serde               "TYPE HEX" lines on stdin: the value, and the bytes it becomes again
 *
 * What Peer.java prints of a broker, of a directory; -w opens it for writing, so that it is recovered
 * and adopted if need be.
 */
#include "crash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_bytes(const void *bytes, size_t count)
{
    if (bytes == NULL) {
        putchar('-');
        return;
    }
    putchar('x');
    for (size_t i = 0; i < count; i++) {
        static const char digits[] = "0123456789abcdef";
        unsigned byte = ((const unsigned char *)bytes)[i];
        putchar(digits[byte >> 4]);
        putchar(digits[byte & 15]);
    }
}

static void print_record(const struct kaja_record_view *record)
{
    printf("%" PRId32 " %" PRId64 " %" PRId64 " %c ", record->partition, record->offset,
           record->timestamp, record->timestamp_type == KAJA_LOG_APPEND_TIME ? 'L' : 'C');
    print_bytes(record->key, record->key_bytes);
    putchar(' ');
    print_bytes(record->value, record->value_bytes);
    for (size_t i = 0; i < record->header_count; i++) {
        struct kaja_header header;
        MUST(kaja_record_header(record, i, &header));
        putchar(i == 0 ? ' ' : ',');
        print_bytes(header.key, header.key_bytes);
        putchar('=');
        print_bytes(header.value, header.value_bytes);
    }
    putchar('\n');
}

static void print_partition(struct kaja_store *store, const char *topic, int32_t partition,
                            const char *isolation, const char *from)
{
    struct kaja_consumer *consumer = open_consumer(
        store, conf("isolation.level", isolation, "auto.offset.reset", "earliest", NULL));
    struct kaja_topic_partition assigned = {topic, partition, 0};
    struct kaja_partition_info info;
    MUST(kaja_admin_partition(store, topic, partition, &info));
    int64_t end = strcmp(isolation, "read_committed") == 0 ? info.last_stable_offset
                                                           : info.high_watermark;
    int64_t position = info.log_start_offset;
    MUST(kaja_consumer_assign(consumer, &assigned, 1));
    if (from == NULL)
        MUST(kaja_consumer_seek_to_beginning(consumer, topic, partition));
    else if (from[0] == '@')
        MUST(kaja_consumer_seek_to_timestamp(consumer, topic, partition, strtoll(from + 1, NULL, 10)));
    else
        MUST(kaja_consumer_seek(consumer, topic, partition, strtoll(from, NULL, 10)));
    for (int64_t give_up = now_ns() + 10000 * MS_NS; position < end;) {
        struct kaja_batch *batch;
        struct kaja_record_view record;
        MUST(kaja_consumer_poll(consumer, 10, &batch));
        while (kaja_batch_next(batch, &record))
            print_record(&record);
        kaja_batch_release(batch);
        int64_t before = position;
        MUST(kaja_consumer_position(consumer, topic, partition, &position));
        if (position > before)
            give_up = now_ns() + 10000 * MS_NS;
        CHECK(now_ns() < give_up, "%s-%d: stays at %" PRId64 " of %" PRId64, topic, (int)partition,
              position, end);
    }
    MUST(kaja_consumer_close(consumer, -1));
}

static void print_offsets(struct kaja_store *store, const char *topic, int32_t count,
                          const char *timestamp)
{
    int64_t wanted = strtoll(timestamp, NULL, 10);
    for (int32_t p = 0; p < count; p++) {
        int64_t offset, found;
        MUST(kaja_admin_offset_for_time(store, topic, p, wanted, 0, &offset, &found));
        if (offset == KAJA_OFFSET_NONE)
            offset = -1;
        printf("%" PRId32 " %s %" PRId64 "\n", p, timestamp, offset);
    }
}

static size_t from_hex(const char *hex, unsigned char *bytes)
{
    size_t len = strcspn(hex, "\n") / 2;
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return len;
}

#define NUMBER(name, type, bytes, value)                                                           \
    if (strcmp(what, #name) == 0) {                                                                \
        type number;                                                                               \
        if (kaja_decode_##name(in, len, &number) != 0)                                             \
            return false;                                                                          \
        printf("%" PRId64 " ", value);                                                             \
        kaja_encode_##name(number, again);                                                         \
        print_bytes(again, bytes);                                                                 \
        return true;                                                                               \
    }

/* A float as the whole part of its 1024-fold, as Peer.java has it. False: it is refused. */
static bool print_serde(const char *what, const unsigned char *in, size_t len)
{
    unsigned char again[KAJA_UUID_BYTES];
    NUMBER(int16, int16_t, KAJA_INT16_BYTES, (int64_t)number)
    NUMBER(int32, int32_t, KAJA_INT32_BYTES, (int64_t)number)
    NUMBER(int64, int64_t, KAJA_INT64_BYTES, number)
    NUMBER(float, float, KAJA_FLOAT_BYTES, (int64_t)((double)number * 1024))
    NUMBER(double, double, KAJA_DOUBLE_BYTES, (int64_t)(number * 1024))
    if (strcmp(what, "uuid") == 0) {
        uint8_t uuid[16];
        if (kaja_decode_uuid(in, len, uuid) != 0)
            return false;
        for (size_t i = 0; i < sizeof uuid; i++)
            printf("%02x", uuid[i]);
        kaja_encode_uuid(uuid, again);
        putchar(' ');
        print_bytes(again, KAJA_UUID_BYTES);
        return true;
    }
    char text[301];
    const void *bytes;
    size_t count;
    int characters = 0;
    if (kaja_decode_string(in, len, text, sizeof text) != 0)
        return false;
    for (size_t i = 0; i < len; i++)
        characters += (text[i] & 0xc0) != 0x80;
    printf("%d ", characters);
    MUST(kaja_encode_string(text, &bytes, &count));
    print_bytes(bytes, count);
    return true;
}

static void print_serdes(void)
{
    char line[2 * 300 + 20];
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned char bytes[300];
        char *hex = strchr(line, ' ') + 1;
        size_t len = from_hex(hex, bytes);
        hex[-1] = 0;
        printf("%s ", line);
        if (!print_serde(line, bytes, len))
            printf("error");
        putchar('\n');
    }
}

static void print_partitions(int32_t count)
{
    char line[2 * 300 + 2];
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned char key[300];
        size_t len = from_hex(line, key);
        printf("%" PRId32 "\n", kaja_partition_for_key(key, len, count));
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "keys") == 0) {
        print_partitions((int32_t)atoi(argv[2]));
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "serde") == 0) {
        print_serdes();
        return 0;
    }
    bool writable = argc > 1 && strcmp(argv[1], "-w") == 0;
    argc -= writable;
    argv += writable;
    if (argc < 4)
        die("records [-w] DIR TOPIC ISOLATION|offsets [FROM|TIMESTAMP...]");
    struct kaja_store *store =
        open_store(argv[1], writable ? NULL : conf("kaja.read.only", "true", NULL));
    struct kaja_topic_list *list;
    MUST(kaja_admin_topic(store, argv[2], &list));
    int32_t count = list->topics[0].partition_count;
    if (strcmp(argv[3], "offsets") == 0)
        for (int i = 4; i < argc; i++)
            print_offsets(store, argv[2], count, argv[i]);
    else
        for (int32_t p = 0; p < count; p++)
            print_partition(store, argv[2], p, argv[3], argc > 4 ? argv[4] : NULL);
    kaja_topic_list_free(list);
    MUST(kaja_store_close(store));
    return 0;
}
