/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_options.c - what each open call takes out of a bag.
 */
#include "api/conf_bag.h"
#include "api/conf_row.h"

#include "base/alloc.h"
#include "base/err.h"
#include "client/consumer.h"
#include "client/producer.h"
#include "coord/group.h"
#include "coord/offset_store.h"

#include <string.h>

/* The value in force for one row: as set, else the row's default. */
static const char *value_of(const struct kaja_conf *conf, const struct kj_conf_row *row)
{
    const char *value = kj_conf_set_value(conf, row->info.name);
    return value != NULL ? value : row->info.default_value;
}

/* Fills every member of options that a row of the scopes feeds. A value that the bag took for
 * another row of the same name is refused here. */
static int fill(const struct kaja_conf *conf, unsigned scopes, enum kj_conf_room room,
                void *options)
{
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        if ((row->scopes & scopes) == 0 || row->field.room != room)
            continue;
        const char *value = value_of(conf, row);
        int64_t number;
        if (value == NULL)
            continue;
        KJ_TRY(kj_conf_value_parse(row, value, &number));
        kj_conf_value_store(row, number, options);
    }
    return 0;
}

static int number_of(const struct kaja_conf *conf, const char *name, unsigned scopes,
                     int64_t *ret_number)
{
    const struct kj_conf_row *row = kj_conf_row_find(name, scopes);
    return kj_conf_value_parse(row, value_of(conf, row), ret_number);
}

/* --- lists of properties for the catalog --- */

/* The text a bag has for one row of the scope, or NULL. */
static const char *text_for(const struct kaja_conf *conf, const struct kj_conf_row *row,
                            enum kj_scope scope, bool shared_names)
{
    const char *name = row->info.name;
    if (scope == KJ_SCOPE_TOPIC)
        return kj_conf_set_value(conf, name);
    bool shared = kj_conf_row_find(name, KJ_SCOPE_PRODUCER) != NULL;
    if (shared && !shared_names)
        return NULL;
    const char *value = kj_conf_set_value(conf, name);
    const struct kj_conf_row *topic;
    for (size_t i = 0; value == NULL && (topic = kj_conf_row(i)) != NULL; i++)
        if (topic->info.broker_name != NULL && strcmp(topic->info.broker_name, name) == 0)
            value = kj_conf_set_value(conf, topic->info.name);
    return value;
}

/* Topics keep what has no effect here too: it goes along when the files go to a broker. */
static bool kept(const struct kj_conf_row *row, enum kj_scope scope)
{
    if ((row->scopes & scope) == 0)
        return false;
    return row->info.effect == 1 || (row->info.effect == 0 && scope == KJ_SCOPE_TOPIC);
}

int kj_conf_properties(const struct kaja_conf *conf, enum kj_scope scope, bool shared_names,
                       struct kj_property **ret_properties, size_t *ret_count)
{
    struct kj_property *properties = NULL;
    size_t count = 0, capacity = 0;
    const struct kj_conf_row *row;
    for (size_t i = 0; (row = kj_conf_row(i)) != NULL; i++) {
        const char *text = kept(row, scope) ? text_for(conf, row, scope, shared_names) : NULL;
        if (text == NULL)
            continue;
        int64_t number;
        void *grown = properties;
        int err = kj_conf_value_parse(row, text, &number);
        if (err == 0)
            err = kj_grow(&grown, &capacity, count + 1, sizeof *properties);
        properties = grown;
        if (err != 0) {
            kj_free(properties);
            return err;
        }
        properties[count++] = (struct kj_property){row->info.name, text};
    }
    *ret_properties = properties;
    *ret_count = count;
    return 0;
}

/* --- the three --- */

static int move_offsets_back(void *arg, struct kj_store *store)
{
    (void)arg;
    return kj_offset_store_move_back(store);
}

static int forget_offsets(void *arg, struct kj_store *store, const char *topic)
{
    (void)arg;
    return kj_offset_store_topic_gone(store, topic);
}

