/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/events.c - news for the application, in a bounded ring until it asks. When the ring is full
 * the newest are lost, and their number is told once there is room.
 */
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

void kj_events_init(struct kj_events *events, size_t max)
{
    kj_lock_init(&events->lock, KJ_RANK_EVENTS);
    events->max = max > 0 ? max : 1;
}

void kj_events_destroy(struct kj_events *events)
{
    kj_free(events->ring);
    kj_lock_destroy(&events->lock);
}

/* Events are large and rare: the ring begins small. False: it stays as it is. */
static bool grow(struct kj_events *events)
{
    size_t capacity = events->capacity == 0 ? 8 : events->capacity * 2;
    if (capacity > events->max)
        capacity = events->max;
    if (capacity == events->capacity)
        return false;
    struct kj_event *ring = kj_alloc(capacity * sizeof *ring);
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < events->count; i++)
        ring[i] = events->ring[(events->first + i) % events->capacity];
    kj_free(events->ring);
    events->ring = ring;
    events->capacity = capacity;
    events->first = 0;
    return true;
}

void kj_store_event_add(struct kj_store *store, const struct kj_event *event)
{
    struct kj_events *events = &store->events;
    kj_lock_acquire(&events->lock);
    bool room = events->count < events->capacity || grow(events);
    if (room)
        events->ring[(events->first + events->count++) % events->capacity] = *event;
    else
        events->dropped++;
    kj_lock_release(&events->lock);
    if (!room)
        kj_store_metric_add(store, KJ_METRIC_EVENTS_DROPPED, 1);
}

bool kj_store_event_take(struct kj_store *store, struct kj_event *ret_event)
{
    struct kj_events *events = &store->events;
    bool taken = true;
    kj_lock_acquire(&events->lock);
    if (events->count > 0) {
        *ret_event = events->ring[events->first];
        events->first = (events->first + 1) % events->capacity;
        events->count--;
    } else if (events->dropped > 0) {
        *ret_event = (struct kj_event){.kind = KAJA_EVENT_DROPPED,
                                       .partition = -1,
                                       .offset = (int64_t)events->dropped,
                                       .end_offset = -1};
        (void)snprintf(ret_event->text, sizeof ret_event->text,
                       "%llu events were lost: the queue was full (kaja.event.queue.max)",
                       (unsigned long long)events->dropped);
        events->dropped = 0;
    } else {
        taken = false;
    }
    kj_lock_release(&events->lock);
    return taken;
}

void kj_store_news(void *arg, const struct kj_log_news *news)
{
    struct kj_news_target *target = arg;
    struct kj_store *store = target->store;
    struct kj_event event = {.kind = news->kind,
                             .error = news->error,
                             .partition = target->partition,
                             .offset = news->offset,
                             .end_offset = news->end_offset};
    (void)snprintf(event.topic, sizeof event.topic, "%s", target->topic);
    (void)snprintf(event.text, sizeof event.text, "%s", news->text);
    if (news->kind == KAJA_EVENT_RECOVERED) {
        kj_store_metric_add(store, KJ_METRIC_RECOVERED_PARTITIONS, 1);
        if (kj_session_of(store)->attached)
            kj_shared_add(kj_shared_of(store), KJ_CONTROL_RECOVERED, 1);
    }
    if (news->kind == KAJA_EVENT_DAMAGE)
        kj_store_metric_add(store, KJ_METRIC_DAMAGED_RANGES, 1);
    kj_store_event_add(store, &event);
}

void kj_store_background_error(struct kj_store *store, int error, const char *topic,
                               int32_t partition)
{
    struct kj_event event = {.kind = KAJA_EVENT_BACKGROUND,
                             .error = error,
                             .partition = topic == NULL ? -1 : partition,
                             .offset = -1,
                             .end_offset = -1};
    (void)snprintf(event.topic, sizeof event.topic, "%s", topic == NULL ? "" : topic);
    (void)snprintf(event.text, sizeof event.text, "%s", kaja_error_detail());
    kj_store_event_add(store, &event);
}
