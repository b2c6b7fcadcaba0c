// Edge-triggered epoll: one event per arrival, also for more data on unread data; writable edges.
#include "../case.h"
int main(void) {
    int e = MUST(epoll_create1(0)), s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    struct epoll_event ev = {EPOLLIN | EPOLLET}, out[4];
    write(s[1], "a", 1);
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, s[0], &ev));
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    write(s[1], "b", 1);
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    char c;
    read(s[0], &c, 1);
    NUM(epoll_wait(e, out, 4, 0));
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &ev));
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    ev.events = EPOLLOUT | EPOLLET;
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &ev));
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    static char data[100000];
    while (write(s[0], data, sizeof data) > 0)
        ;
    NUM(epoll_wait(e, out, 4, 0));
    while (read(s[1], data, sizeof data) > 0)
        ;
    NUM(epoll_wait(e, out, 4, 0)), NUM(epoll_wait(e, out, 4, 0));
    ev.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &ev));
    epoll_wait(e, out, 4, 0);
    shutdown(s[1], SHUT_WR);
    NUM(epoll_wait(e, out, 4, 0));
    say("%#x", out[0].events);
    NUM(epoll_wait(e, out, 4, 0));
    close(s[1]);
    NUM(epoll_wait(e, out, 4, 0));
    say("%#x", out[0].events);
}
