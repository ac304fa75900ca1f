/* SPDX-License-Identifier: BSD-2-Clause */
#include "history/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 5 };

static const char *const kind_names[HISTORY_KINDS] = {
    [HISTORY_PRODUCED] = "produced", [HISTORY_POLLED] = "polled",
    [HISTORY_DELIVERED] = "delivered", [HISTORY_ASSIGNED] = "assigned",
    [HISTORY_REVOKED] = "revoked", [HISTORY_LOST] = "lost",
    [HISTORY_GONE] = "gone", [HISTORY_COMMITTED] = "committed",
    [HISTORY_FETCHED] = "fetched", [HISTORY_STOPPED] = "stopped",
    [HISTORY_CUT] = "cut", [HISTORY_END] = "end",
    [HISTORY_STANDS] = "stands", [HISTORY_DRAINED] = "drained"};

/* --- the list --- */

static void *more(void *items, size_t bytes)
{
    void *grown = realloc(items, bytes == 0 ? 1 : bytes);
    if (grown == NULL)
        abort();
    return grown;
}

void history_add(struct history *history, const struct history_event *event)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? 1024 : history->capacity * 2;
        history->events = more(history->events, history->capacity * sizeof *event);
    }
    history->events[history->count++] = *event;
}

void history_free(struct history *history)
{
    free(history->events);
    *history = (struct history){0};
}

static bool of_group(enum history_kind kind)
{
    return kind != HISTORY_PRODUCED && kind != HISTORY_STOPPED && kind != HISTORY_CUT &&
           kind != HISTORY_END && kind != HISTORY_STANDS;
}

void history_print_event(FILE *to, const struct history_event *event)
{
    enum history_kind kind = event->kind;
    (void)fprintf(to, "%" PRId64, event->begin);
    if (event->end != event->begin)
        (void)fprintf(to, "..%" PRId64, event->end);
    (void)fprintf(to, " process %u", event->process);
    if (of_group(kind) && kind != HISTORY_DRAINED)
        (void)fprintf(to, " consumer %u", event->consumer);
    if (event->instance != 0)
        (void)fprintf(to, " (static %u)", event->instance);
    if (of_group(kind))
        (void)fprintf(to, " g%u", event->group);
    if (kind >= HISTORY_DELIVERED && kind <= HISTORY_COMMITTED && kind != HISTORY_GONE)
        (void)fprintf(to, " generation %d", event->generation);
    (void)fprintf(to, " %s", kind_names[kind]);
    if (kind != HISTORY_POLLED && kind != HISTORY_GONE && kind != HISTORY_STOPPED &&
        kind != HISTORY_CUT)
        (void)fprintf(to, " t%u-%d", event->topic, event->partition);
    if (kind == HISTORY_PRODUCED || kind == HISTORY_DELIVERED || kind == HISTORY_COMMITTED ||
        kind == HISTORY_FETCHED || kind == HISTORY_END || kind == HISTORY_STANDS)
        (void)fprintf(to, " offset %" PRId64, event->offset);
    if (kind == HISTORY_PRODUCED || kind == HISTORY_DELIVERED || kind == HISTORY_STANDS)
        (void)fprintf(to, " value %" PRIu64 ".%" PRIu64, event->value >> 32,
                      event->value & UINT32_MAX);
    if (kind == HISTORY_COMMITTED && event->value == 1)
        (void)fprintf(to, " by itself");
    if (kind == HISTORY_FETCHED && event->value == 1)
        (void)fprintf(to, " as its position");
    if (kind == HISTORY_PRODUCED || kind == HISTORY_COMMITTED)
        (void)fprintf(to, " acks=%d", event->acks);
    if (event->error == HISTORY_UNKNOWN)
        (void)fprintf(to, " (not known whether)");
    else if (event->error != 0)
        (void)fprintf(to, " error %d", event->error);
    (void)fprintf(to, "\n");
}

uint64_t history_hash(const struct history *history)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_event *e = &history->events[i];
        const uint64_t words[] = {(uint64_t)e->kind,
                                  (uint64_t)e->begin,
                                  (uint64_t)e->end,
                                  (uint64_t)e->process << 32 | e->consumer,
                                  (uint64_t)e->group << 32 | e->instance,
                                  (uint64_t)(uint32_t)e->generation << 32 | e->topic,
                                  (uint64_t)(uint32_t)e->partition,
                                  (uint64_t)e->offset,
                                  e->value,
                                  (uint64_t)(uint32_t)e->acks << 32 | (uint32_t)e->error};
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            hash = ((hash ^ words[w]) * 1099511628211u) ^ (hash >> 29);
    }
    return hash;
}

