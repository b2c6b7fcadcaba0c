// fcntl locks between processes: conflicts, ranges that split and merge, F_GETLK, release on close and exit.
#include "../case.h"
static int lock(int fd, int type, long start, long len, int how) {
    struct flock l = {.l_type = type, .l_start = start, .l_len = len};
    return fcntl(fd, how, &l);
}
int main(void) {
    scratch();
    put("f", "0123456789");
    int fd = MUST(open("f", O_RDWR));
    NUM(lock(fd, F_WRLCK, 0, 10, F_SETLK));
    NUM(lock(fd, F_UNLCK, 4, 2, F_SETLK));
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        NUM(lock(fd, F_RDLCK, 4, 2, F_SETLK));
        NUM(lock(fd, F_RDLCK, 3, 2, F_SETLK));
        NUM(lock(fd, F_WRLCK, 10, 0, F_SETLK));
        struct flock l = {.l_type = F_WRLCK, .l_start = 0, .l_len = 0};
        NUM(fcntl(fd, F_GETLK, &l));
        say("type %d start %ld len %ld pid %d", l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid == me);
        l = (struct flock){.l_type = F_RDLCK, .l_start = 4, .l_len = 1};
        fcntl(fd, F_GETLK, &l);
        say("type %d", l.l_type);
        _exit(0);
    }
    reap("child", pid);
    int second = MUST(open("f", O_RDONLY));
    NUM(lock(second, F_WRLCK, 0, 1, F_SETLK));
    close(second);
    pid = MUST(fork());
    if (!pid) {
        // Closing any descriptor of the file dropped all locks of the process.
        NUM(lock(fd, F_WRLCK, 0, 0, F_SETLK));
        _exit(0);
    }
    reap("child", pid);
    NUM(lock(fd, F_WRLCK, 0, 0, F_SETLK));
    pid = MUST(fork());
    if (!pid) {
        int r = lock(fd, F_WRLCK, 5, 1, F_SETLKW);
        _exit(r == 0 ? 5 : errno);
    }
    wait_asleep(pid);
    NUM(lock(fd, F_UNLCK, 0, 0, F_SETLK));
    reap("waiter", pid);
    NUM(lock(fd, F_WRLCK, -1, 5, F_SETLK));
    NUM(lock(fd, 9, 0, 5, F_SETLK));
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -5, .l_len = -3};
    NUM(fcntl(fd, F_SETLK, &l));
    pid = MUST(fork());
    if (!pid) {
        l = (struct flock){.l_type = F_WRLCK};
        fcntl(fd, F_GETLK, &l);
        say("start %ld len %ld", (long)l.l_start, (long)l.l_len);
        _exit(0);
    }
    reap("child", pid);
}
