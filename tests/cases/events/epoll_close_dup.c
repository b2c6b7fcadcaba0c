// A watched descriptor that is closed leaves the set, unless a duplicate keeps the open file.
#include "../case.h"
int main(void) {
    int e = MUST(epoll_create1(0)), p[2];
    MUST(pipe(p));
    struct epoll_event ev = {EPOLLIN, {.u32 = 7}}, out[4];
    MUST(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    int copy = dup(p[0]);
    ev.data.u32 = 8;
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, copy, &ev));
    write(p[1], "x", 1);
    NUM(epoll_wait(e, out, 4, 0));
    close(p[0]);
    NUM(epoll_wait(e, out, 4, 0));
    NUM(epoll_ctl(e, EPOLL_CTL_DEL, p[0], NULL));
    close(copy);
    NUM(epoll_wait(e, out, 4, 0));
    // A child shares the set.
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        ev.data.u32 = 9;
        _exit(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev) ? errno : 0);
    }
    reap("child", pid);
    write(p[1], "x", 1);
    NUM(epoll_wait(e, out, 4, 0));
    NUM(out[0].data.u32);
}