/* --- what the laws look at --- */

typedef const struct history_event *event_ref;

struct list {
    event_ref *items;
    size_t count;
};

struct check {
    const struct history *history;
    FILE *to;
    size_t broken;
    struct list cuts, ends, stopped; /* by time */
    struct list stands;              /* by place */
    struct list produced;            /* by value */
    struct list polled;              /* by consumer and time */
};

static void broken(struct check *check, const char *law, const char *what, event_ref first,
                   event_ref second)
{
    if (check->broken++ >= TOLD_MAX)
        return;
    (void)fprintf(check->to, "BROKEN %s: %s\n", law, what);
    if (first != NULL)
        history_print_event(check->to, first);
    if (second != NULL)
        history_print_event(check->to, second);
}

static struct list pick(const struct history *history, unsigned kinds,
                        int (*order)(const void *, const void *))
{
    struct list list = {.items = more(NULL, history->count * sizeof(event_ref))};
    for (size_t i = 0; i < history->count; i++)
        if ((kinds & 1U << history->events[i].kind) != 0)
            list.items[list.count++] = &history->events[i];
    if (order != NULL && list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, order);
    return list;
}

#define KIND(name) (1U << HISTORY_##name)
#define ORDER(a, b)                                                                                \
    do {                                                                                           \
        if ((a) != (b))                                                                            \
            return (a) < (b) ? -1 : 1;                                                             \
    } while (0)

static event_ref ref(const void *item)
{
    return *(const event_ref *)item;
}

/* Events are sorted by time, and the addresses of the list with them. */
static int by_time(const void *a, const void *b)
{
    ORDER(ref(a), ref(b));
    return 0;
}

static int place(event_ref a, event_ref b)
{
    ORDER(a->topic, b->topic);
    ORDER(a->partition, b->partition);
    return 0;
}

static int by_place(const void *a, const void *b)
{
    int order = place(ref(a), ref(b));
    if (order != 0)
        return order;
    ORDER(ref(a)->offset, ref(b)->offset);
    return by_time(a, b);
}

static int by_value(const void *a, const void *b)
{
    ORDER(ref(a)->value, ref(b)->value);
    return by_time(a, b);
}

static int by_consumer(const void *a, const void *b)
{
    ORDER(ref(a)->consumer, ref(b)->consumer);
    return by_time(a, b);
}

static int by_producer(const void *a, const void *b)
{
    int order = place(ref(a), ref(b));
    if (order != 0)
        return order;
    ORDER(ref(a)->value >> 32, ref(b)->value >> 32);
    return by_place(a, b);
}

static int by_group_place(const void *a, const void *b)
{
    ORDER(ref(a)->group, ref(b)->group);
    return by_place(a, b);
}

/* A group's view of a partition, by time. */
static int by_track(const void *a, const void *b)
{
    ORDER(ref(a)->group, ref(b)->group);
    int order = place(ref(a), ref(b));
    return order != 0 ? order : by_time(a, b);
}

/* As the consumer saw it: what a poll delivered comes after what it told. */
static int by_session(const void *a, const void *b)
{
    ORDER(ref(a)->consumer, ref(b)->consumer);
    int order = place(ref(a), ref(b));
    if (order != 0)
        return order;
    ORDER(ref(a)->end, ref(b)->end);
    return by_time(a, b);
}

static int by_group_time(const void *a, const void *b)
{
    ORDER(ref(a)->group, ref(b)->group);
    return by_time(a, b);
}

static int by_generation(const void *a, const void *b)
{
    ORDER(ref(a)->group, ref(b)->group);
    ORDER(ref(a)->generation, ref(b)->generation);
    int order = place(ref(a), ref(b));
    return order != 0 ? order : by_time(a, b);
}

