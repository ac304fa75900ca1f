/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/kill_many.c - four processes append to the same partitions, a fifth makes and deletes
 * topics, a sixth opens and closes, while one after another is killed with kill -9 and replaced.
 * The others go on within a second, nothing acknowledged to any is lost, each one's order is kept.
 *
 *     kill_many [SECONDS]       KJ_SEED=... repeats the choices
 *
 * A second is measured beside a bystander that only writes and flushes a file of its own: the time
 * for which the machine made it wait is added to the second.
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PRODUCERS = 4,
    MAKER = PRODUCERS,
    DOOR,
    SLOTS,
    PARTITIONS = 3,
    ROOM = 32768,
    TOPICS_MAX = 8192,
    TOPIC_PARTITIONS_MAX = 4
};
static const char topic[] = "shared";

/* One process from its start to its death; outlives it. */
struct life {
    _Atomic int64_t last_acked_ns, longest_ns;
    _Atomic int64_t opening_ns, longest_open_ns; /* since when it opens, 0: it does not */
    struct worker *worker;
    uint32_t number;
    int slot;
    uint64_t seed;
};

enum topic_state { TOPIC_NONE, TOPIC_CREATING, TOPIC_THERE, TOPIC_DELETING, TOPIC_GONE };
struct made_topic {
    _Atomic int state;
    _Atomic int32_t partitions, more_partitions; /* there are one or the other */
    _Atomic int acked; /* records acknowledged in each of the first partitions */
};

static struct shared {
    _Atomic bool stop;
    _Atomic int64_t bystander_ns; /* its longest round */
    _Atomic uint32_t next_topic;
    struct made_topic topics[TOPICS_MAX];
} * shared;
static char dir[128];
static uint64_t run;
static struct life *own_life;

/* --- producers --- */

static void note_ack(void)
{
    int64_t now = now_ns(), gap = now - own_life->last_acked_ns;
    own_life->last_acked_ns = now;
    if (gap > own_life->longest_ns)
        own_life->longest_ns = gap;
}

static struct kaja_store *open_here(void)
{
    own_life->opening_ns = now_ns();
    struct kaja_store *store = open_store(dir, NULL);
    int64_t took_ns = now_ns() - own_life->opening_ns;
    if (took_ns > own_life->longest_open_ns)
        own_life->longest_open_ns = took_ns;
    hear(store, NULL);
    own_life->opening_ns = 0;
    own_life->last_acked_ns = now_ns();
    return store;
}

static void produce(struct life *life)
{
    struct rng rng = {life->seed};
    struct kaja_store *store = open_here();
    bool wait = life->slot < 2;
    struct sender sender = {
        .producer = open_producer(store, conf("acks", life->slot % 2 == 0 ? "1" : "all",
                                              "compression.type", random_codec(&rng), NULL)),
        .topic = topic,
        .partitions = PARTITIONS,
        .run = run,
        .number = life->number,
        .worker = life->worker,
        .value_bytes_max = 2000,
        .rng = {rng_next(&rng)}};
    on_acked = note_ack;
    bool more = true;
    while (more && !shared->stop) {
        for (uint32_t n = rng_below(&rng, wait ? 4 : 40) + 1; more && n > 0; n--)
            more = send_next(&sender, wait);
        MUST(kaja_producer_poll(sender.producer, 1, NULL));
        nap_us(rng_below(&rng, 2000));
    }
    MUST(kaja_producer_close(sender.producer, 30000));
    MUST(kaja_store_close(store));
}

/* --- topics --- */

static void topic_name(uint32_t number, char ret_name[32])
{
    (void)snprintf(ret_name, 32, "made.%u", number);
}

static void send_to_each(struct kaja_producer *producer, const char *name, int32_t partitions)
{
    for (int32_t i = 0; i < partitions; i++) {
        struct kaja_record record = KAJA_RECORD_INIT;
        struct kaja_metadata metadata;
        record.topic = name;
        record.partition = i;
        record.value = name;
        record.value_bytes = strlen(name);
        MUST(kaja_producer_send(producer, &record, 30000, &metadata));
    }
}

static void make_one(struct kaja_store *store, struct kaja_producer *producer, struct rng *rng)
{
    char name[32];
    uint32_t number = shared->next_topic++;
    if (number >= TOPICS_MAX) {
        nap_us(1000);
        return;
    }
    struct made_topic *made = &shared->topics[number];
    topic_name(number, name);
    made->partitions = made->more_partitions = (int32_t)(1 + rng_below(rng, 2));
    made->state = TOPIC_CREATING;
    MUST(kaja_admin_create_topic(store, name, made->partitions, NULL));
    made->state = TOPIC_THERE;
    if (rng_below(rng, 2) == 0) {
        send_to_each(producer, name, made->partitions);
        made->acked = 1;
    }
    if (rng_below(rng, 3) == 0) {
        made->more_partitions = made->partitions + 2;
        MUST(kaja_admin_add_partitions(store, name, made->more_partitions));
        made->partitions = made->more_partitions;
    }
    if (rng_below(rng, 4) != 0) {
        made->state = TOPIC_DELETING;
        MUST(kaja_admin_delete_topic(store, name));
        made->state = TOPIC_GONE;
    }
}

