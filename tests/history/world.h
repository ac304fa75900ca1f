/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/history/world.h - one seeded run of producers and consumer groups in virtual time: several
 * processes, each a store handle with a producer and one or two consumers, on one simulated disk
 * and one set of simulated words and locks. They poll, commit, fall silent, leave, come again and
 * are killed at any step inside any call; now and then everybody is, or the power goes. In the end
 * a survivor reads everything.
 *
 * Everything follows from the seed. A run leaves threads of the killed behind: give each a process
 * of its own.
 */
#ifndef HISTORY_WORLD_H
#define HISTORY_WORLD_H

#include "history/history.h"

#include <stdbool.h>
#include <stdint.h>

struct world_result {
    uint64_t hash; /* of the history and every choice */
    uint32_t lives, kills, cuts, events, delivered, commits, taken_over;
    uint32_t broken;
};

/* to: what is wrong; all: every event too. Ends the process where something is wrong that is no
 * matter of the history. */
void world_run(uint64_t seed, bool all, FILE *to, struct world_result *ret_result);

#endif
