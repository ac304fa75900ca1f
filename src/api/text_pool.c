/* SPDX-License-Identifier: BSD-2-Clause */
#include "api/text_pool.h"

#include "base/alloc.h"
#include "base/err.h"

int kj_text_pool_add(struct kj_text_pool *pool, const char *text, const char **ret_copy)
{
    if (text == NULL) {
        *ret_copy = NULL;
        return 0;
    }
    void *grown = pool->texts;
    KJ_TRY(kj_grow(&grown, &pool->capacity, pool->count + 1, sizeof *pool->texts));
    pool->texts = grown;
    char *copy = kj_strdup(text);
    if (copy == NULL)
        return kj_err_oom("a list");
    pool->texts[pool->count++] = copy;
    *ret_copy = copy;
    return 0;
}

void kj_text_pool_free(struct kj_text_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        kj_free(pool->texts[i]);
    kj_free(pool->texts);
    *pool = (struct kj_text_pool){0};
}
