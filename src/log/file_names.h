/* SPDX-License-Identifier: BSD-2-Clause
 *
 * log/file_names.h - the names of files in a partition's directory, made and taken apart.
 *
 *   <topic>-<partition>/%020d.log .index .timeindex .txnindex .snapshot    the number is an offset
 *   suffixes behind them: .deleted .cleaned .swap
 *   ours: %020d.prepared (a next segment being made ready), %020d.log.damaged-<pos>
 */
#ifndef KJ_LOG_FILE_NAMES_H
#define KJ_LOG_FILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kj_file_kind {
    KJ_FILE_LOG,
    KJ_FILE_INDEX,
    KJ_FILE_TIMEINDEX,
    KJ_FILE_TXNINDEX,
    KJ_FILE_SNAPSHOT,
    KJ_FILE_PREPARED,
    KJ_FILE_DAMAGED, /* set aside by recovery */
    KJ_FILE_OTHER    /* leader-epoch-checkpoint, partition.metadata, and foreign ones */
};

enum kj_file_suffix { KJ_SUFFIX_NONE, KJ_SUFFIX_DELETED, KJ_SUFFIX_CLEANED, KJ_SUFFIX_SWAP };

enum {
    KJ_TOPIC_NAME_MAX = 249,
    KJ_DIR_NAME_MAX = 255,
    KJ_PATH_MAX = KJ_DIR_NAME_MAX + 1 + 64 /* "<dir>/<file>" with its NUL */
};

/* A file name inside a partition directory, taken apart. Kinds that carry a number want exactly 20
 * digits below 2^63; anything else is OTHER with offset -1. */
void kj_file_name_parse(const char *name, enum kj_file_kind *ret_kind, enum kj_file_suffix *ret_suffix,
                        int64_t *ret_offset);
/* A name that Kafka's log or ours gives a file in a partition's directory, temporary ones included.
 * Nothing else is ever removed from there. */
bool kj_file_name_known(const char *name);
/* "<dir>/%020d.<kind>" (not OTHER, not DAMAGED) into path. */
void kj_file_path(char path[static KJ_PATH_MAX], const char *dir, enum kj_file_kind kind, int64_t offset);

/* Kafka's rule for topic names: 1-249 of [a-zA-Z0-9._-], not "." or "..". INVALID_TOPIC_EXCEPTION. */
int kj_topic_name_check(const char *topic);
/* "<topic>-<partition>" into name; false if too long. */
bool kj_partition_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *topic, int32_t partition);
/* Takes a directory name apart: the text behind the last '-' is the partition (canonical decimal, no
 * sign, no leading zeros), the rest a legal topic. False: no partition directory (also -delete, -future, -stray). */
bool kj_partition_dir_parse(const char *name, char topic[static KJ_TOPIC_NAME_MAX + 1],
                            int32_t *ret_partition);
/* "<topic>-<partition>.<32 hex digits>-delete", the topic cut so that it fits 255 bytes. */
void kj_deleted_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *topic, int32_t partition,
                         const uint8_t id[static 16]);
bool kj_deleted_dir_parse(const char *name); /* ends in -delete and looks like one */
/* The name under which such a directory is kept for good: "-stray" instead of "-delete". */
void kj_stray_dir_name(char name[static KJ_DIR_NAME_MAX + 1], const char *deleted_dir);

/* Kafka's form of a 16-byte id: URL-safe base64 without padding, 22 characters and NUL. */
void kj_uuid_text(const uint8_t id[static 16], char text[static 23]);
bool kj_uuid_parse(const char *text, uint8_t ret_id[static 16]); /* exactly 22 characters, not all zero */

#endif
