// Two processes that wait for each other's lock: one gets EDEADLK; a signal interrupts a waiter.
#include "../case.h"
static int lock(int fd, int type, long start, int how) {
    struct flock l = {.l_type = type, .l_start = start, .l_len = 1};
    return fcntl(fd, how, &l);
}
static void handler(int sig) {}
int main(void) {
    scratch();
    put("f", "0123456789");
    int fd = MUST(open("f", O_RDWR));
    struct turns *t = new_turns();
    MUST(lock(fd, F_WRLCK, 0, F_SETLK));
    pid_t pid = MUST(fork());
    if (!pid) {
        MUST(lock(fd, F_WRLCK, 1, F_SETLK));
        pass_turn(t);
        int r = lock(fd, F_WRLCK, 0, F_SETLKW);
        _exit(r == 0 ? 0 : errno);
    }
    wait_turn(t, 1);
    wait_asleep(pid);
    nap(20);
    NUM(lock(fd, F_WRLCK, 1, F_SETLKW));
    NUM(lock(fd, F_UNLCK, 0, F_SETLK));
    reap("child", pid);
    MUST(lock(fd, F_WRLCK, 0, F_SETLK));
    pid = MUST(fork());
    if (!pid) {
        on(SIGUSR1, handler);
        pass_turn(t);
        _exit(lock(fd, F_WRLCK, 0, F_SETLKW) == 0 ? 0 : errno);
    }
    wait_turn(t, 2);
    wait_asleep(pid);
    kill(pid, SIGUSR1);
    reap("interrupted", pid);
}
