/* SPDX-License-Identifier: BSD-2-Clause
 *
 * acks=all survives a power cut: T01 and T05 for one partition.
 *
 * Two simulated processes (and a founder that only looks) work on one partition of a simulated disk: they
 * append, flush, roll, prepare, delete, write checkpoints, die; the partition is closed and opened again,
 * cleanly and not. Before some disk operations (in short histories: before every one) the power is cut on
 * six copies of the disk, one in each way a disk forgets. Each copy is recovered, with more power cuts
 * during its recovery, and compared with what the processes had been promised at that moment:
 *
 *   A  what a flush covered is at its offset, byte by byte; so is what stands below DURABLE, and every
 *      acks=all record below the high watermark
 *   B  nothing appears that nobody appended, nothing twice
 *   C  records of a process are in its order
 *   D  the recovered end is not below what was durable
 *   F  the log start is not below the checkpoint's, and retention by age takes nothing young
 *   H  a hole among what is left was reported
 * and a batch that is sent again is known as a duplicate, times lead to offsets, appends go on, a clean
 * close and load gives the same.
 *
 * KJ_POWER_CUTS: how many images. KJ_SEED: the first history; KJ_SEED=n KJ_POWER_CUTS=1 replays history n.
 */
#include "sim_handle.h"

#include "log/checkpoint.h"
#include "record/batch_reader.h"
#include "sim/sim_disk.h"

#include <errno.h>
#include <sys/mman.h>

enum {
    PROCESSES = 2,
    RECORDS_MAX = 4000,
    VALUE_MAX = 540,
    FILE_MAX = 256 << 10,
    DEPTH = 3,
    SENT_MAX = 2000
};
#define POINTS "recovery-point-offset-checkpoint"
#define STARTS "log-start-offset-checkpoint"

struct record {
    int64_t offset; /* -1: not answered */
    bool durable;
    int process;
};

/* A batch that was answered, to be sent again. */
struct sent {
    int first_record, count;
    int64_t base_offset, timestamp;
    int process;
    int32_t sequence;
};

/* A moment, and what was promised then. */
struct cut {
    struct kj_sim *image;
    enum kj_sim_crash_mode how;
    uint64_t operation;
    int64_t acked_end, durable, high_watermark, log_start;
    int record_count, sent_count;
    bool clean; /* closed cleanly, and nobody opened it since */
};

struct world;
struct process {
    struct world *world;
    int number;
    struct handle_of handle;
    int operations;
    long kill_in; /* steps; 0: never */
    bool dead, failed;
    int64_t producer_id;
    int32_t sequence;
    bool doubt; /* its last batch was not answered: what it sends next may be out of sequence */
};

struct world {
    uint64_t seed, random;
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *words;
    struct kj_sim *sim;
    struct kj_log_config config;
    struct process processes[PROCESSES];
    struct handle_of founder;
    bool looking; /* hooks do nothing */
    bool dead;    /* somebody died: his files stay open for ever */
    bool loaded;  /* the words are those of a loaded log */
    bool clean;
    struct record records[RECORDS_MAX];
    int record_count;
    struct sent sent[SENT_MAX];
    int sent_count;
    int64_t acked_end;
    uint64_t operation, next_cut, cut_every;
    struct cut *cuts;
    size_t cut_count, cut_capacity;
};

static uint64_t draw(uint64_t *random, uint64_t below)
{
    return sim_random(random) % below;
}

/* --- records --- */

static size_t make_value(uint64_t seed, int number, char *value)
{
    uint64_t random = seed * 1000003u + (uint64_t)number;
    size_t len = draw(&random, 10) == 0 ? draw(&random, VALUE_MAX - 40) : draw(&random, 120);
    size_t at = (size_t)sprintf(value, "%d:", number);
    while (len-- > 0)
        value[at++] = (char)sim_random(&random);
    return at;
}

static int64_t time_of(int number)
{
    return FIXTURE_T + (number ^ 3); /* nearly in order */
}

/* --- cutting the power --- */

