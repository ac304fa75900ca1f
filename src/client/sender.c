/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/sender.h"

#include "base/alloc.h"
#include "base/assert.h"

struct kj_drain {
    struct kj_drain *next;
    struct kj_buffer out[KJ_DRAIN_BATCHES_MAX];
};

enum { ROUNDS_MAX = 64, FLUSH_PARTITIONS_MAX = 64 };

static const int64_t ns_per_ms = 1000000;

/* --- results --- */

/* The batch has its result. Lock held. Returns the topic, to be released when nothing is held. */
static struct kj_topic *complete(struct kj_sender *sender, struct kj_send_batch *batch)
{
    struct kj_accumulator *acc = batch->home;
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    struct kj_topic *topic = batch->topic;
    batch->topic = NULL;
    batch->partition = NULL;
    batch->state = KJ_SEND_DONE;
    acc->done++;
    if (batch->memory != NULL)
        kj_buffer_pool_give_memory(&sender->pool, batch->memory, batch->size);
    batch->memory = NULL;
    kj_buffer_pool_give_allowance(&sender->pool, batch->size);
    kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_BUFFERED, UINT64_C(0) - batch->size);
    if (batch->error != 0)
        kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_FAILED,
                            (uint64_t)batch->writer.count);
    batch->reporting = batch->report_count > 0;
    if (batch->waiters > 0)
        kj_cond_broadcast(&batch->cond);
    /* From here on the batch may be somebody else's. */
    if (batch->reporting)
        kj_reports_push(&sender->reports, batch);
    else if (batch->waiters == 0)
        kj_batch_cache_put(&sender->cache, batch);
    return topic;
}

/* A batch's callbacks have run. */
static void reported(void *arg, struct kj_send_batch *batch)
{
    struct kj_sender *sender = arg;
    struct kj_accumulator *acc = batch->home;
    kj_lock_acquire(&acc->lock);
    batch->reporting = false;
    bool put = batch->waiters == 0;
    kj_lock_release(&acc->lock);
    if (put)
        kj_batch_cache_put(&sender->cache, batch);
}

bool kj_sender_unwait(struct kj_sender *sender, struct kj_send_batch *batch)
{
    struct kj_accumulator *acc = batch->home;
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    batch->waiters--;
    acc->waiters--;
    if (batch->state == KJ_SEND_DONE)
        return batch->waiters == 0 && !batch->reporting;
    /* It goes on without this thread: another sender or the worker sees to it. */
    (void)kj_accumulator_hand_over(acc);
    (void)kj_sender_list(sender, acc);
    return false;
}

static void release_topics(struct kj_topic **topics, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (topics[i] != NULL)
            kj_topic_release(topics[i]);
}

static bool retriable(int error)
{
    /* A topic that is gone does not come back under the same id, nor do bytes get better. */
    return kaja_error_retriable(error) && error != KAJA_ERR_UNKNOWN_TOPIC_ID &&
           error != KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION && error != KAJA_ERR_CORRUPT_MESSAGE;
}

/* The log has another number in mind: it lost or never had what it should know of the producer. The
 * batch is not in it, and goes there under a new epoch. */
