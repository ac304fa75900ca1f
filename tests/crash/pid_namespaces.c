/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/crash/pid_namespaces.c - two processes that are both process 1 of a PID namespace of their
 * own share a directory: they append in turns, then at once; one is killed and replaced, the other
 * goes on.
 *
 *     pid_namespaces       as root; KJ_SEED=... repeats the choices
 */
#include "crash.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTITIONS = 2, SIDES = 2, WORKERS = 3, TURNS = 300, ROOM = 60000 };
static const char topic[] = "namespaces";

static struct shared {
    _Atomic int turn; /* whose; -1: both at once */
    _Atomic bool stop;
    _Atomic int inner_pid[WORKERS]; /* as seen from here */
    _Atomic int64_t last_acked_ns[WORKERS], longest_ns[WORKERS];
    _Atomic int not_permitted;
} * shared;
static char dir[128];
static uint64_t run;
static struct worker *workers;
static int own_number;

struct place {
    int number; /* of the worker */
    int side;
};

static void note_ack(void)
{
    int64_t now = now_ns(), last = shared->last_acked_ns[own_number];
    shared->last_acked_ns[own_number] = now;
    if (shared->turn == -1 && last != 0 && now - last > shared->longest_ns[own_number])
        shared->longest_ns[own_number] = now - last;
}

/* Process 1 of its namespace. */
static void inner(const struct place *place)
{
    role("process 1 number %d", place->number);
    CHECK(getpid() == 1, "this is process %d", (int)getpid());
    own_number = place->number;
    struct kaja_store *store = open_store(dir, NULL);
    hear(store, NULL);
    struct kaja_producer *producers[2] = {open_producer(store, conf("acks", "1", NULL)),
                                          open_producer(store, conf("acks", "all", NULL))};
    struct sender sender = {.topic = topic,
                            .partitions = PARTITIONS,
                            .run = run,
                            .number = (uint32_t)place->number,
                            .worker = &workers[place->number],
                            .value_bytes_max = 2000,
                            .rng = {run + (uint64_t)place->number}};
    on_acked = note_ack;
    for (uint32_t i = 0; !shared->stop; i++) {
        int turn = shared->turn;
        if (turn != -1 && turn != place->side) {
            nap_us(20);
            continue;
        }
        sender.producer = producers[i % 8 == 0];
        CHECK(send_next(&sender, true), "too many records");
        if (turn == -1)
            nap_us(100);
        else /* unless the turns have ended meanwhile */
            (void)atomic_compare_exchange_strong(&shared->turn, &turn, !turn);
    }
    MUST(kaja_producer_close(producers[0], 30000));
    MUST(kaja_producer_close(producers[1], 30000));
    MUST(kaja_store_close(store));
    _exit(0);
}

/* Makes the namespace and waits for its process 1, which may be killed. */
static void outer(void *arg)
{
    const struct place *place = arg;
    int status;
    if (unshare(CLONE_NEWPID) != 0) {
        shared->not_permitted = errno;
        return;
    }
    pid_t pid = fork();
    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        inner(place);
    }
    shared->inner_pid[place->number] = pid;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
              (WIFEXITED(status) && WEXITSTATUS(status) == 0),
          "process 1 number %d failed", place->number);
}

static void wait_for_sent(int number, uint32_t count)
{
    int64_t until_ns = now_ns() + 30000 * MS_NS;
    while (workers[number].sent < count) {
        if (shared->not_permitted != 0)
            return;
        CHECK(now_ns() < until_ns, "number %d does not come forward: %u of %u records", number,
              (unsigned)workers[number].sent, count);
        nap_us(500);
    }
}

int main(void)
{
    struct rng rng = {begin(90)};
    static struct place places[WORKERS] = {{0, 0}, {1, 1}, {2, 0}};
    pid_t outers[WORKERS];
    run = rng_next(&rng);
    shared = share(sizeof *shared);
    workers = workers_new(WORKERS, ROOM);
    dir_new(dir);
    struct kaja_store *store = open_store(dir, NULL);
    make_topic(store, topic, PARTITIONS, conf("segment.bytes", "100000", NULL));
    MUST(kaja_store_close(store));

    for (int i = 0; i < SIDES; i++)
        outers[i] = child_start(outer, &places[i]);
    wait_for_sent(0, TURNS);
    if (shared->not_permitted != 0) {
        for (int i = 0; i < SIDES; i++)
            child_wait(outers[i]);
        dir_free(dir);
        skip("PID namespaces: %s", strerror(shared->not_permitted));
    }
    wait_for_sent(1, TURNS);
    shared->turn = -1; /* both at once */
    wait_for_sent(0, TURNS + 500);
    nap_us(rng_below(&rng, 20000));
    CHECK(kill(shared->inner_pid[0], SIGKILL) == 0, "kill: %s", strerror(errno));
    child_wait(outers[0]);
    int64_t killed_ns = now_ns();
    while (shared->last_acked_ns[1] < killed_ns) {
        CHECK(now_ns() < killed_ns + 10000 * MS_NS, "the other does not go on");
        nap_us(200);
    }
    outers[2] = child_start(outer, &places[2]);
    wait_for_sent(2, 300);
    shared->turn = 0; /* in turns again */
    uint32_t sent = workers[1].sent;
    wait_for_sent(1, sent + TURNS);
    shared->stop = true;
    child_wait(outers[1]);
    child_wait(outers[2]);
    CHECK(dir_has(dir, ".kafka_cleanshutdown"), "no marker after an orderly end");

    struct census census;
    store = open_store(dir, NULL);
    census_take(store, topic, PARTITIONS, run, &census);
    MUST(kaja_store_close(store));
    uint64_t acked = census_check(&census, workers, WORKERS);
    (void)verify_sound(dir);
    printf("%llu records acknowledged to three processes 1; the one that stayed waited %.0f ms at "
           "most\n",
           (unsigned long long)acked, (double)shared->longest_ns[1] / 1e6);
    CHECK(shared->longest_ns[1] < (slow_build() ? 5000 : 1000) * MS_NS, "it waited for too long");
    census_free(&census);
    workers_free(workers, WORKERS);
    share_free(shared, sizeof *shared);
    dir_free(dir);
    return 0;
}