static void make_topics(struct life *life)
{
    struct rng rng = {life->seed};
    struct kaja_store *store = open_here();
    struct kaja_producer *producer = open_producer(store, conf("acks", "1", NULL));
    while (!shared->stop) {
        make_one(store, producer, &rng);
        note_ack();
        nap_us(rng_below(&rng, 4000));
    }
    MUST(kaja_producer_close(producer, 30000));
    MUST(kaja_store_close(store));
}

static void open_and_close(struct life *life)
{
    struct rng rng = {life->seed};
    while (!shared->stop) {
        struct kaja_store *store = open_here();
        if (rng_below(&rng, 2) == 0)
            nap_us(rng_below(&rng, 3000));
        MUST(kaja_store_step(store));
        MUST(kaja_store_close(store));
        note_ack();
    }
}

static void live(void *arg)
{
    struct life *life = arg;
    own_life = life;
    if (life->slot < PRODUCERS) {
        role("producer %u", life->number);
        produce(life);
    } else if (life->slot == MAKER) {
        role("topic maker");
        make_topics(life);
    } else {
        role("door");
        open_and_close(life);
    }
}

/* --- the bystander --- */

static void stand_by(void *arg)
{
    char path[160];
    static const char page[4096];
    (void)arg;
    role("bystander");
    (void)snprintf(path, sizeof path, "%s.bystander", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0, "%s: %s", path, strerror(errno));
    while (!shared->stop) {
        int64_t begun_ns = now_ns();
        nap_us(1000);
        CHECK(pwrite(fd, page, sizeof page, 0) == (ssize_t)sizeof page && fdatasync(fd) == 0,
              "%s: %s", path, strerror(errno));
        int64_t took_ns = now_ns() - begun_ns;
        if (took_ns > shared->bystander_ns)
            shared->bystander_ns = took_ns;
    }
    (void)close(fd);
}

/* --- the parent --- */

struct party {
    struct worker *workers;
    struct life *lives;
    size_t lives_max, life_count;
    size_t in_slot[SLOTS]; /* index of the life */
    pid_t pids[SLOTS];
    struct rng rng;
    unsigned kills;
    int64_t longest_ns, longest_open_ns;
};

static void start_slot(struct party *party, int slot)
{
    CHECK(party->life_count < party->lives_max, "too many processes");
    size_t i = party->life_count++;
    struct life *life = &party->lives[i];
    life->worker = &party->workers[i];
    life->number = (uint32_t)i;
    life->slot = slot;
    life->seed = rng_next(&party->rng);
    party->in_slot[slot] = i;
    party->pids[slot] = child_start(live, life);
}

/* How long each living process has been waiting, or waited at worst. */
static void look(struct party *party)
{
    int64_t now = now_ns();
    for (int slot = 0; slot < SLOTS; slot++) {
        const struct life *life = &party->lives[party->in_slot[slot]];
        int64_t opening_ns = life->opening_ns, open_ns = life->longest_open_ns;
        int64_t last_ns = life->last_acked_ns, longest = life->longest_ns;
        if (opening_ns != 0 && now - opening_ns > open_ns)
            open_ns = now - opening_ns;
        if (open_ns > party->longest_open_ns)
            party->longest_open_ns = open_ns;
        if (last_ns != 0 && now - last_ns > longest)
            longest = now - last_ns;
        if (longest > party->longest_ns)
            party->longest_ns = longest;
    }
}

static void kill_and_replace(struct party *party, int64_t until_ns)
{
    while (now_ns() < until_ns) {
        nap_us(5000 + rng_below(&party->rng, slow_build() ? 200000 : 60000));
        look(party);
        for (int slot = 0; slot < SLOTS; slot++)
            if (child_ended(party->pids[slot])) /* its entries are used up */
                start_slot(party, slot);
        int slot = (int)rng_below(&party->rng, SLOTS);
        child_kill(party->pids[slot]);
        party->kills++;
        start_slot(party, slot);
    }
    look(party);
}