static bool misnumbered(const struct kj_send_batch *batch)
{
    return batch->number.producer_id >= 0 &&
           batch->error == KAJA_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static int64_t expires_at(const struct kj_sender *sender, const struct kj_send_batch *batch)
{
    int64_t timeout = sender->options.delivery_timeout_ms;
    return timeout < (INT64_MAX - batch->created_ns) / ns_per_ms
               ? batch->created_ns + timeout * ns_per_ms
               : INT64_MAX;
}

static bool expired(const struct kj_sender *sender, const struct kj_send_batch *batch,
                    int64_t now_ns)
{
    return now_ns >= expires_at(sender, batch);
}

static void fail_expired(const struct kj_sender *sender, struct kj_send_batch *batch, int cause)
{
    kj_send_batch_fail(
        batch, kj_err(KAJA_ERR_MSG_TIMED_OUT,
                      "%s-%d: not delivered within delivery.timeout.ms=%lld; the last attempt "
                      "ended with %s: %s",
                      batch->home->name, batch->home->number,
                      (long long)sender->options.delivery_timeout_ms, kaja_error_name(cause),
                      kaja_error_detail()));
}

/* When to try again after one more failure in a row. */
static int64_t back_off(struct kj_sender *sender, struct kj_accumulator *acc, int64_t now_ns)
{
    int shift = acc->attempts < 20 ? acc->attempts : 20;
    int64_t ms = sender->options.retry_backoff_ms;
    int64_t max = sender->options.retry_backoff_max_ms;
    ms = ms > max >> shift ? max : ms << shift;
    acc->attempts++;
    return now_ns + (ms > 0 ? ms : 1) * ns_per_ms;
}

size_t kj_sender_share(struct kj_sender *sender)
{
    /* The peak falls off slowly, over some ten thousand batches: when all memory is used up every
     * open batch is taken away at once, and the number of open ones says nothing for a while. */
    uint64_t open = kj_load_relaxed(&sender->open_batches) << KJ_PEAK_SHIFT;
    uint64_t peak = kj_load_relaxed(&sender->open_peak);
    peak = open > peak ? open : peak - ((peak - open) >> KJ_PEAK_SHIFT);
    kj_store_relaxed(&sender->open_peak, peak);
    return (size_t)(peak >> KJ_PEAK_SHIFT);
}

/* --- the lists --- */

static void note_listing(struct kj_sender *sender)
{
    kj_fetch_add(&sender->listings, 1); /* pairs with run(): seen, or the worker is seen asleep */
}

void kj_sender_want_memory(struct kj_sender *sender, bool want)
{
    kj_buffer_pool_want(&sender->pool, want);
    if (!want || !sender->has_worker)
        return;
    note_listing(sender); /* the lists it went through have all become due */
    kj_sender_poke(sender, false);
}

/* Both: acc->lock and sender->lock held. */
static void list_append(struct kj_sender *sender, struct kj_accumulator *acc)
{
    acc->listed = true;
    acc->next = NULL;
    *sender->last = acc;
    sender->last = &acc->next;
}

static void list_flush(struct kj_sender *sender, struct kj_accumulator *acc)
{
    acc->flush_listed = true;
    acc->flush_next = NULL;
    *sender->flush_last = acc;
    sender->flush_last = &acc->flush_next;
}

bool kj_sender_list(struct kj_sender *sender, struct kj_accumulator *acc)
{
    KJ_ASSERT_SLOW(kj_lock_held(&acc->lock));
    bool append = !acc->listed && !kj_accumulator_empty(acc);
    bool flush = !acc->flush_listed && !acc->flushing && acc->appended.first != NULL;
    if (!append && !flush)
        return false;
    kj_lock_acquire(&sender->lock);
    if (append)
        list_append(sender, acc);
    if (flush)
        list_flush(sender, acc);
    kj_lock_release(&sender->lock);
    note_listing(sender);
    return true;
}

void kj_sender_poke(struct kj_sender *sender, bool later)
{
    kj_fence(); /* what was done before the look at asleep: pairs with run() */
    uint64_t asleep = kj_load_relaxed(&sender->asleep);
    while (asleep > (later ? KJ_SENDER_NAPS : KJ_SENDER_AWAKE))
        if (kj_cas(&sender->asleep, &asleep, KJ_SENDER_AWAKE)) {
            kj_store_poke(sender->store);
            break;
        }
}

/* --- wakeups --- */

enum { WAKEUP_LOOK_NS = 20 * 1000 * 1000 };

void kj_sender_wake(struct kj_sender *sender)
{
    kj_fetch_add(&sender->wakeups, 1); /* pairs with kj_sender_woken() and run() */
    kj_store_poke(sender->store);
}

bool kj_sender_woken(struct kj_sender *sender, uint64_t since)
{
    uint64_t wakeups = kj_load_acquire(&sender->wakeups);
    if (__builtin_expect(wakeups == since, 1))
        return false;
    kj_store_release(&sender->wakeups_heeded, wakeups);
    return true;
}

int64_t kj_sender_look_ns(const struct kj_sender *sender, int64_t deadline_ns)
{
    int64_t look = kj_mono_ns(sender->clock) + WAKEUP_LOOK_NS;
    return look < deadline_ns ? look : deadline_ns;
}

/* The worker was poked: those who sleep until something moves look. */
static void tell_wakeup(struct kj_sender *sender)
{
    uint64_t wakeups = kj_load_acquire(&sender->wakeups);
    if (wakeups == sender->wakeups_told)
        return;
    sender->wakeups_told = wakeups;
    kj_reports_moved(&sender->reports);
}

/* --- appending --- */

static struct kj_drain *drain_get(struct kj_sender *sender)
{
    kj_lock_acquire(&sender->lock);
    struct kj_drain *drain = sender->drains;
    if (drain != NULL)
        sender->drains = drain->next;
    kj_lock_release(&sender->lock);
    return drain != NULL ? drain : kj_alloc_zero(1, sizeof *drain);
}

static void drain_put(struct kj_sender *sender, struct kj_drain *drain)
{
    kj_lock_acquire(&sender->lock);
    drain->next = sender->drains;
    sender->drains = drain;
    kj_lock_release(&sender->lock);
}

/* Seals one batch. Every attempt does it anew: the log writes into the header, and codecs' output
 * is not kept between attempts. */
static int seal(struct kj_sender *sender, struct kj_send_batch *batch, struct kj_buffer *out,
                struct kj_append_batch *append)
{
    struct kj_batch_seal plan = KJ_BATCH_SEAL_PLAIN;
    plan.codec = (enum kj_codec)batch->codec;
    plan.level = batch->level;
    plan.producer_id = batch->number.producer_id;
    plan.producer_epoch = batch->number.epoch;
    plan.base_sequence = batch->number.next;
    uint8_t *bytes;
    size_t len;
    KJ_TRY(kj_batch_writer_seal(&batch->writer, &plan, out, &bytes, &len));
    *append = (struct kj_append_batch){
        .bytes = bytes,
        .len = len,
        .durable = sender->options.acks == KJ_ACKS_ALL,
        .ret_base_offset = -1,
        .ret_append_time = -1,
    };
    return 0;
}

/* Seals and appends; each batch gets its error and offset. No lock is held. since_ns: since when
 * the partition is busy; true: it still is, and the append is put off. -1: waits for it. */
static bool append(struct kj_sender *sender, struct kj_send_batch **batches, size_t count,
                   int64_t since_ns)
{
    bool busy = false;
    struct kj_append_batch appends[KJ_DRAIN_BATCHES_MAX];
    struct kj_send_batch *sealed[KJ_DRAIN_BATCHES_MAX];
    size_t sealed_count = 0;
    struct kj_drain *drain = NULL;
    for (size_t i = 0; i < count; i++) {
        int err = 0;
        if (batches[i]->codec != KJ_CODEC_NONE && drain == NULL &&
            (drain = drain_get(sender)) == NULL)
            err = kj_err_oom("a compressed batch");
        if (err == 0)
            err = seal(sender, batches[i], drain != NULL ? &drain->out[i] : NULL,
                       &appends[sealed_count]);
        batches[i]->error = 0;
        if (err != 0)
            kj_send_batch_fail(batches[i], err);
        else
            sealed[sealed_count++] = batches[i];
    }
    int err = 0;
    if (sealed_count > 0 && since_ns >= 0)
        err = kj_partition_append_soon(sealed[0]->partition, appends, sealed_count,
                                       KJ_APPEND_TRUSTED, since_ns, &busy);
    else if (sealed_count > 0)
        err = kj_partition_append(sealed[0]->partition, appends, sealed_count, KJ_APPEND_TRUSTED);
    for (size_t i = 0; i < sealed_count; i++) {
        const struct kj_append_batch *done = &appends[i];
        if (done->ret_error != 0 || done->ret_base_offset < 0) {
            KJ_ASSERT(done->ret_error != 0 || err != 0);
            kj_send_batch_fail(sealed[i], done->ret_error != 0 ? done->ret_error : err);
            continue;
        }
        sealed[i]->base_offset = done->ret_base_offset;
        sealed[i]->append_time = done->ret_append_time;
    }
    if (drain != NULL)
        drain_put(sender, drain);
    return busy;
}

/* Sorts the batches of one append by what became of them; busy: it was put off. Lock held. Topics of
 * those that are done go to topics; returns their number. */
static size_t settle(struct kj_sender *sender, struct kj_accumulator *acc,
                     struct kj_send_batch **batches, size_t count, bool busy,
                     struct kj_topic **topics)
{
    size_t topic_count = 0;
    bool succeeded = false;
    bool gap = false; /* what comes behind needs new numbers */
    bool wait = false;
    int64_t now = 0;
    struct kj_batch_queue again;
    kj_batch_queue_init(&again);
    for (size_t i = 0; i < count; i++) {
        struct kj_send_batch *batch = batches[i];
        if (batch->error == 0) {
            succeeded = true;
            kj_buffer_pool_give_memory(&sender->pool, batch->memory, batch->size);
            batch->memory = NULL;
        } else if (misnumbered(batch) || retriable(batch->error)) {
            now = now != 0 ? now : kj_mono_ns(sender->clock);
            bool late = expired(sender, batch, now);
            /* Behind a gap it was refused for that alone. */
            bool try_now = gap && misnumbered(batch);
            if (!late && (busy || try_now || batch->retries < sender->options.retries)) {
                gap = gap || misnumbered(batch);
                wait = wait || !try_now;
                batch->retries += !try_now && !busy;
                batch->state = KJ_SEND_CLOSED;
                kj_batch_queue_push(&again, batch);
                continue;
            }
            if (late) /* else its retries are used up, and the error of the last one tells it all */
                fail_expired(sender, batch, batch->error);
        }
        gap = gap || batch->error != 0;
        if (sender->options.acks == 0)
            batch->base_offset = -1;
        /* A failed one waits behind those that wait for a flush: results come in order. */
        if (acc->appended.first != NULL ||
            (batch->error == 0 && sender->options.acks == KJ_ACKS_ALL)) {
            batch->state = KJ_SEND_APPENDED;
            kj_batch_queue_push(&acc->appended, batch);
        } else {
            topics[topic_count++] = complete(sender, batch);
        }
    }
    if (succeeded)
        acc->attempts = 0;
    if (gap)
        kj_sequence_restart(&acc->sequence, sender->clock);
    acc->retry_at_ns = 0;
    if (wait) {
        /* The oldest has one more try when its time is up, and fails then and not later. */
        int64_t last = expires_at(sender, again.first);
        acc->retry_at_ns = busy ? now + KJ_BUSY_LOOK_NS : back_off(sender, acc, now);
        acc->retry_at_ns = last < acc->retry_at_ns ? last : acc->retry_at_ns;
    }
    if (again.count > 0 && !busy)
        kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_RETRIES, again.count);
    kj_batch_queue_unpop(&acc->closed, &again);
    kj_store_relaxed(&acc->queue, acc->closed.count);
    return topic_count;
}