static void take_cuts(struct world *world)
{
    struct cut cut = {.operation = world->operation,
                      .acked_end = world->acked_end,
                      .record_count = world->record_count,
                      .sent_count = world->sent_count,
                      .clean = world->clean};
    world->looking = true;
    if (world->loaded) {
        cut.durable = kj_log_durable(world->founder.log);
        cut.log_start = kj_log_start(world->founder.log);
        cut.high_watermark = kj_log_high_watermark(world->founder.log);
    }
    for (int how = 0; how < KJ_SIM_CRASH_MODES; how++) {
        cut.how = (enum kj_sim_crash_mode)how;
        cut.image = kj_sim_crash_copy(world->sim, sim_random(&world->random), cut.how);
        sim_grow((void **)&world->cuts, &world->cut_capacity, world->cut_count + 1, sizeof cut);
        world->cuts[world->cut_count++] = cut;
    }
    world->looking = false;
}

static void before_disk(struct world *world)
{
    world->operation++;
    if (world->operation < world->next_cut)
        return;
    take_cuts(world);
    world->next_cut = world->operation + 1 + (world->cut_every > 1 ? draw(&world->random, world->cut_every) : 0);
}

static int founder_io(void *arg, const char *op, const char *path)
{
    struct world *world = arg;
    (void)op, (void)path;
    if (!world->looking)
        before_disk(world);
    return 0;
}

static void maybe_die(struct process *process)
{
    if (process->kill_in == 0 || --process->kill_in > 0)
        return;
    process->dead = true;
    process->world->dead = true;
    kj_sim_kill(process->world->tasks, (unsigned)process->number);
}

static int process_io(void *arg, const char *op, const char *path)
{
    struct process *process = arg;
    (void)op, (void)path;
    before_disk(process->world);
    maybe_die(process);
    kj_sim_yield(process->world->tasks);
    return 0;
}

static void process_word(void *arg, enum kj_shared_step step, uint64_t number, const char *name)
{
    struct process *process = arg;
    (void)step, (void)number, (void)name;
    maybe_die(process);
    kj_sim_yield(process->world->tasks);
}

/* --- what the processes do --- */

struct batch_of {
    uint8_t bytes[4 * VALUE_MAX + 512];
    struct sent sent;
};

/* Seals records [first, first + count) of a process as one batch. */
static void make_batch(uint64_t seed, const struct sent *sent, int64_t producer_id, uint8_t *buf, size_t capacity,
                       struct kj_append_batch *ret_batch)
{
    struct kj_batch_writer writer;
    struct kj_buffer out = {0};
    struct kj_batch_seal seal = KJ_BATCH_SEAL_PLAIN;
    char value[VALUE_MAX];
    kj_batch_writer_init(&writer, buf, capacity);
    for (int i = 0; i < sent->count; i++) {
        struct kj_record record = {.timestamp = time_of(sent->first_record + i),
                                   .value = value,
                                   .value_bytes = make_value(seed, sent->first_record + i, value)};
        check(kj_batch_writer_append(&writer, &record), "a batch is too small");
    }
    seal.producer_id = producer_id;
    seal.producer_epoch = 0;
    seal.base_sequence = sent->sequence;
    check_ok(kj_batch_writer_seal(&writer, &seal, &out, &ret_batch->bytes, &ret_batch->len));
}

static void do_append(struct process *process, int count)
{
    struct world *world = process->world;
    static struct batch_of slots[PROCESSES][6];
    struct kj_append_batch batches[6] = {0};
    for (int i = 0; i < count; i++) {
        struct sent *sent = &slots[process->number][i].sent;
        *sent = (struct sent){.first_record = world->record_count,
                              .count = 1 + (int)draw(&world->random, 4),
                              .process = process->number,
                              .sequence = process->sequence};
        if (world->record_count + sent->count > RECORDS_MAX || world->sent_count + count > SENT_MAX) {
            count = i;
            break;
        }
        process->sequence += sent->count;
        batches[i].durable = draw(&world->random, 2) == 0;
        for (int r = 0; r < sent->count; r++)
            world->records[world->record_count++] =
                (struct record){.offset = -1, .durable = batches[i].durable, .process = process->number};
        make_batch(world->seed, sent, process->producer_id, slots[process->number][i].bytes,
                   sizeof slots[0][0].bytes, &batches[i]);
    }
    if (count == 0)
        return;
    check_ok(kj_log_append(process->handle.log, batches, (size_t)count, KJ_APPEND_TRUSTED));
    for (int i = 0; i < count; i++) {
        struct sent *sent = &slots[process->number][i].sent;
        check(batches[i].ret_error == 0 && !batches[i].ret_duplicate, "batch %d: error %d", i, batches[i].ret_error);
        sent->base_offset = batches[i].ret_base_offset;
        world->sent[world->sent_count++] = *sent;
        for (int r = 0; r < sent->count; r++)
            world->records[sent->first_record + r].offset = sent->base_offset + r;
    }
}

