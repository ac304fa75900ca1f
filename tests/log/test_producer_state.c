/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Producer state against tables of what Kafka does, and the last stable offset against a plain
 * model.
 */
#include "golden.h"

#include "base/alloc.h"
#include "log/producer_state.h"
#include "record/control.h"

enum action { DATA, TXN, COMMIT, ABORT };

/* One append: what goes in, what comes out. */
struct step {
    enum action action;
    int64_t producer_id;
    int epoch;
    int sequence; /* of a marker: its coordinator epoch */
    int count;
    int error;
    int64_t duplicate_of; /* first offset of the original, -1 if it is appended */
};

/* A partition: the state, and the end of the log it follows. */
struct partition {
    struct kj_producers *producers;
    int64_t end;
    struct kj_txn_entry entry;
    bool ended;
};

static void begin(struct partition *p)
{
    *p = (struct partition){.end = 0};
    assert_ok(kj_producers_new(&p->producers));
}

static struct kj_batch batch_of(const struct partition *p, const struct step *s)
{
    bool marker = s->action == COMMIT || s->action == ABORT;
    return (struct kj_batch){
        .base_offset = p->end,
        .last_offset_delta = marker ? 0 : s->count - 1,
        .magic = 2,
        .attributes = (int16_t)(marker             ? KJ_ATTR_CONTROL | KJ_ATTR_TRANSACTIONAL
                                : s->action == TXN ? KJ_ATTR_TRANSACTIONAL
                                                   : 0),
        .base_timestamp = 1000 + p->end,
        .max_timestamp = 1000 + p->end,
        .producer_id = s->producer_id,
        .producer_epoch = (int16_t)s->epoch,
        .base_sequence = marker ? -1 : s->sequence,
        .count = marker ? 1 : s->count,
    };
}

static void append_marker(struct partition *p, const struct step *s, const struct kj_batch *batch)
{
    assert_err(kj_producers_check_marker(p->producers, batch, s->sequence), s->error);
    if (s->error != 0)
        return;
    int type = s->action == ABORT ? KJ_CONTROL_ABORT : KJ_CONTROL_COMMIT;
    assert_ok(
        kj_producers_add_marker(p->producers, batch, type, s->sequence, &p->ended, &p->entry));
    p->end++;
}

static void append(struct partition *p, const struct step *s, bool client)
{
    struct kj_producer_answer answer = {.first_offset = -77};
    struct kj_batch batch = batch_of(p, s);
    if (s->action == COMMIT || s->action == ABORT) {
        append_marker(p, s, &batch);
        return;
    }
    assert_err(kj_producers_check(p->producers, &batch, client, &answer), s->error);
    if (s->error != 0) {
        assert_int_equal(answer.first_offset, -77);
        return;
    }
    assert_int_equal(answer.duplicate, s->duplicate_of >= 0);
    if (answer.duplicate) {
        assert_int_equal(answer.first_offset, s->duplicate_of);
        assert_int_equal(answer.last_offset, s->duplicate_of + s->count - 1);
        assert_int_equal(answer.timestamp, 1000 + s->duplicate_of);
        return;
    }
    assert_ok(kj_producers_add(p->producers, &batch));
    p->end += s->count;
}

static void run(const struct step *steps, size_t count)
{
    struct partition p;
    begin(&p);
    for (size_t i = 0; i < count; i++) {
        int64_t before = p.end;
        append(&p, &steps[i], true);
        if (steps[i].error != 0 || (steps[i].duplicate_of >= 0 && steps[i].action <= TXN))
            assert_int_equal(p.end, before);
    }
    kj_producers_free(p.producers);
}
#define RUN(steps) run(steps, sizeof(steps) / sizeof((steps)[0]))

#define NEW(action, pid, epoch, seq, n) {action, pid, epoch, seq, n, 0, -1}
#define DUP(pid, epoch, seq, n, of) {DATA, pid, epoch, seq, n, 0, of}
#define BAD(action, pid, epoch, seq, n, error) {action, pid, epoch, seq, n, KAJA_ERR_##error, -1}