/* What the producer was given, when it is looked at first. */
static void count_accepted(struct kj_sender *sender, struct kj_send_batch **batches, size_t count)
{
    uint64_t records = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (batches[i]->counted)
            continue;
        batches[i]->counted = true;
        records += (uint64_t)batches[i]->writer.count;
        bytes += batches[i]->payload_bytes;
    }
    if (records == 0)
        return;
    kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_RECORDS, records);
    kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_BYTES, bytes);
}

/* One append. Lock held, and given up meanwhile. False: nothing was there to be taken, or the last
 * attempt failed a short while ago. patient: waits for another process that is at the partition;
 * else the others come first. */
static bool drain_some(struct kj_sender *sender, struct kj_accumulator *acc, bool patient)
{
    struct kj_send_batch *batches[KJ_DRAIN_BATCHES_MAX];
    struct kj_topic *topics[KJ_DRAIN_BATCHES_MAX];
    if (kj_load_relaxed(&sender->stopping) != 0)
        return false;
    if (acc->retry_at_ns != 0 && acc->retry_at_ns > kj_mono_ns(sender->clock) &&
        !kj_store_gone(sender->store))
        return false;
    size_t count = kj_accumulator_take(acc, batches);
    if (count == 0)
        return false;
    int64_t since_ns = acc->busy_since_ns;
    kj_lock_release(&acc->lock);
    count_accepted(sender, batches, count);
    if (since_ns == 0)
        since_ns = kj_mono_ns(sender->clock);
    bool busy = append(sender, batches, count, patient ? -1 : since_ns);
    kj_lock_acquire(&acc->lock);
    acc->busy_since_ns = busy ? since_ns : 0;
    size_t topic_count = settle(sender, acc, batches, count, busy, topics);
    if (topic_count > 0) {
        kj_lock_release(&acc->lock);
        release_topics(topics, topic_count);
        kj_reports_moved(&sender->reports);
        kj_lock_acquire(&acc->lock);
    }
    return true;
}

