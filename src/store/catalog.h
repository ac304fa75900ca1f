/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/catalog.h - which topics a directory has: ids, partition counts, properties, and the
 * properties of the directory itself. The only thing of kaja's own that is durable, so it is text,
 * checked, and replaced as a whole.
 *
 *   kaja-catalog 1                                   format version
 *   generation <n>                                   raised by every change
 *   slots <n>                                        slot numbers given so far
 *   store <name> <value>                             a property of the directory
 *   topic <name> <id> <partitions> <target> <flags> <slots>
 *   config <name> <value>                            a property of the topic above
 *   end <16 hex digits>                              XXH3 of everything before this line
 *
 * Topics are sorted by name. <id> is as in partition.metadata. Only partitions [0, partitions)
 * exist for anybody; target > partitions says that [partitions, target) are being made. <flags>:
 * "a" adopted, "d" being deleted (unknown from then on), "-" none. <slots>: the slot numbers of
 * partitions [0, target) in the control file, "first+count" joined by commas, or "-". Values are
 * written with %XX for bytes up to space, for '%' and for those from 0x7f on.
 *
 * Slot numbers are given once: one that a deleted topic had is not given again while anybody is
 * present, so nobody can take another partition's words for its own. The control file thus grows by
 * 320 bytes for each partition that was made since it was built, up to KJ_SLOTS_MAX; a first opener
 * who finds that most numbers are unused gives all of them anew.
 *
 * The version before is kept as kaja.catalog.old, for people: a catalog that cannot be read is an
 * error that changes nothing.
 */
#ifndef KJ_STORE_CATALOG_H
#define KJ_STORE_CATALOG_H

#include "base/atomic.h"
#include "os/io.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KJ_CATALOG_NAME "kaja.catalog"
#define KJ_CATALOG_OLD_NAME "kaja.catalog.old"

enum { KJ_CATALOG_VERSION = 1, KJ_CATALOG_BYTES_MAX = 256 << 20 };

struct kj_slot_run {
    uint32_t first;
    uint32_t count;
};

struct kj_property_set {
    struct kj_property *items; /* strings owned */
    size_t count;
    size_t capacity;
};

struct kj_catalog_topic {
    char *name;
    uint8_t id[16];
    int32_t partitions;
    int32_t target; /* >= partitions */
    bool adopted;
    bool deleting;
    struct kj_slot_run *runs;
    size_t run_count;
    struct kj_property_set properties;
};

/* Changed only while one thread has it; once given to others it stays as it is. */
struct kj_catalog {
    kj_atomic_u64 refs;
    uint64_t generation;
    uint32_t slots;                   /* numbers below are given */
    struct kj_catalog_topic **topics; /* sorted by name */
    size_t count;
    size_t capacity;
    struct kj_property_set directory;
};

int kj_catalog_new(struct kj_catalog **ret_catalog);
void kj_catalog_hold(struct kj_catalog *catalog);
void kj_catalog_release(struct kj_catalog *catalog); /* NULL is allowed */

/* NULL: no such topic. Topics being deleted are found too. */
struct kj_catalog_topic *kj_catalog_find(const struct kj_catalog *catalog, const char *name);
/* A topic whose name is the same once '.' is read as '_', or NULL. */
struct kj_catalog_topic *kj_catalog_collision(const struct kj_catalog *catalog, const char *name);
/* Adds an empty topic; the name must be new. */
int kj_catalog_add(struct kj_catalog *catalog, const char *name, const uint8_t id[static 16],
                   struct kj_catalog_topic **ret_topic);
void kj_catalog_remove(struct kj_catalog *catalog, struct kj_catalog_topic *topic);
/* Raises target and gives slot numbers to the new partitions. INVALID_PARTITIONS beyond the limit.
 */
int kj_catalog_grow(struct kj_catalog *catalog, struct kj_catalog_topic *topic, int32_t target);
/* Takes target back to partitions; slot numbers of what is left out stay unused. */
void kj_catalog_shrink(struct kj_catalog_topic *topic);
/* Slot number of partition p < target; UINT32_MAX if the catalog has none. */
uint32_t kj_catalog_slot(const struct kj_catalog_topic *topic, int32_t partition);
/* True if something was begun and not finished. */
bool kj_catalog_pending(const struct kj_catalog *catalog);
/* Numbers all slots anew from 0, when most of those given are unused. Only while nobody else is
 * present. True if it did. */
bool kj_catalog_renumber(struct kj_catalog *catalog);

/* --- properties --- */
const char *kj_property_set_get(const struct kj_property_set *set, const char *name);
int kj_property_set_put(struct kj_property_set *set, const char *name, const char *value);
void kj_property_set_remove(struct kj_property_set *set, const char *name);
int kj_property_set_copy(const struct kj_property_set *from,
                         struct kj_property_set *to); /* to: empty */
void kj_property_set_free(struct kj_property_set *set);

/* --- text and file --- */

/* *ret_text is kj_free()d by the caller. */
int kj_catalog_encode(const struct kj_catalog *catalog, char **ret_text, size_t *ret_len);
/* NOT_KAJA, UNSUPPORTED_VERSION, DAMAGED, OUT_OF_MEMORY. text: NUL-terminated behind len. */
int kj_catalog_decode(const char *text, size_t len, struct kj_catalog **ret_catalog);
/* *ret_catalog is NULL if there is no such file. */
int kj_catalog_read(struct kj_io *io, struct kj_catalog **ret_catalog);
/* Raises generation and replaces the file durably. Catalog lock held. */
int kj_catalog_write(struct kj_io *io, struct kj_catalog *catalog);

#endif
