/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/fuzz_conf.c - bytes as a properties file, each pair set in a bag. What a bag took once it
 * gives back in a form that it takes again unchanged.
 */
#include "api/conf_file.h"

#include <kaja.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static int set(void *arg, int line, const char *name, const char *value)
{
    struct kaja_conf *conf = arg;
    check(line >= 1);
    if (kaja_conf_set(conf, name, value) != 0) {
        check(kaja_error_detail()[0] != '\0');
        return 0;
    }
    char *canonical = strdup(kaja_conf_get(conf, name));
    check(canonical != NULL && kaja_conf_is_set(conf, name) == 1);
    check(kaja_conf_set(conf, name, canonical) == 0);
    check(strcmp(kaja_conf_get(conf, name), canonical) == 0);
    free(canonical);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kaja_conf *conf;
    if (size > 65536 || kaja_conf_new(&conf) != 0)
        return 0;
    char *copy = malloc(size + 1);
    check(copy != NULL);
    memcpy(copy, data, size);
    int err = kj_conf_file_parse("fuzz", copy, size, set, conf);
    check(err == 0 || err == KAJA_ERR_INVALID_CONFIG);
    free(copy);
    kaja_conf_free(conf);
    return 0;
}
