/* SPDX-License-Identifier: BSD-2-Clause
 *
 * bench/bench.h - what the measuring programs share: a clock, rounds with their median and spread,
 * the roofs of the machine, a directory that goes away. Only what a program sees of kaja.
 *
 * Figures of one run are comparable with each other and with nothing else: every figure stands
 * beside a roof measured in the same rounds, in alternating order.
 */
#ifndef KJ_BENCH_H
#define KJ_BENCH_H

#include <kaja.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_ROUNDS_MAX = 99, BENCH_PIECE = 1 << 20 };

static inline void bench_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, errno != 0 ? strerror(errno) : kaja_error_detail());
    exit(1);
}

static inline void bench_ok(int err, const char *what)
{
    if (err != 0) {
        fprintf(stderr, "%s: %s: %s\n", what, kaja_error_name(err), kaja_error_detail());
        exit(1);
    }
}

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double bench_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- figures --- */

struct bench_figure {
    const char *name;
    double values[BENCH_ROUNDS_MAX];
    int count;
};

static inline void bench_add(struct bench_figure *figure, double value)
{
    if (figure->count < BENCH_ROUNDS_MAX)
        figure->values[figure->count++] = value;
}

static inline int bench_compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static inline double bench_median(struct bench_figure *figure)
{
    if (figure->count == 0)
        return 0;
    qsort(figure->values, (size_t)figure->count, sizeof(double), bench_compare);
    int n = figure->count;
    return n % 2 != 0 ? figure->values[n / 2]
                      : (figure->values[n / 2 - 1] + figure->values[n / 2]) / 2;
}

/* One line: median, range, and how it stands to a roof given in the same unit (NULL: none). */
static inline void bench_print(struct bench_figure *figure, const char *unit,
                               struct bench_figure *roof, const char *roof_name)
{
    if (figure->count == 0)
        return;
    double median = bench_median(figure);
    printf("%-34s %10.2f %-10s (%.2f .. %.2f)", figure->name, median, unit, figure->values[0],
           figure->values[figure->count - 1]);
    if (roof != NULL && roof->count > 0)
        printf("  %5.2f x %s", bench_median(roof) / median, roof_name);
    printf("\n");
}

/* --- places --- */

static char bench_root[512];

static inline void bench_begin(const char *dir)
{
    (void)snprintf(bench_root, sizeof bench_root, "%s/kaja-bench.XXXXXX", dir);
    if (mkdtemp(bench_root) == NULL)
        bench_die(bench_root);
}

static inline void bench_end(void)
{
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", bench_root);
    if (system(command) != 0)
        fprintf(stderr, "%s was left behind\n", bench_root);
}

static inline const char *bench_path(const char *name)
{
    static char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", bench_root, name);
    return path;
}

static inline void bench_remove(const char *name)
{
    char command[800];
    (void)snprintf(command, sizeof command, "rm -rf '%s/%s'", bench_root, name);
    if (system(command) != 0)
        bench_die(command);
}

/* Ends the program, with success, where there is no room. */
static inline void bench_need(double bytes)
{
    struct statvfs fs;
    if (statvfs(bench_root, &fs) != 0)
        bench_die(bench_root);
    if ((double)fs.f_bavail * (double)fs.f_frsize < bytes) {
        printf("skipped: %.0f MB are needed below %s\n", bytes / 1e6, bench_root);
        bench_end();
        exit(0);
    }
}

/* --- roofs; all return nanoseconds for bytes --- */

static inline void *bench_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("mmap");
    memset(p, 'k', bytes);
    return p;
}

/* write() in pieces of 1 MiB into a file that grows. */
static inline double bench_roof_fresh(size_t bytes)
{
    static char *piece;
    if (piece == NULL)
        piece = bench_memory(BENCH_PIECE);
    int fd = open(bench_path("roof"), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        bench_die("roof");
    double began = bench_now();
    for (size_t done = 0; done < bytes;) {
        size_t n = bytes - done < BENCH_PIECE ? bytes - done : BENCH_PIECE;
        if (write(fd, piece, n) != (ssize_t)n)
            bench_die("write");
        done += n;
    }
    double took = bench_now() - began;
    close(fd);
    bench_remove("roof");
    return took;
}

/* pwrite() in pieces over a file of up to 64 MiB whose pages are there. */
static inline double bench_roof_resident(size_t bytes, size_t piece_bytes)
{
    enum { FILE_BYTES = 64 << 20 };
    static char *piece;
    static int fd = -1;
    if (fd < 0) {
        piece = bench_memory(BENCH_PIECE);
        fd = open(bench_path("resident"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        for (off_t at = 0; at < FILE_BYTES; at += BENCH_PIECE)
            if (fd < 0 || pwrite(fd, piece, BENCH_PIECE, at) != BENCH_PIECE)
                bench_die("resident");
        if (fdatasync(fd) != 0)
            bench_die("resident");
    }
    double began = bench_now();
    off_t at = 0;
    for (size_t done = 0; done < bytes; done += piece_bytes) {
        if (pwrite(fd, piece, piece_bytes, at) != (ssize_t)piece_bytes)
            bench_die("pwrite");
        at = at + (off_t)(2 * piece_bytes) <= FILE_BYTES ? at + (off_t)piece_bytes : 0;
    }
    return bench_now() - began;
}

/* memcpy() within 256 MiB: beyond the caches. */
static inline double bench_roof_memcpy(size_t bytes)
{
    enum { HALF = 128 << 20 };
    static char *memory;
    if (memory == NULL)
        memory = bench_memory(2 * (size_t)HALF);
    double began = bench_now();
    size_t at = 0;
    for (size_t done = 0; done < bytes; done += BENCH_PIECE) {
        memcpy(memory + HALF + at, memory + at, BENCH_PIECE);
        at = at + 2 * BENCH_PIECE <= HALF ? at + BENCH_PIECE : 0;
    }
    return bench_now() - began;
}

/* One 4 KiB pwrite() over written blocks and an fdatasync(), count times: ns each. */
static inline double bench_roof_sync(int count)
{
    enum { BLOCK = 4096, BLOCKS = 256 };
    static int fd = -1;
    static char block[BLOCK];
    if (fd < 0) {
        fd = open(bench_path("sync"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        for (off_t i = 0; i < BLOCKS; i++)
            if (fd < 0 || pwrite(fd, block, BLOCK, i * BLOCK) != BLOCK)
                bench_die("sync");
        if (fsync(fd) != 0)
            bench_die("sync");
    }
    double began = bench_now();
    for (int i = 0; i < count; i++) {
        memset(block, i, sizeof block);
        if (pwrite(fd, block, BLOCK, (off_t)(i % BLOCKS) * BLOCK) != BLOCK || fdatasync(fd) != 0)
            bench_die("fdatasync");
    }
    return (bench_now() - began) / count;
}

static inline long bench_number(int argc, char **argv, const char *name, long otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return atol(argv[i + 1]);
    return otherwise;
}

static inline const char *bench_text(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

#endif
