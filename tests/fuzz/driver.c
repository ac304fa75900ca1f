/* SPDX-License-Identifier: BSD-2-Clause
 *
 * tests/fuzz/driver.c - runs a fuzz target without libFuzzer: on the files given, or else on every
 * file of its corpus and on random mutations of them. KJ_SEED and KJ_FUZZ_ROUNDS (environment)
 * choose the mutations; the seed is printed.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, SEEDS_MAX = 4096 };

struct input {
    uint8_t *bytes;
    size_t size;
};
static struct input seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t state;

static uint64_t next_random(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Every run gets a buffer of exactly its size, so that a read behind it is seen. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || seed_count == SEEDS_MAX) {
        fprintf(stderr, "cannot take %s\n", path);
        return -1;
    }
    struct input *in = &seeds[seed_count++];
    in->bytes = malloc(INPUT_MAX);
    in->size = in->bytes != NULL ? fread(in->bytes, 1, INPUT_MAX, f) : 0;
    fclose(f);
    return 0;
}

static void load_corpus(const char *program)
{
    const char *name = strrchr(program, '/');
    name = name != NULL ? name + 1 : program;
    if (strncmp(name, "lt-", 3) == 0)
        name += 3;
    if (strncmp(name, "fuzz_", 5) == 0)
        name += 5;
    char path[4096];
    snprintf(path, sizeof path, "%s/corpus/%s", KJ_FUZZ_DIR, name);
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%s/corpus/%s/%s", KJ_FUZZ_DIR, name, e->d_name);
        if (e->d_name[0] != '.')
            (void)load(path);
    }
    if (dir != NULL)
        closedir(dir);
}

/* A few byte changes, a cut, or a splice of two seeds. */
static size_t mutate(uint8_t *out)
{
    size_t size = 0;
    if (seed_count > 0) {
        const struct input *a = &seeds[next_random() % seed_count];
        const struct input *b = &seeds[next_random() % seed_count];
        size = a->size;
        memcpy(out, a->bytes, size);
        if (next_random() % 8 == 0 && b->size > 0 && size > 0) {
            size_t at = next_random() % (size < b->size ? size : b->size);
            memcpy(out + at, b->bytes + at, b->size - at);
            size = b->size;
        }
    } else {
        size = next_random() % 256;
        for (size_t i = 0; i < size; i++)
            out[i] = (uint8_t)next_random();
    }
    if (size > 0 && next_random() % 4 == 0)
        size = next_random() % size;
    for (uint64_t n = next_random() % 6; n > 0 && size > 0; n--) {
        size_t at = next_random() % size;
        uint64_t kind = next_random() % 3;
        uint64_t changed = kind == 0   ? next_random()
                           : kind == 1 ? out[at] ^ (UINT64_C(1) << (next_random() % 8))
                                       : 0 - (next_random() & 1);
        out[at] = (uint8_t)changed;
    }
    return size;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (load(argv[i]) != 0)
            return 99;
    if (argc == 1)
        load_corpus(argv[0]);
    for (size_t i = 0; i < seed_count; i++)
        run(seeds[i].bytes, seeds[i].size);
    printf("%zu inputs replayed\n", seed_count);
    if (argc > 1)
        return 0;

    const char *env = getenv("KJ_SEED");
    state = env != NULL ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
    env = getenv("KJ_FUZZ_ROUNDS");
    uint64_t rounds = env != NULL ? strtoull(env, NULL, 0) : 2000;
    printf("%llu mutations, KJ_SEED=%llu\n", (unsigned long long)rounds, (unsigned long long)state);
    fflush(stdout);
    uint8_t *out = malloc(INPUT_MAX);
    if (out == NULL)
        return 99;
    while (rounds-- > 0)
        run(out, mutate(out));
    free(out);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    return 0;
}