/* Records may come as fast as the worker writes them: it has other things to do, and without room
 * prepared ahead of them each write costs several times as much. */
enum { WORKER_APPENDS_MAX = 16, WORKER_NS_MAX = 5 * 1000 * 1000 };
static bool others_turn(struct kj_sender *sender)
{
    return sender->has_worker && kj_store_work_waits(sender->store);
}

/* True: the worker has left something for its next turn. */
static bool drain(struct kj_sender *sender, struct kj_accumulator *acc, bool own_flush, bool worker)
{
    bool poke = false, left = false;
    kj_lock_acquire(&acc->lock);
    if (!acc->draining) {
        acc->draining = true;
        for (int appends = 1; !left && drain_some(sender, acc, own_flush); appends++)
            left = worker && (appends == WORKER_APPENDS_MAX || others_turn(sender));
        acc->draining = false;
        if (acc->closed.first != NULL || !own_flush)
            poke = kj_sender_list(sender, acc);
        (void)kj_accumulator_hand_over(acc);
    }
    kj_lock_release(&acc->lock);
    if (poke)
        kj_sender_poke(sender, false);
    return left;
}

void kj_sender_drain(struct kj_sender *sender, struct kj_accumulator *acc, bool own_flush)
{
    (void)drain(sender, acc, own_flush, false);
}

