/* SPDX-License-Identifier: BSD-2-Clause
 *
 * store/door.c - coming in. From the first look at the directory until presence is final, the door
 * is held:
 *
 *     door -> ".lock" against brokers -> presence exclusively?
 *        yes: nobody is here. Build everything (first.c), then presence shared.
 *        no:  presence shared; follow the control file that is there.
 *     -> a handle number -> the door is let go
 *
 * Presence is taken and given up only behind the door, so it is never in between. Whoever dies in
 * here leaves the door open and, if it was alone, a directory without the clean marker: the next
 * first opener begins from the start.
 */
#include "store/internal.h"

#include "os/limits.h"

#include <errno.h>
#include <string.h>

int64_t kj_lock_deadline(struct kj_store *store)
{
    return kj_deadline_ns(store->clock, store->options.lock_timeout_ms);
}

static int lock_error(int os_errno, const char *what)
{
    if (os_errno == ENOLCK)
        return kj_err(KAJA_ERR_CRIT_SYS_RESOURCE, "%s: the system has no locks left", what);
    return kj_err_os(os_errno, "%s", what);
}

int kj_door_lock(struct kj_store *store)
{
    int os = kj_shared_lock(kj_shared_of(store), KJ_LOCK_DOOR, KJ_LOCK_EXCLUSIVE, UINT32_MAX,
                            kj_lock_deadline(store));
    if (os == EAGAIN)
        return kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                      "another process has been opening or closing the directory for %lld ms "
                      "(recovering it, perhaps)",
                      (long long)store->options.lock_timeout_ms);
    return os == 0 ? 0 : lock_error(os, "locking " KJ_LOCK_NAME);
}

/* --- brokers --- */

static int open_broker_lock(struct kj_store *store, struct kj_shared **ret_shared)
{
    struct kj_shared_options options = {
        .root_fd = store->io->root_fd, .lock_name = ".lock", .clock = store->clock};
    int os = kj_shared_open(&options, ret_shared);
    return os == 0 ? 0 : kj_file_error(store->io, os, "opening", ".lock");
}

/* A broker locks the whole of .lock exclusively (POSIX), we the first byte of it shared: we keep
 * each other out, and no handle of ours another. A broker removes the file when it stops. */
static int lock_out_brokers(struct kj_store *store)
{
    enum { TRIES = 100 };
    if (store->options.shared_sim != NULL)
        return 0; /* there are no brokers */
    for (int i = 0; i < TRIES; i++) {
        struct kj_shared *broker;
        KJ_TRY(open_broker_lock(store, &broker));
        int os = kj_shared_try_lock(broker, 0, KJ_LOCK_SHARED);
        if (os == 0 && kj_shared_lock_current(broker)) {
            store->broker = broker;
            return 0;
        }
        kj_shared_close(broker);
        if (os == EAGAIN)
            return kj_err(KAJA_ERR_BROKER_HAS_DIRECTORY,
                          "a Kafka broker has the directory open: it holds .lock; stop it first");
        if (os != 0)
            return lock_error(os, "locking .lock");
    }
    return kj_err(KAJA_ERR_BROKER_HAS_DIRECTORY,
                  ".lock is made and removed again and again: is a broker starting?");
}

/* --- joining --- */

/* A property the directory does not say has a value too: its default, or what a coarser one gives.
 */
static int compare_property(struct kj_store *store, const struct kj_catalog *catalog,
                            const struct kj_property *told)
{
    char value[512] = "";
    const char *stored = kj_property_set_get(&catalog->directory, told->name);
    if (stored != NULL && strcmp(stored, told->value) == 0)
        return 0;
    if (stored == NULL && store->options.rules.directory_value != NULL) {
        KJ_TRY(store->options.rules.directory_value(told->name, catalog->directory.items,
                                                    catalog->directory.count, value, sizeof value));
        stored = value;
    }
    if (stored != NULL && strcmp(stored, told->value) == 0)
        return 0;
    return kj_err(KAJA_ERR_CONFLICT,
                  "%s=%s contradicts the directory, which has %s: alter the directory's "
                  "properties, or leave it out",
                  told->name, told->value,
                  stored == NULL || stored[0] == '\0' ? "nothing" : stored);
}

int kj_directory_compare(struct kj_store *store, const struct kj_catalog *catalog)
{
    for (size_t i = 0; i < store->options.directory_count; i++)
        KJ_TRY(compare_property(store, catalog, &store->options.directory[i]));
    return 0;
}