/* The first item that is not below key. */
static size_t lower(const struct list *list, event_ref key,
                    int (*order)(event_ref item, event_ref key))
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (order(list->items[mid], key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int at_place(event_ref item, event_ref key)
{
    int order = place(item, key);
    if (order != 0)
        return order;
    ORDER(item->offset, key->offset);
    return 0;
}

static int at_value(event_ref item, event_ref key)
{
    ORDER(item->value, key->value);
    return 0;
}

static int at_group_record(event_ref item, event_ref key)
{
    ORDER(item->group, key->group);
    return at_place(item, key);
}

static event_ref find(const struct list *list, event_ref key,
                      int (*order)(event_ref item, event_ref key))
{
    size_t at = lower(list, key, order);
    return at < list->count && order(list->items[at], key) == 0 ? list->items[at] : NULL;
}

static bool cut_between(const struct check *check, int64_t from, int64_t to)
{
    for (size_t i = 0; i < check->cuts.count; i++)
        if (check->cuts.items[i]->begin >= from && check->cuts.items[i]->begin <= to)
            return true;
    return false;
}

static bool same_owner(event_ref a, event_ref b)
{
    return a->consumer == b->consumer || (a->instance != 0 && a->instance == b->instance);
}

/* --- records --- */

static void check_acknowledged(struct check *check)
{
    for (size_t i = 0; i < check->produced.count; i++) {
        event_ref sent = check->produced.items[i];
        if (i > 0 && check->produced.items[i - 1]->value == sent->value)
            broken(check, "history", "a value was sent twice", sent, check->produced.items[i - 1]);
        if (sent->error != 0 || sent->acks == 0 ||
            (sent->acks != -1 && cut_between(check, sent->begin, INT64_MAX)))
            continue;
        event_ref stands = find(&check->stands, sent, at_place);
        if (stands == NULL || stands->value != sent->value)
            broken(check, "acknowledged", "the record is not there", sent, stands);
    }
    struct list list = pick(check->history, KIND(STANDS), by_value);
    for (size_t i = 0; i < list.count; i++) {
        event_ref stands = list.items[i];
        event_ref sent = find(&check->produced, stands, at_value);
        if (i > 0 && list.items[i - 1]->value == stands->value)
            broken(check, "acknowledged", "the record is there twice", stands, list.items[i - 1]);
        else if (sent == NULL || sent->topic != stands->topic ||
                 (sent->partition >= 0 && sent->partition != stands->partition))
            broken(check, "acknowledged", "nobody sent this record there", stands, sent);
    }
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, by_producer);
    for (size_t i = 1; i < list.count; i++)
        if (place(list.items[i - 1], list.items[i]) == 0 &&
            list.items[i - 1]->value >> 32 == list.items[i]->value >> 32 &&
            list.items[i - 1]->value > list.items[i]->value)
            broken(check, "acknowledged", "records of one producer are out of order",
                   list.items[i - 1], list.items[i]);
    free(list.items);
}

static bool was_delivered(const struct list *delivered, event_ref stands, uint32_t group)
{
    struct history_event key = *stands;
    key.group = group;
    for (size_t i = lower(delivered, &key, at_group_record);
         i < delivered->count && at_group_record(delivered->items[i], &key) == 0; i++)
        if (delivered->items[i]->value == key.value)
            return true;
    return false;
}

static void check_delivered(struct check *check)
{
    struct list delivered = pick(check->history, KIND(DELIVERED), by_group_place);
    struct list drained = pick(check->history, KIND(DRAINED), NULL);
    for (size_t i = 0; i < drained.count; i++)
        for (size_t k = 0; k < check->stands.count; k++)
            if (check->stands.items[k]->topic == drained.items[i]->topic &&
                !was_delivered(&delivered, check->stands.items[k], drained.items[i]->group))
                broken(check, "delivered", "a record was never delivered to the group",
                       check->stands.items[k], drained.items[i]);
    for (size_t i = 0; i < delivered.count; i++) {
        event_ref got = delivered.items[i];
        event_ref sent = find(&check->produced, got, at_value);
        if (sent == NULL || sent->begin > got->end) {
            broken(check, "delivered", "a record that nobody had sent", got, sent);
            continue;
        }
        /* With acks=all it was not readable before it was on the device. */
        if (sent->acks != -1 && cut_between(check, got->begin, INT64_MAX))
            continue;
        event_ref stands = find(&check->stands, got, at_place);
        if (check->stands.count > 0 && (stands == NULL || stands->value != got->value))
            broken(check, "delivered", "the record does not stand at that offset", got, stands);
    }
    free(delivered.items);
    free(drained.items);
}

/* --- order, owners --- */

/* The consumer's last poll that began before this moment. */
static event_ref poll_before(const struct check *check, uint32_t consumer, int64_t at)
{
    size_t low = 0, high = check->polled.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        event_ref e = check->polled.items[mid];
        if (e->consumer < consumer || (e->consumer == consumer && e->begin <= at))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0 || check->polled.items[low - 1]->consumer != consumer)
        return NULL;
    return check->polled.items[low - 1];
}