/* --- flushing --- */

/* Whether a batch at the head of `appended` has its result now; err: of the flush just done. */
static bool settled(struct kj_sender *sender, struct kj_send_batch *batch, int err, int64_t now_ns)
{
    if (batch->error != 0)
        return true;
    struct kj_log *log = kj_partition_log(batch->partition);
    const struct kj_accumulator *acc = batch->home;
    if (kj_log_stale(log)) {
        kj_send_batch_fail(batch, kj_err(KAJA_ERR_UNKNOWN_TOPIC_ID, "%s-%d: the topic was deleted",
                                         acc->name, acc->number));
        return true;
    }
    if (kj_log_durable(log) >= batch->base_offset + batch->writer.count)
        return true;
    if (kj_store_gone(sender->store)) {
        int gone = kj_store_check(sender->store);
        kj_send_batch_fail(batch, gone != 0 ? gone : KAJA_ERR_NO_DIRECTORY);
        return true;
    }
    if (kj_log_poisoned(log)) {
        if (err != KAJA_ERR_POISONED)
            kj_err(KAJA_ERR_POISONED, "%s-%d: a flush of the partition failed", acc->name,
                   acc->number);
        kj_send_batch_fail(batch, KAJA_ERR_POISONED);
        return true;
    }
    /* Appended after the flush began, or the flush could not be done now (its error may concern
     * another partition): the next one counts, as long as there is time. */
    if (err != 0 && expired(sender, batch, now_ns)) {
        fail_expired(sender, batch, err);
        return true;
    }
    return false;
}

