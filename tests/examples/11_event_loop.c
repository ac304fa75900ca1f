/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 11_event_loop - two topics and standard input in one epoll loop, without threads. Other processes
 * may append meanwhile. Ends when standard input does and what was there is printed.
 *
 *     11_event_loop DIRECTORY TOPIC TOPIC
 */
#include <kaja.h>

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

/* Reads the topic from its beginning. The descriptor goes into the loop under a number. */
static int open_consumer(struct kaja_store *store, const char *topic, int loop, uint32_t number,
                         struct kaja_consumer **ret_consumer)
{
    const struct kaja_topic_partition wanted = {topic, 0, 0};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    struct kaja_conf *conf;
    int error, fd;
    if ((error = kaja_conf_new(&conf)) != 0)
        return error;
    error = kaja_conf_set(conf, "auto.offset.reset", "earliest");
    if (error == 0)
        error = kaja_consumer_open(store, conf, ret_consumer);
    kaja_conf_free(conf);
    if (error == 0)
        error = kaja_consumer_assign(*ret_consumer, &wanted, 1);
    if (error == 0)
        error = kaja_consumer_fd(*ret_consumer, &fd);
    if (error == 0 && epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0)
        error = KAJA_ERR_CRIT_SYS_RESOURCE;
    return error;
}

/* One poll for each time the descriptor is readable: it says so again if there is more. */
static int take(struct kaja_consumer *consumer)
{
    struct kaja_batch *batch;
    struct kaja_record_view record;
    int error = kaja_consumer_poll(consumer, 0, &batch);
    if (error != 0)
        return error;
    while (kaja_batch_next(batch, &record))
        printf("%s %lld: %.*s\n", record.topic, (long long)record.offset, (int)record.value_bytes,
               (const char *)record.value);
    kaja_batch_release(batch);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    enum { STANDARD_INPUT = 2 };
    struct kaja_store *store;
    struct kaja_consumer *consumers[2];
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = STANDARD_INPUT}, events[3];
    int error, loop = epoll_create1(EPOLL_CLOEXEC), end = 0;

    if (argc != 4 || loop < 0)
        return 2;
    if ((error = kaja_store_open(argv[1], NULL, &store)) != 0)
        return fail(argv[1], error);
    for (uint32_t i = 0; i < 2; i++)
        if ((error = open_consumer(store, argv[2 + i], loop, i, &consumers[i])) != 0)
            return fail(argv[2 + i], error);
    if (epoll_ctl(loop, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        return 2; /* a plain file cannot be waited for */

    for (;;) {
        int count = epoll_wait(loop, events, 3, end ? 0 : -1);
        if (count == 0)
            break; /* the input has ended, and nothing is left */
        for (int i = 0; i < count; i++) {
            char ignored[512];
            if (events[i].data.u32 != STANDARD_INPUT) {
                error = take(consumers[events[i].data.u32]);
                if (error != 0)
                    return fail("poll", error);
            } else if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
                end = 1;
                epoll_ctl(loop, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            }
        }
    }

    for (int i = 0; i < 2; i++)
        if ((error = kaja_consumer_close(consumers[i], 0)) != 0)
            return fail("close", error);
    close(loop);
    if ((error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return 0;
}
