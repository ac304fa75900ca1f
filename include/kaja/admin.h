/* SPDX-License-Identifier: BSD-2-Clause
 *
 * kaja/admin.h - topics, their properties, and what can be asked about partitions.
 */
#ifndef KAJA_ADMIN_H
#define KAJA_ADMIN_H
#ifndef KAJA_H
#error "include <kaja.h>, not its parts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A topic as kaja_admin_topics() and kaja_admin_topic() show it. */
struct kaja_topic_info {
    const char *name;
    char id[23]; /* URL-safe base64 of the 16 bytes, NUL-terminated. Kafka: TopicId */
    int32_t partition_count;
    int internal; /* 1 for __consumer_offsets and its like */
    int adopted;  /* 1 if found without a catalog: retention is off until configured */
};

struct kaja_topic_list {
    size_t count;
    const struct kaja_topic_info *topics; /* sorted by name */
};

/* Creates a topic. partition_count -1: num.partitions. The topic properties set in conf (may be
 * NULL) become its own. Kafka: createTopics().
 * Errors: INVALID_TOPIC_EXCEPTION (not legal, internal, or it differs from another's in '.' and '_'
 * only), TOPIC_ALREADY_EXISTS (perhaps only a directory of that name), INVALID_PARTITIONS,
 * INVALID_CONFIG, UNSUPPORTED_FEATURE, LOCK_TIMED_OUT, writing.
 * Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_create_topic(struct kaja_store *store, const char *topic,
                                     int32_t partition_count, const struct kaja_conf *conf);

/* Deletes a topic: unknown from now on to every process; its files go away once nobody maps them.
 * What groups committed for it goes too; if that or a file cannot go now, the topic is gone all the
 * same, an event (BACKGROUND) tells, and its name is not free until housekeeping has done it.
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION (not legal, or internal),
 * LOCK_TIMED_OUT, writing. Threads: any. Blocks: for locks and a flush. */
KAJA_API int kaja_admin_delete_topic(struct kaja_store *store, const char *topic);

/* Raises the number of partitions. Records stay where they are. Kafka: createPartitions().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS (no increase, or
 * too many), TOPIC_ALREADY_EXISTS (a directory of that name), LOCK_TIMED_OUT, writing.
 * Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_add_partitions(struct kaja_store *store, const char *topic,
                                       int32_t partition_count);

/* All topics, or one. Ownership: the caller's, kaja_topic_list_free().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION and INVALID_TOPIC_EXCEPTION (both kaja_admin_topic),
 * INVALID_ARG (a NULL), reading. Threads: any. Blocks: no. */
KAJA_API int kaja_admin_topics(struct kaja_store *store, struct kaja_topic_list **ret_list);
KAJA_API int kaja_admin_topic(struct kaja_store *store, const char *topic,
                              struct kaja_topic_list **ret_list);
KAJA_API void kaja_topic_list_free(struct kaja_topic_list *list);

/* Where a value of a topic's property comes from. Kafka: ConfigSource. */
enum kaja_config_source {
    KAJA_CONFIG_TOPIC = 1,   /* DYNAMIC_TOPIC_CONFIG */
    KAJA_CONFIG_STORE = 2,   /* STATIC_BROKER_CONFIG: the directory's own */
    KAJA_CONFIG_DEFAULT = 3  /* DEFAULT_CONFIG */
};

struct kaja_config_entry {
    const char *name;
    const char *value; /* in force */
    enum kaja_config_source source;
    const char *topic_value;   /* set on the topic, or NULL */
    const char *store_value;   /* set on the directory under broker_name, or NULL */
    const char *default_value;
    const char *broker_name;
};

struct kaja_config_list {
    size_t count;
    const struct kaja_config_entry *entries; /* sorted by name */
};

/* Every topic property with its value in force; topic NULL: the directory-wide properties (source
 * STORE or DEFAULT). Kafka: describeConfigs(). Ownership: the caller's, kaja_config_list_free().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_ARG (a NULL), reading. Threads: any. Blocks: no. */
