// One loop over timerfd, signalfd, eventfd, pidfd, a pipe and a socket: each event comes once, from its source.
#include "../case.h"
#include <sys/signalfd.h>
#include <sys/timerfd.h>
int main(void) {
    int e = MUST(epoll_create1(0)), p[2], s[2];
    mask(SIG_BLOCK, SIGUSR1);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    MUST(pipe(p)), MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid_t pid = MUST(fork());
    if (!pid) {
        nap(60);
        _exit(0);
    }
    int fds[6] = {MUST(timerfd_create(CLOCK_MONOTONIC, 0)), MUST(signalfd(-1, &set, 0)), MUST(eventfd(0, 0)), MUST(syscall(SYS_pidfd_open, pid, 0)), p[0], s[0]};
    for (int i = 0; i < 6; i++) {
        struct epoll_event ev = {EPOLLIN, {.u32 = i}};
        MUST(epoll_ctl(e, EPOLL_CTL_ADD, fds[i], &ev));
    }
    struct itimerspec t = {{0, 0}, {0, 20000000}};
    timerfd_settime(fds[0], 0, &t, NULL);
    kill(getpid(), SIGUSR1), eventfd_write(fds[2], 3), write(p[1], "p", 1), write(s[1], "s", 1);
    int seen[6] = {0}, left = 6;
    char b[200];
    while (left) {
        struct epoll_event out[6];
        int n = epoll_wait(e, out, 6, 5000);
        if (n <= 0) {
            say("nothing came");
            break;
        }
        for (int i = 0; i < n; i++) {
            int which = out[i].data.u32;
            seen[which]++, left--;
            if (which == 3)
                waitpid(pid, NULL, 0), epoll_ctl(e, EPOLL_CTL_DEL, fds[3], NULL);
            else
                read(fds[which], b, sizeof b);
        }
    }
    for (int i = 0; i < 6; i++)
        NUM(seen[i]);
    NUM(epoll_wait(e, (struct epoll_event[1]){}, 1, 0));
}