static int64_t known_end(const struct world *world)
{
    int64_t end = 0;
    for (int i = 0; i < world->record_count; i++)
        if (world->records[i].offset >= end)
            end = world->records[i].offset + 1;
    return end;
}

static void note_acked(struct world *world, int64_t end)
{
    if (end > world->acked_end)
        world->acked_end = end;
}

/* As the flusher of the store does it: begin, the sync of many in one submission, end. */
static void do_group_flush(struct process *process, int64_t end)
{
    struct kj_log_flush flush;
    int err = kj_log_flush_begin(process->handle.log, true, &flush);
    check_ok(err);
    if (err != 0)
        return;
    int os = 0;
    if (flush.file != NULL) {
        struct kj_io_req req = {.op = KJ_IO_OP_SYNC, .file = flush.file};
        os = kj_io_submit(process->handle.io, &req, 1);
    }
    err = kj_log_flush_end(&flush, os);
    check_ok(err);
    if (err == 0)
        note_acked(process->world, end);
}

static void put_point(struct kj_io *io, const char *name, int64_t offset)
{
    struct kj_checkpoint checkpoint;
    kj_checkpoint_init(&checkpoint);
    check_ok(kj_checkpoint_put(&checkpoint, "events", 0, offset));
    check_ok(kj_checkpoint_write(io, name, &checkpoint, true));
    kj_checkpoint_free(&checkpoint);
}

static int64_t get_point(struct kj_io *io, const char *name)
{
    struct kj_checkpoint checkpoint;
    kj_checkpoint_init(&checkpoint);
    check_ok(kj_checkpoint_read(io, name, &checkpoint));
    int64_t offset = kj_checkpoint_get(&checkpoint, "events", 0);
    kj_checkpoint_free(&checkpoint);
    return offset;
}

/* As store/checkpoints.c: DURABLE, LOG_START. One process at a time there; so here. */
static void do_checkpoints(struct process *process)
{
    struct kj_shared *shared = process->handle.shared;
    if (kj_shared_try_lock(shared, KJ_LOCK_TASKS, KJ_LOCK_EXCLUSIVE) != 0)
        return;
    put_point(process->handle.io, POINTS, kj_log_durable(process->handle.log));
    put_point(process->handle.io, STARTS, kj_log_start(process->handle.log));
    kj_shared_unlock(shared, KJ_LOCK_TASKS, UINT32_MAX);
}

static void do_one(struct process *process)
{
    struct world *world = process->world;
    struct kj_log *log = process->handle.log;
    uint64_t pick = draw(&world->random, 100);
    int64_t end = known_end(world), ignored = 0;
    if (pick < 40) {
        do_append(process, 1);
    } else if (pick < 55) {
        do_append(process, 2 + (int)draw(&world->random, 4));
    } else if (pick < 70) {
        int err = kj_log_flush(log);
        check_ok(err);
        if (err == 0)
            note_acked(world, end);
    } else if (pick < 80) {
        do_group_flush(process, end);
    } else if (pick < 86) {
        check_ok(kj_log_prepare(log));
    } else if (pick < 89) {
        check_ok(kj_log_retain(log, &ignored));
    } else if (pick < 92) {
        int64_t high_watermark = kj_log_high_watermark(log), start = kj_log_start(log);
        int64_t span = high_watermark - start;
        int64_t offset = start + (span > 0 ? (int64_t)draw(&world->random, (uint64_t)span + 1) : 0);
        check_ok(kj_log_delete_records(log, offset, &ignored));
    } else if (pick < 96) {
        do_checkpoints(process);
    } else {
        check_ok(kj_log_refresh(log));
        kj_file_cache_sweep(process->handle.files);
    }
}

static void process_main(void *arg)
{
    struct process *process = arg;
    struct world *world = process->world;
    check_ok(kj_log_load(process->handle.log, -1, -1));
    for (int i = 0; i < process->operations && wrong[0] == 0; i++)
        do_one(process);
    (void)world;
}

/* --- looking at what is left --- */

struct left {
    int64_t start, end;
    int64_t *holes; /* pairs */
    size_t hole_count, hole_capacity;
    int *numbers; /* of the record at offset start + i; -1: none */
};