static bool was_stopped(const struct check *check, uint32_t process, int64_t from, int64_t to)
{
    for (size_t i = 0; i < check->stopped.count; i++) {
        event_ref e = check->stopped.items[i];
        if (e->process == process && e->begin <= to && e->end >= from)
            return true;
    }
    return false;
}

/* Another consumer with the same group.instance.id was there between these moments. */
static bool replaced_between(const struct check *check, event_ref e, int64_t from, int64_t to)
{
    for (size_t i = 0; e->instance != 0 && i < check->polled.count; i++) {
        event_ref other = check->polled.items[i];
        if (other->group == e->group && other->instance == e->instance &&
            other->consumer != e->consumer && other->begin <= to && other->end >= from)
            return true;
    }
    return false;
}

/* While the poll ran in which this happened: it could not know yet; or its process was stopped. */
static bool replaced(const struct check *check, event_ref e)
{
    event_ref poll = poll_before(check, e->consumer, e->begin);
    int64_t from = poll == NULL ? e->begin : poll->begin;
    return replaced_between(check, e, from, e->begin) ||
           was_stopped(check, e->process, from, e->begin);
}

/* Offsets that a power cut took from the middle: what stood behind them stays where it was. */
static bool is_hole(const struct check *check, event_ref e, int64_t from)
{
    struct history_event key = *e;
    key.offset = from;
    size_t at = lower(&check->stands, &key, at_place);
    return from < e->offset && cut_between(check, INT64_MIN, e->begin) &&
           at < check->stands.count && place(check->stands.items[at], e) == 0 &&
           check->stands.items[at]->offset >= e->offset;
}

static void check_order(struct check *check)
{
    struct list list = pick(check->history,
                            KIND(ASSIGNED) | KIND(REVOKED) | KIND(LOST) | KIND(DELIVERED) |
                                KIND(FETCHED),
                            by_session);
    event_ref assigned = NULL, last = NULL;
    for (size_t i = 0; i < list.count; i++) {
        event_ref e = list.items[i];
        if (i == 0 || e->consumer != list.items[i - 1]->consumer ||
            place(e, list.items[i - 1]) != 0)
            assigned = last = NULL;
        if (e->kind == HISTORY_FETCHED) {
            if (e->value == 1 && e->error == 0 && assigned != NULL)
                last = e;
        } else if (e->kind != HISTORY_DELIVERED) {
            if (e->kind == HISTORY_ASSIGNED && assigned != NULL)
                broken(check, "one owner", "assigned again without being revoked", assigned, e);
            if (e->kind != HISTORY_ASSIGNED && assigned == NULL)
                broken(check, "one owner", "it was not assigned", e, NULL);
            assigned = e->kind == HISTORY_ASSIGNED ? e : NULL;
            last = NULL;
        } else {
            if (assigned == NULL)
                broken(check, "one owner", "delivered without being assigned", e, NULL);
            int64_t expected = last == NULL                       ? e->offset
                               : last->kind == HISTORY_DELIVERED ? last->offset + 1
                                                                  : last->offset;
            if (e->offset != expected && !is_hole(check, e, expected))
                broken(check, "order", "the offsets do not follow each other", last, e);
            last = e;
        }
    }
    free(list.items);
}

/* The number of a generation is that of an acks=1 record: after a power cut it may come again. */
static void check_owners(struct check *check)
{
    struct list list =
        pick(check->history, KIND(ASSIGNED) | KIND(DELIVERED), by_generation);
    for (size_t i = 1; i < list.count; i++) {
        event_ref a = list.items[i - 1], b = list.items[i];
        if (a->group == b->group && a->generation == b->generation && place(a, b) == 0 &&
            !same_owner(a, b) && !cut_between(check, a->begin, b->begin))
            broken(check, "one owner", "two owners in one generation", a, b);
    }
    free(list.items);
}

static void check_generations(struct check *check)
{
    struct list list = pick(check->history, KIND(ASSIGNED), by_group_time);
    event_ref newest = NULL;
    for (size_t i = 0; i < list.count; i++) {
        event_ref e = list.items[i];
        if (newest != NULL &&
            (newest->group != e->group || cut_between(check, newest->begin, e->begin)))
            newest = NULL;
        if (newest != NULL && newest->generation > e->generation && !replaced(check, e))
            broken(check, "generations", "the generation fell", newest, e);
        if (newest == NULL || e->generation >= newest->generation)
            newest = e;
    }
    free(list.items);
}

