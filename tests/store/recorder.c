// Records what a process does to the files under one folder, so that a replay can build the folder as a power cut
// would leave it. Loaded with LD_PRELOAD; RECORDER_FOLDER is the folder, RECORDER_LOG the log. Linux only.
//
// A record is `struct header`, the paths and the bytes. Operations are logged in the order in which they happen (one
// lock is held over each), and only those that succeed. What is written to standard output is logged as a mark.
// Linux gives an open file its path back (/proc/self/fd), so there is no table of descriptors to keep.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MARK = 'm', CREATE = 'c', WRITE = 'w', TRUNCATE = 't', SYNC = 's', RENAME = 'r', UNLINK = 'u', MKDIR = 'd' };
enum { UNKNOWN = '?' }; // an operation that the replay does not model: the test fails rather than miss it

struct header {
    uint32_t operation, path, other; // lengths of the paths
    int32_t unused;
    int64_t offset; // of a write, or the size of a truncation
    uint64_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int log_file = -1;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORDER_LOG");
    folder = getenv("RECORDER_FOLDER");
    if (!path || !folder) return;
    log_file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    unsetenv("LD_PRELOAD"); // this process alone is recorded, not what it starts
}

static void *original(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) abort();
    return function;
}
#define REAL(name) ((__typeof__(&name))original(#name))

static void put(const void *data, size_t size) {
    for (const char *next = data; size;) {
        ssize_t done = syscall(SYS_write, log_file, next, size);
        if (done < 0) abort();
        next += done;
        size -= (size_t)done;
    }
}

static void record(int operation, const char *path, const char *other, int64_t offset, const void *data, size_t bytes) {
    struct header header = {(uint32_t)operation, (uint32_t)strlen(path), (uint32_t)strlen(other), 0, offset, bytes};
    put(&header, sizeof header);
    put(path, header.path);
    put(other, header.other);
    if (data) put(data, bytes);
}

// Whether the path lies under the folder.
static int ours(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return log_file >= 0 && length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

// The path of an open file; false where it is none of ours.
static int path_of(int file, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = log_file < 0 ? -1 : (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

// The absolute path of `name` in the open folder `at`; false where it is none of ours.
static int path_at(int at, const char *name, char path[PATH_MAX]) {
    if (log_file < 0) return 0;
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name), ours(path);
    char base[PATH_MAX];
    ssize_t length = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/cwd", base, sizeof base - 1);
    if (at != AT_FDCWD) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        length = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    }
    if (length < 0) return 0;
    base[length] = 0;
    return snprintf(path, PATH_MAX, "%s/%s", base, name) < PATH_MAX && ours(path);
}

#define LOCKED(type, call)                                                                                              \
    pthread_mutex_lock(&lock);                                                                                          \
    type result = call;                                                                                                 \
    int error = errno;

#define UNLOCKED                                                                                                        \
    pthread_mutex_unlock(&lock);                                                                                        \
    errno = error;                                                                                                      \
    return result

static int open_any(int at, const char *name, int flags, mode_t mode) {
    struct stat before;
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int existed = fstatat(at, name, &before, 0) == 0;
    int result = (int)syscall(SYS_openat, at, name, flags, mode);
    int error = errno;
    if (result >= 0 && path_of(result, path)) {
        if ((flags & O_TMPFILE) == O_TMPFILE) record(UNKNOWN, path, "O_TMPFILE", 0, NULL, 0);
        else if (!existed) record(CREATE, path, "", 0, NULL, 0);
        else if (flags & O_TRUNC) record(TRUNCATE, path, "", 0, NULL, 0);
    }
    UNLOCKED;
}

#define MODE                                                                                                            \
    mode_t mode = 0;                                                                                                    \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                                \
        va_list rest;                                                                                                   \
        va_start(rest, flags);                                                                                          \
        mode = va_arg(rest, mode_t);                                                                                    \
        va_end(rest);                                                                                                   \
    }

