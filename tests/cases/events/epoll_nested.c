// An epoll in an epoll: readiness passes up, loops and depth are refused.
#include "../case.h"
int main(void) {
    int a = MUST(epoll_create1(0)), b = MUST(epoll_create1(0)), p[2];
    MUST(pipe(p));
    struct epoll_event ev = {EPOLLIN, {.u32 = 1}}, out[4];
    NUM(epoll_ctl(a, EPOLL_CTL_ADD, p[0], &ev));
    ev.data.u32 = 2;
    NUM(epoll_ctl(b, EPOLL_CTL_ADD, a, &ev));
    NUM(epoll_ctl(a, EPOLL_CTL_ADD, b, &ev));
    NUM(epoll_wait(b, out, 4, 0));
    struct pollfd w = {b, POLLIN};
    NUM(poll(&w, 1, 0));
    write(p[1], "x", 1);
    NUM(poll(&w, 1, 0)), NUM(epoll_wait(b, out, 4, 0));
    say("%#x %d", out[0].events, out[0].data.u32);
    NUM(epoll_wait(a, out, 4, 0));
    char c;
    read(p[0], &c, 1);
    NUM(epoll_wait(b, out, 4, 0)), NUM(poll(&w, 1, 0));
    int last = b;
    for (int i = 0; i < 6; i++) {
        int next = MUST(epoll_create1(0));
        if (epoll_ctl(next, EPOLL_CTL_ADD, last, &ev)) {
            say("depth %d: %s", i, errname(errno));
            break;
        }
        last = next;
    }
    close(a);
    write(p[1], "x", 1);
    NUM(epoll_wait(b, out, 4, 0));
}