/* --- a group's view of one partition --- */

struct track {
    event_ref *items;
    size_t count;
    bool *void_commit; /* of each: it began when it was fenced */
};

/* Could its session have ended, whenever that was found out? If so, it did not poll for a while:
 * just now, or before it came back, which the others need not have seen yet. */
static bool was_silent(const struct check *check, event_ref owner, int64_t at)
{
    int64_t silence = check->history->silence, heard = at;
    event_ref poll = poll_before(check, owner->consumer, at);
    for (; poll != NULL && heard > at - 2 * silence && heard > owner->begin;
         poll = poll_before(check, owner->consumer, poll->begin - 1)) {
        if (heard - poll->end >= silence)
            return true;
        heard = poll->begin;
    }
    return false;
}

static void check_taken(struct check *check, const struct track *track)
{
    int64_t silence = check->history->silence;
    event_ref owner = NULL;
    for (size_t i = 0; i < track->count && silence > 0; i++) {
        event_ref e = track->items[i];
        if (e->kind == HISTORY_ASSIGNED) {
            if (owner != NULL && !same_owner(owner, e) &&
                !was_stopped(check, owner->process, e->begin - silence, e->begin) &&
                !replaced_between(check, owner, owner->begin, e->begin) && !replaced(check, e) &&
                !was_silent(check, owner, e->begin))
                broken(check, "taken", "it was taken from an owner that polls", owner, e);
            owner = e;
        } else if ((e->kind == HISTORY_REVOKED || e->kind == HISTORY_LOST ||
                    e->kind == HISTORY_GONE) &&
                   owner != NULL && owner->consumer == e->consumer) {
            owner = NULL;
        }
    }
}

/* Of what the consumer has then; NULL: it was taken from it. */
static event_ref own_assignment(const struct track *track, size_t before, uint32_t consumer)
{
    for (size_t i = before; i-- > 0;) {
        event_ref e = track->items[i];
        if (e->consumer != consumer)
            continue;
        if (e->kind == HISTORY_REVOKED || e->kind == HISTORY_LOST)
            return NULL;
        if (e->kind == HISTORY_ASSIGNED)
            return e;
    }
    return NULL;
}

/* Somebody else was told of it in a newer generation, or as the same static member. */
static bool is_fenced(const struct check *check, const struct track *track, size_t at,
                      event_ref newest)
{
    event_ref e = track->items[at];
    if (newest == NULL || newest->consumer == e->consumer)
        return false;
    if (newest->generation != e->generation)
        return newest->generation > e->generation;
    /* Told later, and found in its place by a poll that began later: so it joined later. */
    event_ref own = own_assignment(track, at, e->consumer);
    event_ref poll = poll_before(check, newest->consumer, newest->begin);
    return same_owner(newest, e) && own != NULL && own->generation == e->generation &&
           poll != NULL && own->begin < poll->begin;
}

static void check_fenced(struct check *check, struct track *track)
{
    event_ref newest = NULL;
    for (size_t i = 0; i < track->count; i++) {
        event_ref e = track->items[i];
        if (newest != NULL && cut_between(check, newest->begin, e->begin))
            newest = NULL;
        bool fenced = is_fenced(check, track, i, newest);
        if (e->kind == HISTORY_ASSIGNED) {
            if (fenced && newest->generation > e->generation && !replaced(check, e))
                broken(check, "generations", "assigned in an older generation", newest, e);
            if (newest == NULL || e->generation >= newest->generation)
                newest = e;
        } else if (e->kind == HISTORY_DELIVERED && fenced) {
            broken(check, "fenced", "a poll delivered what another owned already", newest, e);
        } else if (e->kind == HISTORY_COMMITTED && fenced) {
            track->void_commit[i] = true;
            if (e->error == 0)
                broken(check, "fenced", "a commit passed after another owned it", newest, e);
        }
    }
}

/* Acknowledged, and neither a power cut nor time can have undone it when the fetch began. */
static bool certain(const struct check *check, event_ref commit, event_ref fetch)
{
    return commit->error == 0 && commit->end < fetch->begin &&
           (commit->acks == -1 || !cut_between(check, commit->begin, fetch->begin));
}

/* What a commit of this offset reads as in the fetch: power cuts move it back to the end. */
static int64_t moved_back(const struct check *check, int64_t offset, int64_t since, event_ref fetch)
{
    for (size_t i = 0; i < check->ends.count; i++) {
        event_ref e = check->ends.items[i];
        if (place(e, fetch) == 0 && e->begin > since && e->begin < fetch->begin &&
            e->offset < offset)
            offset = e->offset;
    }
    return offset;
}

