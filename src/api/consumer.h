/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/consumer.h - the consumer's public handle.
 */
#ifndef KJ_API_CONSUMER_H
#define KJ_API_CONSUMER_H

#include "api/handles.h"
#include "client/consumer.h"

struct kaja_consumer {
    uint32_t magic;
    struct kaja_store *store;
    struct kj_consumer *client;
    struct kaja_rebalance_listener listener;
};

#endif