/* The flush that this thread did for acc is over, with err. */
static void finish_flush(struct kj_sender *sender, struct kj_accumulator *acc, bool listed, int err)
{
    struct kj_topic *topics[KJ_DRAIN_BATCHES_MAX];
    int64_t now = err != 0 ? kj_mono_ns(sender->clock) : 0;
    bool progress = false;
    bool more = true;
    while (more) {
        size_t count = 0;
        kj_lock_acquire(&acc->lock);
        while (count < KJ_DRAIN_BATCHES_MAX && acc->appended.first != NULL &&
               settled(sender, acc->appended.first, err, now))
            topics[count++] = complete(sender, kj_batch_queue_pop(&acc->appended));
        progress = progress || count > 0;
        more = count == KJ_DRAIN_BATCHES_MAX;
        bool poke = false;
        if (!more) {
            acc->flushing = false;
            if (listed)
                acc->flush_listed = false;
            if (err == 0 || progress) {
                acc->attempts = 0;
                acc->flush_at_ns = 0;
            } else if (err == KAJA_ERR_LOCK_TIMED_OUT) {
                acc->flush_at_ns = now + KJ_BUSY_LOOK_NS; /* likely done by then: by others */
            } else {
                acc->flush_at_ns = back_off(sender, acc, now);
            }
            /* With a sender waiting, it goes on; else whoever goes through the list. */
            bool goes_on = kj_accumulator_hand_over(acc);
            if (acc->appended.first != NULL && (err != 0 || !goes_on))
                poke = kj_sender_list(sender, acc);
        }
        kj_lock_release(&acc->lock);
        release_topics(topics, count);
        if (poke)
            kj_sender_poke(sender, false);
    }
    if (progress)
        kj_reports_moved(&sender->reports);
}

void kj_sender_flush_one(struct kj_sender *sender, struct kj_accumulator *acc)
{
    KJ_ASSERT(!acc->flushing && acc->appended.first != NULL);
    acc->flushing = true;
    struct kj_partition *partition = acc->appended.first->partition;
    kj_lock_release(&acc->lock);
    int err = kj_store_flush(sender->store, &partition, 1);
    finish_flush(sender, acc, false, err);
    kj_lock_acquire(&acc->lock);
}

/* Takes the list of those to flush. Those that are to wait stay in it, and *when is lowered. */
static struct kj_accumulator *flush_begin(struct kj_sender *sender,
                                          struct kj_partition **partitions, size_t *ret_count,
                                          int64_t *when)
{
    kj_lock_acquire(&sender->lock);
    struct kj_accumulator *acc = sender->flush_first;
    sender->flush_first = NULL;
    sender->flush_last = &sender->flush_first;
    kj_lock_release(&sender->lock);
    struct kj_accumulator *chain = NULL;
    size_t count = 0;
    while (acc != NULL) {
        /* `next` is ours as long as flush_listed stays set. */
        struct kj_accumulator *next = acc->flush_next;
        kj_lock_acquire(&acc->lock);
        bool later = acc->flush_at_ns != 0 && acc->flush_at_ns > kj_mono_ns(sender->clock) &&
                     !kj_store_gone(sender->store);
        if (acc->flushing || acc->appended.first == NULL) {
            acc->flush_listed = false;
        } else if (later) {
            *when = acc->flush_at_ns < *when ? acc->flush_at_ns : *when;
            kj_lock_acquire(&sender->lock);
            list_flush(sender, acc);
            kj_lock_release(&sender->lock);
        } else {
            acc->flushing = true;
            if (count < FLUSH_PARTITIONS_MAX)
                partitions[count] = acc->appended.first->partition;
            count++;
            acc->flush_next = chain;
            chain = acc;
        }
        kj_lock_release(&acc->lock);
        acc = next;
    }
    *ret_count = count;
    return chain;
}

int64_t kj_sender_flush(struct kj_sender *sender)
{
    struct kj_partition *partitions[FLUSH_PARTITIONS_MAX];
    size_t count;
    int64_t when = INT64_MAX;
    if (kj_load_relaxed(&sender->stopping) != 0)
        return when;
    struct kj_accumulator *chain = flush_begin(sender, partitions, &count, &when);
    if (chain == NULL)
        return when;
    /* The store knows by itself what waits; naming a few is quicker. */
    int err = count <= FLUSH_PARTITIONS_MAX
                  ? kj_store_flush_soon(sender->store, partitions, count)
                  : kj_store_flush_soon(sender->store, NULL, 0);
    while (chain != NULL) {
        struct kj_accumulator *next = chain->flush_next;
        finish_flush(sender, chain, true, err);
        chain = next;
    }
    return when;
}

/* --- what is due --- */

