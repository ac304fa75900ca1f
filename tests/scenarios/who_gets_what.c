/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A group shares the partitions of its topics: no partition has two owners, and a member more than
 * there are partitions has nothing to do. Who comes and who goes makes the others share anew.
 */
#include "group.h"

enum { MEMBERS = 5, PARTITIONS = 4 };

/* Sorted, descending. */
static void counts_of(struct kaja_consumer *const *members, size_t count, size_t counts[MEMBERS])
{
    bool which[PARTITIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        size_t n = has(members[i], which);
        size_t at = i;
        for (; at > 0 && counts[at - 1] < n; at--)
            counts[at] = counts[at - 1];
        counts[at] = n;
    }
}

static void with(struct kaja_store *store, const char *assignor)
{
    static const size_t share[MEMBERS][MEMBERS] = {
        {4}, {2, 2}, {2, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1, 0}};
    struct kaja_consumer *members[MEMBERS];
    const char *topic = "work";
    char group[32];
    (void)snprintf(group, sizeof group, "group-%s", assignor);
    printf("%s:\n", assignor);
    for (size_t n = 1; n <= MEMBERS; n++) {
        members[n - 1] = consumer_with(store, "group.id", group, "partition.assignment.strategy",
                                       assignor, NULL);
        must(kaja_consumer_subscribe(members[n - 1], &topic, 1, NULL));
        so(settle(members, n, PARTITIONS) >= 0, "%zu members share %d partitions", n, PARTITIONS);
        size_t counts[MEMBERS] = {0};
        counts_of(members, n, counts);
        so(memcmp(counts, share[n - 1], sizeof counts) == 0, "  %zu %zu %zu %zu %zu each",
           counts[0], counts[1], counts[2], counts[3], counts[4]);
    }
    for (size_t n = MEMBERS - 1; n >= 1; n--) {
        must(kaja_consumer_close(members[n], 1000));
        so(settle(members, n, PARTITIONS) >= 0, "one leaves: %zu members share all again", n);
    }
    must(kaja_consumer_close(members[0], 1000));
}

int main(void)
{
    static const char *const assignors[] = {"range", "roundrobin", "sticky", "cooperative-sticky"};
    lesson("one to five consumers on four partitions");
    struct kaja_store *store = open_directory();
    must(kaja_admin_create_topic(store, "work", PARTITIONS, NULL));
    for (size_t i = 0; i < sizeof assignors / sizeof assignors[0]; i++)
        with(store, assignors[i]);
    must(kaja_store_close(store));
    return 0;
}
