/* SPDX-License-Identifier: BSD-2-Clause */
#include "temp_dir.h"

#include "base/alloc.h"
#include "store/catalog.h"
#include "store/control.h"

#include <xxhash.h>

static const uint8_t id[16] = {1,  35, 69, 103, 137, 171, 205, 239,
                               17, 34, 51, 68,  85,  102, 119, 136};

static struct kj_catalog *sample(void)
{
    struct kj_catalog *catalog;
    struct kj_catalog_topic *topic;
    assert_ok(kj_catalog_new(&catalog));
    catalog->generation = 41;
    assert_ok(kj_property_set_put(&catalog->directory, "log.retention.ms", "-1"));
    assert_ok(kj_property_set_put(&catalog->directory, "a.b", "x y%\n\xc3\xa9"));
    assert_ok(kj_catalog_add(catalog, "orders", id, &topic));
    assert_ok(kj_catalog_grow(catalog, topic, 3));
    topic->partitions = 3;
    assert_ok(kj_property_set_put(&topic->properties, "retention.ms", ""));
    assert_ok(kj_catalog_add(catalog, "events", id, &topic));
    assert_ok(kj_catalog_grow(catalog, topic, 2));
    topic->adopted = true;
    topic->deleting = true;
    topic = kj_catalog_find(catalog, "orders");
    assert_ok(kj_catalog_grow(catalog, topic, 5));
    return catalog;
}

static char *text_of(struct kj_catalog *catalog, size_t *ret_len)
{
    char *text;
    assert_ok(kj_catalog_encode(catalog, &text, ret_len));
    return text;
}

static void says_what_was_put_in(void **state)
{
    (void)state;
    struct kj_catalog *catalog = sample();
    size_t len;
    char *text = text_of(catalog, &len);
    const char *begin = "kaja-catalog 1\n"
                        "generation 41\n"
                        "slots 7\n"
                        "store a.b x%20y%25%0A%C3%A9\n"
                        "store log.retention.ms -1\n"
                        "topic events ASNFZ4mrze8RIjNEVWZ3iA 0 2 ad 3+2\n"
                        "topic orders ASNFZ4mrze8RIjNEVWZ3iA 3 5 - 0+3,5+2\n"
                        "config retention.ms \n"
                        "end ";
    assert_int_equal(len, strlen(begin) + 17);
    assert_memory_equal(text, begin, strlen(begin));
    struct kj_catalog *again;
    assert_ok(kj_catalog_decode(text, len, &again));
    size_t len2;
    char *text2 = text_of(again, &len2);
    assert_string_equal(text, text2);
    assert_string_equal(kj_property_set_get(&again->directory, "a.b"), "x y%\n\xc3\xa9");
    assert_true(kj_catalog_pending(again));
    assert_int_equal(kj_catalog_slot(kj_catalog_find(again, "orders"), 3), 5);
    assert_int_equal(kj_catalog_slot(kj_catalog_find(again, "orders"), 5), UINT32_MAX);
    kj_free(text);
    kj_free(text2);
    kj_catalog_release(catalog);
    kj_catalog_release(again);
}

/* Any byte changed, any length cut: an error, and one that says which. */
static void every_damage_is_seen(void **state)
{
    (void)state;
    struct kj_catalog *catalog = sample(), *again = NULL;
    size_t len;
    char *text = text_of(catalog, &len);
    for (size_t i = 0; i < len; i++) {
        char old = text[i];
        text[i] = (char)(old ^ 4);
        int err = kj_catalog_decode(text, len, &again);
        assert_true(err == KAJA_ERR_DAMAGED || err == KAJA_ERR_NOT_KAJA ||
                    err == KAJA_ERR_UNSUPPORTED_VERSION);
        text[i] = old;
    }
    for (size_t n = 0; n < len; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, text, n);
        cut[n] = '\0';
        int err = kj_catalog_decode(cut, n, &again);
        assert_true(err == KAJA_ERR_DAMAGED || err == KAJA_ERR_NOT_KAJA);
        free(cut);
    }
    assert_ptr_equal(again, NULL);
    kj_free(text);
    kj_catalog_release(catalog);
}

/* Text with a right checksum. */
static int decode_lines(const char *lines)
{
    char text[1024];
    size_t len = strlen(lines);
    struct kj_catalog *catalog;
    memcpy(text, lines, len);
    (void)snprintf(text + len, sizeof text - len, "end %016llx\n",
                   (unsigned long long)XXH3_64bits(text, len));
    int err = kj_catalog_decode(text, strlen(text), &catalog);
    if (err == 0)
        kj_catalog_release(catalog);
    return err;
}

#define HEAD "kaja-catalog 1\ngeneration 1\nslots 9\n"
#define ID "ASNFZ4mrze8RIjNEVWZ3iA"

