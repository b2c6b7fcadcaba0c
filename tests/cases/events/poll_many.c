// Waiting on a thousand descriptors: the right ones are reported by poll, select and epoll.
#include "../case.h"
#include <sys/select.h>
int main(void) {
    struct rlimit l = {3000, 3000};
    MUST(setrlimit(RLIMIT_NOFILE, &l));
    static int fds[450][2];
    static struct pollfd w[450];
    int e = MUST(epoll_create1(0));
    for (int i = 0; i < 450; i++) {
        MUST(pipe(fds[i]));
        w[i] = (struct pollfd){fds[i][0], POLLIN};
        struct epoll_event ev = {EPOLLIN, {.u32 = i}};
        MUST(epoll_ctl(e, EPOLL_CTL_ADD, fds[i][0], &ev));
    }
    for (int i = 7; i < 450; i += 50)
        write(fds[i][1], "x", 1);
    NUM(poll(w, 450, 0));
    long sum = 0;
    for (int i = 0; i < 450; i++)
        sum += w[i].revents ? i : 0;
    NUM(sum);
    struct epoll_event out[20];
    int n = epoll_wait(e, out, 5, 0), m = epoll_wait(e, out + 5, 15, 0);
    say("%d %d", n, m);
    sum = 0;
    n = epoll_wait(e, out, 20, 0);
    for (int i = 0; i < n; i++)
        sum += out[i].data.u32;
    NUM(sum);
    fd_set r;
    FD_ZERO(&r);
    for (int i = 0; i < 450; i++)
        FD_SET(fds[i][0], &r);
    NUM(select(fds[449][0] + 1, &r, NULL, NULL, NULL));
}
