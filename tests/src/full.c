/* Preloaded into a process whose disk fills up: of the changes that it makes where a path, with a slash after it, has
 * `/.segport/` and FULL_DISK in it, the one whose number is FULL_DISK_AT finds no space, nor does any that follows. With
 * FULL_DISK_HALF only writes are numbered, and half of that one finds space. What found none first is written to the file that
 * FULL_DISK_TELL names. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum room { ALL, HALF, NONE };

static void tell(const char *call, const char *path) {
    char text[4200];
    int length = snprintf(text, sizeof text, "%s %s", call, path);
    int out = syscall(SYS_openat, AT_FDCWD, getenv("FULL_DISK_TELL"), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (out < 0 || syscall(SYS_write, out, text, length) != length) abort();
    close(out);
}

/* Whether the path, with a slash after it, has both in it. */
static int is_on_disk(const char *path) {
    const char *part = getenv("FULL_DISK");
    char whole[4200];
    snprintf(whole, sizeof whole, "%s/", path);
    return part != NULL && strstr(whole, "/.segport/") != NULL && strstr(whole, part) != NULL;
}

/* How much room this change of a file finds. */
static enum room room(const char *call, const char *path, int is_write) {
    static int changes, is_full;
    if (!is_on_disk(path)) return ALL;
    int halves = getenv("FULL_DISK_HALF") != NULL;
    if (!__atomic_load_n(&is_full, __ATOMIC_SEQ_CST)) {
        int last = atoi(getenv("FULL_DISK_AT"));
        if ((halves && !is_write) || __atomic_add_fetch(&changes, 1, __ATOMIC_SEQ_CST) != last) return ALL;
        __atomic_store_n(&is_full, 1, __ATOMIC_SEQ_CST);
        tell(call, path);
        if (halves) return HALF;
    }
    errno = ENOSPC;
    return NONE;
}

static enum room room_in(const char *call, int fd, int is_write) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return room(call, path, is_write);
}

/* How many of the bytes may be written; -1 if none. */
static ssize_t fitting(const char *call, int fd, size_t count) {
    enum room found = room_in(call, fd, 1);
    if (found == HALF && count >= 2) return count / 2;
    errno = ENOSPC;
    return found == ALL ? (ssize_t)count : -1;
}

ssize_t write(int fd, const void *from, size_t count) {
    ssize_t fits = fitting("write", fd, count);
    return fits < 0 ? -1 : syscall(SYS_write, fd, from, fits);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    ssize_t fits = fitting("pwrite", fd, count);
    return fits < 0 ? -1 : syscall(SYS_pwrite64, fd, from, fits, at);
}

int ftruncate64(int fd, off64_t length) {
    return room_in("ftruncate", fd, 0) == NONE ? -1 : syscall(SYS_ftruncate, fd, length);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    return room_in("fallocate", fd, 0) == NONE ? -1 : syscall(SYS_fallocate, fd, mode, at, length);
}

int fsync(int fd) {
    return room_in("fsync", fd, 0) == NONE ? -1 : syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return room_in("fdatasync", fd, 0) == NONE ? -1 : syscall(SYS_fdatasync, fd);
}

int mkdir(const char *path, mode_t mode) {
    return room("mkdir", path, 0) == NONE ? -1 : syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int linkat(int from, const char *path, int to, const char *link, int flags) {
    return room("link", link, 0) == NONE ? -1 : syscall(SYS_linkat, from, path, to, link, flags);
}

/* Needs space if it makes a file. */
static int opened(const char *path, int flags, mode_t mode) {
    struct stat found;
    if ((flags & O_CREAT) && stat(path, &found) != 0 && room("create", path, 0) == NONE) return -1;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return opened(path, flags, mode);
}
