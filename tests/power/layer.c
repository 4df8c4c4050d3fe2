/*
 * The recording layer: preloaded into a process, it writes down what the process does to the files below
 * one directory, with every byte, in the order in which it happened.
 *
 * One lock is held over a call and its line in the record, so that the record's order is the disk's. The
 * exception is a sync, which takes long and is two lines: what was written before the first of them is
 * durable once the second is there. Facts that others write to the same record (appended by one write each)
 * fall into the same order.
 *
 * Names that begin with LOG are RocksDB's text log, which nothing reads, and are left out. Deliberately
 * absent: what the engine does not do (maps that are written, io_uring on files, links by symbol). It would
 * not go unseen: the test compares what the record says with what is in the directory in the end.
 *
 * Opening /power/halt ends the process as a kill would, between two lines of the record and not within one.
 *
 * POWER_ROOT: the directory, as realpath says it. POWER_RECORD: the file to append to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 65536

struct file {
    uint64_t inode;
    unsigned char followed;
    unsigned char appends;
};

static struct file files[FILES_MAX];
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;
static uint64_t syncs;
static char root[PATH_MAX];
static size_t root_len;
static uint64_t root_inode;

static void give_up(const char *why) {
    static const char name[] = "recording layer: ";
    syscall(SYS_write, 2, name, sizeof name - 1);
    syscall(SYS_write, 2, why, strlen(why));
    syscall(SYS_write, 2, "\n", 1);
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("POWER_ROOT"), *to = getenv("POWER_RECORD");
    if (!at || !to || strlen(at) >= sizeof root) return;
    strcpy(root, at);
    root_len = strlen(root);
    struct stat stat;
    if (syscall(SYS_newfstatat, AT_FDCWD, root, &stat, 0) != 0) give_up("there is no root");
    root_inode = stat.st_ino;
    /* Out of the way of what the process numbers itself. */
    int low = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    record = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 1000);
    if (record < 0) give_up("cannot open the record");
    syscall(SYS_close, low);
    /* Serials of syncs must not repeat those of an earlier process. */
    syncs = (uint64_t)getpid() << 32;
}

/* One line: length, kind, two numbers, a text with its length, and bytes. Little-endian machines only. The
   root is 0 in it, whatever its number. */
static void note(char kind, uint64_t inode, uint64_t number, const char *text, const void *bytes, size_t len) {
    unsigned char head[4 + 1 + 8 + 8 + 4];
    uint32_t text_len = text ? strlen(text) : 0;
    uint32_t total = sizeof head - 4 + text_len + len;
    if (inode == root_inode) inode = 0;
    memcpy(head, &total, 4);
    head[4] = kind;
    memcpy(head + 5, &inode, 8);
    memcpy(head + 13, &number, 8);
    memcpy(head + 21, &text_len, 4);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)text, text_len}, {(void *)bytes, len}};
    if (syscall(SYS_writev, record, parts, 3) != (ssize_t)(sizeof head + text_len + len))
        give_up("cannot write the record");
}

/* The path below the root, or NULL where it is not followed. */
static const char *below(const char *path) {
    if (strncmp(path, root, root_len) != 0 || path[root_len] != '/') return NULL;
    const char *name = strrchr(path, '/') + 1;
    if (strncmp(name, "LOG", 3) == 0) return NULL;
    return path + root_len + 1;
}

static int real_path(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    if (len < 0) return -1;
    out[len] = 0;
    return 0;
}

/* What a call means by a directory and a path; NULL where it is not followed. */
static const char *named(int dir, const char *path, char *out) {
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return NULL;
        strcpy(out, path);
    } else {
        if (dir == AT_FDCWD ? syscall(SYS_getcwd, out, PATH_MAX) < 0 : real_path(dir, out) < 0) return NULL;
        size_t len = strlen(out);
        if (len + 1 + strlen(path) >= PATH_MAX) return NULL;
        out[len] = '/';
        strcpy(out + len + 1, path);
    }
    size_t len = strlen(out);
    while (len > 1 && out[len - 1] == '/') out[--len] = 0;
    return below(out);
}

/* Not every close comes by here: a number may be another file's by now, or a socket's. */
static int follows(int fd) {
    struct stat stat;
    if (record < 0 || fd < 0 || fd >= FILES_MAX || !files[fd].followed) return 0;
    int error = errno;
    int same = syscall(SYS_fstat, fd, &stat) == 0 && (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)) &&
               files[fd].inode == stat.st_ino;
    errno = error;
    if (!same) files[fd].followed = 0;
    return same;
}

static int open_file(int dir, const char *path, int flags, mode_t mode) {
    if (record < 0) return syscall(SYS_openat, dir, path, flags, mode);
    char full[PATH_MAX];
    struct stat stat;
    pthread_mutex_lock(&turn);
    if (strcmp(path, "/power/halt") == 0) syscall(SYS_exit_group, 0);
    int existed = !(flags & O_CREAT) || syscall(SYS_newfstatat, dir, path, &stat, 0) == 0;
    int fd = syscall(SYS_openat, dir, path, flags, mode);
    int error = errno;
    if (fd >= FILES_MAX) give_up("too many open files");
    if (fd >= 0) {
        files[fd].followed = 0;
        const char *name = real_path(fd, full) == 0 ? below(full) : NULL;
        int top = strcmp(full, root) == 0;
        if ((name || top) && syscall(SYS_fstat, fd, &stat) == 0 &&
            (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode))) {
            files[fd] = (struct file){stat.st_ino, 1, (flags & O_APPEND) != 0};
            if (!existed) note('c', stat.st_ino, 0, name, NULL, 0);
            else if (flags & O_TRUNC) note('t', stat.st_ino, 0, NULL, NULL, 0);
        }
    }
    pthread_mutex_unlock(&turn);
    errno = error;
    return fd;
}

