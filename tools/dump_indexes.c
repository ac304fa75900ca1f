/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/dump_indexes.c - index and snapshot files, compared with the .log beside them.
 */
#include "tools/common.h"
#include "tools/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an index can be wrong about: the batches of its .log, in file order. */
struct log_batch {
    int64_t pos, last_offset, max_timestamp;
};

struct log_batches {
    struct log_batch *items;
    size_t count, room;
    bool known; /* the .log is there and could be read */
};

static int collect(void *arg, const struct kaja_batch_info *batch)
{
    struct log_batches *list = arg;
    if (list->count == list->room) {
        list->room = list->room == 0 ? 256 : list->room * 2;
        list->items = kj_xrealloc(list->items, list->room * sizeof *list->items);
    }
    list->items[list->count++] =
        (struct log_batch){batch->pos, batch->last_offset, batch->max_timestamp};
    return 0;
}

/* Reads the batch headers of the .log that belongs to an index file. */
static struct log_batches load_batches(struct kj_dump *dump, const char *file)
{
    struct log_batches list = {NULL, 0, 0, false};
    size_t stem = (size_t)(strrchr(file, '.') - file);
    char *log = kj_xprintf("%.*s.log", (int)stem, file);
    int64_t trailing;
    if (access(log, F_OK) != 0) {
        fflush(stdout);
        kj_complain("kaja dump-log: there is no %s to compare %s with", log, file);
    } else {
        int err = kaja_dump_log(log, -1, collect, NULL, &list, &trailing);
        list.known = err == 0;
        if (err != 0) {
            fflush(stdout);
            kj_complain_err(err, "kaja dump-log: %s", log);
            dump->status = KJ_EXIT_FAILURE;
        }
    }
    free(log);
    return list;
}

struct index_walk {
    struct kj_dump *dump;
    struct kj_dump_report *report;
    struct log_batches batches;
    int64_t base_offset;
    int64_t last_timestamp; /* of the entry before */
    size_t count;
    bool over; /* zeros of an index that was never cut: no entries */
};

static int64_t last_offset_at(const struct log_batches *list, int64_t pos)
{
    size_t from = 0, to = list->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (list->items[middle].pos < pos)
            from = middle + 1;
        else
            to = middle;
    }
    return from < list->count && list->items[from].pos == pos ? list->items[from].last_offset : -1;
}

/* The first batch that reaches an offset, NULL if none does. */
static const struct log_batch *batch_with(const struct log_batches *list, int64_t offset)
{
    size_t from = 0, to = list->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (list->items[middle].last_offset < offset)
            from = middle + 1;
        else
            to = middle;
    }
    return from < list->count ? &list->items[from] : NULL;
}

/* Whether an entry is to be shown, beside being checked. */
static bool is_silent(const struct kj_dump *dump)
{
    return dump->verify_only || dump->sanity_only;
}

static bool is_zero_tail(struct index_walk *walk, const struct kaja_index_entry *entry)
{
    walk->over = walk->over || (walk->count > 0 && entry->offset == walk->base_offset);
    return walk->over;
}

static int on_index(void *arg, const struct kaja_index_entry *entry)
{
    struct index_walk *walk = arg;
    if (is_zero_tail(walk, entry))
        return 1;
    walk->count++;
    if (walk->batches.known) {
        int64_t found = last_offset_at(&walk->batches, entry->position);
        if (found != entry->offset)
            kj_dump_pair_add(&walk->report->mismatches, entry->offset, found);
    }
    if (is_silent(walk->dump))
        return 0;
    if (walk->dump->json != NULL) {
        kj_json_open(walk->dump->json, NULL, '{');
        kj_json_int(walk->dump->json, "offset", entry->offset);
        kj_json_int(walk->dump->json, "position", entry->position);
        kj_json_close(walk->dump->json, '}');
    } else {
        printf("offset: %lld position: %lld\n", (long long)entry->offset,
               (long long)entry->position);
    }
    return kj_stdout_broken();
}

static int on_time_index(void *arg, const struct kaja_index_entry *entry)
{
    struct index_walk *walk = arg;
    struct kj_dump_report *report = walk->report;
    if (is_zero_tail(walk, entry))
        return 1;
    walk->count++;
    if (walk->batches.known) {
        const struct log_batch *batch = batch_with(&walk->batches, entry->offset);
        if (batch == NULL || batch->last_offset != entry->offset)
            kj_dump_pair_add(&report->not_found, entry->offset,
                             batch != NULL ? batch->last_offset : -1);
        else if (batch->max_timestamp != entry->timestamp)
            kj_dump_pair_add(&report->time_mismatches, entry->timestamp, batch->max_timestamp);
    }
    if (walk->count > 1 && walk->last_timestamp >= entry->timestamp)
        kj_dump_pair_add(&report->out_of_order, entry->timestamp, walk->last_timestamp);
    walk->last_timestamp = entry->timestamp;
    if (is_silent(walk->dump))
        return 0;
    if (walk->dump->json != NULL) {
        kj_json_open(walk->dump->json, NULL, '{');
        kj_json_int(walk->dump->json, "timestamp", entry->timestamp);
        kj_json_int(walk->dump->json, "offset", entry->offset);
        kj_json_close(walk->dump->json, '}');
    } else {
        printf("timestamp: %lld offset: %lld\n", (long long)entry->timestamp,
               (long long)entry->offset);
    }
    return kj_stdout_broken();
}

