// Several threads wait on one set: with EPOLLONESHOT or edges each event goes to one thread.
#include "../case.h"
static int e;
static _Atomic int taken, stop;
static void *work(void *arg) {
    struct epoll_event out;
    long n = 0;
    while (!stop)
        if (epoll_wait(e, &out, 1, 50) == 1) {
            uint64_t v;
            if (read(out.data.fd, &v, 8) == 8)
                taken += v, n++;
            struct epoll_event ev = {EPOLLIN | EPOLLONESHOT, out.data};
            epoll_ctl(e, EPOLL_CTL_MOD, out.data.fd, &ev);
        }
    return NULL;
}
int main(void) {
    e = MUST(epoll_create1(0));
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = MUST(eventfd(0, EFD_NONBLOCK));
        struct epoll_event ev = {EPOLLIN | EPOLLONESHOT, {.fd = fds[i]}};
        MUST(epoll_ctl(e, EPOLL_CTL_ADD, fds[i], &ev));
    }
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 2000; i++)
        eventfd_write(fds[i % 4], 1);
    for (int i = 0; i < 5000 && taken < 2000; i++)
        nap(1);
    NUM(taken);
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}