KAJA_API int kaja_admin_configs(struct kaja_store *store, const char *topic,
                                struct kaja_config_list **ret_list);
KAJA_API void kaja_config_list_free(struct kaja_config_list *list);

/* Sets the topic properties in set (may be NULL) and removes the named ones, together or not at
 * all; topic NULL: the directory's. Kafka: incrementalAlterConfigs().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_CONFIG, UNSUPPORTED_FEATURE,
 * INVALID_ARG (a NULL), LOCK_TIMED_OUT, writing. Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_alter_configs(struct kaja_store *store, const char *topic,
                                      const struct kaja_conf *set, const char *const *remove,
                                      size_t remove_count);

/* The offsets of a partition. Invariant: log_start <= last_stable <= high_watermark <= end. */
struct kaja_partition_info {
    int64_t log_start_offset;
    int64_t last_stable_offset;
    int64_t high_watermark;
    int64_t end_offset;
    int64_t durable_offset; /* everything below survives a power cut */
    int64_t bytes;          /* of its .log files, prepared space left out */
    int32_t segment_count;
    int poisoned; /* 1 if appends are refused after a failed flush */
};

/* Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_ID (deleted just now),
 * INVALID_ARG (a NULL), reading. Threads: any. Blocks: on reads. */
KAJA_API int kaja_admin_partition(struct kaja_store *store, const char *topic, int32_t partition,
                                  struct kaja_partition_info *ret_info);

/* An offset by time: timestamp_ms >= 0 gives the first offset whose record has at least that
 * timestamp; KAJA_OFFSET_LATEST, _EARLIEST and _MAX_TIMESTAMP as in Kafka. Not found:
 * KAJA_OFFSET_NONE and timestamp -1. isolation: 0 read_uncommitted, 1 read_committed.
 * Kafka: listOffsets(). Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION,
 * UNKNOWN_TOPIC_ID (deleted just now), INVALID_ARG, reading. Threads: any. Blocks: on reads. */
KAJA_API int kaja_admin_offset_for_time(struct kaja_store *store, const char *topic,
                                        int32_t partition, int64_t timestamp_ms, int isolation,
                                        int64_t *ret_offset, int64_t *ret_timestamp);

/* Records below offset are no longer readable (-1: all up to the high watermark). Gives the new log
 * start offset. Kafka: deleteRecords().
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_ID (deleted just now),
 * OFFSET_OUT_OF_RANGE, POLICY_VIOLATION (cleanup.policy without delete), LOCK_TIMED_OUT, writing.
 * Threads: any. Blocks: for a lock. */
KAJA_API int kaja_admin_delete_records(struct kaja_store *store, const char *topic,
                                       int32_t partition, int64_t offset, int64_t *ret_low_watermark);

/* Makes everything that is readable durable, for all partitions (topic NULL) or one topic's.
 * Errors: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_ID (deleted just now),
 * POISONED, LOCK_TIMED_OUT, writing. Threads: any. Blocks: for locks and flushes. */
KAJA_API int kaja_admin_flush(struct kaja_store *store, const char *topic);

/* --- consumer groups --- */

/* Kafka: GroupState. Partitions are given out in the step that completes a rebalance, so there is
 * no CompletingRebalance. */
enum kaja_group_state {
    KAJA_GROUP_DEAD = 0,
    KAJA_GROUP_EMPTY = 1, /* no members, perhaps offsets */
    KAJA_GROUP_PREPARING_REBALANCE = 2,
    KAJA_GROUP_STABLE = 3
};

struct kaja_group_info {
    const char *group_id;
    enum kaja_group_state state;
    int32_t generation;
    const char *assignor; /* "": none */
    const char *leader;   /* its member id, "": none */
    size_t member_count;
};

struct kaja_group_list {
    size_t count;
    const struct kaja_group_info *groups; /* sorted by id */
};

