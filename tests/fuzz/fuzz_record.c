/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_record.c - bytes as records behind each other. Each that decodes is encoded
 * again, which gives the same record, in as many bytes as were said and no more than before.
 */
#include "record/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static void same(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    check((a == NULL) == (b == NULL) && a_bytes == b_bytes);
    check(a_bytes == 0 || memcmp(a, b, a_bytes) == 0);
}

static void encode_again(const struct kj_record_view *view)
{
    struct kj_header *headers = calloc((size_t)view->header_count + 1, sizeof *headers);
    check(headers != NULL);
    const uint8_t *p = view->headers, *end = view->headers + view->headers_bytes;
    for (int32_t i = 0; i < view->header_count; i++) {
        p = kj_header_decode(p, end, &headers[i]);
        check(p != NULL);
    }
    check(p == end);
    const struct kj_record record = {.key = view->key,
                                     .key_bytes = view->key_bytes,
                                     .value = view->value,
                                     .value_bytes = view->value_bytes,
                                     .headers = headers,
                                     .header_count = (size_t)view->header_count};
    size_t bytes = kj_record_bytes(&record, view->timestamp_delta, view->offset_delta);
    check(bytes <= view->bytes && bytes <= kj_record_bytes_max(&record));
    uint8_t *again = malloc(bytes);
    check(again != NULL);
    check(kj_record_encode(&record, view->timestamp_delta, view->offset_delta, again) ==
          again + bytes);
    struct kj_record_view back;
    check(kj_record_decode(again, again + bytes, &back) == again + bytes);
    check(back.timestamp_delta == view->timestamp_delta &&
          back.offset_delta == view->offset_delta && back.header_count == view->header_count &&
          back.bytes == bytes);
    same(back.key, back.key_bytes, view->key, view->key_bytes);
    same(back.value, back.value_bytes, view->value, view->value_bytes);
    free(again);
    free(headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data, *end = data + size;
    struct kj_record_view view;
    while (p < end) {
        const uint8_t *next = kj_record_decode(p, end, &view);
        if (next == NULL)
            break;
        check(next > p && next <= end && (size_t)(next - p) == view.bytes);
        encode_again(&view);
        p = next;
    }
    return 0;
}