int open(const char *name, int flags, ...) { MODE return open_any(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return open_any(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { MODE return open_any(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE return open_any(at, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return open_any(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

// Writes at `offset`, or where it is negative at the file's own position.
static ssize_t write_any(int file, const void *data, size_t size, off64_t offset) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    ssize_t result = offset < 0 ? (ssize_t)syscall(SYS_write, file, data, size) : (ssize_t)syscall(SYS_pwrite64, file, data, size, offset);
    int error = errno;
    if (result > 0 && file == STDOUT_FILENO && log_file >= 0) {
        record(MARK, "", "", 0, data, (size_t)result);
    } else if (result > 0 && path_of(file, path)) {
        off64_t end = (off64_t)syscall(SYS_lseek, file, 0, SEEK_CUR); // behind what was just written
        record(WRITE, path, "", offset < 0 ? end - result : offset, data, (size_t)result);
    }
    UNLOCKED;
}

ssize_t write(int file, const void *data, size_t size) { return write_any(file, data, size, -1); }
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) { return write_any(file, data, size, offset); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) { return write_any(file, data, size, offset); }

// One write per part: a short write is allowed, and the caller goes on behind it.
ssize_t writev(int file, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write_any(file, parts[i].iov_base, parts[i].iov_len, -1);
        if (done < 0) return total ? total : -1;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

static int truncated(int result, const char *path, off64_t size) {
    if (!result) record(TRUNCATE, path, "", size, NULL, 0);
    return result;
}

int ftruncate64(int file, off64_t size) {
    char path[PATH_MAX];
    LOCKED(int, (int)syscall(SYS_ftruncate, file, size))
    if (path_of(file, path)) truncated(result, path, size);
    UNLOCKED;
}
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int truncate64(const char *name, off64_t size) {
    char path[PATH_MAX];
    LOCKED(int, (int)syscall(SYS_truncate, name, size))
    if (path_at(AT_FDCWD, name, path)) truncated(result, path, size);
    UNLOCKED;
}
int truncate(const char *name, off_t size) { return truncate64(name, size); }

static int synced(int file, int result) {
    char path[PATH_MAX];
    if (!result && path_of(file, path)) record(SYNC, path, "", 0, NULL, 0);
    return result;
}

int fsync(int file) {
    LOCKED(int, synced(file, (int)syscall(SYS_fsync, file)))
    UNLOCKED;
}
int fdatasync(int file) {
    LOCKED(int, synced(file, (int)syscall(SYS_fdatasync, file)))
    UNLOCKED;
}

static int rename_any(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char source[PATH_MAX], target[PATH_MAX];
    LOCKED(int, (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags))
    int inside = path_at(from_at, from, source) + path_at(to_at, to, target);
    if (!result && inside == 2 && !flags) record(RENAME, source, target, 0, NULL, 0);
    else if (!result && inside) record(UNKNOWN, source, "rename", 0, NULL, 0);
    UNLOCKED;
}
int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return rename_any(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return rename_any(from_at, from, to_at, to, flags);
}

static int entry(int operation, int at, const char *name, int result) {
    char path[PATH_MAX];
    if (!result && path_at(at, name, path)) record(operation, path, "", 0, NULL, 0);
    return result;
}

int unlinkat(int at, const char *name, int flags) {
    LOCKED(int, entry(UNLINK, at, name, (int)syscall(SYS_unlinkat, at, name, flags)))
    UNLOCKED;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int at, const char *name, mode_t mode) {
    LOCKED(int, entry(MKDIR, at, name, (int)syscall(SYS_mkdirat, at, name, mode)))
    UNLOCKED;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

// What the replay does not model. SQLite's -shm file is shared memory, rebuilt after a crash: it alone may be mapped.
static void unknown(int file, const char *what) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    size_t length = path_of(file, path) ? strlen(path) : 0;
    if (length > 4 && strcmp(path + length - 4, "-shm")) record(UNKNOWN, path, what, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
    if (file >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED)) unknown(file, "mmap for writing");
    return REAL(mmap64)(address, size, protection, flags, file, offset);
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return mmap64(address, size, protection, flags, file, offset);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    unknown(to, "sendfile");
    return (ssize_t)syscall(SYS_sendfile, to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    unknown(to, "copy_file_range");
    return (ssize_t)syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    unknown(file, "pwritev");
    return REAL(pwritev)(file, parts, count, offset);
}
int posix_fallocate64(int file, off64_t offset, off64_t size) {
    unknown(file, "posix_fallocate");
    return REAL(posix_fallocate64)(file, offset, size);
}
int posix_fallocate(int file, off_t offset, off_t size) { return posix_fallocate64(file, offset, size); }
int link(const char *from, const char *to) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    if (path_at(AT_FDCWD, to, path)) record(UNKNOWN, path, "link", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return REAL(link)(from, to);
}