static int number_of(uint64_t seed, const struct kj_record_view *view)
{
    char text[16] = {0}, value[VALUE_MAX];
    memcpy(text, view->value, view->value_bytes < 12 ? view->value_bytes : 12);
    int number = atoi(text);
    if (number < 0 || number >= RECORDS_MAX)
        return -1;
    size_t len = make_value(seed, number, value);
    return len == view->value_bytes && memcmp(value, view->value, len) == 0 ? number : -1;
}

static void read_left(const struct world *world, struct kj_log *log, struct left *left)
{
    *left = (struct left){.start = kj_log_start(log), .end = kj_log_end(log)};
    check(kj_log_high_watermark(log) == left->end, "%lld, end %lld", (long long)kj_log_high_watermark(log),
          (long long)left->end);
    size_t count = (size_t)(left->end > left->start ? left->end - left->start : 0);
    left->numbers = sim_alloc((count + 1) * sizeof *left->numbers);
    memset(left->numbers, 0xff, (count + 1) * sizeof *left->numbers);
    struct kj_log_cursor cursor = {0};
    for (int64_t offset = left->start; offset < left->end && wrong[0] == 0;) {
        struct kj_log_read read = {0};
        check_ok(kj_log_read(log, offset, left->end, 8192, true, &cursor, &read));
        if (read.view == NULL)
            break;
        for (size_t at = 0; at < read.len && wrong[0] == 0;) {
            struct kj_batch_reader reader;
            struct kj_buffer plain = {0};
            struct kj_record_view view;
            struct kj_batch batch;
            check(kj_batch_look(read.bytes + at, read.len - at, &batch) == KJ_BATCH_OK &&
                      kj_batch_crc_ok(read.bytes + at, kj_batch_bytes(&batch)),
                  "no batch behind offset %lld", (long long)offset);
            if (wrong[0] != 0)
                break;
            check_ok(kj_batch_reader_init(&reader, read.bytes + at, kj_batch_bytes(&batch), &plain, 1 << 24));
            while (kj_batch_reader_next(&reader, &view) == 1) {
                int64_t o = batch.base_offset + view.offset_delta;
                int number = number_of(world->seed, &view);
                check(number >= 0, "B: nobody appended what stands at offset %lld", (long long)o);
                if (o >= left->start && o < left->end)
                    left->numbers[o - left->start] = number;
            }
            kj_buffer_free(&plain);
            at += kj_batch_bytes(&batch);
        }
        offset = read.next_offset;
        kj_view_release(read.view);
    }
}

static void check_promises(const struct world *world, const struct cut *cut, const struct left *left)
{
    int64_t promised = cut->acked_end > cut->durable ? cut->acked_end : cut->durable;
    check(left->end >= promised, "D: the end is %lld, but %lld was durable", (long long)left->end,
          (long long)promised);
    for (int i = 0; i < cut->record_count && wrong[0] == 0; i++) {
        const struct record *record = &world->records[i];
        int64_t offset = record->offset;
        bool below = offset >= 0 && (offset < promised || (record->durable && offset < cut->high_watermark));
        if (!below || offset < cut->log_start || offset < left->start)
            continue;
        int found = offset < left->end ? left->numbers[offset - left->start] : -1;
        check(found == i, "A: record %d was promised at offset %lld; there is %d", i, (long long)offset, found);
    }
}

static void check_sense(const struct world *world, const struct cut *cut, const struct left *left)
{
    static bool seen[RECORDS_MAX];
    int last[PROCESSES];
    memset(seen, 0, sizeof seen);
    for (int p = 0; p < PROCESSES; p++)
        last[p] = -1;
    for (int64_t offset = left->start; offset < left->end && wrong[0] == 0; offset++) {
        int number = left->numbers[offset - left->start];
        if (number < 0)
            continue;
        const struct record *record = &world->records[number];
        check(number < cut->record_count, "B: record %d comes from later", number);
        check(!seen[number], "B: record %d is there twice", number);
        check(record->offset < 0 || record->offset == offset, "B: record %d at %lld belongs to %lld", number,
              (long long)offset, (long long)record->offset);
        check(number > last[record->process], "C: record %d behind %d", number, last[record->process]);
        seen[number] = true;
        last[record->process] = number;
    }
}