int kj_conf_store_options(const struct kaja_conf *conf, const char *path,
                          struct kj_store_options *ret_options)
{
    struct kj_store_options options = {
        .path = path,
        .rules = kj_conf_rules,
        .hooks = {.ends_fell = move_offsets_back, .topic_gone = forget_offsets}};
    KJ_TRY(fill(conf, KJ_SCOPE_HANDLE | KJ_SCOPE_DIRECTORY, KJ_CONF_ROOM_STORE, &options));
    struct kj_property *directory;
    KJ_TRY(kj_conf_properties(conf, KJ_SCOPE_DIRECTORY, false, &directory,
                              &options.directory_count));
    options.directory = directory;
    *ret_options = options;
    return 0;
}

void kj_conf_store_options_free(struct kj_store_options *options)
{
    union {
        const struct kj_property *shown;
        struct kj_property *owned;
    } directory = {.shown = options->directory};
    kj_free(directory.owned);
    options->directory = NULL;
    options->directory_count = 0;
}

static int directory_number(struct kj_property_list directory, const char *name,
                            int64_t *ret_number)
{
    const struct kj_conf_row *row = kj_conf_row_find(name, KJ_SCOPE_DIRECTORY);
    struct kj_conf_effective effective;
    KJ_TRY(kj_conf_effective(row, (struct kj_property_list){0}, directory, &effective));
    return kj_conf_value_parse(row, effective.value, ret_number);
}

int kj_conf_group_options(struct kj_store *store, struct kj_offset_store_options *ret_offsets,
                          struct kj_groups_options *ret_groups)
{
    struct kj_offset_store_options offsets;
    struct kj_groups_options groups;
    struct kj_property *properties;
    size_t count;
    int64_t partitions = 1, max_size = INT32_MAX;
    kj_offset_store_options_defaults(&offsets);
    const struct {
        const char *name;
        int64_t *number;
    } wanted[] = {
        {"offsets.topic.num.partitions", &partitions},
        {"offsets.topic.segment.bytes", &offsets.segment_bytes},
        {"offset.metadata.max.bytes", &offsets.metadata_units_max},
        {"offsets.retention.minutes", &offsets.retention_minutes},
        {"offsets.retention.check.interval.ms", &offsets.check_interval_ms},
        {"group.min.session.timeout.ms", &groups.min_session_timeout_ms},
        {"group.max.session.timeout.ms", &groups.max_session_timeout_ms},
        {"group.initial.rebalance.delay.ms", &groups.initial_delay_ms},
        {"group.max.size", &max_size},
    };
    KJ_TRY(kj_topic_properties(store, NULL, &properties, &count));
    struct kj_property_list directory = {properties, count};
    int err = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && err == 0; i++)
        err = directory_number(directory, wanted[i].name, wanted[i].number);
    kj_free_properties(properties, count);
    KJ_TRY(err);
    offsets.partition_count = (int32_t)partitions;
    groups.max_size = (int32_t)max_size;
    *ret_offsets = offsets;
    *ret_groups = groups;
    return 0;
}

static int choose_partitioner(const struct kaja_conf *conf, struct kj_producer_options *options)
{
    int64_t number;
    const char *name = kj_conf_set_value(conf, "partitioner");
    const char *class_name = kj_conf_set_value(conf, "partitioner.class");
    if (name != NULL && class_name != NULL)
        return kj_err(KAJA_ERR_CONFLICT, "partitioner and partitioner.class are the same property");
    if (name != NULL) {
        KJ_TRY(number_of(conf, "partitioner", KJ_SCOPE_PRODUCER, &number));
        options->partitioner = (enum kj_partitioner)(KJ_PARTITIONER_RANDOM + number);
    } else if (class_name != NULL) {
        KJ_TRY(number_of(conf, "partitioner.class", KJ_SCOPE_PRODUCER, &number));
        if (number == 0)
            options->partitioner = KJ_PARTITIONER_ROUND_ROBIN;
        else if (number == 1)
            options->ignore_keys = true;
    }
    return 0;
}

