// flock(2) and record locks of fcntl(2), of processes and of open files.
#include "posix.h"

static struct flock range(int type, long start, long len) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int set(int fd, int type, long start, long len) {
    struct flock lock = range(type, start, len);
    return fcntl(fd, F_SETLK, &lock);
}

static int ofd(int fd, int type, long start, long len) {
    struct flock lock = range(type, start, len);
    return fcntl(fd, F_OFD_SETLK, &lock);
}

// Who holds a lock that stands in the way, as the process `self` sees it.
static void ask(int fd, int type, long start, long len) {
    struct flock lock = range(type, start, len);
    NUM(fcntl(fd, F_GETLK, &lock));
    const char *types[] = {"read", "write", "none"};
    say("%s %ld %ld %s", types[lock.l_type], (long)lock.l_start, (long)lock.l_len,
        lock.l_type == F_UNLCK      ? "-"
        : lock.l_pid == getppid() ? "parent"
        : lock.l_pid == -1        ? "an open file"
                                  : "another");
}

CASE(flock_shared_and_exclusive) {
    int a = MUST(open("file", O_RDONLY)), b = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_SH | LOCK_NB)), NUM(flock(b, LOCK_SH | LOCK_NB)), NUM(flock(b, LOCK_EX | LOCK_NB));
    NUM(flock(a, LOCK_UN)), NUM(flock(b, LOCK_EX | LOCK_NB)), NUM(flock(a, LOCK_SH | LOCK_NB));
    NUM(flock(b, LOCK_SH)), NUM(flock(a, LOCK_SH | LOCK_NB)), NUM(flock(a, LOCK_UN)), NUM(flock(a, LOCK_UN));
}

CASE(flock_is_of_the_open_file) {
    int a = MUST(open("file", O_RDWR)), copy = MUST(dup(a)), b = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_EX)), NUM(flock(copy, LOCK_EX | LOCK_NB)), NUM(close(a)), NUM(flock(b, LOCK_EX | LOCK_NB));
    CHILD NUM(flock(copy, LOCK_EX | LOCK_NB)), NUM(flock(b, LOCK_EX | LOCK_NB));
    NUM(close(copy)), NUM(flock(b, LOCK_EX | LOCK_NB));
}

CASE(flock_released_by_the_child) {
    int a = MUST(open("file", O_RDWR)), b = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_EX));
    CHILD NUM(flock(a, LOCK_UN));
    NUM(flock(b, LOCK_EX | LOCK_NB));
}

CASE(flock_of_names) {
    int a = MUST(open("hard1", O_RDWR)), b = MUST(open("hard2", O_RDWR)), dir = MUST(open("dir", O_RDONLY));
    NUM(flock(a, LOCK_EX)), NUM(flock(b, LOCK_EX | LOCK_NB)), NUM(flock(dir, LOCK_EX | LOCK_NB));
    NUM(flock(MUST(open("dir", O_RDONLY)), LOCK_SH | LOCK_NB));
    MUST(unlink("hard1")), put("hard1", ""), NUM(flock(MUST(open("hard1", O_RDWR)), LOCK_EX | LOCK_NB));
}

CASE(flock_refuses) {
    int fd = MUST(open("file", O_RDONLY));
    NUM(flock(999, LOCK_SH)), NUM(flock(fd, 0)), NUM(flock(fd, LOCK_SH | LOCK_EX)), NUM(flock(fd, 16));
    NUM(flock(MUST(open("file", O_PATH)), LOCK_SH)), NUM(flock(MUST(open("file", O_WRONLY)), LOCK_SH | LOCK_NB));
}

CASE(flock_waits) {
    int a = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_EX));
    int done[2];
    MUST(pipe(done));
    pid_t pid = MUST(fork());
    if (!pid) {
        int b = MUST(open("file", O_RDWR));
        MUST(flock(b, LOCK_EX));
        MUST(write(done[1], "x", 1));
        _exit(0);
    }
    wait_asleep(pid);
    struct pollfd poller = {done[0], POLLIN, 0};
    NUM(poll(&poller, 1, 0));
    NUM(flock(a, LOCK_UN));
    reap("waiter", pid);
    NUM(poll(&poller, 1, 0));
}

CASE(records_between_processes) {
    int fd = MUST(open("big", O_RDWR));
    NUM(set(fd, F_WRLCK, 10, 10)), NUM(set(fd, F_RDLCK, 100, 10));
    CHILD {
        NUM(set(fd, F_WRLCK, 0, 10)), NUM(set(fd, F_WRLCK, 20, 5)), NUM(set(fd, F_RDLCK, 15, 1)), NUM(set(fd, F_RDLCK, 105, 1));
        NUM(set(fd, F_WRLCK, 105, 1)), NUM(set(fd, F_WRLCK, 0, 0));
        ask(fd, F_WRLCK, 0, 0), ask(fd, F_RDLCK, 100, 5), ask(fd, F_WRLCK, 100, 5), ask(fd, F_WRLCK, 50, 5);
    }
    ask(fd, F_WRLCK, 0, 0);
}

CASE(records_split_and_join) {
    int fd = MUST(open("big", O_RDWR));
    NUM(set(fd, F_WRLCK, 0, 100)), NUM(set(fd, F_UNLCK, 40, 20)), NUM(set(fd, F_RDLCK, 90, 20));
    CHILD ask(fd, F_WRLCK, 0, 0), ask(fd, F_WRLCK, 40, 20), ask(fd, F_WRLCK, 45, 100), ask(fd, F_WRLCK, 95, 1);
    NUM(set(fd, F_WRLCK, 40, 20));
    CHILD ask(fd, F_WRLCK, 0, 0);
    NUM(set(fd, F_UNLCK, 0, 0));
    CHILD ask(fd, F_WRLCK, 0, 0);
}