static void check_holes(const struct left *left, const struct news *news, int64_t told_before)
{
    for (int64_t offset = left->start; offset < left->end && wrong[0] == 0; offset++) {
        if (left->numbers[offset - left->start] >= 0 || offset < told_before)
            continue;
        bool told = false;
        for (int i = 0; i < news->hole_count; i++)
            told = told || (news->holes[i][0] <= offset && offset < news->holes[i][1]);
        check(told, "H: offset %lld of [%lld, %lld) is lost, nobody said so: %s", (long long)offset,
              (long long)left->start, (long long)left->end, news->text);
    }
}

/* The smallest offset with at least this time. */
static void check_times(const struct left *left, struct kj_log *log, uint64_t *random)
{
    for (int tries = 0; tries < 3 && left->end > left->start && wrong[0] == 0; tries++) {
        int number = left->numbers[draw(random, (uint64_t)(left->end - left->start))];
        if (number < 0)
            continue;
        int64_t expected = left->start, offset = -1, timestamp;
        while (left->numbers[expected - left->start] < 0 ||
               time_of(left->numbers[expected - left->start]) < time_of(number))
            expected++;
        check_ok(kj_log_offset_for_time(log, time_of(number), left->end, &offset, &timestamp));
        check(offset == expected, "time %lld: offset %lld instead of %lld", (long long)time_of(number),
              (long long)offset, (long long)expected);
    }
}

static bool same_left(const struct left *a, const struct left *b)
{
    return a->start == b->start && a->end == b->end &&
           memcmp(a->numbers, b->numbers, (size_t)(a->end - a->start) * sizeof *a->numbers) == 0;
}

/* --- opening an image --- */

struct opened {
    struct kj_sim_tasks *tasks;
    struct kj_sim_shared *words;
    struct handle_of handle;
    struct news news;
    struct kj_sim *sim;
    uint64_t *random;
    long cut_in; /* disk operations; 0: no more */
    struct kj_sim *image;
};

static int opened_io(void *arg, const char *op, const char *path)
{
    struct opened *opened = arg;
    (void)op, (void)path;
    if (opened->cut_in > 0 && --opened->cut_in == 0)
        opened->image = kj_sim_crash_copy(opened->sim, sim_random(opened->random),
                                          (enum kj_sim_crash_mode)draw(opened->random, KJ_SIM_CRASH_MODES));
    return 0;
}

static void opened_begin(struct opened *opened, struct kj_sim *sim, const struct kj_log_config *config,
                         uint64_t *random)
{
    *opened = (struct opened){.sim = sim, .random = random};
    opened->tasks = kj_sim_tasks_new(sim_random(random), 0);
    opened->words = kj_sim_shared_new(opened->tasks);
    handle_begin(&opened->handle, sim, opened->tasks, opened->words, config, true, &opened->news);
    opened->handle.io->step = opened_io;
    opened->handle.io->step_arg = opened;
}

static void opened_end(struct opened *opened)
{
    handle_end(&opened->handle);
    check(kj_sim_tasks_free(opened->tasks), "a task is left");
    kj_sim_shared_free(opened->words);
}

static bool has_hole(const struct left *left)
{
    for (int64_t offset = left->start; offset < left->end; offset++)
        if (left->numbers[offset - left->start] < 0)
            return true;
    return false;
}

/* What was sent shortly before and is still there is known when it comes again. */
static void send_again(const struct world *world, const struct cut *cut, const struct left *left, struct kj_log *log)
{
    for (int p = 0; p < PROCESSES && wrong[0] == 0; p++) {
        const struct sent *last = NULL;
        bool present = false;
        for (int i = cut->sent_count - 1; i >= 0 && last == NULL; i--)
            if (world->sent[i].process == p)
                last = &world->sent[i];
        if (last == NULL)
            continue;
        int64_t offset = last->base_offset;
        if (offset >= left->start && offset < left->end)
            present = left->numbers[offset - left->start] == last->first_record;
        /* A snapshot keeps the newest batch only: with a later, unanswered one there it is forgotten. */
        for (int64_t o = left->start; present && o < left->end; o++) {
            int number = left->numbers[o - left->start];
            if (number >= last->first_record + last->count && world->records[number].process == p)
                present = false;
        }
        if (!present || offset >= cut->acked_end || offset < cut->log_start)
            continue;
        static struct batch_of slot;
        struct kj_append_batch batch = {.durable = true};
        make_batch(world->seed, last, world->processes[p].producer_id, slot.bytes, sizeof slot.bytes, &batch);
        int64_t end = kj_log_end(log);
        check_ok(kj_log_append(log, &batch, 1, KJ_APPEND_TRUSTED));
        /* Before a hole: a snapshot may know later batches, which are gone, and not this one. */
        bool known = batch.ret_error == 0 && batch.ret_duplicate && batch.ret_base_offset == offset;
        check((known || (has_hole(left) && batch.ret_error != 0)) && kj_log_end(log) == end,
              "B: a batch of process %d at %lld was sent again: error %d, duplicate %d, offset %lld", p,
              (long long)offset, batch.ret_error, batch.ret_duplicate, (long long)batch.ret_base_offset);
    }
}