/* Others are here: their control file is good. */
static int join(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    struct kj_catalog *catalog;
    int os = kj_shared_attach(session->shared);
    if (os == ENOENT || os == EINVAL)
        return kj_err(
            KAJA_ERR_DAMAGED,
            KJ_CONTROL_NAME
            " is %s while other handles use it: close them all, the next one to open builds it "
            "anew",
            os == ENOENT ? "missing" : "damaged");
    if (os != 0)
        return kj_err_os(os, "mapping " KJ_CONTROL_NAME);
    KJ_TRY(kj_control_check(session->shared));
    uint64_t generation = kj_shared_load(session->shared, KJ_CONTROL_GENERATION);
    KJ_TRY(kj_catalog_read(store->io, &catalog));
    if (catalog == NULL)
        return kj_err(KAJA_ERR_DAMAGED, KJ_CATALOG_NAME " was removed while the directory is open");
    int err = kj_directory_compare(store, catalog);
    if (err != 0) {
        kj_catalog_release(catalog);
        return err;
    }
    session->attached = true;
    KJ_TRY(kj_store_adopt_catalog(store, catalog));
    kj_store_release(&store->seen_generation, generation);
    return 0;
}

/* --- presence --- */

static int take_number(struct kj_store *store)
{
    struct kj_session *session = kj_session_of(store);
    for (uint32_t number = 0; number < KJ_HANDLES_MAX; number++) {
        int os = kj_shared_try_lock(session->shared, KJ_LOCK_HANDLES + number, KJ_LOCK_EXCLUSIVE);
        if (os == EAGAIN)
            continue;
        if (os != 0)
            return lock_error(os, "locking " KJ_LOCK_NAME);
        store->handle_number = number;
        session->env.owner = (uint64_t)number << 32 | kj_process_id();
        if (kj_shared_load(session->shared, KJ_CONTROL_HANDLES_TOP) <= number)
            kj_shared_store(session->shared, KJ_CONTROL_HANDLES_TOP, number + 1);
        return 0;
    }
    return kj_err(KAJA_ERR_CRIT_SYS_RESOURCE,
                  "%d handles have the directory open, more are not possible", KJ_HANDLES_MAX);
}

static int enter_locked(struct kj_store *store)
{
    struct kj_shared *shared = kj_shared_of(store);
    KJ_TRY(lock_out_brokers(store));
    int os = kj_shared_try_lock(shared, KJ_LOCK_PRESENCE, KJ_LOCK_EXCLUSIVE);
    if (os != 0 && os != EAGAIN)
        return lock_error(os, "locking " KJ_LOCK_NAME);
    store->first = os == 0;
    if (store->first)
        KJ_TRY(kj_first_open(store));
    kj_shared_point(shared, "door: before presence");
    os = kj_shared_try_lock(shared, KJ_LOCK_PRESENCE, KJ_LOCK_SHARED);
    if (os != 0)
        return os == EAGAIN ? kj_err(KAJA_ERR_LOCK_TIMED_OUT,
                                     "somebody holds " KJ_LOCK_NAME " against its rules")
                            : lock_error(os, "locking " KJ_LOCK_NAME);
    if (!store->first)
        KJ_TRY(join(store));
    return take_number(store);
}

/* The lock file under its name, and the door of it. */
static int open_door(struct kj_store *store)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        struct kj_shared *shared;
        struct kj_session *session;
        KJ_TRY(kj_shared_new(store, &shared));
        int err = kj_session_new(store, shared, false, 0, &session);
        if (err != 0) {
            kj_shared_close(shared);
            return err;
        }
        atomic_store(&store->session, session);
        KJ_TRY(kj_door_lock(store));
        if (kj_shared_lock_current(shared))
            return 0;
        kj_sessions_free(store); /* somebody removed the file meanwhile */
    }
    return kj_err(KAJA_ERR_KAFKA_STORAGE_ERROR, KJ_LOCK_NAME " is removed again and again");
}

int kj_door_enter(struct kj_store *store)
{
    KJ_TRY(open_door(store));
    KJ_TRY(enter_locked(store)); /* on failure the locks go with the session */
    kj_shared_unlock(kj_shared_of(store), KJ_LOCK_DOOR, UINT32_MAX);
    return 0;
}
