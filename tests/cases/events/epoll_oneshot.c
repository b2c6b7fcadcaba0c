// EPOLLONESHOT disarms after one event until it is armed again; EPOLLEXCLUSIVE's rules.
#include "../case.h"
int main(void) {
    int e = MUST(epoll_create1(0)), p[2];
    MUST(pipe(p));
    struct epoll_event ev = {EPOLLIN | EPOLLONESHOT}, out[4];
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    write(p[1], "a", 1);
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    write(p[1], "b", 1);
    NUM(epoll_wait(e, out, 4, 0));
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev)), NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    close(p[1]);
    NUM(epoll_wait(e, out, 4, 0));
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev)), NUM(epoll_wait(e, out, 4, 0));
    say("%#x", out[0].events);
    int q[2];
    MUST(pipe(q));
    ev.events = EPOLLIN | EPOLLEXCLUSIVE;
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev)), NUM(epoll_ctl(e, EPOLL_CTL_ADD, q[0], &ev)), NUM(epoll_ctl(e, EPOLL_CTL_MOD, q[0], &ev));
    ev.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, q[1], &ev));
}
