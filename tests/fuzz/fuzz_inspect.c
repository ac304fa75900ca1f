/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_inspect.c - bytes as a .log and as each index: batches must lie one behind the
 * other and inside, and what is not theirs be counted.
 */
#include "log/inspect.h"

#include "memory_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
    const uint8_t *data;
    size_t size, at;
};

static int on_batch(void *arg, const struct kj_inspect_batch *batch)
{
    struct walk *walk = arg;
    size_t bytes = kj_batch_bytes(&batch->batch);
    check(batch->pos == (int64_t)walk->at && bytes <= walk->size - walk->at);
    check(memcmp(batch->bytes, walk->data + walk->at, bytes) == 0);
    walk->at += bytes;
    return 0;
}

static int on_entry(void *arg, const struct kj_inspect_entry *entry)
{
    (void)entry;
    ++*(size_t *)arg;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name;
        size_t entry_bytes;
    } indexes[] = {
        {"00000000000000000030.index", KJ_OFFSET_ENTRY_BYTES},
        {"00000000000000000030.timeindex", KJ_TIME_ENTRY_BYTES},
        {"00000000000000000030.txnindex", KJ_TXN_ENTRY_BYTES},
    };
    struct walk walk = {data, size, 0};
    int64_t trailing;
    struct kj_inspect inspect = {
        .io = &memory_io, .path = "x", .name = "x", .bytes = (int64_t)size, .partition = -1};
    memory_put("x", data, size);
    check(kj_io_open(&memory_io, "x", KJ_IO_READ, &inspect.file) == 0);
    if (kj_inspect_log(&inspect, -1, on_batch, &walk, &trailing) == 0)
        check(trailing == (int64_t)(size - walk.at));
    size_t whole = walk.at;
    walk.at = 0;
    /* It once was longer: no error, just fewer batches. */
    inspect.bytes = (int64_t)size + 1000;
    if (kj_inspect_log(&inspect, -1, on_batch, &walk, &trailing) == 0)
        check(walk.at <= whole + size);
    for (int i = 0; i < 3; i++) {
        size_t count = 0;
        inspect.name = indexes[i].name;
        (void)kj_inspect_index(&inspect, on_entry, &count);
        check(count <= size / indexes[i].entry_bytes);
    }
    kj_io_close(inspect.file);
    memory_clear();
    return 0;
}
