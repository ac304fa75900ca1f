#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Only os/ meets the kernel, only base/alloc allocates, and nobody prints, exits, reads the
# environment or touches signals: what the objects of each room call says so.
cd "${top_builddir:-.}" || exit 99
command -v nm >/dev/null 2>&1 || { echo "SKIP: no nm"; exit 77; }
hidden='printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|_Exit|quick_exit|getenv|secure_getenv|setenv|signal|sigaction|sigprocmask|pthread_sigmask|system|srand|rand|random|gethostname'
kernel='open|openat|creat|close|read|pread|readv|preadv|write|pwrite|writev|pwritev|fsync|fdatasync|sync_file_range|msync|mmap|munmap|mremap|madvise|ftruncate|truncate|fallocate|posix_fallocate|rename|renameat|unlink|unlinkat|remove|mkdir|mkdirat|rmdir|opendir|fdopendir|readdir|stat|fstat|lstat|fstatat|statfs|fstatfs|fopen|fdopen|fclose|fread|fwrite|fcntl|flock|lockf|ioctl|syscall|futex|poll|ppoll|select|epoll_wait|eventfd|clock_gettime|gettimeofday|time|nanosleep|clock_nanosleep|usleep|sleep|getrandom|getentropy|arc4random|getpid|fork|sysconf|getrlimit|sched_yield|pthread_create|pthread_join|pthread_atfork|pthread_cond_wait|pthread_cond_timedwait'
memory='malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf'
bad=0

calls() { # calls ARCHIVE: "object function" of each undefined symbol, fortified and 64-bit names folded
    nm -A "$1" 2>/dev/null | awk '$(NF-1) == "U" { split($1, p, ":"); f = $NF; sub(/@.*/, "", f)
        if (f ~ /^__.*_chk$/) { sub(/^__/, "", f); sub(/_chk$/, "", f) }
        sub(/64$/, "", f); sub(/64_2$/, "", f); print p[2], f }' | sort -u
}

for room in base record log store coord client api; do
    archive=.libs/libkj_$room.a
    [ -f "$archive" ] || continue
    banned="$hidden|$kernel|$memory"
    # In base, alloc is the allocator, assert prints before it aborts, lock has conditions.
    found=$(calls "$archive" | grep -E " ($banned)\$" |
        grep -vE "^alloc\.o ($memory)\$|^assert\.o |^lock\.o pthread_cond_")
    if [ -n "$found" ]; then
        echo "room $room calls what it may not (object, function):"
        echo "$found"
        bad=1
    fi
done
if [ -f .libs/libkj_os.a ]; then
    found=$(calls .libs/libkj_os.a | grep -E " ($hidden|$memory)\$")
    [ -z "$found" ] || { echo "room os calls what it may not (object, function):"; echo "$found"; bad=1; }
fi
exit $bad