static void open_again(const struct world *world, struct kj_sim *image, int64_t recovery_point, int64_t log_start,
                       bool load, uint64_t *random, struct left *ret_left)
{
    struct opened opened;
    opened_begin(&opened, image, &world->config, random);
    if (load)
        check_ok(kj_log_load(opened.handle.log, recovery_point, log_start));
    else
        check_ok(kj_log_recover(opened.handle.log, recovery_point, log_start));
    check(!load || opened.news.recovered == 0, "a clean log was recovered: %s", opened.news.text);
    read_left(world, opened.handle.log, ret_left);
    opened_end(&opened);
}

/* Appends go on; nothing of it is lost in the next cut; a clean close and load gives the same. */
static void go_on(const struct world *world, struct opened *opened, const struct left *left, uint64_t *random)
{
    struct kj_log *log = opened->handle.log;
    struct world *more = sim_alloc(sizeof *more); /* numbers behind those of the world */
    struct left now, then;
    int64_t freed, first = left->end;
    *more = *world;
    struct kj_log_config config = world->config;
    config.retention_bytes = -1;
    config.retention_ms = 3600000;
    kj_log_set_config(log, &config);
    check_ok(kj_log_retain(log, &freed));
    for (int64_t offset = left->start; offset < kj_log_start(log) && wrong[0] == 0; offset++)
        check(left->numbers[offset - left->start] < 0, "F: retention took the young record at %lld",
              (long long)offset);
    for (int i = 0; i < 6 && more->record_count < RECORDS_MAX && wrong[0] == 0; i++) {
        static struct batch_of slot;
        struct sent sent = {.first_record = more->record_count++, .count = 1, .sequence = -1};
        struct kj_append_batch batch = {.durable = true};
        make_batch(more->seed, &sent, -1, slot.bytes, sizeof slot.bytes, &batch);
        check_ok(kj_log_append(log, &batch, 1, KJ_APPEND_TRUSTED));
        check(batch.ret_base_offset == first + i, "offset %lld", (long long)batch.ret_base_offset);
        if (i == 4)
            check_ok(kj_log_flush(log));
    }
    int64_t durable = kj_log_durable(log);
    struct kj_sim *image = kj_sim_crash_copy(opened->sim, sim_random(random), KJ_SIM_CRASH_DROP);
    open_again(more, image, 0, kj_log_start(log), false, random, &then);
    kj_sim_free(image);
    check(then.end >= durable && then.end >= first, "A: end %lld, durable was %lld", (long long)then.end,
          (long long)durable);
    for (int64_t offset = kj_log_start(log); offset < durable && offset < then.end && wrong[0] == 0; offset++) {
        int number = offset < first ? left->numbers[offset - left->start]
                                    : world->record_count + (int)(offset - first);
        check(offset >= then.start && then.numbers[offset - then.start] == number,
              "A: offset %lld after recovery, appends and a power cut", (long long)offset);
    }
    check_ok(kj_log_close_clean(log));
    read_left(more, log, &now);
    image = kj_sim_crash_copy(opened->sim, sim_random(random), KJ_SIM_CRASH_DROP);
    free(then.numbers);
    open_again(more, image, now.end, now.start, true, random, &then);
    kj_sim_free(image);
    check(same_left(&now, &then), "after a clean close [%lld, %lld), loaded [%lld, %lld)", (long long)now.start,
          (long long)now.end, (long long)then.start, (long long)then.end);
    free(now.numbers);
    free(then.numbers);
    free(more);
}

static uint64_t images;