/* Appends what is ripe of one accumulator; returns when to look again, INT64_MAX: it is empty. */
static int64_t append_ripe(struct kj_sender *sender, struct kj_accumulator *acc, int64_t now,
                           bool eager)
{
    int64_t linger = sender->options.linger_ms < INT64_MAX / 2 / ns_per_ms
                         ? sender->options.linger_ms * ns_per_ms
                         : INT64_MAX / 2;
    /* Somebody waits for memory that open batches hold. */
    bool wanted = kj_buffer_pool_wanted(&sender->pool);
    bool gone = kj_store_gone(sender->store); /* all of it fails: there is nothing to wait for */
    kj_lock_acquire(&acc->lock);
    if ((wanted || gone || (eager && linger == 0)) && !kj_accumulator_empty(acc))
        acc->drain_wanted = true;
    int64_t at = kj_accumulator_ripe(acc, now, linger);
    if (gone && at != INT64_MAX)
        at = KJ_RIPE_NOW;
    bool due = at == KJ_RIPE_NOW && !acc->draining;
    kj_lock_release(&acc->lock);
    if (!due)
        return at == KJ_RIPE_NOW ? now + KJ_GROWING_LOOK_NS : at;
    return drain(sender, acc, false, sender->has_worker) ? now : now + KJ_GROWING_LOOK_NS;
}

int64_t kj_sender_work(struct kj_sender *sender)
{
    bool eager = !sender->has_worker;
    kj_lock_acquire(&sender->lock);
    struct kj_accumulator *acc = sender->first;
    sender->first = NULL;
    sender->last = &sender->first;
    kj_lock_release(&sender->lock);
    int64_t now = kj_mono_ns(sender->clock);
    int64_t when = INT64_MAX;
    while (acc != NULL) {
        struct kj_accumulator *next = acc->next; /* ours as long as listed stays set */
        int64_t at = append_ripe(sender, acc, now, eager);
        kj_lock_acquire(&acc->lock);
        acc->listed = false;
        if (!kj_accumulator_empty(acc)) {
            if (acc->retry_at_ns > at)
                at = acc->retry_at_ns;
            when = at < when ? at : when;
            kj_lock_acquire(&sender->lock);
            list_append(sender, acc);
            kj_lock_release(&sender->lock);
        }
        kj_lock_release(&acc->lock);
        acc = next;
    }
    int64_t flush_at = kj_sender_flush(sender);
    return flush_at < when ? flush_at : when;
}

/* The worker's part. */
static int64_t run(void *arg)
{
    struct kj_sender *sender = arg;
    kj_store_relaxed(&sender->asleep, KJ_SENDER_AWAKE);
    tell_wakeup(sender);
    if (kj_store_gone(sender->store))
        kj_reports_moved(&sender->reports); /* polls end without a report */
    int64_t until_ns = kj_mono_ns(sender->clock) + WORKER_NS_MAX;
    for (int i = 0; i < ROUNDS_MAX; i++) {
        /* Acquire: with a listing seen, memory that was wanted before it is seen to be wanted. */
        uint64_t listings = kj_load_acquire(&sender->listings);
        int64_t when = kj_sender_work(sender);
        if (others_turn(sender) || kj_mono_ns(sender->clock) > until_ns)
            break;
        if (listings != kj_load_relaxed(&sender->listings))
            continue;
        bool nap = when != INT64_MAX && when - kj_mono_ns(sender->clock) <= KJ_GROWING_LOOK_NS;
        kj_store_relaxed(&sender->asleep, nap ? KJ_SENDER_NAPS : KJ_SENDER_SLEEPS);
        kj_fence(); /* asleep before the look at listings: pairs with note_listing(), poke */
        if (listings == kj_load_relaxed(&sender->listings))
            return when;
        kj_store_relaxed(&sender->asleep, KJ_SENDER_AWAKE);
    }
    return kj_mono_ns(sender->clock); /* the store's other work gets its turn in between */
}

/* --- the end --- */

