/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tools/offsets_decoder.h - records of __consumer_offsets and __transaction_state as JSON.
 */
#ifndef KJ_TOOLS_OFFSETS_DECODER_H
#define KJ_TOOLS_OFFSETS_DECODER_H

#include "tools/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_coord_topic { KJ_COORD_OFFSETS, KJ_COORD_TRANSACTIONS };

/* The type of a key: its first two bytes; -1 if they are not there. */
int kj_coord_key_type(const void *key, size_t key_bytes);

/* `{"type":..., "data":{...}}`. Types and versions as texts, as the dump tool writes them, or as
 * numbers, as the consumer's formatter does. False, with nothing usable written, if the type is
 * unknown or the bytes are not what it says: write to a buffer. */
bool kj_coord_key_json(struct kj_json *json, const char *name, enum kj_coord_topic topic,
                       bool texts, const void *key, size_t key_bytes);
/* `{"version":..., "data":{...}}` of the value that belongs to a key of this type; not for null. */
bool kj_coord_value_json(struct kj_json *json, const char *name, enum kj_coord_topic topic,
                         bool texts, int key_type, const void *value, size_t value_bytes);

#endif