/* As measured with Kafka's classes. */
static void test_sequences(void **state)
{
    (void)state;
    static const struct step one[] = {
        NEW(DATA, 1, 0, 5, 1), /* any first sequence */
        NEW(DATA, 1, 0, 6, 1),
        BAD(DATA, 1, 0, 8, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(DATA, 1, 0, 7, 1),
        NEW(DATA, 1, 0, 8, 1),
        NEW(DATA, 1, 0, 9, 1),
        NEW(DATA, 1, 0, 10, 1),
        NEW(DATA, 1, 0, 11, 1),
        BAD(DATA, 1, 0, 5, 1, OUT_OF_ORDER_SEQUENCE_NUMBER), /* five are remembered */
        BAD(DATA, 1, 0, 6, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        DUP(1, 0, 7, 1, 2),
        DUP(1, 0, 8, 1, 3),
        DUP(1, 0, 9, 1, 4),
        DUP(1, 0, 10, 1, 5),
        DUP(1, 0, 11, 1, 6),
        BAD(DATA, 1, 0, 11, 2, OUT_OF_ORDER_SEQUENCE_NUMBER), /* overlaps */
        BAD(DATA, 1, 1, 3, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(DATA, 1, 1, 0, 1),
        BAD(DATA, 1, 0, 12, 1, INVALID_PRODUCER_EPOCH),
        BAD(DATA, 1, 0, 11, 1, INVALID_PRODUCER_EPOCH), /* no duplicate of another epoch */
        DUP(1, 1, 0, 1, 7),
        BAD(DATA, 1, 0, 0, 1, INVALID_PRODUCER_EPOCH),
        NEW(DATA, 1, 2, 0, 1),
        DUP(1, 2, 0, 1, 8),
    };
    RUN(one);
    static const struct step wrap[] = {
        NEW(DATA, 2, 0, INT32_MAX - 1, 2),
        BAD(DATA, 2, 0, 1, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(DATA, 2, 0, 0, 1),
        NEW(DATA, 2, 0, 1, 1),
        DUP(2, 0, INT32_MAX - 1, 2, 0),
        NEW(DATA, 3, 0, INT32_MAX - 1, 4), /* wraps inside: last is 1 */
        BAD(DATA, 3, 0, 3, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(DATA, 3, 0, 2, 1),
        DUP(3, 0, INT32_MAX - 1, 4, 4),
    };
    RUN(wrap);
    static const struct step txn[] = {
        NEW(TXN, 4, 0, 0, 1),
        BAD(DATA, 4, 0, 1, 1, INVALID_TXN_STATE),
        NEW(COMMIT, 4, 0, 0, 0),
        NEW(DATA, 4, 0, 1, 1),
        NEW(TXN, 4, 0, 2, 1),
        NEW(COMMIT, 4, 1, 0, 0), /* epoch + 1 */
        BAD(TXN, 4, 0, 3, 1, INVALID_PRODUCER_EPOCH),
        BAD(TXN, 4, 1, 3, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(TXN, 4, 1, 0, 1),
        BAD(ABORT, 4, 0, 0, 0, INVALID_PRODUCER_EPOCH),
    };
    RUN(txn);
    static const struct step marker[] = {
        NEW(ABORT, 6, 3, 0, 0), /* known from a marker only */
        BAD(DATA, 6, 3, 7, 1, OUT_OF_ORDER_SEQUENCE_NUMBER),
        NEW(DATA, 6, 3, 0, 1),
        NEW(COMMIT, 6, 3, 2, 0),
        BAD(COMMIT, 6, 3, 1, 0, TRANSACTION_COORDINATOR_FENCED),
        NEW(COMMIT, 6, 3, 2, 0),
        NEW(COMMIT, 99, 0, -1, 0), /* unknown: written, no other effect */
    };
    RUN(marker);
}

/* The coordinator's own batches: sequences are not looked at, epochs and transactions are. */
static void test_internal(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    static const struct step steps[] = {
        NEW(TXN, 1, 5, 9, 1),
        NEW(TXN, 1, 5, 9, 1),
        NEW(TXN, 1, 5, 100, 1),
        BAD(TXN, 1, 4, 0, 1, INVALID_PRODUCER_EPOCH),
        BAD(DATA, 1, 5, 101, 1, INVALID_TXN_STATE),
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        append(&p, &steps[i], false);
    kj_producers_free(p.producers);
}

static void test_ignored(void **state)
{
    (void)state;
    struct kj_producers *producers;
    struct kj_txn_entry entry;
    bool ended = true;
    assert_ok(kj_producers_new(&producers));
    struct kj_batch batch = {.producer_id = -1, .base_sequence = -1, .count = 1};
    assert_ok(kj_producers_add(producers, &batch));
    batch.attributes = KJ_ATTR_CONTROL;
    assert_ok(kj_producers_add_marker(producers, &batch, KJ_CONTROL_ABORT, 0, &ended, &entry));
    assert_false(ended);
    batch.producer_id = 5;
    assert_ok(kj_producers_add(producers, &batch)); /* a control batch is no data */
    ended = true;
    assert_ok(kj_producers_add_marker(producers, &batch, 2, 0, &ended, &entry));
    assert_false(ended);
    assert_int_equal(kj_producers_count(producers), 0);
    assert_int_equal(kj_producers_first_unstable(producers, 0), -1);
    kj_producers_free(producers);
    kj_producers_free(NULL);
}

static void test_entry(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    static const struct step steps[] = {NEW(DATA, 7, 2, 40, 3), NEW(TXN, 7, 2, 43, 2)};
    append(&p, &steps[0], true);
    append(&p, &steps[1], true);
    const struct kj_producer *producer = kj_producers_find(p.producers, 7);
    assert_non_null(producer);
    assert_null(kj_producers_find(p.producers, 8));
    assert_int_equal(producer->producer_id, 7);
    assert_int_equal(producer->epoch, 2);
    assert_int_equal(producer->batch_count, 2);
    assert_int_equal(producer->batches[0].first_sequence, 40);
    assert_int_equal(producer->batches[0].last_sequence, 42);
    assert_int_equal(producer->batches[0].last_offset, 2);
    assert_int_equal(producer->batches[0].offset_delta, 2);
    assert_int_equal(producer->batches[1].last_sequence, 44);
    assert_int_equal(producer->timestamp, 1003);
    assert_int_equal(producer->coordinator_epoch, -1);
    assert_int_equal(producer->txn_first_offset, 3);
    static const struct step marker = NEW(ABORT, 7, 2, 6, 0);
    append(&p, &marker, true);
    producer = kj_producers_find(p.producers, 7);
    assert_int_equal(producer->timestamp, 1005);
    assert_int_equal(producer->coordinator_epoch, 6);
    assert_int_equal(producer->txn_first_offset, -1);
    assert_int_equal(producer->batch_count, 2);
    size_t at = 0;
    assert_ptr_equal(kj_producers_next(p.producers, &at), producer);
    assert_null(kj_producers_next(p.producers, &at));
    kj_producers_clear(p.producers);
    assert_int_equal(kj_producers_count(p.producers), 0);
    assert_int_equal(kj_producers_first_unstable(p.producers, 0), -1);
    kj_producers_free(p.producers);
}

/* --- the last stable offset --- */

static int64_t unstable(struct partition *p, int64_t high_watermark)
{
    return kj_producers_first_unstable(p->producers, high_watermark);
}

/* The transactions of the golden directory "events", with its txn index. */
static void test_stable_as_golden(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    p.end = 27;
    static const struct step steps[] = {
        NEW(TXN, 100, 0, 0, 2),   NEW(TXN, 101, 0, 0, 1),    NEW(DATA, -1, -1, -1, 1),
        NEW(ABORT, 100, 0, 0, 0), NEW(COMMIT, 101, 0, 0, 0),
    };
    assert_int_equal(unstable(&p, p.end), -1);
    for (int i = 0; i < 3; i++) {
        struct kj_batch batch = batch_of(&p, &steps[i]);
        assert_ok(kj_producers_add(p.producers, &batch));
        p.end += steps[i].count;
        assert_int_equal(unstable(&p, p.end), 27);
    }
    append(&p, &steps[3], true);
    assert_true(p.ended);
    assert_int_equal(p.entry.producer_id, 100);
    assert_int_equal(p.entry.first_offset, 27);
    assert_int_equal(p.entry.last_offset, 31);
    assert_int_equal(p.entry.last_stable_offset, 29);
    assert_int_equal(unstable(&p, 32), 29);
    append(&p, &steps[4], true);
    assert_true(p.ended);
    assert_int_equal(p.entry.last_stable_offset, 33);
    assert_int_equal(unstable(&p, 33), -1);
    p.end = 43;
    static const struct step more[] = {NEW(TXN, 102, 4, 0, 1), NEW(TXN, 100, 0, 2, 1),
                                       NEW(ABORT, 100, 0, 0, 0)};
    for (int i = 0; i < 3; i++)
        append(&p, &more[i], true);
    assert_int_equal(p.entry.first_offset, 44);
    assert_int_equal(p.entry.last_offset, 45);
    assert_int_equal(p.entry.last_stable_offset, 43);
    assert_int_equal(unstable(&p, 46), 43);
    kj_producers_free(p.producers);
}

/* A marker at or behind the high watermark ends nothing yet. */
static void test_marker_behind_high_watermark(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    static const struct step steps[] = {
        NEW(TXN, 1, 0, 0, 2),    /* 0, 1 */
        NEW(TXN, 2, 0, 0, 2),    /* 2, 3 */
        NEW(COMMIT, 2, 0, 0, 0), /* 4 */
        NEW(COMMIT, 1, 0, 0, 0), /* 5 */
        NEW(TXN, 2, 0, 2, 1),    /* 6 */
        NEW(ABORT, 2, 0, 0, 0),  /* 7 */
        NEW(COMMIT, 2, 0, 0, 0), /* 8: nothing open */
    };
    for (int i = 0; i < 3; i++)
        append(&p, &steps[i], true);
    assert_int_equal(unstable(&p, 4), 0);
    append(&p, &steps[3], true);
    assert_int_equal(p.entry.last_stable_offset,
                     6); /* as of behind the marker, whatever is flushed */
    assert_int_equal(unstable(&p, 4), 0);
    assert_int_equal(unstable(&p, 5), 0); /* the marker at 5 is not below 5 */
    append(&p, &steps[4], true);
    append(&p, &steps[5], true);
    assert_true(p.ended);
    append(&p, &steps[6], true);
    assert_false(p.ended);
    assert_int_equal(unstable(&p, 5), 0);
    assert_int_equal(unstable(&p, 6), 6);
    assert_int_equal(unstable(&p, 7), 6);
    assert_int_equal(unstable(&p, 8), -1);
    kj_producers_free(p.producers);
}

/* Random transactions; a model keeps every one that ever was. While few have ended above the high
 * watermark the answer is exact; with many it may lag but neither pass the model's nor go back. */
static void random_transactions(uint64_t *random, int64_t lag, bool exact)
{
    enum { PRODUCERS = 12, STEPS = 3000 };
    static struct {
        int64_t first, last;
    } model[STEPS];
    size_t count = 0;
    int64_t open[PRODUCERS], high_watermark = 0, before = -1;
    int sequence[PRODUCERS] = {0};
    struct partition p;
    begin(&p);
    memset(open, 0xff, sizeof open);
    for (int i = 0; i < STEPS; i++) {
        uint64_t r = kjtest_random(random);
        int id = (int)(r % PRODUCERS);
        bool end = open[id] >= 0 && (r >> 20) % 3 == 0;
        struct step s = {end ? ((r >> 30) % 2 != 0 ? ABORT : COMMIT) : TXN,
                         id,
                         0,
                         end ? 0 : sequence[id],
                         1 + (int)((r >> 40) % 3),
                         0,
                         -1};
        if (end) {
            model[count].first = open[id];
            model[count++].last = p.end;
            open[id] = -1;
        } else {
            open[id] = open[id] < 0 ? p.end : open[id];
            sequence[id] += s.count;
        }
        append(&p, &s, true);
        int64_t wanted_open = -1;
        for (int k = 0; k < PRODUCERS; k++)
            if (open[k] >= 0 && (wanted_open < 0 || open[k] < wanted_open))
                wanted_open = open[k];
        if (end) {
            assert_true(p.ended);
            assert_int_equal(p.entry.last_stable_offset, wanted_open >= 0 ? wanted_open : p.end);
        }
        if ((r >> 50) % 4 != 0)
            continue;
        /* Mostly that far behind, sometimes less. */
        int64_t least = p.end - ((r >> 52) % 64 == 0 ? lag / 2 : lag);
        high_watermark = least > high_watermark ? least : high_watermark;
        int64_t wanted = wanted_open;
        for (size_t k = 0; k < count; k++)
            if (model[k].last >= high_watermark && (wanted < 0 || model[k].first < wanted))
                wanted = model[k].first;
        int64_t got = unstable(&p, high_watermark);
        int64_t wanted_stable = wanted >= 0 && wanted < high_watermark ? wanted : high_watermark;
        int64_t got_stable = got >= 0 && got < high_watermark ? got : high_watermark;
        if (exact)
            assert_int_equal(got, wanted);
        assert_true(got_stable <= wanted_stable);
        assert_true(got_stable >= before);
        before = got_stable;
    }
    assert_true(count > STEPS / 8);
    /* Once all is readable the answer is exact again. */
    int64_t wanted = -1;
    for (int k = 0; k < PRODUCERS; k++)
        if (open[k] >= 0 && (wanted < 0 || open[k] < wanted))
            wanted = open[k];
    assert_int_equal(unstable(&p, p.end), wanted);
    kj_producers_free(p.producers);
}

static void test_stable_model(void **state)
{
    (void)state;
    uint64_t random = kjtest_seed();
    for (int i = 0; i < 8; i++) {
        random_transactions(&random, 0, true);
        random_transactions(&random, 20, true);
        random_transactions(&random, 2000, false);
    }
}

/* Many end while nothing is flushed: two producers whose transactions overlap. The answer may then
 * lag behind the true one, but never passes it, and is exact near the end. */
static void test_stable_with_many_ended(void **state)
{
    (void)state;
    static const int counts[] = {1, 63, 64, 65, 128, 129, 500, 5000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        /* Transaction i: first 2i, marker 2i + 3. */
        struct partition p;
        begin(&p);
        int n = counts[c];
        for (int i = 0; i <= n; i++) {
            struct step marker = NEW(ABORT, (i + 1) % 2, 0, 0, 0),
                        data = NEW(TXN, i % 2, 0, i / 2, 1);
            if (i < n)
                append(&p, &data, true);
            else
                p.end++;
            if (i > 0)
                append(&p, &marker, true);
            else
                p.end++;
        }
        int64_t before = 0;
        for (int64_t high_watermark = 0; high_watermark <= p.end; high_watermark++) {
            /* The earliest whose marker is not below: 2i + 3 >= high watermark. */
            int64_t i = high_watermark <= 3 ? 0 : (high_watermark - 2) / 2;
            int64_t wanted = i < n ? 2 * i : -1;
            int64_t wanted_stable =
                wanted >= 0 && wanted < high_watermark ? wanted : high_watermark;
            int64_t got = unstable(&p, high_watermark);
            int64_t got_stable = got >= 0 && got < high_watermark ? got : high_watermark;
            assert_true(got_stable <= wanted_stable);
            assert_true(got_stable >= before);
            if (n <= 64)
                assert_int_equal(got, wanted);
            before = got_stable;
        }
        assert_int_equal(before, p.end);
        kj_producers_free(p.producers);
    }
}

/* --- memory --- */

static int allocations;

static int count_allocations(void *arg)
{
    (void)arg;
    allocations++;
    return 0;
}

static int fail_allocations(void *arg)
{
    (void)arg;
    return 1;
}

static void test_no_allocation_for_known(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    struct step s = NEW(TXN, 1, 0, 0, 1);
    append(&p, &s, true);
    kj_alloc_set_hook(count_allocations, NULL);
    allocations = 0;
    for (int i = 1; i < 5000; i++) {
        s.action = i % 3 == 0 ? COMMIT : TXN;
        s.sequence = i % 3 == 0 ? 0 : i - i / 3;
        append(&p, &s, true);
    }
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(allocations, 0);
    kj_producers_free(p.producers);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    static const struct step s = NEW(TXN, 1, 0, 0, 1);
    struct kj_batch batch = batch_of(&p, &s);
    struct kj_txn_entry entry;
    bool ended;
    kj_alloc_set_hook(fail_allocations, NULL);
    int data = kj_producers_add(p.producers, &batch);
    int marker = kj_producers_add_marker(p.producers, &batch, KJ_CONTROL_ABORT, 0, &ended, &entry);
    kj_alloc_set_hook(NULL, NULL);
    assert_int_equal(data, KAJA_ERR_OUT_OF_MEMORY);
    assert_int_equal(marker, KAJA_ERR_OUT_OF_MEMORY);
    assert_int_equal(kj_producers_count(p.producers), 0);
    kj_producers_free(p.producers);
}

/* --- forgetting --- */

static void add(struct partition *p, int64_t id, enum action action, int64_t timestamp)
{
    struct step s = NEW(DATA, id, 0, 0, 1);
    s.action = action;
    struct kj_batch batch = batch_of(p, &s);
    batch.max_timestamp = timestamp;
    assert_ok(kj_producers_add(p->producers, &batch));
    p->end++;
}

static void test_expiry(void **state)
{
    (void)state;
    struct partition p;
    begin(&p);
    add(&p, 1, DATA, 1000);
    add(&p, 2, DATA, 1001);
    add(&p, 3, TXN, 500); /* open: stays */
    add(&p, 4, DATA, 5000);
    add(&p, 5, DATA, -1);
    add(&p, 6, DATA, INT64_MIN);
    add(&p, 7, DATA, INT64_MAX);
    kj_producers_expire(p.producers, 2000, 1000);
    assert_null(kj_producers_find(p.producers, 1)); /* 1000 old: just expired */
    assert_non_null(kj_producers_find(p.producers, 2));
    assert_non_null(kj_producers_find(p.producers, 3));
    assert_non_null(kj_producers_find(p.producers, 4));
    assert_null(kj_producers_find(p.producers, 5));
    assert_null(kj_producers_find(p.producers, 6));
    assert_non_null(kj_producers_find(p.producers, 7));
    assert_int_equal(kj_producers_count(p.producers), 4);
    /* Forgotten: any sequence is taken again. */
    static const struct step again = NEW(DATA, 1, 0, 77, 1);
    append(&p, &again, true);
    /* Ended, its marker's time counts. */
    struct step marker = NEW(COMMIT, 3, 0, 0, 0);
    append(&p, &marker, true);
    kj_producers_expire(p.producers, 2000, 1000);
    assert_non_null(kj_producers_find(p.producers, 3));
    kj_producers_expire(p.producers, 100000, 1000);
    assert_int_equal(kj_producers_count(p.producers), 1);
    kj_producers_free(p.producers);
}

static void test_bound(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct partition p;
    begin(&p);
    for (int64_t id = 0; id < COUNT; id++)
        add(&p, id, id % 10 == 0 ? TXN : DATA, 1000 - id);
    add(&p, 1, DATA, 0); /* seen again: no longer idle longest */
    assert_int_equal(kj_producers_bound(p.producers, COUNT), 0);
    assert_int_equal(kj_producers_bound(p.producers, 990), 10);
    assert_non_null(kj_producers_find(p.producers, 1));
    for (int64_t id = 0; id <= 13; id++) {
        bool kept = id == 0 || id == 1 || id == 10 || id == 13;
        assert_int_equal(kj_producers_find(p.producers, id) != NULL, kept);
    }
    assert_int_equal(kj_producers_bound(p.producers, 0), 890); /* open transactions stay */
    assert_int_equal(kj_producers_count(p.producers), 100);
    assert_int_equal(unstable(&p, p.end), 0);
    kj_producers_forget(p.producers, 10); /* open: stays */
    assert_int_equal(kj_producers_count(p.producers), 100);
    struct step marker = NEW(ABORT, 10, 0, 0, 0);
    append(&p, &marker, true);
    kj_producers_forget(p.producers, 10);
    kj_producers_forget(p.producers, 123456);
    assert_int_equal(kj_producers_count(p.producers), 99);
    kj_producers_free(p.producers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_internal),
        cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_entry),
        cmocka_unit_test(test_stable_as_golden),
        cmocka_unit_test(test_marker_behind_high_watermark),
        cmocka_unit_test(test_stable_model),
        cmocka_unit_test(test_stable_with_many_ended),
        cmocka_unit_test(test_no_allocation_for_known),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