#define MODE(flags)                                                                                          \
    mode_t mode = 0;                                                                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                   \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode = va_arg(more, mode_t);                                                                         \
        va_end(more);                                                                                        \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_file(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_file(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FILES_MAX) files[fd].followed = 0;
    return syscall(SYS_close, fd);
}

static ssize_t write_at(int fd, const void *bytes, size_t len, off_t at, int placed) {
    pthread_mutex_lock(&turn);
    if (!placed) at = files[fd].appends ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, bytes, len, at) : syscall(SYS_write, fd, bytes, len);
    int error = errno;
    if (done > 0) note('w', files[fd].inode, at, NULL, bytes, done);
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    return follows(fd) ? write_at(fd, bytes, len, 0, 0) : syscall(SYS_write, fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return follows(fd) ? write_at(fd, bytes, len, at, 1) : syscall(SYS_pwrite64, fd, bytes, len, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return pwrite(fd, bytes, len, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!follows(fd)) return syscall(SYS_writev, fd, parts, count);
    ssize_t total = 0;
    for (int part = 0; part < count; part++) {
        ssize_t done = write_at(fd, parts[part].iov_base, parts[part].iov_len, 0, 0);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[part].iov_len) break;
    }
    return total;
}

static int synced(int fd, long call) {
    if (!follows(fd)) return syscall(call, fd);
    pthread_mutex_lock(&turn);
    uint64_t serial = ++syncs, inode = files[fd].inode;
    note('b', inode, serial, NULL, NULL, 0);
    pthread_mutex_unlock(&turn);
    int done = syscall(call, fd);
    int error = errno;
    pthread_mutex_lock(&turn);
    if (done == 0) note('e', inode, serial, NULL, NULL, 0);
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static void resized(int fd, uint64_t size) { note('t', files[fd].inode, size, NULL, NULL, 0); }

int ftruncate(int fd, off_t size) {
    if (!follows(fd)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&turn);
    int done = syscall(SYS_ftruncate, fd, size);
    int error = errno;
    if (done == 0) resized(fd, size);
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int fallocate(int fd, int mode, off_t at, off_t len) {
    if (!follows(fd)) return syscall(SYS_fallocate, fd, mode, at, len);
    struct stat stat;
    pthread_mutex_lock(&turn);
    if (syscall(SYS_fstat, fd, &stat) != 0) give_up("a file without a size");
    /* Room beyond the end, taken or given back, changes nothing that can be read. */
    int unseen = (mode & FALLOC_FL_KEEP_SIZE) && (!(mode & FALLOC_FL_PUNCH_HOLE) || at >= stat.st_size);
    if (mode != 0 && !unseen) give_up("a kind of fallocate that is not followed");
    int done = syscall(SYS_fallocate, fd, mode, at, len);
    int error = errno;
    if (done == 0 && !unseen && at + len > stat.st_size) resized(fd, at + len);
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}
int fallocate64(int fd, int mode, off64_t at, off64_t len) { return fallocate(fd, mode, at, len); }

/* A call that names one or two places: made, and noted where it succeeded. */
static int names(char kind, int dir, const char *path, int to_dir, const char *to, long call, int flags) {
    char from_full[PATH_MAX], to_full[PATH_MAX];
    pthread_mutex_lock(&turn);
    const char *from_name = record >= 0 ? named(dir, path, from_full) : NULL;
    const char *to_name = record >= 0 && to ? named(to_dir, to, to_full) : NULL;
    struct stat stat;
    int done;
    if (kind == 'm') done = syscall(call, dir, path, flags);
    else if (to) done = syscall(call, dir, path, to_dir, to, flags);
    else done = syscall(call, dir, path, flags);
    int error = errno;
    if (done == 0 && (from_name || to_name)) {
        if (to && !(from_name && to_name)) give_up("a name from or to outside");
        if (kind == 'm' && syscall(SYS_newfstatat, dir, path, &stat, 0) != 0) give_up("a lost directory");
        note(kind, kind == 'm' ? stat.st_ino : 0, 0, from_name, to_name, to_name ? strlen(to_name) : 0);
    }
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

int renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return names('r', dir, from, to_dir, to, SYS_renameat2, flags);
}
int renameat(int dir, const char *from, int to_dir, const char *to) { return renameat2(dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int dir, const char *from, int to_dir, const char *to, int flags) {
    return names('l', dir, from, to_dir, to, SYS_linkat, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlinkat(int dir, const char *path, int flags) { return names('u', dir, path, 0, NULL, SYS_unlinkat, flags); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int dir, const char *path, mode_t mode) { return names('m', dir, path, 0, NULL, SYS_mkdirat, mode); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