static void strict(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "kaja-catalog 1\n",
        "kaja-catalog 1\ngeneration 01\nslots 9\n",
        "kaja-catalog 1\ngeneration 1\nslots -1\n",
        "kaja-catalog 1\ngeneration 1\nslots 999999999\n",
        HEAD "config a b\n",
        HEAD "store a\n",
        HEAD "store a b\nstore a c\n",
        HEAD "store a %0\n",
        HEAD "store a %00\n",
        HEAD "store a %zz\n",
        HEAD "topic a/b " ID " 1 1 - 0+1\n",
        HEAD "topic .. " ID " 1 1 - 0+1\n",
        HEAD "topic a AAAAAAAAAAAAAAAAAAAAAA 1 1 - 0+1\n",
        HEAD "topic a " ID " 2 1 - 0+1\n",
        HEAD "topic a " ID " 1 1 x 0+1\n",
        HEAD "topic a " ID " 1 1 - 0+2\n",
        HEAD "topic a " ID " 1 1 - 9+1\n",
        HEAD "topic a " ID " 1 1 - 0+1,\n",
        HEAD "topic a " ID " 2 2 - 0+1,0+1\n",
        HEAD "topic a " ID " 1 1 - -\n",
        HEAD "topic b " ID " 1 1 - 0+1\ntopic a " ID " 1 1 - 1+1\n",
        HEAD "topic a " ID " 1 1 - 0+1\nstore a b\n",
        HEAD "\n",
        HEAD "more\n",
    };
    assert_int_equal(decode_lines(HEAD "topic a " ID " 1 1 - 0+1\nconfig x y\n"), 0);
    assert_int_equal(decode_lines(HEAD), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (decode_lines(wrong[i]) != KAJA_ERR_DAMAGED)
            fail_msg("taken, or another error: %s", wrong[i]);
    assert_err(decode_lines("kaja-catalog 2\nanything\n"), KAJA_ERR_UNSUPPORTED_VERSION);
    assert_non_null(strstr(kaja_error_detail(), "version 2"));
    assert_err(decode_lines("# my notes\n"), KAJA_ERR_NOT_KAJA);
}

static void file_is_replaced_and_the_old_one_kept(void **state)
{
    (void)state;
    struct temp_dir dir = temp_dir_new();
    struct kj_catalog *catalog = sample(), *read;
    assert_ok(kj_catalog_read(dir.io, &read));
    assert_null(read);
    assert_ok(kj_catalog_write(dir.io, catalog));
    assert_ok(kj_catalog_write(dir.io, catalog));
    assert_ok(kj_catalog_read(dir.io, &read));
    assert_int_equal(read->generation, 43);
    kj_catalog_release(read);
    size_t len;
    uint8_t *old = temp_dir_get(&dir, KJ_CATALOG_OLD_NAME, &len);
    assert_ok(kj_catalog_decode((const char *)old, len, &read));
    assert_int_equal(read->generation, 42);
    kj_free(old);
    kj_catalog_release(read);
    kj_catalog_release(catalog);
    temp_dir_free(&dir);
}

static void slots(void **state)
{
    (void)state;
    struct kj_catalog *catalog;
    struct kj_catalog_topic *a, *b;
    assert_ok(kj_catalog_new(&catalog));
    assert_ok(kj_catalog_add(catalog, "a", id, &a));
    assert_ok(kj_catalog_add(catalog, "b", id, &b));
    assert_ok(kj_catalog_grow(catalog, a, 2000));
    a->partitions = 2000;
    assert_ok(kj_catalog_grow(catalog, b, 5));
    b->partitions = 5;
    assert_err(kj_catalog_grow(catalog, b, KJ_SLOTS_MAX), KAJA_ERR_INVALID_PARTITIONS);
    assert_ok(kj_catalog_grow(catalog, b, 8));
    kj_catalog_shrink(b);
    assert_int_equal(b->target, 5);
    assert_int_equal(kj_catalog_slot(b, 5), UINT32_MAX);
    assert_int_equal(kj_catalog_slot(b, 4), 2004);
    assert_false(kj_catalog_renumber(catalog));
    kj_catalog_remove(catalog, a);
    assert_true(kj_catalog_renumber(catalog));
    assert_int_equal(catalog->slots, 5);
    assert_int_equal(kj_catalog_slot(b, 4), 4);
    kj_catalog_release(catalog);
}

static void names_collide_as_in_kafka(void **state)
{
    (void)state;
    struct kj_catalog *catalog;
    struct kj_catalog_topic *topic;
    assert_ok(kj_catalog_new(&catalog));
    assert_ok(kj_catalog_add(catalog, "my.topic_1", id, &topic));
    assert_ptr_equal(kj_catalog_collision(catalog, "my_topic.1"), topic);
    assert_ptr_equal(kj_catalog_collision(catalog, "my.topic_1"), topic);
    assert_null(kj_catalog_collision(catalog, "my-topic_1"));
    assert_null(kj_catalog_collision(catalog, "my.topic_"));
    assert_null(kj_catalog_collision(catalog, "mytopic1"));
    kj_catalog_release(catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_was_put_in),
        cmocka_unit_test(every_damage_is_seen),
        cmocka_unit_test(strict),
        cmocka_unit_test(file_is_replaced_and_the_old_one_kept),
        cmocka_unit_test(slots),
        cmocka_unit_test(names_collide_as_in_kafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
