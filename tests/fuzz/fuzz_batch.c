/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_batch.c - bytes as a whole batch: looked at, validated, read. Once as they are,
 * once with magic, length and checksum put right, so that what lies behind these is reached.
 */
#include "record/batch_reader.h"
#include "record/control.h"
#include "record/validate.h"

#include <stdint.h>
#include <stdlib.h>

enum { LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

/* Every byte of the views, so that a sanitizer sees one that lies outside. */
static unsigned touch(const uint8_t *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i];
    return sum;
}

static volatile unsigned read_sum; /* so that the reads are not left out */

/* Returns the number of records, or -1. */
static int read_all(const uint8_t *data, size_t size, struct kj_buffer *plain)
{
    struct kj_batch_reader reader;
    if (kj_batch_reader_init(&reader, data, size, plain, LIMIT) != 0)
        return -1;
    struct kj_record_view view;
    unsigned sum = 0;
    int records = 0, more, type;
    int32_t epoch;
    for (; (more = kj_batch_reader_next(&reader, &view)) > 0; records++) {
        sum += touch(view.key, view.key_bytes) + touch(view.value, view.value_bytes);
        const uint8_t *p = view.headers, *end = view.headers + view.headers_bytes;
        for (int32_t i = 0; i < view.header_count; i++) {
            struct kj_header header;
            p = kj_header_decode(p, end, &header);
            check(p != NULL);
            sum += touch((const uint8_t *)header.key, header.key_bytes);
            sum += touch(header.value, header.value_bytes);
        }
        check(p == end);
        (void)kj_control_decode(&view, &type, &epoch);
        sum += (unsigned)kj_batch_record_timestamp(&reader.batch, &view);
    }
    if (more < 0)
        check(kj_batch_reader_fault(&reader) != 0);
    read_sum = sum;
    return more < 0 ? -1 : records;
}

static void run(const uint8_t *data, size_t size)
{
    static struct kj_buffer plain;
    struct kj_batch batch;
    if (kj_batch_look(data, size, &batch) == KJ_BATCH_OK) {
        check(kj_batch_bytes(&batch) <= size);
        (void)kj_batch_crc_ok(data, kj_batch_bytes(&batch));
        (void)read_all(data, kj_batch_bytes(&batch), &plain);
    }
    (void)read_all(data, size, &plain);
    for (unsigned kind = 0; kind < 4; kind++) {
        const struct kj_validate_options options = {.client = kind & 1,
                                                    .compacted = kind & 2,
                                                    .now_ms = 1700000000000,
                                                    .before_max_ms = INT64_MAX,
                                                    .after_max_ms = 3600000,
                                                    .max_bytes = LIMIT,
                                                    .plain_max_bytes = LIMIT,
                                                    .plain = &plain};
        int64_t max_timestamp;
        /* What is let in can be read. */
        if (kj_batch_validate(data, size, &options, &batch, &max_timestamp) == 0)
            check(read_all(data, size, &plain) == batch.count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(data, size);
    if (size < KJ_BATCH_HEADER_BYTES || size > LIMIT)
        return 0;
    uint8_t *copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);
    kj_batch_assign(copy, 0, -1);
    copy[KJ_BATCH_MAGIC_AT] = KJ_BATCH_MAGIC;
    kj_put_be32(copy + KJ_BATCH_LENGTH_AT, (uint32_t)(size - KJ_BATCH_LENGTH_OVERHEAD));
    kj_batch_set_crc(copy, size);
    run(copy, size);
    free(copy);
    return 0;
}