/* told_before: holes below were told by the recovery that this one repeats. */
static void check_image(const struct world *world, const struct cut *cut, struct kj_sim *image, int depth,
                        int64_t told_before, uint64_t *random)
{
    struct opened opened;
    struct left left, again;
    images++;
    opened_begin(&opened, image, &world->config, random);
    int64_t point = get_point(opened.handle.io, POINTS), start = get_point(opened.handle.io, STARTS);
    if (depth < DEPTH)
        opened.cut_in = 1 + (long)draw(random, draw(random, 2) == 0 ? 40 : 250);
    check_ok(kj_log_recover(opened.handle.log, point, start));
    opened.cut_in = 0;
    if (wrong[0] == 0) {
        read_left(world, opened.handle.log, &left);
        check(left.start >= start, "F: the log start is %lld, the checkpoint says %lld", (long long)left.start,
              (long long)start);
        check(opened.news.recovered == 1 && opened.news.recovered_end == left.end, "H: %s", opened.news.text);
        check_promises(world, cut, &left);
        check_sense(world, cut, &left);
        check_holes(&left, &opened.news, told_before);
        check_times(&left, opened.handle.log, random);
        if (opened.image != NULL) {
            /* A hole may have been told by the recovery that was cut. */
            check_image(world, cut, opened.image, depth + 1, INT64_MAX, random);
            kj_sim_free(opened.image);
        }
        if (wrong[0] == 0) { /* what recovery published is on the disk */
            struct kj_sim *rest = kj_sim_crash_copy(image, sim_random(random), KJ_SIM_CRASH_DROP);
            open_again(world, rest, draw(random, 2) == 0 ? 0 : left.end, left.start, false, random, &again);
            kj_sim_free(rest);
            check(same_left(&left, &again), "recovered [%lld, %lld), after another cut [%lld, %lld)",
                  (long long)left.start, (long long)left.end, (long long)again.start, (long long)again.end);
            free(again.numbers);
        }
        if (wrong[0] == 0)
            send_again(world, cut, &left, opened.handle.log);
        if (wrong[0] == 0 && draw(random, 3) == 0)
            go_on(world, &opened, &left, random);
        free(left.numbers);
    }
    opened_end(&opened);
}

/* --- a history --- */

static void begin_world(struct world *world, uint64_t seed)
{
    *world = (struct world){.seed = seed, .random = seed * 7919 + 17};
    world->sim = kj_sim_new(seed);
    kj_sim_limit(world->sim, 0, FILE_MAX);
    kj_log_config_defaults(&world->config);
    static const int segment[] = {2400, 4000, 20000, 60000};
    world->config.segment_bytes = segment[draw(&world->random, 4)];
    world->config.index_interval_bytes = draw(&world->random, 2) == 0 ? 100 : 1000;
    world->config.retention_bytes = draw(&world->random, 2) == 0 ? -1 : 3 * world->config.segment_bytes;
    bool every = draw(&world->random, 4) == 0;
    world->cut_every = every ? 1 : 150;
    for (int p = 0; p < PROCESSES; p++)
        world->processes[p] = (struct process){.world = world, .number = p, .producer_id = 1000 + p};
}

/* Everybody's words and handles of one time between opening and the end of the last. */
static void begin_session(struct world *world)
{
    world->tasks = kj_sim_tasks_new(sim_random(&world->random), 4);
    world->words = kj_sim_shared_new(world->tasks);
    world->loaded = false;
    world->looking = true;
    handle_begin(&world->founder, world->sim, world->tasks, world->words, &world->config, true, NULL);
    world->founder.io->step = founder_io;
    world->founder.io->step_arg = world;
    int64_t point = get_point(world->founder.io, POINTS), start = get_point(world->founder.io, STARTS);
    world->looking = false;
    int64_t end = known_end(world);
    if (world->clean) {
        world->clean = false;
        check_ok(kj_log_load(world->founder.log, point, start));
    } else {
        check_ok(kj_log_recover(world->founder.log, point, start));
    }
    world->looking = true;
    check(kj_log_end(world->founder.log) >= end, "nothing but processes ended: the end was %lld, is %lld",
          (long long)end, (long long)kj_log_end(world->founder.log));
    note_acked(world, end); /* recovery said: durable */
    world->looking = false;
    world->loaded = true;
}

/* What a dead process had on its heap is nobody's leak: its parked thread may point at any of it. */
static struct buried {
    struct handle_of handle;
    struct buried *next;
} *graves;

static void bury(const struct handle_of *handle)
{
    struct buried *grave = malloc(sizeof *grave);
    check(grave != NULL, "no memory");
    *grave = (struct buried){.handle = *handle, .next = graves};
    graves = grave;
}