/* The value could stand there: from a commit that no other one came after for certain. */
static bool explained(const struct check *check, const struct track *track, event_ref fetch,
                      event_ref *ret_last)
{
    event_ref last = NULL; /* certain, and begun last */
    for (size_t i = 0; i < track->count; i++)
        if (track->items[i]->kind == HISTORY_COMMITTED && certain(check, track->items[i], fetch))
            last = track->items[i];
    *ret_last = last;
    if (last == NULL && (fetch->offset <= 0 || (fetch->value == 1 && is_hole(check, fetch, 0))))
        return true;
    for (size_t i = 0; i < track->count; i++) {
        event_ref c = track->items[i];
        if (c->kind != HISTORY_COMMITTED || c->begin > fetch->end || track->void_commit[i] ||
            (c->error != 0 && c->error != HISTORY_UNKNOWN) ||
            (last != NULL && c->end < last->begin))
            continue;
        if (moved_back(check, c->offset, c->begin, fetch) == fetch->offset)
            return true;
    }
    return false;
}

static void check_committed(struct check *check, const struct track *track)
{
    event_ref last;
    for (size_t i = 0; i < track->count; i++)
        if (track->items[i]->kind == HISTORY_FETCHED && track->items[i]->error == 0 &&
            !explained(check, track, track->items[i], &last))
            broken(check, "committed", "this is not what was committed last", last,
                   track->items[i]);
}

/* Without the ends of consumers: those belong to every track. */
static void check_tracks(struct check *check)
{
    struct list list = pick(check->history,
                            KIND(ASSIGNED) | KIND(REVOKED) | KIND(LOST) | KIND(DELIVERED) |
                                KIND(COMMITTED) | KIND(FETCHED),
                            by_track);
    struct list gone = pick(check->history, KIND(GONE), by_time);
    for (size_t at = 0; at < list.count;) {
        size_t end = at + 1;
        while (end < list.count && list.items[end]->group == list.items[at]->group &&
               place(list.items[end], list.items[at]) == 0)
            end++;
        struct track track = {.items = more(NULL, (end - at + gone.count) * sizeof(event_ref)),
                              .count = end - at};
        memcpy(track.items, list.items + at, (end - at) * sizeof(event_ref));
        for (size_t i = 0; i < gone.count; i++)
            if (gone.items[i]->group == list.items[at]->group)
                track.items[track.count++] = gone.items[i];
        qsort(track.items, track.count, sizeof *track.items, by_time);
        track.void_commit = calloc(track.count, sizeof(bool));
        if (track.void_commit == NULL)
            abort();
        check_taken(check, &track);
        check_fenced(check, &track);
        check_committed(check, &track);
        free(track.items);
        free(track.void_commit);
        at = end;
    }
    free(list.items);
    free(gone.items);
}

/* --- all --- */

static int by_begin(const void *a, const void *b)
{
    const struct history_event *x = a, *y = b;
    ORDER(x->begin, y->begin);
    ORDER(x->end, y->end);
    ORDER(x->kind, y->kind);
    ORDER(x->consumer, y->consumer);
    ORDER(x->topic, y->topic);
    ORDER(x->partition, y->partition);
    ORDER(x->offset, y->offset);
    return 0;
}

size_t history_check(struct history *history, FILE *to)
{
    if (history->count == 0)
        return 0;
    qsort(history->events, history->count, sizeof *history->events, by_begin);
    struct check check = {
        .history = history,
        .to = to,
        .cuts = pick(history, KIND(CUT), by_time),
        .ends = pick(history, KIND(END), by_time),
        .stopped = pick(history, KIND(STOPPED), by_time),
        .stands = pick(history, KIND(STANDS), by_place),
        .produced = pick(history, KIND(PRODUCED), by_value),
        .polled = pick(history, KIND(POLLED), by_consumer),
    };
    check_acknowledged(&check);
    check_delivered(&check);
    check_order(&check);
    check_owners(&check);
    check_generations(&check);
    check_tracks(&check);
    if (check.broken > TOLD_MAX)
        (void)fprintf(to, "... and %zu more\n", check.broken - TOLD_MAX);
    free(check.cuts.items);
    free(check.ends.items);
    free(check.stopped.items);
    free(check.stands.items);
    free(check.produced.items);
    free(check.polled.items);
    return check.broken;
}
