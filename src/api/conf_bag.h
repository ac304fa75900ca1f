/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf_bag.h - the inside of a bag of properties.
 */
#ifndef KJ_API_CONF_BAG_H
#define KJ_API_CONF_BAG_H

#include "api/conf.h"

struct kaja_conf {
    uint32_t magic;
    size_t count;  /* rows of the table */
    char **values; /* by kj_conf_row_slot(); canonical; NULL: not set */
};

/* The value the bag sets for a name, or NULL. conf may be NULL. */
const char *kj_conf_set_value(const struct kaja_conf *conf, const char *name);

#endif
