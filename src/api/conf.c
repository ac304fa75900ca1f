/* SPDX-License-Identifier: BSD-2-Clause
 *
 * api/conf.c - the bag: a text per property name that was set, already checked and in its canonical
 * form. Which room takes what is api/conf_options.c's business.
 */
#include "api/conf_bag.h"
#include "api/conf_file.h"
#include "api/conf_row.h"
#include "api/handles.h"

#include "base/alloc.h"
#include "base/err.h"
#include "os/whole_file.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_BYTES_MAX = 32767, FILE_BYTES_MAX = 1024 * 1024 };

int kj_conf_check(const struct kaja_conf *conf)
{
    return conf == NULL ? 0 : kj_handle_check(conf, KJ_MAGIC_CONF, "bag of properties");
}

int kaja_conf_new(struct kaja_conf **ret_conf)
{
    if (ret_conf == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_conf_new: ret_conf is NULL");
    size_t count = 0;
    while (kj_conf_row(count) != NULL)
        count++;
    struct kaja_conf *conf = kj_alloc_zero(1, sizeof *conf);
    char **values = kj_alloc_zero(count, sizeof *values);
    if (conf == NULL || values == NULL) {
        kj_free(conf);
        kj_free(values);
        return kj_err_oom("a bag of properties");
    }
    *conf = (struct kaja_conf){.magic = KJ_MAGIC_CONF, .count = count, .values = values};
    *ret_conf = conf;
    return 0;
}

void kaja_conf_free(struct kaja_conf *conf)
{
    if (conf == NULL || kj_conf_check(conf) != 0)
        return;
    for (size_t i = 0; i < conf->count; i++)
        kj_free(conf->values[i]);
    kj_free(conf->values);
    conf->magic = KJ_MAGIC_CLOSED;
    kj_free(conf);
}

/* The canonical form of value as the first row of this name that takes it has it. */
static int check_value(const char *name, const char *value, size_t *ret_slot, char **ret_text)
{
    const struct kj_conf_row *first = kj_conf_row_find(name, KJ_SCOPE_ANY);
    if (first == NULL)
        return kj_conf_unknown(name);
    if (strlen(value) > VALUE_BYTES_MAX)
        return kj_err(KAJA_ERR_INVALID_CONFIG, "%s: the value is longer than %d bytes", name,
                      VALUE_BYTES_MAX);
    int err = 0;
    for (size_t i = kj_conf_row_slot(first); kj_conf_row(i) != NULL; i++) {
        const struct kj_conf_row *row = kj_conf_row(i);
        if (strcmp(row->info.name, name) != 0)
            continue;
        char *text;
        err = kj_conf_value_text(row, value, &text);
        if (err != 0)
            continue;
        err = kj_conf_value_built(row, text);
        if (err == 0) {
            *ret_slot = kj_conf_row_slot(first);
            *ret_text = text;
            return 0;
        }
        kj_free(text);
    }
    return err;
}

int kaja_conf_set(struct kaja_conf *conf, const char *name, const char *value)
{
    KJ_TRY(kj_handle_check(conf, KJ_MAGIC_CONF, "bag of properties"));
    if (name == NULL || value == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_conf_set: %s is NULL",
                      name == NULL ? "the name" : "the value");
    size_t slot = 0;
    char *text = NULL;
    KJ_TRY(check_value(name, value, &slot, &text));
    kj_free(conf->values[slot]);
    conf->values[slot] = text;
    return 0;
}

/* --- files --- */

struct file_state {
    const char *path;
    struct kaja_conf *conf;
};

static int set_line(void *arg, int line, const char *name, const char *value)
{
    const struct file_state *state = arg;
    int err = kaja_conf_set(state->conf, name, value);
    if (err == 0)
        return 0;
    return kj_err(err, "%s, line %d: %s", state->path, line, kaja_error_detail());
}

int kaja_conf_set_file(struct kaja_conf *conf, const char *path)
{
    KJ_TRY(kj_handle_check(conf, KJ_MAGIC_CONF, "bag of properties"));
    if (path == NULL)
        return kj_err(KAJA_ERR_INVALID_ARG, "kaja_conf_set_file: the path is NULL");
    uint8_t *bytes;
    size_t len;
    int os_errno = kj_whole_file_read(path, FILE_BYTES_MAX, &bytes, &len);
    if (os_errno != 0)
        return kj_err_os(os_errno, "reading the properties in %s", path);
    /* All of the file or nothing: into a bag of its own first. */
    struct file_state state = {.path = path};
    int err = kaja_conf_new(&state.conf);
    if (err == 0)
        err = kj_conf_file_parse(path, (const char *)bytes, len, set_line, &state);
    for (size_t i = 0; err == 0 && i < conf->count; i++) {
        if (state.conf->values[i] == NULL)
            continue;
        kj_free(conf->values[i]);
        conf->values[i] = state.conf->values[i];
        state.conf->values[i] = NULL;
    }
    kaja_conf_free(state.conf);
    kj_free(bytes);
    return err;
}

/* --- looking --- */

const char *kj_conf_set_value(const struct kaja_conf *conf, const char *name)
{
    const struct kj_conf_row *row = conf == NULL ? NULL : kj_conf_row_find(name, KJ_SCOPE_ANY);
    return row == NULL ? NULL : conf->values[kj_conf_row_slot(row)];
}

const char *kaja_conf_get(const struct kaja_conf *conf, const char *name)
{
    if (name == NULL || kj_conf_check(conf) != 0)
        return NULL;
    const char *value = kj_conf_set_value(conf, name);
    const struct kj_conf_row *row = kj_conf_row_find(name, KJ_SCOPE_ANY);
    return value != NULL ? value : row != NULL ? row->info.default_value : NULL;
}

int kaja_conf_is_set(const struct kaja_conf *conf, const char *name)
{
    return name != NULL && kj_conf_check(conf) == 0 && kj_conf_set_value(conf, name) != NULL;
}