static void check_topics(struct kaja_store *store)
{
    struct kaja_producer *producer = open_producer(store, conf("acks", "all", NULL));
    uint32_t count = shared->next_topic < TOPICS_MAX ? shared->next_topic : TOPICS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct made_topic *made = &shared->topics[i];
        struct kaja_topic_list *list;
        char name[32];
        topic_name(i, name);
        int err = kaja_admin_topic(store, name, &list);
        if (err == KAJA_ERR_UNKNOWN_TOPIC_OR_PARTITION) {
            CHECK(made->state != TOPIC_THERE, "%s was made and is not there", name);
            continue;
        }
        MUST(err);
        int32_t partitions = list->topics[0].partition_count;
        kaja_topic_list_free(list);
        CHECK(made->state != TOPIC_GONE && made->state != TOPIC_NONE, "%s is there", name);
        CHECK(partitions == made->partitions || partitions == made->more_partitions,
              "%s has %d partitions", name, (int)partitions);
        for (int32_t p = 0; p < partitions; p++) {
            struct kaja_partition_info info;
            MUST(kaja_admin_partition(store, name, p, &info));
            CHECK(p > 0 || info.end_offset >= made->acked, "%s-0 ends at %lld", name,
                  (long long)info.end_offset);
        }
        send_to_each(producer, name, partitions);
    }
    MUST(kaja_producer_close(producer, 30000));
}

/* Every partition's directory belongs to a topic. */
static void check_directories(struct kaja_store *store)
{
    DIR *d = opendir(dir);
    CHECK(d != NULL, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct kaja_topic_list *list;
        char name[256];
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof name, "%s", e->d_name);
        char *dash = strrchr(name, '-');
        CHECK(dash != NULL, "%s/%s is left over", dir, e->d_name);
        *dash = 0;
        int err = kaja_admin_topic(store, name, &list);
        CHECK(err == 0, "%s/%s is left over: %s", dir, e->d_name, kaja_error_name(err));
        CHECK(strtol(dash + 1, NULL, 10) < list->topics[0].partition_count,
              "%s is beyond the topic", e->d_name);
        kaja_topic_list_free(list);
    }
    (void)closedir(d);
}

static void examine(struct party *party, bool killed)
{
    struct census census;
    struct heard heard = {0};
    (void)verify_sound(dir);
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, &heard);
    census_take(store, topic, PARTITIONS, run, &census);
    uint64_t acked = census_check(&census, party->workers, party->life_count);
    check_topics(store);
    check_directories(store);
    MUST(kaja_store_step(store));
    CHECK(killed || heard.recovered == 0, "recovered after an orderly end");
    MUST(kaja_store_close(store));
    (void)verify_sound(dir);
    CHECK(acked > 0 && shared->next_topic > 0, "nothing was done: nothing was tested");
    size_t found = 0;
    for (int i = 0; i < PARTITIONS; i++)
        found += census.columns[i].count;
    printf("%u kills, %llu records acknowledged, %zu found, %u topics made\n", party->kills,
           (unsigned long long)acked, found, (unsigned)shared->next_topic);
    census_free(&census);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    struct party party = {.rng = {begin(seconds * 2 + 60)}, .lives_max = seconds * 60 + 100};
    run = rng_next(&party.rng);
    shared = share(sizeof *shared);
    party.lives = share(party.lives_max * sizeof *party.lives);
    party.workers = workers_new(party.lives_max, ROOM);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS,
               conf("segment.bytes", "60000", "index.interval.bytes", "500", NULL));
    MUST(kaja_store_close(store));

    pid_t bystander = child_start(stand_by, NULL);
    for (int slot = 0; slot < SLOTS; slot++)
        start_slot(&party, slot);
    kill_and_replace(&party, now_ns() + (int64_t)seconds * 1000 * MS_NS);
    bool killed = rng_below(&party.rng, 2) == 0;
    if (!killed)
        shared->stop = true;
    for (int slot = 0; slot < SLOTS; slot++) {
        if (killed)
            child_kill(party.pids[slot]);
        else
            child_wait(party.pids[slot]);
    }
    shared->stop = true;
    child_wait(bystander);

    examine(&party, killed);
    int64_t limit_ns = (slow_build() ? 5000 : 1000) * MS_NS + shared->bystander_ns;
    printf(
        "longest between two acknowledgements %.0f ms, longest opening %.0f ms, longest round of "
        "a bystander %.0f ms\n",
        (double)party.longest_ns / 1e6, (double)party.longest_open_ns / 1e6,
        (double)shared->bystander_ns / 1e6);
    CHECK(party.longest_ns < limit_ns, "somebody had to wait for too long");
    CHECK(party.longest_open_ns < limit_ns, "an opening took too long");
    workers_free(party.workers, party.lives_max);
    share_free(party.lives, party.lives_max * sizeof *party.lives);
    share_free(shared, sizeof *shared);
    dir_free(dir);
    return 0;
}