static int on_txn_index(void *arg, const struct kaja_index_entry *e)
{
    struct index_walk *walk = arg;
    walk->count++;
    if (is_silent(walk->dump))
        return 0;
    if (walk->dump->json != NULL) {
        struct kj_json *json = walk->dump->json;
        kj_json_open(json, NULL, '{');
        kj_json_int(json, "version", e->version);
        kj_json_int(json, "producerId", e->producer_id);
        kj_json_int(json, "firstOffset", e->first_offset);
        kj_json_int(json, "lastOffset", e->offset);
        kj_json_int(json, "lastStableOffset", e->last_stable_offset);
        kj_json_close(json, '}');
    } else {
        printf("version: %d producerId: %lld firstOffset: %lld lastOffset: %lld "
               "lastStableOffset: %lld\n",
               (int)e->version, (long long)e->producer_id, (long long)e->first_offset,
               (long long)e->offset, (long long)e->last_stable_offset);
    }
    return kj_stdout_broken();
}

static void dump_index(struct kj_dump *dump, struct kj_dump_report *report, bool compare,
                       kaja_dump_index_callback *callback)
{
    struct index_walk walk = {
        .dump = dump, .report = report, .base_offset = kj_dump_base_offset(report->file)};
    if (compare && !dump->sanity_only)
        walk.batches = load_batches(dump, report->file);
    if (dump->json != NULL)
        kj_json_open(dump->json, "entries", '[');
    int err = kaja_dump_index(report->file, callback, &walk);
    if (dump->json != NULL)
        kj_json_close(dump->json, ']');
    free(walk.batches.items);
    if (err != 0) {
        fflush(stdout);
        kj_complain_err(err, "kaja dump-log: %s", report->file);
        dump->status = KJ_EXIT_FAILURE;
    } else if (dump->sanity_only && dump->json == NULL) {
        printf("%s passed sanity check.\n", report->file);
    } else if (walk.count == 0 && dump->json == NULL && callback == on_index) {
        printf("%s is empty.\n", report->file);
    }
}

void kj_dump_index_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    dump_index(dump, report, true, on_index);
}

void kj_dump_time_index_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    dump_index(dump, report, true, on_time_index);
}

void kj_dump_txn_index_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    dump_index(dump, report, false, on_txn_index);
}

/* --- snapshots
 * ------------------------------------------------------------------------------------ */

static void snapshot_json(struct kj_json *json, const struct kaja_snapshot_entry *e)
{
    kj_json_open(json, NULL, '{');
    kj_json_int(json, "producerId", e->producer_id);
    kj_json_int(json, "producerEpoch", e->producer_epoch);
    kj_json_int(json, "coordinatorEpoch", e->coordinator_epoch);
    if (e->current_txn_first_offset >= 0)
        kj_json_int(json, "currentTxnFirstOffset", e->current_txn_first_offset);
    else
        kj_json_null(json, "currentTxnFirstOffset");
    kj_json_int(json, "lastTimestamp", e->last_timestamp);
    if (e->last_sequence >= 0) {
        kj_json_int(json, "firstSequence", e->first_sequence);
        kj_json_int(json, "lastSequence", e->last_sequence);
        kj_json_int(json, "lastOffset", e->last_offset);
        kj_json_int(json, "offsetDelta", e->offset_delta);
    }
    kj_json_close(json, '}');
}

static int on_snapshot(void *arg, const struct kaja_snapshot_entry *e)
{
    struct kj_dump *dump = arg;
    if (dump->json != NULL) {
        snapshot_json(dump->json, e);
        return kj_stdout_broken();
    }
    char txn[48] = "OptionalLong.empty";
    if (e->current_txn_first_offset >= 0)
        snprintf(txn, sizeof txn, "OptionalLong[%lld]", (long long)e->current_txn_first_offset);
    printf("producerId: %lld producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s "
           "lastTimestamp: %lld",
           (long long)e->producer_id, (int)e->producer_epoch, (int)e->coordinator_epoch, txn,
           (long long)e->last_timestamp);
    if (e->last_sequence >= 0)
        printf(
            " firstSequence: %d lastSequence: %d lastOffset: %lld offsetDelta: %d timestamp: %lld",
            (int)e->first_sequence, (int)e->last_sequence, (long long)e->last_offset,
            (int)e->offset_delta, (long long)e->last_timestamp);
    putchar('\n');
    return kj_stdout_broken();
}

void kj_dump_snapshot_file(struct kj_dump *dump, struct kj_dump_report *report)
{
    if (dump->json != NULL)
        kj_json_open(dump->json, "entries", '[');
    int err = kaja_dump_snapshot(report->file, on_snapshot, dump);
    if (dump->json != NULL)
        kj_json_close(dump->json, ']');
    if (err != 0) {
        fflush(stdout);
        kj_complain_err(err, "kaja dump-log: %s", report->file);
        dump->status = KJ_EXIT_FAILURE;
    }
}
