/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Many seeded runs of tests/history/world.h, each in a process of its own.
 *
 *     ./history_sim             as many of 300 runs as fit into 10 seconds
 *     ./history_sim 10000       so many runs, the same ones each time
 *     ./history_sim 0           others, until it is stopped
 *     KJ_SEED=N ./history_sim 1 run number N again; KJ_HISTORY=1 prints all of its events
 *
 * Every 50th run is run twice: the same seed must give the same history.
 */
#include "history/world.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FIRST_SEED = 300000,
    SHORT_RUNS = 300,
    SHORT_SECONDS = 10,
    LEAST_RUNS = 3,
    TWICE_EACH = 50,
    HANGS_SECONDS = 300
};

/* Tasks hand over to each other all the time: on one processor that costs a third. */
static void stay_here(void)
{
    cpu_set_t set;
    int here = sched_getcpu();
    if (here < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)here, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* it is only faster */
}

static void child(uint64_t seed, int fd)
{
    struct world_result result;
    (void)alarm(HANGS_SECONDS);
    stay_here();
    world_run(seed, getenv("KJ_HISTORY") != NULL, stdout, &result);
    (void)fflush(stdout);
    bool written = write(fd, &result, sizeof result) == (ssize_t)sizeof result;
    /* Threads of the killed are still there: valgrind would call what they hold lost. */
    if (written && result.broken == 0)
        (void)execl("/bin/true", "true", (char *)NULL);
    _exit(written && result.broken == 0 ? 0 : 1);
}

/* False: it died, and said why. */
static bool one_run(uint64_t seed, struct world_result *ret_result)
{
    int fds[2], status;
    (void)fflush(stdout);
    if (pipe(fds) != 0)
        abort();
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)close(fds[0]);
        child(seed, fds[1]);
    }
    (void)close(fds[1]);
    bool whole = read(fds[0], ret_result, sizeof *ret_result) == (ssize_t)sizeof *ret_result;
    (void)close(fds[0]);
    if (waitpid(pid, &status, 0) != pid)
        abort();
    if (!whole)
        (void)printf("KJ_SEED=%" PRIu64 ": %s %d\n", seed,
                     WIFSIGNALED(status) ? "ended by signal" : "ended with",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return whole;
}

static bool same_again(uint64_t seed, const struct world_result *first)
{
    struct world_result again;
    if (!one_run(seed, &again))
        return false;
    if (again.hash != first->hash)
        (void)printf("KJ_SEED=%" PRIu64 ": another history the second time\n", seed);
    return again.hash == first->hash;
}

int main(int argc, char **argv)
{
    const char *text = getenv("KJ_SEED");
    uint64_t begin = (uint64_t)time(NULL), bad = 0, runs = 0;
    uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : SHORT_RUNS;
    /* A number of runs is the same ones each time, so that it says something of the change at hand;
     * the endless loop is for what nobody has seen yet. */
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : FIRST_SEED;
    if (text == NULL && wanted == 0)
        seed = begin % 1000000 * 1000;
    bool short_form = argc <= 1;
    struct world_result sum = {0};
    (void)printf("KJ_SEED=%" PRIu64 "\n", seed);
    for (; wanted == 0 || runs < wanted; runs++) {
        struct world_result result = {0};
        uint64_t seconds = (uint64_t)time(NULL) - begin;
        if (short_form && runs >= LEAST_RUNS && seconds >= SHORT_SECONDS)
            break;
        bool good = one_run(seed + runs, &result) && result.broken == 0;
        if (good && runs % TWICE_EACH == 1)
            good = same_again(seed + runs, &result);
        bad += !good;
        if (bad >= 20)
            break;
        sum.lives += result.lives;
        sum.kills += result.kills;
        sum.cuts += result.cuts;
        sum.events += result.events;
        sum.delivered += result.delivered;
        sum.commits += result.commits;
        sum.taken_over += result.taken_over;
    }
    (void)printf("%" PRIu64 " runs in %" PRIu64 " s, %" PRIu64 " of them bad: %u processes, "
                 "%u killed, %u power cuts, %u events, %u deliveries, %u commits, "
                 "%u partitions lost\n",
                 runs, (uint64_t)time(NULL) - begin, bad, sum.lives, sum.kills, sum.cuts,
                 sum.events, sum.delivered, sum.commits, sum.taken_over);
    return bad == 0 ? 0 : 1;
}