void kj_sender_fail_all(struct kj_sender *sender, struct kj_accumulator *acc, int error)
{
    struct kj_batch_queue left;
    kj_batch_queue_init(&left);
    kj_lock_acquire(&acc->lock);
    kj_accumulator_close_open(acc);
    kj_batch_queue_unpop(&left, &acc->closed);
    kj_batch_queue_unpop(&left, &acc->appended);
    kj_lock_release(&acc->lock);
    for (struct kj_send_batch *batch; (batch = kj_batch_queue_pop(&left)) != NULL;) {
        if (batch->error == 0)
            kj_send_batch_fail(batch, error);
        kj_lock_acquire(&acc->lock);
        struct kj_topic *topic = complete(sender, batch);
        kj_lock_release(&acc->lock);
        kj_topic_release(topic);
    }
}

bool kj_sender_drop(struct kj_sender *sender, struct kj_accumulator *acc, int64_t created_ns)
{
    kj_lock_acquire(&acc->lock);
    if (acc->closed.first == NULL)
        kj_accumulator_close_open(acc);
    struct kj_send_batch *batch = acc->closed.first;
    struct kj_topic *topic = NULL;
    if (batch != NULL && batch->created_ns == created_ns) {
        kj_batch_queue_pop(&acc->closed);
        if (batch->number.producer_id >= 0)
            kj_sequence_restart(&acc->sequence, sender->clock);
        kj_store_metric_add(sender->store, KJ_METRIC_PRODUCE_DROPPED,
                            (uint64_t)batch->writer.count);
        kj_send_batch_fail(batch,
                           kj_err(KAJA_ERR_BUFFER_EXHAUSTED,
                                  "%s-%d: the oldest batch of %d records made room for newer ones",
                                  acc->name, acc->number, batch->writer.count));
        if (acc->appended.first != NULL) {
            batch->state = KJ_SEND_APPENDED;
            kj_batch_queue_push(&acc->appended, batch);
        } else {
            topic = complete(sender, batch);
        }
    } else {
        batch = NULL;
    }
    kj_lock_release(&acc->lock);
    if (topic != NULL)
        kj_topic_release(topic);
    return batch != NULL;
}

/* An append has a price of its own, about that of encoding 64 KiB: a lock between processes, index
 * entries, system calls. */
static size_t gather_of(size_t batch_bytes)
{
    size_t count = batch_bytes > 0 ? KJ_GATHER_BYTES / batch_bytes : KJ_DRAIN_BATCHES_MAX;
    return count < 1 ? 1 : count > KJ_DRAIN_BATCHES_MAX ? KJ_DRAIN_BATCHES_MAX : count;
}

void kj_sender_init(struct kj_sender *sender, struct kj_store *store,
                    const struct kj_producer_options *options)
{
    *sender = (struct kj_sender){
        .store = store,
        .clock = kj_store_clock(store),
        .options = *options,
        .has_worker = kj_store_has_worker(store),
        .gather = gather_of(options->batch_bytes),
        .task = {.run = run, .arg = sender},
    };
    /* Without batch.size a batch still has memory for a small record. */
    kj_buffer_pool_init(&sender->pool, options->buffer_bytes,
                        options->batch_bytes > 512 ? options->batch_bytes : 512);
    kj_batch_cache_init(&sender->cache);
    kj_reports_init(&sender->reports, reported, sender);
    kj_lock_init(&sender->lock, KJ_RANK_LEAF);
    sender->last = &sender->first;
    sender->flush_last = &sender->flush_first;
    kj_store_relaxed(&sender->asleep, KJ_SENDER_SLEEPS);
    kj_store_task_add(store, &sender->task);
}

void kj_sender_stop(struct kj_sender *sender)
{
    kj_store_release(&sender->stopping, 1);
    kj_store_task_remove(sender->store, &sender->task);
}

void kj_sender_destroy(struct kj_sender *sender)
{
    while (sender->drains != NULL) {
        struct kj_drain *drain = sender->drains;
        sender->drains = drain->next;
        for (size_t i = 0; i < KJ_DRAIN_BATCHES_MAX; i++)
            kj_buffer_free(&drain->out[i]);
        kj_free(drain);
    }
    kj_reports_destroy(&sender->reports);
    kj_batch_cache_destroy(&sender->cache);
    kj_buffer_pool_destroy(&sender->pool);
    kj_lock_destroy(&sender->lock);
}
