/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/text_pool.h - the strings of a list that is given to the caller, freed with it at once.
 */
#ifndef KJ_API_TEXT_POOL_H
#define KJ_API_TEXT_POOL_H

#include <stddef.h>

struct kj_text_pool {
    char **texts;
    size_t count, capacity;
};

/* A copy of text that lives as long as the pool. NULL copies to NULL. */
int kj_text_pool_add(struct kj_text_pool *pool, const char *text, const char **ret_copy);
void kj_text_pool_free(struct kj_text_pool *pool);

#endif
