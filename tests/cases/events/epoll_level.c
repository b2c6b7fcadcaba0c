// Level-triggered epoll: events stay until consumed, with their data; modify and delete; errors.
#include "../case.h"
int main(void) {
    int e = TRY(epoll_create1(EPOLL_CLOEXEC)), p[2], q[2];
    NUM(fcntl(e, F_GETFD));
    MUST(pipe(p)), MUST(pipe(q));
    struct epoll_event ev = {EPOLLIN, {.u64 = 0x1122334455667788}}, out[8];
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev)), NUM(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    NUM(epoll_wait(e, out, 8, 0));
    write(p[1], "ab", 2);
    for (int i = 0; i < 2; i++)
        NUM(epoll_wait(e, out, 8, 0));
    say("%#x %lx", out[0].events, (long)out[0].data.u64);
    char c;
    read(p[0], &c, 1);
    NUM(epoll_wait(e, out, 8, 0));
    read(p[0], &c, 1);
    NUM(epoll_wait(e, out, 8, 0));
    ev.events = EPOLLOUT;
    NUM(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
    write(p[1], "c", 1);
    NUM(epoll_wait(e, out, 8, 0));
    ev.events = EPOLLOUT, ev.data.u64 = 5;
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, q[1], &ev));
    NUM(epoll_wait(e, out, 8, -1));
    say("%#x %ld", out[0].events, (long)out[0].data.u64);
    close(q[0]);
    NUM(epoll_wait(e, out, 8, 0));
    say("%#x", out[0].events);
    NUM(epoll_ctl(e, EPOLL_CTL_DEL, q[1], NULL)), NUM(epoll_ctl(e, EPOLL_CTL_DEL, q[1], NULL)), NUM(epoll_ctl(e, EPOLL_CTL_MOD, q[1], &ev));
    scratch();
    put("f", "");
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, MUST(open("f", O_RDONLY)), &ev));
    NUM(epoll_ctl(e, EPOLL_CTL_ADD, e, &ev)), NUM(epoll_ctl(e, EPOLL_CTL_ADD, 900, &ev)), NUM(epoll_ctl(900, EPOLL_CTL_ADD, p[0], &ev));
    NUM(epoll_ctl(p[0], EPOLL_CTL_ADD, p[0], &ev)), NUM(epoll_ctl(e, 9, p[0], &ev)), NUM(epoll_ctl(e, EPOLL_CTL_ADD, q[1], NULL));
    NUM(epoll_wait(e, out, 0, 0)), NUM(epoll_wait(e, out, -1, 0)), NUM(epoll_wait(p[0], out, 1, 0)), NUM(epoll_create(0)), NUM(epoll_create1(77));
    ev.events = EPOLLIN;
    epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev);
    NUM(epoll_wait(e, (void *)8, 1, 0));
}