static void end_session(struct world *world)
{
    if (!world->dead && wrong[0] == 0 && draw(&world->random, 2) == 0) {
        int64_t end = known_end(world);
        check_ok(kj_log_close_clean(world->founder.log));
        note_acked(world, end);
        put_point(world->founder.io, POINTS, kj_log_durable(world->founder.log));
        put_point(world->founder.io, STARTS, kj_log_start(world->founder.log));
        world->clean = true;
    }
    before_disk(world);
    world->loaded = false;
    for (int p = 0; p < PROCESSES; p++)
        if (world->processes[p].dead)
            bury(&world->processes[p].handle);
        else
            handle_end(&world->processes[p].handle);
    handle_end(&world->founder);
    if (kj_sim_tasks_free(world->tasks))
        kj_sim_shared_free(world->words);
}

static void run_session(struct world *world, bool last)
{
    bool every = world->cut_every == 1;
    begin_session(world);
    world->looking = true;
    for (int p = 0; p < PROCESSES; p++) {
        struct process *process = &world->processes[p];
        handle_begin(&process->handle, world->sim, world->tasks, world->words, &world->config, false, NULL);
        process->handle.io->step = process_io;
        process->handle.io->step_arg = process;
        process->handle.shared->step = process_word;
        process->handle.shared->step_arg = process;
        process->operations = (int)draw(&world->random, every ? 6 : 40);
        /* A dead one leaves much behind that nobody can free: only at the end, only sometimes. */
        process->kill_in = last && p == 0 && draw(&world->random, 2) == 0 ? 1 + (long)draw(&world->random, 3000) : 0;
        kj_sim_task_add(world->tasks, (unsigned)p, process_main, process);
    }
    world->looking = false;
    check(kj_sim_tasks_run(world->tasks), "the processes wait for each other for ever");
    end_session(world);
}

static void end_world(struct world *world)
{
    for (size_t i = 0; i < world->cut_count; i++)
        if (world->cuts[i].image != NULL)
            kj_sim_free(world->cuts[i].image);
    free(world->cuts);
    if (!world->dead) {
        kj_sim_free(world->sim);
    } else { /* the dead one has them open */
        for (struct sim_node *node = world->sim->nodes; node != NULL; node = node->next)
            if (node->bytes != NULL)
                munmap(node->bytes, (size_t)node->capacity);
    }
}

static void run_history(uint64_t seed)
{
    static struct world world;
    begin_world(&world, seed);
    world.looking = true;
    struct kj_io *io = kj_sim_open(world.sim, false, NULL, NULL);
    check_ok(kj_log_create_files(io, DIR, fixture_topic_id));
    kj_io_destroy(io);
    world.looking = false;
    world.next_cut = 1 + draw(&world.random, world.cut_every);
    int sessions = 1 + (int)draw(&world.random, 3);
    for (int s = 0; s < sessions && wrong[0] == 0 && !world.dead; s++)
        run_session(&world, s + 1 == sessions);
    for (size_t i = 0; i < world.cut_count && wrong[0] == 0; i++) {
        struct cut *cut = &world.cuts[i];
        uint64_t random = seed * 31 + i;
        check_image(&world, cut, cut->image, 0, 0, &random);
        if (wrong[0] == 0) {
            kj_sim_free(cut->image);
            cut->image = NULL;
        } else {
            size_t at = strlen(wrong);
            snprintf(wrong + at, sizeof wrong - at, " (cut %zu: operation %llu, mode %d)", i,
                     (unsigned long long)cut->operation, (int)cut->how);
        }
    }
    end_world(&world);
}

static void test_histories(void **state)
{
    (void)state;
    const char *wanted = getenv("KJ_POWER_CUTS"), *first = getenv("KJ_SEED");
    uint64_t target = wanted != NULL ? strtoull(wanted, NULL, 10) : 1500;
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    uint64_t histories = 0;
    images = 0;
    while (images < target) {
        run_history(seed);
        if (wrong[0] != 0)
            fail_msg("KJ_SEED=%llu KJ_POWER_CUTS=1: %s", (unsigned long long)seed, wrong);
        seed++;
        histories++;
    }
    print_message("seeds up to %llu: %llu histories, %llu images recovered\n", (unsigned long long)(seed - 1),
                  (unsigned long long)histories, (unsigned long long)images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
