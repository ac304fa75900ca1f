/* SPDX-License-Identifier: BSD-2-Clause
 *
 * 06_asynchronous - lines of standard input become records, in a program that waits for several
 * things at once and for none of them alone.
 *
 *     06_asynchronous DIRECTORY
 */
#include <kaja.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(error), kaja_error_detail());
    return 1;
}

struct counts {
    long sent, done, failed;
};

/* Runs inside kaja_producer_poll() and kaja_producer_close(), in this thread. */
static void delivered(void *arg, int error, const struct kaja_metadata *metadata)
{
    struct counts *counts = arg;
    (void)metadata; /* where it went */
    counts->done++;
    if (error != 0) {
        counts->failed++;
        fail("a line", error);
    }
}

static int send_line(struct kaja_producer *producer, const char *line, size_t bytes,
                     struct counts *counts)
{
    struct kaja_record record = KAJA_RECORD_INIT;
    record.topic = "lines";
    record.value = line;
    record.value_bytes = bytes;
    int error = kaja_producer_produce(producer, &record, delivered, counts);
    if (error == 0)
        counts->sent++;
    return error;
}

int main(int argc, char **argv)
{
    struct kaja_store *store;
    struct kaja_producer *producer;
    struct counts counts = {0, 0, 0};
    char input[4096];
    size_t have = 0;
    int error, end = 0;

    if (argc != 2)
        return 2;
    if ((error = kaja_store_open(argv[1], NULL, &store)) != 0)
        return fail(argv[1], error);
    if ((error = kaja_producer_open(store, NULL, &producer)) != 0)
        return fail("producer", error);
    struct pollfd wanted[2] = {{STDIN_FILENO, POLLIN, 0}, {-1, POLLIN, 0}};
    if ((error = kaja_producer_fd(producer, &wanted[1].fd)) != 0)
        return fail("descriptor", error);

    while (!end) {
        poll(wanted, 2, -1);
        if (wanted[1].revents != 0 && (error = kaja_producer_poll(producer, 0, NULL)) != 0)
            return fail("poll", error);
        if (wanted[0].revents == 0)
            continue;
        ssize_t got = read(STDIN_FILENO, input + have, sizeof input - have);
        end = got <= 0;
        have += end ? 0 : (size_t)got;
        /* All whole lines, and what a full buffer or the end makes one. */
        size_t from = 0;
        while (from < have) {
            const char *newline = memchr(input + from, '\n', have - from);
            if (newline == NULL && !end && have - from < sizeof input)
                break;
            size_t bytes = newline != NULL ? (size_t)(newline - input) - from : have - from;
            if ((error = send_line(producer, input + from, bytes, &counts)) != 0)
                return fail("produce", error);
            from += bytes + (newline != NULL);
        }
        have -= from;
        memmove(input, input + from, have);
    }

    /* Closing waits for what is still on its way, and calls back for it. */
    if ((error = kaja_producer_close(producer, 10000)) != 0)
        return fail("close", error);
    printf("%ld lines, %ld delivered, %ld failed\n", counts.sent, counts.done - counts.failed,
           counts.failed);
    if ((error = kaja_store_close(store)) != 0)
        return fail("close", error);
    return counts.failed != 0;
}