/* All groups that have members or offsets, or one. Kafka: listGroups(), describeConsumerGroups().
 * Ownership: the caller's, kaja_group_list_free().
 * Errors: GROUP_ID_NOT_FOUND, INVALID_GROUP_ID (both kaja_admin_group), INVALID_ARG (a NULL),
 * reading. Threads: any. Blocks: on reads. */
KAJA_API int kaja_admin_groups(struct kaja_store *store, struct kaja_group_list **ret_list);
KAJA_API int kaja_admin_group(struct kaja_store *store, const char *group_id,
                              struct kaja_group_list **ret_list);
KAJA_API void kaja_group_list_free(struct kaja_group_list *list);

/* A member of a group, in whatever process it is. */
struct kaja_group_member {
    const char *member_id;
    const char *client_id;   /* "": none */
    const char *instance_id; /* group.instance.id; NULL: none */
    const char *const *topics; /* subscribed to, sorted */
    size_t topic_count;
    const struct kaja_topic_partition *partitions; /* assigned, sorted; offsets KAJA_OFFSET_NONE */
    size_t partition_count;                        /* 0 while the group rebalances */
};

struct kaja_group_member_list {
    struct kaja_group_info group; /* at that moment */
    size_t count;
    const struct kaja_group_member *members; /* in the order of joining */
};

/* A group and its members. Kafka: describeConsumerGroups(), ConsumerGroupDescription.members().
 * Ownership: the caller's, kaja_group_member_list_free().
 * Errors: GROUP_ID_NOT_FOUND, INVALID_GROUP_ID, INVALID_ARG (a NULL), reading.
 * Threads: any. Blocks: on reads. */
KAJA_API int kaja_admin_group_members(struct kaja_store *store, const char *group_id,
                                      struct kaja_group_member_list **ret_list);
KAJA_API void kaja_group_member_list_free(struct kaja_group_member_list *list);

struct kaja_offset_list {
    size_t count;
    const struct kaja_committed_offset *offsets; /* sorted by topic and partition */
};

/* What a group has committed; nothing if there is no such group. Kafka: listConsumerGroupOffsets().
 * Ownership: the caller's, kaja_offset_list_free().
 * Errors: INVALID_GROUP_ID, INVALID_ARG (a NULL), reading. Threads: any. Blocks: on reads. */
KAJA_API int kaja_admin_group_offsets(struct kaja_store *store, const char *group_id,
                                      struct kaja_offset_list **ret_list);
KAJA_API void kaja_offset_list_free(struct kaja_offset_list *list);

/* Commits offsets for a group without members, all or none; it need not exist. Kafka:
 * alterConsumerGroupOffsets().
 * Errors: NON_EMPTY_GROUP, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION,
 * OFFSET_METADATA_TOO_LARGE, INVALID_GROUP_ID, INVALID_ARG, LOCK_TIMED_OUT, POISONED, writing.
 * Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_alter_group_offsets(struct kaja_store *store, const char *group_id,
                                            const struct kaja_committed_offset *offsets,
                                            size_t count);

/* Forgets some offsets of a group (topic and partition count), all or none; those that are not
 * there are passed over. Members of the group must not subscribe to the topics. Kafka:
 * deleteConsumerGroupOffsets().
 * Errors: GROUP_SUBSCRIBED_TO_TOPIC, GROUP_ID_NOT_FOUND, INVALID_GROUP_ID, INVALID_ARG,
 * LOCK_TIMED_OUT, POISONED, writing. Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_delete_group_offsets(struct kaja_store *store, const char *group_id,
                                             const struct kaja_topic_partition *partitions,
                                             size_t count);

/* Forgets a group without members and all its offsets. Kafka: deleteConsumerGroups().
 * Errors: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, INVALID_GROUP_ID, LOCK_TIMED_OUT, POISONED, writing.
 * Threads: any. Blocks: for a lock and a flush. */
KAJA_API int kaja_admin_delete_group(struct kaja_store *store, const char *group_id);

#ifdef __cplusplus
}
#endif
#endif
