/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Who commits goes on where it stopped: after an orderly end nothing comes twice. Who is killed
 * before it committed gets the same records again: at least once.
 */
#include "group.h"

#include <sys/mman.h>

enum { RECORDS = 100 };

static const char *const topic = "letters";

static struct kaja_consumer *member(struct kaja_store *store)
{
    struct kaja_consumer *consumer =
        consumer_with(store, "group.id", "readers", "auto.offset.reset", "earliest",
                      "enable.auto.commit", "false", "max.poll.records", "10", NULL);
    must(kaja_consumer_subscribe(consumer, &topic, 1, NULL));
    return consumer;
}

/* Reads 30, commits, reads 20 more, and dies without a word. */
static void read_and_die(int *read)
{
    struct seen seen[RECORDS];
    struct kaja_store *store = open_directory();
    struct kaja_consumer *consumer = member(store);
    *read += (int)take(consumer, seen, 30, 5000);
    must(kaja_consumer_commit(consumer, NULL, 0, 5000));
    *read += (int)take(consumer, seen, 20, 5000);
    (void)kill(getpid(), SIGKILL);
}

int main(void)
{
    lesson("resume after an end, and after a death");
    struct seen seen[RECORDS + 1];
    int *read = mmap(NULL, sizeof *read, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kaja_store *store = open_directory();
    struct kaja_producer *producer = NULL;
    must(kaja_admin_create_topic(store, topic, 1, NULL));
    must(kaja_producer_open(store, NULL, &producer));
    for (int i = 0; i < RECORDS; i++)
        (void)put(producer, topic, 0, NULL, "x");
    must(kaja_producer_close(producer, 1000));

    struct kaja_consumer *consumer = member(store);
    so(take(consumer, seen, 20, 5000) == 20 && seen[0].offset == 0, "the first run reads 0 to 19");
    must(kaja_consumer_commit(consumer, NULL, 0, 5000));
    must(kaja_consumer_close(consumer, 5000));
    must(kaja_store_close(store));

    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        read_and_die(read);
    int status;
    so(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && *read == 50,
       "the second reads 50, from 20 on, committed after 30, and is killed");

    store = open_directory();
    consumer = member(store);
    size_t count = take(consumer, seen, RECORDS + 1, 1000);
    so(count == 50 && seen[0].offset == 50,
       "the third begins at 50: what was committed does not come again, 50 to 69 come twice");
    so(seen[49].offset == 99, "and nothing is left out");
    must(kaja_consumer_commit(consumer, NULL, 0, 5000));
    must(kaja_consumer_close(consumer, 5000));
    consumer = member(store);
    so(take(consumer, seen, 1, 500) == 0, "the fourth has nothing to do");
    must(kaja_consumer_close(consumer, 5000));
    must(kaja_store_close(store));
    return 0;
}