/* Kafka: ProducerConfig.postProcessAndValidateIdempotenceConfigs(). */
static int settle_idempotence(const struct kaja_conf *conf, struct kj_producer_options *options)
{
    bool asked_for = kj_conf_set_value(conf, "enable.idempotence") != NULL;
    if (!options->idempotent)
        return 0;
    if (options->acks != KJ_ACKS_ALL && asked_for)
        return kj_err(KAJA_ERR_CONFLICT, "enable.idempotence=true needs acks=all, not %d",
                      options->acks);
    if (options->retries == 0 && asked_for)
        return kj_err(KAJA_ERR_CONFLICT, "enable.idempotence=true needs retries above 0");
    if (options->acks != KJ_ACKS_ALL || options->retries == 0) {
        options->idempotent = false;
        return 0;
    }
    int64_t in_flight;
    KJ_TRY(number_of(conf, "max.in.flight.requests.per.connection", KJ_SCOPE_PRODUCER, &in_flight));
    if (in_flight > 5)
        return kj_err(KAJA_ERR_CONFLICT,
                      "enable.idempotence=true needs max.in.flight.requests.per.connection of at "
                      "most 5, not %lld",
                      (long long)in_flight);
    return 0;
}

int kj_conf_producer_options(const struct kaja_conf *conf, struct kj_producer_options *ret_options)
{
    static const int acks[] = {0, 1, KJ_ACKS_ALL, KJ_ACKS_ALL}; /* the row's choices */
    static const char *const levels[KJ_CODEC_COUNT] = {
        [KJ_CODEC_GZIP] = "compression.gzip.level",
        [KJ_CODEC_LZ4] = "compression.lz4.level",
        [KJ_CODEC_ZSTD] = "compression.zstd.level",
    };
    struct kj_producer_options options;
    kj_producer_options_defaults(&options);
    KJ_TRY(fill(conf, KJ_SCOPE_PRODUCER, KJ_CONF_ROOM_PRODUCER, &options));
    int64_t number;
    KJ_TRY(number_of(conf, "acks", KJ_SCOPE_PRODUCER, &number));
    options.acks = acks[number];
    if (levels[options.codec] != NULL) {
        KJ_TRY(number_of(conf, levels[options.codec], KJ_SCOPE_PRODUCER, &number));
        if (options.codec != KJ_CODEC_GZIP || number != -1)
            options.level = (int)number;
    }
    KJ_TRY(settle_idempotence(conf, &options));
    KJ_TRY(choose_partitioner(conf, &options));
    /* As in Kafka; only that there is no request whose time would be added. */
    bool asked_for = kj_conf_set_value(conf, "delivery.timeout.ms") != NULL;
    if (options.delivery_timeout_ms < options.linger_ms && !asked_for)
        options.delivery_timeout_ms = options.linger_ms;
    if (options.delivery_timeout_ms < options.linger_ms)
        return kj_err(KAJA_ERR_CONFLICT, "delivery.timeout.ms=%lld is less than linger.ms=%lld",
                      (long long)options.delivery_timeout_ms, (long long)options.linger_ms);
    *ret_options = options;
    return 0;
}

/* Kafka's names and those of its classes. */
static int assignor_named(const char *name, size_t len, enum kj_assignor *ret_assignor)
{
    static const struct {
        const char *class_name;
        enum kj_assignor assignor;
    } classes[] = {
        {"org.apache.kafka.clients.consumer.RangeAssignor", KJ_ASSIGNOR_RANGE},
        {"org.apache.kafka.clients.consumer.RoundRobinAssignor", KJ_ASSIGNOR_ROUNDROBIN},
        {"org.apache.kafka.clients.consumer.StickyAssignor", KJ_ASSIGNOR_STICKY},
        {"org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
         KJ_ASSIGNOR_COOPERATIVE_STICKY},
    };
    if (kj_assignor_parse(name, len, ret_assignor))
        return 0;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strlen(classes[i].class_name) == len && memcmp(classes[i].class_name, name, len) == 0) {
            *ret_assignor = classes[i].assignor;
            return 0;
        }
    return kj_err(KAJA_ERR_INVALID_CONFIG,
                  "partition.assignment.strategy: there is no \"%.*s\"; allowed: range, "
                  "roundrobin, sticky, cooperative-sticky",
                  (int)(len < 100 ? len : 100), name);
}