CASE(records_go_with_any_descriptor) {
    int fd = MUST(open("big", O_RDWR)), other = MUST(open("big", O_RDONLY));
    NUM(set(fd, F_WRLCK, 0, 10));
    CHILD ask(fd, F_WRLCK, 0, 0);
    NUM(close(other));
    CHILD ask(fd, F_WRLCK, 0, 0);
}

CASE(records_go_with_the_process) {
    int fd = MUST(open("big", O_RDWR));
    CHILD NUM(set(fd, F_WRLCK, 0, 10));
    ask(fd, F_WRLCK, 0, 0);
    NUM(set(fd, F_WRLCK, 0, 10));
    CHILD NUM(set(fd, F_WRLCK, 0, 10)), NUM(set(fd, F_UNLCK, 0, 10)), ask(fd, F_WRLCK, 0, 0);
}

CASE(records_from_other_places) {
    int fd = MUST(open("big", O_RDWR));
    MUST(lseek(fd, 1000, SEEK_SET));
    struct flock here = {F_WRLCK, SEEK_CUR, 10, 5, 0}, end = {F_WRLCK, SEEK_END, -10, 10, 0}, back = {F_WRLCK, SEEK_SET, 500, -100, 0};
    NUM(fcntl(fd, F_SETLK, &here)), NUM(fcntl(fd, F_SETLK, &end)), NUM(fcntl(fd, F_SETLK, &back));
    CHILD ask(fd, F_WRLCK, 1000, 100), ask(fd, F_WRLCK, 19000, 0), ask(fd, F_WRLCK, 0, 600);
}

CASE(records_refuse) {
    int r = MUST(open("big", O_RDONLY)), w = MUST(open("big", O_WRONLY));
    NUM(set(r, F_WRLCK, 0, 1)), NUM(set(w, F_RDLCK, 0, 1)), NUM(set(r, F_RDLCK, -1, 1)), NUM(set(r, 9, 0, 1));
    NUM(set(r, F_RDLCK, 5, -10)), NUM(set(999, F_RDLCK, 0, 1)), NUM(set(MUST(open("big", O_PATH)), F_RDLCK, 0, 1));
    struct flock lock = range(F_UNLCK, 0, 1);
    NUM(fcntl(r, F_GETLK, &lock)), NUM(fcntl(r, F_SETLK, 8));
    lock = (struct flock){F_RDLCK, 9, 0, 1, 0};
    NUM(fcntl(r, F_SETLK, &lock));
    NUM(set(r, F_UNLCK, 0, 1));
}

CASE(records_wait) {
    int fd = MUST(open("big", O_RDWR));
    NUM(set(fd, F_WRLCK, 0, 10));
    pid_t pid = MUST(fork());
    if (!pid) {
        struct flock lock = range(F_WRLCK, 5, 10);
        _exit(fcntl(fd, F_SETLKW, &lock) ? 1 : set(fd, F_WRLCK, 0, 5) ? 2 : 7);
    }
    wait_asleep(pid);
    NUM(set(fd, F_UNLCK, 0, 10));
    reap("waiter", pid);
}

CASE(records_deadlock) {
    int fd = MUST(open("big", O_RDWR)), ready[2];
    MUST(pipe(ready)), MUST(set(fd, F_WRLCK, 0, 1));
    pid_t pid = MUST(fork());
    if (!pid) {
        MUST(set(fd, F_WRLCK, 100, 1));
        MUST(write(ready[1], "x", 1));
        struct flock lock = range(F_WRLCK, 0, 1);
        _exit(fcntl(fd, F_SETLKW, &lock) ? errno : 0);
    }
    char c;
    MUST(read(ready[0], &c, 1));
    wait_asleep(pid);
    struct flock lock = range(F_WRLCK, 100, 1);
    NUM(fcntl(fd, F_SETLKW, &lock));
    NUM(set(fd, F_UNLCK, 0, 1));
    reap("other", pid);
}

CASE(open_file_locks) {
    int a = MUST(open("big", O_RDWR)), b = MUST(open("big", O_RDWR));
    NUM(ofd(a, F_WRLCK, 0, 10)), NUM(ofd(b, F_WRLCK, 5, 10)), NUM(ofd(b, F_WRLCK, 10, 10)), NUM(ofd(a, F_RDLCK, 0, 30));
    NUM(set(a, F_WRLCK, 0, 5)), ask(a, F_WRLCK, 0, 5);
    CHILD NUM(ofd(a, F_WRLCK, 0, 5)), ask(a, F_WRLCK, 0, 0), NUM(close(a));
    NUM(ofd(b, F_WRLCK, 0, 5)), NUM(close(a)), NUM(ofd(b, F_WRLCK, 0, 5));
    struct flock lock = range(F_WRLCK, 0, 5);
    lock.l_pid = 5;
    NUM(fcntl(b, F_OFD_SETLK, &lock));
}

CASE(kinds_do_not_meet) {
    int a = MUST(open("file", O_RDWR)), b = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_EX)), NUM(set(b, F_WRLCK, 0, 0)), NUM(flock(b, LOCK_SH | LOCK_NB));
    CHILD NUM(set(a, F_WRLCK, 0, 0)), NUM(flock(b, LOCK_EX | LOCK_NB));
}

CASE(locks_hold_nobody_back) {
    int a = MUST(open("file", O_RDWR));
    NUM(flock(a, LOCK_EX)), NUM(set(a, F_WRLCK, 0, 0));
    CHILD {
        put("file", "written"), NUM(rename("file", "new")), NUM(unlink("new"));
    }
    THERE("new");
}