static int settle_assignors(const char *list, struct kj_member_options *member)
{
    member->assignor_count = 0;
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", ");
        enum kj_assignor assignor;
        if (len == 0)
            break;
        KJ_TRY(assignor_named(at, len, &assignor));
        at += len;
        for (size_t i = 0; i < member->assignor_count; i++)
            if (member->assignors[i] == assignor)
                return kj_err(KAJA_ERR_INVALID_CONFIG,
                              "partition.assignment.strategy names an assignor twice: %.100s", list);
        member->assignors[member->assignor_count++] = assignor;
    }
    if (member->assignor_count == 0)
        return kj_err(KAJA_ERR_INVALID_CONFIG, "partition.assignment.strategy is empty");
    return 0;
}

/* Strings stay conf's. */
static int settle_member(const struct kaja_conf *conf, struct kj_member_options *member)
{
    member->group_id = kj_conf_set_value(conf, "group.id");
    if (member->group_id != NULL && member->group_id[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_GROUP_ID, "group.id is empty");
    member->instance_id = kj_conf_set_value(conf, "group.instance.id");
    if (member->instance_id != NULL && member->instance_id[0] == '\0')
        return kj_err(KAJA_ERR_INVALID_CONFIG, "group.instance.id is empty");
    const char *client_id = kj_conf_set_value(conf, "client.id");
    member->client_id = client_id != NULL ? client_id : "";
    KJ_TRY(settle_assignors(
        value_of(conf, kj_conf_row_find("partition.assignment.strategy", KJ_SCOPE_CONSUMER)),
        member));
    if (member->heartbeat_interval_ms >= member->session_timeout_ms)
        return kj_err(KAJA_ERR_CONFLICT,
                      "heartbeat.interval.ms=%lld is not less than session.timeout.ms=%lld",
                      (long long)member->heartbeat_interval_ms,
                      (long long)member->session_timeout_ms);
    return 0;
}

int kj_conf_consumer_options(const struct kaja_conf *conf, struct kj_consumer_options *ret_options)
{
    struct kj_consumer_options options;
    kj_consumer_options_defaults(&options);
    KJ_TRY(fill(conf, KJ_SCOPE_CONSUMER, KJ_CONF_ROOM_CONSUMER, &options));
    const struct kj_conf_row *row = kj_conf_row_find("auto.offset.reset", KJ_SCOPE_CONSUMER);
    if (!kj_offset_reset_parse(value_of(conf, row), &options.reset, &options.reset_duration_ms))
        return kj_err(KAJA_ERR_INVALID_CONFIG,
                      "auto.offset.reset: \"%.100s\" is not valid; allowed: %s",
                      value_of(conf, row), row->info.valid);
    KJ_TRY(settle_member(conf, &options.member));
    int64_t acks;
    KJ_TRY(number_of(conf, "kaja.commit.acks", KJ_SCOPE_CONSUMER, &acks));
    options.commit_durable = acks > 0; /* the row's choices */
    if (options.member.group_id == NULL && options.auto_commit &&
        kj_conf_set_value(conf, "enable.auto.commit") != NULL)
        return kj_err(KAJA_ERR_CONFLICT, "enable.auto.commit=true needs a group.id");
    if (options.member.group_id == NULL)
        options.auto_commit = false;
    *ret_options = options;
    return 0;
}
